//! Starts of the machine and of the agent, which are news for a while.

use crate::judge::rule::Rule;
use crate::judge::rules::RECENT;
use crate::judge::view::View;
use crate::model::{Finding, Severity};

pub static MACHINE_RESTARTED: Rule =
    Rule::new("machine_restarted", "the machine restarted", Severity::Warning, "processes", &[], machine_restarted)
        .at_once()
        .fix("If nobody restarted it, look for the reason in the journal of the last boot (journalctl -b -1 -e)");

fn machine_restarted(view: &mut View<'_>, found: &mut Finding) -> bool {
    view.now() < RECENT
        && found.name("machine", format_args!("The machine restarted"), format_args!("Less than 10 minutes ago"))
}

pub static AGENT_RESTARTED: Rule =
    Rule::new("agent_restarted", "Pi-Monitor restarted", Severity::Warning, "processes", &[], agent_restarted)
        .at_once()
        .fix("If nobody restarted it, look for the reason in its log (journalctl -u pi-monitor)");

fn agent_restarted(view: &mut View<'_>, found: &mut Finding) -> bool {
    // Right after a boot that is no news.
    view.started() >= RECENT
        && view.now() < view.started() + RECENT
        && found.name("pi-monitor", format_args!("Pi-Monitor restarted"), format_args!("Less than 10 minutes ago"))
}
