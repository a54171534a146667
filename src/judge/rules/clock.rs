//! The wall clock.

use crate::collect::clock::CLOCK;
use crate::judge::rule::Rule;
use crate::judge::view::View;
use crate::model::{Finding, Input, Severity, key};

static SYNCHRONIZED: Input = CLOCK.input("pi_clock_synchronized");

pub static CLOCK_UNSYNCHRONIZED: Rule = Rule::new(
    "clock_unsynchronized",
    "nothing keeps the clock right any more",
    Severity::Warning,
    "processes",
    &[&SYNCHRONIZED],
    clock_unsynchronized,
)
.slow()
.after(300)
.fix("See whether the time service runs and reaches its servers (timedatectl, chronyc sources)");

/// Where no program ever told the kernel that it keeps the clock right, as on BusyBox, 0 says nothing.
fn clock_unsynchronized(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(synchronized) = view.value(&SYNCHRONIZED, "") else { return false };
    view.was_well(key("the clock", 0), synchronized == 1.0)
        && synchronized == 0.0
        && found.name(
            "clock",
            format_args!("The clock is no longer synchronized"),
            format_args!("It was before, and nothing corrects it now"),
        )
}
