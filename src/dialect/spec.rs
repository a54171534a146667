//! The table of names in `node.txt`, as data that the readers follow.
//!
//! What is kept of a family's line is where its parts are, since the names alone would take as much memory as all the rest.

use super::flags::unless_dashed;
use super::table;
use crate::model::Kind;
use std::ops::Range;

/// The most labels of a row, and filters of a block.
pub const LABELS_MAX: usize = 12;
const FILTERS_MAX: usize = 2;

/// The whole table.
#[derive(Debug, Default)]
pub struct Spec {
    pub collectors: Vec<Collector>,
    pub blocks: Vec<Block>,
    pub columns: Vec<Column>,
    /// What families of the agent's own begin with that are in the table under another name.
    pub known: Vec<&'static str>,
}

/// A collector of the other program.
#[derive(Debug)]
pub struct Collector {
    pub name: &'static str,
    /// The agent's own collectors that tell the same, separated by blanks.
    pub own: &'static str,
    /// Whether it is on unless a flag says otherwise.
    pub on: bool,
    /// Which of the blocks are its own.
    pub blocks: Range<usize>,
}

/// Rows of one shape, and where they come from.
#[derive(Debug)]
pub struct Block {
    /// The line that it begins with; see [`Heading`].
    pub line: &'static str,
    /// Which of the columns are its own.
    pub columns: Range<usize>,
}

/// What the first line of a block says.
#[derive(Debug)]
pub struct Heading {
    /// How the rows are read.
    pub shape: &'static str,
    /// A file, a directory, a family or the name of a function.
    pub source: &'static str,
    /// How many lines of headings there are, or the name of a function.
    pub second: &'static str,
    /// The bare flag without which the block is not read; empty if there is none.
    pub only_with: &'static str,
    /// What chooses among the rows: filters, and the places of the labels that they are for.
    pub filters: [(&'static str, usize); FILTERS_MAX],
    /// The names of the labels, then where each is read.
    labels: Vec<&'static str>,
}

impl Heading {
    /// Parses the first line of a block.
    pub fn parse(line: &'static str) -> Self {
        let mut heading = Heading {
            shape: "",
            source: "",
            second: "",
            only_with: "",
            filters: [("", 0); FILTERS_MAX],
            labels: Vec::new(),
        };
        let mut sources = Vec::new();
        for word in line.split(' ') {
            if let Some(filter) = word.strip_prefix('?') {
                let filter = filter.split_once('@').map_or((filter, 0), |(name, label)| (name, digits(label)));
                let free = heading.filters.iter_mut().find(|(name, _)| name.is_empty());
                if let Some(free) = free {
                    *free = filter;
                }
            } else if let Some(bare) = word.strip_prefix('!') {
                heading.only_with = bare;
            } else if let Some((label, source)) = word.split_once('=') {
                heading.labels.push(label);
                sources.push(source);
            } else {
                let Heading { shape, source, second, .. } = &mut heading;
                let free = [shape, source, second].into_iter().find(|word| word.is_empty());
                if let Some(free) = free {
                    *free = word;
                }
            }
        }
        heading.labels.append(&mut sources);
        heading
    }

    /// Returns the names of the labels.
    pub fn labels(&self) -> &[&'static str] {
        &self.labels[..self.labels.len() / 2]
    }

    /// Returns where each label is read.
    pub fn sources(&self) -> &[&'static str] {
        &self.labels[self.labels.len() / 2..]
    }
}

/// A family, where its values are read, and what is done with them.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Where its name begins in the table.
    at: u16,
    /// How long its name is, and where it is read.
    name: u8,
    source: u8,
    /// The line of its help.
    pub help: u16,
    pub kind: Kind,
    /// How many of the value's digits stand behind the point.
    pub places: u8,
    /// What the value is multiplied by.
    pub factor: u32,
}

impl Column {
    /// Takes what follows the kind in the line of a family: its name and its source.
    fn new(kind: Kind, help: usize, rest: &'static str) -> Option<Self> {
        let at = (rest.as_ptr() as usize).checked_sub(table().as_ptr() as usize)?;
        let (name, source) = rest.split_once(' ')?;
        let (mut factor, mut places) = (1, 0);
        let front = source.trim_end_matches(|it: char| it.is_ascii_digit());
        let number = digits(&source[front.len()..]);
        let mut length = source.len();
        match front.as_bytes() {
            // A source of `*` alone has no number.
            [.., b'*'] if front.len() < length => (factor, length) = (number, front.len() - 1),
            [.., b'/'] => (places, length) = (number, front.len() - 1),
            _ => {}
        }
        // A law holds that all of it fits.
        Some(Column {
            at: at as u16,
            name: name.len() as u8,
            source: length as u8,
            help: help as u16,
            kind,
            places: places as u8,
            factor: factor as u32,
        })
    }

    #[inline(never)]
    fn part(self, from: usize, length: u8) -> &'static str {
        let start = usize::from(self.at) + from;
        table().get(start..start + usize::from(length)).unwrap_or_default()
    }

    /// Returns the family's name, or what its names begin with.
    pub fn name(self) -> &'static str {
        self.part(0, self.name)
    }

    /// Returns where the value is read.
    pub fn source(self) -> &'static str {
        self.part(usize::from(self.name) + 1, self.source)
    }
}

fn digits(text: &str) -> usize {
    text.parse().unwrap_or(0)
}

/// Returns the kind that a line of a family begins with.
pub fn kind(word: &str) -> Option<Kind> {
    match word {
        "g" => Some(Kind::Gauge),
        "c" => Some(Kind::Counter),
        "u" => Some(Kind::Untyped),
        _ => None,
    }
}

/// Parses the table. It is part of the program, so a mistake in it is left out; a law holds that there is none.
pub fn parse() -> Spec {
    let mut spec = Spec::default();
    let Spec { collectors, blocks, columns, known } = &mut spec;
    for line in table().lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let (Some(kind), Some(block)) = (kind(word), blocks.last_mut()) {
            columns.extend(Column::new(kind, columns.len(), rest));
            block.columns.end = columns.len();
        } else if word == "known" {
            known.extend(rest.split(' '));
        } else if let Some(name) = word.strip_prefix('[') {
            let name = name.trim_end_matches(']');
            let (name, on) = unless_dashed(name);
            let own = if rest.is_empty() { name } else { rest };
            collectors.push(Collector { name, own, on, blocks: blocks.len()..blocks.len() });
        } else if let Some(collector) = collectors.last_mut() {
            blocks.push(Block { line, columns: columns.len()..columns.len() });
            collector.blocks.end = blocks.len();
        }
    }
    spec
}
