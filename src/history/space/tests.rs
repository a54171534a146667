//! Weeks on a clock of the test, looked at every hour.

use super::*;
use crate::model::Moment;
use std::time::Duration;

const HOUR: u64 = 3600;
const GIB: f64 = (1_u64 << 30) as f64;
/// A Thursday at midnight.
const UNIX: u64 = 1_799_971_200;
/// 100 GiB.
const SIZE: u64 = 100 << 30;

/// Looks at a filesystem; `used` is in GiB.
fn look(space: &mut Space, device: &[u8], unix: u64, since_boot: u64, size: u64, used: f64) -> Option<f64> {
    let used = (used * GIB) as u64;
    let moment = Moment { id: 1, unix: Duration::from_secs(unix), since_boot: Duration::from_secs(since_boot) };
    let seconds = space.note(&Level { moment, device, mountpoint: b"/", used, available: size - used });
    seconds.map(|seconds| seconds as f64 / 86_400.0)
}

/// What is said of 100 GiB hour after hour for so many days, `used` being GiB in use at an hour.
fn play(space: &mut Space, days: u64, used: &dyn Fn(f64) -> f64) -> Vec<(f64, Option<f64>)> {
    (0..days * 24)
        .map(|hour| {
            let day = hour as f64 / 24.0;
            (day, look(space, b"/dev/sda1", UNIX + hour * HOUR, 60 + hour * HOUR, SIZE, used(day)))
        })
        .collect()
}

fn said(days: u64, used: &dyn Fn(f64) -> f64) -> Vec<(f64, Option<f64>)> {
    play(&mut Space::default(), days, used)
}

/// What goes up and down within a day, like a cache.
fn by_day(day: f64) -> f64 {
    1.5 * (day.fract() * std::f64::consts::TAU).sin()
}

#[test]
fn steady_growth_is_known_after_three_days() {
    for (wobble, tolerance) in [(0.0, 0.06), (1.0, 0.25)] {
        let used = |day: f64| 60.0 + 1.5 * day + wobble * by_day(day);
        for (day, days) in said(21, &used) {
            let expected = (100.0 - 60.0 - 1.5 * day) / 1.5;
            match days {
                None => assert!(day < 3.2 || expected > 3.0 * (day - 2.0), "nothing is said on day {day}"),
                Some(days) => {
                    assert!(day > 3.0, "{day}");
                    assert!((days / expected - 1.0).abs() <= tolerance, "day {day}: {days} and not {expected}");
                }
            }
        }
    }
    // Slowly, on a large disk: 40 MB a day.
    let slow = said(16, &|day| 99.0 + 0.04 * day);
    let (day, days) = slow[380];
    assert!(days.is_some_and(|days| (days / ((1.0 - 0.04 * day) / 0.04) - 1.0).abs() < 0.05), "{days:?}");
}

#[test]
fn it_is_known_whether_anything_could_be_said() {
    // What does not grow is known as well.
    for (days, known) in [(0, false), (2, false), (3, false), (4, true), (16, true)] {
        let mut space = Space::default();
        play(&mut space, days, &|_| 60.0);
        assert_eq!(space.knows(), known, "after {days} days");
    }
}

#[test]
fn what_is_copied_once_is_no_trend() {
    for hour in (0..16 * 24).step_by(5) {
        let at = f64::from(hour) / 24.0;
        for (day, days) in said(17, &|day| if day < at { 80.0 } else { 90.0 } + by_day(day)) {
            assert_eq!(days, None, "copied on day {at}, said on day {day}");
        }
    }
}

#[test]
fn what_comes_and_goes_is_no_trend() {
    for length in [0.2, 1.0, 2.5, 5.0] {
        for hour in (0..12 * 24).step_by(7) {
            let at = f64::from(hour) / 24.0;
            let used = |day: f64| if (at..at + length).contains(&day) { 95.0 } else { 70.0 };
            for (day, days) in said(17, &used) {
                assert_eq!(days, None, "there from day {at} on for {length}, said on day {day}");
            }
        }
    }
}

/// Logs that grow and are rotated, on a disk that has room for a little more than that.
#[test]
fn a_saw_tooth_is_no_trend() {
    for period in [0.25, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0] {
        for start in [0.0, 0.3, 0.55, 0.8] {
            let used = |day: f64| 90.0 - 2.0 * period + 2.0 * ((day / period + start).fract() * period);
            for (day, days) in said(35, &used) {
                // Before it was rotated twice, nobody can know.
                assert!(day < 2.0 * period || days.is_none(), "{period} days from {start} on: {days:?} on day {day}");
            }
        }
    }
}

#[test]
fn nightly_backups_are_growth_and_what_shrinks_is_none() {
    let nightly = said(10, &|day| 60.0 + 2.0 * (day + 0.9).floor());
    let (day, days) = nightly[9 * 24];
    assert!(days.is_some_and(|days| (days - 11.0).abs() < 1.5), "{days:?} on day {day}");
    for (day, days) in said(16, &|day| 90.0 - day + by_day(day)) {
        assert_eq!(days, None, "{day}");
    }
    for (day, days) in said(16, &|_| 97.0) {
        assert_eq!(days, None, "{day}");
    }
}

#[test]
fn growth_that_stops_is_forgotten_and_a_faster_one_is_noticed() {
    let stops = said(16, &|day| 60.0 + 2.0 * day.min(8.0));
    assert!(stops[8 * 24 - 1].1.is_some_and(|days| (days - 12.0).abs() < 1.0), "{:?}", stops[8 * 24 - 1]);
    assert!(stops[11 * 24..].iter().all(|(_, days)| days.is_none()), "{:?}", &stops[11 * 24..]);
    // Two weeks of nothing, and then a log that nobody rotates.
    let faster = said(20, &|day| 60.0 + 3.0 * (day - 14.0).max(0.0));
    assert!(faster[..14 * 24].iter().all(|(_, days)| days.is_none()));
    let (_, days) = faster[18 * 24];
    assert!(days.is_some_and(|days| (days - 28.0 / 3.0).abs() < 1.5), "{days:?}");
}

#[test]
fn a_machine_that_runs_by_day_only_takes_longer() {
    let mut space = Space::default();
    let mut said = Vec::new();
    for hour in 0..16 * 24_u64 {
        if (8..20).contains(&(hour % 24)) {
            // Each morning is a boot.
            let days =
                look(&mut space, b"/dev/sda1", UNIX + hour * HOUR, hour % 24 * HOUR, SIZE, 60.0 + hour as f64 / 12.0);
            said.push((hour as f64 / 24.0, days));
        }
    }
    assert!(said.iter().all(|(day, days)| *day > 5.0 || days.is_none()));
    let (day, days) = said.last().unwrap();
    assert!(days.is_some_and(|days| (days - (20.0 - day)).abs() < 1.0), "{days:?} on day {day}");
}

fn records(space: &Space, from: u64) -> Vec<Vec<u8>> {
    let (mut all, mut out) = (Vec::new(), Vec::new());
    space.export(from, &mut out, &mut |record| all.push(record.to_vec()));
    all
}

#[test]
fn the_past_comes_back_whole_or_in_parts() {
    let used = |day: f64| 60.0 + 1.5 * day;
    let (mut space, mut parts) = (Space::default(), Vec::new());
    let mut written = 0;
    for hour in 0..20 * 24_u64 {
        look(&mut space, b"/dev/sda1", UNIX + hour * HOUR, hour * HOUR, SIZE, used(hour as f64 / 24.0));
        if hour % 5 == 0 {
            parts.extend(records(&space, written));
            written = space.last();
        }
    }
    let whole = records(&space, 0);
    assert_eq!((whole.len(), whole[0].len()), (1, HEAD + 1 + 4 * SLOTS as usize));
    let levels = |space: &Space| {
        let (first, last) = space.span();
        let mut levels = Vec::new();
        space.each(&mut |name, level| {
            assert_eq!(name, "/");
            levels.extend((first..last).map(level));
        });
        (first, last, levels)
    };
    for past in [&whole, &parts] {
        // It is there before the filesystem is asked, and after it.
        for before in [false, true] {
            let mut again = Space::default();
            let ask = |space: &mut Space| look(space, b"/dev/sda1", UNIX + 20 * 24 * HOUR, 30, SIZE, used(20.0));
            let first = before.then(|| ask(&mut again));
            assert!(first.is_none_or(|days| days.is_none()));
            for record in past {
                assert_eq!(again.restore(record), Some(()));
            }
            again.settle();
            assert_eq!(again.restored(), if past == &whole { space.last() } else { written });
            let days = ask(&mut again).unwrap();
            assert!((days - 10.0 / 1.5).abs() < 0.5, "{days}");
            let (first, _, now) = levels(&again);
            let (_, last, then) = levels(&space);
            let from = (first - (last - then.len() as u64)) as usize;
            let count = then.len().min(now.len()) - from;
            assert_eq!(now[..count - 2], then[from..from + count - 2]);
            assert!(count > 120 && now[..count - 2].iter().all(Option::is_some));
        }
    }
    // Any bytes are records or not; none is a panic.
    let mut again = Space::default();
    for length in 0..whole[0].len() {
        again.restore(&whole[0][..length]);
    }
    for place in 0..HEAD {
        let mut bad = whole[0].clone();
        bad[place] = 0xff;
        again.restore(&bad);
    }
    again.settle();
    look(&mut again, b"/dev/sda1", UNIX, 1, SIZE, 1.0);
}

#[test]
fn a_clock_that_is_wrong_says_nothing_wrong() {
    let used = |day: f64| 60.0 + 1.5 * day;
    let mut space = Space::default();
    play(&mut space, 7, &used);
    // A boot in 1970, for five hours; then the clock is set.
    for hour in 0..5 {
        assert_eq!(look(&mut space, b"/dev/sda1", hour * HOUR, hour * HOUR, SIZE, used(7.0)), None);
    }
    let days = look(&mut space, b"/dev/sda1", UNIX + 7 * 24 * HOUR, 5 * HOUR, SIZE, used(7.0)).unwrap();
    assert!((days - 29.5 / 1.5).abs() < 1.0, "{days}");
    // A clock that is months ahead, and right again: what was is gone, and nothing is said for three days.
    let ahead = UNIX + 100 * 24 * HOUR;
    assert_eq!(look(&mut space, b"/dev/sda1", ahead, 6 * HOUR, SIZE, used(7.0)), None);
    for hour in 0..14 * 24_u64 {
        let (unix, day) = (UNIX + (7 * 24 + hour) * HOUR, 7.0 + hour as f64 / 24.0);
        let days = look(&mut space, b"/dev/sda1", unix, (7 + hour) * HOUR, SIZE, used(day));
        assert!(hour > 4 * 24 || days.is_none(), "{hour}: {days:?}");
        assert!(hour < 11 * 24 || days.is_some_and(|days| (days - (100.0 - used(day)) / 1.5).abs() < 1.0), "{days:?}");
    }
    // A first start in 1970: what was recorded then is too long ago to count.
    let mut space = Space::default();
    for hour in 0..4 * 24_u64 {
        look(&mut space, b"/dev/sda1", hour * HOUR, hour * HOUR, SIZE, 60.0 + hour as f64 / 3.0);
    }
    assert_eq!(look(&mut space, b"/dev/sda1", UNIX, 97 * HOUR, SIZE, 97.0), None);
    assert_eq!(space.span(), (UNIX / STEP, UNIX / STEP));
}

#[test]
fn a_resized_filesystem_begins_anew() {
    let mut space = Space::default();
    let before = play(&mut space, 10, &|day| 60.0 + 2.0 * day);
    assert!(before.last().unwrap().1.is_some());
    for hour in 0..8 * 24_u64 {
        let used = 80.0 + hour as f64 / 24.0;
        let days = look(&mut space, b"/dev/sda1", UNIX + (240 + hour) * HOUR, (241 + hour) * HOUR, 2 * SIZE, used);
        assert_eq!(days, None, "{hour}: 110 days are too far ahead");
        assert_eq!(space.filesystems[0].level((UNIX + 239 * HOUR) / STEP).is_some(), hour < 24, "{hour}");
    }
    // A disk that is taken away for an hour and another one in its place.
    let mut space = Space::default();
    play(&mut space, 10, &|day| 60.0 + 2.0 * day);
    assert_eq!(look(&mut space, b"/dev/sda1", UNIX + 240 * HOUR, 241 * HOUR, SIZE / 2, 10.0), None);
    let days = look(&mut space, b"/dev/sda1", UNIX + 241 * HOUR, 242 * HOUR, SIZE, 80.0);
    assert!(days.is_some_and(|days| (days - 10.0).abs() < 1.0), "{days:?}");
    // What is restored does not replace what the filesystem itself says.
    let past = records(&space, 0);
    let mut again = Space::default();
    look(&mut again, b"/dev/sda1", UNIX + 242 * HOUR, 30, SIZE * 4, 80.0);
    again.restore(&past[0]);
    again.settle();
    assert_eq!(look(&mut again, b"/dev/sda1", UNIX + 243 * HOUR, 3600, SIZE * 4, 80.0), None);
}

#[test]
fn memory_is_bounded() {
    let mut space = Space::default();
    for number in 0..40 {
        look(&mut space, format!("/dev/sd{number}").as_bytes(), UNIX, 60, SIZE, 1.0);
    }
    assert_eq!((space.filesystems.len(), space.filesystems.capacity()), (FILESYSTEMS_MAX, FILESYSTEMS_MAX));
    assert!(size_of::<Filesystem>() * FILESYSTEMS_MAX < 5000);
    // One that is gone for a day makes room.
    for hour in 1..30 {
        look(&mut space, b"/dev/sd0", UNIX + hour * HOUR, hour * HOUR, SIZE, 1.0);
    }
    look(&mut space, b"/dev/new", UNIX + 30 * HOUR, 30 * HOUR, SIZE, 1.0);
    assert_eq!(space.filesystems.iter().filter(|it| it.key == crc32(0, b"/dev/new")).count(), 1);
    assert_eq!(space.filesystems[0].key, crc32(0, b"/dev/sd0"));
    // It goes by the name that it has now.
    let moment = |hour| Moment {
        id: 1,
        unix: Duration::from_secs(UNIX + hour * HOUR),
        since_boot: Duration::from_secs(hour * HOUR),
    };
    space.note(&Level { moment: moment(40), device: b"/dev/new", mountpoint: b"/mnt", used: SIZE, available: 0 });
    assert!(space.filesystems.iter().any(|it| it.name == "/mnt"));
    // A name of any length and any bytes.
    let mountpoint = vec![0xff; 4000];
    space.note(&Level { moment: moment(99), device: b"/dev/x", mountpoint: &mountpoint, used: 1, available: 1 });
    assert!(space.filesystems.iter().any(|it| it.name.starts_with("\\xff") && it.name.len() <= NAME_MAX));
}
