//! Everything the collectors saw at one moment: the rows of every table.
//!
//! A snapshot is cleared and refilled for every collection and keeps its capacity, so that after warm-up a collection
//! allocates nothing.

use super::{Family, Foreign, ForeignFamily, Head, Moment, Report, Selection, Table, Value, push_label};
use std::rc::Rc;

/// The rows of one table.
///
/// Things have the same names in nearly every collection, so labels stay where they are when the section is cleared, and are made
/// anew from the first row on whose name is another one.
#[derive(Debug)]
pub struct Section {
    pub head: &'static Head,
    /// The labels' bytes as they were pushed, one behind the other.
    names: Vec<u8>,
    /// The same as text: valid UTF-8, not yet escaped for any output.
    text: String,
    /// Where each label ends in `names` and in `text`.
    ends: Vec<(usize, usize)>,
    values: Vec<Value>,
    rows: usize,
    /// Counts how often labels were made.
    changes: u64,
}

impl Section {
    fn new(head: &'static Head) -> Self {
        let (names, text, ends, values) = (Vec::new(), String::new(), Vec::new(), Vec::new());
        Section { head, names, text, ends, values, rows: 0, changes: 0 }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.rows = 0;
    }

    /// Returns whether row `row` has these labels.
    #[cfg_attr(small, optimize(speed))]
    fn has_labels(&self, row: usize, labels: &[&[u8]]) -> bool {
        let first = row * labels.len();
        let mut start = first.checked_sub(1).map_or(0, |last| self.ends[last].0);
        self.ends.get(first..first + labels.len()).is_some_and(|ends| {
            ends.iter().zip(labels).all(|(&(end, _), label)| {
                let same = self.names[start..end] == **label;
                start = end;
                same
            })
        })
    }

    /// Adds a row's labels; false if an earlier row has the same ones.
    ///
    /// Prometheus rejects a whole page for one duplicate series. No two rows in `ends` are the same, so only labels that
    /// were not in this place last time have to be compared with all before them.
    fn push_labels(&mut self, labels: &[&[u8]]) -> bool {
        let known = self.has_labels(self.rows, labels);
        if labels.is_empty() && self.rows > 0 || !known && (0..self.rows).any(|row| self.has_labels(row, labels)) {
            return false;
        }
        let first = self.rows * labels.len();
        self.rows += 1;
        if known {
            return true;
        }
        self.changes += 1;
        self.ends.truncate(first);
        let (names, text) = self.ends.last().copied().unwrap_or_default();
        self.names.truncate(names);
        self.text.truncate(text);
        for label in labels {
            self.names.extend_from_slice(label);
            match std::str::from_utf8(label) {
                Ok(text) if self.head.is_text => self.text.push_str(text),
                _ => push_label(&mut self.text, label),
            }
            self.ends.push((self.names.len(), self.text.len()));
        }
        true
    }

    /// Returns the values of all rows, one row behind the other.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Returns a number that changes whenever a row's labels differ from the last collection: as many rows have the same labels
    /// while this stays the same.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns the rows, in the order in which they were pushed.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows).map(|index| Row { section: self, index })
    }

    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Returns whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

/// One thing: its label texts and its values, in the order of the table's head.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    section: &'a Section,
    index: usize,
}

impl<'a> Row<'a> {
    /// Returns the head of the row's table.
    pub fn head(self) -> &'static Head {
        self.section.head
    }

    /// Returns the label texts, as many as the table has labels.
    pub fn labels(self) -> impl Iterator<Item = &'a str> {
        let count = self.section.head.labels.len();
        let first = self.index * count;
        (first..first + count).map(move |label| {
            let start = if label == 0 { 0 } else { self.section.ends[label - 1].1 };
            &self.section.text[start..self.section.ends[label].1]
        })
    }

    /// Returns the values, as many as the table is wide.
    pub fn values(self) -> &'a [Value] {
        let width = self.section.head.width();
        &self.section.values[self.index * width..(self.index + 1) * width]
    }
}

/// Where a family is in a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub part: usize,
    pub section: usize,
    /// The place of its first value in a row.
    pub column: usize,
    pub family: &'static Family,
}

/// A collector's part of the snapshot.
#[derive(Debug)]
pub struct Part {
    pub collector: &'static str,
    /// Whether formats show it: not if the request named other collectors.
    pub shown: bool,
    pub sections: Vec<Section>,
    /// Families of other programs, which follow those of all tables.
    pub foreign: Option<Rc<Foreign>>,
}

/// The rows of all tables of all collectors at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub moment: Moment,
    /// What the agent makes of it all.
    pub verdicts: Report,
    /// Whether there is something new in `/events`: the newest event's id, and a number that grows with every change. Zeros if
    /// nobody records.
    pub events: (u64, u64),
    parts: Vec<Part>,
    current: usize,
}

impl Snapshot {
    /// Creates an empty snapshot.
    pub fn new() -> Self {
        Snapshot::default()
    }

    /// Makes room for a collector's tables; called once for each collector, in the order of the outputs.
    pub fn register(&mut self, collector: &'static str, tables: &[&'static Head]) {
        let sections = tables.iter().map(|head| Section::new(head)).collect();
        self.parts.push(Part { collector, shown: true, sections, foreign: None });
    }

    /// Forgets all rows and starts the collection of `moment`.
    pub fn clear(&mut self, moment: Moment) {
        self.moment = moment;
        for part in &mut self.parts {
            part.foreign = None;
            for section in &mut part.sections {
                section.clear();
            }
        }
    }

    /// Lets formats show only the collectors of `selection`.
    pub fn show(&mut self, selection: Selection) {
        for (place, part) in self.parts.iter_mut().enumerate() {
            part.shown = selection.contains(place);
        }
    }

    /// Directs the following [`Snapshot::row`] calls to the tables of the collector registered at `index`.
    pub fn select(&mut self, index: usize) {
        self.current = index;
    }

    /// Returns all collectors' parts, in the order of their registration.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Returns every family with its place, in the order of all outputs.
    pub fn columns(&self) -> Vec<Column> {
        let mut all = Vec::new();
        for (part, found) in self.parts.iter().enumerate() {
            for (section, Section { head, .. }) in found.sections.iter().enumerate() {
                let mut column = 0;
                for family in head.families {
                    all.push(Column { part, section, column, family });
                    column += family.width();
                }
            }
        }
        all
    }

    /// Returns where a table's rows are: part and section; `None` if no collector that runs here has it.
    pub fn locate(&self, head: &'static Head) -> Option<(usize, usize)> {
        self.parts.iter().enumerate().find_map(|(place, part)| {
            let section = part.sections.iter().position(|section| std::ptr::eq(section.head, head))?;
            Some((place, section))
        })
    }

    /// Adds a row to a table of the current collector.
    ///
    /// Labels are the kernel's bytes. What is not UTF-8 in them is written as `\xNN`, see [`push_label`].
    ///
    /// A row with the labels of an earlier one is omitted: two things with the same name are indistinguishable, and Prometheus
    /// would reject the whole page.
    ///
    /// A table that the current collector did not register is a mistake in that collector's file; debug builds panic.
    pub fn row<const LABELS: usize, const VALUES: usize>(
        &mut self,
        table: &'static Table<LABELS, VALUES>,
        labels: [&[u8]; LABELS],
        values: [Value; VALUES],
    ) {
        self.push(table.head(), &labels, &values);
    }

    /// Passes on families of other programs for the current collector.
    pub fn pass(&mut self, foreign: &Rc<Foreign>) {
        self.parts[self.current].foreign = Some(foreign.clone());
    }

    /// Returns the families of other programs that formats show.
    pub fn foreign(&self) -> impl Iterator<Item = &ForeignFamily> {
        let shown = self.parts.iter().filter(|part| part.shown);
        shown.filter_map(|part| part.foreign.as_deref()).flat_map(|foreign| &foreign.families)
    }

    /// Adds a row whose shape is not known when the agent is compiled. It needs a value for each of the table's columns.
    // Once in the binary for tables of all widths.
    #[inline(never)]
    #[cfg_attr(small, optimize(speed))]
    pub fn push(&mut self, head: &'static Head, labels: &[&[u8]], values: &[Value]) {
        let sections = &mut self.parts[self.current].sections;
        let Some(section) = sections.iter_mut().find(|section| std::ptr::eq(section.head, head)) else {
            debug_assert!(false, "table {} is not registered for this collector", head.families[0].name());
            return;
        };
        debug_assert!(labels.len() == head.labels.len() && values.len() == head.width(), "a row of the table's shape");
        if section.push_labels(labels) {
            section.values.extend_from_slice(values);
        }
    }
}
#[cfg(test)]
mod tests {
    use super::super::name::tests::decode;
    use super::super::{Family, More, Place, Unit};
    use super::*;

    static CARS: Table<2, 3> = Table::new(
        Place::List("cars"),
        &["plate", "colour"],
        &[
            Family::gauge("pi_car_speed_ratio", "Speed.", Unit::Ratio),
            Family::counter("pi_car_wheel_turns_total", "Turns.", Unit::Count)
                .more(&More::NONE.by("side", &["left", "right"])),
        ],
    );

    #[test]
    fn rows_come_back_as_pushed_and_leave_at_clear() {
        let mut snapshot = Snapshot::new();
        snapshot.register("car", &[CARS.head()]);
        for _ in 0..2 {
            snapshot.clear(Moment::default());
            snapshot.select(0);
            snapshot.row(&CARS, [b"A 1", b""], [1.into(), Value::ABSENT, 3.into()]);
            snapshot.row(&CARS, [b"\xff", "grün".as_bytes()], [4.into(), 5.into(), 6.into()]);
            let section = &snapshot.parts()[0].sections[0];
            let rows: Vec<_> = section.rows().map(|row| (row.labels().collect::<Vec<_>>(), row.values())).collect();
            assert_eq!(rows.len(), section.len());
            assert_eq!(rows[0], (vec!["A 1", ""], &[1.into(), Value::ABSENT, 3.into()][..]));
            assert_eq!(rows[1], (vec!["\\xff", "grün"], &[4.into(), 5.into(), 6.into()][..]));
        }
    }

    #[test]
    fn labels_are_those_of_the_last_collection() {
        let mut snapshot = Snapshot::new();
        snapshot.register("car", &[CARS.head()]);
        let mut changes = 0;
        // The byte 0xff, and a name that looks like the text that is made of it.
        let collections: [(&[&[u8]], bool); 8] = [
            (&[b"a", b"b"], true),
            (&[b"a", b"b"], false),
            (&[b"a"], false),
            (&[b"a", b"b", b"c"], true),
            (&[b"b", b"c"], true),
            (&[b"b", b"\xff"], true),
            (&[b"b", b"\\xff"], true),
            (&[b"", b"x"], true),
        ];
        for (names, changed) in collections {
            snapshot.clear(Moment::default());
            for name in names {
                snapshot.row(&CARS, [name, b"red"], [1.into(), 2.into(), 3.into()]);
            }
            let section = &snapshot.parts()[0].sections[0];
            let found: Vec<_> = section.rows().map(|row| row.labels().map(decode).collect::<Vec<_>>()).collect();
            let expected: Vec<_> = names.iter().map(|name| vec![name.to_vec(), b"red".to_vec()]).collect();
            assert_eq!((found, section.changes() != changes), (expected, changed));
            changes = section.changes();
        }
    }

    #[test]
    fn no_two_rows_have_the_same_labels() {
        static ALONE: Table<0, 1> = Table::new(Place::Inline, &[], &[Family::gauge("pi_alone", "Alone.", Unit::Count)]);
        let mut snapshot = Snapshot::new();
        snapshot.register("car", &[CARS.head(), ALONE.head()]);
        let mut found = Vec::new();
        for names in [["a", "b", "a"], ["a", "b", "a"], ["b", "b", "a"], ["a", "a", "a"], ["c", "a", "c"]] {
            snapshot.clear(Moment::default());
            snapshot.select(0);
            for (number, name) in names.into_iter().enumerate() {
                let number = number as u64;
                snapshot.row(&CARS, [name.as_bytes(), b"red"], [number.into(), Value::ABSENT, Value::ABSENT]);
                snapshot.row(&ALONE, [], [number.into()]);
            }
            let sections = &snapshot.parts()[0].sections;
            assert_eq!((sections[1].len(), sections[1].values()), (1, &[0.into()][..]));
            assert_eq!(sections[0].values().len(), 3 * sections[0].len());
            found.push(sections[0].rows().filter_map(|row| row.labels().next()).collect::<String>());
        }
        assert_eq!(found, ["ab", "ab", "ba", "a", "ca"]);
    }
}
