//! Assembles the dashboard: joins its modules into two scripts, hashes what runs for the Content-Security-Policy, and
//! compresses the results.
//!
//! The first script is what `main.js` imports and is part of the page. The second is what it imports with `import('…')`;
//! the page fetches it when the first number is on screen. `tests/dashboard/page.mjs` does the same for work on the page
//! without a build; a test compares the two.
//!
//! It compresses the texts for people that stand in the source, for `src/model/prose.rs`.
//!
//! The runbooks of `docs/runbooks` that are about a rule become one text, which the page fetches when somebody asks what to do.
//! The doctor's texts and Home Assistant's are compressed too, which at least halves them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const FOLDER: &str = "src/dashboard";
const RUNBOOKS: &str = "docs/runbooks";
const CHECKS: &str = "src/doctor/checks.txt";
const DISCOVERY: &str = "src/format/discovery.txt";
const NODE: &str = "src/dialect/node.txt";
const ENTRY: &str = "main.js";
const SOURCE: &str = "src";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed={RUNBOOKS}");
    println!("cargo::rerun-if-changed={SOURCE}");
    let read = |name: &str| fs::read_to_string(Path::new(FOLDER).join(name));

    let mut first = Part::default();
    first.add(ENTRY, &[])?;
    let entry = dynamic_import(&first.text).ok_or_else(|| wrong(ENTRY, "expected import('./….js'), found none"))?;
    let mut second = Part::default();
    second.add(&entry, &first.names)?;
    let look = tight(&read("more.css")?);
    if look.contains(['`', '\\', '$']) {
        return Err(wrong("more.css", "it cannot stand in a template"));
    }
    second.text = dense(&entry, &second.text)?.replace("'{look}'", &format!("`{look}`"));
    first.text = dense(ENTRY, &first.text)?;
    let shared = format!("{{ {} }}", second.shared.iter().map(String::as_str).collect::<Vec<_>>().join(", "));

    let loading = format!("load('{entry}', {shared})");
    let script =
        format!("(() => {{\n'use strict';\n{}}})();", first.text.replace(&format!("import('./{entry}')"), &loading));
    let more = format!(
        "globalThis.piMonitorPart = (shared) => {{\n'use strict';\nconst {shared} = shared;\n{}}};",
        second.text
    );
    let old = strip(&read("old.js")?);
    let style = tight(&read("style.css")?);
    let page = strip(&read("index.html")?)
        .replace("{style}", style.trim_end())
        .replace("{script}", &script)
        .replace("{old}", old.trim_end());
    let policy = format!(
        "default-src 'none'; script-src {} {} {}; style-src {} {}; connect-src 'self'; img-src data:; manifest-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source(&script),
        source(old.trim_end()),
        source(&more),
        source(style.trim_end()),
        source(&look),
    );

    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("page.html.gz"), gzip(page.as_bytes()))?;
    fs::write(Path::new(&out).join("more.js.gz"), gzip(more.as_bytes()))?;
    prose(Path::new(&out))?;
    let runbooks = runbooks()?;
    fs::write(Path::new(&out).join("runbooks.txt.gz"), gzip(runbooks.as_bytes()))?;
    println!("cargo::rerun-if-changed={NODE}");
    let node = fs::read_to_string(NODE)?;
    fs::write(Path::new(&out).join("node.deflate"), deflate(without_helps(&node).as_bytes()))?;
    fs::write(Path::new(&out).join("discovery.deflate"), deflate(without_comments(DISCOVERY)?.as_bytes()))?;
    let facts =
        [&page, &more, &runbooks].map(|text| format!("Facts {{ length: {}, tag: {:?} }}", text.len(), tag(text)));
    fs::write(Path::new(&out).join("dashboard.rs"), format!("({}, {policy:?})\n", facts.join(", ")))
}

/// Returns a file's text without the lines that begin with `// `.
fn without_comments(file: &str) -> io::Result<String> {
    println!("cargo::rerun-if-changed={file}");
    Ok(fs::read_to_string(file)?.split_inclusive('\n').filter(|line| !line.starts_with("// ")).collect())
}

/// The table of another program's names without comments, and with the helps of all families behind a NUL byte: they are needed less often.
fn without_helps(table: &str) -> String {
    let (mut front, mut helps) = (String::new(), String::new());
    for line in table.lines().filter(|line| !line.starts_with("//")) {
        let is_family = ["g ", "c ", "u "].iter().any(|kind| line.starts_with(kind));
        let help = line.match_indices(' ').nth(2).map(|(at, _)| at).filter(|_| is_family);
        front.push_str(&line[..help.unwrap_or(line.len())]);
        front.push('\n');
        if let Some(help) = help {
            helps.push_str(&line[help + 1..]);
            helps.push('\n');
        }
    }
    front + "\0" + &helps
}

/// A text for people in the source.
enum Kind<'a> {
    /// The help of the family of this name, if it is a sentence.
    Help(&'a str),
    /// An agent says it again and again.
    Often,
    /// It is asked for by commands that end.
    Once,
    /// As [`Kind::Once`], if it is a sentence: it stands behind a unit.
    Unit,
}

/// Collects the texts for people: what stands in `prose("…")`, in `.fix("…")`, behind the unit of a threshold, and behind the name
/// of a family or a rule. Writes their lines compressed, and for each its mark and its place among them. Behind them are the texts of the
/// doctor's checks, which take less room there.
fn prose(out: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    walk(Path::new(SOURCE), &mut files)?;
    files.retain(|file| file.components().all(|part| !part.as_os_str().to_string_lossy().starts_with("tests")));
    files.sort();
    let (mut families, mut often, mut once) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "rs")) {
        let text = fs::read_to_string(file)?;
        let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
        for (at, _) in code.match_indices('"') {
            let Some(kind) = kind(code[..at].trim_end()) else { continue };
            let Some((text, _)) = literal(&code[at..]).filter(|(text, _)| text.contains(' ')) else { continue };
            match kind {
                Kind::Help(name) if text.ends_with('.') => families.insert(name.to_owned(), text).is_some(),
                Kind::Help(_) => false,
                Kind::Often => often.insert(text),
                Kind::Once => once.insert(text),
                Kind::Unit => text.ends_with('.') && once.insert(text),
            };
        }
    }
    let mut lines = String::new();
    let mut places = BTreeMap::new();
    let mut kept = 0;
    let families = families.iter().map(|(name, help)| (name, format!("{name}\n{help}\n")));
    let others = often.iter().chain(once.difference(&often)).map(|text| (text, format!("{text}\n")));
    for (text, line) in families.chain(others) {
        let mark = fnv1a(text.as_bytes());
        if text.contains('\n') || places.insert(mark, lines.len()).is_some() {
            return Err(io::Error::other(format!("{text}: it has two lines, or another text has its mark")));
        }
        lines.push_str(&line);
        if often.contains(text) {
            kept = lines.len();
        }
    }
    let checks = without_comments(CHECKS)?;
    if lines.len() + checks.len() >= usize::from(u16::MAX) {
        return Err(io::Error::other("expected less than 64 kB of texts for people"));
    }
    let list: String = places.iter().map(|(mark, place)| format!("({mark}, {place}),")).collect();
    let (count, length) = (places.len(), lines.len());
    let code = format!(
        "pub const KEPT: usize = {kept};\npub const LENGTH: usize = {length};\npub const PLACES: [(u32, u16); {count}] = [{list}];\n"
    );
    fs::write(out.join("prose.rs"), code)?;
    fs::write(out.join("prose.deflate"), deflate((lines + &checks).as_bytes()))
}

/// Returns what a literal is by the code before it, if it is a text for people.
fn kind(before: &str) -> Option<Kind<'_>> {
    if before.ends_with("help: prose(") || before.ends_with("Prose = prose(") {
        return Some(Kind::Once);
    }
    if before.ends_with("prose(") || before.ends_with(".fix(") {
        return Some(Kind::Often);
    }
    let before = before.strip_suffix(',')?;
    let Some((before, name)) = before.strip_suffix('"').and_then(|before| before.rsplit_once('"')) else {
        let (_, unit) = before.rsplit_once([' ', '\n'])?;
        return unit.starts_with("Unit::").then_some(Kind::Unit);
    };
    if before.trim_end_matches('r').trim_end().ends_with("regex(") {
        return Some(Kind::Once);
    }
    let is_name = name.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if before.trim_end().ends_with("Rule::new(") {
        return Some(Kind::Often);
    }
    (is_name && name.contains('_')).then_some(Kind::Help(name))
}

/// Collects the files below a directory.
fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |mark, byte| (mark ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Takes a string literal from the front of Rust code: its text and what follows.
fn literal(code: &str) -> Option<(String, &str)> {
    let mut rest = code.trim_start().strip_prefix('"')?;
    let mut text = String::new();
    loop {
        let at = rest.find(['"', '\\'])?;
        text.push_str(&rest[..at]);
        let (sign, behind) = rest[at..].split_at(1);
        if sign == "\"" {
            return Some((text, behind));
        }
        rest = match behind.chars().next()? {
            '\n' => behind.trim_start(),
            sign @ ('"' | '\\') => {
                text.push(sign);
                &behind[1..]
            }
            _ => return None,
        };
    }
}

/// Joins what the runbooks say about the agent's own rules: of each a heading with the rule's name, and what a person wrote below
/// the generated beginning. Links lose their addresses, which lead to other documents; one to another runbook gets its title.
fn runbooks() -> io::Result<String> {
    let title = |text: &str| Some(text.lines().next()?.split_once(": ")?.1.to_owned());
    let mut files: Vec<_> =
        fs::read_dir(RUNBOOKS)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    let mut all = String::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let Some((_, rule)) = text.split_once("The agent's own rule is [`") else { continue };
        let rule = rule.split('`').next().unwrap_or_default();
        let body = text.split_once("<!-- Generated ").and_then(|(_, rest)| rest.split_once("-->"));
        let (Some(name), Some((_, body))) = (title(&text), body) else {
            let what = "expected a title and the line below what is generated";
            return Err(io::Error::other(format!("{}: {what}", file.display())));
        };
        all.push_str(&format!("# {rule}: {name}\n"));
        let mut rest = body.trim();
        while let Some((before, link)) = rest.split_once("](") {
            let (before, words) = before.rsplit_once('[').unwrap_or((before, ""));
            let (target, behind) = link.split_once(')').unwrap_or((link, ""));
            let other = fs::read_to_string(Path::new(RUNBOOKS).join(target)).ok().and_then(|text| title(&text));
            all.push_str(before);
            all.push_str(&other.map_or(words.to_owned(), |title| format!("\"{title}\"")));
            rest = behind;
        }
        all.push_str(rest);
        all.push_str("\n\n");
    }
    Ok(all)
}

/// Modules joined in the order in which they need each other, without their `import` and `export`.
#[derive(Default)]
struct Part {
    /// Modules that are in, or on their way in.
    names: Vec<String>,
    /// What modules of this part import from modules of an earlier one.
    shared: BTreeSet<String>,
    text: String,
}

impl Part {
    /// Adds a module after the modules that it imports. `earlier` lists the modules of the part before this one.
    fn add(&mut self, name: &str, earlier: &[String]) -> io::Result<()> {
        self.names.push(name.to_owned());
        let mut body = String::new();
        for line in strip(&fs::read_to_string(Path::new(FOLDER).join(name))?).lines() {
            if let Some(rest) = line.strip_prefix("import ") {
                let (words, from) = parse_import(rest).ok_or_else(|| wrong(name, line))?;
                if earlier.iter().any(|other| other == from) {
                    self.shared.extend(words.map(str::to_owned));
                } else if !self.names.iter().any(|other| other == from) {
                    self.add(from, earlier)?;
                } else if !self.text.contains(&format!("// {from}\n")) {
                    return Err(wrong(name, &format!("{line} closes a circle")));
                }
            } else if line.starts_with("export let ") {
                // The second part gets values, which would not follow the variable.
                return Err(wrong(name, line));
            } else if let Some(rest) = line.strip_prefix("export ") {
                // The entry of the second part hands over what it exports.
                body.push_str(if rest.starts_with('{') { "return " } else { "" });
                body.push_str(rest);
                body.push('\n');
            } else {
                body.push_str(line);
                body.push('\n');
            }
        }
        self.text.push_str(&format!("// {name}\n{body}"));
        Ok(())
    }
}

/// `{ a, b } from './file.js';` as the names and the file.
fn parse_import(text: &str) -> Option<(impl Iterator<Item = &str>, &str)> {
    let (words, from) = text.strip_prefix("{ ")?.strip_suffix("';")?.split_once(" } from './")?;
    (!words.contains(" as ")).then(|| (words.split(", "), from))
}

/// The file in the first `import('./file.js')`.
fn dynamic_import(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("import('./")?;
    rest.split_once("')").map(|(name, _)| name.to_owned())
}

fn wrong(name: &str, what: &str) -> io::Error {
    io::Error::other(format!("{FOLDER}/{name}: cannot join: {what}"))
}

/// Drops comments on lines of their own, indentation, and blank lines. The files are written so that this is safe: a text
/// stays on one line.
fn strip(text: &str) -> String {
    let mut out = String::new();
    let mut comment = false;
    for line in text.lines().map(str::trim) {
        comment |= line.starts_with("/*");
        if !comment && !line.is_empty() && !line.starts_with("//") {
            out.push_str(line);
            out.push('\n');
        }
        comment &= !line.ends_with("*/");
    }
    out
}

/// Drops the blanks of a script that stand between two signs, or between a sign and a word, and in no text. As the scripts are
/// written, a division has blanks around it, and a regular expression does not begin with one.
fn dense(name: &str, text: &str) -> io::Result<String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii();
    let mut out = Vec::new();
    for line in text.lines() {
        let bytes = line.as_bytes();
        // What is open: texts by their quote, `[` for a class within a regular expression, and braces.
        let mut open = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let next = bytes.get(at + 1).copied().unwrap_or(b'\n');
            let before = out.last().copied().unwrap_or(b'\n');
            let skip = match (open.last(), byte) {
                (Some(b'\'' | b'"' | b'`' | b'/' | b'['), b'\\') => {
                    out.push(byte);
                    at += 1;
                    false
                }
                (Some(b'/'), b'[') | (None | Some(b'{' | b'$'), b'\'' | b'"' | b'`' | b'{') => {
                    open.push(byte);
                    false
                }
                (Some(b'`'), b'$') if next == b'{' => {
                    open.push(b'$');
                    out.push(byte);
                    at += 1;
                    false
                }
                (Some(b'['), b']') | (Some(b'{' | b'$'), b'}') => {
                    open.pop();
                    false
                }
                (Some(quote @ (b'\'' | b'"' | b'`' | b'/')), _) if *quote == byte => {
                    open.pop();
                    false
                }
                (Some(b'\'' | b'"' | b'`' | b'/' | b'['), _) => false,
                (_, b'/') if next != b' ' => {
                    open.push(byte);
                    false
                }
                (_, b' ') => {
                    let words = is_word(before) && is_word(next);
                    let signs = matches!(before, b'+' | b'-') && matches!(next, b'+' | b'-');
                    !(words || signs || before == b'/' || next == b'/')
                }
                _ => false,
            };
            if !skip {
                out.push(bytes.get(at).copied().unwrap_or(b'\n'));
            }
            at += 1;
        }
        if open.iter().any(|byte| *byte != b'{') {
            return Err(wrong(name, &format!("a text or a regular expression does not end: {line}")));
        }
        out.push(b'\n');
    }
    String::from_utf8(out).map_err(io::Error::other)
}

/// A style sheet without what only people need.
fn tight(text: &str) -> String {
    strip(text).replace(" { ", "{").replace("; }", "}").replace("; ", ";")
}

/// What lets this text run: its hash as the Content-Security-Policy spells it.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// An entity tag: it changes with the text.
fn tag(text: &str) -> String {
    let digits: String = Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// Compresses `data` into raw deflate (RFC 1951), as small as zopfli can.
fn deflate(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Err(error) = zopfli::compress(zopfli::Options::default(), zopfli::Format::Deflate, data, &mut out) {
        panic!("compressing into memory: {error}");
    }
    out
}

/// One gzip member without a name and a time, so that the same page is the same file (RFC 1952).
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    out.extend(deflate(data));
    out.extend(crc32(data).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}
