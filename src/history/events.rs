//! What happened: events in one buffer of a fixed size, in which the oldest make room for new ones.
//!
//! Times count from boot, since the clock of a board without a battery is wrong until the network sets it. A table of boots has
//! what to add, and is corrected when the clock steps.

pub mod record;

use crate::model::{BUSY_LISTS, BUSY_MAX, Busy, Episode, Event, Keep, Lane, Note, Severity, Unit, kinds};
use record::{
    BEGIN, BOOT_NUMBER, Boot, END, FLAGS, ID, LISTS_LONGEST, LONGEST, Lists, NAME_MAX, PENDING, Record, Records,
    TEXT_MAX, TIMES, UNITS, VERSION, WORST, decode, number, push_text,
};
use std::fmt;
use std::time::Duration;

/// The buffer's size in bytes: from 100 events with full lists of processes to 500 short ones.
pub const SIZE: usize = 48 << 10;
/// The most stretches of time that are known.
const BOOTS_MAX: usize = 64;
/// The same thing again within this time of its end is one event, in milliseconds.
const AGAIN: u64 = 60_000;
/// By how much the clock has to step before times are corrected, in milliseconds.
const STEP: u64 = 500;

/// Which events are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// One alone, with its processes.
    pub id: Option<u64>,
    /// Those that were not over before this time: milliseconds of the Unix epoch.
    pub since: i64,
    /// At most so many, the newest.
    pub limit: u64,
    /// As lines of text instead of JSON.
    pub text: bool,
}

/// The events that are kept.
pub struct Events {
    bytes: Vec<u8>,
    boots: Vec<Boot>,
    /// The lists of processes that events wait for, while they are put in.
    lists: Vec<u8>,
    last: u64,
    changes: u64,
    counts: [u64; kinds::NAMES.len()],
    /// Whether the processes at the moment of trouble can be known, and whether some event waits for them.
    knows_processes: bool,
    awaits: bool,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("last", &self.last).field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Events {
    /// Allocates all memory that it will use. `knows_processes`: events of trouble get the busiest processes.
    pub fn new(knows_processes: bool) -> Self {
        Events {
            bytes: Vec::with_capacity(SIZE),
            boots: Vec::with_capacity(BOOTS_MAX),
            lists: Vec::with_capacity(LISTS_LONGEST),
            last: 0,
            changes: 0,
            counts: [0; kinds::NAMES.len()],
            knows_processes,
            awaits: false,
        }
    }

    /// Puts in a record from before this start; returns whether it is one. One with the id of an earlier one replaces it.
    pub fn restore(&mut self, bytes: &[u8]) -> bool {
        match decode(bytes) {
            None => return false,
            Some(Record::Boot(boot)) => match self.boots.iter_mut().find(|known| known.number == boot.number) {
                Some(known) => *known = boot,
                None => self.push_boot(boot),
            },
            Some(Record::Event(_, event, _)) => {
                if bytes.len() > LONGEST {
                    return false;
                }
                self.last = self.last.max(event.id);
                self.make_room();
                if let Some((at, length)) = self.find(event.id) {
                    self.remove(at, length);
                }
                self.bytes.extend_from_slice(bytes);
            }
        }
        true
    }

    /// Begins to record: `boot_id` is that of this boot. What lasted when its agent ended was over when that last recorded something.
    pub fn start(&mut self, boot_id: u32, since_boot: Duration, unix: Duration) {
        let mut at = 0;
        while let Some(record) = self.at(at) {
            let next = at + record.len();
            if number(record, END) == u64::MAX {
                let boot = |record: &[u8]| number(record, BOOT_NUMBER) as u32;
                // What lasted was more than a moment, even if nothing is known of later.
                let mut last = number(record, BEGIN).saturating_add(1);
                for other in Records(&self.bytes).filter(|other| boot(other) == boot(record)) {
                    let end = number(other, END);
                    last = last.max(if end == u64::MAX { number(other, BEGIN) } else { end });
                }
                self.put(at + END, last);
            }
            at = next;
        }
        let offset = unix.as_millis() as i64 - since_boot.as_millis() as i64;
        let number = self.boots.last().map_or(0, |boot| boot.number);
        if self.boots.last().is_none_or(|boot| boot.id != boot_id) {
            self.push_boot(Boot { number: number.wrapping_add(1), id: boot_id, offset, exact: false });
        }
        self.clock(since_boot, unix);
    }

    /// Learns what the clocks say. Where the wall clock has stepped, times of this boot are corrected, unless it was known to be right.
    pub fn clock(&mut self, since_boot: Duration, unix: Duration) {
        let offset = unix.as_millis() as i64 - since_boot.as_millis() as i64;
        let Some(boot) = self.boots.last_mut() else { return };
        if offset.saturating_sub(boot.offset).unsigned_abs() < STEP {
            return;
        }
        self.changes += 1;
        if boot.exact {
            let next = Boot { number: boot.number.wrapping_add(1), offset, exact: false, ..*boot };
            self.push_boot(next);
        } else {
            boot.offset = offset;
        }
    }

    /// Learns that the clock is right.
    pub fn clock_is_right(&mut self) {
        if let Some(boot) = self.boots.last_mut().filter(|boot| !boot.exact) {
            boot.exact = true;
            self.changes += 1;
        }
    }

    /// Returns the stretch of time that it is now.
    pub fn boot(&self) -> Option<&Boot> {
        self.boots.last()
    }

    /// Returns the stretch of time that a record of an event is of.
    pub fn boot_of(&self, record: &[u8]) -> Option<&Boot> {
        let bytes = record.get(BOOT_NUMBER..BOOT_NUMBER + 4)?.try_into().ok()?;
        self.boots.iter().find(|boot| boot.number == u32::from_le_bytes(bytes))
    }

    /// Returns the id of the newest event; 0 if there is none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Returns a number that grows whenever an event begins or ends, or its time is corrected.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns how often each kind happened, in the order of [`kinds::ALL`].
    pub fn counts(&self) -> &[u64; kinds::NAMES.len()] {
        &self.counts
    }

    /// Returns an event's record, for the journal.
    pub fn record(&self, id: u64) -> Option<&[u8]> {
        self.find(id).and_then(|(at, _)| self.at(at))
    }

    /// Hands the events that are asked for to `show`, in the order in which they were recorded; returns how many there are.
    pub fn each(&self, wanted: &Wanted, show: &mut dyn FnMut(&Event<'_>, Lists<'_>)) -> u64 {
        let mut matched = 0;
        let mut pass = |skip: u64, show: &mut dyn FnMut(&Event<'_>, Lists<'_>)| {
            matched = 0;
            for record in Records(&self.bytes) {
                let Some(Record::Event(number, mut event, lists)) = decode(record) else { continue };
                let Some(boot) = self.boots.iter().find(|boot| boot.number == number) else { continue };
                event.begin = event.begin.saturating_add(boot.offset);
                event.end = event.end.map(|end| end.saturating_add(boot.offset));
                event.exact = boot.exact;
                let is_late = event.end.is_none_or(|end| end >= wanted.since);
                if wanted.id.map_or(is_late, |id| id == event.id) {
                    matched += 1;
                    if matched > skip {
                        show(&event, lists);
                    }
                }
            }
            matched
        };
        let all = pass(u64::MAX, &mut |_, _| ());
        pass(all.saturating_sub(wanted.limit), show)
    }

    /// Keeps something that was noticed at this time since boot; returns its id.
    pub fn note(&mut self, note: Note<'_>, now: Duration) -> u64 {
        let lane = note.kind.lane;
        // Its end may be found out later, and its seconds with that.
        let unit = if lane == Lane::Power { Unit::Seconds } else { Unit::Count };
        self.begin(&Episode { note, lane, rule: "", begin: now, unit, lasts: false })
    }

    /// Returns whether an event waits for the busiest processes.
    pub fn awaits_processes(&self) -> bool {
        self.awaits
    }

    /// Puts the processes that `each` hands to its argument, list by list, into the events that wait for them.
    pub fn add_processes(&mut self, each: impl FnOnce(&mut dyn FnMut(usize, &Busy<'_>))) {
        self.awaits = false;
        self.make_room();
        let lists = &mut self.lists;
        lists.clear();
        let mut counts = [0_usize; BUSY_LISTS.len()];
        let mut place = 0;
        lists.push(0);
        let mut count_at = 0;
        each(&mut |list, busy| {
            while place < list {
                place += 1;
                count_at = lists.len();
                lists.push(0);
            }
            if place == list && counts[list] < BUSY_MAX {
                counts[list] += 1;
                lists[count_at] += 1;
                lists.extend_from_slice(&busy.pid.to_le_bytes());
                lists.extend_from_slice(&busy.amount.min((1 << 40) - 1).to_le_bytes()[..5]);
                let name = if busy.name.len() > NAME_MAX { "?" } else { busy.name };
                push_text(format_args!("{name}"), NAME_MAX, lists);
            }
        });
        lists.resize(lists.len() + BUSY_LISTS.len() - 1 - place, 0);
        let more = self.lists.len() - BUSY_LISTS.len();
        let mut at = 0;
        while let Some(length) = self.at(at).map(<[u8]>::len) {
            let mut next = at + length;
            if self.bytes[at + FLAGS] & PENDING > 0 {
                self.bytes[at + FLAGS] &= !PENDING;
                if self.bytes.len() + more <= SIZE {
                    let end = self.bytes.len();
                    self.bytes.resize(end + more, 0);
                    self.bytes.copy_within(next..end, next + more);
                    next += more;
                    self.bytes[next - self.lists.len()..next].copy_from_slice(&self.lists);
                    self.bytes[at..at + 2].copy_from_slice(&((next - at) as u16).to_le_bytes());
                }
            }
            at = next;
        }
        self.changes += 1;
    }

    /// The record that begins at `at`.
    fn at(&self, at: usize) -> Option<&[u8]> {
        Records(self.bytes.get(at..)?).next()
    }

    /// The place and the length of an event's record.
    fn find(&self, id: u64) -> Option<(usize, usize)> {
        let mut at = 0;
        for record in Records(&self.bytes) {
            if number(record, ID) == id {
                return Some((at, record.len()));
            }
            at += record.len();
        }
        None
    }

    fn put(&mut self, at: usize, number: u64) {
        self.bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }

    fn remove(&mut self, at: usize, length: usize) {
        self.bytes.copy_within(at + length.., at);
        self.bytes.truncate(self.bytes.len() - length);
    }

    /// Removes events until the longest one fits: the oldest that is over. Where those that are only good to know take more than
    /// half of the room, the oldest of them, so that a loose plug does not drive out what was wrong last night.
    fn make_room(&mut self) {
        while self.bytes.len() + LONGEST > SIZE {
            let (mut at, mut minor) = (0, 0);
            let mut oldest = [None; 2];
            for record in Records(&self.bytes) {
                let is_minor = record[FLAGS] & 3 == Severity::Info as u8;
                if is_minor {
                    minor += record.len();
                }
                if number(record, END) != u64::MAX {
                    oldest[0] = oldest[0].or(Some((at, record.len())));
                    if is_minor {
                        oldest[1] = oldest[1].or(Some((at, record.len())));
                    }
                }
                at += record.len();
            }
            let first = (0, self.at(0).map_or(self.bytes.len(), <[u8]>::len));
            let (at, length) = oldest[1].filter(|_| minor > SIZE / 2).or(oldest[0]).unwrap_or(first);
            self.remove(at, length);
        }
    }

    /// Adds a stretch of time; forgets the first one, with its events, if there are too many.
    fn push_boot(&mut self, boot: Boot) {
        if self.boots.len() == BOOTS_MAX {
            self.boots.remove(0);
        }
        self.boots.push(boot);
    }

    /// The place of an earlier event that says the same as the one at `new` and was not over long before.
    fn same(&self, new: usize) -> Option<usize> {
        let Record::Event(boot, new_event, _) = decode(self.at(new)?)? else { return None };
        let (mut at, mut found) = (0, None);
        for record in Records(&self.bytes[..new]) {
            // Few are of that kind and recent; one that lasts is.
            let end = number(record, END);
            if record[3] == self.bytes[new + 3] && (new_event.begin as u64).saturating_sub(end) < AGAIN {
                if let Some(Record::Event(other, event, _)) = decode(record) {
                    if other == boot && (event.title, event.culprit) == (new_event.title, new_event.culprit) {
                        found = Some(at);
                    }
                }
            }
            at += record.len();
        }
        found
    }
}

impl Keep for Events {
    fn begin(&mut self, episode: &Episode<'_>) -> u64 {
        let Episode { note, lane, rule, begin, unit, lasts } = episode;
        let Note { kind, severity, title, detail, culprit } = note;
        self.make_room();
        let place = kinds::ALL.iter().position(|known| std::ptr::eq(*known, *kind)).unwrap_or(0);
        self.counts[place] += 1;
        self.changes += 1;
        let begin = begin.as_millis() as u64;
        let end = if *lasts { u64::MAX } else { begin };
        let boot = self.boots.last().map_or(0, |boot| boot.number);
        let is_trouble = self.knows_processes && (*lane == Lane::Trouble || !rule.is_empty());
        let unit = UNITS.iter().position(|known| known == unit).unwrap_or(0) as u8;
        let flags = *severity as u8 | (*lane as u8) << 2 | if is_trouble { PENDING } else { 0 };
        let start = self.bytes.len();
        let out = &mut self.bytes;
        out.extend_from_slice(&[0, 0, VERSION, place as u8, flags, unit, 1, 0]);
        out.extend_from_slice(&self.last.wrapping_add(1).to_le_bytes());
        out.extend_from_slice(&boot.to_le_bytes());
        for number in [begin, end, i64::MIN as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for text in [format_args!("{rule}"), *title, *detail, format_args!("{culprit}")] {
            push_text(text, TEXT_MAX, out);
        }
        out.extend_from_slice(&[0; BUSY_LISTS.len()]);
        let length = (out.len() - start) as u16;
        out[start..start + 2].copy_from_slice(&length.to_le_bytes());
        if rule.is_empty() {
            if let Some(at) = self.same(start) {
                self.bytes.truncate(start);
                let times = u16::from_le_bytes([self.bytes[at + TIMES], self.bytes[at + TIMES + 1]]).saturating_add(1);
                self.bytes[at + TIMES..at + ID].copy_from_slice(&times.to_le_bytes());
                self.put(at + END, end);
                return number(&self.bytes[at..], ID);
            }
        }
        self.awaits |= is_trouble;
        self.last = self.last.wrapping_add(1);
        self.last
    }

    fn update(&mut self, id: u64, end: Option<Duration>, worst: Option<i64>) {
        let Some((at, _)) = self.find(id) else { return };
        // What lasts no millisecond did last; an event that did not has its end from the beginning.
        let begin = number(&self.bytes[at..], BEGIN);
        let end = end.map_or(u64::MAX, |end| (end.as_millis() as u64).max(begin.saturating_add(1)));
        if end != number(&self.bytes[at..], END) {
            self.changes += 1;
            self.put(at + END, end);
        }
        if let Some(worst) = worst {
            self.put(at + WORST, worst as u64);
        }
    }
}

/// Decodes any bytes, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let mut events = Events::new(true);
    events.restore(bytes);
    events.start(1, Duration::from_secs(5), Duration::from_secs(1_000));
    events.each(&Wanted { id: None, since: 0, limit: 9, text: false }, &mut |_, lists| lists.each(&mut |_, _| ()));
}

#[cfg(test)]
mod tests;
