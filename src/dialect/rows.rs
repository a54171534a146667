//! Where the rows of a block go: beside those of the last page, as long as they are the same ones.

use super::flags::Filter;
use super::read::number;
use super::sheet::{Draft, Sheet};
use super::spec::{Block, Column};
use crate::kernel::text::{find, take_word, word_end};
use crate::model::{Snapshot, Value, key};

/// What all blocks need, one after the other.
#[derive(Debug)]
pub struct Desk<'a> {
    pub filters: &'a [Filter],
    pub columns: &'a [Column],
    /// The agent's own rows of this moment.
    pub own: &'a Snapshot,
    pub sheet: &'a mut Sheet,
    pub draft: Draft<'a>,
    /// Whether the last page is there, and had the same blocks.
    pub has_last: bool,
    /// The families' helps, as soon as anything is written anew.
    pub helps: Option<String>,
}

/// Where the rows of a block go.
///
/// As a rule they are those of the last page, in the same order: then a hash of each says so, and only values are taken.
#[derive(Debug)]
pub struct Rows<'a> {
    pub sheet: &'a mut Sheet,
    pub block: &'a Block,
    /// The names of the labels, and where they are read.
    pub labels: &'a [&'static str],
    pub sources: &'a [&'static str],
    pub columns: &'a [Column],
    /// All filters that there are.
    pub filters: &'a [Filter],
    /// Hashes of the rows and names that were met, with [`AGREED`] on those that are reported, and how many of these were met again.
    pub known: &'a mut Vec<u32>,
    pub next: usize,
    /// Whether they are being noted, since they are not those of the last page.
    pub is_new: bool,
    /// The agent's own rows of this moment.
    pub own: &'a Snapshot,
}

/// In what is known of a row or a name.
const AGREED: u32 = 1;

/// The most bytes of a name that the kernel says.
const NAME_MAX: usize = 128;

impl Rows<'_> {
    /// Returns whether the rows were those of the last page.
    pub fn are_same(&self) -> bool {
        self.next == self.known.len()
    }

    /// Returns whether this was reported on the last page; nothing is after the first that was not there, since all is read again then.
    #[inline(never)]
    fn recall(&mut self, hash: u64) -> bool {
        let known = self.known.get(self.next).copied();
        match known.map(|known| known ^ (hash >> 32) as u32 & !AGREED) {
            Some(said @ 0..=AGREED) => {
                self.next += 1;
                said == AGREED
            }
            _ => {
                self.next = usize::MAX;
                false
            }
        }
    }

    #[inline(never)]
    fn learn(&mut self, hash: u64, agreed: bool) {
        self.known.push((hash >> 32) as u32 & !AGREED | u32::from(agreed));
        self.next = self.known.len();
    }

    /// Asks the block's filters whether they report a row of these labels.
    #[inline(never)]
    fn ask(&self, labels: &[&[u8]]) -> bool {
        self.block.filters.iter().zip(self.block.filtered).all(|(filter, label)| {
            let label = labels.get(usize::from(label)).copied().unwrap_or_default();
            filter.is_empty() || Filter::allows(self.filters, filter, label)
        })
    }

    /// Returns whether the block's filters report a thing of this name.
    pub fn allows(&mut self, name: &[u8]) -> bool {
        let hash = key(name, 1);
        if !self.is_new {
            return self.recall(hash);
        }
        let agreed = self.ask(&[name]);
        self.learn(hash, agreed);
        agreed
    }

    /// Begins a row: returns a hash of it for [`Rows::end`], or nothing if it is not reported.
    pub fn begin(&mut self, name: &str, labels: &[&[u8]]) -> Option<u64> {
        let hash = labels.iter().fold(key(name, 0), |hash, label| key(label, hash as usize));
        if !self.is_new {
            return self.recall(hash).then_some(hash);
        }
        if self.ask(labels) {
            return Some(hash);
        }
        self.learn(hash, false);
        None
    }

    /// Ends a row that was begun: its values, without the columns' factors.
    pub fn end(&mut self, hash: u64, name: &str, labels: &[&[u8]], values: &[Value]) {
        if self.is_new {
            let agreed = self.sheet.push(name.as_bytes(), self.block, labels, values, self.columns);
            self.learn(hash, agreed);
        } else {
            self.sheet.put(values, self.columns);
        }
    }

    /// Adds a number to the families whose names the kernel says: the parts of its name, and what is behind it.
    pub fn name(&mut self, parts: &[&[u8]], unit: &str, value: &[u8], factor: u64) {
        let hash = parts.iter().fold(unit.len() as u64, |hash, part| key(part, hash as usize));
        self.named(hash, parts, unit, value, factor);
    }

    /// Adds the numbers of lines of a name, a number and perhaps a unit, where there is one; `cut` returns the parts of a name.
    pub fn pairs(&mut self, mut text: &[u8], cut: fn(&[u8]) -> Option<[&[u8]; 2]>) {
        while !text.is_empty() {
            let (name, behind) = text.split_at(word_end(text));
            let (line, rest) = behind.split_at(find(b'\n', behind).unwrap_or(behind.len()));
            text = rest.get(1..).unwrap_or_default();
            let hash = key(name, 0);
            // Most of some files is not reported.
            if !self.is_new && self.known.get(self.next) == Some(&((hash >> 32) as u32 & !AGREED)) {
                self.next += 1;
                continue;
            }
            let mut words = line;
            let (Some(value), unit) = (take_word(&mut words), take_word(&mut words)) else { continue };
            let (factor, unit) = if unit.is_some() { (1024, "_bytes") } else { (1, "") };
            if let Some(parts) = cut(name) {
                // With a unit it is another name. What 1 changes of a hash is where the answer is.
                self.named(hash ^ (factor << 32), &parts[usize::from(parts[0].is_empty())..], unit, value, factor);
            }
        }
    }

    /// Adds the numbers of a line, whose names are on another one. The first word of both is that of the group.
    pub fn group(&mut self, names: &[u8], values: &[u8]) {
        let hash = key(names, 0);
        let mut values = values;
        take_word(&mut values);
        if !self.is_new {
            // The names are those of the last page: only their number counts.
            let count = if self.recall(hash) { self.known.get(self.next).copied().unwrap_or(0) } else { 0 };
            self.next = self.next.saturating_add(1);
            for _ in 0..count {
                let Some(value) = take_word(&mut values) else { break };
                if self.known.get(self.next).is_some_and(|known| known & AGREED == AGREED) {
                    self.sheet.put(&[number(value).unwrap_or_default()], self.columns);
                }
                self.next = self.next.saturating_add(1);
            }
            return;
        }
        let mut names = names;
        let Some(group) = take_word(&mut names) else { return };
        self.learn(hash, true);
        let place = self.known.len();
        self.known.push(0);
        while let Some(name) = take_word(&mut names) {
            let Some(value) = take_word(&mut values) else {
                // The next line may have more values, so it has to be read anew: this hash is none of any names.
                self.known[place - 1] ^= !AGREED;
                break;
            };
            self.named(0, &[group, name], "", value, 1);
            self.known[place] += 1;
        }
    }

    #[inline(never)]
    fn named(&mut self, hash: u64, parts: &[&[u8]], unit: &str, value: &[u8], factor: u64) {
        let value = || number(value).unwrap_or_default().times(factor);
        if !self.is_new {
            if self.recall(hash) {
                self.sheet.put(&[value()], self.columns);
            }
            return;
        }
        let mut name = [0; NAME_MAX];
        let length = clean(parts, unit, &mut name);
        let name = &name[..length];
        let agreed = self.ask(&[name]) && self.sheet.push(name, self.block, &[], &[value()], self.columns);
        self.learn(hash, agreed);
    }

    /// Adds a row, whose values are without the columns' factors.
    pub fn push(&mut self, labels: &[&[u8]], values: &[Value]) {
        self.push_named("", labels, values);
    }

    /// The same for a row whose family has a name of its own, behind that of the column.
    pub fn push_named(&mut self, name: &str, labels: &[&[u8]], values: &[Value]) {
        if let Some(hash) = self.begin(name, labels) {
            self.end(hash, name, labels, values);
        }
    }
}

/// Joins the parts of a name with `_`. Signs that a name cannot have become `_`, too, or nothing at the end of a part.
fn clean(parts: &[&[u8]], unit: &str, name: &mut [u8; NAME_MAX]) -> usize {
    let mut length = 0;
    let mut put = |bytes: &[u8]| {
        for byte in bytes {
            if let Some(place) = name.get_mut(length) {
                *place = if byte.is_ascii_alphanumeric() { *byte } else { b'_' };
                length += 1;
            }
        }
    };
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            put(b"_");
        }
        let part = part.strip_suffix(b":").unwrap_or(part);
        put(part.strip_suffix(b")").unwrap_or(part));
    }
    put(unit.as_bytes());
    length
}
