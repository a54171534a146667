//! The way of the rings' points into a journal and back, over restarts and reboots.

use super::{History, TIERS};
use crate::history::ring::Tier;

/// What stands before the points of a record: milliseconds between points, and its time.
const HEAD: usize = 12;

impl History {
    /// Appends the names of the series, each with its unit, in the order in which [`History::export`] has their points.
    pub fn names(&self, out: &mut Vec<u8>) {
        for series in &self.series {
            for text in [series.name, " ", series.grain.name, "\n"] {
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Returns for each of those names which series it is here; `None` for one that is gone, or has another unit now.
    pub fn places(&self, names: &[u8]) -> Vec<Option<usize>> {
        let mut places = Vec::new();
        for line in names.split(|&byte| byte == b'\n') {
            let mut words = line.split(|&byte| byte == b' ');
            let (name, unit) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let is = |series: &super::Series| series.name.as_bytes() == name && series.grain.name.as_bytes() == unit;
            places.push(self.series.iter().position(is));
        }
        places
    }

    /// Returns the number of a ring's first slot that is not complete.
    pub fn open_slot(&self, tier: usize) -> u64 {
        self.tiers[tier].slot
    }

    /// Returns the number of the oldest slot that a ring has of this run.
    pub fn own_slot(&self, tier: usize) -> u64 {
        let Tier { every, slot, slots, .. } = &self.tiers[tier];
        (self.own / every).max((slot + 1).saturating_sub(*slots as u64))
    }

    /// Puts a slot's record into `out`: the step, the time of its middle since boot, in milliseconds, and every series' point.
    /// Returns whether there is any point.
    pub fn export(&self, tier: usize, slot: u64, out: &mut Vec<u8>) -> bool {
        let Tier { every, slots, points, .. } = &self.tiers[tier];
        out.clear();
        out.extend_from_slice(&((every * self.interval) as u32).to_le_bytes());
        let middle = ((2 * slot + 1) * every - 1) * self.interval / 2;
        out.extend_from_slice(&(middle as i64 + self.phase - self.base as i64).to_le_bytes());
        let mut any = 0;
        for place in 0..self.series.len() {
            let point = points[place * slots + (slot % *slots as u64) as usize];
            any |= point;
            out.extend_from_slice(&point.to_le_bytes());
        }
        any != 0
    }

    /// Returns what an exported record covers, in milliseconds since the boot that it is of; `None` if it is none.
    pub fn covers(record: &[u8]) -> Option<(i64, i64)> {
        let step = i64::from(u32::from_le_bytes(record.get(..4)?.try_into().ok()?));
        let middle = i64::from_le_bytes(record.get(4..HEAD)?.try_into().ok()?);
        Some((middle.saturating_sub(step / 2), middle.saturating_add(step / 2)))
    }

    /// Puts the points of a record that was exported before this run back, `shift` milliseconds later than it says; `places` are
    /// those of its names.
    ///
    /// Finer rings get a point for each of their slots that has none, so that there is something to see wherever there is
    /// a coarser point.
    pub fn restore(&mut self, record: &[u8], shift: i64, places: &[Option<usize>]) {
        let Some((from, to)) = History::covers(record) else { return };
        let step = (to - from).max(1) as u64;
        for tier in 0..TIERS.len() {
            let own = self.tiers[tier].every * self.interval;
            let is_same = own < step * 2 && step < own * 2;
            if own > step && !is_same {
                continue;
            }
            let count = if is_same { 1 } else { step / own };
            let time = if is_same { from / 2 + to / 2 } else { from + own as i64 / 2 };
            let first = self.slot_at(tier, time.saturating_add(shift));
            let own_slot = self.own / self.tiers[tier].every;
            for slot in first..first.saturating_add(count as i64) {
                let Ok(slot) = u64::try_from(slot) else { continue };
                if slot >= own_slot || !self.tiers[tier].holds(slot) {
                    continue;
                }
                let Tier { every, slots, points, .. } = &mut self.tiers[tier];
                for (place, bytes) in places.iter().zip(record[HEAD..].chunks_exact(4)) {
                    let point = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
                    let Some(place) = *place else { continue };
                    let kept = &mut points[place * *slots + (slot % *slots as u64) as usize];
                    if point != 0 && (is_same || *kept == 0) {
                        *kept = point;
                        self.series[place].seen = true;
                    }
                }
                if let Some((first, _)) = &mut self.ticks {
                    *first = (*first).min(slot * *every);
                }
            }
        }
    }

    /// Moves everything from before this boot by so many milliseconds in all, counted from where it was restored.
    pub fn shift_past(&mut self, shift: i64) {
        for number in 0..TIERS.len() {
            let boot = u64::try_from(self.slot_at(number, 0)).unwrap_or(0);
            let tier = &mut self.tiers[number];
            let step = (tier.every * self.interval) as i64;
            let shifted = (shift + step / 2).div_euclid(step);
            let by = shifted - std::mem::replace(&mut tier.shifted, shifted);
            let slots = tier.slots as u64;
            let oldest = (tier.slot + 1).saturating_sub(slots);
            let count = boot.min(tier.slot).saturating_sub(oldest);
            if by == 0 {
                continue;
            }
            for series in tier.points.chunks_exact_mut(tier.slots) {
                for step in 0..count {
                    // What moves does not overwrite what has to move yet.
                    let slot = if by < 0 { oldest + step } else { oldest + count - 1 - step };
                    let point = std::mem::take(&mut series[(slot % slots) as usize]);
                    let to = slot.saturating_add_signed(by);
                    if (oldest..oldest + count).contains(&to) {
                        series[(to % slots) as usize] = point;
                    }
                }
            }
            if let Some((first, _)) = &mut self.ticks {
                *first = (*first).min(oldest * tier.every).max(1);
            }
        }
    }

    /// The slot of a time, in milliseconds since boot.
    fn slot_at(&self, tier: usize, time: i64) -> i64 {
        let interval = self.interval as i64;
        let tick = (time.saturating_add(self.base as i64) - self.phase + interval / 2).div_euclid(interval);
        tick.div_euclid(self.tiers[tier].every as i64)
    }
}

#[cfg(test)]
mod tests;
