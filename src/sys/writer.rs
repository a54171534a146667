//! A forked child that writes files for its parent: syncing to a card that hangs blocks for as long as the card does.

use super::child::{Child, close_from, socket_pair};
use super::confine::{ARCHITECTURE, filter_system_calls, keep_capabilities, no_new_privs};
use super::program::release_program;
use libc::sock_filter;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::{null, null_mut};

/// What stands before the bytes of a message: where they belong. The highest bit names the file, the others the place in it.
pub const ORDER: usize = 8;
/// The second of the two files.
pub const SECOND: u64 = 1 << 63;
/// The longest message.
pub const MESSAGE_MAX: usize = ORDER + 16 * 1024;

/// What the child may call, and nothing else: whatever it is made to do, it opens no file and no connection.
const CALLS: [libc::c_long; 8] = [
    libc::SYS_pwrite64,
    libc::SYS_fdatasync,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_exit_group,
    libc::SYS_exit,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
];

/// Forks a child that writes each message's bytes to one of `files`, waits until the device has them, and answers with the number of
/// the error, or 0. It ends when the parent's end of the socket is closed and all messages are done.
///
/// The files need no name any more: the child keeps them open, and has no rights beyond them.
///
/// # Errors
/// What `socketpair(2)` or `fork(2)` says.
pub fn fork_writer(files: [&File; 2]) -> io::Result<(Child, OwnedFd)> {
    let [ours, theirs] = socket_pair()?;
    // SAFETY: the child runs only `serve`, which neither allocates nor takes locks, so it is safe whatever other threads
    // held at the moment of the fork.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => serve([theirs.as_raw_fd(), files[0].as_raw_fd(), files[1].as_raw_fd()]),
        pid => Ok((Child::new(pid), ours)),
    }
}

/// Is the life of the child: never returns.
fn serve(descriptors: [RawFd; 3]) -> ! {
    let statement = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let (load, is) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    let mut filter = [statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS); CALLS.len() + 5];
    filter[0] = statement(load, 4);
    filter[1] = sock_filter { jf: CALLS.len() as u8 + 1, ..statement(is, ARCHITECTURE) };
    filter[2] = statement(load, 0);
    for (place, call) in CALLS.iter().enumerate() {
        filter[place + 3] = sock_filter { jt: (CALLS.len() - place) as u8, ..statement(is, *call as u32) };
    }
    filter[CALLS.len() + 4] = statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW);
    // SAFETY: plain system calls on memory that this function owns. dup2 moves the three descriptors to fixed places, which the
    // standard library keeps occupied from the start, so that everything else can be closed; the parent is not affected by what
    // its copy closes.
    unsafe {
        // Stopping the service signals all of its processes, and the parent's last records must still be written.
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_IGN);
        }
        for (place, descriptor) in descriptors.iter().enumerate() {
            libc::dup2(*descriptor, place as RawFd);
        }
        close_from(3);
        libc::fcntl(0, libc::F_SETFL, 0);
    }
    // Afterwards the call for it is refused.
    release_program();
    // What a kernel cannot do is left out, as for the agent itself.
    let _ = (no_new_privs(), keep_capabilities(0), filter_system_calls(&filter));
    // Not filled with zeros, which would make each of its pages memory of this process.
    let mut message = MaybeUninit::<[u8; MESSAGE_MAX]>::uninit();
    loop {
        // SAFETY: the buffer is `message`, with its length.
        let length = unsafe { libc::recvfrom(0, message.as_mut_ptr().cast(), MESSAGE_MAX, 0, null_mut(), null_mut()) };
        let Ok(length @ ORDER..=MESSAGE_MAX) = usize::try_from(length) else {
            // SAFETY: this only ends the process.
            unsafe { libc::_exit(0) };
        };
        // SAFETY: recvfrom wrote that many bytes, which the buffer has room for.
        let message = unsafe { std::slice::from_raw_parts(message.as_ptr().cast::<u8>(), length) };
        let answer = write(message).to_ne_bytes();
        // SAFETY: the buffer is `answer`, with its length.
        unsafe { libc::sendto(0, answer.as_ptr().cast(), answer.len(), libc::MSG_NOSIGNAL, null(), 0) };
    }
}

/// Writes what a message says; returns the number of the error.
fn write(message: &[u8]) -> i32 {
    let (order, mut bytes) = message.split_at(ORDER);
    let order = u64::from_ne_bytes(order.try_into().unwrap_or_default());
    let file = if order & SECOND == 0 { 1 } else { 2 };
    let mut place = order & !SECOND;
    while !bytes.is_empty() {
        // SAFETY: the buffer is `bytes`, with its length.
        let written = unsafe { libc::pwrite(file, bytes.as_ptr().cast(), bytes.len(), place as libc::off_t) };
        match usize::try_from(written) {
            Ok(0) => return libc::ENOSPC,
            Ok(written) => {
                bytes = &bytes[written..];
                place += written as u64;
            }
            Err(_) => match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                error => return error.unwrap_or(libc::EIO),
            },
        }
    }
    // SAFETY: plain system call.
    match unsafe { libc::fdatasync(file) } {
        0 => 0,
        _ => io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO),
    }
}

/// Waits until `socket` has a message or is closed, at most `milliseconds`.
pub fn wait_for_message(socket: &OwnedFd, milliseconds: i32) {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd is handed over.
    unsafe { libc::poll(&raw mut asked, 1, milliseconds) };
}

#[cfg(test)]
mod tests {
    use super::super::{receive, send};
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn messages_are_written_where_they_say_and_the_rest_is_refused() {
        let folder = std::env::temp_dir().join(format!("pi-monitor-writer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let open = |name: &str| {
            File::options().read(true).write(true).create(true).truncate(true).open(folder.join(name)).unwrap()
        };
        let files = [open("a"), open("b")];
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ask = |socket: &OwnedFd, order: u64, bytes: &[u8]| {
            send(socket, &[&order.to_ne_bytes()[..], bytes].concat()).unwrap();
            wait_for_message(socket, 60_000);
            let mut answer = [0; 4];
            assert_eq!(receive(socket, &mut answer).unwrap(), 4);
            i32::from_ne_bytes(answer)
        };
        let (child, socket) = fork_writer([&files[0], &files[1]]).unwrap();
        assert_eq!(ask(&socket, 0, b"first"), 0);
        assert_eq!(ask(&socket, SECOND | 3, b"second"), 0);
        drop(socket);
        while !child.has_ended() {}
        let mut text = [0; 9];
        files[1].read_exact_at(&mut text, 0).unwrap();
        assert_eq!(&text, b"\0\0\0second");
        files[0].read_exact_at(&mut text[..5], 0).unwrap();
        assert_eq!(&text[..5], b"first");
        let (child, socket) = fork_writer([&full, &full]).unwrap();
        assert_eq!(ask(&socket, 0, b"more"), libc::ENOSPC);
        drop(socket);
        while !child.has_ended() {}
        std::fs::remove_dir_all(folder).unwrap();
    }
}
