//! True numbers in the very first answer, as other tools see them at the same moment.

use crate::agent::{Agent, value, wait_until, wrong_each_time};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The counters of the first line of /proc/stat, in seconds.
fn stat() -> Vec<f64> {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    text.lines().next().unwrap().split_whitespace().skip(1).map(|word| word.parse::<f64>().unwrap() / 100.0).collect()
}

#[test]
fn the_first_answer_is_true() {
    let before = stat();
    // One that waited for an interval to pass would not come.
    let agent = Agent::start(&["--sample.interval=1h"]);
    let text = agent.metrics();
    let after = stat();

    // Seconds lie between two readings of /proc/stat.
    let sum = |mode: &str| -> f64 {
        let all = text.lines().filter(|line| line.starts_with("pi_cpu_seconds_total{") && line.contains(mode));
        all.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    for (place, mode) in ["user", "nice", "system", "idle"].iter().enumerate() {
        let told = sum(&format!("mode=\"{mode}\""));
        // Each CPU's counter is cut to hundredths, and the total is not the sum of those.
        // The kernel's own idle time may run backwards a little.
        let idle = if *mode == "idle" { 1.0 } else { 0.05 };
        let slack = 0.02 * std::thread::available_parallelism().unwrap().get() as f64 + idle;
        assert!(
            told >= before[place] - slack && told <= after[place] + slack,
            "{mode}: {} {told} {}",
            before[place],
            after[place]
        );
    }
    // Percentages are those since boot, until an interval has passed.
    let [earlier, later] = [&before, &after].map(|times| times[3] / times[..8].iter().sum::<f64>() * 100.0);
    let idle = value(&text, "pi_cpu_usage_percent{cpu=\"total\",mode=\"idle\"}").unwrap();
    assert!(idle > earlier.min(later) - 1.0 && idle < earlier.max(later) + 1.0, "{earlier} {idle} {later}");
}

#[test]
fn modes_of_each_cpu_sum_to_100_from_the_start() {
    let agent = Agent::start(&["--sample.interval=100ms"]);
    for _ in 0..8 {
        for cpu in agent.json()["cpu"]["cpus"].as_array().unwrap() {
            let sum: f64 =
                cpu["usage_percent"].as_object().unwrap().values().map(|share| share.as_f64().unwrap()).sum();
            assert!((sum - 100.0).abs() < 1e-9, "{cpu}");
        }
        std::thread::sleep(Duration::from_millis(60));
    }
}

#[test]
fn usage_follows_the_load() {
    let agent = Agent::start(&["--sample.interval=100ms"]);
    static DONE: AtomicBool = AtomicBool::new(false);
    let busy = std::thread::spawn(|| {
        while !DONE.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    wait_until("a busy CPU", || {
        let json = agent.json();
        let cpus = json["cpu"]["cpus"].as_array().unwrap();
        // One thread keeps one CPU busy, whichever it is; on a machine with many CPUs that is a small share of all.
        100.0 - cpus[0]["usage_percent"]["idle"].as_f64().unwrap() >= 60.0 / (cpus.len() - 1) as f64
    });
    DONE.store(true, Ordering::Relaxed);
    busy.join().unwrap();
}

#[test]
fn memory_is_that_of_free() {
    let agent = Agent::start(&[]);
    let line = |text: &str, name: &str| -> Vec<f64> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect()
    };
    let wrong = wrong_each_time(|| {
        let before = output("free", &["-b"]);
        let text = agent.metrics();
        let after = output("free", &["-b"]);
        let told = |name: &str| value(&text, name).unwrap();
        assert_eq!(told("pi_memory_total_bytes"), line(&before, "Mem:")[0]);
        assert_eq!(told("pi_memory_swap_total_bytes"), line(&before, "Swap:")[0]);
        let mut wrong = BTreeMap::new();
        for (place, name) in [(1, "used"), (2, "free"), (3, "shared"), (5, "available")] {
            let told = told(&format!("pi_memory_{name}_bytes"));
            let (one, other) = (line(&before, "Mem:")[place], line(&after, "Mem:")[place]);
            let slack = line(&before, "Mem:")[0] * 0.01;
            // Other programs allocate meanwhile.
            if told < one.min(other) - slack || told > one.max(other) + slack {
                wrong.insert(name.to_owned(), format!("{told}, between {one} and {other}"));
            }
        }
        wrong
    });
    assert_eq!(wrong, BTreeMap::new());
}

#[test]
fn filesystems_are_those_of_df() {
    let agent = Agent::start(&["--collector.disk.mount-points-exclude="]);
    let mut compared = 0;
    let wrong = wrong_each_time(|| {
        let json = agent.json();
        let df = output("df", &["-B1", "-a", "--output=target,size,used,avail,itotal,fstype"]);
        let mut wrong = BTreeMap::new();
        for filesystem in json["disk"]["filesystems"].as_array().unwrap() {
            let target = filesystem["mountpoint"].as_str().unwrap();
            let told = |key: &str| filesystem[key].as_f64().unwrap_or(0.0);
            let Some(line) = df.lines().rfind(|line| line.split_whitespace().next() == Some(target)) else { continue };
            let words: Vec<_> = line.split_whitespace().collect();
            let number = |place: usize| words[place].parse::<f64>().unwrap_or(0.0);
            let slack = number(1) * 0.01 + 65_536.0;
            for (key, place, slack) in
                [("total_bytes", 1, 0.0), ("used_bytes", 2, slack), ("available_bytes", 3, slack), ("inodes", 4, 0.0)]
            {
                if (told(key) - number(place)).abs() > slack {
                    wrong.insert(format!("{target}: {key}"), format!("{}: {line}", told(key)));
                }
            }
            compared += 1;
        }
        wrong
    });
    assert_eq!(wrong, BTreeMap::new());
    assert!(compared > 0);
}
