//! `/events`: what happened, from a verdict's begin to its end.

use crate::agent::{Agent, BINARY, PATIENCE, value, wait_until};
use crate::board::Tree;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn unix() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn ask(agent: &Agent, query: &str) -> Value {
    let response = agent.get(&format!("/events{query}"));
    assert_eq!(response.status, 200, "{query}");
    serde_json::from_slice(&response.body).unwrap()
}

fn list(agent: &Agent, query: &str) -> Vec<Value> {
    ask(agent, query)["events"].as_array().unwrap().clone()
}

/// Asks until `done` is satisfied with the events.
fn until(agent: &Agent, what: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let end = Instant::now() + 2 * PATIENCE;
    loop {
        let events = list(agent, "");
        if done(&events) {
            return events;
        }
        assert!(Instant::now() < end, "{what}: {events:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Changes what the kernel says: the available share of memory.
fn memory(proc: &Path, percent: u64) {
    std::fs::write(proc.join("meminfo"), format!("MemTotal: 1000000 kB\nMemAvailable: {percent}0000 kB\n")).unwrap();
}

#[test]
fn a_verdict_from_its_begin_to_its_end() {
    let tree = Tree::new("vm");
    let mut flags = tree.flags().to_vec();
    let proc = flags.iter().find_map(|flag| flag.strip_prefix("--path.procfs=")).unwrap().to_owned();
    let proc = Path::new(&proc);
    memory(proc, 30);
    flags.extend(["--sample.interval=200ms", "--rule.memory_low.below=20"].map(str::to_owned));
    let started = unix();
    let agent = Agent::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    // The start is the first event, whatever it is called here.
    let first = &list(&agent, "")[0];
    assert!(["agent", "reboot"].contains(&first["kind"].as_str().unwrap()), "{first}");
    assert!(first["id"] == 1 && first["end"] == first["begin"], "{first}");
    assert!((started - 1.0..unix() + 1.0).contains(&first["begin"].as_f64().unwrap()), "{first}");
    let is_low = |event: &Value| event["rule"] == "memory_low";
    let hint = agent.json()["events"].clone();
    let known = ask(&agent, "");
    assert_eq!((&hint["last"], &hint["changes"]), (&known["last"], &known["changes"]));

    let begun = unix();
    memory(proc, 15);
    std::thread::sleep(Duration::from_secs(5));
    memory(proc, 12);
    let events = until(&agent, "no verdict", |events| events.iter().any(is_low));
    let event = events.iter().find(|event| is_low(event)).unwrap();
    // When it began to hold, not when the rule was sure.
    let begin = event["begin"].as_f64().unwrap();
    assert!((begun - 2.0..begun + 8.0).contains(&begin), "{event}: {begun}");
    assert!(["end", "processes", "fix"].iter().all(|key| event.get(*key).is_none()), "{event}");
    assert_eq!(event["kind"], "verdict");
    assert_eq!(event["lane"], "trouble");
    assert_eq!(event["severity"], "critical");
    assert_eq!(event["title"], "Memory is almost used up");
    assert_eq!((&event["worst"], &event["unit"]), (&12.into(), &"percent".into()));
    // The page learns that there is something new, and so does Prometheus.
    assert_ne!(agent.json()["events"]["changes"], hint["changes"]);
    assert_eq!(value(&agent.metrics(), "pi_events_total{kind=\"verdict\"}"), Some(1.0));
    assert_eq!(value(&agent.metrics(), "pi_events_total{kind=\"oom_kill\"}"), Some(0.0));
    let id = event["id"].as_u64().unwrap();
    let one = ask(&agent, &format!("?id={id}&since=9999999999"));
    assert_eq!((one["events"].as_array().unwrap().len(), &one["events"][0]["title"]), (1, &event["title"]));
    // What to do about it, and the rule whose runbook says more.
    assert_eq!(one["events"][0]["advice"], "memory_low");
    assert!(one["events"][0]["fix"].as_str().unwrap().starts_with("Stop or limit"), "{one}");
    let runbooks = agent.get("/runbooks").text();
    assert!(runbooks.contains("\n# memory_low: memory is nearly used up\nLittle memory"), "{runbooks}");

    let cleared = unix();
    memory(proc, 30);
    let events = until(&agent, "no end", |events| events.iter().any(|event| is_low(event) && event["end"].is_number()));
    let ended = unix();
    let event = events.iter().find(|event| is_low(event)).unwrap();
    let end = event["end"].as_f64().unwrap();
    assert!(end - begin >= 9.0 && (cleared - 2.0..ended + 1.0).contains(&end), "{event}: {cleared} {ended}");
    assert_eq!(event["title"], "Memory is almost used up");

    // What was over before is not asked for; what is newest is.
    assert_eq!(list(&agent, &format!("?since={}", end + 1.0)).len(), 0);
    assert_eq!(list(&agent, &format!("?since={end}")).len(), 1);
    assert_eq!(list(&agent, "?limit=1")[0]["id"], id);
    let missing = agent.get("/events?id=99999");
    assert_eq!((missing.status, missing.text().contains("no event with this id")), (404, true));
    let text = agent.get("/events?format=text");
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = text.text();
    let fields: Vec<_> = text.lines().last().unwrap().split('\t').collect();
    assert_eq!(fields[2..7], ["1", "12", "percent", "critical", "Memory is almost used up"]);
    assert_eq!((fields.len(), fields[7].starts_with("12.0% of 977 MiB available")), (9, true), "{fields:?}");
    assert!(fields[0].parse::<f64>().unwrap() == begin && fields[1].parse::<f64>().unwrap() == end, "{fields:?}");
    let packed = agent.request("GET", "/events", &["Accept-Encoding: gzip"]);
    assert_eq!((packed.header("content-encoding"), packed.header("cache-control")), (Some("gzip"), Some("no-store")));
}

/// The processes at that moment, and only where their names may be shown.
#[test]
fn trouble_comes_with_the_busiest_processes() {
    let flags = ["--sample.interval=200ms", "--rule.memory_low.below=100"];
    let with = Agent::start(&flags);
    let without = Agent::start(&[&flags[..], &["--no-collector.processes"]].concat());
    let is_low = |event: &Value| event["rule"] == "memory_low";
    let find = |agent: &Agent| {
        let events = until(agent, "no verdict", |events| events.iter().any(is_low));
        events.iter().find(|event| is_low(event)).unwrap()["id"].as_u64().unwrap()
    };
    let id = find(&with);
    let mut lists = Value::Null;
    wait_until("processes", || {
        lists = list(&with, &format!("?id={id}"))[0]["processes"].clone();
        lists.is_object()
    });
    let memory = lists["memory"].as_array().unwrap();
    assert!((1..=5).contains(&memory.len()), "{lists}");
    let bytes: Vec<_> = memory.iter().map(|process| process["resident_bytes"].as_u64().unwrap()).collect();
    assert!(bytes.is_sorted_by(|one, other| one >= other) && bytes[0] > 1_000_000, "{lists}");
    for process in memory {
        assert!(process["pid"].as_u64().unwrap() > 0 && process["name"].as_str().is_some_and(|name| !name.is_empty()));
    }
    for list in ["cpu", "io"] {
        assert!(lists[list].as_array().unwrap().len() <= 5, "{lists}");
    }
    let id = find(&without);
    std::thread::sleep(Duration::from_secs(2));
    let event = &list(&without, &format!("?id={id}"))[0];
    assert!(event.get("processes").is_none() && event.get("culprit").is_none(), "{event}");
}

/// The firmware's word for under-voltage and throttling, as a board's files have it.
#[test]
fn an_under_voltage_has_its_seconds() {
    let tree = Tree::new("pi-zero-2");
    let word = |text: &str| {
        std::fs::write(tree.path().join("sys/devices/platform/soc/soc:firmware/get_throttled"), text).unwrap();
    };
    word("0\n");
    let flags = tree.flags();
    let agent = Agent::start(&flags.iter().map(String::as_str).chain(["--sample.interval=200ms"]).collect::<Vec<_>>());
    let power = |events: &[Value]| events.iter().filter(|it| it["kind"] == "power").cloned().collect::<Vec<_>>();
    word("50005\n");
    let begun = until(&agent, "no under-voltage", |events| power(events).len() == 2);
    assert!(power(&begun).iter().all(|event| event.get("end").is_none() && event["lane"] == "power"), "{begun:?}");
    // Seconds are counted from sample to sample.
    wait_until("a second of it", || {
        let series = "pi_throttled_seconds_total{reason=\"under_voltage\"}";
        value(&agent.metrics(), series).is_some_and(|seconds| seconds >= 1.0)
    });
    word("50000\n");
    let ended = until(&agent, "no end", |events| power(events).iter().all(|event| event["end"].is_number()));
    let titles: Vec<_> = power(&ended).iter().map(|event| event["title"].clone()).collect();
    assert_eq!(titles, ["Under-voltage", "The firmware throttled the CPU"]);
    for event in power(&ended) {
        assert!(event["worst"].as_f64().unwrap() >= 1.0 && event["unit"] == "seconds", "{event}");
        assert_eq!(event["severity"], "warning");
    }
    assert_eq!(value(&agent.metrics(), "pi_events_total{kind=\"power\"}"), Some(2.0));
}

/// What the kernel says of itself may differ from start to start: another boot, another kernel. How the last run ended is known, too.
#[test]
fn a_start_says_what_is_different_from_before() {
    // Each in a directory of its own: what restarts may write in a day is bounded.
    let killed = "Pi-Monitor started again after it was killed";
    starts_say("started", &mut |check, _| {
        check(false, &[("agent", "Pi-Monitor started")]);
        check(true, &[("agent", killed)]);
    });
    starts_say("restarted", &mut |check, set| {
        set("random/boot_id", "11111111-0000-4000-8000-000000000001\n");
        check(false, &[("reboot", "The machine restarted")]);
        set("random/boot_id", "22222222-0000-4000-8000-000000000001\n");
        set("osrelease", "6.19.0-new\n");
        let cut =
            [("reboot", "The machine restarted after a power cut or a crash"), ("kernel", "Linux 6.19.0-new runs now")];
        check(true, &cut);
    });
}

/// Checks the kinds and titles of the events that a start is; then ends it cleanly, or kills it.
type Check<'a> = &'a mut dyn FnMut(bool, &[(&str, &str)]);
/// Changes what the kernel says of itself.
type Set<'a> = &'a dyn Fn(&str, &str);

/// Starts an agent and ends it as asked for, then does `work` with further starts on the same state. An agent waits only so long
/// for its last words to be written, so on a machine that is slower all is done again.
fn starts_say(name: &str, work: &mut dyn FnMut(Check<'_>, Set<'_>)) {
    const TRIES: usize = 20;
    let done = (0..TRIES).any(|_| have_starts_said(name, work));
    assert!(done, "each of {TRIES} times, an agent took longer to end than it waits for the disk");
}

/// Returns whether each agent that was asked to end had the time to write that.
fn have_starts_said(name: &str, work: &mut dyn FnMut(Check<'_>, Set<'_>)) -> bool {
    /// As `LAST_WORDS` in `agent/keeper.rs`.
    const LAST_WORDS: Duration = Duration::from_millis(700);
    let tree = Tree::new("vm");
    let in_time = std::cell::Cell::new(true);
    let state = tree.path().join(name);
    std::fs::create_dir(&state).unwrap();
    let set = |file: &str, text: &str| std::fs::write(tree.path().join("proc/sys/kernel").join(file), text).unwrap();
    let mut flags = tree.flags().to_vec();
    flags.extend([format!("--state.directory={}", state.display()), "--sample.interval=100ms".to_owned()]);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    // Each start's record in the journal ends with the version.
    let version = format!("\n{}", env!("CARGO_PKG_VERSION"));
    let starts = || {
        let both = ["journal.0", "journal.1"].map(|name| std::fs::read(state.join(name)).unwrap_or_default()).concat();
        both.windows(version.len()).filter(|part| *part == version.as_bytes()).count()
    };
    // Starts an agent; returns it with the kinds and titles of the events that this start is.
    let start = || {
        let (before, begun) = (starts(), unix());
        let agent = Agent::start(&flags);
        let events = list(&agent, "");
        wait_until("a flush", || starts() > before);
        let text = |event: &Value, key| event[key].as_str().unwrap().to_owned();
        // The same again within a minute is one event, which ends now.
        let new = events.iter().filter(|event| event["end"].as_f64().is_some_and(|end| end >= begun));
        let new = new.map(|event| (text(event, "kind"), text(event, "title")));
        (agent, new.filter(|(kind, _)| ["agent", "reboot", "kernel"].contains(&&**kind)).collect::<Vec<_>>())
    };
    let end = |mut agent: Agent| {
        let asked = Instant::now();
        agent.signal("TERM");
        assert!(agent.wait(PATIENCE).unwrap().success());
        in_time.set(in_time.get() && asked.elapsed() < LAST_WORDS);
    };
    let (agent, first) = start();
    assert_eq!(first.len(), 1, "{first:?}");
    end(agent);
    let mut check = |clean: bool, expected: &[(&str, &str)]| {
        let (agent, new) = start();
        if in_time.get() {
            assert_eq!(new.iter().map(|(kind, title)| (&**kind, &**title)).collect::<Vec<_>>(), expected);
        }
        if clean { end(agent) } else { drop(agent) }
    };
    work(&mut check, &set);
    in_time.get()
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    run_in("/nowhere", arguments)
}

fn run_in(zone: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(BINARY).args(arguments).env("TZ", zone).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_person_asks_for_them() {
    let agent = Agent::start(&[]);
    let url = format!("http://{}", agent.address);
    let (code, out, err) = run(&["events", &url]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let line = out.lines().next().unwrap();
    // Without a time zone, times are those of UTC and say so.
    assert!(line.as_bytes()[19] == b'Z' && (line.contains("started") || line.contains("restarted")), "{out}");
    // A zone that is always 12 hours ahead.
    let zone = std::env::temp_dir().join(format!("pi-monitor-zone-{}", std::process::id()));
    let counts = [0_u32, 0, 0, 0, 1, 4].map(u32::to_be_bytes).concat();
    let half = [b"TZif2", &[0; 15][..], &counts, &43_200_u32.to_be_bytes(), b"\0\0ABC\0"].concat();
    std::fs::write(&zone, [&half, &half, &b"\nABC-12\n"[..]].concat()).unwrap();
    let local = run_in(zone.to_str().unwrap(), &["events", &url]).1;
    let _ = std::fs::remove_file(&zone);
    let hour = |line: &str| line[11..13].parse::<u64>().unwrap();
    assert_eq!((hour(&local), local.as_bytes()[19]), ((hour(line) + 12) % 24, b' '), "{local}");
    let port = format!("--web.listen-address=:{}", agent.address.rsplit(':').next().unwrap());
    assert_eq!(run(&["events", &port, "--since", "1h"]).1.lines().next(), Some(line));
    // On a busy machine something may happen every now and then.
    wait_until("a quiet second", || {
        run(&["events", &agent.address, "--since=0s"]).1 == "nothing happened in the last 0s\n"
    });
    let wrong = "--since=yesterday: expected a duration such as 30m, 24h or 7d";
    assert_eq!(run(&["events", "--since=yesterday"]), (Some(2), String::new(), format!("error: {wrong}\n")));
    drop(agent);
    let (code, out, err) = run(&["events", &url]);
    let expected = format!("error: {url}/events: nothing listens there; is pi-monitor running?\n");
    assert_eq!((code, out, err), (Some(1), String::new(), expected));
}

#[test]
fn who_asks_without_a_credential_learns_what_to_do() {
    let file = std::env::temp_dir().join(format!("pi-monitor-events-{}", std::process::id()));
    std::fs::write(&file, "bearer 0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let agent = Agent::start(&[&format!("--web.auth-file={}", file.display())]);
    assert_eq!(agent.get("/events").status, 401);
    assert_eq!(agent.request("GET", "/events", &["Authorization: Bearer 0123456789abcdef"]).status, 200);
    let (code, out, err) = run(&["events", &agent.address]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("401 Unauthorized") && err.contains("--web.auth-file=FILE"), "{err}");
    // The agent's own file will do, and so does one with a name and a password.
    let flag = format!("--web.auth-file={}", file.display());
    let started = |arguments: &[&str]| {
        let (code, out, err) = run(arguments);
        assert_eq!((code, &*err), (Some(0), ""));
        assert!(out.contains("started"), "{out}");
    };
    started(&["events", &agent.address, &flag]);
    drop(agent);
    std::fs::write(&file, "basic pi:a secret: yes\nbasic other:word\n").unwrap();
    let agent = Agent::start(&[&flag]);
    started(&["events", &flag, &format!("http://{}/", agent.address)]);
    std::fs::write(&file, "bearer fedcba9876543210\n").unwrap();
    let (code, _, err) = run(&["events", &agent.address, &flag]);
    assert!(code == Some(1) && err.contains("401 Unauthorized"), "{err}");
    std::fs::write(&file, "fedcba9876543210\n").unwrap();
    let (code, _, err) = run(&["events", &agent.address, &flag]);
    assert!(code == Some(1) && err.contains(":1: expected bearer TOKEN or basic NAME:PASSWORD"), "{err}");
    std::fs::remove_file(&file).unwrap();
    let (_, _, err) = run(&["events", &agent.address, &flag]);
    assert!(err.contains("No such file or directory"), "{err}");
    // Never in an address, where other users read it; and it is not repeated.
    for command in ["events", "health"] {
        let (code, out, err) = run(&[command, &format!("http://pi:secret@{}", agent.address)]);
        assert_eq!((code, &*out), (Some(1), ""));
        assert!(err.contains("--web.auth-file=FILE") && !err.contains("secret"), "{err}");
    }
}

/// The package manager works while the agent runs, and while it does not.
#[test]
fn packages_that_were_installed_upgraded_or_removed() {
    let tree = Tree::new("vm");
    let root = tree.flags().iter().find_map(|flag| flag.strip_prefix("--path.rootfs=").map(str::to_owned)).unwrap();
    let directory = Path::new(&root).join("lib/apk/db");
    std::fs::create_dir_all(&directory).unwrap();
    let replace = |packages: &[(&str, &str)]| {
        let text: String =
            packages.iter().map(|(name, version)| format!("C:Q1=\nP:{name}\nV:{version}\nA:aarch64\n\n")).collect();
        std::fs::write(directory.join("installed.new"), text).unwrap();
        std::fs::rename(directory.join("installed.new"), directory.join("installed")).unwrap();
    };
    replace(&[("busybox", "1.36.1-r29"), ("musl", "1.2.5-r1"), ("zlib", "1.3.1-r1")]);
    let state = std::env::temp_dir().join(format!("pi-monitor-packages-state-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&state);
    std::fs::create_dir_all(&state).unwrap();
    let mut flags = tree.flags().to_vec();
    flags.extend([format!("--state.directory={}", state.display()), "--sample.interval=100ms".to_owned()]);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let is_packages = |event: &&Value| event["kind"] == "packages";
    let of = |events: &[Value]| events.iter().filter(is_packages).cloned().collect::<Vec<_>>();

    let agent = Agent::start(&flags);
    // What is there at the first start is no news; a change behind that is one, whenever that may be.
    let mut revision = 1;
    while of(&list(&agent, "")).is_empty() {
        assert!(revision < 6, "no event");
        std::thread::sleep(Duration::from_secs(8 * revision));
        revision += 1;
        let zlib = format!("1.3.1-r{revision}");
        replace(&[("busybox", "1.36.1-r29"), ("musl", "1.2.5-r1"), ("zlib", &zlib)]);
        std::thread::sleep(Duration::from_secs(8 * revision));
    }
    let events = of(&list(&agent, ""));
    let zlib = format!("1.3.1-r{revision}");
    assert_eq!((events.len(), &events[0]["title"]), (1, &"Packages: 1 upgraded".into()));
    assert_eq!(events[0]["detail"], format!("zlib {zlib}"));
    replace(&[("busybox", "1.36.1-r30"), ("musl", "1.2.5-r1"), ("zlib", &zlib), ("htop", "3.3.0-r0")]);
    let events = until(&agent, "no event", |events| of(events).len() > 1);
    let event = &of(&events)[1];
    assert_eq!(event["title"], "Packages: 1 installed, 1 upgraded");
    assert_eq!(event["detail"], "busybox 1.36.1-r30, htop 3.3.0-r0");
    let (lane, severity) = (&event["lane"], &event["severity"]);
    assert_eq!((lane, severity, &event["begin"]), (&"changes".into(), &"info".into(), &event["end"]));
    assert_eq!(value(&agent.metrics(), "pi_events_total{kind=\"packages\"}"), Some(2.0));
    let mut agent = agent;
    agent.signal("TERM");
    assert!(agent.wait(PATIENCE).unwrap().success());
    drop(agent);

    replace(&[("busybox", "1.36.1-r30"), ("zlib", "1.3.1-r9"), ("htop", "3.3.0-r0")]);
    let agent = Agent::start(&flags);
    let events = until(&agent, "no event after the restart", |events| of(events).len() > 2);
    let titles: Vec<_> = of(&events).iter().map(|event| event["title"].as_str().unwrap().to_owned()).collect();
    assert_eq!(titles[1..], ["Packages: 1 installed, 1 upgraded", "Packages: 1 upgraded, 1 removed"]);
    assert_eq!(of(&events)[2]["detail"], "zlib 1.3.1-r9");
    assert_eq!(agent.early_lines, [""; 0]);
    drop(agent);
    std::fs::remove_dir_all(state).unwrap();
}
