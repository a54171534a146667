//! `/sys/fs/cgroup`: CPU time, memory, disk I/O and tasks of services and containers.
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html>
//!
//! A group is a service by its name: `NAME.service` as systemd calls it, or `openrc.NAME`. It is a container by the ID that engines put
//! into its name. What is in a service's or a container's group is counted there, so groups below it are left alone. Only the one
//! tree of version 2 is read: under version 1, each controller has a tree of its own, and in a hybrid the one of version 2 counts
//! nothing.

use super::processes::PROCESSES;
use super::{Collect, Context, Registration, is_enabled};
use crate::kernel::cgroups::{first_process, io_bytes, number};
use crate::kernel::engines::{CALLS, Engines, container_id};
use crate::kernel::text::{lines, trim, words};
use crate::kernel::{Bad, Cgroups, Fault, First, Roots, inode, read_record};
use crate::model::{Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::{Needs, Rights};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most services and containers that are reported, and that are followed.
const SHOWN_MAX: usize = 32;
const FOLLOWED_MAX: usize = 256;
/// The most groups that are looked at.
const GROUPS_MAX: usize = 1024;
/// How often the tree is listed, and what changes seldom is read.
const LOOK: Duration = Duration::from_secs(10);
/// How long one that is gone is remembered: if it comes back by then, it was restarted.
const GONE_FOR: Duration = Duration::from_secs(600);

/// The values of the label `kind`.
const KINDS: [&[u8]; 3] = [b"container", b"service", b"user"];
const CONTAINER: usize = 0;
const SERVICE: usize = 1;
const USER: usize = 2;

static STATE: Table<0, 2> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge(
            "pi_services_memory_accounting",
            "1 if the kernel counts the memory of services and containers, 0 if it was started without that.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_services_left_out",
            "Running services and containers that are not reported, because others use more.",
            Unit::Count,
        ),
    ],
);

/// What `memory.events` counts, under the kernel's names.
const EVENTS: [&str; 4] = ["high", "max", "oom", "oom_kill"];

static SERVICES: Table<2, 11> = Table::new(
    Place::List("services"),
    &["service", "kind"],
    &[
        Family::counter("pi_service_cpu_seconds_total", "CPU time used by the service or container.", Unit::Seconds),
        Family::gauge(
            "pi_service_memory_bytes",
            "Memory of the service or container, with the files that the kernel caches for it.",
            Unit::Bytes,
        ),
        Family::gauge("pi_service_memory_limit_bytes", "Memory limit of the service or container itself.", Unit::Bytes),
        Family::counter(
            "pi_service_memory_events_total",
            "Times that the service or container was slowed down (high), was at its limit (max), found no memory below it (oom) and lost a process (oom_kill).",
            Unit::Count,
        )
        .more(&More::NONE.by("event", &EVENTS)),
        Family::counter("pi_service_read_bytes_total", "Bytes that the service or container read from disks.", Unit::Bytes),
        Family::counter(
            "pi_service_written_bytes_total",
            "Bytes that the service or container wrote to disks.",
            Unit::Bytes,
        ),
        Family::gauge("pi_service_tasks", "Processes and threads of the service or container.", Unit::Count),
        Family::counter(
            "pi_service_restarts_total",
            "Restarts of the service or container that the agent noticed since it started.",
            Unit::Count,
        ),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "services",
    summary: prose("CPU, memory, I/O and restarts of services and containers"),
    source: reference("/sys/fs/cgroup (version 2)"),
    needs: Needs {
        paths: "sys/fs/cgroup proc root/var/lib/docker/containers",
        rights: &Rights { calls: CALLS, ..Rights::NONE },
    },
    tables: &[STATE.head(), SERVICES.head()],
    flags: &[],
    new: |setup| {
        // Who wants no names of processes gets none here, either.
        super::boxed(Services::new(setup.roots, is_enabled(setup.options, &PROCESSES)))
    },
};

struct Services {
    cgroups: Cgroups,
    /// The tree's directory, to which names are added and taken away again; None without version 2.
    tree: Option<PathBuf>,
    engines: Engines,
    proc: Option<PathBuf>,
    /// In the order of kinds and names.
    all: Vec<Service>,
    looked: Option<Duration>,
    counts_memory: bool,
    /// Running ones beyond [`FOLLOWED_MAX`].
    unknown: u64,
    text: Vec<u8>,
}

/// A service or a container.
struct Service {
    kind: usize,
    name: Vec<u8>,
    /// Its group's directory, to which names are added and taken away again.
    path: PathBuf,
    inode: u64,
    restarts: u64,
    /// Whether it runs.
    is_here: bool,
    is_shown: bool,
    /// When it was found gone.
    gone: Option<Duration>,
    limit: Option<u64>,
    events: [Option<u64>; EVENTS.len()],
    tasks: Option<u64>,
}

impl Service {
    /// Reads one of its group's files; returns whether that worked.
    fn read(&mut self, file: &str, text: &mut Vec<u8>) -> bool {
        read_below(&mut self.path, file, text)
    }

    fn number(&mut self, file: &str, text: &mut Vec<u8>) -> Option<u64> {
        self.read(file, text).then(|| number(text, b""))?
    }

    /// Microseconds of CPU time.
    fn cpu(&mut self, text: &mut Vec<u8>) -> Option<u64> {
        self.read("cpu.stat", text).then(|| number(text, b"usage_usec "))?
    }

    /// Reads what changes seldom.
    fn look(&mut self, counts_memory: bool, text: &mut Vec<u8>) {
        self.tasks = self.number("pids.current", text);
        (self.limit, self.events) = (None, [None; EVENTS.len()]);
        if counts_memory {
            self.limit = self.number("memory.max", text);
            if self.read("memory.events", text) {
                for (line, value) in EVENTS.iter().zip(&mut self.events) {
                    let mut all = lines(text).map(|(_, line)| line);
                    let rest = all.find_map(|found| found.strip_prefix(line.as_bytes())?.strip_prefix(b" "));
                    *value = rest.and_then(|rest| number(rest, b""));
                }
            }
        }
    }
}

/// The kernel prints each of these files as one record.
fn read_below(path: &mut PathBuf, file: &str, text: &mut Vec<u8>) -> bool {
    text.clear();
    path.push(file);
    let read = read_record(path, text, true);
    path.pop();
    read.is_ok()
}

impl Services {
    fn new(roots: &Roots, names_processes: bool) -> Self {
        let cgroups = Cgroups::new(roots);
        Services {
            tree: cgroups.unified().map(Path::to_owned),
            cgroups,
            engines: Engines::new(&roots.proc, &roots.root),
            proc: names_processes.then(|| roots.proc.clone()),
            all: Vec::new(),
            looked: None,
            counts_memory: false,
            unknown: 0,
            text: Vec::new(),
        }
    }

    /// Lists the tree, and notices what came, went and was restarted.
    fn look(&mut self, now: Duration) {
        let Services { cgroups, tree, engines, proc, all, looked, counts_memory, unknown, text } = self;
        let Some(tree) = tree else { return };
        *looked = Some(now);
        *counts_memory = read_below(tree, "cgroup.controllers", text) && words(text).any(|word| word == b"memory");
        *unknown = 0;
        engines.is_free();
        for service in &mut *all {
            service.is_here = false;
        }
        let (mut visited, root) = (0, cgroups.root());
        cgroups.descend(&mut |path| {
            visited += 1;
            let kind = match classify(path, root) {
                Group::Of(kind) => kind,
                Group::Above => return visited < GROUPS_MAX,
                Group::Other => return false,
            };
            // systemd keeps the empty groups of services that have done their work.
            if read_below(path, "cgroup.events", text) && number(text, b"populated ") == Some(0) {
                return false;
            }
            let Ok(inode) = inode(path) else { return false };
            if let Some(known) = all.iter_mut().find(|service| service.path.as_os_str() == path.as_os_str()) {
                known.is_seen(inode);
                return false;
            }
            let Some(mut name) = name(path, kind, engines, proc.as_deref(), text) else { return false };
            let is_same = |service: &Service, name: &Vec<u8>| service.kind == kind && service.name == *name;
            if let Some(known) = all.iter_mut().find(|service| is_same(service, &name)) {
                if !known.is_alive() {
                    // Its engine made a new group for it.
                    known.path.clone_from(path);
                    known.is_seen(inode);
                    return false;
                }
                // Two engines have a container of this name.
                let Some(id) = container_id(path.file_name().unwrap_or_default()) else { return false };
                name = id.as_bytes()[..SHORT].to_vec();
            }
            if all.len() >= FOLLOWED_MAX {
                *unknown += 1;
                return false;
            }
            let place = all.iter().position(|other| (other.kind, &other.name) > (kind, &name)).unwrap_or(all.len());
            all.insert(
                place,
                Service {
                    kind,
                    name,
                    path: path.clone(),
                    inode,
                    restarts: 0,
                    is_here: true,
                    is_shown: false,
                    gone: None,
                    limit: None,
                    events: [None; EVENTS.len()],
                    tasks: None,
                },
            );
            false
        });
        all.retain_mut(|service| {
            if !service.is_here {
                return now.saturating_sub(*service.gone.get_or_insert(now)) < GONE_FOR;
            }
            service.look(*counts_memory, text);
            true
        });
        choose(all, text);
    }
}

impl Service {
    /// Its group is there.
    fn is_seen(&mut self, inode: u64) {
        self.restarts += u64::from(self.gone.is_some() || self.inode != inode);
        (self.inode, self.gone, self.is_here) = (inode, None, true);
    }

    /// Returns whether its group is still the one that is known.
    fn is_alive(&self) -> bool {
        self.is_here || self.gone.is_none() && inode(&self.path).is_ok_and(|inode| inode == self.inode)
    }
}

/// Chooses those to report: all that run or, if they are too many, those that were in trouble or use most.
fn choose(all: &mut [Service], text: &mut Vec<u8>) {
    let count = all.iter().filter(|service| service.is_here).count();
    if count <= SHOWN_MAX {
        for service in all {
            service.is_shown = service.is_here;
        }
        return;
    }
    let mut scores = [0; FOLLOWED_MAX];
    for (service, score) in all.iter_mut().zip(&mut scores).filter(|(service, _)| service.is_here) {
        // A second of CPU time weighs as much as a MiB of memory.
        let used = service.cpu(text).unwrap_or(0) + service.number("memory.current", text).unwrap_or(0);
        let trouble = service.restarts + service.events[3].unwrap_or(0);
        // Who is reported stays so until another one uses much more.
        *score = 1 + used + used / 2 * u64::from(service.is_shown) + (trouble.min(1) << 62);
        service.is_shown = false;
    }
    for _ in 0..SHOWN_MAX {
        let mut largest = 0;
        for place in 1..all.len() {
            if scores[place] > scores[largest] {
                largest = place;
            }
        }
        scores[largest] = 0;
        all[largest].is_shown = true;
    }
}

/// How many digits of a container's ID are shown.
const SHORT: usize = 12;

/// Returns the name of a group's service or container; `None` if that cannot be known yet.
fn name(path: &Path, kind: usize, engines: &mut Engines, proc: Option<&Path>, text: &mut Vec<u8>) -> Option<Vec<u8>> {
    let file = path.file_name().unwrap_or_default();
    if let Some(id) = container_id(file) {
        if let Some(name) = engines.name(path, id) {
            return Some(name);
        }
        let mut name = id.as_bytes()[..SHORT].to_vec();
        if let Some(pid) = proc.and(first_process(path, text)) {
            if read_record(&proc?.join(format!("{pid}/comm")), text, true).is_ok() {
                // The engine's own program, which is about to become the container's.
                if text.starts_with(b"runc") || text.starts_with(b"crun") {
                    return None;
                }
                name.push(b' ');
                name.extend_from_slice(trim(text));
            }
        }
        return Some(name);
    }
    let mut name = file.as_bytes();
    for prefix in [OPENRC, LXC] {
        name = name.strip_prefix(prefix).unwrap_or(name);
    }
    let name = name.strip_suffix(SUFFIX).unwrap_or(name);
    let mut whole = Vec::new();
    if kind == USER {
        whole.extend_from_slice(path.components().find_map(|part| manager(part.as_os_str().as_bytes())).unwrap_or(b""));
        whole.push(b'/');
    }
    whole.extend_from_slice(name);
    Some(whole)
}

const OPENRC: &[u8] = b"openrc.";
const LXC: &[u8] = b"lxc.payload.";
const SUFFIX: &[u8] = b".service";

/// What a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// A service or container, of this kind.
    Of(usize),
    /// It holds such groups.
    Above,
    /// Something else: a session, a mount, a device.
    Other,
}

/// Returns what the group with this directory is; `root` is how many bytes of it are the tree's own.
fn classify(path: &Path, root: usize) -> Group {
    let Some(below) = path.as_os_str().as_bytes().get(root + 1..) else { return Group::Above };
    let file = path.file_name().unwrap_or_default();
    if container_id(file).is_some() {
        return Group::Of(CONTAINER);
    }
    let name = file.as_bytes();
    if name.starts_with(LXC) {
        return Group::Of(CONTAINER);
    }
    if name.starts_with(OPENRC) {
        return Group::Of(SERVICE);
    }
    if let Some(name) = name.strip_suffix(SUFFIX) {
        if manager(file.as_bytes()).is_some() {
            return Group::Above;
        }
        // `ssh@5-10.0.0.2:22-10.0.0.7:50514` serves one connection; the next has another name.
        let mut instance = name.split(|byte| *byte == b'@').nth(1).unwrap_or_default();
        let digits = instance.iter().take_while(|byte| byte.is_ascii_digit()).count();
        instance = &instance[digits..];
        if digits > 0 && instance.starts_with(b"-") {
            return Group::Other;
        }
        let is_user = below.split(|byte| *byte == b'/').any(|part| manager(part).is_some());
        return Group::Of(if is_user { USER } else { SERVICE });
    }
    // Slices, and the groups of engines and orchestrators that use no systemd.
    if name.ends_with(b".slice") || !name.contains(&b'.') { Group::Above } else { Group::Other }
}

/// Returns the number of the user whose service manager this group is: `user@1000.service`.
fn manager(group: &[u8]) -> Option<&[u8]> {
    group.strip_prefix(b"user@")?.strip_suffix(SUFFIX)
}

impl Collect for Services {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        if self.tree.is_none() {
            return Ok(());
        }
        self.report(context.moment.since_boot, out)
    }
}

impl Services {
    fn report(&mut self, now: Duration, out: &mut Snapshot) -> Result<(), Fault> {
        if self.looked.is_none_or(|at| now.saturating_sub(at) >= LOOK) {
            self.look(now);
        }
        let Services { all, counts_memory, unknown, text, looked, .. } = self;
        let (mut first, mut any, mut left_out) = (First::new(), false, *unknown);
        for service in all.iter_mut().filter(|service| service.is_here) {
            if !service.is_shown {
                left_out += 1;
                continue;
            }
            let cpu = service.cpu(text);
            if cpu.is_none() {
                if !text.is_empty() {
                    let bad = Bad::new(1, "usage_usec and a number", text);
                    first.note(Fault::parse(&service.path.join("cpu.stat"), bad));
                } else {
                    // It may be gone.
                    *looked = None;
                }
            }
            let memory = counts_memory.then(|| service.number("memory.current", text)).flatten();
            let io = service.read("io.stat", text).then(|| io_bytes(text));
            let [high, max, oom, oom_kill] = service.events.map(Value::from);
            any |= cpu.is_some() || memory.is_some();
            if cpu.is_some() || memory.is_some() || io.is_some() {
                out.row(
                    &SERVICES,
                    [&service.name, KINDS[service.kind]],
                    [
                        cpu.map_or(Value::ABSENT, |cpu| Value::decimal(cpu, 6)),
                        memory.into(),
                        service.limit.into(),
                        high,
                        max,
                        oom,
                        oom_kill,
                        io.map(|[read, _]| read).into(),
                        io.map(|[_, written]| written).into(),
                        service.tasks.into(),
                        service.restarts.into(),
                    ],
                );
            }
        }
        if any {
            out.row(&STATE, [], [u64::from(*counts_memory).into(), left_out.into()]);
        }
        if any { Ok(()) } else { first.result() }
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = (io_bytes(text), number(text, b"usage_usec "));
    let path = Path::new("/").join(std::ffi::OsStr::from_bytes(text));
    let _ = classify(&path, 0);
}

#[cfg(test)]
mod tests;
