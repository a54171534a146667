use super::*;
use crate::history::{RANGES, Request};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit};
use std::time::Duration;

static OLD: Table<0, 2> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge("pi_old_bytes", "", Unit::Bytes).more(&More::NONE.history(&[Chart::first("old")])),
        Family::gauge("pi_both_bytes", "", Unit::Bytes).more(&More::NONE.history(&[Chart::first("both")])),
    ],
);
static NEW: Table<0, 3> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge("pi_new_bytes", "", Unit::Bytes).more(&More::NONE.history(&[Chart::first("new")])),
        Family::gauge("pi_both_bytes", "", Unit::Bytes).more(&More::NONE.history(&[Chart::first("both")])),
        // The same name with another unit is not the same.
        Family::gauge("pi_old_celsius", "", Unit::Celsius).more(&More::NONE.history(&[Chart::first("old")])),
    ],
);

fn history(head: &'static crate::model::Head, interval: u64) -> History {
    let mut snapshot = Snapshot::new();
    snapshot.register("test", &[head]);
    History::new(&snapshot, Duration::from_millis(interval))
}

/// Feeds ticks from `from` to `to` in milliseconds since boot; each value is the seconds by the wall clock.
fn feed(history: &mut History, from: u64, to: u64, offset: u64) {
    let mut now = from;
    while now <= to {
        let tick = history.count(now);
        for series in &mut history.series {
            series.now = Some(((now + offset) / 1000) as f64);
            series.seen = true;
        }
        history.keep(tick);
        now += history.interval;
    }
}

/// What would go into the journal: names, the complete points of the coarse ring, and the last ones of the fine one.
fn journal(history: &History) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut names, mut records) = (Vec::new(), Vec::new());
    history.names(&mut names);
    for (tier, most) in [(1, 30), (2, u64::MAX)] {
        let open = history.open_slot(tier);
        for slot in history.own_slot(tier).max(open.saturating_sub(most))..open {
            let mut record = Vec::new();
            if history.export(tier, slot, &mut record) {
                records.push(record);
            }
        }
    }
    (names, records)
}

/// The points of a series in a span of Unix seconds: when each ends, and what it says.
fn points(history: &mut History, name: &str, from: i64, to: i64, offset: i64) -> Vec<(i64, Option<u64>)> {
    let request = Request { range: 1, since: None, from: Some(from * 1000), to: Some(to * 1000), filesystems: false };
    let span = history.span(request, offset);
    let mut all = Vec::new();
    history.points(&span, |series, points| {
        if series.name == name {
            for (place, point) in points.iter().enumerate() {
                let end = span.end - (span.count as i64 - 1 - place as i64) * span.step as i64;
                all.push(((end + offset) / 1000, point.map(|point| point.value)));
            }
        }
    });
    all
}

#[test]
fn the_past_comes_back_where_it_was_after_a_reboot() {
    const UNIX: u64 = 10_000;
    for (interval, later) in [(2000, 2000), (2000, 5000), (5000, 2000)] {
        let mut before = history(OLD.head(), interval);
        // Eight hours of a boot that began at UNIX; then a minute without power.
        let end = 8 * 3600;
        feed(&mut before, 10_000, end * 1000, UNIX * 1000);
        let (names, records) = journal(&before);
        let mut after = history(NEW.head(), later);
        let boot = UNIX + end + 60;
        feed(&mut after, 20_000, 400_000, boot * 1000);
        let places = after.places(&names);
        assert_eq!(places[..2], [None, Some(1)]);
        let shift = -((end + 60) as i64 * 1000);
        for record in &records {
            after.restore(record, shift, &places);
        }
        let offset = (boot * 1000) as i64;
        let unix = UNIX as i64;
        // Two hours a day ago, a span that ends with the power, and one over the gap: each point is of its time.
        for (from, to, most) in
            [(3600, 3 * 3600, 130), (end as i64 - 290, end as i64 - 10, 40), (7 * 3600, end as i64 + 300, 140)]
        {
            let all = points(&mut after, "both", unix + from, unix + to, offset);
            assert!(all.len() > 10, "{interval} {later} {from}: {all:?}");
            let mut gaps = 0;
            for (time, value) in &all {
                match value {
                    Some(value) => assert!((time - *value as i64).abs() <= most, "{interval} {later} {time} {value}"),
                    None => gaps += 1,
                }
            }
            assert!(gaps <= all.len() / 10 + 8, "{interval} {later} {from}: {gaps} of {}: {all:?}", all.len());
            let other = points(&mut after, "old", unix + from, unix + to, offset);
            assert!(other.iter().all(|(time, value)| *time > boot as i64 || value.is_none()), "{other:?}");
        }
        // The last five minutes before the end are as fine as they were.
        let fine = points(&mut after, "both", unix + end as i64 - 280, unix + end as i64 - 20, offset);
        assert!(
            fine.iter().all(|(time, value)| value.is_some_and(|value| (time - value as i64).abs() <= 20)),
            "{fine:?}"
        );
    }
}

#[test]
fn what_this_run_has_seen_is_not_overwritten_and_the_same_boot_goes_on() {
    let mut before = history(OLD.head(), 2000);
    feed(&mut before, 10_000, 7_000_000, 0);
    let (names, records) = journal(&before);
    let mut after = history(OLD.head(), 2000);
    feed(&mut after, 7_001_000, 7_600_000, 1_000_000_000);
    let own = points(&mut after, "both", 1_007_200, 1_007_590, 1_000_000_000);
    let places = after.places(&names);
    records.iter().for_each(|record| after.restore(record, 0, &places));
    // Records that claim to be of this run's time, or that are no records.
    records.iter().for_each(|record| after.restore(record, 300_000, &places[..1]));
    after.restore(b"", 0, &places);
    after.restore(&[0xff; 13], i64::MAX, &places);
    after.restore(&[0; 100], i64::MIN, &places);
    assert_eq!(points(&mut after, "both", 1_007_200, 1_007_590, 1_000_000_000), own);
    let all = points(&mut after, "both", 1_000_000_000 / 1000, 1_007_000, 1_000_000_000);
    let known =
        all.iter().filter(|(time, value)| value.is_some_and(|value| (time - 1_000_000).abs_diff(value as i64) <= 120));
    assert!(all.len() > 50 && known.count() >= all.len() - 1, "{all:?}");
}

#[test]
fn the_past_moves_with_the_clock() {
    let mut before = history(OLD.head(), 2000);
    feed(&mut before, 10_000, 7_200_000, 0);
    let (names, records) = journal(&before);
    let mut after = history(OLD.head(), 2000);
    // The clock of this boot still says 0: the past is taken to end with the boot.
    feed(&mut after, 10_000, 600_000, 0);
    let places = after.places(&names);
    records.iter().for_each(|record| after.restore(record, -7_200_000, &places));
    let at = |history: &mut History, offset: i64| {
        let all = points(history, "both", 3600, 7000, offset);
        all.iter().filter(|(time, value)| value.is_some_and(|value| time.abs_diff(value as i64) <= 130)).count()
    };
    assert_eq!(at(&mut after, 0), 0);
    // Then it is set: the boot was at 50,000.
    let mut shift = 0;
    for step in [-1000, -7000, -49, -42_791_951] {
        shift += step;
        after.shift_past(shift);
    }
    assert_eq!(shift, -42_800_000);
    let found = at(&mut after, 50_000_000);
    assert!(found >= 25, "{found}: {:?}", points(&mut after, "both", 3600, 7000, 50_000_000));
    // Back again, and beyond the boot, where it does not go.
    after.shift_past(0);
    let all = points(&mut after, "both", -30_000, -60, 0);
    let known =
        all.iter().filter(|(time, value)| value.is_some_and(|value| (time + 7200).abs_diff(value as i64) <= 130));
    assert!(known.count() > 50, "{all:?}");
    after.shift_past(4_000_000);
    let own = points(&mut after, "both", 30, 590, 0);
    assert!(own.iter().all(|(time, value)| value.is_none_or(|value| time.abs_diff(value as i64) <= 10)), "{own:?}");
}

#[test]
fn spans_of_ones_own_are_within_their_bounds() {
    let mut history = history(OLD.head(), 2000);
    feed(&mut history, 10_000, 90_000_000, 0);
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for round in 0..5000 {
        let any = |random: u64| match random % 5 {
            0 => None,
            1 => Some(i64::MAX),
            2 => Some(i64::MIN),
            _ => Some((random % 100_000_000) as i64 - 5_000_000),
        };
        let request = Request {
            range: (random() % RANGES.len() as u64) as usize,
            since: None,
            from: any(random()),
            to: any(random()),
            filesystems: false,
        };
        let span = history.span(request, (random() % 3) as i64 * 1_000_000);
        assert!(span.count <= 360 && span.step > 0, "{round}: {request:?} {span:?}");
        let mut count = 0;
        history.points(&span, |_, points| count = points.len() as u64);
        assert!(count == span.count || count == 0);
    }
    let span = history.span(Request { range: 1, since: None, from: Some(89_000_000), to: None, filesystems: false }, 0);
    assert!((900..=1000).contains(&(span.count * span.step / 1000)) && span.step == 10_000, "{span:?}");
}
