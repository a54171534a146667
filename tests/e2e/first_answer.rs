//! True numbers in the very first answer, as other tools see them at the same moment.

use crate::agent::{Agent, value};
use std::process::Command;
use std::time::{Duration, Instant};

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
    let begin = Instant::now();
    let agent = Agent::start(&["--sample.interval=60s"]);
    let text = agent.metrics();
    let time = begin.elapsed();
    let after = stat();
    assert!(time < Duration::from_secs(60), "the first answer waits for an interval to pass: {time:?}");

    // Seconds lie between two readings of /proc/stat.
    let sum = |mode: &str| -> f64 {
        let all = text.lines().filter(|line| line.starts_with("pi_cpu_seconds_total{") && line.contains(mode));
        all.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    for (place, mode) in ["user", "nice", "system", "idle"].iter().enumerate() {
        let told = sum(&format!("mode=\"{mode}\""));
        // Each CPU's counter is cut to hundredths, and the total is not the sum of those.
        let slack = 0.02 * std::thread::available_parallelism().unwrap().get() as f64 + 0.05;
        assert!(
            told >= before[place] - slack && told <= after[place] + slack,
            "{mode}: {} {told} {}",
            before[place],
            after[place]
        );
    }
    // Percentages are those since boot, until an interval has passed.
    let total: f64 = after[..8].iter().sum();
    let idle = value(&text, "pi_cpu_usage_percent{cpu=\"total\",mode=\"idle\"}").unwrap();
    assert!((idle - after[3] / total * 100.0).abs() < 2.0, "{idle}");
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
    let busy = std::thread::spawn(|| {
        let end = Instant::now() + Duration::from_millis(900);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    });
    std::thread::sleep(Duration::from_millis(700));
    let json = agent.json();
    busy.join().unwrap();
    let shares = &json["cpu"]["cpus"][0]["usage_percent"];
    // One thread keeps one CPU busy, whichever it is; on a machine with many CPUs that is a small share of all.
    let cpus = json["cpu"]["cpus"].as_array().unwrap().len() - 1;
    let used = 100.0 - shares["idle"].as_f64().unwrap();
    assert!(used >= 60.0 / cpus as f64, "{shares}");
}

#[test]
fn memory_is_that_of_free() {
    let agent = Agent::start(&[]);
    let line = |text: &str, name: &str| -> Vec<f64> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect()
    };
    let free = output("free", &["-b"]);
    let text = agent.metrics();
    let (memory, swap) = (line(&free, "Mem:"), line(&free, "Swap:"));
    let told = |name: &str| value(&text, name).unwrap();
    let [total, used, free, shared, _, available] = memory[..] else { panic!("{free:?}") };
    assert_eq!(told("pi_memory_total_bytes"), total);
    // Other programs allocate meanwhile.
    for (name, expected) in [
        ("pi_memory_used_bytes", used),
        ("pi_memory_free_bytes", free),
        ("pi_memory_shared_bytes", shared),
        ("pi_memory_available_bytes", available),
    ] {
        assert!((told(name) - expected).abs() <= total * 0.03, "{name}: {} instead of {expected}", told(name));
    }
    assert_eq!(told("pi_memory_swap_total_bytes"), swap[0]);
}

#[test]
fn filesystems_are_those_of_df() {
    let agent = Agent::start(&["--collector.disk.mount-points-exclude="]);
    let json = agent.json();
    let df = output("df", &["-B1", "-a", "--output=target,size,used,avail,itotal,fstype"]);
    let mut compared = 0;
    for filesystem in json["disk"]["filesystems"].as_array().unwrap() {
        let target = filesystem["mountpoint"].as_str().unwrap();
        let told = |key: &str| filesystem[key].as_f64();
        let Some(line) = df.lines().rfind(|line| line.split_whitespace().next() == Some(target)) else { continue };
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |place: usize| words[place].parse::<f64>().ok();
        assert_eq!(told("total_bytes"), number(1), "{line}");
        assert_eq!(told("inodes").unwrap_or(0.0), number(4).unwrap_or(0.0), "{line}");
        let slack = number(1).unwrap() * 0.01 + 65_536.0;
        for (key, place) in [("used_bytes", 2), ("available_bytes", 3)] {
            assert!((told(key).unwrap() - number(place).unwrap()).abs() <= slack, "{key}: {line}");
        }
        compared += 1;
    }
    assert!(compared > 0, "{df}");
}
