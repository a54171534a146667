//! Rows of the agent's own tables that have the same shape in the other program.

use super::read::{Reader, VALUES_MAX};
use super::rows::Rows;
use super::spec::{Column, LABELS_MAX};
use crate::model::{Snapshot, Value};

/// Where a block's rows are among the agent's own.
#[derive(Debug)]
pub struct Own {
    part: usize,
    section: usize,
    /// The place of each column's value in a row.
    places: Vec<usize>,
}

impl Own {
    /// Finds the table that has a family. That takes so long that it is done once: the tables stay where they are.
    pub fn find(own: &Snapshot, family: &str, columns: &[Column]) -> Option<Self> {
        for (part, sections) in own.parts().iter().enumerate() {
            for (section, found) in sections.sections.iter().enumerate() {
                let place = |name: &str| {
                    let mut column = 0;
                    for family in found.head.families {
                        if family.name() == name {
                            return column;
                        }
                        column += family.width();
                    }
                    usize::MAX
                };
                if place(family) != usize::MAX {
                    return Some(Own { part, section, places: columns.iter().map(|it| place(it.source())).collect() });
                }
            }
        }
        None
    }

    /// Adds the rows.
    pub fn project(&self, reader: &mut Reader, rows: &mut Rows<'_>) {
        let Some(section) = rows.own.parts().get(self.part).and_then(|part| part.sections.get(self.section)) else {
            return;
        };
        for row in section.rows() {
            let mut labels = [&b""[..]; LABELS_MAX];
            for (label, source) in labels.iter_mut().zip(rows.sources) {
                *label = source.parse().ok().and_then(|at| row.labels().nth(at)).unwrap_or_default().as_bytes();
            }
            if let Some(place) = rows.sources.iter().position(|source| source.contains('/')) {
                labels[place] = reader.text(&[rows.sources[place]]).unwrap_or_default().trim_ascii();
            }
            let mut values = [Value::ABSENT; VALUES_MAX];
            for (value, place) in values.iter_mut().zip(&self.places) {
                *value = row.values().get(*place).copied().unwrap_or_default();
            }
            rows.push(&labels, &values);
        }
    }
}
