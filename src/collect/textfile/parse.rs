//! The text format, read strictly.

use super::merge::part_of;
use crate::kernel::Bad;
use crate::kernel::text::lines;
use crate::model::ForeignFamily;

/// A family in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// The line that it is first in.
    pub line: usize,
    pub family: ForeignFamily,
}

const KINDS: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];
const HELP: &[u8] = b"Read from a file of another program.";

/// Parses a file, and puts the samples of one family together:
///
/// ```text
/// # HELP backup_last_success_seconds When the last backup ended well.
/// # TYPE backup_last_success_seconds gauge
/// backup_last_success_seconds{disk="a"} 1.7e9
/// ```
///
/// A sample has no time: what is in the file is what holds now.
pub fn parse(text: &[u8]) -> Result<Vec<Found>, Bad> {
    let mut all = Vec::new();
    let mut number = 0;
    for (at, line) in lines(text) {
        number = at;
        let result = if line.ends_with(b"\r") {
            Err("a line that ends in a newline alone, not in CRLF")
        } else if std::str::from_utf8(line).is_err() {
            Err("text in UTF-8")
        } else {
            parse_line(line, at, &mut all)
        };
        result.map_err(|expected| Bad::new(at, expected, line))?;
    }
    if !text.is_empty() && !text.ends_with(b"\n") {
        return Err(Bad::new(number, "a newline at the end of the file, without which it may be incomplete", b""));
    }
    for Found { family: ForeignFamily { kind, help, .. }, .. } in &mut all {
        if kind.is_empty() {
            *kind = "untyped";
        }
        if help.is_empty() {
            help.extend_from_slice(HELP);
        }
    }
    Ok(all)
}

/// Reads a line; returns what it should be if it is something else.
fn parse_line(line: &[u8], number: usize, all: &mut Vec<Found>) -> Result<(), &'static str> {
    const NAME: &str = "the name of a metric";
    let mut rest = line;
    skip_blanks(&mut rest);
    if rest.is_empty() {
        return Ok(());
    }
    if take(&mut rest, b'#') {
        skip_blanks(&mut rest);
        let is_help = match take_name(&mut rest, false) {
            b"HELP" => true,
            b"TYPE" => false,
            _ => return Ok(()),
        };
        // Such as # HELPFUL.
        if !rest.is_empty() && !skip_blanks(&mut rest) {
            return Ok(());
        }
        let name = take_name(&mut rest, true);
        let ends = rest.is_empty() || skip_blanks(&mut rest);
        if name.is_empty() || !ends {
            return Err(NAME);
        }
        let ForeignFamily { kind, help, samples, .. } = &mut find(all, name, number).family;
        if is_help {
            if !help.is_empty() || !is_escaped(rest, b'n') {
                return Err("one help text for each metric, with \\\\ and \\n as its only escapes");
            }
            help.extend_from_slice(rest);
        } else {
            match KINDS.iter().find(|kind| kind.as_bytes() == rest.trim_ascii_end()) {
                Some(found) if kind.is_empty() && samples.is_empty() => *kind = found,
                _ => {
                    return Err(
                        "one type for each metric, before its samples: counter, gauge, histogram, summary or untyped",
                    );
                }
            }
        }
        return Ok(());
    }
    let name = take_name(&mut rest, true);
    if name.is_empty() {
        return Err(NAME);
    }
    skip_blanks(&mut rest);
    let mut labels = Vec::new();
    if take(&mut rest, b'{') && !take_labels(&mut rest, &mut labels) {
        return Err("labels such as {name=\"value\"}, each once, with \\\\, \\\" and \\n as the only escapes");
    }
    let mut value = Vec::new();
    if !push_number(rest.trim_ascii(), &mut value) {
        return Err("a number behind the metric, and no timestamp behind that");
    }
    // A part of a histogram or summary, if there is one of that name.
    let is_whole = |found: &&Found| found.family.name == name;
    let is_part = |found: &&Found| part_of(name, &found.family).is_some();
    let whole = all.iter().rfind(is_whole).or_else(|| all.iter().rfind(is_part));
    let whole = whole.map_or(name, |found| &found.family.name[..]).to_owned();
    let family = &mut find(all, &whole, number).family;
    let has = |label: &[u8]| labels.iter().any(|(name, text)| *name == label && push_number(text, &mut Vec::new()));
    match (family.kind, &name[whole.len()..]) {
        ("histogram", b"") => return Err("_bucket, _sum or _count behind the name of a histogram"),
        ("histogram", b"_bucket") if !has(b"le") => return Err("a number as the label le of a bucket"),
        ("summary", b"") if !has(b"quantile") => return Err("a number as the label quantile of a summary"),
        _ => {}
    }
    let samples = &mut family.samples;
    samples.extend_from_slice(name);
    let mut mark = b'{';
    for (label, text) in labels {
        samples.push(mark);
        mark = b',';
        for piece in [label, b"=\"", text, b"\""] {
            samples.extend_from_slice(piece);
        }
    }
    if mark == b',' {
        samples.push(b'}');
    }
    for piece in [b" ", &value[..], b"\n"] {
        samples.extend_from_slice(piece);
    }
    Ok(())
}

/// Returns the family of this name, which may be a new one. Mostly it is the last one.
fn find<'a>(all: &'a mut Vec<Found>, name: &[u8], line: usize) -> &'a mut Found {
    let place = all.iter().rposition(|found| found.family.name == name).unwrap_or_else(|| {
        all.push(Found { line, family: ForeignFamily { name: name.to_owned(), ..ForeignFamily::default() } });
        all.len() - 1
    });
    &mut all[place]
}

/// Takes blanks from the front of `rest`; returns whether there were any.
fn skip_blanks(rest: &mut &[u8]) -> bool {
    let before = rest.len();
    while let [b' ' | b'\t', behind @ ..] = *rest {
        *rest = behind;
    }
    rest.len() != before
}

/// Takes a byte from the front of `rest` if it is this one; returns whether it is.
fn take(rest: &mut &[u8], byte: u8) -> bool {
    let is_first = rest.first() == Some(&byte);
    *rest = &rest[usize::from(is_first)..];
    is_first
}

/// Takes a name of letters, digits, `_` and perhaps `:` from the front of `rest`; empty if there is none.
fn take_name<'a>(rest: &mut &'a [u8], colons: bool) -> &'a [u8] {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || colons && byte == b':';
    let mut end = 0;
    while end < rest.len() && is_part(rest[end]) && (end > 0 || !rest[0].is_ascii_digit()) {
        end += 1;
    }
    let (name, behind) = rest.split_at(end);
    *rest = behind;
    name
}

/// Takes labels with their closing brace from the front of `rest`, sorted by name; returns whether they are well-formed.
fn take_labels<'a>(rest: &mut &'a [u8], labels: &mut Vec<(&'a [u8], &'a [u8])>) -> bool {
    loop {
        skip_blanks(rest);
        if take(rest, b'}') {
            return true;
        }
        let name = take_name(rest, false);
        skip_blanks(rest);
        let is_set = take(rest, b'=');
        skip_blanks(rest);
        if name.is_empty() || name == b"__name__" || !is_set || !take(rest, b'"') {
            return false;
        }
        let mut end = 0;
        while end < rest.len() && rest[end] != b'"' {
            end += if rest[end] == b'\\' { 2 } else { 1 };
        }
        if end >= rest.len() || !is_escaped(&rest[..end], b'"') {
            return false;
        }
        let (text, behind) = rest.split_at(end);
        *rest = &behind[1..];
        let place = labels.iter().position(|(other, _)| *other >= name).unwrap_or(labels.len());
        if labels.get(place).is_some_and(|(other, _)| *other == name) {
            return false;
        }
        labels.insert(place, (name, text));
        skip_blanks(rest);
        if !take(rest, b',') && rest.first() != Some(&b'}') {
            return false;
        }
    }
}

/// Returns whether behind each backslash there is another one, an n, or what is `also` allowed.
fn is_escaped(text: &[u8], also: u8) -> bool {
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte == b'\\' {
            match behind {
                [b'\\' | b'n', behind @ ..] => rest = behind,
                [byte, behind @ ..] if *byte == also => rest = behind,
                _ => return false,
            }
        }
    }
    true
}

/// Appends a number in the spelling that all formats share; returns false if `text` is none, or is none that fits 64 bits.
pub fn push_number(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = text;
    let is_negative = take(&mut rest, b'-');
    let has_sign = is_negative || take(&mut rest, b'+');
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        out.extend_from_slice(if is_negative { b"-Inf" } else { b"+Inf" });
        return true;
    }
    if rest.eq_ignore_ascii_case(b"nan") {
        out.extend_from_slice(b"NaN");
        return !has_sign;
    }
    let whole = take_digits(&mut rest);
    let fraction = if take(&mut rest, b'.') { take_digits(&mut rest) } else { b"" };
    if whole.is_empty() && fraction.is_empty() {
        return false;
    }
    let mut first = 0;
    while first + 1 < whole.len() && whole[first] == b'0' {
        first += 1;
    }
    let whole = if whole.is_empty() { b"0" } else { &whole[first..] };
    if is_negative {
        out.push(b'-');
    }
    out.extend_from_slice(whole);
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
    let mut exponent = 0;
    if take(&mut rest, b'e') || take(&mut rest, b'E') {
        let mut sign = b'-';
        if !take(&mut rest, b'-') {
            sign = b'+';
            take(&mut rest, b'+');
        }
        let digits = take_digits(&mut rest);
        if digits.is_empty() || digits.len() > 4 {
            return false;
        }
        out.extend_from_slice(&[b'e', sign]);
        out.extend_from_slice(digits);
        if sign == b'+' {
            for digit in digits {
                exponent = exponent * 10 + usize::from(digit - b'0');
            }
        }
    }
    // The largest number is 1.8e308.
    rest.is_empty() && whole.len() + exponent <= 308
}

/// Takes digits from the front of `rest`.
fn take_digits<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let mut end = 0;
    while end < rest.len() && rest[end].is_ascii_digit() {
        end += 1;
    }
    let (digits, behind) = rest.split_at(end);
    *rest = behind;
    digits
}
