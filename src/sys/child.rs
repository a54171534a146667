//! Forked children: one that answers questions, and one that writes files.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A forked child process.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
}

impl Child {
    /// Takes charge of a child that was just forked.
    pub(crate) fn new(pid: libc::pid_t) -> Self {
        Child { pid }
    }

    /// Ends the child for good; one that hangs in the kernel ends when that lets go of it.
    pub fn kill(&self) {
        // SAFETY: kill only sends a signal; `pid` is our child and not yet waited for, so it is no other process.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }

    /// Returns whether the child has ended; does not wait.
    pub fn has_ended(&self) -> bool {
        // SAFETY: waitpid may have no place to store the status; WNOHANG keeps it from waiting.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::WNOHANG) != 0 }
    }
}

/// Forks a child that answers every message from its socket with what `answer` makes of it, until this side closes.
///
/// Returns the child and this side's end of the socket. The child keeps no other descriptor: neither the listening port nor any connection outlives the agent in it.
///
/// # Errors
/// What `socketpair(2)` or `fork(2)` says.
pub fn fork_helper(answer: fn(&CStr) -> [u8; 56]) -> io::Result<(Child, OwnedFd)> {
    let [ours, theirs] = socket_pair()?;
    // SAFETY: the child runs only `serve`, which neither allocates nor takes locks, so it is safe whatever other threads
    // held at the moment of the fork.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => serve(theirs.as_raw_fd(), answer),
        pid => Ok((Child::new(pid), ours)),
    }
}

/// Takes the messages of a child.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]);

/// Forks a child that runs `task` and ends; what it hands to its argument is a message to this side's end of the socket. The child
/// keeps no other descriptor.
///
/// # Errors
/// What `socketpair(2)` or `fork(2)` says.
pub fn fork_task(task: &dyn Fn(Sink<'_>)) -> io::Result<(Child, OwnedFd)> {
    let [ours, theirs] = socket_pair()?;
    // SAFETY: the child runs only `task`, which must neither allocate nor take locks, whatever other threads held at the moment
    // of the fork. Nothing in it uses a descriptor that `begin` closes.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: as above; the buffer is `message`, with its length.
        0 => unsafe {
            begin(theirs.as_raw_fd());
            task(&mut |message| {
                libc::send(0, message.as_ptr().cast(), message.len(), libc::MSG_NOSIGNAL);
            });
            libc::_exit(0)
        },
        pid => Ok((Child::new(pid), ours)),
    }
}

/// Returns two ends of a socket that keeps messages apart and waits for none.
///
/// # Errors
/// What `socketpair(2)` says.
pub fn socket_pair() -> io::Result<[OwnedFd; 2]> {
    let mut ends = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `ends` has room for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: socketpair returned 0, so both are open descriptors that nobody else owns.
    Ok(ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }))
}

/// Closes every descriptor of a child from `first` on.
///
/// # Safety
/// Nothing in this process may use one of them afterwards.
pub(super) unsafe fn close_from(first: libc::c_uint) {
    // SAFETY: plain system calls; the caller promises that nobody misses the descriptors.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) != 0 {
            for descriptor in first..1024 {
                libc::close(descriptor as RawFd);
            }
        }
    }
}

/// Begins the life of a child: signals as in a new process, and the socket as its only descriptor, which waits.
///
/// # Safety
/// Nothing in this process may use another descriptor afterwards.
unsafe fn begin(socket: RawFd) {
    // SAFETY: plain system calls on memory that this function owns. dup2 moves the socket to a fixed place so that
    // everything else can be closed; the old process is not affected by what its copy closes.
    unsafe {
        for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        libc::dup2(socket, 0);
        libc::fcntl(0, libc::F_SETFL, 0);
        close_from(1);
    }
}

/// Is the life of the child that answers: never returns.
fn serve(socket: RawFd, answer: fn(&CStr) -> [u8; 56]) -> ! {
    // SAFETY: plain system calls on memory that this function owns; no other descriptor is used.
    unsafe {
        begin(socket);
        let mut path = [0_u8; libc::PATH_MAX as usize + 1];
        loop {
            let length = libc::recv(0, path.as_mut_ptr().cast(), path.len() - 1, 0);
            let Ok(length @ 1..) = usize::try_from(length) else {
                libc::_exit(0);
            };
            path[length] = 0;
            let Ok(text) = CStr::from_bytes_until_nul(&path) else {
                libc::_exit(1);
            };
            let reply = answer(text);
            libc::send(0, reply.as_ptr().cast(), reply.len(), libc::MSG_NOSIGNAL);
        }
    }
}

/// Sends one message without waiting.
///
/// # Errors
/// What `send(2)` says.
pub fn send(socket: &OwnedFd, message: &[u8]) -> io::Result<()> {
    // SAFETY: the buffer is `message`, with its length.
    let sent = unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one message without waiting; its length, 0 if the other side is gone.
///
/// # Errors
/// What `recv(2)` says, `WouldBlock` if there is no message yet.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is `buffer`, with its length.
    let received = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Receives one message of any length in place of what `buffer` held, without waiting; its length, 0 if the other side is gone.
///
/// # Errors
/// As [`receive`].
pub fn receive_all(socket: &OwnedFd, buffer: &mut Vec<u8>) -> io::Result<usize> {
    // SAFETY: no byte is written; with MSG_TRUNC the call tells the message's whole length.
    let length = unsafe { libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), 0, libc::MSG_PEEK | libc::MSG_TRUNC) };
    buffer.resize(usize::try_from(length).map_err(|_| io::Error::last_os_error())?, 0);
    if buffer.is_empty() { Ok(0) } else { receive(socket, buffer) }
}
