//! The program: command line, agent, runtime.

use pi_monitor::agent::Agent;
use pi_monitor::cli::{self, Command, Options};
use pi_monitor::format::{self, Format};
use pi_monitor::kernel::Machine;
use pi_monitor::runtime::{log, sandbox};
use pi_monitor::server::Protection;
use pi_monitor::{server, sys};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// How long `print` waits between the two readings that CPU percentages need.
const PRINT_INTERVAL: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let options = match Options::parse(words) {
        Ok(options) => options,
        Err(wrong) => {
            log::line(log::Level::Error, format_args!("{wrong}"));
            return ExitCode::from(2);
        }
    };
    log::set_level(options.log_level());
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            log::line(log::Level::Error, format_args!("{wrong}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    match options.command {
        Command::Help => return write(cli::help().as_bytes()),
        Command::Version => return write(cli::version().as_bytes()),
        Command::Serve | Command::Print => {}
    }
    sys::log_without_waiting();
    // Their files are out of reach afterwards.
    let protection = if options.command == Command::Serve { Protection::read(options)? } else { Protection::default() };
    sandbox::enter(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let agent = {
        // Helper processes register with the runtime.
        let _entered = runtime.enter();
        Agent::new(options, Machine::default())
    };
    match options.command {
        Command::Print => runtime.block_on(print(options, agent)),
        _ => runtime.block_on(server::run(options, agent, protection)),
    }
}

async fn print(options: &Options, mut agent: Agent) -> Result<(), String> {
    tokio::time::sleep(PRINT_INTERVAL.min(options.sample_interval)).await;
    agent.tick();
    let snapshot = agent.snapshot(Duration::ZERO).await;
    let mut out = Vec::new();
    match options.print_format() {
        "prometheus" => format::render(Format::Prometheus, snapshot, &mut out),
        "json" => format::render(Format::Json, snapshot, &mut out),
        _ => format::console::write(snapshot, &mut out),
    }
    write(&out)
}

/// Writes to standard output; a reader that has seen enough is no failure.
fn write(text: &[u8]) -> Result<(), String> {
    match std::io::stdout().write_all(text).and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}
