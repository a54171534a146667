//! `/sys/class/nvme`: NVMe disks, and whether their controllers answer.
//! <https://docs.kernel.org/admin-guide/abi-testing-files.html>
//!
//! Their temperatures are in the collector `hwmon`, their traffic in `diskio`. sysfs does not tell wear and errors: that takes a
//! command to the disk (`nvme smart-log`), which needs root and may hang, as may reading `nuse`, how much of a disk is used
//! (`ns_update_nuse`). Serial numbers are left out, as they tell one person's disk from all others.

use super::Registration;
use super::readings::Plan;
use crate::kernel::Bad;
use crate::kernel::text::trim;
use crate::model::{Family, Place, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

static CONTROLLERS: Table<3, 1> = Table::new(
    Place::List("controllers"),
    &["device", "model", "firmware"],
    &[Family::gauge(
        "pi_nvme_live",
        "1 if the disk's controller works, 0 while it is being reset or is dead.",
        Unit::Count,
    )],
);

pub static COLLECTOR: Registration = Registration {
    name: "nvme",
    summary: prose("NVMe disks: model, firmware and state"),
    source: reference("/sys/class/nvme"),
    needs: Needs::reading("sys/class/nvme"),
    tables: &[CONTROLLERS.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};

static PLAN: Plan = Plan {
    class: "class/nvme",
    is_wanted: |name| name.starts_with(b"nvme"),
    open: |path, readings| readings.add_row(path, &["model", "firmware_rev"], &["state"]),
    parse: |text, _| parse(text).map(Into::into),
    exclude: None,
    head: CONTROLLERS.head(),
};

/// `live`, or another of the states in `nvme_sysfs_show_state`.
fn parse(text: &[u8]) -> Result<bool, Bad> {
    match trim(text) {
        b"live" => Ok(true),
        [b'a'..=b'z', ..] => Ok(false),
        text => Err(Bad::new(1, "the state of a controller", text)),
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
        assert_eq!(parse(b"live\n"), Ok(true));
        for state in ["new", "resetting", "connecting", "deleting", "deleting (no IO)", "dead"] {
            assert_eq!(parse(state.as_bytes()), Ok(false), "{state}");
        }
        assert!(parse(b"\n").is_err() && parse(b"7\n").is_err());
    }
}
