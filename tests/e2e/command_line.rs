//! Flags, exit statuses, signals.

use crate::agent::{Agent, BINARY, request};
use std::process::{Command, Output};
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
fn a_port_in_use_exits_with_1_and_names_it() {
    let agent = Agent::start(&[]);
    let (code, _, err) = run(&[&format!("--web.listen-address={}", agent.address)]);
    assert_eq!(code, Some(1));
    assert_eq!(
        err,
        format!("error: cannot listen on {}: Address in use (os error 98)\n", agent.address)
            .replace("Address in use", "Address already in use")
    );
    let port = agent.address.rsplit(':').next().unwrap();
    let (code, _, err) = run(&[&format!("--web.listen-address=:{port}")]);
    assert_eq!(code, Some(1), "{err}");
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
    assert!(out.starts_with("memory\n  total_bytes"), "{out}");
}

#[test]
fn print_ends_quietly_when_its_reader_does() {
    let output = Command::new("sh")
        .args(["-c", "\"$0\" print --sample.interval=100ms | head -n 1; echo done", BINARY])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "cpu\ndone\n");
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
fn signals_end_it_in_good_order() {
    for signal in ["TERM", "INT"] {
        let mut agent = Agent::start(&[]);
        // An idle connection must not hold it up.
        let _idle = std::net::TcpStream::connect(&agent.address).unwrap();
        assert_eq!(agent.get("/health").status, 200);
        agent.signal(signal);
        let status = agent.wait(Duration::from_secs(3)).expect("it ends within 3 s");
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
