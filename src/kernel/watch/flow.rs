//! What keeps a storm of different reports from pushing everything else out of the record.

use crate::model::{EventKind, Note, Severity, kinds};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// How many different reports there may be in [`MINUTE`]; what is critical does not count.
const NOTES_MAX: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);
/// How many reports are remembered to tell whether one is different.
const RECENT: usize = 16;
/// Within this time, two sources report the same cause.
const SAME_CAUSE: Duration = Duration::from_secs(10);

/// Text of bounded length; what does not fit is cut.
#[derive(Clone, Copy)]
pub struct Short {
    bytes: [u8; Short::LENGTH],
    length: usize,
}

impl Short {
    const LENGTH: usize = 120;

    pub const fn new() -> Self {
        Short { bytes: [0; Short::LENGTH], length: 0 }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    pub fn clear(&mut self) {
        self.length = 0;
    }
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text.len().min(Short::LENGTH - self.length);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes[self.length..self.length + end].copy_from_slice(&text.as_bytes()[..end]);
        self.length += end;
        Ok(())
    }
}

/// What was reported lately.
#[derive(Default)]
pub struct Flow {
    /// Hashes of kinds and titles, the oldest at `next`.
    recent: [u32; RECENT],
    next: usize,
    /// Hashes of kinds and culprits, with their times, the oldest at `next_cause`.
    causes: [(u32, Duration); RECENT],
    next_cause: usize,
    /// When counting began, how many reports there were since, and how many were left out.
    since: Duration,
    notes: u32,
    lost: u32,
}

/// Where a source's reports go.
pub struct Out<'a> {
    pub flow: &'a mut Flow,
    pub now: Duration,
    /// Whether notes may name processes.
    pub processes: bool,
    /// Whether the kernel says that the wall clock is right; a tick finds out.
    pub clock_is_right: bool,
    pub to: &'a mut dyn FnMut(Note<'_>),
}

/// FNV-1a of a kind and a text.
fn hash(kind: &EventKind, text: &str) -> u32 {
    let bytes = kind.name.bytes().chain(text.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Out<'_> {
    /// Whether something of this kind was just reported about `culprit`: what else it causes is no event of its own.
    pub fn knows(&self, kind: &EventKind, culprit: &str) -> bool {
        let (hash, now) = (hash(kind, culprit), self.now);
        self.flow.causes.iter().any(|(known, at)| *known == hash && now.saturating_sub(*at) < SAME_CAUSE)
    }

    /// Reports something. What may differ from time to time is `detail`: who keeps reports counts those of the same title.
    pub fn note(
        &mut self,
        kind: &'static EventKind,
        severity: Severity,
        title: fmt::Arguments<'_>,
        detail: fmt::Arguments<'_>,
        culprit: &str,
    ) {
        let mut text = Short::new();
        let _ = text.write_fmt(title);
        let cause = (hash(kind, culprit), self.now);
        let hash = hash(kind, text.text());
        let Flow { recent, next, causes, next_cause, notes, lost, .. } = &mut *self.flow;
        causes[*next_cause] = cause;
        *next_cause = (*next_cause + 1) % RECENT;
        if !recent.contains(&hash) {
            if severity != Severity::Critical {
                if *notes >= NOTES_MAX {
                    *lost += 1;
                    return;
                }
                *notes += 1;
            }
            recent[*next] = hash;
            *next = (*next + 1) % RECENT;
        }
        (self.to)(Note { kind, severity, title: format_args!("{}", text.text()), detail, culprit });
    }

    /// Begins to count anew after a minute, and reports what was left out.
    pub fn tick(&mut self) {
        if self.now.saturating_sub(self.flow.since) >= MINUTE {
            self.flow.since = self.now;
            self.flow.notes = 0;
            let lost = std::mem::take(&mut self.flow.lost);
            if lost > 0 {
                (self.to)(Note {
                    kind: &kinds::LOST,
                    severity: Severity::Info,
                    title: format_args!("More happened than was recorded"),
                    detail: format_args!("{lost} more events within a minute"),
                    culprit: "",
                });
            }
        }
    }
}

/// Collects notes for tests.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// What `work` reports at a time, one line each: kind, severity, title, detail, culprit.
    pub fn notes(flow: &mut Flow, now: u64, work: impl FnOnce(&mut Out<'_>)) -> Vec<String> {
        named(flow, now, true, work)
    }

    /// The same, with or without names of processes.
    pub fn named(flow: &mut Flow, now: u64, processes: bool, work: impl FnOnce(&mut Out<'_>)) -> Vec<String> {
        let mut notes = Vec::new();
        let mut to = |note: Note<'_>| {
            let Note { kind, severity, title, detail, culprit } = note;
            let detail = detail.to_string();
            let mut line = format!("{} {}: {title}", kind.name, severity.name());
            for part in [detail.as_str(), culprit] {
                if !part.is_empty() {
                    line = format!("{line} | {part}");
                }
            }
            notes.push(line);
        };
        work(&mut Out { flow, now: Duration::from_secs(now), processes, clock_is_right: false, to: &mut to });
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::testing::notes;
    use super::*;

    fn error(out: &mut Out<'_>, disk: &str, sector: u32) {
        out.note(
            &kinds::STORAGE_ERROR,
            Severity::Critical,
            format_args!("{disk} reported an I/O error"),
            format_args!("sector {sector}"),
            disk,
        );
    }

    /// Who keeps reports counts them.
    #[test]
    fn the_same_again_is_no_different_report() {
        let flow = &mut Flow::default();
        let seen = notes(flow, 100, |out| {
            for sector in 0..100 {
                error(out, "sda", sector);
                out.note(&kinds::LINK, Severity::Info, format_args!("eth0 has a link"), format_args!(""), "");
            }
        });
        assert_eq!(seen.len(), 200);
        assert_eq!(seen[199], "link info: eth0 has a link");
        assert_eq!((flow.notes, flow.lost), (1, 0));
    }

    #[test]
    fn many_different_changes_are_bounded_and_hide_nothing_critical() {
        let flow = &mut Flow::default();
        let seen = notes(flow, 100, |out| {
            for number in 0..100 {
                out.note(&kinds::LINK, Severity::Info, format_args!("veth{number} appeared"), format_args!(""), "");
            }
            error(out, "sda", 1);
        });
        assert_eq!(seen.len(), NOTES_MAX as usize + 1);
        assert_eq!(
            notes(flow, 160, |out| out.tick()),
            ["lost info: More happened than was recorded | 70 more events within a minute"]
        );
        assert_eq!(notes(flow, 220, |out| out.tick()), [""; 0]);
    }

    #[test]
    fn long_titles_are_cut_between_characters() {
        let long = "ä".repeat(100);
        let seen = notes(&mut Flow::default(), 0, |out| {
            out.note(&kinds::LINK, Severity::Info, format_args!("x{long}"), format_args!(""), "");
        });
        assert_eq!(seen, [format!("link info: x{}", "ä".repeat(59))]);
    }
}
