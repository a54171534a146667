//! A collector at work: what it costs, and whether its data is good.

use crate::collect::{Collect, Registration, Setup};
use crate::kernel::Fault;
use std::fmt::Write as _;
use std::time::Duration;

/// A collector at work.
pub struct Slot {
    pub registration: &'static Registration,
    pub collector: Box<dyn Collect>,
    /// Whether history keeps any of its families.
    pub charted: bool,
    /// What went wrong last time, as it was logged; empty if nothing did.
    pub fault: String,
    pub duration: Duration,
}

impl Slot {
    /// Creates a collector that has not collected yet.
    pub fn new(registration: &'static Registration, setup: &mut Setup<'_>) -> Self {
        let collector = (registration.new)(setup);
        let mut families = registration.tables.iter().flat_map(|head| head.families);
        let charted = families.any(|family| !family.charts.is_empty());
        Slot { registration, collector, charted, fault: String::new(), duration: Duration::ZERO }
    }

    /// Remembers whether the collector's data was good, and logs it when that changes.
    pub fn note(&mut self, fault: Option<Fault>) {
        let name = self.registration.name;
        match fault {
            None if self.fault.is_empty() => {}
            None => {
                crate::info!("collector {name}: recovered");
                self.fault.clear();
            }
            Some(fault) => {
                let mut text = String::new();
                let _ = write!(text, "{fault}");
                if text != self.fault {
                    crate::warn!("collector {name}: {text}");
                    self.fault = text;
                }
            }
        }
    }
}
