//! When a collection was made.

use std::time::Duration;

/// When a collection was made, in both of the kernel's times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Counts collections: distinguishes two readings of one moment from readings of two moments.
    pub id: u64,
    /// Wall-clock time since 1970-01-01 UTC; may step.
    pub unix: Duration,
    /// Time since boot, suspend included; never steps.
    pub since_boot: Duration,
}
