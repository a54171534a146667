//! The recent past as JSON.

use super::object::{List, Object, write_string};
use crate::history::space::{STEP, Space};
use crate::history::{History, Point, Request, Series};
use crate::model::{Unit, Value};
use std::time::Duration;

/// The clocks at the moment of an answer, and which boot its times are counted from.
#[derive(Clone, Copy, Debug)]
pub struct Times<'a> {
    pub unix: Duration,
    pub since_boot: Duration,
    pub boot_id: &'a str,
}

/// Appends the points of a range as JSON: all, or those after `since` (milliseconds since boot).
pub fn write(history: &mut History, request: Request, times: &Times<'_>, out: &mut Vec<u8>) {
    let time = |time: Duration, out: &mut Vec<u8>| {
        Value::decimal(u64::try_from(time.as_millis()).unwrap_or(0), 3).write(out);
    };
    let offset = times.unix.as_millis() as i64 - times.since_boot.as_millis() as i64;
    let span = history.span(request, offset);
    let (first, last) = history.space.span();
    let (step, end, count) = if request.filesystems {
        (STEP * 1000, (last * STEP * 1000) as i64 - offset, last - first)
    } else {
        (span.step, span.end, span.count)
    };
    let mut object = Object::open(out);
    time(times.unix, object.key("now"));
    time(times.since_boot, object.key("boot"));
    write_string(times.boot_id, object.key("boot_id"));
    Value::decimal(step, 3).write(object.key("step"));
    Value::signed(end, 3).write(object.key("end"));
    Value::from(count).write(object.key("count"));
    let mut list = List::open(object.key("series"));
    // Who has the points before knows what they are.
    let described = request.since.is_none();
    if request.filesystems {
        write_levels(&history.space, &mut list);
    } else {
        history.points(&span, |series, points| {
            write_series(series, points, span.levels, [span.is_coarse(), described], list.item());
        });
    }
    list.close();
    object.close();
    out.push(b'\n');
}

/// What was in use on each filesystem, by its mount point.
fn write_levels(space: &Space, list: &mut List<'_>) {
    /// Into how many levels the largest value is divided.
    const LEVELS: u64 = 10_000;
    let (first, last) = space.span();
    space.each(&mut |name, level| {
        let highest = (first..last).filter_map(level).max().unwrap_or(0);
        let coarse = round_down(highest / LEVELS);
        let mut object = Object::open(list.item());
        write_string(name, object.key("name"));
        write_string("bytes", object.key("unit"));
        write_string("last", object.key("kind"));
        Value::from(coarse).write(object.key("scale"));
        let mut points = List::open(object.key("v"));
        for slot in first..last {
            match level(slot) {
                Some(used) => Value::from((used + coarse / 2) / coarse).write(points.item()),
                None => points.item().extend_from_slice(b"null"),
            }
        }
        points.close();
        object.close();
    });
}

fn write_series(
    series: &Series,
    points: &[Option<Point>],
    levels: u64,
    [band, described]: [bool; 2],
    out: &mut Vec<u8>,
) {
    let Series { name, unit, grain, peak, .. } = series;
    // What is a share of the whole cannot be more than that, and need not look so because of rounding.
    let most = if grain.name == "percent" { 10_000 } else { u64::MAX };
    let highest = points.iter().flatten().map(|point| point.highest).max().unwrap_or(0).min(most);
    // A temperature's zero is not where its chart begins, so its steps are not coarser for larger values.
    let coarse = if *unit == Unit::Celsius { 1 } else { round_down(highest / levels) };
    let mut object = Object::open(out);
    write_string(name, object.key("name"));
    if described {
        write_string(grain.name, object.key("unit"));
        write_string(if *peak { "max" } else { "avg" }, object.key("kind"));
    }
    grain.value.times(coarse).write(object.key("scale"));
    let mut column = |key: &str, pick: fn(&Point) -> u64| {
        let mut list = List::open(object.key(key));
        for point in points {
            let out = list.item();
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
        list.close();
    };
    column("v", |point| point.value);
    let flat = points.iter().flatten().all(|point| point.lowest == point.highest);
    if band && !peak && !flat {
        column("lo", |point| point.lowest);
        column("hi", |point| point.highest);
    }
    object.close();
}

/// Returns the largest of 1, 2, 5, 10, 20, 50 … that is not above `number`, but at least 1.
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
