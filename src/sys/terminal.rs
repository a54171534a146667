//! Standard input and output, passwords that are typed without echo, and the random numbers that salt them.

use std::fs::File;
use std::io::{self, Write};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::FromRawFd;

/// Returns standard input without a buffer. The standard library's own has locks, too, and takes more room in the program.
pub fn input() -> ManuallyDrop<File> {
    stream(libc::STDIN_FILENO)
}

/// Returns standard output without a buffer.
pub fn output() -> ManuallyDrop<File> {
    stream(libc::STDOUT_FILENO)
}

fn stream(descriptor: i32) -> ManuallyDrop<File> {
    // SAFETY: the three are open from the start, as the standard library's runtime sees to, and this does not close them.
    ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) })
}

/// Shows `prompt` on standard error and runs `read` while the terminal at standard input shows nothing of what is typed.
///
/// Signals that would end or stop the process wait until the terminal is as it was.
///
/// # Errors
/// What `tcgetattr(3)` or `tcsetattr(3)` says.
pub fn without_echo<T>(prompt: &str, read: impl FnOnce() -> T) -> io::Result<T> {
    let (mut held, mut before) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::<libc::sigset_t>::uninit());
    let mut terminal = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: each call fills what it gets before it is read; a set of signals is filled before it is used.
    unsafe {
        if libc::tcgetattr(libc::STDIN_FILENO, terminal.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let shown = terminal.assume_init();
        libc::sigemptyset(held.as_mut_ptr());
        for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(held.as_mut_ptr(), signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, held.as_ptr(), before.as_mut_ptr());
        let mut hidden = shown;
        hidden.c_lflag &= !libc::ECHO;
        hidden.c_lflag |= libc::ECHONL;
        let hid = libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, &raw const hidden);
        let error = io::Error::last_os_error();
        let result = if hid == 0 {
            let _ = stream(libc::STDERR_FILENO).write_all(prompt.as_bytes());
            Ok(read())
        } else {
            Err(error)
        };
        libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const shown);
        libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        result
    }
}

/// Fills `bytes` with random numbers.
///
/// # Errors
/// What `getrandom(2)` says.
pub fn random(bytes: &mut [u8; 16]) -> io::Result<()> {
    // SAFETY: the kernel writes no more than the length given; up to 256 bytes come in one piece.
    match unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) } {
        16 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
