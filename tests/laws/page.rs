//! The page spells no name that the agent does not have: collectors, series of `/history`, and keys of `/json`.

use pi_monitor::collect;
use pi_monitor::model::Place;
use regex_lite::Regex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files with this ending below a folder of the repository, with their text.
fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == ending) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// What a pattern's first group finds in a text.
fn all<'a>(pattern: &str, text: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
    let found: Vec<&str> =
        Regex::new(pattern).unwrap().captures_iter(text).map(|it| it.get(1).unwrap().as_str()).collect();
    found.into_iter()
}

/// The scripts without lines that are comments.
fn scripts() -> Vec<(String, String)> {
    let code = |text: &str| {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with(['/', '*']));
        lines.collect::<Vec<_>>().join("\n")
    };
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files("src/dashboard", "js").iter().map(|(path, text)| (name(path), code(text))).collect()
}

fn series() -> BTreeSet<&'static str> {
    let families = collect::ALL.iter().flat_map(|it| it.tables).flat_map(|head| head.families);
    families.flat_map(|family| family.charts()).map(|chart| chart.series).collect()
}

/// Every key and every series, and the labels and values that become keys.
fn names() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = series().into_iter().map(str::to_owned).collect();
    names.extend(pi_monitor::judge::rules::ALL.iter().map(|rule| rule.head.name.to_owned()));
    for registration in collect::ALL {
        names.insert(registration.name.to_owned());
        for head in registration.tables {
            if let Place::Object(place) | Place::List(place) = head.place() {
                names.insert(place.to_owned());
            }
            names.extend(head.labels.iter().map(|label| (*label).to_owned()));
            for family in head.families {
                names.insert(family.key(registration.name).to_owned());
                names.extend(family.by().iter().flat_map(|by| by.values).map(|value| (*value).to_owned()));
            }
        }
    }
    // What is no table: /history, and what stands around the tables in /json and /processes.
    for (_, text) in files("src", "rs") {
        names.extend(all(r#"\bkey\("([a-z_]+)"\)"#, &text).map(str::to_owned));
    }
    // And /doctor, whose keys are in a list.
    let (_, text) =
        files("src/format", "rs").into_iter().find(|(file, _)| file.ends_with("doctor.rs")).expect("a format");
    names.extend(all(r#"\("([a-z_]+)", "#, &text).map(str::to_owned));
    names
}

/// The names that `patterns` find in the scripts and `known` does not have, with their file.
fn unknown(patterns: &[&str], known: impl Fn(&str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut found = 0;
    for (file, text) in scripts() {
        for name in patterns.iter().flat_map(|pattern| all(pattern, &text)) {
            found += 1;
            if !known(name) {
                wrong.push(format!("{file}: {name}"));
            }
        }
    }
    assert!(found > 10, "{patterns:?} find {found} names");
    wrong
}

#[test]
fn every_collector_that_the_page_spells_exists() {
    let lists = [r"\b(?:often|seldom|also): \[('[^\]]+)\]"];
    let listed: Vec<String> = scripts()
        .iter()
        .flat_map(|(_, text)| {
            all(lists[0], text).flat_map(|list| list.split(", ")).map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|name| name.trim_matches('\'').to_owned())
        .collect();
    assert!(listed.len() > 8, "{listed:?}");
    let known = |name: &str| collect::ALL.iter().any(|it| it.name == name);
    assert_eq!(listed.iter().filter(|name| !known(name)).collect::<Vec<_>>(), Vec::<&String>::new());
    let read = [r"\bjson\??\.([a-z_]+)", r"json\[?'([a-z_]+)'"];
    let wrong = unknown(&read, |name| known(name) || ["time", "verdicts", "events"].contains(&name));
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_series_that_the_page_spells_exists() {
    let series = series();
    let spelled = [r"\bline\('([a-z_]+)'", r"\bnow\('([a-z_]+)'\)", r"\bhas\('([a-z_]+)'\)", r"\bflag: '([a-z_]+)'"];
    assert_eq!(unknown(&spelled, |name| series.contains(name)), Vec::<String>::new());
}

/// The scripts' own names have no underscores; whatever has one is the agent's.
#[test]
fn every_name_with_an_underscore_is_one_of_the_agents() {
    let names = names();
    let spelled = [r"(?:^|[^a-zA-Z0-9_])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)"];
    // Those of a web app manifest (W3C) are the browsers'.
    let manifest = ["start_url", "short_name", "background_color", "theme_color"];
    let known = |name: &str| names.contains(name) || manifest.contains(&name);
    assert_eq!(unknown(&spelled, known), Vec::<String>::new());
}

/// The mock agent of the page's tests and pictures says what the agent's rules say: rule, severity, card, title and detail.
#[test]
fn the_mock_speaks_the_words_of_the_rules() {
    let rules: String = files("src/judge/rules", "rs").into_iter().map(|(_, text)| text).collect();
    // Every text that a rule can make, as a pattern: what is filled in may be anything.
    let texts: Vec<Regex> = all(r#"format_args!\(\s*"([^"]+)""#, &rules)
        .chain(all(r#"(?:=>|,|\() \(?"([A-Z][^"]+)""#, &rules))
        .map(|text| {
            let parts: Vec<_> = Regex::new(r"\{[^}]*\}").unwrap().split(text).map(regex_escape).collect();
            Regex::new(&format!("^{}(; .+)?$", parts.join(".+"))).unwrap()
        })
        .collect();
    let filled = |text: &str| Regex::new(r"\$\{[^}]*\}").unwrap().replace_all(text, "1").into_owned();
    let item = Regex::new(
        r"rule: '(\w+)', severity: '(\w+)', state: '\w+', title: ['`]([^'`]+)['`], detail: ['`]([^'`]+)['`],.* card: '(\w+)'",
    )
    .unwrap();
    let mut found = 0;
    for (_, text) in files("tests/dashboard", "mjs") {
        for item in item.captures_iter(&text) {
            let word = |group: usize| item.get(group).unwrap().as_str();
            let rule = pi_monitor::judge::rules::ALL.iter().find(|rule| rule.head.name == word(1));
            let head = &rule.unwrap_or_else(|| panic!("no rule {}", word(1))).head;
            assert_eq!((head.severity.name(), head.card), (word(2), word(5)), "{}", head.name);
            for said in [word(3), word(4)].map(filled) {
                assert!(texts.iter().any(|text| text.is_match(&said)), "no rule says \"{said}\"");
            }
            found += 1;
        }
        assert!(
            !Regex::new(r"rule: '\w+', severity: '\w+', title").unwrap().is_match(&text),
            "a verdict without a state"
        );
    }
    assert!(found >= 5);
}

/// The text with a backslash before each character that means something in a pattern.
fn regex_escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, character| {
        if !character.is_alphanumeric() && character != ' ' && character.is_ascii() {
            all.push('\\');
        }
        all.push(character);
        all
    })
}
