//! The past on disk: over restarts and kills, on disks that are full or read-only, and what it costs on a real filesystem.

use crate::agent::{Agent, BINARY, PATIENCE, wait_until};
use crate::board::Tree;
use crate::card::Card;
use crate::needs;
use pi_monitor::history::journal::{Journal, Outcome};
use pi_monitor::history::space::Space;
use pi_monitor::model::{Level, Levels, Moment};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pi-monitor-past-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// How many points of the CPU there are before a time in Unix seconds.
fn points_before(agent: &Agent, time: u64) -> usize {
    let path = format!("/history?from={}&to={time}", time - 300);
    let answer: serde_json::Value = serde_json::from_slice(&agent.get(&path).body).unwrap();
    let series = answer["series"].as_array().unwrap();
    let user = series.iter().find(|series| series["name"] == "cpu_user");
    user.map_or(0, |user| user["v"].as_array().unwrap().iter().filter(|value| !value.is_null()).count())
}

fn unix() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Runs until a point of 10 s is complete, and ends as the service manager asks for.
fn run_and_end(mut agent: Agent) -> u64 {
    std::thread::sleep(Duration::from_secs(21));
    let now = unix();
    assert!(points_before(&agent, now) > 0);
    agent.signal("TERM");
    assert!(agent.wait(PATIENCE).unwrap().success());
    now
}

#[test]
fn the_past_outlives_the_agent() {
    let folder = folder("restart");
    let flag = format!("--state.directory={}", folder.display());
    let ended = run_and_end(Agent::start(&[&flag]));
    let agent = Agent::start(&[&flag]);
    assert!(points_before(&agent, ended) >= 5, "points of 2 s from those of 10 s");
    assert_eq!(agent.early_lines, [""; 0]);
    // Two agents do not share one.
    let second = Agent::start(&[&flag]);
    assert!(second.early_lines[0].ends_with("journal.0: in use by another process; the past is kept in memory alone"));
    assert_eq!(points_before(&second, ended), 0);
    // Killing the agent ends its writer, too.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.child.id())).unwrap();
    let writer: u32 = children.split_whitespace().next().unwrap().parse().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{writer}/status")).unwrap();
    assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    assert_eq!(std::fs::read_dir(format!("/proc/{writer}/fd")).unwrap().count(), 3);
    drop(agent);
    wait_until("the writer ends", || !Path::new(&format!("/proc/{writer}/status")).exists());
    // $STATE_DIRECTORY is as good as the flag, and "none" is none.
    let mut command = Command::new(BINARY);
    command.env("STATE_DIRECTORY", &folder).arg("--web.listen-address=127.0.0.1:0");
    assert!(points_before(&Agent::spawn(&mut command), ended) > 0);
    assert_eq!(points_before(&Agent::spawn(command.arg("--state.directory=none")), ended), 0);
    // A directory that is not there is no reason not to start.
    let agent = Agent::start(&["--state.directory=/nowhere"]);
    let line =
        "warn: journal: /nowhere/journal.0: No such file or directory (os error 2); the past is kept in memory alone";
    assert_eq!(agent.early_lines, [line]);
    std::fs::remove_dir_all(folder).unwrap();
}

/// A prediction at the start, from days that the journal has.
#[test]
fn a_disk_that_fills_is_announced_after_a_restart() {
    const HOUR: u64 = 3600;
    let allowed = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !needs("the right to mount (root)", allowed) {
        return;
    }
    let folder = folder("space");
    let tree = Tree::new("vm");
    let root = tree.flags().iter().find_map(|flag| flag.strip_prefix("--path.rootfs=").map(str::to_owned)).unwrap();
    // A disk of 64 MiB of which 40 are in use, as what the board calls /dev/vda.
    let start = || {
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs -o size=64m none \"$1\"; head -c 41943040 /dev/zero >\"$1/data\"; shift; exec \"$0\" \"$@\"";
        command.args(["--mount", "--propagation", "private", "sh", "-ec", script, BINARY, &root]).args(tree.flags());
        command.arg("--web.listen-address=127.0.0.1:0").arg(format!("--state.directory={}", folder.display()));
        Agent::spawn(command.arg("--sample.interval=200ms"))
    };
    let agent = start();
    let rows = |agent: &Agent| agent.json()["disk"]["filesystems"].as_array().unwrap().clone();
    let root = |rows: Vec<serde_json::Value>| rows.into_iter().find(|row| row["mountpoint"] == "/").unwrap();
    let row = root(rows(&agent));
    assert!(row.get("full_in_seconds").is_none(), "{row}");
    let number = |key: &str| row[key].as_u64().unwrap();
    let (used, available) = (number("used_bytes"), number("available_bytes"));
    assert_eq!((used, available), (40 << 20, 24 << 20));
    drop(agent);
    // 4 MiB came in every day.
    let (mut space, mut journal) = (Space::default(), Journal::open(&folder).unwrap().0);
    let (now, daily) = (unix(), 4 << 20);
    for hour in 0..5 * 24 + 1 {
        let ago = (5 * 24 - hour) * daily / 24;
        let moment = Moment {
            id: 1,
            unix: Duration::from_secs(now - (5 * 24 - hour) * HOUR),
            since_boot: Duration::from_secs(hour * HOUR),
        };
        let level =
            Level { moment, device: b"/dev/vda", mountpoint: b"/", used: used - ago, available: available + ago };
        space.note(&level);
    }
    journal.turns();
    space.export(0, &mut Vec::new(), &mut |record| assert!(journal.append(8, record)));
    assert!(journal.flush());
    assert_eq!(journal.wait(PATIENCE), Some(Outcome::Written));
    drop(journal);
    let agent = start();
    let row = root(rows(&agent));
    let days = row["full_in_seconds"].as_f64().unwrap() / 86_400.0;
    assert!((5.5..6.5).contains(&days), "{row}");
    let metrics = agent.metrics();
    assert!(metrics.contains("\npi_disk_full_in_seconds{device="), "{metrics}");
    wait_until("the verdict", || {
        let items = agent.json()["verdicts"]["items"].clone();
        let found = items.as_array().unwrap().iter().find(|item| item["rule"] == "filesystem_full_soon").cloned();
        found.is_some_and(|found| {
            let (title, detail) = (found["title"].as_str().unwrap(), found["detail"].as_str().unwrap());
            assert_eq!(title, "/ will be full in 6 days");
            assert!(detail.starts_with("grows ") && detail.ends_with(" MiB a day, 24 MiB available"), "{found}");
            found["severity"] == "warning" && found["culprit"] == "/"
        })
    });
    let answer: serde_json::Value = serde_json::from_slice(&agent.get("/history?of=filesystems").body).unwrap();
    let series = answer["series"].as_array().unwrap();
    let one = series.iter().find(|one| one["name"] == "/").unwrap();
    let points: Vec<_> = one["v"].as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).collect();
    assert!(answer["step"] == 10_800 && answer["count"].as_u64().unwrap() >= 40 && points.len() >= 40, "{answer}");
    assert!(points.is_sorted() && one["unit"] == "bytes" && one["kind"] == "last", "{answer}");
    let last = points[points.len() - 1] as f64 * one["scale"].as_f64().unwrap();
    assert!((last - used as f64).abs() < daily as f64 / 4.0, "{last} {used}");
    // When the last point ended: no more than a step ago.
    let age = answer["boot"].as_f64().unwrap() - answer["end"].as_f64().unwrap();
    assert!((0.0..10_800.0).contains(&age), "{age}");
    let wrong = agent.get("/history?of=cpus");
    assert_eq!((wrong.status, wrong.text()), (400, "of: expected filesystems\n".to_owned()));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn full_and_read_only_disks_are_said_once_and_the_agent_goes_on() {
    let allowed = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !needs("the right to mount (root)", allowed) {
        return;
    }
    let folder = folder("full");
    let mut command = Command::new("unshare");
    let script =
        "mount -t tmpfs -o size=4k none \"$1\"; exec \"$0\" --web.listen-address=127.0.0.1:0 --state.directory=\"$1\"";
    command.args(["--mount", "--propagation", "private", "sh", "-ec", script, BINARY]).arg(&folder);
    let agent = Agent::spawn(&mut command);
    let line = agent.log_line("journal");
    assert!(line.starts_with("warn: journal: cannot write: No space left on device (os error 28); "), "{line}");
    let inside = |script: &str| {
        let pid = agent.child.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-m", "-r", "-w", "sh", "-ec", script, BINARY]).arg(&folder);
        command
    };
    assert!(inside("mount -o remount,size=1m \"$1\"").status().unwrap().success());
    // Another agent in the same place, before that is gone: it gets the past that the first one wrote at its end.
    let mut keeper = inside("echo; exec sleep 600").stdout(Stdio::piped()).spawn().unwrap();
    // It has entered when it says so.
    keeper.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let second = |script: &str| {
        let mut command = Command::new("nsenter");
        command.args(["-t", &keeper.id().to_string(), "-m", "-r", "-w", "sh", "-ec"]);
        command.arg(format!("{script}; exec \"$0\" --web.listen-address=127.0.0.1:0 --state.directory=\"$1\""));
        command.arg(BINARY).arg(&folder);
        command
    };
    let ended = run_and_end(agent);
    let again = Agent::spawn(&mut second("true"));
    assert!(again.early_lines.is_empty() && points_before(&again, ended) > 0, "{:?}", again.early_lines);
    drop(again);
    let read_only = Agent::spawn(&mut second("mount -o remount,ro \"$1\""));
    let line = format!("warn: journal: {}: read-only; the past is shown, and nothing is added to it", folder.display());
    assert_eq!(read_only.early_lines, [line]);
    assert!(points_before(&read_only, ended) > 0);
    drop(read_only);
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn a_flush_costs_what_the_budget_says() {
    const FLUSHES: u64 = 8;
    let card = Card::new(folder("card"));
    if !needs("an ext4 filesystem on a loop device (root, e2fsprogs)", card.is_some()) {
        return;
    }
    let card = card.unwrap();
    let (mut journal, _) = Journal::open(&card.mount()).unwrap();
    let mut flush = |length: usize| {
        journal.turns();
        assert!(journal.append(1, &vec![7; length]));
        let cost = journal.cost();
        assert!(journal.flush());
        assert_eq!(journal.wait(PATIENCE), Some(Outcome::Written));
        // Seconds apart, as in life: what the filesystem still has to write of one flush is not joined with the next.
        std::thread::sleep(Duration::from_secs(6));
        println!("{length}: {cost}, {}", card.written());
        cost
    };
    flush(100);
    let (mut before, mut expected) = (card.written(), 0);
    for number in 0..FLUSHES {
        expected += flush(if number % 2 == 0 { 300 } else { 7000 });
    }
    before = card.written() - before;
    println!("{FLUSHES} flushes: {before} bytes at the device; by the model {expected}");
    assert!(before <= expected && before > expected / 2, "{before} {expected}");
}
