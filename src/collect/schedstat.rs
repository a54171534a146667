//! `/proc/schedstat`: how long tasks ran on each CPU, and how long they waited for it.
//! <https://docs.kernel.org/scheduler/sched-stats.html>
//!
//! `/proc/sys/kernel/hung_task_detect_count`, from Linux 6.13 on: tasks that were blocked for two minutes.
//! <https://docs.kernel.org/admin-guide/sysctl/kernel.html#hung-task-detect-count>

use super::Registration;
use super::counters::{Label, Layout, Lines, Plan};
use crate::kernel::text::uint;
use crate::model::{Family, Place, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

static CPUS: Table<1, 2> = Table::new(
    Place::List("cpus"),
    &["cpu"],
    &[
        Family::counter("pi_schedstat_running_seconds_total", "Time during which tasks ran on the CPU.", Unit::Seconds),
        Family::counter(
            "pi_schedstat_waiting_seconds_total",
            "Time that tasks waited for the CPU while they could have run, of all tasks together.",
            Unit::Seconds,
        ),
    ],
);

static HUNG: Table<0, 1> = Table::new(
    Place::Inline,
    &[],
    &[Family::counter(
        "pi_hung_tasks_total",
        "Tasks that the kernel found blocked for longer than kernel.hung_task_timeout_secs (120 s).",
        Unit::Count,
    )],
);

pub static COLLECTOR: Registration = Registration {
    name: "schedstat",
    summary: prose("time that tasks ran on and waited for each CPU, and tasks that hang"),
    source: reference("/proc/schedstat, /proc/sys/kernel/hung_task_detect_count"),
    needs: Needs::reading("proc/schedstat proc/sys/kernel/hung_task_detect_count"),
    tables: &[CPUS.head(), HUNG.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};

/// `cpu0 498494191 0 3533438552 2553969831 3853684107 2465731542 2045936778163039 343796328169361 4767485306`: the last three are
/// nanoseconds of running and of waiting, and a count.
static LINES: Lines = Lines {
    head: CPUS.head(),
    prefix: "cpu",
    headings: 0,
    number: uint,
    label: Label::Word(0),
    columns: &[(7, 9), (8, 9)],
    required: 2,
    expected: "a CPU and nine numbers",
};

static PLAN: Plan = Plan {
    files: &[("schedstat", Layout::Lines(&LINES)), ("sys/kernel/hung_task_detect_count", Layout::Plain(0, 1))],
    rows: &[(HUNG.head(), &[])],
    ..Plan::NONE
};

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
        let text = "version 15
timestamp 15819019232
cpu0 498494191 0 3533438552 2553969831 3853684107 2465731542 2045936778163039 343796328169361 4767485306
domain0 00000000,00000003 212499247 210112015 1861015 1860405436 536440 369895 32599 210079416
cpu1 518377256 0 4155211005 2778589869 10466382 2867629021 1904686152592476 364107263788241 5145567945
";
        let expected = ["cpu0 2045936.778163039 343796.328169361", "cpu1 1904686.152592476 364107.263788241"];
        assert_eq!(rows_of(&PLAN, text), (expected.map(str::to_owned).to_vec(), None));
        for bad in ["cpu0", "cpu0 1 2 3 4 5 6 7", "cpu0 1 2 3 4 5 6 7 x 9"] {
            assert_eq!(rows_of(&PLAN, bad), (vec![], Some(1)), "{bad}");
        }
    }
}
