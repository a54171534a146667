//! The boards of `tests/boards` as machines that an agent can run on.

use pi_monitor::agent::Agent;
use pi_monitor::cli::Options;
use pi_monitor::commands::{self, print::HIGHLIGHTS};
use pi_monitor::format::{Format, console};
use pi_monitor::kernel::text::{uint, unescape_octal};
use pi_monitor::kernel::{self, Machine};
use pi_monitor::model::Receiver;
use pi_monitor::sys::{ClockState, FsStat};
use std::cell::Cell;
use std::ffi::CStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

#[path = "../boards/board.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod board;
pub use board::{Board, Tree, all, file};

/// An agent on a board's tree, with clocks that stand still and the tree's own file sizes. Call it within a runtime.
pub fn agent(tree: &Tree, flags: &[&str]) -> Agent {
    start(Agent::new, tree, flags)
}

/// The same with a clock that the test moves: [`CLOCK`].
pub fn agent_with_clock(tree: &Tree, flags: &[&str]) -> Agent {
    CLOCK.set(100_000);
    start(Agent::new, tree, flags)
}

thread_local! {
    /// Seconds since boot.
    pub static CLOCK: Cell<u64> = const { Cell::new(1000) };
}

fn start(new: fn(&Options, Machine) -> Agent, tree: &Tree, flags: &[&str]) -> Agent {
    start_on(new, Machine::default(), tree, flags)
}

/// The same on a machine with these devices.
fn start_on(new: fn(&Options, Machine) -> Agent, devices: Machine, tree: &Tree, flags: &[&str]) -> Agent {
    let words = tree.flags().into_iter().chain(flags.iter().map(|flag| (*flag).to_owned()));
    let options = commands::parse(words).unwrap();
    let since_boot = || Duration::from_secs(CLOCK.get());
    // Filesystems that may hang are asked in a helper.
    let answer = |path: &CStr| kernel::encode(statfs(path));
    let unix_time = || Duration::from_secs(1_799_999_000 + CLOCK.get());
    let clock_state = || {
        Some(ClockState {
            synchronized: true,
            offset: -12_345,
            estimated_error: 1_500,
            error_max: 20_500,
            raw: [0; 16],
        })
    };
    new(&options, Machine { statfs, answer, since_boot, unix_time, clock_state, ..devices })
}

/// What the tree's `statfs.txt` says about a path below the tree's root; a path that it lacks does not exist.
///
/// Columns, separated by tabs: mount point, bsize, frsize, blocks, bfree, bavail, files, ffree.
fn statfs(path: &CStr) -> io::Result<FsStat> {
    let path = path.to_bytes();
    let at = path.windows(6).rposition(|part| part == b"/root/").ok_or(io::ErrorKind::NotFound)?;
    let (tree, mountpoint) = (std::ffi::OsStr::from_bytes(&path[..at]), &path[at + 5..]);
    let table = std::fs::read(Path::new(tree).join("root/statfs.txt"))?;
    let line = table.split(|&byte| byte == b'\n').find(|line| {
        let mut name = Vec::new();
        unescape_octal(line.split(|&byte| byte == b'\t').next().unwrap_or_default(), &mut name);
        name == mountpoint
    });
    let line = line.ok_or(io::ErrorKind::NotFound)?;
    let numbers: Vec<u64> = line.split(|&byte| byte == b'\t').skip(1).map(|word| uint(word).unwrap()).collect();
    let [_bsize, block_size, blocks, blocks_free, blocks_available, files, files_free] = numbers[..] else {
        panic!("{}: {}", Path::new(tree).display(), line.escape_ascii());
    };
    Ok(FsStat { block_size, blocks, blocks_free, blocks_available, files, files_free, no_writes: false })
}

/// What an agent on a board says.
pub struct Output {
    pub board: String,
    pub metrics: String,
    pub openmetrics: String,
    pub json: String,
    pub table: String,
}

/// The outputs of all boards, of one collection each. They are made once for all tests, since unpacking takes most of the time.
pub fn outputs() -> &'static [Output] {
    static OUTPUTS: OnceLock<Vec<Output>> = OnceLock::new();
    OUTPUTS.get_or_init(|| all().into_iter().map(output).collect())
}

fn output(board: String) -> Output {
    let tree = Tree::new(&board);
    run(async {
        let mut agent = agent(&tree, &[]);
        let metrics = page(&mut agent, Format::Prometheus).await;
        let openmetrics = page(&mut agent, Format::OpenMetrics).await;
        let json = page(&mut agent, Format::Json).await;
        let mut agent = start(Agent::once, &tree, &[]);
        let mut text = Vec::new();
        console::write(agent.snapshot(Duration::ZERO).await, &HIGHLIGHTS, &mut text);
        let build = format!("  {}  {}", pi_monitor::VERSION, std::env::consts::ARCH);
        let table = String::from_utf8(text).unwrap().replace(&build, "  BUILD");
        Output { board, metrics, openmetrics, json, table }
    })
}

/// What an agent says of a board after five days in which files were added to every filesystem. It is made once for all tests.
pub fn filling() -> &'static str {
    static FILLING: OnceLock<String> = OnceLock::new();
    FILLING.get_or_init(|| {
        let tree = Tree::new("pi-5");
        let root = tree.flags().iter().find_map(|flag| flag.strip_prefix("--path.rootfs=").map(str::to_owned)).unwrap();
        let file = Path::new(&root).join("statfs.txt");
        let healthy = std::fs::read_to_string(&file).unwrap();
        run(async {
            let mut agent = agent_with_clock(&tree, &[]);
            for hour in 0..5 * 24 {
                let line = |line: &str| {
                    let mut words: Vec<_> = line.split('\t').map(str::to_owned).collect();
                    let Some(blocks) = words.get(3).and_then(|word| word.parse::<u64>().ok()) else {
                        return format!("{line}\n");
                    };
                    for free in [4, 5] {
                        let before: u64 = words[free].parse().unwrap();
                        words[free] = before.saturating_sub(blocks * hour / 24 / 12).to_string();
                    }
                    words.join("\t") + "\n"
                };
                std::fs::write(&file, healthy.lines().map(line).collect::<String>()).unwrap();
                CLOCK.set(CLOCK.get() + 3600);
                agent.tick();
            }
            let text = page(&mut agent, Format::Prometheus).await;
            CLOCK.set(1000);
            text
        })
    })
}

/// What an agent says of a board whose firmware and radio answer. It is made once for all tests.
pub fn played() -> &'static str {
    static PLAYED: OnceLock<String> = OnceLock::new();
    PLAYED.get_or_init(|| {
        let tree = Tree::new("pi-5");
        let devices =
            Machine { firmware: |_| Some(Box::new(firmware)), radios: |_| Ok(Box::new(radio)), ..Machine::default() };
        run(async {
            let mut agent = start_on(Agent::new, devices, &tree, &[]);
            let begin = Instant::now();
            loop {
                let text = page(&mut agent, Format::Prometheus).await;
                // Threads ask both.
                if ["pi_clock_hertz{", "pi_wifi_signal_dbm{"].iter().all(|family| text.contains(family)) {
                    return text;
                }
                assert!(begin.elapsed() < Duration::from_secs(60), "{text}");
                std::thread::sleep(Duration::from_millis(10));
            }
        })
    })
}

/// What an agent says that is to read a directory with a file, and to tell somebody of what happens.
pub fn with_files() -> String {
    let tree = Tree::new("vm");
    let directory = std::env::temp_dir().join(format!("pi-monitor-files-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("backup.prom"), "backup_age_seconds 3\n").unwrap();
    let flag = format!("--collector.textfile.directory={}", directory.display());
    let mut agent = agent(&tree, &[&flag]);
    let receiver =
        |name: &str, is_push| Receiver { name: name.to_owned(), is_push, counts: [2, 1, 0], waiting: 3, last: 4 };
    agent.receivers = vec![receiver("ntfy http://pi", false), receiver("mqtt mqtt://pi", true)];
    let text = run(async { page(&mut agent, Format::Prometheus).await });
    std::fs::remove_dir_all(&directory).unwrap();
    text
}

/// The firmware of a Pi 5. Constructed: what it answers to `vcgencmd` is as people have published it, and the rest follows the
/// mailbox's documentation.
fn firmware(message: &mut [u32]) -> io::Result<()> {
    const DONE: u32 = 1 << 31;
    message[1] = DONE;
    if message[2] == 0x0003_0080 {
        let asked: Vec<u8> = message[6..10].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let text: &[u8] = if asked.starts_with(b"get_throttled") {
            b"throttled=0x0\n"
        } else {
            b"VDD_CORE_A current(7)=1.69670000A\nVDD_CORE_V volt(15)=0.72124470V\nEXT5V_V volt(24)=5.10252000V\n"
        };
        message[4] = DONE | 1024;
        message[6..].fill(0);
        for (word, letters) in message[6..].iter_mut().zip(text.chunks(4)) {
            let mut bytes = [0; 4];
            bytes[..letters.len()].copy_from_slice(letters);
            *word = u32::from_ne_bytes(bytes);
        }
        return Ok(());
    }
    let number = match (message[2], message[5]) {
        (0x0003_0047, 3) => 2_400_017_664,
        (0x0003_0003, 1) => 720_000,
        (0x0003_0006, 0) => 52_150,
        (1, _) => {
            (message[4], message[5]) = (DONE | 4, 1_757_000_000);
            return Ok(());
        }
        _ => return Ok(()),
    };
    (message[4], message[6]) = (DONE | 8, number);
    Ok(())
}

/// A radio that is connected, and measures and counts all that nl80211 has a word for. Constructed after `include/uapi/linux/nl80211.h`.
fn radio(_flags: u16, question: &[u8], each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
        let mut all = (value.len() as u16 + 4).to_ne_bytes().to_vec();
        all.extend(number.to_ne_bytes());
        all.extend(value);
        all.resize(all.len().next_multiple_of(4), 0);
        all
    }
    let word = |number: u16, value: u32| attribute(number, &value.to_ne_bytes());
    let dbm = |number: u16, value: i8| attribute(number, &value.to_ne_bytes());
    let point = [0x8c, 0x3b, 0xad, 0, 1, 0xff];
    each(&match question[0] {
        5 => [word(3, 3), attribute(4, b"wlan0\0"), word(5, 2), word(38, 5180)].concat(),
        17 => {
            let rates = [attribute(8, &word(5, 4333)), attribute(14, &word(5, 3900))].concat();
            attribute(21, &[dbm(7, -51), rates, word(11, 1234), word(12, 5), word(18, 1)].concat())
        }
        32 => attribute(47, &[attribute(1, &point), word(9, 1)].concat()),
        50 => attribute(84, &[dbm(2, -94), attribute(3, &[])].concat()),
        62 => word(93, 1),
        other => panic!("question {other}"),
    });
    Ok(())
}

/// Runs a future to its end.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A page of a fresh collection as text, with what depends on the build written as `BUILD`.
pub async fn page(agent: &mut Agent, format: Format) -> String {
    let page = agent.page(format, false, Duration::ZERO).await;
    let text = String::from_utf8(page.to_vec()).unwrap();
    let version = pi_monitor::VERSION;
    let target = std::env::consts::ARCH;
    text.replace(&format!("version=\"{version}\",target=\"{target}\""), "version=\"BUILD\",target=\"BUILD\"").replace(
        &format!("\"version\":\"{version}\",\"target\":\"{target}\""),
        "\"version\":\"BUILD\",\"target\":\"BUILD\"",
    )
}

/// Compares with a golden file, or writes it when BLESS is set.
pub fn compare(path: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    if golden == text {
        return;
    }
    let line = golden.lines().zip(text.lines()).take_while(|(old, new)| old == new).count();
    panic!(
        "{} differs from line {} on:\n- {}\n+ {}\nIf that is meant: BLESS=1 cargo test --test laws, and look at the change.",
        path.display(),
        line + 1,
        golden.lines().nth(line).unwrap_or("(end)"),
        text.lines().nth(line).unwrap_or("(end)"),
    );
}
