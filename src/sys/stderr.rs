//! Writing to standard error without ever waiting for it.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Where log lines go: standard error, or what [`log_without_waiting`] opened for it.
static LOG: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);
/// Whether to write there could mean to wait.
static MAY_WAIT: AtomicBool = AtomicBool::new(true);

/// Reopens standard error if that is a pipe or a terminal, so that writing to it never waits.
///
/// Others write to the same pipe or terminal through the descriptor that was handed to the agent; a mark on that one would be
/// theirs too. Where it cannot be opened, [`write_log`] looks before it writes, which is nearly as good. Of a device that is no
/// terminal it must not ask: the kernel's log, `/dev/kmsg`, takes every line at once and never says that it would (`devkmsg_poll` in
/// `kernel/printk/printk.c`).
pub fn log_without_waiting() {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `stat` is as large as fstat wants it, and all-zero is a valid stat if the call fails; open returns a descriptor or -1.
    unsafe {
        // What an earlier call opened may be closed in a child.
        LOG.store(libc::STDERR_FILENO, Ordering::Relaxed);
        MAY_WAIT.store(true, Ordering::Relaxed);
        libc::fstat(libc::STDERR_FILENO, stat.as_mut_ptr());
        let kind = stat.assume_init().st_mode & libc::S_IFMT;
        if kind != libc::S_IFIFO && kind != libc::S_IFCHR {
            return;
        }
        let how = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
        let opened = libc::open(c"/proc/self/fd/2".as_ptr(), how);
        if opened >= 0 {
            LOG.store(opened, Ordering::Relaxed);
        }
        let waits = kind == libc::S_IFIFO || libc::isatty(libc::STDERR_FILENO) == 1;
        MAY_WAIT.store(waits && opened < 0, Ordering::Relaxed);
    }
}

/// Writes a line to the log if that takes it at once.
pub fn write_log(line: &[u8]) {
    let log = LOG.load(Ordering::Relaxed);
    // SAFETY: the buffer is `line`, with its length, and `ready` is one structure.
    unsafe {
        // A socket, such as the journal's, can be asked not to wait; anything else is none and says so.
        let sent = libc::send(log, line.as_ptr().cast(), line.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        if sent < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOTSOCK) {
            let mut ready = libc::pollfd { fd: log, events: libc::POLLOUT, revents: 0 };
            if !MAY_WAIT.load(Ordering::Relaxed) || libc::poll(&raw mut ready, 1, 0) > 0 {
                libc::write(log, line.as_ptr().cast(), line.len());
            }
        }
    }
}
