//! Who is to blame, on this machine's kernel: real loads, a real limit, a real filesystem. Nobody asks for `/processes`.

use crate::agent::{Agent, BINARY};
use crate::board::{Tree, all};
use crate::needs::{OUT_OF_MEMORY, needs, write_program};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a verdict may take: a minute, on a machine that does other work, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A directory of its own, and what runs for a test; all ends with it.
struct Bench {
    directory: PathBuf,
    children: Vec<Child>,
}

impl Bench {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("pi-monitor-blame-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        Bench { directory, children: Vec::new() }
    }

    /// Makes a program that the kernel knows by this name.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.directory.join(name);
        write_program(&path, &format!("#!/bin/sh\n{script}\n"));
        path
    }

    /// Starts an agent that sees no processes but its own and those that `shell` starts beside it.
    fn start(&mut self, shell: &str, flags: &[&str]) -> Agent {
        let script = format!("cd \"$1\"; shift; {shell}\nexec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-ec", &script, "sh"]);
        command.arg(&self.directory).args([BINARY, "--web.listen-address=127.0.0.1:0", "--sample.interval=1s"]);
        Agent::spawn(command.args(flags))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Whether a test may make namespaces with processes and mounts of their own.
fn is_root() -> bool {
    let unshare = Command::new("unshare").args(["--mount", "--pid", "--fork", "--mount-proc", "true"]).status();
    needs("the right to make namespaces (root)", unshare.is_ok_and(|status| status.success()))
}

/// What the agent finds under this rule, once it does and `holds`.
#[track_caller]
fn wait_for(agent: &Agent, rule: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let json = agent.json();
        let items = json["verdicts"]["items"].as_array().unwrap();
        if let Some(item) = items.iter().find(|item| item["rule"] == rule && holds(item)) {
            return item.clone();
        }
        assert!(Instant::now() < end, "no {rule} within {PATIENCE:?}, but {items:?}");
        std::thread::sleep(Duration::from_millis(400));
    }
}

/// The culprit of a rule, which `/json`, the strip's words and `/metrics` name alike.
#[track_caller]
fn culprit(agent: &Agent, rule: &str) -> String {
    let item = wait_for(agent, rule, |_| true);
    let culprit = item["culprit"].as_str().unwrap().to_owned();
    assert!(item["detail"].as_str().unwrap().contains(&culprit), "{item}");
    let start = format!("pi_verdict_info{{rule=\"{rule}\",severity=");
    let text = agent.metrics();
    let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
    assert!(line.ends_with(&format!("culprit=\"{culprit}\"}} 1")), "{line}");
    culprit
}

#[test]
fn a_load_on_the_cpu_is_named() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new("cpu");
    let load = bench.program("pi-load-cpu", "while :; do :; done");
    let idle = bench.program("pi-idle", "while :; do sleep 60; done");
    // It is not niced: it gets its share, whatever else runs here.
    let shell = format!("{} & nice -n -20 {} &", idle.display(), load.display());
    let agent = bench.start(&shell, &["--rule.cpu_busy.above=5"]);
    assert_eq!(culprit(&agent, "cpu_busy"), "pi-load-cpu");
}

#[test]
fn a_load_on_memory_is_named() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new("memory");
    let load = bench.program("pi-load-memory", "x=$(head -c 60000000 /dev/zero | tr '\\0' a); sleep 600; echo $x");
    let cpu = bench.program("pi-load-cpu", "while :; do sleep 0.01; done");
    let shell = format!("{} & {} &", load.display(), cpu.display());
    // Any machine has less than all of its memory available.
    let agent = bench.start(&shell, &["--rule.memory_low.below=100"]);
    assert_eq!(culprit(&agent, "memory_low"), "pi-load-memory");
}

#[test]
fn a_load_on_a_disk_is_named() {
    let psi = std::fs::read_to_string("/proc/pressure/io").is_ok();
    if !is_root() || !needs("a kernel that measures pressure", psi) {
        return;
    }
    let mut bench = Bench::new("disk");
    let load = bench.directory.join("pi-load-disk");
    // By another process, as in `write_program`.
    let copied = Command::new("sh").args(["-ec", "cp \"$(command -v dd)\" \"$0\""]).arg(&load).status();
    assert!(copied.unwrap().success());
    let idle = bench.program("pi-idle", "while :; do sleep 60; done");
    let file = bench.directory.join("file");
    let shell = format!(
        "{} & {} if=/dev/zero of={} bs=4k count=1000000 oflag=dsync 2>/dev/null &",
        idle.display(),
        load.display(),
        file.display()
    );
    let agent = bench.start(&shell, &["--rule.io_pressure.above=2", "--rule.io_pressure.busy.above=2"]);
    assert_eq!(culprit(&agent, "io_pressure"), "pi-load-disk");
}

/// A control group with a limit on memory, of whichever version this machine has.
struct Limited(PathBuf);

impl Limited {
    const LIMIT: u64 = 64 << 20;

    fn new(name: &str) -> Option<Limited> {
        let name = format!("pi-monitor-test-{}-{name}", std::process::id());
        for (root, file) in [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")] {
            let path = Path::new(root).join(&name);
            // Where both versions are mounted, their parent is a tmpfs.
            if !Path::new(root).join("cgroup.procs").exists() || std::fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Limited(path);
            if std::fs::write(group.0.join(file), Limited::LIMIT.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The group is named by its own counters; whom the kernel killed, by its log, if that may be read.
#[test]
fn a_kill_at_a_limit_names_the_victim_the_group_and_its_limit() {
    if !is_root() {
        return;
    }
    let _lock = OUT_OF_MEMORY.lock();
    let group = Limited::new("oom");
    if !needs("a memory controller", group.is_some()) {
        return;
    }
    let group = group.unwrap();
    let mut bench = Bench::new("oom");
    let agent = bench.start("", &[]);
    let discreet = bench.start("", &["--no-collector.processes"]);
    // The agents have seen the machine before the kill.
    std::thread::sleep(Duration::from_secs(2));
    let procs = group.0.join("cgroup.procs");
    let script = format!("echo $$ > {}; x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo $x", procs.display());
    let glutton = bench.program("pi-glutton", &script);
    let mut command = Command::new(glutton);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    bench.children.push(command.spawn().unwrap());
    let name = group.0.file_name().unwrap().to_str().unwrap();
    let item = wait_for(&discreet, "oom_kill", |item| item["culprit"] == name);
    let detail = item["detail"].as_str().unwrap();
    assert_eq!((item["culprit"].as_str(), item["state"].as_str()), (Some(name), Some("event")), "{item}");
    assert!(detail.starts_with(&format!("{name} reached its memory limit of 64 MiB; ")), "{item}");
    assert!(!detail.contains("ran out"), "{item}");
    if needs("the right to read the kernel's log", std::fs::File::open("/dev/kmsg").is_ok()) {
        let item = wait_for(&agent, "oom_kill", |item| item["title"] == "The kernel killed pi-glutton");
        assert_eq!(culprit(&agent, "oom_kill"), "pi-glutton");
        let detail = item["detail"].as_str().unwrap();
        let limit = format!("reached the memory limit of /{name} (64 MiB); processes killed since boot: ");
        assert!(detail.starts_with("pi-glutton, process ") && detail.contains(&limit), "{item}");
        let events: Value = serde_json::from_slice(&agent.get("/events").body).unwrap();
        let events = events["events"].as_array().unwrap();
        // Log, counter and verdict are one event. Other tests have victims of their own.
        let of_group = |event: &&Value| event["kind"] == "oom_kill" && event.to_string().contains(name);
        let kills: Vec<_> = events.iter().filter(of_group).collect();
        assert!(kills.len() == 1 && kills[0]["culprit"] == "pi-glutton", "{kills:?}");
        assert!(!events.iter().any(|event| event["title"] == "The kernel killed a process"), "{events:?}");
    }
    let _ = bench.children[0].wait();
}

#[test]
fn errors_on_an_interface_name_it() {
    assert!(all().contains(&"nas".to_owned()));
    let tree = Tree::new("nas");
    let file = tree.path().join("proc/net/dev");
    let text = std::fs::read_to_string(&file).unwrap();
    let flags = tree.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(["--sample.interval=1s"]).collect();
    let agent = Agent::start(&flags);
    let (end, mut second) = (Instant::now() + PATIENCE, 0);
    let found = loop {
        second += 1;
        // A hundred packets more on each of two interfaces; of one every tenth is broken.
        let line = |line: &str| match line.split_once(": ") {
            Some((name, rest)) if matches!(name.trim(), "enp1s0" | "enp2s0") => {
                let mut words: Vec<_> = rest.split_whitespace().map(|word| word.parse::<u64>().unwrap()).collect();
                words[1] += 100 * second;
                words[2] += if name.trim() == "enp2s0" { 10 * second } else { 0 };
                let words: Vec<_> = words.iter().map(u64::to_string).collect();
                format!("{name}: {}\n", words.join(" "))
            }
            _ => format!("{line}\n"),
        };
        std::fs::write(&file, text.lines().map(line).collect::<String>()).unwrap();
        let json = agent.json();
        let items = json["verdicts"]["items"].as_array().unwrap();
        if let Some(item) = items.iter().find(|item| item["rule"] == "network_errors") {
            break item.clone();
        }
        assert!(Instant::now() < end, "{items:?}");
        std::thread::sleep(Duration::from_secs(1));
    };
    assert_eq!((&found["culprit"], &found["title"]), (&"enp2s0".into(), &"enp2s0 has errors".into()));
}

#[test]
fn what_was_full_says_so_until_it_is_forgotten() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new("full");
    let mountpoint = bench.directory.join("disk");
    let shell =
        "mkdir disk; mount -t tmpfs -o size=1m disk disk; head -c 2000000 /dev/zero > disk/fill 2>/dev/null || :";
    let agent = bench.start(shell, &[]);
    let name = mountpoint.display().to_string();
    let is_ours = |item: &Value| item["culprit"] == name.as_str();
    let item = wait_for(&agent, "disk_full", is_ours);
    assert_eq!((&item["title"], &item["state"]), (&format!("{name} is almost full").into(), &"firing".into()));
    // Into the agent's namespace: its only child.
    let pid = agent.child.id().to_string();
    let empty = ["--target", &pid, "--mount", "--root", "rm", &format!("{name}/fill")];
    assert!(Command::new("nsenter").args(empty).status().unwrap().success());
    let item = wait_for(&agent, "disk_full", |item| is_ours(item) && item["state"] == "resolved");
    assert_eq!(item["title"], format!("{name} was almost full"));
    assert!(item["until_seconds"].as_f64().unwrap() < PATIENCE.as_secs_f64(), "{item}");
    let end = Instant::now() + PATIENCE;
    while agent.json()["verdicts"]["items"].as_array().unwrap().iter().any(is_ours) {
        assert!(Instant::now() < end, "never forgotten");
        std::thread::sleep(Duration::from_millis(500));
    }
}
