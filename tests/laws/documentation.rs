//! `docs/metrics.md` and `docs/flags.md` are generated from the tables, and current.

use crate::boards;
use pi_monitor::cli::Entry;
use pi_monitor::collect;
use pi_monitor::commands;
use pi_monitor::model::{Place, Unit};
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
        "{GENERATED}# Metrics\n\nEvery family that `/metrics` and `/json` can show. A family is there only where the hardware and the kernel offer its source; a value that cannot be had is left out, never written as 0.\n"
    );
    for registration in collect::ALL {
        let _ = write!(
            text,
            "\n## {}\n\n{}. Source: {}.\n",
            registration.name,
            capital(registration.summary),
            registration.source
        );
        for head in registration.tables {
            let place = match head.place {
                Place::Inline => format!("`{}`", registration.name),
                Place::Object(name) => format!("`{}.{name}`", registration.name),
                Place::List(name) => format!("the rows of `{}.{name}`", registration.name),
                Place::Elsewhere => "told in another way".to_owned(),
            };
            let _ = write!(
                text,
                "\nIn JSON: {place}.\n\n| family | labels | kind | unit | JSON key | meaning |\n|---|---|---|---|---|---|\n"
            );
            for family in head.families {
                let labels = head.labels.iter().map(|label| format!("`{label}`"));
                let by = family.by.iter().map(|by| format!("`{}`: {}", by.label, by.values.join(", ")));
                let labels = labels.chain(by).collect::<Vec<_>>().join(", ");
                let (unit, key) = match family.unit {
                    Unit::Count => ("", format!("`{}`", family.key(registration.name))),
                    Unit::Info => ("always 1", "the labels".to_owned()),
                    unit => (unit.suffix(), format!("`{}`", family.key(registration.name))),
                };
                let (name, kind, help) = (family.name, family.kind.name(), family.help);
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
                let default = flag.default.replace('|', "\\|");
                let default = if default.is_empty() { default } else { format!("`{default}`") };
                let _ = writeln!(text, "| `--{}={}` | {default} | {} |", flag.name, flag.value, flag.help);
            }
            Entry::Bare(bare) => {
                let _ = writeln!(text, "| `--{}` | | {} |", bare.name, bare.help);
            }
            Entry::Switch(_) => {}
        }
    }
    text.push_str(
        "| `--help`, `-h` | | This table, as text. |\n| `--version` | | The version and what it was built for. |\n",
    );
    text.push_str("\n## Collectors\n\nAll are on by default. `--no-collector.NAME` switches one off, `--collector.NAME` on.\n\n| name | tells | reads |\n|---|---|---|\n");
    for registration in collect::ALL {
        let _ = writeln!(text, "| `{}` | {} | {} |", registration.name, registration.summary, registration.source);
    }
    for switch in [pi_monitor::processes::PROCESSES, pi_monitor::processes::COMMAND_LINES] {
        let _ = writeln!(text, "| `{}` | {} | /proc/PID |", switch.name, switch.help);
    }
    compare("flags.md", &text);
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
