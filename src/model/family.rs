//! What a metric is: its name, help, kind and unit, and what history keeps of it.

use super::{Prose, prose};

/// How a value behaves over time, as Prometheus names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the counted thing starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Nobody says.
    Untyped,
}

impl Kind {
    /// Returns the word in `# TYPE`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Untyped => "untyped",
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
    Days,
    Hertz,
    Volts,
    Amperes,
    Watts,
}

impl Unit {
    /// Returns the suffix that a family of this unit carries in its name (before `_total`), empty for plain numbers.
    pub const fn suffix(self) -> &'static str {
        match self {
            Unit::Count => "",
            Unit::Info => "info",
            Unit::Bytes => "bytes",
            Unit::Seconds => "seconds",
            Unit::Percent => "percent",
            Unit::Ratio => "ratio",
            Unit::Celsius => "celsius",
            Unit::Days => "days",
            Unit::Hertz => "hertz",
            Unit::Volts => "volts",
            Unit::Amperes => "amperes",
            Unit::Watts => "watts",
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

/// A series that history keeps, as part of the family that it is made of.
///
/// A gauge is kept as it is. A counter becomes a rate for each row; one of seconds becomes the percentage of time that it counts.
/// Families that name the same series all feed it.
#[derive(Debug)]
pub struct Chart {
    pub series: &'static str,
    pub combine: Combine,
    /// Whether a row counts, by its first label's text (empty if the table has no labels).
    pub rows: fn(&str) -> bool,
    /// A family of the same table that is 1 in the rows that count; all do without one.
    pub only: Option<&'static str>,
    /// Which values of the family's dimension count; all if empty.
    pub values: &'static [&'static str],
    /// Whether coarse steps keep the largest value of their time instead of the average, as is right for states.
    pub peak: bool,
}

impl Chart {
    const fn new(series: &'static str, combine: Combine) -> Self {
        Chart { series, combine, rows: |_| true, only: None, values: &[], peak: false }
    }

    /// Returns the sum of all that counts.
    pub const fn sum(series: &'static str) -> Self {
        Chart::new(series, Combine::Sum)
    }

    /// Returns the largest of all that counts.
    pub const fn max(series: &'static str) -> Self {
        Chart::new(series, Combine::Max)
    }

    /// Returns the first of all that counts.
    pub const fn first(series: &'static str) -> Self {
        Chart::new(series, Combine::First)
    }

    /// Only rows whose first label `wanted` agrees to.
    pub const fn rows(mut self, wanted: fn(&str) -> bool) -> Self {
        self.rows = wanted;
        self
    }

    /// Only rows in which this family of the same table is 1.
    pub const fn only(mut self, family: &'static str) -> Self {
        self.only = Some(family);
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

/// What few families have.
#[derive(Debug)]
pub struct More {
    by: Option<Dimension>,
    charts: &'static [Chart],
}

impl More {
    pub const NONE: More = More { by: None, charts: &[] };

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
}

/// What every output knows about a metric; said once, in the collector's file.
#[derive(Debug)]
pub struct Family {
    /// Its name, and in the next line its help: the build script takes them out of the source, in front of each other.
    name: Prose,
    #[cfg(test)]
    help: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    more: &'static More,
}

impl Family {
    /// Returns a value that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str, unit: Unit) -> Self {
        Family::new(name, help, unit, Kind::Gauge)
    }

    /// Returns a value that only grows; the name ends in `_total`.
    pub const fn counter(name: &'static str, help: &'static str, unit: Unit) -> Self {
        Family::new(name, help, unit, Kind::Counter)
    }

    const fn new(name: &'static str, help: &'static str, unit: Unit, kind: Kind) -> Self {
        let _ = help;
        Family {
            name: prose(name),
            #[cfg(test)]
            help,
            kind,
            unit,
            more: &More::NONE,
        }
    }

    /// Adds what few families have.
    pub const fn more(mut self, more: &'static More) -> Self {
        self.more = more;
        self
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name.text()
    }

    /// Whether this is its name, for declarations.
    pub const fn is(&self, name: &'static str) -> bool {
        self.name.is(name)
    }

    /// Returns its help.
    pub fn help(&self) -> &'static str {
        #[cfg(test)]
        return self.help;
        #[cfg(not(test))]
        self.name.next()
    }

    /// Returns the label that splits it.
    pub const fn by(&self) -> Option<&'static Dimension> {
        self.more.by.as_ref()
    }

    /// Returns what history keeps of it.
    pub const fn charts(&self) -> &'static [Chart] {
        self.more.charts
    }

    /// Returns how many values one row holds for this family.
    pub const fn width(&self) -> usize {
        match self.by() {
            Some(dimension) => dimension.values.len(),
            None => 1,
        }
    }

    /// Returns the key in JSON: the name without `pi_`, without the collector's name and without `_total`, since the
    /// surrounding object says the former and nobody says the latter.
    pub fn key(&self, collector: &str) -> &'static str {
        let name = self.name().strip_prefix("pi_").unwrap_or(self.name());
        // `services` has `pi_services_left_out` and `pi_service_tasks`.
        let rest = name.strip_prefix(collector).or_else(|| name.strip_prefix(collector.strip_suffix('s')?));
        let name = rest.and_then(|rest| rest.strip_prefix('_')).unwrap_or(name);
        if self.kind == Kind::Counter { name.strip_suffix("_total").unwrap_or(name) } else { name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_drop_what_the_surrounding_object_says() {
        let key = |family: Family, collector| family.key(collector);
        assert_eq!(key(Family::counter("pi_network_receive_bytes_total", "", Unit::Bytes), "network"), "receive_bytes");
        assert_eq!(key(Family::gauge("pi_memory_total_bytes", "", Unit::Bytes), "memory"), "total_bytes");
        assert_eq!(key(Family::gauge("pi_load_average", "", Unit::Count), "system"), "load_average");
        assert_eq!(key(Family::gauge("pi_services_left_out", "", Unit::Count), "services"), "left_out");
        assert_eq!(key(Family::gauge("pi_service_tasks", "", Unit::Count), "services"), "tasks");
        assert_eq!(key(Family::gauge("process_open_fds", "", Unit::Count), "agent"), "process_open_fds");
    }
}
