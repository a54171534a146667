//! Under-voltage and throttling of a Raspberry Pi, and its voltages, clocks, supply and fan.
//! <https://www.raspberrypi.com/documentation/computers/os.html#get_throttled>
//!
//! The firmware knows about under-voltage and throttling, and there are three ways to ask it. The first of these that a machine
//! has is used:
//!
//! 1. The VideoCore mailbox, `/dev/vcio`: the same answer as `vcgencmd get_throttled`. A message may take as long as the firmware
//!    likes, so a thread sends it.
//! 2. `soc:firmware/get_throttled`, which Linux had until 2025. The kernel logs a complaint about every reader,
//!    and clears the history every two seconds, so that the agent has to remember it.
//! 3. The hwmon chip `rpi_volt`: under-voltage only.
//!    <https://docs.kernel.org/hwmon/raspberrypi-hwmon.html>
//!
//! What the firmware measures beside that takes a message for each number, and on a Pi 5 one in which it asks its power management
//! chip, so it is asked for scrapes alone, and every 5 s at most.

use super::{Collect, Context, Registration, Setup};
use crate::kernel::mailbox::{MAILBOX, Mailbox, NUMBERS, REST, SENDING, VOLTAGES, parse_rails, parse_word};
use crate::kernel::text::trim;
use crate::kernel::{Answer, Bad, Device, Devices, Fault, Members, Source, read_all, read_once};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::{Needs, Rights};
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
            .more(&More::NONE.by("reason", &REASON_NAMES).history(&[Chart::max("throttled").peak()])),
        Family::gauge(
            "pi_throttled_since_boot",
            "1 if this condition has occurred since boot, according to the firmware and the agent, 0 otherwise.",
            Unit::Count,
        )
        .more(&More::NONE.by("reason", &REASON_NAMES)),
        Family::counter(
            "pi_throttled_events_total",
            "Times that this condition began, counted by the agent at every sample interval.",
            Unit::Count,
        )
        .more(&More::NONE.by("reason", &REASON_NAMES)),
        Family::counter(
            "pi_throttled_seconds_total",
            "Time for which this condition held, counted by the agent at every sample interval.",
            Unit::Seconds,
        )
        .more(&More::NONE.by("reason", &REASON_NAMES)),
    ],
);

static RAILS: Table<1, 1> = Table::new(
    Place::List("rails"),
    &["rail"],
    &[Family::gauge(
        "pi_voltage_volts",
        "Voltage of a rail. EXT5V is the input of a Raspberry Pi 5, on which 4.63 V is under-voltage.",
        Unit::Volts,
    )],
);

static CURRENTS: Table<1, 1> = Table::new(
    Place::List("currents"),
    &["rail"],
    &[Family::gauge(
        "pi_current_amperes",
        "Current of a rail, measured by the power chip of a Raspberry Pi 5.",
        Unit::Amperes,
    )],
);

static CLOCKS: Table<1, 1> = Table::new(
    Place::List("clocks"),
    &["clock"],
    &[Family::gauge("pi_clock_hertz", "Frequency of a clock, measured by the firmware.", Unit::Hertz)],
);

static BOARD: Table<0, 4> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::gauge(
            "pi_firmware_temperature_celsius",
            "Temperature of the chip, measured by the firmware.",
            Unit::Celsius,
        ),
        Family::gauge("pi_firmware_build_seconds", "Unix time at which the firmware was built.", Unit::Seconds),
        Family::gauge(
            "pi_power_supply_limit_amperes",
            "Current that the supply of a Raspberry Pi 5 offers; below 5 A, USB devices share 0.6 A.",
            Unit::Amperes,
        ),
        Family::gauge("pi_fan_rpm", "Revolutions per minute of the fan on the board's own connector.", Unit::Count),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "power",
    summary: prose("under-voltage, throttling, voltages, clocks and fan of a Raspberry Pi"),
    source: reference(
        "/dev/vcio, /sys/devices/platform/soc/soc:firmware/get_throttled, /sys/class/hwmon, /sys/class/rtc, /proc/device-tree",
    ),
    needs: Needs {
        paths: "/dev/vcio sys/devices/platform/soc/soc:firmware/get_throttled sys/class/hwmon sys/class/rtc/rtc0 \
                proc/device-tree/chosen/power",
        rights: &Rights { calls: &[SENDING], ..Rights::NONE },
    },
    tables: &[THROTTLING.head(), RAILS.head(), CURRENTS.head(), CLOCKS.head(), BOARD.head()],
    flags: &[],
    new: |setup| super::boxed(Power::new(setup)),
};

struct Power {
    mailbox: Option<Mailbox>,
    /// Whether the firmware may know the word.
    has_word: bool,
    /// When it was last asked what it has measured.
    measured: Option<Duration>,
    get_throttled: Source,
    /// All hwmon chips.
    chips: Devices<Chip>,
    /// The battery of the clock.
    battery: Source,
    supply: Value,
    watch: Watch,
    /// At which moment it was last read, and what that said: a tick takes note and collects in one moment.
    read_at: (Option<u64>, Option<State>),
}

/// What a hwmon chip has for us: `rpi_volt` an alarm, and its last answer; `pwmfan` a fan.
#[derive(Default)]
struct Chip {
    source: Option<Source>,
    is_fan: bool,
    was: bool,
}

impl Chip {
    fn new(path: &Path) -> Self {
        let (file, is_fan) = match read_once(&path.join("name")).as_deref() {
            Some(b"rpi_volt") => ("in0_lcrit_alarm", false),
            Some(b"pwmfan") => ("fan1_input", true),
            _ => return Chip::default(),
        };
        Chip { source: Some(source(path, file)), is_fan, was: false }
    }
}

#[inline(never)]
fn source(path: &Path, file: &str) -> Source {
    Source::new(path.join(file)).in_small_records()
}

/// How long measurements are good enough to ask for no others.
const FRESH: Duration = Duration::from_secs(5);

impl Power {
    fn new(setup: &mut Setup) -> Self {
        let sys = &setup.roots.sys;
        let supply = read_all(&setup.roots.proc.join("device-tree/chosen/power/max_current"));
        let mailbox = (setup.machine.firmware)(sys).and_then(Mailbox::start);
        Power {
            has_word: mailbox.is_some(),
            mailbox,
            measured: None,
            get_throttled: source(sys, "devices/platform/soc/soc:firmware/get_throttled"),
            chips: Devices::new(sys.join("class/hwmon"), |name| name.starts_with(b"hwmon")),
            battery: source(sys, "class/rtc/rtc0/battery_voltage"),
            supply: parse_limit(&supply.unwrap_or_default()),
            watch: Watch::default(),
            read_at: (None, None),
        }
    }

    /// Takes note of what is the case, once for each moment; `None` if there is no source, or no answer yet.
    fn note(&mut self, context: &Context<'_>) -> Result<Option<State>, Fault> {
        let moment = context.moment;
        if self.read_at.0 != Some(moment.id) {
            self.read_at = (None, None);
            let state = self.read(moment.since_boot, context.lists)?.map(|(at, state)| {
                self.watch.note(at, state);
                state
            });
            self.read_at = (Some(moment.id), state);
        }
        Ok(self.read_at.1)
    }

    /// Returns what the first source that there is says; `None` if there is none, or no answer yet.
    fn read(&mut self, now: Duration, lists: bool) -> Result<Option<(Duration, State)>, Fault> {
        if let Some(mailbox) = &self.mailbox {
            match mailbox.word.answer() {
                None => return Ok(None),
                Some(Answer { at, value: Ok(word) }) => return Ok(Some((at, State::from_word(word)))),
                Some(Answer { value: Err(libc::ETIMEDOUT), .. }) => {
                    return Err(Fault::read(Path::new(MAILBOX), io::ErrorKind::TimedOut.into()));
                }
                Some(Answer { value: Err(error), .. }) if self.has_word => {
                    crate::debug!("{MAILBOX}: {}", io::Error::from_raw_os_error(error));
                    self.has_word = false;
                }
                Some(_) => {}
            }
        }
        if lists {
            self.chips.update(&Chip::new);
        }
        let mut members = Members::default();
        if let Some(word) = members.ask(&mut self.get_throttled, &mut false, parse_word) {
            return Ok(Some((now, State::from_word(word))));
        }
        for Device { state: Chip { source, is_fan, was }, gone, .. } in self.chips.all() {
            let Some(alarm) = source else { continue };
            if *is_fan {
                continue;
            }
            // The driver signals each change (`sysfs_notify`), also of an alarm that is over.
            let changed = alarm.is_original() && alarm.has_news();
            if let Some(is) = members.ask(alarm, gone, parse_alarm) {
                let missed = changed && !is && !*was;
                *was = is;
                return Ok(Some((now, State { missed: u32::from(missed), ..State::from_alarm(is) })));
            }
        }
        members.result().map(|()| None)
    }

    /// Reports what is measured: nothing of a firmware that `is_stuck`. Only what answers without the firmware is read here.
    fn tell(&mut self, is_stuck: bool, out: &mut Snapshot) {
        let Power { mailbox, chips, battery, supply, .. } = self;
        let mut members = Members::default();
        let mut board = [Value::ABSENT, Value::ABSENT, *supply, Value::ABSENT];
        match mailbox {
            Some(_) if is_stuck => {}
            Some(mailbox) => {
                let measured = mailbox.measured();
                for (place, number) in NUMBERS.iter().enumerate() {
                    let value = Value::decimal(measured.numbers[place].into(), number.places);
                    if measured.numbers[place] == 0 {
                        continue;
                    }
                    if place >= REST {
                        board[place - REST] = value;
                    } else {
                        out.row(if place < VOLTAGES { &CLOCKS } else { &RAILS }, [number.name.as_bytes()], [value]);
                    }
                }
                parse_rails(&measured.rails, &mut |name, is_current, value| {
                    out.row(if is_current { &CURRENTS } else { &RAILS }, [name], [value]);
                });
            }
            // The driver asks the firmware, which may take its time; with a mailbox, the chip's BATT is the same.
            None => {
                if let Some(microvolts) = members.number(battery, &mut false, 10_000_000, "microvolts") {
                    out.row(&RAILS, [b"rtc_battery"], [Value::decimal(microvolts, 6)]);
                }
            }
        }
        for Device { state: Chip { source, is_fan, .. }, gone, .. } in chips.all() {
            if let Some(fan) = source.as_mut().filter(|_| *is_fan) {
                board[3] = members.number(fan, gone, 100_000, "revolutions per minute").into();
            }
        }
        if board.iter().any(|value| value.is_present()) {
            out.row(&BOARD, [], board);
        }
    }
}

impl Collect for Power {
    fn prepare(&mut self, context: &mut Context<'_>) {
        let Some(mailbox) = &self.mailbox else { return };
        let now = context.moment.since_boot;
        if self.measured.is_none_or(|before| now.saturating_sub(before) >= FRESH) {
            self.measured = Some(now);
            mailbox.want();
        } else if !self.has_word {
            return;
        }
        mailbox.word.ask();
    }

    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let state = self.note(context);
        // What a tick collects is for history and rules, which need none of this.
        if !context.tick {
            if self.has_word {
                // Otherwise they have just been listed.
                self.chips.update(&Chip::new);
            }
            self.tell(state.is_err(), out);
        }
        if let Some(state) = state? {
            out.row(&THROTTLING, [], self.watch.values(state));
        }
        Ok(())
    }

    fn tick(&mut self, context: &mut Context<'_>) {
        // What the mailbox says now is the answer to the last tick's or collection's question. A fault is reported by the next
        // collection.
        let _ = self.note(context);
        if let Some(mailbox) = self.mailbox.as_ref().filter(|_| self.has_word) {
            mailbox.word.ask();
        }
    }
}

/// What is known about the board at one moment: a bit for each reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// Which reasons the source tells about.
    known: u32,
    now: u32,
    /// What was, since the firmware or the kernel last forgot; `None` if the source does not tell.
    before: Option<u32>,
    /// What began and ended again since the last look.
    missed: u32,
}

impl State {
    fn from_word(word: u32) -> Self {
        State { known: ALL, now: word & ALL, before: Some(word >> HISTORY & ALL), missed: 0 }
    }

    fn from_alarm(alarm: bool) -> Self {
        State { known: UNDER_VOLTAGE, now: if alarm { UNDER_VOLTAGE } else { 0 }, before: None, missed: 0 }
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
            let began = (state.now & !before.now) | unseen | state.missed;
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

/// What the device tree says of the power supply: four bytes, the first of which counts most, in milliamperes.
fn parse_limit(cell: &[u8]) -> Value {
    let milliamperes = <[u8; 4]>::try_from(cell).ok().map(u32::from_be_bytes).filter(|it| (100..=20_000).contains(it));
    milliamperes.map(|it| Value::decimal(it.into(), 3)).into()
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = (parse_alarm(text), parse_limit(text));
}

#[cfg(test)]
mod tests;
