//! What happened on the machine: its kinds, and an event as the recorder keeps it and every output shows it.

use super::{Reference, Severity, Unit, Value, reference};
use std::fmt;
use std::time::Duration;

/// A row of the dashboard's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What is or was wrong.
    Trouble,
    /// The power supply and the heat.
    Power,
    /// What is different from before.
    Changes,
}

impl Lane {
    /// Returns the word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Lane::Trouble => "trouble",
            Lane::Power => "power",
            Lane::Changes => "changes",
        }
    }
}

/// What every output knows about a kind of event.
#[derive(Debug)]
pub struct EventKind {
    /// Its name in `pi_events_total`, JSON and the journal.
    pub name: &'static str,
    pub lane: Lane,
    /// What it is in a few words.
    pub summary: Reference,
}

/// Declares the kinds and the list of all of them, in which their places are fixed.
macro_rules! kinds {
    ($($(#[$doc:meta])* $constant:ident $name:literal $lane:ident $summary:literal,)*) => {
        $(
            $(#[$doc])*
            pub static $constant: EventKind = EventKind { name: $name, lane: Lane::$lane, summary: reference($summary) };
        )*
        /// All kinds.
        pub static ALL: &[&EventKind] = &[$(&$constant),*];
        /// Their names, in the same order.
        pub const NAMES: &[&str] = &[$($name),*];
    };
}

/// The kinds of events.
pub mod kinds {
    use super::{EventKind, Lane, reference};

    kinds! {
        /// A rule switched on; the event ends when it switches off.
        VERDICT "verdict" Trouble "a verdict, from its begin to its end",
        /// The kernel killed a process because memory ran out.
        OOM_KILL "oom_kill" Trouble "a process killed because memory ran out",
        /// A stall of a few seconds that no rule waits for.
        STALL "stall" Trouble "processes waited for CPU, memory or a disk for a moment",
        /// The kernel's own words about a disk or a card.
        STORAGE_ERROR "storage_error" Trouble "a disk or card reported an error",
        FILESYSTEM_ERROR "filesystem_error" Trouble "a filesystem reported an error",
        USB_ERROR "usb_error" Trouble "a USB device or port reported an error",
        /// The kernel's own words about the power supply.
        POWER_ERROR "power_error" Power "the kernel reported trouble with the power supply",
        /// Under-voltage or throttling, with its seconds.
        POWER "power" Power "under-voltage or throttling",
        LINK "link" Changes "a network interface came, went, or changed its state",
        ADDRESS "address" Changes "a network address came or went",
        WIFI "wifi" Changes "Wi-Fi connected, disconnected, or roamed",
        MOUNT "mount" Changes "a filesystem was mounted, unmounted, or remounted",
        CLOCK_STEP "clock_step" Changes "the wall clock was set",
        CLOCK_SYNC "clock_sync" Changes "the clock lost or regained its synchronization",
        REBOOT "reboot" Changes "the machine restarted",
        /// The agent's own start without a reboot.
        AGENT "agent" Changes "Pi-Monitor started, or its version changed",
        KERNEL "kernel" Changes "another kernel runs than before",
        PACKAGES "packages" Changes "packages were installed, upgraded, or removed",
        DEVICE "device" Changes "a device was attached or detached",
        /// The kernel's own words about a bug in it, or a CPU that hangs.
        KERNEL_ERROR "kernel_error" Trouble "the kernel reported a bug or a hang",
        /// Events that were lost, by the kernel or here.
        LOST "lost" Changes "events that could not be kept or read",
    }
}

/// Something that was noticed, before it is an event. Texts are as the kernel or a rule gave them; outputs escape them.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    pub kind: &'static EventKind,
    pub severity: Severity,
    /// A sentence without a full stop.
    pub title: fmt::Arguments<'a>,
    /// More of it, or nothing.
    pub detail: fmt::Arguments<'a>,
    /// Who or what is to blame: a process, a disk, an interface; empty if unknown.
    pub culprit: &'a str,
}

/// A process among the busiest at the moment of an event.
#[derive(Clone, Copy, Debug)]
pub struct Busy<'a> {
    pub pid: u32,
    pub name: &'a str,
    /// Tenths of a percent of one CPU, resident bytes, or bytes per second, as its list says.
    pub amount: u64,
}

/// The lists of busy processes, in the order of all records and outputs.
pub const BUSY_LISTS: [&str; 3] = ["cpu", "memory", "io"];
/// The most processes in each of them.
pub const BUSY_MAX: usize = 5;

/// An event as it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Grows from event to event, over restarts too where there is a journal.
    pub id: u64,
    pub kind: &'static EventKind,
    /// Its row on the timeline: the kind's, unless a verdict is about power or heat.
    pub lane: Lane,
    pub severity: Severity,
    /// How often it happened within a short time, if that is one event.
    pub times: u64,
    /// The rule's name, for verdicts; empty otherwise.
    pub rule: &'a str,
    /// Milliseconds of the Unix epoch, by the best knowledge of the clock that there is now.
    pub begin: i64,
    /// When it was over: its begin, for what takes no time; `None` while it lasts.
    pub end: Option<i64>,
    /// Whether the clock was known to be right.
    pub exact: bool,
    pub title: &'a str,
    pub detail: &'a str,
    pub culprit: &'a str,
    /// The worst value of a verdict while it lasted; absent if it has none.
    pub worst: Value,
    pub unit: Unit,
}

/// Something that lasts, as the judge hands it over to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Episode<'a> {
    pub note: Note<'a>,
    pub lane: Lane,
    /// The rule's name, for verdicts; empty otherwise.
    pub rule: &'a str,
    /// Time since boot at which it began.
    pub begin: Duration,
    /// The unit of its worst value.
    pub unit: Unit,
    /// Whether it goes on.
    pub lasts: bool,
}

/// What keeps events.
pub trait Keep {
    /// Keeps an event and returns its id; the id of an earlier one if it is the same again a short time later.
    fn begin(&mut self, episode: &Episode<'_>) -> u64;

    /// Changes an event that is still kept: when it ended, in time since boot, and its worst value in thousandths.
    fn update(&mut self, id: u64, end: Option<Duration>, worst: Option<i64>);
}
