//! Laws over the family table.

use crate::boards;
use pi_monitor::collect;
use pi_monitor::format::Format;
use pi_monitor::model::{Family, Head, Kind, Place, Unit};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

fn tables() -> impl Iterator<Item = (&'static str, &'static Head)> {
    collect::ALL.iter().flat_map(|it| it.tables.iter().map(|head| (it.name, *head)))
}

fn families() -> impl Iterator<Item = (&'static Head, &'static Family)> {
    tables().flat_map(|(_, head)| head.families.iter().map(move |family| (head, family)))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[test]
fn names_are_unique_and_well_formed() {
    let mut seen = HashSet::new();
    for (head, family) in families() {
        let name = family.name();
        assert!(seen.insert(name), "duplicate family {name}");
        assert!(is_name(name) && !name.contains("__"), "{name}");
        assert!(name.starts_with("pi_") || name.starts_with("process_"), "{name}: families begin with pi_");
        for label in head.labels.iter().copied().chain(family.by().iter().map(|by| by.label)) {
            assert!(
                is_name(label) && label != "le" && label != "quantile" && label != "job" && label != "instance",
                "{name}: {label}"
            );
        }
    }
}

/// In OpenMetrics, what a sample's name ends in is no part of its family's name; with each such ending, a name is taken once.
#[test]
fn names_are_unique_in_openmetrics() {
    let mut seen = HashSet::new();
    for (_, family) in families() {
        let name = family.name();
        let (stem, ends) = match (family.unit, family.kind) {
            (Unit::Info, _) => (name.strip_suffix("_info").unwrap(), &["", "_info"][..]),
            (_, Kind::Counter) => (name.strip_suffix("_total").unwrap(), &["", "_total", "_created"][..]),
            _ => (name, &[""][..]),
        };
        for end in ends {
            assert!(seen.insert(format!("{stem}{end}")), "{name}: {stem}{end} comes twice");
        }
    }
}

#[test]
fn names_say_kind_and_unit() {
    for (_, family) in families() {
        let name = family.name();
        assert_eq!(
            name.ends_with("_total"),
            family.kind == Kind::Counter,
            "{name}: _total on counters, and on those only"
        );
        let stem = name.strip_suffix("_total").unwrap_or(name);
        if family.unit != Unit::Count {
            assert!(stem.ends_with(&format!("_{}", family.unit.suffix())), "{name}: the unit stands at the end");
        }
        // The unit's name is no part of the family's in OpenMetrics, where no other family may have the rest of it.
        let has_rest = stem.strip_suffix("_info").is_some_and(|rest| families().any(|(_, other)| other.name() == rest));
        assert_eq!(
            family.unit == Unit::Info,
            stem.ends_with("_info") && !has_rest,
            "{name}: _info on what is always 1, and on those only, unless a family has the rest of its name"
        );
        assert!(!(family.unit == Unit::Info && family.kind == Kind::Counter), "{name}");
    }
}

#[test]
fn every_family_says_what_it_is() {
    for (_, family) in families() {
        let help = family.help();
        assert!(help.len() >= 8 && help.len() <= 160 && help.ends_with('.'), "{}: {help:?}", family.name());
        assert!(!help.contains(['\\', '"', '\n']), "{}: no escapes needed in help", family.name());
        if let Some(by) = family.by() {
            assert!(by.values.len() > 1 && by.values.iter().collect::<HashSet<_>>().len() == by.values.len());
            assert!(by.values.iter().all(|value| !value.contains(['\\', '"', '\n'])), "{}", family.name());
        }
    }
}

#[test]
fn json_keys_do_not_clash() {
    for registration in collect::ALL {
        let mut own = HashSet::new();
        for head in registration.tables {
            let mut inner = HashSet::new();
            let keys = match head.place() {
                Place::Elsewhere(_) => continue,
                Place::Inline => &mut own,
                Place::Object(name) | Place::List(name) => {
                    assert!(is_name(name) && inner.insert(name.to_owned()), "{}: {name}", registration.name);
                    &mut inner
                }
            };
            let labels = head.labels.iter().map(|label| (*label).to_owned());
            let values =
                head.families.iter().filter(|it| it.unit != Unit::Info).map(|it| it.key(registration.name).to_owned());
            for key in labels.chain(values) {
                assert!(keys.insert(key.clone()), "{}: duplicate key {key}", registration.name);
            }
        }
        for head in registration.tables {
            if let Place::Object(name) | Place::List(name) = head.place() {
                assert!(own.insert(name.to_owned()), "{}: duplicate key {name}", registration.name);
            }
            if head.labels.is_empty() {
                assert!(!matches!(head.place(), Place::List(_)), "{}: rows of a list need labels", registration.name);
            }
        }
    }
}

#[test]
fn registrations_are_complete() {
    let mut names = HashSet::new();
    for registration in collect::ALL {
        assert!(names.insert(registration.name) && is_name(registration.name), "{}", registration.name);
        assert!(
            !registration.summary.text().is_empty()
                && !registration.source.text().is_empty()
                && !registration.tables.is_empty()
        );
    }
}

/// Samples of all boards, by family name.
fn samples_of_all_boards() -> HashMap<String, usize> {
    let mut seen = HashMap::new();
    for boards::Output { metrics, .. } in boards::outputs() {
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            *seen.entry(line.split(['{', ' ']).next().unwrap().to_owned()).or_default() += 1;
        }
    }
    seen
}

#[test]
fn every_family_is_seen_on_some_board() {
    let seen = samples_of_all_boards();
    for (_, family) in families() {
        // What a rule found is in the table of one who looks once; for others the rules wait.
        let line = format!("\n  {} ", family.name().trim_start_matches("pi_"));
        let at_once = || boards::outputs().iter().any(|output| output.table.contains(&line));
        // What takes days is on a board where they have passed.
        let in_days = || boards::filling().contains(&format!("\n{}{{", family.name()));
        // What devices have to be asked for.
        let played = || ["{", " "].iter().any(|end| boards::played().contains(&format!("\n{}{end}", family.name())));
        let from_files = || boards::with_files().contains(&format!("\n{}{{", family.name()));
        let is_seen = seen.contains_key(family.name()) || at_once() || in_days() || played() || from_files();
        assert!(is_seen, "no board shows {}", family.name());
    }
}

/// What is in memory fills as well, and is gone after a restart; what is read-only does not fill.
#[test]
fn only_what_is_on_a_writable_device_will_be_full() {
    let text = boards::filling();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("pi_disk_full_in_seconds{")).collect();
    assert!(lines.iter().any(|line| line.contains("mountpoint=\"/\"")), "{lines:?}");
    for line in &lines {
        assert!(line.contains("{device=\"/dev/") && !line.contains("fstype=\"tmpfs\""), "{line}");
        let labels = &line[line.find('{').unwrap()..line.rfind(' ').unwrap()];
        assert!(text.contains(&format!("\npi_disk_read_only{labels} 0\n")), "{line}");
        let days = line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() / 86_400.0;
        assert!(days < 15.0, "{line}");
    }
    assert!(text.contains("fstype=\"tmpfs\""), "{text}");
}

#[test]
fn no_series_is_duplicate() {
    for boards::Output { board, metrics: text, .. } in boards::outputs() {
        let mut seen = HashSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let series = line.rsplit_once(' ').unwrap().0;
            assert!(seen.insert(series.to_owned()), "{board}: {series}");
        }
        // A family's samples stand together, behind its head.
        let heads: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(heads.iter().collect::<HashSet<_>>().len(), heads.len(), "{board}");
    }
}

#[test]
fn json_is_json_and_holds_the_same_numbers() {
    for boards::Output { board, metrics: text, json, .. } in boards::outputs() {
        let value: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{board}: {error}"));
        for (_, head) in tables() {
            let Place::Elsewhere(key) = head.place() else { continue };
            if key.starts_with('/') {
                continue;
            }
            assert!(value[key].is_object(), "{board}: {} says that JSON has {key}", head.families[0].name());
        }
        let sample = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name) && line.as_bytes()[name.len()] == b' ');
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        assert_eq!(value["memory"]["total_bytes"].as_f64(), sample("pi_memory_total_bytes"), "{board}");
        assert_eq!(value["system"]["load_average"]["5m"].as_f64(), sample("pi_load_average{period=\"5m\"}"), "{board}");
        let cpus = value["cpu"]["cpus"].as_array().unwrap();
        assert_eq!(cpus[0]["cpu"], "total");
        let idle = sample("pi_cpu_usage_percent{cpu=\"total\",mode=\"idle\"}");
        assert_eq!(cpus[0]["usage_percent"]["idle"].as_f64(), idle, "{board}");
        for cpu in cpus {
            let modes = cpu["usage_percent"].as_object().unwrap();
            let sum: f64 = modes.values().map(|share| share.as_f64().unwrap()).sum();
            assert!((sum - 100.0).abs() < 1e-9, "{board}: {cpu}");
        }
    }
}

#[test]
fn pages_are_shared_within_the_window_and_compressed_ones_are_the_same() {
    boards::run(async {
        let tree = boards::Tree::new("vm");
        let mut agent = boards::agent(&tree, &[]);
        let window = Duration::from_millis(100);
        let first = agent.page(Format::Prometheus, false, window).await;
        let second = agent.page(Format::Prometheus, false, window).await;
        assert!(std::sync::Arc::ptr_eq(&first, &second));
        let packed = agent.page(Format::Prometheus, true, window).await;
        let deflated = &packed[10..packed.len() - 8];
        assert_eq!(miniz_oxide::inflate::decompress_to_vec(deflated).unwrap(), *first);
    });
}
