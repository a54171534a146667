//! The program: parses the command line and runs the command.

use pi_monitor::cli::{Asked, Options, help};
use pi_monitor::commands;
use pi_monitor::runtime::log;
use pi_monitor::sys;
use std::process::ExitCode;

fn main() -> ExitCode {
    sys::report_crashes();
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let (result, status) = match commands::parse(words) {
        Ok(options) => (run(&options), if options.failure() == 1 { ExitCode::FAILURE } else { ExitCode::from(2) }),
        Err(wrong) => {
            sys::log_without_waiting();
            (Err(wrong), ExitCode::from(2))
        }
    };
    result.unwrap_or_else(|wrong| {
        log::line(log::Level::Error, format_args!("{wrong}"));
        status
    })
}

fn run(options: &Options) -> Result<ExitCode, String> {
    log::set_level(log::level(options));
    match options.asked {
        Asked::Help => commands::write(commands::help().as_bytes()),
        Asked::Version => commands::write(help::version().as_bytes()),
        Asked::Run(command) => (command.run)(options),
    }
}
