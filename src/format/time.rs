//! Times and spans as people read them.

use std::io::Write as _;

/// Appends `2026-11-26 03:12:04` for seconds since 1970 of the wanted time zone, with `between` in the place of the blank.
pub fn write_time(local: i64, between: char, out: &mut Vec<u8>) {
    let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    // Years begin in March here, so that the leap day comes last; 400 of them have 146,097 days.
    let day = days.saturating_add(719_468);
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = (if month < 10 { month + 3 } else { month - 9 }, era * 400 + year + i64::from(month >= 10));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}");
}

/// Seconds in the two largest units; nothing for what took no time.
pub fn duration(seconds: i64) -> String {
    match seconds {
        ..=0 => String::new(),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}
