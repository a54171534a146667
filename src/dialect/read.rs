//! Reading files for the other program's families: one after the other, into the same buffer.

use super::code::{self, Code};
use super::flags::Filter;
use super::links::{self, Links};
use super::own::Own;
use super::sheet::{Page, Sheet, write_one};
use super::spec::{Block, Column, Heading, LABELS_MAX};
use crate::kernel::text::{lines, place, take_word};
use crate::kernel::{Copies, Devices, Kept, Machine, Roots, Source, each_name, read_whole, real_path};
use crate::model::{Snapshot, Value, key, resize};
use std::path::Path;

/// The most words of a line, and values of a row.
const WORDS_MAX: usize = 24;
pub const VALUES_MAX: usize = 64;

/// As long as the kernel makes the parts of a long answer over netlink.
const BUFFER: usize = 8192;

/// The most text of a block that is kept for the next page.
const MADE_MAX: usize = 1 << 15;

/// How a file is read.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It stays open; what a short read is says [`Kept::read`].
    Kept(u16),
    /// Others may replace it, and an open one would be the old one.
    Copied,
    /// It comes and goes.
    Anew,
}

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
    way: Way,
    text: Vec<u8>,
    /// How much of `text` is the file's.
    length: usize,
    kept: Kept,
    copies: Copies,
    /// The mount table, which is read again when the kernel says that it has changed: to make it takes longer than any other file.
    pub mounts: Source,
    /// Absent while they are being asked for.
    pub links: Option<Links>,
    /// The path of the file that `text` is of.
    read: String,
    /// What is known of the disks; see [`Reader::disks`](Reader::disks()).
    pub disks: String,
    /// Spare strings, reused so that a collection does not allocate.
    spare: Vec<String>,
}

impl Reader {
    pub fn new(roots: Roots, machine: Machine, udev: String) -> Self {
        let links = Some(Links::new(&roots.sys));
        let mounts = Source::new(roots.proc.join("self/mountinfo"));
        Reader {
            roots,
            machine,
            udev,
            no_speed: false,
            path: String::new(),
            way: Way::Anew,
            text: Vec::new(),
            length: 0,
            kept: Kept::default(),
            copies: Copies::default(),
            mounts,
            links,
            read: String::new(),
            disks: String::new(),
            spare: Vec::new(),
        }
    }

    /// Returns the text of a file: the parts of its path begin with `proc/`, `sys/` or `root/`. `None` if it cannot be read.
    pub fn text(&mut self, parts: &[&str]) -> Option<&[u8]> {
        self.locate(parts);
        self.read_located()
    }

    /// The same for a path that is whole. A list of one part takes room in the program for each caller.
    #[inline(never)]
    pub fn file(&mut self, path: &str) -> Option<&[u8]> {
        self.text(&[path])
    }

    fn read_located(&mut self) -> Option<&[u8]> {
        let Reader { path, way, text, length, kept, copies, read, .. } = self;
        if path != read {
            read.clear();
            *length = match *way {
                Way::Kept(short) => kept.read(path, short, text),
                Way::Copied => copies.read(path, text),
                Way::Anew => read_whole(path, text),
            }
            .ok()?;
            read.push_str(path);
        }
        Some(&text[..*length])
    }

    /// Returns room for something else than a file's text.
    pub fn buffer(&mut self) -> &mut [u8] {
        self.read.clear();
        let length = self.text.len().max(BUFFER);
        resize(&mut self.text, length);
        &mut self.text
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

    /// Takes what this collection knows of the disks that are `wanted`: for each a line of its numbers, its name and whether it rotates,
    /// then udev's text, then a NUL byte. It belongs into [`Reader::disks`].
    pub fn disks(&mut self, wanted: &mut dyn FnMut(&str) -> bool) -> String {
        let mut all = std::mem::take(&mut self.disks);
        if !all.is_empty() {
            return all;
        }
        let disks = self.copy(&["proc/diskstats"]);
        let directory = std::mem::take(&mut self.udev);
        for line in disks.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(major), Some(minor), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
            // Nothing is read of a disk that is not reported.
            if wanted(name) {
                let rotational = self.text(&["sys/block/", name, "/queue/rotational"]).unwrap_or(b"0");
                let rotational = std::str::from_utf8(rotational).unwrap_or_default().trim();
                for part in [major, " ", minor, " ", name, " ", rotational, "\n"] {
                    all.push_str(part);
                }
                let text = self.text(&[&directory, "/b", major, ":", minor]).unwrap_or_default();
                all.push_str(&String::from_utf8_lossy(text));
                all.push('\0');
            }
        }
        self.udev = directory;
        self.give(disks);
        all
    }

    /// Begins a collection: files are read anew. Within one, what is asked for twice in a row is read once.
    pub fn begin(&mut self) {
        self.read.clear();
        self.disks.clear();
        self.kept.begin();
        if let Some(links) = &mut self.links {
            links.begin();
        }
    }

    /// Returns the number in a file.
    pub fn number(&mut self, parts: &[&str]) -> Option<Value> {
        number(self.text(parts)?)
    }

    /// Returns where the parts of a path lead.
    pub fn locate(&mut self, parts: &[&str]) -> &Path {
        /// What the kernel prints in records that may be longer than half a page.
        const LONG: &str = "cpuinfo diskstats interrupts mdstat";
        const SHORT: u16 = 2048;
        /// What it prints as one record (`proc_create_net_single` in `net/ipv4/proc.c` and `net/ipv6/proc.c`).
        const SINGLE: &str = "net/netstat net/snmp net/snmp6";
        let Reader { roots, path, way, .. } = self;
        path.clear();
        let (tree, below) = parts[0].split_once('/').unwrap_or_default();
        let root;
        (root, *way) = match tree {
            "" => (Path::new("/"), Way::Copied),
            // Files of processes.
            "proc" if below.is_empty() => (&*roots.proc, Way::Anew),
            "proc" if place(below.as_bytes(), LONG).is_some() => (&*roots.proc, Way::Kept(0)),
            "proc" if place(below.as_bytes(), SINGLE).is_some() => (&*roots.proc, Way::Kept(u16::MAX)),
            "proc" => (&*roots.proc, Way::Kept(SHORT)),
            "sys" => (&*roots.sys, Way::Kept(u16::MAX)),
            _ => (&*roots.root, Way::Copied),
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

/// Where the rows of a block go.
pub struct Rows<'a> {
    sheet: &'a mut Sheet,
    to: &'a mut Page,
    heading: &'a Heading,
    /// The names of the labels, and where they are read.
    pub labels: &'a [&'static str],
    pub sources: &'a [&'static str],
    pub columns: &'a [Column],
    /// All filters that there are.
    filters: &'a [Filter],
    /// What the filters said at the last collection, and how many of these were asked for in this one; see [`Rows::said`].
    known: &'a mut Vec<u32>,
    next: usize,
    /// The agent's own rows of this moment.
    pub own: &'a Snapshot,
    /// Whether there was any.
    pub any: bool,
}

impl Rows<'_> {
    /// Returns what a filter said at the last collection, by a hash of what it was asked. As a rule, things are the same each time, and in
    /// the same order.
    #[inline(never)]
    fn said(&mut self, hash: u64) -> Option<bool> {
        let said = *self.known.get(self.next)?;
        if (said ^ (hash >> 32) as u32) & !AGREED != 0 {
            return None;
        }
        self.next += 1;
        Some(said & AGREED != 0)
    }

    /// Asks a filter whether it reports a thing of this name, and remembers what it said.
    #[inline(never)]
    fn ask(&mut self, filter: &str, hash: u64, name: &[u8]) -> bool {
        let agreed = filter.is_empty() || Filter::allows(self.filters, filter, name);
        self.known.truncate(self.next);
        self.known.push((hash >> 32) as u32 & !AGREED | u32::from(agreed));
        self.next += 1;
        agreed
    }

    /// Returns whether the block's filters report a row of these labels.
    fn allow(&mut self, labels: &[&[u8]]) -> bool {
        self.heading.filters.iter().all(|(filter, label)| {
            let label = labels.get(*label).copied().unwrap_or_default();
            let hash = key(label, filter.len());
            filter.is_empty() || self.said(hash).unwrap_or_else(|| self.ask(filter, hash, label))
        })
    }

    /// Returns whether the block's filters report a thing of this name.
    pub fn allows(&mut self, name: &[u8]) -> bool {
        self.allow(&[name])
    }

    /// Adds a number to the families whose names the kernel says: the parts of its name, and what is behind it.
    #[inline(never)]
    pub fn name(&mut self, parts: &[&[u8]], unit: &str, value: &[u8], factor: u64) {
        let hash = parts.iter().fold(unit.len() as u64, |hash, part| key(part, hash as usize));
        let said = self.said(hash);
        if said == Some(false) {
            return;
        }
        let mut name = [0; NAME_MAX];
        let length = clean(parts, unit, &mut name);
        let name = &name[..length];
        let (filter, _) = self.heading.filters[0];
        if said.unwrap_or_else(|| self.ask(filter, hash, name)) && self.sheet.is_new(name) {
            let value = number(value).unwrap_or_default().times(factor);
            write_one(self.columns[0], name, value, self.to);
            self.any = true;
        }
    }

    /// Adds a row that has a value, after the columns' factors.
    pub fn push(&mut self, labels: &[&[u8]], values: &[Value]) {
        self.push_named("", labels, values);
    }

    /// The same for a row whose family has a name of its own, behind that of the column.
    pub fn push_named(&mut self, name: &str, labels: &[&[u8]], values: &[Value]) {
        if self.allow(labels) {
            self.add(name, labels, values);
        }
    }

    /// Adds a row that the filters report.
    fn add(&mut self, name: &str, labels: &[&[u8]], values: &[Value]) {
        let values = &values[..self.columns.len().min(values.len())];
        if values.iter().any(|value| value.is_present()) {
            self.sheet.push(name, self.heading, labels, values, self.columns);
            self.any = true;
        }
    }
}

/// In what a filter said.
const AGREED: u32 = 1;

/// The most bytes of a name that the kernel says.
const NAME_MAX: usize = 128;

/// Joins the parts of a name with `_`. Signs that a name cannot have become `_`, too, or nothing at the end of a part.
fn clean(parts: &[&[u8]], unit: &str, name: &mut [u8; NAME_MAX]) -> usize {
    let mut length = 0;
    let mut put = |bytes: &[u8]| {
        for byte in bytes {
            if let Some(place) = name.get_mut(length) {
                *place = if byte.is_ascii_alphanumeric() { *byte } else { b'_' };
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
    length
}

/// The entries of a directory, and where their devices are.
#[derive(Debug)]
pub struct List {
    directory: &'static str,
    entries: Devices<String>,
    /// Whether it was listed in this collection.
    pub is_fresh: bool,
}

impl List {
    /// Returns the list of a directory as it is now.
    fn of<'a>(lists: &'a mut Vec<List>, directory: &'static str, roots: &Roots) -> &'a mut Devices<String> {
        let place = lists.iter().position(|list| list.directory == directory).unwrap_or_else(|| {
            let path = directory.strip_prefix("sys/").map_or_else(|| roots.proc.clone(), |below| roots.sys.join(below));
            lists.push(List { directory, entries: Devices::new(path, |_| true), is_fresh: false });
            lists.len() - 1
        });
        let List { entries, is_fresh, .. } = &mut lists[place];
        if !std::mem::replace(is_fresh, true) {
            // Where a sensor's device is does not change while it is there.
            let wants_device = directory.ends_with("hwmon");
            let device = |path: &Path| wants_device.then(|| real_path(&path.join("device"))).flatten();
            entries.update(&|path| device(path).unwrap_or_default());
        }
        entries
    }
}

/// A block at work.
#[derive(Debug)]
pub struct Work {
    pub block: Block,
    pub heading: Heading,
    /// Where the rows are among the agent's own, if they are taken from there.
    own: Option<Own>,
    /// What the filters said; see [`Rows::said`].
    known: Vec<u32>,
    code: Option<Code>,
    /// What it wrote, and a number that changes with what that was made of, if there is one.
    made: Vec<u8>,
    made_of: Option<u64>,
    /// Whether no flag leaves it out.
    pub is_on: bool,
}

impl Work {
    pub fn new(block: Block) -> Self {
        let heading = Heading::parse(block.line);
        let code = match heading.shape {
            "code" => code::find(heading.source),
            "each" => code::find(heading.second),
            _ => None,
        };
        Work { block, heading, own: None, known: Vec::new(), code, made: Vec::new(), made_of: None, is_on: true }
    }

    /// Reads the block's rows, and hands on its families; whether there was any.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the dialect that others borrow at other times")]
    pub fn collect(
        &mut self,
        reader: &mut Reader,
        lists: &mut Vec<List>,
        filters: &[Filter],
        columns: &[Column],
        own: &Snapshot,
        sheet: &mut Sheet,
        to: &mut Page,
    ) -> bool {
        let Work { block, heading, own: at, known, code, made, made_of, is_on } = self;
        if !*is_on {
            return false;
        }
        let heading = &*heading;
        let start = to.len();
        let is_link = heading.filters[0].0 == "netclass";
        let inputs = if is_link { links::state(reader) } else { None };
        if inputs.is_some() && *made_of == inputs {
            to.extend_from_slice(made);
            return !made.is_empty();
        }
        let columns = &columns[block.columns.clone()];
        let (labels, sources) = (heading.labels(), heading.sources());
        let mut rows = Rows { sheet, to, heading, labels, sources, columns, filters, known, next: 0, own, any: false };
        let Heading { shape, source, second, .. } = *heading;
        match shape {
            "words" | "rows" => {
                let headings = second.parse().unwrap_or(0);
                for (number, line) in lines(reader.file(source).unwrap_or_default()) {
                    if shape == "words" || number > headings {
                        row_of(line, &mut rows);
                    }
                }
            }
            "files" => {
                let mut values = [Value::ABSENT; VALUES_MAX];
                for (value, column) in values.iter_mut().zip(columns) {
                    *value = reader.number(&[column.source()]).unwrap_or_default();
                }
                rows.push(&[], &values);
            }
            "dirs" | "each" => {
                let (directory, start) = source.rsplit_once('/').unwrap_or_default();
                let start = start.trim_end_matches('*').as_bytes();
                for entry in List::of(lists, directory, &reader.roots).all() {
                    let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
                    let number = entry.name.strip_prefix(start);
                    if number.is_none_or(|it| !start.is_empty() && !it.first().is_some_and(u8::is_ascii_digit)) {
                        continue;
                    }
                    match code {
                        Some(code) => code(reader, &[directory, "/", name, "/", &entry.state], &mut rows),
                        None => entry_row(directory, name, reader, &mut rows),
                    }
                }
            }
            "from" => {
                if at.is_none() {
                    *at = Own::find(own, source, columns);
                }
                if let Some(at) = at {
                    at.project(reader, &mut rows);
                }
            }
            _ => {
                if let Some(code) = code {
                    code(reader, &[], &mut rows);
                }
            }
        }
        let Rows { sheet, to, any, .. } = rows;
        sheet.write(columns, to);
        *made_of = inputs.filter(|_| to.len() - start <= MADE_MAX);
        if made_of.is_some() {
            made.clear();
            made.extend_from_slice(&to[start..]);
        }
        any
    }
}

/// Adds the row that a line is.
fn row_of(line: &[u8], rows: &mut Rows<'_>) {
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
    for (label, source) in labels.iter_mut().zip(rows.sources) {
        let found = word(source);
        *label = found.strip_suffix(b":").unwrap_or(found);
    }
    // Most disks are not reported.
    if !rows.allow(&labels) {
        return;
    }
    let mut values = [Value::ABSENT; VALUES_MAX];
    for (value, column) in values.iter_mut().zip(rows.columns) {
        *value = number(word(column.source())).unwrap_or_default();
    }
    rows.add("", &labels, &values);
}

/// Adds the row that an entry of a directory is.
fn entry_row(directory: &str, entry: &str, reader: &mut Reader, rows: &mut Rows<'_>) {
    let mut values = [Value::ABSENT; VALUES_MAX];
    for (value, column) in values.iter_mut().zip(rows.columns) {
        let file = column.source();
        *value = match file.split_once('=') {
            Some(("", _)) => true.into(),
            Some((file, word)) => {
                reader.text(&[directory, "/", entry, "/", file]).map(|text| text.trim_ascii() == word.as_bytes()).into()
            }
            None if file == "statistics/rx_nohandler" => {
                let unwanted = reader.links.as_ref().and_then(|links| links.unwanted(entry));
                unwanted.map_or_else(|| reader.number(&[directory, "/", entry, "/", file]), |it| Some(it.into())).into()
            }
            None => match reader.number(&[directory, "/", entry, "/", file]) {
                Some(speed) if file == "speed" && reader.no_speed && speed.is_negative() => Value::ABSENT,
                number => number.unwrap_or_default(),
            },
        };
    }
    let mut texts = [[0; 64]; LABELS_MAX];
    let mut labels = [&b""[..]; LABELS_MAX];
    for ((label, text), source) in labels.iter_mut().zip(&mut texts).zip(rows.sources) {
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
    rows.push(&labels, &values);
}
