//! Events that come, last, repeat and go.

use super::*;
use crate::model::{EventKind, Value};

const ALL: Wanted = Wanted { id: None, since: i64::MIN, limit: u64::MAX, text: false };
const UNIX: u64 = 1_800_000_000;

fn second(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A minute after a boot at [`UNIX`].
fn events() -> Events {
    let mut events = Events::new(true);
    events.start(0xab12, second(60), second(UNIX + 60));
    events
}

fn note(events: &mut Events, kind: &'static EventKind, severity: Severity, title: &str, at: u64) -> u64 {
    events.note(
        Note { kind, severity, title: format_args!("{title}"), detail: format_args!(""), culprit: "" },
        second(at),
    );
    events.last()
}

fn verdict(events: &mut Events, title: &str, begin: u64) -> u64 {
    events.begin(&Episode {
        note: Note {
            kind: &kinds::VERDICT,
            severity: Severity::Critical,
            title: format_args!("{title}"),
            detail: format_args!("97.6% of {} GiB", 29),
            culprit: "mysqld",
        },
        lane: Lane::Power,
        rule: "hot",
        begin: second(begin),
        unit: Unit::Celsius,
        lasts: true,
    })
}

/// Each event as id, title, begin and end in seconds since the first boot, and how often.
fn told(events: &Events, wanted: &Wanted) -> Vec<(u64, String, i64, Option<i64>, u64)> {
    let mut told = Vec::new();
    let seconds = |time: i64| time / 1000 - UNIX as i64;
    let count = events.each(wanted, &mut |event, _| {
        let Event { id, title, begin, end, times, .. } = *event;
        told.push((id, title.to_owned(), seconds(begin), end.map(seconds), times));
    });
    assert_eq!(count.min(wanted.limit), told.len() as u64);
    told
}

fn top(show: &mut dyn FnMut(usize, &Busy<'_>)) {
    for number in 0..7 {
        show(0, &Busy { pid: number, name: "node", amount: 1234 });
    }
    show(2, &Busy { pid: u32::MAX, name: "\\xff", amount: u64::MAX });
}

#[test]
fn an_event_comes_back_as_it_was_kept() {
    let mut events = events();
    let id = verdict(&mut events, "cpu-thermal is hot", 60);
    assert!(events.awaits_processes());
    let after = note(&mut events, &kinds::LINK, Severity::Info, "eth0 lost its link", 61);
    events.update(id, None, Some(81_500));
    events.add_processes(top);
    events.update(id, Some(second(75)), Some(82_300));
    // What came after it has moved, and is whole.
    assert_eq!(told(&events, &ALL)[1], (after, "eth0 lost its link".to_owned(), 61, Some(61), 1));
    let mut seen = 0;
    events.each(&Wanted { id: Some(id), ..ALL }, &mut |event, lists| {
        seen += 1;
        let Event { kind, lane, severity, rule, detail, culprit, worst, unit, exact, .. } = *event;
        assert_eq!((kind.name, lane, severity, rule), ("verdict", Lane::Power, Severity::Critical, "hot"));
        assert_eq!((detail, culprit), ("97.6% of 29 GiB", "mysqld"));
        assert_eq!((worst, unit, exact), (Value::signed(82_300, 3), Unit::Celsius, false));
        let mut all = Vec::new();
        lists.each(&mut |list, busy| all.push((list, busy.pid, busy.name.to_owned(), busy.amount)));
        let node = |pid| (0, pid, "node".to_owned(), 1234);
        let last = (2, u32::MAX, "\\xff".to_owned(), (1 << 40) - 1);
        assert_eq!(all, [node(0), node(1), node(2), node(3), node(4), last]);
    });
    assert_eq!((seen, told(&events, &ALL)[0].3), (1, Some(75)));
    assert!(!events.awaits_processes());
    // Nobody waits for them any more.
    let before = events.bytes.clone();
    events.add_processes(top);
    assert_eq!(events.bytes, before);
}

#[test]
fn where_processes_are_switched_off_no_event_waits_for_them() {
    let mut events = Events::new(false);
    events.start(1, second(1), second(2));
    verdict(&mut events, "hot", 1);
    note(&mut events, &kinds::OOM_KILL, Severity::Critical, "killed", 1);
    assert!(!events.awaits_processes());
    events.add_processes(top);
    events.each(&ALL, &mut |_, lists| assert!(lists.is_empty()));
}

#[test]
fn the_buffer_never_grows_and_the_oldest_go() {
    let mut events = events();
    let (place, size) = (events.bytes.as_ptr(), events.bytes.capacity());
    let lasting = verdict(&mut events, "hot", 60);
    let killed = note(&mut events, &kinds::OOM_KILL, Severity::Critical, "killed", 60);
    for number in 0..10_000 {
        note(&mut events, &kinds::DEVICE, Severity::Info, &format!("device {number}"), 61 + number);
        events.add_processes(top);
    }
    assert_eq!((events.bytes.as_ptr(), events.bytes.capacity()), (place, size));
    let all = told(&events, &ALL);
    // A flood of what is only good to know leaves what was wrong alone.
    assert_eq!((all[0].0, all[1].0, all.last().unwrap().0), (lasting, killed, 10_002));
    assert!((200..900).contains(&all.len()) && all[2].0 > 9000, "{}", all.len());
    assert_eq!((events.last(), events.counts().iter().sum::<u64>()), (10_002, 10_002));
    // Full lists and long texts too.
    for number in 0..1000 {
        let long = format!("{number} {}", "ä".repeat(500));
        events.note(
            Note {
                kind: &kinds::OOM_KILL,
                severity: Severity::Critical,
                title: format_args!("{long}"),
                detail: format_args!("{long}"),
                culprit: &long,
            },
            second(20_000 + number),
        );
        events.add_processes(|show| {
            for number in 0..3 * BUSY_MAX {
                show(number / BUSY_MAX, &Busy { pid: 1, name: &"x".repeat(60), amount: 1 });
            }
        });
    }
    let all = told(&events, &ALL);
    assert_eq!((events.bytes.as_ptr(), events.bytes.capacity()), (place, size));
    assert_eq!((all[0].0, all.last().unwrap().0, all.len() > 20), (lasting, 11_002, true));
    assert!(all[5].1.ends_with("äää…") && all[5].1.len() <= 255, "{}", all[5].1);
}

#[test]
fn the_same_again_is_one_event() {
    let mut events = events();
    for at in [100, 101, 150, 209] {
        assert_eq!(note(&mut events, &kinds::USB_ERROR, Severity::Warning, "usb 1-1 failed", at), 1);
    }
    assert_eq!(note(&mut events, &kinds::USB_ERROR, Severity::Warning, "usb 1-2 failed", 211), 2);
    assert_eq!(note(&mut events, &kinds::USB_ERROR, Severity::Warning, "usb 1-1 failed", 270), 3);
    let expected = [(1, 100, Some(209), 4), (2, 211, Some(211), 1), (3, 270, Some(270), 1)];
    let all = told(&events, &ALL);
    assert_eq!(all.iter().map(|it| (it.0, it.2, it.3, it.4)).collect::<Vec<_>>(), expected);
    assert_eq!(events.counts().iter().sum::<u64>(), 6);
}

#[test]
fn what_is_asked_for() {
    let mut events = events();
    for at in 0..5 {
        note(&mut events, &kinds::DEVICE, Severity::Info, &at.to_string(), 100 + at);
    }
    let lasting = verdict(&mut events, "hot", 50);
    let ids = |wanted: Wanted| told(&events, &wanted).iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!(ids(Wanted { since: (UNIX as i64 + 103) * 1000, ..ALL }), [4, 5, lasting]);
    assert_eq!(ids(Wanted { limit: 2, ..ALL }), [5, lasting]);
    assert_eq!(ids(Wanted { limit: 0, ..ALL }), [0; 0]);
    assert_eq!(ids(Wanted { id: Some(3), since: i64::MAX, ..ALL }), [3]);
    assert_eq!(ids(Wanted { id: Some(9), ..ALL }), [0; 0]);
}

#[test]
fn a_clock_that_is_set_corrects_what_came_before_unless_it_was_right() {
    let mut events = Events::new(false);
    // No battery: 1970.
    events.start(1, second(10), second(10));
    note(&mut events, &kinds::AGENT, Severity::Info, "started", 10);
    let changes = events.changes();
    events.clock(second(20), Duration::from_millis(20_400));
    assert_eq!(events.changes(), changes, "adjusted, not set");
    events.clock(second(30), second(UNIX + 30));
    assert!(events.changes() > changes);
    assert_eq!(told(&events, &ALL)[0].2, 10);
    events.clock_is_right();
    note(&mut events, &kinds::LINK, Severity::Info, "up", 40);
    // Somebody puts it back by an hour.
    events.clock(second(50), second(UNIX + 50 - 3600));
    note(&mut events, &kinds::LINK, Severity::Info, "down", 60);
    assert_eq!(told(&events, &ALL).iter().map(|it| it.2).collect::<Vec<_>>(), [10, 40, 60 - 3600]);
    let mut exact = Vec::new();
    events.each(&ALL, &mut |event, _| exact.push(event.exact));
    assert_eq!(exact, [true, true, false]);
}

#[test]
fn records_outlive_the_agent() {
    let mut before = events();
    let lasting = verdict(&mut before, "hot", 70);
    note(&mut before, &kinds::LINK, Severity::Info, "up", 100);
    before.clock_is_right();
    let mut after = Events::new(true);
    assert!(after.restore(&before.boot().unwrap().encode()));
    for id in [1, 2] {
        assert!(after.restore(before.record(id).unwrap()));
    }
    // A later record of the same event.
    before.update(lasting, None, Some(7000));
    assert!(after.restore(before.record(lasting).unwrap()));
    after.start(0xcd34, second(5), second(UNIX + 1000));
    assert_eq!(note(&mut after, &kinds::REBOOT, Severity::Info, "restarted", 5), 3);
    let mut all: Vec<_> = told(&after, &ALL).iter().map(|it| (it.0, it.2, it.3)).collect();
    all.sort_unstable();
    // What lasted was over at the last that is known of it.
    assert_eq!(all, [(1, 70, Some(100)), (2, 100, Some(100)), (3, 1000, Some(1000))]);
    // The same boot goes on where the agent restarts.
    let mut again = Events::new(true);
    assert!(again.restore(&before.boot().unwrap().encode()));
    again.start(0xab12, second(200), second(UNIX + 200));
    assert_eq!(again.boot(), before.boot());
}

#[test]
fn what_lasts_is_never_taken_for_a_moment() {
    let mut ended = events();
    let id = verdict(&mut ended, "hot", 60);
    ended.update(id, Some(second(60)), None);
    // The agent ended before anything else happened.
    let mut cut_off = Events::new(true);
    let mut open = events();
    verdict(&mut open, "hot", 60);
    cut_off.restore(&open.bytes);
    cut_off.start(0xcd34, second(5), second(UNIX + 100));
    for events in [ended, cut_off] {
        let mut seen = 0;
        events.each(&ALL, &mut |event, _| {
            seen += 1;
            assert_eq!(event.end, Some(event.begin + 1));
        });
        assert_eq!(seen, 1);
    }
}

#[test]
fn more_boots_than_are_known() {
    let mut events = Events::new(false);
    for number in 0..200 {
        let boot = Boot { number, id: number, offset: 0, exact: true };
        assert!(events.restore(&boot.encode()));
    }
    assert_eq!((events.boots.len(), events.boots.capacity()), (BOOTS_MAX, BOOTS_MAX));
}

#[test]
fn any_bytes_are_a_record_or_none() {
    let mut events = events();
    let id = verdict(&mut events, "hot", 70);
    events.add_processes(top);
    let good = [events.record(id).unwrap().to_vec(), events.boot().unwrap().encode().to_vec()];
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut accepted = 0;
    for round in 0..20_000 {
        let mut bytes = good[round % 2].clone();
        for _ in 0..random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        if random() % 4 == 0 {
            bytes.truncate(random() % (bytes.len() + 1));
            if bytes.len() >= 2 && random() % 2 == 0 {
                let length = bytes.len() as u16;
                bytes[..2].copy_from_slice(&length.to_le_bytes());
            }
        }
        let mut events = Events::new(true);
        let is_record = events.restore(&bytes);
        assert_eq!(is_record, decode(&bytes).is_some());
        accepted += usize::from(is_record);
        // Whatever it says, nothing that is done with it later fails.
        if is_record && round % 16 < 2 {
            events.start(7, second(1), second(2));
            note(&mut events, &kinds::VERDICT, Severity::Info, "hot", 2);
            events.clock(second(3), second(9000));
            events.add_processes(top);
            let _ = events.each(&ALL, &mut |_, lists| lists.each(&mut |_, _| ()));
            events.update(number(&bytes, ID), Some(second(4)), Some(1));
        }
    }
    assert!((2_000..18_000).contains(&accepted), "{accepted}");
}
