//! What a test needs besides the binary.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Returns `present`. If it is false the test is skipped: that is written to standard error, and to the file that
/// `PI_MONITOR_TEST_SKIPPED` names, since nobody sees the standard error of a test that passed.
pub fn needs(what: &str, present: bool) -> bool {
    assert!(present || std::env::var_os("PI_MONITOR_TEST_ALL").is_none(), "{what} is missing");
    if !present {
        eprintln!("skipped: {what} is missing");
        if let Some(path) = std::env::var_os("PI_MONITOR_TEST_SKIPPED") {
            let thread = std::thread::current();
            let line = format!("{}\t{what}\n", thread.name().unwrap_or("?"));
            // In one write, since tests run side by side.
            let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
    }
    present
}

/// Held by tests that let the kernel kill a process for lack of memory: every agent on the machine sees that.
pub static OUT_OF_MEMORY: Mutex<()> = Mutex::new(());

/// Whether a program can be started.
pub fn has_program(name: &str) -> bool {
    Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null", name]).status().is_ok_and(|it| it.success())
}

/// Writes a script that can be started. Another process does it: what is forked while this one has a file open for writing keeps that
/// open until it runs something else, and until then the file cannot be started (ETXTBSY).
pub fn write_program(path: &Path, text: &str) {
    let mut child = Command::new("sh")
        .args(["-ec", "cat >\"$0\"; chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{}", path.display());
}

/// What `promtool check metrics` says of a page; nothing if it is good.
pub fn lint(text: &str) -> String {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let all = [output.stdout, output.stderr].concat();
    format!("{}{}", String::from_utf8_lossy(&all), if output.status.success() { "" } else { "(failed)" })
}
