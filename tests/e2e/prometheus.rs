//! What Prometheus' own tool says about live output.

use crate::agent::{Agent, BINARY};
use crate::needs::lint;
use crate::{has_program, needs};
use std::path::PathBuf;
use std::process::Command;

#[test]
fn promtool_is_silent_on_live_output() {
    if !needs("promtool", has_program("promtool")) {
        return;
    }
    let agent = Agent::start(&[]);
    assert_eq!(lint(&agent.metrics()), "");
    // And it is not silent on what is wrong.
    assert_ne!(lint("# TYPE x counter\nx 1\n"), "");
    assert!(lint("x{y=\"\n\"} 1\n").contains("(failed)"));
}

#[test]
fn promtool_is_silent_on_every_board() {
    if !needs("promtool", has_program("promtool")) {
        return;
    }
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut boards = 0;
    for board in std::fs::read_dir(fixtures).unwrap().flatten().filter(|entry| entry.path().join("proc").is_dir()) {
        let root = |name: &str| format!("--path.{name}fs={}", board.path().join(name).display());
        let output = Command::new(BINARY)
            .args([
                "print",
                "--format=prometheus",
                "--sample.interval=100ms",
                &root("proc"),
                &root("sys"),
                &root("root"),
            ])
            .output()
            .unwrap();
        assert!(output.status.success());
        assert_eq!(lint(&String::from_utf8(output.stdout).unwrap()), "", "{}", board.path().display());
        boards += 1;
    }
    assert!(boards >= 5);
}
