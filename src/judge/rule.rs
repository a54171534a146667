//! What a rule is: a condition over what the collectors saw, with its thresholds, its delays and its words.

use super::view::View;
use crate::cli::{Flag, Group, Options, Switch};
use crate::model::{Finding, Input, Prose, RuleHead, Severity, Top, Unit, Value, prose};
use std::time::Duration;

/// How often what changes within minutes is looked at.
pub const SLOW: Duration = Duration::from_secs(60);

/// One kind of trouble. A rule is all in one place: what it reads, when it holds, how long it waits, and what it says.
#[derive(Debug)]
pub struct Rule {
    pub head: RuleHead,
    /// The families that the condition reads, and no others.
    pub reads: &'static [&'static Input],
    /// What the condition compares with, in the order in which it asks for them.
    pub limits: &'static [Limit],
    /// How long the condition has to hold before the rule switches on, in seconds.
    pub on: u64,
    /// How long it has to be over before the rule switches off.
    pub off: u64,
    /// For events: how long the condition counts as held after one.
    pub hold: u64,
    /// Needs the filesystems, which are looked at less often.
    pub filesystems: bool,
    /// Reads what changes within minutes, and is looked at once in [`SLOW`].
    pub slow: bool,
    /// The process to blame, if a process is.
    pub blame: Option<Blame>,
    /// Whether the condition holds; if so, fills the finding with the worst culprit.
    pub check: fn(&mut View<'_>, &mut Finding) -> bool,
}

/// Returns the name of a process and what it does; an empty name is nobody.
pub type Blame = fn(&Top) -> (&str, &'static str);

/// A number that a condition compares with, and the flag that sets it.
#[derive(Debug)]
pub struct Limit {
    pub flag: Flag,
    pub direction: Direction,
    pub unit: Unit,
}

/// On which side of its threshold a value is trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The threshold itself, and all above it.
    Above,
    /// All below the threshold.
    Below,
}

impl Direction {
    /// The last part of the flag's name.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Above => "above",
            Direction::Below => "below",
        }
    }
}

impl Rule {
    /// A rule whose condition has to hold for 10 s, and to be over for 30 s.
    pub const fn new(
        name: &'static str,
        summary: &'static str,
        severity: Severity,
        card: &'static str,
        reads: &'static [&'static Input],
        check: fn(&mut View<'_>, &mut Finding) -> bool,
    ) -> Self {
        let head = RuleHead { name, summary: prose(summary), severity, card, fix: Prose::NONE, event: false };
        Rule { head, reads, limits: &[], on: 10, off: 30, hold: 0, filesystems: false, slow: false, blame: None, check }
    }

    /// What to do about it, as an imperative.
    pub const fn fix(mut self, fix: &'static str) -> Self {
        self.head.fix = prose(fix);
        self
    }

    /// What the condition compares with, at most as many as [`LIMITS_MAX`](super::view::LIMITS_MAX).
    pub const fn limits(mut self, limits: &'static [Limit]) -> Self {
        self.limits = limits;
        self
    }

    /// How long the condition has to hold, in seconds.
    pub const fn after(mut self, on: u64) -> Self {
        self.on = on;
        self
    }

    /// How long the condition has to be over, in seconds.
    pub const fn until(mut self, off: u64) -> Self {
        self.off = off;
        self
    }

    /// The condition is an event, which counts for this long, in seconds.
    pub const fn event(mut self, hold: u64) -> Self {
        self.hold = hold;
        self
    }

    /// It is something that happened: outputs say how long ago, not for how long.
    pub const fn news(mut self) -> Self {
        self.head.event = true;
        self.at_once()
    }

    /// A process is to blame. When the condition begins to hold, the agent looks who that is.
    pub const fn blames(mut self, blame: Blame) -> Self {
        self.blame = Some(blame);
        self
    }

    /// Holds as long as it is true, without delay.
    pub const fn at_once(mut self) -> Self {
        (self.on, self.off) = (0, 0);
        self
    }

    /// Reads the filesystems.
    pub const fn filesystems(mut self) -> Self {
        self.filesystems = true;
        self
    }

    /// Reads what changes within minutes: it is on once two looks have found the same.
    pub const fn slow(mut self) -> Self {
        self.slow = true;
        self.on = SLOW.as_secs();
        self
    }
}

/// Trouble is at and above a threshold: the flag `rule.NAME.above`, with what stands for its value and its default, and its unit.
pub const fn above(words: &'static str, unit: Unit, help: &'static str) -> Limit {
    limit(Direction::Above, words, unit, help)
}

/// Trouble is below a threshold: the flag `rule.NAME.below`, with what stands for its value and its default, and its unit.
pub const fn below(words: &'static str, unit: Unit, help: &'static str) -> Limit {
    limit(Direction::Below, words, unit, help)
}

const fn limit(direction: Direction, words: &'static str, unit: Unit, help: &'static str) -> Limit {
    Limit { flag: Flag { words, help: prose(help), check: check_number }, direction, unit }
}

/// The switches of rules.
pub static GROUP: Group = Group { name: "rule", title: "Rules" };

impl Rule {
    /// What switches it on and off.
    pub fn switch(&self) -> Switch {
        Switch { group: &GROUP, name: self.head.name, help: self.head.summary, on: true }
    }
}

impl Limit {
    /// The threshold that `options` ask for; the command line has checked it.
    pub fn value(&self, options: &Options) -> Value {
        number(options.value(&self.flag)).unwrap_or(Value::ABSENT)
    }

    /// The flag's name without the rule's: `above`, `busy.above`.
    pub fn key(&self) -> &'static str {
        self.flag.name().splitn(3, '.').nth(2).unwrap_or_default()
    }
}

/// The value of a threshold's flag: a number that is not negative.
fn check_number(text: &str) -> Result<(), String> {
    number(text).map(drop).ok_or_else(|| "expected a number such as 80 or 0.5".to_owned())
}

/// Digits with at most one point among them.
fn number(text: &str) -> Option<Value> {
    const DIGITS_MAX: usize = 15;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.is_empty() || fraction.is_empty() || whole.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    let mut digits = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        digits = digits * 10 + u64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    Some(Value::decimal(digits, fraction.len() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_plain_numbers() {
        for (text, expected) in [("80", 80.0), ("0.05", 0.05), ("0", 0.0), ("99.5", 99.5)] {
            assert_eq!(number(text).and_then(Value::to_f64), Some(expected), "{text}");
        }
        for bad in ["", ".", "5.", ".5", "-1", "1e3", "1.2.3", "eighty", "80%", "1234567890123456"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
