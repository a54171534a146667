//! Metrics that other programs leave in files, in Prometheus' text format: what scripts and cron jobs know.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
//!
//! Files are looked at when somebody scrapes, and read when one of them has changed. A malformed file is left out as a whole; what
//! would contradict the agent's own families or those of another file is left out alone. Either way the page stays good.

mod merge;
mod parse;

use super::{Collect, Context, Registration, Reserved, Setup};
use crate::cli::Flag;
use crate::kernel::mounts::Mounts;
use crate::kernel::{Fault, First, Source, Stamp, read_foreign};
use crate::model::{Family, Foreign, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::{Needs, Rights};
use crate::sys::Directory;
use merge::Merged;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The most files in all directories, and the most bytes of each.
const FILES_MAX: usize = 200;
const FILE_BYTES_MAX: usize = 256 << 10;
/// The most bytes, families and series of all files together.
const BYTES_MAX: usize = 512 << 10;
const FAMILIES_MAX: usize = 1000;
const SERIES_MAX: usize = 20_000;
/// The kernel's clock for files stands still for as long as this, so a younger file may change again and look the same.
const TOO_YOUNG: Duration = Duration::from_millis(20);

pub static FILES: Table<1, 2> = Table::new(
    Place::List("files"),
    &["file"],
    &[
        Family::gauge(
            "pi_textfile_errors",
            "What was left out: the file or directory, or families and series that exist already; the log says why.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_textfile_mtime_seconds",
            "Unix time at which the file was last written; absent if it could not be read.",
            Unit::Seconds,
        ),
    ],
);

static DIRECTORY: Flag = Flag {
    words: "collector.textfile.directory DIR ",
    help: prose("Directory whose files *.prom hold metrics of other programs (repeatable)."),
    check: check_absolute,
};

pub static COLLECTOR: Registration = Registration {
    name: "textfile",
    summary: prose("metrics that other programs leave in files"),
    source: reference("*.prom in the directories that --collector.textfile.directory names"),
    needs: Needs { paths: "proc/self/mountinfo", rights: &Rights { named_by: &[&DIRECTORY], ..Rights::NONE } },
    tables: &[FILES.head()],
    flags: &[&DIRECTORY],
    new: |setup| super::boxed(TextFile::new(setup)),
};

/// A directory that does not exist yet is no mistake. It is not looked at here, since it may hang.
fn check_absolute(value: &str) -> Result<(), String> {
    if value.is_empty() || value.starts_with('/') { Ok(()) } else { Err("expected an absolute path".to_owned()) }
}

struct TextFile {
    directories: Vec<PathBuf>,
    mountinfo: Source,
    reserved: Reserved,
    /// Whether each directory must not be looked at, and whether it could not be read as a whole.
    refused: Vec<bool>,
    failed: Vec<bool>,
    mounts: Mounts,
    files: Vec<File>,
    /// The path of the file that is being looked for.
    path: Vec<u8>,
    buffer: Vec<u8>,
    foreign: Rc<Foreign>,
}

struct File {
    path: PathBuf,
    /// What it was when it was read, if it was a file; `None` if it has to be read again.
    seen: Option<Option<Stamp>>,
    /// Whether the last listing had it.
    listed: bool,
    /// When it was written, if it could be read.
    modified: Option<Duration>,
    errors: u64,
    /// The last error, which is logged when it is another one.
    fault: String,
}

impl TextFile {
    fn new(setup: &Setup) -> Self {
        let mut directories: Vec<PathBuf> = Vec::new();
        for path in setup.values(&DIRECTORY) {
            if !path.is_empty() {
                directories.push(path.into());
            }
        }
        TextFile {
            reserved: setup.reserved,
            refused: vec![false; directories.len()],
            failed: vec![false; directories.len()],
            directories,
            mountinfo: setup.proc("self/mountinfo"),
            mounts: Mounts::default(),
            files: Vec::new(),
            path: Vec::new(),
            buffer: Vec::new(),
            foreign: Rc::default(),
        }
    }

    /// Finds out which directories are on filesystems that may hang, and are not to be touched. The mount table says so without touching them.
    fn look_at_mounts(&mut self) -> Result<(), Fault> {
        let TextFile { directories, mountinfo, refused, mounts, .. } = self;
        if !mountinfo.has_news() {
            return Ok(());
        }
        let text = mountinfo.read()?;
        if mounts.is_of(text) {
            return Ok(());
        }
        // A bad line is the disk collector's fault; the others count.
        let _ = mounts.parse(text, b"");
        mounts.find_hidden();
        for (path, refused) in directories.iter().zip(refused) {
            *refused = mounts.hangs(path);
        }
        Ok(())
    }

    /// Lists the directories. Returns whether files came, went or changed.
    fn list(&mut self, first: &mut First<Fault>) -> bool {
        let TextFile { directories, refused, failed, files, path, .. } = self;
        let mut changed = false;
        let mut has_room = true;
        for file in files.iter_mut() {
            file.listed = false;
        }
        for ((directory, refused), failed) in directories.iter().zip(refused).zip(failed) {
            let found = if *refused {
                const WHY: &str =
                    "on a filesystem that may hang, and not read; use a directory on a local disk or in /run";
                Err(io::Error::other(WHY))
            } else {
                Directory::open(directory).and_then(|mut found| {
                    found.list(|name, _| changed |= is_new(directory, name, path, files, &mut has_room))
                })
            };
            *failed = found.is_err() || !has_room;
            if let Err(error) = found {
                first.note(Fault::read(directory, error));
            }
            if !std::mem::replace(&mut has_room, true) {
                first.note(Fault::read(
                    directory,
                    io::Error::other("more than 200 files *.prom; the last ones are not read"),
                ));
            }
        }
        let before = files.len();
        files.retain(|file| file.listed);
        changed |= files.len() != before;
        for file in files.iter() {
            changed |= file.seen != Some(Stamp::of(&file.path).ok());
        }
        changed
    }

    /// Reads all files.
    fn read(&mut self, now: Duration) {
        let TextFile { files, buffer, foreign, reserved, .. } = self;
        let mut merged = Merged::new(*reserved);
        for File { path, seen, modified, errors, fault, .. } in files.iter_mut() {
            let mut last = None;
            (*modified, *errors) = (None, 0);
            let mut note = |fault| {
                *errors += 1;
                last = Some(fault);
            };
            match read_foreign(path, FILE_BYTES_MAX, buffer) {
                Ok(stamp) => {
                    let is_settled = now.checked_sub(stamp.changed).is_none_or(|age| age > TOO_YOUNG);
                    *seen = is_settled.then_some(Some(stamp));
                    match parse::parse(buffer) {
                        Ok(found) => {
                            merged.add(found, &mut |bad| note(Fault::parse(path, bad)));
                            *modified = Some(stamp.modified);
                        }
                        Err(bad) => note(Fault::parse(path, bad)),
                    }
                }
                Err(error) => {
                    *seen = Some(Stamp::of(path).ok());
                    // It went after the directory was listed.
                    if error.kind() != io::ErrorKind::NotFound {
                        note(Fault::read(path, error));
                    }
                }
            }
            let text = last.map(|fault| fault.to_string()).unwrap_or_default();
            if !text.is_empty() && text != *fault {
                crate::warn!("collector textfile: {text}");
            }
            *fault = text;
        }
        *buffer = Vec::new();
        *foreign = Rc::new(merged.finish());
    }
}

/// Notes that a directory has a file of this name; returns whether it is a new one. Of too many, the first ones by name are kept.
fn is_new(directory: &Path, name: &[u8], path: &mut Vec<u8>, files: &mut Vec<File>, has_room: &mut bool) -> bool {
    if !name.ends_with(b".prom") {
        return false;
    }
    path.clear();
    for piece in [directory.as_os_str().as_bytes(), b"/", name] {
        path.extend_from_slice(piece);
    }
    let mut place = 0;
    for file in files.iter_mut() {
        match file.path.as_os_str().as_bytes().cmp(path) {
            Ordering::Less => place += 1,
            Ordering::Equal => {
                file.listed = true;
                return false;
            }
            Ordering::Greater => break,
        }
    }
    *has_room &= files.len() < FILES_MAX;
    if place >= FILES_MAX {
        return false;
    }
    files.truncate(FILES_MAX - 1);
    let path = PathBuf::from(OsStr::from_bytes(path));
    files.insert(place, File { path, seen: None, listed: true, modified: None, errors: 0, fault: String::new() });
    true
}

impl Collect for TextFile {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        if self.directories.is_empty() {
            return Ok(());
        }
        self.look_at_mounts()?;
        let mut first = First::new();
        if self.list(&mut first) {
            self.read(context.moment.unix);
        }
        for (path, failed) in self.directories.iter().zip(&self.failed) {
            if *failed {
                out.row(&FILES, [path.as_os_str().as_bytes()], [1.into(), Value::ABSENT]);
            }
        }
        for File { path, modified, errors, .. } in &self.files {
            out.row(&FILES, [path.as_os_str().as_bytes()], [(*errors).into(), modified.map(Value::seconds).into()]);
        }
        out.pass(&self.foreign);
        first.result()
    }
}

/// Runs the parser of this file, for its fuzz target: what it takes, it takes again as it wrote it, and only once.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let Ok(found) = parse::parse(text) else { return };
    let mut merged = Merged::new(|_| {});
    merged.add(found, &mut |_| {});
    let mut again = Vec::new();
    for family in &merged.finish().families {
        let head = [b"# HELP ", &family.name[..], b" ", &family.help[..], b"\n# TYPE ", &family.name[..], b" "];
        for piece in head {
            again.extend_from_slice(piece);
        }
        for piece in [family.kind.as_bytes(), b"\n", &family.samples[..]] {
            again.extend_from_slice(piece);
        }
    }
    let (mut once, mut number) = (Merged::new(|_| {}), 0);
    let mut add = |number: &mut usize| once.add(parse::parse(&again).expect("what was written"), &mut |_| *number += 1);
    add(&mut number);
    assert_eq!(number, 0);
    add(&mut number);
    let lines: usize = once.finish().families.iter().map(|family| family.lines().count()).sum();
    assert_eq!(number, lines);
}

#[cfg(test)]
mod tests;
