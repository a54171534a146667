//! Memory that runs out.

use crate::collect::{
    memory::{MEMORY, ZFS},
    pressure::RESOURCES,
    vm::{GROUPS, VM},
};
use crate::judge::rule::{Rule, above, below};
use crate::judge::rules::{RECENT, by_memory};
use crate::judge::view::{Killed, View};
use crate::judge::words::{Size, Tenths};
use crate::model::{Finding, Input, Row, Severity, Unit};

static OOM_KILLS: Input = VM.input("pi_oom_kills_total");
static RECLAIMS: Input = VM.input("pi_direct_reclaims_total");
static GROUP_KILLS: Input = GROUPS.input("pi_cgroup_oom_kills_total");
static EXHAUSTED: Input = GROUPS.input("pi_cgroup_out_of_memory_total");
static GROUP_LIMIT: Input = GROUPS.input("pi_cgroup_memory_limit_bytes");
static TOTAL: Input = MEMORY.input("pi_memory_total_bytes");
static AVAILABLE: Input = MEMORY.input("pi_memory_available_bytes");
static ZFS_CACHE: Input = ZFS.input("pi_memory_zfs_reclaimable_bytes");
static STALLED: Input = RESOURCES.input("pi_pressure_stalled_seconds_total");

pub static OOM_KILL: Rule = Rule::new(
    "oom_kill",
    "the kernel killed a process for lack of memory",
    Severity::Critical,
    "memory",
    &[&OOM_KILLS, &RECLAIMS, &TOTAL, &AVAILABLE, &GROUP_KILLS, &EXHAUSTED, &GROUP_LIMIT],
    oom_kill,
)
.limits(&[below("rule.oom_kill.below PERCENT 20", Unit::Percent,
    "Available share of memory below which the machine ran out of memory; otherwise a service or container reached its limit.",
)])
.news()
.event(RECENT)
.fix("Find the program in the kernel's log (dmesg), and limit its memory, run less beside it, or add swap");

/// The available share of memory from which there is plenty, in percent.
const PLENTY: f64 = 50.0;

/// The available share of memory, in percent.
#[inline(never)]
fn available_share(view: &View<'_>) -> Option<f64> {
    let (available, total) = view.value(&AVAILABLE, "").zip(view.value(&TOTAL, ""))?;
    (total > 0.0).then(|| available / total * 100.0)
}

/// The kernel's log names who was killed, and why, where it may be read; else the counters have to do.
///
/// `oom_kill` counts kills for lack of memory and for a cgroup's limit alike. Only the former come with low memory; where
/// memory went so fast that no tick saw it low, the kernel had to reclaim it for those who asked, which it does not count for
/// a cgroup's limit.
fn oom_kill(view: &mut View<'_>, found: &mut Finding) -> bool {
    let lowest = available_share(view).map(|share| view.lowest_available(share));
    let reclaims = view.value(&RECLAIMS, "").and_then(|count| view.growth(&RECLAIMS, "", count));
    let (mut victim, mut exhausted) = (None, None);
    if let Some(section) = view.section(&GROUP_KILLS) {
        for row in section.rows() {
            let name = row.labels().next().unwrap_or_default();
            for (input, place) in [(&GROUP_KILLS, &mut victim), (&EXHAUSTED, &mut exhausted)] {
                let Some(count) = view.of(row, input) else { continue };
                // One that was not there before counted from zero.
                if view.growth(input, name, count).map_or(count, |(growth, _)| growth) >= 1.0 {
                    *place = Some(row);
                }
            }
        }
    }
    let Some(kills) = view.value(&OOM_KILLS, "") else { return false };
    let more = view.growth(&OOM_KILLS, "", kills).is_some_and(|(growth, _)| growth >= 1.0);
    // The log may be a tick later than the counter.
    let named = view.killed();
    if !more && named.is_none() {
        return false;
    }
    let title = format_args!("The kernel killed a process");
    let kills = kills as u64;
    let is_low =
        |share: f64| share < view.limit() || share < PLENTY && reclaims.is_some_and(|(growth, _)| growth >= 1.0);
    let is_out = lowest.is_some_and(is_low);
    // Version 1 does not say whose limit it was.
    let own = victim.filter(|row| !is_out && view.of(*row, &EXHAUSTED).is_none());
    let limited = exhausted.or(own).and_then(|row| Some((group(row), view.of(row, &GROUP_LIMIT)?)));
    let victim = victim.map_or("", group);
    if let Some(Killed { name, how }) = named {
        return match limited.filter(|(group, _)| how.ends_with(*group)) {
            Some((_, limit)) => found.name(
                &name,
                format_args!("The kernel killed {name}"),
                format_args!("{name}, {how} ({}); processes killed since boot: {kills}", Size(limit)),
            ),
            None => found.name(
                &name,
                format_args!("The kernel killed {name}"),
                format_args!("{name}, {how}; processes killed since boot: {kills}"),
            ),
        };
    }
    match (limited, lowest) {
        (Some((name, limit)), _) => found.name(
            name,
            title,
            format_args!("{name} reached its memory limit of {}; processes killed since boot: {kills}", Size(limit)),
        ),
        (None, Some(share)) if !is_out => found.name(
            "",
            title,
            format_args!(
                "A service or container reached its memory limit, with {}% of memory available; processes killed since boot: {kills}",
                Tenths(share)
            ),
        ),
        (None, Some(_)) => found.name("", title, format_args!("Memory ran out; processes killed since boot: {kills}")),
        (None, None) => found.name("", title, format_args!("Processes killed since boot: {kills}")),
    };
    if found.culprit != victim {
        found.process.clear();
        found.process.push_str(victim);
        found.does = "lost a process";
        found.blame();
    }
    true
}

/// The last part of a group's name, which services and containers have.
fn group<'a>(row: Row<'a>) -> &'a str {
    let name = row.labels().next().unwrap_or_default();
    name.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("this container")
}

pub static MEMORY_LOW: Rule = Rule::new(
    "memory_low",
    "little memory is available",
    Severity::Critical,
    "memory",
    &[&TOTAL, &AVAILABLE, &ZFS_CACHE],
    memory_low,
)
.limits(&[below(
    "rule.memory_low.below PERCENT 8",
    Unit::Percent,
    "Available share of memory, what ZFS caches included.",
)])
.blames(by_memory)
.fix("Stop or limit the program that uses most memory, or add swap (zram)");

fn memory_low(view: &mut View<'_>, found: &mut Finding) -> bool {
    let (total, available) = (view.value(&TOTAL, ""), view.value(&AVAILABLE, ""));
    let Some((total, available)) = total.zip(available) else { return false };
    let available = available + view.value(&ZFS_CACHE, "").unwrap_or(0.0);
    let percent = available / total * 100.0;
    if total <= 0.0 || percent >= view.limit() {
        return false;
    }
    found.measured = Some(percent);
    found.name(
        "",
        format_args!("Memory is almost used up"),
        format_args!("{}% of {} available", Tenths(percent), Size(total)),
    )
}

pub static MEMORY_PRESSURE: Rule = Rule::new(
    "memory_pressure",
    "all processes are stalled on memory",
    Severity::Critical,
    "memory",
    &[&STALLED, &TOTAL, &AVAILABLE],
    memory_pressure,
)
.limits(&[above(
    "rule.memory_pressure.above PERCENT 10",
    Unit::Percent,
    "Share of time in which all processes were stalled on memory, while less than half of it is available.",
)])
.blames(by_memory)
.fix("Stop or limit the program that uses most memory, or move it to a machine with more");

/// A service or container that is held back at its own limit counts as stalled too, while the machine has plenty.
fn memory_pressure(view: &mut View<'_>, found: &mut Finding) -> bool {
    let limit = view.limit();
    let Some(percent) = view.pressure(&STALLED, "memory").filter(|percent| *percent >= limit) else { return false };
    if available_share(view).is_some_and(|share| share >= PLENTY) {
        return false;
    }
    found.measured = Some(percent);
    found.name(
        "",
        format_args!("Memory is short"),
        format_args!("All processes were stalled on memory {}% of the time", Tenths(percent)),
    )
}
