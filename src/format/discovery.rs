//! Home Assistant's discovery: messages that describe the sensors in the document of `/json`.
//! <https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery>
//!
//! Names of mounts and interfaces come from outside. They are looked for in the document as they stand there, and in a template nothing
//! but letters, digits and `/_.-` stands for itself.

use super::object::write_string;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// The table of `discovery.txt`, without its comments.
static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/discovery.deflate"));
const TABLE_MAX: usize = 1 << 14;
/// How many items of a list become sensors, and how long their names may be.
const ITEMS_MAX: usize = 12;
const NAME_MAX: usize = 100;

/// A machine as Home Assistant knows it.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// Home Assistant's prefix for discovery, `homeassistant` by default.
    pub prefix: &'a str,
    /// What the topics `state` and `status` are below of.
    pub topic: &'a str,
    /// What [`identify`] makes of the machine.
    pub id: &'a str,
    /// What the machine is called.
    pub name: &'a str,
    /// Where its page is; empty if that is unknown.
    pub url: &'a str,
    /// How often its state is published, in seconds.
    pub interval: u64,
}

/// Returns an identifier that stays when the machine gets another name, and from which nobody learns what it was made of.
pub fn identify(machine: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // FNV-1a: of the billions of machines with the same identifier, it does not tell which one this is.
    let hash = machine
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (0..16).map(|place| char::from(DIGITS[(hash >> (place * 4) & 15) as usize])).collect()
}

/// Returns a name with nothing but what all topics allow.
pub fn plain(name: &str) -> String {
    let allow = |byte: u8| if byte.is_ascii_alphanumeric() || byte == b'-' { byte } else { b'_' };
    name.bytes().map(|byte| char::from(allow(byte))).collect()
}

/// Returns the topics of all messages for this machine, as a filter for a subscription.
pub fn topics(device: &Device<'_>) -> String {
    topic(device, "+", "+")
}

fn topic(device: &Device<'_>, component: &str, key: &str) -> String {
    let mut text = String::new();
    for piece in [device.prefix, "/", component, "/pi-monitor-", device.id, "/", key, "/config"] {
        text.push_str(piece);
    }
    text
}

/// Hands over the topic and the text of a message for each sensor of which `document` has a value.
pub fn write(document: &[u8], device: &Device<'_>, message: &mut dyn FnMut(&str, &[u8])) {
    let table = decompress_to_vec_with_limit(COMPRESSED, TABLE_MAX).unwrap_or_default();
    let table = std::str::from_utf8(&table).unwrap_or_default();
    let tail = write_tail(document, device);
    let mut lines = table.lines();
    while let (Some(head), Some(said), Some(template)) = (lines.next(), lines.next(), lines.next()) {
        let mut words = head.splitn(3, ' ');
        let (Some(component), Some(base), Some(places)) = (words.next(), words.next(), words.next()) else { continue };
        let (condition, place) = places.split_once('|').unwrap_or(("", places));
        let mut names: Vec<&[u8]> = Vec::new();
        look(document, condition, b"", &mut |_| {
            look(document, place, b"", &mut |name| {
                if !names.contains(&name) && names.len() < ITEMS_MAX && name.len() < NAME_MAX {
                    names.push(name);
                }
            });
        });
        for name in names {
            let mut key = base.to_owned();
            if !name.is_empty() {
                key.push('_');
                key.push_str(&identify(name));
            }
            let mut text = b"{".to_vec();
            fill(said, name, false, &mut text);
            text.extend_from_slice(b",\"value_template\":\"");
            fill(template, name, true, &mut text);
            for piece in ["\",\"unique_id\":\"pi-monitor-", device.id, "-", &key] {
                text.extend_from_slice(piece.as_bytes());
            }
            text.extend_from_slice(&tail);
            message(&topic(device, component, &key), &text);
        }
    }
}

/// Returns how all messages end.
fn write_tail(document: &[u8], device: &Device<'_>) -> Vec<u8> {
    let mut out = b"\",\"~\":".to_vec();
    write_string(device.topic, &mut out);
    out.extend_from_slice(b",\"state_topic\":\"~/state\",\"availability_topic\":\"~/status\",\"expire_after\":");
    crate::model::Value::from(device.interval * 3).write(&mut out);
    for piece in [",\"device\":{\"identifiers\":[\"pi-monitor-", device.id, "\"],\"name\":"] {
        out.extend_from_slice(piece.as_bytes());
    }
    write_string(device.name, &mut out);
    look(document, "board @model", b"", &mut |model| {
        if !model.is_empty() {
            for piece in [b",\"model\":\"", model, b"\""] {
                out.extend_from_slice(piece);
            }
        }
    });
    if device.url.starts_with("http") {
        out.extend_from_slice(b",\"configuration_url\":");
        write_string(device.url, &mut out);
    }
    const VERSION: &str = crate::VERSION;
    for piece in
        [",\"sw_version\":\"", VERSION, "\"},\"origin\":{\"name\":\"Pi-Monitor\",\"sw_version\":\"", VERSION, "\"}}"]
    {
        out.extend_from_slice(piece.as_bytes());
    }
    out
}

/// Appends a text of the table with an item's name, as it stands in the document between its quotes, in place of each `$`.
fn fill(text: &str, name: &[u8], is_template: bool, out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'$' if is_template => write_quoted(name, out),
            b'$' => out.extend_from_slice(name),
            _ => out.push(byte),
        }
    }
}

/// Appends a name for a text of Jinja that is in a text of JSON.
fn write_quoted(name: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = name;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        let mut byte = *byte;
        if let (b'\\', [next, behind @ ..]) = (byte, rest) {
            rest = behind;
            byte = match next {
                b'n' => b'\n',
                b't' => b'\t',
                // Four digits follow, which mean the same to Jinja.
                b'u' => {
                    out.extend_from_slice(b"\\\\u");
                    continue;
                }
                next => *next,
            };
        }
        if byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'/' | b'_' | b'.' | b'-') {
            out.push(byte);
        } else {
            out.extend_from_slice(b"\\\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
        }
    }
}

/// Calls `found` for each value at a place of the table, with what tells the items of a list apart.
fn look<'a>(value: &'a [u8], place: &str, name: &'a [u8], found: &mut dyn FnMut(&'a [u8])) {
    if let [b'[', rest @ ..] = value {
        let mut rest = rest;
        while let Some((_, item)) = take_item(&mut rest) {
            look(item, place, name, found);
        }
        return;
    }
    let (word, behind) = place.split_once(' ').unwrap_or((place, ""));
    let (key, text) = word.split_once('=').unwrap_or((word, ""));
    let label = key.strip_prefix('@');
    if word.is_empty() {
        return found(name);
    }
    let Some(inner) = field(value, label.unwrap_or(key)) else { return };
    let plain = inner.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(inner);
    if label.is_some() {
        look(value, behind, plain, found);
    } else if text.is_empty() {
        look(inner, behind, name, found);
    } else if plain.starts_with(text.as_bytes()) {
        look(value, behind, name, found);
    }
}

/// Returns what an object has of this name.
fn field<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = object.strip_prefix(b"{")?;
    loop {
        let (key, value) = take_item(&mut rest)?;
        if key.len() == name.len() + 2 && key[1..].starts_with(name.as_bytes()) {
            return Some(value);
        }
    }
}

/// Takes an item off the front of what is behind a bracket: its key, empty in a list, and its value.
fn take_item<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut key: &[u8] = b"";
    loop {
        let (mut depth, mut quoted, mut at) = (0_usize, false, 0);
        while at < rest.len() {
            match rest[at] {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' => depth += 1,
                b',' | b':' | b'}' | b']' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        let (value, behind) = rest.split_at_checked(at)?;
        *rest = behind.get(1..).unwrap_or_default();
        if behind.first() != Some(&b':') {
            return if value.is_empty() { None } else { Some((key, value)) };
        }
        key = value;
    }
}

#[cfg(test)]
mod tests;
