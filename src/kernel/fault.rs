//! Faults in reading the kernel: the file, the line, what was expected and what was found.

use super::source::{Sensed, Source};
use super::text::{trim, uint};
use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;
use std::rc::Rc;

/// A line that is not what the kernel's documentation promises.
///
/// Holds the beginning of what was found; owns nothing, so that parsers stay free of allocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Line number in the file, from 1; 0 if the whole file is meant.
    pub line: usize,
    /// What the parser expected, in words for a log line.
    pub expected: &'static str,
    found: [u8; 40],
    length: usize,
    /// Whether the text is well-formed, but says what cannot be.
    pub implausible: bool,
}

impl Bad {
    /// Reports that `line` was `found` where the parser expected something else.
    #[inline(never)]
    pub fn new(line: usize, expected: &'static str, found: &[u8]) -> Self {
        let mut start = [0; 40];
        let length = found.len().min(start.len());
        start[..length].copy_from_slice(&found[..length]);
        Bad { line, expected, found: start, length, implausible: false }
    }

    /// `found` is well-formed, but contradicts physics or its neighbors: no fault, and no value.
    pub fn implausible(expected: &'static str, found: &[u8]) -> Self {
        Bad { implausible: true, ..Bad::new(1, expected, found) }
    }

    /// Reports that nothing in the file was what the parser expected.
    pub fn missing(expected: &'static str) -> Self {
        Bad::new(0, expected, b"")
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bad { line, expected, found, length, implausible: _ } = self;
        if *line == 0 {
            return write!(f, "expected {expected}, found nothing");
        }
        write!(f, "line {line}: expected {expected}, found \"")?;
        // As `escape_ascii` does, which takes more room.
        for &byte in &found[..*length] {
            match byte {
                b'\t' => f.write_str("\\t"),
                b'\r' => f.write_str("\\r"),
                b'\n' => f.write_str("\\n"),
                b'"' | b'\'' | b'\\' => write!(f, "\\{}", char::from(byte)),
                b' '..=b'~' => f.write_char(char::from(byte)),
                _ => write!(f, "\\x{byte:02x}"),
            }?;
        }
        f.write_char('"')
    }
}

/// The reason that a collector could not report everything.
#[derive(Debug)]
pub enum Fault {
    /// The kernel refused to open or read a file.
    Read { path: Rc<Path>, error: io::Error },
    /// The file's text is not what its documentation promises.
    Parse { path: Rc<Path>, bad: Bad },
}

impl Fault {
    /// Reports that `path` could not be read.
    #[inline(never)]
    pub fn read(path: &Path, error: io::Error) -> Self {
        Fault::Read { path: path.into(), error }
    }

    /// Reports that `path` holds something unexpected.
    #[inline(never)]
    pub fn parse(path: &Path, bad: Bad) -> Self {
        Fault::Parse { path: path.into(), bad }
    }

    /// Returns whether the file does not exist or its device is gone.
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

/// The first of several faults, kept so that one bad line or sensor does not hide the others.
#[derive(Debug)]
pub struct First<T>(Option<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        First(None)
    }
}

impl<T> First<T> {
    /// Starts without a fault.
    pub fn new() -> Self {
        First(None)
    }

    /// Records a fault; keeps only the first one.
    pub fn note(&mut self, fault: T) {
        self.0.get_or_insert(fault);
    }

    /// Passes a good value on and records a fault.
    pub fn keep<V>(&mut self, result: Result<V, T>) -> Option<V> {
        result.map_err(|fault| self.note(fault)).ok()
    }

    /// Returns the first fault recorded, if any.
    pub fn result(self) -> Result<(), T> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The members of a group, such as the sensors of a machine, whose faults are their own.
///
/// A collector is at fault if its members are there and not one of them says anything.
#[derive(Debug, Default)]
pub struct Members {
    spoke: bool,
    first: First<Fault>,
}

impl Members {
    /// Returns what a member's file says now. A device that is gone is noted in `gone`.
    pub fn ask<T>(
        &mut self,
        source: &mut Source,
        gone: &mut bool,
        parse: impl Fn(&[u8]) -> Result<T, Bad>,
    ) -> Option<T> {
        let mut value = None;
        self.hear(source, gone, &mut |text| {
            value = Some(parse(text)?);
            Ok(())
        });
        value
    }

    /// Returns the number, at most `most`, that a member's file says now; `what` is it for messages.
    #[inline(never)]
    pub fn number(&mut self, source: &mut Source, gone: &mut bool, most: u64, what: &'static str) -> Option<u64> {
        self.ask(source, gone, |text| number(text, most, what))
    }

    /// In the binary once for all kinds of answers.
    #[inline(never)]
    fn hear(&mut self, source: &mut Source, gone: &mut bool, parse: &mut dyn FnMut(&[u8]) -> Result<(), Bad>) {
        match source.sense(parse) {
            Ok(Sensed::Spoke) => self.spoke = true,
            Ok(Sensed::Silent) => {}
            Ok(Sensed::Gone) => *gone = true,
            Err(fault) => self.first.note(fault),
        }
    }

    /// Takes over what came of a member that was read elsewhere.
    pub fn note(&mut self, result: Result<(), Fault>) {
        match result {
            Ok(()) => self.spoke = true,
            Err(fault) => self.first.note(fault),
        }
    }

    /// Whether any member said anything.
    pub fn spoke(&self) -> bool {
        self.spoke
    }

    /// The first fault, if no member said anything.
    ///
    /// # Errors
    /// That fault.
    pub fn result(self) -> Result<(), Fault> {
        if self.spoke { Ok(()) } else { self.first.result() }
    }
}

/// Parses `what`: a number, which is implausible above `most`.
fn number(text: &[u8], most: u64, what: &'static str) -> Result<u64, Bad> {
    let text = trim(text);
    match uint(text) {
        Some(number) if number <= most => Ok(number),
        Some(_) => Err(Bad::implausible(what, text)),
        None => Err(Bad::new(1, what, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_file_line_expected_and_found() {
        let bad = Bad::new(3, "a number of bytes", b"eth0: x\xff\n");
        let fault = Fault::parse(Path::new("/proc/net/dev"), bad);
        assert_eq!(fault.to_string(), r#"/proc/net/dev: line 3: expected a number of bytes, found "eth0: x\xff\n""#);
        let fault = Fault::parse(Path::new("/proc/meminfo"), Bad::missing("MemTotal"));
        assert_eq!(fault.to_string(), "/proc/meminfo: expected MemTotal, found nothing");
    }

    #[test]
    fn a_number_is_within_its_bounds() {
        assert_eq!(number(b"198765432\n", u64::MAX, "bytes"), Ok(198_765_432));
        assert_eq!(number(b"20\n", 20, "volts"), Ok(20));
        let bad = |text: &[u8]| {
            let Bad { line, implausible, .. } = number(text, 20, "volts").unwrap_err();
            (line, implausible)
        };
        for text in ["21\n", "18446744073709551615\n"] {
            assert!(bad(text.as_bytes()).1, "{text}");
        }
        for text in ["", "-1\n", "x\n", "18446744073709551616\n", "1 2"] {
            assert_eq!(bad(text.as_bytes()), (1, false), "{text}");
        }
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
