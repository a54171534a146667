//! Messages about events for the programs that bring them to somebody: a document of our own, that of ntfy, and that of
//! Alertmanager (API v2). Names of hosts and processes may hold anything; each document escapes them.

use super::events::{Advice, unit, write_event};
use super::object::{List, Object, write_string};
use super::time::{duration, write_time};
use crate::history::events::record::Lists;
use crate::model::{BUSY_LISTS, Event, Severity, Value, find};
use std::fmt::Write as _;

/// How long Alertmanager shows an alert that is not sent again, and one of something that took no time, in milliseconds.
const LASTS: i64 = 300_000;
/// The most events in a message, and the most that it tells in full: a message has to fit into a pipe.
pub const MOST: usize = 60;
const TOLD_MAX: usize = 10;
/// How many processes of each list a text names.
const NAMED: u64 = 3;

/// An event in a message.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub event: Event<'a>,
    pub lists: Lists<'a>,
    /// Whether an earlier message reported its begin.
    pub again: bool,
}

/// What all messages have.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub host: &'a str,
    /// The page's address for links; empty if it is unknown.
    pub url: &'a str,
    pub advice: Advice,
    /// Milliseconds of the Unix epoch.
    pub now: i64,
}

/// The forms that messages have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Our own document.
    Document,
    Ntfy,
    Alertmanager,
}

/// Appends a message about `told`, which is not empty; `topic` is for ntfy.
pub fn write(form: Form, sender: &Sender<'_>, topic: &str, told: &[Told<'_>], out: &mut Vec<u8>) {
    match form {
        Form::Document => write_document(sender, told, out),
        Form::Ntfy => write_ntfy(sender, topic, told, out),
        Form::Alertmanager => write_alertmanager(sender, told, out),
    }
}

impl Told<'_> {
    fn is_over(&self) -> bool {
        self.event.end.is_some()
    }

    fn state(&self) -> &'static str {
        match self.event.end {
            None => "firing",
            // What takes no time is not over, it happened.
            Some(end) if end == self.event.begin => "event",
            Some(_) => "resolved",
        }
    }

    /// Appends what is said about it beside its title, a line each.
    fn describe(&self, sender: &Sender<'_>, out: &mut String) {
        let Event { begin, end, detail, culprit, worst, times, .. } = self.event;
        let mut line = |text: std::fmt::Arguments<'_>| {
            let _ = writeln!(out, "{text}");
        };
        if !detail.is_empty() {
            line(format_args!("{detail}"));
        }
        let ago = |time: i64| duration(((sender.now - time) / 1000).max(1));
        match end {
            None => line(format_args!("For {}.", ago(begin))),
            Some(end) if end == begin => line(format_args!("{} ago.", ago(begin))),
            Some(end) => {
                line(format_args!("It lasted {} and ended {} ago.", duration(((end - begin) / 1000).max(1)), ago(end)))
            }
        }
        if times > 1 {
            line(format_args!("It happened {times} times."));
        }
        if worst.is_present() {
            let mut number = Vec::new();
            worst.write(&mut number);
            line(format_args!("Worst: {} {}.", String::from_utf8_lossy(&number), unit(self.event.unit)));
        }
        if !culprit.is_empty() && find(detail, culprit).is_none() {
            line(format_args!("Culprit: {culprit}."));
        }
        if self.is_over() && self.again {
            return;
        }
        let busiest = self.busiest();
        if !busiest.is_empty() {
            line(format_args!("Busiest: {busiest}."));
        }
        if let Some(head) = (sender.advice)(&self.event) {
            line(format_args!("What to do: {}.", head.fix.text()));
        }
    }

    /// The busiest processes in a line, such as `cpu rsync, smbd; memory mysqld`.
    fn busiest(&self) -> String {
        let mut text = String::new();
        let (mut list, mut named) = (BUSY_LISTS.len(), 0);
        self.lists.each(&mut |of, busy| {
            if of != list {
                (list, named) = (of, 0);
                let _ = write!(text, "{}{} ", if text.is_empty() { "" } else { "; " }, BUSY_LISTS[of]);
            }
            if named < NAMED {
                let _ = write!(text, "{}{}", if named > 0 { ", " } else { "" }, busy.name);
            }
            named += 1;
        });
        text
    }
}

/// The worst of what lasts or happened; nothing if all of it is over.
fn worst<'a, 'b>(told: &'a [Told<'b>]) -> Option<&'a Told<'b>> {
    told.iter().filter(|it| it.state() != "resolved").min_by_key(|it| it.event.severity as u8)
}

/// Returns the title of all of them, such as `pi: / is almost full, and 2 more`.
fn title(sender: &Sender<'_>, told: &[Told<'_>]) -> String {
    let (first, over) = match (worst(told), told.first()) {
        (Some(first), _) => (first.event.title, ""),
        (None, Some(first)) => (first.event.title, "over: "),
        (None, None) => ("", ""),
    };
    let mut text = format!("{}: {over}{first}", sender.host);
    if told.len() > 1 {
        let _ = write!(text, ", and {} more", told.len() - 1);
    }
    text
}

/// Returns all of them as text.
fn text(sender: &Sender<'_>, told: &[Told<'_>]) -> String {
    let mut text = String::new();
    for it in told.iter().take(TOLD_MAX) {
        if told.len() > 1 {
            let over = if it.state() == "resolved" { "Over: " } else { "" };
            let _ = writeln!(text, "{}{over}{}", if text.is_empty() { "" } else { "\n" }, it.event.title);
        }
        it.describe(sender, &mut text);
    }
    if told.len() > TOLD_MAX {
        let _ = writeln!(text, "\nAnd {} more.", told.len() - TOLD_MAX);
    }
    text.truncate(text.trim_end().len());
    text
}

/// Returns where the page shows the moment; nothing if it is not known where the page is.
fn link(sender: &Sender<'_>, begin: i64) -> String {
    if sender.url.is_empty() {
        String::new()
    } else {
        format!("{}/#t={}&r=1h", sender.url.trim_end_matches('/'), begin / 1000)
    }
}

fn write_document(sender: &Sender<'_>, told: &[Told<'_>], out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    let first = worst(told);
    let status = if first.is_some() { "firing" } else { "resolved" };
    let begin = told.iter().map(|it| it.event.begin).min().unwrap_or_default();
    let texts = [
        ("host", sender.host),
        ("status", status),
        ("severity", first.map_or(Severity::Info, |it| it.event.severity).name()),
        ("title", &title(sender, told)),
        ("text", &text(sender, told)),
        ("url", &link(sender, begin)),
    ];
    for (key, text) in texts {
        if !text.is_empty() {
            write_string(text, object.key(key));
        }
    }
    Value::signed(sender.now, 3).write(object.key("time"));
    let mut list = List::open(object.key("events"));
    for (place, it) in told.iter().enumerate() {
        let mut event = Object::open(list.item());
        write_string(it.state(), event.key("state"));
        if !sender.url.is_empty() {
            write_string(&link(sender, it.event.begin), event.key("url"));
        }
        let more = (place < TOLD_MAX).then(|| (it.lists, (sender.advice)(&it.event)));
        write_event(&it.event, more, &mut event);
        event.close();
    }
    list.close();
    object.close();
    out.push(b'\n');
}

/// <https://docs.ntfy.sh/publish/#publish-as-json>
fn write_ntfy(sender: &Sender<'_>, topic: &str, told: &[Told<'_>], out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    let (priority, tag) = match worst(told).map(|it| it.event.severity) {
        Some(Severity::Critical) => (5, "rotating_light"),
        Some(Severity::Warning) => (4, "warning"),
        Some(Severity::Info) => (3, "information_source"),
        None => (3, "white_check_mark"),
    };
    let begin = told.iter().map(|it| it.event.begin).min().unwrap_or_default();
    write_string(topic, object.key("topic"));
    write_string(&title(sender, told), object.key("title"));
    write_string(&text(sender, told), object.key("message"));
    Value::from(priority as u64).write(object.key("priority"));
    let mut tags = List::open(object.key("tags"));
    write_string(tag, tags.item());
    tags.close();
    if !sender.url.is_empty() {
        write_string(&link(sender, begin), object.key("click"));
    }
    object.close();
}

/// <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>: `postableAlerts`
fn write_alertmanager(sender: &Sender<'_>, told: &[Told<'_>], out: &mut Vec<u8>) {
    let mut list = List::open(out);
    for it in told {
        let Event { kind, rule, severity, begin, end, title, culprit, .. } = it.event;
        let mut alert = Object::open(list.item());
        let mut labels = Object::open(alert.key("labels"));
        // Alerts with the same labels are one to Alertmanager: a rule has one at a time, a kind of events may have several.
        let (name, own) = if rule.is_empty() { (kind.name, title) } else { (rule, "") };
        for (key, text) in [
            ("alertname", name),
            ("instance", sender.host),
            ("job", "pi-monitor"),
            ("severity", severity.name()),
            ("title", own),
        ] {
            if !text.is_empty() {
                write_string(text, labels.key(key));
            }
        }
        labels.close();
        let mut text = String::new();
        it.describe(sender, &mut text);
        let mut annotations = Object::open(alert.key("annotations"));
        for (key, text) in [("summary", title), ("description", text.trim_end()), ("culprit", culprit)] {
            if !text.is_empty() {
                write_string(text, annotations.key(key));
            }
        }
        annotations.close();
        // Alertmanager would not show an alert that ended before it first hears of it.
        let end = end.filter(|_| it.again).unwrap_or(sender.now + LASTS);
        for (key, time) in [("startsAt", begin), ("endsAt", end)] {
            let out = alert.key(key);
            out.push(b'"');
            write_time(time.div_euclid(1000), 'T', out);
            out.extend_from_slice(b"Z\"");
        }
        if !sender.url.is_empty() {
            write_string(&link(sender, begin), alert.key("generatorURL"));
        }
        alert.close();
    }
    list.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lane, Unit, kinds};
    use serde_json::Value as Json;

    const NOW: i64 = 1_795_743_372_378;

    fn event(title: &'static str, severity: Severity, begin: i64, end: Option<i64>) -> Event<'static> {
        Event {
            id: 7,
            kind: &kinds::VERDICT,
            lane: Lane::Trouble,
            severity,
            times: 1,
            rule: "disk_full",
            begin,
            end,
            exact: true,
            title,
            detail: "95.2% of 28.9 GiB",
            culprit: "/",
            worst: Value::decimal(971, 1),
            unit: Unit::Percent,
        }
    }

    fn told(event: Event<'_>, again: bool) -> Told<'_> {
        Told { event, lists: Lists::NONE, again }
    }

    fn write_all(host: &str, url: &str, told: &[Told<'_>]) -> [Json; 3] {
        let sender = Sender { host, url, advice: |_| None, now: NOW };
        [Form::Document, Form::Ntfy, Form::Alertmanager].map(|form| {
            let mut out = Vec::new();
            write(form, &sender, "topic", told, &mut out);
            serde_json::from_slice(&out).unwrap_or_else(|wrong| panic!("{wrong}: {}", String::from_utf8_lossy(&out)))
        })
    }

    /// Alertmanager takes alerts with the same labels for one.
    #[test]
    fn events_of_a_kind_have_labels_of_their_own() {
        let power =
            |title| Event { kind: &kinds::POWER, rule: "", culprit: "", ..event(title, Severity::Warning, NOW, None) };
        let [_, _, alerts] = write_all("pi", "", &[told(power("a"), false), told(power("b"), false)]);
        let labels = |place: usize| &alerts[place]["labels"];
        assert_eq!((&labels(0)["title"], &labels(1)["title"]), (&"a".into(), &"b".into()));
        assert_eq!(labels(0)["alertname"], labels(1)["alertname"]);
        // A rule's alert is one, whatever it is about.
        let [_, _, alerts] = write_all("pi", "", &[told(event("c", Severity::Warning, NOW, None), false)]);
        assert!(alerts[0]["labels"]["title"].is_null(), "{alerts}");
    }

    #[test]
    fn a_message_says_the_worst_first_and_how_long() {
        let full = event("/ is almost full", Severity::Critical, NOW - 250_000, None);
        let hot = event("The CPU is hot", Severity::Warning, NOW - 600_000, Some(NOW - 60_000));
        let [document, ntfy, alerts] = write_all("pi", "http://pi:9100/", &[told(hot, true), told(full, false)]);
        assert_eq!(document["title"], "pi: / is almost full, and 1 more");
        assert_eq!((&document["status"], &document["severity"]), (&"firing".into(), &"critical".into()));
        assert_eq!(document["url"], format!("http://pi:9100/#t={}&r=1h", (NOW - 600_000) / 1000));
        let text = document["text"].as_str().unwrap();
        assert!(
            text.starts_with(
                "Over: The CPU is hot\n95.2% of 28.9 GiB\nIt lasted 9m 0s and ended 1m 0s ago.\nWorst: 97.1 percent."
            ),
            "{text}"
        );
        assert!(text.contains("\n\n/ is almost full\n95.2% of 28.9 GiB\nFor 4m 10s.\n"), "{text}");
        assert_eq!(
            (&ntfy["priority"], &ntfy["topic"], &ntfy["message"]),
            (&5.into(), &"topic".into(), &document["text"])
        );
        assert_eq!(ntfy["click"], document["url"]);
        // An alert that lasts ends in five minutes unless it is sent again; one that is over keeps its own end.
        assert_eq!(alerts[0]["endsAt"], "2026-11-27T01:35:12Z");
        assert_eq!(alerts[1]["startsAt"], "2026-11-27T01:32:02Z");
        assert_eq!(alerts[1]["endsAt"], "2026-11-27T01:41:12Z");
        assert_eq!(alerts[1]["annotations"]["culprit"], "/");
    }

    #[test]
    fn what_takes_no_time_and_what_is_over_before_it_is_told() {
        let moment = event("A process was killed", Severity::Critical, NOW - 5000, Some(NOW - 5000));
        let [document, _, alerts] = write_all("pi", "", &[told(moment, false)]);
        assert_eq!((&document["status"], &document["events"][0]["state"]), (&"firing".into(), &"event".into()));
        assert!(document["text"].as_str().unwrap().contains("\n5s ago.\n") && document.get("url").is_none());
        // Alertmanager would not show what ended in the past.
        assert_eq!(alerts[0]["endsAt"], "2026-11-27T01:41:12Z");
        let late = event("/ is almost full", Severity::Critical, NOW - 9_000_000, Some(NOW - 8_000_000));
        let [document, ntfy, alerts] = write_all("pi", "", &[told(late, false)]);
        assert_eq!((&document["title"], &document["severity"]), (&"pi: over: / is almost full".into(), &"info".into()));
        assert_eq!(ntfy["tags"][0], "white_check_mark");
        assert_eq!(alerts[0]["endsAt"], "2026-11-27T01:41:12Z");
    }

    #[test]
    fn any_name_and_any_number_of_events_make_a_document() {
        let mut hostile = event("{{ x }} \"\u{1b}[2J\n\\", Severity::Info, 0, None);
        hostile.culprit = "a\tb\u{9b}";
        let all = vec![told(hostile, false); MOST];
        let [document, ntfy, alerts] = write_all("p\"\r\ni{}", "", &all);
        assert_eq!(document["events"].as_array().unwrap().len(), MOST);
        assert_eq!(document["events"][0]["culprit"], hostile.culprit);
        assert!(document["text"].as_str().unwrap().ends_with("And 50 more."), "{document}");
        assert!(ntfy["title"].as_str().unwrap().starts_with("p\"\r\ni{}: {{ x }}"));
        assert_eq!(alerts.as_array().unwrap().len(), MOST);
    }
}
