//! `/proc/net/softnet_stat`: packets that each CPU took over from network interfaces, and those it had no time or room for.
//! <https://docs.kernel.org/networking/scaling.html>

use super::Registration;
use super::counters::{Label, Layout, Lines, Plan};
use crate::kernel::text::hex;
use crate::model::{Family, More, Place, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

static CPUS: Table<1, 3> = Table::new(
    Place::List("cpus"),
    &["cpu"],
    &[
        Family::counter(
            "pi_softnet_packets_total",
            "Packets processed by the CPU, and dropped for its full backlog.",
            Unit::Count,
        )
        .more(&More::NONE.by("outcome", &["processed", "dropped"])),
        Family::counter(
            "pi_softnet_squeezed_total",
            "Times the CPU stopped processing packets with some left, for lack of time.",
            Unit::Count,
        ),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "softnet",
    summary: prose("network packets processed and dropped by each CPU"),
    source: reference("/proc/net/softnet_stat"),
    needs: Needs::reading("proc/net/softnet_stat"),
    tables: &[CPUS.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};

/// `00049279 00000000 00000001 …`: nine to fifteen hexadecimal numbers. From Linux 5.10 on the 13th is the CPU's; before that, CPUs
/// that are offline have no line, and the line's own number is the best there is.
static LINES: Lines = Lines {
    head: CPUS.head(),
    prefix: "",
    headings: 0,
    number: hex,
    label: Label::Cpu(12),
    columns: &[(0, 0), (1, 0), (2, 0)],
    required: 3,
    expected: "hexadecimal numbers",
};

static PLAN: Plan = Plan { files: &[("net/softnet_stat", Layout::Lines(&LINES))], ..Plan::NONE };

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    PLAN.fuzz(text);
}

#[cfg(test)]
mod tests {
    use super::super::counters::rows_of;
    use super::*;

    #[test]
    fn real_lines() {
        // Linux 6.6, and 2.6.32 in the second line.
        let text = "\
000dfb82 00000029 0000000a 00000000 00000000 00000000 00000000 00000000 00000001 00000002 00000003 00000004 00000007 00000000 00000000
00551c3f 00000000 00000055 00000000 00000000 00000000 00000000 00000000 00000000
";
        let expected = ["cpu7 916354 41 10", "cpu1 5577791 0 85"];
        assert_eq!(rows_of(&PLAN, text), (expected.map(str::to_owned).to_vec(), None));
        let good = "1 2 3 0 0 0 0 0 0\n";
        for bad in ["", "00000001 2", "00551c3f x 0 0 0 0 0 0 0", "1ffffffffffffffff 1 0 0 0 0 0 0 0"] {
            let (rows, line) = rows_of(&PLAN, &format!("{bad}\n{good}"));
            assert_eq!((rows.len(), line), (1, Some(1)), "{bad}");
        }
    }
}
