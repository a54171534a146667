//! Prometheus text 0.0.4 and OpenMetrics 1.0.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use crate::model::{Family, ForeignFamily, Kind, PARTS, Section, Snapshot, Unit, Value, resize, write_label};

/// The two grammars, which differ in the heads of families and in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    Text,
    OpenMetrics,
}

/// Writes snapshots of the same collectors again and again.
///
/// From one collection to the next little more than the numbers changes, so all the text between them is kept: then a sample
/// takes one copy and one number. It is rebuilt when a row or a value appears or disappears.
#[derive(Debug)]
pub struct Writer {
    syntax: Syntax,
    /// What the names of families begin with that are left out.
    omitted: Vec<&'static str>,
    /// One for each section of the snapshot, in its order.
    frames: Vec<Frame>,
}

/// A section's text without its values.
#[derive(Debug, Default)]
struct Frame {
    text: Vec<u8>,
    /// For each sample, where the text before its value ends, and the value's place among the section's.
    samples: Vec<(usize, usize)>,
    /// Which of the section's values are present.
    present: Vec<bool>,
    /// [`Section::changes`] and the number of rows that it was made for.
    made_for: Option<(u64, usize)>,
}

impl Writer {
    /// Creates a writer for one grammar and one snapshot.
    pub const fn new(syntax: Syntax) -> Self {
        Writer { syntax, omitted: Vec::new(), frames: Vec::new() }
    }

    /// Creates a writer that leaves out families whose names begin with one of these.
    pub const fn without(syntax: Syntax, omitted: Vec<&'static str>) -> Self {
        Writer { syntax, omitted, frames: Vec::new() }
    }

    /// Puts all samples, family by family, in the place of what `out` held behind its first `start` bytes.
    #[cfg_attr(small, optimize(speed))]
    pub fn replace(&mut self, snapshot: &Snapshot, start: usize, out: &mut Vec<u8>) {
        let Writer { syntax, omitted, frames } = self;
        let sections =
            || snapshot.parts().iter().flat_map(|part| part.sections.iter().map(|section| (part.shown, section)));
        let mut room = start;
        for (place, (shown, section)) in sections().enumerate() {
            if place == frames.len() {
                frames.push(Frame::default());
            }
            if shown {
                room += frames[place].fit(section, *syntax, omitted);
            }
        }
        // Only what the last page did not reach is filled with zeros.
        resize(out, room);
        let mut rest = &mut out[start..];
        for (frame, (shown, section)) in frames.iter().zip(sections()) {
            if shown {
                rest = frame.write(section, rest);
            }
        }
        let left = rest.len();
        out.truncate(out.len() - left);
        for family in snapshot.foreign() {
            write_foreign(family, *syntax, out);
        }
        if *syntax == Syntax::OpenMetrics {
            out.extend_from_slice(b"# EOF\n");
        }
    }
}

/// Appends all samples of one snapshot.
pub fn write(snapshot: &Snapshot, syntax: Syntax, out: &mut Vec<u8>) {
    let mut page = Vec::new();
    Writer::new(syntax).replace(snapshot, 0, &mut page);
    out.append(&mut page);
}

/// Copies `text` to the front of `out`; returns what is behind it.
#[cfg_attr(small, optimize(speed))]
fn copy<'a>(text: &[u8], out: &'a mut [u8]) -> &'a mut [u8] {
    let (front, rest) = out.split_at_mut(text.len());
    front.copy_from_slice(text);
    rest
}

impl Frame {
    /// Rebuilds the text if necessary. Returns how much room it may take with its values.
    #[cfg_attr(small, optimize(speed))]
    fn fit(&mut self, section: &Section, syntax: Syntax, omitted: &[&str]) -> usize {
        if !self.fits(section) {
            self.make(section, syntax, omitted);
        }
        self.text.len() + self.samples.len() * Value::LONGEST
    }

    /// Writes the section to the front of `out`, which has room for it; returns what is behind it.
    #[cfg_attr(small, optimize(speed))]
    fn write<'a>(&self, section: &Section, mut out: &'a mut [u8]) -> &'a mut [u8] {
        let values = section.values();
        let mut start = 0;
        for &(end, place) in &self.samples {
            out = copy(&self.text[start..end], out);
            start = end;
            if let Some(room) = out.first_chunk_mut() {
                let length = values[place].put(room);
                out = &mut out[length..];
            }
        }
        copy(&self.text[start..], out)
    }

    /// Returns whether labels are the same, and the same values are present.
    #[cfg_attr(small, optimize(speed))]
    fn fits(&self, section: &Section) -> bool {
        self.made_for == Some((section.changes(), section.len()))
            && section.values().iter().zip(&self.present).all(|(value, present)| value.is_present() == *present)
    }

    /// Rebuilds the text, which is rarely necessary.
    #[inline(never)]
    fn make(&mut self, section: &Section, syntax: Syntax, omitted: &[&str]) {
        let Frame { text, samples, present, made_for } = self;
        text.clear();
        samples.clear();
        present.clear();
        present.extend(section.values().iter().map(|value| value.is_present()));
        *made_for = Some((section.changes(), section.len()));
        let mut column = 0;
        for family in section.head.families {
            let mut head_written = false;
            if omitted.iter().any(|start| family.name().starts_with(start)) {
                column += family.width();
                continue;
            }
            for (number, row) in section.rows().enumerate() {
                for (place, value) in row.values()[column..column + family.width()].iter().enumerate() {
                    if !value.is_present() {
                        continue;
                    }
                    if !samples.is_empty() {
                        text.push(b'\n');
                    }
                    if !head_written {
                        write_head(family, syntax, text);
                        head_written = true;
                    }
                    text.extend_from_slice(family.name().as_bytes());
                    let mut mark = b'{';
                    for (name, label) in section.head.labels.iter().zip(row.labels()) {
                        write_label(name, label, &mut mark, text);
                    }
                    if let Some(by) = family.by() {
                        write_label(by.label, by.values[place], &mut mark, text);
                    }
                    text.extend_from_slice(if mark == b',' { b"} " } else { b" " });
                    samples.push((text.len(), number * section.head.width() + column + place));
                }
            }
            column += family.width();
        }
        if !samples.is_empty() {
            text.push(b'\n');
        }
    }
}

fn write_head(family: &Family, syntax: Syntax, out: &mut Vec<u8>) {
    let (name, kind) = match (syntax, family.kind, family.unit) {
        (Syntax::Text, kind, _) => (family.name(), kind.name()),
        // OpenMetrics keeps what a sample's name ends in out of the family's name.
        (Syntax::OpenMetrics, _, Unit::Info) => (family.name().strip_suffix("_info").unwrap_or(family.name()), "info"),
        (Syntax::OpenMetrics, Kind::Counter, _) => {
            (family.name().strip_suffix("_total").unwrap_or(family.name()), "counter")
        }
        (Syntax::OpenMetrics, Kind::Gauge, _) => (family.name(), "gauge"),
        (Syntax::OpenMetrics, Kind::Untyped, _) => (family.name(), "unknown"),
    };
    let mut line = |keyword: &str, text: &str| {
        for part in ["# ", keyword, " ", name, " ", text, "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    };
    line("HELP", family.help());
    line("TYPE", kind);
    if syntax == Syntax::OpenMetrics && !matches!(family.unit, Unit::Count | Unit::Info) {
        line("UNIT", family.unit.suffix());
    }
}

/// Appends a family of another program. Series have the same names in both grammars.
///
/// OpenMetrics has rules for the samples of a kind that the text format does not have, such as `_total` behind the name of a counter. What
/// is not sure to keep them is of unknown kind there, and of a histogram or summary each part is a family then.
#[inline(never)]
fn write_foreign(family: &ForeignFamily, syntax: Syntax, out: &mut Vec<u8>) {
    let ForeignFamily { name, kind, help, samples, is_exact } = family;
    let (mut name, mut kind) = (&name[..], *kind);
    let is_open = syntax == Syntax::OpenMetrics;
    let parts = if is_open && !is_exact { &PARTS[..] } else { &PARTS[..1] };
    if parts.len() > 1 {
        kind = "unknown";
    } else if is_open && kind == "counter" {
        name = name.strip_suffix(b"_total").unwrap_or(name);
    }
    for part in parts {
        let mut head_written = false;
        let head = |out: &mut Vec<u8>| {
            for (keyword, text) in [("# HELP ", &help[..]), ("\n# TYPE ", kind.as_bytes())] {
                for piece in [keyword.as_bytes(), name, part.as_bytes(), b" "] {
                    out.extend_from_slice(piece);
                }
                if !is_open {
                    out.extend_from_slice(text);
                    continue;
                }
                for &byte in text {
                    if byte == b'"' {
                        out.push(b'\\');
                    }
                    out.push(byte);
                }
            }
            out.push(b'\n');
        };
        if parts.len() == 1 {
            head(out);
            out.extend_from_slice(samples);
            continue;
        }
        for line in family.lines().filter(|line| family.split(line).0 == part.as_bytes()) {
            if !std::mem::replace(&mut head_written, true) {
                head(out);
            }
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Foreign, Moment, More, Place, Table};
    use std::rc::Rc;

    static THINGS: Table<1, 4> = Table::new(
        Place::List("things"),
        &["name"],
        &[
            Family::counter("pi_thing_seconds_total", "Time.", Unit::Seconds).more(&More::NONE.by("mode", &["a", "b"])),
            Family::gauge("pi_thing_bytes", "Size.", Unit::Bytes),
            Family::gauge("pi_thing_info", "What it is.", Unit::Info),
        ],
    );
    static NOTHING: Table<0, 1> =
        Table::new(Place::Inline, &[], &[Family::gauge("pi_nothing", "Never there.", Unit::Count)]);

    fn text(syntax: Syntax) -> String {
        let mut snapshot = Snapshot::new();
        snapshot.register("thing", &[THINGS.head(), NOTHING.head()]);
        snapshot.clear(Moment::default());
        snapshot.row(&THINGS, [b"x"], [Value::decimal(15, 1), 2.into(), Value::ABSENT, true.into()]);
        snapshot.row(&THINGS, [b"\"\\\n\xff"], [Value::ABSENT, 3.into(), 4.into(), true.into()]);
        snapshot.row(&NOTHING, [], [Value::ABSENT]);
        let mut out = Vec::new();
        write(&snapshot, syntax, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_format() {
        let expected = r#"# HELP pi_thing_seconds_total Time.
# TYPE pi_thing_seconds_total counter
pi_thing_seconds_total{name="x",mode="a"} 1.5
pi_thing_seconds_total{name="x",mode="b"} 2
pi_thing_seconds_total{name="\"\\\n\\xff",mode="b"} 3
# HELP pi_thing_bytes Size.
# TYPE pi_thing_bytes gauge
pi_thing_bytes{name="\"\\\n\\xff"} 4
# HELP pi_thing_info What it is.
# TYPE pi_thing_info gauge
pi_thing_info{name="x"} 1
pi_thing_info{name="\"\\\n\\xff"} 1
"#;
        assert_eq!(text(Syntax::Text), expected);
    }

    #[test]
    fn a_writer_writes_what_a_new_one_would() {
        let mut snapshot = Snapshot::new();
        snapshot.register("thing", &[THINGS.head(), NOTHING.head()]);
        let (mut writer, mut again) = (Writer::new(Syntax::OpenMetrics), Vec::new());
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..2000 {
            snapshot.clear(Moment::default());
            for _ in 0..random(3) {
                let name: &[u8] = [&b"x"[..], b"\xff", b"\\xff", b""][random(4) as usize];
                let mut value = || Value::from((random(4) > 0).then(|| random(u64::MAX)));
                snapshot.row(&THINGS, [name], [value(), value(), value(), value()]);
            }
            if random(2) == 0 {
                snapshot.row(&NOTHING, [], [random(9).into()]);
            }
            let mut anew = Vec::new();
            writer.replace(&snapshot, 0, &mut again);
            write(&snapshot, Syntax::OpenMetrics, &mut anew);
            assert_eq!(again, anew);
        }
    }

    #[test]
    fn families_of_others_follow_in_either_grammar() {
        let family = |name: &str, kind, samples: &str, is_exact| ForeignFamily {
            name: name.into(),
            kind,
            help: "Of \"others\".".into(),
            samples: samples.into(),
            is_exact,
        };
        let families = vec![
            family("a", "counter", "a{x=\"1\"} 1\na{x=\"2\"} 2\n", false),
            family("b_total", "counter", "b_total 3\n", true),
            family("c", "untyped", "c NaN\n", false),
            family("d", "gauge", "d 1\n", true),
            family("e", "summary", "e_sum 1\ne{quantile=\"7\"} 2\ne_sum{x=\"e_count\"} 3\n", false),
        ];
        let mut snapshot = Snapshot::new();
        snapshot.register("thing", &[NOTHING.head()]);
        snapshot.clear(Moment::default());
        snapshot.row(&NOTHING, [], [1.into()]);
        snapshot.pass(&Rc::new(Foreign { families }));
        let text = |snapshot: &Snapshot, syntax| {
            let mut out = Vec::new();
            write(snapshot, syntax, &mut out);
            String::from_utf8(out).unwrap()
        };
        let expected = r#"# HELP pi_nothing Never there.
# TYPE pi_nothing gauge
pi_nothing 1
# HELP a Of "others".
# TYPE a counter
a{x="1"} 1
a{x="2"} 2
# HELP b_total Of "others".
# TYPE b_total counter
b_total 3
# HELP c Of "others".
# TYPE c untyped
c NaN
# HELP d Of "others".
# TYPE d gauge
d 1
"#;
        let in_text = r#"# HELP e Of "others".
# TYPE e summary
e_sum 1
e{quantile="7"} 2
e_sum{x="e_count"} 3
"#;
        let in_open = r#"# HELP e Of \"others\".
# TYPE e unknown
e{quantile="7"} 2
# HELP e_sum Of \"others\".
# TYPE e_sum unknown
e_sum 1
e_sum{x="e_count"} 3
# EOF
"#;
        assert_eq!(text(&snapshot, Syntax::Text), format!("{expected}{in_text}"));
        let expected = expected.replace("a counter", "a unknown").replace("untyped", "unknown");
        let expected = expected.replace("HELP b_total", "HELP b").replace("TYPE b_total", "TYPE b");
        let expected = expected.replace(r#""others""#, r#"\"others\""#);
        assert_eq!(text(&snapshot, Syntax::OpenMetrics), format!("{expected}{in_open}"));
        snapshot.clear(Moment::default());
        assert_eq!(text(&snapshot, Syntax::Text), "");
    }

    #[test]
    fn openmetrics() {
        let text = text(Syntax::OpenMetrics);
        for line in [
            "# TYPE pi_thing_seconds counter",
            "# UNIT pi_thing_seconds seconds",
            "pi_thing_seconds_total{name=\"x\",mode=\"a\"} 1.5",
            "# TYPE pi_thing info",
            "pi_thing_info{name=\"x\"} 1",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n") && !text.contains("nothing"));
    }
}
