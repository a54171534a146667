//! What a rule's condition sees: the rows of the families that it has declared, its thresholds, and how counters grow.

use crate::model::{Input, Rates, Row, Section, Snapshot, key};

/// The most thresholds that a rule has.
pub const LIMITS_MAX: usize = 2;
/// The time between two looks at processes for one and the same trouble, in seconds.
const LOOK_AGAIN: u64 = 60;
/// The most under-voltages that are remembered.
const DIPS_MAX: usize = 32;

/// What rules remember from tick to tick.
#[derive(Debug, Default)]
pub struct Past {
    /// When the processes were last looked at, in seconds since boot, and whether one was in uninterruptible sleep.
    pub(super) looked_at: Option<u64>,
    pub(super) blocked: bool,
    /// When a disk last worked.
    worked_at: Option<u64>,
    /// The available share of memory, in percent.
    available: Option<f64>,
    /// When the voltage fell too low, the latest first.
    dips: [Option<u64>; DIPS_MAX],
    /// Who was killed since the last tick.
    pub(super) killed: Option<Killed>,
}

/// A process that was killed for lack of memory, as the kernel's log says.
#[derive(Debug)]
pub struct Killed {
    pub name: String,
    /// Its number and size, and the limit that was reached.
    pub how: String,
}

/// What a rule's check sees.
#[derive(Debug)]
pub struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) filesystems: &'a Snapshot,
    /// What the rule reads, and where that is: part and section.
    pub(super) reads: &'static [&'static Input],
    pub(super) places: &'a [Option<(usize, usize)>],
    /// The rule's thresholds.
    pub(super) limits: &'a [f64; LIMITS_MAX],
    pub(super) rates: &'a mut Rates,
    /// Tells the rule's counters from those of all other rules.
    pub(super) first_key: usize,
    pub(super) well: &'a mut Vec<u64>,
    pub(super) links: &'a mut Vec<LinkPast>,
    pub(super) past: &'a mut Past,
    pub(super) look: &'a mut bool,
    pub(super) now: u64,
}

/// What the rules remember of a network interface.
#[derive(Debug, Default)]
pub struct LinkPast {
    /// The hash of its name.
    pub key: u64,
    /// Whether it had a link since the agent started.
    pub was_up: bool,
    /// Broken packets and all packets of late.
    pub errors: f64,
    pub packets: f64,
    /// Changes of the link of late, and all since the second at which there were none of late.
    pub flaps: f64,
    pub changes: f64,
    pub since: u64,
}

impl<'a> View<'a> {
    /// The first threshold.
    pub fn limit(&self) -> f64 {
        self.limits[0]
    }

    /// The second threshold.
    pub fn second_limit(&self) -> f64 {
        self.limits[1]
    }

    /// Whether a thing, of which `key` is the hash, was well when it was looked at now or earlier.
    pub fn was_well(&mut self, key: u64, is_well: bool) -> bool {
        /// More mounts than any machine has; a program that makes new ones on and on must not fill the memory.
        const THINGS_MAX: usize = 512;
        let known = self.well.contains(&key);
        if is_well && !known && self.well.len() < THINGS_MAX {
            self.well.push(key);
        }
        known || is_well
    }

    /// What is remembered of all interfaces.
    pub fn links(&mut self) -> &mut Vec<LinkPast> {
        self.links
    }

    /// What is remembered of the interface with this hash of its name.
    pub fn link(&mut self, key: u64) -> &mut LinkPast {
        let place = self.links.iter().position(|past| past.key == key).unwrap_or_else(|| {
            self.links.push(LinkPast { key, ..LinkPast::default() });
            self.links.len() - 1
        });
        &mut self.links[place]
    }

    /// Seconds since boot.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The place of a family among those that the rule has declared.
    fn number(&self, input: &'static Input) -> Option<usize> {
        let number = self.reads.iter().position(|read| std::ptr::eq(*read, input));
        debug_assert!(number.is_some(), "{} is not declared", input.family.name());
        number
    }

    /// The rows of a family's table.
    pub fn section(&self, input: &'static Input) -> Option<&'a Section> {
        self.section_of(self.snapshot, input)
    }

    /// The rows of a family's table that was made with the filesystems.
    pub fn filesystems(&self, input: &'static Input) -> Option<&'a Section> {
        self.section_of(self.filesystems, input)
    }

    fn section_of(&self, snapshot: &'a Snapshot, input: &'static Input) -> Option<&'a Section> {
        let (part, section) = self.places[self.number(input)?]?;
        Some(&snapshot.parts()[part].sections[section])
    }

    /// Every value of a family with its row's first label, or without labels with its dimension's value.
    pub fn values(&self, input: &'static Input) -> impl Iterator<Item = (&'a str, &'static str, f64)> + use<'a> {
        self.section(input).into_iter().flat_map(|section| {
            section.rows().flat_map(|row| {
                let label = row.labels().next().unwrap_or("");
                let names = input.family.by().map_or(&[""][..], |by| by.values);
                let values = row.values()[input.column..].iter().zip(names);
                values.filter_map(move |(value, name)| Some((label, *name, value.to_f64()?)))
            })
        })
    }

    /// The value whose label or dimension value is `name`.
    pub fn value(&self, input: &'static Input, name: &str) -> Option<f64> {
        self.values(input).find(|(label, by, _)| *label == name || *by == name).map(|(.., value)| value)
    }

    /// A family's value in a row of its table.
    pub fn of(&self, row: Row<'_>, input: &'static Input) -> Option<f64> {
        debug_assert!(std::ptr::eq(row.head(), input.head), "{} is in another table", input.family.name());
        row.values().get(input.column)?.to_f64()
    }

    /// By how much a counter grew since the last tick, and in how many seconds.
    pub fn growth(&mut self, input: &'static Input, label: &str, value: f64) -> Option<(f64, f64)> {
        let number = self.first_key + self.number(input)?;
        self.rates.growth(key(label, number), value)
    }

    /// The share of time for which a resource was short, in percent.
    pub fn pressure(&mut self, input: &'static Input, resource: &str) -> Option<f64> {
        let seconds = self.value(input, resource)?;
        let (growth, time) = self.growth(input, resource, seconds)?;
        (time > 0.0).then(|| growth / time * 100.0)
    }

    /// Whether a disk works, or did within a minute.
    pub fn disk_worked(&mut self, works: bool) -> bool {
        const LATELY: u64 = 60;
        if works {
            self.past.worked_at = Some(self.now);
        }
        self.past.worked_at.is_some_and(|at| self.now - at <= LATELY)
    }

    /// Whether a process was in uninterruptible sleep when the agent last looked; asks it to look if that is long ago.
    pub fn is_blocked(&mut self) -> bool {
        let age = self.past.looked_at.map(|at| self.now.saturating_sub(at));
        if age.is_none_or(|age| age >= LOOK_AGAIN) {
            *self.look = true;
        }
        // The next look takes a moment.
        self.past.blocked && age.is_some_and(|age| age < 2 * LOOK_AGAIN)
    }

    /// The lower of this value and the one of the tick before.
    pub fn lowest_available(&mut self, value: f64) -> f64 {
        let before = self.past.available.replace(value).unwrap_or(value);
        before.min(value)
    }

    /// Returns who was killed for lack of memory since the last tick, if the kernel's log names somebody.
    pub fn killed(&mut self) -> Option<Killed> {
        self.past.killed.take()
    }

    /// Adds this many under-voltages; returns how many there were within an hour, as far as they are remembered.
    pub fn under_voltages(&mut self, more: f64) -> usize {
        const HOUR: u64 = 3600;
        for _ in 0..(more as usize).min(DIPS_MAX) {
            self.past.dips.rotate_right(1);
            self.past.dips[0] = Some(self.now);
        }
        self.past.dips.iter().flatten().filter(|at| **at + HOUR > self.now).count()
    }
}
