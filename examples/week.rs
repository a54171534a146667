//! Writes a state directory that holds a week of a board, up to now, for `benches/memory.sh`: as many points and events as there is room for.

#[path = "../tests/boards/board.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod board;

use board::Board;
use pi_monitor::agent::{Agent, keeper};
use pi_monitor::commands;
use pi_monitor::kernel::Machine;
use pi_monitor::model::{Note, Severity, kinds};
use pi_monitor::runtime::log;
use std::cell::Cell;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

const USAGE: &str = "Usage: week BOARD_FILE BOARD_DIRECTORY STATE_DIRECTORY\n";

const WEEK: u64 = 7 * 24 * 3600;
/// Seconds between two samples.
const TICK: u64 = 20;
/// Seconds between two events.
const EVENT: u64 = 600;

thread_local! {
    /// Seconds since the board's boot, a week ago, and the Unix time of that.
    static NOW: Cell<u64> = const { Cell::new(0) };
    static BOOT: Cell<u64> = const { Cell::new(0) };
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [board, directory, state] = &words[..] else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match write(Path::new(board), Path::new(directory), state) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("week: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(board: &Path, directory: &Path, state: &str) -> Result<(), String> {
    Board::read(board).and_then(|board| board.unpack(directory)).map_err(|error| error.to_string())?;
    let mut flags = vec![format!("--sample.interval={TICK}s"), format!("--state.directory={state}")];
    flags.extend(["proc", "sys", "root"].map(|root| format!("--path.{root}fs={}", directory.join(root).display())));
    let options = commands::parse(flags)?;
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    BOOT.set(unix - WEEK);
    let machine = Machine {
        since_boot: || Duration::from_secs(NOW.get()),
        unix_time: || Duration::from_secs(BOOT.get() + NOW.get()),
        ..Machine::default()
    };
    // The card is slower than this clock.
    log::set_level(log::Level::Error);
    let journal = keeper::open(&options).ok_or("the state directory cannot be used")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    // Helper processes register with the runtime.
    let _entered = runtime.enter();
    let mut agent = Agent::new(&options, machine);
    agent.keep(journal);
    for now in (TICK..WEEK).step_by(TICK as usize) {
        NOW.set(now);
        agent.tick();
        if now % EVENT == 0 {
            let number = now / EVENT;
            agent.note(Note {
                kind: if number % 2 == 0 { &kinds::LINK } else { &kinds::USB_ERROR },
                severity: if number % 2 == 0 { Severity::Info } else { Severity::Warning },
                title: format_args!("Something of usual length happened for the {number}. time"),
                detail: format_args!(
                    "and a line of the kernel's log says more about that, such as an address: {now:#010x}"
                ),
                culprit: "eth0",
            });
        }
    }
    agent.end();
    Ok(())
}
