//! What is wrong with the machine: what the rules say, the collectors that are at fault, and what the doctor says.

use super::Agent;
use super::pages::Page;
use super::slot::Slot;
use crate::doctor::Look;
use crate::format::{self, Gzip};
use crate::judge::rules;
use crate::model::{Looked, Outcome, Report};

impl Agent {
    /// Returns what the doctor says of the last collection, as JSON.
    pub(super) fn doctor(&mut self, gzip: bool) -> Page {
        let Agent { machine, roots, slots, snapshot, verdicts, history, doctor_page, gzip: compressor, .. } = self;
        doctor_page.get((snapshot.moment.id, 0), gzip.then(|| compressor.level(Gzip::SMALL)), |out| {
            let mut report = format::doctor::Report::new(true);
            let look = Look::new(roots, *machine, snapshot);
            let knows_days = history.space.knows();
            diagnose(verdicts.report(), knows_days, slots, look, false, &mut |looked| report.add(looked));
            out.clear();
            report.write(out);
        })
    }

    /// Hands over what the rules say now, and what the doctor says of the last collection. It may wait for disks and radios.
    pub fn diagnose(&self, to: &mut dyn FnMut(&Looked<'_>)) {
        let look = Look::new(&self.roots, self.machine, &self.snapshot);
        diagnose(self.verdicts.report(), self.history.space.knows(), &self.slots, look, true, to);
    }
}

/// Puts together what the rules say, the collectors that are at fault, and what the doctor says.
fn diagnose(
    report: &Report,
    knows_days: bool,
    slots: &[Slot],
    mut look: Look<'_>,
    waits: bool,
    to: &mut dyn FnMut(&Looked<'_>),
) {
    for finding in &report.findings {
        let rule = finding.rule;
        // What happened is no state of the machine.
        if rule.event {
            continue;
        }
        let is_on = finding.since.is_some() && finding.until.is_none();
        let (outcome, title, detail, fix) = if is_on {
            (Outcome::Found(rule.severity), &*finding.title, &*finding.detail, rule.fix.text())
        } else if !knows_days && rules::needs_days(rule) {
            let fix = "Let the agent run for three days, and look at the card Doctor of its page";
            (Outcome::Unseen, rule.summary.text(), "nobody has watched for days yet", fix)
        } else {
            (Outcome::Well, &*finding.title, &*finding.detail, rule.fix.text())
        };
        to(&Looked { name: rule.name, outcome, title, detail, fix, page: "docs/rules.md" });
    }
    for slot in slots {
        if !slot.fault.is_empty() {
            to(&Looked {
                name: slot.registration.name,
                outcome: Outcome::Unseen,
                title: slot.registration.summary.text(),
                detail: &slot.fault,
                fix: "Let the file be read, or switch the collector off: --no-collector.NAME",
                page: "docs/metrics.md#",
            });
        }
    }
    look.all(waits, to);
}
