//! `/sys/devices/system/cpu/cpufreq/policy*`: how fast each CPU runs, and who decides that.
//! <https://docs.kernel.org/admin-guide/pm/cpufreq.html#policy-interface-in-sysfs>
//!
//! CPUs that share a clock share a policy: its files are read once and reported for each of its CPUs.

use super::{Collect, Context, Registration};
use crate::kernel::text::{trim, uint, words};
use crate::kernel::{Bad, Device, Devices, Fault, Members, Source};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;
use std::path::Path;

static CPUS: Table<1, 3> = Table::new(
    Place::List("cpus"),
    &["cpu"],
    &[
        Family::gauge(
            "pi_cpu_frequency_hertz",
            "Current clock frequency of the CPU, as the kernel last set it.",
            Unit::Hertz,
        )
        .more(&More::NONE.history(&[Chart::max("frequency")])),
        Family::gauge("pi_cpu_frequency_min_hertz", "Lowest clock frequency of the CPU.", Unit::Hertz),
        Family::gauge("pi_cpu_frequency_max_hertz", "Highest clock frequency of the CPU.", Unit::Hertz),
    ],
);

static GOVERNORS: Table<2, 1> = Table::new(
    Place::List("governors"),
    &["cpu", "governor"],
    &[Family::gauge(
        "pi_cpu_governor_info",
        "Always 1; the label is the governor that sets the CPU's clock frequency.",
        Unit::Info,
    )],
);

pub static COLLECTOR: Registration = Registration {
    name: "cpufreq",
    summary: prose("clock frequency of each CPU"),
    source: reference("/sys/devices/system/cpu/cpufreq"),
    needs: Needs::reading("sys/devices/system/cpu/cpufreq"),
    tables: &[CPUS.head(), GOVERNORS.head()],
    flags: &[],
    new: |setup| {
        let path = setup.roots.sys.join("devices/system/cpu/cpufreq");
        super::boxed(CpuFreq { policies: Devices::new(path, |name| name.starts_with(b"policy")) })
    },
};

struct CpuFreq {
    policies: Devices<Policy>,
}

/// CPUs that share a clock.
struct Policy {
    cpus: Source,
    present: Source,
    governor: Source,
    /// What the hardware can do; it does not change while the policy is there.
    limits: [Option<u64>; 2],
}

impl Policy {
    fn new(path: &Path) -> Self {
        let source = |file: &str| Source::new(path.join(file)).in_small_records();
        let limit = |file: &str| Members::default().ask(&mut source(file), &mut false, parse_kilohertz).flatten();
        Policy {
            // Those that are offline are in related_cpus only.
            cpus: source("affected_cpus"),
            // cpuinfo_cur_freq asks the hardware, which takes root and, on a Pi, a message to the firmware.
            present: source("scaling_cur_freq"),
            governor: source("scaling_governor"),
            limits: [limit("cpuinfo_min_freq"), limit("cpuinfo_max_freq")],
        }
    }
}

impl Collect for CpuFreq {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let mut members = Members::default();
        if context.lists {
            self.policies.update(&Policy::new);
        }
        for Device { state, gone, .. } in self.policies.all() {
            let Policy { cpus, present, governor, limits: [min, max] } = state;
            let present = members.ask(present, gone, parse_kilohertz).flatten();
            let governor = match context.tick {
                false if members.ask(governor, gone, |_| Ok(())).is_some() => trim(governor.text()),
                _ => b"",
            };
            if members.ask(cpus, gone, check_cpus).is_none() {
                continue;
            }
            for cpu in words(cpus.text()) {
                let mut label = *b"cpu\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
                let length = (3 + cpu.len()).min(label.len());
                label[3..length].copy_from_slice(&cpu[..length - 3]);
                let label = &label[..length];
                let hertz = |kilohertz: Option<u64>| Value::from(kilohertz.map(|it| it.saturating_mul(1000)));
                out.row(&CPUS, [label], [hertz(present), hertz(*min), hertz(*max)]);
                if !governor.is_empty() {
                    out.row(&GOVERNORS, [label, governor], [true.into()]);
                }
            }
        }
        members.result()
    }
}

/// No CPU runs as fast: 100 GHz.
const FASTEST: u64 = 100_000_000;

/// `1800000`: kilohertz; `None` for `<unknown>`, which drivers say that cannot tell.
fn parse_kilohertz(text: &[u8]) -> Result<Option<u64>, Bad> {
    let text = trim(text);
    if text == b"<unknown>" {
        return Ok(None);
    }
    match uint(text) {
        Some(kilohertz) if (1..FASTEST).contains(&kilohertz) => Ok(Some(kilohertz)),
        Some(_) => Err(Bad::implausible("kilohertz, as a CPU runs at", text)),
        None => Err(Bad::new(1, "kilohertz", text)),
    }
}

/// `0 1 2 3`: the policy's CPUs that are online.
fn check_cpus(text: &[u8]) -> Result<(), Bad> {
    // More digits than a CPU's number can have would not fit the label.
    let good = words(text).all(|word| word.len() <= 20 && uint(word).is_some());
    if good { Ok(()) } else { Err(Bad::new(1, "numbers of CPUs", text)) }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = parse_kilohertz(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_files() {
        assert_eq!(parse_kilohertz(b"1800000\n"), Ok(Some(1_800_000)));
        assert_eq!(parse_kilohertz(b"<unknown>\n"), Ok(None));
        assert_eq!(check_cpus(b"0 1 2 3\n"), Ok(()));
        assert_eq!(check_cpus(b"\n"), Ok(()));
    }

    #[test]
    fn garbage_is_named() {
        for bad in ["", "fast", "-1", "1.8", "18446744073709551616"] {
            assert_eq!(parse_kilohertz(bad.as_bytes()).unwrap_err().line, 1, "{bad}");
        }
        for absurd in ["0", "4294967295", "18446744073709551615"] {
            assert!(parse_kilohertz(absurd.as_bytes()).unwrap_err().implausible, "{absurd}");
        }
        for bad in ["0-3", "0 x", "00000000000000000000000001"] {
            assert!(check_cpus(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
