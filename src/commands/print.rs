//! `pi-monitor print`: one collection on standard output.

use super::{confine, runtime, write};
use crate::agent::{Agent, flags};
use crate::cli::{Command, Entry, Flag, Options};
use crate::collect::{
    cpu::CPUS,
    disk::FILESYSTEMS,
    memory::{MEMORY, ZFS},
    thermal::PROCESSOR,
};
use crate::format::{self, Format, console::Highlights};
use crate::kernel::Machine;
use crate::model::Input;
use crate::sys;
use std::process::ExitCode;
use std::time::Duration;

pub static COMMAND: Command = Command {
    name: "print",
    argument: "",
    help: "print one collection and exit",
    flags: &[Entry::Value(&FORMAT)],
    run,
};

static FORMAT: Flag = Flag {
    name: "format",
    value: "FORMAT",
    default: "table",
    help: "Output format of print: prometheus, json or table.",
    check: |value| match value {
        "prometheus" | "json" | "table" => Ok(()),
        _ => Err("expected prometheus, json or table".to_owned()),
    },
};

/// What the table's summary shows.
pub static HIGHLIGHTS: Highlights = Highlights {
    cpu: &CPU,
    memory_total: &TOTAL,
    memory_available: &MEMORY_AVAILABLE,
    memory_reclaimable: &RECLAIMABLE,
    temperature: &TEMPERATURE,
    disk_used: &USED,
    disk_available: &AVAILABLE,
    disk_read_only: &READ_ONLY,
};
static CPU: Input = CPUS.input("pi_cpu_usage_percent");
static TOTAL: Input = MEMORY.input("pi_memory_total_bytes");
static MEMORY_AVAILABLE: Input = MEMORY.input("pi_memory_available_bytes");
static RECLAIMABLE: Input = ZFS.input("pi_memory_zfs_reclaimable_bytes");
static TEMPERATURE: Input = PROCESSOR.input("pi_cpu_temperature_celsius");
static USED: Input = FILESYSTEMS.input("pi_disk_used_bytes");
static AVAILABLE: Input = FILESYSTEMS.input("pi_disk_available_bytes");
static READ_ONLY: Input = FILESYSTEMS.input("pi_disk_read_only");

/// How long to wait between the two readings that CPU percentages need.
const PAUSE: Duration = Duration::from_millis(500);

fn run(options: &Options) -> Result<ExitCode, String> {
    sys::log_without_waiting();
    confine(options, &[])?;
    runtime()?.block_on(print(options))
}

async fn print(options: &Options) -> Result<ExitCode, String> {
    let mut agent = Agent::once(options, Machine::default());
    // For the rules, which judge filesystems by what a collection saw of them.
    agent.snapshot(Duration::ZERO).await;
    tokio::time::sleep(PAUSE.min(flags::interval(options))).await;
    agent.tick();
    let snapshot = agent.snapshot(Duration::ZERO).await;
    let mut out = Vec::new();
    match options.value(&FORMAT) {
        "prometheus" => format::render(Format::Prometheus, snapshot, &mut out),
        "json" => format::render(Format::Json, snapshot, &mut out),
        _ => format::console::write(snapshot, &HIGHLIGHTS, &mut out),
    }
    write(&out)
}
