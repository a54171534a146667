//! What happened, for `/events`: as JSON, or as lines of text.

use super::object::{List, Object, write_string};
use crate::history::events::{Events, Wanted, record::Lists};
use crate::model::{BUSY_LISTS, Event, RuleHead, Unit, Value};
use std::time::Duration;

/// The keys of the amounts in the lists of processes, and how many decimal places they have; as in `/processes`.
const AMOUNTS: [(&str, u8); BUSY_LISTS.len()] = [("cpu_percent", 1), ("resident_bytes", 0), ("bytes_per_second", 0)];

/// The rule that knows what to do about an event.
pub type Advice = fn(&Event<'_>) -> Option<&'static RuleHead>;

/// Appends the events that are asked for.
pub fn write(events: &Events, wanted: &Wanted, unix: Duration, advice: Advice, out: &mut Vec<u8>) {
    if wanted.text {
        events.each(wanted, &mut |event, _| write_line(event, out));
        return;
    }
    let mut object = Object::open(out);
    Value::decimal(unix.as_millis() as u64, 3).write(object.key("time"));
    Value::from(events.last()).write(object.key("last"));
    Value::from(events.changes()).write(object.key("changes"));
    let mut list = List::open(object.key("events"));
    events.each(wanted, &mut |event, lists| {
        let mut object = Object::open(list.item());
        write_event(event, wanted.id.map(|_| (lists, advice(event))), &mut object);
        object.close();
    });
    list.close();
    object.close();
    out.push(b'\n');
}

/// Writes the keys of an event. What is empty or unknown has no key. `more` is what an event has that is asked for alone.
pub fn write_event(event: &Event<'_>, more: Option<(Lists<'_>, Option<&RuleHead>)>, object: &mut Object<'_>) {
    Value::from(event.id).write(object.key("id"));
    Value::signed(event.begin, 3).write(object.key("begin"));
    if let Some(end) = event.end {
        Value::signed(end, 3).write(object.key("end"));
    }
    object.key("exact").extend_from_slice(if event.exact { b"true" } else { b"false" });
    if event.times > 1 {
        Value::from(event.times).write(object.key("times"));
    }
    let (advice, fix) = more.and_then(|(_, head)| head).map_or(("", ""), |head| (head.name, head.fix.text()));
    let texts = [
        ("kind", event.kind.name),
        ("lane", event.lane.name()),
        ("severity", event.severity.name()),
        ("rule", event.rule),
        ("title", event.title),
        ("detail", event.detail),
        ("culprit", event.culprit),
        ("unit", if event.worst.is_present() { unit(event.unit) } else { "" }),
        ("advice", advice),
        ("fix", fix),
    ];
    for (key, text) in texts {
        if !text.is_empty() {
            write_string(text, object.key(key));
        }
    }
    if event.worst.is_present() {
        event.worst.write(object.key("worst"));
    }
    if let Some((lists, _)) = more.filter(|(lists, _)| !lists.is_empty()) {
        let mut processes = Object::open(object.key("processes"));
        for (place, name) in BUSY_LISTS.iter().enumerate() {
            let mut list = List::open(processes.key(name));
            lists.each(&mut |of, busy| {
                if of == place {
                    let (key, places) = AMOUNTS[of];
                    let mut object = Object::open(list.item());
                    Value::from(u64::from(busy.pid)).write(object.key("pid"));
                    write_string(busy.name, object.key("name"));
                    Value::decimal(busy.amount, places).write(object.key(key));
                    object.close();
                }
            });
            list.close();
        }
        processes.close();
    }
}

pub fn unit(unit: Unit) -> &'static str {
    if unit == Unit::Count { "count" } else { unit.suffix() }
}

/// A line of fields with tabs between them: begin and end in Unix seconds (empty while it lasts), severity, how often, worst
/// value of a verdict with its unit, title, detail, culprit.
fn write_line(event: &Event<'_>, out: &mut Vec<u8>) {
    let mut number = |value: Value| {
        value.write(out);
        out.push(b'\t');
    };
    number(Value::signed(event.begin, 3));
    number(event.end.map_or(Value::ABSENT, |end| Value::signed(end, 3)));
    number(Value::from(event.times));
    let (worst, unit) = if event.rule.is_empty() { (Value::ABSENT, "") } else { (event.worst, unit(event.unit)) };
    number(worst);
    for text in [unit, event.severity.name(), event.title, event.detail, event.culprit] {
        // A name may hold anything.
        out.extend(text.bytes().map(|byte| if byte < b' ' { b' ' } else { byte }));
        out.push(b'\t');
    }
    out.pop();
    out.push(b'\n');
}
