//! The built binary as a user meets it: started, asked over HTTP, given bad input, stopped.
//!
//! Tests that need another program (promtool, node_exporter) or a right (to mount) say so and pass where it is missing, unless
//! `PI_MONITOR_TEST_ALL` is set, as the test command does after it has installed everything.

mod agent;
mod command_line;
mod first_answer;
mod http;
mod logs;
mod mounts;
mod node_exporter;
mod prometheus;

/// Whether a test may go on: `present`, or else a word on standard error.
fn needs(what: &str, present: bool) -> bool {
    assert!(present || std::env::var_os("PI_MONITOR_TEST_ALL").is_none(), "{what} is missing");
    if !present {
        eprintln!("skipped: {what} is missing");
    }
    present
}

/// Whether a program can be started.
fn has_program(name: &str) -> bool {
    std::process::Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", name])
        .status()
        .is_ok_and(|it| it.success())
}
