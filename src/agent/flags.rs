//! The flags of the heartbeat.

use crate::cli::{Flag, Options, flag::parse_duration, prose};
use std::time::Duration;

pub static INTERVAL: Flag = Flag {
    words: "sample.interval DURATION 2s",
    help: prose("Interval over which CPU percentages are averaged, such as 500ms, 2s or 1m."),
    check: |value| match parse_duration(value) {
        None => Err("expected a duration such as 500ms, 2s or 1m".to_owned()),
        Some(time) if RANGE.contains(&time) => Ok(()),
        Some(_) => Err("expected a duration from 100ms to 1h".to_owned()),
    },
};

const RANGE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// Returns the time between two readings of the kernel's counters.
pub fn interval(options: &Options) -> Duration {
    // A value that was given has been checked.
    parse_duration(options.value(&INTERVAL)).unwrap_or(Duration::from_secs(2))
}
