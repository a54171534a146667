//! All fuzz targets in one program: `PI_FUZZ_TARGET` names the one to run. `run.sh` builds it and knows the corpus of each.
//!
//! The targets of single parsers are small functions beside them, `fuzz(text)`, which exist with `--cfg fuzzing` only. Arithmetic that
//! overflows ends them, unlike in the agent. Two more go the whole way: `agent` from files to pages, `routes` from bytes of a
//! connection to answers.

#![no_main]

mod agent;
#[path = "../../tests/boards/board.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod board;
mod page;
mod routes;

use libfuzzer_sys::fuzz_target;
use pi_monitor::collect::{
    agent as own, board, cpu, cpufreq, diskio, memory, network, power, pressure, system, thermal, vm,
};
use pi_monitor::kernel::{mailbox, mounts, text};
use pi_monitor::server::config;
use pi_monitor::{cli, commands, format, model, processes};
use std::cell::RefCell;
use std::sync::OnceLock;

/// Names and what they run.
const TARGETS: [(&str, fn(&[u8])); 22] = [
    ("cpu", cpu::fuzz),
    ("memory", memory::fuzz),
    ("network", network::fuzz),
    ("system", system::fuzz),
    ("disk", mounts::fuzz),
    ("diskio", diskio::fuzz),
    ("pressure", pressure::fuzz),
    ("vm", vm::fuzz),
    ("thermal", thermal::fuzz),
    ("cpufreq", cpufreq::fuzz),
    ("power", power::fuzz),
    ("mailbox", mailbox::fuzz),
    ("board", board::fuzz),
    ("own", own::fuzz),
    ("processes", processes::fuzz),
    ("text", words),
    ("names", names),
    ("pattern", patterns),
    ("flags", flags),
    ("config", config::fuzz),
    ("agent", agent::run),
    ("routes", routes::run),
];

fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let wanted = std::env::var("PI_FUZZ_TARGET").expect("PI_FUZZ_TARGET names the target");
        TARGETS.iter().find(|(name, _)| *name == wanted).expect("a target of this name").1
    });
    target(data);
});

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
            let theirs = str::from_utf8(word).ok().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            if let Some(number) = theirs.and_then(|word| word.parse::<u64>().ok()) {
                assert_eq!(text::uint(word), Some(number));
            }
            let _ = (text::int(word), text::hex(word), text::decimal(word));
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
    let Some(Ok(expression)) = lines.next().map(str::from_utf8) else { return };
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
