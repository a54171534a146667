//! What the machine is asked for besides files.

use crate::sys::{self, FsStat};
use std::ffi::CStr;
use std::io;
use std::time::Duration;

/// The calls that collectors make besides reading files, and the clocks. Tests put their own in.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Asks a filesystem that cannot hang for its size.
    pub statfs: fn(&CStr) -> io::Result<FsStat>,
    /// Time since boot, for ages and durations.
    pub since_boot: fn() -> Duration,
    /// Wall-clock time.
    pub unix_time: fn() -> Duration,
}

impl Default for Machine {
    fn default() -> Self {
        Machine { statfs: sys::statvfs, since_boot: sys::since_boot, unix_time: sys::unix_time }
    }
}
