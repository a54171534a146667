mod arrays;
mod bench;
mod cpu;
mod culprit;
mod events;
mod illnesses;

use super::rules::{ALL, RECENT};
use super::*;
use crate::agent::Agent;
use crate::commands;
use crate::kernel::Machine;
use crate::sys::FsStat;
use bench::*;
use culprit::busy;
use illnesses::ILLNESSES;
use std::time::Duration;

#[test]
fn every_rule_switches_on_and_off_in_its_time_and_not_for_less() {
    for (name, file, text, culprit, detail) in ILLNESSES {
        let rule = ALL.iter().find(|rule| rule.head.name == *name).unwrap();
        let mut bench = Bench::new(name);
        let healthy = std::fs::read_to_string(bench.directory.join(file)).unwrap();
        let clear = bench.tick();
        assert_eq!(names(&clear), [""; 0], "before {name}");
        for tick in 1..60 {
            write(&bench.directory, file, &text(tick, false));
            let report = bench.tick();
            assert_eq!(names(&report), [""; 0], "{name}: tick {tick} of what is just not bad enough");
        }
        assert!(bench.tick().clear.unwrap() <= clear.clear.unwrap());
        let mut bench = Bench::new(name);
        let mut on_at = None;
        let mut ticks = 0;
        for tick in 1..40 {
            write(&bench.directory, file, &text(tick, true));
            let report = bench.tick();
            ticks = tick;
            if let Some(finding) = report.items().find(|finding| finding.rule.name == *name) {
                assert_eq!((&*finding.culprit, &*finding.detail), (*culprit, *detail), "{name}");
                assert_eq!((report.clear, names(&report)), (None, vec![*name]));
                for text in [&finding.title, &finding.detail] {
                    assert!(!text.ends_with('.'), "{text}");
                }
                let since = report.now - finding.since.unwrap();
                assert!(since >= rule.on, "{name} after {since} s");
                on_at = Some(since);
                break;
            }
        }
        // Rates and percentages take two readings more; errors come now and then.
        assert!(on_at.is_some_and(|since| since <= rule.on + 2 && 2 * ticks <= rule.on + 2 + 10), "{name} {on_at:?}");
        // Well again: levels are as before, counters stand still, and the CPU is idle.
        let well = |more: u64| match *name {
            "cpu_busy" => format!("cpu  {} 0 0 {} 0 0 0 0\n", ticks * 1840, 9000 + more * 2000),
            _ if text(1, true) == text(2, true) => healthy.clone(),
            _ => text(ticks, true),
        };
        let mut off_after = 0;
        loop {
            write(&bench.directory, file, &well(off_after + 1));
            if names(&bench.tick()) != [*name] {
                break;
            }
            off_after += 2;
            assert!(off_after < 700, "{name} stays on");
        }
        let expected = rule.off + rule.hold;
        assert!((expected.saturating_sub(4)..=expected + 4).contains(&off_after), "{name}: off after {off_after} s");
        assert_eq!(bench.tick().clear, Some(CLOCK.get() - 2));
    }
}

/// What changes within minutes is looked at once a minute, and is trouble once two looks have found it.
#[test]
fn slow_rules() {
    let mut bench = Bench::new("slow");
    const COUNT: &str = "proc/sys/net/netfilter/nf_conntrack_count";
    write(&bench.directory, "proc/sys/net/netfilter/nf_conntrack_max", "1000\n");
    let mdstat = |bench: &Bench, disks: &str| {
        let text = format!("Personalities : [raid1]\nmd0 : active raid1 {disks}\n\nunused devices: <none>\n");
        write(&bench.directory, "proc/mdstat", &text);
    };
    let whole = "sdb1[1] sda1[0]\n      1000 blocks super 1.2 [2/2] [UU]";
    let broken = "sdb1[1](F) sda1[0]\n      1000 blocks super 1.2 [2/1] [U_]";
    // Of four places that its maker gave it, two were never filled.
    let roomy = "sda1[0]\n      1000 blocks super 1.2 [4/1] [U___]";
    let after = |bench: &mut Bench, seconds: u64| (0..seconds / 2).map(|_| names(&bench.tick())).last().unwrap();
    mdstat(&bench, whole);
    write(&bench.directory, COUNT, "899\n");
    KEPT.set(Some(false));
    bench.restart();
    assert_eq!(after(&mut bench, 600), [""; 0], "nothing ever kept the clock right");
    mdstat(&bench, roomy);
    assert_eq!(after(&mut bench, 200), [""; 0]);
    // Between two looks nobody sees it.
    KEPT.set(Some(true));
    mdstat(&bench, broken);
    write(&bench.directory, COUNT, "900\n");
    assert_eq!(after(&mut bench, 56), [""; 0]);
    assert_eq!(after(&mut bench, 70), ["raid_degraded", "conntrack_full"]);
    let report = bench.tick();
    let said: Vec<_> = report.items().map(|finding| (&*finding.culprit, &*finding.detail)).collect();
    let expected = [
        ("md0", "1 of 2 disks are missing from it"),
        ("firewall", "900 of 1000; beyond that, packets of new ones are dropped"),
    ];
    assert_eq!(said, expected);
    mdstat(&bench, whole);
    write(&bench.directory, COUNT, "899\n");
    KEPT.set(Some(false));
    assert_eq!(after(&mut bench, 100), [""; 0]);
    assert_eq!(after(&mut bench, 170), [""; 0], "a program that synchronizes it may restart");
    assert_eq!(after(&mut bench, 100), ["clock_unsynchronized"]);
    KEPT.set(Some(true));
    assert_eq!(after(&mut bench, 100), [""; 0]);
}

/// None of this is trouble: a port that never had a link, one that was switched off, a single reconnect, a few broken
/// packets on an idle interface, noise on what is no wire.
#[test]
fn quiet_links() {
    let mut bench = Bench::new("quiet-links");
    let link = |bench: &Bench, name: &str, carrier: &str, changes: u64| {
        write(&bench.directory, &format!("sys/class/net/{name}/device/uevent"), "");
        write(&bench.directory, &format!("sys/class/net/{name}/carrier"), carrier);
        write(&bench.directory, &format!("sys/class/net/{name}/carrier_changes"), &format!("{changes}\n"));
    };
    link(&bench, "wlan0", "0\n", 1);
    let unused = " wlan0: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
    for tick in 0..450 {
        write(&bench.directory, "proc/net/dev", &(net_dev(10 + tick, tick.min(4)) + unused));
        match tick {
            100 => link(&bench, "eth0", "0\n", 3),
            104 => link(&bench, "eth0", "1\n", 4),
            200 => link(&bench, "eth0", "", 5),
            400 => link(&bench, "eth0", "1\n", 6),
            _ => {}
        }
        assert_eq!(names(&bench.tick()), [""; 0], "after {} s", 2 * tick);
    }
    // The second port is in use from its first link on, and until its adapter is pulled out.
    link(&bench, "wlan0", "1\n", 2);
    bench.tick();
    link(&bench, "wlan0", "0\n", 3);
    let report = (0..7).map(|_| bench.tick()).last().unwrap();
    assert_eq!(names(&report), ["link_down"]);
    assert_eq!(report.items().next().unwrap().title, "wlan0 lost its link");
    write(&bench.directory, "proc/net/dev", &net_dev(500, 4));
    (0..20).for_each(|_| drop(bench.tick()));
    assert_eq!(names(&bench.tick()), [""; 0]);
}

#[test]
fn filesystems() {
    let mut bench = Bench::new("filesystems");
    let mut after = |stat: FsStat| {
        DISK.set(stat);
        let report = (0..8).map(|_| bench.tick()).last().unwrap();
        let found: Vec<_> =
            report.items().map(|finding| (finding.rule.name, finding.title.clone(), finding.detail.clone())).collect();
        DISK.set(FULL_OF_AIR);
        (0..20).for_each(|_| drop(bench.tick()));
        found
    };
    // 951 of 1001 blocks of those that users may have, and 950 of them.
    let full = |free, available| FsStat { blocks_free: free, blocks_available: available, ..FULL_OF_AIR };
    let expected = ("disk_full", "/ is almost full".to_owned(), "95.0% of 3.9 MiB".to_owned());
    assert_eq!(after(full(50, 50)), [expected]);
    assert_eq!(after(full(51, 51)), []);
    assert_eq!(after(full(100, 47)).len(), 1, "root's reserve does not count");
    let inodes = |files_free| FsStat { files_free, ..FULL_OF_AIR };
    let expected = ("inodes_full", "/ is almost out of inodes".to_owned(), "95.0% of 1000 inodes in use".to_owned());
    assert_eq!(after(inodes(50)), [expected]);
    assert_eq!(after(inodes(51)), []);
    assert_eq!(after(FsStat { files: 0, files_free: 0, ..FULL_OF_AIR }), []);
}

/// Four days at 100 of 1000 blocks a day, then somebody makes room.
#[test]
fn a_filesystem_that_fills_is_announced() {
    let mut bench = Bench::new("full-soon");
    let mut report = bench.tick();
    for hour in 0..24 * 4 {
        let free = 900 - hour * 100 / 24;
        DISK.set(FsStat { blocks_free: free, blocks_available: free, ..FULL_OF_AIR });
        for _ in 0..7 {
            report = bench.tick();
        }
        CLOCK.set(CLOCK.get() + 3600 - 14);
        assert!(hour > 72 || names(&report) == [""; 0], "{hour}: {:?}", names(&report));
    }
    let finding = report.items().next().expect("a verdict");
    assert_eq!((finding.rule.name, &*finding.culprit), ("filesystem_full_soon", "/"));
    assert_eq!(
        (&*finding.title, &*finding.detail),
        ("/ will be full in 5 days", "grows 400 KiB a day, 2.0 MiB available")
    );
    assert_eq!(report.items().count(), 1);
    DISK.set(FsStat { blocks_free: 1000, blocks_available: 1000, ..FULL_OF_AIR });
    (0..5).for_each(|_| report = bench.tick());
    // At this pace, there are ten days left.
    assert_eq!(report.items().next().unwrap().title, "/ will be full in 10 days");
    for _ in 0..24 {
        CLOCK.set(CLOCK.get() + 3600);
        report = bench.tick();
    }
    assert_eq!(names(&report), [""; 0]);
}

#[test]
fn filesystems_are_judged_without_scrapes_too() {
    let mut bench = Bench::new("unseen");
    DISK.set(FsStat { blocks_free: 0, blocks_available: 0, ..FULL_OF_AIR });
    for _ in 0..25 {
        CLOCK.set(CLOCK.get() + 2);
        bench.agent.tick();
    }
    assert_eq!(names(&bench.tick()), ["disk_full"]);
    // One that cannot be written on purpose is not full.
    write(&bench.directory, "proc/self/mountinfo", "25 1 8:2 / / ro - ext4 /dev/sda2 ro\n");
    (0..30).for_each(|_| drop(bench.tick()));
    assert!(!names(&bench.tick()).contains(&"disk_full"));
}

#[test]
fn a_boot_is_news_for_ten_minutes_and_the_start_of_the_agent_is_none() {
    let mut bench = Bench::new("starts");
    let _entered = bench.runtime.enter();
    let options = commands::parse([format!("--path.procfs={}", bench.directory.join("proc").display())]).unwrap();
    let machine = Machine {
        statfs: |_| Ok(DISK.get()),
        since_boot: || Duration::from_secs(CLOCK.get()),
        unix_time: || Duration::ZERO,
        clock_state: || None,
        ..Machine::default()
    };
    for (start, expected) in [(20, &["machine_restarted"][..]), (599, &["machine_restarted"]), (600, &[])] {
        CLOCK.set(start);
        bench.agent = Agent::new(&options, machine);
        let judge = |bench: &mut Bench, at: u64| {
            CLOCK.set(at);
            bench.agent.tick();
            let verdicts = bench.runtime.block_on(bench.agent.snapshot(Duration::ZERO)).verdicts.clone();
            let ago = verdicts.items().map(|it| verdicts.now - it.since.unwrap()).next();
            assert_eq!(ago, verdicts.items().next().map(|_| at), "an event is as old as it is");
            names(&verdicts)
        };
        assert_eq!(judge(&mut bench, start), expected);
        assert_eq!(judge(&mut bench, start.max(599)), expected);
        assert_eq!(judge(&mut bench, start.max(599) + RECENT), [""; 0]);
    }
}

/// The rules that are on after a minute in which `file` has had `text`, with their details.
fn judged(bench: &mut Bench, file: &str, text: impl Fn(u64) -> String) -> Vec<(&'static str, String)> {
    let mut report = Report::default();
    for tick in 1..30 {
        write(&bench.directory, file, &text(tick));
        report = bench.tick();
    }
    report.items().map(|finding| (finding.rule.name, finding.detail.clone())).collect()
}

#[test]
fn hot_is_relative_to_the_sensors_own_critical_temperature() {
    let mut bench = Bench::new("critical");
    let zone = "sys/class/thermal/thermal_zone1";
    write(&bench.directory, &format!("{zone}/type"), "PMIC-Die");
    write(&bench.directory, &format!("{zone}/trip_point_0_type"), "critical");
    write(&bench.directory, &format!("{zone}/trip_point_0_temp"), "120000");
    let mut at = |celsius: u64| judged(&mut bench, &format!("{zone}/temp"), |_| format!("{celsius}000\n"));
    assert_eq!(at(100), []);
    assert_eq!(at(110), []);
    assert_eq!(at(111), [("hot", "111.0 °C, critical at 120.0 °C".to_owned())]);
}

#[test]
fn a_critical_temperature_that_cannot_be_leaves_the_threshold() {
    let mut bench = Bench::new("zero-critical");
    let zone = "sys/class/thermal/thermal_zone1";
    write(&bench.directory, &format!("{zone}/trip_point_0_type"), "critical");
    write(&bench.directory, &format!("{zone}/trip_point_0_temp"), "0");
    assert_eq!(judged(&mut bench, &format!("{zone}/temp"), |_| "45000\n".to_owned()), []);
    assert_eq!(judged(&mut bench, &format!("{zone}/temp"), |_| "80000\n".to_owned()), [("hot", "80.0 °C".to_owned())]);
}

#[test]
fn what_zfs_caches_is_available() {
    let mut bench = Bench::new("zfs");
    let meminfo = |_| "MemTotal: 1000 kB\nMemAvailable: 60 kB\n".to_owned();
    write(&bench.directory, "proc/spl/kstat/zfs/arcstats", "c_min 4 10240\nsize 4 30720\n");
    crate::kernel::let_absence_end();
    assert_eq!(judged(&mut bench, "proc/meminfo", meminfo), []);
    write(&bench.directory, "proc/spl/kstat/zfs/arcstats", "c_min 4 10240\nsize 4 20480\n");
    assert_eq!(judged(&mut bench, "proc/meminfo", meminfo), [("memory_low", "7.0% of 1.0 MiB available".to_owned())]);
}

#[test]
fn memory_ran_out_only_where_it_was_low() {
    const OUT: &str = "Memory ran out; processes killed since boot: 4";
    const LIMIT: &str = "A service or container reached its memory limit, with ";
    // What is available before and after the kill, and how often an allocation had to wait.
    for (before, after, reclaims, expected) in [
        (900, 900, 0, LIMIT),
        (900, 900, 7, LIMIT),
        (199, 900, 0, OUT),
        (900, 199, 0, OUT),
        (200, 900, 0, LIMIT),
        (499, 900, 7, OUT),
        (499, 900, 0, LIMIT),
    ] {
        let mut bench = Bench::new("oom");
        let memory = |available: u64| format!("MemTotal: 1000 kB\nMemAvailable: {available} kB\n");
        let vmstat = |stalls: u64, kills: u64| {
            format!(
                "nr_free_pages 1\nallocstall_dma32 1\nallocstall_normal {stalls}\npgfault 1\npgmajfault 1\noom_kill {kills}\n"
            )
        };
        write(&bench.directory, "proc/vmstat", &vmstat(5, 3));
        write(&bench.directory, "proc/meminfo", &memory(before));
        bench.tick();
        bench.tick();
        write(&bench.directory, "proc/vmstat", &vmstat(5 + reclaims, 4));
        write(&bench.directory, "proc/meminfo", &memory(after));
        let report = bench.tick();
        let finding = report.items().next().unwrap();
        assert!(finding.detail.starts_with(expected), "{before} {after} {reclaims}: {}", finding.detail);
        assert_eq!((&*finding.culprit, finding.rule.name), ("", "oom_kill"));
        assert_eq!(report.now - finding.since.unwrap(), 0);
        write(&bench.directory, "proc/meminfo", &memory(900));
        let report = (0..120).map(|_| bench.tick()).last().unwrap();
        let finding = report.items().next().unwrap();
        assert_eq!((report.now - finding.since.unwrap(), finding.until), (240, None), "reported as an event");
    }
}

#[test]
fn a_kill_names_the_group_and_whose_limit_it_was() {
    let events =
        |oom: u64, kills: u64| format!("low 0\nhigh 0\nmax 9\noom {oom}\noom_kill {kills}\noom_group_kill 0\n");
    let control = |kills: u64| format!("oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n");
    let (slice, service) = ("a.slice", "a.slice/b.service");
    let none = format!("{}\n", u64::MAX / 2 / 4096 * 4096);
    // What is available, files of groups, the detail and the culprit. The counts of c.service are old.
    let after = [
        (
            900,
            vec![(slice, "memory.events.local", events(1, 0)), (service, "memory.events.local", events(0, 1))],
            "a.slice reached its memory limit of 64 MiB; processes killed since boot: 4; b.service lost a process",
            "b.service",
        ),
        (
            900,
            vec![(service, "memory.events.local", events(1, 1))],
            "b.service reached its memory limit of 32 MiB; processes killed since boot: 4",
            "b.service",
        ),
        // Before Linux 5.2.
        (
            900,
            vec![(service, "memory.events", events(1, 1))],
            "b.service reached its memory limit of 32 MiB; processes killed since boot: 4",
            "b.service",
        ),
        (
            100,
            vec![(service, "memory.events.local", events(0, 1))],
            "Memory ran out; processes killed since boot: 4; b.service lost a process",
            "b.service",
        ),
        (
            900,
            vec![
                ("memory/d", "memory.oom_control", control(1)),
                ("memory/d", "memory.limit_in_bytes", "16777216\n".into()),
            ],
            "d reached its memory limit of 16 MiB; processes killed since boot: 4",
            "d",
        ),
        (
            100,
            vec![("memory/d", "memory.oom_control", control(1)), ("memory/d", "memory.limit_in_bytes", none)],
            "Memory ran out; processes killed since boot: 4; d lost a process",
            "d",
        ),
        (100, vec![], "Memory ran out; processes killed since boot: 4", ""),
    ];
    for (available, files, detail, culprit) in after {
        let mut bench = Bench::new("groups");
        let group = |bench: &Bench, name: &str, file: &str, text: &str| {
            write(&bench.directory, &format!("sys/fs/cgroup/{name}/{file}"), text);
        };
        if !files.iter().any(|(name, ..)| name.starts_with("memory/")) {
            write(&bench.directory, "sys/fs/cgroup/cgroup.controllers", "memory\n");
        }
        group(&bench, slice, "memory.max", "67108864\n");
        group(&bench, service, "memory.max", "33554432\n");
        group(&bench, "c.service", "memory.max", "1048576\n");
        group(&bench, "c.service", "memory.events.local", &events(5, 7));
        bench.restart();
        bench.tick();
        bench.tick();
        for (name, file, text) in &files {
            group(&bench, name, file, text);
        }
        write(&bench.directory, "proc/meminfo", &format!("MemTotal: 1000 kB\nMemAvailable: {available} kB\n"));
        write(&bench.directory, "proc/vmstat", "nr_free_pages 1\npgfault 1\npgmajfault 1\noom_kill 4\n");
        let report = bench.tick();
        let finding = report.items().find(|it| it.rule.name == "oom_kill").unwrap();
        assert_eq!((&*finding.detail, &*finding.culprit), (detail, culprit));
    }
}

#[test]
fn five_short_under_voltages_within_an_hour_are_a_verdict() {
    // Seconds between the beginnings.
    for (pause, expected) in [(890, Some("Supply voltage fell below 4.63 V 5 times within an hour")), (900, None)] {
        let mut bench = Bench::new("dips");
        let mut last = None;
        for dip in 0..6 {
            for second in (0..pause).step_by(2) {
                let word = if second == 0 { "10001\n" } else { "10000\n" };
                write(&bench.directory, "sys/devices/platform/soc/soc:firmware/get_throttled", word);
                CLOCK.set(CLOCK.get() + 2);
                bench.agent.tick();
                if second == 30 {
                    last = bench.agent.verdicts().items().next().map(|it| it.detail.clone());
                    assert!(dip >= 4 || last.is_none(), "{dip}: {last:?}");
                }
            }
        }
        assert_eq!(last.as_deref(), expected, "every {pause} s");
    }
}

#[test]
fn what_is_over_says_so_until_it_is_forgotten() {
    let mut bench = Bench::new("over");
    DISK.set(FsStat { blocks_free: 0, blocks_available: 0, ..FULL_OF_AIR });
    for _ in 0..25 {
        CLOCK.set(CLOCK.get() + 2);
        bench.agent.tick();
    }
    let tick = |bench: &mut Bench| {
        CLOCK.set(CLOCK.get() + 2);
        bench.agent.tick();
        let report = bench.agent.verdicts().clone();
        report.items().map(|it| (it.title.clone(), it.until.map(|until| report.now - until))).next()
    };
    assert_eq!(tick(&mut bench), Some(("/ is almost full".to_owned(), None)));
    // Nobody scrapes, and still it is seen at once.
    DISK.set(FULL_OF_AIR);
    assert_eq!(tick(&mut bench), Some(("/ was almost full".to_owned(), Some(2))));
    assert_eq!(tick(&mut bench), Some(("/ was almost full".to_owned(), Some(4))));
    let page = bench.runtime.block_on(bench.agent.page(crate::format::Format::Json, false, Duration::ZERO));
    let json: serde_json::Value = serde_json::from_slice(&page).unwrap();
    let item = &json["verdicts"]["items"][0];
    assert_eq!((&item["state"], &item["until_seconds"]), (&"resolved".into(), &4.into()));
    DISK.set(FsStat { blocks_free: 0, blocks_available: 0, ..FULL_OF_AIR });
    // The scrape was made before that.
    tick(&mut bench);
    assert_eq!(tick(&mut bench), Some(("/ is almost full".to_owned(), None)));
    DISK.set(FULL_OF_AIR);
    (0..20).for_each(|_| drop(tick(&mut bench)));
    assert_eq!(tick(&mut bench), None);
}

#[test]
fn the_worst_comes_first() {
    let mut bench = Bench::new("order");
    CLOCK.set(100);
    for tick in 1..30 {
        write(&bench.directory, "proc/loadavg", "9.00 9.00 9.00 1/100 1\n");
        write(&bench.directory, "sys/class/thermal/thermal_zone0/temp", "99000\n");
        write(&bench.directory, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 10 kB\n");
        write(&bench.directory, "sys/devices/platform/soc/soc:firmware/get_throttled", "8\n");
        write(&bench.directory, "proc/stat", &busy(tick));
        bench.tick();
    }
    let report = bench.tick();
    let severities: Vec<_> = report.items().map(|it| it.rule.severity.name()).collect();
    let expected = ["critical", "critical", "warning", "warning", "info"];
    assert_eq!(severities, expected, "{:?}", names(&report));
    // Where each output has it.
    let places = |text: &str, before: &str, after: &str| {
        let mut parts: Vec<_> =
            report.items().map(|it| text.find(&format!("{before}{}{after}", it.rule.name))).collect();
        assert!(parts.iter().all(Option::is_some) && parts.is_sorted(), "{parts:?} {text}");
        parts.dedup();
        assert_eq!(parts.len(), expected.len());
    };
    let mut page = |format| {
        let page = bench.runtime.block_on(bench.agent.page(format, false, Duration::ZERO));
        String::from_utf8(page.to_vec()).unwrap()
    };
    places(&page(crate::format::Format::Json), "{\"rule\":\"", "\"");
    places(&page(crate::format::Format::Prometheus), "pi_verdict_info{rule=\"", "\"");
    let snapshot = bench.runtime.block_on(bench.agent.snapshot(Duration::ZERO));
    let mut table = Vec::new();
    crate::format::console::write(snapshot, &commands::print::HIGHLIGHTS, &mut table);
    let table = String::from_utf8(table).unwrap();
    let words = table.lines().skip(1).filter_map(|line| line.get(16..)?.split_once(": ").map(|(word, _)| word));
    assert_eq!(words.take(5).collect::<Vec<_>>(), expected, "{table}");
}

#[test]
fn flags_set_thresholds_and_switch_rules_off() {
    let judge = |flags: &[&str]| {
        let mut snapshot = Snapshot::new();
        let thermal = &crate::collect::thermal::COLLECTOR;
        snapshot.register(thermal.name, thermal.tables);
        let options = commands::parse(flags.iter().map(|flag| (*flag).to_owned())).unwrap();
        let mut judge = Judge::new(&snapshot, &options);
        for second in 0..12 {
            let since_boot = Duration::from_secs(START + 2 * second);
            snapshot.clear(crate::model::Moment { since_boot, ..Default::default() });
            let celsius = crate::model::Value::decimal(755, 1);
            snapshot.row(&crate::collect::thermal::SENSORS, [b"cpu"], [celsius, crate::model::Value::ABSENT]);
            judge.judge(&snapshot, None, false, None);
        }
        names(judge.report()).into_iter().filter(|name| *name == "hot").count()
    };
    assert_eq!(judge(&[]), 0);
    assert_eq!(judge(&["--rule.hot.above=75.5"]), 1);
    assert_eq!(judge(&["--rule.hot.above=75.6"]), 0);
    assert_eq!(judge(&["--rule.hot.above=75", "--no-rule.hot"]), 0);
    assert_eq!(judge(&["--rule.hot.above=75", "--no-rule.hot", "--rule.hot"]), 1);
    let wrong = commands::parse(["--rule.hot.above=warm".to_owned()]).unwrap_err();
    assert_eq!(wrong, "--rule.hot.above=warm: expected a number such as 80 or 0.5");
}

#[test]
fn who_looks_once_hears_what_holds_now() {
    let mut snapshot = Snapshot::new();
    let thermal = &crate::collect::thermal::COLLECTOR;
    snapshot.register(thermal.name, thermal.tables);
    let mut judge = Judge::new(&snapshot, &commands::parse([]).unwrap()).at_once();
    for (second, celsius, expected) in [(0, 85, &["hot"][..]), (1, 85, &["hot"]), (1, 20, &[]), (2, 85, &["hot"])] {
        let since_boot = Duration::from_secs(START + second);
        snapshot.clear(crate::model::Moment { since_boot, ..Default::default() });
        snapshot.row(&crate::collect::thermal::SENSORS, [b"cpu"], [celsius.into(), crate::model::Value::ABSENT]);
        judge.judge(&snapshot, None, false, None);
        assert_eq!(names(judge.report()), expected, "{celsius} °C");
        assert_eq!(judge.report().clear.is_some(), expected.is_empty());
    }
}

#[test]
fn laws_over_the_rules() {
    let mut snapshot = Snapshot::new();
    for registration in crate::collect::ALL {
        snapshot.register(registration.name, registration.tables);
    }
    let mut names = std::collections::HashSet::new();
    for rule in ALL {
        let name = rule.head.name;
        assert!(names.insert(name), "duplicate rule {name}");
        for input in rule.reads {
            assert!(snapshot.locate(input.head).is_some(), "no collector has {}", input.family.name());
        }
        let cards = ["cpu", "memory", "thermal", "pressure", "diskio", "network", "processes", "filesystems"];
        assert!(cards.contains(&rule.head.card), "{name}");
        let fix = rule.head.fix.text();
        assert!(fix.starts_with(char::is_uppercase) && !fix.ends_with('.'), "{name}: {fix}");
        for (place, limit) in rule.limits.iter().enumerate() {
            let (flag, direction) = (&limit.flag, limit.direction.name());
            assert_eq!((flag.check)(flag.default()), Ok(()), "{name}");
            if place == 0 {
                assert_eq!(flag.name(), format!("rule.{name}.{direction}"));
            }
            assert_eq!(flag.name(), format!("rule.{name}.{}", limit.key()));
            assert!(flag.name().ends_with(direction), "{name}");
        }
    }
}
