//! `pi-monitor doctor` and `/doctor`.

use crate::agent::{Agent, BINARY};
use crate::board::Tree;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn doctor(flags: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(BINARY).args(["doctor", "--sample.interval=100ms"]).args(flags).output().unwrap();
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The names in a list of the answer.
fn names(answer: &Value, list: &str) -> Vec<String> {
    let name = |item: &Value| item["name"].as_str().or(item.as_str()).unwrap().to_owned();
    answer[list].as_array().unwrap().iter().map(name).collect()
}

/// Each finding has a fix, and a page that exists, with a heading for it if it says so.
fn assert_all_lead_on(answer: &Value) {
    for item in ["findings", "not_seen"].iter().flat_map(|list| answer[list].as_array().unwrap()) {
        for key in ["title", "detail", "fix", "page"] {
            assert!(item[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {item}");
        }
        let page = item["page"].as_str().unwrap();
        let (file, heading) = page.split_once('#').unwrap_or((page, ""));
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(heading.is_empty() || text.contains(&format!("# {heading}\n")), "{page}");
    }
}

/// The filesystems of a board have the sizes of the machine that the test runs on.
const NO_DISK: &str = "--no-collector.disk";

#[test]
fn a_healthy_machine_has_no_findings() {
    let tree = Tree::new("vm");
    let [proc, sys, root] = tree.flags();
    let (code, out, err) = doctor(&[&proc, &sys, &root, NO_DISK]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let last = out.lines().last().unwrap();
    assert!(
        last.starts_with("Nothing found. Looked at: under_voltage, ") && last.contains(", swap_on_card, "),
        "{out}"
    );
    let (code, out, _) = doctor(&[&proc, &sys, &root, NO_DISK, "--format=json"]);
    let answer = parsed(&out);
    assert_eq!((code, names(&answer, "findings")), (Some(0), vec![]));
    assert!(names(&answer, "looked_at").contains(&"reboot_pending".to_owned()));
    assert_all_lead_on(&answer);
}

#[test]
fn what_is_wrong_is_found_with_what_to_type() {
    let tree = Tree::new("pi-zero-2");
    let [proc, sys, root] = tree.flags();
    let modules = tree.path().join("root/lib/modules/99.1.0+rpt-rpi-v8");
    std::fs::create_dir_all(&modules).unwrap();
    std::fs::write(modules.join("modules.builtin"), "").unwrap();
    std::fs::write(tree.path().join("proc/sys/kernel/osrelease"), "6.12.47+rpt-rpi-v8\n").unwrap();
    let (code, out, err) = doctor(&[&proc, &sys, &root, "--format=json"]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    let answer = parsed(&out);
    let found = names(&answer, "findings");
    // The first two are verdicts.
    for name in ["hot", "throttled", "throttled_since_boot", "psi", "reboot_pending"] {
        assert!(found.contains(&name.to_owned()), "{name}: {out}");
    }
    // Another machine's files say nothing about this one's radio.
    assert!(names(&answer, "not_seen").contains(&"wifi_power_save".to_owned()), "{out}");
    assert_all_lead_on(&answer);
    let severities: Vec<_> =
        answer["findings"].as_array().unwrap().iter().map(|it| it["severity"].as_str().unwrap()).collect();
    let place = |severity: &&str| ["critical", "warning", "info"].iter().position(|it| it == severity);
    assert!(severities.is_sorted_by_key(place), "{severities:?}");
    let (code, text, _) = doctor(&[&proc, &sys, &root]);
    assert_eq!(code, Some(1));
    let expected = "\ninfo: A reboot is pending (99.1.0+rpt-rpi-v8 is installed, an older kernel runs)\n  Type: sudo reboot\n  docs/fix/doctor.md#reboot_pending\n";
    assert!(text.contains(expected) && !text.contains("Nothing found"), "{text}");
}

#[test]
fn a_doctor_that_cannot_look_exits_with_2() {
    let tree = Tree::new("vm");
    let [_, sys, root] = tree.flags();
    let proc = format!("--path.procfs={}", tree.path().join("sys").display());
    let (code, out, err) = doctor(&[&proc, &sys, &root]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        err.starts_with("error: cannot look: ") && err.contains("/sys/stat: ") && err.lines().count() == 1,
        "{err}"
    );
}

/// With the rights of a confined agent, and without waiting for disks.
#[test]
fn a_running_agent_answers_as_far_as_it_sees() {
    let agent = Agent::start(&[]);
    let response = agent.get("/doctor");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let answer = parsed(&response.text());
    let unseen = names(&answer, "not_seen");
    for name in ["logs", "wifi_country", "wifi_power_save", "reboot_pending"] {
        assert!(unseen.contains(&name.to_owned()), "{name}: {answer}");
    }
    assert!(names(&answer, "looked_at").contains(&"disk_full".to_owned()));
    assert_all_lead_on(&answer);
}
