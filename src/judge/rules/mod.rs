//! The rules: one file per subject, and THE list.

mod clock;
mod cpu;
mod memory;
mod network;
mod power;
mod restarts;
mod storage;

use super::rule::Rule;
use crate::model::{RuleHead, Top};

/// How long a start counts as news, in seconds.
pub const RECENT: u64 = 600;

/// The process that uses most CPU.
fn by_cpu(top: &Top) -> (&str, &'static str) {
    (&top.cpu, "uses most")
}

/// The process that uses most memory.
fn by_memory(top: &Top) -> (&str, &'static str) {
    (&top.memory, "uses most")
}

/// The process that reads and writes most; where the agent may not know, one that waits.
fn by_io(top: &Top) -> (&str, &'static str) {
    if top.io.is_empty() { (&top.blocked, "is blocked") } else { (&top.io, "reads and writes most") }
}

/// A process that waits, which counts as load; else the one that uses most CPU.
fn by_load(top: &Top) -> (&str, &'static str) {
    if top.blocked.is_empty() { by_cpu(top) } else { (&top.blocked, "is blocked") }
}

/// Returns whether a rule can say nothing before the agent has a past of days.
pub fn needs_days(rule: &RuleHead) -> bool {
    std::ptr::eq(rule, &storage::FILESYSTEM_FULL_SOON.head)
}

/// Every rule, in the order of all outputs. A new rule is one more line here.
pub static ALL: &[&Rule] = &[
    &power::UNDER_VOLTAGE,
    &power::THROTTLED,
    &power::HOT,
    &storage::DISK_FULL,
    &storage::FILESYSTEM_FULL_SOON,
    &storage::INODES_FULL,
    &storage::DISK_READ_ONLY,
    &storage::MOUNT_STALLED,
    &memory::OOM_KILL,
    &memory::MEMORY_LOW,
    &memory::MEMORY_PRESSURE,
    &storage::IO_PRESSURE,
    &storage::DISK_SLOW,
    &cpu::CPU_BUSY,
    &cpu::LOAD_HIGH,
    &network::LINK_DOWN,
    &network::LINK_FLAPPING,
    &network::NETWORK_ERRORS,
    &storage::RAID_DEGRADED,
    &network::CONNTRACK_FULL,
    &clock::CLOCK_UNSYNCHRONIZED,
    &restarts::MACHINE_RESTARTED,
];
