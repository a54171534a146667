//! What is wrong with this machine, in plain words: rules over what a tick saw.
//!
//! A rule switches on when its condition has held for [`Rule::on`] and off when it has not held for [`Rule::off`], so that
//! a short peak is no alarm and an alarm does not flicker. The page, `/json` and `pi_verdict` all tell the same [`Report`].
//!
//! Rules read rows and nothing else: of the collectors they know the tables that they read.

pub mod rule;
pub mod rules;
mod view;
mod words;

pub use view::{LinkPast, View};

use crate::cli::Options;
use crate::model::{Finding, Rates, Report, Snapshot, Threshold, Top};
use rule::{LIMITS_MAX, Rule};

/// Judges tick after tick.
#[derive(Debug)]
pub struct Judge {
    rules: Vec<Judged>,
    rates: Rates,
    /// Things that were well once, by their hash.
    well: Vec<u64>,
    /// What is remembered of network interfaces.
    links: Vec<LinkPast>,
    /// When the agent started, in seconds since boot.
    started: Option<u64>,
    /// Whether rules wait for their delays.
    patient: bool,
    report: Report,
}

/// A rule at work.
#[derive(Debug)]
struct Judged {
    rule: &'static Rule,
    limits: [f64; LIMITS_MAX],
    /// Where in a snapshot the rule's inputs are: part and section.
    places: Vec<Option<(usize, usize)>>,
    state: State,
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

impl Judge {
    /// For snapshots with the parts of `snapshot`: the rules that `options` do not switch off, with their thresholds.
    pub fn new(snapshot: &Snapshot, options: &Options) -> Self {
        let is_on = |rule: &&&'static Rule| options.switched(&rule.switch()).unwrap_or(true);
        let mut thresholds = Vec::new();
        let mut judged = |rule: &&'static Rule| {
            let mut limits = [0.0; LIMITS_MAX];
            for (number, limit) in limits.iter_mut().zip(rule.limits.iter().flatten()) {
                let value = limit.value(options);
                *number = value.to_f64().unwrap_or_default();
                thresholds.push(Threshold { rule: &rule.head, key: limit.key(), value });
            }
            let places = rule.reads.iter().map(|input| snapshot.locate(input.head)).collect();
            Judged { rule, limits, places, state: State::default() }
        };
        let rules: Vec<_> = rules::ALL.iter().filter(is_on).map(&mut judged).collect();
        let findings = rules.iter().map(|judged| Finding::new(&judged.rule.head)).collect();
        let report = Report { now: 0, clear: None, findings, thresholds };
        Judge {
            rules,
            rates: Rates::default(),
            well: Vec::new(),
            links: Vec::new(),
            started: None,
            patient: true,
            report,
        }
    }

    /// Without delays: a rule is on exactly while its condition holds. Nothing has restarted that looks only once.
    pub fn at_once(self) -> Self {
        Judge { patient: false, started: Some(0), ..self }
    }

    /// The present state of all rules.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Judges what a tick saw. `filesystems` holds the filesystems if they were looked at since the last call.
    pub fn judge(&mut self, snapshot: &Snapshot, filesystems: Option<&Snapshot>, top: Option<&Top>) {
        let Judge { rules, rates, well, links, started, patient, report } = self;
        let time = snapshot.moment.since_boot;
        let now = time.as_secs();
        let started = *started.get_or_insert(now);
        rates.begin(time);
        let mut first_key = 0;
        for (Judged { rule, limits, places, state }, finding) in rules.iter_mut().zip(&mut report.findings) {
            if !rule.filesystems || filesystems.is_some() {
                let mut view = View {
                    snapshot,
                    filesystems: filesystems.unwrap_or(snapshot),
                    reads: rule.reads,
                    places,
                    limits,
                    rates,
                    first_key,
                    well,
                    links,
                    top,
                    now,
                    started,
                };
                state.held = (rule.check)(&mut view, finding);
            }
            first_key += rule.reads.len();
            if *patient {
                state.step(rule, now);
            } else {
                *state = State::at_once(state.held, now);
            }
            finding.since = state.held_since.filter(|_| state.on);
        }
        rates.end();
        report.now = now;
        let clear = rules.iter().all(|judged| !judged.state.on);
        report.clear = if clear { Some(report.clear.unwrap_or(now)) } else { None };
    }
}

impl State {
    /// The state of a rule without delays.
    fn at_once(held: bool, now: u64) -> Self {
        State { held, held_since: held.then_some(now), held_at: now, on: held }
    }

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
    use super::rules::{ALL, RECENT};
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
            write("proc/net/dev", &net_dev(0, 0));
            write("sys/class/net/lo/type", "772\n");
            write("sys/class/net/eth0/device/uevent", "");
            write("sys/class/net/eth0/flags", "0x1003\n");
            write("sys/class/net/eth0/carrier", "1\n");
            write("sys/class/net/eth0/carrier_changes", "2\n");
            write("sys/class/net/docker0/bridge/bridge_id", "");
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

    /// `errors` of eth0 among `packets`. All that other interfaces receive is broken, which says nothing about a wire.
    fn net_dev(packets: u64, errors: u64) -> String {
        let noise = packets;
        format!(
            "Inter-|   Receive |  Transmit\n face |bytes |bytes\n  eth0: 9 {packets} {errors} 0 0 0 0 0 9 9 0 0 0 0 0 0\n    lo: 9 9 {noise} 0 0 0 0 0 9 9 0 0 0 0 0 0\ndocker0: 9 9 {noise} 0 0 0 0 0 9 9 0 0 0 0 0 0\n"
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
            "Supply voltage is below 4.63 V right now.",
        ),
        (
            "throttled",
            "sys/devices/platform/soc/soc:firmware/get_throttled",
            |_, ill| if ill { "e0008\n" } else { "e0000\n" }.to_owned(),
            "soft_temperature_limit",
            "The firmware lowers the clock at its soft temperature limit right now.",
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
            "Memory ran out; processes killed since boot: 4",
        ),
        (
            "memory_low",
            "proc/meminfo",
            |_, ill| format!("MemTotal: 1000 kB\nMemAvailable: {} kB\n", if ill { 79 } else { 80 }),
            "memory",
            "7.9% of 1.0 MiB available",
        ),
        (
            "memory_pressure",
            "proc/pressure/memory",
            |tick, ill| {
                let total = tick * if ill { 202_000 } else { 199_000 };
                format!("some avg10=0 avg60=0 avg300=0 total={total}\nfull avg10=0 avg60=0 avg300=0 total={total}\n")
            },
            "memory",
            "All processes were stalled on memory 10.1% of the time",
        ),
        (
            "io_pressure",
            "proc/pressure/io",
            |tick, ill| format!("some avg10=0 avg60=0 avg300=0 total={}\n", tick * if ill { 404_000 } else { 399_000 }),
            "disks",
            "Processes were stalled on disk I/O 20.2% of the time",
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
            "51 ms per operation, busy 90.5% of the time",
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
            "92.0% in use",
        ),
        (
            "load_high",
            "proc/loadavg",
            |_, ill| format!("9.00 9.00 {} 1/100 1\n", if ill { "4.00" } else { "3.99" }),
            "load",
            "4.0 over 15 minutes on 2 CPUs",
        ),
        // One in a hundred and one in a hundred and one.
        (
            "network_errors",
            "proc/net/dev",
            |tick, ill| net_dev(tick * if ill { 990 } else { 1000 }, tick * 10),
            "eth0",
            "1.0% of its packets are broken, 10 since the last sample",
        ),
        (
            "link_down",
            "sys/class/net/eth0/carrier",
            // An empty file stands for EINVAL: somebody took it down.
            |_, ill| if ill { "0\n" } else { "" }.to_owned(),
            "eth0",
            "It had a link before, and nobody switched it off",
        ),
        (
            "link_flapping",
            "sys/class/net/eth0/carrier_changes",
            |tick, ill| format!("{}\n", if ill { 2 + 2 * tick } else { 2 + tick.min(5) }),
            "eth0",
            "8 changes in 1 min",
        ),
        (
            "disk_read_only",
            "proc/self/mountinfo",
            |_, ill| format!("25 1 8:1 / / rw - ext4 /dev/sda1 {}\n", if ill { "ro" } else { "rw,errors=remount-ro" }),
            "/",
            "It was writable before, and nobody remounted it",
        ),
    ];

    #[test]
    fn every_rule_switches_on_and_off_in_its_time_and_not_for_less() {
        for (name, file, text, culprit, detail) in ILLNESSES {
            let rule = ALL.iter().find(|rule| rule.head.name == *name).unwrap();
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

    /// None of this is trouble: a port that never had a link, one that was switched off, a single reconnect, a few broken
    /// packets on an idle interface, noise on what is no wire.
    #[test]
    fn quiet_links() {
        let mut bench = Bench::new("quiet-links");
        let link = |bench: &Bench, name: &str, carrier: &str, changes: u64| {
            write(&bench.directory, &format!("sys/class/net/{name}/device/uevent"), "");
            write(&bench.directory, &format!("sys/class/net/{name}/carrier"), carrier);
            write(&bench.directory, &format!("sys/class/net/{name}/carrier_changes"), &format!("{changes}\n"));
        };
        link(&bench, "wlan0", "0\n", 1);
        let unused = " wlan0: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        for tick in 0..450 {
            write(&bench.directory, "proc/net/dev", &(net_dev(10 + tick, tick.min(4)) + unused));
            match tick {
                100 => link(&bench, "eth0", "0\n", 3),
                104 => link(&bench, "eth0", "1\n", 4),
                200 => link(&bench, "eth0", "", 5),
                400 => link(&bench, "eth0", "1\n", 6),
                _ => {}
            }
            assert_eq!(names(&bench.tick()), [""; 0], "after {} s", 2 * tick);
        }
        // The second port is in use from its first link on, and until its adapter is pulled out.
        link(&bench, "wlan0", "1\n", 2);
        bench.tick();
        link(&bench, "wlan0", "0\n", 3);
        let report = (0..7).map(|_| bench.tick()).last().unwrap();
        assert_eq!(names(&report), ["link_down"]);
        assert_eq!(report.items().next().unwrap().title, "wlan0 lost its link");
        write(&bench.directory, "proc/net/dev", &net_dev(500, 4));
        (0..20).for_each(|_| drop(bench.tick()));
        assert_eq!(names(&bench.tick()), [""; 0]);
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
        let expected = ("disk_full", "/ is almost full".to_owned(), "95.0% of 3.9 MiB".to_owned());
        assert_eq!(after(full(50, 50)), [expected]);
        assert_eq!(after(full(51, 51)), []);
        assert_eq!(after(full(100, 47)).len(), 1, "root's reserve does not count");
        let inodes = |files_free| FsStat { files_free, ..FULL_OF_AIR };
        let expected =
            ("inodes_full", "/ is almost out of inodes".to_owned(), "95.0% of 1000 inodes in use".to_owned());
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

    /// The rules that are on after a minute in which `file` has had `text`, with their details.
    fn judged(bench: &mut Bench, file: &str, text: impl Fn(u64) -> String) -> Vec<(&'static str, String)> {
        let mut report = Report::default();
        for tick in 1..30 {
            write(&bench.directory, file, &text(tick));
            report = bench.tick();
        }
        report.items().map(|finding| (finding.rule.name, finding.detail.clone())).collect()
    }

    #[test]
    fn hot_is_relative_to_the_sensors_own_critical_temperature() {
        let mut bench = Bench::new("critical");
        let zone = "sys/class/thermal/thermal_zone1";
        write(&bench.directory, &format!("{zone}/type"), "PMIC-Die");
        write(&bench.directory, &format!("{zone}/trip_point_0_type"), "critical");
        write(&bench.directory, &format!("{zone}/trip_point_0_temp"), "120000");
        let mut at = |celsius: u64| judged(&mut bench, &format!("{zone}/temp"), |_| format!("{celsius}000\n"));
        assert_eq!(at(100), []);
        assert_eq!(at(110), []);
        assert_eq!(at(111), [("hot", "111.0 °C, critical at 120.0 °C".to_owned())]);
    }

    #[test]
    fn a_critical_temperature_that_cannot_be_leaves_the_threshold() {
        let mut bench = Bench::new("zero-critical");
        let zone = "sys/class/thermal/thermal_zone1";
        write(&bench.directory, &format!("{zone}/trip_point_0_type"), "critical");
        write(&bench.directory, &format!("{zone}/trip_point_0_temp"), "0");
        assert_eq!(judged(&mut bench, &format!("{zone}/temp"), |_| "45000\n".to_owned()), []);
        assert_eq!(
            judged(&mut bench, &format!("{zone}/temp"), |_| "80000\n".to_owned()),
            [("hot", "80.0 °C".to_owned())]
        );
    }

    #[test]
    fn niced_work_is_neither_busy_nor_load() {
        let mut bench = Bench::new("nice");
        write(&bench.directory, "proc/loadavg", "9.00 9.00 9.00 1/100 1\n");
        let stat = |user: u64, nice: u64| {
            move |tick: u64| {
                let (user, nice, idle) = (tick * user, tick * nice, 1000 + tick * (200 - user - nice));
                format!(
                    "cpu  {user} {nice} 0 {idle} 0 0 0 0\ncpu0 {user} {nice} 0 {idle} 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\n"
                )
            }
        };
        assert_eq!(judged(&mut bench, "proc/stat", stat(0, 198)), []);
        let mut bench = Bench::new("not-nice");
        write(&bench.directory, "proc/loadavg", "9.00 9.00 9.00 1/100 1\n");
        let found = judged(&mut bench, "proc/stat", stat(186, 10));
        assert_eq!(found.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), ["cpu_busy", "load_high"]);
    }

    #[test]
    fn a_load_without_a_number_of_cpus_is_no_verdict() {
        let mut bench = Bench::new("no-cpus");
        write(&bench.directory, "proc/stat", "cpu  0 0 0 1000 0 0 0 0\nbtime 1\n");
        assert_eq!(judged(&mut bench, "proc/loadavg", |_| "9.00 9.00 9.00 1/100 1\n".to_owned()), []);
    }

    #[test]
    fn what_zfs_caches_is_available() {
        let mut bench = Bench::new("zfs");
        let meminfo = |_| "MemTotal: 1000 kB\nMemAvailable: 60 kB\n".to_owned();
        write(&bench.directory, "proc/spl/kstat/zfs/arcstats", "c_min 4 10240\nsize 4 30720\n");
        assert_eq!(judged(&mut bench, "proc/meminfo", meminfo), []);
        write(&bench.directory, "proc/spl/kstat/zfs/arcstats", "c_min 4 10240\nsize 4 20480\n");
        assert_eq!(
            judged(&mut bench, "proc/meminfo", meminfo),
            [("memory_low", "7.0% of 1.0 MiB available".to_owned())]
        );
    }

    #[test]
    fn flags_set_thresholds_and_switch_rules_off() {
        let judge = |flags: &[&str]| {
            let mut snapshot = Snapshot::new();
            let thermal = &crate::collect::thermal::COLLECTOR;
            snapshot.register(thermal.name, thermal.tables);
            let options = commands::parse(flags.iter().map(|flag| (*flag).to_owned())).unwrap();
            let mut judge = Judge::new(&snapshot, &options);
            for second in 0..12 {
                let since_boot = Duration::from_secs(START + 2 * second);
                snapshot.clear(crate::model::Moment { since_boot, ..Default::default() });
                let celsius = crate::model::Value::decimal(755, 1);
                snapshot.row(&crate::collect::thermal::SENSORS, [b"cpu"], [celsius, crate::model::Value::ABSENT]);
                judge.judge(&snapshot, None, None);
            }
            names(judge.report()).into_iter().filter(|name| *name == "hot").count()
        };
        assert_eq!(judge(&[]), 0);
        assert_eq!(judge(&["--rule.hot.above=75.5"]), 1);
        assert_eq!(judge(&["--rule.hot.above=75.6"]), 0);
        assert_eq!(judge(&["--rule.hot.above=75", "--no-rule.hot"]), 0);
        assert_eq!(judge(&["--rule.hot.above=75", "--no-rule.hot", "--rule.hot"]), 1);
        let wrong = commands::parse(["--rule.hot.above=warm".to_owned()]).unwrap_err();
        assert_eq!(wrong, "--rule.hot.above=warm: expected a number such as 80 or 0.5");
    }

    #[test]
    fn who_looks_once_hears_what_holds_now() {
        let mut snapshot = Snapshot::new();
        let thermal = &crate::collect::thermal::COLLECTOR;
        snapshot.register(thermal.name, thermal.tables);
        let mut judge = Judge::new(&snapshot, &commands::parse([]).unwrap()).at_once();
        for (second, celsius, expected) in [(0, 85, &["hot"][..]), (1, 85, &["hot"]), (1, 20, &[]), (2, 85, &["hot"])] {
            let since_boot = Duration::from_secs(START + second);
            snapshot.clear(crate::model::Moment { since_boot, ..Default::default() });
            snapshot.row(&crate::collect::thermal::SENSORS, [b"cpu"], [celsius.into(), crate::model::Value::ABSENT]);
            judge.judge(&snapshot, None, None);
            assert_eq!(names(judge.report()), expected, "{celsius} °C");
            assert_eq!(judge.report().clear.is_some(), expected.is_empty());
        }
    }

    #[test]
    fn laws_over_the_rules() {
        let mut snapshot = Snapshot::new();
        for registration in crate::collect::ALL {
            snapshot.register(registration.name, registration.tables);
        }
        let mut names = std::collections::HashSet::new();
        for rule in ALL {
            let name = rule.head.name;
            assert!(names.insert(name), "duplicate rule {name}");
            for input in rule.reads {
                assert!(snapshot.locate(input.head).is_some(), "no collector has {}", input.family.name);
            }
            let cards = ["cpu", "memory", "thermal", "pressure", "diskio", "network", "processes", "filesystems"];
            assert!(cards.contains(&rule.head.card), "{name}");
            let fix = rule.head.fix;
            assert!(fix.starts_with(char::is_uppercase) && !fix.ends_with('.'), "{name}: {fix}");
            for (place, limit) in rule.limits.iter().flatten().enumerate() {
                let (flag, direction) = (&limit.flag, limit.direction.name());
                assert_eq!((flag.check)(flag.default), Ok(()), "{name}");
                if place == 0 {
                    assert_eq!(flag.name, format!("rule.{name}.{direction}"));
                }
                assert_eq!(flag.name, format!("rule.{name}.{}", limit.key()));
                assert!(flag.name.ends_with(direction), "{name}");
            }
        }
    }
}
