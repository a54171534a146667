//! The recent past of the charted series, in memory alone: rings of a fixed size that every tick feeds.
//!
//! Which series there are is said in the families' [`Chart`]s; nothing is listed here. Time is counted in ticks since boot, so
//! that a clock which steps (a Pi has none of its own) moves nothing, and where no tick was, there is a gap. A tick is one
//! `--sample.interval`; each [`TIERS`] entry collects as many of them as its step holds.
//!
//! A point is 4 bytes: the average as a 16-bit number with 12 significant bits, and how far the extremes lie below and above
//! it, relative to it, in 8 bits with 5 significant ones. Values are whole numbers of a [`Grain`] before that. An average is
//! therefore off by at most half a grain or 1/4096, whichever is more, and an extreme by 1/32 of its distance from the average
//! and 1/2048 of the average more. No sample goes to disk and nothing is allocated after the start.

use crate::format::json::{Object, write_string};
use crate::model::{Chart, Column, Combine, Kind, Rates, Snapshot, Unit, Value, key};
use std::time::Duration;

/// Each ring's step and the time it reaches back, in seconds. Where the sample interval is longer than a step, or does not
/// divide it, the step is the next multiple of the interval.
const TIERS: [(u64, u64); 3] = [(2, 10 * 60), (10, 6 * 3600), (2 * 60, 7 * 24 * 3600)];

/// The most points of a series in one answer: about as many as a chart has pixels.
const MOST_POINTS: u64 = 360;

/// The spans of time that can be asked for: name, seconds, and into how many levels a series' largest value is divided.
/// Fewer levels make the answer smaller; these still are finer than a chart's pixels.
pub const RANGES: [(&str, u64, u64); 5] =
    [("2m", 120, 1000), ("10m", 600, 1000), ("1h", 3600, 100), ("24h", 24 * 3600, 100), ("7d", 7 * 24 * 3600, 100)];

/// The smallest difference that a series of some unit keeps.
#[derive(Clone, Copy, Debug)]
struct Grain {
    /// The unit's name in `/history`.
    name: &'static str,
    /// How many grains one unit holds.
    per_unit: f64,
    /// One grain, exactly.
    value: Value,
    /// Added to every value, in grains: for units whose values may be below zero.
    offset: u64,
}

impl Grain {
    const fn of(unit: Unit, rate: bool) -> Grain {
        let (name, per_unit, value, offset) = match (unit, rate) {
            (Unit::Percent, _) | (Unit::Seconds, true) => ("percent", 1e2, Value::decimal(1, 2), 0),
            (Unit::Bytes, false) => ("bytes", 1.0, Value::decimal(1, 0), 0),
            (Unit::Bytes, true) => ("bytes_per_second", 1.0, Value::decimal(1, 0), 0),
            (Unit::Celsius, _) => ("celsius", 1e1, Value::decimal(1, 1), 1000),
            (Unit::Hertz, _) => ("hertz", 1e-6, Value::decimal(1_000_000, 0), 0),
            (Unit::Seconds, false) => ("seconds", 1e3, Value::decimal(1, 3), 0),
            (Unit::Volts, _) => ("volts", 1e3, Value::decimal(1, 3), 0),
            (Unit::Ratio, _) => ("ratio", 1e3, Value::decimal(1, 3), 0),
            (Unit::Count | Unit::Info, false) => ("count", 1e2, Value::decimal(1, 2), 0),
            (Unit::Count | Unit::Info, true) => ("count_per_second", 1e2, Value::decimal(1, 2), 0),
        };
        Grain { name, per_unit, value, offset }
    }
}

/// What is kept: the rings, and how snapshots fill them.
#[derive(Debug)]
pub struct History {
    /// Milliseconds between ticks.
    interval: u64,
    /// When tick 0 was or would have been, in milliseconds since boot.
    phase: i64,
    /// The first tick and the last one.
    ticks: Option<(u64, u64)>,
    series: Vec<Series>,
    feeds: Vec<Feed>,
    rates: Rates,
    tiers: [Tier; TIERS.len()],
    /// The points of one series while they are written.
    scratch: Vec<Option<Point>>,
}

#[derive(Debug)]
struct Series {
    name: &'static str,
    unit: Unit,
    grain: Grain,
    peak: bool,
    /// Whether there ever was a value: what the machine lacks is left out.
    seen: bool,
    /// The value of the present tick.
    now: Option<f64>,
}

/// The way of a family's values into a series.
#[derive(Debug)]
struct Feed {
    chart: &'static Chart,
    series: usize,
    /// Which part and section of the snapshot.
    part: usize,
    section: usize,
    /// Which columns, as bits from `column` on.
    column: usize,
    wanted: u32,
    kind: Kind,
    unit: Unit,
}

/// One ring for all series.
#[derive(Debug)]
struct Tier {
    /// How many ticks a slot holds.
    every: u64,
    /// How many slots a series has: those of its span, and the one that is being filled.
    slots: usize,
    /// The slots of the first series, then those of the second; 0 is a gap.
    points: Vec<u32>,
    /// What the slot that is being filled has seen, for each series.
    open: Vec<Open>,
    slot: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Open {
    count: u32,
    sum: f64,
    lowest: f64,
    highest: f64,
}

/// A point as it comes out of a ring, in grains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    value: u64,
    lowest: u64,
    highest: u64,
}

/// A number with `bits + 1` significant bits. Numbers below `2 << bits` are kept exactly; the codes of larger numbers are
/// larger.
const fn pack(number: u64, bits: u32) -> u64 {
    let exponent = (u64::BITS - number.leading_zeros()).saturating_sub(bits + 1);
    let rounded = if exponent == 0 { number } else { (number >> (exponent - 1)).div_ceil(2) };
    ((exponent as u64) << bits) + rounded
}

/// Takes back [`pack`].
const fn unpack(code: u64, bits: u32) -> u64 {
    let exponent = (code >> bits).saturating_sub(1);
    (code - (exponent << bits)) << exponent
}

/// How finely the extremes' distance is counted, relative to the average.
const BAND: f64 = 2048.0;

impl Open {
    fn add(&mut self, value: f64) {
        if self.count == 0 || value < self.lowest {
            self.lowest = value;
        }
        if self.count == 0 || value > self.highest {
            self.highest = value;
        }
        self.count += 1;
        self.sum += value;
    }

    /// The point as it is kept: the average's code and one in the upper half, the distances' codes in the lower.
    fn pack(&self, peak: bool) -> u32 {
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
    fn unpack(packed: u32) -> Option<Point> {
        let value = unpack(u64::from((packed >> 16).checked_sub(1)?), 11);
        let band = |code: u32| unpack(u64::from(code & 255), 4).saturating_mul(value) / BAND as u64;
        let (below, above) = (band(packed >> 8), band(packed));
        Some(Point { value, lowest: value.saturating_sub(below), highest: value.saturating_add(above) })
    }
}

impl History {
    /// Rings for all series of the collectors that `snapshot` knows.
    pub fn new(snapshot: &Snapshot, interval: Duration) -> Self {
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut series: Vec<Series> = Vec::new();
        let mut feeds = Vec::new();
        for Column { part, section, column, family } in snapshot.columns() {
            for chart in family.charts {
                let place = series.iter().position(|series| series.name == chart.series).unwrap_or_else(|| {
                    series.push(Series {
                        name: chart.series,
                        unit: family.unit,
                        grain: Grain::of(family.unit, family.kind == Kind::Counter),
                        peak: chart.peak,
                        seen: false,
                        now: None,
                    });
                    series.len() - 1
                });
                let names = family.by.as_ref().map_or(&[""][..], |by| by.values);
                let wanted = names.iter().enumerate().fold(0, |wanted, (bit, name)| {
                    let counts = chart.values.is_empty() || chart.values.contains(name);
                    wanted | u32::from(counts) << bit
                });
                let (kind, unit) = (family.kind, family.unit);
                feeds.push(Feed { chart, series: place, part, section, column, wanted, kind, unit });
            }
        }
        let tiers = TIERS.map(|(step, span)| {
            let every = (step * 1000).div_ceil(interval);
            let slots = (span / step) as usize + 1;
            let points = vec![0; slots * series.len()];
            Tier { every, slots, points, open: vec![Open::default(); series.len()], slot: 0 }
        });
        let scratch = Vec::with_capacity(MOST_POINTS as usize);
        History { interval, phase: 0, ticks: None, series, feeds, rates: Rates::default(), tiers, scratch }
    }

    /// The memory that the rings occupy, in bytes.
    pub fn size(&self) -> usize {
        self.tiers.iter().map(|tier| size_of_val(&*tier.points) + size_of_val(&*tier.open)).sum()
    }

    /// Counts the ticks; changes with each of them.
    pub fn last_tick(&self) -> u64 {
        self.ticks.map_or(0, |(_, last)| last)
    }

    /// Takes the charted values of a tick's snapshot.
    pub fn sample(&mut self, snapshot: &Snapshot) {
        let now = snapshot.moment.since_boot;
        let tick = self.count(u64::try_from(now.as_millis()).unwrap_or(0));
        self.gather(snapshot, now);
        self.keep(tick);
    }

    /// Puts every series' present value into the rings.
    fn keep(&mut self, tick: u64) {
        for tier in &mut self.tiers {
            tier.advance(tick / tier.every);
            for (place, series) in self.series.iter().enumerate() {
                if let Some(value) = series.now {
                    tier.open[place].add(value);
                    let slot = place * tier.slots + (tier.slot % tier.slots as u64) as usize;
                    tier.points[slot] = tier.open[place].pack(series.peak);
                }
            }
        }
    }

    /// The number of the tick at `now` milliseconds since boot.
    ///
    /// Ticks come late by a little, so the nearest one counts. Should they all come late from now on, the count follows.
    fn count(&mut self, now: u64) -> u64 {
        let (now, interval) = (now as i64, self.interval as i64);
        let Some((first, last)) = self.ticks else {
            self.phase = now % interval;
            let tick = (now / interval) as u64;
            self.ticks = Some((tick, tick));
            for tier in &mut self.tiers {
                tier.slot = tick / tier.every;
            }
            return tick;
        };
        let tick = (now - self.phase + interval / 2).div_euclid(interval);
        let late = now - self.phase - tick * interval;
        if late.abs() > interval / 4 {
            self.phase += late;
        }
        let tick = (tick.max(0) as u64).max(last);
        self.ticks = Some((first, tick));
        tick
    }

    /// Brings `now` of every series up to date.
    fn gather(&mut self, snapshot: &Snapshot, now: Duration) {
        let History { series, feeds, rates, .. } = self;
        for series in series.iter_mut() {
            series.now = None;
        }
        rates.begin(now);
        for (number, feed) in feeds.iter().enumerate() {
            let section = &snapshot.parts()[feed.part].sections[feed.section];
            let series = &mut series[feed.series];
            // A percentage of time is a rate times 100.
            let scale = match (feed.kind, feed.unit) {
                (Kind::Counter, Unit::Seconds) => 100.0 * series.grain.per_unit,
                _ => series.grain.per_unit,
            };
            let offset = series.grain.offset as f64;
            for row in section.rows() {
                let label = row.labels().next().unwrap_or("");
                if !(feed.chart.rows)(label) {
                    continue;
                }
                for (bit, value) in row.values()[feed.column..].iter().take(u32::BITS as usize).enumerate() {
                    if feed.wanted >> bit & 1 == 0 {
                        continue;
                    }
                    let Some(value) = value.to_f64() else { continue };
                    let value = match feed.kind {
                        Kind::Gauge => Some(value),
                        Kind::Counter => rates.per_second(key(label, number << 5 | bit), value),
                    };
                    let Some(value) = value.map(|value| (value * scale + offset).max(0.0)) else { continue };
                    series.now = Some(match (feed.chart.combine, series.now) {
                        (_, None) => value,
                        (Combine::Sum, Some(other)) => other + value,
                        (Combine::Max, Some(other)) => other.max(value),
                        (Combine::First, Some(other)) => other,
                    });
                    series.seen = true;
                }
            }
        }
        rates.end();
    }

    /// Appends the points of a range as JSON: all, or those after `since` (milliseconds since boot).
    pub fn write(&mut self, request: Request, times: &Times<'_>, out: &mut Vec<u8>) {
        let (_, seconds, levels) = RANGES[request.range];
        let (first, last) = self.ticks.unwrap_or((0, 0));
        let reaches = |tier: &Tier| tier.every * self.interval * (tier.slots as u64 - 1) >= seconds * 1000;
        let place = self.tiers.iter().position(reaches).unwrap_or(TIERS.len() - 1);
        let is_coarse = place > 0;
        let tier = &self.tiers[place];
        let slot_time = tier.every * self.interval;
        // As many slots become one point as it takes to have no more than MOST_POINTS.
        let merged = (seconds * 1000 / slot_time).div_ceil(MOST_POINTS).max(1);
        let ticks = tier.every * merged;
        let step = ticks * self.interval;
        // Points of which all ticks have been, by number since boot; the first of them may be incomplete.
        let beyond = if self.ticks.is_some() { (last + 1) / ticks } else { 0 };
        let end = (beyond * ticks) as i64 * self.interval as i64 - self.interval as i64 + self.phase;
        let end = u64::try_from(end).unwrap_or(0);
        let mut count = (seconds * 1000 / step).min(beyond.saturating_sub(first / ticks));
        if let Some(since) = request.since {
            count = count.min((end + step / 2).saturating_sub(since) / step);
        }
        let mut object = Object::open(out);
        Times::write(times.unix, object.key("now"));
        Times::write(times.since_boot, object.key("boot"));
        write_string(times.boot_id, object.key("boot_id"));
        Value::decimal(step, 3).write(object.key("step"));
        Value::decimal(end, 3).write(object.key("end"));
        Value::from(count).write(object.key("count"));
        let list = object.key("series");
        let mut mark = b'[';
        let scratch = &mut self.scratch;
        for (place, series) in self.series.iter().enumerate().filter(|(_, series)| series.seen) {
            scratch.clear();
            let points = &tier.points[place * tier.slots..(place + 1) * tier.slots];
            for number in beyond - count..beyond {
                let slots = (number * merged..(number + 1) * merged).filter(|slot| tier.holds(*slot));
                let kept = slots.filter_map(|slot| Point::unpack(points[(slot % tier.slots as u64) as usize]));
                scratch.push(merge(kept, series.peak));
            }
            list.push(mark);
            mark = b',';
            series.write(scratch, levels, is_coarse, list);
        }
        if mark == b'[' {
            list.push(b'[');
        }
        list.push(b']');
        object.close();
        out.push(b'\n');
    }
}

/// Several slots as one point; `None` if all are gaps.
fn merge(points: impl Iterator<Item = Point>, peak: bool) -> Option<Point> {
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

impl Series {
    fn write(&self, points: &[Option<Point>], levels: u64, band: bool, out: &mut Vec<u8>) {
        let Series { name, unit, grain, peak, seen: _, now: _ } = self;
        // What is a share of the whole cannot be more than that, and need not look so because of rounding.
        let most = if grain.name == "percent" { 10_000 } else { u64::MAX };
        let highest = points.iter().flatten().map(|point| point.highest).max().unwrap_or(0).min(most);
        // A temperature's zero is not where its chart begins, so its steps are not coarser for larger values.
        let coarse = if *unit == Unit::Celsius { 1 } else { round_down(highest / levels) };
        let mut object = Object::open(out);
        write_string(name, object.key("name"));
        write_string(grain.name, object.key("unit"));
        write_string(if *peak { "max" } else { "avg" }, object.key("kind"));
        grain.value.times(coarse).write(object.key("scale"));
        let mut column = |key: &str, pick: fn(&Point) -> u64| {
            let out = object.key(key);
            let mut mark = b'[';
            for point in points {
                out.push(mark);
                mark = b',';
                match point {
                    // Half a step is added before the division, so that it rounds to the nearest.
                    Some(point) => {
                        let number = pick(point).min(most) as i64 - grain.offset as i64;
                        let coarse = coarse as i64;
                        Value::signed((number + coarse / 2).div_euclid(coarse), 0).write(out);
                    }
                    None => out.extend_from_slice(b"null"),
                }
            }
            if mark == b'[' {
                out.push(b'[');
            }
            out.push(b']');
        };
        column("v", |point| point.value);
        let flat = points.iter().flatten().all(|point| point.lowest == point.highest);
        if band && !peak && !flat {
            column("lo", |point| point.lowest);
            column("hi", |point| point.highest);
        }
        object.close();
    }
}

/// The largest of 1, 2, 5, 10, 20, 50 … that is not above `number`, but at least 1.
fn round_down(number: u64) -> u64 {
    let mut power = 1;
    while number / 10 >= power {
        power *= 10;
    }
    match number / power {
        0 | 1 => power,
        2..=4 => 2 * power,
        _ => 5 * power,
    }
}

impl Tier {
    /// Whether `slot` has been and is not yet overwritten.
    fn holds(&self, slot: u64) -> bool {
        slot <= self.slot && slot + self.slots as u64 > self.slot
    }

    /// Opens `slot`; those that are skipped become gaps.
    fn advance(&mut self, slot: u64) {
        let slots = self.slots as u64;
        if slot == self.slot {
            return;
        }
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

/// What `/history` was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// A place in [`RANGES`].
    pub range: usize,
    /// Only what is newer: milliseconds since boot.
    pub since: Option<u64>,
}

/// The clocks at the moment of an answer, and which boot its times are counted from.
#[derive(Clone, Copy, Debug)]
pub struct Times<'a> {
    pub unix: Duration,
    pub since_boot: Duration,
    pub boot_id: &'a str,
}

impl Times<'_> {
    fn write(time: Duration, out: &mut Vec<u8>) {
        Value::decimal(u64::try_from(time.as_millis()).unwrap_or(0), 3).write(out);
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Moment, Place, Table};

    static THINGS: Table<1, 4> = Table::new(
        Place::List("things"),
        &["name"],
        &[
            Family::gauge("pi_thing_percent", "", Unit::Percent).history(&[Chart::first("share")]),
            Family::counter("pi_thing_bytes_total", "", Unit::Bytes)
                .history(&[Chart::sum("bytes").rows(|name| name != "lo")]),
            Family::counter("pi_thing_busy_seconds_total", "", Unit::Seconds).history(&[Chart::max("busy")]),
            Family::gauge("pi_thing_state", "", Unit::Count).history(&[Chart::max("state").peak()]),
        ],
    );

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::new();
        snapshot.register("thing", &[THINGS.head()]);
        snapshot
    }

    fn at(snapshot: &mut Snapshot, milliseconds: u64) {
        let since_boot = Duration::from_millis(milliseconds);
        snapshot.clear(Moment { since_boot, ..Moment::default() });
    }

    fn text(history: &mut History, range: usize, since: Option<u64>) -> String {
        let mut out = Vec::new();
        let times = Times { unix: Duration::from_secs(1_000), since_boot: Duration::from_secs(10), boot_id: "ab12" };
        history.write(Request { range, since }, &times, &mut out);
        String::from_utf8(out).unwrap()
    }

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

    #[test]
    fn values_rates_and_percentages_of_time() {
        let mut snapshot = snapshot();
        let mut history = History::new(&snapshot, Duration::from_secs(2));
        for tick in 0..4_u64 {
            at(&mut snapshot, 100_000 + tick * 2000);
            let bytes = if tick == 3 { 5 } else { tick * 3000 };
            let busy = Value::decimal(tick * 5, 1);
            snapshot.row(&THINGS, [b"a"], [Value::decimal(125, 1), bytes.into(), busy, Value::ABSENT]);
            snapshot.row(&THINGS, [b"b"], [99.into(), (tick * 500).into(), Value::ABSENT, Value::ABSENT]);
            snapshot.row(&THINGS, [b"lo"], [99.into(), (tick * 900).into(), Value::ABSENT, Value::ABSENT]);
            history.sample(&snapshot);
        }
        let expected = r#"{"now":1000,"boot":10,"boot_id":"ab12","step":2,"end":106,"count":4,"series":[{"name":"share","unit":"percent","kind":"avg","scale":0.01,"v":[1250,1250,1250,1250]},{"name":"bytes","unit":"bytes_per_second","kind":"avg","scale":1,"v":[null,1750,1750,250]},{"name":"busy","unit":"percent","kind":"avg","scale":0.02,"v":[null,1250,1250,1250]}]}"#;
        assert_eq!(text(&mut history, 1, None), format!("{expected}\n"));
        let since = text(&mut history, 1, Some(102_000));
        assert!(since.contains(r#""end":106,"count":2,"#) && since.contains(r#""v":[1250,1250]"#), "{since}");
        assert!(
            text(&mut history, 1, Some(106_000))
                .contains(r#""count":0,"series":[{"name":"share","unit":"percent","kind":"avg","scale":0.01,"v":[]}"#)
        );
        assert!(text(&mut history, 1, Some(u64::MAX >> 20)).contains(r#""count":0,"#));
    }

    #[test]
    fn coarse_points_hold_average_and_extremes_and_gaps_stay_gaps() {
        let mut snapshot = snapshot();
        let mut history = History::new(&snapshot, Duration::from_secs(2));
        for tick in (0..10_u64).chain(20..25) {
            at(&mut snapshot, 50_000 + tick * 2000 + tick % 3 * 150);
            let state = u64::from(tick == 7);
            let values = [Value::from(tick % 5), Value::ABSENT, Value::ABSENT, state.into()];
            snapshot.row(&THINGS, [b"a"], values);
            history.sample(&snapshot);
        }
        let expected = r#""step":10,"end":98,"count":5,"series":[{"name":"share","unit":"percent","kind":"avg","scale":0.02,"v":[100,100,null,null,100],"lo":[0,0,null,null,0],"hi":[200,200,null,null,200]},{"name":"state","unit":"count","kind":"max","scale":0.01,"v":[0,100,null,null,0]}]}"#;
        let got = text(&mut history, 2, None);
        assert!(got.contains(expected), "{got}");
    }

    #[test]
    fn rings_wrap_and_long_pauses_leave_nothing_old() {
        let mut snapshot = snapshot();
        let mut history = History::new(&snapshot, Duration::from_secs(2));
        let mut sample = |history: &mut History, tick: u64, share: u64| {
            at(&mut snapshot, tick * 2000);
            snapshot.row(&THINGS, [b"a"], [share.into(), Value::ABSENT, Value::ABSENT, Value::ABSENT]);
            history.sample(&snapshot);
        };
        for tick in 5..1005 {
            sample(&mut history, tick, tick % 100);
        }
        let all = text(&mut history, 1, None);
        assert!(all.contains(r#""end":2008,"count":300"#) && !all.contains("null"), "{all}");
        assert!(all.contains(r#""scale":0.05,"v":[100,120,140"#), "{all}");
        sample(&mut history, 5_000_000, 1);
        for range in 0..RANGES.len() {
            let late = text(&mut history, range, None);
            let list = late.split("\"v\":").nth(1).unwrap().split(']').next().unwrap();
            assert!(list.split(',').filter(|word| !word.contains("null")).count() <= 1, "{late}");
        }
    }

    #[test]
    fn a_clock_that_steps_moves_nothing_and_late_ticks_stay_in_their_places() {
        let mut snapshot = snapshot();
        let mut history = History::new(&snapshot, Duration::from_secs(2));
        let mut state = 3;
        for tick in 0..200_u64 {
            let since_boot = Duration::from_millis(10_000 + tick * 2000 + random(&mut state) % 900);
            let unix = Duration::from_secs(random(&mut state));
            snapshot.clear(Moment { since_boot, unix, ..Moment::default() });
            snapshot.row(&THINGS, [b"a"], [Value::from(7), Value::ABSENT, Value::ABSENT, Value::ABSENT]);
            history.sample(&snapshot);
        }
        let all = text(&mut history, 1, None);
        assert!(all.contains(r#""count":200"#) && !all.contains("null"), "{all}");
    }

    #[test]
    fn other_intervals_keep_the_spans() {
        for interval in [100, 300, 500, 1000, 2000, 5000, 7000, 60_000, 3_600_000] {
            let mut snapshot = snapshot();
            let mut history = History::new(&snapshot, Duration::from_millis(interval));
            for tick in 0..2000 {
                at(&mut snapshot, 5_000 + tick * interval + tick % 2 * interval / 5);
                snapshot.row(&THINGS, [b"a"], [Value::from(7), Value::ABSENT, Value::ABSENT, Value::ABSENT]);
                history.sample(&snapshot);
            }
            for (range, (_, seconds, _)) in RANGES.into_iter().enumerate() {
                let text = text(&mut history, range, None);
                let number = |key: &str| {
                    let rest = text.split(&format!("\"{key}\":")).nth(1).unwrap();
                    rest.split(',').next().unwrap().parse::<f64>().unwrap()
                };
                let (step, count) = (number("step"), number("count"));
                assert!(count <= MOST_POINTS as f64 && step * count <= seconds as f64, "{interval} {text}");
                assert!(!text.contains("null"), "{interval} {text}");
                let kept = (2000 * interval) as f64 / 1000.0;
                assert!((step * count + 2.0 * step >= kept.min(seconds as f64)), "{interval} {step} {count}");
            }
        }
    }

    /// What a busy Pi shows: levels that wander, noise around them, and jobs every few minutes.
    struct Wander {
        state: u64,
        level: f64,
    }

    impl Wander {
        fn noise(&mut self) -> f64 {
            (0..4).map(|_| (random(&mut self.state) % 1000) as f64 / 1000.0).sum::<f64>() / 2.0 - 1.0
        }

        fn next(&mut self, tick: u64, usual: f64, peak: f64) -> f64 {
            self.level += (usual - self.level) * 0.02 + self.noise() * usual * 0.06;
            let job = if tick % 150 < 12 || tick % 1800 < 90 { peak } else { 0.0 };
            (self.level.max(0.0) + self.noise().abs() * usual * 0.4 + job * (0.7 + 0.3 * self.noise())).max(0.0)
        }
    }

    #[test]
    fn answers_stay_within_their_budgets() {
        let mut snapshot = Snapshot::new();
        for registration in crate::collect::ALL {
            snapshot.register(registration.name, registration.tables);
        }
        let mut history = History::new(&snapshot, Duration::from_secs(2));
        // What most of the time is and what jobs add; whole steps for what comes in steps.
        let usual = |name: &str| match name {
            "cpu_user" => (4.0, 45.0, 0.25),
            "cpu_system" => (1.8, 9.0, 0.25),
            "cpu_iowait" => (0.1, 6.0, 0.25),
            "cpu_irq" => (0.3, 1.0, 0.25),
            "memory_used" => (6e8, 1.5e8, 4096.0),
            "memory_cached" => (2e8, 1e7, 4096.0),
            "swap_used" => (2e7, 0.0, 1e7),
            "temperature" => (52.0, 9.0, 0.487),
            "frequency" => (6e8, 1.2e9, 6e8),
            "pressure_cpu" => (0.8, 12.0, 0.01),
            "pressure_io" => (0.1, 8.0, 0.01),
            "load" => (0.3, 1.5, 0.01),
            "disk_read" => (300.0, 2e6, 4096.0),
            "disk_write" => (12_000.0, 1e6, 4096.0),
            "disk_busy" => (0.3, 15.0, 0.05),
            "network_receive" => (1500.0, 4e5, 1.0),
            "network_transmit" => (2500.0, 3e5, 1.0),
            _ => (0.0, 0.0, 1.0),
        };
        let mut wanders: Vec<_> = (0..history.series.len() as u64).map(|it| Wander { state: it, level: 0.0 }).collect();
        for tick in 0..44_000 {
            history.count((tick + 50) * 2000);
            for (series, wander) in history.series.iter_mut().zip(&mut wanders) {
                let (usual, peak, step) = usual(series.name);
                let value = (wander.next(tick, usual, peak) / step).round() * step;
                series.now = Some(value * series.grain.per_unit + series.grain.offset as f64);
                series.seen = true;
            }
            history.keep(tick + 50);
        }
        let mut gzip = crate::format::Gzip::new();
        gzip.level(crate::format::Gzip::SMALL);
        for (range, budget) in [(1, 8000), (2, 12_000), (3, 20_000)] {
            let plain = text(&mut history, range, None);
            let mut packed = Vec::new();
            gzip.compress(plain.as_bytes(), &mut packed);
            println!("{}: {} bytes, {} compressed", RANGES[range].0, plain.len(), packed.len());
            let points = if range == 1 { 300 } else { 360 };
            assert!(plain.contains(&format!("\"count\":{points},")) && !plain.contains("null"));
            assert!(packed.len() <= budget, "{}: {} bytes", RANGES[range].0, packed.len());
        }
    }

    #[test]
    fn the_series_of_all_collectors_fit_into_700_kilobytes() {
        let mut snapshot = Snapshot::new();
        for registration in crate::collect::ALL {
            snapshot.register(registration.name, registration.tables);
        }
        for interval in [100, 2000, 60_000] {
            let history = History::new(&snapshot, Duration::from_millis(interval));
            assert!(history.size() <= 700_000, "{} series, {} bytes", history.series.len(), history.size());
        }
    }
}
