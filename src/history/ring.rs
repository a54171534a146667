//! Rings of points, and how a point fits into 4 bytes.

use super::Series;

/// One ring for all series.
#[derive(Debug)]
pub struct Tier {
    /// How many ticks a slot holds.
    pub every: u64,
    /// How many slots a series has: those of its span, and the one that is being filled.
    pub slots: usize,
    /// The slots of the first series, then those of the second; 0 is a gap.
    pub points: Vec<u32>,
    /// What the slot that is being filled has seen, for each series.
    pub open: Vec<Open>,
    pub slot: u64,
    /// By how many slots the past before this boot was moved.
    pub shifted: i64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Open {
    count: u32,
    sum: f64,
    lowest: f64,
    highest: f64,
}

/// A point as it comes out of a ring, in grains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub value: u64,
    pub lowest: u64,
    pub highest: u64,
}

/// Returns a number with `bits + 1` significant bits. Numbers below `2 << bits` are kept exactly; the codes of larger numbers are
/// larger.
pub const fn pack(number: u64, bits: u32) -> u64 {
    let exponent = (u64::BITS - number.leading_zeros()).saturating_sub(bits + 1);
    let rounded = if exponent == 0 { number } else { (number >> (exponent - 1)).div_ceil(2) };
    ((exponent as u64) << bits) + rounded
}

/// Takes back [`pack`].
pub const fn unpack(code: u64, bits: u32) -> u64 {
    let exponent = (code >> bits).saturating_sub(1);
    (code - (exponent << bits)) << exponent
}

/// How finely the extremes' distance is counted, relative to the average.
const BAND: f64 = 2048.0;

impl Open {
    /// Takes a reading.
    pub fn add(&mut self, value: f64) {
        if self.count == 0 || value < self.lowest {
            self.lowest = value;
        }
        if self.count == 0 || value > self.highest {
            self.highest = value;
        }
        self.count += 1;
        self.sum += value;
    }

    /// Returns the point as it is kept: the average's code and one in the upper half, the distances' codes in the lower.
    pub fn pack(&self, peak: bool) -> u32 {
        if self.count == 0 {
            return 0;
        }
        let value = if peak { self.highest } else { self.sum / f64::from(self.count) };
        // A float becomes the nearest integer of its type, so nothing here can overflow.
        let code = pack(value.round() as u64, 11).min(65_534);
        let kept = unpack(code, 11) as f64;
        let band = |distance: f64| {
            let relative = if kept > 0.0 { distance.max(0.0) * BAND / kept } else { 0.0 };
            pack(relative.round() as u64, 4).min(255) as u32
        };
        (code as u32 + 1) << 16 | band(kept - self.lowest) << 8 | band(self.highest - kept)
    }
}

impl Point {
    /// Takes back [`Open::pack`]; `None` for a gap.
    pub fn unpack(packed: u32) -> Option<Point> {
        let value = unpack(u64::from((packed >> 16).checked_sub(1)?), 11);
        let band = |code: u32| unpack(u64::from(code & 255), 4).saturating_mul(value) / BAND as u64;
        let (below, above) = (band(packed >> 8), band(packed));
        Some(Point { value, lowest: value.saturating_sub(below), highest: value.saturating_add(above) })
    }
}

impl Tier {
    /// Returns whether `slot` has been and is not yet overwritten.
    pub fn holds(&self, slot: u64) -> bool {
        slot <= self.slot && slot + self.slots as u64 > self.slot
    }

    /// Puts what the slot that is being filled has seen into the ring. That is not done at every tick, since each series' points
    /// are on other pages of memory.
    pub fn settle(&mut self, series: &[Series]) {
        let slot = (self.slot % self.slots as u64) as usize;
        for ((open, series), points) in self.open.iter().zip(series).zip(self.points.chunks_exact_mut(self.slots)) {
            if open.count > 0 {
                points[slot] = open.pack(series.peak);
            }
        }
    }

    /// Opens `slot`; those that are skipped become gaps.
    pub fn advance(&mut self, slot: u64, series: &[Series]) {
        let slots = self.slots as u64;
        if slot == self.slot {
            return;
        }
        self.settle(series);
        let skipped = slot.saturating_sub(self.slot).min(slots);
        for empty in slot + 1 - skipped..=slot {
            for series in self.points.chunks_exact_mut(self.slots) {
                series[(empty % slots) as usize] = 0;
            }
        }
        self.open.fill(Open::default());
        self.slot = slot;
    }
}

/// Returns several slots as one point; `None` if all are gaps.
pub fn merge(points: impl Iterator<Item = Point>, peak: bool) -> Option<Point> {
    let mut count = 0;
    let mut sum = 0;
    let mut all: Option<Point> = None;
    for point in points {
        count += 1;
        sum += point.value;
        let Point { value: _, lowest, highest } = all.unwrap_or(point);
        all = Some(Point { value: 0, lowest: lowest.min(point.lowest), highest: highest.max(point.highest) });
    }
    all.map(|all| Point { value: if peak { all.highest } else { sum / count }, ..all })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn packed_numbers_keep_their_significant_bits_and_their_order() {
        for bits in [4, 11] {
            let exact = 2_u64 << bits;
            assert!((0..exact).all(|number| unpack(pack(number, bits), bits) == number));
            let mut state = 1;
            let mut before = (0, 0);
            for _ in 0..100_000 {
                let number = (random(&mut state) << 31 | random(&mut state)) >> (random(&mut state) % 62);
                let code = pack(number, bits);
                assert!(unpack(code, bits).abs_diff(number) <= number >> (bits + 1), "{number} {bits}");
                assert_eq!(pack(unpack(code, bits), bits), code);
                assert!((number > before.0) <= (code >= before.1) && (number < before.0) <= (code <= before.1));
                before = (number, code);
            }
        }
        // The codes of what a Pi can have fit: 4 TB/s in 16 bits, and 240 times the average in 8.
        assert!(pack(4_000_000_000_000, 11) <= 65_534 && pack(240 * 2048, 4) <= 255);
    }

    #[test]
    fn a_point_is_as_exact_as_the_module_says() {
        let mut state = 5;
        for round in 0..20_000 {
            let mut open = Open::default();
            let limit = 1 << (random(&mut state) % 40 + 1);
            let samples: Vec<u64> = (0..1 + round % 60).map(|_| (random(&mut state) << 20) % limit).collect();
            samples.iter().for_each(|&sample| open.add(sample as f64));
            let point = Point::unpack(open.pack(false)).unwrap();
            let mean = samples.iter().sum::<u64>() as f64 / samples.len() as f64;
            let (lowest, highest) = (*samples.iter().min().unwrap() as f64, *samples.iter().max().unwrap() as f64);
            let value_error = (mean / 4096.0).max(0.5);
            assert!((point.value as f64 - mean).abs() <= value_error, "{point:?} {mean}");
            if point.value > 0 {
                let bound = |distance: f64| distance / 32.0 + mean / 2048.0 + 2.0 * value_error + 1.0;
                assert!((point.lowest as f64 - lowest).abs() <= bound(mean - lowest), "{point:?} {lowest} {mean}");
                assert!((point.highest as f64 - highest).abs() <= bound(highest - mean), "{point:?} {highest} {mean}");
            }
        }
        let mut state = Open::default();
        (0..60).for_each(|tick| state.add(f64::from(u8::from(tick == 30)) * 100.0));
        assert_eq!(Point::unpack(state.pack(true)).unwrap().value, 100, "a state that was on for one tick");
        assert_eq!(Point::unpack(0), None);
    }
}
