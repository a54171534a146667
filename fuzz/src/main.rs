//! All fuzz targets in one program: `PI_FUZZ_TARGET` names the one to run. `run.sh` builds it and knows the corpus of each.
//!
//! Every collector is a target. Where its file has a function `fuzz(text)`, with `--cfg fuzzing` only, that one hands the input to its
//! parsers; any other collector is run on a board where the input stands in for one of the files that its needs name. Arithmetic that
//! overflows ends a target, unlike the agent. Two more go the whole way: `whole` from files to pages, with all collectors, `routes`
//! from bytes of a connection to answers.

#![no_main]

mod agent;
#[path = "../../tests/boards/board.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod board;
mod page;
mod routes;

use libfuzzer_sys::fuzz_target;
use pi_monitor::collect;
use pi_monitor::kernel::{mailbox, packages, text, watch};
use pi_monitor::runtime::sandbox::Needs;
use pi_monitor::server::{access, config};
use pi_monitor::{cli, commands, format, model};
use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

/// What is fuzzed beside the collectors.
const OTHERS: &[(&str, fn(&[u8]))] = &[
    ("mailbox", mailbox::fuzz),
    ("processes", collect::processes::fuzz),
    ("events", pi_monitor::history::events::fuzz),
    ("watch", watch::fuzz),
    ("packages", packages::fuzz),
    ("text", words),
    ("names", names),
    ("pattern", patterns),
    ("flags", flags),
    ("config", files),
    ("whole", agent::run),
    ("routes", routes::run),
];

fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    TARGET.get_or_init(prepare)(data);
});

/// Finds the target before the first input. Two other jobs end here: with `PI_FUZZ_LIST` the names of all targets are printed, and
/// with `PI_FUZZ_SEEDS` the target's first inputs are written to that directory.
fn prepare() -> fn(&[u8]) {
    if std::env::var_os("PI_FUZZ_LIST").is_some() {
        collect::ALL.iter().for_each(|registration| println!("{}", registration.name));
        OTHERS.iter().for_each(|(name, _)| println!("{name}"));
        end();
    }
    let name = target();
    let known = collect::ALL.iter().find(|registration| registration.name == name);
    if let Some(directory) = std::env::var_os("PI_FUZZ_SEEDS") {
        let directory = Path::new(&directory);
        match known {
            Some(registration) if has_parsers(name) => seed_texts(&paths(&registration.needs), directory),
            None if name == "text" || name == "names" => {
                seed_texts(&["proc/stat", "proc/uptime", "proc/self/mountinfo"], directory);
            }
            None if name == "processes" => seed_texts(&paths(&collect::processes::NEEDS), directory),
            Some(_) => agent::seed(directory),
            None if name == "whole" => agent::seed(directory),
            None => {}
        }
        end();
    }
    match known {
        Some(_) if has_parsers(name) => |data| {
            collect::fuzz_parsers(target(), data);
        },
        Some(_) => agent::run,
        None => OTHERS.iter().find(|(other, _)| *other == name).expect("a target of this name").1,
    }
}

/// Ends the process without libFuzzer's handler, which takes every `exit()` for a finding.
fn end() -> ! {
    unsafe extern "C" {
        fn _exit(status: i32) -> !;
    }
    std::io::stdout().flush().expect("standard output");
    // SAFETY: it takes a number and does not come back.
    unsafe { _exit(0) }
}

/// The name of the target, which `PI_FUZZ_TARGET` holds.
fn target() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| std::env::var("PI_FUZZ_TARGET").expect("PI_FUZZ_TARGET names the target"))
}

fn has_parsers(collector: &str) -> bool {
    collect::fuzz_parsers(collector, b"")
}

/// What is read, one by one.
fn paths(needs: &Needs) -> Vec<&'static str> {
    needs.paths.split_ascii_whitespace().collect()
}

/// Writes each text that is at or below one of `paths` on some board.
fn seed_texts(paths: &[&str], directory: &Path) {
    let mut count = 0;
    for name in board::all() {
        let board = board::Board::read(&board::file(&name)).unwrap_or_else(|error| panic!("{error}"));
        for (_, text) in board.only(paths).files().filter(|(_, text)| !text.is_empty()) {
            std::fs::write(directory.join(format!("board-{count}")), text).expect("a seed");
            count += 1;
        }
    }
}

/// The two files that a person writes for the server.
fn files(data: &[u8]) {
    config::fuzz(data);
    access::fuzz(data);
}

/// Lines, words and numbers of any kernel file.
fn words(data: &[u8]) {
    let mut out = Vec::new();
    let mut lines = 0;
    for (number, line) in text::lines(data) {
        lines += 1;
        assert_eq!(number, lines);
        for word in text::words(line) {
            assert!(!word.is_empty() && !word.contains(&b' '));
            // What the standard library takes for a number is one, and the same one.
            let theirs = std::str::from_utf8(word).ok().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            if let Some(number) = theirs.and_then(|word| word.parse::<u64>().ok()) {
                assert_eq!(text::uint(word), Some(number));
            }
            let _ = (text::int(word), text::hex(word), model::Value::parse(word));
            out.clear();
            text::unescape_octal(word, &mut out);
            assert!(out.len() <= word.len());
        }
    }
}

/// Whatever bytes a name holds: its text gives them back.
fn names(data: &[u8]) {
    let mut text = String::new();
    model::push_label(&mut text, data);
    assert_eq!(page::decode(&text), data);
    let mut json = Vec::new();
    format::object::write_string(&text, &mut json);
    assert_eq!(serde_json::from_slice::<String>(&json).expect("JSON"), text);
    // And compression gives back what it got.
    thread_local! {
        static GZIP: RefCell<format::Gzip> = RefCell::new(format::Gzip::new());
    }
    let mut gzip = Vec::new();
    GZIP.with_borrow_mut(|compressor| compressor.compress(data, &mut gzip));
    let body = &gzip[10..gzip.len() - 8];
    assert_eq!(miniz_oxide::inflate::decompress_to_vec(body).expect("deflate"), data);
}

/// The first line is a regular expression, the others are names.
fn patterns(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let Some(Ok(expression)) = lines.next().map(std::str::from_utf8) else { return };
    if let Ok(pattern) = cli::pattern::Pattern::new(expression) {
        for line in lines.take(4) {
            let _ = pattern.matches(line);
        }
    }
}

/// Command lines, one word a line.
fn flags(data: &[u8]) {
    let words = data.split(|&byte| byte == b'\n').map(|word| String::from_utf8_lossy(word).into_owned());
    if let Err(wrong) = commands::parse(words) {
        assert!(!wrong.is_empty());
    }
}
