//! The command line's own texts: `--help`, `--version`, and the suggestion for an unknown word.

use super::flag::{Command, Entry, Group};
use std::fmt::Write as _;

/// Returns what `--help` prints.
pub fn help(commands: &[&Command], entries: &[Entry]) -> String {
    let mut text = format!(
        "pi-monitor {}: live dashboard, Prometheus metrics and JSON for this machine\n\n\
         Usage: pi-monitor [COMMAND] [FLAGS]\n\nCommands:\n",
        crate::VERSION
    );
    for (place, command) in commands.iter().enumerate() {
        let gap = 14_usize.saturating_sub(command.name.len() + 1 + command.argument.len());
        let default = if place == 0 { " (the default)" } else { "" };
        let _ = writeln!(text, "  {} {}{:gap$}{}{default}", command.name, command.argument, "", command.help.text());
    }
    text.push_str("\nFlags:\n");
    let mut line = |flag: &str, help: &str| {
        let _ = writeln!(text, "  {flag}\n        {help}");
    };
    for entry in entries {
        match entry {
            Entry::Value(flag) => {
                let default =
                    if flag.default().is_empty() { String::new() } else { format!(" (default {})", flag.default()) };
                line(&format!("--{}={}", flag.name(), flag.value()), &format!("{}{default}", flag.help.text()));
            }
            Entry::Bare(bare) => line(&format!("--{}", bare.name), bare.help.text()),
            Entry::Switch(_) => {}
        }
    }
    line("-h, --help", "Show this help and exit.");
    line("--version", "Show the version and the architecture it was built for, and exit.");
    let mut group: Option<&Group> = None;
    for entry in entries {
        let Entry::Switch(switch) = entry else { continue };
        let Group { name, title } = switch.group;
        if group != Some(switch.group) {
            let _ = writeln!(
                text,
                "\n{title}, enabled by --{name}.NAME and disabled by --no-{name}.NAME (default: enabled):"
            );
            group = Some(switch.group);
        }
        let gap = if switch.name.len() < 10 { 10 - switch.name.len() } else { 2 };
        let _ = writeln!(text, "  {}{:gap$}{}", switch.name, "", switch.help.text());
    }
    text
}

/// Returns what `--version` prints.
pub fn version() -> String {
    format!("pi-monitor {} ({})\n", crate::VERSION, std::env::consts::ARCH)
}

/// Returns an error that names the unknown word and the nearest known one.
pub fn unknown(word: &str, commands: &[&Command], entries: &[Entry]) -> String {
    let mut all = Vec::new();
    for entry in entries {
        all.extend(entry.spellings());
    }
    for known in commands.iter().map(|command| command.name).chain(["--help", "--version"]) {
        all.push(known.to_owned());
    }
    // The first of those that are as near; from half of the word on, it is another one.
    let (mut least, mut hint) = (word.len() / 2 + 1, "; see --help".to_owned());
    for known in all {
        let distance = distance(word, &known);
        if distance < least {
            (least, hint) = (distance, format!("; did you mean {known}?"));
        }
    }
    format!("unknown {} {word}{hint}", if word.starts_with('-') { "flag" } else { "command" })
}

/// Returns the Levenshtein distance: how many letters to change, insert or delete to turn one word into the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, candidate) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != candidate);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
