//! The rooms of `src/`: what each may import, and what only one of them may do. ARCHITECTURE.md has the reasons.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every room with the rooms that it may import, from the ground up.
pub const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sys", &[]),
    ("cli", &["model"]),
    ("dashboard", &[]),
    ("runtime", &["sys", "cli"]),
    ("kernel", &["model", "sys", "cli", "runtime"]),
    ("history", &["model", "sys"]),
    ("collect", &["model", "kernel", "runtime", "sys", "cli"]),
    ("judge", &["model", "cli", "collect"]),
    ("doctor", &["model", "kernel", "collect", "judge"]),
    ("dialect", &["model", "sys", "cli", "runtime", "kernel", "collect"]),
    ("format", &["model", "history"]),
    (
        "agent",
        &["model", "sys", "cli", "runtime", "kernel", "history", "collect", "judge", "doctor", "dialect", "format"],
    ),
    (
        "outbound",
        &["model", "sys", "cli", "runtime", "kernel", "history", "collect", "judge", "dialect", "format", "agent"],
    ),
    ("server", &["model", "sys", "cli", "runtime", "history", "dialect", "format", "agent", "dashboard"]),
    (
        "commands",
        &[
            "model",
            "sys",
            "cli",
            "runtime",
            "kernel",
            "history",
            "collect",
            "judge",
            "doctor",
            "dialect",
            "format",
            "agent",
            "outbound",
            "server",
            "dashboard",
        ],
    ),
];

/// Rooms that may open files: the kernel's own files in `kernel`, and what a person names on the command line elsewhere.
const OPENS_FILES: &[&str] = &["sys", "kernel", "server", "history", "outbound"];

/// Collects the files below a directory.
pub fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The Rust files below `src/` by their paths there, without tests and comments.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.retain(|path| !path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs"));
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        (path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), code(&text))
    };
    paths.iter().map(read).collect()
}

/// The text without comments and without what comes after `#[cfg(test)]`, which ends each file.
fn code(text: &str) -> String {
    let before_tests = text.split("\n#[cfg(test)]\n").next().unwrap();
    before_tests.lines().map(|line| line.split("//").next().unwrap()).fold(String::new(), |all, line| all + line + "\n")
}

/// Returns the room of a file below `src/`; `None` for `lib.rs`, which lists the rooms. `main.rs` only calls `commands`.
fn room(file: &str) -> Option<&'static str> {
    let first = file.split(['/', '.']).next().unwrap();
    if file == "lib.rs" {
        return None;
    }
    let first = if file == "main.rs" { "commands" } else { first };
    let known = ROOMS.iter().find(|(room, _)| *room == first);
    Some(known.unwrap_or_else(|| panic!("src/{file} is in no room: add it to ROOMS, with what it may import")).0)
}

/// The modules directly below the crate's root that `code` names: in `crate::NAME`, `crate::{NAME…, NAME…}` and the like of
/// `pi_monitor::` in the binary.
fn imports(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for root in ["crate::", "pi_monitor::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            let Some(group) = rest.strip_prefix('{') else {
                found.insert(name(rest));
                continue;
            };
            let mut depth = 0;
            let mut item = String::new();
            for character in group.chars() {
                match character {
                    '}' if depth == 0 => break,
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(name(item.trim()));
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                item.push(character);
            }
            found.insert(name(item.trim()));
        }
    }
    found.remove("");
    found
}

/// The room that a name below the crate's root is in; `None` for what belongs to the crate as a whole.
fn room_of_import(name: &str) -> Option<&'static str> {
    match name {
        "VERSION" => None,
        // The log's macros, which stand at the root as all exported macros do.
        "error" | "warn" | "info" | "debug" => Some("runtime"),
        _ => room(&format!("{name}/mod.rs")),
    }
}

/// The released binaries are built without the text of `{:?}`, see `scripts/build.sh`.
#[test]
fn no_message_needs_debug_output() {
    let spelled = |(file, code): (String, String)| code.contains(":?}").then_some(file);
    assert_eq!(sources().into_iter().filter_map(spelled).collect::<Vec<_>>(), [""; 0]);
}

/// Longer than that, and nobody reads a file as a whole.
const LINES_MAX: usize = 600;

#[test]
fn no_source_file_is_too_long_to_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    for path in paths {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: split it by subject", path.display());
    }
}

#[test]
fn imports_run_downward_only() {
    let mut wrong = BTreeSet::new();
    for (file, code) in sources() {
        let Some(own) = room(&file) else { continue };
        let allowed = ROOMS.iter().find(|(room, _)| *room == own).unwrap().1;
        for name in imports(&code) {
            let Some(other) = room_of_import(&name) else { continue };
            if other != own && !allowed.contains(&other) {
                wrong.insert((file.clone(), other));
            }
        }
        // The way past `crate::`: more steps up than the file is deep.
        let depth = file.matches('/').count() + usize::from(!file.ends_with("mod.rs"));
        assert!(!code.contains(&"super::".repeat(depth)), "src/{file} leaves its room through super");
    }
    assert!(wrong.is_empty(), "imports that run upward, see ROOMS: {wrong:?}");
}

/// What the files of a room import from `crate::collect`, each path without `crate::collect::`.
fn imports_of_collectors(own: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (file, code) in sources().into_iter().filter(|(file, _)| room(file) == Some(own)) {
        for (at, _) in code.match_indices("collect::") {
            let rest = code[at + "collect::".len()..].split([';', '(']).next().unwrap();
            let paths = rest.split(['{', '}', ',', ' ', '\n']).filter(|path| !path.is_empty());
            found.extend(paths.map(|path| (file.clone(), path.to_owned())));
        }
    }
    found
}

#[test]
fn rules_and_the_doctor_know_of_collectors_only_their_tables() {
    let imports = imports_of_collectors("judge");
    assert!(imports.len() > 10, "{imports:?}");
    for (file, path) in imports.into_iter().chain(imports_of_collectors("doctor")) {
        let last = path.rsplit("::").next().unwrap();
        assert_eq!(last, last.to_uppercase(), "src/{file} imports {path}, which is no table of a collector");
    }
}

#[test]
fn the_agent_knows_no_collector_by_name() {
    for (file, path) in imports_of_collectors("agent") {
        let first = path.split("::").next().unwrap();
        let known = pi_monitor::collect::ALL.iter().any(|registration| registration.name == first);
        assert!(!known, "src/{file} names the collector {path}");
    }
}

#[test]
fn only_the_kernel_room_opens_kernel_files() {
    let opens = |code: &str| ["fs::", "File::open", "OpenOptions"].iter().any(|word| code.contains(word));
    let found = sources()
        .into_iter()
        .filter(|(file, code)| room(file).is_some_and(|room| !OPENS_FILES.contains(&room)) && opens(code));
    let found: Vec<_> = found.map(|(file, _)| file).collect();
    assert!(found.is_empty(), "files that open files, see OPENS_FILES: {found:?}");
}

#[test]
fn a_room_imports_only_rooms_below_it() {
    let mut below: Vec<&str> = Vec::new();
    for (room, imports) in ROOMS {
        for import in *imports {
            assert!(below.contains(import), "{room} may import {import}, which is not below it");
        }
        below.push(room);
    }
}

#[test]
fn architecture_lists_the_rooms_in_their_order() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## The rooms").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let listed: Vec<_> = rows.map(|row| row.trim_start_matches("| `").split("/`").next().unwrap()).collect();
    assert_eq!(listed, ROOMS.iter().map(|(room, _)| *room).collect::<Vec<_>>());
}

#[test]
fn imports_are_seen() {
    let names = |code: &str| imports(code).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(names("use crate::model::{A, B};\nlet x = crate::sys::page_size();"), "model sys");
    assert_eq!(names("use crate::{kernel::{text, Source}, VERSION,\n    model};"), "VERSION kernel model");
    assert_eq!(names("use pi_monitor::server;"), "server");
    assert_eq!(names(&code("// crate::a\nlet x = 1; // crate::b\n\n#[cfg(test)]\nmod tests { use crate::c; }")), "");
}

#[test]
fn mutations_of_the_hostile_cases_find_the_text_that_they_replace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("tests/hostile/mutations/table.tsv")).unwrap();
    let plain = |text: &str| {
        let mut out = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            out.push(match character {
                '\\' => match characters.next().unwrap() {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                },
                other => other,
            });
        }
        out
    };
    let mut rows = 0;
    for row in table.lines().filter(|row| !row.starts_with('#') && !row.is_empty()) {
        let [case, file, text, _] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("not four columns: {row}") };
        let source = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{case}: {file}: {error}"));
        assert_eq!(source.matches(&plain(text)).count(), 1, "{case}: {text} in {file}");
        rows += 1;
    }
    assert!(rows > 30, "{rows}");
}
