//! What the command line says about itself: `--help`, `--version`, and the nearest right word for a wrong one.

use super::flag::{Command, Entry, Group};
use std::fmt::Write as _;

/// What `--help` prints.
pub fn help(commands: &[&Command], entries: &[Entry]) -> String {
    let mut text = format!(
        "pi-monitor {}: live dashboard, Prometheus metrics and JSON of this machine\n\n\
         Usage: pi-monitor [COMMAND] [FLAGS]\n\nCommands:\n",
        crate::VERSION
    );
    for (place, command) in commands.iter().enumerate() {
        let gap = 14_usize.saturating_sub(command.name.len() + 1 + command.argument.len());
        let default = if place == 0 { " (the default)" } else { "" };
        let _ = writeln!(text, "  {} {}{:gap$}{}{default}", command.name, command.argument, "", command.help);
    }
    text.push_str("\nFlags:\n");
    let mut line = |flag: &str, help: &str| {
        let _ = writeln!(text, "  {flag}\n        {help}");
    };
    for entry in entries {
        match entry {
            Entry::Value(flag) => {
                let default =
                    if flag.default.is_empty() { String::new() } else { format!(" (default {})", flag.default) };
                line(&format!("--{}={}", flag.name, flag.value), &format!("{}{default}", flag.help));
            }
            Entry::Bare(bare) => line(&format!("--{}", bare.name), bare.help),
            Entry::Switch(_) => {}
        }
    }
    line("-h, --help", "This text.");
    line("--version", "The version and what it was built for.");
    let mut group: Option<&Group> = None;
    for entry in entries {
        let Entry::Switch(switch) = entry else { continue };
        let Group { name, title } = switch.group;
        if group != Some(switch.group) {
            let _ = writeln!(
                text,
                "\n{title}, each switched on by --{name}.NAME and off by --no-{name}.NAME (default: on):"
            );
            group = Some(switch.group);
        }
        let gap = if switch.name.len() < 10 { 10 - switch.name.len() } else { 2 };
        let _ = writeln!(text, "  {}{:gap$}{}", switch.name, "", switch.help);
    }
    text
}

/// What `--version` prints.
pub fn version() -> String {
    format!("pi-monitor {} ({})\n", crate::VERSION, std::env::consts::ARCH)
}

/// A line that names the word and the nearest one that would have been right.
pub fn unknown(word: &str, commands: &[&Command], entries: &[Entry]) -> String {
    let words = commands.iter().map(|command| command.name).chain(["--help", "--version"]).map(str::to_owned);
    let all = entries.iter().flat_map(Entry::spellings).chain(words);
    let nearest = all.map(|known| (distance(word, &known), known)).min_by_key(|(distance, _)| *distance);
    let hint = match nearest {
        Some((distance, known)) if distance <= word.len() / 2 => format!("; did you mean {known}?"),
        _ => "; see --help".to_owned(),
    };
    format!("unknown {} {word}{hint}", if word.starts_with('-') { "flag" } else { "command" })
}

/// How many letters have to be changed, added or taken away to make one word of the other (Levenshtein).
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
