//! What the machine is asked for besides files.

use super::mailbox::{self, Messenger};
use super::nl80211::{self, Talk};
use super::remote::answer;
use crate::sys::{self, ClockState, FsStat};
use std::ffi::CStr;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The calls that collectors make besides reading files, and the clocks. Tests put their own in.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Asks a filesystem that cannot hang for its size.
    pub statfs: fn(&CStr) -> io::Result<FsStat>,
    /// Answers in a helper for a filesystem that may hang.
    pub answer: fn(&CStr) -> [u8; 56],
    /// Time since boot, for ages and durations.
    pub since_boot: fn() -> Duration,
    /// Wall-clock time.
    pub unix_time: fn() -> Duration,
    /// How right the wall clock is; `None` if that is unknown.
    pub clock_state: fn() -> Option<ClockState>,
    /// Opens the way to the firmware of the machine whose sysfs is there.
    pub firmware: fn(&Path) -> Option<Messenger>,
    /// Opens the way to the radios of the machine whose sysfs is there.
    pub radios: fn(&Path) -> io::Result<Talk>,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            statfs: sys::statvfs,
            answer,
            since_boot: sys::since_boot,
            unix_time: sys::unix_time,
            clock_state: sys::clock_state,
            firmware: mailbox::open,
            radios: nl80211::open,
        }
    }
}
