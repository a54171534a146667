//! What is wrong with the machine, as every output shows it.

use super::{Prose, Value, find};
use std::fmt::{self, Write as _};

/// How urgent a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Act now.
    Critical,
    /// Look into it.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// The worst first.
    pub const ALL: [Severity; 3] = [Severity::Critical, Severity::Warning, Severity::Info];

    /// Returns the word in JSON and in alerts.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// What every output knows about a rule.
#[derive(Debug)]
pub struct RuleHead {
    /// Its name in `pi_verdict`, flags and JSON.
    pub name: &'static str,
    /// The trouble in a few words, for `--help` and the reference.
    pub summary: Prose,
    pub severity: Severity,
    /// The dashboard's card that shows more.
    pub card: &'static str,
    /// What to do about it, as an imperative.
    pub fix: Prose,
    /// Whether it is something that happened, not a state that lasts.
    pub event: bool,
}

/// What a rule found, in words.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: &'static RuleHead,
    /// Seconds since boot at which the condition began to hold, if the rule is on.
    pub since: Option<u64>,
    /// Seconds since boot at which the condition last held, if it no longer does and the rule is still on.
    pub until: Option<u64>,
    /// For events: seconds since boot at which it happened, if not when the condition held.
    pub happened: Option<u64>,
    /// The number that the rule compared with its threshold when the condition last held, if it has one.
    pub measured: Option<f64>,
    /// The process to blame and what it does, as long as the condition holds; empty if unknown.
    pub process: String,
    pub does: &'static str,
    pub title: String,
    pub detail: String,
    pub culprit: String,
}

impl Finding {
    /// Creates an empty report, with room for texts of the usual length: when trouble comes, memory may be short.
    pub fn new(rule: &'static RuleHead) -> Self {
        let text = || String::with_capacity(96);
        Finding {
            rule,
            since: None,
            until: None,
            happened: None,
            measured: None,
            process: text(),
            does: "",
            title: text(),
            detail: text(),
            culprit: text(),
        }
    }

    /// Begins the text about `culprit`; the title goes into the result.
    pub fn name(&mut self, culprit: &str, title: fmt::Arguments<'_>, detail: fmt::Arguments<'_>) -> bool {
        for text in [&mut self.title, &mut self.detail, &mut self.culprit] {
            text.clear();
        }
        self.culprit.push_str(culprit);
        // Writing to a string cannot fail.
        let _ = self.title.write_fmt(title);
        let _ = self.detail.write_fmt(detail);
        true
    }

    /// Makes the process the culprit and adds it to the detail, if one is known.
    pub fn blame(&mut self) {
        if !self.process.is_empty() {
            self.culprit.clone_from(&self.process);
            let _ = write!(self.detail, "; {} {}", self.process, self.does);
        }
    }

    /// Puts the title in the past tense.
    pub fn resolve(&mut self) {
        for (present, past) in [
            (" is ", " was "),
            (" are ", " were "),
            (" has ", " had "),
            (" does ", " did "),
            (" will be ", " was going to be "),
        ] {
            if let Some(at) = find(&self.title, present) {
                self.title.replace_range(at..at + present.len(), past);
                return;
            }
        }
    }
}

/// All rules' state at one moment.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seconds since boot at the moment of the report.
    pub now: u64,
    /// Seconds since boot from which on nothing was wrong; `None` while something is.
    pub clear: Option<u64>,
    /// One for each rule; none if nobody judges.
    pub findings: Vec<Finding>,
    /// What the rules compare with.
    pub thresholds: Vec<Threshold>,
}

/// A number that a rule compares with, as its flag set it.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    pub rule: &'static RuleHead,
    /// `above`, `below`, or a longer name that ends so if the rule has several.
    pub key: &'static str,
    pub value: Value,
}

impl Report {
    /// Returns the rules that are on, with what they found, the worst first.
    pub fn items(&self) -> impl Iterator<Item = &Finding> {
        Severity::ALL.into_iter().flat_map(|severity| {
            self.findings.iter().filter(move |it| it.since.is_some() && it.rule.severity == severity)
        })
    }

    /// Becomes a copy of `other`, in the memory that it has.
    pub fn copy(&mut self, other: &Report) {
        let Report { now, clear, findings, thresholds } = other;
        (self.now, self.clear) = (*now, *clear);
        self.thresholds.clone_from(thresholds);
        for finding in findings.iter().skip(self.findings.len()) {
            self.findings.push(Finding::new(finding.rule));
        }
        for (mine, theirs) in self.findings.iter_mut().zip(findings) {
            (mine.since, mine.until) = (theirs.since, theirs.until);
            if theirs.since.is_some() {
                mine.title.clone_from(&theirs.title);
                mine.detail.clone_from(&theirs.detail);
                mine.culprit.clone_from(&theirs.culprit);
            }
        }
    }
}

/// The processes that use most CPU, memory and I/O, and one that waits. An empty name is nobody.
#[derive(Clone, Debug, Default)]
pub struct Top {
    pub cpu: String,
    pub memory: String,
    pub io: String,
    /// One that was in uninterruptible sleep both times.
    pub blocked: String,
}
