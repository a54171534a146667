//! A table for people: `pi-monitor print --format table`.

use crate::model::{Row, Section, Snapshot, Unit, Value};

/// Appends a block for each collector: a line for each value, with its row's labels behind it.
pub fn write(snapshot: &Snapshot, out: &mut Vec<u8>) {
    let parts = snapshot.parts().iter().filter(|part| part.shown);
    for part in parts.filter(|part| part.sections.iter().any(|section| !section.is_empty())) {
        if !out.is_empty() {
            out.push(b'\n');
        }
        out.extend_from_slice(part.collector.as_bytes());
        out.push(b'\n');
        for section in &part.sections {
            for row in section.rows() {
                write_row(section, row, part.collector, out);
            }
        }
    }
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
            if let Some(by) = &family.by {
                out.push(b' ');
                out.extend_from_slice(by.values[place].as_bytes());
            }
            pad(out, start + 30);
            let number = out.len();
            if family.unit != Unit::Info {
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

/// A terminal must not take a name for a command: control characters become a question mark.
fn write_text(text: &str, out: &mut Vec<u8>) {
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
            out.extend_from_slice(b" %");
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
    use crate::model::{Family, Moment, Place, Table};

    static DISKS: Table<1, 2> = Table::new(
        Place::List("disks"),
        &["device"],
        &[Family::gauge("pi_disk_total_bytes", "", Unit::Bytes), Family::gauge("pi_disk_inodes", "", Unit::Count)],
    );

    #[test]
    fn values_line_up() {
        let mut snapshot = Snapshot::new();
        snapshot.register("disk", &[DISKS.head()]);
        snapshot.clear(Moment::default());
        snapshot.row(&DISKS, [b"sda\x1b[2J"], [(3_u64 << 30).into(), 5.into()]);
        let mut out = Vec::new();
        write(&snapshot, &mut out);
        let expected = "disk\n  total_bytes                            3 GiB  sda?[2J\n  inodes                                     5  sda?[2J\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
