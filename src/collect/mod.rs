//! The collectors: one file each, one line each in the list below.
//!
//! A collector file reads top to bottom: the kernel file and its documentation, its tables, its state, `collect`, the
//! parser, tests with real kernel text. `CONTRIBUTING.md` walks through writing one.

use crate::cli::pattern::Pattern;
use crate::cli::{Bare, Flag, Group, Options, Switch};
use crate::kernel::{Fault, Machine, RemoteStat, Roots, Shared, Source};
use crate::model::{Head, Kind, Levels, Moment, Prose, Receiver, Reference, Report, Snapshot, kinds, prose};
use crate::runtime::sandbox::Needs;
use std::path::PathBuf;
use std::time::Duration;

mod counters;
pub mod processes;
mod readings;

pub use cpu::count as count_cpus;
pub use disk::wanted as wanted_filesystems;

/// Declares the collectors' modules and lists their registrations.
macro_rules! collectors {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// Every collector, in the order of all outputs.
        pub static ALL: &[&Registration] = &[$(&$name::COLLECTOR),*];

        /// Hands a text to the parsers of a collector: to `fuzz(text)`, where its file has one. Returns whether it does.
        #[cfg(fuzzing)]
        pub fn fuzz_parsers(collector: &str, text: &[u8]) -> bool {
            #[allow(unused_imports)]
            use no_fuzz::*;
            match collector {
                $(stringify!($name) => {
                    // Where the file has a function of this name, it hides the one above.
                    #[allow(unused_imports)]
                    use self::$name::*;
                    no_fuzz::run(fuzz, text)
                })*
                _ => false,
            }
        }
    };
}

// THE list. A new collector is one more line here, and one file.
collectors! {
    cpu
    memory
    network
    wifi
    system
    disk
    diskio
    storage
    pressure
    vm
    schedstat
    thermal
    hwmon
    cpufreq
    power
    watchdog
    mdraid
    nvme
    gpu
    link
    sockets
    netstat
    softnet
    conntrack
    arp
    files
    entropy
    clock
    services
    board
    textfile
    agent
}

/// What stands for `fuzz(text)` in a collector's file without it.
#[cfg(fuzzing)]
#[allow(dead_code, reason = "all collectors may have one")]
mod no_fuzz {
    pub struct Missing;

    pub trait Outcome {
        const RAN: bool;
    }

    impl Outcome for () {
        const RAN: bool = true;
    }

    impl Outcome for Missing {
        const RAN: bool = false;
    }

    pub fn fuzz(_text: &[u8]) -> Missing {
        Missing
    }

    pub fn run<T: Outcome>(fuzz: fn(&[u8]) -> T, text: &[u8]) -> bool {
        fuzz(text);
        T::RAN
    }
}

/// What the rest of the program knows about a collector.
#[derive(Debug)]
pub struct Registration {
    /// Its name in flags, `pi_collector_up` and JSON.
    pub name: &'static str,
    /// What it reports, in a few words, for `--help` and the metrics reference.
    pub summary: Prose,
    /// The kernel files or calls it reads, for people.
    pub source: Reference,
    /// What it reads and calls, for the sandbox and the fuzz targets.
    pub needs: Needs,
    /// Its tables, in the order of the outputs.
    pub tables: &'static [&'static Head],
    /// Flags of its own, named `collector.NAME.…`.
    pub flags: &'static [&'static Flag],
    /// Makes the collector; reads what cannot change while the agent runs.
    pub new: fn(&mut Setup) -> Box<dyn Collect>,
}

impl Registration {
    /// Returns the switch that turns it on and off.
    pub fn switch(&self) -> Switch {
        Switch { group: &GROUP, name: self.name, help: self.summary, on: true }
    }
}

/// The switches of collectors, and of what is just as optional.
pub static GROUP: Group = Group { name: "collector", title: "Collectors" };

pub static DISABLE_DEFAULTS: Bare =
    Bare { name: "collector.disable-defaults", help: prose("Disable all collectors except those enabled by name.") };

/// Returns whether a switch is on: the last one given counts, and the default if none is.
pub fn is_enabled(options: &Options, switch: &Switch) -> bool {
    options.switched(switch).unwrap_or(switch.on && !options.has(&DISABLE_DEFAULTS))
}

/// Reads one part of the kernel's knowledge.
pub trait Collect {
    /// Reads the kernel and pushes what it found.
    ///
    /// Hardware that is not there is no fault: nothing is pushed. One bad line or sensor must not hide the others: push
    /// those, and return the first fault.
    ///
    /// # Errors
    /// Broken data: it sets `pi_collector_up` to 0 and is logged when it comes, changes and goes.
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault>;

    /// Runs after all collectors have run, for rows about the collection itself.
    fn conclude(&mut self, summary: &Summary<'_>, out: &mut Snapshot) {
        let _ = (summary, out);
    }

    /// Returns whether [`Collect::prepare`] asks for anything.
    fn asks(&self) -> bool {
        false
    }

    /// Runs before [`Collect::collect`] and asks for what may block; see [`RemoteStat`].
    fn prepare(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// Runs every `--sample.interval`, for what needs two readings a set time apart.
    fn tick(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }
}

/// Returns a collector as [`Registration::new`] does. The small binary keeps all of them until it exits, so that it has no code that
/// takes them apart.
pub fn boxed(collector: impl Collect + 'static) -> Box<dyn Collect> {
    #[cfg(small)]
    let collector = Kept(std::mem::ManuallyDrop::new(collector));
    Box::new(collector)
}

#[cfg(small)]
struct Kept<T>(std::mem::ManuallyDrop<T>);

#[cfg(small)]
impl<T: Collect> Collect for Kept<T> {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        self.0.collect(context, out)
    }

    fn conclude(&mut self, summary: &Summary<'_>, out: &mut Snapshot) {
        self.0.conclude(summary, out);
    }

    fn asks(&self) -> bool {
        self.0.asks()
    }

    fn prepare(&mut self, context: &mut Context<'_>) {
        self.0.prepare(context);
    }

    fn tick(&mut self, context: &mut Context<'_>) {
        self.0.tick(context);
    }
}

/// What a collection hands to each collector.
#[derive(Debug)]
pub struct Context<'a> {
    pub moment: Moment,
    pub remote: &'a mut RemoteStat,
    /// What remembers how full filesystems were.
    pub levels: &'a mut dyn Levels,
    /// Whether a sample interval ends: what neither history nor a rule reads may be left out.
    pub tick: bool,
    /// Whether directories are listed to find new devices. Ticks do so only now and then; what is gone says so itself.
    pub lists: bool,
}

/// What is known once all collectors have run.
#[derive(Debug)]
pub struct Summary<'a> {
    /// What the rules found at the last tick.
    pub report: &'a Report,
    /// How often each kind of event happened, if they are recorded.
    pub events: Option<&'a [u64; kinds::NAMES.len()]>,
    /// The receivers of messages and measurements.
    pub receivers: &'a [Receiver],
    /// One for each collector of this collection, in their order.
    pub outcomes: &'a [Outcome],
}

/// How a collector fared.
#[derive(Debug)]
pub struct Outcome {
    pub collector: &'static str,
    /// Whether all of its data was good.
    pub up: bool,
    pub duration: Duration,
}

/// What a collector's `new` gets: the file trees and its flags.
#[derive(Debug)]
pub struct Setup<'a> {
    pub roots: &'a Roots,
    pub machine: Machine,
    options: &'a Options,
    shared: Vec<Shared>,
    /// What names other programs may not use in their own files.
    pub reserved: Reserved,
}

/// Hands on the families that pages in another program's names have; of a name that ends in `_`, all that begin with it.
pub type Reserved = fn(&mut dyn FnMut(&str, Kind));

impl<'a> Setup<'a> {
    /// Creates the setup for collectors that read below `roots` and obey `options`.
    pub fn new(roots: &'a Roots, machine: Machine, options: &'a Options) -> Self {
        Setup { roots, machine, options, shared: Vec::new(), reserved: |_| {} }
    }

    /// Returns a file below `/proc`.
    pub fn proc(&self, path: &str) -> Source {
        Source::new(self.roots.proc.join(path))
    }

    /// Returns a file below `/proc` that other collectors read too.
    pub fn shared_proc(&mut self, path: &str) -> Shared {
        let path: PathBuf = self.roots.proc.join(path);
        if let Some(shared) = self.shared.iter().find(|shared| shared.path() == path) {
            return shared.clone();
        }
        let shared = Shared::new(path);
        self.shared.push(shared.clone());
        shared
    }

    /// Returns all values given for a repeatable flag of the collector.
    pub fn values(&self, flag: &'static Flag) -> Vec<&str> {
        self.options.values(flag)
    }

    /// Returns the expression given for `flag`, which the command line has checked with [`crate::cli::pattern::check_pattern`].
    pub fn pattern(&self, flag: &'static Flag) -> Pattern {
        Pattern::new(self.options.value(flag)).unwrap_or_default()
    }
}
