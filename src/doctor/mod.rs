//! The doctor: looks at a machine once, and says what is wrong with it and what to type.
//!
//! The rules of the judge know what goes wrong while a machine runs. This room knows what is wrong with how it is set up, and what
//! only a look from time to time shows. A check is data, and a small function over what the kernel says; one that could not be made
//! says so, and is no finding.

mod checks;

use crate::kernel::nl80211::{self, Question};
use crate::kernel::text::{find, trim, uint, words};
use crate::kernel::watch::is_real;
use crate::kernel::{Machine, Roots, each_name, read_into};
use crate::model::{Looked, Outcome, Severity, Snapshot, check_texts};
use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

/// One thing that the doctor looks at.
#[derive(Debug)]
pub struct Check {
    pub severity: Severity,
    /// Whether it waits for a disk or a radio, which may hang: a running agent leaves that to the command.
    pub waits: bool,
    pub look: fn(&mut Look<'_>) -> Seen,
}

/// What is said about a check, a line each in `checks.txt`.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    pub name: &'a str,
    /// What it looks at.
    pub what: &'a str,
    /// What is wrong if it finds something, as a state; empty if it never does.
    pub title: &'a str,
    /// What to do then, as an imperative. `$` stands for the first thing that is wrong.
    pub fix: &'a str,
    /// How to let it look where it may not.
    pub how: &'a str,
}

/// The checks, in the order of all outputs.
pub static ALL: &[Check] = checks::ALL;

impl<'a> Words<'a> {
    /// Takes what is said about the next check off the text.
    pub fn take(rest: &mut &'a str) -> Self {
        let words = Words {
            name: take_line(rest),
            what: take_line(rest),
            title: take_line(rest),
            fix: take_line(rest),
            how: take_line(rest),
        };
        take_line(rest);
        words
    }
}

#[inline(never)]
fn take_line<'a>(rest: &mut &'a str) -> &'a str {
    let end = find(b'\n', rest.as_bytes()).unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 1..).unwrap_or("");
    line
}

/// Two texts in one, in the binary once.
#[inline(never)]
fn join(one: &str, other: &str) -> String {
    let mut text = String::new();
    text.push_str(one);
    text.push_str(other);
    text
}

/// The document about the checks, where each has a heading.
const PAGE: &str = "docs/fix/doctor.md#";

/// What a look comes to: an error is the kernel's number of it. That something is not there is no error for a check: then there is
/// nothing to look at.
pub type Seen<T = ()> = Result<T, i32>;

/// In place of an error's number: files do not tell, and this machine is not the one that they are of.
const ELSEWHERE: i32 = -1;
/// In place of an error's number: it would wait.
const WAITS: i32 = -2;

/// Returns an error's number; one that is not the kernel's is about what a file holds.
fn number_of(error: io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

/// What a check sees, and what it says.
#[derive(Debug)]
pub struct Look<'a> {
    pub roots: &'a Roots,
    pub machine: Machine,
    /// Asks a radio.
    pub radio: fn(Question, u32) -> io::Result<[u8; 4]>,
    pub snapshot: &'a Snapshot,
    /// Whether the files are this machine's, which then can be asked for other things too.
    pub is_here: bool,
    /// From which size on logs are large, in bytes.
    pub logs_max: u64,
    /// What was read last, and its text.
    at: String,
    text: Vec<u8>,
    /// What is wrong; empty if nothing is.
    detail: String,
    /// The first thing that is wrong.
    culprit: String,
    /// What a check remembers from one entry of a directory to the next.
    counts: [u64; 2],
    newest: String,
}

impl<'a> Look<'a> {
    /// Prepares a look at a machine of which the collectors saw `snapshot`.
    pub fn new(roots: &'a Roots, machine: Machine, snapshot: &'a Snapshot) -> Self {
        const LOGS_MAX: u64 = 1 << 30;
        Look {
            roots,
            machine,
            radio: nl80211::ask,
            snapshot,
            is_here: is_real(&roots.proc),
            logs_max: LOGS_MAX,
            at: String::new(),
            text: Vec::new(),
            detail: String::new(),
            culprit: String::new(),
            counts: [0; 2],
            newest: String::new(),
        }
    }

    /// Makes all checks, or those that do not wait, and hands over what came of each.
    pub fn all(&mut self, waits: bool, to: &mut dyn FnMut(&Looked<'_>)) {
        let texts = check_texts();
        let mut rest = &*texts;
        for check in ALL {
            let Words { name, what, title, fix, how } = Words::take(&mut rest);
            self.at.clear();
            self.detail.clear();
            self.culprit.clear();
            self.counts = [0; 2];
            let seen = if check.waits && !waits { Err(WAITS) } else { (check.look)(self) };
            let (outcome, title, fix) = match seen {
                _ if !self.detail.is_empty() => (Outcome::Found(check.severity), title, fix),
                Ok(()) | Err(libc::ENOENT) => (Outcome::Well, what, ""),
                Err(error) => {
                    self.refuse(error);
                    let here = "Type on the machine itself: sudo pi-monitor doctor";
                    (Outcome::Unseen, what, if error == ELSEWHERE { here } else { how })
                }
            };
            let fix = match find(b'$', fix.as_bytes()) {
                Some(at) => join(&join(&fix[..at], &self.culprit), &fix[at + 1..]),
                None => fix.to_owned(),
            };
            to(&Looked { name, outcome, title, detail: &self.detail, fix: &fix, page: PAGE });
        }
    }

    /// Says why something was not seen.
    fn refuse(&mut self, error: i32) {
        let Look { at, detail, .. } = self;
        // Writing to a string cannot fail.
        let _ = match error {
            WAITS => detail.write_str("the running agent does not wait for disks and radios"),
            ELSEWHERE => detail.write_str("files do not tell"),
            _ => write!(detail, "{at}: {}", io::Error::from_raw_os_error(error)),
        };
    }

    /// Says that something is wrong with `culprit`.
    fn say(&mut self, culprit: &str, detail: fmt::Arguments<'_>) {
        if self.detail.is_empty() {
            self.culprit.push_str(culprit);
        } else {
            self.detail.push_str("; ");
        }
        // Writing to a string cannot fail.
        let _ = self.detail.write_fmt(detail);
    }

    /// Returns the place of a file: `proc/…`, `sys/…` and `root/…` are below the trees, anything else is as it is.
    fn at(&mut self, folder: &str, file: &str) -> &Path {
        let (tree, below) = folder.split_at(folder.len().min(4));
        let (root, below) = match tree {
            "proc" => (Some(&self.roots.proc), below),
            "sys/" => (Some(&self.roots.sys), &folder[3..]),
            "root" => (Some(&self.roots.root), below),
            _ => (None, folder),
        };
        self.at.clear();
        if let Some(root) = root {
            // Flags are UTF-8. A root that is `/` ends below like the others.
            self.at.push_str(root.to_str().unwrap_or_default());
            if self.at.len() == 1 {
                self.at.clear();
            }
        }
        self.at.push_str(below);
        self.at.push_str(file);
        Path::new(&self.at)
    }

    /// Reads a file, whose text is that of [`Look::text`] then.
    fn read(&mut self, folder: &str, file: &str) -> Seen {
        let mut text = std::mem::take(&mut self.text);
        let result = read_into(self.at(folder, file), &mut text);
        self.text = text;
        result.map_err(number_of)
    }

    /// Reads a file that holds a number.
    fn number(&mut self, folder: &str, file: &str) -> Seen<u64> {
        self.read(folder, file)?;
        uint(trim(&self.text)).ok_or(libc::EINVAL)
    }

    /// Reads a number of what the bootloader of a Pi 5 found out about its supply; the first byte counts most.
    /// <https://www.raspberrypi.com/documentation/computers/configuration.html#device-tree-properties>
    fn power(&mut self, file: &str) -> Seen<u32> {
        self.read("proc/device-tree/chosen/power/", file)?;
        self.text.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(libc::EINVAL)
    }

    /// Whether the text that was read has a word.
    fn has(&self, word: &str) -> bool {
        words(&self.text).any(|other| other == word.as_bytes())
    }

    /// Hands over the entries of a directory, as their paths and their names.
    fn each(&mut self, folder: &str, to: fn(&mut Look<'a>, &str, &str) -> Seen) -> Seen {
        let place = self.at(folder, "").to_owned();
        let mut seen = Ok(());
        let listed = each_name(&place, &mut |name| {
            if seen.is_ok() {
                seen = to(self, &join(&join(folder, "/"), name), name);
            }
        });
        match listed {
            Err(error) => {
                self.at(folder, "");
                Err(number_of(error))
            }
            Ok(()) => seen,
        }
    }

    /// Asks a radio.
    fn ask(&mut self, question: Question, interface: u32) -> Seen<[u8; 4]> {
        self.at("nl80211", "");
        if self.is_here { (self.radio)(question, interface).map_err(number_of) } else { Err(ELSEWHERE) }
    }
}

#[cfg(test)]
mod tests;
