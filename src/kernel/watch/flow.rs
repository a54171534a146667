//! What keeps a storm of reports from drowning everything else: the same report once, then its count; and no more than a
//! certain number of all kinds.

use crate::model::{EventKind, Note, Severity, kinds};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// A report that comes again within this time is counted, and the count reported at its end.
const SAME: Duration = Duration::from_secs(60);
/// How many notes there may be in [`SAME`]; what is critical does not count.
const NOTES_MAX: u32 = 30;
/// How many different reports are remembered.
const REMEMBERED: usize = 16;

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

/// A report that was made.
#[derive(Clone, Copy)]
struct Made {
    kind: &'static EventKind,
    severity: Severity,
    title: Short,
    culprit: Short,
    at: Duration,
    /// How often it came again since then.
    more: u32,
}

/// What was reported lately.
#[derive(Default)]
pub struct Flow {
    made: [Option<Made>; REMEMBERED],
    /// When counting began, how many notes there were since, and how many were left out.
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

impl Out<'_> {
    /// Reports something, unless the same was reported within a minute. What may differ from time to time is `detail`.
    pub fn note(
        &mut self,
        kind: &'static EventKind,
        severity: Severity,
        title: fmt::Arguments<'_>,
        detail: fmt::Arguments<'_>,
        culprit: &str,
    ) {
        let mut made = Made { kind, severity, title: Short::new(), culprit: Short::new(), at: self.now, more: 0 };
        let _ = made.title.write_fmt(title);
        let _ = made.culprit.write_str(culprit);
        let text = made.title.text();
        let known =
            self.flow.made.iter_mut().flatten().find(|it| std::ptr::eq(it.kind, kind) && it.title.text() == text);
        if let Some(known) = known {
            known.more = known.more.saturating_add(1);
            return;
        }
        if severity != Severity::Critical {
            if self.flow.notes >= NOTES_MAX {
                self.flow.lost += 1;
                return;
            }
            self.flow.notes += 1;
        }
        (self.to)(Note { kind, severity, title: format_args!("{text}"), detail, culprit });
        // In a free place, or that of the oldest.
        let mut oldest = 0;
        for (place, it) in self.flow.made.iter().enumerate() {
            let age = |it: &Option<Made>| it.as_ref().map(|it| it.at);
            if age(it) < age(&self.flow.made[oldest]) {
                oldest = place;
            }
        }
        if let Some(old) = self.flow.made[oldest].replace(made) {
            self.again(&old);
        }
    }

    /// Reports how often a report came again.
    fn again(&mut self, made: &Made) {
        let Made { kind, severity, title, culprit, at, more } = made;
        if *more > 0 {
            let seconds = (self.now - *at).as_secs();
            (self.to)(Note {
                kind,
                severity: *severity,
                title: format_args!("{}", title.text()),
                detail: format_args!("{more} more times in {seconds} s"),
                culprit: culprit.text(),
            });
        }
    }

    /// Reports what came again during the last minute.
    pub fn tick(&mut self) {
        for place in 0..REMEMBERED {
            let Some(made) = self.flow.made[place].filter(|it| self.now.saturating_sub(it.at) >= SAME) else {
                continue;
            };
            self.again(&made);
            // What still goes on stays one report.
            self.flow.made[place] = (made.more > 0).then_some(Made { at: self.now, more: 0, ..made });
        }
        if self.now.saturating_sub(self.flow.since) >= SAME {
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
        let title = format_args!("{disk} reported an I/O error");
        out.note(&kinds::STORAGE_ERROR, Severity::Critical, title, format_args!("sector {sector}"), disk);
    }

    #[test]
    fn the_same_is_reported_once_and_then_counted() {
        let flow = &mut Flow::default();
        let first = notes(flow, 100, |out| (0..50).for_each(|sector| error(out, "sda", sector)));
        assert_eq!(first, ["storage_error critical: sda reported an I/O error | sector 0 | sda"]);
        assert_eq!(notes(flow, 100, |out| error(out, "sdb", 1)).len(), 1);
        assert_eq!(notes(flow, 159, |out| out.tick()), [""; 0]);
        let counted = notes(flow, 160, |out| out.tick());
        assert_eq!(counted, ["storage_error critical: sda reported an I/O error | 49 more times in 60 s | sda"]);
        // It goes on: still counted, until a minute passes without it.
        assert_eq!(notes(flow, 200, |out| error(out, "sda", 7)), [""; 0]);
        assert_eq!(notes(flow, 220, |out| out.tick()).len(), 1);
        assert_eq!(notes(flow, 280, |out| out.tick()), [""; 0]);
        assert_eq!(notes(flow, 281, |out| error(out, "sda", 8)).len(), 1);
    }

    #[test]
    fn what_is_forgotten_for_something_new_is_counted_first() {
        let flow = &mut Flow::default();
        notes(flow, 1, |out| (0..3).for_each(|sector| error(out, "sda", sector)));
        let names: Vec<_> = (0..REMEMBERED).map(|number| format!("sd{number}")).collect();
        let seen = notes(flow, 3, |out| names.iter().for_each(|name| error(out, name, 0)));
        assert_eq!(seen.len(), REMEMBERED + 1);
        assert_eq!(seen[REMEMBERED], "storage_error critical: sda reported an I/O error | 2 more times in 2 s | sda");
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
