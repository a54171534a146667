//! `/sys/class/watchdog`: timers that restart the machine when nobody resets them.
//! <https://docs.kernel.org/admin-guide/abi-testing-files.html#abi-file-testing-sysfs-class-watchdog>

use super::Registration;
use super::readings::Plan;
use crate::kernel::Bad;
use crate::kernel::text::{trim, uint};
use crate::model::{Family, Place, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;

static WATCHDOGS: Table<2, 2> = Table::new(
    Place::List("watchdogs"),
    &["device", "identity"],
    &[
        Family::gauge(
            "pi_watchdog_active",
            "1 if the watchdog runs and will restart a machine that hangs.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_watchdog_timeout_seconds",
            "Time without a sign of life after which it restarts.",
            Unit::Seconds,
        ),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "watchdog",
    summary: prose("watchdogs, whether they run, and their timeouts"),
    source: reference("/sys/class/watchdog"),
    needs: Needs::reading("sys/class/watchdog"),
    tables: &[WATCHDOGS.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};

// A kernel without CONFIG_WATCHDOG_SYSFS has the device and none of the files.
static PLAN: Plan = Plan {
    class: "class/watchdog",
    is_wanted: |name| name.starts_with(b"watchdog"),
    open: |path, readings| readings.add_row(path, &["identity"], &["state", "timeout"]),
    parse: |text, _| parse(text),
    exclude: None,
    head: WATCHDOGS.head(),
};

/// `active`, `inactive`, or a number.
fn parse(text: &[u8]) -> Result<Value, Bad> {
    match trim(text) {
        b"active" => Ok(true.into()),
        b"inactive" => Ok(false.into()),
        text => uint(text).map(Value::from).ok_or_else(|| Bad::new(1, "active, inactive or a number", text)),
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = parse(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_files() {
        for (text, value) in [("active\n", 1), ("inactive\n", 0), ("60\n", 60)] {
            assert_eq!(parse(text.as_bytes()), Ok(Value::from(value)));
        }
        for bad in ["", "0x8000", "-1", "activated"] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err().line, 1, "{bad}");
        }
    }
}
