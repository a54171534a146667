//! The log on standard error: one event, one line, its level first.
//!
//! Logging must never bring the agent down. A line that cannot be written at once, because nobody reads the other end or the
//! disk is full, is dropped: nothing waits, nothing panics. At most 5 lines are written in 10 s; the next line after that says
//! how many were suppressed.

use crate::cli::{Flag, Options, prose};
use crate::sys;
use std::fmt::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How severe a message is; each log level includes those before it.
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

pub static LOG_LEVEL: Flag = Flag {
    words: "log.level LEVEL info",
    help: prose("Least severe messages to log: error, warn, info or debug."),
    check: |value| match named(value) {
        Some(_) => Ok(()),
        None => Err("expected error, warn, info or debug".to_owned()),
    },
};

fn named(name: &str) -> Option<Level> {
    Level::ALL.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
}

/// Returns the level that the command line asks for.
pub fn level(options: &Options) -> Level {
    named(options.value(&LOG_LEVEL)).unwrap_or(Level::Info)
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Logs messages up to `level` from now on.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// How many lines may be written in [`WINDOW`].
const MOST: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// The longest line: a pipe takes as much in one piece or not at all.
const LONGEST: usize = 4096;

/// When lines were written, and how many were suppressed.
#[derive(Debug)]
struct Flow {
    /// Times since boot of the last lines, the oldest at `next`; zero for none.
    written: [Duration; MOST],
    next: usize,
    suppressed: u64,
}

static FLOW: Mutex<Flow> = Mutex::new(Flow { written: [Duration::ZERO; MOST], next: 0, suppressed: 0 });

impl Flow {
    /// Returns how many lines were suppressed before this one if it may be written `now`.
    fn admit(&mut self, now: Duration) -> Option<u64> {
        let oldest = self.written[self.next];
        if oldest != Duration::ZERO && now.saturating_sub(oldest) < WINDOW {
            self.suppressed += 1;
            return None;
        }
        self.written[self.next] = now;
        self.next = (self.next + 1) % MOST;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// Writes one line if `level` is logged and the rate limit allows it.
///
/// Errors, which end the agent, and everything at level debug are exempt from the limit.
pub fn line(level: Level, message: fmt::Arguments<'_>) {
    let most = LEVEL.load(Ordering::Relaxed);
    if level as u8 > most {
        return;
    }
    let mut text = String::new();
    let _ = write!(text, "{}: {message}", Level::ALL[level as usize].0);
    if level != Level::Error && most != Level::Debug as u8 {
        // Only lines themselves are written under the lock, and those do not panic.
        let mut flow = FLOW.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match flow.admit(sys::since_boot()) {
            None => return,
            Some(0) => {}
            Some(more) => {
                let s = if more == 1 { "" } else { "s" };
                let _ = write!(text, " ({more} message{s} suppressed)");
            }
        }
    }
    // Some messages contain names from the kernel: one event must stay one line.
    let mut bytes = text.into_bytes();
    for byte in &mut bytes {
        if byte.is_ascii_control() {
            *byte = b'?';
        }
    }
    bytes.truncate(LONGEST - 1);
    bytes.push(b'\n');
    sys::write_log(&bytes);
}

/// Logs a problem that somebody should look at.
#[macro_export]
macro_rules! warn {
    ($($part:tt)*) => { $crate::runtime::log::line($crate::runtime::log::Level::Warn, format_args!($($part)*)) };
}

/// Logs an event.
#[macro_export]
macro_rules! info {
    ($($part:tt)*) => { $crate::runtime::log::line($crate::runtime::log::Level::Info, format_args!($($part)*)) };
}

/// Logs a detail for debugging the agent itself.
#[macro_export]
macro_rules! debug {
    ($($part:tt)*) => { $crate::runtime::log::line($crate::runtime::log::Level::Debug, format_args!($($part)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_lines_in_ten_seconds() {
        let mut flow = Flow { written: [Duration::ZERO; MOST], next: 0, suppressed: 0 };
        let mut admitted = Vec::new();
        for decisecond in 10..400 {
            let now = Duration::from_millis(decisecond * 100);
            if let Some(suppressed) = flow.admit(now) {
                admitted.push((now, suppressed));
            }
        }
        assert!(admitted.windows(MOST + 1).all(|lines| lines[MOST].0 - lines[0].0 >= WINDOW), "{admitted:?}");
        assert_eq!(admitted.len(), 4 * MOST);
        let total: u64 = admitted.iter().map(|(_, suppressed)| suppressed).sum();
        assert_eq!(total + flow.suppressed + admitted.len() as u64, 390);
    }
}
