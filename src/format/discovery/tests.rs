//! Laws over the table, with the documents of the boards.

use super::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const DEVICE: Device<'_> = Device {
    prefix: "homeassistant",
    topic: "pi-monitor/pi",
    id: "0123456789abcdef",
    name: "pi",
    url: "",
    interval: 30,
};

/// What Home Assistant allows: a device class with its units and its state classes. Its `homeassistant/components/sensor/const.py` has them
/// as `DEVICE_CLASS_UNITS` and `DEVICE_CLASS_STATE_CLASSES`; for these classes, what 2024.3 allows is allowed since.
const CLASSES: [(&str, &[&str], &[&str]); 6] = [
    ("temperature", &["°C", "°F", "K"], &["measurement"]),
    ("frequency", &["Hz", "kHz", "MHz", "GHz"], &["measurement"]),
    ("voltage", &["V", "mV"], &["measurement"]),
    ("data_size", &["B", "kB", "MB", "GB", "KiB", "MiB", "GiB"], &["measurement", "total", "total_increasing"]),
    ("signal_strength", &["dB", "dBm"], &["measurement"]),
    ("timestamp", &[], &[]),
];

fn messages(document: &str, device: &Device<'_>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    write(document.as_bytes(), device, &mut |topic, text| {
        let text: Value = serde_json::from_slice(text).unwrap_or_else(|error| panic!("{topic}: {error}"));
        assert!(all.insert(topic.to_owned(), text).is_none(), "{topic} comes twice");
    });
    all
}

/// The documents of all boards, as they are sent, by name.
fn documents() -> BTreeMap<String, String> {
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, rest) = text.split_once("-- json --\n").unwrap();
        let json: Value = serde_json::from_str(rest.split("\n-- ").next().unwrap()).unwrap();
        (path.file_stem().unwrap().to_string_lossy().into_owned(), json.to_string())
    };
    std::fs::read_dir("tests/goldens").unwrap().map(|entry| read(entry.unwrap().path())).collect()
}

/// What no board has: a day of writing, a core's voltage.
fn rare() -> String {
    serde_json::json!({
        "verdicts": {"items": [], "thresholds": {}},
        "power": {"rails": [{"rail": "sdram", "voltage_volts": 1.1}, {"rail": "core", "voltage_volts": 0.88}]},
        "storage": {"filesystems": [{"device": "mmcblk0p2", "written_per_day_bytes": 5}]},
    })
    .to_string()
}

fn table() -> Vec<[String; 3]> {
    let text = std::fs::read_to_string("src/format/discovery.txt").unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("// ")).map(str::to_owned).collect();
    lines.chunks(3).map(|row| row.to_vec().try_into().unwrap()).collect()
}

#[test]
fn every_row_is_of_use_and_plain() {
    let mut seen = BTreeSet::new();
    for document in documents().into_values().chain([rare()]) {
        for topic in messages(&document, &DEVICE).keys() {
            let key = topic.split('/').nth(3).unwrap();
            seen.insert(key.to_owned());
        }
    }
    for [head, _, template] in table() {
        let key = head.split(' ').nth(1).unwrap();
        let is_seen = |it: &String| it == key || it.strip_prefix(key).is_some_and(|rest| rest.len() == 17);
        assert!(seen.iter().any(is_seen), "no document has {key}");
        // A template stands in a text of JSON as it is.
        assert!(!template.contains(['"', '\\']), "{template}");
        assert_eq!(template.contains('$'), head.contains('@'), "{head}");
    }
}

#[test]
fn topics_units_and_identifiers_are_home_assistants() {
    let is_plain =
        |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it));
    for (board, document) in documents().into_iter().chain([("rare".to_owned(), rare())]) {
        let all = messages(&document, &DEVICE);
        assert!(all.len() >= 10 || board == "rare", "{board}: {}", all.len());
        let mut names = BTreeSet::new();
        for (topic, message) in &all {
            let parts: Vec<_> = topic.split('/').collect();
            let ["homeassistant", component @ ("sensor" | "binary_sensor"), node, key, "config"] = parts[..] else {
                panic!("{topic}")
            };
            assert!(is_plain(node) && is_plain(key), "{topic}");
            let class = message["device_class"].as_str();
            let [unit, state] = ["unit_of_measurement", "state_class"].map(|key| message[key].as_str());
            match class {
                Some("problem") => assert_eq!((component, unit, state), ("binary_sensor", None, None), "{topic}"),
                Some(class) => {
                    let known = CLASSES.iter().find(|(name, ..)| *name == class);
                    let (_, units, states) = known.unwrap_or_else(|| panic!("{topic}: {class}"));
                    for (allowed, given) in [(units, unit), (states, state)] {
                        assert!(
                            given.map_or(allowed.is_empty(), |given| allowed.contains(&given)),
                            "{topic}: {class} with {given:?}"
                        );
                    }
                    assert_eq!(component, "sensor", "{topic}");
                }
                None => {
                    assert_eq!((component, state), ("sensor", Some("measurement")), "{topic}");
                    assert!(matches!(unit, None | Some("%")), "{topic}");
                }
            }
            assert_eq!(message["unique_id"], format!("{node}-{key}"));
            assert_eq!(message["~"], "pi-monitor/pi");
            assert_eq!(
                (&message["state_topic"], &message["availability_topic"]),
                (&"~/state".into(), &"~/status".into())
            );
            assert_eq!(message["expire_after"], 90);
            assert_eq!(message["device"]["identifiers"], serde_json::json!([node]));
            assert!(message["object_id"].is_null());
            assert!(
                names.insert(message["name"].as_str().unwrap().to_owned()),
                "{board}: two are called {}",
                message["name"]
            );
        }
    }
}

#[test]
fn templates_name_what_the_document_has() {
    let path = regex_lite::Regex::new(r"value_json((?:\.\w+|\[\d+\]|\['\w+'\])+)").unwrap();
    let step = regex_lite::Regex::new(r"\w+").unwrap();
    let rule = regex_lite::Regex::new(r"if '(\w+)' in").unwrap();
    let rules = std::fs::read_to_string("docs/rules.md").unwrap();
    for document in documents().into_values().chain([rare()]) {
        let json: Value = serde_json::from_str(&document).unwrap();
        for (topic, message) in messages(&document, &DEVICE) {
            let template = message["value_template"].as_str().unwrap();
            let mut count = 0;
            for found in path.captures_iter(template) {
                let mut at = &json;
                for word in step.find_iter(&found[1]) {
                    let word = word.as_str();
                    at = word.parse::<usize>().map_or_else(|_| &at[word], |index| &at[index]);
                    assert!(!at.is_null(), "{topic}: {word} in {template}");
                }
                count += 1;
            }
            assert!(count > 0, "{template}");
            if let Some(found) = rule.captures(template) {
                assert!(rules.contains(&format!("\n| `{}` |", &found[1])), "{template}");
            }
        }
    }
}

#[test]
fn a_board_s_sensors() {
    let all = messages(&documents()["pi-5"], &Device { url: "http://pi:9100/", ..DEVICE });
    let keys: BTreeSet<_> = all.keys().map(|topic| topic.split('/').nth(3).unwrap()).collect();
    for key in
        ["cpu_usage", "load", "memory_used", "temperature", "frequency", "problem", "under_voltage", "problems", "boot"]
    {
        assert!(keys.contains(key), "{key}: {keys:?}");
    }
    // Its firmware says nothing of throttling, and it has no arrays.
    for key in ["throttled", "raid_degraded", "core_voltage"] {
        assert!(!keys.contains(key), "{key}");
    }
    let names: BTreeSet<_> = all.values().filter_map(|message| message["name"].as_str()).collect();
    // Neither what lies on no disk nor what is counted elsewhere.
    for (name, expected) in [("/ used", true), ("/run used", false), ("eth0 received", true), ("docker0 sent", false)] {
        assert_eq!(names.contains(name), expected, "{name}: {names:?}");
    }
    let device = &all["homeassistant/sensor/pi-monitor-0123456789abcdef/load/config"]["device"];
    assert_eq!(device["model"], "Raspberry Pi 5 Model B Rev 1.0");
    assert_eq!(device["configuration_url"], "http://pi:9100/");
}

#[test]
fn hostile_names_stay_names() {
    let name = "a'}}{% x %}{{ \\ \" \n\t\u{1}é🍓#~$ b";
    let disk = serde_json::json!({"mountpoint": name, "device": "/dev/x", "total_bytes": 1});
    let document = serde_json::json!({"disk": {"filesystems": [disk]}, "board": {"model": name}}).to_string();
    let device = Device { topic: name, name, url: name, ..DEVICE };
    let all = messages(&document, &device);
    let [(topic, message)] = all.iter().collect::<Vec<_>>()[..] else { panic!("{all:?}") };
    assert!(topic.starts_with("homeassistant/sensor/pi-monitor-0123456789abcdef/disk_used_"), "{topic}");
    assert_eq!(message["name"], format!("{name} used"));
    assert_eq!(message["~"], name);
    assert_eq!((&message["device"]["name"], &message["device"]["model"]), (&name.into(), &name.into()));
    assert!(message["device"]["configuration_url"].is_null());
    let template = message["value_template"].as_str().unwrap();
    let quoted = "'a\\u0027\\u007d\\u007d\\u007b\\u0025\\u0020x\\u0020\\u0025\\u007d\\u007b\\u007b\\u0020\\u005c\\u0020\\u0022\\u0020\
                  \\u000a\\u0009\\u0001é🍓\\u0023\\u007e\\u0024\\u0020b'";
    assert!(template.contains(quoted), "{template}");
    assert_eq!(template.matches("{{").count(), 1, "{template}");
}

#[test]
fn what_is_no_document_has_no_sensors() {
    let whole = documents().remove("pi-zero-2").unwrap();
    for length in (0..whole.len()).step_by(97) {
        if whole.is_char_boundary(length) {
            write(&whole.as_bytes()[..length], &DEVICE, &mut |_, text| {
                drop(serde_json::from_slice::<Value>(text).unwrap())
            });
        }
    }
    for text in [
        "",
        "{",
        "}",
        "[",
        "[]",
        "{}",
        "null",
        "{\"cpu\":",
        "{\"cpu\"",
        "]]]]",
        "{\"board\":{\"model\":1}}",
        ":::",
        "\"\\",
    ] {
        assert!(messages(text, &DEVICE).is_empty(), "{text}");
    }
}

#[test]
fn items_are_bounded() {
    let disks: Vec<_> = (0..100)
        .map(|number| serde_json::json!({"mountpoint": format!("/{number}"), "device": "/dev/x", "total_bytes": 1}))
        .collect();
    assert_eq!(messages(&serde_json::json!({"disk": {"filesystems": disks}}).to_string(), &DEVICE).len(), ITEMS_MAX);
}

#[test]
fn identifiers() {
    // FNV-1a of 64 bits, the last digit first.
    assert_eq!(identify(b"a"), "c8ce1068c4cd36fa");
    assert_ne!(identify(b"a"), identify(b"b"));
    assert_eq!(plain("my.host/+# é-1"), "my_host______-1");
    assert_eq!(topics(&DEVICE), "homeassistant/+/pi-monitor-0123456789abcdef/+/config");
}
