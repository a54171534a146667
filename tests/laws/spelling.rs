//! Spelling: every word of a document is in a list of American English, or in `tests/book/words.txt`, the project's own terms.
//!
//! `PI_WORDS` names the list, one word a line. The step `book` of `scripts/test.sh` sets it to that of Debian's package
//! wamerican; where there is neither that nor `/usr/share/dict/american-english`, only the project's own list is checked.

use crate::book::{documents, lines, prose};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const OWN: &str = include_str!("../book/words.txt");

/// A line of a document without code, comments, tags and targets of links.
fn text(line: &str) -> String {
    let mut text = String::new();
    let prose = prose(line);
    let mut rest = prose.as_str();
    loop {
        let marks = [("<!--", "-->"), ("](", ")"), ("<", ">")];
        let first = marks.iter().filter_map(|(begin, end)| Some((rest.find(begin)?, *begin, *end))).min_by_key(|m| m.0);
        let Some((at, begin, end)) = first else { break };
        text.push_str(&rest[..at]);
        text.push(' ');
        let behind = &rest[at + begin.len()..];
        rest = behind.find(end).map_or("", |length| &behind[length + end.len()..]);
    }
    text.push_str(rest);
    text
}

/// Whether a piece between blanks is a path, a flag, a name of the code or a file, and not words.
fn is_name(piece: &str) -> bool {
    let piece = piece.trim_start_matches(['(', '[', '*', '"']);
    let extension = |part: &str| part.starts_with(|letter: char| letter.is_ascii_lowercase());
    piece.starts_with(['/', '.'])
        || piece.starts_with("--")
        || piece.contains("://")
        || piece.contains(['_', '=', '@'])
        || piece.split('.').skip(1).any(extension)
}

/// The words of a line. One with a digit is a name.
fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for piece in text(line).replace('’', "'").split_whitespace().filter(|piece| !is_name(piece)) {
        for word in piece.split(|letter: char| !letter.is_alphanumeric() && letter != '\'') {
            let word = word.trim_matches('\'');
            let word = word.strip_suffix("'s").unwrap_or(word);
            if word.chars().nth(1).is_some() && word.chars().all(|letter| letter.is_alphabetic() || letter == '\'') {
                found.push(word.to_owned());
            }
        }
    }
    found
}

/// A word as a list has it: a sentence may begin with it.
fn listed(list: &BTreeSet<&str>, word: &str) -> bool {
    let mut letters = word.chars();
    let lower: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
    list.contains(word) || list.contains(&*(lower + letters.as_str()))
}

/// Every word of the documents, with the place where it stands first. Alerts are named in the summary.
fn used() -> BTreeMap<String, String> {
    let mut used = BTreeMap::new();
    for (document, text) in documents() {
        for (number, line, is_code) in lines(text) {
            for word in if is_code { Vec::new() } else { words(line) } {
                if !documents().contains_key(&format!("docs/runbooks/{word}.md")) {
                    used.entry(word).or_insert_with(|| format!("{document}:{number}"));
                }
            }
        }
    }
    used
}

#[test]
fn words_are_spelled_right() {
    let path = std::env::var("PI_WORDS").unwrap_or_else(|_| "/usr/share/dict/american-english".to_owned());
    if !Path::new(&path).is_file() {
        return eprintln!("skipped: no list of words {path}");
    }
    let dictionary = std::fs::read_to_string(path).unwrap();
    let dictionary: BTreeSet<_> = dictionary.lines().collect();
    let own: BTreeSet<_> = OWN.lines().collect();
    let mut faults = Vec::new();
    for (word, place) in used() {
        let known = listed(&own, &word) || listed(&dictionary, &word);
        if !known && !listed(&dictionary, &word.to_lowercase()) {
            faults.push(format!("{place}: {word}: misspelled, or a term for tests/book/words.txt"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn own_terms_are_sorted_and_used() {
    let own: Vec<_> = OWN.lines().collect();
    assert!(own.windows(2).all(|pair| pair[0] < pair[1]), "tests/book/words.txt: sort it with LC_ALL=C sort -u");
    let used = used();
    let mut faults = Vec::new();
    for term in own {
        let is_used = used.keys().any(|word| listed(&BTreeSet::from([term]), word));
        if !is_used {
            faults.push(format!("tests/book/words.txt: no document uses {term}"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_law_reads_words_only() {
    assert_eq!(words("A [`b`](c.md) and [deux mots](d/e.md#f): it's `g`."), ["and", "deux", "mots", "it"]);
    assert_eq!(words("<img src=\"typpo.svg\"> in-between <!-- run: typpo --> (*really*)"), ["in", "between", "really"]);
    assert_eq!(words("in /proc/meminfo, --web.port=9, a_b, main.js and armv7; end."), ["in", "and", "end"]);
    let list = BTreeSet::from(["word", "Pi"]);
    assert!(listed(&list, "word") && listed(&list, "Word") && listed(&list, "Pi"));
    assert!(!listed(&list, "pi") && !listed(&list, "wrod"));
}
