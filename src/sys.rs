//! System calls that the standard library does not offer: the only module with `unsafe` code, each piece behind one safe
//! function.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What `statvfs` tells about a mounted filesystem. Blocks are `block_size` bytes (the fragment size, in which the kernel
/// counts them; not the preferred transfer size).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FsStat {
    pub block_size: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    /// Blocks free to users other than root: without the filesystem's reserve.
    pub blocks_available: u64,
    pub files: u64,
    pub files_free: u64,
    /// Whether nothing can be written where it was asked: the filesystem is read-only, or only this mount of it.
    pub no_writes: bool,
}

impl FsStat {
    /// The bytes in which the numbers travel between processes on this machine.
    pub fn to_bytes(self) -> [u8; 48] {
        let mut bytes = [0; 48];
        let FsStat { block_size, blocks, blocks_free, blocks_available, files, files_free, no_writes: _ } = self;
        let numbers = [block_size, blocks, blocks_free, blocks_available, files, files_free];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    /// Takes back [`FsStat::to_bytes`]; `no_writes` is not told.
    pub fn from_bytes(bytes: &[u8; 48]) -> Self {
        let mut numbers = [0; 6];
        for (number, place) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = u64::from_ne_bytes(place.try_into().unwrap_or_default());
        }
        let [block_size, blocks, blocks_free, blocks_available, files, files_free] = numbers;
        FsStat { block_size, blocks, blocks_free, blocks_available, files, files_free, no_writes: false }
    }
}

/// Asks the filesystem mounted at `path` for its size and fill. Blocks as long as that filesystem does.
///
/// # Errors
/// What `statvfs(3)` says.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
pub fn statvfs(path: &CStr) -> io::Result<FsStat> {
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` is a C string, and `stat` is as large as statvfs wants it.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statvfs returned 0, so it filled `stat`.
    let stat = unsafe { stat.assume_init() };
    Ok(FsStat {
        block_size: stat.f_frsize as u64,
        blocks: stat.f_blocks as u64,
        blocks_free: stat.f_bfree as u64,
        blocks_available: stat.f_bavail as u64,
        files: stat.f_files as u64,
        files_free: stat.f_ffree as u64,
        no_writes: stat.f_flag as u64 & libc::ST_RDONLY as u64 != 0,
    })
}

/// Whether `path` is in a real procfs, not in a copy of one.
pub fn is_procfs(path: &CStr) -> bool {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `path` is a C string, `stat` is as large as statfs wants it, and all-zero is a valid statfs if the call fails.
    let stat = unsafe {
        libc::statfs(path.as_ptr(), stat.as_mut_ptr());
        stat.assume_init()
    };
    // The field's type differs between targets, its value does not.
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between targets")]
    let kind = stat.f_type as u64;
    kind == PROC_SUPER_MAGIC
}

/// Whether a file is in a real procfs or sysfs: not in a copy, and not made by a program, as lxcfs does for containers.
pub fn is_made_by_kernel(file: &File) -> bool {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    const SYSFS_MAGIC: u64 = 0x6265_6572;
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open, `stat` is as large as fstatfs wants it, and all-zero is a valid statfs if the call fails.
    let stat = unsafe {
        libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr());
        stat.assume_init()
    };
    // The field's type differs between targets, its value does not.
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between targets")]
    let kind = stat.f_type as u64;
    kind == PROC_SUPER_MAGIC || kind == SYSFS_MAGIC
}

/// Whether the mount table behind a descriptor of procfs has changed since this was last asked about that descriptor, or since
/// it was opened; also if that cannot be told.
///
/// `mounts_poll` in `fs/proc_namespace.c` says so with an exceptional condition, once for each descriptor.
pub fn has_news(mounts: &File) -> bool {
    let mut asked = libc::pollfd { fd: mounts.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
    // SAFETY: one pollfd is handed over, and a time of 0 keeps it from waiting.
    let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
    ready != 0
}

/// A directory that is kept open and listed again and again without allocations.
#[derive(Debug)]
pub struct Directory(File);

impl Directory {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// What `open(2)` says, or `NotADirectory` from the first listing.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Directory)
    }

    /// The directory's number of links: 2, and one for each directory in it.
    ///
    /// # Errors
    /// What `fstat(2)` says.
    pub fn links(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.nlink())
    }

    /// Hands each entry's name, and whether the directory itself says that it is a directory, to `each`; leaves out `.` and `..`.
    ///
    /// # Errors
    /// What `lseek(2)` or `getdents64(2)` says.
    pub fn list(&mut self, mut each: impl FnMut(&[u8], bool)) -> io::Result<()> {
        /// What stands before the name in `struct linux_dirent64`: inode, offset, length of the record, kind.
        const HEAD: usize = 8 + 8 + 2 + 1;
        self.0.seek(SeekFrom::Start(0))?;
        let mut records = [0_u8; 4096];
        loop {
            // SAFETY: the kernel writes at most `records.len()` bytes into `records`.
            let filled =
                unsafe { libc::syscall(libc::SYS_getdents64, self.0.as_raw_fd(), records.as_mut_ptr(), records.len()) };
            let filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
            if filled == 0 {
                return Ok(());
            }
            let mut rest = &records[..filled.min(records.len())];
            while rest.len() > HEAD {
                let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]])).clamp(HEAD, rest.len());
                let (record, behind) = rest.split_at(length);
                let name = record[HEAD..].split(|&byte| byte == 0).next().unwrap_or_default();
                if name != b"." && name != b".." {
                    each(name, record[18] == libc::DT_DIR);
                }
                rest = behind;
            }
        }
    }
}

/// Reads a clock of the kernel; zero if it has no such clock.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
fn clock(id: libc::clockid_t) -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `time` is as large as clock_gettime wants it, and all-zero is a valid timespec if the call fails.
    let time = unsafe {
        libc::clock_gettime(id, time.as_mut_ptr());
        time.assume_init()
    };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time since boot with the time that the machine was suspended; never steps.
pub fn since_boot() -> Duration {
    clock(libc::CLOCK_BOOTTIME)
}

/// Wall-clock time since 1970; steps when somebody sets the clock.
pub fn unix_time() -> Duration {
    clock(libc::CLOCK_REALTIME)
}

/// The machine's hardware name as `uname -m` prints it; empty if the kernel does not tell.
pub fn machine() -> String {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `names` is as large as uname wants it, and all-zero is a valid utsname if the call fails.
    let names = unsafe {
        libc::uname(names.as_mut_ptr());
        names.assume_init()
    };
    names.machine.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).map(char::from).collect()
}

/// The size of a memory page in bytes.
pub fn page_size() -> u64 {
    // SAFETY: sysconf only returns a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// `_IOWR(100, 0, char *)`, whose length differs between 32-bit and 64-bit programs.
pub const VIDEOCORE_REQUEST: u32 = 3 << 30 | (size_of::<*const u8>() as u32) << 16 | 100 << 8;

/// Hands a message to the VideoCore's firmware through `/dev/vcio` and puts its answer in the message's place. Blocks for as
/// long as the firmware takes, on present kernels for a second at most.
///
/// The first word is set to the message's length, as the driver wants it.
/// <https://github.com/raspberrypi/firmware/wiki/Mailbox-property-interface>
///
/// # Errors
/// What the driver's `ioctl(2)` says.
pub fn videocore(device: &File, message: &mut [u32]) -> io::Result<()> {
    let length = size_of_val(message);
    let Some(first) = message.first_mut() else { return Err(io::ErrorKind::InvalidInput.into()) };
    *first = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the driver reads and writes as many bytes as the first word says, which is the message's length. Other devices
    // refuse the number.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), VIDEOCORE_REQUEST as _, message.as_mut_ptr()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How many files this process may have open.
pub fn file_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit fills `limit` or leaves it as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// Gives the calling thread a third of the time that others have where there is not enough for all.
pub fn be_nice() {
    // SAFETY: setpriority only sets a number; 0 is the calling thread, whatever the manual says of processes.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) };
}

/// Runs `work` in a thread of its own, which leaves all signals to the others and cannot be waited for.
///
/// The standard library's threads have names and stack guards, which add 20 kB to the binary.
///
/// # Errors
/// What `pthread_create(3)` says.
pub fn spawn(work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    /// Small, but for more than a message to the firmware.
    const STACK: usize = 64 << 10;
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

/// Lets the calling thread leave all signals to the others.
fn block_signals() {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset fills `all` before it is read, and the old mask is not asked for.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
    }
}

/// Lets the runtime watch a descriptor for input. Call it within a runtime.
///
/// # Errors
/// What `epoll_ctl(2)` says.
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is open, and as the result owns it, it stays open as long as it is registered.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(io::Error::from)
}

/// A forked child process.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
}

impl Child {
    /// Ends the child for good; one that hangs in the kernel ends when that lets go of it.
    pub fn kill(&self) {
        // SAFETY: kill only sends a signal; `pid` is our child and not yet waited for, so it is no other process.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }

    /// Whether the child has ended; does not wait.
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
    let mut ends = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `ends` has room for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: socketpair returned 0, so both are open descriptors that nobody else owns.
    let [ours, theirs] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    // SAFETY: the child runs only `serve`, which neither allocates nor takes locks, so it is safe whatever other threads
    // held at the moment of the fork.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => serve(theirs.as_raw_fd(), answer),
        pid => Ok((Child { pid }, ours)),
    }
}

/// The life of the child: never returns.
fn serve(socket: RawFd, answer: fn(&CStr) -> [u8; 56]) -> ! {
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
        if libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0) != 0 {
            for descriptor in 1..1024 {
                libc::close(descriptor);
            }
        }
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

/// A timer that becomes readable every `interval`, without drift.
///
/// The runtime's own timers wake up the process two or three times on the way to one that is seconds away; for an agent that
/// mostly sleeps, those were a quarter of its whole cost.
///
/// # Errors
/// What `timerfd_create(2)` or `timerfd_settime(2)` says.
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
pub fn timer(interval: Duration) -> io::Result<OwnedFd> {
    // SAFETY: all-zero is a valid itimerspec; timerfd_create returns a new descriptor or -1, timerfd_settime only reads `every`.
    unsafe {
        let timer = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK);
        if timer < 0 {
            return Err(io::Error::last_os_error());
        }
        let timer = OwnedFd::from_raw_fd(timer);
        let mut every: libc::itimerspec = std::mem::zeroed();
        every.it_interval.tv_sec = interval.as_secs() as _;
        every.it_interval.tv_nsec = interval.subsec_nanos() as _;
        every.it_value = every.it_interval;
        if libc::timerfd_settime(timer.as_raw_fd(), 0, &every, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(timer)
    }
}

/// How often a [`timer`] has expired since this was last asked; does not wait.
///
/// # Errors
/// What `read(2)` says, `WouldBlock` if it has not.
pub fn expirations(timer: &OwnedFd) -> io::Result<u64> {
    let mut count = 0_u64;
    // SAFETY: the kernel writes at most the 8 bytes of `count`.
    let read = unsafe { libc::read(timer.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    if read < 0 { Err(io::Error::last_os_error()) } else { Ok(count) }
}

/// Lets the process ignore `signal`.
pub fn ignore_signal(signal: libc::c_int) {
    // SAFETY: SIG_IGN runs no code.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Where log lines go: standard error, or what [`log_without_waiting`] opened for it.
static LOG: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);

/// Opens standard error anew if that is a pipe or a terminal, so that writing to it never waits.
///
/// Others write to the same pipe or terminal through the descriptor that was handed to the agent; a mark on that one would be
/// theirs too. Where it cannot be opened, [`write_log`] looks before it writes, which is nearly as good.
pub fn log_without_waiting() {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `stat` is as large as fstat wants it, and all-zero is a valid stat if the call fails; open returns a descriptor or -1.
    unsafe {
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
            if libc::poll(&raw mut ready, 1, 0) > 0 {
                libc::write(log, line.as_ptr().cast(), line.len());
            }
        }
    }
}

/// From here on no program that this process starts gains any right by it.
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

/// From here on this thread and those it starts can open only what is below `paths`, and only for reading. Those that
/// do not exist are left out. Where the kernel can, it also keeps the process from connecting to others and from signalling
/// any but its own. Call [`no_new_privs`] first.
///
/// # Errors
/// What the calls of `landlock(7)` say; `ENOSYS` from a kernel without, `EOPNOTSUPP` if it is switched off.
pub fn read_only_below(paths: &[std::path::PathBuf]) -> io::Result<()> {
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
        network: if version >= 4 { 2 } else { 0 },
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

/// The error of a call that returned less than zero.
fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_travel_as_bytes() {
        let stat = FsStat {
            block_size: 1,
            blocks: 2,
            blocks_free: 3,
            blocks_available: 4,
            files: 5,
            files_free: u64::MAX,
            no_writes: false,
        };
        assert_eq!(FsStat::from_bytes(&stat.to_bytes()), stat);
    }

    #[test]
    fn the_clocks_run() {
        let (boot, unix) = (since_boot(), unix_time());
        std::thread::sleep(Duration::from_millis(5));
        assert!(since_boot() > boot && unix_time() > unix);
        assert!(unix.as_secs() > 1_600_000_000);
    }

    #[test]
    fn a_directory_is_listed_like_the_standard_library_lists_it() {
        let path = std::env::temp_dir().join(format!("pi-monitor-directory-{}", std::process::id()));
        for number in 0..300 {
            std::fs::create_dir_all(path.join(format!("directory with a long name {number}"))).unwrap();
        }
        std::fs::write(path.join("file"), "").unwrap();
        let mut directory = Directory::open(&path).unwrap();
        for _ in 0..2 {
            let (mut names, mut directories) = (Vec::new(), 0);
            directory
                .list(|name, is_directory| {
                    names.push(String::from_utf8(name.to_vec()).unwrap());
                    directories += usize::from(is_directory);
                })
                .unwrap();
            let mut expected: Vec<_> = std::fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            expected.sort();
            assert_eq!((names, directories), (expected, 300));
        }
        std::fs::remove_dir_all(&path).unwrap();
        assert!(Directory::open(Path::new("/dev/null")).unwrap().list(|_, _| ()).is_err());
    }

    #[test]
    fn only_the_videocore_answers_messages() {
        assert_eq!(
            videocore(&File::open("/dev/null").unwrap(), &mut []).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        let mut message = [7; 3];
        assert!(videocore(&File::open("/dev/null").unwrap(), &mut message).is_err());
        assert_eq!(message, [12, 7, 7]);
    }

    #[test]
    fn procfs_is_known() {
        assert!(is_procfs(c"/proc") && !is_procfs(c"/dev") && !is_procfs(c"/nowhere"));
    }

    #[test]
    fn timers_expire_again_and_again() {
        let timer = timer(Duration::from_millis(20)).unwrap();
        assert_eq!(expirations(&timer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        std::thread::sleep(Duration::from_millis(70));
        assert!(expirations(&timer).unwrap() >= 3);
    }

    #[test]
    fn statvfs_answers_or_says_why_not() {
        assert!(statvfs(c"/").unwrap().blocks > 0);
        assert_eq!(statvfs(c"/nowhere").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
