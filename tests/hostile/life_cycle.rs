//! What happens to a process that runs for years: nobody reads its log, signals come, time jumps.

use crate::agent::{Agent, BINARY, PATIENCE, request, value, wait_until};
use crate::board::Tree;
use crate::namespaces::{own_mounts, own_network};
use crate::needs::{has_program, needs};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ADDRESS: &str = "127.0.0.1:9100";

/// An agent whose log is not read by the test; killed when dropped.
struct Quiet(Child);

impl Quiet {
    fn start(stderr: Stdio, flags: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(flags).arg(format!("--web.listen-address={ADDRESS}"));
        let agent = Quiet(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap());
        agent.wait_until_it_listens();
        agent
    }

    fn wait_until_it_listens(&self) {
        wait_until("a listening agent", || TcpStream::connect(ADDRESS).is_ok());
    }

    fn end(&mut self, signal: libc::c_int) {
        // SAFETY: the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.0.id() as libc::pid_t, signal) };
        let mut status = None;
        wait_until("an end", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0));
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A board whose memory can be made good and bad, which gives log lines.
struct Board(Tree);

impl Board {
    fn new() -> Self {
        Board(Tree::new("pi-3a-plus"))
    }

    fn flag(&self) -> String {
        let [proc, ..] = self.0.flags();
        proc
    }

    /// Lets each of `times` scrapes find another fault than the one before. One that waited for the log would never end.
    fn change(&self, times: usize) {
        for count in 0..times {
            std::fs::write(
                self.0.path().join("proc/meminfo"),
                format!("MemTotal: {} lots {count}\n", "very ".repeat(count % 7)),
            )
            .unwrap();
            assert_eq!(request(ADDRESS, "GET", "/metrics", &[]).status, 200);
            std::thread::sleep(Duration::from_millis(101));
        }
    }
}

fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors, and they are nobody else's.
    let [read, write] = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        ends.map(|end| File::from(OwnedFd::from_raw_fd(end)))
    };
    (read, write)
}

#[test]
fn the_logs_disk_is_full() {
    if !own_network() {
        return;
    }
    let board = Board::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut agent = Quiet::start(full.into(), &[&board.flag()]);
    board.change(6);
    agent.end(libc::SIGTERM);
}

#[test]
fn nobody_is_at_the_logs_other_end() {
    if !own_network() {
        return;
    }
    let board = Board::new();
    let (read, write) = pipe();
    drop(read);
    let mut agent = Quiet::start(write.into(), &[&board.flag()]);
    board.change(6);
    agent.end(libc::SIGTERM);
}

#[test]
fn nobody_reads_the_log() {
    if !own_network() {
        return;
    }
    let board = Board::new();
    for socket in [false, true] {
        let (_keep, write): (OwnedFd, OwnedFd) = if socket {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            (ours.into(), theirs.into())
        } else {
            let (read, write) = pipe();
            (read.into(), write.into())
        };
        // Full before the agent writes its first line.
        let mut filler = File::from(write.try_clone().unwrap());
        // SAFETY: these only change and read a mark of an open descriptor.
        unsafe { libc::fcntl(filler.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        while filler.write(&[b'x'; 1024]).is_ok() {}
        while filler.write(b"x").is_ok() {}
        // SAFETY: as above.
        unsafe { libc::fcntl(filler.as_raw_fd(), libc::F_SETFL, 0) };
        drop(filler);
        let mut agent = Quiet::start(write.into(), &[&board.flag(), "--log.level=debug"]);
        board.change(6);
        agent.end(libc::SIGTERM);
    }
}

#[test]
fn the_log_is_not_flooded() {
    if !own_network() {
        return;
    }
    let board = Board::new();
    let (mut read, write) = pipe();
    let begin = Instant::now();
    let mut agent = Quiet::start(write.into(), &[&board.flag()]);
    board.change(40);
    agent.end(libc::SIGTERM);
    // Five in ten seconds, however long this takes.
    let most = 5 * (1 + begin.elapsed().as_secs() as usize / 10);
    let mut log = String::new();
    read.read_to_string(&mut log).unwrap();
    assert!((3..=most).contains(&log.lines().count()), "{log}");
}

#[test]
fn signals_end_process_1_of_a_container() {
    if !own_network() || !needs("unshare", has_program("unshare")) {
        return;
    }
    for signal in ["TERM", "INT"] {
        // The agent is process 1 of a process namespace, where the kernel ignores signals that nobody has asked for.
        let mut outside = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", "--kill-child", BINARY])
            .arg(format!("--web.listen-address={ADDRESS}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("a listening agent", || TcpStream::connect(ADDRESS).is_ok());
        let mut client = TcpStream::connect(ADDRESS).unwrap();
        client.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let parent = outside.id();
        let inside = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        assert!(Command::new("kill").args([&format!("-{signal}"), inside.trim()]).status().unwrap().success());
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = outside.try_wait().unwrap() {
                break status.code();
            }
            if begin.elapsed() > PATIENCE {
                let _ = Command::new("kill").args(["-KILL", inside.trim()]).status();
                let _ = outside.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status, Some(0), "{signal}");
    }
}

#[test]
fn other_signals_are_harmless() {
    if !own_network() {
        return;
    }
    let mut agent = Quiet::start(Stdio::null(), &[]);
    for signal in
        [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGPIPE, libc::SIGCHLD, libc::SIGCONT, libc::SIGWINCH]
    {
        for _ in 0..20 {
            // SAFETY: the child has not been waited for.
            unsafe { libc::kill(agent.0.id() as libc::pid_t, signal) };
        }
        assert_eq!(request(ADDRESS, "GET", "/metrics", &[]).status, 200, "{signal}");
    }
    agent.end(libc::SIGINT);
}

/// Suspended for seconds, as a process sees it: no tick is made up, and shares of CPU time still are 100 %.
#[test]
fn stopped_and_continued() {
    if !own_network() {
        return;
    }
    let agent =
        Agent::spawn(Command::new(BINARY).args(["--web.listen-address=127.0.0.1:9100", "--sample.interval=200ms"]));
    agent.signal("STOP");
    std::thread::sleep(Duration::from_secs(4));
    agent.signal("CONT");
    for _ in 0..5 {
        let page = agent.metrics();
        let modes = page.lines().filter(|line| line.starts_with("pi_cpu_usage_percent{cpu=\"total\""));
        let sum: f64 = modes.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum();
        assert!((sum - 100.0).abs() < 0.001, "{sum}");
        std::thread::sleep(Duration::from_millis(150));
    }
    let history: serde_json::Value = serde_json::from_slice(&agent.get("/history").body).unwrap();
    assert!(history.is_object());
    assert_eq!(agent.get("/health").status, 200);
}

/// A machine that has been up for years: time since boot is far beyond 32 bits of milliseconds.
#[test]
fn up_for_years() {
    let possible =
        Command::new("unshare").args(["--time", "--boottime", "9", "--fork", "true"]).stderr(Stdio::null()).status();
    if !own_mounts() || !own_network() || !needs("time namespaces", possible.is_ok_and(|it| it.success())) {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--time", "--boottime", "300000000", "--monotonic", "300000000", "--fork", "--kill-child", BINARY]);
    let agent = Agent::spawn(command.args(["--web.listen-address=127.0.0.1:9100", "--sample.interval=200ms"]));
    std::thread::sleep(Duration::from_millis(700));
    let uptime = value(&agent.metrics(), "pi_uptime_seconds").unwrap();
    assert!(uptime > 3e8, "{uptime}");
    let history: serde_json::Value = serde_json::from_slice(&agent.get("/history").body).unwrap();
    assert!(history.is_object());
    assert_eq!(agent.get("/json").status, 200);
}

/// Somebody sets the clock, back and forth by years, while the agent runs.
#[test]
fn the_clock_is_set() {
    use pi_monitor::agent::Agent;
    use pi_monitor::format::Format;
    use pi_monitor::kernel::Machine;
    use std::sync::atomic::{AtomicU64, Ordering};
    static CLOCK: AtomicU64 = AtomicU64::new(0);
    static BOOT: AtomicU64 = AtomicU64::new(1000);
    let options = pi_monitor::commands::parse(std::iter::empty()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let machine = Machine {
            unix_time: || Duration::from_secs(CLOCK.load(Ordering::Relaxed)),
            since_boot: || Duration::from_secs(BOOT.load(Ordering::Relaxed)),
            ..Machine::default()
        };
        let mut agent = Agent::new(&options, machine);
        for clock in [1_800_000_000, 0, 5_000_000_000, 1_800_000_000, 1, u64::MAX / 4_000_000_000] {
            CLOCK.store(clock, Ordering::Relaxed);
            // Asleep for a week in between.
            BOOT.fetch_add(604_800, Ordering::Relaxed);
            agent.tick();
            let page = agent.page(Format::Json, false, Duration::ZERO).await;
            serde_json::from_slice::<serde_json::Value>(&page).unwrap();
            for range in 0..pi_monitor::history::RANGES.len() {
                let page = agent.history(
                    pi_monitor::history::Request { range, since: None, from: None, to: None, filesystems: false },
                    false,
                );
                serde_json::from_slice::<serde_json::Value>(&page).unwrap();
            }
        }
    });
}
