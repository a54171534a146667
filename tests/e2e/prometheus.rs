//! What Prometheus' own tool says about live output.

use crate::agent::{Agent, BINARY};
use crate::board;
use crate::needs::lint;
use crate::{has_program, needs};
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
    for name in board::all() {
        let tree = board::Tree::new(&name);
        let output = Command::new(BINARY)
            .args(["print", "--format=prometheus", "--sample.interval=100ms"])
            .args(tree.flags())
            .output()
            .unwrap();
        assert!(output.status.success());
        assert_eq!(lint(&String::from_utf8(output.stdout).unwrap()), "", "{name}");
    }
}
