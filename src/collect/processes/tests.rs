//! Scans of made-up processes, and of this machine.

use super::*;
use std::cell::Cell;
use std::path::Path;

thread_local! {
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

fn clock() -> Duration {
    Duration::from_millis(CLOCK.get())
}

fn write(directory: &Path, file: &str, text: &[u8]) {
    let path = directory.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn stat(pid: u64, name: &[u8], ticks: u64, start: u64, pages: u64) -> Vec<u8> {
    let before = format!("{pid} (").into_bytes();
    let behind = format!(
        ") S 1 1 1 0 -1 4194560 1 0 3 0 {ticks} 5 0 0 20 0 3 0 {start} 4194304 {pages} 18446744073709551615 0 0\n"
    );
    [&before, name, behind.as_bytes()].concat()
}

struct Bench {
    directory: PathBuf,
    processes: Processes,
}

impl Bench {
    fn new(name: &str, command_lines: bool) -> Self {
        let directory = std::env::temp_dir().join(format!("pi-monitor-processes-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        write(&directory, "proc/uptime", b"1 1\n");
        write(&directory, "sys/fs/cgroup/cgroup.controllers", b"io memory\n");
        write(&directory, "etc/passwd", b"root:x:0:0::/:/bin/sh\n\n:x:5::\nbad\npi:x:1000:1000::/:/bin/sh\n");
        let roots = Roots { proc: directory.join("proc"), root: directory.clone(), sys: directory.join("sys") };
        CLOCK.set(50_000);
        Bench { processes: Processes::new(&roots, command_lines), directory }
    }

    fn write(&self, file: &str, text: &[u8]) {
        write(&self.directory.join("proc"), file, text);
    }

    fn json(&mut self) -> serde_json::Value {
        let mut out = Vec::new();
        let scan = self.processes.summary(Duration::from_millis(1500), 4);
        crate::format::processes::write(&scan, |show| self.processes.each(show), &mut out);
        serde_json::from_slice(&out).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The agent's own I/O is all that it may see.
#[test]
fn where_processes_hide_their_io_the_group_that_uses_most_is_named() {
    let mut bench = Bench::new("groups", false);
    for pid in [7, 30, 31] {
        bench.write(&format!("{pid}/stat"), &stat(pid, b"any", 100, 900, 10));
    }
    bench.write("7/io", b"read_bytes: 0\nwrite_bytes: 0\n");
    let group = |bench: &Bench, name: &str, read: u64, written: u64| {
        // Two devices; nothing was read from or written to one of them.
        let text = format!(
            "8:0 rbytes=0 wbytes=0\n179:0 rbytes={read} wbytes={written} rios=9 wios=9 dbytes=5000000 dios=1\n"
        );
        write(&bench.directory, &format!("sys/fs/cgroup/{name}/io.stat"), text.as_bytes());
    };
    let mut look = |bytes: [u64; 4]| {
        let [cron, database, media, new] = bytes;
        group(&bench, "", 9_000_000, bytes.iter().sum());
        group(&bench, "system.slice", 1000, cron + database);
        group(&bench, "system.slice/cron.service", 500, cron);
        group(&bench, "system.slice/database.service", 500, database);
        group(&bench, "media.scope", media, 0);
        if new > 0 {
            group(&bench, "new.scope", new, new);
        }
        let mut progress = bench.processes.prepare(clock);
        CLOCK.set(CLOCK.get() + 1000);
        if let Progress::Wait(_) = progress {
            progress = bench.processes.prepare(clock);
            CLOCK.set(CLOCK.get() + 1000);
        }
        assert_eq!(progress, Progress::Ready);
        bench.processes.top.io.clone()
    };
    assert_eq!(look([100, 100, 100, 0]), "");
    assert_eq!(look([200, 350, 300, 0]), "database.service");
    assert_eq!(look([200, 350, 700, 0]), "media.scope");
    assert_eq!(look([200, 350, 700, 9999]), "", "a group that was not there before");
    assert_eq!(look([900, 950, 1200, 9999]), "cron.service");
}

#[test]
fn rates_are_those_between_two_scans() {
    let mut bench = Bench::new("rates", true);
    bench.write("7/stat", &stat(7, b"bash", 100, 900, 10));
    bench.write("7/io", b"rchar: 1\nread_bytes: 1000\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
    bench.write("7/status", b"Name:\tbash\nUid:\t1000\t0\t1000\t1000\n");
    bench.write("7/cmdline", b"/bin/bash\0-l\0");
    bench.write("30/stat", &stat(30, b"new", 500, 10, 20));
    bench.write("30/status", b"Uid:\t5\t77\t5\t5\n");
    assert_eq!(bench.processes.prepare(clock), Progress::Wait(FIRST));
    assert_eq!(bench.processes.prepare(clock), Progress::Wait(FIRST));
    CLOCK.set(CLOCK.get() + 2000);
    bench.write("7/stat", &stat(7, b"bash", 125, 900, 11));
    bench.write("7/io", b"read_bytes: 5000\nwrite_bytes: 3\n");
    // The number was given to another process, whose time before is not ours to tell.
    bench.write("30/stat", &stat(30, b"new", 700, 11, 20));
    assert_eq!(bench.processes.prepare(clock), Progress::Ready);
    let expected = serde_json::json!({
        "time": 1.5, "interval_seconds": 2, "scan_seconds": 0, "cpus": 4, "total": 2,
        "processes": [
            {"pid": 7, "name": "bash", "user": "root", "state": "S", "threads": 3, "cpu_percent": 12.5,
             "resident_bytes": 11 * sys::page_size(), "read_bytes_per_second": 2000, "write_bytes_per_second": 1,
             "command": "/bin/bash -l"},
            {"pid": 30, "name": "new", "user": "77", "state": "S", "threads": 3, "cpu_percent": 0,
             "resident_bytes": 20 * sys::page_size()},
        ],
    });
    assert_eq!(bench.json(), expected);
    assert_eq!(bench.processes.top(clock()).unwrap().cpu, "bash");
    assert_eq!(bench.processes.top(clock()).unwrap().memory, "new");
    // Within a second everybody gets the same, and after ten it begins anew.
    let at = bench.processes.scanned_at();
    CLOCK.set(CLOCK.get() + 900);
    assert_eq!((bench.processes.prepare(clock), bench.processes.scanned_at()), (Progress::Ready, at));
    CLOCK.set(CLOCK.get() + 10_000);
    assert!(bench.processes.top(clock()).is_none());
    assert_eq!(bench.processes.prepare(clock), Progress::Wait(FIRST));
    CLOCK.set(CLOCK.get() + 500);
    assert_eq!(bench.processes.prepare(clock), Progress::Ready);
    assert_eq!(bench.json()["interval_seconds"], 0.5);
}

#[test]
fn what_ended_between_two_scans_is_counted() {
    let mut bench = Bench::new("ended", false);
    let ended = |bench: &mut Bench| bench.json().get("ended_cpu_percent").cloned();
    bench.write("stat", b"cpu  1000 20 300 9999 5 6 7 0 0 0\ncpu0 1 2 3\n");
    bench.write("7/stat", &stat(7, b"make", 100, 900, 10));
    bench.write("8/stat", &stat(8, b"cc1", 10, 950, 10));
    bench.processes.prepare(clock);
    assert_eq!(ended(&mut bench), None);
    CLOCK.set(CLOCK.get() + 2000);
    // 200 ticks in all: 50 of make, 30 of a process that is new, the rest of some that are gone.
    bench.write("stat", b"cpu  1150 20 350 9999 5 6 7 0 0 0\n");
    bench.write("7/stat", &stat(7, b"make", 150, 900, 10));
    bench.write("9/stat", &stat(9, b"cc1", 25, 1000, 10));
    std::fs::remove_dir_all(bench.directory.join("proc/8")).unwrap();
    bench.processes.prepare(clock);
    assert_eq!(ended(&mut bench), Some(60.into()));
    // Sampled ticks may be fewer than those of the processes, and a kernel may say nothing.
    CLOCK.set(CLOCK.get() + 2000);
    bench.write("7/stat", &stat(7, b"make", 190, 900, 10));
    bench.processes.prepare(clock);
    assert_eq!(ended(&mut bench), Some(0.into()));
    for text in [&b""[..], b"cpu\n", b"cpu  1 2\n", b"cpu  1 2 x\n", b"cpu  18446744073709551615 1 1\n"] {
        assert_eq!(parse_spent(text), None);
        CLOCK.set(CLOCK.get() + 2000);
        bench.write("stat", text);
        bench.processes.prepare(clock);
        assert_eq!(ended(&mut bench), None);
    }
}

#[test]
fn hostile_hidden_and_vanished_processes() {
    let mut bench = Bench::new("hostile", false);
    bench.write("1/stat", &stat(1, b"x\n) Z 9 (", 1, 1, 5));
    bench.write("2/stat", &stat(2, b"\xff\"\\<img src=x>", 1, 1, 4));
    bench.write("3/stat", b"");
    bench.write("4/stat", b"4 (a");
    bench.write("5/stat", b"5 (a) S 1 2 3\n");
    bench.write("6/comm", b"no stat\n");
    bench.write("7/cmdline", b"secret\0");
    bench.write("7/stat", &stat(7, b")", u64::MAX, u64::MAX, 3));
    bench.write("99999999999999999999999/stat", &stat(1, b"a", 1, 1, 1));
    for _ in 0..3 {
        bench.processes.prepare(clock);
        CLOCK.set(CLOCK.get() + 1000);
    }
    let json = bench.json();
    let names: Vec<_> = json["processes"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["x\n) Z 9 (", "\\xff\"\\<img src=x>", ")"]);
    assert_eq!(json["total"], 3);
    assert!(!json.to_string().contains("secret") && json["processes"][0].get("user").is_none());
}

#[test]
fn the_ten_largest_of_each_kind_are_told() {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 60
    };
    for count in [0, 1, 9, 10, 11, 100] {
        let all: Vec<_> = (0..count)
            .map(|pid| Process { pid, cpu_used: random(), resident_pages: random(), ..Process::default() })
            .collect();
        let mut shown = Vec::new();
        let first = largest(&all, Process::cpu_key, &mut shown);
        let mut expected: Vec<_> = all.iter().map(Process::cpu_key).filter(|key| *key > 0).collect();
        expected.sort_by_key(|key| std::cmp::Reverse(*key));
        expected.truncate(MOST);
        assert_eq!(shown.iter().map(|&place| all[place].cpu_used).collect::<Vec<_>>(), expected);
        assert_eq!(first[0], shown.first().copied());
        largest(&all, Process::memory_key, &mut shown);
        let mut once = shown.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), shown.len());
    }
}

#[test]
fn this_machine() {
    let mut processes = Processes::new(&Roots::default(), false);
    processes.prepare(sys::since_boot);
    // On a busy machine this takes longer; user time is the 14th field.
    let used = || -> u64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(11).unwrap().parse().unwrap()
    };
    let (end, before) = (std::time::Instant::now() + Duration::from_millis(600), used());
    while std::time::Instant::now() < end || used() < before + 20 {
        std::hint::black_box((0..100_000).sum::<u64>());
    }
    assert_eq!(processes.prepare(sys::since_boot), Progress::Ready);
    let own = processes.present.all.iter().find(|process| process.pid == u64::from(std::process::id())).unwrap();
    assert!(own.cpu_used >= 10, "{own:?}");
}
