//! `/var/lib/dpkg/status` and `/lib/apk/db/installed`: which packages are installed, and what has changed about that.
//! <https://man7.org/linux/man-pages/man5/deb-control.5.html>, <https://wiki.alpinelinux.org/wiki/Apk_spec>
//!
//! Both lists are replaced by rename, so the file is looked at by its name, about once a minute, and read when it has been
//! the same for as long: an upgrade replaces it again and again. It has megabytes and is on a disk, which may be
//! slow or hang, so a child process reads it; it compares what it reads with a table of four bytes for each
//! package, which is all that is remembered. Hence a package that is gone is counted and not named.

use crate::model::{Note, Severity, crc32, kinds};
use crate::runtime::sandbox::{Call, Needs, Rights};
use crate::sys::{self, Child};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Both files are replaced, so their directories are needed.
pub const NEEDS: Needs = Needs {
    paths: "root/var/lib/dpkg root/lib/apk/db",
    // To end a child that the disk does not answer.
    rights: &Rights { calls: &[Call::With(libc::SYS_kill, libc::SIGKILL as u32)], ..Rights::NONE },
};

/// A list of packages: where it is, and how its lines begin that have name, version, architecture, and state.
struct List {
    path: &'static str,
    fields: [&'static [u8]; 4],
}

static LISTS: [List; 2] = [
    List { path: "var/lib/dpkg/status", fields: [b"Package: ", b"Version: ", b"Architecture: ", b"Status: "] },
    // All that is listed is installed.
    List { path: "lib/apk/db/installed", fields: [b"P:", b"V:", b"A:", b"\n"] },
];

/// The most packages that are followed.
const PACKAGES_MAX: usize = 3500;
/// How many packages an event names.
const NAMED_MAX: u16 = 5;
/// How many ticks are between two looks.
const LOOK: u32 = 30;
/// For how many ticks a child may be at it.
const PATIENCE: u32 = 10 * LOOK;
/// What stands before the names in a child's message: how many were installed, upgraded and removed, and the names' length.
const HEAD: usize = 8;
const MESSAGE_MAX: usize = HEAD + Text::MAX + 4 * PACKAGES_MAX;

/// A text of limited length that needs no memory of its own.
struct Text {
    bytes: [u8; Text::MAX],
    length: usize,
}

impl Text {
    const MAX: usize = 240;

    const fn new() -> Self {
        Text { bytes: [0; Text::MAX], length: 0 }
    }

    /// Appends what there is room for.
    fn push(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(Text::MAX - self.length);
        self.bytes[self.length..self.length + count].copy_from_slice(&bytes[..count]);
        self.length += count;
    }

    fn set(&mut self, bytes: &[u8]) {
        self.length = 0;
        self.push(bytes);
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Reads a list piece by piece, and compares it with a table that was made of an earlier one.
struct Reader<'a> {
    fields: &'a [&'static [u8]; 4],
    /// How the line begins that is being read.
    line: Text,
    /// What is known of the package that is being read.
    values: [Text; 4],
    /// Whether its paragraph has a line.
    open: bool,
    before: &'a [u8],
    /// Where in `before` the next package is expected: the order is nearly the same.
    place: usize,
    table: [u8; 4 * PACKAGES_MAX],
    count: usize,
    installed: u16,
    upgraded: u16,
    known: u16,
    named: Text,
}

impl<'a> Reader<'a> {
    fn new(list: &'a List, before: &'a [u8]) -> Self {
        Reader {
            fields: &list.fields,
            line: Text::new(),
            values: [const { Text::new() }; 4],
            open: false,
            before,
            place: 0,
            table: [0; 4 * PACKAGES_MAX],
            count: 0,
            installed: 0,
            upgraded: 0,
            known: 0,
            named: Text::new(),
        }
    }

    #[inline(never)]
    fn read(&mut self, text: &[u8]) {
        for piece in text.split_inclusive(|&byte| byte == b'\n') {
            let (line, ends) = match piece {
                [line @ .., b'\n'] => (line, true),
                line => (line, false),
            };
            self.line.push(line);
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let Reader { fields, line, values, open, .. } = self;
        if line.length == 0 {
            self.end_package();
            return;
        }
        *open = true;
        for (field, value) in fields.iter().zip(values) {
            if let Some(rest) = line.get().strip_prefix(*field) {
                value.set(rest);
            }
        }
        line.length = 0;
    }

    /// An empty line: such as `Package: bash`, `Status: install ok installed`, `Architecture: arm64`, `Version: 5.2.15-2+b7` came before.
    fn end_package(&mut self) {
        self.open = false;
        let [name, version, architecture, state] = &self.values;
        let is_installed = self.fields[3] == b"\n" || state.get().ends_with(b" installed");
        if name.length > 0 && version.length > 0 && is_installed {
            let code = crc32(crc32(0, name.get()), architecture.get()) & !VERSION | crc32(0, version.get()) & VERSION;
            let at = |place: usize| self.before.get(4 * place..4 * place + 4).map_or(0, number);
            let count = self.before.len() / 4;
            let find = |is: &dyn Fn(u32) -> bool| (0..count).find(|place| is(at(*place)));
            let same = if at(self.place) == code { Some(self.place) } else { find(&|it| it == code) };
            let found = same.or_else(|| find(&|it| (it ^ code) & !VERSION == 0));
            if same.is_none() {
                let counter = if found.is_some() { &mut self.upgraded } else { &mut self.installed };
                *counter += 1;
                if self.upgraded + self.installed <= NAMED_MAX {
                    for text in [if self.named.length > 0 { &b", "[..] } else { b"" }, name.get(), b" ", version.get()]
                    {
                        self.named.push(text);
                    }
                }
            }
            if let Some(place) = found {
                self.place = place + 1;
                self.known += 1;
            }
            if let Some(entry) = self.table.get_mut(4 * self.count..4 * self.count + 4) {
                entry.copy_from_slice(&code.to_le_bytes());
            }
            self.count += 1;
        }
        for value in &mut self.values {
            value.length = 0;
        }
    }

    /// Returns what is to be said of the list, in `message`; an empty message if there are too many packages, and `None` if the list
    /// ends in the middle of one, or has none.
    fn end<'b>(&self, message: &'b mut [u8; MESSAGE_MAX]) -> Option<&'b [u8]> {
        if self.open || self.line.length > 0 || self.count == 0 {
            return None;
        }
        if self.count > PACKAGES_MAX {
            return Some(&[]);
        }
        let removed = (self.before.len() / 4) as u16 - self.known;
        for (place, number) in [self.installed, self.upgraded, removed, self.named.length as u16].iter().enumerate() {
            message[2 * place..2 * place + 2].copy_from_slice(&number.to_le_bytes());
        }
        let names = HEAD + self.named.length;
        message[HEAD..names].copy_from_slice(self.named.get());
        message[names..names + 4 * self.count].copy_from_slice(&self.table[..4 * self.count]);
        Some(&message[..names + 4 * self.count])
    }
}

/// The bits of a package's four bytes that its version has; the others are its name's.
const VERSION: u32 = 0xfff;

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap_or_default())
}

/// Changes in words: `Packages: 1 installed, 3 upgraded`.
struct Changes([u16; 3]);

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "Packages: ";
        for (place, word) in ["installed", "upgraded", "removed"].iter().enumerate() {
            if self.0[place] > 0 {
                write!(f, "{before}{} {word}", self.0[place])?;
                before = ", ";
            }
        }
        Ok(())
    }
}

/// What tells one version of a file from another.
type Stamp = (i64, i64, u64, u64);

/// Follows the list of packages.
#[derive(Debug)]
pub struct Packages {
    path: PathBuf,
    list: usize,
    /// How the file was when it was last looked at, and when it was last read.
    seen: Option<Stamp>,
    read: Option<Stamp>,
    /// Ticks since it was last looked at, or since a child reads it.
    ticks: u32,
    child: Option<(Child, OwnedFd)>,
}

impl Packages {
    /// Follows the list of the distribution whose files are below `root`; `None` if there is none.
    pub fn new(root: &Path) -> Option<Self> {
        let list = LISTS.iter().position(|list| root.join(list.path).exists())?;
        let path = root.join(LISTS[list].path);
        Some(Packages { path, list, seen: None, read: None, ticks: 0, child: None })
    }

    /// Looks whether there is something new, and hands it to `to`. `table` has what is known, and is brought up to date; what it is
    /// compared with at first is what an earlier run of the agent left there.
    pub fn tick(&mut self, table: &mut Vec<u8>, to: &mut dyn FnMut(Note<'_>)) {
        self.ticks += 1;
        if self.child.is_some() {
            self.hear(table, to);
        } else if self.ticks >= LOOK {
            self.ticks = 0;
            let stamp = std::fs::metadata(&self.path).ok().map(|it| (it.mtime(), it.mtime_nsec(), it.size(), it.ino()));
            let is_quiet = stamp == self.seen;
            self.seen = stamp;
            if is_quiet && stamp.is_some() && stamp != self.read {
                self.read = stamp;
                self.child = sys::fork_task(&|send| scan(&self.path, &LISTS[self.list], table, send)).ok();
            }
        }
    }

    /// Takes the child's answer.
    fn hear(&mut self, table: &mut Vec<u8>, to: &mut dyn FnMut(Note<'_>)) {
        let Some((child, socket)) = &self.child else { return };
        let mut message = [0; MESSAGE_MAX];
        match sys::receive(socket, &mut message) {
            Ok(length @ HEAD..) => {
                let count = |place: usize| u16::from_le_bytes([message[2 * place], message[2 * place + 1]]);
                let changes = [count(0), count(1), count(2)];
                let names = HEAD + usize::from(count(3));
                let is_first = table.is_empty();
                table.clear();
                table.extend_from_slice(message.get(names..length).unwrap_or_default());
                if changes != [0; 3] && !is_first {
                    let named = String::from_utf8_lossy(message.get(HEAD..names).unwrap_or_default());
                    let mut note = |detail: fmt::Arguments<'_>| {
                        to(Note {
                            kind: &kinds::PACKAGES,
                            severity: Severity::Info,
                            title: format_args!("{}", Changes(changes)),
                            detail,
                            culprit: "",
                        });
                    };
                    match (changes[0] + changes[1]).saturating_sub(NAMED_MAX) {
                        0 => note(format_args!("{named}")),
                        more => note(format_args!("{named} and {more} more")),
                    }
                }
            }
            // Too many, or it could not be read.
            Ok(_) => {}
            Err(_) if self.ticks < PATIENCE => return,
            Err(_) => child.kill(),
        }
        // One that hangs in the kernel is waited for, and nothing is read before it has ended.
        if child.has_ended() {
            self.child = None;
            self.ticks = 0;
        }
    }
}

/// Reads a list, in a child: without memory of its own.
fn scan(path: &Path, list: &List, before: &[u8], send: sys::Sink<'_>) {
    let Ok(mut file) = File::open(path) else { return };
    let mut reader = Reader::new(list, before);
    let mut buffer = [0; 16 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => reader.read(&buffer[..length]),
            Err(_) => return,
        }
    }
    if let Some(message) = reader.end(&mut [0; MESSAGE_MAX]) {
        send(message);
    }
}

/// Runs the parser, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    for list in &LISTS {
        let mut reader = Reader::new(list, &[1; 40]);
        text.chunks(7).for_each(|piece| reader.read(piece));
        reader.end(&mut [0; MESSAGE_MAX]);
    }
}

#[cfg(test)]
mod tests;
