//! A table for people: `pi-monitor print --format table`.

use crate::model::{Finding, ForeignFamily, Input, Row, Section, Snapshot, Unit, Value};

/// The families that the summary is made of.
#[derive(Debug)]
pub struct Highlights {
    /// The share of time in each mode.
    pub cpu: &'static Input,
    pub memory_total: &'static Input,
    pub memory_available: &'static Input,
    /// What is available beyond that.
    pub memory_reclaimable: &'static Input,
    pub temperature: &'static Input,
    pub disk_used: &'static Input,
    pub disk_available: &'static Input,
    pub disk_read_only: &'static Input,
}

/// Appends a summary, and a block for each collector: a line for each value, with its row's labels behind it.
pub fn write(snapshot: &Snapshot, highlights: &Highlights, out: &mut Vec<u8>) {
    write_summary(snapshot, highlights, out);
    let parts = snapshot.parts().iter().filter(|part| part.shown);
    for part in parts.filter(|part| part.sections.iter().any(|section| !section.is_empty())) {
        out.push(b'\n');
        out.extend(part.collector.bytes().map(|byte| byte.to_ascii_uppercase()));
        out.push(b'\n');
        for section in &part.sections {
            for row in section.rows() {
                write_row(section, row, part.collector, out);
            }
        }
        for line in part.foreign.iter().flat_map(|foreign| &foreign.families).flat_map(ForeignFamily::lines) {
            out.extend_from_slice(b"  ");
            write_text(&String::from_utf8_lossy(line), out);
            out.push(b'\n');
        }
    }
}

/// Returns what a person wants to know first: what is wrong, and the numbers that most troubles show in. What was not collected has no line.
fn write_summary(snapshot: &Snapshot, highlights: &Highlights, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SUMMARY\n");
    let report = &snapshot.verdicts;
    if report.items().next().is_none() && !report.findings.is_empty() {
        write_summary_line("Findings", &["none"], out);
    }
    for (number, Finding { rule, title, detail, .. }) in report.items().enumerate() {
        let label = if number == 0 { "Findings" } else { "" };
        write_summary_line(label, &[rule.severity.name(), ": ", title, " (", detail, ")"], out);
        let fix = rule.fix.text();
        if !fix.is_empty() {
            write_summary_line("", &["  ", fix], out);
        }
    }
    if let Some(busy) = cpu_busy(snapshot, highlights) {
        write_summary_line("CPU", &[&text(busy, Unit::Percent), " in use"], out);
    }
    if let Some((total, available)) = memory(snapshot, highlights) {
        let percent = text((total - available) / total * 100.0, Unit::Percent);
        let (total, available) = (text(total, Unit::Bytes), text(available, Unit::Bytes));
        write_summary_line("Memory", &[&percent, " of ", &total, " in use, ", &available, " available"], out);
    }
    let sensors = rows(snapshot, highlights.temperature);
    if let Some((sensor, celsius)) = largest(&sensors, &|row| number(row, highlights.temperature)) {
        let name = sensor.labels().next().unwrap_or_default();
        write_summary_line("Temperature", &[&text(celsius, Unit::Celsius), " (", name, ")"], out);
    }
    let mut writable = rows(snapshot, highlights.disk_read_only);
    writable.retain(|row| number(*row, highlights.disk_read_only) == Some(0.0));
    // As df counts: the share of what is used and what users may still fill.
    let of = |row| {
        let (used, available) = (number(row, highlights.disk_used)?, number(row, highlights.disk_available)?);
        (used > 0.0).then_some((used, used + available))
    };
    let fullest = largest(&writable, &|row| of(row).map(|(used, all)| used / all * 100.0));
    if let Some((row, percent)) = fullest {
        let all = of(row).unwrap_or_default().1;
        let mountpoint = row.labels().nth(1).unwrap_or_default();
        let words = [&text(percent, Unit::Percent), " of ", &text(all, Unit::Bytes), " in use (", mountpoint, ")"];
        write_summary_line("Fullest disk", &words, out);
    }
}

fn write_summary_line(label: &str, words: &[&str], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b"  ");
    out.extend_from_slice(label.as_bytes());
    pad(out, start + 16);
    for word in words {
        write_text(word, out);
    }
    out.push(b'\n');
}

/// Returns the share of time in which all CPUs together were neither idle nor waiting for disks, in percent.
fn cpu_busy(snapshot: &Snapshot, highlights: &Highlights) -> Option<f64> {
    let Input { family, column, .. } = highlights.cpu;
    let total = rows(snapshot, highlights.cpu).into_iter().find(|row| row.labels().next() == Some("total"))?;
    let modes = family.by()?.values.iter().zip(&total.values()[*column..]);
    let mut busy = 100.0;
    for (_, value) in modes.filter(|(mode, _)| matches!(**mode, "idle" | "iowait")) {
        busy -= value.to_f64()?;
    }
    Some(busy)
}

fn memory(snapshot: &Snapshot, highlights: &Highlights) -> Option<(f64, f64)> {
    let row = *rows(snapshot, highlights.memory_total).first()?;
    let (total, available) = (number(row, highlights.memory_total)?, number(row, highlights.memory_available)?);
    let more = rows(snapshot, highlights.memory_reclaimable);
    let available = available + more.first().and_then(|row| number(*row, highlights.memory_reclaimable)).unwrap_or(0.0);
    (total > 0.0).then_some((total, available))
}

/// Returns the rows of a family's table.
fn rows<'a>(snapshot: &'a Snapshot, input: &'static Input) -> Vec<Row<'a>> {
    let Some((part, section)) = snapshot.locate(input.head) else { return Vec::new() };
    snapshot.parts()[part].sections[section].rows().collect()
}

/// Returns a family's value in a row of its table.
fn number(row: Row<'_>, input: &Input) -> Option<f64> {
    row.values().get(input.column)?.to_f64()
}

/// Returns the first row with the largest value.
fn largest<'a>(rows: &[Row<'a>], value: &dyn Fn(Row<'a>) -> Option<f64>) -> Option<(Row<'a>, f64)> {
    let mut best: Option<(Row<'a>, f64)> = None;
    for &row in rows {
        if let Some(next) = value(row).filter(|next| best.is_none_or(|(_, best)| *next > best)) {
            best = Some((row, next));
        }
    }
    best
}

/// Returns a number with its unit and at most one digit behind the point.
fn text(number: f64, unit: Unit) -> String {
    let mut out = Vec::new();
    let value =
        if unit == Unit::Bytes { Value::from(number as u64) } else { Value::signed((number * 10.0).round() as i64, 1) };
    write_value(value, unit, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn write_row(section: &Section, row: Row<'_>, collector: &str, out: &mut Vec<u8>) {
    let mut values = row.values();
    for family in section.head.families {
        let (own, rest) = values.split_at(family.width());
        values = rest;
        for (place, value) in own.iter().enumerate().filter(|(_, value)| value.is_present()) {
            let start = out.len();
            out.extend_from_slice(b"  ");
            out.extend_from_slice(family.key(collector).as_bytes());
            if let Some(by) = family.by() {
                out.push(b' ');
                out.extend_from_slice(by.values[place].as_bytes());
            }
            pad(out, start + 30);
            let number = out.len();
            if !family.name().ends_with("_info") {
                write_value(*value, family.unit, out);
            }
            // Numbers end in one column.
            let blanks = 16_usize.saturating_sub(out.len() - number);
            out.splice(number..number, std::iter::repeat_n(b' ', blanks));
            let mut gap = "  ";
            for text in row.labels().filter(|text| !text.is_empty()) {
                out.extend_from_slice(gap.as_bytes());
                write_text(text, out);
                gap = "  ";
            }
            out.push(b'\n');
        }
    }
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().max(to), b' ');
}

/// Appends a text in which nothing is a command for a terminal: control characters become a question mark.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    for character in text.chars().map(|character| if character.is_control() { '?' } else { character }) {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Bytes in units of 1024, percentages with their sign, everything else as it is.
fn write_value(value: Value, unit: Unit, out: &mut Vec<u8>) {
    match unit {
        Unit::Bytes => {
            let mut number = value.to_f64().unwrap_or_default();
            let mut prefix = "";
            for larger in ["Ki", "Mi", "Gi", "Ti", "Pi"] {
                if number < 1024.0 {
                    break;
                }
                number /= 1024.0;
                prefix = larger;
            }
            if prefix.is_empty() {
                value.write(out);
            } else {
                Value::decimal((number * 10.0) as u64, 1).write(out);
            }
            out.push(b' ');
            out.extend_from_slice(prefix.as_bytes());
            out.push(b'B');
        }
        Unit::Percent => {
            value.write(out);
            out.push(b'%');
        }
        Unit::Celsius => {
            value.write(out);
            out.extend_from_slice(" °C".as_bytes());
        }
        Unit::Seconds => {
            value.write(out);
            out.extend_from_slice(b" s");
        }
        _ => value.write(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Moment, More, Place, Report, RuleHead, Severity, Table, prose};

    static CPUS: Table<1, 3> = Table::new(
        Place::List("cpus"),
        &["cpu"],
        &[Family::gauge("pi_cpu_usage_percent", "", Unit::Percent)
            .more(&More::NONE.by("mode", &["user", "idle", "iowait"]))],
    );
    static MEMORY: Table<0, 2> = Table::new(
        Place::Inline,
        &[],
        &[Family::gauge("pi_all_bytes", "", Unit::Bytes), Family::gauge("pi_available_bytes", "", Unit::Bytes)],
    );
    static ZFS: Table<0, 1> = Table::new(Place::Inline, &[], &[Family::gauge("pi_cache_bytes", "", Unit::Bytes)]);
    static SENSORS: Table<1, 1> =
        Table::new(Place::List("sensors"), &["sensor"], &[Family::gauge("pi_celsius", "", Unit::Celsius)]);
    static DISKS: Table<2, 3> = Table::new(
        Place::List("disks"),
        &["device", "mountpoint"],
        &[
            Family::gauge("pi_disk_used_bytes", "", Unit::Bytes),
            Family::gauge("pi_disk_available_bytes", "", Unit::Bytes),
            Family::gauge("pi_disk_read_only", "", Unit::Count),
        ],
    );
    static CPU: Input = CPUS.input("pi_cpu_usage_percent");
    static ALL: Input = MEMORY.input("pi_all_bytes");
    static AVAILABLE: Input = MEMORY.input("pi_available_bytes");
    static CACHE: Input = ZFS.input("pi_cache_bytes");
    static CELSIUS: Input = SENSORS.input("pi_celsius");
    static USED: Input = DISKS.input("pi_disk_used_bytes");
    static FREE: Input = DISKS.input("pi_disk_available_bytes");
    static READ_ONLY: Input = DISKS.input("pi_disk_read_only");
    static HIGHLIGHTS: Highlights = Highlights {
        cpu: &CPU,
        memory_total: &ALL,
        memory_available: &AVAILABLE,
        memory_reclaimable: &CACHE,
        temperature: &CELSIUS,
        disk_used: &USED,
        disk_available: &FREE,
        disk_read_only: &READ_ONLY,
    };

    fn table(snapshot: &Snapshot) -> String {
        let mut out = Vec::new();
        write(snapshot, &HIGHLIGHTS, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_line_up() {
        let mut snapshot = Snapshot::new();
        snapshot.register("disk", &[DISKS.head()]);
        snapshot.clear(Moment::default());
        snapshot.row(&DISKS, [b"sda\x1b[2J", b"/"], [(3_u64 << 30).into(), Value::ABSENT, 1.into()]);
        let expected = "SUMMARY\n\nDISK\n  used_bytes                             3 GiB  sda?[2J  /\n  read_only                                  1  sda?[2J  /\n";
        assert_eq!(table(&snapshot), expected);
    }

    #[test]
    fn a_summary_comes_first() {
        static RULE: RuleHead = RuleHead {
            name: "disk_full",
            summary: prose(""),
            severity: Severity::Critical,
            card: "",
            fix: prose("Tidy up"),
            event: false,
        };
        let mut snapshot = Snapshot::new();
        snapshot.register("all", &[CPUS.head(), MEMORY.head(), ZFS.head(), SENSORS.head(), DISKS.head()]);
        snapshot.clear(Moment::default());
        let gib = |number: u64| Value::from(number << 30);
        snapshot.row(&CPUS, [b"cpu0"], [90.into(), 5.into(), 5.into()]);
        snapshot.row(&CPUS, [b"total"], [Value::decimal(1255, 2), 80.into(), Value::decimal(745, 2)]);
        snapshot.row(&MEMORY, [], [gib(2 << 30), gib(1 << 29)]);
        // What ZFS gives back is available, as for the rule.
        snapshot.row(&ZFS, [], [gib(1 << 29)]);
        snapshot.row(&SENSORS, [b"ice"], [Value::signed(-5, 0)]);
        snapshot.row(&SENSORS, [b"soc"], [Value::decimal(52_160, 3)]);
        // The card that cannot fill up, a half, and what df calls three quarters.
        snapshot.row(&DISKS, [b"a", b"/cd"], [gib(1), gib(0), 1.into()]);
        snapshot.row(&DISKS, [b"b", b"/half"], [gib(1), gib(1), 0.into()]);
        snapshot.row(&DISKS, [b"c", b"/"], [gib(3), gib(1), 0.into()]);
        let numbers = "  CPU           12.6% in use\n  Memory        50% of 2048 PiB in use, 1024 PiB available\n  Temperature   52.2 °C (soc)\n  Fullest disk  75% of 4 GiB in use (/)\n\nALL\n";
        // Where nobody judged, nothing is said about findings.
        assert!(table(&snapshot).starts_with(&format!("SUMMARY\n{numbers}")), "{}", table(&snapshot));
        snapshot.verdicts = Report { findings: vec![Finding::new(&RULE)], ..Report::default() };
        assert!(table(&snapshot).starts_with(&format!("SUMMARY\n  Findings      none\n{numbers}")));
        let finding = &mut snapshot.verdicts.findings[0];
        finding.name("/", format_args!("/\x1b is full"), format_args!("97.6%"));
        finding.since = Some(0);
        let findings = "  Findings      critical: /? is full (97.6%)\n                  Tidy up\n";
        assert!(table(&snapshot).starts_with(&format!("SUMMARY\n{findings}{numbers}")), "{}", table(&snapshot));
    }
}
