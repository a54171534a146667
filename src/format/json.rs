//! JSON: one key per collector, rows as objects, numbers in base units.

use super::object::{List, Object, write_string};
use crate::model::{Finding, ForeignFamily, Place, Report, Row, Section, Snapshot, Unit, Value, take_label};

/// Appends the snapshot as one JSON object and a newline.
pub fn write(snapshot: &Snapshot, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    Value::decimal(u64::try_from(snapshot.moment.unix.as_millis()).unwrap_or(0), 3).write(object.key("time"));
    if !snapshot.verdicts.findings.is_empty() {
        // Who asks for parts asks often, and thresholds do not change.
        let whole = snapshot.parts().iter().all(|part| part.shown);
        write_verdicts(&snapshot.verdicts, whole, object.key("verdicts"));
    }
    if snapshot.events.1 > 0 {
        let mut events = Object::open(object.key("events"));
        Value::from(snapshot.events.0).write(events.key("last"));
        Value::from(snapshot.events.1).write(events.key("changes"));
        events.close();
    }
    let parts = snapshot.parts().iter().filter(|part| part.shown);
    for part in parts.filter(|part| part.sections.iter().any(|section| !section.is_empty())) {
        let mut collector = Object::open(object.key(part.collector));
        for section in part.sections.iter().filter(|section| !section.is_empty()) {
            write_section(section, part.collector, &mut collector);
        }
        if let Some(foreign) = &part.foreign {
            write_foreign(&foreign.families, collector.key("metrics"));
        }
        collector.close();
    }
    object.close();
    out.push(b'\n');
}

/// Since when all is well, or what is not.
fn write_verdicts(report: &Report, with_thresholds: bool, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    if let Some(clear) = report.clear {
        Value::from(report.now.saturating_sub(clear)).write(object.key("clear_seconds"));
    }
    let mut list = List::open(object.key("items"));
    for finding in report.items() {
        let Finding { rule, since, until, title, detail, culprit, .. } = finding;
        let state = match until {
            _ if rule.event => "event",
            Some(_) => "resolved",
            None => "firing",
        };
        let mut item = Object::open(list.item());
        let texts = [
            ("rule", rule.name),
            ("severity", rule.severity.name()),
            ("state", state),
            ("title", title),
            ("detail", detail),
            ("culprit", culprit),
            ("fix", rule.fix.text()),
            ("card", rule.card),
        ];
        for (key, text) in texts {
            write_string(text, item.key(key));
        }
        Value::from(since.map(|since| report.now.saturating_sub(since))).write(item.key("since_seconds"));
        if let Some(until) = until {
            Value::from(report.now.saturating_sub(*until)).write(item.key("until_seconds"));
        }
        item.close();
    }
    list.close();
    if with_thresholds {
        write_thresholds(report, object.key("thresholds"));
    }
    object.close();
}

fn write_thresholds(report: &Report, out: &mut Vec<u8>) {
    let mut limits = Object::open(out);
    for of_rule in report.thresholds.chunk_by(|one, other| std::ptr::eq(one.rule, other.rule)) {
        let mut limit = Object::open(limits.key(of_rule[0].rule.name));
        for threshold in of_rule {
            threshold.value.write(limit.key(threshold.key));
        }
        limit.close();
    }
    limits.close();
}

fn write_section(section: &Section, collector: &str, parent: &mut Object<'_>) {
    match section.head.place() {
        Place::Inline => {
            for row in section.rows().take(1) {
                write_row(section, row, collector, parent);
            }
        }
        Place::Object(name) => {
            let mut object = Object::open(parent.key(name));
            for row in section.rows().take(1) {
                write_row(section, row, collector, &mut object);
            }
            object.close();
        }
        Place::Elsewhere(_) => {}
        Place::List(name) => {
            let mut list = List::open(parent.key(name));
            for row in section.rows() {
                let mut object = Object::open(list.item());
                write_row(section, row, collector, &mut object);
                object.close();
            }
            list.close();
        }
    }
}

/// The families of other programs: a list of samples for each, with the name of a sample where it is not the family's.
fn write_foreign(families: &[ForeignFamily], out: &mut Vec<u8>) {
    let mut all = Object::open(out);
    for family in families {
        let mut list = List::open(all.key(&String::from_utf8_lossy(&family.name)));
        for line in family.lines() {
            let (part, mut labels, value) = family.split(line);
            let mut sample = Object::open(list.item());
            if !part.is_empty() {
                let out = sample.key("name");
                for piece in [b"\"", &family.name[..], part, b"\""] {
                    out.extend_from_slice(piece);
                }
            }
            if !labels.is_empty() {
                let mut object = Object::open(sample.key("labels"));
                while let Some((name, text)) = take_label(&mut labels) {
                    write_escaped(text, object.key(std::str::from_utf8(name).unwrap_or_default()));
                }
                object.close();
            }
            // JSON has no words for what is no number.
            let is_number = !value.ends_with(b"N") && !value.ends_with(b"f");
            let mark: &[u8] = if is_number { b"" } else { b"\"" };
            let out = sample.key("value");
            for piece in [mark, value, mark] {
                out.extend_from_slice(piece);
            }
            sample.close();
        }
        list.close();
    }
    all.close();
}

/// Appends a label's value, whose escapes are JSON's, too, as a string.
fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        if byte < b' ' {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
        } else {
            out.push(byte);
        }
    }
    out.push(b'"');
}

/// Returns the labels' texts and the values, as keys of `object`. What is absent has no key; what is always 1 needs none.
fn write_row(section: &Section, row: Row<'_>, collector: &str, object: &mut Object<'_>) {
    for (name, text) in section.head.labels.iter().zip(row.labels()) {
        write_string(text, object.key(name));
    }
    let mut values = row.values();
    for family in section.head.families {
        let (own, rest) = values.split_at(family.width());
        values = rest;
        if family.unit == Unit::Info || !own.iter().any(|value| value.is_present()) {
            continue;
        }
        let out = object.key(family.key(collector));
        match family.by() {
            None => own[0].write(out),
            Some(by) => {
                let mut inner = Object::open(out);
                for (name, value) in by.values.iter().zip(own).filter(|(_, value)| value.is_present()) {
                    value.write(inner.key(name));
                }
                inner.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Foreign, Moment, More, Selection, Table};
    use std::time::Duration;

    static LIST: Table<1, 3> = Table::new(
        Place::List("things"),
        &["name"],
        &[
            Family::counter("pi_thing_seconds_total", "", Unit::Seconds).more(&More::NONE.by("mode", &["a", "b"])),
            Family::gauge("pi_thing_bytes", "", Unit::Bytes),
        ],
    );
    static INLINE: Table<0, 1> = Table::new(Place::Inline, &[], &[Family::gauge("pi_thing_count", "", Unit::Count)]);
    static OBJECT: Table<1, 1> =
        Table::new(Place::Object("kind"), &["version"], &[Family::gauge("pi_thing_info", "", Unit::Info)]);

    #[test]
    fn families_of_others_are_lists_of_samples() {
        let family = |name: &str, samples: &str| ForeignFamily {
            name: name.into(),
            samples: samples.into(),
            ..ForeignFamily::default()
        };
        let families = vec![
            family("a", "a{x=\"\\\"\\n\t\u{7f}\",y=\"\"} -0.5e+3\na NaN\na{x=\"1\"} -Inf\n"),
            family("b", "b_bucket{le=\"+Inf\"} 3\n"),
        ];
        let mut snapshot = Snapshot::new();
        snapshot.register("thing", &[INLINE.head()]);
        snapshot.clear(Moment::default());
        snapshot.row(&INLINE, [], [7.into()]);
        snapshot.pass(&std::rc::Rc::new(Foreign { families }));
        let mut out = Vec::new();
        write(&snapshot, &mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({
            "a": [
                {"labels": {"x": "\"\n\t\u{7f}", "y": ""}, "value": -500.0},
                {"value": "NaN"},
                {"labels": {"x": "1"}, "value": "-Inf"},
            ],
            "b": [{"name": "b_bucket", "labels": {"le": "+Inf"}, "value": 3}],
        });
        assert_eq!(json["thing"]["metrics"], expected);
    }

    #[test]
    fn one_key_per_collector_and_table() {
        let mut snapshot = Snapshot::new();
        snapshot.register("thing", &[INLINE.head(), LIST.head(), OBJECT.head()]);
        snapshot.register("empty", &[]);
        snapshot.clear(Moment { unix: Duration::from_millis(1_500), ..Moment::default() });
        snapshot.row(&INLINE, [], [7.into()]);
        snapshot.row(&LIST, [b"a\"\\\n\x01\xff"], [1.into(), Value::ABSENT, Value::decimal(25, 1)]);
        snapshot.row(&LIST, [b"b"], [Value::ABSENT; 3]);
        snapshot.row(&OBJECT, [b"1.0"], [true.into()]);
        let mut out = Vec::new();
        write(&snapshot, &mut out);
        let expected = r#"{"time":1.5,"thing":{"count":7,"things":[{"name":"a\"\\\n\u0001\\xff","seconds":{"a":1},"bytes":2.5},{"name":"b"}],"kind":{"version":"1.0"}}}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn an_empty_snapshot_is_an_object() {
        let mut out = Vec::new();
        write(&Snapshot::new(), &mut out);
        assert_eq!(out, b"{\"time\":0}\n");
    }

    #[test]
    fn thresholds_come_with_the_whole_alone() {
        let options = crate::commands::parse(["--rule.disk_full.above=77".to_owned()]).unwrap();
        let mut agent = crate::agent::Agent::once(&options, crate::kernel::Machine::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let choice = crate::agent::foreign::Choice { collect: vec!["cpu".into()], exclude: Vec::new() };
        let some = agent.choose(&choice).unwrap();
        for (selection, expected) in [(Selection::ALL, true), (some, false)] {
            let page = agent.page_of(selection, Some(crate::format::Format::Json), false, std::time::Duration::ZERO);
            let text = String::from_utf8(runtime.block_on(page).to_vec()).unwrap();
            assert!(text.contains(r#""verdicts":{"#), "{text}");
            assert_eq!(
                text.contains(r#""thresholds":{"#) && text.contains(r#""disk_full":{"above":77}"#),
                expected,
                "{text}"
            );
        }
    }
}
