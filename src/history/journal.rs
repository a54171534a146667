//! The journal: a log of opaque records on disk that survives any power cut.
//!
//! Two files of at most [`FILE_MAX`] bytes are used in turn. Each begins with a page that holds the format's name and version, and
//! what its first batch follows. A batch is what one flush writes: whole pages from a page's boundary on, so that no page that
//! is on the device is ever written again. It is the unit that is there or not: length, number, checksum of the batch
//! before it, own checksum, then records of length, kind and bytes. Numbers are little-endian.
//!
//! A cut can leave any part of the batch under way on the device, in any order. Its checksum does not match then, and reading ends
//! before it. Since a batch is sent only when the one before it is on the device, a good batch behind a bad one proves
//! that the bad one was damaged later; such a file is set aside. The checksum of the batch before keeps remains of an older
//! attempt from being read as what follows a newer one.
//!
//! A process of its own writes ([`sys::fork_writer`]): `fdatasync` returns when the card has the bytes, and a card that hangs
//! would stop the agent's only thread.

use crate::model::crc32;
use crate::sys::{self, Child, MESSAGE_MAX, ORDER, SECOND};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The format's name; its version follows, and a newline.
const NAME: &[u8] = b"pi-monitor journal ";
const VERSION: &[u8] = b"1\n";
/// Name, version, number of the first batch, checksum of the batch before it, own checksum.
const TITLE: usize = NAME.len() + VERSION.len() + 12;

const PAGE: usize = 4096;
/// The largest batch.
pub const BATCH_MAX: usize = MESSAGE_MAX - ORDER;
/// The largest file.
pub const FILE_MAX: u64 = 244 * PAGE as u64;
/// A batch's length, number, checksum of the one before, own checksum.
const HEAD: usize = 16;
/// A record's length and kind.
const RECORD: usize = 3;
/// Where records begin in the buffer.
const BEGIN: usize = ORDER + HEAD;

/// What a flush costs at the block device beside its own pages, on ext4 with 4 KiB blocks and default options: descriptor, inode and
/// commit blocks of its journal, and the inode again later. Measured by `a_day_on_a_card_stays_within_its_budget` in
/// `agent/keeper/tests.rs`: 20 to 21 kB if flushes are so far apart that all of that is on the card before the next one; 16 to 18 within
/// seconds of each other (`a_flush_costs_what_the_budget_says` in `tests/e2e/journal.rs`).
pub const FLUSH_COST: u64 = 20_500;
/// The same if the file grows, which also changes bitmaps and group descriptors. It therefore grows by the size of the largest batch at
/// once, and the next flushes find room.
pub const GROWTH_COST: u64 = 32_800;

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    /// The number of its first batch.
    seq: u32,
    /// The checksum of the batch before that.
    check: u32,
}

/// What a file's first page says.
#[derive(Debug, PartialEq, Eq)]
enum Title {
    /// A new file, or one that was begun when the power went.
    Blank,
    Good(Start),
    Other,
    Damaged,
}

/// Where reading a file has ended.
#[derive(Clone, Copy, Debug)]
struct Scan {
    /// What the next batch follows.
    next: Start,
    place: u64,
    damaged: bool,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    writer: Option<(Child, OwnedFd)>,
    /// What was on disk at the start, the older file first.
    past: Vec<(File, Start)>,
    /// Room for an order and a batch: first what is being written, then what waits.
    buffer: Vec<u8>,
    /// How much of the buffer was sent last.
    sent: usize,
    /// What the writer is at.
    stage: Stage,
    /// The file that is written to, and where the next batch goes.
    active: usize,
    place: u64,
    next: Start,
    limit: usize,
    /// How far each file's blocks reach.
    filled: [u64; 2],
    /// Where a file ends: [`FILE_MAX`], or sooner in tests.
    end: u64,
    /// Whether the next batch begins the other file.
    turned: bool,
}

/// What the writer is at. The other file's title must be on the device before a batch goes there: with an older title, the batch
/// would look like damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Title,
    Batch,
}

/// What an attempt to write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Written,
    /// The number of the error. Everything is kept, and written at the next flush.
    Failed(i32),
    /// The writing process is gone; nothing is written any more.
    Ended,
}

/// A file of the journal as it was found at the start.
struct Found {
    path: PathBuf,
    file: File,
    writable: bool,
    title: Title,
}

/// Opens the file `slot` of the journal; beside a file of another version, one that says in its name which version it has.
fn find(directory: &Path, slot: usize, lines: &mut Vec<String>) -> Result<Found, String> {
    let mut path = directory.join(format!("journal.{slot}"));
    let ((mut file, mut writable), mut title) = open_file(&path)?;
    if title == Title::Other {
        lines.push(format!("{}: written by another version; left as it is, and a new one begun", path.display()));
        path.set_extension(format!("{slot}.v1"));
        ((file, writable), title) = open_file(&path)?;
        if title == Title::Other {
            return Err(format!("{}: written by another version", path.display()));
        }
    }
    Ok(Found { path, file, writable, title })
}

/// Returns whether something other than a power cut has changed the file `slot`. `scans` are where reading both files ended.
fn is_damaged(
    slot: usize,
    found: &Found,
    scans: &[Option<(Start, Scan)>; 2],
    newer: usize,
    end: u64,
    buffer: &mut [u8],
) -> bool {
    let other = scans[1 - slot].map(|(start, scan)| (start, scan.next));
    match scans[slot] {
        // The newer file was begun when all of this one was on the device.
        Some((_, scan)) => scan.damaged || slot != newer && other.is_some_and(|(start, _)| start != scan.next),
        // Behind the blank title of a file that was about to be begun, there are older batches only.
        None => {
            let next = other.map_or(Start { seq: 0, check: 0 }, |(_, next)| next);
            let scan = walk(&found.file, next, end, buffer, &mut |_, _| ());
            found.title == Title::Damaged || scan.damaged || scan.next != next
        }
    }
}

/// Renames a damaged file. Returns the line that says so.
fn set_aside(path: &Path) -> String {
    let mut aside = path.to_path_buf().into_os_string();
    aside.push(".damaged");
    match std::fs::rename(path, &aside) {
        Ok(()) => format!("{}: damaged; set aside as {}", path.display(), aside.to_string_lossy()),
        Err(error) => format!("{}: damaged, and cannot be set aside: {error}", path.display()),
    }
}

impl Journal {
    /// Opens or creates the two files in `directory`, and starts the process that writes. Call it before the agent gives up its
    /// rights. Also returns what has to be said, one line each: files that were set aside or left alone.
    ///
    /// # Errors
    /// One line that names the file and the reason.
    pub fn open(directory: &Path) -> Result<(Self, Vec<String>), String> {
        let (mut journal, files, lines) = Journal::read(directory, FILE_MAX)?;
        if let Some([first, second]) = files {
            let writer = sys::fork_writer([&first, &second]);
            journal.writer =
                Some(writer.map_err(|error| format!("cannot start the process that writes the journal: {error}"))?);
        }
        Ok((journal, lines))
    }

    /// Opens the files; without a writer yet. No files are returned where nothing can be written.
    #[allow(clippy::type_complexity, reason = "for open() and tests only")]
    fn read(directory: &Path, end: u64) -> Result<(Self, Option<[File; 2]>, Vec<String>), String> {
        let mut lines = Vec::new();
        let mut buffer = vec![0; MESSAGE_MAX];
        let found = [find(directory, 0, &mut lines)?, find(directory, 1, &mut lines)?];
        let scans = found.each_ref().map(|found| match found.title {
            Title::Good(start) => Some((start, walk(&found.file, start, end, &mut buffer, &mut |_, _| ()))),
            _ => None,
        });
        let newer = match scans {
            [Some((first, _)), Some((second, _))] => usize::from(second.seq > first.seq),
            [None, Some(_)] => 1,
            _ => 0,
        };
        let damaged = [0, 1].map(|slot| is_damaged(slot, &found[slot], &scans, newer, end, &mut buffer));
        let writable = found.iter().all(|found| found.writable);
        let mut journal = Journal {
            writer: None,
            past: Vec::new(),
            buffer,
            sent: 0,
            stage: Stage::Idle,
            // Unless there is something to go on with, the first batch begins the first file.
            active: 1,
            place: end,
            next: Start { seq: 0, check: 0 },
            limit: BATCH_MAX,
            filled: [0; 2],
            end,
            turned: false,
        };
        journal.buffer.truncate(BEGIN);
        let mut files = Vec::new();
        for (slot, Found { path, mut file, .. }) in found.into_iter().enumerate() {
            let read = file.try_clone().map_err(|error| format!("{}: {error}", path.display()))?;
            if damaged[slot] && writable {
                lines.push(set_aside(&path));
                (file, _) = open_file(&path)?.0;
            }
            if let Some((start, scan)) = scans[slot] {
                journal.past.insert(if slot == newer { journal.past.len() } else { 0 }, (read, start));
                if !damaged[slot] && (slot == newer || damaged[newer]) {
                    (journal.active, journal.place, journal.next) = (slot, scan.place, scan.next);
                }
            }
            journal.filled[slot] = file.metadata().map_or(0, |it| it.len());
            files.push(file);
        }
        if !writable {
            lines.push(format!("{}: read-only; the past is shown, and nothing is added to it", directory.display()));
        } else {
            // Names that are new must survive a power cut as well.
            let _ = File::open(directory).and_then(|directory| directory.sync_all());
        }
        let files = files.try_into().ok().filter(|_| writable);
        Ok((journal, files, lines))
    }

    /// Hands each record that was on disk at the start to `each`, oldest first: its kind and its bytes. Only before anything is appended.
    pub fn each(&mut self, each: &mut dyn FnMut(u8, &[u8])) {
        self.buffer.resize(MESSAGE_MAX, 0);
        for (file, start) in &self.past {
            walk(file, *start, self.end, &mut self.buffer, each);
        }
        self.buffer.truncate(BEGIN);
    }

    /// Closes what [`Journal::each`] reads.
    pub fn forget_past(&mut self) {
        self.past = Vec::new();
    }

    /// Returns whether anything can be written.
    pub fn is_writable(&self) -> bool {
        self.writer.is_some()
    }

    /// Returns whether the writer is at work.
    pub fn is_busy(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// Sets how large the next batch should be; [`Journal::room`] goes by it.
    pub fn limit(&mut self, batch: usize) {
        self.limit = batch;
    }

    /// Returns how many bytes a record may have that still fits into the next batch.
    pub fn room(&self) -> usize {
        (ORDER + self.limit).saturating_sub(self.buffer.len() + RECORD)
    }

    /// Returns whether anything waits to be written or is being written.
    fn is_empty(&self) -> bool {
        self.buffer.len() == BEGIN
    }

    /// Puts a record into the buffer; returns whether it fits.
    pub fn append(&mut self, kind: u8, bytes: &[u8]) -> bool {
        let length = match u16::try_from(bytes.len()) {
            Ok(length) if self.buffer.len() + RECORD + bytes.len() <= MESSAGE_MAX => length,
            _ => return false,
        };
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.push(kind);
        self.buffer.extend_from_slice(bytes);
        true
    }

    /// Returns whether the next flush begins a file, once for each: then everything that others refer to has to be written again, for
    /// the older file is overwritten one day.
    pub fn turns(&mut self) -> bool {
        let turns = !self.turned && self.stage == Stage::Idle && self.place + BATCH_MAX as u64 > self.end;
        self.turned |= turns;
        turns
    }

    /// Returns what flushing the buffer now costs at the block device, and one record more that fits into its last page.
    pub fn cost(&self) -> u64 {
        let (_, _, pages, grows) = self.target();
        let title = if self.turned { FLUSH_COST + PAGE as u64 } else { 0 };
        title + pages as u64 + if grows { GROWTH_COST } else { FLUSH_COST }
    }

    /// Where the next batch goes: the file, the place, how many bytes are written there, and whether that makes the file grow.
    fn target(&self) -> (usize, u64, usize, bool) {
        let (file, place) = if self.turned { (1 - self.active, PAGE as u64) } else { (self.active, self.place) };
        let pages = (self.buffer.len() - ORDER).next_multiple_of(PAGE);
        let grows = place + pages as u64 > self.filled[file];
        (file, place, if grows { BATCH_MAX } else { pages }, grows)
    }

    /// Has the writer write what is in the buffer, unless it is busy; does not wait. Returns whether it does.
    pub fn flush(&mut self) -> bool {
        if self.stage != Stage::Idle || self.is_empty() || !self.is_writable() {
            return false;
        }
        if self.turned {
            let mut message = [0; ORDER + PAGE];
            message[..ORDER].copy_from_slice(&order(1 - self.active, 0));
            write_title(self.next, &mut message[ORDER..ORDER + TITLE]);
            self.stage = Stage::Title;
            return self.send(Some(&message));
        }
        self.send_batch()
    }

    fn send_batch(&mut self) -> bool {
        let (file, place, pages, _) = self.target();
        self.stage = Stage::Batch;
        self.sent = self.buffer.len();
        let length = self.sent - ORDER;
        let head = [length as u32, self.next.seq, self.next.check];
        for (place, number) in head.iter().enumerate() {
            self.buffer[ORDER + 4 * place..][..4].copy_from_slice(&number.to_le_bytes());
        }
        let check = check(&self.buffer[ORDER..]);
        self.buffer[BEGIN - 4..BEGIN].copy_from_slice(&check.to_le_bytes());
        self.buffer[..ORDER].copy_from_slice(&order(file, place));
        self.buffer.resize(ORDER + pages, 0);
        let sent = self.send(None);
        self.buffer.truncate(self.sent);
        sent
    }

    /// Sends a message, or the buffer.
    fn send(&mut self, message: Option<&[u8]>) -> bool {
        let message = message.unwrap_or(&self.buffer);
        let sent = self.writer.as_ref().is_some_and(|(_, socket)| sys::send(socket, message).is_ok());
        if !sent {
            self.end_writer();
        }
        sent
    }

    /// Takes the writer's answer; `None` if nothing was sent or it is not done yet. Does not wait.
    pub fn poll(&mut self) -> Option<Outcome> {
        while self.stage != Stage::Idle {
            let (_, socket) = self.writer.as_ref()?;
            let mut answer = [0; 4];
            match sys::receive(socket, &mut answer) {
                Ok(4) => match i32::from_ne_bytes(answer) {
                    0 if self.stage == Stage::Title => {
                        if !self.send_batch() {
                            return Some(Outcome::Ended);
                        }
                    }
                    0 => {
                        self.settle();
                        return Some(Outcome::Written);
                    }
                    // The page cache may call the pages clean now: the next flush writes them again, with all that has come since.
                    error => {
                        self.stage = Stage::Idle;
                        return Some(Outcome::Failed(error));
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                _ => {
                    self.end_writer();
                    return Some(Outcome::Ended);
                }
            }
        }
        None
    }

    /// Waits for the writer, but no longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<Outcome> {
        let end = sys::since_boot() + limit;
        loop {
            let outcome = self.poll();
            if outcome.is_some() {
                return outcome;
            }
            let left = end.saturating_sub(sys::since_boot());
            match &self.writer {
                Some((_, socket)) if self.stage != Stage::Idle && !left.is_zero() => {
                    sys::wait_for_message(socket, left.as_millis() as i32);
                }
                _ => return outcome,
            }
        }
    }

    fn end_writer(&mut self) {
        self.stage = Stage::Idle;
        if let Some((child, _)) = self.writer.take() {
            child.has_ended();
        }
    }

    /// Forgets what is on the device now.
    fn settle(&mut self) {
        self.stage = Stage::Idle;
        if std::mem::take(&mut self.turned) {
            (self.active, self.place) = (1 - self.active, PAGE as u64);
        }
        let sent = std::mem::take(&mut self.sent);
        let filled = &mut self.filled[self.active];
        if self.place + (sent - ORDER) as u64 > *filled {
            *filled = self.place + BATCH_MAX as u64;
        }
        self.place += (sent - ORDER).next_multiple_of(PAGE) as u64;
        self.next = Start { seq: self.next.seq + 1, check: number(&self.buffer, BEGIN - 4) };
        self.buffer.copy_within(sent.., BEGIN);
        self.buffer.truncate(self.buffer.len() - sent + BEGIN);
    }
}

fn order(file: usize, place: u64) -> [u8; ORDER] {
    (place | if file == 0 { 0 } else { SECOND }).to_ne_bytes()
}

/// Opens a file for reading and, if possible, writing; returns also whether that is possible, and what its first page says.
fn open_file(path: &Path) -> Result<((File, bool), Title), String> {
    let wrong = |error: io::Error| format!("{}: {error}", path.display());
    let mut options = OpenOptions::new();
    // Neither a link that somebody else has put there is followed, nor waits a pipe for its other end.
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).mode(0o600);
    let (file, writable) = match options.clone().write(true).create(true).open(path) {
        Ok(file) => (file, true),
        Err(error) => (options.open(path).map_err(|_| wrong(error))?, false),
    };
    if !file.metadata().map_err(wrong)?.is_file() {
        return Err(format!("{}: not a file", path.display()));
    }
    if writable {
        let _ = file.set_permissions(PermissionsExt::from_mode(0o600));
        // The writer of an agent that has just ended may have a last word to write.
        let mut tries = 0;
        while let Err(error) = sys::lock(&file) {
            if error.kind() != io::ErrorKind::WouldBlock {
                break;
            }
            tries += 1;
            if tries > 40 {
                return Err(format!("{}: in use by another process", path.display()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let mut page = [0; 64];
    let length = read(&file, &mut page, 0).map_err(wrong)?;
    let title = read_title(&page[..length]);
    Ok(((file, writable), title))
}

fn write_title(start: Start, out: &mut [u8]) {
    let behind = NAME.len() + VERSION.len();
    out[..NAME.len()].copy_from_slice(NAME);
    out[NAME.len()..behind].copy_from_slice(VERSION);
    out[behind..behind + 4].copy_from_slice(&start.seq.to_le_bytes());
    out[behind + 4..behind + 8].copy_from_slice(&start.check.to_le_bytes());
    let check = crc32(0, &out[..behind + 8]);
    out[behind + 8..].copy_from_slice(&check.to_le_bytes());
}

/// Whether a page begins with a part of a title, and what is before or behind that is erased: the power went while it was written.
fn is_torn(page: &[u8]) -> bool {
    let is_erased = |byte: u8| byte == 0 || byte == 0xff;
    let known = NAME.iter().chain(VERSION).zip(page).all(|(known, byte)| known == byte || is_erased(*byte));
    let is_good = page.get(..TITLE).is_some_and(|title| crc32(0, &title[..TITLE - 4]) == number(title, TITLE - 4));
    let ends = [page.first(), page.get(TITLE - 1)];
    known && !is_good && ends.iter().any(|byte| byte.is_some_and(|byte| is_erased(*byte)))
}

fn read_title(page: &[u8]) -> Title {
    if page.iter().all(|byte| *byte == 0) || page.iter().all(|byte| *byte == 0xff) {
        return Title::Blank;
    }
    if is_torn(page) {
        return Title::Blank;
    }
    let Some(rest) = page.strip_prefix(NAME) else { return Title::Damaged };
    if !rest.starts_with(VERSION) {
        return Title::Other;
    }
    let behind = NAME.len() + VERSION.len();
    if page.len() < TITLE || crc32(0, &page[..behind + 8]) != number(page, behind + 8) {
        return Title::Damaged;
    }
    Title::Good(Start { seq: number(page, behind), check: number(page, behind + 4) })
}

/// Fills `buffer` from `place` on, as far as the file goes.
fn read(file: &File, buffer: &mut [u8], place: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], place + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Returns the number at `place`; 0 beyond the end.
fn number(bytes: &[u8], place: usize) -> u32 {
    let bytes = bytes.get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_le_bytes(bytes.unwrap_or_default())
}

/// Returns the checksum of a batch.
fn check(batch: &[u8]) -> u32 {
    crc32(crc32(0, &batch[..HEAD - 4]), &batch[HEAD..])
}

/// Returns the batch at the beginning of `bytes` if it is good, and what it follows.
fn batch(bytes: &[u8]) -> Option<(&[u8], Start)> {
    let length = number(bytes, 0) as usize;
    let batch = bytes.get(..length).filter(|_| length >= HEAD)?;
    (check(batch) == number(batch, HEAD - 4)).then(|| (batch, Start { seq: number(batch, 4), check: number(batch, 8) }))
}

/// Hands every record of a file to `each`.
fn walk(file: &File, start: Start, end: u64, buffer: &mut [u8], each: &mut dyn FnMut(u8, &[u8])) -> Scan {
    let buffer = &mut buffer[..BATCH_MAX];
    let mut scan = Scan { next: start, place: PAGE as u64, damaged: false };
    let mut place = scan.place;
    while place < end {
        let Ok(length) = read(file, buffer, place) else {
            scan.damaged = true;
            break;
        };
        if length == 0 {
            break;
        }
        match batch(&buffer[..length]) {
            Some((batch, before)) if before == scan.next && place == scan.place => {
                let mut rest = &batch[HEAD..];
                while let [low, high, kind, behind @ ..] = rest {
                    let length = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
                    each(*kind, &behind[..length]);
                    rest = &behind[length..];
                }
                scan.next = Start { seq: before.seq + 1, check: number(batch, HEAD - 4) };
                place += batch.len().next_multiple_of(PAGE) as u64;
                scan.place = place;
            }
            Some((_, before)) if before.seq > scan.next.seq => {
                scan.damaged = true;
                break;
            }
            _ => place += PAGE as u64,
        }
    }
    scan
}

#[cfg(test)]
mod tests;
