//! Files, filesystems and directories, and what the kernel says of the machine and of this process in numbers.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The answer of `statvfs` about a mounted filesystem. Blocks are `block_size` bytes (the fragment size, in which the kernel
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
    /// Returns the bytes in which the numbers travel between processes on this machine.
    pub fn to_bytes(self) -> [u8; 48] {
        let mut bytes = [0; 48];
        let FsStat { block_size, blocks, blocks_free, blocks_available, files, files_free, no_writes: _ } = self;
        let numbers = [block_size, blocks, blocks_free, blocks_available, files, files_free];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    /// Reverses [`FsStat::to_bytes`], which does not carry `no_writes`.
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

/// Opens a path for nothing but to know what is there (`O_PATH`); a sandbox lets that pass.
///
/// # Errors
/// What `open(2)` says.
#[inline(never)]
pub fn open_place(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)
}

/// Returns whether `path` is in a real procfs, not in a copy of one.
#[inline(never)]
pub fn is_procfs(path: &Path) -> bool {
    open_place(path).is_ok_and(|file| kind(&file) == PROC_SUPER_MAGIC)
}

/// Returns whether a file is in a real procfs or sysfs: not in a copy, and not made by a program, as lxcfs does for containers.
pub fn is_made_by_kernel(file: &File) -> bool {
    const SYSFS_MAGIC: u64 = 0x6265_6572;
    matches!(kind(file), PROC_SUPER_MAGIC | SYSFS_MAGIC)
}

const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// What `statfs(2)` says the filesystem of a file is.
fn kind(file: &File) -> u64 {
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open, `stat` is as large as fstatfs wants it, and all-zero is a valid statfs if the call fails.
    let stat = unsafe {
        libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr());
        stat.assume_init()
    };
    // The field's type differs between targets, its value does not.
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between targets")]
    let kind = stat.f_type as u64;
    kind
}

/// Returns whether the mount table behind a descriptor of procfs has changed since this was last asked about that descriptor, or since
/// it was opened; also if that is unknown.
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
pub struct Directory {
    file: File,
    /// Whether it is the kernel's own: its entries then fill a buffer as far as there are any.
    original: bool,
}

impl Directory {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// What `open(2)` says, or `NotADirectory` from the first listing.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let original = is_made_by_kernel(&file);
        Ok(Directory { file, original })
    }

    /// Returns whether the directory is in a real procfs or sysfs.
    pub fn is_original(&self) -> bool {
        self.original
    }

    /// Returns the directory's number of links: 2, and one for each directory in it.
    ///
    /// # Errors
    /// What `fstat(2)` says.
    pub fn links(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.nlink())
    }

    /// Returns the directory's size, which in procfs and sysfs is 0 unless the kernel counts something with it.
    ///
    /// # Errors
    /// What `fstat(2)` says.
    pub fn size(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    /// Hands each entry's name, and whether the directory itself says that it is a directory, to `each`; leaves out `.` and `..`.
    ///
    /// # Errors
    /// What `lseek(2)` or `getdents64(2)` says.
    pub fn list(&mut self, mut each: impl FnMut(&[u8], bool)) -> io::Result<()> {
        self.list_to(&mut each)
    }

    /// In the binary once for all who list something.
    #[inline(never)]
    fn list_to(&mut self, each: &mut dyn FnMut(&[u8], bool)) -> io::Result<()> {
        /// What stands before the name in `struct linux_dirent64`: inode, offset, length of the record, kind.
        const HEAD: usize = 8 + 8 + 2 + 1;
        /// More than the longest record takes.
        const LONGEST: usize = HEAD + 256 + 8;
        self.file.seek(SeekFrom::Start(0))?;
        // Filling it with zeros would take longer than listing a short directory.
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        loop {
            // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`.
            let filled = unsafe {
                libc::syscall(libc::SYS_getdents64, self.file.as_raw_fd(), buffer.as_mut_ptr(), buffer.len())
            };
            let filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
            if filled == 0 {
                return Ok(());
            }
            // SAFETY: the kernel wrote `filled` bytes, which are no more than there are.
            let mut rest = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast(), filled.min(buffer.len())) };
            while rest.len() > HEAD {
                let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]])).clamp(HEAD, rest.len());
                let (record, behind) = rest.split_at(length);
                let name = record[HEAD..].split(|&byte| byte == 0).next().unwrap_or_default();
                if name != b"." && name != b".." {
                    each(name, record[18] == libc::DT_DIR);
                }
                rest = behind;
            }
            // `kernfs_fop_readdir` and `proc_readdir` go on until a record does not fit.
            if self.original && filled < buffer.len() - LONGEST {
                return Ok(());
            }
        }
    }
}

/// Locks a file for this process and those that inherit the descriptor; does not wait.
///
/// # Errors
/// What `flock(2)` says, `WouldBlock` if another process holds the lock.
pub fn lock(file: &File) -> io::Result<()> {
    // SAFETY: plain system call on an open descriptor.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Returns how many files this process may have open.
pub fn file_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit fills `limit` or leaves it as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// Reads a whole file that is read once, such as a person's. The standard library's way takes more room in the program.
///
/// # Errors
/// What `open(2)` or `read(2)` says.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(all),
            Ok(count) => all.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same for a text.
///
/// # Errors
/// As [`read_bytes`], and `InvalidData` for what is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_bytes(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "expected text in UTF-8"))
}

/// Returns the size of a memory page in bytes.
pub fn page_size() -> u64 {
    // SAFETY: sysconf only returns a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Returns the machine's hardware name as `uname -m` prints it; empty if the kernel does not say.
pub fn machine() -> String {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `names` is as large as uname wants it, and all-zero is a valid utsname if the call fails.
    let names = unsafe {
        libc::uname(names.as_mut_ptr());
        names.assume_init()
    };
    names.machine.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).map(char::from).collect()
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
    fn procfs_is_known() {
        let is_procfs = |path| is_procfs(Path::new(path));
        assert!(is_procfs("/proc") && !is_procfs("/dev") && !is_procfs("/nowhere"));
    }

    #[test]
    fn statvfs_answers_or_says_why_not() {
        assert!(statvfs(c"/").unwrap().blocks > 0);
        assert_eq!(statvfs(c"/nowhere").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
