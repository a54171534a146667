//! The alerts of Prometheus, the rules of the agent that judge the same, and the runbooks, which are about both.
//!
//! A runbook's beginning is generated from the alert and the rule; the rest of it is written by hand.

use crate::boards;
use pi_monitor::judge::rule::Rule;
use pi_monitor::judge::rules;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The form that a rule's threshold has in an alert.
type Form = fn(f64) -> f64;

/// An alert, the rule that judges the same, and the form of each of its thresholds in the alert; `None` where the alert has none.
const PAIRS: [(&str, &str, [Option<Form>; 2]); 19] = [
    ("PiUnderVoltage", "under_voltage", [None, None]),
    ("PiThrottled", "throttled", [None, None]),
    ("PiHot", "hot", [Some(same), Some(same)]),
    ("PiFilesystemFull", "disk_full", [Some(ratio), None]),
    ("PiFilesystemFullSoon", "filesystem_full_soon", [Some(same), None]),
    ("PiInodesLow", "inodes_full", [Some(rest), None]),
    ("PiFilesystemReadOnly", "disk_read_only", [None, None]),
    ("PiFilesystemNotAnswering", "mount_stalled", [None, None]),
    ("PiOomKill", "oom_kill", [None, None]),
    ("PiMemoryLow", "memory_low", [Some(ratio), None]),
    ("PiMemoryPressure", "memory_pressure", [Some(ratio), None]),
    ("PiDiskSlow", "disk_slow", [Some(same), Some(ratio)]),
    ("PiLoadHigh", "load_high", [Some(same), None]),
    ("PiLinkDown", "link_down", [None, None]),
    ("PiLinkFlapping", "link_flapping", [Some(same), None]),
    ("PiNetworkErrors", "network_errors", [Some(ratio), None]),
    ("PiRaidDegraded", "raid_degraded", [None, None]),
    ("PiConntrackFull", "conntrack_full", [Some(ratio), None]),
    ("PiClockUnsynchronized", "clock_unsynchronized", [None, None]),
];

/// The agent's `io_pressure` is about the same trouble, but asks whether some process waits, where the alert asks whether all do.
const IO: (&str, &str, [Option<Form>; 2]) = ("PiIoStall", "io_pressure", [Some(ratio), Some(ratio)]);

fn same(number: f64) -> f64 {
    number
}

fn ratio(percent: f64) -> f64 {
    percent / 100.0
}

fn rest(percent: f64) -> f64 {
    (100.0 - percent) / 100.0
}

fn pairs() -> impl Iterator<Item = (&'static str, &'static Rule, [Option<Form>; 2])> {
    let rule = |name| *rules::ALL.iter().find(|rule| rule.head.name == name).unwrap();
    PAIRS.into_iter().chain([IO]).map(move |(alert, name, forms)| (alert, rule(name), forms))
}

/// One alert of `monitoring/rules/alerts.yml`.
struct Alert {
    name: String,
    expression: String,
    time: String,
    severity: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn alerts() -> Vec<Alert> {
    let text = std::fs::read_to_string(root().join("monitoring/rules/alerts.yml")).unwrap();
    let read = |block: &str| {
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.trim_start().strip_prefix(key));
            line.unwrap_or_else(|| panic!("no {key} in {block}")).trim().to_owned()
        };
        let expression = match value("expr:").as_str() {
            "|-" => {
                let lines = block.lines().skip_while(|line| !line.trim_start().starts_with("expr:")).skip(1);
                let lines = lines.take_while(|line| line.starts_with("          "));
                lines.map(|line| &line[10..]).collect::<Vec<_>>().join("\n")
            }
            line => line.to_owned(),
        };
        let name = block.lines().next().unwrap().to_owned();
        Alert { name, expression, time: value("for:"), severity: value("severity:") }
    };
    text.split("- alert: ").skip(1).map(read).collect()
}

fn page(alert: &str) -> PathBuf {
    root().join("docs/runbooks").join(alert).with_extension("md")
}

/// The line below what is generated.
const END: &str =
    "<!-- Generated from alerts.yml and the agent's rules down to here: BLESS=1 cargo test --test laws. -->\n";

/// What the rule says when it fires, as `docs/fix/verdicts.md` has it, which is compared with the code.
fn words(rule: &str) -> String {
    let text = std::fs::read_to_string(root().join("docs/fix/verdicts.md")).unwrap();
    let row = text.lines().find_map(|line| line.strip_prefix("| ")?.split_once(&format!(" | `{rule}` | ")));
    let (words, _) = row.unwrap_or_else(|| panic!("docs/fix/verdicts.md: no row for the rule {rule}"));
    words.split("; ").map(|words| format!("**{words}**")).collect::<Vec<_>>().join(" or ")
}

/// The text between the title and [`END`].
fn beginning(alert: &Alert, rule: Option<&Rule>) -> String {
    let Alert { expression, time, severity, .. } = alert;
    let time = if time == "0m" { "at once".to_owned() } else { format!("for {time}") };
    let mut text = format!(
        "Severity: {severity}. The rule, in [alerts.yml](../../monitoring/rules/alerts.yml), {time}:\n\n```promql\n{expression}\n```\n\n"
    );
    let Some(Rule { head, limits, on, .. }) = rule else { return text };
    let time = if *on == 0 { "at once".to_owned() } else { format!("after {on} s") };
    let _ = writeln!(
        text,
        "The agent's own rule is [`{}`](../rules.md) ({}, {time}): {}.",
        head.name,
        head.severity.name(),
        head.summary.text()
    );
    let _ = writeln!(text, "The page and messages say: {}.", words(head.name));
    for (i, limit) in limits.iter().enumerate() {
        text.push_str(if i == 0 { "\n" } else { "" });
        let _ = writeln!(text, "- `--{}={}`: {}", limit.flag.name(), limit.flag.default(), limit.flag.help.text());
    }
    let _ = write!(text, "\n**In short:** {}.\n\n", head.fix.text());
    text
}

#[test]
fn runbooks_begin_with_the_alert_and_the_rule_and_are_listed() {
    let mut list = "# Runbooks\n\nOne page for each alert of [monitoring/rules](../../monitoring/rules/alerts.yml): what it means, where to look, what to do. PI stands for the Pi's address.\n\n| alert | severity | means |\n|---|---|---|\n".to_owned();
    for alert in alerts() {
        let file = page(&alert.name);
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let (title, own) = text.split_once("\n\n").unwrap();
        let (first, rest) = match title.strip_prefix(&format!("# {}: ", alert.name)) {
            Some(words) => words.split_at(1),
            None => panic!("{} begins with {title}", file.display()),
        };
        let _ = writeln!(list, "| [{}]({0}.md) | {} | {}{rest} |", alert.name, alert.severity, first.to_uppercase());
        // A new page has only a title and what is written by hand.
        let own = own.split_once(END).map_or(own, |(_, own)| own).trim_start();
        let rule = pairs().find(|(name, ..)| *name == alert.name).map(|(_, rule, _)| rule);
        boards::compare(&file, &format!("{title}\n\n{}{END}\n{own}", beginning(&alert, rule)));
    }
    boards::compare(&root().join("docs/runbooks/README.md"), &list);
}

#[test]
fn the_agent_serves_what_a_person_wrote() {
    let served = String::from_utf8(pi_monitor::dashboard::runbooks().plain()).unwrap();
    let sections: Vec<&str> = served.trim_start_matches("# ").split("\n# ").collect();
    assert_eq!(sections.len(), pairs().count());
    for (alert, rule, _) in pairs() {
        let section = sections.iter().find(|it| it.starts_with(&format!("{}: ", rule.head.name)));
        let section = section.unwrap_or_else(|| panic!("no section for {}", rule.head.name));
        let file = std::fs::read_to_string(page(alert)).unwrap();
        let (_, own) = file.split_once(END).unwrap();
        let missing = own.lines().find(|line| !line.contains("](") && !section.contains(line));
        assert_eq!(missing, None, "{alert}: {section}");
        assert!(section.contains("\n## Do\n"), "{alert}: {section}");
        assert!(!section.contains("](") && !section.contains("PiU"), "a link in {section}");
    }
}

#[test]
fn alerts_compare_with_what_the_rules_compare_with() {
    let alerts = alerts();
    for (name, rule, forms) in pairs() {
        let Alert { expression, .. } = alerts.iter().find(|alert| alert.name == name).unwrap();
        for (limit, form) in rule.limits.iter().zip(forms) {
            let Some(form) = form else { continue };
            let number = (form(limit.flag.default().parse().unwrap()) * 1e6).round() / 1e6;
            let mut words = expression.split([' ', '\n', '(', ')']);
            let found = words.any(|word| word == number.to_string());
            assert!(found, "{}: no {number} in {name}: {expression}", rule.head.name);
        }
    }
}
