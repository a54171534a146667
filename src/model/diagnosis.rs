//! What the doctor looked at, and what came of it.

use super::Severity;

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is wrong.
    Well,
    Found(Severity),
    /// It could not be looked at.
    Unseen,
}

/// One thing that the doctor looked at.
#[derive(Clone, Copy, Debug)]
pub struct Looked<'a> {
    /// The name of the check, the rule or the collector.
    pub name: &'a str,
    pub outcome: Outcome,
    /// What is wrong, as a state; of what could not be looked at, what that is.
    pub title: &'a str,
    /// The numbers; of what could not be looked at, why.
    pub detail: &'a str,
    /// What to do about it, as an imperative; of what could not be looked at, how to let it.
    pub fix: &'a str,
    /// The document that explains it. Behind a `#` at its end belongs the name.
    pub page: &'static str,
}
