//! What a page must be, however odd the machine is.

use std::collections::HashSet;

/// Turns a label's text back into the kernel's bytes.
pub fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail.strip_prefix(b"x").filter(|_| byte == b'\\').and_then(|hex| {
            let digits = std::str::from_utf8(hex.get(..2)?).ok()?;
            // Not from_str_radix alone: that would take "+5".
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
        });
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    out
}

/// Panics unless every line is a comment or a sample as Prometheus reads it, no series is duplicate, and a family's samples stand
/// together.
pub fn check_metrics(page: &[u8]) {
    let text = std::str::from_utf8(page).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'));
    let (mut series, mut families, mut family) = (HashSet::new(), HashSet::new(), "");
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next()) {
            assert!(families.insert(name), "{name} comes twice");
            family = name;
        }
        if line.starts_with('#') {
            continue;
        }
        let name_end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value in {line:?}"));
        let name = &line[..name_end];
        let of_family = |suffix| name.strip_suffix(suffix) == Some(family);
        assert!(name == family || of_family("_total") || of_family("_info"), "{name} in {family}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line:?}");
        let mut rest = &line[name_end..];
        if let Some(mut labels) = rest.strip_prefix('{') {
            loop {
                let quote = labels.find("=\"").unwrap_or_else(|| panic!("no label in {line:?}"));
                assert!(labels[..quote].bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line:?}");
                labels = &labels[quote + 2..];
                let mut escaped = false;
                let end = labels.bytes().position(|byte| {
                    let ends = byte == b'"' && !escaped;
                    assert!(!escaped || matches!(byte, b'\\' | b'"' | b'n'), "{line:?}");
                    escaped = byte == b'\\' && !escaped;
                    ends
                });
                labels = &labels[end.unwrap_or_else(|| panic!("no end of a label in {line:?}")) + 1..];
                match labels.split_at_checked(1) {
                    Some((",", more)) => labels = more,
                    Some(("}", more)) => {
                        rest = more;
                        break;
                    }
                    _ => panic!("{line:?}"),
                }
            }
        }
        assert!(series.insert(&line[..line.len() - rest.len()]), "{line:?} comes twice");
        let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value in {line:?}"));
        let number = value.parse::<f64>().unwrap_or_else(|_| panic!("{value:?} is no number"));
        assert!(number.is_finite());
    }
}
