//! Notices edges: what a rule or the power supply begins and ends becomes one event, with the worst value in between.

use super::Judge;
use super::rule::Direction;
use super::rules;
use crate::collect::power::{REASON_NAMES, THROTTLING};
use crate::model::{
    Episode, Event, EventKind, Finding, Input, Keep, Lane, Note, RuleHead, Severity, Snapshot, Unit, kinds,
};
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

/// For how long a report from elsewhere and a counter's growth are about the same, in seconds.
const SAME: u64 = 10;
/// Of the power supply's reasons, the one that the kernel's log reports too.
const UNDER_VOLTAGE: usize = 0;

/// Kinds of events that are no verdicts, and the rules that know what to do about them.
static ADVICE: [(&EventKind, &str); 7] = [
    (&kinds::OOM_KILL, "oom_kill"),
    (&kinds::STORAGE_ERROR, "disk_read_only"),
    (&kinds::FILESYSTEM_ERROR, "disk_read_only"),
    (&kinds::POWER_ERROR, "under_voltage"),
    (&kinds::POWER, "throttled"),
    (&kinds::LINK, "link_down"),
    (&kinds::REBOOT, "machine_restarted"),
];

/// Returns the rule that knows what to do about an event. What is only good to know needs no advice.
pub fn advice(event: &Event<'_>) -> Option<&'static RuleHead> {
    let kind = ADVICE.iter().find(|(kind, _)| std::ptr::eq(*kind, event.kind) && event.severity != Severity::Info);
    let name = match kind {
        _ if !event.rule.is_empty() => event.rule,
        Some(_) if event.title == POWER[UNDER_VOLTAGE].1 => "under_voltage",
        Some((_, name)) => name,
        None => return None,
    };
    rules::ALL.iter().map(|rule| &rule.head).find(|head| head.name == name)
}

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
    /// When the counter of killed processes grew, if that is not recorded yet: the kernel's log says more, and may be slower.
    counted: Option<u64>,
    /// The last under-voltage that somebody else reported, and when, in seconds since boot.
    dip: Option<(u64, u64)>,
    /// When the last one began or ended that was seen here.
    dipped: Option<u64>,
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

/// Whether something at `now` is about the same as what was at `before`, or it came earlier.
fn is_recent(before: Option<u64>, now: u64) -> bool {
    before.is_some_and(|at| now < at + SAME)
}

impl Recorder {
    /// For what `judge` makes of snapshots with the parts of `snapshot`.
    pub fn new(judge: &Judge, snapshot: &Snapshot) -> Self {
        Recorder {
            rules: vec![Open::default(); judge.rules.len()],
            power: Default::default(),
            place: snapshot.locate(THROTTLING.head()),
            killed: None,
            counted: None,
            dip: None,
            dipped: None,
        }
    }

    /// Whether an event that comes from elsewhere is recorded already.
    pub fn knows(&self, note: &Note<'_>, now: Duration) -> bool {
        let is_power = std::ptr::eq(note.kind, &kinds::POWER);
        is_power && (self.power[UNDER_VOLTAGE].id > 0 || is_recent(self.dipped, now.as_secs()))
    }

    /// Learns of an event that comes from elsewhere and has this id, so that it is not recorded again.
    pub fn noted(&mut self, note: &Note<'_>, id: u64, now: Duration) {
        if std::ptr::eq(note.kind, &kinds::OOM_KILL) {
            self.killed = Some(now.as_secs());
        } else if std::ptr::eq(note.kind, &kinds::POWER) && note.severity != Severity::Info {
            self.dip = Some((id, now.as_secs()));
        }
    }

    /// Records what began and ended with the tick that `judge` has judged.
    pub fn record(&mut self, judge: &Judge, snapshot: &Snapshot, events: &mut dyn Keep) {
        let now = judge.report.now;
        for ((judged, finding), open) in judge.rules.iter().zip(&judge.report.findings).zip(&mut self.rules) {
            let (rule, state) = (&judged.rule.head, &judged.state);
            if rule.event {
                // Each time it happens. Of these, restarts are recorded at the start.
                if rule.name == kinds::OOM_KILL.name {
                    if let Some(at) = self.counted.take().filter(|at| !is_recent(self.killed, *at)) {
                        begin(events, finding, &kinds::OOM_KILL, Lane::Trouble, at, Unit::Count);
                    }
                    self.counted = state.held.then_some(now);
                }
                continue;
            }
            let limit = judged.rule.limits.first();
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
        let second = time.as_secs();
        let Recorder { power, dip, dipped, .. } = self;
        for (reason, (open, (severity, title))) in power.iter_mut().zip(&POWER).enumerate() {
            let value = |input: &Input| row.values()[input.column + reason].to_f64();
            let (Some(now), Some(begun), Some(lasted)) = (value(&NOW), value(&BEGUN), value(&LASTED)) else { continue };
            let (is_on, begun) = (now == 1.0, begun as u64);
            // What was there before the agent began to count is an event too.
            if begun > open.begun || is_on && open.id == 0 {
                let reported = dip.take_if(|_| reason == UNDER_VOLTAGE);
                if let Some((id, _)) = reported.filter(|(_, at)| is_recent(Some(*at), second)) {
                    open.id = id;
                    events.update(id, (!is_on).then_some(time), None);
                } else {
                    open.id = events.begin(&Episode {
                        note: Note {
                            kind: &kinds::POWER,
                            severity: *severity,
                            title: format_args!("{title}"),
                            detail: format_args!(""),
                            // As the rule has it, whose verdict takes longer.
                            culprit: if reason == UNDER_VOLTAGE { "power supply" } else { "" },
                        },
                        lane: Lane::Power,
                        rule: "",
                        begin: time,
                        unit: Unit::Seconds,
                        lasts: is_on,
                    });
                }
                if open.last != open.id {
                    (open.last, open.lasted) = (open.id, lasted);
                }
            }
            open.begun = begun;
            if reason == UNDER_VOLTAGE && open.id > 0 {
                *dipped = Some(second);
            }
            if open.id > 0 && !is_on {
                let seconds = ((lasted - open.lasted) * 1000.0) as i64;
                events.update(open.id, Some(time), (seconds > 0).then_some(seconds));
                open.id = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    fn event(kind: &'static EventKind, severity: Severity, rule: &'static str, title: &'static str) -> Event<'static> {
        Event {
            id: 1,
            kind,
            lane: kind.lane,
            severity,
            times: 1,
            rule,
            begin: 0,
            end: None,
            exact: true,
            title,
            detail: "",
            culprit: "",
            worst: Value::ABSENT,
            unit: Unit::Count,
        }
    }

    #[test]
    fn advice_comes_from_the_rule_or_the_kind() {
        for (kind, severity, rule, title, expected) in [
            (&kinds::VERDICT, Severity::Info, "hot", "x", Some("hot")),
            // Of an older version.
            (&kinds::VERDICT, Severity::Critical, "no_such_rule", "x", None),
            (&kinds::POWER, Severity::Warning, "", POWER[UNDER_VOLTAGE].1, Some("under_voltage")),
            (&kinds::POWER, Severity::Warning, "", POWER[2].1, Some("throttled")),
            (&kinds::POWER, Severity::Info, "", POWER[1].1, None),
            (&kinds::LINK, Severity::Info, "", "eth0 has its link again", None),
            (&kinds::MOUNT, Severity::Warning, "", "x", None),
        ] {
            let found = advice(&event(kind, severity, rule, title)).map(|head| head.name);
            assert_eq!(found, expected, "{} {rule} {title}", kind.name);
        }
        for (kind, name) in &ADVICE {
            assert!(advice(&event(kind, Severity::Warning, "", "x")).is_some_and(|head| head.name == *name), "{name}");
        }
    }
}
