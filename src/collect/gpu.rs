//! `gpu_stats` of the graphics processor (v3d): what its queues did. From Linux 6.7 on, on a Raspberry Pi 4 or later.
//! <https://docs.kernel.org/gpu/v3d.html>

use super::Registration;
use super::counters::{Label, Layout, Lines, Plan};
use crate::kernel::text::uint;
use crate::model::{Family, Place, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

static QUEUES: Table<1, 2> = Table::new(
    Place::List("queues"),
    &["queue"],
    &[
        Family::counter("pi_gpu_jobs_total", "Jobs that the graphics processor's queue was given.", Unit::Count),
        Family::counter(
            "pi_gpu_busy_seconds_total",
            "Time during which a job of the queue was running.",
            Unit::Seconds,
        ),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "gpu",
    summary: prose("jobs and busy time of the graphics processor's queues"),
    source: reference("/sys/class/drm/card*/device/gpu_stats"),
    needs: Needs::reading("sys/class/drm"),
    tables: &[QUEUES.head()],
    flags: &[],
    new: |setup| PLAN.collector(setup),
};

/// `render 661782989550184 1971412 1425315226538`: the present time, jobs, and nanoseconds with a job.
static LINES: Lines = Lines {
    head: QUEUES.head(),
    prefix: "",
    headings: 1,
    number: uint,
    label: Label::Word(0),
    columns: &[(2, 0), (3, 9)],
    required: 2,
    expected: "a queue, a time, jobs and nanoseconds",
};

// The display has a card of its own, and drivers come in any order. A board has one graphics processor.
static PLAN: Plan = Plan {
    files: &[
        ("class/drm/card0/device/gpu_stats", Layout::Lines(&LINES)),
        ("class/drm/card1/device/gpu_stats", Layout::Lines(&LINES)),
        ("class/drm/card2/device/gpu_stats", Layout::Lines(&LINES)),
    ],
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
    fn documented_lines() {
        let text = "queue\ttimestamp\tjobs\truntime\nbin\t239043069420\t22620\t17438164056\nrender\t239043069420\t22619\t27284814161\n";
        let expected = ["bin 22620 17.438164056", "render 22619 27.284814161"];
        assert_eq!(rows_of(&PLAN, text), (expected.map(str::to_owned).to_vec(), None));
        for bad in ["", "render", "render 1 2", "render 1 x 3", "render 1 2 -3"] {
            assert_eq!(rows_of(&PLAN, &format!("heading\n{bad}\n")), (vec![], Some(2)), "{bad}");
        }
    }
}
