//! A process as the lists of the busiest show it.

use super::Value;

/// One process as a list of the busiest shows it.
#[derive(Clone, Copy, Debug)]
pub struct ProcessRow<'a> {
    pub pid: u64,
    pub name: &'a str,
    /// The name of its effective user; `None` if the process has ended since the scan.
    pub user: Option<&'a str>,
    /// The kernel's letter, such as `R` or `S`.
    pub state: &'a str,
    pub threads: u64,
    pub cpu_percent: Value,
    pub resident_bytes: u64,
    /// Bytes per second read from and written to disks; `None` if the agent may not see them.
    pub disk: Option<[u64; 2]>,
    /// Its command line; `None` unless a flag asks for it.
    pub command: Option<&'a str>,
}

/// What a list of processes says about itself.
#[derive(Clone, Copy, Debug)]
pub struct ProcessScan {
    /// When the list is made, in seconds of the Unix epoch.
    pub time: Value,
    /// The time that the rates span, in seconds.
    pub interval: Value,
    /// How long the scan took, in seconds.
    pub cost: Value,
    pub cpus: u64,
    /// How many processes the machine runs.
    pub total: u64,
    /// What processes used that ended or that no scan saw, in percent of one CPU; absent if unknown.
    pub ended: Value,
}
