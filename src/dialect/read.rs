//! Reading files for the other program's families: one after the other, into the same buffer.

use super::code;
use super::flags::Filter;
use super::links::{self, Links};
use super::own::Own;
use super::rows::{Desk, Rows};
use super::sheet::Slot;
use super::spec::{Block, LABELS_MAX, Shape};
use crate::kernel::text::{lines, take_word, words};
use crate::kernel::{Copies, Devices, Kept, Machine, Roots, Source, each_name, read_whole, real_path};
use crate::model::{Value, key, resize};
use std::io;
use std::path::Path;

/// The most words of a line, and values of a row.
const WORDS_MAX: usize = 24;
pub const VALUES_MAX: usize = 64;

/// As long as the kernel makes the parts of a long answer over netlink.
const BUFFER: usize = 8192;

/// How a file is read.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It stays open; what a short read is says [`Kept::open`].
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
    text: Vec<u8>,
    /// How much of `text` is the file's.
    length: usize,
    kept: Kept,
    copies: Copies,
    /// The mount table, which is read again when the kernel says that it has changed: to make it takes longer than any other file.
    pub mounts: Source,
    /// Absent while they are being asked for.
    pub links: Option<Links>,
    /// A hash of the path of the file that `text` is of; 0 if it is of none.
    read: u64,
    /// What this collection knows of the disks that are reported: for each a line of its numbers, its name and whether it rotates, then
    /// udev's text, then a NUL byte.
    pub disks: String,
    /// What the filters said of each line of `/proc/diskstats`: hashes of the names, of which the last bit is the answer.
    asked: Vec<u64>,
    /// Of IPv4 and IPv6: whether there may be UDP sockets, and whether any was listed when somebody looked last.
    pub udp_in_use: [bool; 2],
    pub udp_listed: [bool; 2],
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
            text: Vec::new(),
            length: 0,
            kept: Kept::default(),
            copies: Copies::default(),
            mounts,
            links,
            read: 0,
            disks: String::new(),
            asked: Vec::new(),
            udp_in_use: [true; 2],
            udp_listed: [true; 2],
            spare: Vec::new(),
        }
    }

    /// Returns the text of a file: the parts of its path begin with `proc/`, `sys/` or `root/`. `None` if it cannot be read.
    ///
    /// A file that is open is known by its parts, without its path; it is opened once more if it is asked for in other parts.
    pub fn text(&mut self, parts: &[&str]) -> Option<&[u8]> {
        let hash = parts.iter().fold(1, |hash, part| key(*part, hash as usize));
        if hash != self.read {
            self.read = 0;
            let read = self.kept.read(hash, &mut self.text).unwrap_or_else(|| self.open(hash, parts));
            self.length = read.ok()?;
            self.read = hash;
        }
        Some(&self.text[..self.length])
    }

    #[inline(never)]
    fn open(&mut self, hash: u64, parts: &[&str]) -> io::Result<usize> {
        let way = self.locate(parts);
        let (path, text) = (Path::new(&self.path), &mut self.text);
        match way {
            Way::Kept(short) => self.kept.open(hash, path, short, text),
            Way::Copied => self.copies.read(hash, path, text),
            Way::Anew => read_whole(path, text),
        }
    }

    /// The same for a path that is whole. A list of one part takes room in the program for each caller.
    #[inline(never)]
    pub fn file(&mut self, path: &str) -> Option<&[u8]> {
        self.text(&[path])
    }

    /// Returns room for something else than a file's text.
    pub fn buffer(&mut self) -> &mut [u8] {
        self.read = 0;
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
        self.locate(parts);
        let _ = each_name(Path::new(&self.path), &mut |name| {
            if wanted(name) {
                names.push_str(name);
                names.push('\n');
            }
        });
        names
    }

    /// Looks at the disks that are reported, and returns a hash of what is known of them, which is then in [`Reader::disks`].
    pub fn look_at_disks(&mut self, filters: &[Filter]) -> u64 {
        let mut all = std::mem::take(&mut self.disks);
        if !all.is_empty() {
            let hash = key(&all, 0);
            self.disks = all;
            return hash;
        }
        let disks = self.copy(&["long/diskstats"]);
        let directory = std::mem::take(&mut self.udev);
        let mut known = std::mem::take(&mut self.asked);
        for (place, (_, line)) in lines(disks.as_bytes()).enumerate() {
            let mut words = words(line).map(|word| std::str::from_utf8(word).unwrap_or_default());
            let (Some(major), Some(minor), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
            let hash = key(name, 0) & !1;
            let wanted = match known.get(place) {
                Some(said) if said & !1 == hash => said & 1 == 1,
                _ => {
                    let wanted = Filter::allows(filters, "diskstats", name.as_bytes());
                    known.truncate(place);
                    known.push(hash | u64::from(wanted));
                    wanted
                }
            };
            // Nothing is read of a disk that is not reported.
            if wanted {
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
        let hash = key(&all, 0);
        (self.udev, self.asked, self.disks) = (directory, known, all);
        self.give(disks);
        hash
    }

    /// Begins a collection: files are read anew. Within one, what is asked for twice in a row is read once.
    pub fn begin(&mut self) {
        self.read = 0;
        self.disks.clear();
        self.udp_in_use = [true; 2];
        self.kept.begin();
        if let Some(links) = &mut self.links {
            links.begin();
        }
    }

    /// Returns the number in a file.
    pub fn number(&mut self, parts: &[&str]) -> Option<Value> {
        number(self.text(parts)?)
    }

    /// Puts together where the parts of a path lead. The first begins with the name of a tree, which says how a file of it is read: in `/proc`
    /// the kernel prints most in records of less than half a page, those of `long/` perhaps in longer ones, those of `single/` as one
    /// (`proc_create_net_single` in `net/ipv4/proc.c` and `net/ipv6/proc.c`), and those of `live/` are files of processes.
    fn locate(&mut self, parts: &[&str]) -> Way {
        const SHORT: u16 = 2048;
        let Reader { roots, path, .. } = self;
        path.clear();
        let (tree, below) = parts[0].split_once('/').unwrap_or_default();
        let (root, way) = match tree {
            "" => (Path::new("/"), Way::Copied),
            "proc" => (&*roots.proc, Way::Kept(SHORT)),
            "long" => (&*roots.proc, Way::Kept(0)),
            "single" => (&*roots.proc, Way::Kept(u16::MAX)),
            "live" => (&*roots.proc, Way::Anew),
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
        way
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
    /// Where the rows are among the agent's own, if they are taken from there.
    own: Option<Box<Own>>,
    /// The rows of the last page; see [`Rows`].
    known: Vec<u32>,
    /// Where their numbers are on it.
    slots: Vec<Slot>,
    /// Whether they could be noted.
    has_slots: bool,
    /// How much text of it is on the last page, and a number that changes with what that was made of, if there is one.
    length: u32,
    made_of: Option<u64>,
}

impl Work {
    pub fn new(block: Block) -> Self {
        let (known, slots) = (Vec::new(), Vec::new());
        Work { block, own: None, known, slots, has_slots: false, length: 0, made_of: None }
    }

    /// Reads the block's rows, and hands on its families; whether there was any.
    pub fn collect(&mut self, reader: &mut Reader, lists: &mut Vec<List>, desk: &mut Desk<'_>) -> bool {
        if !self.block.is_on {
            return false;
        }
        let inputs = self.inputs(reader, desk);
        if desk.has_last && inputs.is_some() && self.made_of == inputs {
            desk.draft.keep(self.length as usize);
            return self.length > 0;
        }
        self.made_of = inputs;
        let Block { shape, source, .. } = self.block;
        if matches!(shape, Shape::From) && self.own.is_none() {
            self.own = Own::find(desk.own, source, self.block.columns(desk.columns)).map(Box::new);
        }
        let own = self.own.take();
        let any = self.fill(desk, &mut |rows| match shape {
            Shape::Rows(headings) => {
                for (number, line) in lines(reader.file(source).unwrap_or_default()) {
                    if number > headings {
                        row_of(line, rows);
                    }
                }
            }
            Shape::Files => {
                let mut values = [Value::ABSENT; VALUES_MAX];
                for (value, column) in values.iter_mut().zip(rows.columns) {
                    *value = reader.number(&[column.source()]).unwrap_or_default();
                }
                rows.push(&[], &values);
            }
            Shape::Dirs(code) => {
                let (directory, start) = source.rsplit_once('/').unwrap_or_default();
                let start = start.trim_end_matches('*').as_bytes();
                for entry in List::of(lists, directory, &reader.roots).all() {
                    let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
                    let number = entry.name.strip_prefix(start);
                    if number.is_none_or(|it| !start.is_empty() && !it.first().is_some_and(u8::is_ascii_digit)) {
                        continue;
                    }
                    match code {
                        Some(code) => code(reader, &[directory, "/", name, "/", &entry.state], rows),
                        None => entry_row(directory, name, reader, rows),
                    }
                }
            }
            Shape::From => {
                if let Some(own) = &own {
                    own.project(reader, rows);
                }
            }
            Shape::Code(code) => {
                if let Some(code) = code {
                    code(reader, &[], rows);
                }
            }
        });
        self.own = own;
        any
    }

    /// Returns a number that is another one when the rows may be, if that is easier to tell than to read them.
    fn inputs(&self, reader: &mut Reader, desk: &Desk<'_>) -> Option<u64> {
        match self.block.source {
            "udev" => Some(reader.look_at_disks(desk.filters)),
            "os" => Some(key(code::release(reader), 0)),
            _ if self.block.filters[0] == "netclass" => links::state(reader),
            _ => None,
        }
    }

    /// Writes the rows that `each` hands on, where they are on the last page if they are the same; whether there was any.
    ///
    /// If they are not, `each` is asked once more.
    pub fn fill(&mut self, desk: &mut Desk<'_>, each: &mut dyn FnMut(&mut Rows<'_>)) -> bool {
        let Work { block, known, slots, has_slots, length, .. } = self;
        let Desk { filters, columns, own, sheet, draft, has_last, helps } = desk;
        let columns = block.columns(columns);
        let (labels, sources) = (block.labels(), block.sources());
        let last = if *has_last { *length as usize } else { 0 };
        let start = draft.len();
        for is_new in [!*has_last || !*has_slots, true] {
            sheet.clear();
            if is_new {
                known.clear();
                slots.clear();
            }
            let mut rows = Rows { sheet, block, labels, sources, columns, filters, known, next: 0, is_new, own };
            each(&mut rows);
            if is_new {
                draft.skip(last);
                slots.reserve_exact(sheet.count());
                *has_slots = sheet.write(columns, helps, draft, slots);
                break;
            } else if rows.are_same() && sheet.fits(slots) {
                sheet.fill(slots, last, draft);
                break;
            }
        }
        *length = (draft.len() - start) as u32;
        sheet.count() > 0
    }
}

/// Adds the row that a line is.
fn row_of(line: &[u8], rows: &mut Rows<'_>) {
    let mut words = [&b""[..]; WORDS_MAX];
    let (mut rest, mut count) = (line, 0);
    let mut labels = [&b""[..]; LABELS_MAX];
    for (label, source) in labels.iter_mut().zip(rows.sources) {
        let found = word(source, &mut words, &mut count, &mut rest);
        *label = found.strip_suffix(b":").unwrap_or(found);
    }
    // Most disks are not reported.
    let Some(hash) = rows.begin("", &labels[..rows.sources.len()]) else { return };
    let mut values = [Value::ABSENT; VALUES_MAX];
    for (value, column) in values.iter_mut().zip(rows.columns) {
        *value = number(word(column.source(), &mut words, &mut count, &mut rest)).unwrap_or_default();
    }
    rows.end(hash, "", &labels, &values);
}

/// Returns the word of a line that a source says; what is before it is taken from `rest` first.
fn word<'a>(source: &str, words: &mut [&'a [u8]; WORDS_MAX], count: &mut usize, rest: &mut &'a [u8]) -> &'a [u8] {
    let wanted = source.bytes().fold(0, |number, digit| number * 10 + usize::from(digit.wrapping_sub(b'0')));
    while let Some(word) = words.get_mut(*count).filter(|_| *count <= wanted) {
        *word = take_word(rest).unwrap_or_default();
        *count += 1;
    }
    words.get(wanted).copied().unwrap_or_default()
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
    rows.push(&labels[..rows.sources.len()], &values);
}
