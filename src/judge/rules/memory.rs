//! Memory that runs out.

use crate::collect::{
    memory::{MEMORY, ZFS},
    pressure::RESOURCES,
    vm::VM,
};
use crate::judge::rule::Rule;
use crate::judge::rules::RECENT;
use crate::judge::view::View;
use crate::judge::words::{Size, Tenths};
use crate::model::{Finding, Input, Severity, Unit};

static OOM_KILLS: Input = VM.input("pi_oom_kills_total");
static TOTAL: Input = MEMORY.input("pi_memory_total_bytes");
static AVAILABLE: Input = MEMORY.input("pi_memory_available_bytes");
static ZFS_CACHE: Input = ZFS.input("pi_memory_zfs_reclaimable_bytes");
static STALLED: Input = RESOURCES.input("pi_pressure_stalled_seconds_total");

pub static OOM_KILL: Rule = Rule::new(
    "oom_kill",
    "the kernel killed a process for lack of memory",
    Severity::Critical,
    "memory",
    &[&OOM_KILLS],
    oom_kill,
)
.at_once()
.event(RECENT)
.fix("Find the program in the kernel's log (dmesg), and limit its memory, run less beside it, or add swap");

fn oom_kill(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(kills) = view.value(&OOM_KILLS, "") else { return false };
    match view.growth(&OOM_KILLS, "", kills) {
        Some((growth, _)) if growth >= 1.0 => {
            let culprit = view.process(|top| &top.memory, "memory");
            found.name(
                culprit,
                format_args!("The kernel killed a process"),
                format_args!("Memory ran out; processes killed since boot: {}", kills as u64),
            )
        }
        _ => false,
    }
}

pub static MEMORY_LOW: Rule = Rule::new(
    "memory_low",
    "little memory is available",
    Severity::Critical,
    "memory",
    &[&TOTAL, &AVAILABLE, &ZFS_CACHE],
    memory_low,
)
.below("rule.memory_low.below", "8", Unit::Percent, "Available share of memory, what ZFS caches included.")
.fix("Stop or limit the program that uses most memory, or add swap (zram)");

fn memory_low(view: &mut View<'_>, found: &mut Finding) -> bool {
    let (total, available) = (view.value(&TOTAL, ""), view.value(&AVAILABLE, ""));
    let Some((total, available)) = total.zip(available) else { return false };
    let available = available + view.value(&ZFS_CACHE, "").unwrap_or(0.0);
    let percent = available / total * 100.0;
    if total <= 0.0 || percent >= view.limit() {
        return false;
    }
    let culprit = view.process(|top| &top.memory, "memory");
    found.name(
        culprit,
        format_args!("Memory is almost used up"),
        format_args!("{}% of {} available", Tenths(percent), Size(total)),
    )
}

pub static MEMORY_PRESSURE: Rule = Rule::new(
    "memory_pressure",
    "all processes are stalled on memory",
    Severity::Critical,
    "memory",
    &[&STALLED],
    memory_pressure,
)
.above(
    "rule.memory_pressure.above",
    "10",
    Unit::Percent,
    "Share of time in which all processes were stalled on memory.",
)
.fix("Stop or limit the program that uses most memory, or move it to a machine with more");

fn memory_pressure(view: &mut View<'_>, found: &mut Finding) -> bool {
    let limit = view.limit();
    let Some(percent) = view.pressure(&STALLED, "memory").filter(|percent| *percent >= limit) else { return false };
    let culprit = view.process(|top| &top.memory, "memory");
    found.name(
        culprit,
        format_args!("Memory is short"),
        format_args!("All processes were stalled on memory {}% of the time", Tenths(percent)),
    )
}
