//! What went wrong while reading the kernel: which file, which line, what was wanted there and what was found.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A line that is not what the kernel's documentation promises.
///
/// Holds the beginning of what was found; owns nothing, so that parsers stay free of allocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Line number in the file, from 1; 0 if the whole file is meant.
    pub line: usize,
    /// What the parser wanted to see, as words for a log line.
    pub wanted: &'static str,
    found: [u8; 40],
    length: usize,
}

impl Bad {
    /// `wanted` was not in `found`, the text of `line`.
    pub fn new(line: usize, wanted: &'static str, found: &[u8]) -> Self {
        let mut start = [0; 40];
        let length = found.len().min(start.len());
        start[..length].copy_from_slice(&found[..length]);
        Bad { line, wanted, found: start, length }
    }

    /// `wanted` was nowhere in the file.
    pub fn missing(wanted: &'static str) -> Self {
        Bad::new(0, wanted, b"")
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bad { line, wanted, found, length } = self;
        if *line == 0 {
            return write!(f, "wanted {wanted}, found none");
        }
        write!(f, "line {line}: wanted {wanted}, found \"{}\"", found[..*length].escape_ascii())
    }
}

/// Why a collector could not tell all that it should.
#[derive(Debug)]
pub enum Fault {
    /// The kernel refused to open or read a file.
    Read { path: PathBuf, error: io::Error },
    /// The file's text is not what its documentation promises.
    Parse { path: PathBuf, bad: Bad },
}

impl Fault {
    /// `path` could not be read.
    pub fn read(path: &Path, error: io::Error) -> Self {
        Fault::Read { path: path.to_owned(), error }
    }

    /// `path` holds something unexpected.
    pub fn parse(path: &Path, bad: Bad) -> Self {
        Fault::Parse { path: path.to_owned(), bad }
    }

    /// Whether the file does not exist, or the device behind it is gone.
    pub fn is_absent(&self) -> bool {
        match self {
            Fault::Read { error, .. } => {
                error.kind() == io::ErrorKind::NotFound
                    || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO | libc::ENOTDIR))
            }
            Fault::Parse { .. } => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Read { path, error } => write!(f, "{}: {error}", path.display()),
            Fault::Parse { path, bad } => write!(f, "{}: {bad}", path.display()),
        }
    }
}

/// Remembers the first of several faults, so that one bad line or sensor does not hide the others.
#[derive(Debug, Default)]
pub struct First<T>(Option<T>);

impl<T> First<T> {
    /// No fault yet.
    pub fn new() -> Self {
        First(None)
    }

    /// Notes a fault; only the first one is kept.
    pub fn note(&mut self, fault: T) {
        self.0.get_or_insert(fault);
    }

    /// Passes a good value on and notes a fault.
    pub fn keep<V>(&mut self, result: Result<V, T>) -> Option<V> {
        result.map_err(|fault| self.note(fault)).ok()
    }

    /// The first fault noted, if any.
    pub fn result(self) -> Result<(), T> {
        self.0.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_file_line_wish_and_finding() {
        let bad = Bad::new(3, "a number of bytes", b"eth0: x\xff\n");
        let fault = Fault::parse(Path::new("/proc/net/dev"), bad);
        assert_eq!(fault.to_string(), r#"/proc/net/dev: line 3: wanted a number of bytes, found "eth0: x\xff\n""#);
        let fault = Fault::parse(Path::new("/proc/meminfo"), Bad::missing("MemTotal"));
        assert_eq!(fault.to_string(), "/proc/meminfo: wanted MemTotal, found none");
    }

    #[test]
    fn first_keeps_the_first() {
        let mut first = First::new();
        assert_eq!(first.keep(Ok::<_, &str>(1)), Some(1));
        assert_eq!(first.keep(Err::<i32, _>("one")), None);
        first.note("two");
        assert_eq!(first.result(), Err("one"));
    }
}
