//! Missing and garbled kernel files: one collector is down, everything else is intact, and it heals.

use crate::boards::{self, Tree};
use pi_monitor::agent::Agent;
use pi_monitor::format::Format;
use std::path::Path;

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

async fn metrics(agent: &mut Agent) -> String {
    boards::page(agent, Format::Prometheus).await
}

/// The collectors that are down.
fn down(text: &str) -> Vec<String> {
    let up = text.lines().filter_map(|line| line.strip_prefix("pi_collector_up{collector=\""));
    up.filter_map(|line| line.strip_suffix("\"} 0")).map(str::to_owned).collect()
}

/// Like `assert_eq` for long lists: says only where they differ first.
#[track_caller]
fn assert_same(left: &[String], right: &[String], what: &str) {
    let at = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    assert!(left == right, "{what}: {:?} instead of {:?}", left.get(at), right.get(at));
}

/// All samples but those of the agent's own health and those that begin with one of the words in `prefix`.
fn others(text: &str, prefix: &str) -> Vec<String> {
    let own =
        |line: &str| ["pi_collector_", "process_"].into_iter().chain(prefix.split(' ')).any(|it| line.starts_with(it));
    let lines = text.lines().filter(|line| !line.starts_with('#') && !own(line));
    lines.map(str::to_owned).collect()
}

/// A file that is one of several costs its own families alone: no collector is named there.
#[test]
fn a_missing_or_garbled_file_costs_one_collector_and_heals() {
    for (file, collector, prefix) in [
        ("proc/meminfo", "memory", "pi_memory_"),
        ("proc/net/dev", "network", "pi_network_"),
        ("proc/self/mountinfo", "disk", "pi_disk_"),
        ("proc/loadavg", "", "pi_load_average pi_threads"),
        ("proc/uptime", "", "pi_uptime_seconds"),
        ("proc/sys/kernel/hostname", "board", "pi_uname_info"),
    ] {
        let tree = Tree::new("pi-3a-plus");
        let collector: Vec<_> = collector.split(' ').filter(|name| !name.is_empty()).collect();
        boards::run(async {
            let path = tree.path().join(file);
            let mut agent = boards::agent(&tree, &[]);
            let good = metrics(&mut agent).await;
            assert_eq!(down(&good), [""; 0]);

            // The agent keeps files open, so a file of a test has to be emptied as well to be gone for it.
            let text = std::fs::read(&path).unwrap();
            std::fs::rename(&path, tree.path().join("away")).unwrap();
            let mut fresh = boards::agent(&tree, &[]);
            let broken = metrics(&mut fresh).await;
            assert_eq!(down(&broken), collector, "{file} is missing");
            // The families' own part may be gone with it; everything else is as it was.
            let rest = |text: &str| -> Vec<String> {
                others(text, prefix).into_iter().filter(|line| !line.starts_with("pi_collector")).collect()
            };
            assert_same(&rest(&broken), &rest(&good), &format!("{file} is missing"));
            std::fs::rename(tree.path().join("away"), &path).unwrap();
            // One of several is looked for again after half a minute.
            if !collector.is_empty() {
                let healed = metrics(&mut fresh).await;
                assert_same(&others(&healed, "-"), &others(&good, "-"), &format!("{file} is back"));
                assert_eq!(down(&healed), [""; 0]);
            }

            if collector != ["board"] {
                for garbage in [&b""[..], b"\xff\xfe\0garbage\n", b"one two three\nfour five six\n"] {
                    std::fs::write(&path, garbage).unwrap();
                    let broken = metrics(&mut agent).await;
                    assert_eq!(down(&broken), collector, "{file} holds {:?}", garbage.escape_ascii().to_string());
                    assert_same(&rest(&broken), &rest(&good), &format!("{file} is garbled"));
                }
            }
            std::fs::write(&path, &text).unwrap();
            let healed = metrics(&mut agent).await;
            assert_same(&others(&healed, "-"), &others(&good, "-"), &format!("{file} is good again"));
        });
    }
}

/// Containers empty files that they have no numbers for: nothing is said of those, and nothing else is lost.
#[test]
fn an_empty_file_of_a_container_is_no_fault() {
    let tree = Tree::new("pi-3a-plus");
    let files = ["proc/loadavg", "proc/uptime", "proc/vmstat", "proc/diskstats", "proc/mdstat"];
    boards::run(async {
        for file in files {
            let path = tree.path().join(file);
            let before = std::fs::read(&path).unwrap_or_default();
            std::fs::write(&path, "").unwrap();
            let text = metrics(&mut boards::agent(&tree, &[])).await;
            assert_eq!(down(&text), [""; 0], "{file}");
            std::fs::write(path, before).unwrap();
        }
        // All three that the collector has say nothing.
        for file in ["proc/loadavg", "proc/uptime", "proc/stat"] {
            std::fs::write(tree.path().join(file), "").unwrap();
        }
        let text = metrics(&mut boards::agent(&tree, &[])).await;
        assert_eq!(down(&text), ["cpu", "system"]);
    });
}

#[test]
fn nothing_is_told_without_proc_and_sys_but_the_agent_answers() {
    let tree = Tree::new("vm");
    for name in ["proc", "sys", "root"] {
        std::fs::remove_dir_all(tree.path().join(name)).unwrap();
        std::fs::create_dir(tree.path().join(name)).unwrap();
    }
    boards::run(async {
        let mut agent = boards::agent(&tree, &[]);
        let text = metrics(&mut agent).await;
        assert!(down(&text).contains(&"cpu".to_owned()) && down(&text).contains(&"memory".to_owned()), "{text}");
        assert!(text.contains("pi_monitor_build_info"));
    });
}

/// A file as it reads 2 s later.
fn later(tree: &Tree, file: &str) -> String {
    read(&tree.path().join("later").join(file))
}

fn usage(text: &str, cpu: &str, mode: &str) -> Option<f64> {
    let series = format!("pi_cpu_usage_percent{{cpu=\"{cpu}\",mode=\"{mode}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

#[test]
fn cpu_percentages_are_those_since_boot_and_then_those_of_the_interval() {
    let tree = Tree::new("pi-3a-plus");
    boards::run(async {
        let first = read(&tree.path().join("proc/stat"));
        let ticks = |text: &str| -> Vec<f64> {
            text.lines().next().unwrap().split_whitespace().skip(1).take(8).map(|word| word.parse().unwrap()).collect()
        };
        let mut agent = boards::agent(&tree, &[]);
        let text = metrics(&mut agent).await;
        let boot = ticks(&first);
        let expected = boot[0] / boot.iter().sum::<f64>() * 100.0;
        assert!((usage(&text, "total", "user").unwrap() - expected).abs() < 0.01);

        std::fs::write(tree.path().join("proc/stat"), later(&tree, "proc/stat")).unwrap();
        // Before the interval ends, the answer is still the last one's.
        let text = metrics(&mut agent).await;
        assert!((usage(&text, "total", "user").unwrap() - expected).abs() < 0.01);
        agent.tick();
        let text = metrics(&mut agent).await;
        let deltas: Vec<f64> =
            ticks(&later(&tree, "proc/stat")).iter().zip(&boot).map(|(now, before)| now - before).collect();
        for (mode, delta) in ["user", "nice", "system", "idle"].iter().zip(&deltas) {
            let expected = delta / deltas.iter().sum::<f64>() * 100.0;
            assert!((usage(&text, "total", mode).unwrap() - expected).abs() <= 0.01, "{mode}");
        }
        // No time passed: the last interval's answer stays.
        agent.tick();
        assert_eq!(usage(&metrics(&mut agent).await, "total", "user"), usage(&text, "total", "user"));
    });
}

#[test]
fn an_unplugged_cpu_disappears_and_starts_anew() {
    let tree = Tree::new("pi-3a-plus");
    boards::run(async {
        let stat = read(&tree.path().join("proc/stat"));
        let without: String =
            stat.lines().filter(|line| !line.starts_with("cpu3 ")).map(|line| format!("{line}\n")).collect();
        let mut agent = boards::agent(&tree, &[]);
        let boot = usage(&metrics(&mut agent).await, "cpu3", "idle").unwrap();
        std::fs::write(tree.path().join("proc/stat"), later(&tree, "proc/stat")).unwrap();
        agent.tick();
        let interval = usage(&metrics(&mut agent).await, "cpu3", "idle").unwrap();
        assert_ne!(boot, interval);

        std::fs::write(tree.path().join("proc/stat"), &without).unwrap();
        let text = metrics(&mut agent).await;
        assert!(!text.contains("pi_cpu_usage_percent{cpu=\"cpu3\"") && usage(&text, "cpu2", "idle").is_some());
        std::fs::write(tree.path().join("proc/stat"), &stat).unwrap();
        assert_eq!(usage(&metrics(&mut agent).await, "cpu3", "idle"), Some(boot));
    });
}

#[test]
fn counters_that_run_backwards_give_zero() {
    let tree = Tree::new("pi-3a-plus");
    boards::run(async {
        let first = read(&tree.path().join("proc/stat"));
        std::fs::write(tree.path().join("proc/stat"), later(&tree, "proc/stat")).unwrap();
        let mut agent = boards::agent(&tree, &[]);
        let before = metrics(&mut agent).await;
        std::fs::write(tree.path().join("proc/stat"), &first).unwrap();
        agent.tick();
        let text = metrics(&mut agent).await;
        let samples = others(&text, "-");
        assert!(samples.iter().all(|line| !line.ends_with("NaN") && !line.contains("} -")), "{samples:?}");
        assert_eq!(
            usage(&text, "total", "idle"),
            usage(&before, "total", "idle"),
            "no time passed, so nothing changed"
        );
        // One counter back, the others on: it counts as one that stood still.
        let line = first.lines().next().unwrap().to_owned();
        let words: Vec<u64> = line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
        let mut moved = words.clone();
        moved[0] = moved[0].saturating_sub(100);
        moved[2] += 50;
        moved[3] += 50;
        let render =
            |words: &[u64]| format!("cpu {}\n", words.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
        std::fs::write(tree.path().join("proc/stat"), render(&words)).unwrap();
        let mut agent = boards::agent(&tree, &["--collector.disable-defaults", "--collector.cpu"]);
        std::fs::write(tree.path().join("proc/stat"), render(&moved)).unwrap();
        agent.tick();
        let text = metrics(&mut agent).await;
        assert_eq!(usage(&text, "total", "user"), Some(0.0));
        assert_eq!((usage(&text, "total", "system"), usage(&text, "total", "idle")), (Some(50.0), Some(50.0)));
    });
}

#[test]
fn hostile_names_survive() {
    let tree = Tree::new("hostile");
    boards::run(async {
        let mut agent = boards::agent(&tree, &[]);
        let text = metrics(&mut agent).await;
        let interfaces = text.lines().filter(|line| line.starts_with("pi_network_receive_bytes_total{")).count();
        assert!(interfaces >= 40, "{interfaces}");
        assert!(text.contains("<img src=x onerror=alert(1)>"), "names are data, not markup");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let unescaped = line.replace("\\\\", "").replace("\\\"", "");
            assert_eq!(unescaped.matches('"').count() % 2, 0, "{line}");
        }
    });
}
