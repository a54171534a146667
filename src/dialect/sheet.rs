//! From rows to a page: the rows of one block until all of them are known, since the samples of a family stand together, and the last
//! page, of which the next one is made.

use super::spec::{Block, Column};
use crate::model::{Kind, Value, push_label, resize, write_label};

/// The page, in Prometheus' text format.
pub type Page = Vec<u8>;

/// Where a number is on the page, as seen from the one before.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// How much text is between them.
    text: u16,
    /// The number's place among the block's values.
    value: u16,
    /// How long it is.
    length: u8,
}

/// A page in the making: the new text, a gap, and what is left of the last page.
///
/// As a rule only numbers change, and few become longer, so text stays where it is or moves a little.
#[derive(Debug)]
pub struct Draft<'a> {
    page: &'a mut Page,
    /// Where the new text ends, the last page's rest begins, and where that ends.
    put: usize,
    rest: usize,
    end: usize,
    /// How much wider than necessary the next gap will be.
    gap: usize,
}

/// How much wider than necessary a gap is opened, from the second time on: as a rule there is none, and all that is behind the number is moved
/// once instead of there and back.
const GAP: usize = 1024;

impl<'a> Draft<'a> {
    /// Begins with the last page, which is the first `length` bytes of `page`.
    pub fn new(page: &'a mut Page, length: usize) -> Self {
        Draft { page, put: 0, rest: 0, end: length, gap: if length > 0 { 0 } else { GAP } }
    }

    /// Returns how long the new text is.
    pub fn len(&self) -> usize {
        self.put
    }

    /// Takes over the next bytes of the last page.
    pub fn keep(&mut self, length: usize) {
        if self.put != self.rest {
            self.page.copy_within(self.rest..self.rest + length, self.put);
        }
        self.put += length;
        self.rest += length;
    }

    /// Leaves out the next bytes of the last page.
    pub fn skip(&mut self, length: usize) {
        self.rest += length;
    }

    /// Adds text.
    pub fn add(&mut self, text: &[u8]) {
        let end = self.put + text.len();
        if end > self.rest {
            self.open(end - self.rest);
        }
        self.page[self.put..end].copy_from_slice(text);
        self.put = end;
    }

    /// Adds a number; returns how long it is.
    pub fn number(&mut self, value: Value) -> usize {
        let mut text = [0; Value::LONGEST];
        let length = value.text(&mut text);
        // What is behind the number in a wide gap is free.
        match self.page[self.put..self.rest].first_chunk_mut() {
            Some(room) => {
                *room = text;
                self.put += length;
            }
            None => self.add(&text[..length]),
        }
        length
    }

    /// Makes the gap wider.
    #[cold]
    #[inline(never)]
    fn open(&mut self, length: usize) {
        let Draft { page, rest, end, gap, .. } = self;
        let more = length + std::mem::replace(gap, GAP);
        if page.len() < *end + more {
            resize(page, *end + more);
        }
        page.copy_within(*rest..*end, *rest + more);
        *rest += more;
        *end += more;
    }
}

/// Rows. One sheet serves all blocks, so that it costs little memory.
#[derive(Debug, Default)]
pub struct Sheet {
    /// The rows' labels as they are written, behind the name of the row's family if each has its own.
    text: Vec<u8>,
    /// Where the name and the labels of each row end.
    ends: Vec<(usize, usize)>,
    values: Vec<Value>,
    /// How many values are present.
    present: usize,
    label: String,
}

impl Sheet {
    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.values.clear();
        self.present = 0;
    }

    /// Gives back the room that only new text needs.
    pub fn shrink(&mut self) {
        self.text = Vec::new();
        self.ends = Vec::new();
    }

    /// Returns how many values are present.
    pub fn count(&self) -> usize {
        self.present
    }

    /// Adds the values of a row, with the columns' factors.
    pub fn put(&mut self, values: &[Value], columns: &[Column]) {
        for (place, column) in columns.iter().enumerate() {
            let value = values.get(place).copied().unwrap_or_default();
            self.present += usize::from(value.is_present());
            self.values.push(value.times(column.factor.into()).shifted(column.places));
        }
    }

    /// Adds a row with its labels, and returns whether it did. One with the labels of an earlier one is omitted: Prometheus rejects a whole
    /// page for one duplicate series.
    pub fn push(&mut self, name: &[u8], block: &Block, labels: &[&[u8]], values: &[Value], columns: &[Column]) -> bool {
        let Sheet { text, ends, label, .. } = self;
        let (start, mut name_end) = (text.len(), text.len());
        // One without values is no series, and keeps its place only for a time at which it has some.
        if values.iter().take(columns.len()).any(|value| value.is_present()) {
            text.extend_from_slice(name);
            name_end = text.len();
            let mut mark = b'{';
            for (title, found) in block.labels().iter().zip(labels) {
                if block.is_sparse && found.is_empty() {
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
                    return false;
                }
                before = end;
            }
        }
        ends.push((name_end, text.len()));
        self.put(values, columns);
        true
    }

    /// Writes the families of the columns with their samples, and notes where their numbers are; whether there was room to note it.
    pub fn write(
        &mut self,
        columns: &[Column],
        helps: &mut Option<String>,
        draft: &mut Draft<'_>,
        slots: &mut Vec<Slot>,
    ) -> bool {
        let Sheet { text, ends, values, .. } = self;
        let (mut from, mut fits) = (draft.len(), true);
        for (place, column) in columns.iter().enumerate() {
            let start = column.name().as_bytes();
            // Where the rows have names of their own, each is a family, with the rows behind it that have the same one.
            let has_names = column.source() == "*";
            let range = |row: usize| if row == 0 { 0 } else { ends[row - 1].1 }..ends[row].0;
            for first in 0..ends.len() {
                let name = &text[range(first)];
                let mut has_head = false;
                for row in first..ends.len() {
                    let number = row * columns.len() + place;
                    let value = &mut values[number];
                    if !value.is_present() || text[range(row)] != *name {
                        continue;
                    }
                    if !std::mem::replace(&mut has_head, true) {
                        let helps = helps.get_or_insert_with(super::helps);
                        let help = helps.lines().nth(column.help.into()).unwrap_or_default();
                        head(*column, start, name, help, draft);
                    }
                    for part in [start, name, &text[ends[row].0..ends[row].1]] {
                        draft.add(part);
                    }
                    let before = draft.len();
                    let length = draft.number(std::mem::take(value));
                    let sizes = (u16::try_from(before - from), u16::try_from(number));
                    if let (Ok(text), Ok(value)) = sizes {
                        slots.push(Slot { text, value, length: length as u8 });
                    } else {
                        fits = false;
                    }
                    from = draft.len();
                    draft.add(b"\n");
                }
                if !has_names {
                    break;
                }
            }
        }
        fits
    }

    /// Returns whether the values that are present are those that have a place on the last page.
    pub fn fits(&self, slots: &[Slot]) -> bool {
        self.present == slots.len()
            && slots.iter().all(|slot| self.values.get(usize::from(slot.value)).is_some_and(|value| value.is_present()))
    }

    /// Writes the values where their numbers are on the last page, which has `length` bytes of this block.
    #[cfg_attr(small, optimize(speed))]
    pub fn fill(&self, slots: &mut [Slot], length: usize, draft: &mut Draft<'_>) {
        let mut left = length;
        for slot in slots {
            let (text, old) = (usize::from(slot.text), usize::from(slot.length));
            left -= text + old;
            draft.keep(text);
            draft.skip(old);
            slot.length = draft.number(self.values[usize::from(slot.value)]) as u8;
        }
        draft.keep(left);
    }
}

/// Writes what stands above the samples of a family, whose name is `start` and `name`.
fn head(column: Column, start: &[u8], name: &[u8], help: &str, draft: &mut Draft<'_>) {
    // Of what sensors measure, energy alone adds up.
    let kind: &[u8] = match if name.ends_with(b"_total") { Kind::Counter } else { column.kind } {
        Kind::Counter => b" counter\n",
        Kind::Gauge => b" gauge\n",
        Kind::Untyped => b" untyped\n",
    };
    for part in [b"# HELP ", start, name, b" ", help.as_bytes(), b"\n# TYPE ", start, name, kind] {
        draft.add(part);
    }
}
