//! What a test needs besides the binary.

/// Whether a test may go on: `present`, or else a word on standard error.
pub fn needs(what: &str, present: bool) -> bool {
    assert!(present || std::env::var_os("PI_MONITOR_TEST_ALL").is_none(), "{what} is missing");
    if !present {
        eprintln!("skipped: {what} is missing");
    }
    present
}

/// Whether a program can be started.
pub fn has_program(name: &str) -> bool {
    std::process::Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", name])
        .status()
        .is_ok_and(|it| it.success())
}
