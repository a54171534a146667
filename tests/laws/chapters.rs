//! Chapters of the book that list what the code has: each room's files, the limits, and what the HTTP reference has to say.
//!
//! `BLESS=1 cargo test --test laws` writes the lists of files anew.

use crate::boards;
use crate::rooms::{ROOMS, walk};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a room without its tests, in their order: paths below `src/`.
fn files(room: &str) -> Vec<String> {
    let mut paths: Vec<PathBuf> = Vec::new();
    walk(&root().join("src").join(room), &mut paths);
    if room == "commands" {
        paths.push(root().join("src/main.rs"));
    }
    let name = |path: PathBuf| path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<_> = paths.into_iter().map(name).collect();
    names.retain(|name| !name.ends_with("/tests.rs") && !name.contains("/tests/"));
    names.sort();
    names
}

/// The first sentence of the comment that a file begins with.
fn purpose(file: &str, text: &str) -> String {
    if file.ends_with(".html") {
        return "The page's frame, into which `build.rs` puts styles and scripts.".to_owned();
    }
    let mut words = String::new();
    for line in text.lines() {
        let comment = ["//!", "// ", "/* "].iter().find_map(|mark| line.strip_prefix(mark));
        let Some(part) = comment.map(str::trim).filter(|part| !part.is_empty()) else { break };
        words.push_str(if words.is_empty() { "" } else { " " });
        words.push_str(part);
    }
    let end = words.find(". ").map_or(words.len(), |end| end + 1);
    let sentence = without_links(words[..end].trim_end_matches("*/").trim()).replace('|', "\\|");
    assert!(sentence.ends_with('.'), "src/{file}: begin it with a comment that says what it is for");
    sentence
}

/// Takes the brackets and the targets from links such as rustdoc follows.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['[', ']']) {
        out.push_str(&rest[..at]);
        let is_end = rest[at..].starts_with(']');
        rest = &rest[at + 1..];
        if let Some(target) = rest.strip_prefix('(').filter(|_| is_end) {
            rest = target.split_once(')').map_or("", |(_, behind)| behind);
        }
    }
    out + rest
}

/// The functions of `sys` with unsafe code, and the reason next to it: a row for each.
fn reasons() -> String {
    let mut rows = String::new();
    for file in files("sys") {
        let text = read(&format!("src/{file}"));
        let mut lines = text.split("\n#[cfg(test)]\n").next().unwrap().lines().peekable();
        let mut function = "";
        while let Some(line) = lines.next() {
            let code = line.trim_start();
            // One within another is a part of that.
            let is_within = code.len() < line.len() && code.starts_with("extern");
            if let Some((before, rest)) = code.split_once("fn ").filter(|_| !code.starts_with("//") && !is_within) {
                let name = rest.split(|character: char| !character.is_alphanumeric() && character != '_').next();
                let is_head = before.is_empty() || before.ends_with(' ');
                function = name.filter(|name| is_head && !name.is_empty()).unwrap_or(function);
            }
            let Some(reason) = code.strip_prefix("// SAFETY: ") else { continue };
            let mut reason = reason.to_owned();
            while let Some(more) = lines.next_if(|line| line.trim_start().starts_with("// ")) {
                reason.push_str(&more.trim_start()[2..]);
            }
            rows.push_str(&format!("| `{file}` | `{function}` | {} |\n", reason.replace('|', "\\|")));
        }
    }
    rows
}

/// Puts a table between two marks of a chapter, in the place of what is there.
pub fn replaced(chapter: &str, text: &str, what: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {what}: BLESS=1 cargo test --test laws -->\n"), format!("<!-- /{what} -->\n"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.unwrap_or_else(|| panic!("{chapter}: expected the marks {begin} and {end}"));
    format!("{before}{begin}\n{table}\n{end}{after}")
}

#[test]
fn each_room_has_a_chapter_that_lists_its_files() {
    let summary = read("docs/SUMMARY.md");
    for (room, _) in ROOMS {
        let chapter = format!("docs/rooms/{room}.md");
        assert!(summary.contains(&format!("(rooms/{room}.md)")), "docs/SUMMARY.md lacks {chapter}");
        let mut list = "| file | what it is for |\n|---|---|\n".to_owned();
        for file in files(room) {
            list.push_str(&format!("| `{file}` | {} |\n", purpose(&file, &read(&format!("src/{file}")))));
        }
        let mut text = replaced(&chapter, &read(&chapter), "files", &list);
        if *room == "sys" {
            let reasons = reasons();
            assert!(reasons.lines().count() > 50, "{reasons}");
            let table = format!("| file | function | why it is sound |\n|---|---|---|\n{reasons}");
            text = replaced(&chapter, &text, "unsafe", &table);
        }
        boards::compare(&root().join(&chapter), &text);
    }
}

/// What a chapter shows of `pi-monitor print` is what the board says that the chapter is about.
#[test]
fn excerpts_of_a_board_are_what_it_prints() {
    let golden = read("tests/goldens/pi-zero-2.txt");
    let mut compared = 0;
    for (room, _) in ROOMS {
        let chapter = format!("docs/rooms/{room}.md");
        let text = read(&chapter);
        for block in text.split("```console\n").skip(1) {
            for command in block.split("```").next().unwrap().split("$ ").skip(1) {
                let (command, output) = command.split_once('\n').unwrap();
                // Other machines, errors, and a part of one long line; tests/e2e/book.rs runs all of them.
                let is_plain = !["--log.level", "--since", "--format=json"].iter().any(|word| command.contains(word));
                if !command.starts_with("pi-monitor print") || !is_plain {
                    continue;
                }
                for line in output.lines().filter(|line| !line.is_empty()) {
                    assert!(golden.lines().any(|known| known == line), "{chapter}: $ {command}\n{line}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 15, "{compared}");
}

/// Whether `part` is somewhere in `whole`: an object with these keys and values, maybe among others.
fn is_part(part: &Value, whole: &Value) -> bool {
    let same = match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|other| is_part(value, other)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.iter().all(|value| whole.iter().any(|other| is_part(value, other)))
        }
        _ => part == whole,
    };
    let below = match whole {
        Value::Object(all) => all.values().collect::<Vec<_>>(),
        Value::Array(all) => all.iter().collect(),
        _ => Vec::new(),
    };
    same || below.into_iter().any(|below| is_part(part, below))
}

/// Blocks of JSON are JSON, and those of the HTTP reference are parts of what the board of its example answers.
#[test]
fn json_in_the_documents_is_what_is_answered() {
    let golden = read("tests/goldens/pi-zero-2.txt");
    let answer = golden.split("-- json --\n").nth(1).unwrap().split("-- table --").next().unwrap();
    let answer: Value = serde_json::from_str(answer).unwrap();
    let mut compared = 0;
    for (document, text) in crate::book::documents() {
        for block in text.split("```json\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let whole = if block.starts_with('"') { format!("{{{block}}}") } else { block.to_owned() };
            let part: Value =
                serde_json::from_str(&whole).unwrap_or_else(|error| panic!("{document}: {error}: {block}"));
            if document == REFERENCE {
                assert!(is_part(&part, &answer), "{document}: not in the answer of pi-zero-2: {block}");
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "{compared}");
    let of = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert!(is_part(&of(r#"{"a": 1}"#), &of(r#"[{"b": {"a": 1, "c": 2}}]"#)));
    assert!(!is_part(&of(r#"{"a": 1}"#), &of(r#"{"a": 2}"#)));
}

/// The text of a file without comments on lines of their own, and without its tests.
fn code(file: &str) -> String {
    let text = read(file);
    let before_tests = text.split("\n#[cfg(test)]\n").next().unwrap();
    before_tests
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |all, line| all + line + "\n")
}

/// The texts in quotes, as they are written.
pub fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find('"') {
        let is_letter = rest[..at].ends_with('\'') && rest[at + 1..].starts_with('\'');
        rest = &rest[at + 1..];
        if is_letter {
            continue;
        }
        let mut escaped = false;
        let is_end = |character: char| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        };
        let end = rest.find(is_end).unwrap();
        found.push(rest[..end].to_owned());
        rest = &rest[end + 1..];
    }
    found
}

const REFERENCE: &str = "docs/reference/http.md";

/// What the reference has to hold, with where that comes from.
fn assert_all_are_there(wanted: Vec<(String, String)>, least: usize) {
    let text = read(REFERENCE);
    assert!(wanted.len() >= least, "found only {wanted:?}");
    let missing: Vec<_> = wanted.into_iter().filter(|(_, wanted)| !text.contains(wanted)).collect();
    assert!(missing.is_empty(), "{REFERENCE} lacks {missing:?}");
}

#[test]
fn the_http_reference_has_every_route_and_parameter() {
    let routes = code("src/server/routes.rs");
    let table = routes.split("static ROUTES").nth(1).unwrap().split("];").next().unwrap();
    let mut wanted: Vec<_> =
        literals(table).into_iter().map(|path| ("a route".to_owned(), format!("`{path}`"))).collect();
    let negotiate = code("src/server/negotiate.rs");
    // The arms of what is compared with a parameter's name, or with its value behind `=`.
    let text = read(REFERENCE);
    for line in negotiate.lines().map(str::trim).filter(|line| line.starts_with('"')) {
        for name in literals(line.split("=>").next().unwrap()) {
            let value = format!("={name}`");
            wanted.push((line.to_owned(), if text.contains(&value) { value } else { format!("`{name}`") }));
        }
    }
    let compared = negotiate.split("name == \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    wanted.extend(compared.map(|name| ("a parameter".to_owned(), format!("`{name}`"))));
    assert_all_are_there(wanted, 8 + 8 + 1);
}

#[test]
fn the_http_reference_has_every_message() {
    let mut wanted = Vec::new();
    for file in ["routes", "negotiate", "host", "access", "answer"] {
        let file = format!("src/server/{file}.rs");
        for text in literals(&code(&file)) {
            let Some(message) = text.strip_suffix("\\n").filter(|text| !text.contains("\\r")) else { continue };
            // What stands between values.
            for part in message.replace("\\\"", "\"").split(['{', '}']).step_by(2) {
                if part.len() > 3 {
                    wanted.push((file.clone(), part.trim().to_owned()));
                }
            }
        }
    }
    assert_all_are_there(wanted, 20);
}

#[test]
fn the_http_reference_has_every_key_and_series() {
    let mut wanted = Vec::new();
    for file in ["json", "history", "events", "processes", "doctor"] {
        let file = format!("src/format/{file}.rs");
        // Keys are first arguments, or first in their pairs.
        for rest in code(&file).split("(\"").skip(1) {
            let key = rest.split('"').next().unwrap();
            if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                wanted.push((file.clone(), format!("`{key}`")));
            }
        }
    }
    for head in pi_monitor::collect::ALL.iter().flat_map(|it| it.tables) {
        let charts = head.families.iter().flat_map(|family| family.charts());
        wanted.extend(charts.map(|chart| (head.families[0].name().to_owned(), format!("`{}`", chart.series))));
    }
    assert_all_are_there(wanted, 50);
}

#[test]
fn the_sizes_are_those_of_the_code() {
    let chapter = read("docs/reference/sizes.md");
    let rows: Vec<_> = chapter.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let [_, file, _, line, _] = row.split('`').collect::<Vec<_>>()[..] else {
            panic!("not a file and a line: {row}")
        };
        assert!(read(&format!("src/{file}")).contains(line), "docs/reference/sizes.md: src/{file} does not say {line}");
    }
}

#[test]
fn what_is_looked_for_is_seen() {
    assert_eq!(literals(r#"say("a \"b\" c\n", '"', "d")"#), [r#"a \"b\" c\n"#, "d"]);
    assert_eq!(without_links("Asks [`Asker`](super::Asker), see [`Level`]."), "Asks `Asker`, see `Level`.");
    assert_eq!(purpose("a.rs", "//! `x`: what it is\n//! for. More.\n//!\n//! Else."), "`x`: what it is for.");
    assert_eq!(purpose("a.css", "/* The look. */\n:root {"), "The look.");
}
