//! Notices edges: what a rule or the power supply begins and ends becomes one event, with the worst value in between.

use super::Judge;
use super::rule::Direction;
use crate::collect::power::{REASON_NAMES, THROTTLING};
use crate::model::{Episode, EventKind, Finding, Input, Keep, Lane, Note, Severity, Snapshot, Unit, kinds};
use std::time::Duration;

static NOW: Input = THROTTLING.input("pi_throttled");
static BEGUN: Input = THROTTLING.input("pi_throttled_events_total");
static LASTED: Input = THROTTLING.input("pi_throttled_seconds_total");

/// What an event of the power supply says, by its reason: how urgent it is, and its title.
static POWER: [(Severity, &str); REASON_NAMES.len()] = [
    (Severity::Warning, "Under-voltage"),
    (Severity::Info, "The firmware capped the clock"),
    (Severity::Warning, "The firmware throttled the CPU"),
    (Severity::Info, "The firmware lowered the clock at its soft temperature limit"),
];

/// For how long a report of a killed process from elsewhere stands for the kernel's counter too, in seconds.
const SAME_KILL: u64 = 10;

/// An event that lasts.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// 0 if there is none.
    id: u64,
    /// The worst value, in thousandths.
    worst: Option<i64>,
    /// For rules: when it ended, in seconds since boot, as far as was recorded.
    end: Option<u64>,
    /// For power: how often it had begun when that was last looked at, the last event's id, and the seconds when that began.
    begun: u64,
    last: u64,
    lasted: f64,
}

/// Follows the rules and the power supply from tick to tick.
#[derive(Debug)]
pub struct Recorder {
    /// One for each rule.
    rules: Vec<Open>,
    power: [Open; REASON_NAMES.len()],
    place: Option<(usize, usize)>,
    /// When a process was last reported as killed by somebody else, in seconds since boot.
    killed: Option<u64>,
}

/// Records a finding as an event that begins at `now`, in seconds since boot; a verdict lasts. Returns its id.
fn begin(events: &mut dyn Keep, finding: &Finding, kind: &'static EventKind, lane: Lane, now: u64, unit: Unit) -> u64 {
    let lasts = std::ptr::eq(kind, &kinds::VERDICT);
    events.begin(&Episode {
        note: Note {
            kind,
            severity: finding.rule.severity,
            title: format_args!("{}", finding.title),
            detail: format_args!("{}", finding.detail),
            culprit: &finding.culprit,
        },
        lane,
        rule: if lasts { finding.rule.name } else { "" },
        begin: Duration::from_secs(now),
        unit,
        lasts,
    })
}

impl Recorder {
    /// For what `judge` makes of snapshots with the parts of `snapshot`.
    pub fn new(judge: &Judge, snapshot: &Snapshot) -> Self {
        Recorder {
            rules: vec![Open::default(); judge.rules.len()],
            power: Default::default(),
            place: snapshot.locate(THROTTLING.head()),
            killed: None,
        }
    }

    /// Learns of an event that comes from elsewhere, so that it is not recorded again.
    pub fn noted(&mut self, kind: &'static EventKind, now: Duration) {
        if std::ptr::eq(kind, &kinds::OOM_KILL) {
            self.killed = Some(now.as_secs());
        }
    }

    /// Records what began and ended with the tick that `judge` has judged.
    pub fn record(&mut self, judge: &Judge, snapshot: &Snapshot, events: &mut dyn Keep) {
        let now = judge.report.now;
        for ((judged, finding), open) in judge.rules.iter().zip(&judge.report.findings).zip(&mut self.rules) {
            let (rule, state) = (&judged.rule.head, &judged.state);
            if rule.event {
                // Each time it happens. Of these, restarts are recorded at the start.
                let is_known = self.killed.is_some_and(|at| now < at + SAME_KILL);
                if state.held && rule.name == kinds::OOM_KILL.name && !is_known {
                    begin(events, finding, &kinds::OOM_KILL, Lane::Trouble, now, Unit::Count);
                }
                continue;
            }
            let limit = judged.rule.limits[0].as_ref();
            let unit = limit.map_or(Unit::Count, |limit| limit.unit);
            let before = open.worst;
            if let Some(measured) = finding.measured.filter(|_| state.held) {
                // As exact as the rules' own words.
                let grain = if unit == Unit::Seconds { 1.0 } else { 100.0 };
                let measured = ((measured * 1000.0 / grain).round() * grain) as i64;
                let is_below = limit.is_some_and(|limit| limit.direction == Direction::Below);
                let worse = |worst: i64| if is_below { measured.min(worst) } else { measured.max(worst) };
                open.worst = Some(open.worst.map_or(measured, worse));
            }
            let end = (!state.on || finding.until.is_some()).then_some(state.held_at);
            if open.id > 0 {
                if (open.end, before) != (end, open.worst) {
                    events.update(open.id, end.map(Duration::from_secs), open.worst);
                }
            } else if state.on {
                let lane = if rule.card == "thermal" { Lane::Power } else { Lane::Trouble };
                open.id = begin(events, finding, &kinds::VERDICT, lane, finding.since.unwrap_or(now), unit);
                events.update(open.id, end.map(Duration::from_secs), open.worst);
            }
            open.end = end;
            if !state.on {
                open.id = 0;
            }
            if state.held_since.is_none() {
                open.worst = None;
            }
        }
        self.power(snapshot, events);
    }

    /// An episode of each of the power supply's troubles. Those too short for a sample to see are counted too.
    fn power(&mut self, snapshot: &Snapshot, events: &mut dyn Keep) {
        let Some((part, section)) = self.place else { return };
        let Some(row) = snapshot.parts()[part].sections[section].rows().next() else { return };
        let time = snapshot.moment.since_boot;
        for (reason, (open, (severity, title))) in self.power.iter_mut().zip(&POWER).enumerate() {
            let value = |input: &Input| row.values()[input.column + reason].to_f64();
            let (Some(now), Some(begun), Some(lasted)) = (value(&NOW), value(&BEGUN), value(&LASTED)) else { continue };
            let (is_on, begun) = (now == 1.0, begun as u64);
            // What was there before the agent began to count is an event too.
            if begun > open.begun || is_on && open.id == 0 {
                open.id = events.begin(&Episode {
                    note: Note {
                        kind: &kinds::POWER,
                        severity: *severity,
                        title: format_args!("{title}"),
                        detail: format_args!(""),
                        culprit: "",
                    },
                    lane: Lane::Power,
                    rule: "",
                    begin: time,
                    unit: Unit::Seconds,
                    lasts: is_on,
                });
                if open.last != open.id {
                    (open.last, open.lasted) = (open.id, lasted);
                }
            }
            open.begun = begun;
            if open.id > 0 && !is_on {
                let seconds = ((lasted - open.lasted) * 1000.0) as i64;
                events.update(open.id, Some(time), (seconds > 0).then_some(seconds));
                open.id = 0;
            }
        }
    }
}
