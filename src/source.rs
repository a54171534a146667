//! The only module that opens kernel files.
//!
//! A file is opened once and read again from its start at every collection: the kernel makes procfs and sysfs text anew
//! for a read at offset 0, and `pread` saves the open, the seek and the close.

use crate::fault::{Bad, Fault};
use crate::snapshot::Moment;
use std::cell::{Ref, RefCell};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where the three file trees are that collectors read; other places than the usual ones for tests and containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    pub proc: PathBuf,
    pub sys: PathBuf,
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Roots { proc: "/proc".into(), sys: "/sys".into(), root: "/".into() }
    }
}

/// Larger than any kernel file that a collector reads; a file that goes on forever must not fill the memory.
const LARGEST: usize = 4 << 20;

/// A kernel file that is kept open.
///
/// After a failed read the file is closed and opened anew the next time, so that a device that comes back is seen.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    length: usize,
}

impl Source {
    /// A source that opens `path` when it is first read.
    pub fn new(path: PathBuf) -> Self {
        Source { path, file: None, buffer: Vec::new(), length: 0 }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's present text.
    ///
    /// # Errors
    /// [`Fault::Read`] with the file's path if it cannot be opened or read, or is larger than 4 MiB.
    pub fn read(&mut self) -> Result<&[u8], Fault> {
        match self.fill() {
            Ok(()) => Ok(&self.buffer[..self.length]),
            Err(error) => {
                self.file = None;
                self.length = 0;
                Err(Fault::read(&self.path, error))
            }
        }
    }

    /// What `parse` makes of the file's present text.
    ///
    /// # Errors
    /// As [`Source::read`], and [`Fault::Parse`] with the file's path if `parse` finds something unexpected.
    pub fn parse<T>(&mut self, parse: impl FnOnce(&[u8]) -> Result<T, Bad>) -> Result<T, Fault> {
        parse(self.read()?).map_err(|bad| Fault::parse(&self.path, bad))
    }

    /// The text that the last [`Source::read`] returned; empty if that failed.
    pub fn text(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    fn fill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            closed => closed.insert(File::open(&self.path)?),
        };
        self.length = 0;
        loop {
            if self.buffer.len() - self.length < 1024 {
                let larger = (self.buffer.len() * 2).max(4096);
                if larger > LARGEST {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
                }
                self.buffer.resize(larger, 0);
            }
            // A short read is not the end: the kernel hands out some files in portions of at most a page.
            match file.read_at(&mut self.buffer[self.length..], self.length as u64) {
                Ok(0) => return Ok(()),
                Ok(count) => self.length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
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
        Shared(Rc::new(RefCell::new(SharedSource { source: Source::new(path), read_at: None })))
    }

    /// The file's path.
    pub fn path(&self) -> PathBuf {
        self.0.borrow().source.path.clone()
    }

    /// The file's text at `moment`.
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

/// Reads a small file that cannot change while the agent runs; `None` if it is not there or holds nothing.
///
/// Device-tree strings end with a NUL byte and most files with a newline: both are cut off.
pub fn read_once(path: &Path) -> Option<Vec<u8>> {
    let mut source = Source::new(path.to_owned());
    let text = source.read().ok()?;
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
    (!text.is_empty()).then(|| text.to_vec())
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
