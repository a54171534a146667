//! The wall clock: when it is set, and whether it is synchronized.
//!
//! A timer of the kernel says when the clock was set (`timerfd_clock_was_set` in `fs/timerfd.c`), also after a suspend; how
//! far is measured against the time since boot, which never steps and counts suspends. Whether the clock is synchronized has
//! to be asked.

use super::{Next, Out, Source};
use crate::kernel::Machine;
use crate::model::{Severity, kinds};
use crate::sys;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A smaller step is none: a leap second is one.
const STEP_MIN: i64 = 1000;
/// How often the kernel is asked whether the clock is synchronized.
const ASK: Duration = Duration::from_secs(60);

struct Clock {
    timer: OwnedFd,
    machine: Machine,
    /// Milliseconds from the boot clock to the wall clock.
    offset: i64,
    synchronized: Option<bool>,
    asked: Duration,
}

/// Starts to watch the clock.
pub fn open(machine: Machine) -> io::Result<Box<dyn Source>> {
    let timer = sys::setting_timer()?;
    sys::await_setting(&timer)?;
    let synchronized = is_synchronized(machine);
    Ok(Box::new(Clock { timer, machine, offset: offset(machine), synchronized, asked: (machine.since_boot)() }))
}

/// `None` if the kernel does not say.
fn is_synchronized(machine: Machine) -> Option<bool> {
    (machine.clock_state)().map(|state| state.synchronized)
}

fn offset(machine: Machine) -> i64 {
    (machine.unix_time)().as_millis() as i64 - (machine.since_boot)().as_millis() as i64
}

impl Source for Clock {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    fn read(&mut self, _buffer: &mut [u8], out: &mut Out<'_>) -> Next {
        match sys::expirations(&self.timer) {
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {}
            Err(_) => return Next::Wait,
            // The end of the kernel's time.
            Ok(_) => return Next::End,
        }
        // Only after the read: before it, the kernel would say once more that the clock was set.
        let armed = sys::await_setting(&self.timer);
        self.measure(out);
        if armed.is_ok() { Next::Wait } else { Next::End }
    }

    fn tick(&mut self, out: &mut Out<'_>) {
        if out.now.saturating_sub(self.asked) >= ASK {
            self.ask(out);
        }
        out.clock_is_right = self.synchronized == Some(true);
    }
}

impl Clock {
    /// Takes note of whether the clock is synchronized, if that has changed.
    fn ask(&mut self, out: &mut Out<'_>) {
        self.asked = out.now;
        let now = is_synchronized(self.machine);
        let before = std::mem::replace(&mut self.synchronized, now);
        let (severity, words) = match (before, now) {
            (Some(false), Some(true)) => (Severity::Info, "The clock is synchronized"),
            (Some(true), Some(false)) => (Severity::Warning, "The clock is no longer synchronized"),
            _ => return,
        };
        out.note(&kinds::CLOCK_SYNC, severity, format_args!("{words}"), format_args!(""), "");
    }

    /// Takes note of how far the clock was set.
    fn measure(&mut self, out: &mut Out<'_>) {
        let before = std::mem::replace(&mut self.offset, offset(self.machine));
        let step = self.offset - before;
        if step.abs() < STEP_MIN {
            return;
        }
        let way = if step < 0 { "back" } else { "forward" };
        out.note(
            &kinds::CLOCK_STEP,
            Severity::Info,
            format_args!("The clock was set {way} by {}", Span(step.unsigned_abs())),
            format_args!(""),
            "",
        );
    }
}

/// Milliseconds as a person would say them.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (value, unit) = match seconds {
            0..120 => return write!(f, "{seconds}.{} s", self.0 / 100 % 10),
            120..7200 => (seconds / 60, "min"),
            7200..172_800 => (seconds / 3600, "h"),
            _ => (seconds / 86_400, "days"),
        };
        write!(f, "{value} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Flow;
    use super::super::flow::testing::notes;
    use super::*;
    use crate::sys::ClockState;
    use std::cell::Cell;

    thread_local! {
        static UNIX: Cell<u64> = const { Cell::new(0) };
        static SYNCHRONIZED: Cell<Option<bool>> = const { Cell::new(None) };
    }

    fn clock() -> Clock {
        let machine = Machine {
            since_boot: || Duration::from_secs(1000),
            unix_time: || Duration::from_millis(UNIX.get()),
            clock_state: || SYNCHRONIZED.get().map(|synchronized| ClockState { synchronized, ..ClockState::default() }),
            ..Machine::default()
        };
        let timer = sys::setting_timer().unwrap();
        Clock { timer, machine, offset: offset(machine), synchronized: None, asked: Duration::ZERO }
    }

    #[test]
    fn steps_are_measured() {
        UNIX.set(0);
        let mut clock = clock();
        for (unix, expected) in [
            (999, None),
            (1999, Some("forward by 1.0 s")),
            (1000, None),
            (121_500, Some("forward by 2 min")),
            (1_800_000_000_000, Some("forward by 20833 days")),
            (1_799_990_000_000, Some("back by 2 h")),
            (1_799_989_990_000, Some("back by 10.0 s")),
        ] {
            UNIX.set(unix);
            let seen = notes(&mut Flow::default(), 0, |out| clock.measure(out));
            let expected = expected.map(|words| format!("clock_step info: The clock was set {words}"));
            assert_eq!(seen, expected.into_iter().collect::<Vec<_>>(), "{unix}");
        }
    }

    #[test]
    fn only_changes_of_synchronization_are_reported_and_asked_for_once_a_minute() {
        let mut clock = clock();
        let mut flow = Flow::default();
        for (now, state, expected) in [
            (60, Some(false), ""),
            (100, Some(true), ""),
            (120, Some(true), "clock_sync info: The clock is synchronized"),
            (180, Some(true), ""),
            (240, Some(false), "clock_sync warning: The clock is no longer synchronized"),
            (300, None, ""),
            (360, Some(true), ""),
        ] {
            SYNCHRONIZED.set(state);
            let mut right = false;
            let seen = notes(&mut flow, now, |out| {
                clock.tick(out);
                right = out.clock_is_right;
            });
            assert_eq!(seen.concat(), expected, "{now}");
            assert_eq!(right, clock.synchronized == Some(true));
            assert_eq!(clock.synchronized == state, now % 60 == 0, "{now}");
        }
    }

    /// A timer that ends is not the kernel's word for a clock that was set.
    #[test]
    fn the_real_timer_waits() {
        let mut clock = open(Machine::default()).unwrap();
        let seen = notes(&mut Flow::default(), 0, |out| assert_eq!(clock.read(&mut [], out), Next::Wait));
        assert_eq!(seen, [""; 0]);
    }
}
