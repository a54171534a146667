//! `docs/fix/messages.md` explains every line that the agent logs and every status that it exits with.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where each table of log lines begins in the document.
const TABLE: &str = "| level | line | what it means, and what to do |\n|---|---|---|\n";
/// What `BLESS=1` writes where somebody has to explain.
const TODO: &str = "TODO";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> PathBuf {
    root().join("docs/fix/messages.md")
}

/// Returns every source file with its text up to its tests.
fn sources() -> Vec<(PathBuf, String)> {
    let (mut all, mut folders) = (Vec::new(), vec![root().join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "tests") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|end| end == "rs")
                && path.file_name().is_none_or(|name| name != "tests.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                all.push((path, text));
            }
        }
    }
    all.sort();
    all
}

/// Returns the text of the string literal that `code` begins with, after blanks.
fn literal(code: &str) -> Option<String> {
    let mut letters = code.trim_start().strip_prefix('"')?.chars();
    let mut text = String::new();
    loop {
        match letters.next()? {
            '"' => return Some(text),
            '\\' => text.push(letters.next()?),
            letter => text.push(letter),
        }
    }
}

/// Returns level and text of every line that some macro logs, with the file that it is in.
fn lines() -> Vec<(&'static str, String, PathBuf)> {
    let mut all = Vec::new();
    for (path, text) in sources() {
        let mut found = Vec::new();
        for level in ["warn", "info", "debug"] {
            for (place, call) in text.match_indices(&format!("crate::{level}!(")) {
                let line = literal(&text[place + call.len()..]);
                let line = line.unwrap_or_else(|| panic!("{}: a {level}! without a literal", path.display()));
                found.push((place, level, line));
            }
        }
        found.sort();
        all.extend(found.into_iter().map(|(_, level, line)| (level, line, path.clone())));
    }
    all
}

fn row(level: &str, line: &str, meaning: &str) -> String {
    format!("| `{level}` | `{}` | {meaning} |\n", line.replace('|', "\\|"))
}

#[test]
fn every_log_line_is_explained() {
    let document = document();
    let text = std::fs::read_to_string(&document).unwrap();
    let mut parts = text.split(TABLE);
    let mut kept = parts.next().unwrap().to_owned();
    let tables: Vec<_> = parts.map(|part| part.split_once("\n\n").unwrap_or((part.trim_end(), ""))).collect();
    assert!(tables.len() > 1, "docs/fix/messages.md has no tables of log lines; has their form changed?");
    let mut wrong = String::new();
    let mut known = BTreeSet::new();
    let lines = lines();
    let mut more = String::new();
    let rows = |line: &str| tables.iter().any(|(table, _)| table.lines().any(|row| row.starts_with(line)));
    for (level, line, path) in &lines {
        let begin = row(level, line, "");
        if known.insert((level, line)) && !rows(begin.trim_end_matches(" |\n")) {
            let file = path.strip_prefix(root()).unwrap().display();
            let _ = writeln!(
                wrong,
                "{file} logs \"{line}\", which docs/fix/messages.md does not explain; add this row to one of its tables of log lines, with a sentence or two in place of {TODO}:\n{}",
                row(level, line, TODO)
            );
            more.push_str(&row(level, line, TODO));
        }
    }
    for (number, (table, after)) in tables.iter().enumerate() {
        kept.push_str(TABLE);
        for old in table.lines() {
            let is_same =
                |(level, line): &(&&str, &String)| old.starts_with(row(level, line, "").trim_end_matches(" |\n"));
            let Some((_, line)) = known.iter().find(|it| is_same(it)) else {
                let _ =
                    writeln!(wrong, "docs/fix/messages.md explains a line that no code logs; remove the row: {old}");
                continue;
            };
            if old.contains(TODO) {
                let _ = writeln!(
                    wrong,
                    "docs/fix/messages.md: replace TODO in the row of \"{line}\" by what it means and what to do"
                );
            }
            kept.push_str(old);
            kept.push('\n');
        }
        if number + 1 == tables.len() {
            kept.push_str(&more);
        }
        kept.push('\n');
        kept.push_str(after);
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&document, kept).unwrap();
    }
    assert!(wrong.is_empty(), "\n{wrong}BLESS=1 cargo test --test laws adds and removes rows; the words are yours.");
}

/// Lines come from the macros, the end of `main` and the report of a crash, and from nowhere else.
#[test]
fn every_line_comes_from_a_macro() {
    let writers = |what: &str| -> Vec<String> {
        let files = sources().into_iter().filter(|(_, text)| text.contains(what));
        files.map(|(path, _)| path.strip_prefix(root()).unwrap().display().to_string()).collect()
    };
    assert_eq!(writers("log::line("), ["src/main.rs", "src/runtime/log.rs"]);
    assert_eq!(writers("write_log(&"), ["src/runtime/log.rs", "src/sys/crash.rs"]);
    assert!(writers("eprintln!(").is_empty());
}

/// Returns each piece between `…` of the left column of the tables with this head, with its row.
fn pieces<'a>(text: &'a str, head: &str) -> Vec<(&'a str, &'a str)> {
    let mut all = Vec::new();
    for line in text.split(head).skip(1).flat_map(|table| table.lines().take_while(|line| line.starts_with("| `"))) {
        // Several messages may share a row.
        for words in line[2..].split(" | ").next().unwrap().split('`').skip(1).step_by(2) {
            let pieces = words.split('…').map(|piece| piece.trim_matches([' ', ':', ';']));
            all.extend(pieces.filter(|piece| piece.len() > 3).map(|piece| (piece, line)));
        }
    }
    all
}

/// What the document says that errors look like is in the code.
#[test]
fn every_error_that_is_explained_exists() {
    let text = std::fs::read_to_string(document()).unwrap();
    let sources = sources();
    let errors = pieces(&text, "| error | what to do |\n|---|---|\n");
    for (piece, line) in &errors {
        let written = piece.replace('"', "\\\"");
        let exists = sources.iter().any(|(_, text)| text.contains(piece) || text.contains(&written));
        assert!(exists, "docs/fix/messages.md: no error in src/ contains \"{piece}\" (of {line})");
    }
    assert!(errors.len() > 20, "only {} pieces found; has the form of the table changed?", errors.len());
    let script = std::fs::read_to_string(root().join("packaging/service/pi-monitor-service")).unwrap();
    let lines = pieces(&text, "| line | what it means, and what to do |\n|---|---|\n");
    for (piece, line) in &lines {
        assert!(
            script.contains(piece),
            "docs/fix/messages.md: pi-monitor-service does not print \"{piece}\" (of {line})"
        );
    }
    assert!(lines.len() > 10, "only {} pieces found; has the form of the table changed?", lines.len());
}

/// Where the errors are that end a command, and what a receiver is said to do wrong.
const ERRORS_IN: [&str; 7] =
    ["cli/", "commands/", "outbound/", "server/access.rs", "server/config.rs", "server/flags.rs", "server/frames.rs"];
/// What looks like such an error and is none.
const NO_ERRORS: [&str; 1] = ["expected table"];

/// A literal that says what was expected, what is missing or cannot be, has a row.
#[test]
fn every_error_is_explained() {
    let text = std::fs::read_to_string(document()).unwrap();
    let (mut wrong, mut seen) = (String::new(), 0);
    for (path, code) in sources() {
        let name = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap();
        if !ERRORS_IN.iter().any(|part| name.starts_with(part)) {
            continue;
        }
        let code: String = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .fold(String::new(), |all, line| all + line + "\n");
        for error in crate::chapters::literals(&code) {
            // Help, and what the server answers, are elsewhere.
            let is_error = ["expected ", "cannot ", "needs ", " not "].iter().any(|word| error.contains(word))
                && !error.starts_with(|letter: char| letter.is_uppercase())
                && !error.ends_with("\\n")
                && !error.contains('\n');
            let plain = error.replace("\\\"", "\"").replace("{{", "{").replace("}}", "}");
            let pieces = plain
                .split(['{', '}'])
                .step_by(2)
                .map(|piece| piece.trim_matches([' ', ':', ';', ',', '"']))
                .filter(|piece| piece.len() > 6);
            let pieces: Vec<&str> = pieces.collect();
            if !is_error || pieces.is_empty() || NO_ERRORS.iter().any(|it| plain.contains(it)) {
                continue;
            }
            seen += 1;
            if !pieces.iter().any(|piece| text.contains(piece.get(..24).unwrap_or(piece))) {
                let _ = writeln!(wrong, "src/{name}: docs/fix/messages.md does not explain {error:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(seen > 60, "only {seen} errors found");
}

#[test]
fn every_exit_status_is_explained() {
    let text = std::fs::read_to_string(document()).unwrap();
    let mut statuses = BTreeSet::new();
    for (_, code) in sources() {
        for (word, status) in [("ExitCode::SUCCESS", "0"), ("ExitCode::FAILURE", "1")] {
            if code.contains(word) {
                statuses.insert(status.to_owned());
            }
        }
        for (place, call) in code.match_indices("ExitCode::from(") {
            let status = code[place + call.len()..].split(')').next().unwrap();
            assert!(
                status.parse::<u8>().is_ok(),
                "ExitCode::from({status}): expected a number, so that it can be looked up"
            );
            statuses.insert(status.to_owned());
        }
    }
    assert!(statuses.len() >= 3, "{statuses:?}");
    for status in statuses {
        assert!(text.contains(&format!("\n| {status} | ")), "docs/fix/messages.md: no row for exit status {status}");
    }
}

/// `docs/fix/verdicts.md` leads from each rule on, with words that the rule uses.
#[test]
fn every_rule_is_found_by_what_it_says() {
    let text = std::fs::read_to_string(root().join("docs/fix/verdicts.md")).unwrap();
    let rules = std::fs::read_to_string(root().join("docs/rules.md")).unwrap();
    let rules = rules.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rules: Vec<&str> = rules.collect();
    assert!(rules.len() > 10, "{rules:?}");
    for rule in rules {
        let row = text.lines().find(|line| line.contains(&format!(" | `{rule}` | ")));
        let row = row.unwrap_or_else(|| {
            panic!("docs/fix/verdicts.md: no row for the rule {rule}; say what it says, and where to go on")
        });
        let words = row.trim_start_matches("| ").split(" | ").next().unwrap();
        for piece in words.split(['…', ';']).map(str::trim).filter(|piece| !piece.is_empty()) {
            let said = sources()
                .iter()
                .any(|(path, code)| path.to_string_lossy().contains("judge/rules") && code.contains(piece));
            assert!(said, "docs/fix/verdicts.md: the rule {rule} does not say {piece:?}");
        }
    }
}
