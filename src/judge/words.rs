//! Numbers in words.

use std::fmt;

/// A number with one digit behind the point.
#[derive(Clone, Copy, Debug)]
pub struct Tenths(pub f64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round() as u64;
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

/// A number of bytes in a unit of 1024.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub f64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = self.0;
        let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].iter();
        let mut unit = units.next();
        while number >= 1000.0 && units.len() > 0 {
            number /= 1024.0;
            unit = units.next();
        }
        let unit = unit.unwrap_or(&"");
        if number < 10.0 {
            write!(f, "{} {unit}", Tenths(number))
        } else {
            write!(f, "{} {unit}", number.round() as u64)
        }
    }
}

/// A time to come, in days or hours.
#[derive(Clone, Copy, Debug)]
pub struct Ahead(pub f64);

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0;
        let (number, unit) = match days {
            1.5.. => (days, "day"),
            0.0625.. => (days * 24.0, "hour"),
            _ => ((days * 1440.0).max(1.0), "minute"),
        };
        let number = number.round() as u64;
        write!(f, "{number} {unit}{}", if number == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_words() {
        let words = [(0.0, "0.0 B"), (999.0, "999 B"), (1000.0, "1.0 KiB"), (31e9, "29 GiB"), (2e18, "1776 PiB")];
        for (number, expected) in words {
            assert_eq!(Size(number).to_string(), expected);
        }
    }

    #[test]
    fn days_and_hours_ahead() {
        let words = [
            (8.6, "9 days"),
            (1.5, "2 days"),
            (1.4, "34 hours"),
            (0.07, "2 hours"),
            (0.06, "86 minutes"),
            (0.001, "1 minute"),
            (0.0, "1 minute"),
        ];
        for (days, expected) in words {
            assert_eq!(Ahead(days).to_string(), expected);
        }
    }
}
