//! The rows of one block until all of them are known: the samples of a family stand together on a page.

use super::spec::{Column, Heading};
use crate::model::{ForeignFamily, Kind, Value, push_label, write_label};

/// What takes the families of a page, one after the other.
pub type Sink<'a> = &'a mut dyn FnMut(&ForeignFamily);

/// Rows, and the family that is being written. One serves all blocks, so that it costs little memory.
#[derive(Debug, Default)]
pub struct Sheet {
    /// The rows' labels as they are written, behind the name of the row's family if each has its own.
    text: Vec<u8>,
    /// Where the name and the labels of each row end.
    ends: Vec<(usize, usize)>,
    values: Vec<Value>,
    label: String,
    family: ForeignFamily,
}

impl Sheet {
    /// Adds a row. One with the labels of an earlier one is omitted: Prometheus rejects a whole page for one duplicate series.
    pub fn push(&mut self, name: &str, heading: &Heading, labels: &[&[u8]], values: &mut dyn Iterator<Item = Value>) {
        let Sheet { text, ends, values: all, label, .. } = self;
        let start = text.len();
        text.extend_from_slice(name.as_bytes());
        let name = text.len();
        let mut mark = b'{';
        for (title, found) in heading.labels().iter().zip(labels) {
            if heading.second == "sparse" && found.is_empty() {
                continue;
            }
            label.clear();
            push_label(label, found);
            write_label(title, label, &mut mark, text);
        }
        text.extend_from_slice(if mark == b',' { b"} " } else { b" " });
        let mut before = 0;
        for &(_, end) in &*ends {
            if text[before..end] == text[start..] {
                text.truncate(start);
                return;
            }
            before = end;
        }
        ends.push((name, text.len()));
        all.extend(values);
    }

    /// Hands on a family of one sample without labels: what its name begins with and ends in.
    pub fn hand_on_one(&mut self, column: Column, name: &[u8], value: Value, to: Sink<'_>) {
        begin(&mut self.family, column, name);
        if value.is_present() {
            add(&mut self.family, b" ", value);
        }
        finish(&self.family, to);
    }

    /// Hands on the families of the columns with their samples, and forgets all rows.
    pub fn hand_on(&mut self, columns: &[Column], to: Sink<'_>) {
        let Sheet { text, ends, values, family, .. } = self;
        for (place, column) in columns.iter().enumerate() {
            // Where the rows have names of their own, each is a family, with the rows behind it that have the same one.
            let has_names = column.source() == "*";
            let named = |row: usize| {
                let start = if row == 0 { 0 } else { ends[row - 1].1 };
                &text[start..ends[row].0]
            };
            for first in 0..ends.len() {
                let name = named(first);
                begin(family, *column, name);
                for row in first..ends.len() {
                    let value = &mut values[row * columns.len() + place];
                    if value.is_present() && named(row) == name {
                        add(family, &text[ends[row].0..ends[row].1], std::mem::take(value));
                    }
                }
                finish(family, to);
                if !has_names {
                    break;
                }
            }
        }
        text.clear();
        ends.clear();
        values.clear();
    }
}

fn begin(family: &mut ForeignFamily, column: Column, name: &[u8]) {
    let ForeignFamily { name: full, kind, help, samples, is_exact } = family;
    full.clear();
    full.extend_from_slice(column.name().as_bytes());
    full.extend_from_slice(name);
    // Of what sensors measure, energy alone adds up.
    *kind = if name.ends_with(b"_total") { Kind::Counter } else { column.kind }.name();
    help.clear();
    help.extend_from_slice(column.help().as_bytes());
    samples.clear();
    *is_exact = true;
}

/// Adds a sample; `labels` is what stands between its name and its value.
fn add(family: &mut ForeignFamily, labels: &[u8], value: Value) {
    let ForeignFamily { name, samples, .. } = family;
    for part in [name, labels] {
        samples.extend_from_slice(part);
    }
    value.write(samples);
    samples.push(b'\n');
}

fn finish(family: &ForeignFamily, to: Sink<'_>) {
    if !family.samples.is_empty() {
        to(family);
    }
}
