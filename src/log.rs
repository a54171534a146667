//! Lines to standard error: one event, one line, with its level in front.
//!
//! Logging must never be what brings the agent down: a failed write is ignored.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};

/// How much is said; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl Level {
    /// All levels with the names that `--log.level` takes.
    pub const ALL: [(&'static str, Level); 4] =
        [("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug)];
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Says from now on what is at most at `level`.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Writes one line if `level` is said.
pub fn line(level: Level, message: fmt::Arguments<'_>) {
    if level as u8 > LEVEL.load(Ordering::Relaxed) {
        return;
    }
    let name = Level::ALL[level as usize].0;
    // One write for one line, so that lines of several processes do not mix.
    let _ = std::io::stderr().write_all(format!("{name}: {message}\n").as_bytes());
}

/// Something is wrong and somebody should look.
#[macro_export]
macro_rules! warn {
    ($($part:tt)*) => { $crate::log::line($crate::log::Level::Warn, format_args!($($part)*)) };
}

/// Something worth a line happened.
#[macro_export]
macro_rules! info {
    ($($part:tt)*) => { $crate::log::line($crate::log::Level::Info, format_args!($($part)*)) };
}

/// For whoever looks for a fault in the agent itself.
#[macro_export]
macro_rules! debug {
    ($($part:tt)*) => { $crate::log::line($crate::log::Level::Debug, format_args!($($part)*)) };
}
