//! Prometheus text 0.0.4 and OpenMetrics 1.0.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use crate::metric::{Family, Kind, Unit};
use crate::snapshot::{Section, Snapshot};

/// Two languages that differ in the heads of families and in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Text,
    OpenMetrics,
}

/// Appends all samples, family by family.
pub fn write(snapshot: &Snapshot, dialect: Dialect, out: &mut Vec<u8>) {
    for section in snapshot.parts().iter().filter(|part| part.shown).flat_map(|part| &part.sections) {
        let mut column = 0;
        for family in section.head.families {
            write_family(section, family, column, dialect, out);
            column += family.width();
        }
    }
    if dialect == Dialect::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
}

fn write_family(section: &Section, family: &Family, column: usize, dialect: Dialect, out: &mut Vec<u8>) {
    let mut head_written = false;
    for row in section.rows() {
        let values = &row.values()[column..column + family.width()];
        for (place, value) in values.iter().enumerate() {
            if !value.is_present() {
                continue;
            }
            if !head_written {
                write_head(family, dialect, out);
                head_written = true;
            }
            out.extend_from_slice(family.name.as_bytes());
            let mut mark = b'{';
            for (name, text) in section.head.labels.iter().zip(row.labels()) {
                write_label(name, text, &mut mark, out);
            }
            if let Some(by) = &family.by {
                write_label(by.label, by.values[place], &mut mark, out);
            }
            if mark == b',' {
                out.push(b'}');
            }
            out.push(b' ');
            value.write(out);
            out.push(b'\n');
        }
    }
}

fn write_head(family: &Family, dialect: Dialect, out: &mut Vec<u8>) {
    let (name, kind) = match (dialect, family.kind, family.unit) {
        (Dialect::Text, kind, _) => (family.name, kind.name()),
        // OpenMetrics keeps what a sample's name ends in out of the family's name.
        (Dialect::OpenMetrics, _, Unit::Info) => (family.name.strip_suffix("_info").unwrap_or(family.name), "info"),
        (Dialect::OpenMetrics, Kind::Counter, _) => {
            (family.name.strip_suffix("_total").unwrap_or(family.name), "counter")
        }
        (Dialect::OpenMetrics, Kind::Gauge, _) => (family.name, "gauge"),
    };
    let mut line = |keyword: &str, text: &str| {
        for part in ["# ", keyword, " ", name, " ", text, "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    };
    line("HELP", family.help);
    line("TYPE", kind);
    if dialect == Dialect::OpenMetrics && !matches!(family.unit, Unit::Count | Unit::Info) {
        line("UNIT", family.unit.suffix());
    }
}

/// Appends `{name="text"` or `,name="text"`, with backslash, quote and newline escaped.
fn write_label(name: &str, text: &str, mark: &mut u8, out: &mut Vec<u8>) {
    out.push(*mark);
    *mark = b',';
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    let mut plain = text.as_bytes();
    while let Some(at) = plain.iter().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        out.extend_from_slice(&plain[..at]);
        out.push(b'\\');
        out.push(if plain[at] == b'\n' { b'n' } else { plain[at] });
        plain = &plain[at + 1..];
    }
    out.extend_from_slice(plain);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Place, Table, Value};
    use crate::snapshot::Moment;

    static THINGS: Table<1, 4> = Table::new(
        Place::List("things"),
        &["name"],
        &[
            Family::counter("pi_thing_seconds_total", "Time.", Unit::Seconds).by("mode", &["a", "b"]),
            Family::gauge("pi_thing_bytes", "Size.", Unit::Bytes),
            Family::gauge("pi_thing_info", "What it is.", Unit::Info),
        ],
    );
    static NOTHING: Table<0, 1> =
        Table::new(Place::Inline, &[], &[Family::gauge("pi_nothing", "Never there.", Unit::Count)]);

    fn text(dialect: Dialect) -> String {
        let mut snapshot = Snapshot::new();
        snapshot.register("thing", &[THINGS.head(), NOTHING.head()]);
        snapshot.clear(Moment::default());
        snapshot.row(&THINGS, [b"x"], [Value::decimal(15, 1), 2.into(), Value::ABSENT, true.into()]);
        snapshot.row(&THINGS, [b"\"\\\n\xff"], [Value::ABSENT, 3.into(), 4.into(), true.into()]);
        snapshot.row(&NOTHING, [], [Value::ABSENT]);
        let mut out = Vec::new();
        write(&snapshot, dialect, &mut out);
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
        assert_eq!(text(Dialect::Text), expected);
    }

    #[test]
    fn openmetrics() {
        let text = text(Dialect::OpenMetrics);
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
