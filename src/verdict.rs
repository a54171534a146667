//! What is wrong with this machine, in plain words: rules over what a tick saw.
//!
//! A rule switches on when its condition has held for [`Rule::on`] and off when it has not held for [`Rule::off`], so that
//! a short peak is no alarm and an alarm does not flicker. The page, `/json` and `pi_verdict` all tell the same [`Report`].

use crate::model::{
    Column, Family, Finding, Place, Rates, Report, Row, RuleHead, Section, Severity, Snapshot, Table, Top, Unit, key,
};
use std::fmt;

/// For Prometheus; JSON tells the report itself. Filled by [`crate::agent::Agent`].
pub static VERDICTS: Table<1, 1> = Table::new(
    Place::Elsewhere,
    &["rule"],
    &[Family::gauge("pi_verdict", "Whether the agent's own verdict on the machine names this trouble.", Unit::Count)],
);

/// One kind of trouble.
#[derive(Debug)]
pub struct Rule {
    pub head: RuleHead,
    /// How long the condition has to hold before the rule switches on, in seconds.
    on: u64,
    /// How long it has to be over before the rule switches off.
    off: u64,
    /// For events: how long the condition counts as held after one.
    hold: u64,
    /// Needs the filesystems, which are looked at less often.
    filesystems: bool,
    /// Whether the condition holds; if so, fills the finding with the worst culprit.
    check: fn(&mut View<'_>, &mut Finding) -> bool,
}

impl Rule {
    const fn new(
        name: &'static str,
        severity: Severity,
        card: &'static str,
        check: fn(&mut View<'_>, &mut Finding) -> bool,
    ) -> Self {
        Rule { head: RuleHead { name, severity, card }, on: 10, off: 30, hold: 0, filesystems: false, check }
    }

    const fn after(mut self, on: u64) -> Self {
        self.on = on;
        self
    }

    const fn event(mut self, hold: u64) -> Self {
        self.hold = hold;
        self
    }

    /// Holds as long as it is true, without delay.
    const fn at_once(mut self) -> Self {
        (self.on, self.off) = (0, 0);
        self
    }

    const fn filesystems(mut self) -> Self {
        self.filesystems = true;
        self
    }
}

const CRITICAL: Severity = Severity::Critical;
const WARNING: Severity = Severity::Warning;
/// How long a start counts as news.
const RECENT: u64 = 600;

/// Every rule, in the order in which they are told.
pub static RULES: [Rule; 16] = [
    Rule::new("under_voltage", CRITICAL, "thermal", under_voltage),
    Rule::new("throttled", WARNING, "thermal", throttled),
    Rule::new("hot", CRITICAL, "thermal", hot),
    Rule::new("disk_full", CRITICAL, "filesystems", disk_full).filesystems(),
    Rule::new("inodes_full", CRITICAL, "filesystems", inodes_full).filesystems(),
    Rule::new("disk_read_only", CRITICAL, "filesystems", disk_read_only).filesystems(),
    Rule::new("oom_kill", CRITICAL, "memory", oom_kill).at_once().event(RECENT),
    Rule::new("memory_low", CRITICAL, "memory", memory_low),
    Rule::new("memory_pressure", CRITICAL, "memory", memory_pressure),
    Rule::new("io_pressure", WARNING, "pressure", io_pressure),
    Rule::new("disk_slow", WARNING, "diskio", disk_slow),
    Rule::new("cpu_busy", WARNING, "cpu", cpu_busy).after(30),
    Rule::new("load_high", WARNING, "pressure", load_high),
    Rule::new("network_errors", WARNING, "network", network_errors).event(8),
    Rule::new("machine_restarted", WARNING, "processes", machine_restarted).at_once(),
    Rule::new("agent_restarted", WARNING, "processes", agent_restarted).at_once(),
];

/// Declares the families that rules read, with a number for each.
macro_rules! inputs {
    ($($name:ident = $family:literal)*) => {
        #[derive(Clone, Copy)]
        enum Input { $($name),* }
        /// Their names, in the order of [`Input`].
        static INPUTS: &[&str] = &[$($family),*];
    };
}

inputs! {
    Throttled = "pi_throttled"
    Temperature = "pi_temperature_celsius"
    DiskTotal = "pi_disk_total_bytes"
    DiskUsed = "pi_disk_used_bytes"
    DiskAvailable = "pi_disk_available_bytes"
    Inodes = "pi_disk_inodes"
    InodesFree = "pi_disk_inodes_free"
    ReadOnly = "pi_disk_read_only"
    OomKills = "pi_oom_kills_total"
    MemoryTotal = "pi_memory_total_bytes"
    MemoryAvailable = "pi_memory_available_bytes"
    Waiting = "pi_pressure_waiting_seconds_total"
    Stalled = "pi_pressure_stalled_seconds_total"
    DeviceBusy = "pi_disk_io_time_seconds_total"
    Reads = "pi_disk_reads_completed_total"
    Writes = "pi_disk_writes_completed_total"
    ReadTime = "pi_disk_read_time_seconds_total"
    WriteTime = "pi_disk_write_time_seconds_total"
    CpuUsage = "pi_cpu_usage_percent"
    Load = "pi_load_average"
    ReceiveErrors = "pi_network_receive_errors_total"
    TransmitErrors = "pi_network_transmit_errors_total"
}

/// Judges tick after tick.
#[derive(Debug)]
pub struct Verdicts {
    columns: Vec<Option<Column>>,
    rates: Rates,
    /// Filesystems that were writable once, by the hash of their mount points.
    writable: Vec<u64>,
    states: [State; RULES.len()],
    /// When the agent started, in seconds since boot.
    started: Option<u64>,
    report: Report,
}

/// What is remembered of a rule between ticks, in seconds since boot.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Whether the condition held when it was last looked at.
    held: bool,
    /// Since when it has held.
    held_since: Option<u64>,
    /// When it last held.
    held_at: u64,
    on: bool,
}

/// What a rule's check sees.
#[derive(Debug)]
struct View<'a> {
    snapshot: &'a Snapshot,
    filesystems: &'a Snapshot,
    columns: &'a [Option<Column>],
    rates: &'a mut Rates,
    writable: &'a mut Vec<u64>,
    top: Option<&'a Top>,
    now: u64,
    started: u64,
}

impl<'a> View<'a> {
    fn section(&self, snapshot: &'a Snapshot, input: Input) -> Option<(&'a Section, Column)> {
        let column = self.columns[input as usize]?;
        let section = &snapshot.parts()[column.part].sections[column.section];
        Some((section, column))
    }

    /// Every value of a family with its row's first label, or without labels with its dimension's value.
    fn values(&self, input: Input) -> impl Iterator<Item = (&'a str, &'static str, f64)> + use<'a> {
        let found = self.section(self.snapshot, input);
        found.into_iter().flat_map(|(section, Column { column, family, .. })| {
            section.rows().flat_map(move |row| {
                let label = row.labels().next().unwrap_or("");
                let names = family.by.as_ref().map_or(&[""][..], |by| by.values);
                let values = row.values()[column..].iter().zip(names);
                values.filter_map(move |(value, name)| Some((label, *name, value.to_f64()?)))
            })
        })
    }

    /// The value whose label or dimension value is `name`.
    fn value(&self, input: Input, name: &str) -> Option<f64> {
        self.values(input).find(|(label, by, _)| *label == name || *by == name).map(|(.., value)| value)
    }

    /// Another family's value in the same row.
    fn beside(&self, row: Row<'_>, input: Input) -> Option<f64> {
        row.values().get(self.columns[input as usize]?.column)?.to_f64()
    }

    /// The share of time for which a resource was short, in percent.
    fn pressure(&mut self, input: Input, resource: &str) -> Option<f64> {
        let seconds = self.value(input, resource)?;
        self.rates.per_second(key(resource, input as usize), seconds).map(|rate| rate * 100.0)
    }

    /// The filesystem of which most is used, with the used share in percent.
    fn fullest(&self, used: impl Fn(Row<'a>) -> Option<f64>) -> Option<(Row<'a>, f64)> {
        let (section, _) = self.section(self.filesystems, Input::ReadOnly)?;
        let rows = section.rows().filter(|row| self.beside(*row, Input::ReadOnly) == Some(0.0));
        let shares = rows.filter_map(|row| Some((row, used(row)?)));
        shares.max_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// The process that a resource's rule may name.
    fn process(&self, pick: fn(&Top) -> &str, otherwise: &'a str) -> &'a str {
        self.top.map(pick).filter(|name| !name.is_empty()).unwrap_or(otherwise)
    }

    /// The interface on which two counters together grew most since the last tick, and by how much.
    fn growing(&mut self, inputs: [Input; 2]) -> Option<(&'a str, u64)> {
        let mut worst = None;
        let mut most = 0.0;
        let (section, _) = self.section(self.snapshot, inputs[0])?;
        for row in section.rows() {
            let name = row.labels().next().unwrap_or("");
            let mut all = 0.0;
            for input in inputs {
                let Some(value) = self.beside(row, input) else { continue };
                if let Some((growth, _)) = self.rates.growth(key(name, input as usize), value) {
                    all += growth;
                }
            }
            if all > most {
                most = all;
                worst = Some((name, all as u64));
            }
        }
        worst
    }
}

/// A number with one digit behind the point.
struct Tenths(f64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round() as u64;
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

/// A number of bytes in a unit of 1024.
struct Size(f64);

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

fn under_voltage(view: &mut View<'_>, found: &mut Finding) -> bool {
    view.value(Input::Throttled, "under_voltage") == Some(1.0)
        && found.name(
            "power supply",
            format_args!("Under-voltage"),
            format_args!("The power supply or its cable is too weak, now."),
        )
}

fn throttled(view: &mut View<'_>, found: &mut Finding) -> bool {
    const REASONS: [(&str, &str); 3] = [
        ("throttled", "The firmware slows the CPU down, now."),
        ("soft_temperature_limit", "The firmware lowers the clock at its soft temperature limit, now."),
        ("frequency_capped", "The firmware caps the clock, now."),
    ];
    let on = |(reason, _): &&(&str, &str)| view.value(Input::Throttled, reason) == Some(1.0);
    let Some((reason, detail)) = REASONS.iter().find(on) else { return false };
    found.name(reason, format_args!("CPU is slowed down"), format_args!("{detail}"))
}

fn hot(view: &mut View<'_>, found: &mut Finding) -> bool {
    let hottest = view.values(Input::Temperature).max_by(|(.., one), (.., other)| one.total_cmp(other));
    let Some((sensor, _, celsius)) = hottest.filter(|(.., celsius)| *celsius >= 80.0) else { return false };
    found.name(sensor, format_args!("{sensor} is hot"), format_args!("{} °C", Tenths(celsius)))
}

fn mountpoint<'a>(row: Row<'a>) -> &'a str {
    row.labels().nth(1).unwrap_or("")
}

fn disk_full(view: &mut View<'_>, found: &mut Finding) -> bool {
    // What `df` says: of what is used and what users may still have.
    let share = |row: Row<'_>| {
        let (used, available) = (view.beside(row, Input::DiskUsed)?, view.beside(row, Input::DiskAvailable)?);
        (used > 0.0).then(|| used / (used + available) * 100.0)
    };
    let Some((row, percent)) = view.fullest(share).filter(|(_, percent)| *percent >= 95.0) else { return false };
    let name = mountpoint(row);
    let total = view.beside(row, Input::DiskTotal).unwrap_or_default();
    found.name(name, format_args!("{name} is nearly full"), format_args!("{} % of {}", Tenths(percent), Size(total)))
}

fn inodes_full(view: &mut View<'_>, found: &mut Finding) -> bool {
    let share = |row: Row<'_>| {
        let (all, free) = (view.beside(row, Input::Inodes)?, view.beside(row, Input::InodesFree)?);
        (all > 0.0).then(|| (all - free) / all * 100.0)
    };
    let Some((row, percent)) = view.fullest(share).filter(|(_, percent)| *percent >= 95.0) else { return false };
    let (name, all) = (mountpoint(row), view.beside(row, Input::Inodes).unwrap_or_default() as u64);
    found.name(
        name,
        format_args!("{name} can hold few more files"),
        format_args!("{} % of {all} inodes are in use", Tenths(percent)),
    )
}

fn disk_read_only(view: &mut View<'_>, found: &mut Finding) -> bool {
    /// More mounts than any machine has; a program that makes new ones on and on must not fill the memory.
    const MOST: usize = 256;
    let Some((section, _)) = view.section(view.filesystems, Input::ReadOnly) else { return false };
    let mut turned = false;
    for row in section.rows() {
        let name = mountpoint(row);
        let hash = key(name, 0);
        let known = view.writable.contains(&hash);
        match view.beside(row, Input::ReadOnly) {
            Some(0.0) if !known && view.writable.len() < MOST => view.writable.push(hash),
            Some(1.0) if known && !turned => {
                turned = found.name(
                    name,
                    format_args!("{name} turned read-only"),
                    format_args!("It was writable before: see the kernel's log for errors of the device."),
                );
            }
            _ => {}
        }
    }
    turned
}

fn oom_kill(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(kills) = view.value(Input::OomKills, "") else { return false };
    match view.rates.growth(key("", Input::OomKills as usize), kills) {
        Some((growth, _)) if growth >= 1.0 => {
            let culprit = view.process(|top| &top.memory, "memory");
            found.name(
                culprit,
                format_args!("The kernel killed a process"),
                format_args!("Memory ran out; {} killed since boot", kills as u64),
            )
        }
        _ => false,
    }
}

fn memory_low(view: &mut View<'_>, found: &mut Finding) -> bool {
    let (total, available) = (view.value(Input::MemoryTotal, ""), view.value(Input::MemoryAvailable, ""));
    let Some((total, available)) = total.zip(available) else { return false };
    let percent = available / total * 100.0;
    if total <= 0.0 || percent >= 8.0 {
        return false;
    }
    let culprit = view.process(|top| &top.memory, "memory");
    found.name(
        culprit,
        format_args!("Memory is nearly used up"),
        format_args!("{} % of {} are available", Tenths(percent), Size(total)),
    )
}

fn memory_pressure(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(percent) = view.pressure(Input::Stalled, "memory").filter(|percent| *percent >= 10.0) else {
        return false;
    };
    let culprit = view.process(|top| &top.memory, "memory");
    found.name(
        culprit,
        format_args!("Memory is too small"),
        format_args!("All programs waited for memory {} % of the time", Tenths(percent)),
    )
}

fn io_pressure(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(percent) = view.pressure(Input::Waiting, "io").filter(|percent| *percent >= 20.0) else { return false };
    let culprit = view.process(|top| &top.io, "disks");
    found.name(
        culprit,
        format_args!("Waiting for disks"),
        format_args!("Programs waited for disks {} % of the time", Tenths(percent)),
    )
}

fn disk_slow(view: &mut View<'_>, found: &mut Finding) -> bool {
    const COUNTERS: [Input; 5] = [Input::DeviceBusy, Input::Reads, Input::Writes, Input::ReadTime, Input::WriteTime];
    let Some((section, _)) = view.section(view.snapshot, Input::DeviceBusy) else { return false };
    let (mut worst, mut most) = (None, 0.0);
    for row in section.rows() {
        let device = row.labels().next().unwrap_or("");
        let mut time = 0.0;
        let growth = COUNTERS.map(|input| {
            let value = view.beside(row, input)?;
            let (growth, seconds) = view.rates.growth(key(device, input as usize), value)?;
            time = seconds;
            Some(growth)
        });
        let [Some(busy), Some(reads), Some(writes), Some(read_time), Some(write_time)] = growth else { continue };
        let (operations, waited) = (reads + writes, read_time + write_time);
        if time > 0.0 && operations > 0.0 && busy / time >= 0.9 && waited / operations >= 0.05 {
            let each = waited / operations * 1000.0;
            if each > most {
                most = each;
                worst = Some((device, (busy / time * 100.0).min(100.0)));
            }
        }
    }
    let Some((device, busy)) = worst else { return false };
    found.name(
        device,
        format_args!("{device} is slow"),
        format_args!("{} ms for each operation, busy {} % of the time", most.round() as u64, Tenths(busy)),
    )
}

fn cpu_busy(view: &mut View<'_>, found: &mut Finding) -> bool {
    let total = |wanted: &str| {
        let mut values = view.values(Input::CpuUsage);
        values.find(|(cpu, mode, _)| *cpu == "total" && *mode == wanted).map(|(.., percent)| percent)
    };
    let Some((idle, iowait)) = total("idle").zip(total("iowait")) else { return false };
    let percent = 100.0 - idle - iowait;
    if percent < 92.0 {
        return false;
    }
    let culprit = view.process(|top| &top.cpu, "cpu");
    found.name(culprit, format_args!("CPU is fully used"), format_args!("{} % in use", Tenths(percent)))
}

fn load_high(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(load) = view.value(Input::Load, "15m") else { return false };
    // One row is that of all CPUs together.
    let cpus = view.section(view.snapshot, Input::CpuUsage).map_or(0, |(section, _)| section.len());
    let cpus = cpus.saturating_sub(1).max(1);
    if load <= 2.0 * cpus as f64 {
        return false;
    }
    let culprit = view.process(|top| &top.cpu, "load");
    found.name(
        culprit,
        format_args!("Load is high"),
        format_args!("{} over 15 minutes, on {} CPUs", Tenths(load), cpus),
    )
}

fn network_errors(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some((name, errors)) = view.growing([Input::ReceiveErrors, Input::TransmitErrors]) else { return false };
    found.name(name, format_args!("{name} has errors"), format_args!("{errors} more since the last look"))
}

fn machine_restarted(view: &mut View<'_>, found: &mut Finding) -> bool {
    view.now < RECENT
        && found.name("machine", format_args!("The machine restarted"), format_args!("Less than 10 minutes ago"))
}

fn agent_restarted(view: &mut View<'_>, found: &mut Finding) -> bool {
    // Right after a boot that is no news.
    view.started >= RECENT
        && view.now < view.started + RECENT
        && found.name("pi-monitor", format_args!("Pi-Monitor restarted"), format_args!("Less than 10 minutes ago"))
}

impl Verdicts {
    /// For snapshots with the parts of `snapshot`.
    pub fn new(snapshot: &Snapshot) -> Self {
        let columns = INPUTS.iter().map(|name| snapshot.locate(name)).collect();
        Verdicts {
            columns,
            rates: Rates::default(),
            writable: Vec::new(),
            states: Default::default(),
            started: None,
            report: Report {
                now: 0,
                clear: None,
                findings: RULES.iter().map(|rule| Finding::new(&rule.head)).collect(),
            },
        }
    }

    /// The present state of all rules.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Judges what a tick saw. `filesystems` holds the filesystems if they were looked at since the last call.
    pub fn judge(&mut self, snapshot: &Snapshot, filesystems: Option<&Snapshot>, top: Option<&Top>) {
        let Verdicts { columns, rates, writable, states, started, report } = self;
        let time = snapshot.moment.since_boot;
        let now = time.as_secs();
        let started = *started.get_or_insert(now);
        rates.begin(time);
        let mut view = View {
            snapshot,
            filesystems: filesystems.unwrap_or(snapshot),
            columns,
            rates,
            writable,
            top,
            now,
            started,
        };
        for ((rule, state), finding) in RULES.iter().zip(states.iter_mut()).zip(&mut report.findings) {
            if !rule.filesystems || filesystems.is_some() {
                state.held = (rule.check)(&mut view, finding);
            }
            state.step(rule, now);
            finding.since = state.held_since.filter(|_| state.on);
        }
        rates.end();
        report.now = now;
        let clear = states.iter().all(|state| !state.on);
        report.clear = if clear { Some(report.clear.unwrap_or(now)) } else { None };
    }
}

impl State {
    fn step(&mut self, rule: &Rule, now: u64) {
        if self.held {
            self.held_at = now;
        }
        let holds = self.held || self.held_since.is_some() && now < self.held_at + rule.hold;
        if holds {
            let since = *self.held_since.get_or_insert(now);
            self.on |= now >= since + rule.on;
        } else if !self.on || now >= self.held_at + rule.hold + rule.off {
            (self.on, self.held_since) = (false, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Agent;
    use crate::commands;
    use crate::kernel::Machine;
    use crate::sys::FsStat;
    use std::cell::Cell;
    use std::path::PathBuf;
    use std::time::Duration;

    thread_local! {
        static CLOCK: Cell<u64> = const { Cell::new(0) };
        static DISK: Cell<FsStat> = const { Cell::new(FULL_OF_AIR) };
    }

    const FULL_OF_AIR: FsStat = FsStat {
        block_size: 4096,
        blocks: 1000,
        blocks_free: 900,
        blocks_available: 900,
        files: 1000,
        files_free: 900,
        no_writes: false,
    };

    /// A machine whose files tests write, with an agent on it.
    struct Bench {
        directory: PathBuf,
        agent: Agent,
        runtime: tokio::runtime::Runtime,
    }

    /// When benches boot, in seconds since boot: long enough ago to be no news.
    const START: u64 = 100_000;

    impl Bench {
        fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("pi-monitor-verdict-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&directory);
            let write = |file: &str, text: &str| write(&directory, file, text);
            CLOCK.set(START);
            DISK.set(FULL_OF_AIR);
            write("proc/stat", "cpu  0 0 0 1000 0 0 0 0\ncpu0 0 0 0 500 0 0 0 0\ncpu1 0 0 0 500 0 0 0 0\nbtime 1\n");
            write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 900 kB\n");
            write("proc/loadavg", "0.00 0.00 0.00 1/100 1\n");
            write("proc/vmstat", "nr_free_pages 1\npgfault 1\npgmajfault 1\npswpin 0\npswpout 0\noom_kill 3\n");
            write("proc/net/dev", &net_dev(0));
            write("proc/diskstats", "   8       0 sda 0 0 0 0 0 0 0 0 0 0 0\n");
            write("proc/self/mountinfo", "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
            write(
                "proc/pressure/memory",
                "some avg10=0 avg60=0 avg300=0 total=0\nfull avg10=0 avg60=0 avg300=0 total=0\n",
            );
            write("proc/pressure/io", "some avg10=0 avg60=0 avg300=0 total=0\nfull avg10=0 avg60=0 avg300=0 total=0\n");
            write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
            write("sys/class/thermal/thermal_zone0/temp", "45000\n");
            write("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n");
            write("root/etc/os-release", "ID=debian\n");
            let flags =
                ["proc", "sys", "root"].map(|root| format!("--path.{root}fs={}", directory.join(root).display()));
            let machine = Machine {
                statfs: |_| Ok(DISK.get()),
                since_boot: || Duration::from_secs(CLOCK.get()),
                unix_time: || Duration::from_secs(1_800_000_000),
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let agent = {
                let _entered = runtime.enter();
                Agent::new(&commands::parse(flags).unwrap(), machine)
            };
            let mut bench = Bench { directory, agent, runtime };
            // The agent's own start is news for a while.
            CLOCK.set(START + RECENT);
            (0..3).for_each(|_| drop(bench.tick()));
            bench
        }

        /// Two seconds pass; the rules that are on then.
        fn tick(&mut self) -> Report {
            CLOCK.set(CLOCK.get() + 2);
            let Bench { agent, runtime, .. } = self;
            runtime.block_on(async {
                agent.snapshot(Duration::ZERO).await;
                agent.tick();
                agent.snapshot(Duration::ZERO).await.verdicts.clone()
            })
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    fn write(directory: &std::path::Path, file: &str, text: &str) {
        let path = directory.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // In place, as the kernel's files change.
        std::fs::write(path, text).unwrap();
    }

    fn net_dev(errors: u64) -> String {
        format!(
            "Inter-|   Receive |  Transmit\n face |bytes |bytes\n  eth0: 9 9 {errors} 0 0 0 0 0 9 9 0 0 0 0 0 0\n    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n"
        )
    }

    fn names(report: &Report) -> Vec<&'static str> {
        report.items().map(|finding| finding.rule.name).collect()
    }

    /// What makes a machine ill: the file, its text at each tick, and whom the rule names. `ill` is false for the text that is
    /// just not bad enough.
    type Illness = (&'static str, &'static str, fn(u64, bool) -> String, &'static str, &'static str);

    const ILLNESSES: &[Illness] = &[
        (
            "under_voltage",
            "sys/devices/platform/soc/soc:firmware/get_throttled",
            // The upper half tells what was since boot.
            |_, ill| if ill { "1\n" } else { "f0000\n" }.to_owned(),
            "power supply",
            "The power supply or its cable is too weak, now.",
        ),
        (
            "throttled",
            "sys/devices/platform/soc/soc:firmware/get_throttled",
            |_, ill| if ill { "e0008\n" } else { "e0000\n" }.to_owned(),
            "soft_temperature_limit",
            "The firmware lowers the clock at its soft temperature limit, now.",
        ),
        (
            "hot",
            "sys/class/thermal/thermal_zone0/temp",
            |_, ill| if ill { "80000\n" } else { "79900\n" }.to_owned(),
            "cpu-thermal",
            "80.0 °C",
        ),
        (
            "oom_kill",
            "proc/vmstat",
            |tick, ill| {
                format!(
                    "nr_free_pages {tick}\npgfault 9\npgmajfault 2\npswpin 0\npswpout 0\noom_kill {}\n",
                    if ill { 4 } else { 3 }
                )
            },
            "memory",
            "Memory ran out; 4 killed since boot",
        ),
        (
            "memory_low",
            "proc/meminfo",
            |_, ill| format!("MemTotal: 1000 kB\nMemAvailable: {} kB\n", if ill { 79 } else { 80 }),
            "memory",
            "7.9 % of 1.0 MiB are available",
        ),
        (
            "memory_pressure",
            "proc/pressure/memory",
            |tick, ill| {
                let total = tick * if ill { 202_000 } else { 199_000 };
                format!("some avg10=0 avg60=0 avg300=0 total={total}\nfull avg10=0 avg60=0 avg300=0 total={total}\n")
            },
            "memory",
            "All programs waited for memory 10.1 % of the time",
        ),
        (
            "io_pressure",
            "proc/pressure/io",
            |tick, ill| format!("some avg10=0 avg60=0 avg300=0 total={}\n", tick * if ill { 404_000 } else { 399_000 }),
            "disks",
            "Programs waited for disks 20.2 % of the time",
        ),
        (
            "disk_slow",
            "proc/diskstats",
            // 36 operations of 51 ms each in 2 s, of which the disk is busy for 1.81 s or 1.79 s.
            |tick, ill| {
                let busy = tick * if ill { 1810 } else { 1790 };
                format!("   8       0 sda {0} 0 80 {1} {0} 0 80 {1} 0 {busy} {busy}\n", tick * 18, tick * 910)
            },
            "sda",
            "51 ms for each operation, busy 90.5 % of the time",
        ),
        (
            "cpu_busy",
            "proc/stat",
            |tick, ill| {
                let user = tick * if ill { 1840 } else { 1839 };
                let idle = 1000 + tick * 2000 - user;
                format!(
                    "cpu  {user} 0 0 {idle} 0 0 0 0\ncpu0 {user} 0 0 {idle} 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\nbtime 1\n"
                )
            },
            "cpu",
            "92.0 % in use",
        ),
        (
            "load_high",
            "proc/loadavg",
            |_, ill| format!("9.00 9.00 {} 1/100 1\n", if ill { "4.01" } else { "4.00" }),
            "load",
            "4.0 over 15 minutes, on 2 CPUs",
        ),
        // Errors with more than 8 seconds between them are no trouble.
        (
            "network_errors",
            "proc/net/dev",
            |tick, ill| net_dev(tick / if ill { 4 } else { 5 }),
            "eth0",
            "1 more since the last look",
        ),
        (
            "disk_read_only",
            "proc/self/mountinfo",
            |_, ill| format!("25 1 8:1 / / rw - ext4 /dev/sda1 {}\n", if ill { "ro" } else { "rw,errors=remount-ro" }),
            "/",
            "It was writable before: see the kernel's log for errors of the device.",
        ),
    ];

    #[test]
    fn every_rule_switches_on_and_off_in_its_time_and_not_for_less() {
        for (name, file, text, culprit, detail) in ILLNESSES {
            let rule = RULES.iter().find(|rule| rule.head.name == *name).unwrap();
            let mut bench = Bench::new(name);
            let healthy = std::fs::read_to_string(bench.directory.join(file)).unwrap();
            let clear = bench.tick();
            assert_eq!(names(&clear), [""; 0], "before {name}");
            for tick in 1..60 {
                write(&bench.directory, file, &text(tick, false));
                let report = bench.tick();
                assert_eq!(names(&report), [""; 0], "{name}: tick {tick} of what is just not bad enough");
            }
            assert!(bench.tick().clear.unwrap() <= clear.clear.unwrap());
            let mut bench = Bench::new(name);
            let mut on_at = None;
            let mut ticks = 0;
            for tick in 1..40 {
                write(&bench.directory, file, &text(tick, true));
                let report = bench.tick();
                ticks = tick;
                if let Some(finding) = report.items().find(|finding| finding.rule.name == *name) {
                    assert_eq!((&*finding.culprit, &*finding.detail), (*culprit, *detail), "{name}");
                    assert_eq!((report.clear, names(&report)), (None, vec![*name]));
                    let since = report.now - finding.since.unwrap();
                    assert!(since >= rule.on, "{name} after {since} s");
                    on_at = Some(since);
                    break;
                }
            }
            // Rates and percentages take two readings more; errors come now and then.
            assert!(
                on_at.is_some_and(|since| since <= rule.on + 2 && 2 * ticks <= rule.on + 2 + 10),
                "{name} {on_at:?}"
            );
            // Well again: levels are as before, counters stand still, and the CPU is idle.
            let well = |more: u64| match *name {
                "cpu_busy" => format!("cpu  {} 0 0 {} 0 0 0 0\n", ticks * 1840, 9000 + more * 2000),
                _ if text(1, true) == text(2, true) => healthy.clone(),
                _ => text(ticks, true),
            };
            let mut off_after = 0;
            loop {
                write(&bench.directory, file, &well(off_after + 1));
                if names(&bench.tick()) != [*name] {
                    break;
                }
                off_after += 2;
                assert!(off_after < 700, "{name} stays on");
            }
            let expected = rule.off + rule.hold;
            assert!(
                (expected.saturating_sub(4)..=expected + 4).contains(&off_after),
                "{name}: off after {off_after} s"
            );
            assert_eq!(bench.tick().clear, Some(CLOCK.get() - 2));
        }
    }

    #[test]
    fn filesystems() {
        let mut bench = Bench::new("filesystems");
        let mut after = |stat: FsStat| {
            DISK.set(stat);
            let report = (0..8).map(|_| bench.tick()).last().unwrap();
            let found: Vec<_> = report
                .items()
                .map(|finding| (finding.rule.name, finding.title.clone(), finding.detail.clone()))
                .collect();
            DISK.set(FULL_OF_AIR);
            (0..20).for_each(|_| drop(bench.tick()));
            found
        };
        // 951 of 1001 blocks of those that users may have, and 950 of them.
        let full = |free, available| FsStat { blocks_free: free, blocks_available: available, ..FULL_OF_AIR };
        let expected = ("disk_full", "/ is nearly full".to_owned(), "95.0 % of 3.9 MiB".to_owned());
        assert_eq!(after(full(50, 50)), [expected]);
        assert_eq!(after(full(51, 51)), []);
        assert_eq!(after(full(100, 47)).len(), 1, "root's reserve does not count");
        let inodes = |files_free| FsStat { files_free, ..FULL_OF_AIR };
        let expected =
            ("inodes_full", "/ can hold few more files".to_owned(), "95.0 % of 1000 inodes are in use".to_owned());
        assert_eq!(after(inodes(50)), [expected]);
        assert_eq!(after(inodes(51)), []);
        assert_eq!(after(FsStat { files: 0, files_free: 0, ..FULL_OF_AIR }), []);
    }

    #[test]
    fn filesystems_are_judged_without_scrapes_too() {
        let mut bench = Bench::new("unseen");
        DISK.set(FsStat { blocks_free: 0, blocks_available: 0, ..FULL_OF_AIR });
        for _ in 0..25 {
            CLOCK.set(CLOCK.get() + 2);
            bench.agent.tick();
        }
        assert_eq!(names(&bench.tick()), ["disk_full"]);
        // One that cannot be written on purpose is not full.
        write(&bench.directory, "proc/self/mountinfo", "25 1 8:2 / / ro - ext4 /dev/sda2 ro\n");
        (0..30).for_each(|_| drop(bench.tick()));
        assert!(!names(&bench.tick()).contains(&"disk_full"));
    }

    #[test]
    fn starts_are_news_for_ten_minutes() {
        let mut bench = Bench::new("starts");
        let _entered = bench.runtime.enter();
        let options = commands::parse([format!("--path.procfs={}", bench.directory.join("proc").display())]).unwrap();
        let machine = Machine {
            statfs: |_| Ok(DISK.get()),
            since_boot: || Duration::from_secs(CLOCK.get()),
            unix_time: || Duration::ZERO,
        };
        for (start, expected) in [(20, "machine_restarted"), (599, "machine_restarted"), (600, "agent_restarted")] {
            CLOCK.set(start);
            bench.agent = Agent::new(&options, machine);
            let judge = |bench: &mut Bench, at: u64| {
                CLOCK.set(at);
                bench.agent.tick();
                let verdicts = bench.runtime.block_on(bench.agent.snapshot(Duration::ZERO)).verdicts.clone();
                names(&verdicts)
            };
            assert_eq!(judge(&mut bench, start), [expected]);
            let last = if start < 600 { 599 } else { start + 599 };
            assert_eq!(judge(&mut bench, last), [expected]);
            assert_eq!(judge(&mut bench, last + 1), [""; 0]);
        }
    }

    #[test]
    fn laws_over_the_rules() {
        let mut snapshot = Snapshot::new();
        for registration in crate::collect::ALL {
            snapshot.register(registration.name, registration.tables);
        }
        for name in INPUTS {
            assert!(snapshot.locate(name).is_some(), "no collector tells {name}");
        }
        let mut names = std::collections::HashSet::new();
        for rule in &RULES {
            assert!(names.insert(rule.head.name), "{} is there twice", rule.head.name);
            let cards = ["cpu", "memory", "thermal", "pressure", "diskio", "network", "processes", "filesystems"];
            assert!(cards.contains(&rule.head.card), "{}", rule.head.name);
        }
    }

    #[test]
    fn sizes_in_words() {
        let words = [(0.0, "0.0 B"), (999.0, "999 B"), (1000.0, "1.0 KiB"), (31e9, "29 GiB"), (2e18, "1776 PiB")];
        for (number, expected) in words {
            assert_eq!(Size(number).to_string(), expected);
        }
    }
}
