//! `/proc/loadavg`, `/proc/uptime`, `/proc/stat`: what the machine as a whole does.
//! <https://docs.kernel.org/filesystems/proc.html#kernel-data>

use super::{Collect, Context, Registration, Setup};
use crate::kernel::text::{find, lines, take_uint, uint, words};
use crate::kernel::{Bad, Fault, Members, Shared, Source, inode};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;
use crate::sys::{self, Directory};
use std::path::PathBuf;

pub static SYSTEM: Table<0, 13> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge(
            "pi_load_average",
            "Threads running, waiting to run or waiting for disk I/O, averaged over each period.",
            Unit::Count,
        )
        .more(&More::NONE.by("period", &["1m", "5m", "15m"]).history(&[Chart::first("load").values(&["1m"])])),
        Family::gauge("pi_uptime_seconds", "Time since boot.", Unit::Seconds),
        Family::gauge("pi_boot_time_seconds", "Unix time at which the machine booted.", Unit::Seconds),
        Family::gauge("pi_processes", "Number of processes.", Unit::Count),
        Family::gauge("pi_threads", "Number of threads, including those of the kernel.", Unit::Count),
        Family::gauge("pi_processes_running", "Threads running or waiting to run.", Unit::Count),
        Family::gauge("pi_processes_blocked", "Threads waiting for disk I/O.", Unit::Count),
        Family::counter("pi_forks_total", "Processes and threads created since boot.", Unit::Count),
        Family::counter("pi_context_switches_total", "Context switches since boot.", Unit::Count),
        Family::counter("pi_interrupts_total", "Interrupts served since boot.", Unit::Count),
        Family::counter("pi_softirqs_total", "Softirqs (deferred interrupt work) run since boot.", Unit::Count),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "system",
    summary: prose("load, uptime, processes, interrupts"),
    source: reference("/proc/loadavg, /proc/uptime, /proc/stat"),
    needs: Needs::reading("proc"),
    tables: &[SYSTEM.head()],
    flags: &[],
    new: |setup| super::boxed(System::new(setup)),
};

struct System {
    loadavg: Source,
    uptime: Source,
    stat: Shared,
    processes: ProcessCount,
}

impl System {
    fn new(setup: &mut Setup) -> Self {
        System {
            loadavg: setup.proc("loadavg").in_small_records(),
            uptime: setup.proc("uptime").in_small_records(),
            stat: setup.shared_proc("stat"),
            processes: ProcessCount::new(setup.roots.proc.clone()),
        }
    }
}

impl Collect for System {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let System { loadavg, uptime, stat, processes } = self;
        // Containers mask or empty some of the files; the others say what they know.
        let mut members = Members::default();
        let load = members.ask(loadavg, &mut false, parse_loadavg).unwrap_or_default();
        // The kernel makes this file's number of the same clock, which can be read without a system call.
        let uptime = match uptime.is_original() {
            true => {
                members.note(Ok(()));
                Some(Value::decimal(context.moment.since_boot.as_millis() as u64 / 10, 2))
            }
            false => members.ask(uptime, &mut false, parse_uptime),
        };
        let stat = match (!context.tick).then(|| stat.read(context.moment)) {
            // Neither history nor a rule reads any of it.
            None => Stat::default(),
            Some(Ok(text)) => {
                let (values, bad) = parse_stat(&text);
                members.note(bad.map_or(Ok(()), |bad| Err(Fault::parse(&stat.path(), bad))));
                values
            }
            Some(Err(fault)) => {
                members.note(Err(fault));
                Stat::default()
            }
        };
        let Load { one, five, fifteen, threads } = load;
        let Stat { boot_time, running, blocked, forks, switches, interrupts, softirqs } = stat;
        let values = [
            one.into(),
            five.into(),
            fifteen.into(),
            uptime.into(),
            boot_time.into(),
            (!context.tick).then(|| processes.count()).flatten().into(),
            threads.into(),
            running.into(),
            blocked.into(),
            forks.into(),
            switches.into(),
            interrupts.into(),
            softirqs.into(),
        ];
        out.row(&SYSTEM, [], values);
        members.result()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Load {
    one: Option<Value>,
    five: Option<Value>,
    fifteen: Option<Value>,
    threads: Option<u64>,
}

/// `0.52 0.31 0.16 2/137 2588`: averages over 1, 5 and 15 minutes, running and all threads, the last process's number.
fn parse_loadavg(text: &[u8]) -> Result<Load, Bad> {
    let mut words = words(text);
    let mut average = || words.next().and_then(Value::parse);
    let (one, five, fifteen) = (average(), average(), average());
    let threads = words.next().and_then(|word| {
        let slash = word.iter().position(|&byte| byte == b'/')?;
        uint(&word[..slash])?;
        uint(&word[slash + 1..])
    });
    if one.is_none() || five.is_none() || fifteen.is_none() || threads.is_none() {
        return Err(Bad::new(1, "three averages and running/all threads", text));
    }
    Ok(Load { one, five, fifteen, threads })
}

/// `438.17 866.62`: seconds since boot, and the idle seconds of all CPUs.
fn parse_uptime(text: &[u8]) -> Result<Value, Bad> {
    words(text).next().and_then(Value::parse).ok_or_else(|| Bad::new(1, "seconds since boot", text))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Stat {
    boot_time: Option<u64>,
    running: Option<u64>,
    blocked: Option<u64>,
    forks: Option<u64>,
    switches: Option<u64>,
    interrupts: Option<u64>,
    softirqs: Option<u64>,
}

/// Lines of a name and a number: `ctxt 165749`, `btime 1795359511`, `processes 2588`, `procs_running 3`, `procs_blocked 0`;
/// `intr` and `softirq` have the sum of all kinds first, and then each kind's number.
///
/// Returns what could be read, and the first bad line or missing name.
fn parse_stat(text: &[u8]) -> (Stat, Option<Bad>) {
    const NAMES: [&str; 7] = ["intr", "ctxt", "btime", "processes", "procs_running", "procs_blocked", "softirq"];
    let mut stat = Stat::default();
    let Stat { boot_time, running, blocked, forks, switches, interrupts, softirqs } = &mut stat;
    let fields = [interrupts, switches, boot_time, forks, running, blocked, softirqs];
    let mut first = None;
    for (number, line) in lines(text) {
        // The first two letters distinguish these from the CPUs' lines, of which there may be many.
        let ([b'b' | b'p' | b'i' | b's', ..] | [b'c', b't', ..]) = line else { continue };
        let Some(blank) = find(b' ', line) else { continue };
        let (name, mut rest) = line.split_at(blank);
        let Some(place) = NAMES.iter().position(|known| known.as_bytes() == name) else { continue };
        *fields[place] = take_uint(&mut rest);
        if fields[place].is_none() {
            first.get_or_insert(Bad::new(number, "a name and a number", line));
        }
    }
    if first.is_none() && (stat.boot_time.is_none() || stat.forks.is_none() || stat.switches.is_none()) {
        first = Some(Bad::missing("btime, processes and ctxt"));
    }
    (stat, first)
}

/// Counts processes without listing them.
///
/// The number of links of `/proc` is that of an empty directory (2), plus one for each directory in it, where the kernel
/// adds the number of processes instead of looking (`proc_root_getattr` in `fs/proc/root.c`). That is the number of the whole
/// machine, also in a process namespace that shows few of them: there they are listed. Listing a hundred processes costs
/// about as much as everything else in this file.
#[derive(Debug)]
struct ProcessCount {
    path: PathBuf,
    directory: Option<Directory>,
    /// Whether the links hold the number: not in a copy of procfs, nor in a process namespace.
    by_links: bool,
    /// Links of `/proc` that are not processes.
    others: u64,
    /// Until when `others` is trusted: a module may add a directory to `/proc`.
    uses_left: u32,
}

impl ProcessCount {
    const USES: u32 = 1000;

    fn new(path: PathBuf) -> Self {
        /// `PROC_PID_INIT_INO` in `include/linux/proc_ns.h`.
        const MACHINES_NAMESPACE: u64 = 0xefff_fffc;
        let namespace = inode(&path.join("self/ns/pid"));
        let by_links = namespace.is_ok_and(|namespace| namespace == MACHINES_NAMESPACE) && sys::is_procfs(&path);
        ProcessCount { path, directory: None, by_links, others: 0, uses_left: 0 }
    }

    fn count(&mut self) -> Option<u64> {
        if self.uses_left == 0 {
            let (directories, processes) = self.list()?;
            if !self.by_links {
                return Some(processes);
            }
            self.others = 2 + directories;
            self.uses_left = Self::USES;
        }
        self.uses_left -= 1;
        self.directory.as_ref()?.links().ok()?.checked_sub(self.others)
    }

    /// Returns how many directories `/proc` holds that are no process, and how many that are one.
    fn list(&mut self) -> Option<(u64, u64)> {
        if self.directory.is_none() {
            self.directory = Some(Directory::open(&self.path).ok()?);
        }
        let (mut directories, mut processes) = (0, 0);
        let listed = self.directory.as_mut()?.list(|name, is_directory| match uint(name) {
            Some(_) => processes += 1,
            None => directories += u64::from(is_directory),
        });
        listed.ok().map(|()| (directories, processes))
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = (parse_loadavg(text), parse_uptime(text), parse_stat(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_files() {
        let load = parse_loadavg(b"0.52 1.31 10.16 2/137 2588\n").unwrap();
        assert_eq!(load.fifteen, Some(Value::decimal(1016, 2)));
        assert_eq!(load.threads, Some(137));
        assert_eq!(parse_uptime(b"438.17 866.62\n"), Ok(Value::decimal(43817, 2)));
        let (stat, bad) = parse_stat(
            b"cpu  1 2 3 4\nintr 78653 0 1\nctxt 165749\nbtime 1795359511\nprocesses 2588\nprocs_running 3\nprocs_blocked 0\nsoftirq 41587 0\n",
        );
        assert_eq!(bad, None);
        let expected = Stat {
            boot_time: Some(1_795_359_511),
            running: Some(3),
            blocked: Some(0),
            forks: Some(2588),
            switches: Some(165_749),
            interrupts: Some(78_653),
            softirqs: Some(41_587),
        };
        assert_eq!(stat, expected);
    }

    #[test]
    fn garbage_is_named() {
        for bad in ["", "0.52 0.31", "0.52 0.31 0.16 137 2588", "a b c 1/2 3", "0.52 0.31 0.16 x/137 2588"] {
            assert!(parse_loadavg(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse_uptime(b"").is_err() && parse_uptime(b"-1.00 2").is_err());
        let (stat, bad) = parse_stat(b"btime 1\nctxt x\nprocesses 2\n");
        assert_eq!((stat.boot_time, stat.switches, bad.unwrap().line), (Some(1), None, 2));
        assert!(parse_stat(b"").1.is_some());
    }

    #[test]
    fn processes_are_counted_as_a_list_would() {
        // Processes come and go meanwhile, so the count must lie near those of two lists.
        let mut by_list = ProcessCount { by_links: false, ..ProcessCount::new("/proc".into()) };
        let mut by_links = ProcessCount::new("/proc".into());
        assert!(by_links.count().is_some());
        for _ in 0..3 {
            let (before, counted, after) =
                (by_list.count().unwrap(), by_links.count().unwrap(), by_list.count().unwrap());
            assert!(
                counted + 20 >= before.min(after) && counted <= before.max(after) + 20,
                "{before} {counted} {after}"
            );
        }
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
        assert_eq!(by_links.by_links, namespace.to_str() == Some("pid:[4026531836]"));
    }
}
