//! The agent itself: `/proc/self/stat`, `/proc/self/limits`, `/proc/self/fd`, and how its collectors fare.
//! <https://docs.kernel.org/filesystems/proc.html#process-specific-subdirectories>
//!
//! The `process_` families have the names that every Prometheus client library uses.

use super::{Collect, Context, Registration, Setup, Summary};
use crate::kernel::text::{lines, uint, words};
use crate::kernel::{Bad, Fault, First, Shared, Source};
use crate::model::{Family, More, OUTCOMES, Place, Snapshot, Table, Unit, Value, kinds, prose, reference};
use crate::runtime::sandbox::{self, Needs};
use crate::runtime::traffic::{self, REASONS};
use crate::sys::{self, Directory};
use std::path::{Path, PathBuf};

static VERDICTS: Table<1, 1> = Table::new(
    Place::Elsewhere("verdicts"),
    &["rule"],
    &[Family::gauge("pi_verdict", "1 while this rule is firing, 0 otherwise.", Unit::Count)],
);

/// Not of [`Unit::Info`]: in OpenMetrics, the family would then have the name of the one above.
static VERDICT_INFO: Table<3, 1> = Table::new(
    Place::Elsewhere("verdicts"),
    &["rule", "severity", "culprit"],
    &[Family::gauge(
        "pi_verdict_info",
        "1 for each rule that is firing, with the culprit if it is known.",
        Unit::Count,
    )],
)
.of_text();

static EVENTS: Table<0, { kinds::NAMES.len() }> = Table::new(
    Place::Elsewhere("/events"),
    &[],
    &[Family::counter("pi_events_total", "Events recorded since the agent started.", Unit::Count)
        .more(&More::NONE.by("kind", kinds::NAMES))],
);

static COLLECTORS: Table<1, 2> = Table::new(
    Place::List("collectors"),
    &["collector"],
    &[
        Family::gauge("pi_collector_up", "0 if the collector failed in the last collection, 1 otherwise.", Unit::Count),
        Family::gauge(
            "pi_collector_duration_seconds",
            "Time that the collector's last collection took.",
            Unit::Seconds,
        ),
    ],
);

static NOTIFICATIONS: Table<1, { OUTCOMES.len() + 2 }> = Table::new(
    Place::List("receivers"),
    &["receiver"],
    &[
        Family::counter(
            "pi_notifications_total",
            "Messages about events, by what came of sending them; dropped are events.",
            Unit::Count,
        )
        .more(&More::NONE.by("outcome", &OUTCOMES)),
        Family::gauge("pi_notifications_waiting", "Events that wait for a receiver that is out of reach.", Unit::Count),
        Family::gauge("pi_notifications_last_seconds", "Unix time at which the last message arrived.", Unit::Seconds),
    ],
);

static PUSHES: Table<1, { OUTCOMES.len() + 2 }> = Table::new(
    Place::List("push_receivers"),
    &["receiver"],
    &[
        Family::counter("pi_pushes_total", "Collections pushed, by what came of sending them.", Unit::Count)
            .more(&More::NONE.by("outcome", &OUTCOMES)),
        Family::gauge("pi_pushes_waiting", "Collections that wait for a receiver that is out of reach.", Unit::Count),
        Family::gauge("pi_pushes_last_seconds", "Unix time at which the last collection arrived.", Unit::Seconds),
    ],
);

static BUILD: Table<2, 1> = Table::new(
    Place::Object("build"),
    &["version", "target"],
    &[Family::gauge(
        "pi_monitor_build_info",
        "Always 1; the labels are the agent's version and the architecture it was built for.",
        Unit::Info,
    )],
);

static SANDBOX: Table<1, 1> = Table::new(
    Place::List("confinement"),
    &["layer"],
    &[Family::gauge("pi_sandbox", "1 if this layer of the agent's sandbox is in force, 0 otherwise.", Unit::Count)],
);

static CONNECTIONS: Table<0, { 1 + REASONS.len() }> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge("pi_monitor_connections", "Open client connections to the agent.", Unit::Count),
        Family::counter(
            "pi_monitor_refused_total",
            "Connections dropped and requests refused by the agent.",
            Unit::Count,
        )
        .more(&More::NONE.by("reason", &REASONS)),
    ],
);

static PROCESS: Table<0, 7> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::counter("process_cpu_seconds_total", "CPU time used by the agent, user and system.", Unit::Seconds),
        Family::gauge("process_resident_memory_bytes", "Resident memory of the agent.", Unit::Bytes),
        Family::gauge("process_virtual_memory_bytes", "Virtual memory of the agent.", Unit::Bytes),
        Family::gauge("process_threads", "Threads of the agent.", Unit::Count),
        Family::gauge("process_open_fds", "Open file descriptors of the agent.", Unit::Count),
        Family::gauge("process_max_fds", "Maximum number of open file descriptors of the agent.", Unit::Count),
        Family::gauge("process_start_time_seconds", "Unix time at which the agent started.", Unit::Seconds),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "agent",
    summary: prose("the agent's own state and cost"),
    source: reference("/proc/self/stat, /proc/self/limits, /proc/self/fd"),
    needs: Needs::reading("proc/self/stat proc/self/limits proc/self/fd proc/stat"),
    tables: &[
        VERDICTS.head(),
        VERDICT_INFO.head(),
        EVENTS.head(),
        NOTIFICATIONS.head(),
        PUSHES.head(),
        COLLECTORS.head(),
        BUILD.head(),
        CONNECTIONS.head(),
        SANDBOX.head(),
        PROCESS.head(),
    ],
    flags: &[],
    new: |setup| super::boxed(Agent::new(setup)),
};

struct Agent {
    own: Source,
    boot: Shared,
    limits: Source,
    descriptors: PathBuf,
    directory: Option<Directory>,
    page_size: u64,
}

impl Agent {
    fn new(setup: &mut Setup) -> Self {
        Agent {
            own: setup.proc("self/stat").in_small_records(),
            boot: setup.shared_proc("stat"),
            limits: setup.proc("self/limits").in_small_records(),
            descriptors: setup.roots.proc.join("self/fd"),
            directory: None,
            page_size: sys::page_size(),
        }
    }
}

impl Collect for Agent {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Agent { own, boot, limits, descriptors, directory, page_size } = self;
        out.row(&BUILD, [crate::VERSION.as_bytes(), std::env::consts::ARCH.as_bytes()], [true.into()]);
        for (layer, holds) in sandbox::layers() {
            out.row(&SANDBOX, [layer.as_bytes()], [holds.into()]);
        }
        let (open, refused) = traffic::counts();
        let mut values = [Value::from(open); 1 + REASONS.len()];
        for (value, count) in values[1..].iter_mut().zip(refused) {
            *value = count.into();
        }
        out.row(&CONNECTIONS, [], values);
        let mut first = First::new();
        let process = first.keep(own.parse(parse)).unwrap_or_default();
        // The kernel's own file is about this process, which can ask for less.
        let max_fds = if limits.is_original() {
            Some(sys::file_limit() as u64).filter(|&limit| limit < usize::MAX as u64)
        } else {
            first.keep(limits.read()).and_then(parse_max_files)
        };
        let boot_ticks = first
            .keep(boot.read(context.moment))
            .and_then(|text| boot_time(&text))
            .map(|time| time.saturating_mul(100));
        let Process { cpu_ticks, threads, start_ticks, virtual_bytes, resident_pages } = process;
        let ticks = |ticks: Option<u64>| ticks.map(|ticks| Value::decimal(ticks, 2));
        let values = [
            ticks(cpu_ticks).into(),
            resident_pages.map(|pages| pages.saturating_mul(*page_size)).into(),
            virtual_bytes.into(),
            threads.into(),
            count_descriptors(descriptors, directory).into(),
            max_fds.into(),
            ticks(boot_ticks.zip(start_ticks).map(|(boot, start)| boot.saturating_add(start))).into(),
        ];
        out.row(&PROCESS, [], values);
        first.result()
    }

    fn conclude(&mut self, summary: &Summary<'_>, out: &mut Snapshot) {
        for finding in &summary.report.findings {
            out.row(&VERDICTS, [finding.rule.name.as_bytes()], [finding.since.is_some().into()]);
        }
        for finding in summary.report.items() {
            let labels = [finding.rule.name, finding.rule.severity.name(), &finding.culprit];
            out.row(&VERDICT_INFO, labels.map(str::as_bytes), [true.into()]);
        }
        if let Some(counts) = summary.events {
            out.row(&EVENTS, [], counts.map(Value::from));
        }
        for receiver in summary.receivers {
            let [sent, failed, dropped] = receiver.counts.map(Value::from);
            let last = (receiver.last > 0).then_some(receiver.last);
            let table = if receiver.is_push { &PUSHES } else { &NOTIFICATIONS };
            out.row(table, [receiver.name.as_bytes()], [sent, failed, dropped, receiver.waiting.into(), last.into()]);
        }
        for outcome in summary.outcomes {
            out.row(&COLLECTORS, [outcome.collector.as_bytes()], [outcome.up.into(), Value::seconds(outcome.duration)]);
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Process {
    cpu_ticks: Option<u64>,
    threads: Option<u64>,
    start_ticks: Option<u64>,
    virtual_bytes: Option<u64>,
    resident_pages: Option<u64>,
}

/// One line such as `411 (pi-monitor) S 1 411 …` with 52 fields, of which utime and stime are the 14th and 15th, num_threads the
/// 20th, starttime the 22nd, vsize the 23rd and rss the 24th. The name in parentheses may hold anything, parentheses too.
fn parse(text: &[u8]) -> Result<Process, Bad> {
    let bad = || Bad::new(1, "a process's 24 or more fields", text);
    let end = text.iter().rposition(|&byte| byte == b')').ok_or_else(bad)?;
    let mut numbers = [0; 24];
    let mut words = words(&text[end + 1..]);
    // The words behind the name are fields 3 and on; the 3rd, the state, is a letter, and some others may be negative.
    for number in &mut numbers[2..] {
        *number = uint(words.next().ok_or_else(bad)?).unwrap_or(0);
    }
    let [.., utime, stime, _, _, _, _, threads, _, start, virtual_bytes, resident] = numbers;
    Ok(Process {
        cpu_ticks: Some(utime.saturating_add(stime)),
        threads: Some(threads),
        start_ticks: Some(start),
        virtual_bytes: Some(virtual_bytes),
        resident_pages: Some(resident),
    })
}

/// Returns the soft limit in `Max open files            1024                 1048576              files`; `None` if unlimited.
fn parse_max_files(text: &[u8]) -> Option<u64> {
    lines(text).find_map(|(_, line)| uint(words(line.strip_prefix(b"Max open files")?).next()?))
}

/// Returns the line `btime 1795359511` of `/proc/stat`.
fn boot_time(text: &[u8]) -> Option<u64> {
    lines(text).find_map(|(_, line)| uint(words(line.strip_prefix(b"btime ")?).next()?))
}

/// From Linux 6.2 on the directory's size is the number of descriptors, that of the directory itself among them; before, its entries have
/// to be counted.
fn count_descriptors(path: &Path, directory: &mut Option<Directory>) -> Option<u64> {
    if directory.is_none() {
        *directory = Some(Directory::open(path).ok()?);
    }
    let directory = directory.as_mut()?;
    let size = directory.size().ok()?;
    if size > 0 && directory.is_original() {
        return Some(size);
    }
    let mut count = 0;
    directory.list(|_, _| count += 1).ok().map(|()| count)
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = (parse(text), parse_max_files(text), boot_time(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_line() {
        let text = b"411 (a) b (c) S 1 411 411 0 -1 4194560 120 0 3 0 17 5 0 0 20 0 2 0 4711 3215360 402 18446744073709551615 1 1 0\n";
        let expected = Process {
            cpu_ticks: Some(22),
            threads: Some(2),
            start_ticks: Some(4711),
            virtual_bytes: Some(3_215_360),
            resident_pages: Some(402),
        };
        assert_eq!(parse(text), Ok(expected));
        assert!(parse(b"411 (a) S 1 2 3").is_err() && parse(b"").is_err());
    }

    #[test]
    fn limits() {
        let text = b"Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 1048576              files     \n";
        assert_eq!(parse_max_files(text), Some(1024));
        assert_eq!(
            parse_max_files(b"Max open files            unlimited            unlimited            files\n"),
            None
        );
    }
}
