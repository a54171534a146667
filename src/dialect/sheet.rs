//! The rows of one block until all of them are known: the samples of a family stand together on a page.

use super::spec::{Column, Heading};
use crate::model::{Kind, Value, key, push_label, write_label};

/// The page, in Prometheus' text format.
pub type Page = Vec<u8>;

/// Rows. One sheet serves all blocks, so that it costs little memory.
#[derive(Debug, Default)]
pub struct Sheet {
    /// The rows' labels as they are written, behind the name of the row's family if each has its own.
    text: Vec<u8>,
    /// Where the name and the labels of each row end.
    ends: Vec<(usize, usize)>,
    values: Vec<Value>,
    label: String,
    /// Hashes of the names of the families that were written at once.
    names: Vec<u64>,
}

impl Sheet {
    /// Returns whether no family of a block has had this name. The kernel says no name twice, but Prometheus rejects a whole page for one
    /// that comes again.
    pub fn is_new(&mut self, name: &[u8]) -> bool {
        let name = key(name, 0);
        let is_new = !self.names.contains(&name);
        if is_new {
            self.names.push(name);
        }
        is_new
    }

    /// Adds a row, with the columns' factors. One with the labels of an earlier one is omitted: Prometheus rejects a whole page for one
    /// duplicate series.
    pub fn push(&mut self, name: &str, heading: &Heading, labels: &[&[u8]], values: &[Value], columns: &[Column]) {
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
        for (place, column) in columns.iter().enumerate() {
            let value = values.get(place).copied().unwrap_or_default();
            all.push(value.times(column.factor.into()).shifted(column.places));
        }
    }

    /// Writes the families of the columns with their samples, and forgets all rows.
    pub fn write(&mut self, columns: &[Column], page: &mut Page) {
        let Sheet { text, ends, values, names, .. } = self;
        for (place, column) in columns.iter().enumerate() {
            let start = column.name();
            // Where the rows have names of their own, each is a family, with the rows behind it that have the same one.
            let has_names = column.source() == "*";
            let named = |row: usize| {
                let start = if row == 0 { 0 } else { ends[row - 1].1 };
                &text[start..ends[row].0]
            };
            for first in 0..ends.len() {
                let name = named(first);
                let mut has_head = false;
                for row in first..ends.len() {
                    let value = &mut values[row * columns.len() + place];
                    if value.is_present() && named(row) == name {
                        if !std::mem::replace(&mut has_head, true) {
                            head(*column, start, name, page);
                        }
                        sample(start, name, &text[ends[row].0..ends[row].1], std::mem::take(value), page);
                    }
                }
                if !has_names {
                    break;
                }
            }
        }
        text.clear();
        ends.clear();
        values.clear();
        names.clear();
    }
}

/// Writes a family of one sample without labels: what its name begins with and ends in.
pub fn write_one(column: Column, name: &[u8], value: Value, page: &mut Page) {
    if value.is_present() {
        let start = column.name();
        head(column, start, name, page);
        sample(start, name, b" ", value, page);
    }
}

/// Writes what stands above the samples of a family, whose name is `start` and `name`.
fn head(column: Column, start: &str, name: &[u8], page: &mut Page) {
    // Of what sensors measure, energy alone adds up.
    let kind: &[u8] = match if name.ends_with(b"_total") { Kind::Counter } else { column.kind } {
        Kind::Counter => b" counter\n",
        Kind::Gauge => b" gauge\n",
        Kind::Untyped => b" untyped\n",
    };
    let (start, help) = (start.as_bytes(), column.help().as_bytes());
    for part in [b"# HELP ", start, name, b" ", help, b"\n# TYPE ", start, name, kind] {
        if !part.is_empty() {
            page.extend_from_slice(part);
        }
    }
}

/// Writes a sample; `labels` is what stands between its name and its value.
fn sample(start: &str, name: &[u8], labels: &[u8], value: Value, page: &mut Page) {
    for part in [start.as_bytes(), name, labels] {
        if !part.is_empty() {
            page.extend_from_slice(part);
        }
    }
    value.write(page);
    page.push(b'\n');
}
