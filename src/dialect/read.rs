//! Reading files for the other program's families: one after the other, into the same buffer.

use super::code::{self, Code};
use super::flags::Filter;
use super::spec::{self, Block, Column};
use crate::kernel::text::{lines, take_word};
use crate::kernel::{Devices, Kept, Machine, Roots, each_name, read_into, real_path};
use crate::model::{Family, Head, Kind, Snapshot, Value};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The most words of a line, labels of a row and values of a row.
const WORDS_MAX: usize = 24;
pub const LABELS_MAX: usize = 12;
const VALUES_MAX: usize = 64;

/// How often the names of a file's numbers may change before new ones are left out: each time, a few kilobytes are lost for good.
const CHANGES_MAX: usize = 32;
/// How many families of names that the kernel says there can be in a collector.
const FAMILIES_MAX: usize = 128;

/// Opens, reads and closes files below the three trees.
#[derive(Debug)]
pub struct Reader {
    pub roots: Roots,
    pub machine: Machine,
    /// The directory of udev's database, as a path that [`Reader::locate`] takes.
    udev: String,
    /// Whether a speed below zero, of a link that is down, is left out.
    pub no_speed: bool,
    path: String,
    text: Vec<u8>,
    kept: Kept,
    /// The path of the file that `text` is of.
    read: String,
    /// Spare strings, reused so that a collection does not allocate.
    spare: Vec<String>,
}

impl Reader {
    pub fn new(roots: Roots, machine: Machine, udev: String) -> Self {
        Reader {
            roots,
            machine,
            udev,
            no_speed: false,
            path: String::new(),
            text: Vec::new(),
            kept: Kept::default(),
            read: String::new(),
            spare: Vec::new(),
        }
    }

    /// Returns the text of a file: the parts of its path begin with `proc/`, `sys/` or `root/`. `None` if it cannot be read.
    pub fn text(&mut self, parts: &[&str]) -> Option<&[u8]> {
        self.locate(parts);
        self.read_located()
    }

    fn read_located(&mut self) -> Option<&[u8]> {
        let Reader { roots, path, text, kept, read, .. } = self;
        if path != read {
            read.clear();
            // Those of processes come and go; others may be replaced, and an open one would be the old one.
            let in_proc = Path::new(path).strip_prefix(&roots.proc).ok();
            let of_kernel = in_proc.is_some_and(|path| !path.as_os_str().as_bytes()[0].is_ascii_digit());
            let in_sys = Path::new(path).starts_with(&roots.sys);
            if of_kernel || in_sys { kept.read(path, in_sys, text) } else { read_into(Path::new(path), text) }.ok()?;
            read.push_str(path);
        }
        Some(text)
    }

    /// Returns an empty text; [`Reader::give`] takes it back, so that a collection allocates nothing after the first ones.
    pub fn take(&mut self) -> String {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back a text that is no longer needed.
    pub fn give(&mut self, mut text: String) {
        text.clear();
        self.spare.push(text);
    }

    /// Returns a copy of a file's text, which is for [`Reader::give`]; empty if it cannot be read.
    pub fn copy(&mut self, parts: &[&str]) -> String {
        let mut copy = self.take();
        if let Some(text) = self.text(parts) {
            copy.push_str(String::from_utf8_lossy(text).trim());
        }
        copy
    }

    /// Returns the names in a directory that `wanted` agrees to, each with a newline; for [`Reader::give`].
    pub fn names(&mut self, parts: &[&str], wanted: &dyn Fn(&str) -> bool) -> String {
        let mut names = self.take();
        let _ = each_name(self.locate(parts), &mut |name| {
            if wanted(name) {
                names.push_str(name);
                names.push('\n');
            }
        });
        names
    }

    /// Returns what udev knows of the device of these numbers; for [`Reader::give`].
    pub fn udev(&mut self, numbers: [&str; 2]) -> String {
        let mut directory = std::mem::take(&mut self.udev);
        self.locate(&[&directory, "/b", numbers[0], ":", numbers[1]]);
        std::mem::swap(&mut directory, &mut self.udev);
        let mut copy = self.take();
        copy.push_str(&String::from_utf8_lossy(self.read_located().unwrap_or_default()));
        copy
    }

    /// Begins a collection: files are read anew. Within one, what is asked for twice in a row is read once.
    pub fn begin(&mut self) {
        self.read.clear();
    }

    /// Returns the number in a file.
    pub fn number(&mut self, parts: &[&str]) -> Option<Value> {
        number(self.text(parts)?)
    }

    /// Returns where the parts of a path lead.
    pub fn locate(&mut self, parts: &[&str]) -> &Path {
        let Reader { roots, path, .. } = self;
        path.clear();
        let (tree, below) = parts[0].split_once('/').unwrap_or_default();
        let root = match tree {
            "" => Path::new("/"),
            "proc" => &roots.proc,
            "sys" => &roots.sys,
            _ => &roots.root,
        };
        path.push_str(root.to_str().unwrap_or_default());
        if !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(below);
        for part in &parts[1..] {
            path.push_str(part);
        }
        Path::new(path)
    }
}

/// What a file's text says as a number: decimal, perhaps negative or with a fraction, or hexadecimal behind `0x`.
pub fn number(text: &[u8]) -> Option<Value> {
    match text.trim_ascii() {
        [b'-', digits @ ..] => Some(Value::parse(digits)?.negated()),
        [b'0', b'x', digits @ ..] => crate::kernel::text::hex(digits).map(Value::from),
        digits => Value::parse(digits),
    }
}

impl Column {
    fn scaled(self, value: Option<Value>) -> Value {
        value.map_or(Value::ABSENT, |value| value.times(self.factor).shifted(self.places))
    }
}

/// Where the rows of a block go.
#[derive(Debug)]
pub struct Rows<'a> {
    pub snapshot: &'a mut Snapshot,
    pub head: &'static Head,
    pub columns: &'a [Column],
    /// Where the labels are read.
    pub sources: &'a [&'static str],
    /// The block's filters, and all that there are.
    filters: &'a [(&'static str, usize)],
    all: &'a [Filter],
    /// The agent's own rows of this moment.
    pub own: &'a Snapshot,
    pub named: &'a mut Named,
    made: &'a mut Vec<&'static Head>,
    /// Whether there was any.
    pub any: bool,
}

impl Rows<'_> {
    /// Adds a row of one value to a family of this name, which is made if there is none yet, up to a number of them.
    pub fn push_family(&mut self, name: &str, kind: Kind, labels: &[&[u8]], value: Value) {
        if self.filters.iter().any(|(name, label)| !Filter::allows(self.all, name, labels[*label])) {
            return;
        }
        let known = self.made.iter().find(|head| head.families[0].name() == name);
        let head = match known {
            Some(head) => head,
            None if self.made.len() == FAMILIES_MAX => return,
            None => {
                let name: &'static str = name.to_owned().leak();
                let head = spec::head(self.head.labels.to_vec(), vec![Family::foreign(name, kind)], false);
                self.snapshot.add(head);
                self.made.push(head);
                head
            }
        };
        self.snapshot.push(head, labels, &[value]);
        self.any = true;
    }

    /// Adds a number to the families whose names the kernel says; see [`Named::add`].
    pub fn name(&mut self, parts: &[&[u8]], unit: &str, value: Option<Value>) {
        let filter = self.filters.first().map(|(name, _)| *name);
        let all = self.all;
        self.named.add(parts, unit, value, &|name| filter.is_none_or(|filter| Filter::allows(all, filter, name)));
    }

    /// Returns whether the block's filters report a thing of this name.
    pub fn allows(&self, name: &[u8]) -> bool {
        self.filters.iter().all(|(filter, _)| Filter::allows(self.all, filter, name))
    }

    /// Adds a row that has a value, after the columns' factors.
    pub fn push(&mut self, labels: &[&[u8]], values: &[Value]) {
        if self.filters.iter().any(|(name, label)| !Filter::allows(self.all, name, labels[*label])) {
            return;
        }
        let mut scaled = [Value::ABSENT; VALUES_MAX];
        let mut present = false;
        for (into, (value, column)) in scaled.iter_mut().zip(values.iter().zip(self.columns)) {
            *into = column.scaled(Some(*value));
            present |= value.is_present();
        }
        if present {
            self.snapshot.push(self.head, labels, &scaled[..self.head.width]);
            self.any = true;
        }
    }
}

/// A block at work.
#[derive(Debug)]
pub struct Work {
    pub block: Block,
    /// The entries of its directory, and where their devices are.
    entries: Option<Devices<String>>,
    named: Named,
    /// Heads of families whose names the kernel says, with labels.
    made: Vec<&'static Head>,
    code: Option<Code>,
}

impl Work {
    pub fn new(block: Block, roots: &Roots) -> Self {
        let entries = matches!(block.shape, "dirs" | "each").then(|| {
            let directory = block.source.rsplit_once('/').map_or("", |(directory, _)| directory);
            let path = directory.strip_prefix("sys/").map_or_else(|| roots.proc.clone(), |below| roots.sys.join(below));
            Devices::new(path, |_| true)
        });
        let named = Named::new(&block.head.families[0]);
        let code = match block.shape {
            "code" => code::find(block.source),
            "each" => code::find(block.second),
            _ => None,
        };
        Work { block, entries, named, made: Vec::new(), code }
    }

    /// Reads the block's rows; whether there was any.
    pub fn collect(&mut self, reader: &mut Reader, all: &[Filter], own: &Snapshot, snapshot: &mut Snapshot) -> bool {
        let Work { block, entries, named, made, code } = self;
        named.begin();
        let mut rows = Rows {
            snapshot,
            head: block.head,
            columns: &block.columns,
            sources: &block.labels,
            filters: &block.filters,
            all,
            own,
            named,
            made,
            any: false,
        };
        match (block.shape, entries) {
            ("words", _) => {
                let Some(text) = reader.text(&[block.source]) else { return false };
                row_of(text, block, &mut rows);
            }
            ("rows", _) => {
                let Some(text) = reader.text(&[block.source]) else { return false };
                let headings = block.second.parse().unwrap_or(0);
                for (number, line) in lines(text) {
                    if number > headings {
                        row_of(line, block, &mut rows);
                    }
                }
            }
            ("files", _) => {
                let mut values = [Value::ABSENT; VALUES_MAX];
                for (value, column) in values.iter_mut().zip(&block.columns) {
                    *value = reader.number(&[column.source]).unwrap_or_default();
                }
                rows.push(&[], &values);
            }
            ("dirs" | "each", Some(entries)) => {
                let (directory, start) = block.source.rsplit_once('/').unwrap_or_default();
                let start = start.trim_end_matches('*').as_bytes();
                // Where a sensor's device is does not change while it is there.
                let wants_device = block.second.starts_with("hwmon");
                let device = |path: &Path| real_path(&path.join("device")).filter(|_| wants_device);
                entries.update(&|path| device(path).unwrap_or_default());
                for entry in entries.all() {
                    let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
                    let number = entry.name.strip_prefix(start);
                    if number.is_none_or(|it| !start.is_empty() && !it.first().is_some_and(u8::is_ascii_digit)) {
                        continue;
                    }
                    match code {
                        Some(code) => code(reader, &[directory, "/", name, "/", &entry.state], &mut rows),
                        None => entry_row(directory, name, block, reader, &mut rows),
                    }
                }
            }
            ("from", _) => project(block, reader, &mut rows),
            _ => {
                if let Some(code) = code {
                    code(reader, &[], &mut rows);
                }
            }
        }
        let any = rows.any;
        any | named.finish(block, snapshot)
    }
}

/// Adds the row that a line is.
fn row_of(line: &[u8], block: &Block, rows: &mut Rows<'_>) {
    let mut words = [&b""[..]; WORDS_MAX];
    let mut rest = line;
    for word in &mut words {
        match take_word(&mut rest) {
            Some(found) => *word = found,
            None => break,
        }
    }
    let word = |source: &str| words.get(source.parse().unwrap_or(WORDS_MAX)).copied().unwrap_or_default();
    let mut labels = [&b""[..]; LABELS_MAX];
    for (label, source) in labels.iter_mut().zip(&block.labels) {
        let found = word(source);
        *label = found.strip_suffix(b":").unwrap_or(found);
    }
    let mut values = [Value::ABSENT; VALUES_MAX];
    for (value, column) in values.iter_mut().zip(&block.columns) {
        *value = number(word(column.source)).unwrap_or_default();
    }
    rows.push(&labels[..block.labels.len()], &values);
}

/// Adds the row that an entry of a directory is.
fn entry_row(directory: &str, entry: &str, block: &Block, reader: &mut Reader, rows: &mut Rows<'_>) {
    let mut values = [Value::ABSENT; VALUES_MAX];
    for (value, column) in values.iter_mut().zip(&block.columns) {
        *value = match column.source {
            "=1" => true.into(),
            file => match reader.number(&[directory, "/", entry, "/", file]) {
                Some(speed) if file == "speed" && reader.no_speed && speed.is_negative() => Value::ABSENT,
                number => number.unwrap_or_default(),
            },
        };
    }
    let mut texts = [[0; 64]; LABELS_MAX];
    let mut labels = [&b""[..]; LABELS_MAX];
    for ((label, text), source) in labels.iter_mut().zip(&mut texts).zip(&block.labels) {
        *label = match source.strip_prefix('.') {
            Some(cut) => entry.as_bytes().get(cut.parse().unwrap_or(0)..).unwrap_or_default(),
            None => {
                let found = reader.text(&[directory, "/", entry, "/", source]).unwrap_or_default().trim_ascii();
                let length = found.len().min(text.len());
                text[..length].copy_from_slice(&found[..length]);
                &text[..length]
            }
        };
    }
    rows.push(&labels[..block.labels.len()], &values);
}

/// Adds the rows of the agent's own table that has the block's family.
fn project(block: &Block, reader: &mut Reader, rows: &mut Rows<'_>) {
    let own = rows.own;
    let sections = own.parts().iter().flat_map(|part| &part.sections);
    for section in sections {
        let place = |name: &str| {
            let mut column = 0;
            for family in section.head.families {
                if family.name() == name {
                    return Some(column);
                }
                column += family.width();
            }
            None
        };
        if place(block.source).is_none() {
            continue;
        }
        for row in section.rows() {
            let mut labels = [&b""[..]; LABELS_MAX];
            for (label, source) in labels.iter_mut().zip(&block.labels) {
                *label = source.parse().ok().and_then(|at| row.labels().nth(at)).unwrap_or_default().as_bytes();
            }
            if let Some(place) = block.labels.iter().position(|source| source.contains('/')) {
                labels[place] = reader.text(&[block.labels[place]]).unwrap_or_default().trim_ascii();
            }
            let mut values = [Value::ABSENT; VALUES_MAX];
            for (value, column) in values.iter_mut().zip(&block.columns) {
                *value = place(column.source).map(|at| row.values()[at]).unwrap_or_default();
            }
            rows.push(&labels[..block.labels.len()], &values);
        }
    }
}

/// Families whose names the kernel says: one value each.
#[derive(Debug)]
pub struct Named {
    /// Their kind, and what their names begin with.
    pattern: &'static Family,
    /// The names that the numbers had at the last collection, one behind the other, each followed by a newline.
    names: Vec<u8>,
    /// How much of `names` this collection has found again.
    found: usize,
    /// Whether each of the names is reported.
    wanted: Vec<bool>,
    count: usize,
    /// Whether `names` is not what it was when the head was made.
    changed: bool,
    values: Vec<Value>,
    changes: usize,
}

impl Named {
    pub fn new(pattern: &'static Family) -> Self {
        let (names, wanted, values) = (Vec::new(), Vec::new(), Vec::new());
        Named { pattern, names, found: 0, wanted, count: 0, changed: false, values, changes: 0 }
    }

    pub fn begin(&mut self) {
        (self.found, self.count) = (0, 0);
        self.values.clear();
    }

    /// Adds a value: the parts of its name, and what is behind it. Signs that a name cannot have become `_`, or nothing at its end.
    /// What `allows` said of a name is remembered: as a rule, names are the same at each collection.
    fn add(&mut self, parts: &[&[u8]], unit: &str, value: Option<Value>, allows: &dyn Fn(&[u8]) -> bool) {
        let Named { names, found, wanted, count, changed, values, .. } = self;
        let mut name = [0; 128];
        let mut length = 0;
        let mut put = |bytes: &[u8]| {
            for byte in bytes {
                if let Some(place) = name.get_mut(length) {
                    *place = if byte.is_ascii_alphanumeric() || *byte == b'\n' { *byte } else { b'_' };
                    length += 1;
                }
            }
        };
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                put(b"_");
            }
            let part = part.strip_suffix(b":").unwrap_or(part);
            put(part.strip_suffix(b")").unwrap_or(part));
        }
        put(unit.as_bytes());
        put(b"\n");
        let name = &name[..length];
        if !names[*found..].starts_with(name) {
            names.truncate(*found);
            wanted.truncate(*count);
            names.extend_from_slice(name);
            wanted.push(allows(name.trim_ascii_end()));
            *changed = true;
        }
        if wanted[*count] {
            values.push(value.unwrap_or_default());
        }
        *found += length;
        *count += 1;
    }

    /// Makes a row of all values, with families of their names; whether there was any.
    fn finish(&mut self, block: &mut Block, snapshot: &mut Snapshot) -> bool {
        let Named { pattern, names, found, wanted, count, changed, values, changes } = self;
        if values.is_empty() {
            return false;
        }
        if *changed || *found < names.len() {
            if *changes == CHANGES_MAX {
                return false;
            }
            *changes += 1;
            *changed = false;
            names.truncate(*found);
            wanted.truncate(*count);
            let mut families = Vec::with_capacity(values.len());
            for (name, _) in names.split(|&byte| byte == b'\n').zip(wanted).filter(|(_, wanted)| **wanted) {
                let name = format!("{}{}", pattern.name(), String::from_utf8_lossy(name));
                families.push(Family::foreign(name.leak(), pattern.kind));
            }
            let head = spec::head(Vec::new(), families, false);
            snapshot.replace(block.head, head);
            block.head = head;
        }
        snapshot.push(block.head, &[], values);
        true
    }
}
