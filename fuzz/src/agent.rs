//! The whole agent on a board whose files hold anything.

use crate::board;
use crate::page::check_metrics;
use pi_monitor::agent::Agent;
use pi_monitor::commands;
use pi_monitor::format::Format;
use pi_monitor::history::Request;
use pi_monitor::kernel::Machine;
use pi_monitor::sys::FsStat;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// The files that an input may stand in for; its first byte says which.
const FILES: [&str; 16] = [
    "proc/stat",
    "proc/meminfo",
    "proc/net/dev",
    "proc/loadavg",
    "proc/uptime",
    "proc/self/mountinfo",
    "proc/diskstats",
    "proc/vmstat",
    "proc/pressure/cpu",
    "proc/self/stat",
    "proc/self/limits",
    "sys/class/thermal/thermal_zone0/temp",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq",
    "sys/devices/platform/soc/soc:firmware/get_throttled",
    "proc/1/stat",
    "root/etc/passwd",
];

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
        let unpacked = board::Board::read(&board::file("pi-3a-plus")).and_then(|board| board.unpack(&tree));
        unpacked.unwrap_or_else(|error| panic!("{error}"));
        let root = |name: &str| format!("--path.{name}fs={}", tree.join(name).display());
        let options = commands::parse(["proc", "sys", "root"].map(root)).expect("flags");
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
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let agent = {
            let _entered = runtime.enter();
            Agent::new(&options, machine)
        };
        let open = |name: &&str| {
            let path = tree.join(name);
            let text = std::fs::read(&path).ok()?;
            Some((File::options().read(true).write(true).open(path).ok()?, text))
        };
        Board { files: FILES.iter().filter_map(open).collect(), agent, runtime }
    }

    fn write(&self, place: usize, text: Option<&[u8]>) {
        let (file, original) = &self.files[place];
        let text = text.unwrap_or(original);
        file.set_len(0).and_then(|()| file.write_all_at(text, 0)).expect("a file in memory");
    }
}

pub fn run(data: &[u8]) {
    let Some((&first, text)) = data.split_first() else { return };
    BOARD.with_borrow_mut(|board| {
        let board = board.get_or_insert_with(Board::new);
        let place = usize::from(first) % board.files.len();
        board.write(place, Some(text));
        let Board { agent, runtime, .. } = board;
        runtime.block_on(async {
            agent.tick();
            for format in [Format::Prometheus, Format::OpenMetrics] {
                check_metrics(&agent.page(format, false, Duration::ZERO).await);
            }
            let page = agent.page(Format::Json, false, Duration::from_secs(9)).await;
            serde_json::from_slice::<serde_json::Value>(&page).expect("JSON");
            let page = agent.history(Request { range: 0, since: None }, false);
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
