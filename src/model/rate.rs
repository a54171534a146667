//! How fast counters grow.

use std::time::Duration;

/// Counters' rates between one reading and the next, each counter by a key.
#[derive(Debug, Default)]
pub struct Rates {
    known: Vec<Known>,
    now: Duration,
    /// Where the next counter is expected: they come in the same order nearly always.
    place: usize,
}

#[derive(Debug)]
struct Known {
    key: u64,
    value: f64,
    at: Duration,
}

impl Rates {
    /// Begins the reading at `now`.
    pub fn begin(&mut self, now: Duration) {
        self.now = now;
        self.place = 0;
    }

    /// Returns how fast a counter grew since the last reading; `None` at its first sight and when it started anew.
    pub fn per_second(&mut self, key: u64, value: f64) -> Option<f64> {
        let (growth, time) = self.growth(key, value)?;
        (time > 0.0).then(|| growth / time)
    }

    /// Returns by how much a counter grew since the last reading, and in how many seconds.
    pub fn growth(&mut self, key: u64, value: f64) -> Option<(f64, f64)> {
        if self.known.get(self.place).is_none_or(|known| known.key != key) {
            match self.known.iter().position(|known| known.key == key) {
                Some(place) => self.place = place,
                None => {
                    self.place = self.known.len();
                    self.known.push(Known { key, value, at: self.now });
                    self.place += 1;
                    return None;
                }
            }
        }
        let known = &mut self.known[self.place];
        self.place += 1;
        let (growth, time) = (value - known.value, self.now.saturating_sub(known.at));
        known.value = value;
        known.at = self.now;
        (growth >= 0.0).then_some((growth, time.as_secs_f64()))
    }

    /// Ends the reading: forgets the counters that it did not see.
    pub fn end(&mut self) {
        let now = self.now;
        self.known.retain(|known| known.at == now);
    }
}

/// Hashes a label's text and a number, eight bytes at a time.
pub fn key(label: &(impl AsRef<[u8]> + ?Sized), number: usize) -> u64 {
    hash(label.as_ref(), number)
}

#[inline(never)]
#[cfg_attr(small, optimize(speed))]
fn hash(mut rest: &[u8], number: usize) -> u64 {
    /// 2^64 divided by the golden ratio.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let mut hash = mix(number as u64, rest.len() as u64);
    let last = rest.last_chunk();
    while let Some((eight, behind)) = rest.split_first_chunk() {
        hash = mix(hash, u64::from_le_bytes(*eight));
        rest = behind;
    }
    // What is left is at the end of the last eight bytes, if there are so many.
    match (rest, last) {
        ([], _) => hash,
        (_, Some(eight)) => mix(hash, u64::from_le_bytes(*eight)),
        (_, None) => rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte))),
    }
}
