//! The vocabulary: families, the tables they live in, and values.
//!
//! A collector declares one [`Table`] for each kind of thing it sees (interfaces, mounts, CPUs …). The table's columns
//! are metric [`Family`]s, its rows are the things, and every output is derived from it: Prometheus text walks it column by
//! column, JSON row by row, the metrics reference reads its head only.

use std::fmt;

/// How a value behaves over time, as Prometheus names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the counted thing starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    /// The word in `# TYPE`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

/// The base unit of a value; part of the family's name wherever it is one that Prometheus names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things, or a state as 0 and 1.
    Count,
    /// Always 1: the labels are the content.
    Info,
    Bytes,
    Seconds,
    Percent,
    Ratio,
    Celsius,
    Hertz,
    Volts,
}

impl Unit {
    /// The suffix that a family of this unit carries in its name (before `_total`), empty for plain numbers.
    pub const fn suffix(self) -> &'static str {
        match self {
            Unit::Count => "",
            Unit::Info => "info",
            Unit::Bytes => "bytes",
            Unit::Seconds => "seconds",
            Unit::Percent => "percent",
            Unit::Ratio => "ratio",
            Unit::Celsius => "celsius",
            Unit::Hertz => "hertz",
            Unit::Volts => "volts",
        }
    }
}

/// A label whose values are known beforehand (CPU modes, load periods): the family holds one value for each of them.
#[derive(Debug)]
pub struct Dimension {
    pub label: &'static str,
    pub values: &'static [&'static str],
}

/// How the values of several rows, dimension values or families become the one value of a [`Chart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// They are added.
    Sum,
    /// The largest counts.
    Max,
    /// The first counts, in the order of rows.
    First,
}

/// A series that [`history`](crate::history) keeps, as part of the family that it is made of.
///
/// A gauge is kept as it is. A counter becomes a rate for each row; one of seconds becomes the percentage of time that it counts.
/// Families that name the same series all feed it.
#[derive(Debug)]
pub struct Chart {
    pub series: &'static str,
    pub combine: Combine,
    /// Whether a row counts, by its first label's text (empty if the table has no labels).
    pub rows: fn(&str) -> bool,
    /// Which values of the family's dimension count; all if empty.
    pub values: &'static [&'static str],
    /// Whether coarse steps keep the largest value of their time instead of the average, as is right for states.
    pub peak: bool,
}

impl Chart {
    const fn new(series: &'static str, combine: Combine) -> Self {
        Chart { series, combine, rows: |_| true, values: &[], peak: false }
    }

    /// The sum of all that counts.
    pub const fn sum(series: &'static str) -> Self {
        Chart::new(series, Combine::Sum)
    }

    /// The largest of all that counts.
    pub const fn max(series: &'static str) -> Self {
        Chart::new(series, Combine::Max)
    }

    /// The first of all that counts.
    pub const fn first(series: &'static str) -> Self {
        Chart::new(series, Combine::First)
    }

    /// Only rows whose first label `wanted` agrees to.
    pub const fn rows(mut self, wanted: fn(&str) -> bool) -> Self {
        self.rows = wanted;
        self
    }

    /// Only these values of the family's dimension.
    pub const fn values(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }

    /// Coarse steps keep the largest value.
    pub const fn peak(mut self) -> Self {
        self.peak = true;
        self
    }
}

/// What every output knows about a metric; said once, in the collector's file.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub by: Option<Dimension>,
    /// What history keeps of it.
    pub charts: &'static [Chart],
}

impl Family {
    /// A value that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str, unit: Unit) -> Self {
        Family { name, help, kind: Kind::Gauge, unit, by: None, charts: &[] }
    }

    /// A value that only grows; the name ends in `_total`.
    pub const fn counter(name: &'static str, help: &'static str, unit: Unit) -> Self {
        Family { name, help, kind: Kind::Counter, unit, by: None, charts: &[] }
    }

    /// Splits the family by a label with fixed values; it then takes one value for each of them.
    pub const fn by(mut self, label: &'static str, values: &'static [&'static str]) -> Self {
        self.by = Some(Dimension { label, values });
        self
    }

    /// Keeps the family in the agent's memory, as these series.
    pub const fn history(mut self, charts: &'static [Chart]) -> Self {
        self.charts = charts;
        self
    }

    /// How many values one row holds for this family.
    pub const fn width(&self) -> usize {
        match &self.by {
            Some(dimension) => dimension.values.len(),
            None => 1,
        }
    }

    /// The key in JSON: the name without `pi_`, without the collector's name and without `_total`, since the
    /// surrounding object says the former and nobody says the latter.
    pub fn key(&self, collector: &str) -> &'static str {
        let name = self.name.strip_prefix("pi_").unwrap_or(self.name);
        let name = name.strip_prefix(collector).and_then(|rest| rest.strip_prefix('_')).unwrap_or(name);
        if self.kind == Kind::Counter { name.strip_suffix("_total").unwrap_or(name) } else { name }
    }
}

/// Where a table's rows stand in the JSON object of its collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At most one row, whose values (and labels) are keys of the collector's own object.
    Inline,
    /// At most one row, in an object of this name.
    Object(&'static str),
    /// Any number of rows, in an array of this name.
    List(&'static str),
    /// Not there: JSON tells it in another way.
    Elsewhere,
}

/// The head of a table: everything about it but its rows.
#[derive(Debug)]
pub struct Head {
    pub place: Place,
    pub labels: &'static [&'static str],
    pub families: &'static [Family],
    /// Values in a row: the widths of all families together.
    pub width: usize,
}

/// A [`Head`] that knows its shape as a type, so that a row with too few or too many labels or values does not compile.
#[derive(Debug)]
pub struct Table<const LABELS: usize, const VALUES: usize>(Head);

impl<const LABELS: usize, const VALUES: usize> Table<LABELS, VALUES> {
    /// A table with these labels and families. Its declaration does not compile if the families' widths do not add up
    /// to `VALUES`.
    pub const fn new(place: Place, labels: &'static [&'static str; LABELS], families: &'static [Family]) -> Self {
        let mut width = 0;
        let mut i = 0;
        while i < families.len() {
            width += families[i].width();
            i += 1;
        }
        assert!(width == VALUES, "the families' widths do not add up to VALUES");
        Table(Head { place, labels, families, width })
    }

    /// The table without its shape.
    pub const fn head(&self) -> &Head {
        &self.0
    }
}

/// A number as the kernel prints it: digits with a decimal point somewhere, or nothing at all.
///
/// Kernel files hold integers and short decimals, never binary fractions. Keeping the digits makes output exact
/// (`0.1` stays `0.1`) and needs no floating-point formatting, which is slow on small cores and large in the binary.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value {
    digits: u64,
    places: u8,
    negative: bool,
    present: bool,
}

impl Value {
    /// The most bytes that a number takes as text.
    pub const LONGEST: usize = 24;
    /// The most places behind the point.
    const MOST_PLACES: u8 = 20;

    /// No value: the sample is left out of every output.
    pub const ABSENT: Value = Value { digits: 0, places: 0, negative: false, present: false };

    /// `digits` divided by 10 to the power of `places`, which are 20 at most.
    pub const fn decimal(digits: u64, places: u8) -> Self {
        debug_assert!(places <= Value::MOST_PLACES);
        Value { digits, places, negative: false, present: true }
    }

    /// Like [`Value::decimal`] for numbers that may be below zero.
    pub const fn signed(digits: i64, places: u8) -> Self {
        debug_assert!(places <= Value::MOST_PLACES);
        Value { digits: digits.unsigned_abs(), places, negative: digits < 0, present: true }
    }

    /// A span of time in seconds, to the microsecond.
    pub fn seconds(span: std::time::Duration) -> Self {
        Value::decimal(u64::try_from(span.as_micros()).unwrap_or(u64::MAX), 6)
    }

    /// The number `factor` times; stays at the largest one that fits.
    pub const fn times(self, factor: u64) -> Self {
        Value { digits: self.digits.saturating_mul(factor), ..self }
    }

    /// Whether there is a number.
    pub const fn is_present(self) -> bool {
        self.present
    }

    /// The nearest floating-point number, for charts; `None` if absent.
    pub fn to_f64(self) -> Option<f64> {
        const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
        let power = POWERS.get(usize::from(self.places)).copied().unwrap_or(1e9);
        let magnitude = self.digits as f64 / power;
        self.present.then_some(if self.negative { -magnitude } else { magnitude })
    }

    /// Appends the number as decimal text, without trailing zeros behind the point; nothing if absent.
    pub fn write(self, out: &mut Vec<u8>) {
        if self.present {
            let mut text = [0; Value::LONGEST];
            let length = self.put(&mut text);
            out.extend_from_slice(&text[..length]);
        }
    }

    /// Puts the number's text in front of `out`, and anything behind it. Returns the text's length.
    pub fn put(self, out: &mut [u8; Value::LONGEST]) -> usize {
        // Most errors, drops and shares are zero.
        if self.digits == 0 {
            out[0] = b'0';
            return 1;
        }
        let (mut digits, mut places) = (self.digits, self.places);
        while places > 0 && digits % 10 == 0 {
            digits /= 10;
            places -= 1;
        }
        // The text ends in the middle, so that what is copied always has the same length, which takes the fewest instructions.
        let mut text = [0; 2 * Value::LONGEST];
        let mut at = Value::LONGEST;
        if places > 0 {
            for _ in 0..places {
                at -= 1;
                text[at] = b'0' + (digits % 10) as u8;
                digits /= 10;
            }
            at -= 1;
            text[at] = b'.';
        }
        while digits >= 100 {
            at -= 2;
            text[at..at + 2].copy_from_slice(&PAIRS[(digits % 100) as usize]);
            digits /= 100;
        }
        if digits >= 10 {
            at -= 2;
            text[at..at + 2].copy_from_slice(&PAIRS[digits as usize]);
        } else {
            at -= 1;
            text[at] = b'0' + digits as u8;
        }
        if self.negative {
            at -= 1;
            text[at] = b'-';
        }
        out.copy_from_slice(&text[at..at + Value::LONGEST]);
        Value::LONGEST - at
    }
}

/// The numbers from 0 to 99 as text.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write(&mut text);
        f.write_str(if self.present { std::str::from_utf8(&text).unwrap_or("?") } else { "absent" })
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::decimal(number, 0)
    }
}

impl From<bool> for Value {
    fn from(state: bool) -> Self {
        Value::decimal(u64::from(state), 0)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::ABSENT, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Value) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_print_as_the_shortest_exact_decimal() {
        for (value, expected) in [
            (Value::decimal(0, 0), "0"),
            (Value::decimal(0, 2), "0"),
            (Value::decimal(5, 2), "0.05"),
            (Value::decimal(50, 2), "0.5"),
            (Value::decimal(100, 2), "1"),
            (Value::decimal(12_345, 3), "12.345"),
            (Value::decimal(10, 0), "10"),
            (Value::decimal(100, 0), "100"),
            (Value::decimal(1_002_003, 2), "10020.03"),
            (Value::decimal(1_000_000, 0), "1000000"),
            (Value::decimal(1, 9), "0.000000001"),
            (Value::decimal(u64::MAX, 0), "18446744073709551615"),
            (Value::decimal(u64::MAX, 2), "184467440737095516.15"),
            (Value::decimal(7, 19), "0.0000000000000000007"),
            (Value::decimal(u64::MAX, 20), "0.18446744073709551615"),
            (Value::signed(-7, 20), "-0.00000000000000000007"),
            (Value::signed(-61, 0), "-61"),
            (Value::signed(-5, 1), "-0.5"),
            (Value::signed(0, 1), "0"),
            (Value::signed(i64::MIN, 0), "-9223372036854775808"),
            (Value::ABSENT, ""),
        ] {
            assert_eq!(text(value), expected, "{value:?}");
        }
    }

    #[test]
    fn values_read_back_as_the_number_they_came_from() {
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (digits, places) = (state >> (state % 64), (state >> 32) as u8 % 10);
            let printed = text(Value::decimal(digits, places));
            let expected = digits as f64 / 10_f64.powi(i32::from(places));
            let got: f64 = printed.parse().unwrap();
            assert!((got - expected).abs() <= expected * 1e-15, "{digits} {places}: {printed}");
            assert!((Value::decimal(digits, places).to_f64().unwrap() - expected).abs() <= expected * 1e-15);
        }
    }

    #[test]
    fn keys_drop_what_the_surrounding_object_says() {
        let key = |family: Family, collector| family.key(collector);
        assert_eq!(key(Family::counter("pi_network_receive_bytes_total", "", Unit::Bytes), "network"), "receive_bytes");
        assert_eq!(key(Family::gauge("pi_memory_total_bytes", "", Unit::Bytes), "memory"), "total_bytes");
        assert_eq!(key(Family::gauge("pi_load_average", "", Unit::Count), "system"), "load_average");
        assert_eq!(key(Family::gauge("process_open_fds", "", Unit::Count), "agent"), "process_open_fds");
    }
}
