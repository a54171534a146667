//! What the doctor found: as JSON, for `/doctor`, or as text.

use super::console::write_text;
use super::object::write_string;
use crate::model::{Looked, Outcome, Severity};

/// The places of what was not seen and of what was, behind those of findings, the worst of which come first.
const UNSEEN: usize = Severity::ALL.len();
const SEEN: usize = UNSEEN + 1;

/// A report that is being written.
#[derive(Debug)]
pub struct Report {
    is_json: bool,
    parts: [Vec<u8>; SEEN + 1],
    /// How much was found.
    pub found: usize,
}

impl Report {
    /// Begins a report, as JSON or as text.
    pub fn new(is_json: bool) -> Self {
        Report { is_json, parts: Default::default(), found: 0 }
    }

    /// Adds one thing that was looked at.
    pub fn add(&mut self, looked: &Looked<'_>) {
        let (place, word) = match looked.outcome {
            Outcome::Found(severity) => (severity as usize, severity.name()),
            Outcome::Unseen => (UNSEEN, "not seen"),
            Outcome::Well => (SEEN, ""),
        };
        if place != UNSEEN {
            self.fill(SEEN, if self.is_json { ",$" } else { ", $" }, &[looked.name]);
        }
        if place == SEEN {
            return;
        }
        self.found += usize::from(place < UNSEEN);
        let Looked { name, title, detail, fix, page, .. } = *looked;
        let mut page = page.to_owned();
        if page.ends_with('#') {
            page.push_str(name);
        }
        let texts = [word, title, detail, fix, &page, name];
        match (self.is_json, place) {
            // What is wrong, what to do, and where to read more, a line each.
            (false, _) => self.fill(place, "$: $ ($)\n  $\n  $\n", &texts),
            (true, UNSEEN) => self.fill(place, r#",{"title":$,"detail":$,"fix":$,"page":$,"name":$}"#, &texts[1..]),
            _ => self.fill(place, r#",{"severity":$,"title":$,"detail":$,"fix":$,"page":$,"name":$}"#, &texts),
        }
    }

    /// Appends a template to a part, with texts in place of each `$`.
    fn fill(&mut self, place: usize, template: &str, texts: &[&str]) {
        let out = &mut self.parts[place];
        let mut next = 0;
        for &byte in template.as_bytes() {
            if byte != b'$' {
                out.push(byte);
                continue;
            }
            (if self.is_json { write_string } else { write_text })(texts[next], out);
            next += 1;
        }
    }

    /// Appends the report.
    pub fn write(&self, out: &mut Vec<u8>) {
        let seen = &self.parts[SEEN..];
        if self.is_json {
            out.push(b'{');
            for (key, parts) in
                [("findings", &self.parts[..UNSEEN]), ("not_seen", &self.parts[UNSEEN..SEEN]), ("looked_at", seen)]
            {
                write_string(key, out);
                out.push(b':');
                // The comma before the first item becomes the bracket.
                let start = out.len();
                append(parts, out);
                match out.get_mut(start) {
                    Some(comma) => *comma = b'[',
                    None => out.push(b'['),
                }
                out.extend_from_slice(b"],");
            }
            out.pop();
            out.extend_from_slice(b"}\n");
            return;
        }
        append(&self.parts[..SEEN], out);
        out.extend_from_slice(if self.found == 0 { b"Nothing found. Looked at" } else { b"Looked at" });
        let start = out.len();
        append(seen, out);
        if let Some(comma) = out.get_mut(start) {
            *comma = b':';
        }
        out.push(b'\n');
    }
}

fn append(parts: &[Vec<u8>], out: &mut Vec<u8>) {
    for part in parts {
        out.extend_from_slice(part);
    }
}
