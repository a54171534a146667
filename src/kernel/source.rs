//! Opening and reading the kernel's files. Nothing outside this room does it.
//!
//! A file is opened once and read again from its start at every collection: the kernel generates procfs and sysfs text anew
//! for a read at offset 0, and `pread` saves the open, the seek and the close.

use super::absence::Absence;
use super::{Bad, Fault};
use crate::model::{Moment, resize};
use crate::sys;
use std::cell::{Ref, RefCell};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Larger than any kernel file that a collector reads; a file that goes on forever must not fill the memory.
const LARGEST: usize = 4 << 20;
const PAGE: usize = 4096;
/// The most that a record of a file of small records takes.
const SMALL_RECORD: usize = 2048;
/// A file stays open only if its descriptor is below the limit of open files divided by this.
const KEPT_SHARE: usize = 2;

/// A kernel file that is kept open.
///
/// After a failed read the file is closed and reopened the next time, so that a device that returns is seen.
#[derive(Debug)]
pub struct Source {
    /// Shared with faults, which cost no allocation then.
    path: Rc<Path>,
    file: Option<File>,
    /// Whether the kernel makes the file's text, as opposed to a copy of such a file, or one that a program makes.
    original: bool,
    /// A read that returns less than this, and less than was asked for, has reached the end.
    short: usize,
    /// It stays open if its descriptor is lower.
    open_below: i32,
    /// Whether its last answer was odd, which is logged once.
    odd: bool,
    absence: Absence,
    buffer: Vec<u8>,
    length: usize,
}

impl Source {
    /// Creates a source that opens `path` when it is first read.
    pub fn new(path: PathBuf) -> Self {
        Source {
            path: path.into(),
            file: None,
            original: false,
            short: 0,
            open_below: i32::MAX,
            odd: false,
            absence: Absence::default(),
            buffer: Vec::new(),
            length: 0,
        }
    }

    /// The same for a file that the kernel prints as one record, or in records of at most 2,048 bytes: a line each in
    /// `/proc/net/dev`, the whole of `/proc/stat`, an attribute of sysfs. Its end is then known one read earlier. In
    /// `/proc/diskstats` a record is a disk with all its partitions, which may take several pages.
    pub fn in_small_records(self) -> Self {
        Source { short: PAGE - SMALL_RECORD, ..self }
    }

    /// The same for a file that the kernel prints as one record of any length (`single_open` in `fs/seq_file.c`), such as
    /// `/proc/net/netstat`.
    pub fn in_one_record(self) -> Self {
        Source { short: usize::MAX, ..self }
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file's present text.
    ///
    /// # Errors
    /// [`Fault::Read`] with the file's path if it cannot be opened or read, or is larger than 4 MiB.
    pub fn read(&mut self) -> Result<&[u8], Fault> {
        self.read_first(usize::MAX)
    }

    /// Returns the first bytes of the file's present text, as many as asked for and at most a page; all of it if the kernel did not
    /// make it. The kernel prints no more lines than these.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn read_first(&mut self, bytes: usize) -> Result<&[u8], Fault> {
        match self.refill(bytes) {
            Ok(()) => Ok(&self.buffer[..self.length]),
            Err(error) => Err(self.refusal(error)),
        }
    }

    fn refusal(&self, error: io::Error) -> Fault {
        Fault::Read { path: self.path.clone(), error }
    }

    /// Like [`Source::read`] for files that need not be there: an error costs no allocation, and an absent file is opened again
    /// only after a while.
    ///
    /// # Errors
    /// What `open(2)` or `read(2)` says.
    pub fn try_read(&mut self) -> io::Result<&[u8]> {
        if self.file.is_none() && self.absence.is_recent() {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        let filled = self.refill(usize::MAX);
        self.absence.note(filled.as_ref().err());
        filled.map(|()| &self.buffer[..self.length])
    }

    fn refill(&mut self, most: usize) -> io::Result<()> {
        let filled = self.fill(most);
        if filled.is_err() {
            self.length = 0;
        }
        // Where few files may be open, most descriptors are for connections, and the file is opened anew at each reading.
        if filled.is_err() || self.file.as_ref().is_some_and(|file| file.as_raw_fd() >= self.open_below) {
            self.file = None;
        }
        filled
    }

    /// Returns what `parse` makes of the file's present text.
    ///
    /// # Errors
    /// As [`Source::read`], and [`Fault::Parse`] with the file's path if `parse` finds something unexpected.
    pub fn parse<T>(&mut self, parse: impl FnOnce(&[u8]) -> Result<T, Bad>) -> Result<T, Fault> {
        parse(self.read()?).map_err(|bad| self.refuse(bad))
    }

    /// Reports that the file holds something unexpected.
    #[inline(never)]
    pub fn refuse(&self, bad: Bad) -> Fault {
        Fault::Parse { path: self.path.clone(), bad }
    }

    /// Hands the text of a device's file, which need not be there or have an answer at every moment, to `parse`. An answer that is odd
    /// is logged for those who look for it: once, until there is a good one. In the binary once for all parsers.
    ///
    /// # Errors
    /// Errors other than those in [`Sensed`], and [`Fault::Parse`] if `parse` finds something unexpected.
    #[inline(never)]
    pub fn sense(&mut self, parse: &mut dyn FnMut(&[u8]) -> Result<(), Bad>) -> Result<Sensed, Fault> {
        let read = self.try_read().map(|_| ());
        let fault = match read {
            // A device, or a container's copy of its file, that says nothing.
            Ok(()) if self.length == 0 => return Ok(Sensed::Silent),
            Ok(()) => match parse(&self.buffer[..self.length]) {
                Ok(()) => {
                    self.odd = false;
                    return Ok(Sensed::Spoke);
                }
                Err(bad) => self.refuse(bad),
            },
            Err(error) => match error.raw_os_error() {
                Some(libc::ENODEV | libc::ENXIO) => return Ok(Sensed::Gone),
                Some(
                    libc::ENOENT
                    | libc::ENOTDIR
                    | libc::EAGAIN
                    | libc::EBUSY
                    | libc::EINVAL
                    | libc::ENODATA
                    | libc::EOPNOTSUPP,
                ) => return Ok(Sensed::Silent),
                _ => self.refusal(error),
            },
        };
        if !std::mem::replace(&mut self.odd, true) {
            crate::debug!("{fault}");
        }
        match fault {
            Fault::Parse { bad: Bad { implausible: true, .. }, .. } => Ok(Sensed::Silent),
            fault => Err(fault),
        }
    }

    /// Returns whether the file was read before and is the kernel's own, not a copy.
    pub fn is_original(&self) -> bool {
        self.file.is_some() && self.original
    }

    /// Returns whether a mount table, read before, may have another text now.
    pub fn has_news(&self) -> bool {
        self.file.as_ref().is_none_or(|file| !self.original || sys::has_news(file))
    }

    /// Returns the text that the last [`Source::read`] returned; empty if that failed.
    pub fn text(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    fn fill(&mut self, most: usize) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            closed => {
                let file = closed.insert(File::open(&self.path)?);
                self.open_below = highest_kept();
                self.original = sys::is_made_by_kernel(file);
                file
            }
        };
        let short = if self.original { self.short } else { 0 };
        self.length = 0;
        if self.original && most <= PAGE {
            resize(&mut self.buffer, most);
            self.length = file.read_at(&mut self.buffer[..most], 0)?;
            return Ok(());
        }
        read_to_end(&mut self.buffer, &mut self.length, short, &|into, at| file.read_at(into, at))
    }
}

/// Files stay open whose descriptors are lower.
#[inline(never)]
pub(super) fn highest_kept() -> i32 {
    i32::try_from(sys::file_limit() / KEPT_SHARE).unwrap_or(i32::MAX)
}

/// Reads all of a file into `buffer`, and how much that is into `length`. `read` is `pread(2)`.
///
/// `seq_read` in `fs/seq_file.c` returns whole records: as many as fit into its own buffer of a page, or one that is larger.
/// So a short read is not the end, unless no record would have been too large for what the last read left of a page, or there
/// is one record alone: a read of less than `short`.
pub(super) fn read_to_end(
    buffer: &mut Vec<u8>,
    length: &mut usize,
    short: usize,
    read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    /// Most files are a line or a few, and each keeps its buffer.
    const SMALLEST: usize = 512;
    loop {
        if buffer.len() - *length < SMALLEST / 2 {
            let larger = (buffer.len() * 2).max(SMALLEST);
            if larger > LARGEST {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
            }
            resize(buffer, larger);
        }
        let asked = buffer.len() - *length;
        match read(&mut buffer[*length..], *length as u64) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                *length += count;
                if count < asked.min(short) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether a device answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensed {
    Spoke,
    /// There is no such file, or the device has nothing to say now.
    Silent,
    /// The device is gone; if there is one of its name, it is another one.
    Gone,
}

/// A source that several collectors read: the kernel is asked once for each moment.
#[derive(Clone, Debug)]
pub struct Shared(Rc<RefCell<SharedSource>>);

#[derive(Debug)]
struct SharedSource {
    source: Source,
    read_at: Option<u64>,
}

impl Shared {
    /// Shares the file at `path` between all clones of this value.
    pub fn new(path: PathBuf) -> Self {
        let source = Source::new(path).in_small_records();
        Shared(Rc::new(RefCell::new(SharedSource { source, read_at: None })))
    }

    /// Returns the file's path.
    pub fn path(&self) -> PathBuf {
        self.0.borrow().source.path.to_path_buf()
    }

    /// Returns the file's text at `moment`.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn read(&self, moment: Moment) -> Result<Ref<'_, [u8]>, Fault> {
        {
            let mut shared = self.0.borrow_mut();
            if shared.read_at != Some(moment.id) {
                shared.read_at = None;
                shared.source.read()?;
                shared.read_at = Some(moment.id);
            }
        }
        Ok(Ref::map(self.0.borrow(), |shared| shared.source.text()))
    }
}

/// Reads a file that is asked for once in place of what `buffer` held.
///
/// # Errors
/// What `open(2)` or `read(2)` says, and `FileTooLarge` beyond 4 MiB.
pub fn read_into(path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    read_record(path, buffer, false)
}

/// The same for a file that the kernel prints as one record, such as a process's: `single_open` in `fs/seq_file.c` hands out all of
/// it, or as much as was asked for. So its end need not be asked for; but copies and programs promise no such thing:
/// `is_record`.
///
/// # Errors
/// As [`read_into`].
pub fn read_record(path: &Path, buffer: &mut Vec<u8>, is_record: bool) -> io::Result<()> {
    let file = File::open(path)?;
    read_parts(buffer, is_record, &mut |into| (&file).read(into))
}

/// Reads to the end. `read` is `read(2)`.
pub(super) fn read_parts(
    buffer: &mut Vec<u8>,
    is_record: bool,
    read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    const PART: usize = 4096;
    buffer.clear();
    loop {
        let length = buffer.len();
        if length > LARGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        resize(buffer, length + PART);
        let read = read(&mut buffer[length..]);
        buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => return Ok(()),
            Ok(count) if is_record && count < PART => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}

/// Reads as much of a small file as fits into `buffer`, without an allocation.
///
/// # Errors
/// What `open(2)` or `read(2)` says.
pub fn read_start<'a>(path: &Path, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let count = File::open(path)?.read(buffer)?;
    Ok(&buffer[..count])
}

/// Reads a file that is asked for once, with all of its bytes.
///
/// # Errors
/// As [`read_into`].
pub fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    read_into(path, &mut buffer).map(|()| buffer)
}

/// Reads a small file that cannot change while the agent runs; `None` if it is not there or holds nothing.
///
/// Device-tree strings end with a NUL byte and most files with a newline: both are cut off.
pub fn read_once(path: &Path) -> Option<Vec<u8>> {
    let mut source = Source::new(path.to_owned());
    let text = source.read().ok()?;
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
    (!text.is_empty()).then(|| text.to_vec())
}
/// Returns whether there is something at `path` that is no directory: a file, or a socket. Not for what may hang.
pub fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir())
}

/// Returns how much of its disk a file takes, in bytes: of one with holes, that is less than its size.
///
/// # Errors
/// What `stat(2)` says.
pub fn used(path: &Path) -> io::Result<u64> {
    // `st_blocks` counts 512 bytes each, whatever the filesystem's blocks are.
    std::fs::metadata(path).map(|metadata| metadata.blocks() * 512)
}

/// Hands the names in a directory to `each`, in the kernel's order; leaves out those that are not UTF-8.
///
/// # Errors
/// What `open(2)` or `getdents64(2)` says.
pub fn each_name(path: &Path, each: &mut dyn FnMut(&str)) -> io::Result<()> {
    sys::Directory::open(path)?.list(|name, _| {
        if let Ok(name) = std::str::from_utf8(name) {
            each(name);
        }
    })
}

/// Opens a file for nothing but to know whether that is allowed; not for what may hang.
///
/// # Errors
/// What `open(2)` says.
pub fn try_open(path: &Path) -> io::Result<()> {
    File::open(path).map(drop)
}

/// Returns whether a link, such as those to a process's open files, leads to `target`.
pub fn leads_to(path: &Path, target: &str) -> bool {
    std::fs::read_link(path).is_ok_and(|found| found.as_os_str() == target)
}

/// Returns the number of a file's inode.
///
/// # Errors
/// What `stat(2)` says.
pub fn inode(path: &Path) -> io::Result<u64> {
    std::fs::metadata(path).map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_anew_and_heals() {
        let dir = std::env::temp_dir().join(format!("pi-monitor-source-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("file");
        let mut source = Source::new(path.clone());
        assert!(source.read().unwrap_err().is_absent());
        std::fs::write(&path, "one").unwrap();
        assert_eq!(source.read().unwrap(), b"one");
        std::fs::write(&path, "x".repeat(10_000)).unwrap();
        assert_eq!(source.read().unwrap().len(), 10_000);
        std::fs::write(&path, "").unwrap();
        assert_eq!(source.read().unwrap(), b"");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// `seq_read_iter`: what is left of a record that was read in part, then whole records, as many as fit into a page and into
    /// what was asked for, or one that is larger than a page.
    fn seq_read(text: &[u8], ends: &[usize], into: &mut [u8], at: u64) -> usize {
        let at = at as usize;
        let Some(mut next) = ends.iter().position(|&end| end > at) else { return 0 };
        let in_part = at > 0 && !ends.contains(&at);
        let start = if in_part { ends[next] } else { at };
        next += usize::from(in_part);
        let mut end = start;
        while next < ends.len() && end - at < into.len() && (end == start || ends[next] - start < 4096) {
            end = ends[next];
            next += 1;
        }
        let count = (end - at).min(into.len());
        into[..count].copy_from_slice(&text[at..at + count]);
        count
    }

    #[test]
    fn a_file_is_read_to_its_end_wherever_the_kernel_cuts_it() {
        let text: Vec<u8> = (0..9000_u32).map(|place| (place % 251) as u8).collect();
        let all = |ends: &[usize], short| {
            let (mut buffer, mut length) = (Vec::new(), 0);
            let read = |into: &mut [u8], at: u64| Ok(seq_read(&text, ends, into, at));
            read_to_end(&mut buffer, &mut length, short, &read).unwrap();
            buffer[..length] == text
        };
        for cut in 1..text.len() {
            assert!(all(&[cut, text.len()], 0), "cut at {cut}");
        }
        for size in 1..=2048 {
            let ends: Vec<_> = (1..=text.len() / size).map(|number| number * size).chain([text.len()]).collect();
            assert!(all(&ends, PAGE - SMALL_RECORD), "records of {size} bytes");
        }
        assert!(all(&[text.len()], PAGE - SMALL_RECORD), "one record");
        assert!(
            !all(&[440, text.len()], PAGE - SMALL_RECORD),
            "a small record, then a large one: what the flag must not be set for"
        );
    }

    #[test]
    fn the_end_of_a_record_is_not_asked_for() {
        let text: Vec<u8> = (0..9000_u32).map(|place| (place % 251) as u8).collect();
        // Hands out what is asked for, but no more than up to `cut` at first; returns what was read, and in how many reads.
        let all = |text: &[u8], cut: usize, is_record| {
            let (mut buffer, mut at, mut reads) = (vec![1], 0, 0);
            let read = &mut |into: &mut [u8]| {
                let end = if at < cut { cut } else { text.len() };
                let count = into.len().min(end - at);
                into[..count].copy_from_slice(&text[at..at + count]);
                (at, reads) = (at + count, reads + 1);
                Ok(count)
            };
            read_parts(&mut buffer, is_record, read).unwrap();
            (buffer == text, reads)
        };
        for length in 0..text.len() {
            assert_eq!(all(&text[..length], 0, true), (true, 1 + length / 4096), "{length} bytes");
            assert!(all(&text, length, false).0, "cut at {length}");
        }
    }

    #[test]
    fn what_is_absent_is_asked_for_again_after_a_while() {
        let dir = std::env::temp_dir().join(format!("pi-monitor-absence-{}", std::process::id()));
        let (file, text) = (dir.join("file"), |source: &mut Source| source.try_read().map(<[u8]>::to_vec).ok());
        let (mut optional, mut required) = (Source::new(file.clone()), Source::new(file.clone()));
        assert!(text(&mut optional).is_none() && required.read().is_err());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(&file, "7").unwrap();
        assert_eq!(required.read().unwrap(), b"7", "whatever every machine has is asked for each time");
        assert!(optional.try_read().unwrap_err().kind() == io::ErrorKind::NotFound);
        assert_eq!(optional.sense(&mut |_| Ok(())).unwrap(), Sensed::Silent);
        crate::kernel::let_absence_end();
        assert_eq!(text(&mut optional).unwrap(), b"7");
        // An open file is read each time, and another error is no absence.
        std::fs::write(&file, "8").unwrap();
        assert_eq!(text(&mut optional).unwrap(), b"8");
        let mut looped = Source::new(dir.join("loop"));
        std::os::unix::fs::symlink("loop", looped.path()).unwrap();
        assert!(text(&mut looped).is_none());
        std::fs::remove_file(looped.path()).unwrap();
        std::fs::write(looped.path(), "9").unwrap();
        assert_eq!(text(&mut looped).unwrap(), b"9");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn an_endless_file_is_refused() {
        let fault = Source::new("/dev/zero".into()).read().unwrap_err();
        assert_eq!(fault.to_string(), "/dev/zero: larger than 4 MiB");
    }

    #[test]
    fn a_shared_file_is_read_once_a_moment() {
        let dir = std::env::temp_dir().join(format!("pi-monitor-shared-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("file");
        std::fs::write(&path, "one").unwrap();
        let (first, second) = {
            let shared = Shared::new(path.clone());
            (shared.clone(), shared)
        };
        let moment = |id| Moment { id, ..Moment::default() };
        assert_eq!(&*first.read(moment(1)).unwrap(), b"one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(&*second.read(moment(1)).unwrap(), b"one");
        assert_eq!(&*second.read(moment(2)).unwrap(), b"two");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
