//! Files that other programs write: when they are another one, and how they are read without being trusted.

use super::source::read_parts;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// What is different when a file is another one, or has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it was last written, since 1970.
    pub modified: Duration,
    /// When that or anything else about it was last changed, which nobody can set.
    pub changed: Duration,
    size: u64,
    inode: u64,
}

impl Stamp {
    fn new(metadata: &Metadata) -> io::Result<Self> {
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let time = |seconds, nanoseconds| {
            Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanoseconds).unwrap_or(0))
        };
        Ok(Stamp {
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.len(),
            inode: metadata.ino(),
        })
    }

    /// Returns the stamp of a regular file. A link is none.
    ///
    /// # Errors
    /// What `lstat(2)` says, and `InvalidInput` for everything but a regular file.
    pub fn of(path: &Path) -> io::Result<Self> {
        Stamp::new(&std::fs::symlink_metadata(path)?)
    }
}

/// Reads a file that another program wrote in place of what `buffer` held: a regular one, no link, of at most `most` bytes. Returns its
/// stamp of before it was read.
///
/// # Errors
/// What `open(2)` or `read(2)` says, `InvalidInput` for anything but a regular file, `FileTooLarge` beyond `most`.
pub fn read_foreign(path: &Path, most: usize, buffer: &mut Vec<u8>) -> io::Result<Stamp> {
    // Neither a pipe nor a device must be waited for, or do anything because it is opened.
    Stamp::of(path)?;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let stamp = Stamp::new(&file.metadata()?)?;
    if stamp.size <= most as u64 {
        read_parts(buffer, false, &mut |into| (&file).read(into))?;
        if buffer.len() <= most {
            return Ok(stamp);
        }
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large; 256 KiB is the most"))
}
