//! `/proc/stat`: where each CPU's time went.
//! <https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat>

use super::{Collect, Context, Registration, Setup};
use crate::kernel::text::{lines, take_uint};
use crate::kernel::{Bad, Fault, First, Shared};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;

/// How many of the kernel's modes are reported. Two more columns, guest and guest_nice, are parts of user and nice.
const MODES: usize = 8;
static MODE_NAMES: [&str; MODES] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;
const IOWAIT: usize = 4;

/// The row of all CPUs together.
const TOTAL: &str = "total";

fn is_total(cpu: &str) -> bool {
    cpu == TOTAL
}

pub static CPUS: Table<1, { 2 * MODES }> = Table::new(
    Place::List("cpus"),
    &["cpu"],
    &[
        Family::gauge(
            "pi_cpu_usage_percent",
            "Share of the last sample interval that the CPU spent in each mode; all modes sum to 100.",
            Unit::Percent,
        )
        .more(&More::NONE.by("mode", &MODE_NAMES).history(&[
            Chart::sum("cpu_user").rows(is_total).values(&["user", "nice"]),
            Chart::sum("cpu_system").rows(is_total).values(&["system"]),
            Chart::sum("cpu_iowait").rows(is_total).values(&["iowait"]),
            Chart::sum("cpu_irq").rows(is_total).values(&["irq", "softirq"]),
            Chart::sum("cpu_steal").rows(is_total).values(&["steal"]),
        ])),
        Family::counter("pi_cpu_seconds_total", "CPU time spent in each mode since boot.", Unit::Seconds)
            .more(&More::NONE.by("mode", &MODE_NAMES)),
    ],
);

/// Returns how many CPUs a snapshot holds; 1 if it does not say.
pub fn count(snapshot: &Snapshot) -> u64 {
    let rows = snapshot.locate(CPUS.head()).map_or(0, |(part, section)| snapshot.parts()[part].sections[section].len());
    rows.saturating_sub(1).max(1) as u64
}

pub static COLLECTOR: Registration = Registration {
    name: "cpu",
    summary: prose("CPU time by mode, for each CPU and in total"),
    source: reference("/proc/stat"),
    needs: Needs::reading("proc/stat"),
    tables: &[CPUS.head()],
    flags: &[],
    new: |setup| super::boxed(Cpu::new(setup)),
};

struct Cpu {
    stat: Shared,
    known: Vec<Tracked>,
    /// Counts readings, to distinguish the CPUs of the present one from those that are gone.
    reading: u64,
}

/// What is remembered of one CPU between readings.
struct Tracked {
    id: Id,
    /// The counters at the last tick (or at the first sight of this CPU): where the present interval began.
    since: Ticks,
    /// The counters last reported, to keep idle and iowait from running backwards.
    shown: Ticks,
    /// The last finished interval's shares; `None` where no time was ever counted.
    shares: Option<[u16; MODES]>,
    seen: u64,
}

impl Cpu {
    fn new(setup: &mut Setup) -> Self {
        Cpu { stat: setup.shared_proc("stat"), known: Vec::new(), reading: 0 }
    }

    /// Reads `/proc/stat`, brings `known` up to date and hands every CPU with its place in `known` to `each`.
    fn read(&mut self, context: &Context<'_>, mut each: impl FnMut(&mut Tracked, &Line<'_>)) -> Result<(), Fault> {
        let Cpu { stat, known, reading } = self;
        *reading += 1;
        let text = stat.read(context.moment)?;
        let mut first = First::new();
        let mut place = 0;
        for line in parse(&text) {
            let Some(line) = first.keep(line) else { continue };
            // The kernel lists CPUs in the same order every time, so the next one known is nearly always the right one.
            if known.get(place).is_none_or(|tracked| tracked.id != line.id) {
                place = known.iter().position(|tracked| tracked.id == line.id).unwrap_or_else(|| {
                    known.push(Tracked::new(&line));
                    known.len() - 1
                });
            }
            known[place].seen = *reading;
            each(&mut known[place], &line);
            place += 1;
        }
        // A CPU that was unplugged starts anew when it comes back.
        known.retain(|tracked| tracked.seen == *reading);
        if known.is_empty() {
            first.note(Bad::missing("a line that begins with cpu"));
        }
        first.result().map_err(|bad| Fault::parse(&stat.path(), bad))
    }
}

impl Collect for Cpu {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let ends = context.tick;
        self.read(context, |tracked, line| {
            let interval = if ends { shares(&tracked.since, &line.ticks) } else { None };
            if interval.is_some() {
                (tracked.shares, tracked.since) = (interval, line.ticks);
            }
            let shown = steady(&tracked.shown, &line.ticks);
            tracked.shown = shown;
            let mut values = [Value::ABSENT; 2 * MODES];
            let (usage, seconds) = values.split_at_mut(MODES);
            if let Some(shares) = &tracked.shares {
                for (value, share) in usage.iter_mut().zip(shares) {
                    *value = Value::decimal(u64::from(*share), 2);
                }
            }
            // No seconds for the total: summing over all CPUs would count everything twice.
            if line.id != Id::Total {
                for (value, ticks) in seconds.iter_mut().zip(&shown) {
                    *value = Value::decimal(*ticks, 2);
                }
            }
            out.row(&CPUS, [if line.id == Id::Total { TOTAL.as_bytes() } else { line.name }], values);
        })
    }
}

impl Tracked {
    /// Creates a CPU seen for the first time: its shares are those since boot until an interval has passed.
    fn new(line: &Line<'_>) -> Self {
        Tracked { id: line.id, since: line.ticks, shown: line.ticks, shares: shares(&[0; MODES], &line.ticks), seen: 0 }
    }
}

/// Counters in USER_HZ, which is 100 to a second on every architecture that Pi-Monitor runs on.
type Ticks = [u64; MODES];

/// Returns each mode's share of the time between two readings, in hundredths of a percent that sum to exactly 10,000; `None` if no
/// time passed.
///
/// A counter that ran backwards counts as one that stood still (the kernel's idle and iowait do so now and then). What
/// rounding leaves over goes to the modes that lost most by it.
fn shares(before: &Ticks, now: &Ticks) -> Option<[u16; MODES]> {
    const WHOLE: u64 = 10_000;
    let mut deltas: Ticks = std::array::from_fn(|mode| now[mode].saturating_sub(before[mode]));
    // Eight deltas of at most 47 bits, times 10,000, fit 64 bits; only a garbled file has larger ones.
    let bits = u64::BITS - deltas.iter().fold(0, |all, delta| all | delta).leading_zeros();
    let shift = bits.saturating_sub(47);
    deltas = deltas.map(|delta| delta >> shift);
    let total: u64 = deltas.iter().sum();
    if total == 0 {
        return None;
    }
    let mut shares = deltas.map(|delta| (delta * WHOLE / total) as u16);
    let mut remainders = deltas.map(|delta| delta * WHOLE % total);
    let left = WHOLE - shares.iter().map(|&share| u64::from(share)).sum::<u64>();
    for _ in 0..left {
        let mode = (0..MODES).max_by_key(|&mode| remainders[mode]).unwrap_or(IDLE);
        shares[mode] += 1;
        remainders[mode] = 0;
    }
    Some(shares)
}

/// `now`, but with idle and iowait held where they were if they ran backwards a little, as the kernel lets them: a counter
/// that shrinks looks like a restart to Prometheus and would show as a spike.
///
/// A large step back is a real restart of the counters and is reported as it is.
fn steady(shown: &Ticks, now: &Ticks) -> Ticks {
    const LITTLE: u64 = 300;
    let mut steady = *now;
    for mode in [IDLE, IOWAIT] {
        if now[mode] < shown[mode] && shown[mode] - now[mode] <= LITTLE {
            steady[mode] = shown[mode];
        }
    }
    steady
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Total,
    Core(u64),
}

#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    id: Id,
    name: &'a [u8],
    ticks: Ticks,
}

/// Returns the CPU lines, such as `cpu0 489 0 317 43066 5 0 1 1 0 0`: user, nice, system, idle and, from Linux 2.6 on, iowait, irq,
/// softirq, steal, guest, guest_nice. They come first in the file; what follows takes the kernel the longest to write and
/// is left alone here.
fn parse(text: &[u8]) -> impl Iterator<Item = Result<Line<'_>, Bad>> {
    lines(text).map_while(|(number, line)| {
        let after = line.strip_prefix(b"cpu")?;
        Some(parse_line(line, after).ok_or_else(|| Bad::new(number, "cpu, its number and 4 or more counters", line)))
    })
}

#[cfg_attr(small, optimize(speed))]
fn parse_line<'a>(line: &'a [u8], after: &'a [u8]) -> Option<Line<'a>> {
    let (id, mut rest) = match after {
        [b' ', ..] | [] => (Id::Total, after),
        _ => {
            let mut rest = after;
            (Id::Core(take_uint(&mut rest)?), rest)
        }
    };
    let name = &line[..line.len() - rest.len()];
    let mut ticks = [0; MODES];
    for (mode, counter) in ticks.iter_mut().enumerate() {
        match take_uint(&mut rest) {
            Some(ticks) => *counter = ticks,
            None if mode > IDLE && rest.trim_ascii().is_empty() => break,
            None => return None,
        }
    }
    Some(Line { id, name, ticks })
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    parse(text).for_each(drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines() {
        let text =
            b"cpu  1322 0 785 85468 119 0 7 6 0 0\ncpu0 489 0 317 43066 5 0 1 1 0 0\nintr 78653 0\ncpu9 nonsense\n";
        let lines: Vec<_> = parse(text).map(Result::unwrap).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], Line { id: Id::Total, name: b"cpu", ticks: [1322, 0, 785, 85468, 119, 0, 7, 6] });
        assert_eq!(lines[1], Line { id: Id::Core(0), name: b"cpu0", ticks: [489, 0, 317, 43066, 5, 0, 1, 1] });
    }

    #[test]
    fn old_kernels_have_fewer_columns() {
        let lines: Vec<_> = parse(b"cpu 1 2 3 4\n").collect();
        assert_eq!(lines[0].as_ref().unwrap().ticks, [1, 2, 3, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn one_bad_column_is_an_error_for_that_line_alone() {
        for bad in ["cpu0 1 2 3", "cpu0 1 2 x 4 5 6 7 8", "cpux 1 2 3 4", "cpu0 1 2 3 4 -5", "cpu"] {
            let text = format!("{bad}\ncpu1 1 2 3 4\n");
            let lines: Vec<_> = parse(text.as_bytes()).collect();
            assert_eq!(lines[0].as_ref().unwrap_err().line, 1, "{bad}");
            assert_eq!(lines[1].as_ref().unwrap().ticks[..4], [1, 2, 3, 4]);
        }
    }

    #[test]
    fn shares_sum_to_100_percent_whatever_the_counters_say() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> ((state >> 58) % 64)
        };
        for _ in 0..20_000 {
            let (before, now) = (std::array::from_fn(|_| next()), std::array::from_fn(|_| next()));
            if let Some(shares) = shares(&before, &now) {
                assert_eq!(shares.iter().map(|&share| u32::from(share)).sum::<u32>(), 10_000, "{before:?} {now:?}");
            }
        }
        assert_eq!(shares(&[u64::MAX; 8], &[0; 8]), None);
        assert_eq!(shares(&[0; 8], &[u64::MAX; 8]), Some([1250; 8]));
    }

    #[test]
    fn shares_are_those_of_the_interval() {
        let before = [100, 0, 50, 1000, 10, 0, 0, 0];
        let now = [150, 0, 75, 1120, 15, 0, 0, 0];
        assert_eq!(shares(&before, &now), Some([2500, 0, 1250, 6000, 250, 0, 0, 0]));
        // A third each: the hundredth that is left over is not lost.
        assert_eq!(shares(&[0; 8], &[1, 1, 1, 0, 0, 0, 0, 0]).unwrap()[..3].iter().sum::<u16>(), 10_000);
    }

    #[test]
    fn backwards_counters_stand_still() {
        let before = [100, 0, 50, 1000, 10, 0, 0, 0];
        let now = [110, 0, 60, 1080, 5, 0, 0, 0];
        assert_eq!(shares(&before, &now), Some([1000, 0, 1000, 8000, 0, 0, 0, 0]));
        assert_eq!(shares(&now, &now), None);
        assert_eq!(steady(&before, &now)[IOWAIT], 10);
        assert_eq!(steady(&[0, 0, 0, 10_000, 0, 0, 0, 0], &now)[IDLE], 1080);
    }
}
