//! Joins the dashboard's files into one page, hashes its inline parts for the Content-Security-Policy, and compresses it.
//!
//! No tool is needed: what makes the page smaller beforehand is only the taking away of comments, indentation and needless
//! spaces. `tests/dashboard/page.mjs` does the same for work on the page without a build.

use std::path::Path;
use std::{env, fs, io};

const FOLDER: &str = "src/dashboard";
/// Signs beside which spaces carry no meaning outside of texts and patterns.
const SCRIPT_SIGNS: &[&str] =
    &["===", "!==", "=>", ">=", "<=", "&&", "||", "??", "=", "?", ":", ",", ";", "{", "}", "(", ")", "*", "<", ">"];
const STYLE_SIGNS: &[&str] = &["{", "}", ":", ";", ","];

#[derive(Clone, Copy, PartialEq)]
enum Language {
    Markup,
    Script,
    Style,
}

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={FOLDER}");
    let read = |name: &str| fs::read_to_string(Path::new(FOLDER).join(name));
    let style = squeeze(&read("style.css")?, Language::Style);
    let mut script = String::from("(() => {\n'use strict';");
    for name in read("scripts")?.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        script.push('\n');
        script.push_str(&squeeze(&read(name)?, Language::Script));
    }
    script.push_str("\n})();");
    let page = squeeze(&read("index.html")?, Language::Markup).replace("{style}", &style).replace("{script}", &script);
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        base64(&sha256(script.as_bytes())),
        base64(&sha256(style.as_bytes())),
    );
    let tag: String = sha256(page.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("dashboard.html.gz"), gzip(page.as_bytes()))?;
    let facts = format!("Facts {{ length: {}, policy: {policy:?}, tag: {:?} }}\n", page.len(), format!("\"{tag}\""));
    fs::write(Path::new(&out).join("dashboard.rs"), facts)
}

/// Drops comments on lines of their own, indentation, blank lines and needless spaces. The dashboard's files are written so
/// that this is safe: texts stay on one line.
fn squeeze(text: &str, language: Language) -> String {
    let mut lines = Vec::new();
    let mut comment = false;
    for line in text.lines().map(str::trim) {
        comment |= line.starts_with("/*");
        if !comment && !line.is_empty() && !line.starts_with("//") {
            lines.push(tighten(line, language));
        }
        comment &= !line.ends_with("*/");
    }
    lines.join("\n")
}

/// A line without needless spaces outside of quotes. A line with double quotes, with a slash (in scripts, where it may begin
/// a pattern), or with other than none or two backticks is left alone.
fn tighten(line: &str, language: Language) -> String {
    let ticks = line.matches('`').count();
    let slash = language == Language::Script && line.contains('/');
    if language == Language::Markup || line.contains('"') || slash || (ticks != 0 && ticks != 2) {
        return line.to_owned();
    }
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(['\'', '`']) {
        let quote = if rest[start..].starts_with('`') { '`' } else { '\'' };
        let Some(end) = rest[start + 1..].find(quote) else { break };
        let end = start + 1 + end + 1;
        out.push_str(&trim_signs(&rest[..start], language));
        out.push_str(&rest[start..end]);
        rest = &rest[end..];
    }
    out + &trim_signs(rest, language)
}

fn trim_signs(part: &str, language: Language) -> String {
    let mut part = part.to_owned();
    if language == Language::Style {
        part = part.replace(" {", "{").replace(" }", "}");
    }
    for sign in if language == Language::Style { STYLE_SIGNS } else { SCRIPT_SIGNS } {
        if language == Language::Script {
            part = part.replace(&format!(" {sign} "), sign);
        }
        part = part.replace(&format!("{sign} "), sign);
    }
    part
}

/// One gzip member without a name and a time, so that the same page is the same file (RFC 1952).
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    out.extend(miniz_oxide::deflate::compress_to_vec(data, 10));
    out.extend(crc32(data).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

/// SHA-256 (FIPS 180-4). Its constants are computed as the standard defines them: from the roots of the first primes.
fn sha256(data: &[u8]) -> [u8; 32] {
    let primes: Vec<u128> = (2u128..312).filter(|n| (2..*n).all(|d| n % d != 0)).collect();
    // The first 32 bits behind the point of a root: the whole part of root(n · 2^(32·degree)), modulo 2^32.
    let fraction = |prime: u128, degree: u32| {
        let wanted = prime << (32 * degree);
        let (mut low, mut high) = (0u128, 1u128 << 36);
        while high - low > 1 {
            let middle = u128::midpoint(low, high);
            if middle.pow(degree) <= wanted { low = middle } else { high = middle }
        }
        low as u32
    };
    let rounds: Vec<u32> = primes.iter().take(64).map(|prime| fraction(*prime, 3)).collect();
    let mut state: Vec<u32> = primes.iter().take(8).map(|prime| fraction(*prime, 2)).collect();
    let mut message = data.to_vec();
    message.push(0x80);
    message.resize((message.len() + 8).next_multiple_of(64), 0);
    let end = message.len() - 8;
    message[end..].copy_from_slice(&(data.len() as u64 * 8).to_be_bytes());
    for block in message.chunks_exact(64) {
        let mut words: Vec<u32> =
            block.chunks_exact(4).map(|four| four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))).collect();
        for i in 16..64 {
            let (a, b) = (words[i - 15], words[i - 2]);
            let a = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
            let b = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
            words.push(words[i - 16].wrapping_add(a).wrapping_add(words[i - 7]).wrapping_add(b));
        }
        let mut s: [u32; 8] = std::array::from_fn(|i| state[i]);
        for (word, round) in words.iter().zip(&rounds) {
            let [a, b, c, d, e, f, g, h] = s;
            let mix = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let one = h.wrapping_add(mix).wrapping_add((e & f) ^ (!e & g)).wrapping_add(*round).wrapping_add(*word);
            let mix = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let two = mix.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            s = [one.wrapping_add(two), a, b, c, d.wrapping_add(one), e, f, g];
        }
        for (sum, new) in state.iter_mut().zip(s) {
            *sum = sum.wrapping_add(new);
        }
    }
    let mut out = [0; 32];
    for (four, word) in out.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in data.chunks(3) {
        let bits = three.iter().chain([0, 0].iter()).take(3).fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for i in 0..4 {
            out.push(if i <= three.len() { char::from(DIGITS[bits >> (18 - 6 * i) & 63]) } else { '=' });
        }
    }
    out
}
