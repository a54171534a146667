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
mod sheet;
mod spec;
#[cfg(test)]
mod tests;

use crate::kernel::{Machine, Roots, interfaces};
use crate::model::{Kind, Selection, Snapshot, Value};
use crate::runtime::sandbox::{Call, Needs, Rights};
use flags::{BARE, Filter, Settings};
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use read::{List, Reader, Work};
use sheet::{Page, Sheet};
use spec::{Collector, Column};
use std::sync::OnceLock;
use std::time::Duration;

static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/node.deflate"));
const LENGTH_MAX: usize = 1 << 16;

/// The table in `node.txt`, as it was before it was compressed.
fn table() -> &'static str {
    static PLAIN: OnceLock<Box<str>> = OnceLock::new();
    PLAIN.get_or_init(|| unpacked().into())
}

fn unpacked() -> String {
    String::from_utf8(decompress_to_vec_with_limit(COMPRESSED, LENGTH_MAX).unwrap_or_default()).unwrap_or_default()
}

/// Hands on the name and kind of each family in the table. A name that ends in `_` is what the names of a group begin with.
///
/// The table is unpacked for it and not kept, since nobody may ever ask for a page of it.
pub fn each_family(each: &mut dyn FnMut(&str, Kind)) {
    for line in unpacked().lines() {
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

/// The other program's collectors at work. It keeps no rows: each family goes onto the page as soon as it is complete.
#[derive(Debug)]
pub struct Dialect {
    reader: Reader,
    filters: Vec<Filter>,
    collectors: Vec<Collector>,
    works: Vec<Work>,
    columns: Vec<Column>,
    lists: Vec<List>,
    sheet: Sheet,
    /// The rows about the collectors themselves.
    scrape: Sheet,
    /// What names of the agent's own families begin with that have another name here.
    pub known: Vec<&'static str>,
}

impl Dialect {
    /// Prepares all collectors; reads nothing.
    pub fn new(settings: &Settings, roots: &Roots, machine: Machine) -> Self {
        let spec::Spec { mut collectors, blocks, columns, known } = spec::parse();
        let mut works = Vec::with_capacity(blocks.len());
        for block in blocks {
            let mut work = Work::new(block);
            let only_with = work.heading.only_with;
            let (name, on) = flags::unless_dashed(only_with);
            let bare = BARE.iter().find(|(known, _)| *known == name);
            work.is_on = bare.is_none_or(|(_, bare)| settings.has(bare) == on);
            works.push(work);
        }
        for collector in &mut collectors {
            let switch = if collector.name == "processes" { "processes.states" } else { collector.name };
            if let Some((_, on)) = settings.switched.iter().find(|(known, _)| *known == switch) {
                collector.on = *on;
            }
        }
        let filters = Filter::all(settings);
        let mut reader = Reader::new(roots.clone(), machine, format!("/{}", settings.value(&flags::UDEV)));
        reader.no_speed = settings.has(&flags::NO_SPEED);
        let (lists, sheet, scrape) = (Vec::new(), Sheet::default(), Sheet::default());
        Dialect { reader, filters, collectors, works, columns, lists, sheet, scrape, known }
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
        works.filter(|work| work.heading.shape == "from").map(|work| work.heading.source)
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

    /// Adds the families that `wanted` names as they are now to a page; `own` is the agent's own collection of the same moment.
    pub fn collect(&mut self, wanted: Selection, own: &Snapshot, to: &mut Page) {
        let Dialect { reader, filters, collectors, works, columns, lists, sheet, scrape, .. } = self;
        reader.begin();
        for list in &mut *lists {
            list.is_fresh = false;
        }
        let [others @ .., last] = &collectors[..] else { return };
        // The last one is about the others.
        let Some((works, abouts)) = works.split_at_mut_checked(last.blocks.start) else { return };
        let [about, build] = abouts else { return };
        let [about_columns, build_columns] = [&*about, build].map(|work| &columns[work.block.columns.clone()]);
        for (_, collector) in others.iter().enumerate().filter(|(place, _)| wanted.contains(*place)) {
            let start = (reader.machine.since_boot)();
            let mut any = false;
            for work in &mut works[collector.blocks.clone()] {
                any |= work.collect(reader, lists, filters, columns, own, sheet, to);
            }
            let took: Duration = (reader.machine.since_boot)().saturating_sub(start);
            let values = [Value::seconds(took), any.into()];
            scrape.push("", &about.heading, &[collector.name.as_bytes()], &values, about_columns);
        }
        scrape.write(about_columns, to);
        let labels = ["pi-monitor", std::env::consts::ARCH, "linux", "", "", "", crate::VERSION];
        scrape.push("", &build.heading, &labels.map(str::as_bytes), &[1.into()], build_columns);
        scrape.write(build_columns, to);
    }
}
