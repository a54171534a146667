//! Starts the built binary and talks to it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub const BINARY: &str = env!("CARGO_BIN_EXE_pi-monitor");

/// The most memory that an agent may have had resident when it ends, whatever was done to it.
const MOST_MEMORY: u64 = 16_000_000;

/// How long a test waits for what must come. Long, since the machine may be busy: only a test that fails waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `holds` returns true; panics with `what` if it does not within [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An address of this machine for a program that cannot choose its port itself, or that starts later. `host` is a loopback address that
/// one test has for itself: on 127.0.0.1 whatever is started meanwhile may get the port.
pub fn free_address(host: &str) -> String {
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().to_string()
}

/// Compares two readings of something that changes, again and again, and returns what differed each time.
///
/// A value may leap between two readings, or a filesystem come or go. What is wrong is wrong in all of them.
pub fn wrong_each_time(mut compare: impl FnMut() -> BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut wrong = compare();
    for _ in 0..20 {
        if wrong.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
        let again = compare();
        wrong.retain(|what, _| again.contains_key(what));
    }
    wrong
}

/// A running agent; killed when dropped, after a look at how much memory it had at its worst.
pub struct Agent {
    pub child: Child,
    pub address: String,
    /// What it said before it listened.
    #[allow(dead_code, reason = "not every test program asks for it")]
    pub early_lines: Vec<String>,
    log: Receiver<String>,
}

impl Agent {
    /// Starts an agent on a free port and waits until it says that it listens.
    pub fn start(flags: &[&str]) -> Self {
        Agent::spawn(Command::new(BINARY).arg("--web.listen-address=127.0.0.1:0").args(flags))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut agent = Agent { child, address: String::new(), early_lines: Vec::new(), log };
        let (line, early_lines) = agent.lines_until("listening on http");
        agent.early_lines = early_lines;
        line.split("://").nth(1).unwrap().trim_end_matches('/').clone_into(&mut agent.address);
        agent
    }

    /// The next log line that holds `part`, within [`PATIENCE`].
    #[track_caller]
    pub fn log_line(&self, part: &str) -> String {
        self.lines_until(part).0
    }

    /// The same, with the lines before it.
    #[track_caller]
    fn lines_until(&self, part: &str) -> (String, Vec<String>) {
        let mut seen = Vec::new();
        let end = Instant::now() + PATIENCE;
        while let Ok(line) = self.log.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if line.contains(part) {
                return (line, seen);
            }
            seen.push(line);
        }
        panic!("no log line with {part:?}, but {seen:?}");
    }

    /// All log lines so far that were not yet taken.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[])
    }

    pub fn request(&self, method: &str, path: &str, headers: &[&str]) -> Response {
        request(&self.address, method, path, headers)
    }

    pub fn metrics(&self) -> String {
        let response = self.get("/metrics");
        assert_eq!(response.status, 200);
        response.text()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.get("/json").body).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// The most memory that was ever resident, in bytes; `None` if the agent has ended.
    pub fn peak_memory(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    /// A size that `/proc/PID/status` has, in bytes; `None` if the agent has ended.
    pub fn memory(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024)
    }

    /// Waits for the end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let peak = self.peak_memory();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(peak) = peak {
            println!("peak memory {} kB", peak / 1000);
            assert!(std::thread::panicking() || peak < MOST_MEMORY, "{peak} bytes of memory");
        }
    }
}

pub struct Response {
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// One request on a connection of its own.
pub fn request(address: &str, method: &str, path: &str, headers: &[&str]) -> Response {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    raw(address, text.as_bytes())
}

/// Sends bytes and reads the answer to its end.
pub fn raw(address: &str, bytes: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or_else(|| {
        panic!("no HTTP answer: {:?}", answer.escape_ascii().to_string());
    });
    let headers = String::from_utf8(answer[..head].to_vec()).unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, headers, body: answer[head + 4..].to_vec() }
}

/// The value of a series in Prometheus text.
pub fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}
