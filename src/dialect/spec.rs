//! The table of names in `node.txt`, as data that the readers follow.
//!
//! What is kept of a family's line is where its parts are, since the names alone would take as much memory as all the rest.

use super::code::{self, Code};
use super::flags::{BARE, Settings, unless_dashed};
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

/// How rows are read; `node.txt` explains each word.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// From lines, behind so many of headings.
    Rows(usize),
    Files,
    /// From the entries of a directory, perhaps by a function.
    Dirs(Option<Code>),
    From,
    /// By a function; the blocks about the dialect itself have none.
    Code(Option<Code>),
}

/// Rows of one shape, and where they come from. A process has some seventy of these, so they are small.
#[derive(Debug)]
pub struct Block {
    pub shape: Shape,
    /// A file, a directory, a family or the name of a function.
    pub source: &'static str,
    /// The names of the labels, then where each is read.
    labels: Vec<&'static str>,
    /// What chooses among the rows: filters, which may be empty, and the places of the labels that they are for.
    pub filters: [&'static str; FILTERS_MAX],
    pub filtered: [u8; FILTERS_MAX],
    /// Which of the columns are its own.
    columns: [u16; 2],
    /// Whether empty labels are left out.
    pub is_sparse: bool,
    /// Whether no flag leaves it out.
    pub is_on: bool,
}

impl Block {
    /// Parses the first line of a block, behind so many columns.
    pub fn new(line: &'static str, settings: &Settings, columns: usize) -> Self {
        let (mut parts, mut labels, mut sources) = ([""; 3], Vec::new(), Vec::new());
        let (mut filters, mut filtered, mut is_on) = ([""; FILTERS_MAX], [0; FILTERS_MAX], true);
        for word in line.split(' ') {
            if let Some(filter) = word.strip_prefix('?') {
                let (name, label) = filter.split_once('@').unwrap_or((filter, ""));
                let free = filters.iter_mut().zip(&mut filtered).find(|(filter, _)| filter.is_empty());
                if let Some((filter, place)) = free {
                    (*filter, *place) = (name, digits(label) as u8);
                }
            } else if let Some(bare) = word.strip_prefix('!') {
                let (name, on) = unless_dashed(bare);
                is_on = BARE.iter().any(|(known, bare)| *known == name && settings.has(bare) == on);
            } else if let Some((label, source)) = word.split_once('=') {
                labels.push(label);
                sources.push(source);
            } else {
                let free = parts.iter_mut().find(|part| part.is_empty());
                if let Some(free) = free {
                    *free = word;
                }
            }
        }
        labels.append(&mut sources);
        let [shape, source, second] = parts;
        let shape = match shape {
            "words" | "rows" => Shape::Rows(digits(second)),
            "files" => Shape::Files,
            "dirs" | "each" => Shape::Dirs(code::find(second)),
            "from" => Shape::From,
            _ => Shape::Code(code::find(source)),
        };
        let is_sparse = second == "sparse";
        let columns = [columns as u16; 2];
        Block { shape, source, labels, filters, filtered, columns, is_sparse, is_on }
    }

    /// Returns the names of the labels.
    pub fn labels(&self) -> &[&'static str] {
        &self.labels[..self.labels.len() / 2]
    }

    /// Returns where each label is read.
    pub fn sources(&self) -> &[&'static str] {
        &self.labels[self.labels.len() / 2..]
    }

    /// Returns its own among all columns.
    pub fn columns<'a>(&self, all: &'a [Column]) -> &'a [Column] {
        let [start, end] = self.columns.map(usize::from);
        all.get(start..end).unwrap_or_default()
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
pub fn parse(settings: &Settings) -> Spec {
    let mut spec = Spec::default();
    let Spec { collectors, blocks, columns, known } = &mut spec;
    for line in table().lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let (Some(kind), Some(block)) = (kind(word), blocks.last_mut()) {
            columns.extend(Column::new(kind, columns.len(), rest));
            block.columns[1] = columns.len() as u16;
        } else if word == "known" {
            known.extend(rest.split(' '));
        } else if let Some(name) = word.strip_prefix('[') {
            let name = name.trim_end_matches(']');
            let (name, on) = unless_dashed(name);
            let own = if rest.is_empty() { name } else { rest };
            collectors.push(Collector { name, own, on, blocks: blocks.len()..blocks.len() });
        } else if let Some(collector) = collectors.last_mut() {
            blocks.push(Block::new(line, settings, columns.len()));
            collector.blocks.end = blocks.len();
        }
    }
    spec
}
