//! `/proc/PID/{stat,io,status,cmdline}`: the processes that use most CPU, memory and I/O.
//! <https://docs.kernel.org/filesystems/proc.html#process-specific-subdirectories>
//!
//! A scan reads two files of every process, which costs more than all collectors together. So it is made only when a client
//! asks or a rule wants to know who is to blame, once for all clients of a second, and rates are those between one scan and the next. What shows no more than
//! a few processes, their users and command lines, is read for those alone.
//!
//! A process may vanish between any two reads, its name may hold any bytes, and `hidepid` may hide all but the agent's own:
//! what cannot be read is absent.

use crate::cli::Switch;
use crate::collect::GROUP;
use crate::kernel::cgroups::io_bytes;
use crate::kernel::text::{lines, uint, words};
use crate::kernel::{Cgroups, Roots, read_into, read_record};
use crate::model::{BUSY_LISTS, BUSY_MAX, Busy, ProcessRow, ProcessScan, Top, Value, key, prose, push_label};
use crate::runtime::sandbox::{CAP_SYS_PTRACE, Needs, Rights};
use crate::sys::{self, Directory};
use std::fmt::Write as _;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

pub static PROCESSES: Switch = Switch {
    group: &GROUP,
    name: "processes",
    help: prose("/processes: what uses most CPU, memory and I/O; read only when a client asks"),
    on: true,
};
pub static COMMAND_LINES: Switch = Switch {
    group: &GROUP,
    name: "processes.command-lines",
    help: prose("command lines in /processes, which may hold secrets (default: off)"),
    on: false,
};

/// What [`Processes`] need: users' names change while the agent runs.
pub const NEEDS: Needs =
    Needs { paths: "proc root/etc sys/fs/cgroup", rights: &Rights { capabilities: CAP_SYS_PTRACE, ..Rights::NONE } };

/// How many processes are shown by each of CPU, memory and I/O.
const MOST: usize = 10;
/// The time between the two scans that a first answer needs.
const FIRST: Duration = Duration::from_millis(500);
/// Requests within this time share a scan.
const SHARED_FOR: Duration = Duration::from_millis(950);
/// A scan older than this is no basis for rates, and its culprits are no news.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// The most of a command line that is shown.
const COMMAND: usize = 256;

/// The kernel's letter for uninterruptible sleep.
const BLOCKED: u8 = b'D';
/// What a process must use of one CPU to be called a culprit, in percent.
const CULPRIT_PERCENT: u64 = 10;

/// Scans `/proc` when asked.
#[derive(Debug)]
pub struct Processes {
    /// The directory of processes, to which names are added and taken away again.
    path: PathBuf,
    directory: Option<Directory>,
    /// Whether it is the kernel's, not a copy.
    is_original: bool,
    users: Users,
    page_size: u64,
    command_lines: bool,
    before: Scan,
    present: Scan,
    groups: Groups,
    /// Time between the two scans; `None` if there is only one.
    interval: Option<Duration>,
    /// Ticks between the scans that went to processes which neither of them can account for; `None` if that is unknown.
    ended: Option<u64>,
    /// How long the last scan took.
    cost: Duration,
    top: Top,
    /// Places in `present`, of those to tell.
    shown: Vec<usize>,
    /// Places in `present`, of those that use most of each.
    busiest: [[Option<usize>; MOST]; BUSY_LISTS.len()],
    buffer: Vec<u8>,
    name: String,
    command: String,
}

#[derive(Debug, Default)]
struct Scan {
    at: Option<Duration>,
    /// In the order of their numbers.
    all: Vec<Process>,
    names: Vec<u8>,
    /// Ticks that all CPUs have spent on processes.
    spent: Option<u64>,
}

/// What services and containers read and wrote, which anybody may know: each group's hash and bytes.
#[derive(Debug)]
struct Groups {
    cgroups: Cgroups,
    before: Vec<(u64, u64)>,
    present: Vec<(u64, u64)>,
}

impl Groups {
    /// Finds the group that read and wrote most since the last look; an empty name is none.
    fn busiest(&mut self, buffer: &mut Vec<u8>, name: &mut String) {
        let Groups { cgroups, before, present } = self;
        std::mem::swap(before, present);
        present.clear();
        name.clear();
        let (mut most, root) = (0, cgroups.root());
        cgroups.each(&mut |path, below| {
            // A group that holds others counts their bytes, too.
            if below || path.as_os_str().len() == root {
                return false;
            }
            path.push("io.stat");
            let read = read_into(path, buffer);
            path.pop();
            if read.is_err() {
                return false;
            }
            let bytes = io_bytes(buffer).into_iter().fold(0, u64::saturating_add);
            let hash = key(&*path.to_string_lossy(), 0);
            present.push((hash, bytes));
            let old = before.iter().find(|(other, _)| *other == hash).map_or(bytes, |(_, old)| *old);
            if bytes.saturating_sub(old) > most {
                most = bytes - old;
                name.clear();
                push_label(name, path.file_name().unwrap_or_default().as_bytes());
            }
            true
        });
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Process {
    pid: u64,
    /// When it started, in ticks since boot: with the number it tells one process from all others.
    start: u64,
    name: Range<usize>,
    state: u8,
    threads: u64,
    resident_pages: u64,
    cpu_ticks: u64,
    /// What it read from and wrote to disks; `None` if the agent may not know.
    io: Option<[u64; 2]>,
    /// What it used since the scan before.
    cpu_used: u64,
    io_used: Option<[u64; 2]>,
    /// Whether it was in uninterruptible sleep in both scans.
    blocked: bool,
}

/// What to do about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is an answer.
    Ready,
    /// Ask again after this time.
    Wait(Duration),
}

impl Processes {
    /// Reads nothing yet.
    pub fn new(roots: &Roots, command_lines: bool) -> Self {
        Processes {
            path: roots.proc.clone(),
            directory: None,
            is_original: sys::is_procfs(&roots.proc),
            users: Users { path: roots.root.join("etc/passwd"), known: Vec::new() },
            page_size: sys::page_size(),
            command_lines,
            before: Scan::default(),
            present: Scan::default(),
            groups: Groups { cgroups: Cgroups::new(roots), before: Vec::new(), present: Vec::new() },
            interval: None,
            ended: None,
            cost: Duration::ZERO,
            top: Top::default(),
            shown: Vec::new(),
            busiest: Default::default(),
            buffer: Vec::new(),
            name: String::new(),
            command: String::new(),
        }
    }

    /// Returns when the last scan was; tells one answer from the next.
    pub fn scanned_at(&self) -> Option<Duration> {
        self.present.at
    }

    /// Those that used most, if somebody asked lately.
    pub fn top(&self, now: Duration) -> Option<&Top> {
        let at = self.present.at.filter(|_| self.interval.is_some())?;
        (now.saturating_sub(at) < FORGOTTEN).then_some(&self.top)
    }

    /// Scans if there is no scan of this moment.
    pub fn prepare(&mut self, clock: fn() -> Duration) -> Progress {
        let now = clock();
        let age = self.present.at.map(|at| now.saturating_sub(at)).filter(|age| *age < FORGOTTEN);
        match (age, self.interval) {
            (None, _) => {
                self.present.at = None;
                self.present.all.clear();
                self.scan(now, clock);
                Progress::Wait(FIRST)
            }
            (Some(age), None) if age < FIRST => Progress::Wait(FIRST - age),
            (Some(age), Some(_)) if age < SHARED_FOR => Progress::Ready,
            (Some(_), _) => {
                self.scan(now, clock);
                Progress::Ready
            }
        }
    }

    fn scan(&mut self, now: Duration, clock: fn() -> Duration) {
        std::mem::swap(&mut self.before, &mut self.present);
        let Processes { path, directory, is_original, before, present, interval, ended, buffer, .. } = self;
        let original = *is_original;
        let Scan { at, all, names, spent } = present;
        all.clear();
        names.clear();
        *at = Some(now);
        if directory.is_none() {
            *directory = Directory::open(path).ok();
        }
        if let Some(directory) = directory {
            // A list that breaks off tells of fewer processes, which is still more than none.
            let _ = directory.list(|name, _| {
                if let Some(pid) = uint(name) {
                    // procfs lists them in order, so this is nearly always the end.
                    let place = all.partition_point(|process| process.pid < pid);
                    all.insert(place, Process { pid, ..Process::default() });
                }
            });
        }
        path.push("stat");
        *spent = read_into(path, buffer).ok().and_then(|()| parse_spent(buffer));
        path.pop();
        let mut seen = 0_u64;
        let mut old = before.all.iter().peekable();
        all.retain_mut(|process| {
            if open(path, process.pid, "stat", original, buffer).is_none() || process.read(buffer, names).is_none() {
                return false;
            }
            process.io = open(path, process.pid, "io", original, buffer).and_then(|()| parse_io(buffer));
            while old.next_if(|old| old.pid < process.pid).is_some() {}
            // What is new has used all its time since the scan before.
            let mut used = process.cpu_ticks;
            if let Some(old) = old.peek().filter(|old| (old.pid, old.start) == (process.pid, process.start)) {
                // Kernel threads, which have no memory of their own, may rest so for good.
                process.blocked = old.state == BLOCKED && process.state == BLOCKED && process.resident_pages > 0;
                process.cpu_used = process.cpu_ticks.saturating_sub(old.cpu_ticks);
                used = process.cpu_used;
                process.io_used = process
                    .io
                    .zip(old.io)
                    .map(|(new, old)| std::array::from_fn(|direction| new[direction].saturating_sub(old[direction])));
            }
            seen = seen.saturating_add(used);
            true
        });
        *ended = spent.zip(before.spent).map(|(now, then)| now.saturating_sub(then).saturating_sub(seen));
        *interval = before.at.map(|before| now.saturating_sub(before));
        self.find_largest();
        self.cost = clock().saturating_sub(now);
    }

    /// Finds the processes to show, and those to blame.
    fn find_largest(&mut self) {
        let Processes { present: Scan { all, names, .. }, interval, groups, top, shown, busiest, buffer, .. } = self;
        shown.clear();
        for ((key, name), busiest) in [
            (Process::cpu_key as fn(&Process) -> u64, &mut top.cpu),
            (Process::memory_key, &mut top.memory),
            (Process::io_key, &mut top.io),
        ]
        .into_iter()
        .zip(&mut *busiest)
        {
            name.clear();
            *busiest = largest(all, key, shown);
            if let Some(first) = busiest[0] {
                push_label(name, &names[all[first].name.clone()]);
            }
        }
        // A tick is a hundredth of a second.
        let milliseconds = interval.map_or(0, |interval| interval.as_millis() as u64);
        if all.iter().all(|process| process.cpu_used * 1000 < CULPRIT_PERCENT * milliseconds) {
            top.cpu.clear();
        }
        // Who may not see what others read and write knows only its own.
        if all.iter().filter(|process| process.io.is_none()).count() * 2 > all.len() {
            groups.busiest(buffer, &mut top.io);
            busiest[2] = Default::default();
        }
        top.blocked.clear();
        if let Some(process) = all.iter().find(|process| process.blocked) {
            push_label(&mut top.blocked, &names[process.name.clone()]);
        }
        // Sorted by insertion: they are few, and the library's sort would take 5 kB.
        let rank = |place: usize| (all[place].cpu_used, all[place].resident_pages);
        for end in 1..shown.len() {
            for at in (1..=end).rev() {
                if rank(shown[at]) <= rank(shown[at - 1]) {
                    break;
                }
                shown.swap(at, at - 1);
            }
        }
    }

    /// Describes the last scan.
    pub fn summary(&self, unix: Duration, cpus: u64) -> ProcessScan {
        ProcessScan {
            time: Value::decimal(u64::try_from(unix.as_millis()).unwrap_or(0), 3),
            interval: Value::decimal(self.milliseconds(), 3),
            cost: Value::seconds(self.cost),
            cpus,
            total: self.present.all.len() as u64,
            ended: self
                .ended
                .filter(|_| self.interval.is_some())
                .map_or(Value::ABSENT, |ended| Value::decimal(ended.saturating_mul(10_000) / self.milliseconds(), 1)),
        }
    }

    /// Returns the time that rates span, never 0.
    fn milliseconds(&self) -> u64 {
        self.interval.map_or(1, |interval| u64::try_from(interval.as_millis()).unwrap_or(1).max(1))
    }

    /// Hands the few processes of the last scan that use most of each to `show`, list by list in the order of [`BUSY_LISTS`].
    pub fn busiest(&mut self, show: &mut dyn FnMut(usize, &Busy<'_>)) {
        let milliseconds = self.milliseconds();
        let Processes { page_size, present, busiest, name, .. } = self;
        for (list, places) in busiest.iter().enumerate() {
            for process in places.iter().take(BUSY_MAX).flatten().map(|&place| &present.all[place]) {
                name.clear();
                push_label(name, &present.names[process.name.clone()]);
                let amount = match list {
                    0 => process.cpu_used.saturating_mul(10_000) / milliseconds,
                    1 => process.resident_pages.saturating_mul(*page_size),
                    _ => process.io_key().saturating_mul(1000) / milliseconds,
                };
                show(list, &Busy { pid: process.pid as u32, name, amount });
            }
        }
    }

    /// Hands the processes of the last scan that use most to `show`, the busiest first.
    pub fn each(&mut self, show: &mut dyn FnMut(&ProcessRow<'_>)) {
        let milliseconds = self.milliseconds();
        let Processes {
            path, is_original, users, page_size, command_lines, present, shown, buffer, name, command, ..
        } = self;
        let per_second = |used: u64| used.saturating_mul(1000) / milliseconds;
        for process in shown.iter().map(|&place| &present.all[place]) {
            name.clear();
            push_label(name, &present.names[process.name.clone()]);
            let owner = open(path, process.pid, "status", *is_original, buffer).and_then(|()| parse_owner(buffer));
            command.clear();
            let has_command = *command_lines && open(path, process.pid, "cmdline", false, buffer).is_some();
            if has_command {
                push_command(buffer, command);
            }
            show(&ProcessRow {
                pid: process.pid,
                name,
                user: owner.map(|owner| users.name(owner)),
                state: std::str::from_utf8(&[process.state]).unwrap_or("?"),
                threads: process.threads,
                // A tick is a hundredth of a second, so ticks per second are a percentage already.
                cpu_percent: Value::decimal(process.cpu_used.saturating_mul(10_000) / milliseconds, 1),
                resident_bytes: process.resident_pages.saturating_mul(*page_size),
                disk: process.io_used.map(|used| used.map(per_second)),
                command: has_command.then_some(command),
            });
        }
    }
}

impl Process {
    /// Parses a line such as `642 (a) S 1 (b c) S 1 642 642 0 …` with 52 fields; the name may hold anything, parentheses and line
    /// breaks too, but what follows the last parenthesis is the kernel's.
    fn read(&mut self, text: &[u8], names: &mut Vec<u8>) -> Option<()> {
        let start = text.iter().position(|&byte| byte == b'(')? + 1;
        let end = text.iter().rposition(|&byte| byte == b')')?;
        let mut words = words(text.get(end + 1..)?);
        self.state = *words.next()?.first()?;
        // The word behind the state is field 4.
        let mut field = |skip: usize| words.nth(skip).and_then(uint);
        let (user, system) = (field(14 - 4)?, field(0)?);
        self.cpu_ticks = user.saturating_add(system);
        self.threads = field(20 - 16)?;
        self.start = field(22 - 21)?;
        self.resident_pages = field(24 - 23)?;
        let name = text.get(start..end)?;
        self.name = names.len()..names.len() + name.len();
        names.extend_from_slice(name);
        Some(())
    }

    fn cpu_key(&self) -> u64 {
        self.cpu_used
    }

    fn memory_key(&self) -> u64 {
        self.resident_pages
    }

    fn io_key(&self) -> u64 {
        self.io_used.map_or(0, |[read, written]| read.saturating_add(written))
    }
}

/// Returns the places of those with the largest keys, the largest first, and adds them to `shown`, each place once. A key of 0
/// is none.
fn largest(all: &[Process], key: fn(&Process) -> u64, shown: &mut Vec<usize>) -> [Option<usize>; MOST] {
    let mut best = [None::<usize>; MOST];
    for (place, process) in all.iter().enumerate().filter(|(_, process)| key(process) > 0) {
        let rank = best.partition_point(|other| other.is_some_and(|other| key(&all[other]) >= key(process)));
        if rank < MOST {
            best[rank..].rotate_right(1);
            best[rank] = Some(place);
        }
    }
    for place in best.into_iter().flatten() {
        if !shown.contains(&place) {
            shown.push(place);
        }
    }
    best
}

/// Reads a process's file; `None` if the process is gone or the agent may not.
fn open(path: &mut PathBuf, pid: u64, file: &str, is_record: bool, buffer: &mut Vec<u8>) -> Option<()> {
    let mut number = [b'0'; 20];
    let mut at = number.len();
    let mut rest = pid;
    while rest > 0 || at == number.len() {
        at -= 1;
        number[at] += (rest % 10) as u8;
        rest /= 10;
    }
    path.push(std::str::from_utf8(&number[at..]).ok()?);
    path.push(file);
    let read = read_record(path, buffer, is_record);
    path.pop();
    path.pop();
    read.ok()
}

/// Lines such as `read_bytes: 2359296`: what came from and went to disks.
fn parse_io(text: &[u8]) -> Option<[u64; 2]> {
    let value = |name: &[u8]| lines(text).find_map(|(_, line)| uint(words(line.strip_prefix(name)?).next()?));
    Some([value(b"read_bytes:")?, value(b"write_bytes:")?])
}

/// Returns what a line such as `cpu  8123 12 4127 …` says was spent in user mode, niced or not, and in the kernel, in ticks.
fn parse_spent(text: &[u8]) -> Option<u64> {
    let mut words = words(text.strip_prefix(b"cpu ")?);
    let mut sum = 0_u64;
    for _ in 0..3 {
        sum = sum.checked_add(uint(words.next()?)?)?;
    }
    Some(sum)
}

/// Returns the effective user in `Uid: 1000 1000 1000 1000`: real, effective, saved, file system's.
fn parse_owner(text: &[u8]) -> Option<u64> {
    lines(text).find_map(|(_, line)| uint(words(line.strip_prefix(b"Uid:")?).nth(1)?))
}

/// Returns a command line's words, which end in NUL bytes, with spaces between them.
fn push_command(words: &[u8], text: &mut String) {
    let mut command = [b' '; COMMAND];
    let length = words.len().min(COMMAND);
    for (to, from) in command.iter_mut().zip(words) {
        *to = if *from == 0 { b' ' } else { *from };
    }
    let command = command[..length].trim_ascii_end();
    push_label(text, command);
}

/// Users' names by their numbers.
#[derive(Debug)]
struct Users {
    path: PathBuf,
    known: Vec<(u64, String)>,
}

impl Users {
    /// Returns the user's name, or the number itself if there is none. The file is read when a number is seen for the first time.
    fn name(&mut self, user: u64) -> &str {
        /// Far more than run processes on a Pi.
        const MOST: usize = 1000;
        let place = self.known.iter().position(|(known, _)| *known == user).unwrap_or_else(|| {
            if self.known.len() >= MOST {
                self.known.clear();
            }
            let mut name = String::new();
            let mut text = Vec::new();
            let _ = read_into(&self.path, &mut text);
            match find_user(&text, user) {
                Some(found) => push_label(&mut name, found),
                None => drop(write!(name, "{user}")),
            }
            self.known.push((user, name));
            self.known.len() - 1
        });
        &self.known[place].1
    }
}

/// Returns the name in a line such as `pi:x:1000:1000:,,,:/home/pi:/bin/bash`.
fn find_user(text: &[u8], user: u64) -> Option<&[u8]> {
    lines(text).find_map(|(_, line)| {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (uint(fields.nth(1)?)? == user).then_some(name)
    })
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let (mut process, mut names) = (Process::default(), Vec::new());
    let _ = (process.read(text, &mut names), parse_io(text), parse_owner(text), parse_spent(text));
    push_command(text, &mut String::new());
}

#[cfg(test)]
mod tests;
