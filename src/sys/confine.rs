//! How a process gives up rights: capabilities, system calls, files.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

/// What the processor's system call numbers are numbers of.
#[cfg(target_arch = "x86_64")]
pub const ARCHITECTURE: u32 = 0xc000_003e;
/// What the processor's system call numbers are numbers of.
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURE: u32 = 0xc000_00b7;
/// What the processor's system call numbers are numbers of.
#[cfg(target_arch = "arm")]
pub const ARCHITECTURE: u32 = 0x4000_0028;
/// What the processor's system call numbers are numbers of.
#[cfg(target_arch = "riscv64")]
pub const ARCHITECTURE: u32 = 0xc000_00f3;
/// Another processor: a number that no call has, so that the filter is refused below.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm", target_arch = "riscv64")))]
pub const ARCHITECTURE: u32 = 0;

/// Keeps every program that this process starts from gaining rights by it.
///
/// # Errors
/// What `prctl(2)` says.
pub fn no_new_privs() -> io::Result<()> {
    // SAFETY: this only sets a mark; the call wants zeros behind it.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

/// Gives up for good all capabilities but those of `keep`, as bits. Tells those that are left.
///
/// # Errors
/// What `capget(2)` or `capset(2)` says.
pub fn keep_capabilities(keep: u64) -> io::Result<u64> {
    /// Of sets with 64 bits each, in two halves; the process is this one.
    const HEAD: [u32; 2] = [0x2008_0522, 0];
    let mut head = HEAD;
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: head and sets have the sizes that this version of the call writes and reads.
    check(unsafe { libc::syscall(libc::SYS_capget, head.as_mut_ptr(), sets.as_mut_ptr()) } as libc::c_int)?;
    let mut left = [[0_u32; 3]; 2];
    for (half, [effective, permitted, _]) in sets.iter().enumerate() {
        let keep = (keep >> (32 * half)) as u32;
        // Those that could be passed on go too.
        left[half] = [effective & keep, permitted & keep, 0];
    }
    if left != sets {
        head = HEAD;
        // SAFETY: as above; capset writes neither.
        check(unsafe { libc::syscall(libc::SYS_capset, head.as_mut_ptr(), left.as_ptr()) } as libc::c_int)?;
    }
    Ok(u64::from(left[0][0]) | u64::from(left[1][0]) << 32)
}

/// Has the kernel ask `program` about every system call that this thread and those it starts make. Call
/// [`no_new_privs`] first.
///
/// # Errors
/// What `prctl(2)` says; `EINVAL` from a kernel without such filters.
pub fn filter_system_calls(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The call takes a pointer to mutable instructions but only reads them.
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` and what it points to outlive the call, which copies them.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
}

/// Restricts this thread and those it starts to opening what is below `paths`, for reading only. Those that
/// do not exist are skipped. Where the kernel can, it also keeps the process from connecting to others and from signalling
/// any but its own. Call [`no_new_privs`] first.
///
/// # Errors
/// What the calls of `landlock(7)` say; `ENOSYS` from a kernel without, `EOPNOTSUPP` if it is switched off.
pub fn read_only_below(paths: &[std::path::PathBuf], connects: bool) -> io::Result<()> {
    const READ_FILE: u64 = 1 << 2;
    const READ_DIR: u64 = 1 << 3;
    const IOCTL_DEV: u64 = 1 << 15;
    /// What a version of Landlock knows: files, network, scopes. A kernel takes a longer structure than it knows if zeros follow.
    #[repr(C)]
    struct Ruleset {
        files: u64,
        network: u64,
        scopes: u64,
    }
    #[repr(C, packed)]
    struct Beneath {
        allowed: u64,
        parent: RawFd,
    }
    const NONE: *const Ruleset = std::ptr::null();
    const WHICH_VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call wants no structure and returns a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, NONE, 0_usize, WHICH_VERSION) };
    check(version as libc::c_int)?;
    let ruleset = Ruleset {
        // 13 rights in the first version; refer, truncate and ioctl came later.
        files: ((1 << (12 + version.clamp(1, 3))) - 1) | if version >= 5 { IOCTL_DEV } else { 0 },
        // To connect; listening is left as it is.
        network: if version >= 4 && !connects { 2 } else { 0 },
        scopes: if version >= 6 { 3 } else { 0 },
    };
    let known = ruleset.files;
    // SAFETY: `ruleset` is as large as is said; the call returns a new descriptor or -1.
    let rules =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, size_of::<Ruleset>(), 0) };
    check(rules as libc::c_int)?;
    // SAFETY: the call succeeded, so this is an open descriptor that nobody else owns.
    let rules = unsafe { OwnedFd::from_raw_fd(rules as RawFd) };
    for path in paths {
        let Ok(place) = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path) else { continue };
        // Rights to directories are refused for anything else.
        let kind = if place.metadata().is_ok_and(|it| it.is_dir()) { READ_DIR } else { IOCTL_DEV };
        let beneath = Beneath { allowed: (READ_FILE | kind) & known, parent: place.as_raw_fd() };
        // SAFETY: 1 says that a `struct landlock_path_beneath_attr` follows, which `beneath` is.
        let added = unsafe { libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), 1, &raw const beneath, 0) };
        check(added as libc::c_int)?;
    }
    // SAFETY: `rules` is an open ruleset.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) } as libc::c_int)
}

/// Returns the error of a call that returned less than zero.
fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
