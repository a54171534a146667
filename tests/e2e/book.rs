//! Commands in the pages of `docs/` print what the page shows.
//!
//! A comment before a block of the language `console` says that it is run, and with which flags the agent beside it is started:
//! `<!-- runs: FLAGS -->`, `<!-- runs -->` for none, `<!-- runs without an agent -->`. In a network of its own, the agent has port
//! 9100, and the names `pi.local` and `kitchen.local` are this machine's. Numbers may differ from those in the page.

use crate::agent::BINARY;
use crate::board::Board;
use crate::{has_program, needs};
use std::fmt::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A block of a page that is run.
struct Block {
    /// Page and line, for messages.
    place: String,
    /// The agent's flags; none if it runs without one.
    agent: Option<String>,
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

fn blocks() -> Vec<Block> {
    let (mut all, mut files) = (Vec::new(), Vec::new());
    pages(&root().join("docs"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(how) = line.strip_prefix("<!-- runs").and_then(|rest| rest.strip_suffix("-->")) else { continue };
            let place = format!("{}:{}", file.strip_prefix(root()).unwrap().display(), at + 1);
            let agent = match how.trim() {
                "without an agent" => None,
                "" => Some(String::new()),
                flags => Some(flags.strip_prefix(": ").unwrap_or_else(|| panic!("{place}: {line}")).to_owned()),
            };
            assert_eq!(lines.get(at + 1), Some(&"```console"), "{place}: expected a block of the language console");
            let mut commands: Vec<(String, Vec<String>)> = Vec::new();
            for line in lines[at + 2..].iter().take_while(|line| **line != "```") {
                match (line.strip_prefix("$ "), commands.last_mut()) {
                    (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
                    (None, Some((_, output))) => output.push((*line).to_owned()),
                    (None, None) => panic!("{place}: expected a command first"),
                }
            }
            all.push(Block { place, agent, commands });
        }
    }
    all
}

/// Replaces every number by `N`.
fn masked(line: &str) -> String {
    let mut out = String::new();
    for letter in line.trim_end().chars() {
        let digit = letter.is_ascii_digit() || letter == '.' && out.ends_with('N');
        if !digit {
            out.push(letter);
        } else if !out.ends_with('N') {
            out.push('N');
        }
    }
    out
}

/// Runs the block in `folder` and returns what each command printed.
fn run(block: &Block, folder: &Path) -> Vec<Vec<String>> {
    let mut script =
        "ip link set lo up\nmount --make-rprivate /\nmount --bind hosts /etc/hosts\nPATH=$PWD:$PATH\n".to_owned();
    if let Some(flags) = &block.agent {
        let _ = write!(
            script,
            ": >log\npi-monitor {flags} >log 2>&1 &\nagent=$!\ntries=0\nuntil grep -q listening log; do\ntries=$((tries + 1))\nif [ $tries = 600 ]; then cat log; exit 1; fi\nsleep 0.1\ndone\n"
        );
    }
    for (command, _) in &block.commands {
        let _ = writeln!(script, "echo '=== next ==='\n{{ {command}\n}} 2>&1");
    }
    if block.agent.is_some() {
        script.push_str("kill $agent\nwait $agent\n");
    }
    let output = Command::new("unshare").args(["--net", "--mount", "sh", "-c", &script]).current_dir(folder).output();
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
    std::fs::create_dir_all(&folder).unwrap();
    symlink(BINARY, folder.join("pi-monitor")).unwrap();
    std::fs::write(folder.join("hosts"), "127.0.0.1 localhost pi.local kitchen.local\n").unwrap();
    for (name, text) in [("tokens", "basic pi:a long password\n"), ("short", "bearer short\n")] {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let board = Board::read(&root().join("tests/boards/pi-zero-2.board")).unwrap();
    board.unpack(&folder.join("pi-zero-2")).unwrap();
    let blocks = blocks();
    let mut wrong = String::new();
    for block in &blocks {
        let printed = run(block, &folder);
        for (number, (command, shown)) in block.commands.iter().enumerate() {
            let shown: Vec<_> = shown.iter().map(|line| masked(line)).collect();
            let found = printed.get(number).cloned().unwrap_or_default();
            if found != shown {
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
    assert!(blocks.len() > 8, "only {} blocks are run", blocks.len());
}
