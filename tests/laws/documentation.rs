//! `docs/metrics.md`, `docs/flags.md` and `docs/rules.md` are generated from the tables, and current; flags and options that
//! documents name exist.

use crate::boards;
use crate::book;
use pi_monitor::cli::Entry;
use pi_monitor::collect;
use pi_monitor::commands;
use pi_monitor::judge::rules;
use pi_monitor::model::{Place, Unit};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const GENERATED: &str =
    "<!-- Generated from the code: BLESS=1 cargo test --test laws. Changes by hand are lost. -->\n\n";

fn compare(file: &str, text: &str) {
    boards::compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file), text);
}

#[test]
fn metrics_reference() {
    let mut text = format!(
        "{GENERATED}# Metrics\n\nEvery family that `/metrics` and `/json` can show.\nA family appears only where the hardware and the kernel provide its source.\nA value that is unavailable is absent, never 0.\n"
    );
    for registration in collect::ALL {
        let _ = write!(
            text,
            "\n## {}\n\n{}. Source: {}.\n",
            registration.name,
            capital(registration.summary.text()),
            registration.source.text()
        );
        for head in registration.tables {
            let place = match head.place() {
                Place::Inline => format!("`{}`", registration.name),
                Place::Object(name) => format!("`{}.{name}`", registration.name),
                Place::List(name) => format!("the rows of `{}.{name}`", registration.name),
                Place::Elsewhere(key) => format!("`{key}`"),
            };
            let _ = write!(
                text,
                "\nIn JSON: {place}.\n\n| family | labels | kind | unit | JSON key | meaning |\n|---|---|---|---|---|---|\n"
            );
            for family in head.families {
                let labels = head.labels.iter().map(|label| format!("`{label}`"));
                let by = family.by().into_iter().map(|by| format!("`{}`: {}", by.label, by.values.join(", ")));
                let labels = labels.chain(by).collect::<Vec<_>>().join(", ");
                let (unit, key) = match family.unit {
                    _ if matches!(head.place(), Place::Elsewhere(_)) => ("", String::new()),
                    Unit::Count => ("", format!("`{}`", family.key(registration.name))),
                    Unit::Info => ("always 1", "the labels".to_owned()),
                    unit => (unit.suffix(), format!("`{}`", family.key(registration.name))),
                };
                let (name, kind, help) = (family.name(), family.kind.name(), family.help());
                let _ = writeln!(text, "| `{name}` | {labels} | {kind} | {unit} | {key} | {help} |");
            }
        }
    }
    compare("metrics.md", &text);
}

#[test]
fn flags() {
    let mut text = format!(
        "{GENERATED}# Flags\n\n`--flag=value` and `--flag value` mean the same. The last value counts, except where a flag may be given more than once.\n\n| flag | default | meaning |\n|---|---|---|\n"
    );
    for entry in commands::entries() {
        match entry {
            Entry::Value(flag) => {
                let default = flag.default().replace('|', "\\|");
                let default = if default.is_empty() { default } else { format!("`{default}`") };
                let _ = writeln!(text, "| `--{}={}` | {default} | {} |", flag.name(), flag.value(), flag.help.text());
            }
            Entry::Bare(bare) => {
                let _ = writeln!(text, "| `--{}` | | {} |", bare.name, bare.help.text());
            }
            Entry::Switch(_) => {}
        }
    }
    text.push_str(
        "| `--help`, `-h` | | Show this help and exit. |\n| `--version` | | Show the version and the architecture it was built for, and exit. |\n",
    );
    text.push_str("\n## Collectors\n\nAll are enabled by default. `--no-collector.NAME` disables one, `--collector.NAME` enables it.\n\n| name | reports | reads |\n|---|---|---|\n");
    for registration in collect::ALL {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            registration.name,
            registration.summary.text(),
            registration.source.text()
        );
    }
    for switch in [pi_monitor::collect::processes::PROCESSES, pi_monitor::collect::processes::COMMAND_LINES] {
        let _ = writeln!(text, "| `{}` | {} | /proc/PID |", switch.name, switch.help.text());
    }
    text.push_str("\n## Rules\n\nAll are enabled by default. `--no-rule.NAME` disables one, `--rule.NAME` enables it. [rules.md](rules.md) lists them.\n");
    text.push_str("\n## Commands\n\nThe first word may be a command; without one, the agent serves.\n\n| command | does |\n|---|---|\n");
    for command in commands::ALL {
        let words = [command.name, command.argument].join(" ");
        let _ = writeln!(text, "| `{}` | {} |", words.trim_end(), command.help.text());
    }
    compare("flags.md", &text);
}

#[test]
fn rules_reference() {
    let mut text = format!(
        "{GENERATED}# Rules\n\nWhat the agent itself judges about the machine.\nThe page, `verdicts` in `/json` and `pi_verdict` in `/metrics` show the rules that are firing.\nA rule fires when its condition has held for the first delay, and stops when it has not held for the second one.\nAn event fires at once, and outputs say how long ago it was.\nOf a rule that has a process to blame, the agent looks for that process when the condition begins to hold, and again shortly before the rule fires; `culprit` in `/json` and `pi_verdict_info` names it, unless `--no-collector.processes` is set.\nThe flag sets the threshold; `--no-rule.NAME` switches a rule off.\n\n| rule | severity | fires when | threshold | delays | reads | fix |\n|---|---|---|---|---|---|---|\n"
    );
    for rule in rules::ALL {
        let head = &rule.head;
        let limits = rule.limits.iter().map(|limit| {
            format!(
                "`--{}={}`: {}",
                limit.flag.name(),
                limit.flag.default(),
                limit.flag.help.text().trim_end_matches('.')
            )
        });
        let reads = rule.reads.iter().map(|input| format!("`{}`", input.family.name()));
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} s, {} s | {} | {} |",
            head.name,
            head.severity.name(),
            head.summary.text(),
            limits.collect::<Vec<_>>().join("; "),
            rule.on,
            rule.off + rule.hold,
            reads.collect::<Vec<_>>().join(", "),
            head.fix.text()
        );
    }
    compare("rules.md", &text);
}

/// Flags that are not in the list of the default binary: misspelled on purpose, of the first collector of `CONTRIBUTING.md`,
/// with the feature `tls` only, taken over from node_exporter; and those of Prometheus.
const NO_FLAGS: [&str; 12] = [
    "web.listen-adress",
    "sample.intervall",
    "collector.disable-defaults",
    "collector.pty",
    "no-collector.pty",
    "push.ca-file",
    "collector.processes.states",
    "web.enable-remote-write-receiver",
    "storage.agent.retention.max-time",
    "storage.agent.path",
    "storage.tsdb.retention.time",
    "config.file",
];

/// Flags of the agent that documents name: in a command of `pi-monitor`, and wherever a dot is in the name.
#[test]
fn flags_that_documents_name_exist() {
    let mut known: BTreeSet<String> = NO_FLAGS.iter().map(|name| (*name).to_owned()).collect();
    for entry in commands::entries() {
        known.insert(match entry {
            Entry::Value(flag) => flag.name().to_owned(),
            Entry::Bare(bare) => bare.name.to_owned(),
            Entry::Switch(_) => continue,
        });
    }
    let names = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/flags.md")).unwrap();
    let (collectors, _) = names.split_once("\n## Rules").unwrap();
    let listed = |text: &str| -> Vec<String> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        rows.map(str::to_owned).collect()
    };
    let rules = rules::ALL.iter().map(|rule| ("rule", rule.head.name.to_owned()));
    let switches =
        listed(collectors.split_once("## Collectors").unwrap().1).into_iter().map(|name| ("collector", name));
    for (kind, name) in rules.chain(switches) {
        known.extend([format!("{kind}.{name}"), format!("no-{kind}.{name}")]);
    }
    known.extend(["help", "version"].map(str::to_owned));
    let mut faults = String::new();
    let mut seen = 0;
    for (document, number, piece) in book::pieces() {
        let (mut is_ours, mut before) = (false, "$");
        for word in piece.split([' ', '"', '\'', '(', ')', ',', ';', '[', ']']) {
            let is_name = word == "pi-monitor" || word.ends_with("/pi-monitor");
            is_ours = is_ours && !["|", "&&"].contains(&word) || is_name && ["$", "sudo", "|"].contains(&before);
            before = if word.is_empty() { before } else { word };
            let Some(name) = word.strip_prefix("--").map(|flag| flag.split('=').next().unwrap()) else {
                continue;
            };
            let is_name = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'));
            let is_flag = is_ours || name.contains('.');
            if is_flag && is_name && !name.is_empty() && !name.ends_with('.') {
                seen += 1;
                if !known.contains(name) {
                    let _ = writeln!(faults, "{document}:{number}: no flag --{name}");
                }
            }
        }
    }
    assert!(seen > 200, "only {seen} flags");
    assert!(faults.is_empty(), "\n{faults}");
}

/// A second line `PI_MONITOR_FLAGS=` replaces the first one, and with it a password.
#[test]
fn nobody_is_told_to_append_to_the_flags() {
    for (document, text) in book::documents() {
        for (number, line, _) in book::lines(text) {
            let appends = ["tee -a /etc/default/pi-monitor", ">>/etc/default/pi-monitor", ">> /etc/default/pi-monitor"];
            assert!(
                !appends.iter().any(|it| line.contains(it)),
                "{document}:{number}: let people edit the line: {line}"
            );
        }
    }
}

/// Options of a script behind its name in a command.
#[test]
fn options_of_scripts_that_documents_name_exist() {
    let mut faults = String::new();
    let mut seen = 0;
    for (document, number, piece) in book::pieces() {
        let mut script = None;
        for word in piece.split_whitespace() {
            if word.ends_with(".sh") && word.contains('/') {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(word.trim_start_matches("./"));
                script = std::fs::read_to_string(path).ok().map(|text| (word, text));
            } else if ["|", "#", "&&", "--"].contains(&word) {
                script = None;
            }
            let Some((name, text)) = &script else { continue };
            // run.sh hands on what the agent knows.
            if !word.starts_with("--") || *name == "scripts/run.sh" {
                continue;
            }
            seen += 1;
            let option = word.split(['=', ']', ',', ';', ')']).next().unwrap();
            if !text.contains(option) {
                let _ = writeln!(faults, "{document}:{number}: {name} has no {option}");
            }
        }
    }
    assert!(seen > 20, "only {seen} options");
    assert!(faults.is_empty(), "\n{faults}");
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
