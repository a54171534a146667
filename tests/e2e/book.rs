//! Commands in the pages of `docs/` print what the page shows.
//!
//! A comment before a block of the language `console` says that it is run, and how:
//!
//! - `<!-- runs: FLAGS -->`, or `<!-- runs -->` without flags: beside an agent;
//! - `<!-- runs without an agent -->`;
//! - `<!-- runs on BOARD -->`: in the folder of a board of `tests/boards`, which is what the agent sees.
//!
//! `<!-- before: COMMANDS -->` above it prepares the machine. Each block has a network and mounts of its own, in which the agent
//! has port 9100, and the names `pi.local`, `kitchen.local` and `ntfy.local` are this machine's; the last one takes messages. An
//! agent that a block starts itself runs until the block ends, or until `^C`. Numbers may differ from those in the page, and `…`
//! stands for any text. Every other block of that language is in [`NOT_RUN`], with the reason.

use crate::agent::BINARY;
use crate::board::Board;
use crate::needs::write_program;
use crate::{has_program, needs};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Blocks that are not run: the page, the beginning of the first command, and why.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("do/behind-a-proxy.md", "pi-monitor health http://localhost:8080/pi", "needs nginx"),
    ("do/behind-nat.md", "promtool query instant", "needs a Prometheus: tests/outbound has one"),
    ("do/home-assistant.md", "mosquitto_sub", "needs a broker: tests/outbound has one"),
    ("do/home-assistant.md", "journalctl", "needs a broker and systemd"),
    ("do/many-pis.md", "scripts/monitoring-setup.sh", "installs Prometheus and Grafana: tests/monitoring does"),
    ("do/node-exporter.md", "pi-monitor", "needs node_exporter, which has a test of its own"),
    ("do/node-exporter.md", "curl -s http://localhost:9100/metrics | grep ^node_memory", "the same"),
    ("do/slow-last-night.md", "ssh pi.local", "what happened on a machine that was slow"),
    ("fix/README.md", "sudo ss", "the columns of ss differ from version to version"),
    ("fix/README.md", "/usr/lib/pi-monitor/pi-monitor-service", "needs the package: packaging/test.sh installs it"),
    ("fix/README.md", "curl -sS https://pi.local", "each TLS library of curl says it in other words"),
    ("fix/README.md", "ls /proc/pressure", "depends on the kernel that runs the test"),
    ("fix/README.md", "journalctl", "needs systemd; do/read-only-root.md runs the same"),
    ("fix/README.md", "tr ", "needs the service"),
    ("query/rules.md", "promtool check rules", "tests/monitoring runs it, a law compares the numbers"),
    (
        "reference/http.md",
        "curl -sI http://127.0.0.1:19173/",
        "the tag is that of the page; http.rs asks with the real one",
    ),
    (
        "reference/http.md",
        "curl -s 'http://127.0.0.1:19173/history?range",
        "how many points there are depends on the time",
    ),
    ("reference/http.md", "curl -s 'http://127.0.0.1:19173/history?of", "the filesystems of one machine"),
    ("reference/http.md", "curl -s http://127.0.0.1:19173/processes", "the processes of one machine"),
    ("rooms/history.md", "xxd", "the bytes of one run"),
    ("rooms/kernel.md", "head -4 broken", "a file is repaired while the agent runs; faults.rs does that"),
    ("rooms/runtime.md", "pi-monitor --web", "the layers depend on the kernel"),
    ("rooms/sys.md", "pgrep", "the numbers of processes of one run"),
    ("start/first-five-minutes.md", "pi-monitor events", "what happened on one machine"),
    ("start/from-source.md", "scripts/run.sh", "scripts/test-bare.sh runs it"),
    ("start/in-a-container.md", "podman exec", "packaging/test.sh builds the container"),
];

/// Where the block runs.
enum Where {
    /// Beside an agent with these flags, if any.
    Beside(Option<String>),
    /// On what a board shows.
    On(String),
}

/// A block of a page that is run.
struct Block {
    /// Page and line, for messages.
    place: String,
    /// What is done before.
    before: String,
    place_to_run: Where,
    /// Commands, each with the lines that it prints.
    commands: Vec<(String, Vec<String>)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, all);
        } else if path.extension().is_some_and(|end| end == "md") {
            all.push(path);
        }
    }
    all.sort();
}

/// Returns the blocks that are run, and page, line and first command of the others.
fn blocks() -> (Vec<Block>, Vec<(String, usize, String)>) {
    let (mut all, mut others, mut files) = (Vec::new(), Vec::new(), Vec::new());
    pages(&root().join("docs"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let page = file.strip_prefix(root().join("docs")).unwrap().display().to_string();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if line.trim_start() != "```console" {
                continue;
            }
            let mark = |back: usize| at.checked_sub(back).map_or("", |at| lines[at]);
            let inner =
                |line: &str, begin: &str| Some(line.strip_prefix(begin)?.strip_suffix(" -->")?.trim().to_owned());
            let Some(how) = inner(mark(1), "<!-- runs") else {
                others.push((page.clone(), at + 1, lines[at + 1].trim_start().trim_start_matches("$ ").to_owned()));
                continue;
            };
            let place = format!("docs/{page}:{at}");
            let place_to_run = match how.as_str() {
                "without an agent" => Where::Beside(None),
                "" => Where::Beside(Some(String::new())),
                how => match how.strip_prefix("on ") {
                    Some(board) => Where::On(board.to_owned()),
                    None => {
                        Where::Beside(Some(how.strip_prefix(": ").unwrap_or_else(|| panic!("{place}: {how}")).into()))
                    }
                },
            };
            let before = inner(mark(2), "<!-- before: ").unwrap_or_default();
            let mut commands: Vec<(String, Vec<String>)> = Vec::new();
            for line in lines[at + 1..].iter().take_while(|line| **line != "```") {
                match (line.strip_prefix("$ "), commands.last_mut()) {
                    (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
                    (None, Some((_, output))) => output.push((*line).to_owned()),
                    (None, None) => panic!("{place}: expected a command first"),
                }
            }
            all.push(Block { place, before, place_to_run, commands });
        }
    }
    (all, others)
}

/// Replaces every number by `N`, and what depends on the machine or the day.
fn masked(line: &str) -> String {
    if line.starts_with("date: ") {
        return "date: N".to_owned();
    }
    let mut out = String::new();
    let mut line = line.trim_end().to_owned();
    for machine in ["aarch64", "x86_64", "riscv64", "armv7l", "armv6l"] {
        line = line.replace(machine, "MACHINE");
    }
    for letter in line.chars() {
        let digit = letter.is_ascii_digit() || letter == '.' && out.ends_with('N');
        if !digit {
            out.push(letter);
        } else if !out.ends_with('N') {
            out.push('N');
        }
    }
    out
}

/// Whether `printed` is what is shown, where `…` stands for any text, and for any lines if it is alone.
fn is_shown(shown: &[String], printed: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else { return printed.is_empty() };
    if first == "…" {
        return (0..=printed.len()).any(|skip| is_shown(rest, &printed[skip..]));
    }
    let is_line = |line: &str| {
        let mut parts = first.split('…');
        let Some(mut left) = line.strip_prefix(parts.next().unwrap()) else { return false };
        let mut parts = parts.peekable();
        while let Some(part) = parts.next() {
            match if parts.peek().is_none() {
                left.strip_suffix(part).map(|_| "")
            } else {
                left.split_once(part).map(|it| it.1)
            } {
                Some(behind) => left = behind,
                None => return false,
            }
        }
        left.is_empty()
    };
    printed.split_first().is_some_and(|(line, printed)| is_line(line) && is_shown(rest, printed))
}

/// Whether a command starts an agent that stays.
fn serves(command: &str) -> bool {
    let mut words = command.split(' ');
    words.next() == Some("pi-monitor")
        && words.all(|word| word.starts_with("--") && !["--check", "--version", "--help"].contains(&word))
}

/// Starts an agent, and waits until it listens or has ended.
const START: &str = "start() {
    log=log.$((n = n + 1)); : >$log; \"$@\" >$log 2>&1 & agent=$!; agents=\"$agents $agent\"; tries=0
    until grep -q 'listening on' $log; do
        kill -0 $agent 2>/dev/null || break
        tries=$((tries + 1)); if [ $tries = 600 ]; then break; fi
        sleep 0.1
    done
}
";

/// Takes messages at an address, which [`takes_messages`] does.
const RECEIVE: &str = "receive() {
    PI_MONITOR_BOOK_RECEIVER=$1 start \"$RECEIVER\" --exact book::takes_messages --nocapture
}
";

#[test]
fn takes_messages() {
    // A part of the other test, which calls this one in the network of its block.
    let Ok(address) = std::env::var("PI_MONITOR_BOOK_RECEIVER") else { return };
    let listener = TcpListener::bind(address).unwrap();
    println!("listening on it");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        // The end of a small message is in the same packets as its head.
        let _ = stream.read(&mut [0; 65536]).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
    }
}

/// Runs the block in `folder` and returns what each command printed.
fn run(block: &Block, folder: &Path) -> Vec<Vec<String>> {
    let mut script = format!(
        "ip link set lo up\nmount --make-rprivate /\nmount --bind hosts /etc/hosts\nPATH=$PWD/bin:$PATH\n{START}{RECEIVE}"
    );
    let _ = writeln!(
        script,
        "{{ {}\n}} >/dev/null 2>before || cat before",
        if block.before.is_empty() { ":" } else { &block.before }
    );
    match &block.place_to_run {
        Where::Beside(None) => {}
        Where::Beside(Some(flags)) => {
            let _ = writeln!(script, "start pi-monitor {flags}\ngrep -q 'listening on' $log || cat $log");
        }
        Where::On(_) => script.push_str("cd board\nPATH=$PWD/../on-board:$PATH\n"),
    }
    for (command, shown) in &block.commands {
        // The status is that of the command before, as in a terminal.
        let _ = writeln!(script, "status=$?; echo '=== next ==='");
        if serves(command) {
            let _ = writeln!(script, "start {command}\nkill -0 $agent 2>/dev/null || wait $agent\nstatus=$?; cat $log");
            if let Some((_, after)) = shown.iter().position(|line| line == "^C").map(|at| shown.split_at(at)) {
                let lines = after.len() - 1;
                let _ = writeln!(script, "echo ^C; kill -INT $agent; wait $agent; tail -n {lines} $log");
            }
            script.push_str("(exit $status)\n");
        } else {
            let _ = writeln!(script, "(exit $status); {{ {command}\n}} 2>&1");
        }
    }
    script.push_str("echo '=== next ==='\nkill $agents 2>/dev/null\nwait\n");
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", &script])
        .env("RECEIVER", std::env::current_exe().unwrap())
        .current_dir(folder)
        .output();
    let output = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
    let parts = output.split("=== next ===\n").skip(1);
    parts.map(|part| part.lines().map(masked).collect()).collect()
}

#[test]
fn commands_in_the_documents_print_what_is_shown() {
    let may = Command::new("unshare").args(["--net", "--mount", "true"]).status().is_ok_and(|it| it.success());
    if !needs("the right to make a network namespace (root)", may) || !needs("ip", has_program("ip")) {
        return;
    }
    if !needs("curl", has_program("curl")) || !needs("/etc/hosts", Path::new("/etc/hosts").exists()) {
        return;
    }
    let folder = std::env::temp_dir().join(format!("pi-monitor-book-{}", std::process::id()));
    for part in ["bin", "on-board"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    symlink(BINARY, folder.join("bin/pi-monitor")).unwrap();
    let on_board = "#!/bin/sh\nexec ../bin/pi-monitor \"$@\" --path.procfs=proc --path.sysfs=sys --path.rootfs=root\n";
    write_program(&folder.join("on-board/pi-monitor"), on_board);
    write_program(&folder.join("bin/sudo"), "#!/bin/sh\nexec \"$@\"\n");
    std::fs::write(folder.join("hosts"), "127.0.0.1 localhost pi.local kitchen.local\n127.0.0.2 ntfy.local\n").unwrap();
    for (name, text) in [("tokens", "basic pi:a long password\n"), ("short", "bearer short\n")] {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    unpack("pi-zero-2", &folder.join("pi-zero-2"));
    let (blocks, _) = blocks();
    let mut wrong = String::new();
    for block in &blocks {
        if let Where::On(board) = &block.place_to_run {
            let _ = std::fs::remove_dir_all(folder.join("board"));
            unpack(board, &folder.join("board"));
        }
        let printed = run(block, &folder);
        for (number, (command, shown)) in block.commands.iter().enumerate() {
            let shown: Vec<_> = shown.iter().map(|line| masked(line)).collect();
            let found = printed.get(number).cloned().unwrap_or_default();
            if !is_shown(&shown, &found) {
                let _ = writeln!(
                    wrong,
                    "{}: $ {command}\n--- shown\n{}\n--- printed (numbers are N)\n{}\n",
                    block.place,
                    shown.join("\n"),
                    found.join("\n")
                );
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(blocks.len() > 40, "only {} blocks are run", blocks.len());
}

fn unpack(board: &str, folder: &Path) {
    Board::read(&root().join(format!("tests/boards/{board}.board"))).unwrap().unpack(folder).unwrap();
}

#[test]
fn every_block_is_run_or_says_why_not() {
    let (run, others) = blocks();
    let mut wrong = String::new();
    let is = |entry: &(&str, &str, &str), page: &str, command: &str| entry.0 == page && command.starts_with(entry.1);
    for (page, line, command) in &others {
        if !NOT_RUN.iter().any(|entry| is(entry, page, command)) {
            let _ = writeln!(
                wrong,
                "docs/{page}:{line}: say how it is run in a comment before it, or why it is not in NOT_RUN: {command}"
            );
        }
    }
    for entry in NOT_RUN.iter().filter(|entry| !others.iter().any(|(page, _, command)| is(entry, page, command))) {
        let _ = writeln!(wrong, "NOT_RUN: docs/{} has no such block: {}", entry.0, entry.1);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(run.len() > others.len(), "{} blocks are run, {} are not", run.len(), others.len());
}

/// Commands without output are at least commands.
#[test]
fn shell_in_the_documents_can_be_parsed() {
    let mut files: Vec<_> = ["README.md", "CONTRIBUTING.md", "monitoring/README.md"].map(|it| root().join(it)).to_vec();
    pages(&root().join("docs"), &mut files);
    let (mut wrong, mut seen) = (String::new(), 0);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for block in text.split("```sh\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let output = Command::new("bash").args(["-n", "-c", block]).output().unwrap();
            seen += 1;
            if !output.status.success() {
                let _ = writeln!(wrong, "{}: {}{block}", file.display(), String::from_utf8_lossy(&output.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(seen > 50, "only {seen} blocks");
}

#[test]
fn what_is_shown_is_compared() {
    let lines = |text: &str| -> Vec<String> { text.lines().map(masked).collect() };
    let is = |shown: &str, printed: &str| is_shown(&lines(shown), &lines(printed));
    assert!(is("a 1.5 b", "a 27 b") && !is("a", "b") && !is("a", "a\nb") && !is("a\nb", "a"));
    assert!(is("a … c", "a b c") && is("a…", "a b c") && !is("a … d", "a b c") && !is("…a", "ab"));
    assert!(is("a\n…\nd", "a\nb\nc\nd") && is("…", "") && !is("a\n…\nd", "a\nb"));
    assert!(serves("pi-monitor") && serves("pi-monitor --web.listen-address=:9200") && !serves("pi-monitor --check"));
    assert!(!serves("pi-monitor print --format=json") && !serves("curl pi-monitor"));
}
