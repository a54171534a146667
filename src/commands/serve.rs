//! `pi-monitor serve`: the dashboard, the metrics and JSON on a port.

use super::{confine, runtime};
use crate::agent::Agent;
use crate::cli::{Command, Options};
use crate::kernel::{Machine, Roots};
use crate::server::{self, Protection};
use crate::sys;
use std::process::ExitCode;

pub static COMMAND: Command = Command {
    name: "serve",
    argument: "",
    help: "serve the dashboard, metrics and JSON until SIGTERM or SIGINT",
    flags: &[],
    run,
};

fn run(options: &Options) -> Result<ExitCode, String> {
    sys::log_without_waiting();
    // Their files, and who has a port, are out of reach afterwards.
    let protection = Protection::read(options)?;
    let doors = server::listen::open(options, &Roots::new(options).proc)?;
    confine(options, &[server::NEEDS])?;
    let runtime = runtime()?;
    let agent = {
        // Helper processes register with the runtime.
        let _entered = runtime.enter();
        Agent::new(options, Machine::default())
    };
    runtime.block_on(server::run(options, agent, protection, doors)).map(|()| ExitCode::SUCCESS)
}
