//! Tables: the families that one kind of thing has, and where its rows stand in JSON.
//!
//! A collector declares one [`Table`] for each kind of thing it sees (interfaces, mounts, CPUs …). The table's columns
//! are metric [`Family`]s, its rows are the things, and every output is derived from it: Prometheus text walks it column by
//! column, JSON row by row, the metrics reference reads its head only.

use super::Family;

/// Where a table's rows stand in the JSON object of its collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At most one row, whose values (and labels) are keys of the collector's own object.
    Inline,
    /// At most one row, in an object of this name.
    Object(&'static str),
    /// Any number of rows, in an array of this name.
    List(&'static str),
    /// Outside of the collector's object: under this key of the whole, or on this page.
    Elsewhere(&'static str),
}

/// The head of a table: everything about it but its rows.
#[derive(Debug)]
pub struct Head {
    /// Which [`Place`], and its name: in one of it they would take a third more room here.
    place: u8,
    name: &'static str,
    pub labels: &'static [&'static str],
    pub families: &'static [Family],
    /// Values in a row: the widths of all families together.
    width: u16,
    /// Whether its labels are text already, not names of the kernel.
    pub is_text: bool,
}

impl Head {
    /// Creates a head of a table whose rows have so many values.
    pub const fn new(place: Place, labels: &'static [&'static str], families: &'static [Family], width: usize) -> Self {
        let (place, name) = match place {
            Place::Inline => (0, ""),
            Place::Object(name) => (1, name),
            Place::List(name) => (2, name),
            Place::Elsewhere(name) => (3, name),
        };
        Head { place, name, labels, families, width: width as u16, is_text: false }
    }

    /// Returns where its rows stand in JSON.
    pub const fn place(&self) -> Place {
        match self.place {
            0 => Place::Inline,
            1 => Place::Object(self.name),
            2 => Place::List(self.name),
            _ => Place::Elsewhere(self.name),
        }
    }

    /// Returns how many values a row has.
    pub const fn width(&self) -> usize {
        self.width as usize
    }
}

/// A [`Head`] that knows its shape as a type, so that a row with too few or too many labels or values does not compile.
#[derive(Debug)]
pub struct Table<const LABELS: usize, const VALUES: usize>(Head);

impl<const LABELS: usize, const VALUES: usize> Table<LABELS, VALUES> {
    /// Creates a table with these labels and families. Its declaration does not compile if the families' widths do not add up
    /// to `VALUES`.
    pub const fn new(place: Place, labels: &'static [&'static str; LABELS], families: &'static [Family]) -> Self {
        let mut width = 0;
        let mut i = 0;
        while i < families.len() {
            width += families[i].width();
            i += 1;
        }
        assert!(width == VALUES, "the families' widths do not add up to VALUES");
        Table(Head::new(place, labels, families, width))
    }

    /// Its labels are text already, in which names of the kernel have been escaped.
    pub const fn of_text(mut self) -> Self {
        self.0.is_text = true;
        self
    }

    /// Returns the family of this name, for those who read it from a snapshot. A name that the table does not have does not compile in
    /// the declaration of a `static`.
    pub const fn input(&'static self, name: &'static str) -> Input {
        let Table(head) = self;
        let (mut column, mut i) = (0, 0);
        while i < head.families.len() {
            let family = &head.families[i];
            if family.is(name) {
                return Input { head, family, column };
            }
            column += family.width();
            i += 1;
        }
        panic!("the table has no family of this name")
    }

    /// Returns the table without its shape.
    pub const fn head(&self) -> &Head {
        &self.0
    }
}

/// One family of a table, as something that is read.
#[derive(Debug)]
pub struct Input {
    pub head: &'static Head,
    pub family: &'static Family,
    /// The place of its first value in a row.
    pub column: usize,
}
