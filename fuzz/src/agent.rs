//! The whole agent on a board whose files hold anything.

use crate::board;
use crate::page::check_metrics;
use pi_monitor::agent::Agent;
use pi_monitor::agent::foreign::Choice;
use pi_monitor::collect::processes;
use pi_monitor::collect::{self, Registration};
use pi_monitor::commands;
use pi_monitor::dialect::flags::Tongue;
use pi_monitor::format::Format;
use pi_monitor::history::Request;
use pi_monitor::kernel::Machine;
use pi_monitor::sys::FsStat;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The board whose files inputs stand in for.
const NAME: &str = "pi-3a-plus";

/// The collectors that run: the target's own, or all.
fn collectors() -> impl Iterator<Item = &'static Registration> {
    let one = collect::ALL.iter().any(|registration| registration.name == crate::target());
    collect::ALL.iter().copied().filter(move |registration| !one || registration.name == crate::target())
}

/// The files that an input may stand in for, with their text: those that the collectors and `/processes` need. The first two bytes of
/// an input say which.
fn files() -> Vec<(PathBuf, Vec<u8>)> {
    let board = board::Board::read(&board::file(NAME)).unwrap_or_else(|error| panic!("{error}"));
    let mut paths: Vec<_> =
        collectors().flat_map(|registration| registration.needs.paths.split_ascii_whitespace()).collect();
    if paths.is_empty() || collectors().count() > 1 {
        paths.extend(processes::NEEDS.paths.split_ascii_whitespace());
    }
    board.only(&paths).files().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// Writes each file's own text as an input.
pub fn seed(directory: &Path) {
    for (place, (_, text)) in files().iter().enumerate() {
        let input = [&(place as u16).to_le_bytes(), &text[..]].concat();
        std::fs::write(directory.join(format!("file-{place}")), input).expect("a seed");
    }
}

struct Board {
    files: Vec<(File, Vec<u8>)>,
    agent: Agent,
    runtime: tokio::runtime::Runtime,
}

thread_local! {
    static BOARD: RefCell<Option<Board>> = const { RefCell::new(None) };
}

impl Board {
    fn new() -> Self {
        let tree = Path::new("/dev/shm").join(format!("pi-monitor-fuzz-{}", std::process::id()));
        let unpacked = board::Board::read(&board::file(NAME)).and_then(|board| board.unpack(&tree));
        unpacked.unwrap_or_else(|error| panic!("{error}"));
        let root = |name: &str| format!("--path.{name}fs={}", tree.join(name).display());
        let mut flags = ["proc", "sys", "root"].map(root).to_vec();
        flags.push("--collector.disable-defaults".to_owned());
        flags.extend(collectors().map(|registration| format!("--collector.{}", registration.name)));
        flags.extend((collectors().count() > 1).then(|| "--collector.processes".to_owned()));
        let options = commands::parse(flags).expect("flags");
        let machine = Machine {
            // What may hang would be asked by a helper process; there is none of it in the corpus, and inputs make few.
            statfs: |_| {
                Ok(FsStat {
                    block_size: 1,
                    blocks: 9,
                    blocks_free: 5,
                    blocks_available: 4,
                    files: 3,
                    files_free: 2,
                    ..FsStat::default()
                })
            },
            since_boot: || Duration::from_secs(1000),
            unix_time: || Duration::from_secs(1_800_000_000),
            clock_state: || None,
            ..Machine::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let agent = {
            let _entered = runtime.enter();
            Agent::new(&options, machine)
        };
        let open = |(path, text): (PathBuf, Vec<u8>)| {
            let file = File::options().read(true).write(true).open(tree.join(path));
            (file.expect("a file of the board"), text)
        };
        Board { files: files().into_iter().map(open).collect(), agent, runtime }
    }

    fn write(&self, place: usize, text: Option<&[u8]>) {
        let (file, original) = &self.files[place];
        let text = text.unwrap_or(original);
        file.set_len(0).and_then(|()| file.write_all_at(text, 0)).expect("a file in memory");
    }
}

pub fn run(data: &[u8]) {
    let Some((place, text)) = data.split_first_chunk() else { return };
    BOARD.with_borrow_mut(|board| {
        let board = board.get_or_insert_with(Board::new);
        // The board has no conntrack, for one: nothing to change there.
        if board.files.is_empty() {
            return;
        }
        let place = usize::from(u16::from_le_bytes(*place)) % board.files.len();
        board.write(place, Some(text));
        let Board { agent, runtime, .. } = board;
        runtime.block_on(async {
            agent.tick();
            for format in [Format::Prometheus, Format::OpenMetrics] {
                check_metrics(&agent.page(format, false, Duration::ZERO).await);
            }
            let page = agent.page_in(Tongue::Both, &Choice::default(), false, Duration::from_secs(9)).await;
            check_metrics(&page.expect("a page in both dialects"));
            let page = agent.page(Format::Json, false, Duration::from_secs(9)).await;
            serde_json::from_slice::<serde_json::Value>(&page).expect("JSON");
            let page =
                agent.history(Request { range: 0, since: None, from: None, to: None, filesystems: false }, false);
            serde_json::from_slice::<serde_json::Value>(&page).expect("JSON of the past");
            for _ in 0..2 {
                if let Some(Ok(page)) = agent.processes(false) {
                    serde_json::from_slice::<serde_json::Value>(&page).expect("JSON of processes");
                }
            }
        });
        board.write(place, None);
    });
}
