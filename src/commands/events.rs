//! `pi-monitor events`: what happened of late, for a person.

use super::{client, write};
use crate::cli::{Command, Entry, Flag, Options, flag::parse_duration, prose};
use crate::format::console::write_text;
use crate::format::time::{self, duration};
use crate::kernel::Zone;
use crate::model::{Severity, find};
use crate::server::access::Access;
use crate::sys;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

pub static COMMAND: Command = Command {
    name: "events",
    argument: "[URL]",
    help: prose("print what happened of late, as a running agent recorded it"),
    flags: &[Entry::Value(&SINCE)],
    failure: 1,
    run,
};

static SINCE: Flag = Flag {
    words: "since DURATION 24h",
    help: prose("How far events looks back, such as 30m, 24h or 7d."),
    check: |value| {
        parse_duration(value).map(drop).ok_or_else(|| "expected a duration such as 30m, 24h or 7d".to_owned())
    },
};

fn run(options: &Options) -> Result<ExitCode, String> {
    let since = options.value(&SINCE);
    let begin = sys::unix_time().saturating_sub(parse_duration(since).unwrap_or(Duration::MAX)).as_secs();
    let query = format!("?format=text&limit=1000&since={begin}");
    let client::Answer { url, status, body, speaks_tls } =
        client::get(options, "/events", &query, &Access::header(options)?)?;
    if speaks_tls {
        return Err(format!("{url}: the agent speaks TLS; try curl 'https://{}{query}'", &url["http://".len()..]));
    }
    if status.starts_with("401") {
        return Err(format!(
            "{url}: {status}; name a file with a credential that the agent accepts, a line bearer TOKEN or basic NAME:PASSWORD: --web.auth-file=FILE"
        ));
    }
    if !status.starts_with("200") {
        return Err(format!("{url}: expected status 200, found {status}"));
    }
    let zone = Zone::of_machine();
    let mut out = Vec::new();
    for line in body.lines() {
        write_event(line, &zone, &mut out);
    }
    if out.is_empty() {
        let _ = writeln!(out, "nothing happened in the last {since}");
    }
    write(&out)
}

/// Formats a line of `/events?format=text`; a field that is missing is empty.
fn write_event(line: &str, zone: &Zone, out: &mut Vec<u8>) {
    let mut fields = line.split('\t');
    let mut next = || fields.next().unwrap_or_default();
    let (begin, end, times, worst, unit, severity) = (next(), next(), next(), next(), next(), next());
    let (title, detail, culprit) = (next(), next(), next());
    let seconds = |text: &str| text.split('.').next().and_then(|whole| whole.parse::<i64>().ok());
    write_time(seconds(begin).unwrap_or(0), zone, out);
    let lasted = match (seconds(begin), seconds(end)) {
        (Some(begin), Some(end)) => duration(end.saturating_sub(begin)),
        _ => "ongoing".to_owned(),
    };
    let sign = match severity {
        _ if severity == Severity::Critical.name() => "!!",
        _ if severity == Severity::Warning.name() => "!",
        _ => "",
    };
    let _ = write!(out, "  {lasted:>7}  {sign:<2} ");
    let mut word = |before: &str, text: &str, behind: &str| {
        if !text.is_empty() {
            out.extend_from_slice(before.as_bytes());
            write_text(text, out);
            out.extend_from_slice(behind.as_bytes());
        }
    };
    word("", title, "");
    word(" (", if times == "1" { "" } else { times }, " times)");
    word(" [", if find(title, culprit).or_else(|| find(detail, culprit)).is_some() { "" } else { culprit }, "]");
    word(": ", detail, "");
    let unit = match unit {
        "percent" => "%",
        "celsius" => " °C",
        "seconds" => " s",
        "days" => " days",
        _ => "",
    };
    word("; worst ", worst, unit);
    out.push(b'\n');
}

/// `2026-11-26 03:12:04`, with a `Z` where the time zone is not known.
fn write_time(unix: i64, zone: &Zone, out: &mut Vec<u8>) {
    let offset = zone.offset(unix);
    time::write_time(unix.saturating_add(offset.unwrap_or(0)), ' ', out);
    out.push(if offset.is_some() { b' ' } else { b'Z' });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (unix, expected) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_709_251_199, "2024-02-29 23:59:59Z"),
            (1_795_668_784, "2026-11-26 04:53:04Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            let mut out = Vec::new();
            write_time(unix, &Zone::default(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn durations() {
        let expected =
            [(0, ""), (-3, ""), (59, "59s"), (60, "1m 0s"), (3599, "59m 59s"), (90_000, "1d 1h"), (3660, "1h 1m")];
        for (seconds, text) in expected {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn lines() {
        let line = |line: &str| {
            let mut out = Vec::new();
            write_event(line, &Zone::default(), &mut out);
            String::from_utf8(out).unwrap()
        };
        for (text, expected) in [
            (
                "951782400.5\t951782525\t1\t1.2\tpercent\tcritical\tMemory is almost used up\t4.1% of 906 MiB available; mysqld uses most\tmysqld",
                "2000-02-29 00:00:00Z    2m 5s  !! Memory is almost used up: 4.1% of 906 MiB available; mysqld uses most; worst 1.2%\n",
            ),
            (
                "951782400\t\t3\t\t\twarning\tUnder-voltage\t\tpower supply",
                "2000-02-29 00:00:00Z  ongoing  !  Under-voltage (3 times) [power supply]\n",
            ),
            ("951782400\t951782400\t1\t\t\tinfo\t\x1b[2J\u{9b}x\t\t", "2000-02-29 00:00:00Z              ?[2J?x\n"),
            ("x", "1970-01-01 00:00:00Z  ongoing     \n"),
        ] {
            assert_eq!(line(text), expected);
        }
    }
}
