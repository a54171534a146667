//! What a request asks for in its headers and its query: the form, the encoding, the collectors, the part of the past.

use crate::agent::foreign::Choice;
use crate::dialect::flags::Tongue;
use crate::history::{RANGES, Request as Past, events::Wanted};
use crate::model::Value;
use hyper::header::{self, HeaderMap, HeaderValue};
use std::borrow::Cow;

/// The parameters of a query: names and values, decoded. What nobody knows here is ignored, on every route.
fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|parameter| !parameter.is_empty()).map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (decode(name), decode(value))
    })
}

/// Decodes `%41` to `A` and `+` to a space, as forms encode them; a `%` without two digits stays.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digit = |place: usize| behind.get(place).and_then(|&byte| char::from(byte).to_digit(16));
        (rest, _) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => (&behind[2..], bytes.push((high << 4 | low) as u8)),
            (b'+', ..) => (behind, bytes.push(b' ')),
            _ => (behind, bytes.push(first)),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// What `collect[]=cpu&collect[]=memory` or `exclude[]=netdev` choose, as node_exporter has it.
pub fn parse_choice(query: &str) -> Choice<'_> {
    let mut choice = Choice::default();
    for (name, value) in parameters(query) {
        match &*name {
            "collect[]" => choice.collect.push(value),
            "exclude[]" => choice.exclude.push(value),
            _ => {}
        }
    }
    choice
}

/// The names that `dialect=node` asks for; `None` if it is not there.
///
/// # Errors
/// Which ones there are.
pub fn parse_dialect(query: &str) -> Result<Option<Tongue>, &'static str> {
    let asked = parameters(query).find(|(name, _)| name == "dialect");
    let parsed = asked.map(|(_, name)| Tongue::parse(&name)).transpose();
    parsed.map_err(|_| "dialect: expected one of pi, node, both\n")
}

/// `range=10m` (the default), and `since=4711.5`, seconds since boot; or `from` and `to`, Unix seconds; or `of=filesystems`.
pub fn parse_history(query: &str) -> Result<Past, &'static str> {
    let mut past = Past { range: 1, since: None, from: None, to: None, filesystems: false };
    for (name, value) in parameters(query) {
        match &*name {
            "range" => {
                let range = RANGES.iter().position(|(name, ..)| *name == value);
                past.range = range.ok_or("range: expected one of 2m, 10m, 1h, 24h, 7d\n")?;
            }
            "of" if value == "filesystems" => past.filesystems = true,
            "of" => return Err("of: expected filesystems\n"),
            "since" => {
                // What ends before this boot is no longer news.
                let since = seconds(&value).ok_or("since: expected a number of seconds since boot\n")?;
                past.since = Some(u64::try_from(since).unwrap_or(0));
            }
            "from" => past.from = Some(seconds(&value).ok_or("from: expected a number of seconds since 1970\n")?),
            "to" => past.to = Some(seconds(&value).ok_or("to: expected a number of seconds since 1970\n")?),
            _ => {}
        }
    }
    Ok(past)
}

/// Seconds as milliseconds.
fn seconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let seconds = Value::parse(digits.as_bytes()).and_then(Value::to_f64)?;
    let milliseconds = (seconds * 1000.0).round() as i64;
    (seconds < 1e12).then_some(if digits.len() < text.len() { -milliseconds } else { milliseconds })
}

/// The most events in one answer, unless more are asked for.
const EVENTS: u64 = 200;

/// `since=1764131123.5`, Unix seconds; `id=7`; `limit=200` (the default); `format=json` (the default) or `format=text`.
pub fn parse_events(query: &str) -> Result<Wanted, &'static str> {
    let mut wanted = Wanted { id: None, since: i64::MIN, limit: EVENTS, text: false };
    for (name, value) in parameters(query) {
        let number = Value::parse(value.as_bytes()).and_then(Value::to_f64).filter(|&number| number < 1e12);
        let whole = number.filter(|number| number.fract() == 0.0).map(|number| number as u64);
        match &*name {
            "since" => {
                let seconds = number.ok_or("since: expected a Unix time in seconds\n")?;
                wanted.since = (seconds * 1000.0).round() as i64;
            }
            "id" => wanted.id = Some(whole.ok_or("id: expected the id of an event\n")?),
            "limit" => wanted.limit = whole.ok_or("limit: expected a number of events\n")?,
            "format" => match &*value {
                "json" | "text" => wanted.text = value == "text",
                _ => return Err("format: expected json or text\n"),
            },
            _ => {}
        }
    }
    Ok(wanted)
}

/// The elements of a comma-separated header, each with its quality from 0 to 1000 (RFC 9110, section 12.4.2).
fn elements(value: &HeaderValue) -> impl Iterator<Item = (&str, u32)> {
    value.to_str().unwrap_or_default().split(',').map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        (name, quality.map_or(1000, parse_quality))
    })
}

/// `0.5` is 500, `1` is 1000; what is no quality counts as not wanted.
fn parse_quality(text: &str) -> u32 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.bytes().chain(fraction.bytes().chain(std::iter::repeat(b'0')).take(3));
    let thousandths = digits
        .map(|digit| char::from(digit).to_digit(10))
        .try_fold(0_u32, |sum, digit| sum.checked_mul(10)?.checked_add(digit?));
    thousandths.filter(|_| !whole.is_empty()).unwrap_or(0).min(1000)
}

/// Whether a comma-separated header names `wanted`.
pub fn lists(value: &HeaderValue, wanted: &str) -> bool {
    elements(value).any(|(name, _)| name.strip_prefix("W/").unwrap_or(name) == wanted)
}

/// Whether the client takes an answer that is compressed with gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let quality = |wanted: &str| {
        let values = headers.get_all(header::ACCEPT_ENCODING);
        values.iter().flat_map(elements).find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, quality)| quality)
    };
    quality("gzip").or_else(|| quality("*")).unwrap_or(0) > 0
}

/// Whether OpenMetrics is wanted more than the text format, as Prometheus says by its order of qualities.
pub fn prefers_openmetrics(headers: &HeaderMap) -> bool {
    let best = |wanted: &[&str]| {
        let values = headers.get_all(header::ACCEPT);
        let all =
            values.iter().flat_map(elements).filter(|(name, _)| wanted.iter().any(|it| name.eq_ignore_ascii_case(it)));
        all.map(|(_, quality)| quality).max().unwrap_or(0)
    };
    best(&["application/openmetrics-text"]) > best(&["text/plain", "text/*", "*/*"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn encodings() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *", false),
            ("*", true),
            ("identity", false),
            ("", false),
            ("gzip;q=x", false),
        ] {
            assert_eq!(accepts_gzip(&headers(header::ACCEPT_ENCODING, value)), expected, "{value}");
        }
    }

    #[test]
    fn openmetrics_only_if_preferred() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (value, expected) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("text/plain", false),
            ("*/*", false),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.3", false),
            ("application/openmetrics-text;q=0", false),
            ("", false),
        ] {
            assert_eq!(prefers_openmetrics(&headers(header::ACCEPT, value)), expected, "{value}");
        }
    }

    #[test]
    fn queries_for_history() {
        for (query, range, since) in [
            ("", 1, None),
            ("range=24h", 3, None),
            ("since=12.3456&range=2m", 0, Some(12_346)),
            ("&since=0&", 1, Some(0)),
            ("x=1&range=24%68", 3, None),
            ("nonsense", 1, None),
            ("since=12%2E5", 1, Some(12_500)),
            ("since=-240", 1, Some(0)),
        ] {
            let expected = Past { range, since, from: None, to: None, filesystems: false };
            assert_eq!(parse_history(query), Ok(expected), "{query}");
        }
        let asked = parse_history("from=1800000000.5&to=1800003600").unwrap();
        assert_eq!((asked.from, asked.to), (Some(1_800_000_000_500), Some(1_800_003_600_000)));
        assert!(parse_history("of=filesystems").unwrap().filesystems);
        for query in [
            "range=",
            "range=3h",
            "since=",
            "since=-",
            "since=nan",
            "since=9999999999999",
            "range",
            "from=now",
            "to=",
            "of=",
            "of=disks",
        ] {
            assert!(parse_history(query).is_err(), "{query}");
        }
    }

    #[test]
    fn queries_for_events() {
        let all = Wanted { id: None, since: i64::MIN, limit: 200, text: false };
        for (query, expected) in [
            ("", all),
            ("x=1&format=json", all),
            ("since=1764131123.5", Wanted { since: 1_764_131_123_500, ..all }),
            ("id=7&limit=1", Wanted { id: Some(7), limit: 1, ..all }),
            ("format=text&since=0", Wanted { text: true, since: 0, ..all }),
        ] {
            assert_eq!(parse_events(query), Ok(expected), "{query}");
        }
        for query in ["since=", "since=-1", "since=yesterday", "id=1.5", "id=", "limit=x", "limit=-1", "format=xml"] {
            assert!(parse_events(query).is_err(), "{query}");
        }
    }

    #[test]
    fn queries_for_some_collectors() {
        let names = |query| parse_choice(query).collect;
        assert_eq!(names("collect[]=cpu&x=y&collect%5B%5D=memory&collect%5b]=%63pu"), ["cpu", "memory", "cpu"]);
        assert_eq!(names("collect[]=&collect[]=%zz%4&collect[]=a+b%ff"), ["", "%zz%4", "a b\u{fffd}"]);
        assert!(names("").is_empty() && names("collect=cpu&collect").is_empty());
    }

    #[test]
    fn qualities() {
        for (text, expected) in
            [("1", 1000), ("0.5", 500), ("0.05", 50), ("0", 0), ("1.000", 1000), ("7", 1000), ("a", 0), ("", 0)]
        {
            assert_eq!(parse_quality(text), expected, "{text}");
        }
    }
}
