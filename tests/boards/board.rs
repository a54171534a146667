//! Board files: the `/proc` and `/sys` of one machine in one readable text file. `README.md` describes the format.
//!
//! This file needs the standard library only, so that `rustc` alone makes a program of it (`examples/board.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A board: what its comments say, and its entries by path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Board {
    /// The lines before the first heading: comments and blank lines, each with its newline.
    about: String,
    entries: BTreeMap<Vec<u8>, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// The comment lines before the heading.
    comment: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    File(Vec<u8>),
    Link(Vec<u8>),
    EmptyDirectory,
}

impl Board {
    /// Parses the text of a board file.
    ///
    /// # Errors
    /// The number of the first malformed line, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Board, String> {
        let mut board = Board::default();
        let mut comment = String::new();
        // The file that text lines belong to, and whether its last line has ended it.
        let mut open: Option<(Vec<u8>, bool)> = None;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let at = |what: &str| format!("line {number}: {what}");
            let Some(line) = line.strip_suffix('\n') else {
                return Err(at("expected a newline at the end of the file"));
            };
            if line.starts_with('#') || (open.is_none() && board.entries.is_empty() && line.is_empty()) {
                let text = if board.entries.is_empty() { &mut board.about } else { &mut comment };
                text.push_str(line);
                text.push('\n');
            } else if let Some(heading) = line.strip_prefix("-- ") {
                let heading =
                    heading.strip_suffix(" --").ok_or_else(|| at("expected \" --\" at the end of a heading"))?;
                let (path, kind) = match (heading.split_once(" -> "), heading.strip_suffix('/')) {
                    (Some((path, target)), _) => (path, Kind::Link(unescape(target).map_err(|what| at(&what))?.0)),
                    (None, Some(path)) => (path, Kind::EmptyDirectory),
                    (None, None) => (heading, Kind::File(Vec::new())),
                };
                let path = unescape(path).map_err(|what| at(&what))?.0;
                if path.split(|&byte| byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
                    return Err(at("expected a relative path without \".\" and \"..\""));
                }
                open = matches!(kind, Kind::File(_)).then(|| (path.clone(), false));
                let entry = Entry { comment: std::mem::take(&mut comment), kind };
                if board.entries.insert(path, entry).is_some() {
                    return Err(at("duplicate path"));
                }
            } else {
                let (path, ended) =
                    open.as_mut().ok_or_else(|| at("expected a comment or a heading such as -- proc/stat --"))?;
                if !comment.is_empty() {
                    return Err(at(
                        "expected a heading after a comment (a text line that begins with # is written \\#)",
                    ));
                }
                if *ended {
                    return Err(at("expected a heading after a line that ends with \\"));
                }
                let (bytes, newline) = unescape(line).map_err(|what| at(&what))?;
                if let Some(Entry { kind: Kind::File(text), .. }) = board.entries.get_mut(path) {
                    text.extend_from_slice(&bytes);
                    text.extend(newline.then_some(b'\n'));
                }
                *ended = !newline;
            }
        }
        if !comment.is_empty() {
            return Err("expected a heading after the last comment".to_owned());
        }
        Ok(board)
    }

    /// Reads a board file.
    ///
    /// # Errors
    /// The path, and what is wrong with the file.
    pub fn read(file: &Path) -> io::Result<Board> {
        let name = |error: String| io::Error::other(format!("{}: {error}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| name(error.to_string()))?;
        Board::parse(&text).map_err(name)
    }

    /// Returns the board's file: sorted by path, and in the one form that each text has.
    pub fn text(&self) -> String {
        let mut out = self.about.clone();
        for (path, entry) in &self.entries {
            out.push_str(&entry.comment);
            out.push_str("-- ");
            escape_path(path, &mut out);
            match &entry.kind {
                Kind::EmptyDirectory => out.push_str("/ --\n"),
                Kind::Link(target) => {
                    out.push_str(" -> ");
                    escape_path(target, &mut out);
                    out.push_str(" --\n");
                }
                Kind::File(text) => {
                    out.push_str(" --\n");
                    for line in text.split_inclusive(|&byte| byte == b'\n') {
                        escape_line(line, &mut out);
                    }
                }
            }
        }
        out
    }

    /// Writes the board's files below `directory`, which must be empty or not exist yet.
    ///
    /// # Errors
    /// The path that could not be written.
    pub fn unpack(&self, directory: &Path) -> io::Result<()> {
        let name = |path: &Path, error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        std::fs::create_dir_all(directory).map_err(|error| name(directory, error))?;
        if std::fs::read_dir(directory).map_err(|error| name(directory, error))?.next().is_some() {
            return Err(name(directory, io::Error::other("not empty")));
        }
        let mut made = PathBuf::new();
        // Links come last: nothing is written through one.
        for links in [false, true] {
            for (path, entry) in &self.entries {
                if matches!(entry.kind, Kind::Link(_)) != links {
                    continue;
                }
                let path = directory.join(OsStr::from_bytes(path));
                let parent = path.parent().unwrap_or(directory);
                let result = if parent == made { Ok(()) } else { std::fs::create_dir_all(parent) };
                made = parent.to_owned();
                let result = result.and_then(|()| match &entry.kind {
                    Kind::File(text) => std::fs::write(&path, text),
                    Kind::Link(target) => std::os::unix::fs::symlink(OsStr::from_bytes(target), &path),
                    Kind::EmptyDirectory => std::fs::create_dir_all(&path),
                });
                result.map_err(|error| name(&path, error))?;
            }
        }
        Ok(())
    }

    /// Reads all files below `directory`; the comments are those of `self`.
    ///
    /// # Errors
    /// The path that could not be read.
    pub fn pack(mut self, directory: &Path) -> io::Result<Board> {
        let mut board = Board { about: std::mem::take(&mut self.about), ..Board::default() };
        self.pack_below(directory, &mut Vec::new(), &mut board)?;
        Ok(board)
    }

    fn pack_below(&mut self, root: &Path, below: &mut Vec<u8>, board: &mut Board) -> io::Result<()> {
        let name = |path: &Path, error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        let directory = root.join(OsStr::from_bytes(below));
        let mut empty = true;
        for entry in std::fs::read_dir(&directory).map_err(|error| name(&directory, error))? {
            let entry = entry.map_err(|error| name(&directory, error))?;
            empty = false;
            let length = below.len();
            if length > 0 {
                below.push(b'/');
            }
            below.extend_from_slice(entry.file_name().as_bytes());
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| name(&path, error))?;
            if kind.is_dir() {
                self.pack_below(root, below, board)?;
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path).map_err(|error| name(&path, error))?;
                self.add(below, Kind::Link(target.as_os_str().as_bytes().to_vec()), board);
            } else {
                let text = std::fs::read(&path).map_err(|error| name(&path, error))?;
                self.add(below, Kind::File(text), board);
            }
            below.truncate(length);
        }
        if empty && !below.is_empty() {
            self.add(below, Kind::EmptyDirectory, board);
        }
        Ok(())
    }

    /// Returns the part of the board that a process sees which can open these paths only, and what links there lead to.
    pub fn only(&self, paths: &[&str]) -> Board {
        let mut board = Board::default();
        let mut open: Vec<Vec<u8>> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        let mut done = BTreeSet::new();
        while let Some(path) = open.pop() {
            let path = self.resolve(&path, &mut board);
            if !done.insert(path.clone()) {
                continue;
            }
            let below = [&path[..], b"/"].concat();
            for (at, entry) in self.entries.iter().filter(|(at, _)| **at == path || at.starts_with(&below)) {
                board.entries.insert(at.clone(), entry.clone());
                if let Kind::Link(target) = &entry.kind {
                    open.push(follow(at, target));
                }
            }
        }
        board
    }

    /// Returns where a path leads, and adds the links on its way to `passed`.
    fn resolve(&self, path: &[u8], passed: &mut Board) -> Vec<u8> {
        let mut done: Vec<u8> = Vec::new();
        // Links that lead in circles end somewhere too.
        let mut links = 0;
        let mut rest: Vec<Vec<u8>> = path.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec).collect();
        while let Some(part) = rest.pop() {
            let next = if done.is_empty() { part } else { [&done[..], b"/", &part].concat() };
            match self.entries.get(&next) {
                Some(entry @ Entry { kind: Kind::Link(target), .. }) if links < 40 => {
                    links += 1;
                    let target = follow(&next, target);
                    passed.entries.insert(next, entry.clone());
                    rest.extend(target.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec));
                    done.clear();
                }
                _ => done = next,
            }
        }
        done
    }

    /// Returns the paths of all files, sorted, with their text.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.entries.iter().filter_map(|(path, entry)| match &entry.kind {
            Kind::File(text) => Some((Path::new(OsStr::from_bytes(path)), &text[..])),
            _ => None,
        })
    }

    fn add(&mut self, path: &[u8], kind: Kind, board: &mut Board) {
        let comment = self.entries.remove(path).map(|old| old.comment).unwrap_or_default();
        board.entries.insert(path.to_vec(), Entry { comment, kind });
    }
}

/// Returns where a link's target is in the board, whose parents it must not leave.
fn follow(link: &[u8], target: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = link.split(|&byte| byte == b'/').collect();
    parts.pop();
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b".." => drop(parts.pop()),
            b"" | b"." => {}
            _ => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Turns a line, or a path, back into bytes. The second value is false for a line that ends with a backslash: no newline.
fn unescape(text: &str) -> Result<(Vec<u8>, bool), String> {
    let mut out = Vec::with_capacity(text.len() + 1);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                None => return Ok((out, false)),
                Some(byte @ (b'\\' | b'#' | b'-')) => out.push(byte),
                Some(b'0') => out.push(0),
                Some(b'x') => {
                    let mut digit = || char::from(bytes.next()?).to_digit(16);
                    let byte = digit().and_then(|high| Some((high * 16 + digit()?) as u8));
                    out.push(byte.ok_or("expected two hexadecimal digits after \\x")?);
                }
                Some(_) => return Err("expected \\\\, \\#, \\-, \\0 or \\xNN".to_owned()),
            },
            b'\t' | b' '..=b'~' => out.push(byte),
            _ => return Err(format!("expected \\x{byte:02x} for a byte that is not ASCII")),
        }
    }
    Ok((out, true))
}

fn escape(byte: u8, out: &mut String) {
    match byte {
        b'\\' => out.push_str("\\\\"),
        0 => out.push_str("\\0"),
        b'\t' | b' '..=b'~' => out.push(byte.into()),
        _ => write!(out, "\\x{byte:02x}").unwrap_or_default(),
    }
}

/// Writes a path of a heading, where ` -> ` has a meaning.
fn escape_path(path: &[u8], out: &mut String) {
    for &byte in path {
        match byte {
            b'>' | b'\t' => write!(out, "\\x{byte:02x}").unwrap_or_default(),
            _ => escape(byte, out),
        }
    }
}

/// Writes a line of a file. What comments and headings begin with, and blanks at the end, which editors remove, are escaped.
fn escape_line(line: &[u8], out: &mut String) {
    let (line, newline) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
    if line.starts_with(b"#") || line.starts_with(b"-- ") {
        out.push('\\');
    }
    let (line, blank) = match line.split_last() {
        Some((blank @ (b' ' | b'\t'), line)) if newline => (line, Some(blank)),
        _ => (line, None),
    };
    line.iter().for_each(|&byte| escape(byte, out));
    if let Some(blank) = blank {
        write!(out, "\\x{blank:02x}").unwrap_or_default();
    }
    out.push_str(if newline { "\n" } else { "\\\n" });
}

/// A board's files in a temporary directory, which goes when this value does.
#[derive(Debug)]
pub struct Tree(PathBuf);

impl Tree {
    /// Unpacks `tests/boards/BOARD.board`.
    pub fn new(board: &str) -> Tree {
        let read = Board::read(&file(board)).unwrap_or_else(|error| panic!("{error}"));
        Tree::of(&read, board)
    }

    /// Unpacks a board, or a part of one, to a directory that has `name` in its name.
    pub fn of(board: &Board, name: &str) -> Tree {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pi-monitor-{name}-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let tree = Tree(path);
        board.unpack(&tree.0).unwrap_or_else(|error| panic!("{error}"));
        // What the flags name has to exist.
        for name in ["proc", "sys", "root"] {
            let _ = std::fs::create_dir(tree.0.join(name));
        }
        tree
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The flags that point an agent at the tree.
    pub fn flags(&self) -> [String; 3] {
        ["proc", "sys", "root"].map(|name| format!("--path.{name}fs={}", self.0.join(name).display()))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The file of a board.
pub fn file(board: &str) -> PathBuf {
    directory().join(format!("{board}.board"))
}

/// The names of all boards, sorted.
pub fn all() -> Vec<String> {
    let files = std::fs::read_dir(directory()).unwrap_or_else(|error| panic!("{}: {error}", directory().display()));
    let names = files.flatten().map(|file| file.path()).filter(|file| file.extension().is_some_and(|it| it == "board"));
    let mut names: Vec<_> = names.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    assert!(names.len() >= 5, "the boards are missing: {names:?}");
    names
}

/// Where the boards are: beside this file.
fn directory() -> PathBuf {
    let here = Path::new(option_env!("CARGO_MANIFEST_DIR").unwrap_or_default()).join(file!());
    here.parent().unwrap_or(&here).to_owned()
}
