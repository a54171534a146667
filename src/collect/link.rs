//! `/sys/class/net/*/speed` and `duplex`: what each network interface agreed on with its other end.
//! <https://docs.kernel.org/admin-guide/abi-testing-files.html#abi-file-testing-sysfs-class-net>
//!
//! Reading them may wait for a lock that drivers hold (`speed_show`), so they are read only after the link has changed.

use super::Registration;
use super::readings::Plan;
use crate::kernel::text::{int, trim};
use crate::kernel::{Bad, Source};
use crate::model::{Family, Place, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;

static LINKS: Table<1, 2> = Table::new(
    Place::List("interfaces"),
    &["interface"],
    &[
        Family::gauge("pi_link_speed_bytes", "Speed of the link, in bytes per second.", Unit::Bytes),
        Family::gauge(
            "pi_link_full_duplex",
            "1 if the link sends and receives at once, 0 if it takes turns (half duplex).",
            Unit::Count,
        ),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "link",
    summary: prose("speed and duplex mode of network interfaces"),
    source: reference("/sys/class/net"),
    needs: Needs::reading("sys/class/net"),
    tables: &[LINKS.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};

static PLAN: Plan = Plan {
    class: "class/net",
    is_wanted: |name| name != b"lo",
    open: |path, readings| {
        readings.add_row(path, &[], &["speed", "duplex"]);
        readings.changes = Some(Source::new(path.join("carrier_changes")).in_small_records());
    },
    parse: |text, column| if column == 0 { parse_speed(text) } else { parse_duplex(text) },
    exclude: None,
    head: LINKS.head(),
};

/// `1000`: megabits per second; -1 if the driver does not know.
fn parse_speed(text: &[u8]) -> Result<Value, Bad> {
    const BYTES: u64 = 1_000_000 / 8;
    /// Ten times the fastest there is. Before Linux 3.9 an unknown speed is 65535 or 4294967295.
    const FASTEST: i64 = 16_000_000;
    match int(trim(text)) {
        Some(megabits) if (1..FASTEST).contains(&megabits) && megabits != 65_535 => {
            Ok(Value::signed(megabits, 0).times(BYTES))
        }
        Some(_) => Ok(Value::ABSENT),
        None => Err(Bad::new(1, "megabits per second", trim(text))),
    }
}

/// `full`, `half` or `unknown`.
fn parse_duplex(text: &[u8]) -> Result<Value, Bad> {
    match trim(text) {
        b"full" => Ok(true.into()),
        b"half" => Ok(false.into()),
        b"unknown" => Ok(Value::ABSENT),
        text => Err(Bad::new(1, "full, half or unknown", text)),
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = (parse_speed(text), parse_duplex(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_files() {
        for (text, speed) in [
            ("1000\n", Some(125e6)),
            ("10\n", Some(1.25e6)),
            ("-1\n", None),
            ("0\n", None),
            ("65535\n", None),
            ("4294967295\n", None),
        ] {
            assert_eq!(parse_speed(text.as_bytes()).map(Value::to_f64), Ok(speed), "{text}");
        }
        for (text, duplex) in [("full\n", Some(1.0)), ("half\n", Some(0.0)), ("unknown\n", None)] {
            assert_eq!(parse_duplex(text.as_bytes()).map(Value::to_f64), Ok(duplex), "{text}");
        }
        assert!(parse_speed(b"fast").is_err() && parse_speed(b"").is_err());
        assert!(parse_duplex(b"both").is_err() && parse_duplex(b"").is_err());
    }
}
