//! What is wrong with the machine, as every output shows it.

use super::Value;
use std::fmt::{self, Write as _};

/// How urgent a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Act now.
    Critical,
    /// Look into it.
    Warning,
}

impl Severity {
    /// Returns the word in JSON and in alerts.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
        }
    }
}

/// What every output knows about a rule.
#[derive(Debug)]
pub struct RuleHead {
    /// Its name in `pi_verdict`, flags and JSON.
    pub name: &'static str,
    /// The trouble in a few words, for `--help` and the reference.
    pub summary: &'static str,
    pub severity: Severity,
    /// The dashboard's card that shows more.
    pub card: &'static str,
    /// What to do about it, as an imperative.
    pub fix: &'static str,
}

/// What a rule found, in words.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: &'static RuleHead,
    /// Seconds since boot at which the condition began to hold, if the rule is on.
    pub since: Option<u64>,
    pub title: String,
    pub detail: String,
    pub culprit: String,
}

impl Finding {
    /// Creates an empty report, with room for texts of the usual length: when trouble comes, memory may be short.
    pub fn new(rule: &'static RuleHead) -> Self {
        let text = || String::with_capacity(96);
        Finding { rule, since: None, title: text(), detail: text(), culprit: text() }
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
    /// Returns the rules that are on, with what they found.
    pub fn items(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.since.is_some())
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
            mine.since = theirs.since;
            if theirs.since.is_some() {
                mine.title.clone_from(&theirs.title);
                mine.detail.clone_from(&theirs.detail);
                mine.culprit.clone_from(&theirs.culprit);
            }
        }
    }
}

/// The processes that use most CPU, memory and I/O, if somebody looked lately.
#[derive(Clone, Debug, Default)]
pub struct Top {
    pub cpu: String,
    pub memory: String,
    pub io: String,
}
