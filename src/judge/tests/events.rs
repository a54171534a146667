//! What the recorder makes of trouble that comes and goes.

use super::bench::{Bench, CLOCK, write};
use crate::history::events::Wanted;
use crate::model::{Note, Severity, kinds};

const ALL: Wanted = Wanted { id: None, since: i64::MIN, limit: 1000, text: false };
/// Unix time at which benches boot.
const NOW: u64 = 1_800_000_000;

/// The events of a kind.
fn events(bench: &mut Bench, kind: &str) -> Vec<serde_json::Value> {
    let page = bench.agent.events(&ALL, false).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&page).unwrap();
    json["events"].as_array().unwrap().iter().filter(|event| event["kind"] == kind).cloned().collect()
}

#[test]
fn a_verdict_is_one_event_with_its_begin_its_end_and_its_worst_value() {
    let mut bench = Bench::new("event-hot");
    let zone = "sys/class/thermal/thermal_zone0/temp";
    let changes = |bench: &mut Bench| {
        let page = bench.agent.events(&ALL, false).unwrap();
        serde_json::from_slice::<serde_json::Value>(&page).unwrap()["changes"].as_u64().unwrap()
    };
    // Shorter than the rule waits: no event.
    write(&bench.directory, zone, "95000\n");
    bench.tick();
    write(&bench.directory, zone, "45000\n");
    (0..30).for_each(|_| drop(bench.tick()));
    assert_eq!(events(&mut bench, "verdict"), [] as [serde_json::Value; 0]);
    let before = changes(&mut bench);
    let began = CLOCK.get() + 2;
    for temperature in [83_000, 81_000, 82_000, 81_000, 81_000, 81_500] {
        write(&bench.directory, zone, &format!("{temperature}\n"));
        bench.tick();
    }
    let found = events(&mut bench, "verdict");
    assert_eq!(found.len(), 1);
    let event = &found[0];
    assert_eq!(event["begin"].as_f64().unwrap() as u64, NOW + began);
    assert!(event.get("end").is_none() && event["worst"] == 83.0 && event["unit"] == "celsius", "{event}");
    assert_eq!(
        (&event["rule"], &event["lane"], &event["severity"]),
        (&"hot".into(), &"power".into(), &"critical".into())
    );
    assert_eq!((&event["title"], &event["culprit"]), (&"cpu-thermal is hot".into(), &"cpu-thermal".into()));
    assert_eq!(event["detail"], "81.5 °C");
    let begun = changes(&mut bench);
    assert!(begun > before);
    // The same event goes on; what it says is frozen, but for the worst value.
    for temperature in [90_000, 85_000] {
        write(&bench.directory, zone, &format!("{temperature}\n"));
        bench.tick();
    }
    let last = CLOCK.get();
    let event = &events(&mut bench, "verdict")[0];
    assert!(event["worst"] == 90.0 && event["detail"] == "81.5 °C", "{event}");
    assert_eq!(changes(&mut bench), begun);
    // It ends where the condition last held, as soon as it no longer holds, and not a second time.
    write(&bench.directory, zone, "45000\n");
    bench.tick();
    let ended = changes(&mut bench);
    assert!(ended > begun);
    (0..30).for_each(|_| drop(bench.tick()));
    let event = &events(&mut bench, "verdict")[0];
    assert_eq!(event["end"].as_f64().unwrap() as u64, NOW + last);
    assert!(event["worst"] == 90.0, "{event}");
    // The next time is another event, which begins with its own worst value.
    write(&bench.directory, zone, "80500\n");
    (0..8).for_each(|_| drop(bench.tick()));
    let found = events(&mut bench, "verdict");
    assert_eq!((found.len(), &found[1]["worst"]), (2, &80.5.into()));
}

#[test]
fn a_value_that_is_trouble_below_its_threshold_is_worst_where_it_is_least() {
    let mut bench = Bench::new("event-memory");
    for available in [70, 60, 20, 30, 70, 70, 70] {
        write(&bench.directory, "proc/meminfo", &format!("MemTotal: 1000 kB\nMemAvailable: {available} kB\n"));
        bench.tick();
    }
    let found = events(&mut bench, "verdict");
    assert_eq!((found.len(), &found[0]["rule"], &found[0]["worst"]), (1, &"memory_low".into(), &2.into()));
    // Within its off-delay it goes on.
    let ends = |bench: &mut Bench| events(bench, "verdict")[0].get("end").is_some();
    write(&bench.directory, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 900 kB\n");
    bench.tick();
    assert!(ends(&mut bench));
    write(&bench.directory, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 70 kB\n");
    bench.tick();
    assert!(!ends(&mut bench));
    assert_eq!(events(&mut bench, "verdict").len(), 1);
}

#[test]
fn every_kill_is_an_event_once() {
    let mut bench = Bench::new("event-kills");
    let kills = |bench: &mut Bench, count: u64| {
        let text = format!("nr_free_pages 1\npgfault 9\npgmajfault 2\npswpin 0\npswpout 0\noom_kill {count}\n");
        write(&bench.directory, "proc/vmstat", &text);
        bench.tick();
        let found = events(bench, "oom_kill");
        found.iter().map(|event| event["times"].as_u64().unwrap_or(1)).sum::<u64>()
    };
    // The kernel's log has a tick's time to say more.
    assert_eq!([3, 4, 4, 6, 6].map(|count| kills(&mut bench, count)), [0, 0, 1, 1, 2]);
    (0..40).for_each(|_| drop(bench.tick()));
    let counted = CLOCK.get() + 2;
    assert_eq!([7, 7, 7].map(|count| kills(&mut bench, count)), [2, 3, 3]);
    assert_eq!(events(&mut bench, "oom_kill")[1]["begin"], (NOW + counted) as f64);
    assert_eq!(events(&mut bench, "oom_kill")[1]["severity"], "critical");
    assert_eq!(events(&mut bench, "verdict"), [] as [serde_json::Value; 0]);
    // The kernel's log was faster than the counter, or slower, and knows whom: event and verdict name the same victim.
    for (number, later) in [(2, 0), (3, 1)] {
        (0..40).for_each(|_| drop(bench.tick()));
        let (before, now) = (kills(&mut bench, 5 + number), 6 + number);
        assert_eq!(before, 1 + number);
        let now = |bench: &mut Bench| kills(bench, now);
        (0..later).for_each(|_| assert_eq!(now(&mut bench), before));
        let name = ["mysqld", "php"][later];
        bench.agent.note(Note {
            kind: &kinds::OOM_KILL,
            severity: Severity::Critical,
            title: format_args!("{name} was killed for lack of memory"),
            detail: format_args!("process 77, 788 MiB: the machine ran out of memory"),
            culprit: name,
        });
        assert_eq!([now(&mut bench), now(&mut bench), now(&mut bench)], [before + 1; 3]);
        assert_eq!(events(&mut bench, "oom_kill")[number as usize]["culprit"], name);
        let report = bench.tick();
        let found = report.items().find(|it| it.rule.name == "oom_kill").unwrap();
        assert_eq!((&*found.culprit, &*found.title), (name, &*format!("The kernel killed {name}")));
        let detail = format!(
            "{name}, process 77, 788 MiB: the machine ran out of memory; processes killed since boot: {}",
            6 + number
        );
        assert_eq!(found.detail, detail);
    }
    // A verdict does not go on naming the last victim.
    (0..40).for_each(|_| drop(bench.tick()));
    kills(&mut bench, 10);
    let report = bench.tick();
    let found = report.items().find(|it| it.rule.name == "oom_kill").unwrap();
    assert_eq!((&*found.culprit, &*found.title), ("", "The kernel killed a process"));
}

/// The firmware and the kernel's log report the same under-voltage, in either order.
#[test]
fn an_under_voltage_is_one_event_whoever_reports_it() {
    let mut bench = Bench::new("event-dip");
    let file = "sys/devices/platform/soc/soc:firmware/get_throttled";
    let note = |bench: &mut Bench, severity, title: &str| {
        bench.agent.note(Note {
            kind: &kinds::POWER,
            severity,
            title: format_args!("{title}"),
            detail: format_args!(""),
            culprit: "",
        });
    };
    let (dip, back) = ((Severity::Warning, "Under-voltage"), (Severity::Info, "The supply voltage is back to normal"));
    // What the log says before the firmware's word is read, and after.
    for (number, steps) in [
        [(Some(dip), "10001\n", None), (None, "10001\n", None), (Some(back), "10000\n", None), (None, "10000\n", None)],
        [(None, "10001\n", Some(dip)), (None, "10001\n", None), (None, "10000\n", Some(back)), (None, "10000\n", None)],
    ]
    .into_iter()
    .enumerate()
    {
        for (step, (before, word, after)) in steps.into_iter().enumerate() {
            before.into_iter().for_each(|(severity, title)| note(&mut bench, severity, title));
            write(&bench.directory, file, word);
            bench.tick();
            after.into_iter().for_each(|(severity, title)| note(&mut bench, severity, title));
            let found = events(&mut bench, "power");
            assert_eq!(found.len(), number + 1, "{found:?}");
            let event = &found[number];
            assert!(event["title"] == "Under-voltage" && event.get("times").is_none(), "{event}");
            assert_eq!(event.get("end").is_some(), step > 1, "{step}: {event}");
        }
        let event = &events(&mut bench, "power")[number];
        assert!(event["worst"] == 4 && event["unit"] == "seconds", "{event}");
        write(&bench.directory, file, "0\n");
        (0..40).for_each(|_| drop(bench.tick()));
    }
    // A dip that the firmware does not report is the log's alone.
    note(&mut bench, dip.0, dip.1);
    (0..10).for_each(|_| drop(bench.tick()));
    note(&mut bench, back.0, back.1);
    let titles: Vec<_> = events(&mut bench, "power").iter().map(|event| event["title"].clone()).collect();
    assert_eq!(titles[2..], [dip.1, back.1]);
}

#[test]
fn power_has_its_seconds() {
    let mut bench = Bench::new("event-power");
    let mut firmware = |words: &[&str]| {
        for word in words {
            write(&bench.directory, "sys/devices/platform/soc/soc:firmware/get_throttled", word);
            bench.tick();
        }
        let pick = |event: &serde_json::Value| {
            let times = event["times"].as_u64().unwrap_or(1);
            (event["title"].as_str().unwrap().to_owned(), event.get("end").is_some(), event["worst"].clone(), times)
        };
        events(&mut bench, "power").iter().map(pick).collect::<Vec<_>>()
    };
    let none = serde_json::Value::Null;
    let dip = |ended, seconds: serde_json::Value, times| ("Under-voltage".to_owned(), ended, seconds, times);
    assert_eq!(firmware(&["0\n"]), []);
    assert_eq!(firmware(&["10001\n"]), [dip(false, none.clone(), 1)]);
    assert_eq!(firmware(&["10001\n", "10000\n"]), [dip(true, 4.into(), 1)]);
    // Again a short time later: the same episode.
    assert_eq!(firmware(&["10000\n", "10001\n"]), [dip(false, 4.into(), 2)]);
    assert_eq!(firmware(&["10000\n"]), [dip(true, 6.into(), 2)]);
    (0..35).for_each(|_| drop(firmware(&["0\n"])));
    // Too short to be seen.
    assert_eq!(firmware(&["10000\n", "0\n"]), [dip(true, 6.into(), 2), dip(true, none, 1)]);
}

/// An agent that was restarted after the error, or a doctor that looks once, has not seen it writable.
#[test]
fn what_an_error_made_read_only_before_the_first_look_is_reported() {
    let root = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
    for (line, expected) in [
        ("26 25 8:2 / /new rw - ext4 /dev/sda2 rw", &[][..]),
        ("26 25 8:2 / /new rw - vfat /dev/sda2 ro", &["disk_read_only"]),
        // Somebody wanted that, and the last one cannot be written.
        ("26 25 8:2 / /new ro - ext4 /dev/sda2 ro", &[]),
        ("26 25 8:2 / /new rw - erofs /dev/sda2 ro", &[]),
    ] {
        let mut bench = Bench::new("first-look");
        let found = super::judged(&mut bench, "proc/self/mountinfo", |_| format!("{root}{line}\n"));
        assert_eq!(found.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), expected, "{line}");
    }
}

/// A service that is held back at its own limit stalls whatever else runs, which is next to nothing.
#[test]
fn memory_is_not_short_while_half_of_it_is_available() {
    for (available, expected) in [(500, &[][..]), (499, &["memory_pressure"])] {
        let mut bench = Bench::new("group-at-its-limit");
        write(&bench.directory, "proc/meminfo", &format!("MemTotal: 1000 kB\nMemAvailable: {available} kB\n"));
        let found = super::judged(&mut bench, "proc/pressure/memory", |tick| {
            format!(
                "some avg10=0 avg60=0 avg300=0 total={0}\nfull avg10=0 avg60=0 avg300=0 total={0}\n",
                tick * 1_800_000
            )
        });
        assert_eq!(found.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), expected);
    }
}
