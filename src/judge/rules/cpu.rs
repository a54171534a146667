//! CPUs that have more to do than they can.

use crate::collect::{cpu::CPUS, system::SYSTEM};
use crate::judge::rule::{Rule, above};
use crate::judge::rules::{by_cpu, by_load};
use crate::judge::view::View;
use crate::judge::words::Tenths;
use crate::model::{Finding, Input, Severity, Unit};

static USAGE: Input = CPUS.input("pi_cpu_usage_percent");
static LOAD: Input = SYSTEM.input("pi_load_average");

pub static CPU_BUSY: Rule =
    Rule::new("cpu_busy", "the CPUs are fully used", Severity::Warning, "cpu", &[&USAGE], cpu_busy)
        .limits(&[above(
            "rule.cpu_busy.above PERCENT 92",
            Unit::Percent,
            "CPU time in use, of all CPUs together, without niced work.",
        )])
        .after(30)
        .blames(by_cpu)
        .fix("Stop or limit the program that uses most CPU, if it should not");

fn cpu_busy(view: &mut View<'_>, found: &mut Finding) -> bool {
    let total = |wanted: &str| {
        let mut values = view.values(&USAGE);
        values.find(|(cpu, mode, _)| *cpu == "total" && *mode == wanted).map(|(.., percent)| percent)
    };
    let Some((idle, iowait)) = total("idle").zip(total("iowait")) else { return false };
    // Niced work gives way to all other.
    let percent = 100.0 - idle - iowait - total("nice").unwrap_or(0.0);
    if percent < view.limit() {
        return false;
    }
    found.measured = Some(percent);
    let stolen = total("steal").unwrap_or(0.0);
    let title = format_args!("CPU is fully used");
    // Nobody on this machine can stop that.
    if stolen >= MOSTLY_STOLEN {
        let (all, stolen) = (Tenths(percent), Tenths(stolen));
        return found.name(
            "",
            title,
            format_args!("{all}% in use, {stolen}% of it by others on the same host (steal)"),
        );
    }
    found.name("", title, format_args!("{}% in use", Tenths(percent)))
}

/// The share of CPU time from which others on the host of a virtual machine are named.
const MOSTLY_STOLEN: f64 = 20.0;

/// The share of CPU time from which the threads that want to run are niced ones: the scheduler would let others go first.
const MOSTLY_NICED: f64 = 50.0;

/// The share of idle CPU time from which a load is somebody else's, unless a process here waits for a disk: containers show the
/// load of the whole machine beside CPUs of their own (lxcfs).
const MOSTLY_IDLE: f64 = 80.0;

pub static LOAD_HIGH: Rule =
    Rule::new("load_high", "the load average is high", Severity::Warning, "pressure", &[&LOAD, &USAGE], load_high)
        .limits(&[above("rule.load_high.above NUMBER 2", Unit::Ratio, "Load average over 15 minutes for each CPU.")])
        .blames(by_load)
        .fix("Look for processes that wait for a disk or a network share, and for too many that run at once");

fn load_high(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(load) = view.value(&LOAD, "15m") else { return false };
    // One row is that of all CPUs together. A load on nobody knows how many says nothing.
    let cpus = view.section(&USAGE).map_or(0, |section| section.len()).saturating_sub(1);
    let total = |wanted: &str| {
        let mut values = view.values(&USAGE);
        values.find(|(cpu, mode, _)| *cpu == "total" && *mode == wanted).map_or(0.0, |(.., percent)| percent)
    };
    let is_idle = total("idle") >= MOSTLY_IDLE;
    if cpus == 0 || load < view.limit() * cpus as f64 || total("nice") >= MOSTLY_NICED {
        return false;
    }
    if is_idle && !view.is_blocked() {
        return false;
    }
    found.measured = Some(load);
    found.name("", format_args!("Load is high"), format_args!("{} over 15 minutes on {} CPUs", Tenths(load), cpus))
}
