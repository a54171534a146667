//! Who is to blame, and when the agent looks for them.

use super::bench::*;
use std::time::Duration;

fn stat(pid: u64, name: &str, state: char, ticks: u64, pages: u64) -> String {
    format!("{pid} ({name}) {state} 1 1 1 0 -1 0 1 0 3 0 {ticks} 0 0 0 20 0 1 0 5 4194304 {pages} 1 0 0\n")
}

/// CPU that is busy all the time.
pub fn busy(tick: u64) -> String {
    format!("cpu  {} 0 0 1000 0 0 0 0\n", tick * 2000)
}

#[test]
fn the_culprit_is_looked_for_when_a_condition_begins_to_hold_and_only_then() {
    let mut bench = Bench::new("culprit");
    for _ in 0..20 {
        bench.tick();
        assert_eq!(bench.agent.look(), None, "nothing is wrong, so nobody is looked for");
    }
    write(&bench.directory, "proc/71/stat", &stat(71, "cruncher", 'R', 100, 10));
    write(&bench.directory, "proc/72/stat", &stat(72, "idler", 'S', 9000, 500));
    write(&bench.directory, "proc/stat", &busy(1));
    assert_eq!(names(&bench.tick()), [""; 0]);
    assert!(bench.agent.look().is_some(), "the second look follows the first");
    write(&bench.directory, "proc/71/stat", &stat(71, "cruncher", 'R', 150, 10));
    CLOCK.set(CLOCK.get() + 1);
    assert_eq!(bench.agent.look(), None);
    let mut looks = 0;
    for tick in 2..30 {
        write(&bench.directory, "proc/stat", &busy(tick));
        let report = bench.tick();
        if bench.agent.look().is_some() {
            // Once more, when the rule is about to fire.
            looks += 1;
            write(&bench.directory, "proc/71/stat", &stat(71, "cruncher", 'R', 150 + tick * 100, 10));
            HALVES.set(500);
            assert_eq!(bench.agent.look(), None);
            HALVES.set(0);
        }
        if let Some(finding) = report.items().next() {
            assert_eq!((&*finding.culprit, finding.rule.name), ("cruncher", "cpu_busy"));
            assert!(finding.detail.ends_with("% in use; cruncher uses most"), "{}", finding.detail);
        }
    }
    assert_eq!(looks, 1);
    let metrics = bench.runtime.block_on(bench.agent.page(crate::format::Format::Prometheus, false, Duration::ZERO));
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let line = "pi_verdict_info{rule=\"cpu_busy\",severity=\"warning\",culprit=\"cruncher\"} 1\n";
    assert!(metrics.contains(line) && metrics.contains("pi_verdict{rule=\"cpu_busy\"} 1\n"));
}

#[test]
fn no_process_is_named_without_evidence_or_permission() {
    for (flags, used, expected) in
        [(&[][..], 50, "cruncher"), (&[], 5, "cruncher"), (&[], 4, ""), (&["--no-collector.processes"], 50, "")]
    {
        let mut bench = Bench::with("evidence", flags);
        write(&bench.directory, "proc/71/stat", &stat(71, "cruncher", 'R', 100, 10));
        write(&bench.directory, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 900 kB\n");
        for tick in 1..20 {
            write(&bench.directory, "proc/stat", &busy(tick));
            bench.tick();
            if bench.agent.look().is_some() {
                write(&bench.directory, "proc/71/stat", &stat(71, "cruncher", 'R', 100 + used, 10));
                HALVES.set(500);
                bench.agent.look();
                HALVES.set(0);
            }
        }
        let report = bench.tick();
        assert_eq!(report.items().next().map(|it| &*it.culprit), Some(expected), "{flags:?} {used}");
        let page = bench.runtime.block_on(bench.agent.page(crate::format::Format::Json, false, Duration::ZERO));
        assert_eq!(String::from_utf8_lossy(&page).contains("cruncher"), !expected.is_empty());
    }
}

#[test]
fn io_pressure_needs_a_busy_disk_or_a_blocked_process() {
    // Busy for this many milliseconds of 2000 for so many ticks; the state of a process and its pages; whether disks are
    // listed; whom the rule blames; how often processes are looked at in two minutes.
    for (busy, ticks, state, pages, listed, expected, looks) in [
        (0, 60, 'S', 10, true, None, 0..=0),
        (190, 60, 'S', 10, true, None, 1..=3),
        (400, 60, 'S', 10, true, Some(""), 1..=4),
        // Disks that stand still do no I/O for which a process could be blocked.
        (0, 60, 'D', 10, true, None, 0..=0),
        (0, 60, 'D', 10, false, Some("writer"), 1..=5),
        (1, 60, 'D', 10, true, Some("writer"), 1..=5),
        (1, 60, 'D', 0, true, None, 1..=3),
        (1000, 60, 'D', 10, true, Some("writer"), 1..=3),
        // It hangs with a request in it, which old kernels do not count as busy.
        (1, 5, 'D', 10, true, Some("writer"), 1..=5),
    ] {
        let mut bench = Bench::new("io");
        let (mut looked, mut seen) = (0, None);
        for tick in 1..60 {
            write(&bench.directory, "proc/77/stat", &stat(77, "writer", state, 1, pages));
            let total = tick * 1_980_000;
            write(&bench.directory, "proc/pressure/io", &format!("some avg10=99 avg60=99 avg300=99 total={total}\n"));
            let disk = format!("   8       0 sda 0 0 0 0 0 0 0 0 1 {} 0\n", tick.min(ticks) * busy);
            write(&bench.directory, "proc/diskstats", if listed { &disk } else { "" });
            let report = bench.tick();
            if let Some(finding) = report.items().next() {
                assert_eq!(finding.rule.name, "io_pressure");
                seen = Some(finding.culprit.clone());
            }
            if bench.agent.look().is_some() {
                looked += 1;
                CLOCK.set(CLOCK.get() + 1);
                assert_eq!(bench.agent.look(), None);
            }
        }
        let what = format!("busy {busy} for {ticks}, state {state}, {pages} pages, {listed}");
        assert_eq!(seen.as_deref(), expected, "{what}");
        assert!(looks.contains(&looked), "{what}: {looked} looks in two minutes");
    }
}

/// What is busy when a condition begins to hold, such as a program that starts, may be done before the rule fires.
#[test]
fn the_culprit_is_who_uses_most_when_the_rule_is_about_to_fire_and_stays() {
    let mut bench = Bench::new("ramp");
    // CPU time that each process has used at a moment, in ticks of 10 ms.
    let used = |at: u64| {
        let (first, second, third) = (at.min(10), at.saturating_sub(10).min(40), at.saturating_sub(50));
        [(71, "starter", first), (72, "cruncher", second), (73, "latecomer", third)]
            .map(|(pid, name, seconds)| (format!("proc/{pid}/stat"), stat(pid, name, 'R', 1000 + 190 * seconds, 10)))
    };
    let (start, mut seen) = (CLOCK.get(), Vec::new());
    let write_all = |bench: &Bench| {
        let at = CLOCK.get() - start;
        used(at).iter().for_each(|(file, text)| write(&bench.directory, file, text));
        write(&bench.directory, "proc/stat", &format!("cpu  {} 0 0 1000 0 0 0 0\n", 1000 * at));
    };
    for _ in 0..60 {
        write_all(&bench);
        let report = bench.tick();
        if bench.agent.look().is_some() {
            CLOCK.set(CLOCK.get() + 1);
            write_all(&bench);
            assert_eq!(bench.agent.look(), None);
        }
        // As if a client read /processes all the time.
        if bench.agent.verdicts().items().next().is_some() {
            let _ = bench.agent.processes(false);
        }
        seen.extend(report.items().map(|it| it.culprit.clone()));
    }
    seen.dedup();
    assert_eq!(seen, ["cruncher"]);
}

#[test]
fn the_name_of_a_culprit_is_escaped_once() {
    let mut bench = Bench::new("escapes");
    let path = bench.directory.join("proc/71");
    std::fs::create_dir_all(&path).unwrap();
    for tick in 1..30 {
        let mut text = stat(71, "N", 'R', tick * 100, 10).into_bytes();
        let at = text.iter().position(|byte| *byte == b'N').unwrap();
        text.splice(at..=at, *b"a\xff\\x41");
        std::fs::write(path.join("stat"), text).unwrap();
        write(&bench.directory, "proc/stat", &busy(tick));
        bench.tick();
        HALVES.set(500 * (tick % 2));
        bench.agent.look();
    }
    HALVES.set(0);
    let expected = r"a\xff\x5cx41";
    let mut page = |format| {
        let page = bench.runtime.block_on(bench.agent.page(format, false, Duration::ZERO));
        String::from_utf8(page.to_vec()).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&page(crate::format::Format::Json)).unwrap();
    assert_eq!(json["verdicts"]["items"][0]["culprit"], expected);
    let line = format!("culprit=\"{}\"}} 1\n", expected.replace('\\', r"\\"));
    let metrics = page(crate::format::Format::Prometheus);
    assert!(metrics.contains(&line), "{line} {metrics}");
}
