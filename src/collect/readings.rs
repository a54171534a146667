//! Devices with a file for each reading, below `/sys/class`.
//!
//! A collector of such devices says which files there are and what they say. All of them run the code here, which is in the binary
//! once.

use super::{Collect, Context, Setup};
use crate::cli::Flag;
use crate::cli::pattern::Pattern;
use crate::kernel::text::{trim, uint};
use crate::kernel::{Bad, Device, Devices, Fault, Heard, Members, Source, read_once};
use crate::model::{Head, Snapshot, Value};
use std::path::Path;

/// The most labels and values of a row.
const LABELS_MAX: usize = 4;
const VALUES_MAX: usize = 5;

/// What a collector says of its devices.
#[derive(Debug)]
pub struct Plan {
    /// The directory below `/sys` that they are in.
    pub class: &'static str,
    pub is_wanted: fn(&[u8]) -> bool,
    /// Adds the files of the device in a directory.
    pub open: fn(&Path, &mut Readings),
    /// What the file of a column says.
    pub parse: fn(&[u8], usize) -> Result<Value, Bad>,
    /// Excludes devices by their first label.
    pub exclude: Option<&'static Flag>,
    pub head: &'static Head,
}

/// The files of a device.
#[derive(Default)]
pub struct Readings {
    all: Vec<Reading>,
    /// A count of changes of which the kernel announces each: the other files are read only after one.
    pub changes: Option<Source>,
    seen: Option<u64>,
}

struct Reading {
    labels: Vec<Vec<u8>>,
    column: usize,
    source: Source,
    value: Value,
}

impl Readings {
    /// Adds a file. Files with the same labels, one behind the other, are a row.
    pub fn add(&mut self, labels: &[&[u8]], column: usize, path: &Path) {
        let labels = labels.iter().map(|label| label.to_vec()).collect();
        let source = Source::new(path.to_owned()).in_small_records();
        self.all.push(Reading { labels, column, source, value: Value::ABSENT });
    }

    /// Adds a row: its labels are the directory's name and what `labels` hold.
    pub fn add_row(&mut self, path: &Path, labels: &[&str], files: &[&str]) {
        let mut texts = vec![path.file_name().unwrap_or_default().as_encoded_bytes().to_vec()];
        texts.extend(labels.iter().map(|file| read_once(&path.join(file)).unwrap_or_default()));
        let labels: Vec<_> = texts.iter().map(Vec::as_slice).collect();
        for (column, file) in files.iter().enumerate() {
            self.add(&labels, column, &path.join(file));
        }
    }

    fn label(&self) -> &[u8] {
        self.all.first().map_or(b"", |reading| &reading.labels[0])
    }
}

/// Reads the devices of a plan.
struct Collector {
    plan: &'static Plan,
    exclude: Pattern,
    devices: Devices<Readings>,
    /// When the counts of changes were read.
    heard: Heard,
}

impl Plan {
    /// Returns the collector.
    pub fn collector(&'static self, setup: &Setup<'_>) -> Box<dyn Collect> {
        let devices = Devices::new(setup.roots.sys.join(self.class), self.is_wanted);
        let exclude = self.exclude.map(|flag| setup.pattern(flag)).unwrap_or_default();
        super::boxed(Collector { plan: self, exclude, devices, heard: Heard::default() })
    }
}

impl Collect for Collector {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Collector { plan, exclude, devices, heard } = self;
        let open = |path: &Path| {
            let mut readings = Readings::default();
            (plan.open)(path, &mut readings);
            if exclude.matches(readings.label()) {
                readings.all.clear();
            }
            readings
        };
        if devices.update(&open) {
            tell_apart(devices.all());
        }
        let is_quiet = heard.is_current();
        if !is_quiet {
            heard.note();
        }
        let mut members = Members::default();
        for Device { state: Readings { all, changes, seen }, gone, .. } in devices.all() {
            if let Some(changes) = changes {
                let mut is_known = is_quiet && seen.is_some();
                if !is_known {
                    let now = changes.try_read().ok().and_then(|text| uint(trim(text)));
                    is_known = now.is_some() && now == *seen;
                    *seen = now;
                }
                // A copy of the files need not change in step.
                if is_known && changes.is_original() {
                    push(plan.head, all, out);
                    continue;
                }
            }
            for Reading { column, source, value, .. } in &mut *all {
                let found = members.ask(source, gone, |text| (plan.parse)(text, *column));
                *value = found.unwrap_or(Value::ABSENT);
            }
            push(plan.head, all, out);
        }
        members.result()
    }
}

/// Adds a device's rows.
fn push(head: &'static Head, all: &[Reading], out: &mut Snapshot) {
    for row in all.chunk_by(|one, next| one.labels == next.labels) {
        let mut values = [Value::ABSENT; VALUES_MAX];
        for Reading { column, value, .. } in row {
            // What stands first counts: `power1_input` rather than `power1_average`.
            if !values[*column].is_present() {
                values[*column] = *value;
            }
        }
        if values.iter().any(|value| value.is_present()) {
            let mut labels = [&b""[..]; LABELS_MAX];
            for (label, text) in labels.iter_mut().zip(&row[0].labels) {
                *label = text;
            }
            out.push(head, &labels[..head.labels.len()], &values[..head.width()]);
        }
    }
}

/// Gives devices of the same first label, such as the chips of two NVMe disks, the number of their entries.
fn tell_apart(devices: &mut [Device<Readings>]) {
    for place in 1..devices.len() {
        let (before, rest) = devices.split_at_mut(place);
        let Device { name, state, .. } = &mut rest[0];
        while !state.all.is_empty() && before.iter().any(|other| other.state.label() == state.label()) {
            for Reading { labels, .. } in &mut state.all {
                labels[0].push(b'-');
                labels[0].extend(name.iter().filter(|byte| byte.is_ascii_digit()));
            }
        }
    }
}
