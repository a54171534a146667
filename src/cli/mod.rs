//! The command line: flags as data. The parser, `--help` and `docs/flags.md` all read the same table.
//!
//! Spelling and meaning are those of Prometheus exporters, so that habits carry over. This room knows what a flag is, but
//! no flag by name: each lives with the code that it is for, and `commands` lists them all.

pub mod flag;
pub mod help;
pub mod pattern;

pub use crate::model::{Prose, prose};
pub use flag::{Bare, Command, Entry, Flag, Group, Switch};
use help::unknown;

/// What a command line asks for.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Run(&'static Command),
    Help,
    Version,
}

/// A checked command line.
#[derive(Debug)]
pub struct Options {
    pub asked: Asked,
    /// The argument of the command.
    pub argument: Option<String>,
    /// Names of flags and what was given, in order; the last one counts where one is wanted.
    given: Vec<(&'static str, String)>,
    /// The bare flags that were given.
    bare: Vec<&'static str>,
    /// Switches that were given, in order, and whether on.
    switched: Vec<(Switch, bool)>,
}

impl Options {
    /// Parses the words after the program's name. The first command is the default one.
    ///
    /// # Errors
    /// One line that names the wrong word, and suggests the nearest right one if it looks like a typo.
    pub fn parse(
        words: impl IntoIterator<Item = String>,
        commands: &[&'static Command],
        entries: &[Entry],
    ) -> Result<Self, String> {
        let mut options = Options {
            asked: Asked::Run(commands[0]),
            argument: None,
            given: Vec::new(),
            bare: Vec::new(),
            switched: Vec::new(),
        };
        let mut command: Option<&'static Command> = None;
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "-h" || word == "--help" {
                options.asked = Asked::Help;
            } else if word == "--version" {
                if !matches!(options.asked, Asked::Help) {
                    options.asked = Asked::Version;
                }
            } else if let Some(flag) = word.strip_prefix("--") {
                let (name, value) = match flag.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (flag, None),
                };
                if !options.take(name, value, &mut words, entries)? {
                    return Err(unknown(&format!("--{name}"), commands, entries));
                }
            } else if let Some(command) = command.filter(|_| !word.starts_with('-')) {
                if command.argument.is_empty() || options.argument.is_some() {
                    return Err(format!("unexpected argument {word}; see --help"));
                }
                options.argument = Some(word);
            } else {
                command = commands.iter().find(|command| command.name == word).copied();
                if command.is_none() {
                    return Err(unknown(&word, commands, entries));
                }
            }
        }
        if let Asked::Run(default) = options.asked {
            let command = command.unwrap_or(default);
            options.asked = Asked::Run(command);
            options.check_owners(command, commands)?;
        }
        Ok(options)
    }

    /// Takes a flag, and the next word if that is its value; returns false if the flag is unknown.
    fn take(
        &mut self,
        name: &str,
        value: Option<String>,
        rest: &mut impl Iterator<Item = String>,
        entries: &[Entry],
    ) -> Result<bool, String> {
        let parts = |group: &Group| {
            let (on, name) = name.strip_prefix("no-").map_or((true, name), |name| (false, name));
            Some((on, name.strip_prefix(group.name)?.strip_prefix('.')?))
        };
        for entry in entries {
            match *entry {
                Entry::Value(flag) if flag.name() == name => {
                    let value = value
                        .or_else(|| rest.next())
                        .ok_or_else(|| format!("--{name} needs a value: {}", flag.value()))?;
                    // The reason stands behind it, and a message has an end.
                    let cut = if value.chars().nth(200).is_some() { "…" } else { "" };
                    (flag.check)(&value).map_err(|wrong| format!("--{name}={value:.200}{cut}: {wrong}"))?;
                    self.given.push((flag.name(), value));
                    return Ok(true);
                }
                Entry::Bare(bare) if bare.name == name => self.bare.push(bare.name),
                Entry::Switch(switch) => match parts(switch.group) {
                    Some((on, name)) if name == switch.name => self.switched.push((switch, on)),
                    _ => continue,
                },
                _ => continue,
            }
            return match value {
                Some(value) => Err(format!("--{name}={value}: takes no value")),
                None => Ok(true),
            };
        }
        Ok(false)
    }

    /// Checks that no flag was given that applies to other commands only.
    fn check_owners(&self, command: &Command, commands: &[&Command]) -> Result<(), String> {
        for other in commands.iter().filter(|other| other.name != command.name) {
            for entry in other.flags {
                let (name, value) = match entry {
                    Entry::Value(_) if command.flags.iter().any(|own| own.is(entry)) => continue,
                    Entry::Value(flag) => {
                        let Some((name, value)) = self.given.iter().find(|(name, _)| *name == flag.name()) else {
                            continue;
                        };
                        (*name, format!("={value}"))
                    }
                    Entry::Bare(bare) if self.has(bare) => (bare.name, String::new()),
                    _ => continue,
                };
                let owner = other.name;
                let here = command.name;
                return Err(format!("--{name} does not apply to {here}; try pi-monitor {owner} --{name}{value}"));
            }
        }
        Ok(())
    }

    /// Returns the exit status if the command fails.
    pub fn failure(&self) -> u8 {
        match self.asked {
            Asked::Run(command) => command.failure,
            _ => 1,
        }
    }

    /// Returns the value given for `flag`, or its default.
    pub fn value(&self, flag: &Flag) -> &str {
        let given = self.given.iter().rev().find(|(name, _)| *name == flag.name());
        given.map_or(flag.default(), |(_, value)| value)
    }

    /// Returns all values of a repeatable flag, or its default.
    pub fn values(&self, flag: &Flag) -> Vec<&str> {
        let mut values = Vec::new();
        for (name, value) in &self.given {
            if *name == flag.name() {
                values.push(value.as_str());
            }
        }
        if values.is_empty() {
            values.push(flag.default());
        }
        values
    }

    /// Returns whether a bare flag was given.
    pub fn has(&self, bare: &Bare) -> bool {
        self.bare.contains(&bare.name)
    }

    /// Returns what a switch was last set to; `None` if it was not given.
    pub fn switched(&self, switch: &Switch) -> Option<bool> {
        let is = |given: &Switch| given.name == switch.name && given.group == switch.group;
        self.switched.iter().rev().find(|(given, _)| is(given)).map(|(_, on)| *on)
    }
}
