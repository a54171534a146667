//! What an event is as bytes, which the buffer holds and the journal appends and reads back. Numbers are little-endian, texts
//! are UTF-8 behind a byte with their length:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 2 | length of the whole record |
//! | 2 | 1 | version: 1 |
//! | 3 | 1 | kind: its place in [`kinds::ALL`], or [`BOOT`] |
//! | 4 | 1 | severity in bits 0 and 1, lane in bits 2 and 3; bit 4: its processes are not known yet |
//! | 5 | 1 | unit of the worst value |
//! | 6 | 2 | how often it happened |
//! | 8 | 8 | id |
//! | 16 | 4 | number of its boot |
//! | 20 | 8 | begin, in milliseconds since that boot |
//! | 28 | 8 | end, likewise; all ones while it lasts |
//! | 36 | 8 | worst value in thousandths, signed; the smallest number is none |
//! | 44 | | texts: rule, title, detail, culprit |
//! | | | three lists of processes: their count in a byte, then 4 bytes of number, 5 of amount and the name for each |
//!
//! Times count from boot, since the clock of a board without a battery is wrong until the network sets it. Each stretch of
//! time has a record of its own that says what to add, and is corrected when the clock steps:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | length, version, [`BOOT`] |
//! | 4 | 4 | 1 if the clock was known to be right |
//! | 8 | 4 | its number |
//! | 12 | 4 | the first 8 digits of the kernel's boot id |
//! | 16 | 8 | Unix time at boot in milliseconds, signed |

use crate::model::{BUSY_LISTS, BUSY_MAX, Busy, Event, Lane, Severity, Unit, Value, kinds};
use std::fmt::{self, Write as _};

/// In the place of a kind: a record of a stretch of time.
const BOOT: u8 = 255;
pub const VERSION: u8 = 1;
/// Where numbers are in a record.
pub const FLAGS: usize = 4;
pub const TIMES: usize = 6;
pub const ID: usize = 8;
pub const BOOT_NUMBER: usize = 16;
pub const BEGIN: usize = 20;
pub const END: usize = 28;
pub const WORST: usize = 36;
const TEXTS: usize = 44;
/// In the flags: the processes are not known yet.
pub const PENDING: u8 = 1 << 4;
/// As much of a text as is kept, without the mark that it was cut.
pub const TEXT_MAX: usize = 252;
const CUT: &str = "…";
/// As much of a process's name as is kept. The kernel has 15 bytes, each of which may have become an escape.
pub const NAME_MAX: usize = 60;
/// The longest that the lists of processes, and that a whole record can be.
pub const LISTS_LONGEST: usize = BUSY_LISTS.len() * (1 + BUSY_MAX * (4 + 5 + 1 + NAME_MAX));
pub const LONGEST: usize = TEXTS + 4 * 256 + LISTS_LONGEST;

/// A stretch of time with one boot and one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Grows from boot to boot.
    pub number: u32,
    /// The first 8 digits of the kernel's boot id, as a number; 0 if it is unknown.
    pub id: u32,
    /// Unix time at boot, in milliseconds, by the best knowledge that there is now.
    pub offset: i64,
    /// Whether the clock was known to be right.
    pub exact: bool,
}

impl Boot {
    /// Returns it as a record.
    pub fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&[24, 0, VERSION, BOOT]);
        bytes[4] = u8::from(self.exact);
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }
}

/// What a record says.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    Boot(Boot),
    /// An event whose times count from the boot of this number, with its lists of processes.
    Event(u32, Event<'a>, Lists<'a>),
}

/// Returns whether an event's record may still change: the event lasts, or its processes are not known yet.
pub fn is_open(record: &[u8]) -> bool {
    number(record, END) == u64::MAX || record[FLAGS] & PENDING > 0
}

/// Returns whether an event's record is of something critical.
pub fn is_critical(record: &[u8]) -> bool {
    record[FLAGS] & 3 == Severity::Critical as u8
}

/// The lists of processes in a record that was decoded.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a>(&'a [u8]);

impl Lists<'_> {
    /// No process in any of them.
    pub const NONE: Lists<'static> = Lists(&[0; BUSY_LISTS.len()]);

    /// Returns whether there is no process in any of them.
    pub fn is_empty(&self) -> bool {
        self.0.len() == BUSY_LISTS.len()
    }

    /// Hands each process to `show`, with the place of its list in [`BUSY_LISTS`].
    pub fn each(&self, show: &mut dyn FnMut(usize, &Busy<'_>)) {
        let _ = read_lists(&mut Reader(self.0), show);
    }
}

/// Takes a record apart.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes a number of at most 8 bytes.
    fn number(&mut self, count: usize) -> Option<u64> {
        Some(self.take(count)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.number(1)? as usize;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

fn read_lists(reader: &mut Reader<'_>, show: &mut dyn FnMut(usize, &Busy<'_>)) -> Option<()> {
    for list in 0..BUSY_LISTS.len() {
        for _ in 0..reader.number(1)? {
            let (pid, amount) = (reader.number(4)? as u32, reader.number(5)?);
            show(list, &Busy { pid, amount, name: reader.text()? });
        }
    }
    Some(())
}

const LANES: [Lane; 3] = [Lane::Trouble, Lane::Power, Lane::Changes];
pub const UNITS: [Unit; 6] = [Unit::Count, Unit::Seconds, Unit::Percent, Unit::Ratio, Unit::Celsius, Unit::Days];

/// Returns what the bytes of one record say; `None` if they are no record of this version.
pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let mut reader = Reader(bytes);
    if reader.number(2)? != bytes.len() as u64 || reader.number(1)? != u64::from(VERSION) {
        return None;
    }
    let kind = reader.number(1)?;
    let flags = reader.number(1)? as usize;
    let unit = reader.number(1)? as usize;
    let times = reader.number(2)?;
    if kind == u64::from(BOOT) {
        let (number, id) = (reader.number(4)? as u32, reader.number(4)? as u32);
        let offset = reader.number(8)? as i64;
        return reader.0.is_empty().then_some(Record::Boot(Boot { number, id, offset, exact: flags == 1 }));
    }
    let id = reader.number(8)?;
    let boot = reader.number(4)? as u32;
    let (begin, end) = (reader.number(8)?, reader.number(8)?);
    let worst = reader.number(8)? as i64;
    let event = Event {
        id,
        kind: kinds::ALL.get(kind as usize)?,
        lane: *LANES.get(flags >> 2 & 3)?,
        severity: *Severity::ALL.get(flags & 3)?,
        times,
        rule: reader.text()?,
        title: reader.text()?,
        detail: reader.text()?,
        culprit: reader.text()?,
        begin: i64::try_from(begin).ok()?,
        end: if end == u64::MAX { None } else { Some(i64::try_from(end).ok()?) },
        exact: false,
        worst: if worst == i64::MIN { Value::ABSENT } else { Value::signed(worst, 3) },
        unit: *UNITS.get(unit)?,
    };
    let lists = reader.0;
    read_lists(&mut reader, &mut |_, _| ())?;
    reader.0.is_empty().then_some(Record::Event(boot, event, Lists(lists)))
}

/// Appends a text behind its length, cut if it is too long.
struct Text<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    most: usize,
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.most - (self.out.len() - self.start).min(self.most);
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.out.extend_from_slice(&text.as_bytes()[..end]);
        if end < text.len() {
            self.out.extend_from_slice(CUT.as_bytes());
            // Nothing fits behind the mark.
            return Err(fmt::Error);
        }
        Ok(())
    }
}

pub fn push_text(text: fmt::Arguments<'_>, most: usize, out: &mut Vec<u8>) {
    out.push(0);
    let start = out.len();
    let _ = Text { out, start, most }.write_fmt(text);
    out[start - 1] = (out.len() - start) as u8;
}

/// The bytes of all records, one after the other.
#[derive(Debug)]
pub struct Records<'a>(pub &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = Reader(self.0).number(2)?;
        let (record, rest) = self.0.split_at_checked((length as usize).max(2))?;
        self.0 = rest;
        Some(record)
    }
}

pub fn number(record: &[u8], at: usize) -> u64 {
    Reader(record.get(at..).unwrap_or_default()).number(8).unwrap_or(0)
}
