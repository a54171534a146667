//! Many small files of the kernel, kept open and read into one buffer, and copies of files that seldom change.

use super::absence::Absence;
use super::source::{highest_kept, read_to_end};
use crate::model::resize;
use crate::sys;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Files of the kernel that are read again and again, by hashes of their paths. They stay open, up to a number of them: to open and close one
/// costs several times as much as to read it. Those that are absent are not asked for again for a while.
#[derive(Debug, Default)]
pub struct Kept {
    files: Vec<KeptFile>,
    /// Where the next one is, if they are asked for in the order of last time.
    next: usize,
    /// When the first of the absent ones was.
    absence: Absence,
}

#[derive(Debug)]
struct KeptFile {
    hash: u64,
    /// `None` if it is absent.
    file: Option<File>,
    /// A read that returns less than this, and less than was asked for, has reached the end.
    short: u16,
}

/// The most files of which one [`Kept`] keeps something.
const KEPT_MAX: usize = 256;

impl Kept {
    /// Begins a new round, in which files are asked for in the order of the last one.
    pub fn begin(&mut self) {
        self.next = 0;
        if !self.absence.is_recent() {
            self.files.retain(|kept| kept.file.is_some());
            self.absence = Absence::default();
        }
    }

    /// Reads a file into `buffer`, behind whose text anything may stand, and returns the text's length; `None` if it has to be opened.
    pub fn read(&mut self, hash: u64, buffer: &mut Vec<u8>) -> Option<io::Result<usize>> {
        let Kept { files, next, .. } = self;
        let is_it = |kept: &KeptFile| kept.hash == hash;
        let place = if files.get(*next).is_some_and(is_it) { *next } else { files.iter().position(is_it)? };
        let kept = files.get_mut(place)?;
        *next = place + 1;
        let read = kept.read(buffer);
        // The device is gone; there may be another one of its name.
        if read.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENODEV)) {
            (kept.hash, kept.file) = (0, None);
            return None;
        }
        Some(read)
    }

    /// Opens a file that [`Kept::read`] does not have, and does the same. Of the kernel's own, a read of less than `short` is the end; see
    /// [`Source::in_small_records`](super::Source::in_small_records).
    ///
    /// # Errors
    /// What `open(2)` or `read(2)` says.
    pub fn open(&mut self, hash: u64, path: &Path, short: u16, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let Kept { files, next, absence } = self;
        let file = match File::open(path) {
            Ok(file) => Some(file),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                if !absence.is_recent() {
                    absence.note(Some(&error));
                }
                None
            }
            Err(error) => return Err(error),
        };
        let is_original = file.as_ref().is_none_or(sys::is_made_by_kernel);
        let kept = KeptFile { hash, file, short: if is_original { short } else { 0 } };
        let read = kept.read(buffer);
        let is_low = kept.file.as_ref().is_none_or(|file| file.as_raw_fd() < highest_kept());
        if is_original && is_low && files.len() < KEPT_MAX {
            files.insert(*next, kept);
            *next += 1;
        }
        read
    }
}

/// Texts of files that people or programs replace now and then, such as `/etc/os-release`: a file is read again when what `stat(2)` says
/// of it is new: that is cheaper than to open and read it.
#[derive(Debug, Default)]
pub struct Copies(Vec<CopiedFile>);

#[derive(Debug)]
struct CopiedFile {
    /// A hash of the path.
    hash: u64,
    /// `None` if the file had just been written: another text may have the same one.
    stamp: Option<Stamp>,
    text: Vec<u8>,
}

/// Its filesystem and inode, its size, and when it and its inode were changed.
type Stamp = [i64; 7];

/// The most text that is kept.
const COPIED_MAX: usize = 32 << 10;

/// For so many seconds a file may be changed again without another time: the kernel's clock for files has ticks.
const SETTLED_AFTER: i64 = 2;

impl Copies {
    /// Reads a file into `buffer`, behind whose text anything may stand, and returns the text's length. `hash` is that of its path.
    ///
    /// # Errors
    /// What `stat(2)`, `open(2)` or `read(2)` says.
    pub fn read(&mut self, hash: u64, path: &Path, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let stamp = stamp(&std::fs::metadata(path)?);
        let place = self.0.iter().position(|copy| copy.hash == hash);
        if let Some(copy) = place.map(|place| &self.0[place]).filter(|copy| copy.stamp == Some(stamp)) {
            let length = copy.text.len();
            if buffer.len() < length {
                resize(buffer, length);
            }
            buffer[..length].copy_from_slice(&copy.text);
            return Ok(length);
        }
        let length = read_whole(path, buffer)?;
        let kept: usize = self.0.iter().map(|copy| copy.text.len()).sum();
        if kept + length <= COPIED_MAX {
            let place = place.unwrap_or_else(|| {
                self.0.push(CopiedFile { hash, stamp: None, text: Vec::new() });
                self.0.len() - 1
            });
            let [_, _, _, written, ..] = stamp;
            let is_settled = written.abs_diff(sys::unix_time().as_secs() as i64) > SETTLED_AFTER as u64;
            let copy = &mut self.0[place];
            copy.stamp = is_settled.then_some(stamp);
            copy.text.clear();
            copy.text.extend_from_slice(&buffer[..length]);
        } else if let Some(place) = place {
            self.0.swap_remove(place);
        }
        Ok(length)
    }
}

#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
fn stamp(of: &Metadata) -> Stamp {
    let (dev, ino) = (of.dev() as i64, of.ino() as i64);
    [dev, ino, of.size() as i64, of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()]
}

/// Reads a file once, as [`Kept::read`] does, and closes it.
///
/// # Errors
/// What `open(2)` or `read(2)` says.
pub fn read_whole(path: &Path, buffer: &mut Vec<u8>) -> io::Result<usize> {
    KeptFile { hash: 0, file: Some(File::open(path)?), short: 0 }.read(buffer)
}

impl KeptFile {
    fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let Some(file) = &self.file else { return Err(io::Error::from_raw_os_error(libc::ENOENT)) };
        let mut length = 0;
        read_to_end(buffer, &mut length, self.short.into(), &|into, at| file.read_at(into, at))?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::let_absence_end;
    use crate::model::key;

    #[test]
    fn files_are_read_anew_and_stay_open_where_the_kernel_makes_them() {
        let (mut kept, mut buffer) = (Kept::default(), Vec::new());
        let mut read = |kept: &mut Kept, path: &str, is_record: bool| {
            let (hash, short) = (key(path, 0), if is_record { u16::MAX } else { 0 });
            let known = kept.read(hash, &mut buffer);
            let length = known.unwrap_or_else(|| kept.open(hash, Path::new(path), short, &mut buffer))?;
            io::Result::Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        let uptime = "/proc/uptime";
        let first: Vec<_> = [uptime, "/sys/class/net/lo/ifindex", "/proc/version"]
            .iter()
            .map(|path| read(&mut kept, path, path.starts_with("/sys")).unwrap())
            .collect();
        assert_eq!((first[1].as_str(), kept.files.len()), ("1\n", 3));
        // In any order, and the present text.
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(read(&mut kept, "/proc/version", false).unwrap(), first[2]);
        assert_ne!(read(&mut kept, uptime, false).unwrap(), first[0]);
        assert_eq!(read(&mut kept, "/sys/class/net/lo/ifindex", true).unwrap(), "1\n");
        assert_eq!(kept.files.len(), 3);
        // What others replace is not kept, and what is not there is an error.
        let copy = std::env::temp_dir().join(format!("pi-monitor-kept-{}", std::process::id()));
        for text in ["a", "b"] {
            std::fs::write(&copy, text).unwrap();
            assert_eq!(read(&mut kept, copy.to_str().unwrap(), true).unwrap(), text);
            std::fs::remove_file(&copy).unwrap();
        }
        assert_eq!(kept.files.len(), 3);
        // What is absent is so for a while.
        assert!(read(&mut kept, copy.to_str().unwrap(), true).is_err());
        std::fs::write(&copy, "c").unwrap();
        kept.begin();
        assert!(read(&mut kept, copy.to_str().unwrap(), true).is_err());
        let_absence_end();
        kept.begin();
        assert_eq!(read(&mut kept, copy.to_str().unwrap(), true).unwrap(), "c");
        assert_eq!(kept.files.len(), 3);
        std::fs::remove_file(&copy).unwrap();
    }

    #[test]
    fn a_text_is_read_again_when_its_file_is_another_one() {
        let (mut copies, mut buffer) = (Copies::default(), Vec::new());
        let path = std::env::temp_dir().join(format!("pi-monitor-copies-{}", std::process::id()));
        let write = |text: &str, ago: u64| {
            let new = path.with_extension("new");
            std::fs::write(&new, text).unwrap();
            let time = std::time::SystemTime::now() - std::time::Duration::from_secs(ago);
            File::options().write(true).open(&new).unwrap().set_modified(time).unwrap();
            std::fs::rename(&new, &path).unwrap();
        };
        let mut read = |copies: &mut Copies| {
            let length = copies.read(7, &path, &mut buffer).ok()?;
            Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
        };
        for (text, ago, is_known) in [("one", 9, true), ("two", 9, true), ("now", 0, false), ("longer", 9, true)] {
            write(text, ago);
            for _ in 0..2 {
                assert_eq!(read(&mut copies).as_deref(), Some(text));
                assert_eq!((copies.0.len(), copies.0[0].stamp.is_some()), (1, is_known), "{text}");
            }
        }
        // What is kept is what is given.
        copies.0[0].text.make_ascii_uppercase();
        assert_eq!(read(&mut copies).as_deref(), Some("LONGER"));
        write(&"x".repeat(COPIED_MAX + 1), 9);
        assert_eq!((read(&mut copies).map(|text| text.len()), copies.0.len()), (Some(COPIED_MAX + 1), 0));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&mut copies), None);
    }
}
