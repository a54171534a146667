//! `pi-monitor health`: checks that an agent is up, for health checks of containers and for scripts.

use super::{client, write};
use crate::cli::{Command, Options, prose};
use std::process::ExitCode;

pub static COMMAND: Command = Command {
    name: "health",
    argument: "[URL]",
    help: prose("check that an agent is up: exit status 0 if it answers, 1 if not"),
    flags: &[],
    failure: 1,
    run,
};

fn run(options: &Options) -> Result<ExitCode, String> {
    let client::Answer { url, status, speaks_tls, .. } = client::get(options, "/health", "", "")?;
    // An agent that speaks TLS is up too. Otherwise only the agent's own answer counts: /health needs no password.
    if !speaks_tls && !status.starts_with("200") {
        return Err(format!("{url}: expected status 200, found {status}"));
    }
    write(b"ok\n")
}
