//! What was looked for in vain is not looked for again at once.

use crate::sys;
use std::io;
use std::time::Duration;

/// How long a file or a directory that was absent is not asked for again: an `open` that fails costs more than most reads. So long
/// it may take until hardware is noticed whose files were looked for before it came.
const ABSENT_FOR: Duration = Duration::from_secs(30);

/// When a file or a directory was found absent, or what is announced was last looked at.
#[derive(Debug, Default)]
pub(super) struct Absence(Option<Duration>);

impl Absence {
    /// Returns whether that was less than [`ABSENT_FOR`] ago.
    pub(super) fn is_recent(&self) -> bool {
        self.0.is_some_and(|at| now().saturating_sub(at) < ABSENT_FOR)
    }

    /// Begins such a stretch of time now.
    pub(super) fn begin(&mut self) {
        self.0 = Some(now());
    }

    /// Takes note of how an attempt to open it went.
    pub(super) fn note(&mut self, error: Option<&io::Error>) {
        let is_absent = error.is_some_and(|error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)));
        self.0 = is_absent.then(now);
    }
}

fn now() -> Duration {
    #[cfg(test)]
    return sys::since_boot() + PASSED.get();
    #[cfg(not(test))]
    sys::since_boot()
}

#[cfg(test)]
thread_local! {
    static PASSED: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}

/// Lets so much time pass in this thread that what was absent is asked for again.
#[cfg(test)]
pub(crate) fn let_absence_end() {
    PASSED.set(PASSED.get() + ABSENT_FOR);
}
