//! Devices whose files are too many for a list: sensors by the rules of their names, arrays, disks as udev knows them.

use super::read::{Reader, number};
use super::rows::Rows;
use super::spec::LABELS_MAX;
use crate::collect::textfile::FILES;
use crate::kernel::text::{lines, place, take_word, uint, words};
use crate::model::Value;

/// The kinds of sensors, by the beginnings of their files' names.
/// <https://docs.kernel.org/hwmon/sysfs-interface.html>
const SENSORS: &str = "beep_enable cpu curr energy fan freq humidity in intrusion power pwm temp update_interval vrm";

/// `fan2_alarm` as its kind, its number and what it is of the sensor.
fn sensor(file: &str) -> Option<(&str, &str, &str)> {
    let digits = file.find(|it: char| it.is_ascii_digit()).unwrap_or(file.len());
    let (kind, rest) = file.split_at(digits);
    place(kind.as_bytes(), SENSORS)?;
    let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
    let of = if end == rest.len() { "" } else { rest[end..].strip_prefix('_')? };
    Some((kind, &rest[..end], of))
}

/// Writes `text` in small letters, and with `_` for what a name cannot have.
fn clean(text: &str, into: &mut String) {
    let start = into.len();
    for byte in text.trim().bytes() {
        into.push(match byte.to_ascii_lowercase() {
            byte @ (b'a'..=b'z' | b'0'..=b'9' | b':' | b'_') => char::from(byte),
            _ => '_',
        });
    }
    while into.len() > start && into.ends_with('_') {
        into.pop();
    }
    while into[start..].starts_with('_') {
        into.remove(start);
    }
}

/// Returns the name of a chip: that of its device's bus and of the device, or its own, or that of its directory.
fn chip(reader: &mut Reader, entry: &[&str]) -> String {
    let mut chip = reader.take();
    let [directory, _, name, _, device] = entry else { return chip };
    let mut parts = device.rsplit('/');
    if let (Some(device), Some(bus)) = (parts.next(), parts.next()) {
        clean(bus, &mut chip);
        if !chip.is_empty() {
            chip.push('_');
        }
        clean(device, &mut chip);
    }
    if chip.is_empty() {
        let own = reader.text(&[directory, "/", name, "/name"]).unwrap_or_default();
        clean(&String::from_utf8_lossy(own), &mut chip);
    }
    if chip.is_empty() {
        chip.push_str(name);
    }
    chip
}

pub fn hwmon_names(reader: &mut Reader, entry: &[&str], rows: &mut Rows<'_>) {
    let [directory, _, name, ..] = entry else { return };
    let (chip, mut own) = (chip(reader, entry), reader.take());
    clean(&String::from_utf8_lossy(reader.text(&[directory, "/", name, "/name"]).unwrap_or_default()), &mut own);
    if !own.is_empty() {
        rows.push(&[chip.as_bytes(), own.as_bytes()], &[1.into()]);
    }
    reader.give(chip);
    reader.give(own);
}

/// Hands each file of a sensor with its directory to `each`, and the names of all files there.
fn each_sensor(reader: &mut Reader, entry: &[&str], each: &mut dyn FnMut(&mut Reader, &str, &str, &str)) {
    let [directory, _, name, ..] = entry else { return };
    for below in ["", "/device"] {
        let mut path = reader.take();
        for part in [directory, "/", name, below] {
            path.push_str(part);
        }
        let names = reader.names(&[&path], &|name| sensor(name).is_some());
        for file in names.lines() {
            each(reader, &path, file, &names);
        }
        reader.give(path);
        reader.give(names);
    }
}

pub fn hwmon_labels(reader: &mut Reader, entry: &[&str], rows: &mut Rows<'_>) {
    let chip = chip(reader, entry);
    each_sensor(reader, entry, &mut |reader, path, file, _| {
        let Some((kind, number, "label")) = sensor(file) else { return };
        let (label, mut sensor) = (reader.copy(&[path, "/", file]), reader.take());
        sensor.push_str(kind);
        sensor.push_str(number);
        if !label.is_empty() {
            rows.push(&[&chip, &label, &sensor].map(|it| it.as_bytes()), &[1.into()]);
        }
        reader.give(label);
        reader.give(sensor);
    });
    reader.give(chip);
}

pub fn hwmon(reader: &mut Reader, entry: &[&str], rows: &mut Rows<'_>) {
    let chip = chip(reader, entry);
    // Some disks wake up when they are asked.
    if !rows.allows(chip.as_bytes()) {
        return reader.give(chip);
    }
    each_sensor(reader, entry, &mut |reader, path, file, names| {
        let Some((kind, digits, of)) = sensor(file) else { return };
        if of == "label" {
            return;
        }
        let Some(value) = reader.number(&[path, "/", file]) else { return };
        let (mut name, mut sensor) = (reader.take(), reader.take());
        let (end, places) = match (kind, of) {
            ("beep_enable", _) => ("beep_enabled", 0),
            ("vrm", _) => ("voltage_regulator_version", 0),
            ("update_interval", _) => ("update_interval_seconds", 3),
            (_, "fault" | "alarm") | ("temp", "type") => ("", 0),
            (_, "beep") => ("_enabled", 0),
            ("freq", "input") => ("_freq_mhz", 6),
            ("in" | "cpu", _) => ("_volts", 3),
            ("temp", _) => ("_celsius", 3),
            ("curr", _) => ("_amps", 3),
            ("energy", _) => ("_joule_total", 6),
            ("power", "accuracy") => ("", 6),
            ("power", "average_interval" | "average_interval_min" | "average_interval_max") => ("_seconds", 3),
            ("power", _) => ("_watt", 6),
            ("humidity", _) => ("", 3),
            ("fan", "input" | "min" | "max" | "target") => ("_rpm", 0),
            _ => ("", 0),
        };
        if kind == "freq" && of == "input" {
            let label = reader.text(&[path, "/", kind, digits, "_label"]).unwrap_or_default();
            clean(&String::from_utf8_lossy(label), &mut sensor);
        }
        if sensor.is_empty() {
            sensor.push_str(kind);
            sensor.push_str(if digits.is_empty() { "0" } else { digits });
        }
        if !matches!(kind, "beep_enable" | "vrm" | "update_interval") {
            name.push_str(kind);
            // The value itself has no word of its own, unless there is a file without one.
            let is_alone = |it: &str| it.strip_prefix(kind) == Some(digits);
            if of != "input" && !of.is_empty() || of == "input" && kind != "freq" && names.lines().any(is_alone) {
                name.push('_');
                clean(of, &mut name);
            }
        }
        name.push_str(end);
        rows.push_named(&name, &[chip.as_bytes(), sensor.as_bytes()], &[value.shifted(places)]);
        reader.give(name);
        reader.give(sensor);
    });
    reader.give(chip);
}

/// What `/proc/mdstat` says of an array.
#[derive(Default)]
struct Array<'a> {
    name: &'a [u8],
    active: bool,
    /// `recovering`, `resync`, `check` or nothing.
    action: &'a [u8],
    disks: [u64; 3],
    required: u64,
    blocks: u64,
    synced: u64,
}

/// Hands each array to `each`.
fn arrays<'a>(text: &'a [u8], each: &mut dyn FnMut(&Array<'a>)) {
    let mut array = Array::default();
    for (_, line) in lines(text).chain([(0, &b""[..])]) {
        let mut rest = line;
        let first = take_word(&mut rest);
        match first {
            None => {
                if !array.name.is_empty() {
                    if array.required == 0 && array.active {
                        array.required = array.disks[0];
                    }
                    each(&array);
                }
                array = Array::default();
            }
            Some(name) if !line.starts_with(b" ") && rest.starts_with(b" : ") && name.starts_with(b"md") => {
                array = Array { name, active: words(rest).nth(1) == Some(b"active"), ..Array::default() };
                for word in words(rest) {
                    let Some(at) = word.iter().position(|&byte| byte == b'[') else { continue };
                    let state = match &word[at..] {
                        [.., b'(', b'F', b')'] => 1,
                        [.., b'(', b'S', b')'] => 2,
                        _ => 0,
                    };
                    array.disks[state] += 1;
                }
                if !array.active {
                    array.disks[0] = 0;
                }
            }
            Some(number) if array.blocks == 0 && words(rest).next() == Some(b"blocks") => {
                array.blocks = uint(number).unwrap_or(0);
                array.synced = array.blocks;
                for word in words(rest) {
                    if let Some(counts) = word.strip_prefix(b"[").and_then(|it| it.strip_suffix(b"]")) {
                        let mut counts = counts.split(|&byte| byte == b'/');
                        if let (Some(all), Some(up)) = (counts.next().and_then(uint), counts.next().and_then(uint)) {
                            if array.active {
                                array.required = all;
                                array.disks[0] = up;
                            }
                        }
                    }
                }
            }
            Some(_) => {
                let actions: [(&[u8], &[u8]); 4] = [
                    (b"recovery", b"recovering"),
                    (b"resync", b"resync"),
                    (b"reshape", b"reshape"),
                    (b"check", b"check"),
                ];
                for (word, action) in actions {
                    if line.windows(word.len()).any(|it| it == word) {
                        array.action = action;
                        array.synced = 0;
                        let counts = words(line).find_map(|it| it.strip_prefix(b"(")).unwrap_or_default();
                        let slash = counts.iter().position(|&byte| byte == b'/').unwrap_or(0);
                        array.synced = uint(&counts[..slash]).unwrap_or(0);
                    }
                }
            }
        }
    }
}

pub fn md_disks(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("long/mdstat") else { return };
    arrays(text, &mut |array| {
        for (state, count) in [&b"active"[..], b"failed", b"spare"].iter().zip(array.disks) {
            rows.push(&[array.name, state], &[count.into()]);
        }
    });
}

pub fn md_states(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("long/mdstat") else { return };
    arrays(text, &mut |array| {
        let now = match (array.active, array.action) {
            (false, _) => b"inactive",
            (true, b"") => &b"active"[..],
            (true, action) => action,
        };
        for state in [&b"active"[..], b"check", b"inactive", b"recovering", b"resync"] {
            rows.push(&[array.name, state], &[(state == now).into()]);
        }
    });
}

pub fn md_sizes(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("long/mdstat") else { return };
    arrays(text, &mut |array| {
        rows.push(&[array.name], &[array.required, array.blocks, array.synced].map(Value::from));
    });
}

/// The namespaces of an NVMe controller.
pub fn nvme_info(reader: &mut Reader, entry: &[&str], rows: &mut Rows<'_>) {
    namespaces(reader, entry, &mut |reader, path, device, id| {
        let state = reader.text(&[path, "/ana_state"]).unwrap_or(b"unknown").trim_ascii();
        rows.push(&[state, device.as_bytes(), id.as_bytes()], &[1.into()]);
    });
}

pub fn nvme(reader: &mut Reader, entry: &[&str], rows: &mut Rows<'_>) {
    namespaces(reader, entry, &mut |reader, path, device, id| {
        let mut get = |file: &str| uint(reader.text(&[path, file]).unwrap_or_default().trim_ascii());
        let (Some(block), Some(size), used) = (get("/queue/logical_block_size"), get("/size"), get("/nuse")) else {
            return;
        };
        let bytes = |blocks: u64| blocks.saturating_mul(block);
        let values = [Some(bytes(size)), Some(block), Some(bytes(size)), used.map(bytes)];
        rows.push(&[device.as_bytes(), id.as_bytes()], &values.map(Value::from));
    });
}

fn namespaces(reader: &mut Reader, entry: &[&str], each: &mut dyn FnMut(&mut Reader, &str, &str, &str)) {
    let [directory, _, device, ..] = entry else { return };
    let is_one = |name: &str| name.strip_prefix(device).is_some_and(|rest| rest.starts_with('n'));
    let names = reader.names(&[directory, "/", device], &is_one);
    for name in names.lines() {
        let mut path = reader.take();
        for part in [directory, "/", device, "/", name] {
            path.push_str(part);
        }
        each(reader, &path, device, &name[device.len() + 1..]);
        reader.give(path);
    }
    reader.give(names);
}

/// Takes the property of this name from udev's text: `E:NAME=TEXT`. `a|b` is the first of these that there is.
fn property<'a>(text: &'a str, names: &str) -> &'a str {
    let of = |name: &str| {
        let is = |line: &'a str| line.strip_prefix("E:")?.strip_prefix(name)?.strip_prefix('=');
        text.lines().find_map(is)
    };
    names.split('|').find_map(of).unwrap_or_default()
}

/// What udev says of each disk in `/proc/diskstats`.
pub fn udev(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let all = std::mem::take(&mut reader.disks);
    for disk in all.split_terminator('\0') {
        let (head, text) = disk.split_once('\n').unwrap_or_default();
        let mut words = head.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (major, minor, name, rotational) = (word(), word(), word(), word());
        if name.is_empty() {
            continue;
        }
        let (sources, columns) = (rows.sources, rows.columns);
        let mut labels = [&b""[..]; LABELS_MAX];
        for (label, source) in labels.iter_mut().zip(sources) {
            let text = match *source {
                "device" => name,
                "major" => major,
                "minor" => minor,
                "rotational" => rotational,
                names => property(text, names),
            };
            *label = text.as_bytes();
        }
        let mut values = [Value::ABSENT; 4];
        for (value, column) in values.iter_mut().zip(columns) {
            *value = match column.source().strip_prefix('+') {
                // Of a kind of disk, or none at all.
                Some(names) if property(text, names).is_empty() => Value::ABSENT,
                Some(_) => true.into(),
                None if column.source() == "1" => true.into(),
                None => number(property(text, column.source()).as_bytes()).unwrap_or_default(),
            };
        }
        rows.push(&labels, &values);
    }
    reader.disks = all;
}

/// Times that cores and packages were slowed down. The CPUs of a core say the same.
pub fn throttles(reader: &mut Reader, entry: &[&str], rows: &mut Rows<'_>) {
    let [directory, _, name, ..] = entry else { return };
    let of_core = rows.labels.len() == 2;
    let file =
        if of_core { "/thermal_throttle/core_throttle_count" } else { "/thermal_throttle/package_throttle_count" };
    let Some(count) = reader.number(&[directory, "/", name, file]) else { return };
    let package = reader.copy(&[directory, "/", name, "/topology/physical_package_id"]);
    let core = reader.copy(&[directory, "/", name, "/topology/core_id"]);
    let labels = [core.as_bytes(), package.as_bytes()];
    if !package.is_empty() {
        rows.push(if of_core { &labels } else { &labels[1..] }, &[count]);
    }
    reader.give(package);
    reader.give(core);
}

/// The clock sources that there are, and the one in use.
pub fn clocksources(reader: &mut Reader, entry: &[&str], rows: &mut Rows<'_>) {
    let [directory, _, name, ..] = entry else { return };
    let device = name.strip_prefix("clocksource").unwrap_or(name);
    let Some(text) = reader.text(&[directory, "/", name, "/", rows.columns[0].source()]) else { return };
    for source in words(text) {
        rows.push(&[source, device.as_bytes()], &[1.into()]);
    }
}

/// Processes by their states, or how many there are.
pub fn processes(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let mut states = [0_u64; 26];
    let (mut count, mut threads) = (0_u64, 0_u64);
    let processes = reader.names(&["live/"], &is_number);
    for process in processes.lines() {
        if let Some(text) = reader.text(&["live/", process, "/stat"]) {
            threads += count_state(text, &mut states).nth(16).and_then(uint).unwrap_or(0);
            count += 1;
        }
    }
    reader.give(processes);
    if count == 0 {
        return;
    }
    if rows.labels.is_empty() {
        let most = reader.number(&["proc/sys/kernel/pid_max"]).unwrap_or_default();
        let most_threads = reader.number(&["proc/sys/kernel/threads-max"]).unwrap_or_default();
        rows.push(&[], &[count.into(), threads.into(), most, most_threads]);
    } else {
        push_states(&states, rows);
    }
}

/// Threads by their states.
pub fn threads(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let mut states = [0_u64; 26];
    let processes = reader.names(&["live/"], &is_number);
    for process in processes.lines() {
        let threads = reader.names(&["live/", process, "/task"], &is_number);
        for thread in threads.lines() {
            if let Some(text) = reader.text(&["live/", process, "/task/", thread, "/stat"]) {
                drop(count_state(text, &mut states));
            }
        }
        reader.give(threads);
    }
    reader.give(processes);
    push_states(&states, rows);
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Counts the state in a `stat` file; returns the fields behind it. The name of a process can hold anything, brackets too.
fn count_state<'a>(text: &'a [u8], states: &mut [u64; 26]) -> impl Iterator<Item = &'a [u8]> {
    let end = text.iter().rposition(|&byte| byte == b')').unwrap_or(0);
    let mut fields = words(text.get(end + 1..).unwrap_or_default());
    let state = fields.next().and_then(|state| state.first()).copied().unwrap_or(b'?');
    if let Some(states) = states.get_mut(usize::from(state.to_ascii_uppercase().wrapping_sub(b'A'))) {
        *states += 1;
    }
    fields
}

fn push_states(states: &[u64; 26], rows: &mut Rows<'_>) {
    for (place, count) in states.iter().enumerate() {
        if *count > 0 {
            rows.push(&[&[b'A' + place as u8]], &[(*count).into()]);
        }
    }
}

/// Returns what `/etc/os-release` says, or the file that it is a link to on most systems.
pub fn release(reader: &mut Reader) -> &[u8] {
    let file = "root/etc/os-release";
    let is_there = reader.file(file).is_some_and(|text| !text.is_empty());
    reader.file(if is_there { file } else { "root/usr/lib/os-release" }).unwrap_or_default()
}

/// The words of `/etc/os-release`.
pub fn os(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let text = String::from_utf8_lossy(release(reader));
    let word = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().trim();
        line.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(line)
    };
    let sources = rows.sources;
    let mut labels = [&b""[..]; LABELS_MAX];
    for (label, source) in labels.iter_mut().zip(sources) {
        *label = word(source).as_bytes();
    }
    let value = match rows.columns[0].source() {
        "1" => Some(true.into()),
        source => {
            // A version is a number with one point at most.
            let text = word(source);
            let end = text.match_indices('.').nth(1).map_or(text.len(), |(at, _)| at);
            number(&text.as_bytes()[..end])
        }
    };
    if !text.is_empty() {
        rows.push(&labels, &[value.unwrap_or_default()]);
    }
}

/// Whether anything was left out, as the agent's own collector of this name counts it.
pub fn textfile(_: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let own = rows.own;
    let files = own.locate(FILES.head()).map(|(part, section)| &own.parts()[part].sections[section]);
    let failed = files.is_some_and(|files| files.rows().any(|row| row.values()[0] != 0.into()));
    rows.push(&[], &[failed.into()]);
}
