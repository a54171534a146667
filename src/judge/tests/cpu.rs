//! CPU time, and who takes it.

use super::bench::*;
use super::judged;

#[test]
fn niced_work_is_neither_busy_nor_load() {
    let mut bench = Bench::new("nice");
    write(&bench.directory, "proc/loadavg", "9.00 9.00 9.00 1/100 1\n");
    let stat = |user: u64, nice: u64| {
        move |tick: u64| {
            let (user, nice, idle) = (tick * user, tick * nice, 1000 + tick * (200 - user - nice));
            format!("cpu  {user} {nice} 0 {idle} 0 0 0 0\ncpu0 {user} {nice} 0 {idle} 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\n")
        }
    };
    assert_eq!(judged(&mut bench, "proc/stat", stat(0, 198)), []);
    let mut bench = Bench::new("not-nice");
    write(&bench.directory, "proc/loadavg", "9.00 9.00 9.00 1/100 1\n");
    let found = judged(&mut bench, "proc/stat", stat(186, 10));
    assert_eq!(found.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), ["cpu_busy", "load_high"]);
}

/// A virtual machine whose host has nothing left for it.
#[test]
fn what_others_on_the_host_take_is_named() {
    for (stolen, expected) in
        [(150, "99.0% in use, 75.0% of it by others on the same host (steal)"), (30, "99.0% in use")]
    {
        let mut bench = Bench::new("steal");
        let found = judged(&mut bench, "proc/stat", |tick| {
            let (user, stolen, idle) = (tick * (198 - stolen), tick * stolen, 1000 + tick * 2);
            format!("cpu  {user} 0 0 {idle} 0 0 0 {stolen}\ncpu0 {user} 0 0 {idle} 0 0 0 {stolen}\n")
        });
        assert_eq!(found, [("cpu_busy", expected.to_owned())]);
    }
}

#[test]
fn a_load_without_a_number_of_cpus_is_no_verdict() {
    let mut bench = Bench::new("no-cpus");
    write(&bench.directory, "proc/stat", "cpu  0 0 0 1000 0 0 0 0\nbtime 1\n");
    assert_eq!(judged(&mut bench, "proc/loadavg", |_| "9.00 9.00 9.00 1/100 1\n".to_owned()), []);
}

/// A container with two idle CPUs shows the load of a machine that has many (lxc/lxcfs#13). A process that waits for a disk here is
/// a load of its own.
#[test]
fn a_load_of_others_is_no_verdict() {
    let stat = |busy: u64, tick: u64| {
        let (user, idle) = (tick * busy, tick * (200 - busy));
        format!("cpu  {user} 0 0 {idle} 0 0 0 0\ncpu0 {user} 0 0 0 0 0 0 0\ncpu1 0 0 0 {idle} 0 0 0 0\n")
    };
    for (busy, process, expected) in [(39, 'S', &[][..]), (41, 'S', &["load_high"]), (39, 'D', &["load_high"])] {
        let mut bench = Bench::new("others");
        write(&bench.directory, "proc/loadavg", "24.10 24.05 23.98 31/4127 88231\n");
        let line = format!("9 (dd) {process} 1 9 9 0 -1 0 0 0 0 0 5 5 0 0 20 0 1 0 50 4096 10\n");
        write(&bench.directory, "proc/9/stat", &line);
        let mut found = Vec::new();
        for tick in 1..30 {
            write(&bench.directory, "proc/stat", &stat(busy, tick));
            found = names(&bench.tick());
            if bench.agent.look().is_some() {
                HALVES.set(500);
                bench.agent.look();
                HALVES.set(0);
            }
        }
        assert_eq!(found, expected, "{busy} {process}");
    }
}
