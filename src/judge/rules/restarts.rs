//! Starts of the machine, which are news for a while.

use crate::judge::rule::Rule;
use crate::judge::rules::RECENT;
use crate::judge::view::View;
use crate::model::{Finding, Severity};

pub static MACHINE_RESTARTED: Rule =
    Rule::new("machine_restarted", "the machine restarted", Severity::Info, "processes", &[], machine_restarted)
        .news()
        .fix("If nobody restarted it, look for the reason in the journal of the last boot (journalctl -b -1 -e)");

fn machine_restarted(view: &mut View<'_>, found: &mut Finding) -> bool {
    found.happened = Some(0);
    view.now() < RECENT
        && found.name("", format_args!("The machine restarted"), format_args!("Counters since boot began at 0"))
}
