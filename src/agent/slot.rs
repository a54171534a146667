//! A collector at work: what it costs, and whether its data is good.

use crate::collect::{Collect, Registration, Setup};
use crate::kernel::Fault;
use crate::model::Family;
use std::fmt::Write as _;
use std::time::Duration;

/// A collector at work.
pub struct Slot {
    pub registration: &'static Registration,
    pub collector: Box<dyn Collect>,
    /// Whether history keeps any of its families.
    pub charted: bool,
    /// What went wrong last time; empty if nothing did.
    pub fault: String,
    changes: Changes,
}

impl Slot {
    /// Returns the families of its tables.
    pub fn families(&self) -> impl Iterator<Item = &'static Family> {
        self.registration.tables.iter().flat_map(|head| head.families)
    }

    /// Creates a collector that has not collected yet.
    pub fn new(registration: &'static Registration, setup: &mut Setup<'_>) -> Self {
        let collector = (registration.new)(setup);
        let mut families = registration.tables.iter().flat_map(|head| head.families);
        let charted = families.any(|family| !family.charts().is_empty());
        Slot { registration, collector, charted, fault: String::new(), changes: Changes::default() }
    }

    /// Remembers whether the collector's data was good and logs each change of that, unless there are too many.
    pub fn note(&mut self, fault: Option<Fault>, now: Duration) {
        let name = self.registration.name;
        let mut text = String::new();
        if let Some(fault) = fault {
            let _ = write!(text, "{fault}");
        }
        let report = self.changes.note(text != self.fault, now);
        self.fault = text;
        let fault = &self.fault;
        match report {
            Report::None => {}
            Report::Change if fault.is_empty() => crate::info!("collector {name}: recovered"),
            Report::Change => crate::warn!("collector {name}: {fault}"),
            Report::Flapping => {
                let state = if fault.is_empty() { "recovered" } else { fault };
                crate::warn!(
                    "collector {name}: {state} (flapping; reported again once it has been steady for 10 minutes)"
                );
            }
            Report::Settled(changes) if fault.is_empty() => {
                crate::info!("collector {name}: recovered, steady for 10 minutes after {changes} changes");
            }
            Report::Settled(changes) => {
                crate::warn!("collector {name}: {fault} (steady for 10 minutes after {changes} changes)")
            }
        }
    }
}

/// How often a collector's state changed of late.
#[derive(Debug, Default)]
struct Changes {
    count: u32,
    last: Duration,
}

/// What to log of a collector's state.
#[derive(Debug, PartialEq, Eq)]
enum Report {
    None,
    Change,
    /// It changed once more than is logged each time.
    Flapping,
    /// It flapped, and stopped after so many changes.
    Settled(u32),
}

impl Changes {
    /// A fault that comes, becomes another one and goes.
    const LOGGED: u32 = 3;
    const CALM: Duration = Duration::from_secs(600);

    fn note(&mut self, changed: bool, now: Duration) -> Report {
        let Changes { count, last } = self;
        let calm = now.saturating_sub(*last) >= Changes::CALM;
        if changed {
            *count = if calm { 1 } else { *count + 1 };
            *last = now;
            return match *count {
                0..=Changes::LOGGED => Report::Change,
                4 => Report::Flapping,
                _ => Report::None,
            };
        }
        if calm && *count > Changes::LOGGED {
            return Report::Settled(std::mem::take(count));
        }
        Report::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flapping_is_reported_once_and_then_summed_up() {
        let mut changes = Changes::default();
        let mut note = |changed, second| changes.note(changed, Duration::from_secs(second));
        assert_eq!(note(false, 1000), Report::None);
        assert_eq!(
            (note(true, 1002), note(true, 1004), note(true, 1006)),
            (Report::Change, Report::Change, Report::Change)
        );
        assert_eq!(
            (note(true, 1008), note(true, 1010), note(true, 1012)),
            (Report::Flapping, Report::None, Report::None)
        );
        assert_eq!(
            (note(false, 1611), note(false, 1612), note(false, 1614)),
            (Report::None, Report::Settled(6), Report::None)
        );
        // A fault a day is news each time.
        for day in 1..9 {
            assert_eq!(note(true, day * 86400), Report::Change);
            assert_eq!(note(true, day * 86400 + 60), Report::Change);
        }
    }
}
