//! `/proc/pressure`: how long threads waited for a CPU, for memory, for disks, or while interrupts were handled.
//! <https://docs.kernel.org/accounting/psi.html>
//!
//! Raspberry Pi's kernel has it switched off unless the kernel command line says `psi=1`; then there is nothing to report.

use super::{Collect, Context, Registration, Setup};
use crate::kernel::text::{lines, uint, words};
use crate::kernel::{Bad, Fault, First, Source};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;
use std::io;

pub static RESOURCES: Table<1, 2> = Table::new(
    Place::List("resources"),
    &["resource"],
    &[
        Family::counter(
            "pi_pressure_waiting_seconds_total",
            "Time during which at least one task was stalled on the resource.",
            Unit::Seconds,
        )
        .more(&More::NONE.history(&[
            Chart::first("pressure_cpu").rows(|resource| resource == "cpu"),
            Chart::first("pressure_memory").rows(|resource| resource == "memory"),
            Chart::first("pressure_io").rows(|resource| resource == "io"),
        ])),
        Family::counter(
            "pi_pressure_stalled_seconds_total",
            "Time during which all non-idle tasks were stalled on the resource at once; always 0 for the CPU.",
            Unit::Seconds,
        ),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "pressure",
    summary: prose("time lost waiting for CPU, memory and disks"),
    source: reference("/proc/pressure"),
    needs: Needs::reading("proc/pressure"),
    tables: &[RESOURCES.head()],
    flags: &[],
    new: |setup| super::boxed(Pressure::new(setup)),
};

struct Pressure {
    resources: [(&'static [u8], Source); 4],
}

impl Pressure {
    fn new(setup: &mut Setup) -> Self {
        Pressure {
            resources: [
                (b"cpu", setup.proc("pressure/cpu").in_small_records()),
                (b"memory", setup.proc("pressure/memory").in_small_records()),
                (b"io", setup.proc("pressure/io").in_small_records()),
                // From Linux 6.1 on.
                (b"irq", setup.proc("pressure/irq").in_small_records()),
            ],
        }
    }
}

impl Collect for Pressure {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let mut first = First::new();
        for (name, source) in &mut self.resources {
            match source.try_read().map(parse) {
                // As in a container whose own numbers are not to be had.
                Ok(Err(_)) if source.text().is_empty() => {}
                Ok(Ok(Totals { some, full })) => {
                    let seconds = |microseconds| Value::decimal(microseconds, 6);
                    out.row(&RESOURCES, [name], [some.map(seconds).into(), full.map(seconds).into()]);
                }
                Ok(Err(bad)) => first.note(Fault::parse(source.path(), bad)),
                Err(error) if is_off(&error) => {}
                Err(error) => first.note(Fault::read(source.path(), error)),
            }
        }
        first.result()
    }
}

/// Returns whether the kernel lacks the files, or has them but does not measure.
fn is_off(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::EOPNOTSUPP)
}

/// Microseconds since boot.
#[derive(Debug, PartialEq, Eq)]
struct Totals {
    /// Nobody reports it for interrupts: what they hold up, they hold up for all.
    some: Option<u64>,
    /// Kernels before 5.13 do not report it for the CPU.
    full: Option<u64>,
}

/// Lines such as `some avg10=0.58 avg60=0.41 avg300=0.37 total=1234567890`, the first for some threads, the second for all.
fn parse(text: &[u8]) -> Result<Totals, Bad> {
    let (mut some, mut full) = (None, None);
    for (number, line) in lines(text) {
        let mut words = words(line);
        let place = match words.next() {
            Some(b"some") => &mut some,
            Some(b"full") => &mut full,
            _ => return Err(Bad::new(number, "some or full", line)),
        };
        let total = words.find_map(|word| word.strip_prefix(b"total="));
        *place = Some(total.and_then(uint).ok_or_else(|| Bad::new(number, "total= and a number", line))?);
    }
    if some.or(full).is_none() {
        return Err(Bad::missing("a line that begins with some or full"));
    }
    Ok(Totals { some, full })
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = parse(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_files() {
        let text = b"some avg10=39.77 avg60=23.46 avg300=14.84 total=71381816
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
";
        assert_eq!(parse(text), Ok(Totals { some: Some(71_381_816), full: Some(0) }));
        // Linux 5.12 and older for the CPU.
        let text = b"some avg10=0.00 avg60=0.07 avg300=0.02 total=18446744073709551615\n";
        assert_eq!(parse(text), Ok(Totals { some: Some(u64::MAX), full: None }));
        // Of interrupts.
        let text = b"full avg10=0.00 avg60=0.00 avg300=0.00 total=8494\n";
        assert_eq!(parse(text), Ok(Totals { some: None, full: Some(8494) }));
    }

    #[test]
    fn garbage_is_named() {
        for (text, line) in [
            ("", 0),
            ("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00\n", 2),
            ("some avg10=0.00 avg60=0.00 avg300=0.00 total=-1\n", 1),
            ("some avg10=0.00 avg60=0.00 avg300=0.00 total=18446744073709551616\n", 1),
            ("some avg10=0.00 avg60=0.00 avg300=0.00\n", 1),
            ("none avg10=0.00 avg60=0.00 avg300=0.00 total=1\n", 1),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn a_kernel_that_does_not_measure_is_quiet() {
        assert!(is_off(&io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
        assert!(is_off(&io::Error::from_raw_os_error(libc::ENOENT)));
        assert!(!is_off(&io::Error::from_raw_os_error(libc::EACCES)));
    }
}
