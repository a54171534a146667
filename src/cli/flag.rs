//! What a command line is made of: flags with a value, switches, bare flags and commands.
//!
//! Each is declared in the room that reads it. `commands` lists them all.

use super::{Options, Prose};
use std::process::ExitCode;
use std::time::Duration;

/// A flag that takes a value: `--NAME=VALUE`.
#[derive(Debug)]
pub struct Flag {
    /// Its name without the two dashes, what stands for the value in help, and the default: one text takes less room than three.
    pub words: &'static str,
    pub help: Prose,
    /// Says what is wrong with a given value. The default is not checked.
    pub check: fn(&str) -> Result<(), String>,
}

impl Flag {
    /// Its name, without the two dashes.
    pub fn name(&self) -> &'static str {
        self.word(0)
    }

    /// What stands for the value in help.
    pub fn value(&self) -> &'static str {
        self.word(1)
    }

    /// What counts if it is not given.
    pub fn default(&self) -> &'static str {
        self.word(2)
    }

    #[inline(never)]
    fn word(&self, place: usize) -> &'static str {
        self.words.splitn(3, ' ').nth(place).unwrap_or_default()
    }
}

/// A flag that takes no value: `--NAME`.
#[derive(Debug)]
pub struct Bare {
    /// Without the two dashes.
    pub name: &'static str,
    pub help: Prose,
}

/// Something that is switched on by `--GROUP.NAME` and off by `--no-GROUP.NAME`.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    pub group: &'static Group,
    pub name: &'static str,
    pub help: Prose,
    /// Whether it is on by default.
    pub on: bool,
}

/// Switches of one kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// The first part of each flag's name.
    pub name: &'static str,
    /// What they are, as a heading.
    pub title: &'static str,
}

/// One line of the table of flags.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    Value(&'static Flag),
    Bare(&'static Bare),
    Switch(Switch),
}

/// What the program does: the first word of a command line.
#[derive(Debug)]
pub struct Command {
    pub name: &'static str,
    /// What stands for its argument in help; empty if it takes none.
    pub argument: &'static str,
    pub help: Prose,
    /// The flags that have a meaning for this command, and for no other that does not list them too.
    pub flags: &'static [Entry],
    /// The exit status if it fails: 1, or 2 where 1 means something else.
    pub failure: u8,
    pub run: fn(&Options) -> Result<ExitCode, String>,
}

impl Entry {
    /// Whether both are the same flag with a value: several commands may have it, or a collector and another program's dialect.
    pub fn is(&self, other: &Entry) -> bool {
        matches!((self, other), (Entry::Value(one), Entry::Value(other)) if one.name() == other.name())
    }

    /// The ways to write it.
    pub fn spellings(&self) -> Vec<String> {
        match self {
            Entry::Value(flag) => vec![format!("--{}", flag.name())],
            Entry::Bare(bare) => vec![format!("--{}", bare.name)],
            Entry::Switch(Switch { group, name, .. }) => {
                ["", "no-"].map(|no| format!("--{no}{}.{name}", group.name)).into()
            }
        }
    }
}

/// A duration as Prometheus writes it, with one unit: `500ms`, `2s`, `1m`, `1h`, `1d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse::<u32>().ok()?;
    let milliseconds = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(u64::from(number) * milliseconds))
}
