//! What happens on the machine, as the kernel reports it: descriptors that wake the agent, and what they mean.
//!
//! Each source is a descriptor and a small state machine that turns what it reads into [`Note`]s. All of them are opened
//! before the agent confines itself; nothing here polls, waits or allocates once it runs. A source that
//! this kernel, container or service manager does not offer is absent.

mod clock;
mod devices;
mod flow;
mod links;
mod log;
mod mounts;
mod pressure;
mod wifi;

pub use flow::{Flow, Out};
pub use pressure::is_real;

use super::{Machine, Roots};
use crate::model::Note;
use crate::runtime::sandbox::{Call, Needs, Rights};
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// What the sources need once the agent is confined. They are opened before that: the kernel's log with CAP_SYSLOG, which is
/// given up afterwards, and netlink, whose family the filter then refuses.
pub const NEEDS: Needs = Needs {
    paths: "proc/self/mountinfo sys/devices",
    rights: &Rights { calls: &[Call::Any(libc::SYS_adjtimex)], ..Rights::NONE },
};

/// One record of `/dev/kmsg` or one datagram of netlink.
const BUFFER: usize = 8192;

/// How many records or datagrams of one source are read at once. A source that has more waits for the next tick.
const AT_ONCE: usize = 256;

/// What is left to do for a source that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing, until it is ready again.
    Wait,
    /// To read it once more with the next tick, but not before, even if it is ready.
    Rest,
    /// Nothing ever again.
    End,
}

/// A descriptor that wakes the agent.
trait Source {
    /// What to wait for.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Reads what there is, and takes note of it.
    fn read(&mut self, buffer: &mut [u8], out: &mut Out<'_>) -> Next;

    /// Looks at what the kernel does not report by itself.
    fn tick(&mut self, _out: &mut Out<'_>) {}

    /// Whether the kernel signals news by an exceptional condition, which it then forgets.
    fn is_exceptional(&self) -> bool {
        false
    }
}

/// Decides whether a mount point and a filesystem type are reported.
pub type Filesystems = Box<dyn Fn(&[u8], &[u8]) -> bool>;

/// How the sources are set up.
pub struct Wanted {
    pub machine: Machine,
    pub filesystems: Filesystems,
    /// Whether notes may name processes.
    pub processes: bool,
}

struct Entry {
    source: Box<dyn Source>,
    next: Next,
}

/// All sources.
#[derive(Default)]
pub struct Watch {
    sources: Vec<Entry>,
    buffer: Vec<u8>,
    flow: Flow,
    processes: bool,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Opens every source that there is. Call it before the agent confines itself.
    ///
    /// With a copy of procfs, only the copy is looked at: nothing is opened.
    pub fn open(roots: &Roots, wanted: Wanted) -> Self {
        let Wanted { machine, filesystems, processes } = wanted;
        let mut watch = Watch { processes, ..Watch::default() };
        if !is_real(&roots.proc) {
            return watch;
        }
        watch.add("the kernel's log", log::open());
        match links::open(&roots.sys) {
            Ok(source) => {
                let names = source.names();
                watch.add("network interfaces", Ok(Box::new(source)));
                watch.add("Wi-Fi", wifi::open(names));
            }
            Err(error) => watch.add("network interfaces", Err(error)),
        }
        watch.add("mounts", mounts::open(roots, filesystems));
        watch.add("clock", clock::open(machine));
        for resource in pressure::ALL {
            watch.add(resource.name, pressure::open(&roots.proc, resource));
        }
        watch.add("devices", devices::open(&roots.sys));
        watch.buffer = vec![0; BUFFER];
        watch
    }

    fn add(&mut self, what: &str, source: io::Result<Box<dyn Source>>) {
        match source {
            Ok(source) => self.sources.push(Entry { source, next: Next::Wait }),
            Err(error) => crate::debug!("events of {what} are not seen: {error}"),
        }
    }

    /// Lets `watch` wait for the sources: it is handed the number of each, its descriptor, and whether the kernel signals news
    /// there by an exceptional condition.
    pub fn each(&self, watch: &mut dyn FnMut(usize, OwnedFd, bool) -> io::Result<()>) {
        for (number, Entry { source, .. }) in self.sources.iter().enumerate() {
            let descriptor = source.descriptor().try_clone_to_owned();
            if let Err(error) = descriptor.and_then(|descriptor| watch(number, descriptor, source.is_exceptional())) {
                crate::debug!("source {number} of events cannot be waited for: {error}");
            }
        }
    }

    /// Reads a source that is ready, and hands what it reports to `to`.
    pub fn read(&mut self, source: usize, now: Duration, to: &mut dyn FnMut(Note<'_>)) {
        let Watch { sources, buffer, flow, processes } = self;
        let Some(entry) = sources.get_mut(source).filter(|entry| entry.next == Next::Wait) else { return };
        entry.next =
            entry.source.read(buffer, &mut Out { flow, now, processes: *processes, clock_is_right: false, to });
    }

    /// Ends what lasted until now, and reads those sources again that had too much to report at once. Returns whether the
    /// kernel says that the wall clock is right.
    pub fn tick(&mut self, now: Duration, to: &mut dyn FnMut(Note<'_>)) -> bool {
        let Watch { sources, buffer, flow, processes } = self;
        let mut out = Out { flow, now, processes: *processes, clock_is_right: false, to };
        out.tick();
        for Entry { source, next } in sources {
            source.tick(&mut out);
            if *next == Next::Rest {
                *next = source.read(buffer, &mut out);
            }
        }
        out.clock_is_right
    }
}

/// A name of the kernel in a message: bytes that are no UTF-8 are written as `\xNN`.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Runs the parsers of all sources, for their fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    log::fuzz(text);
    links::fuzz(text);
    devices::fuzz(text);
    wifi::fuzz(text);
    crate::kernel::nl80211::fuzz(text);
}
