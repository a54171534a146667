//! The rules: one file per subject, and THE list.

mod cpu;
mod memory;
mod network;
mod power;
mod restarts;
mod storage;

use super::rule::Rule;

/// How long a start counts as news, in seconds.
pub const RECENT: u64 = 600;

/// Every rule, in the order of all outputs. A new rule is one more line here.
pub static ALL: &[&Rule] = &[
    &power::UNDER_VOLTAGE,
    &power::THROTTLED,
    &power::HOT,
    &storage::DISK_FULL,
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
    &restarts::MACHINE_RESTARTED,
    &restarts::AGENT_RESTARTED,
];
