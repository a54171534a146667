//! Messages about events: to receivers that are well, that misbehave and that are out of reach, over restarts and kills.

use crate::agent::{Agent, BINARY, PATIENCE, free_address, value, wait_until};
use crate::board::Tree;
use crate::needs::write_program;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a server got: the head of a request, and its body.
struct Request {
    head: String,
    body: String,
}

impl Request {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|wrong| panic!("{wrong}: {}", self.body))
    }
}

/// A server that answers each request with what `answer` makes of its number; nothing hangs up without a word.
struct Server {
    address: String,
    got: Receiver<Request>,
}

impl Server {
    fn start(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Server {
        Server::on("127.0.0.1:0", answer)
    }

    fn on(address: &str, answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, got) = channel();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (sender, answer) = (sender.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    if let Some(request) = read(&mut stream) {
                        let _ = sender.send(request);
                        answer(number, &mut stream);
                    }
                });
            }
        });
        Server { address, got }
    }

    /// One that is content with everything.
    fn content() -> Server {
        Server::start(|_, stream| say(stream, "HTTP/1.1 200 OK\r\n\r\n"))
    }

    #[track_caller]
    fn next(&self) -> Request {
        self.got.recv_timeout(PATIENCE).unwrap()
    }

    /// That nothing comes within this time.
    #[track_caller]
    fn is_silent(&self, time: Duration) {
        match self.got.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(error) => panic!("{error}"),
            Ok(request) => panic!("{}\n{}", request.head, request.body),
        }
    }
}

/// Reads a request; nothing if the client hangs up before its end.
fn read(stream: &mut TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Ok(count @ 1..) = stream.read(&mut buffer) else { return None };
        text.extend_from_slice(&buffer[..count]);
        let all = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if body.len() >= length.unwrap().parse().unwrap() {
            return Some(Request { head: head.to_owned(), body: body.to_owned() });
        }
    }
}

fn say(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes());
}

/// A machine whose memory is short or not.
struct Machine {
    _tree: Tree,
    flags: Vec<String>,
}

impl Machine {
    fn new(flags: &[String]) -> Machine {
        let tree = Tree::new("vm");
        let mut all = tree.flags().to_vec();
        all.extend(["--sample.interval=200ms", "--no-collector.network"].map(str::to_owned));
        all.extend_from_slice(flags);
        let machine = Machine { _tree: tree, flags: all };
        machine.memory(50);
        machine
    }

    fn memory(&self, percent: u64) {
        let text = format!("MemTotal: 1000000 kB\nMemAvailable: {percent}0000 kB\n");
        std::fs::write(self.proc("meminfo"), text).unwrap();
    }

    fn proc(&self, name: &str) -> PathBuf {
        let proc = self.flags.iter().find_map(|flag| flag.strip_prefix("--path.procfs=")).unwrap();
        Path::new(proc).join(name)
    }

    fn start(&self) -> Agent {
        Agent::start(&self.flags.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pi-monitor-outbound-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn counts(agent: &Agent, receiver: &str) -> [f64; 3] {
    let metrics = agent.metrics();
    ["sent", "failed", "dropped"].map(|outcome| {
        let name = format!("pi_notifications_total{{receiver=\"{receiver}\",outcome=\"{outcome}\"}}");
        value(&metrics, &name).unwrap_or_else(|| panic!("{name}\n{metrics}"))
    })
}

/// The processes below the agent, the courier's among them.
fn children(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in text.split_whitespace().map(|word| word.parse().unwrap()) {
        all.push(child);
        all.extend(children(child));
    }
    all
}

fn status(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// The process with the threads that send.
fn courier(agent: &Agent) -> Option<u32> {
    children(agent.child.id())
        .into_iter()
        .find(|pid| status(*pid).contains("Seccomp:\t2\n") && !status(*pid).contains("Threads:\t1\n"))
}

#[test]
fn a_verdict_reaches_every_kind_of_receiver_from_begin_to_end() {
    let servers = [(); 3].map(|()| Server::content());
    let [webhook, ntfy, alertmanager] = &servers;
    let folder = folder("kinds");
    let program = folder.join("program");
    write_program(&program, &format!("#!/bin/sh\ncat > {0}/new; mv {0}/new {0}/got\n", folder.display()));
    // The address is a secret; so is what proves who sends.
    let secret = folder.join("secret");
    std::fs::write(&secret, format!("# mine\nhttp://{}/hook?token=verborgen\n", webhook.address)).unwrap();
    let password = folder.join("password");
    std::fs::write(&password, "basic me:geheim\n").unwrap();
    let credential = folder.join("credential");
    std::fs::write(&credential, "bearer tk_versteckt\n").unwrap();
    let machine = Machine::new(&[
        format!("--notify.webhook=@{}", secret.display()),
        format!("--notify.webhook.credentials-file={}", password.display()),
        format!("--notify.ntfy=http://{}/alerts", ntfy.address),
        format!("--notify.ntfy.credentials-file={}", credential.display()),
        format!("--notify.alertmanager=http://{}", alertmanager.address),
        format!("--notify.exec={}", program.display()),
        "--web.external-url=https://home.example/pi/".to_owned(),
        "--log.level=debug".to_owned(),
    ]);
    // A name may hold anything.
    let host = "pi\"},{\u{1b}[2J{{ x }}\\\r\nA: b";
    std::fs::write(machine.proc("sys/kernel/hostname"), format!("{host}\n")).unwrap();
    let agent = machine.start();
    machine.memory(3);

    let request = webhook.next();
    assert!(request.head.starts_with("POST /hook?token=verborgen HTTP/1.1\r\n"), "{}", request.head);
    assert!(request.head.contains("\r\nAuthorization: Basic bWU6Z2VoZWlt"), "{}", request.head);
    assert!(request.head.contains("\r\nContent-Type: application/json"), "{}", request.head);
    let message = request.json();
    let event = &message["events"][0];
    assert_eq!(
        (&message["host"], &message["status"], &message["severity"]),
        (&host.into(), &"firing".into(), &"critical".into())
    );
    assert_eq!(message["title"], format!("{host}: Memory is almost used up"));
    assert_eq!((&event["rule"], &event["state"]), (&"memory_low".into(), &"firing".into()));
    assert_eq!(message["events"].as_array().unwrap().len(), 1);
    assert!(event["fix"].as_str().unwrap().starts_with("Stop or limit"), "{event}");
    let begin = event["begin"].as_f64().unwrap();
    assert_eq!(message["url"], format!("https://home.example/pi/#t={}&r=1h", begin as u64));
    let text = message["text"].as_str().unwrap();
    assert!(text.contains("available") && text.contains("What to do: Stop or limit"), "{text}");

    let request = ntfy.next();
    assert!(request.head.starts_with("POST / HTTP/1.1\r\n"), "{}", request.head);
    assert!(request.head.contains("\r\nAuthorization: Bearer tk_versteckt"), "{}", request.head);
    let message = request.json();
    assert_eq!(
        (&message["topic"], &message["priority"], &message["tags"][0]),
        (&"alerts".into(), &5.into(), &"rotating_light".into())
    );
    assert_eq!(message["title"], format!("{host}: Memory is almost used up"));

    let request = alertmanager.next();
    assert!(request.head.starts_with("POST /api/v2/alerts HTTP/1.1\r\n"), "{}", request.head);
    let alert = &request.json()[0];
    assert_eq!(
        alert["labels"],
        serde_json::json!({"alertname": "memory_low", "instance": host, "job": "pi-monitor", "severity": "critical"})
    );
    assert!(alert["endsAt"].as_str().unwrap() > alert["startsAt"].as_str().unwrap(), "{alert}");

    let got = folder.join("got");
    wait_until("the program got its message", || got.exists());
    let message: Value = serde_json::from_slice(&std::fs::read(&got).unwrap()).unwrap();
    assert_eq!(message["events"][0]["rule"], "memory_low");
    std::fs::remove_file(&got).unwrap();

    machine.memory(50);
    let message = webhook.next().json();
    assert_eq!((&message["status"], &message["events"][0]["state"]), (&"resolved".into(), &"resolved".into()));
    assert!(message["events"][0]["end"].as_f64().unwrap() > begin, "{message}");
    assert_eq!(message["title"], format!("{host}: over: Memory is almost used up"));
    assert_eq!(ntfy.next().json()["tags"][0], "white_check_mark");
    let alert = &alertmanager.next().json()[0];
    assert_eq!(alert["labels"]["alertname"], "memory_low");
    wait_until("the program heard of the end", || got.exists());

    let names = [
        format!("webhook http://{}", webhook.address),
        format!("ntfy http://{}", ntfy.address),
        format!("alertmanager http://{}", alertmanager.address),
        "exec program".to_owned(),
    ];
    for name in &names {
        wait_until(name, || counts(&agent, name) == [2.0, 0.0, 0.0]);
    }
    let shown = agent.json()["agent"]["receivers"].clone();
    assert_eq!(shown[0]["receiver"], *names[0]);
    assert!(shown[0]["notifications_last_seconds"].as_u64().unwrap() >= begin as u64, "{shown}");
    // Nobody sees what is secret.
    let log = agent.log_lines().join("\n") + &agent.early_lines.join("\n");
    for text in [agent.metrics(), agent.json().to_string(), log] {
        for secret in ["geheim", "verborgen", "versteckt", "bWU6Z2"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn without_a_flag_there_is_no_process_and_with_one_it_is_confined() {
    let machine = Machine::new(&["--state.directory=none".to_owned()]);
    let agent = machine.start();
    assert_eq!(children(agent.child.id()), [0; 0]);
    assert!(!agent.metrics().contains("pi_notifications"));
    drop(agent);
    let server = Server::content();
    let flags = ["--state.directory=none".to_owned(), format!("--notify.webhook=http://{}/", server.address)];
    let mut agent = Machine::new(&flags).start();
    wait_until("the courier runs", || courier(&agent).is_some());
    let text = status(courier(&agent).unwrap());
    assert!(text.contains("NoNewPrivs:\t1\n") && text.contains("CapEff:\t0000000000000000\n"), "{text}");
    let is_root = status(std::process::id()).contains("Uid:\t0\t0\t0\t0\n");
    if is_root {
        assert!(text.contains("Uid:\t65534\t65534\t65534\t65534\n") && text.contains("Groups:\t \n"), "{text}");
    }
    // It holds its three standard places, the log's, and the socket.
    let open = std::fs::read_dir(format!("/proc/{}/fd", courier(&agent).unwrap()));
    assert!(open.map_or(5, Iterator::count) <= 5);
    let all = children(agent.child.id());
    agent.signal("TERM");
    assert!(agent.wait(PATIENCE).unwrap().success());
    wait_until("all of it ends with the agent", || {
        all.iter().all(|pid| status(*pid).is_empty() || status(*pid).contains("State:\tZ"))
    });
}

#[test]
fn what_waits_goes_out_later_with_its_own_time() {
    // Nobody listens there yet.
    let address = free_address("127.0.9.4");
    let state = folder("waits");
    let machine = Machine::new(&[
        format!("--state.directory={}", state.display()),
        format!("--notify.webhook=http://{address}/"),
    ]);
    let mut agent = machine.start();
    machine.memory(3);
    let name = format!("webhook http://{address}");
    wait_until("a first attempt", || counts(&agent, &name)[1] >= 1.0);
    let event = agent.get("/events").text();
    let begin = event.split("\"begin\":").last().unwrap().split(',').next().unwrap().to_owned();
    agent.log_line("cannot send: Connection refused");
    agent.signal("TERM");
    assert!(agent.wait(PATIENCE).unwrap().success());
    drop(agent);
    // The next run tells it; meanwhile it was over.
    machine.memory(50);
    let server = Server::on(&address, |_, stream| say(stream, "HTTP/1.1 204 No Content\r\n\r\n"));
    let mut agent = machine.start();
    let message = server.next().json();
    let events = message["events"].as_array().unwrap();
    let event = events.iter().find(|event| event["rule"] == "memory_low").unwrap_or_else(|| panic!("{message}"));
    assert_eq!(event["begin"].to_string(), begin);
    assert_eq!(event["state"], "resolved");
    wait_until("it is counted", || counts(&agent, &name)[0] == 1.0);
    agent.signal("TERM");
    assert!(agent.wait(PATIENCE).unwrap().success());
    drop(agent);
    // And once only.
    let _agent = machine.start();
    server.is_silent(Duration::from_secs(6));
    std::fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_courier_that_is_killed_comes_again_and_repeats_nothing() {
    let server = Server::content();
    let machine =
        Machine::new(&["--state.directory=none".to_owned(), format!("--notify.webhook=http://{}/", server.address)]);
    let agent = machine.start();
    machine.memory(3);
    assert_eq!(server.next().json()["status"], "firing");
    let name = format!("webhook http://{}", server.address);
    wait_until("it is counted", || counts(&agent, &name)[0] == 1.0);
    let first = courier(&agent).unwrap();
    assert!(Command::new("kill").args(["-9", &first.to_string()]).status().unwrap().success());
    wait_until("another one runs", || courier(&agent).is_some_and(|pid| pid != first));
    machine.memory(50);
    let message = server.next().json();
    assert_eq!((&message["status"], message["events"].as_array().unwrap().len()), (&"resolved".into(), 1));
}

/// Whatever dies of the processes that start a program, each message still gets to it.
#[test]
fn what_starts_a_program_comes_again_when_it_is_killed() {
    let folder = folder("killed-runner");
    let program = folder.join("program");
    write_program(&program, &format!("#!/bin/sh\ncat > {0}/new; mv {0}/new {0}/got\n", folder.display()));
    let flags = ["--state.directory=none".to_owned(), format!("--notify.exec={}", program.display())];
    let machine = Machine::new(&flags);
    let agent = machine.start();
    wait_until("the courier runs", || courier(&agent).is_some());
    let first = courier(&agent).unwrap();
    let got = folder.join("got");
    // The one that starts the program, and then all that are behind the courier: the courier cannot go on without them.
    for (percent, state, all) in [(3, "firing", false), (50, "resolved", true)] {
        wait_until("what starts the program, and what starts that again", || children(first).len() == 2);
        let runners = children(first);
        let killed = if all { &runners[..] } else { &runners[runners.len() - 1..] };
        for pid in killed {
            assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        }
        machine.memory(percent);
        wait_until(state, || got.exists());
        let message: Value = serde_json::from_slice(&std::fs::read(&got).unwrap()).unwrap();
        assert_eq!((&message["events"][0]["rule"], &message["status"]), (&"memory_low".into(), &state.into()));
        std::fs::remove_file(&got).unwrap();
        assert_eq!(courier(&agent) == Some(first), !all, "{all}");
    }
    drop(agent);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What is said about a receiver, and what it does.
type Illness = (&'static str, fn(&mut TcpStream));

/// Each of them holds up itself alone, and gets its message when it has come to its senses.
#[test]
fn receivers_that_misbehave() {
    let ill: [Illness; 6] = [
        ("status 500: no luck", |stream| say(stream, "HTTP/1.1 500 x\r\nContent-Length: 7\r\n\r\nno luck")),
        ("status 429: ", |stream| say(stream, "HTTP/1.1 429 x\r\nRetry-After: 2\r\n\r\n")),
        ("status 302: it leads elsewhere", |stream| {
            say(stream, "HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/\r\n\r\n")
        }),
        ("expected an HTTP response", |stream| say(stream, "SSH-2.0-OpenSSH_9.2p1\r\n")),
        ("expected an HTTP response", |_| {}),
        ("no answer within 10 s", |_| std::thread::sleep(Duration::from_secs(30))),
    ];
    let servers = ill.map(|(_, answer)| {
        Server::start(
            move |number, stream| {
                if number == 0 { answer(stream) } else { say(stream, "HTTP/1.1 200 OK\r\n\r\n") }
            },
        )
    });
    let well = Server::content();
    let mut flags: Vec<_> =
        servers.iter().map(|server| format!("--notify.webhook=http://{}/", server.address)).collect();
    flags.push(format!("--notify.webhook=http://{}/", well.address));
    flags.extend(["--state.directory=none".to_owned(), "--log.level=debug".to_owned()]);
    let machine = Machine::new(&flags);
    let agent = machine.start();
    machine.memory(3);
    well.next();
    let mut log = Vec::new();
    for (server, (expected, _)) in servers.iter().zip(&ill) {
        let first = server.next().body;
        let expected = format!("webhook http://{}: cannot send: {expected}", server.address);
        wait_until(&expected, || {
            log.extend(agent.log_lines());
            log.iter().any(|line| line.contains(&expected))
        });
        // The same again, but for how long ago it is.
        let second = server.next().json();
        let first: Value = serde_json::from_str(&first).unwrap();
        assert_eq!(first["events"][0]["id"], second["events"][0]["id"]);
        let name = format!("webhook http://{}", server.address);
        wait_until(&name, || counts(&agent, &name) == [1.0, 1.0, 0.0]);
    }
}

#[test]
fn what_is_not_wanted_is_not_sent() {
    let server = Server::content();
    let machine = Machine::new(&[
        "--state.directory=none".to_owned(),
        "--notify.exclude=memory_low".to_owned(),
        format!("--notify.webhook=http://{}/", server.address),
    ]);
    let agent = machine.start();
    machine.memory(3);
    wait_until("the verdict is there", || agent.metrics().contains("pi_verdict{rule=\"memory_low\"} 1"));
    server.is_silent(Duration::from_secs(5));
}

#[test]
fn a_test_message_says_what_came_of_it() {
    let server = Server::content();
    let run = |flags: &[&str]| {
        let output = Command::new(BINARY).args(["notify"]).args(flags).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (well, beat) = (
        format!("--notify.webhook=http://{}/x", server.address),
        format!("--notify.heartbeat=http://{}/beat", server.address),
    );
    let (code, text) = run(&["--test", &well, &beat]);
    assert_eq!(
        (code, &*text),
        (0, &*format!("webhook http://{0}: sent\nheartbeat http://{0}: sent\n", server.address))
    );
    assert_eq!(server.next().json()["events"][0]["title"], "This is a test");
    assert!(server.next().head.starts_with("GET /beat HTTP/1.1\r\n"));
    let (code, text) = run(&["--test", "--notify.ntfy=http://127.0.0.1:1/topic", "--notify.exec=/no/such/program"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("ntfy http://127.0.0.1:1: Connection refused")
            && text.contains("exec program: it cannot be started"),
        "{text}"
    );
    let with_tls = if cfg!(feature = "tls") {
        "--notify.webhook: a name and a password belong"
    } else {
        "--notify.webhook: https needs a binary with TLS"
    };
    for (flags, wrong) in [
        (&["--test"][..], "expected the flag of a receiver"),
        (&[&*well], "expected --test"),
        (&["--test", "--notify.webhook=https://me:geheim@x/token"], with_tls),
        (&["--test", "--notify.webhook=http://me:geheim@x/token"], "--notify.webhook: a name and a password belong"),
        (&["--test", "--notify.ntfy=http://x"], "--notify.ntfy: expected a topic"),
        (&["--test", "--notify.webhook=@/no/such/file"], "--notify.webhook: /no/such/file: No such file"),
        (&["--test", "--notify.exec=mail"], "--notify.exec=mail: expected an absolute path"),
    ] {
        let (code, text) = run(flags);
        assert!(
            code == 1 && text.contains(wrong) && !text.contains("geheim") && !text.contains("token"),
            "{flags:?}: {text}"
        );
    }
}

/// The whole way, as a Pi with a weak supply goes it: from the firmware's word to two receivers, begin and end.
#[test]
fn an_under_voltage_arrives_before_the_verdict_about_it() {
    let servers = [(); 2].map(|()| Server::content());
    let [webhook, alertmanager] = &servers;
    let tree = Tree::new("pi-zero-2");
    let mut flags = tree.flags().to_vec();
    let sys = flags.iter().find_map(|flag| flag.strip_prefix("--path.sysfs=")).unwrap().to_owned();
    let throttled = Path::new(&sys).join("devices/platform/soc/soc:firmware/get_throttled");
    std::fs::write(&throttled, "0\n").unwrap();
    flags.extend([
        "--state.directory=none".to_owned(),
        format!("--notify.webhook=http://{}/", webhook.address),
        format!("--notify.alertmanager=http://{}", alertmanager.address),
    ]);
    let _agent = Agent::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    for (word, state) in [("50005\n", "firing"), ("50000\n", "resolved")] {
        std::fs::write(&throttled, word).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = webhook.got.recv_timeout(left).unwrap_or_else(|_| panic!("no {state} under-voltage")).json();
            let events = message["events"].as_array().unwrap();
            // The firmware's word itself, which does not wait for the verdict.
            if let Some(event) =
                events.iter().find(|event| event["kind"] == "power" && event["title"] == "Under-voltage")
            {
                assert_eq!((&event["culprit"], &event["state"]), (&"power supply".into(), &state.into()), "{message}");
                break;
            }
        }
    }
    let mut ended = false;
    while let Ok(request) = alertmanager.got.recv_timeout(PATIENCE) {
        let alerts = request.json();
        let is_power = |alert: &&Value| alert["annotations"]["summary"] == "Under-voltage";
        if let Some(alert) = alerts.as_array().unwrap().iter().find(is_power) {
            let times = ["startsAt", "endsAt"].map(|key| alert[key].as_str().unwrap().to_owned());
            assert!(times[0] <= times[1], "{alert}");
            ended |= alert["annotations"]["description"].as_str().unwrap().contains("It lasted");
        }
        if ended {
            return;
        }
    }
    panic!("Alertmanager did not hear of the end");
}
