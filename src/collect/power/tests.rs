//! What the firmware, the kernel and made-up boards say.

use super::*;
use crate::kernel::mailbox::Messenger;
use crate::kernel::{Machine, RemoteStat, Roots, answer};
use crate::model::{Moment, Section};

#[test]
fn an_alarm_is_0_or_1() {
    assert_eq!(parse_alarm(b"1\n"), Ok(true));
    assert!(parse_alarm(b"2").is_err() && parse_alarm(b"").is_err());
}

#[test]
fn a_word_is_four_reasons_now_and_before() {
    let state = State::from_word(0xd_0008);
    assert_eq!(state, State { known: 0b1111, now: 0b1000, before: Some(0b1101), missed: 0 });
    assert_eq!(State::from_word(u32::MAX), State { known: 0b1111, now: 0b1111, before: Some(0b1111), missed: 0 });
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
        let mut context = Context { moment, remote: &mut remote, levels: &mut (), tick: ticks, lists: true };
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
#[test]
fn an_alarm_that_came_and_went_between_two_looks_is_an_event() {
    let mut watch = Watch::default();
    let missed = State { missed: UNDER_VOLTAGE, ..State::from_alarm(false) };
    watch.note(second(1), missed);
    assert_eq!(watch.events[0], 0, "what was before the agent ran is none");
    watch.note(second(3), missed);
    watch.note(second(5), State::from_alarm(false));
    assert_eq!((watch.events, watch.lasted[0]), ([1, 0, 0, 0], Duration::ZERO));
}

#[test]
fn the_limit_of_a_supply_is_a_cell_of_the_device_tree() {
    assert_eq!(parse_limit(&[0, 0, 0x13, 0x88]), Value::decimal(5000, 3));
    for bad in [&b""[..], &[0x13, 0x88], &[0; 4], &[0xff; 4], &[0, 0, 0x13, 0x88, 0]] {
        assert_eq!(parse_limit(bad), Value::ABSENT, "{bad:?}");
    }
}

/// What the collector reports of a machine with this firmware, and its fault, once `until` is fulfilled.
fn collect(firmware: fn(&Path) -> Option<Messenger>, until: fn(&[String], &Result<(), Fault>) -> bool) -> Vec<String> {
    let options = crate::commands::parse(["--path.sysfs=/".to_owned()]).unwrap();
    let roots = Roots { sys: "/nowhere".into(), proc: "/nowhere".into(), ..Roots::new(&options) };
    let machine = Machine { firmware, ..Machine::default() };
    let mut collector = (COLLECTOR.new)(&mut Setup::new(&roots, machine, &options));
    let mut out = Snapshot::new();
    out.register(COLLECTOR.name, COLLECTOR.tables);
    let mut remote = RemoteStat::new(answer);
    let mut id = 0;
    loop {
        id += 1;
        let moment = Moment { id, ..Moment::default() };
        let mut context = Context { moment, remote: &mut remote, levels: &mut (), tick: false, lists: true };
        out.clear(moment);
        out.select(0);
        collector.prepare(&mut context);
        let result = collector.collect(&mut context, &mut out);
        let mut rows = Vec::new();
        for row in out.parts()[0].sections.iter().flat_map(Section::rows) {
            let families = row.head().families.iter().flat_map(|family| vec![family.name(); family.width()]);
            for (family, value) in families.zip(row.values()).filter(|(_, value)| value.is_present()) {
                rows.push(format!("{family} {} {value:?}", row.labels().next().unwrap_or_default()));
            }
        }
        if until(&rows, &result) {
            return rows;
        }
    }
}

/// A firmware as of a Pi 4 that does not know the word, which shows that its other answers do not need it.
#[test]
fn what_the_firmware_measures_is_reported_without_the_word() {
    let firmware = |_: &Path| -> Option<Messenger> {
        Some(Box::new(|message| {
            message[1] = 1 << 31;
            let value = match (message[2], message[5]) {
                (0x0003_0047, 3) => 1_500_345_728,
                (0x0003_0003, 1) => 860_000,
                (0x0003_0006, 0) => 48_199,
                (1, 0) => {
                    (message[4], message[5]) = (1 << 31 | 4, 1_757_000_000);
                    return Ok(());
                }
                _ => return Ok(()),
            };
            (message[4], message[6]) = (1 << 31 | 8, value);
            Ok(())
        }))
    };
    let rows = collect(firmware, |rows, result| !rows.is_empty() && result.is_ok());
    let expected = [
        "pi_voltage_volts core 0.86",
        "pi_clock_hertz arm 1500345728",
        "pi_firmware_temperature_celsius  48.199",
        "pi_firmware_build_seconds  1757000000",
    ];
    assert_eq!(rows, expected);
}

/// It hangs once it has measured, so there are numbers that would look like new ones.
#[test]
fn a_firmware_that_hangs_is_a_fault_and_has_no_numbers() {
    let firmware = |_: &Path| -> Option<Messenger> {
        let (kept, never) = std::sync::mpsc::channel::<()>();
        // The other end lives as long as the process.
        std::mem::forget(kept);
        let mut words = 0;
        Some(Box::new(move |message| {
            message[1] = 1 << 31;
            match message[2] {
                0x0003_0046 if words == 1 => {
                    return never.recv().map_err(|_| io::ErrorKind::BrokenPipe.into());
                }
                0x0003_0046 => {
                    words += 1;
                    (message[4], message[5]) = (1 << 31 | 4, 0x5_0000);
                }
                0x0003_0006 => (message[4], message[6]) = (1 << 31 | 8, 48_199),
                _ => {}
            }
            Ok(())
        }))
    };
    let rows = collect(firmware, |rows, result| rows.len() > 1 && result.is_ok());
    assert!(rows.contains(&"pi_firmware_temperature_celsius  48.199".to_owned()), "{rows:?}");
    let is_stuck = |_: &[String], result: &Result<(), Fault>| matches!(result, Err(Fault::Read { error, .. }) if error.kind() == io::ErrorKind::TimedOut);
    assert_eq!(collect(firmware, is_stuck), [""; 0]);
}
