//! Threads, signals, and descriptors that the runtime watches.

use super::crash::CRASHES;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Gives the calling thread a third of the time that others have where there is not enough for all.
pub fn be_nice() {
    // SAFETY: setpriority only sets a number; 0 is the calling thread, whatever the manual says of processes.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) };
}

/// Runs `work` in a thread of its own, which leaves signals to the others and cannot be waited for.
///
/// The standard library's threads have names and stack guards, which add 20 kB to the binary.
///
/// # Errors
/// What `pthread_create(3)` says.
pub fn spawn(work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    /// Small, but for more than a message to the firmware; a handshake takes more.
    const STACK: usize = if cfg!(feature = "tls") { 512 << 10 } else { 64 << 10 };
    extern "C" fn run(work: *mut libc::c_void) -> *mut libc::c_void {
        block_signals();
        // SAFETY: this is the pointer that `spawn` made of a box and left to this thread.
        let work = unsafe { Box::from_raw(work.cast::<Box<dyn FnOnce() + Send>>()) };
        work();
        std::ptr::null_mut()
    }
    let work = Box::into_raw(Box::new(work));
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: pthread_attr_init fills `attributes` before the others use it; `work` stays valid until the thread takes it.
    let error = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK);
        let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, work.cast());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    };
    if error == 0 {
        return Ok(());
    }
    // SAFETY: no thread was made, so the box is still ours.
    drop(unsafe { Box::from_raw(work) });
    Err(io::Error::from_raw_os_error(error))
}

/// Lets the calling thread leave all signals to the others, except those of its own crash.
pub(super) fn block_signals() {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset fills `all` before the others read it, and the old mask is not asked for.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for signal in CRASHES {
            libc::sigdelset(all.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
    }
}

/// Blocks `signals` for this process and returns a descriptor that becomes readable when one of them arrives.
///
/// # Errors
/// What `sigprocmask(2)` or `signalfd(2)` says.
pub fn signals(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset fills `set` before the others read it; signalfd returns a new descriptor or -1.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let descriptor = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Lets the process ignore `signal`.
pub fn ignore_signal(signal: libc::c_int) {
    // SAFETY: SIG_IGN runs no code.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Lets the runtime watch a descriptor for input. Call it within a runtime.
///
/// # Errors
/// What `epoll_ctl(2)` says.
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch_for(descriptor, false)
}

/// The same, or for the exceptional conditions with which files of procfs signal a change; these make it readable too.
///
/// # Errors
/// What `epoll_ctl(2)` says, `EPERM` for a file that cannot be waited for.
pub fn watch_for(descriptor: OwnedFd, exceptional: bool) -> io::Result<AsyncFd<OwnedFd>> {
    let interest = if exceptional { Interest::PRIORITY } else { Interest::READABLE };
    // SAFETY: the descriptor is open, and as the result owns it, it stays open as long as it is registered.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(io::Error::from)
}
