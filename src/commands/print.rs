//! `pi-monitor print`: one collection on standard output.

use super::{confine, once};
use crate::cli::{Command, Entry, Flag, Options, prose};
use crate::collect::{
    cpu::CPUS,
    disk::FILESYSTEMS,
    memory::{MEMORY, ZFS},
    thermal::PROCESSOR,
};
use crate::dialect::flags::Tongue;
use crate::format::{self, Format, console::Highlights};
use crate::model::Input;
use crate::sys;
use std::process::ExitCode;

pub static COMMAND: Command = Command {
    name: "print",
    argument: "",
    help: prose("print one collection and exit"),
    flags: &[Entry::Value(&FORMAT)],
    failure: 1,
    run,
};

/// The command `doctor` has it, too.
pub static FORMAT: Flag = Flag {
    words: "format FORMAT table",
    help: prose("Output format: prometheus, json or table; doctor has no prometheus."),
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

fn run(options: &Options) -> Result<ExitCode, String> {
    sys::log_without_waiting();
    confine(options, &[])?;
    once(options, &mut |agent, out| match options.value(&FORMAT) {
        "prometheus" if agent.tongue() != Tongue::Pi => agent.write_in(agent.tongue(), out),
        "prometheus" => format::render(Format::Prometheus, agent.last(), out),
        "json" => format::render(Format::Json, agent.last(), out),
        _ => format::console::write(agent.last(), &HIGHLIGHTS, out),
    })
}
