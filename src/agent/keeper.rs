//! What is kept on disk, and when: the past and the events go into the journal within a daily budget of writes, and come back at a start.

use crate::cli::{Flag, Options, prose};
use crate::history::History;
use crate::history::events::Events;
use crate::history::events::record::{is_critical, is_open};
use crate::history::journal::{BATCH_MAX, FLUSH_COST, GROWTH_COST, Journal, Outcome};
use crate::model::{Moment, crc32};
use std::path::Path;
use std::time::Duration;

pub static DIRECTORY: Flag = Flag {
    words: "state.directory DIR ",
    help: prose(
        "Keep the past and the events in DIR over restarts and reboots, in 2 MB at most; none keeps it in memory alone. Without it, $STATE_DIRECTORY counts if that is set.",
    ),
    check: |value| if value.is_empty() { Err("expected a directory, or none".to_owned()) } else { Ok(()) },
};

/// What may reach the block device in a day of running, in bytes; [`Journal::cost`] says what a flush costs.
const BUDGET: u64 = 1_000_000;
const DAY: i64 = 24 * HOUR;
/// How often the history is written, in milliseconds.
const HOUR: i64 = 3_600_000;
/// What that costs on average, of which every fourth time makes the file grow: a day's budget always has it in reserve.
const HOURLY_COST: u64 = (3 * (FLUSH_COST + 4096) + GROWTH_COST + BATCH_MAX as u64) / 4;
/// What a flush costs at most.
const WORST_COST: u64 = 2 * GROWTH_COST + BATCH_MAX as u64 + 4096;
/// How long what is not critical waits for company, in milliseconds.
const WITHIN: i64 = 600_000;
/// When a write that failed is tried again, in milliseconds.
const RETRY: i64 = 600_000;
/// From when on a write that is not done is said to hang, in milliseconds.
const HANGS: i64 = 60_000;
/// The ring of 10-second points, and how many of them go along with what is critical: the last five minutes.
const FINE: usize = 1;
const FINE_POINTS: u64 = 30;
/// Between the steps of both, in milliseconds.
const FINE_STEP: u32 = 60_000;
/// The ring of 2-minute points, which is written as a whole.
const COARSE: usize = 2;
/// By how much the wall clock has to step before the past is moved, in milliseconds.
const STEP: i64 = 1000;
/// How many events that last are written again when they are over.
const LASTING_MAX: usize = 32;
/// How long a critical event waits for the processes of its moment, in milliseconds.
const PROCESSES_WITHIN: i64 = 5000;
/// What is kept free for the records that end a batch, in bytes.
const SPARE: usize = 64;
/// How long the end of the agent waits for the card.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// The kinds of records.
mod kinds {
    /// A start of the agent: boot id, Unix time at boot and time since boot in milliseconds, then the kernel's and the agent's version.
    pub const START: u8 = 1;
    /// The wall clock was set: the new Unix time at boot.
    pub const CLOCK: u8 = 2;
    /// The names of the series whose points follow.
    pub const NAMES: u8 = 3;
    pub const POINTS: u8 = 4;
    /// The agent was asked to end.
    pub const END: u8 = 5;
    /// How much of the budget's day is over, in milliseconds, and what it has cost so far.
    pub const SPENT: u8 = 6;
    /// A record of the events: of one, or of a stretch of time.
    pub const EVENT: u8 = 7;
    /// How full a filesystem was; all records of one together have its past.
    pub const SPACE: u8 = 8;
    /// Which packages are installed.
    pub const PACKAGES: u8 = 9;
    /// Which messages receivers have got.
    pub const TOLD: u8 = 10;
}

/// What a start is: when, in which boot, on which kernel.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    pub moment: Moment,
    pub boot: u32,
    pub kernel: &'a str,
}

/// How the agent's last run ended, as far as the journal knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Before {
    pub boot: u32,
    /// Whether it was asked to end; else the power went, or something else ended it.
    pub clean: bool,
    pub kernel: String,
    pub version: String,
}

/// A boot that the journal knows.
struct Boot {
    id: u32,
    /// Unix time at boot, in milliseconds.
    offset: i64,
    /// When its last point ends, in milliseconds since it began.
    last: i64,
    /// What to add to its times to count from the present boot.
    shift: i64,
}

/// Writes the journal.
#[derive(Debug)]
pub struct Keeper {
    journal: Journal,
    /// A record in the making.
    record: Vec<u8>,
    /// The record of this start, and the names, for each file that is begun.
    start: Vec<u8>,
    names: Vec<u8>,
    /// Unix time at boot, in milliseconds.
    offset: i64,
    /// What that was when the past of earlier boots was restored, and when they ended by that, in milliseconds since boot.
    restored: i64,
    past_end: Option<i64>,
    /// The first slot of each ring that is not in the journal yet.
    written: [u64; 3],
    /// The newest slot of how full filesystems were that is in the file; 0 if it has none.
    space: u64,
    /// The checksum of the packages that are in the file; 0 if it has none.
    packages: u32,
    /// The checksum of that state, as the file has it.
    told: u32,
    /// When the budget's day began and when was written last, in milliseconds since boot.
    day: i64,
    flushed: i64,
    spent: u64,
    /// The newest event in the journal, and the newest one that was noticed.
    event: u64,
    noticed: u64,
    /// How many changes of events were noticed, and the events in the journal that may change.
    changes: u64,
    lasting: Vec<u64>,
    /// The stretch of time that the journal knows.
    stretch: [u8; 24],
    /// Since when something waits, and whether it is critical.
    waits: Option<i64>,
    urgent: bool,
    /// Whether what waits was refused for lack of budget, and how often that happened today.
    refused: bool,
    postponed: u32,
    not_before: i64,
    /// The error that was said last.
    fault: i32,
}

/// Opens the journal that the command line or the service manager asks for. Call it before the agent gives up its rights.
pub fn open(options: &Options) -> Option<Journal> {
    let mut directory = options.value(&DIRECTORY).to_owned();
    if directory.is_empty() {
        let given = std::env::var("STATE_DIRECTORY").unwrap_or_default();
        directory.push_str(given.split(':').next().unwrap_or_default());
    }
    if directory.is_empty() || directory == "none" {
        return None;
    }
    match Journal::open(Path::new(&directory)) {
        Ok((journal, lines)) => {
            for line in lines {
                crate::warn!("journal: {line}");
            }
            Some(journal)
        }
        Err(line) => {
            crate::warn!("journal: {line}; the past is kept in memory alone");
            None
        }
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn offset(moment: &Moment) -> i64 {
    milliseconds(moment.unix) - milliseconds(moment.since_boot)
}

fn signed(bytes: &[u8], place: usize) -> i64 {
    let bytes = bytes.get(place..place + 8).and_then(|bytes| bytes.try_into().ok());
    i64::from_le_bytes(bytes.unwrap_or_default())
}

fn number(bytes: &[u8], place: usize) -> u32 {
    let bytes = bytes.get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_le_bytes(bytes.unwrap_or_default())
}

impl Start<'_> {
    /// Returns the record of this start; `offset` is Unix time at boot in milliseconds.
    fn record(&self, offset: i64) -> Vec<u8> {
        let mut record = Vec::new();
        record.extend_from_slice(&self.boot.to_le_bytes());
        record.extend_from_slice(&offset.to_le_bytes());
        record.extend_from_slice(&milliseconds(self.moment.since_boot).to_le_bytes());
        for text in [self.kernel, "\n", crate::VERSION] {
            record.extend_from_slice(text.as_bytes());
        }
        record
    }
}

/// What the journal knows besides points and events.
#[derive(Default)]
struct Past {
    /// In order of time.
    boots: Vec<Boot>,
    before: Option<Before>,
    /// How much of the budget's day is over, in milliseconds, and what it has cost so far, in bytes.
    elapsed: i64,
    spent: u64,
    told: Vec<u8>,
}

/// Reads the boots, the budget and the last run's end, and puts the events back into `events`.
fn recall(journal: &mut Journal, events: &mut Events) -> Past {
    let mut past = Past::default();
    journal.each(&mut |kind, bytes| {
        let Past { boots, before, elapsed, spent, told } = &mut past;
        if let Some(before) = before {
            before.clean = kind == kinds::END;
        }
        match kind {
            kinds::START => {
                let id = number(bytes, 0);
                if boots.last().is_none_or(|last| last.id != id) {
                    boots.push(Boot { id, offset: 0, last: 0, shift: 0 });
                }
                let text = String::from_utf8_lossy(bytes.get(20..).unwrap_or_default());
                let (kernel, version) = text.split_once('\n').unwrap_or_default();
                let (kernel, version) = (kernel.to_owned(), version.to_owned());
                *before = Some(Before { boot: id, clean: false, kernel, version });
            }
            kinds::SPENT => (*elapsed, *spent) = (i64::from(number(bytes, 0)), u64::from(number(bytes, 4))),
            kinds::EVENT => drop(events.restore(bytes)),
            kinds::TOLD => *told = bytes.to_vec(),
            _ => {}
        }
        let Some(last) = boots.last_mut() else { return };
        match kind {
            kinds::START => (last.offset, last.last) = (signed(bytes, 4), last.last.max(signed(bytes, 12))),
            kinds::CLOCK => last.offset = signed(bytes, 0),
            kinds::POINTS => last.last = last.last.max(History::covers(bytes).map_or(0, |(_, to)| to)),
            _ => {}
        }
    });
    past
}

/// Finds what to add to the times of each boot, so that they count from the present boot `now`, which began at `offset`. Returns when the
/// last boot before it ended. A boot was over when the next one began, whatever its clock said.
fn align(boots: &mut [Boot], now: u32, offset: i64) -> Option<i64> {
    let (mut limit, mut past_end) = (0, None);
    for known in boots.iter_mut().rev() {
        if known.id == now {
            continue;
        }
        let end = (known.offset - offset).saturating_add(known.last);
        past_end = past_end.or(Some(end));
        known.shift = end.min(limit) - known.last;
        limit = known.shift;
    }
    past_end
}

/// Puts the points back into `history`. Fine points first: coarse ones fill what they leave.
fn restore(journal: &mut Journal, boots: &[Boot], history: &mut History) {
    for fine in [true, false] {
        let (mut at, mut places) = (0, Vec::new());
        journal.each(&mut |kind, bytes| match kind {
            kinds::START if boots.get(at).is_some_and(|known| known.id != number(bytes, 0)) => at += 1,
            kinds::NAMES => places = history.places(bytes),
            kinds::POINTS if (number(bytes, 0) < FINE_STEP) == fine => {
                if let Some(known) = boots.get(at) {
                    history.restore(bytes, known.shift, &places);
                }
            }
            kinds::SPACE if fine => drop(history.space.restore(bytes)),
            kinds::PACKAGES if fine => history.packages = bytes.to_vec(),
            _ => {}
        });
    }
    history.space.settle();
}

impl Keeper {
    /// Reads the past back into `history`, which has had its first tick, and into `events`, which have not begun yet. Also returns how the
    /// last run ended; `None` if there was none.
    pub fn new(
        mut journal: Journal,
        start: &Start<'_>,
        history: &mut History,
        events: &mut Events,
        told: &mut Vec<u8>,
    ) -> (Self, Option<Before>) {
        let now = milliseconds(start.moment.since_boot);
        let offset = offset(&start.moment);
        let mut past = recall(&mut journal, events);
        let past_end = align(&mut past.boots, start.boot, offset);
        restore(&mut journal, &past.boots, history);
        journal.forget_past();
        *told = past.told;
        let mut names = Vec::new();
        history.names(&mut names);
        let mut keeper = Keeper {
            // Where nothing can be written, that has been said.
            fault: if journal.is_writable() { 0 } else { -1 },
            journal,
            record: Vec::with_capacity(names.len() * 4),
            start: start.record(offset),
            names,
            offset,
            restored: offset,
            past_end,
            written: [0, 1, 2].map(|tier| history.own_slot(tier)),
            space: history.space.restored(),
            packages: crc32(0, &history.packages),
            told: crc32(0, told),
            day: now - past.elapsed,
            flushed: now,
            spent: past.spent,
            event: events.last(),
            noticed: events.last(),
            changes: 0,
            lasting: Vec::with_capacity(LASTING_MAX),
            stretch: [0; 24],
            waits: Some(now),
            urgent: true,
            refused: false,
            postponed: 0,
            not_before: 0,
        };
        if keeper.journal.turns() {
            (keeper.space, keeper.packages, keeper.told) = (0, 0, 0);
        }
        keeper.begin();
        (keeper, past.before)
    }

    /// Puts what all records that follow refer to into the journal.
    fn begin(&mut self) {
        self.journal.append(kinds::START, &self.start);
        self.journal.append(kinds::NAMES, &self.names);
    }

    /// Takes the card's answers, follows the clock, and writes what is due.
    pub fn tick(&mut self, moment: &Moment, history: &mut History, events: &Events, told: &[u8]) {
        let now = milliseconds(moment.since_boot);
        self.answer(now);
        let offset = offset(moment);
        if (offset - self.offset).abs() > STEP {
            self.offset = offset;
            self.start[4..12].copy_from_slice(&offset.to_le_bytes());
            self.journal.append(kinds::CLOCK, &offset.to_le_bytes());
            // Were that lost, the next start would take this boot for an older one.
            (self.urgent, self.waits) = (true, Some(now));
            if let Some(end) = self.past_end {
                // By its own clock, the past may seem to lie after the boot; it cannot.
                history.shift_past(end.saturating_add(self.restored - offset).min(0) - end.min(0));
            }
        }
        if std::mem::replace(&mut self.changes, events.changes()) != events.changes() {
            self.waits = self.waits.or(Some(now));
            for id in self.noticed + 1..=events.last() {
                if events.record(id).is_some_and(is_critical) {
                    (self.urgent, self.waits) = (true, Some(now));
                }
            }
            self.noticed = events.last();
        }
        if now - self.day >= DAY {
            if self.postponed > 0 {
                crate::info!("journal: {} times in a day, events waited for the hourly write", self.postponed);
            }
            (self.day, self.spent, self.postponed) = (now, 0, 0);
        }
        let hourly = now - self.flushed >= HOUR;
        let within = match (self.urgent, events.awaits_processes()) {
            (true, false) => 0,
            (true, true) => PROCESSES_WITHIN,
            _ => WITHIN,
        };
        let due = self.waits.is_some_and(|since| now - since >= within);
        if now < self.not_before || !(hourly || due) || self.journal.is_busy() {
            return;
        }
        let hours = ((self.day + DAY - now) / HOUR).max(0) as u64;
        let affords = self.spent + WORST_COST + hours * HOURLY_COST <= BUDGET;
        if !hourly && !affords {
            self.postponed += u32::from(!std::mem::replace(&mut self.refused, true));
            return;
        }
        // On a bad day, the hourly write takes what fits into a page; the rest waits in the rings.
        self.journal.limit(if affords { BATCH_MAX } else { 4096 });
        self.write(now, history, events, told, false);
    }

    /// Takes the answer of the writer.
    fn answer(&mut self, now: i64) {
        let fault = match self.journal.poll() {
            Some(Outcome::Written) => 0,
            Some(Outcome::Failed(error)) => {
                // Nothing is lost: the next attempt writes it with all that has come since.
                self.waits = self.waits.or(Some(now));
                self.not_before = now + RETRY;
                error
            }
            Some(Outcome::Ended) => -1,
            None if !self.journal.is_writable() => -1,
            None if self.journal.is_busy() && now - self.flushed > HANGS => libc::ETIMEDOUT,
            None => return,
        };
        let before = std::mem::replace(&mut self.fault, fault);
        if fault == before {
            return;
        }
        match fault {
            0 => crate::info!("journal: recovered"),
            -1 => crate::warn!("journal: the process that writes has ended; the past is kept in memory alone"),
            _ => {
                let error = std::io::Error::from_raw_os_error(fault);
                crate::warn!(
                    "journal: cannot write: {error}; what is new stays in memory, and is written when that works again"
                );
            }
        }
    }

    /// Writes what waits, and the history since the last time; what is critical takes the last minutes along.
    fn write(&mut self, now: i64, history: &History, events: &Events, told: &[u8], last: bool) {
        if self.journal.turns() {
            self.begin();
            (self.stretch, self.space, self.packages, self.told) = ([0; 24], 0, 0, 0);
        }
        self.write_events(events);
        self.write_space(history);
        let check = crc32(0, &history.packages);
        if check != self.packages && self.journal.append(kinds::PACKAGES, &history.packages) {
            self.packages = check;
        }
        let check = crc32(0, told);
        if check != self.told && self.journal.append(kinds::TOLD, told) {
            self.told = check;
        }
        for tier in [FINE, COARSE] {
            let open = history.open_slot(tier);
            let mut slot = self.written[tier];
            if tier == FINE {
                if !self.urgent {
                    continue;
                }
                slot = slot.max(open.saturating_sub(FINE_POINTS));
            }
            while slot < open {
                if history.export(tier, slot, &mut self.record) {
                    if self.journal.room() < self.record.len() + SPARE {
                        break;
                    }
                    self.journal.append(kinds::POINTS, &self.record);
                }
                slot += 1;
            }
            self.written[tier] = slot;
        }
        // The day's account goes along; its own bytes fit into the same page.
        let cost = self.journal.cost();
        self.record.clear();
        self.record.extend_from_slice(&((now - self.day) as u32).to_le_bytes());
        self.record.extend_from_slice(&((self.spent + cost) as u32).to_le_bytes());
        self.journal.append(kinds::SPENT, &self.record);
        if last {
            self.journal.append(kinds::END, &[]);
        }
        self.flushed = now;
        (self.waits, self.urgent, self.refused) = (None, false, false);
        if self.journal.flush() {
            self.spent += cost;
        } else {
            self.answer(now);
        }
    }

    /// Puts the events into the buffer that are new, or that have changed: those that are over now, and know their processes.
    fn write_events(&mut self, events: &Events) {
        let Keeper { journal, lasting, stretch, event, .. } = self;
        let mut fits = |record: &[u8]| journal.room() >= record.len() + SPARE && journal.append(kinds::EVENT, record);
        if let Some(record) = events.boot().map(|boot| boot.encode()).filter(|record| record != stretch) {
            if fits(&record) {
                *stretch = record;
            }
        }
        lasting.retain(|id| events.record(*id).is_some_and(|record| is_open(record) || !fits(record)));
        for id in *event + 1..=events.last() {
            if let Some(record) = events.record(id) {
                if !fits(record) {
                    break;
                }
                if is_open(record) && lasting.len() < LASTING_MAX {
                    lasting.push(id);
                }
            }
            *event = id;
        }
    }

    /// Puts what is new of how full filesystems were into the buffer, or all of it into a file that is begun, a few kB at most.
    fn write_space(&mut self, history: &History) {
        let Keeper { journal, record, space, .. } = self;
        let last = history.space.last();
        // It is before what was written where a clock that was ahead has been set.
        let from = if last < *space { 0 } else { *space };
        let mut fits = true;
        history.space.export(from, record, &mut |record| fits &= journal.append(kinds::SPACE, record));
        if fits {
            *space = last;
        }
    }

    /// Writes everything, and that the end was asked for.
    pub fn end(&mut self, now: Duration, history: &History, events: &Events, told: &[u8]) {
        let now = milliseconds(now);
        self.journal.wait(LAST_WORDS);
        self.journal.limit(BATCH_MAX);
        self.urgent = true;
        self.write(now, history, events, told, true);
        self.journal.wait(LAST_WORDS);
    }
}

#[cfg(test)]
mod tests;
