//! SD cards and eMMC, and what ext4 knows about the disk below it: identity, age, wear, writes and errors.
//! `/sys/class/block/mmcblk*/device`: <https://docs.kernel.org/driver-api/mmc/mmc-dev-attrs.html>;
//! `/sys/fs/ext4`: <https://docs.kernel.org/admin-guide/ext4.html>
//!
//! An SD card has no command that tells its wear or its spare blocks: only eMMC does. Serial numbers are left out, as they tell one
//! person's card from all others.

use super::{Collect, Context, Registration};
use crate::kernel::text::{hex, trim, uint, words};
use crate::kernel::{Device, Devices, Fault, Members, Source, read_once};
use crate::model::{Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;
use std::path::Path;

static CARDS: Table<4, 6> = Table::new(
    Place::List("cards"),
    &["device", "type", "name", "manufacturer_id"],
    &[
        Family::gauge("pi_storage_info", "Always 1; the labels describe the SD card or eMMC.", Unit::Info),
        Family::gauge(
            "pi_storage_manufactured_seconds",
            "Unix time at which the month of manufacture began.",
            Unit::Seconds,
        ),
        Family::gauge(
            "pi_storage_age_seconds",
            "Time since the month of manufacture began, in whole days. It says nothing about wear.",
            Unit::Seconds,
        ),
        Family::gauge(
            "pi_storage_life_used_ratio",
            "Used share of an eMMC's life, rounded up to tenths; 1.1 is beyond it. SD cards cannot report it.",
            Unit::Ratio,
        )
        .more(&More::NONE.by("memory_type", &["a", "b"])),
        Family::gauge(
            "pi_storage_pre_eol_state",
            "Spare blocks of an eMMC: 1 normal, 2 80% used, 3 90% used. SD cards cannot report it.",
            Unit::Count,
        ),
    ],
);

static FILESYSTEMS: Table<1, 6> = Table::new(
    Place::List("filesystems"),
    &["device"],
    &[
        Family::counter(
            "pi_storage_lifetime_written_bytes_total",
            "Bytes written to the device while this ext4 filesystem was mounted, since it was created.",
            Unit::Bytes,
        ),
        Family::counter("pi_storage_session_written_bytes_total", "The same since it was mounted.", Unit::Bytes),
        Family::counter(
            "pi_storage_errors_total",
            "Errors in this filesystem since it was last repaired, also before this boot.",
            Unit::Count,
        ),
        Family::gauge("pi_storage_first_error_seconds", "Unix time of the first error.", Unit::Seconds),
        Family::gauge("pi_storage_last_error_seconds", "Unix time of the last error.", Unit::Seconds),
        Family::gauge(
            "pi_storage_written_per_day_bytes",
            "Bytes written to the device within the last 24 hours; absent until the agent has watched for a day.",
            Unit::Bytes,
        ),
    ],
);

/// What ext4 counts, in the order of the columns: the file, what its unit is worth, and what the file cannot exceed.
static FILES: [(&str, u64, u64); 5] = [
    ("lifetime_write_kbytes", 1024, u64::MAX / 1024),
    ("session_write_kbytes", 1024, u64::MAX / 1024),
    ("errors_count", 1, u64::MAX),
    // ext4 has 40 bits for a time.
    ("first_error_time", 1, (1 << 40) - 1),
    ("last_error_time", 1, (1 << 40) - 1),
];
const ERRORS: usize = 2;

pub static COLLECTOR: Registration = Registration {
    name: "storage",
    summary: prose("SD cards and eMMC: identity, age and wear; writes and errors of ext4"),
    source: reference("/sys/class/block, /sys/fs/ext4"),
    needs: Needs::reading("sys/class/block sys/fs/ext4"),
    tables: &[CARDS.head(), FILESYSTEMS.head()],
    flags: &[],
    new: |setup| {
        let sys = &setup.roots.sys;
        super::boxed(Storage {
            cards: Devices::new(sys.join("class/block"), is_card),
            // Beside the filesystems there is `features`.
            filesystems: Devices::new(sys.join("fs/ext4"), |name| name != b"features"),
            hour: None,
        })
    },
};

struct Storage {
    cards: Devices<Thing>,
    filesystems: Devices<Thing>,
    /// When the writes were last noted, in hours since boot.
    hour: Option<u64>,
}

/// A card or a filesystem: one type, since all that handles a list of devices is in the binary once for each.
#[derive(Default)]
struct Thing {
    /// A card's name, which is read at each collection to see whether the card is still there; a filesystem's [`FILES`].
    files: Vec<Source>,
    /// What a card said when the kernel found it; the kernel does not ask it again (`mmc_read_ext_csd`): its type and manufacturer,
    /// the day of its making from 1970 on, the used life of both types of memory, and the state of the spare blocks.
    labels: [Vec<u8>; 2],
    made: Option<u64>,
    wear: [Value; 3],
    day: Day,
}

impl Thing {
    fn card(path: &Path) -> Self {
        let path = path.join("device");
        let mut card = Thing {
            labels: [text(&path, "type"), text(&path, "manfid")],
            made: parse_month(&text(&path, "date")),
            ..Thing::default()
        };
        card.add(&path, "name");
        parse_steps(&text(&path, "life_time"), 11, 1, &mut card.wear[..2]);
        parse_steps(&text(&path, "pre_eol_info"), 3, 0, &mut card.wear[2..]);
        card
    }

    fn filesystem(path: &Path) -> Self {
        let mut filesystem = Thing::default();
        for (file, ..) in &FILES {
            filesystem.add(path, file);
        }
        filesystem
    }

    #[inline(never)]
    fn add(&mut self, path: &Path, file: &str) {
        self.files.push(Source::new(path.join(file)).in_small_records());
    }

    /// Returns what one of a filesystem's [`FILES`] says.
    fn number(&mut self, place: usize, members: &mut Members, gone: &mut bool) -> Option<u64> {
        let (_, worth, most) = FILES[place];
        members.number(self.files.get_mut(place)?, gone, most, "a number").map(|number| number * worth)
    }
}

#[inline(never)]
fn text(path: &Path, file: &str) -> Vec<u8> {
    read_once(&path.join(file)).unwrap_or_default()
}

const DAY: u64 = 86_400;

impl Collect for Storage {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let today = context.moment.unix.as_secs() / DAY;
        let mut members = Members::default();
        self.cards.update(&Thing::card);
        for Device { name: device, state, gone, .. } in self.cards.all() {
            let Thing { files, labels: [kind, manufacturer], made, wear: [a, b, pre_eol], .. } = state;
            let Some(name) = files.first_mut() else { continue };
            if members.ask(name, gone, |_| Ok(())).is_none() {
                continue;
            }
            let labels = [device, &**kind, trim(name.text()), manufacturer];
            let age = made.and_then(|made| today.checked_sub(made));
            out.row(&CARDS, labels, [true.into(), seconds(*made), seconds(age), *a, *b, *pre_eol]);
        }
        self.filesystems.update(&Thing::filesystem);
        for Device { name, state, gone, .. } in self.filesystems.all() {
            let mut values = [Value::ABSENT; FILES.len() + 1];
            let mut errors = None;
            for (place, value) in values.iter_mut().enumerate().take(FILES.len()) {
                // The times of errors are 0 until there is one.
                if place > ERRORS && errors.unwrap_or(0) == 0 {
                    break;
                }
                let number = state.number(place, &mut members, gone);
                if place == ERRORS {
                    errors = number;
                }
                *value = number.filter(|number| place <= ERRORS || *number > 0).into();
            }
            values[FILES.len()] = state.day.written.into();
            if values.iter().any(|value| value.is_present()) {
                out.row(&FILESYSTEMS, [name], values);
            }
        }
        members.result()
    }

    /// Notes once an hour how much was written.
    fn tick(&mut self, context: &mut Context<'_>) {
        let hour = context.moment.since_boot.as_secs() / 3600;
        if self.hour.replace(hour) == Some(hour) {
            return;
        }
        self.filesystems.update(&Thing::filesystem);
        for Device { state, gone, .. } in self.filesystems.all() {
            if let Some(total) = state.number(0, &mut Members::default(), gone) {
                state.day.note(hour, total);
            }
        }
    }
}

fn seconds(days: Option<u64>) -> Value {
    days.map(|days| days * DAY).into()
}

/// What was written up to each of the last 24 hours.
#[derive(Default)]
struct Day {
    marks: [u64; 24],
    count: usize,
    hour: u64,
    /// Bytes within the last 24 hours, once they were seen.
    written: Option<u64>,
}

impl Day {
    fn note(&mut self, hour: u64, total: u64) {
        let Day { marks, count, hour: before, written } = self;
        let place = |hour: u64| (hour % 24) as usize;
        // Hours that nobody saw, or a filesystem that was made anew.
        if hour != *before + 1 || total < marks[place(*before)] {
            *count = 0;
        }
        *written = (*count == marks.len()).then(|| total.saturating_sub(marks[place(hour)]));
        *count = marks.len().min(*count + 1);
        marks[place(hour)] = total;
        *before = hour;
    }
}

/// Returns whether a block device is a whole card: `mmcblk0`, not `mmcblk0p1` or `mmcblk0boot0`.
fn is_card(name: &[u8]) -> bool {
    name.strip_prefix(b"mmcblk").is_some_and(|number| uint(number).is_some())
}

/// `04/2023`: the month in which a card was made, as days from 1970 to its first; `None` for what is no month since there are cards.
fn parse_month(text: &[u8]) -> Option<u64> {
    let [month @ .., b'/', _, _, _, _] = text else { return None };
    let (month, year) = (uint(month)?, uint(&text[text.len() - 4..])?);
    if !(1..=12).contains(&month) || !(1997..2100).contains(&year) {
        return None;
    }
    // Years from March to February, so that the day of a leap year is the last.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    Some(365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 - 719_468)
}

/// `0x02 0x01`: steps from 1 to `highest`, divided by 10 to the power of `places`; 0 is not defined.
#[inline(never)]
fn parse_steps(text: &[u8], highest: u64, places: u8, out: &mut [Value]) {
    for (word, value) in words(text).zip(out) {
        let step = word.strip_prefix(b"0x").and_then(hex).filter(|step| (1..=highest).contains(step));
        *value = step.map(|step| Value::decimal(step, places)).into();
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = parse_month(text);
    parse_steps(text, 11, 1, &mut [Value::ABSENT; 2]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_cards_count() {
        assert!(is_card(b"mmcblk0") && is_card(b"mmcblk12"));
        for other in ["mmcblk", "mmcblk0p1", "mmcblk0boot0", "mmcblk0rpmb", "sda", "xmmcblk0"] {
            assert!(!is_card(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn months_are_days() {
        // As `date -ud 2023-04-01 +%s` says, divided by 86,400.
        for (text, days) in
            [("04/2023", 19_448), ("02/2024", 19_754), ("03/2024", 19_783), ("01/2000", 10_957), ("12/1997", 10_196)]
        {
            assert_eq!(parse_month(text.as_bytes()), Some(days), "{text}");
        }
        for bad in ["", "00/2147", "13/2013", "00/2013", "04/1996", "04/23", "2023", "/2023", "04-2023", "x4/2023"] {
            assert_eq!(parse_month(bad.as_bytes()), None, "{bad}");
        }
    }

    fn steps(text: &str, highest: u64, places: u8) -> [Value; 2] {
        let mut steps = [Value::ABSENT; 2];
        parse_steps(text.as_bytes(), highest, places, &mut steps);
        steps
    }

    #[test]
    fn steps_of_an_emmc() {
        let tenths = |tenths| Value::decimal(tenths, 1);
        assert_eq!(steps("0x02 0x01", 11, 1), [tenths(2), tenths(1)]);
        assert_eq!(steps("0x0b 0x00", 11, 1), [tenths(11), Value::ABSENT]);
        assert_eq!(steps("0xff 0x0c", 11, 1), [Value::ABSENT; 2]);
        assert_eq!(steps("", 11, 1), [Value::ABSENT; 2]);
        assert_eq!(steps("0x03", 3, 0), [3.into(), Value::ABSENT]);
        for bad in ["0x00", "0x09", "1", "0x", "0x1g"] {
            assert_eq!(steps(bad, 3, 0)[0], Value::ABSENT, "{bad}");
        }
    }

    #[test]
    fn a_day_is_known_once_it_was_seen() {
        let mut day = Day::default();
        for hour in 5..29 {
            day.note(hour, 1000 + hour * 10);
            assert_eq!(day.written, None, "{hour}");
        }
        day.note(29, 1290);
        assert_eq!(day.written, Some(240));
        day.note(30, 2300);
        assert_eq!(day.written, Some(2300 - 1060));
        // After a gap, and after a filesystem was made anew, another day has to pass.
        for (begin, total) in [(40, 5000), (65, 100)] {
            for hour in begin..begin + 24 {
                day.note(hour, total);
                assert_eq!(day.written, None, "{hour}");
            }
            day.note(begin + 24, total);
            assert_eq!(day.written, Some(0));
        }
    }
}
