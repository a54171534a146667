//! One line when a collector's data goes bad, one when it recovers, and nothing in between; and where lines go.

use crate::agent::{Agent, BINARY, value, wait_until};
use crate::board::Tree;
use crate::needs;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_fault_is_logged_when_it_comes_changes_and_goes() {
    let tree = Tree::new("pi-3a-plus");
    let agent = Agent::start(&[&tree.flags()[0]]);
    let file = tree.path().join("proc/meminfo");
    let good = std::fs::read(&file).unwrap();
    let up = || {
        // Longer than requests share a collection.
        std::thread::sleep(Duration::from_millis(120));
        value(&agent.metrics(), "pi_collector_up{collector=\"memory\"}").unwrap()
    };
    assert_eq!(up(), 1.0);
    assert_eq!(agent.log_lines(), [""; 0]);

    std::fs::write(&file, "MemTotal: lots kB\n").unwrap();
    assert_eq!((up(), up(), up()), (0.0, 0.0, 0.0));
    let path = file.display();
    let expected = "line 1: expected a name, a number and kB, found \"MemTotal: lots kB\"";
    assert_eq!(agent.log_lines(), [format!("warn: collector memory: {path}: {expected}")]);

    std::fs::write(&file, "").unwrap();
    assert_eq!((up(), up()), (0.0, 0.0));
    assert_eq!(agent.log_lines(), [format!("warn: collector memory: {path}: expected MemTotal, found nothing")]);

    std::fs::write(&file, good).unwrap();
    assert_eq!((up(), up()), (1.0, 1.0));
    assert_eq!(agent.log_lines(), ["info: collector memory: recovered"]);
}

/// Without a system's log, the kernel's is where services write: it takes every line, but never says that it would.
#[test]
fn the_kernels_log_gets_every_line() {
    let open = |write: bool| {
        use std::os::unix::fs::OpenOptionsExt;
        let mut how = std::fs::OpenOptions::new();
        how.read(!write).write(write).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")
    };
    let log = open(true).and_then(|_| open(false));
    if !needs("the right to read and write the kernel's log", log.is_ok()) {
        return;
    }
    let mut log = log.unwrap();
    log.seek(SeekFrom::End(0)).unwrap();
    let mark = format!("x{}", std::process::id());
    // Before the agent looks where its log goes, and after.
    for argument in [format!("--{mark}"), format!("--web.auth-file=/nowhere/{mark}")] {
        let stderr = Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/kmsg").unwrap());
        let status = Command::new(BINARY).arg(&argument).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(2), "{argument}");
        let mut record = [0; 8192];
        wait_until(&argument, || {
            // Each reading is a record; those that were overwritten meanwhile are an error.
            let length = log.read(&mut record).unwrap_or(0);
            String::from_utf8_lossy(&record[..length]).contains(&argument["--".len()..].replace("web.auth-file=", ""))
        });
    }
}
