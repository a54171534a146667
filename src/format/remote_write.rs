//! Remote write 1.0: a page of the text format as the protobuf message `WriteRequest`.
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/>

use super::number::parse_number;
use crate::model::take_label;

/// What stands for a series that has ended. No other NaN may look like it.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// A label's name, its value, and whether the value has the escapes of the text format.
type Label<'a> = (&'a [u8], &'a [u8], bool);

/// Appends the request with the samples of `page` at `unix_ms`, and with a stale marker for each series that only the page `before` has.
///
/// Each series also gets the labels of `external` whose names it does not have.
pub fn write_request(page: &[u8], before: &[u8], external: &[(String, String)], unix_ms: i64, out: &mut Vec<u8>) {
    let mut all = Vec::new();
    let mut rest = page;
    while let Some((series, value)) = take_sample(&mut rest) {
        all.push(series);
        if let Some(value) = parse_number(value) {
            write_series(series, external, value.to_bits(), unix_ms, out);
        }
    }
    // Both pages mostly have the same series in the same order.
    let mut next = 0;
    let mut rest = before;
    while let Some((series, _)) = take_sample(&mut rest) {
        match place_of(series, &all, next) {
            Some(place) => next = place + 1,
            None => write_series(series, external, STALE, unix_ms, out),
        }
    }
}

/// Returns the place of a series; looks first from `next` on.
pub fn place_of(series: &[u8], all: &[&[u8]], next: usize) -> Option<usize> {
    let (front, back) = all.split_at(next.min(all.len()));
    let found = back.iter().position(|it| *it == series).map(|place| front.len() + place);
    found.or_else(|| front.iter().position(|it| *it == series))
}

/// Takes the next sample off a page: its series and the text of its value. A timestamp behind that is left out.
pub fn take_sample<'a>(page: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    while !page.is_empty() {
        let mut end = 0;
        while end < page.len() && page[end] != b'\n' {
            end += 1;
        }
        let line = page[..end].trim_ascii();
        *page = page.get(end + 1..).unwrap_or_default();
        // A blank or a brace within quotes ends nothing.
        let (mut at, mut quoted, mut labeled) = (0, false, false);
        while at < line.len() {
            match line[at] {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' => labeled = true,
                b' ' | b'\t' if !labeled => break,
                b'}' => {
                    at += 1;
                    break;
                }
                _ => {}
            }
            at += 1;
        }
        let Some((series, rest)) = line.split_at_checked(at) else { continue };
        let mut words = rest.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        if let Some(value) = words.next().filter(|_| !series.starts_with(b"#")) {
            return Some((series, value));
        }
    }
    None
}

/// Appends a series with one sample.
fn write_series(series: &[u8], external: &[(String, String)], value: u64, unix_ms: i64, out: &mut Vec<u8>) {
    let open = series.iter().position(|&byte| byte == b'{').unwrap_or(series.len());
    let (name, labels) = series.split_at(open);
    let labels = labels.get(1..labels.len().saturating_sub(1)).unwrap_or_default();
    let (mut inner, mut pair, mut text) = (Vec::new(), Vec::new(), Vec::new());
    let mut last: &[u8] = b"";
    loop {
        // The next name in order, and its first value.
        let mut next: Option<Label<'_>> = None;
        let mut rest = labels;
        while let Some((label, text)) = take_label(&mut rest) {
            consider((label, text, true), last, &mut next);
        }
        consider((b"__name__", name, false), last, &mut next);
        for (label, text) in external {
            consider((label.as_bytes(), text.as_bytes(), false), last, &mut next);
        }
        let Some((label, mut rest, is_escaped)) = next else { break };
        last = label;
        // No label at all means the same as an empty one.
        if rest.is_empty() {
            continue;
        }
        pair.clear();
        text.clear();
        while let [byte, behind @ ..] = rest {
            rest = behind;
            text.push(match (byte, behind) {
                (b'\\', [next, behind @ ..]) if is_escaped => {
                    rest = behind;
                    if *next == b'n' { b'\n' } else { *next }
                }
                _ => *byte,
            });
        }
        write_bytes(1, label, &mut pair);
        write_bytes(2, &text, &mut pair);
        write_bytes(1, &pair, &mut inner);
    }
    pair.clear();
    pair.push(1 << 3 | 1);
    pair.extend_from_slice(&value.to_le_bytes());
    pair.push(2 << 3);
    write_varint(unix_ms as u64, &mut pair);
    write_bytes(2, &pair, &mut inner);
    write_bytes(1, &inner, out);
}

/// Takes a label as the next one if it comes behind the last one and before what was found for that.
fn consider<'a>(label: Label<'a>, last: &[u8], next: &mut Option<Label<'a>>) {
    if label.0 > last && next.is_none_or(|(other, ..)| label.0 < other) {
        *next = Some(label);
    }
}

/// Appends a field of protobuf that holds bytes.
fn write_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(field << 3 | 2);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a whole number, seven bits in a byte.
pub fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Takes a varint off the front.
    fn varint(rest: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = rest[0];
            *rest = &rest[1..];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    /// The fields of a message: their numbers, and bytes or the bytes of a number.
    fn fields(mut rest: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        while !rest.is_empty() {
            let tag = varint(&mut rest);
            let length = match tag & 7 {
                0 => {
                    all.push((tag >> 3, varint(&mut rest).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                2 => varint(&mut rest) as usize,
                kind => panic!("type {kind}"),
            };
            let (bytes, behind) = rest.split_at(length);
            all.push((tag >> 3, bytes.to_vec()));
            rest = behind;
        }
        all
    }

    /// A series: its labels as they come, the bits of its value, its time.
    type Series = (Vec<(String, String)>, u64, i64);

    fn decode(request: &[u8]) -> Vec<Series> {
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut all = Vec::new();
        for (field, series) in fields(request) {
            assert_eq!(field, 1);
            let (mut labels, mut samples) = (Vec::new(), Vec::new());
            for (field, bytes) in fields(&series) {
                let parts = fields(&bytes);
                let [(1, one), (2, two)] = &parts[..] else { panic!("{parts:?}") };
                match field {
                    1 => labels.push((text(one), text(two))),
                    2 => samples.push((number(one), number(two) as i64)),
                    _ => panic!("{field}"),
                }
            }
            assert_eq!(samples.len(), 1);
            assert!(labels.is_sorted() && labels.iter().all(|(name, text)| !name.is_empty() && !text.is_empty()));
            let names: std::collections::BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), labels.len());
            all.push((labels, samples[0].0, samples[0].1));
        }
        all
    }

    fn request(page: &str, before: &str, external: &[(&str, &str)]) -> Vec<Series> {
        let external: Vec<_> = external.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let mut out = Vec::new();
        write_request(page.as_bytes(), before.as_bytes(), &external, 1_700_000_000_123, &mut out);
        decode(&out)
    }

    /// A series, with its labels in one text.
    fn series(labels: &str, bits: u64) -> Series {
        let pairs = labels.split('|').map(|pair| pair.split_once('=').unwrap());
        (pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).collect(), bits, 1_700_000_000_123)
    }

    #[test]
    fn a_page_becomes_series() {
        let page = "# HELP a b\n# TYPE a gauge\na 1\nb{x=\"1\",A=\"} \\\" \\\\ \\n\",empty=\"\"} 1e+06\n\nc{} NaN 1234\n \
                    d{y=\"2\",x=\"a b\"}\t+Inf\r\nbroken\nworse{x=\"\ne x\n";
        let expected = [
            series("__name__=a", 1.0_f64.to_bits()),
            series("A=} \" \\ \n|__name__=b|x=1", 1e6_f64.to_bits()),
            series("__name__=c", 0x7ff8_0000_0000_0001),
            series("__name__=d|x=a b|y=2", f64::INFINITY.to_bits()),
        ];
        assert_eq!(request(page, "", &[]), expected);
    }

    #[test]
    fn external_labels_replace_none() {
        let external = [("job", "pi"), ("instance", "a\\n\"b"), ("none", ""), ("x", "other"), ("job", "again")];
        let expected = [
            series("__name__=a|instance=a\\n\"b|job=pi|x=1", 0),
            series("__name__=a|instance=a\\n\"b|job=pi|x=other", 1.0_f64.to_bits()),
        ];
        assert_eq!(request("a{x=\"1\"} 0\na 1\n", "", &external), expected);
    }

    #[test]
    fn a_series_that_ended_is_stale_once() {
        let before = "a 1\nb{x=\"1\"} 2\nb{x=\"2\"} 2\nc 3\n";
        let stale = |labels| series(labels, STALE);
        let one = 1.0_f64.to_bits();
        let page = "c 1\na 1\nb{x=\"2\"} 1\n";
        let now = [series("__name__=c", one), series("__name__=a", one), series("__name__=b|x=2", one)];
        assert_eq!(request(page, before, &[])[..3], now);
        assert_eq!(request(page, before, &[])[3..], [stale("__name__=b|x=1")]);
        assert_eq!(request(page, page, &[]), now);
        assert_eq!(request("", "a 1\nc 2\n", &[("job", "pi")]).len(), 2);
    }

    #[test]
    fn every_board_becomes_what_it_says() {
        let mut count = 0;
        for entry in std::fs::read_dir("tests/goldens").unwrap() {
            let all = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            // JSON is in these files, too.
            let lines: Vec<_> = all.lines().filter(|line| line.starts_with(|byte: char| byte.is_lowercase())).collect();
            let page = lines.join("\n");
            let found = request(&page, "", &[]);
            assert_eq!(found.len(), lines.len());
            for (line, (labels, bits, _)) in lines.iter().zip(found) {
                let labels: BTreeMap<_, _> = labels.into_iter().collect();
                assert_eq!(labels["__name__"], line.split(['{', ' ']).next().unwrap(), "{line}");
                let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
                assert_eq!(bits, value.to_bits(), "{line}");
                count += 1;
            }
        }
        assert!(count > 1000, "{count}");
    }
}
