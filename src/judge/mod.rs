//! What is wrong with this machine, in plain words: rules over what a tick saw.
//!
//! A rule switches on when its condition has held for [`Rule::on`] and off when it has not held for [`Rule::off`], so that
//! a short peak is no alarm and an alarm does not flicker. The page, `/json` and `pi_verdict` all tell the same [`Report`].
//!
//! Rules read rows and nothing else: of the collectors they know the tables that they read.

pub mod recorder;
pub mod rule;
pub mod rules;
mod view;
pub mod words;

pub use view::{LinkPast, View};

use crate::cli::Options;
use crate::model::{Finding, Note, Rates, Report, Snapshot, Threshold, Top, kinds};
use rule::Rule;
use view::LIMITS_MAX;

/// How long before a rule fires the processes are looked at again, in seconds.
const AHEAD: u64 = 3;

/// Judges tick after tick.
#[derive(Debug)]
pub struct Judge {
    rules: Vec<Judged>,
    rates: Rates,
    /// Things that were well once, by their hash.
    well: Vec<u64>,
    /// What is remembered of network interfaces.
    links: Vec<LinkPast>,
    past: view::Past,
    /// Whether somebody should look who is to blame.
    look: bool,
    /// Whether rules wait for their delays.
    patient: bool,
    report: Report,
}

/// A rule at work.
#[derive(Debug)]
struct Judged {
    rule: &'static Rule,
    limits: [f64; LIMITS_MAX],
    /// Where in a snapshot the rule's inputs are: part and section.
    places: Vec<Option<(usize, usize)>>,
    state: State,
}

/// What is remembered of a rule between ticks, in seconds since boot.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Whether the condition held when it was last looked at.
    held: bool,
    /// Since when it has held.
    held_since: Option<u64>,
    /// When it last held.
    held_at: u64,
    on: bool,
    /// Whether another look was asked for when the rule was about to fire; the process to blame is that of then.
    confirms: bool,
    /// Whether that look was made. From then on, the process to blame stays.
    settled: bool,
}

impl Judge {
    /// For snapshots with the parts of `snapshot`: the rules that `options` do not switch off, with their thresholds.
    pub fn new(snapshot: &Snapshot, options: &Options) -> Self {
        let (mut rules, mut findings, mut thresholds) = (Vec::new(), Vec::new(), Vec::new());
        for rule in rules::ALL {
            if options.switched(&rule.switch()) == Some(false) {
                continue;
            }
            let mut limits = [0.0; LIMITS_MAX];
            for (number, limit) in limits.iter_mut().zip(rule.limits) {
                let value = limit.value(options);
                *number = value.to_f64().unwrap_or_default();
                thresholds.push(Threshold { rule: &rule.head, key: limit.key(), value });
            }
            let places = rule.reads.iter().map(|input| snapshot.locate(input.head)).collect();
            rules.push(Judged { rule, limits, places, state: State::default() });
            findings.push(Finding::new(&rule.head));
        }
        let report = Report { now: 0, clear: None, findings, thresholds };
        Judge {
            rules,
            rates: Rates::default(),
            well: Vec::new(),
            links: Vec::new(),
            past: view::Past::default(),
            look: false,
            patient: true,
            report,
        }
    }

    /// Without delays: a rule is on exactly while its condition holds.
    pub fn at_once(self) -> Self {
        Judge { patient: false, ..self }
    }

    /// The present state of all rules.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Returns which part of the snapshots has the filesystems; `None` if no rule asks for them.
    pub fn filesystems(&self) -> Option<usize> {
        let judged = self.rules.iter().find(|judged| judged.rule.filesystems)?;
        judged.places.first().copied().flatten().map(|(part, _)| part)
    }

    /// Hands the parts of the snapshots to `each` that only slow rules read.
    pub fn slow(&self, each: &mut dyn FnMut(usize)) {
        for judged in self.rules.iter().filter(|judged| judged.rule.slow) {
            if let Some((part, _)) = judged.places.first().copied().flatten() {
                each(part);
            }
        }
    }

    /// Whether to look at processes: a condition with an unknown culprit begins to hold.
    pub fn wants_look(&self) -> bool {
        self.look
    }

    /// Whether a filesystem is in trouble, so that somebody may be about to mend it. What lasts for days is looked at as usual.
    pub fn watches_filesystems(&self) -> bool {
        let is_urgent = |rule: &Rule| rule.filesystems && rule.off < 60;
        self.rules.iter().any(|judged| judged.state.on && is_urgent(judged.rule))
    }

    /// Learns of an event that comes from elsewhere: whom the kernel's log names as killed, and why.
    pub fn noted(&mut self, note: &Note<'_>) {
        if std::ptr::eq(note.kind, &kinds::OOM_KILL) && !note.culprit.is_empty() {
            self.past.killed = Some(view::Killed { name: note.culprit.to_owned(), how: note.detail.to_string() });
        }
    }

    /// Learns who uses most, from a look that was just made.
    pub fn looked(&mut self, top: &Top) {
        let Judge { rules, past, look, report, .. } = self;
        *look = false;
        (past.looked_at, past.blocked) = (Some(report.now), !top.blocked.is_empty());
        for (Judged { rule, state, .. }, finding) in rules.iter_mut().zip(&mut report.findings) {
            if state.held && state.is_open(finding) {
                learn(rule, finding, Some(top));
                state.settled = state.confirms;
            }
        }
    }

    /// Judges what a tick saw. `filesystems` holds the filesystems if they were looked at since the last call, and `slowly` says whether
    /// `snapshot` has the parts of [`Judge::slow`].
    pub fn judge(&mut self, snapshot: &Snapshot, filesystems: Option<&Snapshot>, slowly: bool, top: Option<&Top>) {
        let Judge { rules, rates, well, links, past, look, patient, report } = self;
        let time = snapshot.moment.since_boot;
        let now = time.as_secs();
        rates.begin(time);
        let mut first_key = 0;
        // Nobody has to look any more for what has ended in the meantime.
        let mut still_held = false;
        let mut begins = false;
        for (judged, finding) in rules.iter_mut().zip(&mut report.findings) {
            let Judged { rule, limits, places, state } = judged;
            if if rule.slow { slowly } else { !rule.filesystems || filesystems.is_some() } {
                let mut view = View {
                    snapshot,
                    filesystems: filesystems.unwrap_or(snapshot),
                    reads: rule.reads,
                    places,
                    limits,
                    rates,
                    first_key,
                    well,
                    links,
                    past,
                    look: &mut begins,
                    now,
                };
                state.held = (rule.check)(&mut view, finding);
                if state.held && rule.blame.is_some() {
                    if state.held_since.is_none() {
                        begins = true;
                        finding.process.clear();
                        (state.confirms, state.settled) = (false, false);
                    }
                    still_held = true;
                    if state.is_open(finding) {
                        learn(rule, finding, top);
                    }
                    finding.blame();
                }
            }
            first_key += rule.reads.len();
            begins |= judged.advance(finding, now, *patient);
        }
        rates.end();
        *look = begins || *look && still_held;
        report.now = now;
        let clear = rules.iter().all(|judged| !judged.state.on);
        report.clear = if clear { Some(report.clear.unwrap_or(now)) } else { None };
    }
}

impl Judged {
    /// Moves the state and the finding on to `now`, in seconds since boot; a judge that is not `patient` waits for no delay. Returns
    /// whether the processes should be looked at.
    fn advance(&mut self, finding: &mut Finding, now: u64, patient: bool) -> bool {
        let Judged { rule, state, .. } = self;
        let mut begins = false;
        if patient {
            let was_on = state.on;
            state.step(rule, now);
            // Who used most when the condition began may be done by the time the rule fires.
            let due = state.held_since.is_some_and(|since| now + AHEAD >= since + rule.on);
            if state.held && due && !state.confirms {
                state.confirms = true;
                begins = rule.blame.is_some();
            }
            begins |= state.on && !was_on && rule.blame.is_some() && finding.process.is_empty();
        } else {
            *state = State::at_once(state.held, now);
        }
        finding.since = state.held_since.filter(|_| state.on);
        if rule.head.event && state.on {
            // What happened last, not what happened first.
            finding.since = finding.happened.or(Some(state.held_at));
        }
        let until = (state.on && !state.held && !rule.head.event).then_some(state.held_at);
        let is_over = until.is_some_and(|until| now >= until + rule.hold);
        if is_over && finding.until.is_none() {
            finding.resolve();
        }
        finding.until = until.filter(|_| is_over);
        begins
    }
}

/// Remembers which process is to blame; without a new look, it is the one of the last look.
fn learn(rule: &Rule, finding: &mut Finding, top: Option<&Top>) {
    let Some((name, does)) = rule.blame.zip(top).map(|(blame, top)| blame(top)) else { return };
    if !name.is_empty() {
        finding.process.clear();
        finding.process.push_str(name);
        finding.does = does;
    }
}

impl State {
    /// The state of a rule without delays.
    fn at_once(held: bool, now: u64) -> Self {
        State { held, held_since: held.then_some(now), held_at: now, on: held, confirms: false, settled: false }
    }

    /// Whether a look may still change whom the rule blames.
    fn is_open(&self, finding: &Finding) -> bool {
        !self.settled || finding.process.is_empty()
    }

    fn step(&mut self, rule: &Rule, now: u64) {
        if self.held {
            self.held_at = now;
        }
        let holds = self.held || self.held_since.is_some() && now < self.held_at + rule.hold;
        if holds {
            let since = *self.held_since.get_or_insert(now);
            self.on |= now >= since + rule.on;
        } else if !self.on || now >= self.held_at + rule.hold + rule.off {
            (self.on, self.held_since) = (false, None);
        }
    }
}

#[cfg(test)]
mod tests;
