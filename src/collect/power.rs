//! Under-voltage and throttling of a Raspberry Pi.
//! <https://www.raspberrypi.com/documentation/computers/os.html#get_throttled>
//!
//! The firmware knows, and there are three ways to ask it. The first of these that a machine has is used:
//!
//! 1. The VideoCore mailbox, `/dev/vcio`: the same answer as `vcgencmd get_throttled`. A message may take as long as the firmware
//!    likes, so a thread sends it.
//! 2. `soc:firmware/get_throttled`, which Linux had until 2025. The kernel logs a complaint about every reader,
//!    and clears the history every two seconds, so that the agent has to remember it.
//! 3. The hwmon chip `rpi_volt`: under-voltage only.
//!    <https://docs.kernel.org/hwmon/raspberrypi-hwmon.html>

use super::{Collect, Context, Registration, Setup};
use crate::kernel::mailbox::{self, MAILBOX, SENDING, parse_word};
use crate::kernel::text::trim;
use crate::kernel::{Answer, Asker, Bad, Device, Devices, Fault, Members, Source, read_once};
use crate::model::{Chart, Dimension, Family, Moment, Place, Snapshot, Table, Unit, Value};
use crate::runtime::sandbox::Needs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Bits 0 to 3 of the firmware's word, and 16 to 19 for what was.
const REASONS: usize = 4;
pub static REASON_NAMES: [&str; REASONS] = ["under_voltage", "frequency_capped", "throttled", "soft_temperature_limit"];
const UNDER_VOLTAGE: u32 = 1;
const ALL: u32 = (1 << REASONS) - 1;
const HISTORY: u32 = 16;

pub static THROTTLING: Table<0, { 4 * REASONS }> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge("pi_throttled", "1 while this condition holds, 0 otherwise.", Unit::Count)
            .by(&Dimension { label: "reason", values: &REASON_NAMES })
            .history(&[Chart::max("throttled").peak()]),
        Family::gauge(
            "pi_throttled_since_boot",
            "1 if this condition has occurred since boot, according to the firmware and the agent, 0 otherwise.",
            Unit::Count,
        )
        .by(&Dimension { label: "reason", values: &REASON_NAMES }),
        Family::counter(
            "pi_throttled_events_total",
            "Times that this condition began, counted by the agent at every sample interval.",
            Unit::Count,
        )
        .by(&Dimension { label: "reason", values: &REASON_NAMES }),
        Family::counter(
            "pi_throttled_seconds_total",
            "Time for which this condition held, counted by the agent at every sample interval.",
            Unit::Seconds,
        )
        .by(&Dimension { label: "reason", values: &REASON_NAMES }),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "power",
    summary: "under-voltage and throttling of a Raspberry Pi",
    source: "/dev/vcio, /sys/devices/platform/soc/soc:firmware/get_throttled, /sys/class/hwmon",
    needs: Needs {
        paths: &[MAILBOX, "sys/devices/platform/soc/soc:firmware/get_throttled", "sys/class/hwmon"],
        calls: &[SENDING],
        ..Needs::NONE
    },
    tables: &[THROTTLING.head()],
    flags: &[],
    new: |setup| Box::new(Power::new(setup)),
};

struct Power {
    mailbox: Option<Asker>,
    get_throttled: Source,
    /// All hwmon chips, of which the one named `rpi_volt` has an alarm for us.
    chips: Devices<Option<Source>>,
    watch: Watch,
    /// At which moment it was last read, and what that said: a tick takes note and collects in one moment.
    read_at: (Option<u64>, Option<State>),
}

impl Power {
    fn new(setup: &mut Setup) -> Self {
        let sys = &setup.roots.sys;
        // Another tree than this machine's must not be mixed with this machine's firmware.
        let mailbox = (sys == Path::new("/sys")).then(mailbox::throttling).flatten();
        Power {
            mailbox,
            get_throttled: Source::new(sys.join("devices/platform/soc/soc:firmware/get_throttled")).in_small_records(),
            chips: Devices::new(sys.join("class/hwmon"), |name| name.starts_with(b"hwmon")),
            watch: Watch::default(),
            read_at: (None, None),
        }
    }

    /// Takes note of what is the case, once for each moment; `None` if there is no source, or no answer yet.
    fn note(&mut self, moment: Moment) -> Result<Option<State>, Fault> {
        if self.read_at.0 != Some(moment.id) {
            self.read_at = (None, None);
            let state = self.read(moment.since_boot)?.map(|(at, state)| {
                self.watch.note(at, state);
                state
            });
            self.read_at = (Some(moment.id), state);
        }
        Ok(self.read_at.1)
    }

    /// Returns what the first source that there is says; `None` if there is none, or no answer yet.
    fn read(&mut self, now: Duration) -> Result<Option<(Duration, State)>, Fault> {
        if let Some(mailbox) = &self.mailbox {
            match mailbox.answer() {
                None => return Ok(None),
                Some(Answer { at, value: Ok(word) }) => return Ok(Some((at, State::from_word(word)))),
                Some(Answer { value: Err(libc::ETIMEDOUT), .. }) => {
                    return Err(Fault::read(Path::new(MAILBOX), io::ErrorKind::TimedOut.into()));
                }
                Some(Answer { value: Err(error), .. }) => {
                    crate::debug!("{MAILBOX}: {}", io::Error::from_raw_os_error(error));
                    self.mailbox = None;
                }
            }
        }
        let mut members = Members::default();
        if let Some(word) = members.ask(&mut self.get_throttled, &mut false, parse_word) {
            return Ok(Some((now, State::from_word(word))));
        }
        self.chips.update(&alarm);
        for Device { state, gone, .. } in self.chips.all() {
            let Some(alarm) = state else { continue };
            if let Some(alarm) = members.ask(alarm, gone, parse_alarm) {
                return Ok(Some((now, State::from_alarm(alarm))));
            }
        }
        members.result().map(|()| None)
    }
}

impl Collect for Power {
    fn prepare(&mut self, _context: &mut Context<'_>) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.ask();
        }
    }

    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        if let Some(state) = self.note(context.moment)? {
            out.row(&THROTTLING, [], self.watch.values(state));
        }
        Ok(())
    }

    fn tick(&mut self, context: &mut Context<'_>) {
        // What the mailbox says now is the answer to the last tick's or collection's question. A fault is reported by the next
        // collection.
        let _ = self.note(context.moment);
        self.prepare(context);
    }
}

/// Returns the alarm of the hwmon chip at `path` if it is the Pi's.
fn alarm(path: &Path) -> Option<Source> {
    (read_once(&path.join("name"))? == b"rpi_volt")
        .then(|| Source::new(path.join("in0_lcrit_alarm")).in_small_records())
}

/// What is known about the board at one moment: a bit for each reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// Which reasons the source tells about.
    known: u32,
    now: u32,
    /// What was, since the firmware or the kernel last forgot; `None` if the source does not tell.
    before: Option<u32>,
}

impl State {
    fn from_word(word: u32) -> Self {
        State { known: ALL, now: word & ALL, before: Some(word >> HISTORY & ALL) }
    }

    fn from_alarm(alarm: bool) -> Self {
        State { known: UNDER_VOLTAGE, now: if alarm { UNDER_VOLTAGE } else { 0 }, before: None }
    }
}

/// Counts what the firmware only says as it is.
#[derive(Debug, Default)]
struct Watch {
    last: Option<(Duration, State)>,
    seen: u32,
    events: [u64; REASONS],
    lasted: [Duration; REASONS],
}

impl Watch {
    /// Takes note of what was the case `at` some time since boot.
    fn note(&mut self, at: Duration, state: State) {
        let Watch { last, seen, events, lasted } = self;
        if let Some((before_at, before)) = *last {
            // What was too short to be seen still is in the firmware's history.
            let unseen = state.before.unwrap_or(0) & !before.before.unwrap_or(0) & !before.now;
            let began = (state.now & !before.now) | unseen;
            for reason in 0..REASONS {
                events[reason] += u64::from(began >> reason & 1);
                if before.now >> reason & 1 == 1 {
                    lasted[reason] += at.saturating_sub(before_at);
                }
            }
        }
        *seen |= state.now | state.before.unwrap_or(0);
        *last = Some((at, state));
    }

    /// Returns the row for `state`, which was noted.
    fn values(&self, state: State) -> [Value; 4 * REASONS] {
        let mut values = [Value::ABSENT; 4 * REASONS];
        for reason in (0..REASONS).filter(|reason| state.known >> reason & 1 == 1) {
            let bit = |bits: u32| Value::from(bits >> reason & 1 == 1);
            values[reason] = bit(state.now);
            // A source without a history leaves open what was before the agent ran.
            values[REASONS + reason] = state.before.map(|_| bit(self.seen)).into();
            values[2 * REASONS + reason] = self.events[reason].into();
            values[3 * REASONS + reason] = Value::seconds(self.lasted[reason]);
        }
        values
    }
}

/// `0` or `1`.
fn parse_alarm(text: &[u8]) -> Result<bool, Bad> {
    match trim(text) {
        b"0" => Ok(false),
        b"1" => Ok(true),
        other => Err(Bad::new(1, "0 or 1", other)),
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = parse_alarm(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_0_or_1() {
        assert_eq!(parse_alarm(b"1\n"), Ok(true));
        assert!(parse_alarm(b"2").is_err() && parse_alarm(b"").is_err());
    }

    #[test]
    fn a_word_is_four_reasons_now_and_before() {
        let state = State::from_word(0xd_0008);
        assert_eq!(state, State { known: 0b1111, now: 0b1000, before: Some(0b1101) });
        assert_eq!(State::from_word(u32::MAX), State { known: 0b1111, now: 0b1111, before: Some(0b1111) });
    }

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn events_and_time_are_counted_while_the_agent_runs() {
        let mut watch = Watch::default();
        // It was throttled before the agent ran: neither an event nor time of ours.
        watch.note(second(100), State::from_word(0x4_0004));
        assert_eq!((watch.events, watch.lasted), ([0; 4], [Duration::ZERO; 4]));
        watch.note(second(102), State::from_word(0x4_0004));
        watch.note(second(104), State::from_word(0x5_0001));
        watch.note(second(106), State::from_word(0x5_0000));
        watch.note(second(108), State::from_word(0x5_0005));
        assert_eq!(watch.events, [2, 0, 1, 0]);
        assert_eq!(watch.lasted, [second(2), Duration::ZERO, second(4), Duration::ZERO]);
        // Too short to be seen, but in the history.
        watch.note(second(110), State::from_word(0xd_0005));
        watch.note(second(110), State::from_word(0xd_0005));
        assert_eq!(watch.events, [2, 0, 1, 1]);
        assert_eq!(watch.lasted[0], second(4));
        let values = watch.values(State::from_word(0xd_0005));
        let numbers: Vec<_> = values.iter().map(|value| value.to_f64().unwrap()).collect();
        assert_eq!(numbers[..4], [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(numbers[4..8], [1.0, 0.0, 1.0, 1.0]);
        assert_eq!(numbers[8..12], [2.0, 0.0, 1.0, 1.0]);
        assert_eq!(numbers[12..], [4.0, 0.0, 6.0, 0.0]);
    }

    #[test]
    fn a_history_that_the_kernel_clears_is_remembered() {
        let mut watch = Watch::default();
        for (at, word) in [(2, 0x1_0001), (4, 0x1_0000), (6, 0)] {
            watch.note(second(at), State::from_word(word));
        }
        assert_eq!(watch.values(State::from_word(0))[REASONS], true.into());
        assert_eq!(watch.events, [0; 4]);
        watch.note(second(8), State::from_word(0x1_0001));
        assert_eq!(watch.events, [1, 0, 0, 0]);
    }

    /// A tree of a board, its collector, and what that says of a moment; `None` if nothing.
    fn board(test: &str) -> (std::path::PathBuf, impl FnMut(u64, bool) -> Option<f64>) {
        let sys = std::env::temp_dir().join(format!("pi-monitor-power-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&sys).unwrap();
        let options = crate::commands::parse([format!("--path.sysfs={}", sys.display())]).unwrap();
        let roots = crate::kernel::Roots::new(&options);
        let mut collector = (COLLECTOR.new)(&mut Setup::new(&roots, crate::kernel::Machine::default(), &options));
        let mut out = Snapshot::new();
        out.register(COLLECTOR.name, COLLECTOR.tables);
        let mut remote = crate::kernel::RemoteStat::new(crate::kernel::answer);
        let look = move |id, ticks| {
            let moment = Moment { id, since_boot: second(id), ..Moment::default() };
            let mut context = Context { moment, remote: &mut remote, levels: &mut () };
            out.clear(moment);
            out.select(0);
            if ticks {
                collector.tick(&mut context);
                return None;
            }
            collector.collect(&mut context, &mut out).unwrap();
            out.parts()[0].sections[0].rows().next().and_then(|row| row.values()[0].to_f64())
        };
        (sys, look)
    }

    fn write(path: std::path::PathBuf, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_tick_reads_the_source_once() {
        let (sys, mut look) = board("once");
        let file = sys.join("devices/platform/soc/soc:firmware/get_throttled");
        write(file.clone(), "0\n");
        look(1, true);
        write(file, "50005\n");
        assert_eq!((look(1, false), look(2, false)), (Some(0.0), Some(1.0)));
        std::fs::remove_dir_all(sys).unwrap();
    }

    #[test]
    fn a_chip_that_comes_is_seen_after_a_while() {
        let (sys, mut look) = board("comes");
        assert_eq!(look(1, false), None);
        write(sys.join("class/hwmon/hwmon0/name"), "rpi_volt\n");
        write(sys.join("class/hwmon/hwmon0/in0_lcrit_alarm"), "1\n");
        assert_eq!(look(2, false), None, "a machine without chips is not asked each time");
        crate::kernel::let_absence_end();
        assert_eq!(look(3, false), Some(1.0));
        std::fs::remove_dir_all(sys).unwrap();
    }

    #[test]
    fn an_alarm_tells_under_voltage_alone_and_no_history() {
        let mut watch = Watch::default();
        watch.note(second(1), State::from_alarm(false));
        watch.note(second(3), State::from_alarm(true));
        let values = watch.values(State::from_alarm(true));
        let present: Vec<_> = (0..values.len()).filter(|&place| values[place].is_present()).collect();
        assert_eq!(present, [0, 2 * REASONS, 3 * REASONS]);
        assert_eq!((values[0], values[2 * REASONS]), (true.into(), 1.into()));
    }
}
