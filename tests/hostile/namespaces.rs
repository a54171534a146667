//! Namespaces for the calling thread, and for what it starts from then on: each test has a thread of its own.

use crate::needs::needs;
use std::process::Command;

/// A network with nothing but its loopback interface; false (a skipped test) if this user may not make one.
#[must_use]
pub fn own_network() -> bool {
    // SAFETY: unshare only changes the namespaces of this thread.
    let made = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
    needs("the right to make a network namespace (root)", made) && {
        run("ip link set lo up");
        true
    }
}

/// Mounts that nobody else sees; false (a skipped test) if this user may not make them.
#[must_use]
#[allow(dead_code, reason = "for the cases about kernel data")]
pub fn own_mounts() -> bool {
    // SAFETY: as above.
    let made = unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) } == 0;
    needs("the right to make a mount namespace (root)", made) && {
        run("mount --make-rprivate /");
        true
    }
}

/// Runs a line of shell in this thread's namespaces.
#[track_caller]
pub fn run(line: &str) {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}
