//! The recent past of the charted series: rings of a fixed size in memory that every tick feeds. [`journal`] keeps it on disk.
//!
//! Which series there are is said in the families' [`Chart`](crate::model::Chart)s; nothing is listed here. Time is counted in ticks since boot, so
//! that a clock which steps (a Pi has none of its own) moves nothing, and where no tick was, there is a gap. A tick is one
//! `--sample.interval`; each [`TIERS`] entry collects as many of them as its step holds.
//!
//! A point is 4 bytes: the average as a 16-bit number with 12 significant bits, and how far the extremes lie below and above
//! it, relative to it, in 8 bits with 5 significant ones. Values are whole numbers of a [`Grain`] before that. An average is
//! therefore off by at most half a grain or 1/4096, whichever is more, and an extreme by 1/32 of its distance from the average
//! and 1/2048 of the average more. Nothing is allocated after the start.

pub mod events;
pub mod journal;
mod past;
mod ring;
mod series;
pub mod space;

pub use ring::Point;
pub use series::{Grain, Series};

use crate::model::{Column, Combine, Kind, Rates, Snapshot, Unit, key};
use ring::{Open, Tier};
use series::Feed;
use space::Space;
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

/// What is kept: the rings, and how snapshots fill them.
#[derive(Debug)]
pub struct History {
    /// Milliseconds between ticks.
    interval: u64,
    /// When tick 0 was or would have been, in milliseconds since boot and `base` before.
    phase: i64,
    /// How long before boot time is counted from, in milliseconds: the rings also hold what was before this boot.
    base: u64,
    /// The first tick and the last one.
    ticks: Option<(u64, u64)>,
    /// The first tick of this run.
    own: u64,
    series: Vec<Series>,
    feeds: Vec<Feed>,
    rates: Rates,
    tiers: [Tier; TIERS.len()],
    /// The points of one series while they are written.
    scratch: Vec<Option<Point>>,
    /// How full filesystems were.
    pub space: Space,
    /// Which packages were installed, as who follows them keeps it.
    pub packages: Vec<u8>,
}

impl History {
    /// Rings for all series of the collectors that `snapshot` knows.
    pub fn new(snapshot: &Snapshot, interval: Duration) -> Self {
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut series: Vec<Series> = Vec::new();
        let mut feeds = Vec::new();
        let columns = snapshot.columns();
        for &Column { part, section, column, family } in &columns {
            for chart in family.charts() {
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
                let names = family.by().map_or(&[""][..], |by| by.values);
                let wanted = names.iter().enumerate().fold(0, |wanted, (bit, name)| {
                    let counts = chart.values.is_empty() || chart.values.contains(name);
                    wanted | u32::from(counts) << bit
                });
                let (kind, unit) = (family.kind, family.unit);
                let is_only = |other: &&Column| {
                    (other.part, other.section) == (part, section) && chart.only == Some(other.family.name())
                };
                let only = columns.iter().find(is_only).map(|other| other.column);
                feeds.push(Feed { chart, series: place, part, section, column, only, wanted, kind, unit });
            }
        }
        let tiers = TIERS.map(|(step, span)| {
            let every = (step * 1000).div_ceil(interval);
            let slots = (span / step) as usize + 1;
            let points = vec![0; slots * series.len()];
            Tier { every, slots, points, open: vec![Open::default(); series.len()], slot: 0, shifted: 0 }
        });
        // A multiple of the steps with usual intervals, so that points begin at full minutes since boot.
        let base = (tiers.iter().map(|tier| tier.every * tier.slots as u64).max().unwrap_or(0)).next_multiple_of(840);
        let scratch = Vec::with_capacity(MOST_POINTS as usize);
        let base = base * interval;
        History {
            interval,
            phase: 0,
            base,
            ticks: None,
            own: 0,
            series,
            feeds,
            rates: Rates::default(),
            tiers,
            scratch,
            space: Space::default(),
            packages: Vec::new(),
        }
    }

    /// Returns the memory that the rings occupy, in bytes.
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
            tier.advance(tick / tier.every, &self.series);
            for (open, series) in tier.open.iter_mut().zip(&self.series) {
                if let Some(value) = series.now {
                    open.add(value);
                }
            }
        }
    }

    /// Returns the number of the tick at `now` milliseconds since boot.
    ///
    /// Ticks come late by a little, so the nearest one counts. Should they all come late from now on, the count follows.
    fn count(&mut self, now: u64) -> u64 {
        let (now, interval) = (now.saturating_add(self.base) as i64, self.interval as i64);
        let Some((first, last)) = self.ticks else {
            self.phase = now % interval;
            let tick = (now / interval) as u64;
            self.ticks = Some((tick, tick));
            self.own = tick;
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
                let counts = feed.only.is_none_or(|only| row.values()[only].to_f64() == Some(1.0));
                if !counts || !(feed.chart.rows)(label) {
                    continue;
                }
                for (bit, value) in row.values()[feed.column..].iter().take(u32::BITS as usize).enumerate() {
                    if feed.wanted >> bit & 1 == 0 {
                        continue;
                    }
                    let Some(value) = value.to_f64() else { continue };
                    let value = match feed.kind {
                        Kind::Gauge | Kind::Untyped => Some(value),
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

    /// Returns what a request asks for: which points, and how far they are apart. `offset` is the Unix time at boot, in milliseconds.
    pub fn span(&self, request: Request, offset: i64) -> Span {
        let (_, seconds, mut levels) = RANGES[request.range];
        let (first, last) = self.ticks.unwrap_or((0, 0));
        let interval = self.interval as i64;
        let time = |tick: u64| tick as i64 * interval + self.phase - self.base as i64;
        let (mut length, mut reach) = (seconds * 1000, seconds * 1000);
        let mut until = last;
        if request.from.is_some() || request.to.is_some() {
            let clamped = |unix: i64| unix.saturating_sub(offset).clamp(time(0), time(last));
            let to = request.to.map_or(time(last), clamped);
            let from = request.from.map_or(to - length as i64, clamped).max(time(0));
            length = u64::try_from(to - from).unwrap_or(0);
            reach = u64::try_from(time(last) - from).unwrap_or(0);
            until = u64::try_from((to - time(0)).div_euclid(interval)).unwrap_or(0);
            levels = if length <= RANGES[1].1 * 1000 { RANGES[1].2 } else { RANGES[2].2 };
        }
        let reaches = |tier: &Tier| tier.every * self.interval * (tier.slots as u64 - 1) >= reach;
        let tier = self.tiers.iter().position(reaches).unwrap_or(TIERS.len() - 1);
        let Tier { every, .. } = self.tiers[tier];
        let slot_time = every * self.interval;
        // As many slots become one point as it takes to have no more than MOST_POINTS.
        let merged = (length / slot_time).div_ceil(MOST_POINTS).max(1);
        let ticks = every * merged;
        let step = ticks * self.interval;
        // Points of which all ticks have been, by number; the first of them may be incomplete.
        let beyond = if self.ticks.is_some() { (until + 1) / ticks } else { 0 };
        let end = if self.ticks.is_some() { time(beyond * ticks) - interval } else { 0 };
        let mut count = (length / step).min(beyond.saturating_sub(first / ticks));
        if let Some(since) = request.since {
            count = count.min(u64::try_from(end + step as i64 / 2 - since as i64).unwrap_or(0) / step);
        }
        Span { step, end, count, levels, tier, merged, beyond }
    }

    /// Hands each series that ever had a value, with its points of a span, to `each`.
    pub fn points(&mut self, span: &Span, mut each: impl FnMut(&Series, &[Option<Point>])) {
        let History { tiers, series, scratch, .. } = self;
        let Span { tier, merged, beyond, count, .. } = *span;
        let tier = &mut tiers[tier];
        tier.settle(series);
        for (place, series) in series.iter().enumerate().filter(|(_, series)| series.seen) {
            scratch.clear();
            let points = &tier.points[place * tier.slots..(place + 1) * tier.slots];
            for number in beyond - count..beyond {
                let slots = (number * merged..(number + 1) * merged).filter(|slot| tier.holds(*slot));
                let kept = slots.filter_map(|slot| Point::unpack(points[(slot % tier.slots as u64) as usize]));
                scratch.push(ring::merge(kept, series.peak));
            }
            each(series, scratch);
        }
    }
}

/// What `/history` was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// A place in [`RANGES`].
    pub range: usize,
    /// Only what is newer: milliseconds since boot.
    pub since: Option<u64>,
    /// Another span than that: its begin and its end, in milliseconds of the Unix epoch.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// How full filesystems were, in place of the series.
    pub filesystems: bool,
}

/// Which points answer a request.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Milliseconds between two points.
    pub step: u64,
    /// When the last point ends, in milliseconds since boot; below zero before it.
    pub end: i64,
    pub count: u64,
    /// Into how many levels a series' largest value is divided.
    pub levels: u64,
    tier: usize,
    /// How many slots become one point.
    merged: u64,
    /// The number of the first point that is not complete.
    beyond: u64,
}

impl Span {
    /// Returns whether each point stands for more than one reading, so that its extremes may differ from its average.
    pub fn is_coarse(&self) -> bool {
        self.tier > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::history::{Times, write};
    use crate::model::{Chart, Family, Moment, More, Place, Table, Value};

    static CHOSEN: Table<1, 2> = Table::new(
        Place::List("chosen"),
        &["name"],
        &[
            Family::gauge("pi_chosen_load", "", Unit::Count)
                .more(&More::NONE.history(&[Chart::sum("load").only("pi_chosen_counted")])),
            Family::gauge("pi_chosen_counted", "", Unit::Count),
        ],
    );

    #[test]
    fn a_column_says_which_rows_count() {
        let mut snapshot = Snapshot::new();
        snapshot.register("thing", &[THINGS.head()]);
        snapshot.register("chosen", &[CHOSEN.head()]);
        let mut history = History::new(&snapshot, Duration::from_secs(2));
        at(&mut snapshot, 2000);
        snapshot.select(1);
        for (name, load, counted) in [("a", 1_u64, true), ("b", 20, false), ("c", 300, true)] {
            snapshot.row(&CHOSEN, [name.as_bytes()], [load.into(), counted.into()]);
        }
        snapshot.row(&CHOSEN, [b"unknown"], [4000_u64.into(), Value::ABSENT]);
        history.sample(&snapshot);
        let load = history.series.iter().find(|series| series.name == "load").unwrap();
        assert_eq!(load.now, Some(301.0 * load.grain.per_unit));
    }

    static THINGS: Table<1, 4> = Table::new(
        Place::List("things"),
        &["name"],
        &[
            Family::gauge("pi_thing_percent", "", Unit::Percent).more(&More::NONE.history(&[Chart::first("share")])),
            Family::counter("pi_thing_bytes_total", "", Unit::Bytes)
                .more(&More::NONE.history(&[Chart::sum("bytes").rows(|name| name != "lo")])),
            Family::counter("pi_thing_busy_seconds_total", "", Unit::Seconds)
                .more(&More::NONE.history(&[Chart::max("busy")])),
            Family::gauge("pi_thing_state", "", Unit::Count).more(&More::NONE.history(&[Chart::max("state").peak()])),
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
        write(history, Request { range, since, from: None, to: None, filesystems: false }, &times, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
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
                .contains(r#""count":0,"series":[{"name":"share","scale":0.01,"v":[]}"#)
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
            let now = history.count((tick + 50) * 2000);
            for (series, wander) in history.series.iter_mut().zip(&mut wanders) {
                let (usual, peak, step) = usual(series.name);
                let value = (wander.next(tick, usual, peak) / step).round() * step;
                series.now = Some(value * series.grain.per_unit + series.grain.offset as f64);
                series.seen = true;
            }
            history.keep(now);
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
