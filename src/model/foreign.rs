//! Families that other programs made and the agent passes on.

/// All of them, in the order of the outputs.
#[derive(Debug, Default)]
pub struct Foreign {
    pub families: Vec<ForeignFamily>,
}

/// One family of another program. No name in it occurs in another family, of the agent's or of others.
#[derive(Debug, Default)]
pub struct ForeignFamily {
    pub name: Vec<u8>,
    /// As the text format calls it: `untyped` if the program did not declare it.
    pub kind: &'static str,
    /// UTF-8, with the escapes of the text format.
    pub help: Vec<u8>,
    /// One line for each sample, `sizes_bucket{disk="a",le="1"} 3`, in UTF-8: labels sorted by name, with the escapes of the text
    /// format; the value as JSON spells numbers, or `NaN`, `+Inf`, `-Inf`.
    pub samples: Vec<u8>,
    /// Whether OpenMetrics allows these samples to be of this kind.
    pub is_exact: bool,
}

/// What the samples of histograms and summaries add to the family's name.
pub const PARTS: [&str; 4] = ["", "_bucket", "_sum", "_count"];

impl ForeignFamily {
    /// Returns the lines of the samples, without their newlines.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.samples.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
    }

    /// Splits a line of the samples: what its name adds to the family's, the labels between the braces, and the value.
    pub fn split<'a>(&self, line: &'a [u8]) -> (&'a [u8], &'a [u8], &'a [u8]) {
        let end = line.iter().rposition(|&byte| byte == b' ').unwrap_or(0);
        let (series, value) = (&line[self.name.len().min(end)..end], &line[end + 1..]);
        let open = series.iter().position(|&byte| byte == b'{').unwrap_or(series.len());
        let (part, labels) = series.split_at(open);
        (part, labels.get(1..labels.len().saturating_sub(1)).unwrap_or_default(), value)
    }
}

/// Takes the first label from the front of `labels`: its name, and its value with the escapes.
pub fn take_label<'a>(labels: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let equals = labels.iter().position(|&byte| byte == b'=')?;
    let (name, quoted) = (&labels[..equals], labels.get(equals + 2..)?);
    let mut end = 0;
    while *quoted.get(end)? != b'"' {
        end += if quoted[end] == b'\\' { 2 } else { 1 };
    }
    *labels = quoted.get(end + 2..).unwrap_or_default();
    Some((name, &quoted[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_apart() {
        let family = ForeignFamily {
            name: b"a".to_vec(),
            samples: b"a 1\na{b=\"} = \\\"\\\\\",c=\"\"} 2\na_sum NaN\n".to_vec(),
            ..ForeignFamily::default()
        };
        let lines: Vec<_> = family.lines().map(|line| family.split(line)).collect();
        let [plain, (part, mut labels, value), sum] = lines[..] else { panic!("{lines:?}") };
        assert_eq!((plain, sum), ((&b""[..], &b""[..], &b"1"[..]), (&b"_sum"[..], &b""[..], &b"NaN"[..])));
        assert_eq!((part, value), (&b""[..], &b"2"[..]));
        assert_eq!(take_label(&mut labels), Some((&b"b"[..], &b"} = \\\"\\\\"[..])));
        assert_eq!(take_label(&mut labels), Some((&b"c"[..], &b""[..])));
        assert_eq!(take_label(&mut labels), None);
    }
}
