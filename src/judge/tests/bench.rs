//! A machine whose files a test writes, with an agent on it and a clock that the test moves.

use super::super::rules::RECENT;
use crate::agent::Agent;
use crate::commands;
use crate::kernel::Machine;
use crate::model::Report;
use crate::sys::{ClockState, FsStat};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

thread_local! {
    pub static CLOCK: Cell<u64> = const { Cell::new(0) };
    /// Milliseconds beside the clock's seconds.
    pub static HALVES: Cell<u64> = const { Cell::new(0) };
    /// Whether something keeps the wall clock right, if the kernel says so.
    pub static KEPT: Cell<Option<bool>> = const { Cell::new(None) };
    pub static DISK: Cell<FsStat> = const { Cell::new(FULL_OF_AIR) };
}

pub const FULL_OF_AIR: FsStat = FsStat {
    block_size: 4096,
    blocks: 1000,
    blocks_free: 900,
    blocks_available: 900,
    files: 1000,
    files_free: 900,
    no_writes: false,
};

/// A machine whose files tests write, with an agent on it.
pub struct Bench {
    pub directory: PathBuf,
    pub agent: Agent,
    pub runtime: tokio::runtime::Runtime,
}

/// When benches boot, in seconds since boot: long enough ago to be no news.
pub const START: u64 = 100_000;

impl Bench {
    pub fn new(name: &str) -> Self {
        Bench::with(name, &[])
    }

    pub fn with(name: &str, more: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("pi-monitor-verdict-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let write = |file: &str, text: &str| write(&directory, file, text);
        CLOCK.set(START);
        DISK.set(FULL_OF_AIR);
        KEPT.set(None);
        // A load is that of CPUs with work.
        let work = if name == "load_high" { 251 } else { 0 };
        write(
            "proc/stat",
            &format!("cpu  {work} 0 0 1000 0 0 0 0\ncpu0 {work} 0 0 500 0 0 0 0\ncpu1 0 0 0 500 0 0 0 0\nbtime 1\n"),
        );
        let available = if name == "memory_pressure" { 499 } else { 900 };
        write("proc/meminfo", &format!("MemTotal: 1000 kB\nMemAvailable: {available} kB\n"));
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
        write("proc/pressure/memory", "some avg10=0 avg60=0 avg300=0 total=0\nfull avg10=0 avg60=0 avg300=0 total=0\n");
        write("proc/pressure/io", "some avg10=0 avg60=0 avg300=0 total=0\nfull avg10=0 avg60=0 avg300=0 total=0\n");
        write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
        write("sys/class/thermal/thermal_zone0/temp", "45000\n");
        write("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n");
        write("root/etc/os-release", "ID=debian\n");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let agent = start(&directory, more, &runtime);
        let mut bench = Bench { directory, agent, runtime };
        // The agent's own start is news for a while.
        CLOCK.set(START + RECENT);
        (0..3).for_each(|_| drop(bench.tick()));
        bench
    }

    /// Starts another agent on the same files.
    pub fn restart(&mut self) {
        self.agent = start(&self.directory, &[], &self.runtime);
    }

    /// Two seconds pass; the rules that are on then.
    pub fn tick(&mut self) -> Report {
        CLOCK.set(CLOCK.get() + 2);
        let Bench { agent, runtime, .. } = self;
        runtime.block_on(async {
            agent.snapshot(Duration::ZERO).await;
            agent.tick();
            agent.snapshot(Duration::ZERO).await.verdicts.clone()
        })
    }
}

fn start(directory: &std::path::Path, more: &[&str], runtime: &tokio::runtime::Runtime) -> Agent {
    let flags = ["proc", "sys", "root"].map(|root| format!("--path.{root}fs={}", directory.join(root).display()));
    let machine = Machine {
        statfs: |_| Ok(DISK.get()),
        since_boot: || Duration::from_millis(CLOCK.get() * 1000 + HALVES.get()),
        unix_time: || Duration::from_secs(1_800_000_000 + CLOCK.get()),
        clock_state: || KEPT.get().map(|synchronized| ClockState { synchronized, ..ClockState::default() }),
        ..Machine::default()
    };
    let flags = flags.into_iter().chain(more.iter().map(|flag| (*flag).to_owned()));
    let _entered = runtime.enter();
    Agent::new(&commands::parse(flags).unwrap(), machine)
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub fn write(directory: &std::path::Path, file: &str, text: &str) {
    let path = directory.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // In place, as the kernel's files change.
    std::fs::write(path, text).unwrap();
}

/// `errors` of eth0 among `packets`. All that other interfaces receive is broken, which says nothing about a wire.
pub fn net_dev(packets: u64, errors: u64) -> String {
    let noise = packets;
    format!(
        "Inter-|   Receive |  Transmit\n face |bytes |bytes\n  eth0: 9 {packets} {errors} 0 0 0 0 0 9 9 0 0 0 0 0 0\n    lo: 9 9 {noise} 0 0 0 0 0 9 9 0 0 0 0 0 0\ndocker0: 9 9 {noise} 0 0 0 0 0 9 9 0 0 0 0 0 0\n"
    )
}

pub fn names(report: &Report) -> Vec<&'static str> {
    report.items().map(|finding| finding.rule.name).collect()
}
