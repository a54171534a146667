//! Lines to standard error: one event, one line, with its level in front.
//!
//! Logging must never be what brings the agent down. A line that cannot be written at once, because nobody reads at the other end or the
//! disk is full, is left out: nothing waits, nothing panics. And at most 5 lines are written in 10 s; how many were left out
//! is said with the next one.

use crate::cli::{Flag, Options};
use crate::sys;
use std::fmt::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

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

pub static LOG_LEVEL: Flag = Flag {
    name: "log.level",
    value: "LEVEL",
    default: "info",
    help: "How much to log to standard error: error, warn, info or debug.",
    check: |value| match named(value) {
        Some(_) => Ok(()),
        None => Err("not one of error, warn, info, debug".to_owned()),
    },
};

fn named(name: &str) -> Option<Level> {
    Level::ALL.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
}

/// How much the command line asks for.
pub fn level(options: &Options) -> Level {
    named(options.value(&LOG_LEVEL)).unwrap_or(Level::Info)
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Says from now on what is at most at `level`.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// How many lines may be written in [`WINDOW`].
const MOST: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// The longest line: a pipe takes as much in one piece or not at all.
const LONGEST: usize = 4096;

/// When lines were written, and how many were not.
#[derive(Debug)]
struct Flow {
    /// Times since boot of the last lines, the oldest at `next`; zero for none.
    written: [Duration; MOST],
    next: usize,
    left_out: u64,
}

static FLOW: Mutex<Flow> = Mutex::new(Flow { written: [Duration::ZERO; MOST], next: 0, left_out: 0 });

impl Flow {
    /// Whether a line may be written `now`, and how many were left out before it.
    fn admit(&mut self, now: Duration) -> Option<u64> {
        let oldest = self.written[self.next];
        if oldest != Duration::ZERO && now.saturating_sub(oldest) < WINDOW {
            self.left_out += 1;
            return None;
        }
        self.written[self.next] = now;
        self.next = (self.next + 1) % MOST;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Writes one line if `level` is said and there were not too many of late.
///
/// What ends the agent is said in any case, and whoever asked for all details gets them all.
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
                let _ = write!(text, " ({more} lines left out before this one)");
            }
        }
    }
    // Names of the kernel are in some messages: one event must stay one line.
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

/// Something is wrong and somebody should look.
#[macro_export]
macro_rules! warn {
    ($($part:tt)*) => { $crate::runtime::log::line($crate::runtime::log::Level::Warn, format_args!($($part)*)) };
}

/// Something worth a line happened.
#[macro_export]
macro_rules! info {
    ($($part:tt)*) => { $crate::runtime::log::line($crate::runtime::log::Level::Info, format_args!($($part)*)) };
}

/// For whoever looks for a fault in the agent itself.
#[macro_export]
macro_rules! debug {
    ($($part:tt)*) => { $crate::runtime::log::line($crate::runtime::log::Level::Debug, format_args!($($part)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_lines_in_ten_seconds() {
        let mut flow = Flow { written: [Duration::ZERO; MOST], next: 0, left_out: 0 };
        let mut admitted = Vec::new();
        for decisecond in 10..400 {
            let now = Duration::from_millis(decisecond * 100);
            if let Some(left_out) = flow.admit(now) {
                admitted.push((now, left_out));
            }
        }
        assert!(admitted.windows(MOST + 1).all(|lines| lines[MOST].0 - lines[0].0 >= WINDOW), "{admitted:?}");
        assert_eq!(admitted.len(), 4 * MOST);
        let told: u64 = admitted.iter().map(|(_, left_out)| left_out).sum();
        assert_eq!(told + flow.left_out + admitted.len() as u64, 390);
    }
}
