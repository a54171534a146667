//! `pi-monitor print`: one collection on standard output.

use super::{confine, runtime, write};
use crate::agent::{Agent, flags};
use crate::cli::{Command, Entry, Flag, Options};
use crate::format::{self, Format};
use crate::kernel::Machine;
use crate::sys;
use std::process::ExitCode;
use std::time::Duration;

pub static COMMAND: Command = Command {
    name: "print",
    argument: "",
    help: "write one collection to standard output and end",
    flags: &[Entry::Value(&FORMAT)],
    run,
};

static FORMAT: Flag = Flag {
    name: "format",
    value: "FORMAT",
    default: "table",
    help: "For print: prometheus, json or table.",
    check: |value| match value {
        "prometheus" | "json" | "table" => Ok(()),
        _ => Err("not one of prometheus, json, table".to_owned()),
    },
};

/// How long to wait between the two readings that CPU percentages need.
const PAUSE: Duration = Duration::from_millis(500);

fn run(options: &Options) -> Result<ExitCode, String> {
    sys::log_without_waiting();
    confine(options, &[])?;
    runtime()?.block_on(print(options))
}

async fn print(options: &Options) -> Result<ExitCode, String> {
    let mut agent = Agent::once(options, Machine::default());
    tokio::time::sleep(PAUSE.min(flags::interval(options))).await;
    agent.tick();
    let snapshot = agent.snapshot(Duration::ZERO).await;
    let mut out = Vec::new();
    match options.value(&FORMAT) {
        "prometheus" => format::render(Format::Prometheus, snapshot, &mut out),
        "json" => format::render(Format::Json, snapshot, &mut out),
        _ => format::console::write(snapshot, &mut out),
    }
    write(&out)
}
