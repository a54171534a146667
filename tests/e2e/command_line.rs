//! Flags, exit statuses, signals.

use crate::agent::{Agent, BINARY, PATIENCE, request};
use crate::needs::{has_program, needs};
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(BINARY).args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn bad_flags_exit_with_2_and_one_line() {
    let (code, out, err) = run(&["--collector.cpuu"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert_eq!(err, "error: unknown flag --collector.cpuu; did you mean --collector.cpu?\n");
    let (code, _, err) = run(&["--web.listen-address=localhost"]);
    assert_eq!((code, err.lines().count()), (Some(2), 1));
}

#[test]
fn help_and_version() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!(
        (code, out),
        (Some(0), format!("pi-monitor {} ({})\n", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH))
    );
    let (code, out, _) = run(&["--help"]);
    assert!(code == Some(0) && out.contains("--web.listen-address=ADDRESS") && out.contains("print"));
}

#[test]
fn print_writes_one_collection() {
    let (code, out, err) = run(&["print", "--format", "prometheus", "--sample.interval=100ms"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("\npi_memory_total_bytes "));
    let (_, out, _) = run(&["print", "--format=json", "--sample.interval=100ms"]);
    assert!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["memory"]["total_bytes"].is_u64());
    let (_, out, _) = run(&["print", "--sample.interval=100ms", "--collector.disable-defaults", "--collector.memory"]);
    assert!(out.starts_with("SUMMARY\n  Findings ") && out.contains("\n\nMEMORY\n  total_bytes"), "{out}");
}

#[test]
fn print_ends_quietly_when_its_reader_does() {
    let output = Command::new("sh")
        .args(["-c", "\"$0\" print --sample.interval=100ms | head -n 1; echo done", BINARY])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "SUMMARY\ndone\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn collectors_can_be_switched_off() {
    let agent = Agent::start(&["--no-collector.memory"]);
    let text = agent.metrics();
    assert!(!text.contains("pi_memory_") && !text.contains("collector=\"memory\"") && text.contains("pi_load_average"));
    let agent = Agent::start(&[
        "--collector.disable-defaults",
        "--collector.network",
        "--collector.network.device-exclude=^lo$",
    ]);
    let text = agent.metrics();
    assert!(!text.contains("interface=\"lo\"") && !text.contains("pi_load_average"));
}

#[test]
fn addresses_add_up() {
    let agent = Agent::start(&["--web.listen-address=127.0.0.1:0"]);
    let second = agent.log_line("listening on http://");
    let second = second.split("http://").nth(1).unwrap().trim_end_matches('/');
    assert_ne!(second, agent.address);
    assert_eq!(request(second, "GET", "/health", &[]).status, 200);
}

#[test]
fn a_check_reads_the_files_and_serves_nothing() {
    let file = std::env::temp_dir().join(format!("pi-monitor-check-{}", std::process::id()));
    let flag = format!("--web.auth-file={}", file.display());
    std::fs::write(&file, "bearer short\n").unwrap();
    let (code, out, err) = run(&[&flag, "--check"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains(&format!("error: {}:1: expected a token", file.display())), "{err}");
    std::fs::write(&file, "bearer 0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // A port that another program has is no fault of the flags.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--web.listen-address={}", other.local_addr().unwrap());
    assert_eq!(run(&[&flag, &address, "--check"]), (Some(0), String::new(), String::new()));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run(&[&flag, "--check"]).0, Some(2));
}

#[test]
fn signals_end_it_in_good_order() {
    for signal in ["TERM", "INT"] {
        let mut agent = Agent::start(&[]);
        // An idle connection must not hold it up.
        let _idle = std::net::TcpStream::connect(&agent.address).unwrap();
        assert_eq!(agent.get("/health").status, 200);
        agent.signal(signal);
        let status = agent.wait(PATIENCE).expect("an end");
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[test]
fn other_signals_do_not_end_it() {
    let mut agent = Agent::start(&[]);
    for signal in ["HUP", "USR1", "USR2", "PIPE"] {
        agent.signal(signal);
    }
    assert!(agent.wait(Duration::from_millis(200)).is_none());
    assert_eq!(agent.get("/health").status, 200);
}

#[test]
fn health_tells_whether_an_agent_answers() {
    let agent = Agent::start(&[]);
    let port = agent.address.rsplit(':').next().unwrap().to_owned();
    for arguments in [
        &["health", &format!("--web.listen-address=:{port}")][..],
        &["health", &format!("http://{}", agent.address)],
        &["health", &format!("http://{}/health", agent.address)],
        &["health", &agent.address],
    ] {
        assert_eq!(run(arguments), (Some(0), "ok\n".to_owned(), String::new()), "{arguments:?}");
    }
    let url = format!("http://{}/nothing", agent.address);
    let expected = format!("error: {url}/health: expected status 200, found 404 Not Found\n");
    assert_eq!(run(&["health", &url]), (Some(1), String::new(), expected));
    drop(agent);
    let (code, out, err) = run(&["health", &format!("--web.listen-address=:{port}")]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, format!("error: http://localhost:{port}/health: nothing listens there; is pi-monitor running?\n"));
    let (code, _, err) = run(&["health", "https://localhost"]);
    assert!(code == Some(1) && err.contains("https is not supported"), "{err}");
}

#[test]
fn health_does_not_wait_for_ever_and_takes_nothing_but_http() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let (code, _, err) = run(&["health", &url]);
    assert_eq!((code, err), (Some(1), format!("error: {url}/health: no response within 5 s\n")));
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", other.local_addr().unwrap());
    let speaker = std::thread::spawn(move || {
        let mut stream = other.accept().unwrap().0;
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        let _ = stream.read(&mut [0; 512]);
    });
    let (code, _, err) = run(&["health", &url]);
    assert_eq!(
        (code, err),
        (Some(1), format!("error: {url}/health: expected an HTTP response, found something else\n"))
    );
    speaker.join().unwrap();
}

fn hash(input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    command.arg("hash").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// `pi-monitor hash` at a terminal of its own, and who types there: `answers` to one prompt after the other. What the
/// terminal showed, without the prompts.
fn hash_at_a_terminal(answers: &[&str]) -> (Option<i32>, String) {
    let mut terminal = Command::new("script")
        .args(["-qec", &format!("'{BINARY}' hash"), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let (mut shown, mut typed) = (String::new(), 0);
    let mut byte = [0];
    while screen.read(&mut byte).unwrap() == 1 {
        shown.push(char::from(byte[0]));
        // What is typed before the prompt is not read.
        if shown.ends_with("word: ") || shown.ends_with("Repeat: ") {
            shown.clear();
            keyboard.write_all(format!("{}\n", answers[typed]).as_bytes()).unwrap();
            typed += 1;
        }
    }
    assert_eq!(typed, answers.len());
    (terminal.wait().unwrap().code(), shown)
}

#[test]
fn a_password_typed_at_a_terminal_is_not_shown() {
    if !needs("script", has_program("script")) {
        return;
    }
    let (code, shown) = hash_at_a_terminal(&["correct horse", "correct horse"]);
    assert_eq!(code, Some(0), "{shown}");
    let hash = shown.trim();
    assert!(hash.starts_with("$2y$10$") && hash.len() == 60, "{shown}");
    let (code, shown) = hash_at_a_terminal(&["correct horse", "battery"]);
    assert_eq!((code, shown.trim()), (Some(1), "error: the passwords do not match"));
    let (code, shown) = hash_at_a_terminal(&[""]);
    assert_eq!((code, shown.trim()), (Some(1), "error: expected a password, found nothing"));
}

#[test]
fn a_hash_lets_its_password_in_and_no_other() {
    let (code, hashed, err) = hash("correct horse: bättery\n");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(hashed.starts_with("$2y$10$") && hashed.len() == 61, "{hashed}");
    assert_ne!(hash("correct horse: bättery").1, hashed, "each hash has a salt of its own");
    let file = std::env::temp_dir().join(format!("pi-monitor-hash-{}.yml", std::process::id()));
    std::fs::write(&file, format!("basic_auth_users:\n  pi: {hashed}")).unwrap();
    let agent = Agent::start(&[&format!("--web.config.file={}", file.display())]);
    std::fs::remove_file(&file).unwrap();
    // base64 of pi:correct horse: bättery, and of pi:correct horse
    let ask = |credential: &str| agent.request("GET", "/json", &[&format!("Authorization: Basic {credential}")]).status;
    assert_eq!(ask("cGk6Y29ycmVjdCBob3JzZTogYsOkdHRlcnk="), 200);
    assert_eq!(ask("cGk6Y29ycmVjdCBob3JzZQ=="), 401);
    for (password, expected) in [
        ("", "expected a password, found nothing"),
        ("\n", "expected a password, found nothing"),
        (&"a".repeat(73), "the password has 73 bytes; bcrypt takes at most 72"),
        ("a\tb", "the password contains a control character"),
    ] {
        assert_eq!(hash(password), (Some(1), String::new(), format!("error: {expected}\n")));
    }
    let (code, _, err) = run(&["hash", "secret"]);
    assert_eq!((code, err.as_str()), (Some(2), "error: unexpected argument secret; see --help\n"));
}

fn run_script(arguments: &[&str]) -> (Option<i32>, String, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/run.sh");
    // With nothing to build with: what is answered is answered without.
    let mut command = Command::new("bash");
    command.arg(script).args(arguments).env("PATH", "/usr/bin:/bin").env("PI_INSTALL", "no").env("PI_RUST", "none");
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_run_script_answers_what_it_can_before_it_builds() {
    for help in [&["--help"][..], &["-h"], &["print", "--help"]] {
        let (code, out, err) = run_script(help);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(out.contains("scripts/run.sh [") && out.contains("\n  --web.listen-address=ADDRESS\n"), "{out}");
        for command in pi_monitor::commands::ALL {
            assert!(out.contains(&format!("\n  {}", command.name)) && out.contains(command.help.text()), "{out}");
        }
    }
    let owner = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = owner.local_addr().unwrap().port();
    for (address, host) in [(format!(":{port}"), ""), (format!("127.0.0.1:{port}"), "127.0.0.1")] {
        let (code, _, err) = run_script(&["--web.listen-address", &address]);
        assert_eq!(code, Some(1), "{err}");
        let hint = format!("use: scripts/run.sh --web.listen-address={host}:");
        assert!(err.contains(&format!("port {port} is taken")) && err.contains(&hint), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    // A command that does not listen goes on to the build.
    for command in &pi_monitor::commands::ALL[1..] {
        let (_, _, err) = run_script(&[command.name, "--web.listen-address", &format!(":{port}")]);
        assert!(err.contains("PI_RUST=none"), "{}: {err}", command.name);
    }
}
