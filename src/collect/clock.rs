//! `adjtimex`: whether the wall clock is synchronized with others, and how wrong it may be.
//! <https://man7.org/linux/man-pages/man2/adjtimex.2.html>

use super::{Collect, Context, Registration};
use crate::kernel::{Fault, Machine};
use crate::model::{Family, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::{Call, Needs, Rights};

pub static CLOCK: Table<0, 4> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge(
            "pi_clock_synchronized",
            "1 if a program such as chrony or systemd-timesyncd keeps the clock synchronized, 0 if none does or says so.",
            Unit::Count,
        ),
        Family::gauge("pi_clock_offset_seconds", "Offset of the clock that is still being corrected.", Unit::Seconds),
        Family::gauge(
            "pi_clock_estimated_error_seconds",
            "How wrong the clock is, as the program that synchronizes it estimates.",
            Unit::Seconds,
        ),
        Family::gauge(
            "pi_clock_error_max_seconds",
            "How wrong the clock can be at most; it grows until the clock is corrected again, up to 16 s.",
            Unit::Seconds,
        ),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "clock",
    summary: prose("whether the clock is synchronized, and how wrong it may be"),
    source: reference("adjtimex"),
    needs: Needs { paths: "", rights: &Rights { calls: &[Call::Any(libc::SYS_adjtimex)], ..Rights::NONE } },
    tables: &[CLOCK.head()],
    flags: &[],
    new: |setup| super::boxed(Clock { machine: setup.machine }),
};

struct Clock {
    machine: Machine,
}

impl Collect for Clock {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        // Some service managers refuse the call.
        if let Some(state) = (self.machine.clock_state)() {
            let values = [
                state.synchronized.into(),
                Value::signed(state.offset, 9),
                Value::decimal(state.estimated_error, 6),
                Value::decimal(state.error_max, 6),
            ];
            out.row(&CLOCK, [], values);
        }
        Ok(())
    }
}
