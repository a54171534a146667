//! A figure that several documents give comes from one place, and the others say the same, rounded or not.
//!
//! `repeated.rs` has the table.

use crate::repeated::{FIGURES, Figure, SIZES};
use crate::rooms::ROOMS;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Numbers that documents write as words.
const WORDS: [&str; 21] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

/// A number as it is written, and half of what its last digit stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Written {
    value: f64,
    off: f64,
}

/// Parses the number that `text` begins with, and returns what follows.
fn number(text: &str) -> Option<(Written, &str)> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || b",._".contains(byte)).count();
    let written = text[..digits].trim_end_matches([',', '.']);
    if written.is_empty() {
        let length = text.bytes().take_while(u8::is_ascii_alphabetic).count();
        let word = text[..length].to_lowercase();
        let is_it = |name: &&str| word == **name || word.strip_suffix("th") == Some(&name.replace('y', "ie"));
        let at = WORDS.iter().position(is_it)?;
        return Some((Written { value: at as f64, off: 0.0 }, &text[length..]));
    }
    let plain: String = written.chars().filter(|letter| !matches!(letter, ',' | '_')).collect();
    let decimals = plain.split_once('.').map_or(0, |(_, behind)| behind.len());
    // 740 kB may be 738,008 bytes, 1 MB no more than itself.
    let zeros = if decimals == 0 { plain.len() - plain.trim_end_matches('0').len() } else { 0 };
    let off = 0.5 * 10_f64.powi(i32::try_from(zeros).unwrap() - i32::try_from(decimals).unwrap());
    Some((Written { value: plain.parse().ok()?, off }, &text[written.len()..]))
}

/// Finds the number where `pattern` has its `#`.
fn find(text: &str, pattern: &str) -> Option<Written> {
    // A heading has a "#" of its own.
    let (before, after) = pattern.rsplit_once('#')?;
    text.lines().find_map(|line| {
        let mut parts = before.split('…');
        let first = parts.next()?;
        // Each place where the line has the first part may be the one.
        line.match_indices(first).find_map(|(at, _)| {
            let mut rest = &line[at + first.len()..];
            for part in parts.clone() {
                rest = &rest[rest.find(part)? + part.len()..];
            }
            let (written, rest) = number(rest)?;
            rest.starts_with(after).then_some(written)
        })
    })
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Whether a figure is what another place says, which may have rounded it.
fn same(from: Written, from_unit: f64, also: Written, unit: f64) -> bool {
    let off = also.off * unit + 1e-9;
    (from.value * from_unit - also.value * unit).abs() <= off
}

#[test]
fn figures_in_several_documents_are_the_same() {
    let mut faults = Vec::new();
    for Figure { from: (file, pattern, unit), also } in FIGURES {
        let Some(from) = find(&read(file), pattern) else {
            faults.push(format!("{file}: no line has {pattern:?}, which other documents repeat"));
            continue;
        };
        for (place, said, other_unit) in *also {
            match find(&read(place), said) {
                // The measurement's own page explains what is not reached, as long as it is not.
                None if place == file => {}
                None => faults.push(format!("{place}: no line has {said:?}; where does it say what {file} says?")),
                Some(also) if same(from, *unit, also, *other_unit) => {}
                Some(also) => faults.push(format!(
                    "{place}: {said:?}: {} does not agree with {} in {file}, {pattern:?}",
                    also.value, from.value
                )),
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Documents that record what was measured at one time: their figures are not updated.
const THEN: [&str; 4] = ["docs/chronicle/", "docs/verified-on.md", "docs/scaling.md", "CHANGELOG.md"];

/// A number of six digits or more that two documents have is no accident.
#[test]
fn figures_that_documents_share_are_in_the_table() {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (document, text) in crate::book::documents() {
        if THEN.iter().any(|then| document.starts_with(then)) {
            continue;
        }
        for (_, line, _) in crate::book::lines(text).filter(|(.., is_code)| !is_code) {
            for word in line.split(|letter: char| !letter.is_ascii_digit() && !matches!(letter, ',' | '.')) {
                let word = word.trim_matches([',', '.']);
                if word.contains(',') && word.bytes().filter(u8::is_ascii_digit).count() > 5 {
                    seen.entry(word).or_default().insert(document);
                }
            }
        }
    }
    let known = |word: &str, document: &str| {
        let all = FIGURES.iter().flat_map(|Figure { from, also }| also.iter().chain([from]));
        all.filter(|at| at.0 == document).any(|(_, pattern, _)| {
            find(&crate::book::documents()[document], pattern).map(|found| found.value)
                == number(word).map(|(written, _)| written.value)
        })
    };
    let mut faults = Vec::new();
    for (word, documents) in seen.iter().filter(|(_, documents)| documents.len() > 1) {
        for document in documents.iter().filter(|document| !known(word, document)) {
            faults.push(format!("{document}: {word} is also in {documents:?}; add it to FIGURES"));
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The value of what a line of the code sets, where it is as simple as most are: `48 << 10`, `Duration::from_secs(5)`.
fn value(line: &str) -> Option<f64> {
    let of = line.split_once(" = ")?.1.trim_end_matches(';');
    let (of, unit) = match of.strip_prefix("Duration::from_") {
        Some(time) => match time.trim_end_matches(')').split_once('(')? {
            ("secs", of) => (of, 1.0),
            ("millis", of) => (of, 1e-3),
            _ => return None,
        },
        None => (of, 1.0),
    };
    let (of, shift) = of.split_once(" << ").unwrap_or((of, "0"));
    let all = |text: &str| text.replace('_', "").parse::<u32>().ok();
    Some(f64::from(all(of)?) * 2_f64.powi(i32::try_from(all(shift)?).unwrap()) * unit)
}

/// `chapters.rs` compares the line in the last column with the code, this the limit beside it with the line.
#[test]
fn the_sizes_are_what_their_lines_say() {
    let mut compared = 0;
    for row in read(SIZES).lines().filter(|row| row.starts_with("| ") && row.contains('`')) {
        // Of all points the last is not complete.
        if row.contains("127 and the one that is not complete") {
            continue;
        }
        let cells: Vec<_> = row.split(" | ").collect();
        let Some(value) = cells[2].split('`').nth(3).and_then(value) else { continue };
        let Some((said, unit)) = number(cells[1]) else { continue };
        let unit = match unit.split_whitespace().next().unwrap_or_default() {
            "KiB" => 1024.0,
            "MiB" => 1024.0 * 1024.0,
            "ms" => 1e-3,
            "min" => 60.0,
            "" | "s" | "bytes" | "each" => 1.0,
            unit => panic!("{SIZES}: what is {unit:?}? {row}"),
        };
        assert!((said.value * unit - value).abs() < 1e-9, "{SIZES}: {} is not {value}: {row}", said.value * unit);
        compared += 1;
    }
    assert!(compared > 35, "only {compared} rows were compared");
}

/// What documents count, with how many there are.
fn counts() -> [(&'static str, usize); 5] {
    let rules = |file: &str, word: &str| read(file).matches(word).count();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dashboards = std::fs::read_dir(root.join("monitoring/grafana/dashboards")).unwrap();
    let alerts = rules("monitoring/rules/alerts.yml", "- alert: ");
    [
        ("rooms", ROOMS.len()),
        ("alerts", alerts),
        ("runbooks", alerts),
        ("dashboards", dashboards.count()),
        ("recording rules", rules("monitoring/rules/recording.yml", "- record: ")),
    ]
}

/// Sentences that count some of them.
const SOME: [(&str, &str); 1] = [("CHANGELOG.md", "with three alerts")];

#[test]
fn what_documents_count_is_there_as_often() {
    let mut faults = Vec::new();
    let mut seen = 0;
    let counts = counts();
    for (document, text) in crate::book::documents() {
        for (line, said) in (1..).zip(text.lines()) {
            for (noun, count) in counts {
                for (at, _) in said.match_indices(&format!(" {noun}")) {
                    let before = said[..at].rsplit([' ', '(', '*']).next().unwrap();
                    let Some((written, "")) = number(before) else { continue };
                    if SOME.iter().any(|(file, words)| document == file && said.contains(words)) {
                        continue;
                    }
                    seen += 1;
                    if written.value != count as f64 {
                        faults.push(format!("{document}:{line}: {before} {noun}; there are {count}"));
                    }
                }
            }
        }
    }
    // promtool's words.
    let rules = read("docs/query/rules.md");
    for (file, (_, count)) in ["recording", "alerts"].iter().zip([counts[4], counts[1]]) {
        let after = rules.split(&format!("Checking rules/{file}.yml\n  SUCCESS: ")).nth(1).unwrap_or_default();
        if number(after).map(|(written, _)| written.value) != Some(count as f64) {
            faults.push(format!("docs/query/rules.md: {file}.yml has {count} rules"));
        }
    }
    assert!(seen > 1, "{seen}");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_figure_is_read_as_it_is_written() {
    let parsed = |text| number(text).map(|(written, rest)| (written.value, written.off, rest));
    assert_eq!(parsed("738,096."), Some((738_096.0, 0.5, ".")));
    assert_eq!(parsed("740 kB"), Some((740.0, 5.0, " kB")));
    assert_eq!(parsed("1.9 MB"), Some((1.9, 0.05, " MB")));
    assert_eq!(parsed("fourteenth of"), Some((14.0, 0.0, " of")));
    assert_eq!((parsed("some"), parsed("-")), (None, None));
    assert!(same(Written { value: 2327.0, off: 0.5 }, 1e3, Written { value: 2.3, off: 0.05 }, 1e6));
    assert!(!same(Written { value: 2327.0, off: 0.5 }, 1e3, Written { value: 2.2, off: 0.05 }, 1e6));
    let row = "| a | ≤ 2 | 1,896 kB |\nx a 5";
    assert_eq!(find(row, "| a | …| # kB").map(|found| found.value), Some(1896.0));
    assert_eq!(find(row, "a #").map(|found| found.value), Some(5.0));
    assert_eq!(find(row, "a # kB"), None);
    assert_eq!(value("const A: usize = 48 << 10;"), Some(49152.0));
    assert_eq!(value("const A: Duration = Duration::from_millis(2500);"), Some(2.5));
    assert_eq!(value("const A: u64 = 244 * PAGE as u64;"), None);
}
