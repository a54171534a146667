//! Forked processes that outlive their mistakes: one that is started again when it dies, and one that starts a program.

use super::child::{close_from, socket_pair};
use super::writer::wait_for_message;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

/// How long a process that died stays away, in seconds.
const PAUSE: libc::c_uint = 5;
/// The longest message to a program. A pipe holds as much, so that writing it never waits.
pub const INPUT_MAX: usize = 60 << 10;
/// How long a program may run, in tenths of a second.
const PATIENCE: u32 = 300;
/// The group and user of nobody in particular.
const NOBODY: libc::gid_t = 65_534;

/// Leaves the ending of this process to the one that it belongs to: a service manager and a terminal signal all at once.
fn ignore_endings() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
        super::ignore_signal(signal);
    }
}

/// Moves `descriptor` to the first place behind the standard ones, and closes all others behind it.
///
/// # Safety
/// Nothing in this process may use another descriptor afterwards.
unsafe fn keep_only(descriptor: OwnedFd) -> OwnedFd {
    const PLACE: RawFd = 3;
    let old = descriptor.into_raw_fd();
    // SAFETY: plain system calls; the caller promises that nobody misses what is closed, and the result is open.
    unsafe {
        if old != PLACE {
            libc::dup2(old, PLACE);
        }
        libc::fcntl(PLACE, libc::F_SETFD, libc::FD_CLOEXEC);
        close_from(PLACE as libc::c_uint + 1);
        OwnedFd::from_raw_fd(PLACE)
    }
}

/// Forks a process that runs `work` in a child of its own, and runs it again whenever that dies. Returns this side's end of the socket
/// that `work` gets; it has to end when that is closed. Call it while there is one thread.
///
/// # Errors
/// What `socketpair(2)` or `fork(2)` says.
pub fn fork_guarded(work: &dyn Fn(OwnedFd)) -> io::Result<OwnedFd> {
    let [ours, theirs] = socket_pair()?;
    // SAFETY: there is one thread, so the children may do what any process may; both only use the descriptor that is kept.
    unsafe {
        match libc::fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => {
                drop(ours);
                ignore_endings();
                let socket = keep_only(theirs);
                super::log_without_waiting();
                loop {
                    let pid = libc::fork();
                    if pid == 0 {
                        work(socket);
                        libc::_exit(0);
                    }
                    let mut status = -1;
                    if pid > 0 && libc::waitpid(pid, &raw mut status, 0) == pid && status == 0 {
                        libc::_exit(0);
                    }
                    libc::sleep(PAUSE);
                }
            }
            _ => {}
        }
    }
    Ok(ours)
}

/// Forks a process that starts `program` for each message, with the message as its standard input, and answers with its exit status in
/// one byte: 126 for a program that took too long, 127 for one that cannot be started. Like all that is guarded, it comes again when it
/// dies; a message that it had not received then waits for it. Call it while there is one thread.
///
/// # Errors
/// What `socketpair(2)` or `fork(2)` says.
pub fn fork_runner(program: &CStr) -> io::Result<OwnedFd> {
    fork_guarded(&|socket| {
        let mut message = vec![0; INPUT_MAX];
        loop {
            wait_for_message(&socket, -1);
            match super::receive(&socket, &mut message) {
                Ok(length @ 1..) => {
                    let status = start(program, &message[..length]);
                    let _ = super::send(&socket, &[status]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    })
}

/// Starts a program with this standard input; returns its exit status.
fn start(program: &CStr, input: &[u8]) -> u8 {
    let mut pipe = [0; 2];
    let arguments = [program.as_ptr(), null_mut()];
    // SAFETY: plain system calls on memory that this function owns. There is one thread, and the child only calls what it may between
    // fork and exec.
    unsafe {
        if libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return 127;
        }
        let [from, to] = pipe.map(|end| OwnedFd::from_raw_fd(end));
        let pid = libc::fork();
        if pid == 0 {
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
                libc::signal(signal, libc::SIG_DFL);
            }
            // A group of its own, so that what it starts ends with it.
            libc::setpgid(0, 0);
            libc::dup2(from.as_raw_fd(), 0);
            libc::execv(program.as_ptr(), arguments.as_ptr());
            libc::_exit(127);
        }
        drop(from);
        // The pipe has room for all of it; who does not read it does not want it.
        libc::write(to.as_raw_fd(), input.as_ptr().cast(), input.len());
        drop(to);
        let mut status = 0;
        for _ in 0..PATIENCE {
            match libc::waitpid(pid, &raw mut status, libc::WNOHANG) {
                0 => libc::usleep(100_000),
                ended if ended == pid && libc::WIFEXITED(status) => return libc::WEXITSTATUS(status) as u8,
                _ => return 126,
            };
        }
        libc::kill(-pid, libc::SIGKILL);
        libc::waitpid(pid, null_mut(), 0);
        126
    }
}

/// Becomes nobody in particular, for a process of root's that needs no file of root's. Call it while there is one thread.
pub fn become_nobody() {
    #[cfg(target_arch = "arm")]
    const CALLS: [libc::c_long; 3] = [libc::SYS_setgroups32, libc::SYS_setgid32, libc::SYS_setuid32];
    #[cfg(not(target_arch = "arm"))]
    const CALLS: [libc::c_long; 3] = [libc::SYS_setgroups, libc::SYS_setgid, libc::SYS_setuid];
    // SAFETY: plain system calls, where the C library's functions would bring code for other threads along; where they are refused,
    // the process stays who it is.
    unsafe {
        if libc::geteuid() == 0 {
            libc::syscall(CALLS[0], 0, null_mut::<libc::gid_t>());
            libc::syscall(CALLS[1], NOBODY);
            libc::syscall(CALLS[2], NOBODY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{receive, send};
    use std::ffi::CString;

    fn answer(socket: &OwnedFd) -> Vec<u8> {
        let mut buffer = [0; 64];
        wait_for_message(socket, 20_000);
        let length = receive(socket, &mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn what_dies_comes_again() {
        let socket = fork_guarded(&|socket| {
            let mut buffer = [0; 8];
            loop {
                wait_for_message(&socket, -1);
                match receive(&socket, &mut buffer) {
                    Ok(0) => return,
                    Ok(_) if buffer[0] == b'x' => std::process::abort(),
                    Ok(length) => drop(send(&socket, &buffer[..length])),
                    Err(_) => {}
                }
            }
        });
        let socket = socket.unwrap();
        for message in [&b"one"[..], b"two"] {
            send(&socket, message).unwrap();
            assert_eq!(answer(&socket), message);
            send(&socket, b"x").unwrap();
        }
        send(&socket, b"three").unwrap();
        assert_eq!(answer(&socket), b"three");
    }

    #[test]
    fn programs_get_the_message_and_their_status_comes_back() {
        let folder = std::env::temp_dir().join(format!("pi-monitor-guard-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("program");
        let text = format!("#!/bin/sh\ncat > {}/got\nexit 7\n", folder.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let socket = fork_runner(&CString::new(program.to_str().unwrap()).unwrap()).unwrap();
        let message = vec![b'm'; INPUT_MAX - 1];
        send(&socket, &message).unwrap();
        assert_eq!(answer(&socket), [7]);
        assert_eq!(std::fs::read(folder.join("got")).unwrap(), message);
        let none = fork_runner(&CString::new("/no/such/program").unwrap()).unwrap();
        send(&none, b"{}").unwrap();
        assert_eq!(answer(&none), [127]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
