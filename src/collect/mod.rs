//! The collectors: one file each, one line each in the list below.
//!
//! A collector file reads top to bottom: the kernel file and its documentation, its tables, its state, `collect`, the
//! parser, tests with real kernel text. `CONTRIBUTING.md` walks through writing one.

use crate::cli::pattern::Pattern;
use crate::cli::{Bare, Flag, Group, Options, Switch};
use crate::kernel::{Fault, Machine, RemoteStat, Roots, Shared, Source};
use crate::model::{Head, Moment, Snapshot};
use crate::runtime::sandbox::Needs;
use std::path::PathBuf;

/// Declares the collectors' modules and lists their registrations.
macro_rules! collectors {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// Every collector, in the order of all outputs.
        pub static ALL: &[&Registration] = &[$(&$name::COLLECTOR),*];
    };
}

// THE list. A new collector is one more line here, and one file.
collectors! {
    cpu
    memory
    network
    system
    disk
    diskio
    pressure
    vm
    thermal
    cpufreq
    power
    board
    agent
}

/// What the rest of the program knows about a collector.
#[derive(Debug)]
pub struct Registration {
    /// Its name in flags, `pi_collector_up` and JSON.
    pub name: &'static str,
    /// What it tells, in a few words, for `--help` and the metrics reference.
    pub summary: &'static str,
    /// The kernel files or calls it reads, for people.
    pub source: &'static str,
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
    /// What switches it on and off.
    pub fn switch(&self) -> Switch {
        Switch { group: &GROUP, name: self.name, help: self.summary, on: true }
    }
}

/// The switches of collectors, and of what is just as optional.
pub static GROUP: Group = Group { name: "collector", title: "Collectors" };

pub static DISABLE_DEFAULTS: Bare =
    Bare { name: "collector.disable-defaults", help: "Run only the collectors that are switched on by name." };

/// Whether what a switch stands for runs: the last one counts, and without one the default.
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

    /// Runs before [`Collect::collect`] and asks for what may block; see [`RemoteStat`].
    fn prepare(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// Runs every `--sample.interval`, for what needs two readings a set time apart.
    fn tick(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }
}

/// What a collection hands to each collector.
#[derive(Debug)]
pub struct Context<'a> {
    pub moment: Moment,
    pub remote: &'a mut RemoteStat,
}

/// What a collector's `new` gets: the file trees and its flags.
#[derive(Debug)]
pub struct Setup<'a> {
    pub roots: &'a Roots,
    pub machine: Machine,
    options: &'a Options,
    shared: Vec<Shared>,
}

impl<'a> Setup<'a> {
    /// For collectors that read below `roots` and obey `options`.
    pub fn new(roots: &'a Roots, machine: Machine, options: &'a Options) -> Self {
        Setup { roots, machine, options, shared: Vec::new() }
    }

    /// A file below `/proc`.
    pub fn proc(&self, path: &str) -> Source {
        Source::new(self.roots.proc.join(path))
    }

    /// A file below `/proc` that other collectors read too.
    pub fn shared_proc(&mut self, path: &str) -> Shared {
        let path: PathBuf = self.roots.proc.join(path);
        if let Some(shared) = self.shared.iter().find(|shared| shared.path() == path) {
            return shared.clone();
        }
        let shared = Shared::new(path);
        self.shared.push(shared.clone());
        shared
    }

    /// The expression given for `flag`, which the command line has checked with [`crate::cli::pattern::check_pattern`].
    pub fn pattern(&self, flag: &'static Flag) -> Pattern {
        Pattern::new(self.options.value(flag)).unwrap_or_default()
    }
}
