//! The table of names in `node.txt`, as data that the readers follow.

use crate::model::{Family, Head, Kind, Place};

/// A collector of the other program.
#[derive(Debug)]
pub struct Collector {
    pub name: &'static str,
    /// The agent's own collectors that tell the same, separated by blanks.
    pub own: &'static str,
    /// Whether it is on unless a flag says otherwise.
    pub on: bool,
    pub blocks: Vec<Block>,
}

/// Rows of one shape, and where they come from.
#[derive(Debug)]
pub struct Block {
    /// How the rows are read.
    pub shape: &'static str,
    /// A file, a directory, a family or the name of a function.
    pub source: &'static str,
    /// How many lines of headings there are, or the name of a function.
    pub second: &'static str,
    /// What chooses among the rows: filters, and the places of the labels that they are for.
    pub filters: Vec<(&'static str, usize)>,
    /// The bare flag without which the block is not read; empty if there is none.
    pub only_with: &'static str,
    /// Where each label is read.
    pub labels: Vec<&'static str>,
    /// Where each value is read.
    pub columns: Vec<Column>,
    pub head: &'static Head,
}

/// Where a value is read, and what is done with it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub source: &'static str,
    /// What it is multiplied by.
    pub factor: u64,
    /// How many of its digits stand behind the point.
    pub places: u8,
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

/// Parses the table: the collectors, and what families of the agent's own begin with that are in it under another name. It is part of the program, so a mistake in it is left out; a law holds that there is none.
///
/// The heads live as long as the process, as those of the agent's own tables do.
pub fn parse(text: &'static str) -> (Vec<Collector>, Vec<&'static str>) {
    let mut known = Vec::new();
    let mut collectors: Vec<Collector> = Vec::new();
    let mut block: Option<(Block, Vec<&'static str>, Vec<Family>)> = None;
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let kind = kind(word);
        if let (Some(kind), Some((block, _, families))) = (kind, &mut block) {
            let mut words = rest.splitn(3, ' ');
            let (Some(name), Some(source)) = (words.next(), words.next()) else { continue };
            block.columns.push(column(source));
            families.push(Family::foreign(name, kind));
            continue;
        }
        finish(&mut collectors, block.take());
        if word == "known" {
            known.extend(rest.split(' '));
            continue;
        }
        if let Some(name) = word.strip_prefix('[') {
            let name = name.trim_end_matches(']');
            let (name, on) = name.strip_prefix('-').map_or((name, true), |name| (name, false));
            let own = if rest.is_empty() { name } else { rest };
            collectors.push(Collector { name, own, on, blocks: Vec::new() });
            continue;
        }
        let mut new = Block {
            shape: word,
            source: "",
            second: "",
            filters: Vec::new(),
            only_with: "",
            labels: Vec::new(),
            columns: Vec::new(),
            head: &EMPTY,
        };
        let mut labels = Vec::new();
        for word in rest.split(' ') {
            if let Some(filter) = word.strip_prefix('?') {
                let (name, label) = filter.split_once('@').unwrap_or((filter, "0"));
                new.filters.push((name, label.parse().unwrap_or(0)));
                continue;
            }
            if let Some(bare) = word.strip_prefix('!') {
                new.only_with = bare;
                continue;
            }
            match word.split_once('=') {
                Some((label, source)) => {
                    labels.push(label);
                    new.labels.push(source);
                }
                None if new.source.is_empty() => new.source = word,
                None => new.second = word,
            }
        }
        block = Some((new, labels, Vec::new()));
    }
    finish(&mut collectors, block);
    (collectors, known)
}

static EMPTY: Head = Head { place: Place::Inline, labels: &[], families: &[], width: 0, is_text: false, sparse: false };

fn finish(collectors: &mut [Collector], block: Option<(Block, Vec<&'static str>, Vec<Family>)>) {
    if let (Some((mut block, labels, families)), Some(collector)) = (block, collectors.last_mut()) {
        block.head = head(labels, families, block.second == "sparse");
        collector.blocks.push(block);
    }
}

/// Makes a head that lives as long as the process.
pub fn head(labels: Vec<&'static str>, families: Vec<Family>, sparse: bool) -> &'static Head {
    let (labels, families) = (labels.leak(), families.leak());
    Box::leak(Box::new(Head { place: Place::Inline, labels, families, width: families.len(), is_text: false, sparse }))
}

fn column(source: &'static str) -> Column {
    let mut column = Column { source, factor: 1, places: 0 };
    let digits = source.trim_end_matches(|it: char| it.is_ascii_digit());
    if let (Some(front), Ok(number)) = (digits.strip_suffix('*'), source[digits.len()..].parse()) {
        (column.source, column.factor) = (front, number);
    } else if let (Some(front), Ok(number)) = (digits.strip_suffix('/'), source[digits.len()..].parse()) {
        (column.source, column.places) = (front, number);
    }
    column
}
