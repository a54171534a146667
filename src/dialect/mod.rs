//! The names, types, labels and values of node_exporter, for dashboards and alerts that are written for them.
//!
//! What has the same shape in both programs is taken from the agent's own rows; the rest has readers here, which run only when
//! somebody asks for these names. `node.txt` is the whole list.

mod code;
mod devices;
pub mod flags;
mod links;
mod own;
mod read;
mod rows;
mod sheet;
mod spec;
#[cfg(test)]
mod tests;

use crate::kernel::{Machine, Roots, interfaces};
use crate::model::{Kind, Selection, Snapshot, Value};
use crate::runtime::sandbox::{Call, Needs, Rights};
use flags::{Filter, Settings};
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use read::{List, Reader, Work};
use rows::Desk;
use sheet::{Draft, Page, Sheet};
use spec::{Collector, Column, Shape};
use std::sync::OnceLock;
use std::time::Duration;

static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/node.deflate"));
const LENGTH_MAX: usize = 1 << 16;

/// The table in `node.txt` without helps.
fn table() -> &'static str {
    static PLAIN: OnceLock<Box<str>> = OnceLock::new();
    PLAIN.get_or_init(|| part(0).into())
}

/// The helps of all families, a line each. They are half of the table and needed for what is new on a page, so they are not kept.
fn helps() -> String {
    part(1)
}

/// Unpacks what stands before the NUL byte, or behind it.
fn part(number: usize) -> String {
    let all = decompress_to_vec_with_limit(COMPRESSED, LENGTH_MAX).unwrap_or_default();
    let text = String::from_utf8(all).unwrap_or_default();
    text.split('\0').nth(number).unwrap_or_default().to_owned()
}

/// Hands on the name and kind of each family in the table. A name that ends in `_` is what the names of a group begin with.
///
/// The table is unpacked for it and not kept, since nobody may ever ask for a page of it.
pub fn each_family(each: &mut dyn FnMut(&str, Kind)) {
    for line in part(0).lines() {
        let mut words = line.split(' ');
        if let (Some(kind), Some(name)) = (words.next().and_then(spec::kind), words.next()) {
            each(name, kind);
        }
    }
}

/// What reading for these names takes beyond what the agent's own collectors do.
pub const NEEDS: Needs = Needs {
    paths: "proc sys root/etc root/usr/lib/os-release",
    rights: &Rights {
        named_by: &[&flags::UDEV],
        calls: &[Call::Any(libc::SYS_adjtimex)],
        before: Some(interfaces::reserve),
        ..Rights::NONE
    },
};

/// The other program's collectors at work. It keeps no rows: each family goes onto the page as soon as its block is complete.
#[derive(Debug)]
pub struct Dialect {
    reader: Reader,
    filters: Vec<Filter>,
    collectors: Vec<Collector>,
    works: Vec<Work>,
    columns: Vec<Column>,
    lists: Vec<List>,
    sheet: Sheet,
    /// How long each collector took, and whether it found anything.
    took: Vec<[Value; 2]>,
    /// Which collectors the last page shows, and how long it is.
    last: Option<(Selection, usize)>,
    /// Whether any of that was not made of the page before.
    is_new: bool,
    /// What names of the agent's own families begin with that have another name here.
    pub known: Vec<&'static str>,
}

impl Dialect {
    /// Prepares all collectors; reads nothing.
    pub fn new(settings: &Settings, roots: &Roots, machine: Machine) -> Self {
        let spec::Spec { mut collectors, blocks, columns, known } = spec::parse(settings);
        let works = blocks.into_iter().map(Work::new).collect();
        for collector in &mut collectors {
            let switch = if collector.name == "processes" { "processes.states" } else { collector.name };
            if let Some((_, on)) = settings.switched.iter().find(|(known, _)| *known == switch) {
                collector.on = *on;
            }
        }
        let filters = Filter::all(settings);
        let mut reader = Reader::new(roots.clone(), machine, format!("/{}", settings.value(&flags::UDEV)));
        reader.no_speed = settings.has(&flags::NO_SPEED);
        let (lists, sheet, took) = (Vec::new(), Sheet::default(), Vec::new());
        Dialect { reader, filters, collectors, works, columns, lists, sheet, took, last: None, is_new: true, known }
    }

    /// Returns the collectors that are on by themselves.
    pub fn defaults(&self) -> Selection {
        let on = self.collectors.iter().enumerate().filter(|(_, collector)| collector.on);
        on.fold(Selection::NONE, |selection, (place, _)| selection.with(place))
    }

    /// Returns the families of the agent's own that a selection is made of.
    pub fn sources(&self, selection: Selection) -> impl Iterator<Item = &'static str> {
        let chosen = self.collectors.iter().enumerate().filter(move |(place, _)| selection.contains(*place));
        let works = chosen.flat_map(|(_, collector)| &self.works[collector.blocks.clone()]);
        works.filter(|work| matches!(work.block.shape, Shape::From)).map(|work| work.block.source)
    }

    /// Returns the agent's own collectors that tell what a collector of this name does; `None` if there is none.
    pub fn own(&self, name: &str) -> Option<impl Iterator<Item = &'static str> + use<>> {
        self.place(name).map(|place| self.collectors[place].own.split(' ').filter(|name| !name.is_empty()))
    }

    /// Returns the names of all collectors.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.collectors.iter().map(|collector| collector.name).filter(|name| !name.is_empty())
    }

    /// Returns the place of a collector.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.collectors.iter().position(|collector| !name.is_empty() && collector.name == name)
    }

    /// Forgets the last page: the next one begins with nothing.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Puts the families that `wanted` names as they are now at the beginning of a page, and returns how much text that is; `own` is the
    /// agent's own collection of the same moment.
    ///
    /// The page has to begin with what was put there the last time, since the new text is made of it, unless that is [forgotten].
    /// What stands behind it is overwritten.
    ///
    /// [forgotten]: Dialect::forget
    pub fn collect(&mut self, wanted: Selection, own: &Snapshot, to: &mut Page) -> usize {
        let Dialect { reader, filters, collectors, works, columns, lists, sheet, took, last, is_new, .. } = self;
        reader.begin();
        for list in &mut *lists {
            list.is_fresh = false;
        }
        let length = last.take().filter(|(of, length)| *of == wanted && *length <= to.len()).map(|(_, length)| length);
        let draft = Draft::new(to, length.unwrap_or(0));
        let has_last = length.is_some();
        let mut desk = Desk { filters, columns, own, sheet, draft, has_last, helps: None };
        // The last one is about the others.
        let [others @ .., about] = &collectors[..] else { return 0 };
        let Some((works, [about, build])) = works.split_at_mut_checked(about.blocks.start) else { return 0 };
        let others = || others.iter().enumerate().filter(|(place, _)| wanted.contains(*place)).map(|(_, it)| it);
        took.clear();
        for collector in others() {
            let start = (reader.machine.since_boot)();
            let mut any = false;
            for work in &mut works[collector.blocks.clone()] {
                any |= work.collect(reader, lists, &mut desk);
            }
            let duration: Duration = (reader.machine.since_boot)().saturating_sub(start);
            took.push([Value::seconds(duration), any.into()]);
        }
        about.fill(&mut desk, &mut |rows| {
            for (collector, took) in others().zip(&*took) {
                rows.push(&[collector.name.as_bytes()], took);
            }
        });
        let labels = ["pi-monitor", std::env::consts::ARCH, "linux", "", "", "", crate::VERSION];
        build.fill(&mut desk, &mut |rows| rows.push(&labels.map(str::as_bytes), &[1.into()]));
        let length = desk.draft.len();
        *is_new = desk.helps.is_some();
        if !*is_new {
            sheet.shrink();
        }
        *last = Some((wanted, length));
        length
    }
}
