//! The names, types, labels and values of node_exporter, for dashboards and alerts that are written for them.
//!
//! What has the same shape in both programs is taken from the agent's own rows; the rest has readers here, which run only when
//! somebody asks for these names. `node.txt` is the whole list.

mod code;
mod devices;
pub mod flags;
mod read;
mod spec;
#[cfg(test)]
mod tests;

use crate::cli::Options;
use crate::kernel::{Machine, Roots};
use crate::model::{Kind, Moment, Selection, Snapshot, Value};
use crate::runtime::sandbox::{Call, Needs};
use flags::{BARE, Filter, Settings};
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use read::{Reader, Work};
use std::sync::OnceLock;
use std::time::Duration;

static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/node.deflate"));
const LENGTH_MAX: usize = 1 << 16;

/// The table in `node.txt`, as it was before it was compressed.
pub fn table() -> &'static str {
    static PLAIN: OnceLock<Box<[u8]>> = OnceLock::new();
    let plain = PLAIN.get_or_init(|| decompress_to_vec_with_limit(COMPRESSED, LENGTH_MAX).unwrap_or_default().into());
    std::str::from_utf8(plain).unwrap_or_default()
}

/// Hands on the name and kind of each family in the table. A name that ends in `_` is what the names of a group begin with.
///
/// The table is unpacked for it and not kept, since nobody may ever ask for a page of it.
pub fn each_family(each: &mut dyn FnMut(&str, Kind)) {
    let plain = decompress_to_vec_with_limit(COMPRESSED, LENGTH_MAX).unwrap_or_default();
    for line in String::from_utf8_lossy(&plain).lines() {
        let mut words = line.split(' ');
        if let (Some(kind), Some(name)) = (words.next().and_then(spec::kind), words.next()) {
            each(name, kind);
        }
    }
}

/// What reading for these names takes beyond what the agent's own collectors do.
pub fn needs(options: &Options) -> [Needs; 2] {
    let udev: &'static str = options.value(&flags::UDEV).to_owned().leak();
    let files = Needs {
        calls: &[Call::Any(libc::SYS_adjtimex)],
        ..Needs::reading(&["proc", "sys", "root/etc", "root/usr/lib/os-release"])
    };
    [files, Needs::reading(vec![udev].leak())]
}

/// The other program's collectors at work.
#[derive(Debug)]
pub struct Dialect {
    reader: Reader,
    filters: Vec<Filter>,
    collectors: Vec<Collector>,
    /// What they saw at the last collection.
    pub snapshot: Snapshot,
    /// What names of the agent's own families begin with that have another name here.
    pub known: Vec<&'static str>,
}

#[derive(Debug)]
struct Collector {
    name: &'static str,
    /// The agent's own collectors that tell the same.
    own: &'static str,
    on: bool,
    works: Vec<Work>,
}

impl Dialect {
    /// Prepares all collectors; reads nothing.
    pub fn new(settings: &Settings, roots: &Roots, machine: Machine) -> Self {
        let mut snapshot = Snapshot::new();
        let mut collectors = Vec::new();
        let (specs, known) = spec::parse(table());
        for spec::Collector { name, own, on, blocks } in specs {
            let mut blocks = blocks;
            blocks.retain(|block| {
                let (name, on) =
                    block.only_with.strip_prefix('-').map_or((block.only_with, true), |name| (name, false));
                let bare = BARE.iter().find(|(known, _)| *known == name);
                bare.is_none_or(|(_, bare)| settings.has(bare) == on)
            });
            let heads: Vec<_> = blocks.iter().map(|block| block.head).collect();
            snapshot.register(name, &heads);
            let works = blocks.into_iter().map(|block| Work::new(block, roots)).collect();
            let switch = if name == "processes" { "processes.states" } else { name };
            let switched = settings.switched.iter().find(|(known, _)| *known == switch);
            collectors.push(Collector { name, own, on: switched.map_or(on, |(_, on)| *on), works });
        }
        let filters = Filter::all(settings);
        let mut reader = Reader::new(roots.clone(), machine, format!("/{}", settings.value(&flags::UDEV)));
        reader.no_speed = settings.has(&flags::NO_SPEED);
        Dialect { reader, filters, collectors, snapshot, known }
    }

    /// Returns the collectors that are on by themselves.
    pub fn defaults(&self) -> Selection {
        let on = self.collectors.iter().enumerate().filter(|(_, collector)| collector.on);
        on.fold(Selection::NONE, |selection, (place, _)| selection.with(place))
    }

    /// Returns the families of the agent's own that a selection is made of.
    pub fn sources(&self, selection: Selection) -> impl Iterator<Item = &'static str> {
        let chosen = self.collectors.iter().enumerate().filter(move |(place, _)| selection.contains(*place));
        let blocks = chosen.flat_map(|(_, collector)| &collector.works).map(|work| &work.block);
        blocks.filter(|block| block.shape == "from").map(|block| block.source)
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

    /// Collects what `wanted` names; `own` is the agent's own collection of the same moment.
    pub fn collect(&mut self, moment: Moment, wanted: Selection, own: &Snapshot) {
        let Dialect { reader, filters, collectors, snapshot, .. } = self;
        snapshot.clear(moment);
        reader.begin();
        // The last one is about the others.
        let scrape = collectors.len() - 1;
        for place in 0..scrape {
            if !wanted.contains(place) {
                continue;
            }
            let start = (reader.machine.since_boot)();
            let Collector { name, works, .. } = &mut collectors[place];
            snapshot.select(place);
            let mut any = false;
            for work in works {
                any |= work.collect(reader, filters, own, snapshot);
            }
            let name = *name;
            let took: Duration = (reader.machine.since_boot)().saturating_sub(start);
            snapshot.select(scrape);
            if let Some(work) = collectors[scrape].works.first() {
                snapshot.push(work.block.head, &[name.as_bytes()], &[Value::seconds(took), any.into()]);
            }
        }
        snapshot.select(scrape);
        if let Some(work) = collectors[scrape].works.get(1) {
            let labels = ["pi-monitor", std::env::consts::ARCH, "linux", "", "", "", crate::VERSION];
            snapshot.push(work.block.head, &labels.map(str::as_bytes), &[1.into()]);
        }
        snapshot.show(wanted.with(scrape));
    }
}
