//! Crash reports: one line that names the place in the program when a signal ends the process.
//!
//! The released binaries are built so that a panic executes an instruction that is not one, without a message (`scripts/build.sh`).
//! The kernel turns that into a signal, and the place where it happened says more than the message would.

use super::program::PROGRAM;
use super::stderr::write_log;
use std::fmt::{self, Write as _};
use std::mem::MaybeUninit;
use std::ptr;

/// What a panic, a fault of the memory or the arithmetic, and `abort(3)` send. Which one a panic sends depends on the processor.
pub(super) const CRASHES: [libc::c_int; 6] =
    [libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE];

/// Room for the handler and for the registers that the kernel saves, of which processors with wide vectors have 10 kB.
const STACK: usize = 32 << 10;

/// The stack that the handler runs on: the thread's own may have overflowed. No memory is in use before that.
static mut SPARE: MaybeUninit<[u8; STACK]> = MaybeUninit::uninit();

/// Makes every crash from now on write a line to the log before the process ends as it would have without it: with the same exit
/// status and, where they are enabled, a core dump of the same moment.
pub fn report_crashes() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the stack is static, and nothing else uses it; all-zero is a valid sigaction, which is filled before it is used. The
    // handler calls only what signal-safety(7) allows, and leaves no lock or allocation behind.
    unsafe {
        let stack = libc::stack_t { ss_sp: (&raw mut SPARE).cast(), ss_flags: 0, ss_size: STACK };
        libc::sigaltstack(&raw const stack, ptr::null_mut());
        let action = action.assume_init_mut();
        action.sa_sigaction = report as *const () as usize;
        // The second crash, in the handler or raised by it, ends the process.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
        libc::sigfillset(&raw mut action.sa_mask);
        for signal in CRASHES {
            libc::sigaction(signal, action, ptr::null_mut());
        }
    }
}

extern "C" fn report(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let program = &raw const PROGRAM as usize;
    // SAFETY: the kernel passes what it says of the signal, and the interrupted thread's registers.
    let ([place, caller], sent) = unsafe { (registers(&*context.cast()), (*info).si_code <= 0) };
    let mut line = Line { text: [0; 192], length: 0 };
    let _ = write!(
        line,
        "pi-monitor {} for {}{} stopped by signal {signal} at +{:#x}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        if cfg!(feature = "tls") { "-tls" } else { "" },
        place.wrapping_sub(program),
    );
    if caller != 0 {
        let _ = write!(line, ", called from +{:#x}", caller.wrapping_sub(program));
    }
    let _ = line.write_str(" (please report this line)\n");
    write_log(&line.text[..line.length]);
    // SAFETY: these pass no memory.
    unsafe {
        // The kernel drops signals to process 1 that have no handler, unless they come from an instruction.
        if sent && libc::getpid() == 1 {
            libc::_exit(128 + signal);
        }
        // Blocked until this function has returned, so that a core dump shows the registers of the crash.
        libc::raise(signal);
    }
}

/// A line of text that needs no allocation.
struct Line {
    text: [u8; 192],
    length: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.text.get_mut(self.length..self.length + part.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.length += part.len();
        Ok(())
    }
}

/// Returns where the thread was, and where the function that it was in returns to, if a register has that.
#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> [usize; 2] {
    [context.uc_mcontext.pc as usize, context.uc_mcontext.regs[30] as usize]
}

#[cfg(target_arch = "arm")]
fn registers(context: &libc::ucontext_t) -> [usize; 2] {
    [context.uc_mcontext.arm_pc as usize, context.uc_mcontext.arm_lr as usize]
}

#[cfg(target_arch = "riscv64")]
fn registers(context: &libc::ucontext_t) -> [usize; 2] {
    [context.uc_mcontext.__gregs[0] as usize, context.uc_mcontext.__gregs[1] as usize]
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> [usize; 2] {
    [context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize, 0]
}

/// Another processor: the signal alone is reported.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm", target_arch = "riscv64")))]
fn registers(_: &libc::ucontext_t) -> [usize; 2] {
    [0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// Returns the line and the signal of a child that crashes in `crash`.
    fn crash_of(crash: fn()) -> (String, libc::c_int) {
        let mut ends = [0; 2];
        let (mut text, mut status) = ([0_u8; 512], 0);
        // SAFETY: the child calls only what signal-safety(7) allows; the buffers are as long as is said.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            let child = libc::fork();
            if child == 0 {
                let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
                libc::dup2(ends[1], libc::STDERR_FILENO);
                report_crashes();
                crash();
                libc::_exit(0);
            }
            libc::close(ends[1]);
            let length = libc::read(ends[0], text.as_mut_ptr().cast(), text.len());
            libc::close(ends[0]);
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert!(libc::WIFSIGNALED(status), "{status:#x}");
            let text = text[..length as usize].to_vec();
            (String::from_utf8(text).unwrap(), libc::WTERMSIG(status))
        }
    }

    /// Returns the address that the line names after `words`.
    fn address(line: &str, words: &str) -> usize {
        let digits = line.split(words).nth(1).unwrap().split([',', ' ']).next().unwrap();
        usize::from_str_radix(digits, 16).unwrap() + &raw const PROGRAM as usize
    }

    #[inline(never)]
    fn touch_nothing() {
        // SAFETY: it is not safe, which is the point.
        unsafe { *black_box(ptr::dangling_mut::<u8>()) = 1 };
    }

    #[inline(never)]
    fn call_itself() {
        let room = black_box([0_u8; 4096]);
        if black_box(true) {
            call_itself();
        }
        black_box(room);
    }

    #[test]
    fn the_place_is_named() {
        let (line, signal) = crash_of(touch_nothing);
        assert_eq!(signal, libc::SIGSEGV);
        let begin = format!("pi-monitor {} for {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
        assert!(line.starts_with(&begin) && line.contains(" stopped by signal 11 at +0x"), "{line}");
        assert!(line.ends_with(" (please report this line)\n"), "{line}");
        let function = touch_nothing as *const () as usize;
        assert!((function..function + 256).contains(&address(&line, " at +0x")), "{line}");
    }

    #[test]
    fn an_overflowed_stack_is_reported_on_another_one() {
        let (line, signal) = crash_of(call_itself);
        assert_eq!(signal, libc::SIGSEGV);
        let function = call_itself as *const () as usize;
        assert!((function..function + 1024).contains(&address(&line, " at +0x")), "{line}");
    }

    #[test]
    fn an_abort_is_reported_once() {
        let (line, signal) = crash_of(|| std::process::abort());
        assert_eq!(signal, libc::SIGABRT);
        assert_eq!(line.matches("signal 6 at +0x").count(), 1, "{line}");
    }

    #[test]
    fn a_thread_that_leaves_signals_to_others_reports_its_own() {
        let (line, signal) = crash_of(|| {
            crate::sys::thread::block_signals();
            touch_nothing();
        });
        assert_eq!(signal, libc::SIGSEGV);
        assert!(line.contains("signal 11 at +0x"), "{line}");
    }
}
