//! The book: every document is a chapter, every link, anchor and picture exists, and what a chapter quotes is what the source says.
//!
//! mdBook is not needed for this. `scripts/book.sh` builds the book.

use crate::boards::{self, Board};
use crate::chapters;
use pi_monitor::collect;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const PARTS: [&str; 8] = ["Start", "Do", "Fix", "Understand", "Rooms", "Query", "Chronicle", "Reference"];

/// Folders that hold no documents of this project.
const NO_DOCUMENTS: [&str; 3] = ["target", "dist", "node_modules"];

/// Words that `CONTRIBUTING.md` rules out, and what to write instead. The changelog, which is history, is not searched.
const WORDS: &[(&str, &str)] = &[
    ("there twice", "duplicate"),
    ("whoever", "whom it is about"),
    ("makes place", "evicts, displaces"),
    ("make place", "evict, displace"),
    ("cannot be had", "is unavailable"),
    ("can be had", "is available"),
    ("to be had", "available"),
    ("is told", "learns, is reported"),
    ("are told", "learn, are reported"),
    ("behaviour", "behavior"),
    ("catalogue", "catalog"),
    ("centre", "center"),
    ("colour", "color"),
    ("favour", "favor"),
    ("grey", "gray"),
    ("neighbour", "neighbor"),
    ("initialise", "initialize"),
    ("optimise", "optimize"),
    ("organise", "organize"),
    ("recognise", "recognize"),
    ("serialise", "serialize"),
    ("licence", "license"),
    ("defence", "defense"),
    ("cancelled", "canceled"),
    ("labelled", "labeled"),
    ("modelling", "modeling"),
    ("analyse", "analyze"),
    ("summarise", "summarize"),
    ("synchronise", "synchronize"),
    ("minimise", "minimize"),
    ("normalise", "normalize"),
    ("artefact", "artifact"),
    ("judgement", "judgment"),
    ("whilst", "while"),
    ("learnt", "learned"),
    ("simply", "nothing"),
    ("obviously", "nothing"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn find(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = folder.join(&name);
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !NO_DOCUMENTS.contains(&name.as_str()) {
                find(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
}

/// The documents of the project by their paths.
pub fn documents() -> &'static BTreeMap<String, String> {
    static DOCUMENTS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    DOCUMENTS.get_or_init(|| {
        let mut found = Vec::new();
        find(Path::new(""), &mut found);
        let read = |path: String| {
            let text = std::fs::read_to_string(root().join(&path)).unwrap();
            (path, text)
        };
        found.into_iter().map(read).collect()
    })
}

/// What documents show as code, with the document and the number of the line: lines of blocks, and what stands between backquotes.
/// The changelog, which is history, is left out.
pub fn pieces() -> impl Iterator<Item = (&'static str, usize, &'static str)> {
    documents().iter().filter(|(document, _)| *document != "CHANGELOG.md").flat_map(|(document, text)| {
        lines(text).flat_map(move |(number, line, is_code)| {
            let pieces: Vec<&str> = if is_code { vec![line] } else { code(line).collect() };
            pieces.into_iter().map(move |piece| (document.as_str(), number, piece))
        })
    })
}

/// The lines of a document with their numbers, and whether each belongs to a code block.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut fence = None;
    (1..).zip(text.lines()).map(move |(number, line)| {
        let mark = line.trim_start();
        match fence {
            None if mark.starts_with("```") => {
                fence = Some(mark.chars().take_while(|&letter| letter == '`').count());
                (number, line, true)
            }
            Some(ticks) => {
                if mark.len() >= ticks && mark.trim_end().chars().all(|letter| letter == '`') {
                    fence = None;
                }
                (number, line, true)
            }
            None => (number, line, false),
        }
    })
}

/// A line without what stands between backticks.
pub fn prose(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// What stands between backticks in a line.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of the links and pictures in a line.
fn targets(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (before, after) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
        for part in prose(line).split(before).skip(1) {
            found.push(part.split(after).next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// A path without its `..` and `.`.
fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => assert!(clean.pop(), "{} leaves the repository", path.display()),
            std::path::Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

/// The file that a link in a document leads to.
fn target(document: &str, link: &str) -> String {
    let folder = Path::new(document).parent().unwrap();
    normal(&folder.join(link)).to_str().unwrap().to_owned()
}

/// The anchors of a document's headings, as mdBook and most forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line, is_code) in lines(text) {
        let title = line.trim_start_matches('#');
        if is_code || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let mut anchor = String::new();
        for letter in title.trim().chars() {
            match letter {
                ' ' => anchor.push('-'),
                '-' | '_' => anchor.push(letter),
                letter if letter.is_alphanumeric() => anchor.extend(letter.to_lowercase()),
                _ => {}
            }
        }
        let mut unique = anchor.clone();
        let mut count = 0;
        while !found.insert(unique) {
            count += 1;
            unique = format!("{anchor}-{count}");
        }
    }
    found
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Puts all runbooks into the summary, below their list.
fn list_runbooks() {
    let path = root().join("docs/SUMMARY.md");
    let mut text = String::new();
    for line in std::fs::read_to_string(&path).unwrap().lines() {
        if line.contains("](runbooks/Pi") {
            continue;
        }
        text.push_str(line);
        text.push('\n');
        if line.contains("](runbooks/README.md)") {
            for document in documents().keys() {
                if let Some(name) = document.strip_prefix("docs/runbooks/Pi") {
                    text.push_str(&format!("  - [Pi{}](runbooks/Pi{name})\n", name.trim_end_matches(".md")));
                }
            }
        }
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn every_document_is_a_chapter() {
    if std::env::var_os("BLESS").is_some() {
        return list_runbooks();
    }
    let summary = &documents()["docs/SUMMARY.md"];
    let parts: Vec<_> = summary.lines().filter_map(|line| line.strip_prefix("# ")).skip(1).collect();
    assert_eq!(parts, PARTS);
    let mut chapters: Vec<_> = summary.lines().flat_map(targets).map(|link| target("docs/SUMMARY.md", &link)).collect();
    chapters.sort();
    let mut expected: Vec<_> = documents().keys().cloned().collect();
    expected.retain(|document| document != "docs/SUMMARY.md");
    let mut faults = Vec::new();
    for document in &expected {
        if chapters.iter().filter(|chapter| *chapter == document).count() != 1 {
            faults
                .push(format!("docs/SUMMARY.md: expected {document} once (runbooks: BLESS=1 cargo test --test laws)"));
        }
    }
    for chapter in &chapters {
        if !expected.contains(chapter) {
            faults.push(format!("docs/SUMMARY.md: no document {chapter}"));
        }
    }
    report(&faults);
}

/// Parts whose chapters show what they explain.
const SHOWN: [&str; 5] = ["Start", "Do", "Fix", "Understand", "Query"];

/// Chapters of these without a picture, or without an example, and why.
const NOT_SHOWN: [(&str, &str); 8] = [
    ("docs/building.md", "tables of measurements; the release profile has the picture"),
    ("docs/security.md", "a reference; a password on a Pi and confinement have pictures"),
    ("docs/performance.md", "tables of measurements"),
    ("docs/dashboard.md", "pictures, and nothing to type"),
    ("docs/start/the-page.md", "pictures, and nothing to type"),
    ("docs/fix/doctor.md", "a list of findings, with an example"),
    ("docs/fix/messages.md", "a catalog"),
    ("docs/runbooks/README.md", "a list"),
];

/// Whether a chapter has a picture, which may be drawn in a code block, and whether it has an example.
fn shows(text: &str) -> (bool, bool) {
    let drawn = text.split("```").skip(1).step_by(2).any(|block| block.contains(['│', '▼', '└']));
    let picture = drawn || text.lines().any(|line| line.starts_with("![") || line.starts_with("<img "));
    (picture, text.contains("\n```") || text.contains("  ```"))
}

#[test]
fn chapters_have_a_picture_and_an_example() {
    let mut faults = Vec::new();
    let mut part = "";
    for line in documents()["docs/SUMMARY.md"].lines() {
        part = line.strip_prefix("# ").unwrap_or(part);
        let Some(link) = targets(line).into_iter().next().filter(|_| SHOWN.contains(&part)) else { continue };
        let document = target("docs/SUMMARY.md", &link);
        let listed = NOT_SHOWN.iter().any(|(name, _)| *name == document);
        match (shows(&documents()[&document]), listed) {
            _ if document.starts_with("docs/runbooks/Pi") => {}
            ((true, true), true) => faults.push(format!("{document}: has both; take it from NOT_SHOWN")),
            ((true, true), false) | (_, true) => {}
            ((picture, _), false) => {
                faults.push(format!("{document}: no {}", if picture { "example" } else { "picture" }));
            }
        }
    }
    report(&faults);
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (document, text) in documents() {
        for (number, line, is_code) in lines(text) {
            for link in targets(line) {
                if is_code || link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                seen += 1;
                let (path, anchor) = link.split_once('#').map_or((&*link, None), |(path, anchor)| (path, Some(anchor)));
                let path = if path.is_empty() { document.clone() } else { target(document, path) };
                // A book has pages, no folders.
                if !root().join(&path).is_file() {
                    faults.push(format!("{document}:{number}: {link}: no file {path}"));
                } else if let Some(anchor) = anchor {
                    if !documents().get(&path).is_some_and(|text| anchors(text).contains(anchor)) {
                        faults.push(format!("{document}:{number}: {link}: no heading #{anchor} in {path}"));
                    }
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} links");
    report(&faults);
}

#[test]
fn words() {
    let mut faults = Vec::new();
    for (document, text) in documents() {
        if document == "CHANGELOG.md" {
            continue;
        }
        for (number, line, is_code) in lines(text) {
            if is_code {
                continue;
            }
            let prose = prose(line).to_lowercase();
            for (word, better) in WORDS {
                if prose.contains(word) {
                    faults.push(format!("{document}:{number}: {word:?}; better: {better}"));
                }
            }
            let percent =
                prose.find(" %").is_some_and(|at| prose.as_bytes()[..at].last().is_some_and(u8::is_ascii_digit));
            if percent {
                faults.push(format!("{document}:{number}: a blank before %"));
            }
        }
    }
    report(&faults);
}

/// Paths that documents name and that no clone has.
const BUILT: [&str; 2] = ["target/", "dist/"];

#[test]
fn source_files_that_documents_name_exist() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (document, text) in documents() {
        if document == "CHANGELOG.md" {
            continue;
        }
        for (number, line, is_code) in lines(text) {
            for name in code(line) {
                // `checks/NAME.sh` stands for several files.
                let is_pattern = |part: &str| {
                    part.split('.').next().is_some_and(|stem| stem.bytes().all(|byte| byte.is_ascii_uppercase()))
                };
                let is_path = name.contains('/')
                    && !name.starts_with(['/', '.'])
                    && !name.contains([' ', '…', '*', '{', ':', '='])
                    && !name.split('/').any(is_pattern);
                let kind = Path::new(name).extension().and_then(std::ffi::OsStr::to_str);
                if is_code || !is_path || !matches!(kind, Some("rs" | "js" | "sh" | "py" | "mjs" | "yml" | "board")) {
                    continue;
                }
                if BUILT.iter().any(|folder| name.starts_with(folder)) {
                    continue;
                }
                seen += 1;
                // CONTRIBUTING.md has a reader write a collector that the project does not have.
                let own = Path::new(document).parent().unwrap();
                // A room's chapter names the files of its room.
                let room = Path::new("src").join(Path::new(document).file_stem().unwrap());
                let folders = [Path::new(""), Path::new("src"), Path::new("monitoring"), own, &room];
                let is_there = folders.iter().any(|folder| root().join(folder).join(name).is_file());
                if !is_there && name != "src/collect/pty.rs" {
                    faults.push(format!("{document}:{number}: no file {name}"));
                }
            }
        }
    }
    assert!(seen > 50, "only {seen} names of files");
    report(&faults);
}

/// What a chapter quotes: `<!-- board: NAME FILE -->` or `<!-- excerpt: FILE -->` stands before a code block whose lines are in
/// that file, one after the other. A line `…` stands for lines that are left out.
#[test]
fn excerpts_are_verbatim() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (document, text) in documents() {
        let all: Vec<_> = lines(text).collect();
        for (index, &(number, line, is_code)) in all.iter().enumerate() {
            let Some(from) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else { continue };
            let source = match from.split_once(": ") {
                Some(("board", of)) => {
                    let (board, file) = of.split_once(' ').unwrap();
                    board_text(board, file)
                }
                Some(("excerpt", file)) => std::fs::read_to_string(root().join(file)).ok(),
                _ => continue,
            };
            if is_code {
                continue;
            }
            let Some(source) = source else {
                faults.push(format!("{document}:{number}: no such file: {from}"));
                continue;
            };
            let quoted: Vec<_> = all[index + 1..]
                .iter()
                .skip_while(|(_, line, is_code)| !is_code && line.is_empty())
                .take_while(|(_, _, is_code)| *is_code)
                .map(|(_, line, _)| *line)
                .collect();
            let quoted = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
            if quoted.is_empty() {
                faults.push(format!("{document}:{number}: no code block follows"));
            }
            seen += 1;
            if let Some(fault) = differs(quoted, &source) {
                faults.push(format!("{document}:{number}: {from}: {fault}"));
            }
        }
    }
    assert!(seen > 0, "no excerpts");
    report(&faults);
}

/// The first line of a quotation that the source does not have where it should be.
fn differs(quoted: &[&str], source: &str) -> Option<String> {
    let source: Vec<_> = source.lines().map(str::trim_end).collect();
    let mut from = 0;
    for run in quoted.split(|line| line.trim() == "…").filter(|run| !run.is_empty()) {
        let run: Vec<_> = run.iter().map(|line| line.trim_end()).collect();
        match source[from..].windows(run.len()).position(|window| window == run) {
            Some(at) => from += at + run.len(),
            None => return Some(format!("not verbatim, or not in this order: {}", run.join("\n"))),
        }
    }
    None
}

fn board_text(board: &str, file: &str) -> Option<String> {
    let board = Board::read(&boards::file(board)).ok()?;
    let (_, bytes) = board.files().find(|(path, _)| *path == Path::new(file))?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

#[test]
fn families_that_chapters_name_exist() {
    let mut known = BTreeSet::new();
    for registration in collect::ALL {
        for head in registration.tables {
            known.extend(head.families.iter().map(|family| family.name()));
        }
    }
    let mut faults = Vec::new();
    let mut seen = 0;
    for (document, text) in documents() {
        if !document.starts_with("docs/") {
            continue;
        }
        for (number, line, is_code) in lines(text) {
            if is_code {
                continue;
            }
            for name in code(line) {
                let name = name.split('{').next().unwrap();
                let is_family = name.strip_prefix("pi_").is_some_and(|rest| {
                    !rest.is_empty()
                        && rest.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
                        && !rest.ends_with('_')
                });
                if is_family {
                    seen += 1;
                    if !known.contains(name) {
                        faults.push(format!("{document}:{number}: no family {name}"));
                    }
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} names of families");
    report(&faults);
}

/// A new collector is one file and one line, so `BLESS=1` lists what no chapter explains yet.
#[test]
fn every_source_of_a_collector_is_explained_or_listed() {
    const LIST: &str = "docs/understand/kernel-machine.md";
    let is_list = |line: &str| line.starts_with("- `") && line.contains("`, read by the collector `");
    let mut chapters = String::new();
    for (_, text) in documents().iter().filter(|(document, _)| document.starts_with("docs/understand/kernel-")) {
        chapters.extend(text.lines().filter(|line| !is_list(line)));
    }
    let mut list = String::new();
    for registration in collect::ALL {
        for source in registration.source.text().split(", ").filter(|source| !chapters.contains(source)) {
            list.push_str(&format!("- `{source}`, read by the collector `{}`\n", registration.name));
        }
    }
    if list.is_empty() {
        list.push_str("None: every source has its section.\n");
    }
    let text = std::fs::read_to_string(root().join(LIST)).unwrap();
    boards::compare(&root().join(LIST), &chapters::replaced(LIST, &text, "sources", &list));
}

#[test]
fn the_law_finds_what_is_wrong() {
    assert_eq!(targets("a [b](c.md#d), `[e](f)`, <img src=\"g.png\">"), ["c.md#d", "g.png"]);
    assert_eq!(target("docs/a/b.md", "../c.md"), "docs/c.md");
    assert!(anchors("# One, two\n```\n# three\n```\n## `four` five\n# One, two").iter().eq([
        "four-five",
        "one-two",
        "one-two-1"
    ]));
    assert_eq!(
        (shows("a\n```\n│\n```\n"), shows("![b](c)\n"), shows("d")),
        ((true, true), (true, false), (false, false))
    );
    assert_eq!(differs(&["a", "…", "c"], "a\nb\nc\n"), None);
    assert!(differs(&["a", "c"], "a\nb\nc\n").is_some());
    assert!(differs(&["c", "…", "a"], "a\nb\nc\n").is_some());
    assert!(differs(&["a "], "a\n").is_none() && differs(&["x"], "a\n").is_some());
}
