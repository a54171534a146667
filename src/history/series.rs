//! The series that are kept, and the way of a family's values into them.

use crate::model::{Chart, Kind, Unit, Value};

/// The smallest difference that a series of some unit keeps.
#[derive(Clone, Copy, Debug)]
pub struct Grain {
    /// The unit's name in `/history`.
    pub name: &'static str,
    /// How many grains one unit holds.
    pub per_unit: f64,
    /// One grain, exactly.
    pub value: Value,
    /// Added to every value, in grains: for units whose values may be below zero.
    pub offset: u64,
}

impl Grain {
    /// Returns the grain of a unit, or of its rate.
    pub const fn of(unit: Unit, rate: bool) -> Grain {
        let (name, per_unit, value, offset) = match (unit, rate) {
            (Unit::Percent, _) | (Unit::Seconds, true) => ("percent", 1e2, Value::decimal(1, 2), 0),
            (Unit::Bytes, false) => ("bytes", 1.0, Value::decimal(1, 0), 0),
            (Unit::Bytes, true) => ("bytes_per_second", 1.0, Value::decimal(1, 0), 0),
            (Unit::Celsius, _) => ("celsius", 1e1, Value::decimal(1, 1), 1000),
            (Unit::Hertz, _) => ("hertz", 1e-6, Value::decimal(1_000_000, 0), 0),
            (Unit::Days, _) => ("days", 1e2, Value::decimal(1, 2), 0),
            (Unit::Seconds, false) => ("seconds", 1e3, Value::decimal(1, 3), 0),
            (Unit::Volts, _) => ("volts", 1e3, Value::decimal(1, 3), 0),
            (Unit::Amperes, _) => ("amperes", 1e3, Value::decimal(1, 3), 0),
            (Unit::Watts, _) => ("watts", 1e3, Value::decimal(1, 3), 0),
            (Unit::Ratio, _) => ("ratio", 1e3, Value::decimal(1, 3), 0),
            (Unit::Count | Unit::Info, false) => ("count", 1e2, Value::decimal(1, 2), 0),
            (Unit::Count | Unit::Info, true) => ("count_per_second", 1e2, Value::decimal(1, 2), 0),
        };
        Grain { name, per_unit, value, offset }
    }
}

#[derive(Debug)]
pub struct Series {
    pub name: &'static str,
    pub unit: Unit,
    pub grain: Grain,
    pub peak: bool,
    /// Whether there ever was a value: what the machine lacks is omitted.
    pub seen: bool,
    /// The value of the present tick.
    pub now: Option<f64>,
}

/// The way of a family's values into a series.
#[derive(Debug)]
pub struct Feed {
    pub chart: &'static Chart,
    pub series: usize,
    /// Which part and section of the snapshot.
    pub part: usize,
    pub section: usize,
    /// The column that is 1 in the rows that count.
    pub only: Option<usize>,
    /// Which columns, as bits from `column` on.
    pub column: usize,
    pub wanted: u32,
    pub kind: Kind,
    pub unit: Unit,
}
