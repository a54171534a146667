//! How full each filesystem was in the last 16 days, and when it will be full if that goes on.
//!
//! A point stands for three hours and is what was in use at their end. Points are counted in Unix time, since they are about
//! days: this past outlives reboots, and what a machine does by day and by night repeats with the clock. A clock that is
//! behind the newest point, or a filesystem that has another size, contradicts what is remembered: nothing is said and nothing
//! is taken until that is over. After a day of it, the filesystem's past is forgotten.
//!
//! [`Filesystem::trend`] has to withstand what disks go through without becoming full: a backup that is copied once, a large
//! file that comes and goes, logs that grow and are rotated. It takes the median of what was added from one day to the next,
//! and needs a second witness: the level of the newer half of the time must have risen that fast above the older half's.
//! The slower of both counts unless it is less than half of the other, for three times as many days as are known, which are
//! three at least.

use super::ring::{pack, unpack};
use crate::model::{Level, Levels, crc32, push_label};

/// Seconds of a point.
pub const STEP: u64 = 3 * 3600;
/// How many points of each filesystem are kept, with the one that is not complete yet.
const SLOTS: u64 = 128;
/// The most filesystems that are remembered.
const FILESYSTEMS_MAX: usize = 8;
/// The points of a day.
const DAY: u64 = 24 * 3600 / STEP;
/// The days that have to confirm that it goes on, and may show that it goes faster of late.
const LATELY: u64 = 4 * DAY;
/// How far ahead is looked, in times of what is known.
const REACH: f64 = 3.0;
/// How long a contradiction lasts before what is remembered is taken for wrong, in seconds.
const DOUBT: u64 = 24 * 3600;
/// How exactly levels are kept, in bits.
const BITS: u32 = 24;
/// The longest name, in bytes.
const NAME_MAX: usize = 200;
/// A record's key, size, first slot, and the length of its name.
const HEAD: usize = 17;

/// Remembers how full filesystems were. Nothing is allocated once all filesystems are known.
#[derive(Debug)]
pub struct Space {
    filesystems: Vec<Filesystem>,
    /// The newest slot that was restored.
    restored: u64,
}

#[derive(Debug)]
struct Filesystem {
    /// The checksum of its device's name.
    key: u32,
    /// Its mount point, as text.
    name: String,
    /// What is used and what is available, together.
    size: u64,
    /// When it was last asked, in seconds since boot; 0 if it was not since the agent started.
    seen: u64,
    /// Since when it contradicts what is remembered; 0 if it does not.
    odd: u64,
    /// The number of the newest slot, which is not complete yet: Unix time in units of [`STEP`].
    last: u64,
    /// What was in use, packed, plus one; 0 is a gap.
    points: [u32; SLOTS as usize],
    trend: Trend,
}

/// How fast a filesystem fills.
#[derive(Clone, Copy, Debug, Default)]
struct Trend {
    /// Bytes; 0 if nothing can be said.
    per_day: f64,
    /// How far ahead that may be used, in days.
    reach: f64,
}

/// What a stretch of time says about growth, in bytes a day.
#[derive(Clone, Copy, Debug)]
struct Growth {
    rate: f64,
    /// The median of what was added from one day to the next, the upper one if there are two.
    daily: f64,
    days: f64,
}

/// Numbers in their order.
struct Sorted {
    numbers: [f64; SLOTS as usize],
    count: usize,
}

impl Sorted {
    fn new() -> Self {
        Sorted { numbers: [0.0; SLOTS as usize], count: 0 }
    }

    fn add(&mut self, number: f64) {
        let mut place = self.count;
        while place > 0 && self.numbers[place - 1] > number {
            self.numbers[place] = self.numbers[place - 1];
            place -= 1;
        }
        self.numbers[place] = number;
        self.count += 1;
    }

    /// The number below which so many quarters of all are.
    fn at(&self, quarters: usize) -> f64 {
        self.numbers[self.count.saturating_sub(1) * quarters / 4]
    }
}

impl Levels for Space {
    fn note(&mut self, level: &Level<'_>) -> Option<u64> {
        let Level { moment, device, mountpoint, used, available } = *level;
        let size = used.saturating_add(available);
        let (now, slot) = (moment.since_boot.as_secs().max(1), moment.unix.as_secs() / STEP);
        let known = self.place(crc32(0, device), now)?;
        let is_new = known.name.is_empty();
        if is_new {
            known.restart(size, slot);
        }
        known.seen = now;
        if slot < known.last || known.is_resized(size) {
            if known.odd == 0 {
                known.odd = now;
            }
            if now < known.odd + DOUBT {
                return None;
            }
            known.restart(size, slot);
        }
        known.odd = 0;
        if known.advance(slot) || is_new {
            known.trend = known.trend();
            known.name.clear();
            push_label(&mut known.name, mountpoint);
            while known.name.len() > NAME_MAX {
                known.name.pop();
            }
        }
        known.points[(slot % SLOTS) as usize] = pack(used, BITS) as u32 + 1;
        let Trend { per_day, reach } = known.trend;
        let days = available as f64 / per_day;
        (per_day > 0.0 && days < reach).then_some((days * 86_400.0) as u64)
    }
}

impl Default for Space {
    fn default() -> Self {
        Space { filesystems: Vec::with_capacity(FILESYSTEMS_MAX), restored: 0 }
    }
}

/// What was in use at the end of a slot, in bytes.
pub type LevelAt<'a> = &'a dyn Fn(u64) -> Option<u64>;

impl Space {
    /// Returns the filesystem with this key. A new one takes the place of one that was not asked for a day before `now`, if there is
    /// no other; of none if that is 0.
    fn place(&mut self, key: u32, now: u64) -> Option<&mut Filesystem> {
        let all = &mut self.filesystems;
        let mut place = 0;
        while place < all.len() && all[place].key != key {
            place += 1;
        }
        if place == all.len() {
            if place < FILESYSTEMS_MAX {
                all.push(Filesystem::default());
            } else {
                let may_go = |it: &Filesystem| now > 0 && (it.seen == 0 || it.seen + DOUBT < now);
                place = all.iter().position(may_go)?;
            }
            let known = &mut all[place];
            known.name.clear();
            (known.key, known.seen) = (key, 0);
        }
        Some(&mut all[place])
    }

    /// Returns the number of the newest slot of all filesystems; it is not complete yet.
    pub fn last(&self) -> u64 {
        self.filesystems.iter().map(|it| it.last).max().unwrap_or(0)
    }

    /// Hands a record of each filesystem's points from slot `from` on to `each`, with the one that is not complete; `out` is for
    /// them.
    pub fn export(&self, from: u64, out: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) {
        for known in &self.filesystems {
            let first = from.max((known.last + 1).saturating_sub(SLOTS));
            if first > known.last {
                continue;
            }
            out.clear();
            out.extend_from_slice(&known.key.to_le_bytes());
            out.extend_from_slice(&known.size.to_le_bytes());
            out.extend_from_slice(&(first as u32).to_le_bytes());
            out.push(known.name.len() as u8);
            out.extend_from_slice(known.name.as_bytes());
            for slot in first..=known.last {
                out.extend_from_slice(&known.points[(slot % SLOTS) as usize].to_le_bytes());
            }
            each(out);
        }
    }

    /// Puts the points of an exported record back; `None` if it is none. [`Space::settle`] has to follow the last one.
    pub fn restore(&mut self, record: &[u8]) -> Option<()> {
        let key = u32::from_le_bytes(record.get(..4)?.try_into().ok()?);
        let size = u64::from_le_bytes(record.get(4..12)?.try_into().ok()?);
        let first = u64::from(u32::from_le_bytes(record.get(12..16)?.try_into().ok()?));
        let points = HEAD + usize::from(*record.get(16)?);
        let name = std::str::from_utf8(record.get(HEAD..points)?).ok()?;
        self.restored = self.restored.max((first + (record.len() - points) as u64 / 4).saturating_sub(1));
        let known = self.place(key, 0)?;
        if known.name.is_empty() {
            known.name.push_str(name);
            known.restart(size, first);
        } else if known.is_resized(size) {
            // What the filesystem itself says counts more than what was.
            if known.seen > 0 {
                return Some(());
            }
            known.restart(size, first);
        }
        for (slot, point) in (first..).zip(record[points..].chunks_exact(4)) {
            known.advance(slot);
            if slot + SLOTS > known.last {
                known.points[(slot % SLOTS) as usize] = u32::from_le_bytes(point.try_into().unwrap_or_default());
            }
        }
        Some(())
    }

    /// Returns the newest slot that was restored; 0 if nothing was.
    pub fn restored(&self) -> u64 {
        self.restored
    }

    /// Finds the trends of what was restored.
    pub fn settle(&mut self) {
        for known in &mut self.filesystems {
            known.trend = known.trend();
        }
    }

    /// Returns the first complete slot of which any filesystem has a point, and the first one that is not complete.
    pub fn span(&self) -> (u64, u64) {
        let last = self.last();
        let mut first = last.saturating_sub(SLOTS - 1);
        while first < last && self.filesystems.iter().all(|it| it.level(first).is_none()) {
            first += 1;
        }
        (first, last)
    }

    /// Returns whether enough is known of any filesystem to say when it will be full.
    pub fn knows(&self) -> bool {
        let mut all = self.filesystems.iter();
        all.any(|known| known.growth(known.last.saturating_sub(SLOTS - 1)).is_some())
    }

    /// Hands each filesystem's name and its levels to `each`.
    pub fn each(&self, each: &mut dyn FnMut(&str, LevelAt<'_>)) {
        for known in &self.filesystems {
            each(&known.name, &|slot| known.level(slot));
        }
    }
}

impl Default for Filesystem {
    fn default() -> Self {
        Filesystem {
            key: 0,
            name: String::new(),
            size: 0,
            seen: 0,
            odd: 0,
            last: 0,
            points: [0; SLOTS as usize],
            trend: Trend::default(),
        }
    }
}

impl Filesystem {
    /// Forgets what was.
    #[inline(never)]
    fn restart(&mut self, size: u64, slot: u64) {
        (self.size, self.last, self.odd) = (size, slot, 0);
        self.points = [0; SLOTS as usize];
        self.trend = Trend::default();
    }

    /// Whether it is larger or smaller than it was by more than filesystems such as btrfs are by themselves.
    fn is_resized(&self, size: u64) -> bool {
        size.abs_diff(self.size) > self.size / 16
    }

    /// Makes `slot` the newest one; those that are skipped become gaps. Returns whether it was an older one.
    fn advance(&mut self, slot: u64) -> bool {
        let moves = slot > self.last;
        for empty in (self.last + 1).max((slot + 1).saturating_sub(SLOTS))..=slot {
            self.points[(empty % SLOTS) as usize] = 0;
        }
        self.last = self.last.max(slot);
        moves
    }

    /// Returns what was in use at the end of a slot, in bytes.
    fn level(&self, slot: u64) -> Option<u64> {
        let point = self.points[(slot % SLOTS) as usize];
        if slot > self.last || slot + SLOTS <= self.last || point == 0 {
            return None;
        }
        Some(unpack(u64::from(point - 1), BITS))
    }

    /// Returns how much is added to it in a day, if that is steady.
    fn trend(&self) -> Trend {
        let Some(mut growth) = self.growth(self.last.saturating_sub(SLOTS - 1)) else { return Trend::default() };
        let since = self.last.saturating_sub(LATELY);
        if let Some(lately) = self.growth(since) {
            // It has stopped.
            if lately.daily <= growth.rate / 4.0 {
                return Trend::default();
            }
            // It goes much faster of late, and is higher than it ever was: it is not the way up to where logs are rotated.
            let mut before = 0;
            for slot in since.saturating_sub(SLOTS)..since {
                before = self.level(slot).unwrap_or(0).max(before);
            }
            let newest = self.level(self.last.saturating_sub(1)).unwrap_or(0);
            if lately.rate > growth.rate * 1.5 && newest as f64 > before as f64 + lately.rate {
                growth = lately;
            }
        }
        Trend { per_day: growth.rate, reach: growth.days * REACH }
    }

    /// Returns how it has grown in the complete slots from `from` on; `None` if they are too few to tell.
    ///
    /// What happens once within a day changes all differences that reach over it, which are those of one day. Only where
    /// there are more than twice as many can their median not be one of them.
    fn growth(&self, from: u64) -> Option<Growth> {
        let mut first = from;
        while first < self.last && self.level(first).is_none() {
            first += 1;
        }
        let slots = self.last - first.min(self.last);
        let (mut daily, mut older, mut newer) = (Sorted::new(), Sorted::new(), Sorted::new());
        for slot in first..self.last {
            let Some(level) = self.level(slot).map(|level| level as f64) else { continue };
            if slot < first + slots / 2 {
                older.add(level)
            } else {
                newer.add(level)
            }
            if let Some(before) = slot.checked_sub(DAY).filter(|before| *before >= first).and_then(|it| self.level(it))
            {
                daily.add(level - before as f64);
            }
        }
        if daily.count as u64 <= 2 * DAY || older.count.min(newer.count) < DAY as usize {
            return None;
        }
        let days = slots as f64 / DAY as f64;
        let risen = (newer.at(3) - older.at(3)) / (days / 2.0);
        let typical = daily.at(2);
        let agree = risen * 2.0 >= typical;
        Some(Growth { rate: if agree { typical.min(risen) } else { 0.0 }, daily: daily.numbers[daily.count / 2], days })
    }
}

#[cfg(test)]
mod tests;
