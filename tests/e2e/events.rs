//! `/events`: what happened, from a verdict's begin to its end.

use crate::agent::{Agent, BINARY, PATIENCE, value, wait_until};
use crate::board::Tree;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn unix() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn ask(agent: &Agent, query: &str) -> Value {
    let response = agent.get(&format!("/events{query}"));
    assert_eq!(response.status, 200, "{query}");
    serde_json::from_slice(&response.body).unwrap()
}

fn list(agent: &Agent, query: &str) -> Vec<Value> {
    ask(agent, query)["events"].as_array().unwrap().clone()
}

/// Asks until `done` is satisfied with the events.
fn until(agent: &Agent, what: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let end = Instant::now() + 2 * PATIENCE;
    loop {
        let events = list(agent, "");
        if done(&events) {
            return events;
        }
        assert!(Instant::now() < end, "{what}: {events:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Changes what the kernel says: the available share of memory.
fn memory(proc: &Path, percent: u64) {
    std::fs::write(proc.join("meminfo"), format!("MemTotal: 1000000 kB\nMemAvailable: {percent}0000 kB\n")).unwrap();
}

#[test]
fn a_verdict_from_its_begin_to_its_end() {
    let tree = Tree::new("vm");
    let mut flags = tree.flags().to_vec();
    let proc = flags.iter().find_map(|flag| flag.strip_prefix("--path.procfs=")).unwrap().to_owned();
    let proc = Path::new(&proc);
    memory(proc, 30);
    flags.extend(["--sample.interval=200ms", "--rule.memory_low.below=20"].map(str::to_owned));
    let started = unix();
    let agent = Agent::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    // The start is the first event, whatever it is called here.
    let first = &list(&agent, "")[0];
    assert!(["agent", "reboot"].contains(&first["kind"].as_str().unwrap()), "{first}");
    assert!(first["id"] == 1 && first["end"] == first["begin"], "{first}");
    assert!((started - 1.0..unix() + 1.0).contains(&first["begin"].as_f64().unwrap()), "{first}");
    let is_low = |event: &Value| event["rule"] == "memory_low";
    let hint = agent.json()["events"].clone();
    let known = ask(&agent, "");
    assert_eq!((&hint["last"], &hint["changes"]), (&known["last"], &known["changes"]));

    let begun = unix();
    memory(proc, 15);
    std::thread::sleep(Duration::from_secs(5));
    memory(proc, 12);
    let events = until(&agent, "no verdict", |events| events.iter().any(is_low));
    let event = events.iter().find(|event| is_low(event)).unwrap();
    // When it began to hold, not when the rule was sure.
    let begin = event["begin"].as_f64().unwrap();
    assert!((begun - 2.0..begun + 8.0).contains(&begin), "{event}: {begun}");
    assert!(event.get("end").is_none() && event.get("processes").is_none(), "{event}");
    assert_eq!(event["kind"], "verdict");
    assert_eq!(event["lane"], "trouble");
    assert_eq!(event["severity"], "critical");
    assert_eq!(event["title"], "Memory is almost used up");
    assert_eq!((&event["worst"], &event["unit"]), (&12.into(), &"percent".into()));
    // The page learns that there is something new, and so does Prometheus.
    assert_ne!(agent.json()["events"]["changes"], hint["changes"]);
    assert_eq!(value(&agent.metrics(), "pi_events_total{kind=\"verdict\"}"), Some(1.0));
    assert_eq!(value(&agent.metrics(), "pi_events_total{kind=\"oom_kill\"}"), Some(0.0));
    let id = event["id"].as_u64().unwrap();
    let one = ask(&agent, &format!("?id={id}&since=9999999999"));
    assert_eq!((one["events"].as_array().unwrap().len(), &one["events"][0]["title"]), (1, &event["title"]));

    let cleared = unix();
    memory(proc, 30);
    let events = until(&agent, "no end", |events| events.iter().any(|event| is_low(event) && event["end"].is_f64()));
    let ended = unix();
    let event = events.iter().find(|event| is_low(event)).unwrap();
    let end = event["end"].as_f64().unwrap();
    assert!(end - begin >= 9.0 && (cleared - 2.0..ended + 1.0).contains(&end), "{event}: {cleared} {ended}");
    assert_eq!(event["title"], "Memory is almost used up");

    // What was over before is not asked for; what is newest is.
    assert_eq!(list(&agent, &format!("?since={}", end + 1.0)).len(), 0);
    assert_eq!(list(&agent, &format!("?since={end}")).len(), 1);
    assert_eq!(list(&agent, "?limit=1")[0]["id"], id);
    let missing = agent.get("/events?id=99999");
    assert_eq!((missing.status, missing.text().contains("no event with this id")), (404, true));
    let text = agent.get("/events?format=text");
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = text.text();
    let fields: Vec<_> = text.lines().last().unwrap().split('\t').collect();
    assert_eq!(fields[2..7], ["1", "12", "percent", "critical", "Memory is almost used up"]);
    assert_eq!((fields.len(), fields[7].starts_with("12.0% of 977 MiB available")), (9, true), "{fields:?}");
    assert!(fields[0].parse::<f64>().unwrap() == begin && fields[1].parse::<f64>().unwrap() == end, "{fields:?}");
    let packed = agent.request("GET", "/events", &["Accept-Encoding: gzip"]);
    assert_eq!((packed.header("content-encoding"), packed.header("cache-control")), (Some("gzip"), Some("no-store")));
}

/// The processes at that moment, and only where their names may be shown.
#[test]
fn trouble_comes_with_the_busiest_processes() {
    let flags = ["--sample.interval=200ms", "--rule.memory_low.below=100"];
    let with = Agent::start(&flags);
    let without = Agent::start(&[&flags[..], &["--no-collector.processes"]].concat());
    let is_low = |event: &Value| event["rule"] == "memory_low";
    let find = |agent: &Agent| {
        let events = until(agent, "no verdict", |events| events.iter().any(is_low));
        events.iter().find(|event| is_low(event)).unwrap()["id"].as_u64().unwrap()
    };
    let id = find(&with);
    let mut lists = Value::Null;
    wait_until("processes", || {
        lists = list(&with, &format!("?id={id}"))[0]["processes"].clone();
        lists.is_object()
    });
    let memory = lists["memory"].as_array().unwrap();
    assert!((1..=5).contains(&memory.len()), "{lists}");
    let bytes: Vec<_> = memory.iter().map(|process| process["resident_bytes"].as_u64().unwrap()).collect();
    assert!(bytes.is_sorted_by(|one, other| one >= other) && bytes[0] > 1_000_000, "{lists}");
    for process in memory {
        assert!(process["pid"].as_u64().unwrap() > 0 && process["name"].as_str().is_some_and(|name| !name.is_empty()));
    }
    for list in ["cpu", "io"] {
        assert!(lists[list].as_array().unwrap().len() <= 5, "{lists}");
    }
    let id = find(&without);
    std::thread::sleep(Duration::from_secs(2));
    let event = &list(&without, &format!("?id={id}"))[0];
    assert!(event.get("processes").is_none() && event.get("culprit").is_none(), "{event}");
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    run_in("/nowhere", arguments)
}

fn run_in(zone: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(BINARY).args(arguments).env("TZ", zone).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_person_asks_for_them() {
    let agent = Agent::start(&[]);
    let url = format!("http://{}", agent.address);
    let (code, out, err) = run(&["events", &url]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let line = out.lines().next().unwrap();
    // Without a time zone, times are those of UTC and say so.
    assert!(line.as_bytes()[19] == b'Z' && (line.contains("started") || line.contains("restarted")), "{out}");
    // A zone that is always 12 hours ahead.
    let zone = std::env::temp_dir().join(format!("pi-monitor-zone-{}", std::process::id()));
    let counts = [0_u32, 0, 0, 0, 1, 4].map(u32::to_be_bytes).concat();
    let half = [b"TZif2", &[0; 15][..], &counts, &43_200_u32.to_be_bytes(), b"\0\0ABC\0"].concat();
    std::fs::write(&zone, [&half, &half, &b"\nABC-12\n"[..]].concat()).unwrap();
    let local = run_in(zone.to_str().unwrap(), &["events", &url]).1;
    let _ = std::fs::remove_file(&zone);
    let hour = |line: &str| line[11..13].parse::<u64>().unwrap();
    assert_eq!((hour(&local), local.as_bytes()[19]), ((hour(line) + 12) % 24, b' '), "{local}");
    let port = format!("--web.listen-address=:{}", agent.address.rsplit(':').next().unwrap());
    assert_eq!(run(&["events", &port, "--since", "1h"]).1.lines().next(), Some(line));
    // On a busy machine something may happen every now and then.
    wait_until("a quiet second", || {
        run(&["events", &agent.address, "--since=0s"]).1 == "nothing happened in the last 0s\n"
    });
    let wrong = "--since=yesterday: expected a duration such as 30m, 24h or 7d";
    assert_eq!(run(&["events", "--since=yesterday"]), (Some(2), String::new(), format!("error: {wrong}\n")));
    drop(agent);
    let (code, out, err) = run(&["events", &url]);
    let expected = format!("error: {url}/events: nothing listens there; is pi-monitor running?\n");
    assert_eq!((code, out, err), (Some(1), String::new(), expected));
}

#[test]
fn who_asks_without_a_credential_learns_what_to_do() {
    let file = std::env::temp_dir().join(format!("pi-monitor-events-{}", std::process::id()));
    std::fs::write(&file, "bearer 0123456789abcdef\n").unwrap();
    let agent = Agent::start(&[&format!("--web.auth-file={}", file.display())]);
    assert_eq!(agent.get("/events").status, 401);
    assert_eq!(agent.request("GET", "/events", &["Authorization: Bearer 0123456789abcdef"]).status, 200);
    let (code, out, err) = run(&["events", &agent.address]);
    let _ = std::fs::remove_file(&file);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("401 Unauthorized") && err.contains("try curl "), "{err}");
}
