//! Self-confinement: what the agent does not need, it gives up before it serves anybody.
//!
//! It reads files of the kernel and answers on a port; somebody who took it over could do no more than that. Four layers, each
//! of which holds without the others, and each of which a kernel may lack:
//!
//! - `no_new_privs`: no program that it starts could gain rights (and it starts none).
//! - `capabilities`: of root's rights it keeps those few that reading needs.
//! - `seccomp`: a list of the system calls that it makes. Nothing can be opened for writing; what only an intruder would call
//!   ends the process; anything else that is not in the list is answered as a kernel without that call would.
//! - `landlock`: it can open files below `/proc`, `/sys` and the few other places that it reads, and no others.
//!
//! What a part of the agent needs beyond that (places, system calls, rights), it declares itself, as [`Needs`]; the layers are made
//! of the union. Rights are given up before there is a second thread, since the kernel keeps most of them for each thread.
//! <https://docs.kernel.org/userspace-api/seccomp_filter.html>, <https://docs.kernel.org/userspace-api/landlock.html>

use crate::cli::{Bare, Flag, prose};
use crate::sys::{self, ARCHITECTURE};
use libc::sock_filter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

/// The layers' names, in the order in which they are entered. Landlock's calls are not in the filter's list.
pub const LAYERS: [&str; 4] = ["no_new_privs", "capabilities", "landlock", "seccomp"];

/// Which of [`LAYERS`] hold, as bits.
static ENTERED: AtomicU8 = AtomicU8::new(0);

/// Returns each layer and whether it holds.
pub fn layers() -> impl Iterator<Item = (&'static str, bool)> {
    let entered = ENTERED.load(Ordering::Relaxed);
    LAYERS.iter().enumerate().map(move |(place, name)| (*name, entered >> place & 1 == 1))
}

/// What one part of the agent needs, beside what the runtime and the C library do.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// What it reads, with blanks between: files and directories of the machine, such as `proc/stat`, `sys/class/net` and
    /// `root/etc`, which are below the trees that `--path.procfs` and the like name, and others as they are: `/dev/vcio`. A file
    /// that is replaced while the agent runs, as those in `etc` are, needs its directory.
    pub paths: &'static str,
    pub rights: &'static Rights,
}

/// What only some parts need beside what they read.
#[derive(Debug)]
pub struct Rights {
    /// The flags that name directories which it reads beside that.
    pub named_by: &'static [&'static Flag],
    /// What it calls.
    pub calls: &'static [Call],
    /// The rights of root that it uses: bits such as [`CAP_NET_BIND_SERVICE`].
    pub capabilities: u64,
    /// Opens what can only be opened while everything is allowed, and keeps it.
    pub before: Option<fn()>,
}

pub static REQUIRE_SANDBOX: Bare = Bare {
    name: "require-sandbox",
    help: prose("Exit if a layer of self-confinement cannot be set up (Landlock only where the kernel has it)."),
};

impl Needs {
    /// Needs nothing but to read these.
    pub const fn reading(paths: &'static str) -> Needs {
        Needs { paths, rights: &Rights::NONE }
    }
}

impl Rights {
    pub const NONE: Rights = Rights { named_by: &[], calls: &[], capabilities: 0, before: None };
}

/// A system call that only some parts make.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// With any arguments.
    Any(libc::c_long),
    /// With this value of the argument that the filter checks: an `ioctl`'s request, a socket's family, a signal.
    With(libc::c_long, u32),
}

/// To search directories that only their user may enter, such as `/media/pi/STICK`.
pub const CAP_DAC_READ_SEARCH: u64 = 1 << 2;
/// To listen on ports below 1024.
pub const CAP_NET_BIND_SERVICE: u64 = 1 << 10;
/// To read what other users' processes read and write; and to see all processes, where `/proc` is mounted with `hidepid`.
pub const CAP_SYS_PTRACE: u64 = 1 << 19;

/// Gives up everything but `needs`; `locate` turns one of their paths into the place to open for reading, and `named` are the places
/// that [`Rights::named_by`] names. Call it while there is one thread.
///
/// # Errors
/// If a layer is `required`, the one that is missing. Landlock is not required where the kernel has none.
pub fn enter(needs: &[Needs], locate: &dyn Fn(&str) -> PathBuf, named: &[&Path], required: bool) -> Result<(), String> {
    for before in needs.iter().filter_map(|needs| needs.rights.before) {
        before();
    }
    let capabilities = sys::keep_capabilities(needs.iter().fold(0, |all, needs| all | needs.rights.capabilities));
    // Under Landlock the kernel refuses every look at other processes' I/O, even to root. Who has the right to look has
    // been given it for that.
    let looks = capabilities.as_ref().is_ok_and(|held| held & CAP_SYS_PTRACE != 0);
    let mut calls = needs.iter().flat_map(|needs| needs.rights.calls);
    let connects = calls.any(|call| matches!(call, Call::Any(libc::SYS_connect)));
    let results = [
        sys::no_new_privs(),
        capabilities.map(drop),
        if looks { Ok(()) } else { sys::read_only_below(&readable(needs, locate, named), connects) },
        sys::filter_system_calls(&filter(needs)),
    ];
    let mut entered = 0;
    for (place, (name, result)) in LAYERS.iter().zip(results).enumerate() {
        let wrong = match result {
            Ok(()) if *name == "landlock" && looks => {
                crate::debug!(
                    "not confined by landlock: CAP_SYS_PTRACE was granted to read the I/O counters of other processes"
                );
                continue;
            }
            Ok(()) => {
                entered |= 1 << place;
                continue;
            }
            Err(wrong) => wrong,
        };
        if *name == "landlock" && matches!(wrong.raw_os_error(), Some(libc::ENOSYS | libc::EOPNOTSUPP)) {
            crate::debug!("not confined by landlock: the kernel does not support it");
            continue;
        }
        if required {
            return Err(format!("--require-sandbox: {name}: {wrong}"));
        }
        crate::info!("not confined by {name}: {wrong}");
    }
    ENTERED.store(entered, Ordering::Relaxed);
    Ok(())
}

/// Returns every place that is read, once.
fn readable(needs: &[Needs], locate: &dyn Fn(&str) -> PathBuf, named: &[&Path]) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = named.iter().map(|path| path.to_path_buf()).collect();
    for path in needs.iter().flat_map(|needs| needs.paths.split_ascii_whitespace()) {
        // The kernel makes a class when its first driver comes, perhaps later. What a class holds are links to devices.
        let place = locate(if path.starts_with("sys/class/") { "sys/class" } else { path });
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Names of system calls as numbers; all of them are below 65,536.
macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name as u16),*] };
}

/// What the runtime, the C library and most parts call, whatever the arguments are. The most frequent ones come first: kernels before
/// 5.11 go through the list at every call.
const ALLOWED: &[u16] = calls! {
    SYS_pread64 SYS_read SYS_epoll_pwait SYS_write SYS_writev SYS_recvfrom SYS_sendto SYS_futex SYS_clock_gettime SYS_getdents64
    SYS_close SYS_statx SYS_readv SYS_accept4 SYS_epoll_ctl SYS_epoll_create1 SYS_eventfd2
    SYS_timerfd_create SYS_timerfd_settime SYS_signalfd4 SYS_sendmsg SYS_recvmsg SYS_shutdown SYS_setsockopt SYS_getsockopt
    SYS_getsockname SYS_getpeername SYS_bind SYS_listen SYS_accept SYS_socketpair SYS_ppoll SYS_dup SYS_dup3 SYS_close_range
    SYS_munmap SYS_mremap SYS_brk SYS_madvise SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack
    SYS_restart_syscall SYS_nanosleep SYS_clock_nanosleep SYS_clock_getres SYS_gettimeofday SYS_getrandom SYS_wait4 SYS_tgkill SYS_tkill SYS_getpid
    SYS_gettid SYS_getppid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_exit SYS_exit_group SYS_set_robust_list SYS_set_tid_address SYS_uname SYS_sysinfo
    SYS_sched_yield SYS_setpriority SYS_sched_getaffinity SYS_prlimit64 SYS_getrusage SYS_membarrier SYS_faccessat SYS_readlinkat SYS_statfs SYS_fstatfs
};

/// What these processors have beside it: calls that later ones do without, and others' names for the same.
#[cfg(target_arch = "x86_64")]
const ALSO_ALLOWED: &[u16] = calls! { SYS_epoll_wait SYS_lseek SYS_fstat SYS_newfstatat SYS_stat SYS_lstat SYS_poll SYS_dup2 SYS_fork SYS_fcntl SYS_getrlimit SYS_rseq SYS_readlink SYS_access SYS_time };
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
const ALSO_ALLOWED: &[u16] = calls! { SYS_lseek SYS_fstat SYS_newfstatat SYS_fcntl SYS_rseq };
/// The numbers from 398 on are those of Linux's calls with 64 bits of time (403 clock_gettime64, 406 clock_getres_time64, 407
/// clock_nanosleep_time64, 411 timerfd_settime64, 414 ppoll_time64, 422 futex_time64) and of rseq.
#[cfg(target_arch = "arm")]
const ALSO_ALLOWED: &[u16] = &[
    403,
    406,
    407,
    411,
    414,
    422,
    398,
    libc::SYS_epoll_wait as u16,
    libc::SYS__llseek as u16,
    libc::SYS_lseek as u16,
    libc::SYS_fstat64 as u16,
    libc::SYS_fstatat64 as u16,
    libc::SYS_stat64 as u16,
    libc::SYS_lstat64 as u16,
    libc::SYS_statfs64 as u16,
    libc::SYS_fstatfs64 as u16,
    libc::SYS_fcntl64 as u16,
    libc::SYS_fcntl as u16,
    libc::SYS_send as u16,
    libc::SYS_recv as u16,
    libc::SYS_poll as u16,
    libc::SYS_dup2 as u16,
    libc::SYS_fork as u16,
    libc::SYS_sigreturn as u16,
    libc::SYS_ugetrlimit as u16,
    libc::SYS_getuid32 as u16,
    libc::SYS_geteuid32 as u16,
    libc::SYS_getgid32 as u16,
    libc::SYS_getegid32 as u16,
    libc::SYS_readlink as u16,
    libc::SYS_access as u16,
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm", target_arch = "riscv64")))]
const ALSO_ALLOWED: &[u16] = &[];

/// What no part of the agent calls and an intruder might: these end the process. To start a program, to look into others, to
/// change what is mounted, what the kernel runs, or the namespaces.
const DEADLY: &[u16] = calls! {
    SYS_execve SYS_execveat SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot
    SYS_unshare SYS_setns SYS_open_tree SYS_move_mount SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick SYS_open_by_handle_at
    SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_add_key
    SYS_request_key SYS_keyctl SYS_reboot SYS_swapon SYS_swapoff SYS_acct SYS_quotactl
};

/// How a call's argument decides.
enum Check {
    /// None of these bits may be set.
    Without(u32),
    /// One of these numbers is allowed, and those that [`Call::With`] adds.
    OneOf(&'static [u32]),
}

const WRITING: Check = Check::Without((libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC) as u32);
const RUNNING: Check = Check::Without(libc::PROT_EXEC as u32);
/// Every flag that asks for a namespace.
const NAMESPACES: Check = Check::Without(0x7e02_0000);

#[cfg(target_arch = "arm")]
const MMAP: libc::c_long = libc::SYS_mmap2;
#[cfg(not(target_arch = "arm"))]
const MMAP: libc::c_long = libc::SYS_mmap;

/// Calls that are allowed with some arguments: the call, which argument, and what it may be. Others are answered with EPERM.
const CHECKED: &[(libc::c_long, u32, Check)] = &[
    (libc::SYS_openat, 2, WRITING),
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    (libc::SYS_open, 1, WRITING),
    (MMAP, 2, RUNNING),
    (libc::SYS_mprotect, 2, RUNNING),
    (libc::SYS_clone, 0, NAMESPACES),
    (libc::SYS_socket, 0, Check::OneOf(&[libc::AF_INET as u32, libc::AF_INET6 as u32])),
    (libc::SYS_ioctl, 1, Check::OneOf(&[libc::FIONBIO as u32])),
    (libc::SYS_kill, 1, Check::OneOf(&[])),
];

/// Returns the filter's program.
fn filter(needs: &[Needs]) -> Vec<sock_filter> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};
    const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
    // Places in `struct seccomp_data`. Arguments are 64 bits wide; of the checked ones the kernel uses the lower half, which all
    // these processors keep first.
    const NUMBER: u32 = 0;
    const OF_ARCHITECTURE: u32 = 4;
    const ARGUMENTS: u32 = 16;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    let mut program = Vec::with_capacity(256);
    let mut add = |code: u32, k: u32, then: usize, otherwise: usize| {
        program.push(sock_filter { code: code as u16, jt: then as u8, jf: otherwise as u8, k });
    };
    let is = BPF_JMP | BPF_JEQ | BPF_K;
    add(LOAD, OF_ARCHITECTURE, 0, 0);
    add(is, ARCHITECTURE, 1, 0);
    add(BPF_RET, KILL, 0, 0);
    add(LOAD, NUMBER, 0, 0);
    // The x32 calls of x86_64 have numbers of their own; no other processor has numbers as high but arm, whose private ones
    // are not needed here.
    add(BPF_JMP | BPF_JGE | BPF_K, 0x4000_0000, 0, 1);
    add(BPF_RET, KILL, 0, 0);
    let (mut asked, mut values) = (Vec::new(), Vec::new());
    for call in needs.iter().flat_map(|needs| needs.rights.calls) {
        match *call {
            Call::Any(call) => asked.push(call as u16),
            Call::With(call, value) => values.push((call, value)),
        }
    }
    for (list, verdict) in [(&[ALLOWED, ALSO_ALLOWED, &asked][..], ALLOW), (&[DEADLY][..], KILL)] {
        // One jump for each call to the verdict behind them, and one over it.
        let mut left: usize = list.iter().map(|calls| calls.len()).sum();
        for call in list.iter().copied().flatten() {
            add(is, u32::from(*call), left, 0);
            left -= 1;
        }
        add(BPF_JMP, 1, 0, 0);
        add(BPF_RET, verdict, 0, 0);
    }
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    for (call, argument, check) in CHECKED {
        let mut numbers = Vec::new();
        if let Check::OneOf(always) = check {
            numbers.extend_from_slice(always);
            numbers.extend(values.iter().filter(|(wanted, _)| wanted == call).map(|(_, value)| *value));
        }
        let length = if let Check::Without(_) = check { 1 } else { numbers.len() };
        add(is, *call as u32, 0, length + 3);
        add(LOAD, ARGUMENTS + 8 * argument, 0, 0);
        if let Check::Without(bits) = check {
            add(BPF_JMP | BPF_JSET | BPF_K, *bits, 0, 1);
        }
        for (place, number) in numbers.iter().enumerate() {
            add(is, *number, numbers.len() - place, 0);
        }
        add(BPF_RET, refuse, 0, 0);
        add(BPF_RET, ALLOW, 0, 0);
    }
    add(BPF_RET, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32, 0, 0);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program says to a call, by the rules of the kernel's interpreter.
    fn run(program: &[sock_filter], architecture: u32, call: u32, arguments: [u32; 3]) -> u32 {
        let [first, second, third] = arguments;
        let data = [call, architecture, 0, 0, first, 0, second, 0, third, 0];
        let (mut at, mut word) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |yes: bool| usize::from(if yes { jt } else { jf });
            match u32::from(code) {
                0x20 => word = data[k as usize / 4],
                0x15 => at += jump(word == k),
                0x35 => at += jump(word >= k),
                0x45 => at += jump(word & k != 0),
                0x05 => at += k as usize,
                0x06 => return k,
                other => panic!("instruction {other:#x} at {at}"),
            }
        }
    }

    #[test]
    fn each_call_gets_its_answer() {
        let program = filter(&[]);
        let ask = |call: libc::c_long, arguments| run(&program, ARCHITECTURE, call as u32, arguments);
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        for call in ALLOWED.iter().chain(ALSO_ALLOWED) {
            assert_eq!(ask((*call).into(), [0; 3]), libc::SECCOMP_RET_ALLOW, "{call}");
            assert!(!DEADLY.contains(call));
        }
        for call in DEADLY {
            assert_eq!(ask((*call).into(), [0; 3]), libc::SECCOMP_RET_KILL_PROCESS, "{call}");
        }
        let read = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_DIRECTORY) as u32;
        assert_eq!(ask(libc::SYS_openat, [0, 0, read]), libc::SECCOMP_RET_ALLOW);
        for flag in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_TMPFILE | libc::O_RDWR] {
            assert_eq!(ask(libc::SYS_openat, [0, 0, read | flag as u32]), refused);
        }
        assert_eq!(ask(MMAP, [0, 0, 3]), libc::SECCOMP_RET_ALLOW);
        assert_eq!(ask(MMAP, [0, 0, 7]), refused);
        assert_eq!(ask(libc::SYS_mprotect, [0, 0, 4]), refused);
        assert_eq!(ask(libc::SYS_clone, [libc::SIGCHLD as u32, 0, 0]), libc::SECCOMP_RET_ALLOW);
        assert_eq!(ask(libc::SYS_clone, [libc::CLONE_NEWUSER as u32, 0, 0]), refused);
        for (family, answer) in
            [(2, libc::SECCOMP_RET_ALLOW), (10, libc::SECCOMP_RET_ALLOW), (1, refused), (16, refused)]
        {
            assert_eq!(ask(libc::SYS_socket, [family, 1, 0]), answer, "{family}");
        }
        assert_eq!(ask(libc::SYS_ioctl, [0, libc::FIONBIO as u32, 0]), libc::SECCOMP_RET_ALLOW);
        assert_eq!(ask(libc::SYS_ioctl, [0, 0x5412, 0]), refused);
        assert_eq!(ask(libc::SYS_kill, [1, 9, 0]), refused);
        // Calls that nobody has thought of are not there, and neither are newer ones whose arguments a filter cannot see.
        let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        for call in [libc::SYS_clone3, libc::SYS_unlinkat, libc::SYS_connect, libc::SYS_openat2, 4000] {
            assert_eq!(ask(call, [0; 3]), absent, "{call}");
        }
        assert_eq!(run(&program, ARCHITECTURE + 1, 0, [0; 3]), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(ask(0x4000_0000 + libc::SYS_read, [0; 3]), libc::SECCOMP_RET_KILL_PROCESS);
    }

    /// A call that nobody but the parts below makes.
    const ADJTIMEX: libc::c_long = libc::SYS_adjtimex;
    const SOME: [Needs; 2] = [
        Needs {
            paths: "proc/stat",
            rights: &Rights { calls: &[Call::With(libc::SYS_ioctl, 0x5412), Call::Any(ADJTIMEX)], ..Rights::NONE },
        },
        Needs {
            paths: "/dev/x proc/stat",
            rights: &Rights { calls: &[Call::With(libc::SYS_kill, 9)], ..Rights::NONE },
        },
    ];

    #[test]
    fn what_is_declared_is_allowed_too() {
        let program = filter(&SOME);
        let ask = |call: libc::c_long, arguments| run(&program, ARCHITECTURE, call as u32, arguments);
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        for request in [libc::FIONBIO as u32, 0x5412] {
            assert_eq!(ask(libc::SYS_ioctl, [0, request, 0]), libc::SECCOMP_RET_ALLOW);
        }
        assert_eq!(ask(libc::SYS_ioctl, [0, 0x5413, 0]), refused);
        assert_eq!(ask(libc::SYS_kill, [1, 9, 0]), libc::SECCOMP_RET_ALLOW);
        assert_eq!(ask(libc::SYS_kill, [1, 15, 0]), refused);
        assert_eq!(ask(ADJTIMEX, [0; 3]), libc::SECCOMP_RET_ALLOW);
        let without = filter(&SOME[1..]);
        let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        assert_eq!(run(&without, ARCHITECTURE, ADJTIMEX as u32, [0; 3]), absent);
        assert_eq!(run(&without, ARCHITECTURE, libc::SYS_ioctl as u32, [0, 0x5412, 0]), refused);
        let places = readable(&SOME, &|path| PathBuf::from("/tree").join(path), &[Path::new("/named")]);
        assert_eq!(places, ["/named", "/tree/proc/stat", "/dev/x"].map(PathBuf::from));
    }

    /// Landlock cannot allow what is not there yet, such as the class of a radio whose driver is loaded later.
    #[test]
    fn classes_of_devices_may_come_later() {
        let needs = Needs::reading("sys/class/ieee80211 sys/class/net sys/fs/ext4");
        let places = readable(&[needs], &|path| PathBuf::from("/").join(path), &[]);
        assert_eq!(places, [PathBuf::from("/sys/class"), PathBuf::from("/sys/fs/ext4")]);
    }

    #[test]
    fn the_program_is_one_that_the_kernel_takes() {
        let program = filter(&SOME);
        assert!(program.len() < 256, "{}: jumps are up to 255 long", program.len());
        assert_eq!(program.last().map(|last| last.code), Some(libc::BPF_RET as u16));
        for (at, instruction) in program.iter().enumerate().rev().skip(1) {
            assert!(at + 1 + usize::from(instruction.jt.max(instruction.jf)) < program.len());
        }
    }
}
