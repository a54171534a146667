//! `pi-monitor doctor`: what is wrong with this machine, and what to type.

use super::once;
use super::print::FORMAT;
use crate::cli::{Command, Entry, Options, prose};
use crate::format::doctor::Report;
use crate::kernel::{Roots, read_all};
use crate::sys;
use std::process::ExitCode;

pub static COMMAND: Command = Command {
    name: "doctor",
    argument: "",
    help: prose("say what is wrong and what to type: exit status 0 if nothing is, 1 if something is"),
    flags: &[Entry::Value(&FORMAT)],
    failure: 2,
    run,
};

/// Looks with the rights of the person who types it, so nothing is given up before.
fn run(options: &Options) -> Result<ExitCode, String> {
    sys::log_without_waiting();
    let format = options.value(&FORMAT);
    if format == "prometheus" {
        return Err(format!("--format={format}: expected table or json"));
    }
    // Without this file, there is no procfs to look at.
    let stat = Roots::new(options).proc.join("stat");
    read_all(&stat).map_err(|error| format!("cannot look: {}: {error}", stat.display()))?;
    let mut report = Report::new(format == "json");
    let written = once(options, &mut |agent, out| {
        agent.diagnose(&mut |looked| report.add(looked));
        report.write(out);
    });
    if report.found == 0 { written } else { written.map(|_| ExitCode::FAILURE) }
}
