//! The command line: flags as data. The parser, `--help` and `docs/flags.md` all read the same table.
//!
//! Spelling and meaning are those of Prometheus exporters, so that habits carry over.

use crate::collect::{self, Settings};
use crate::kernel::Roots;
use crate::runtime::log::Level;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// One flag that takes a value.
#[derive(Debug)]
pub struct Flag {
    /// Without the two dashes.
    pub name: &'static str,
    /// What stands for the value in help.
    pub value: &'static str,
    pub default: &'static str,
    pub help: &'static str,
    /// Says what is wrong with a value.
    pub check: fn(&str) -> Result<(), String>,
}

static LISTEN: Flag = Flag {
    name: "web.listen-address",
    value: "ADDRESS",
    default: ":9100",
    help: "Address and port to serve on; without an address, all of IPv6 and IPv4. May be given more than once.",
    check: check_address,
};
static ALLOWED_HOSTS: Flag = Flag {
    name: "web.allowed-hosts",
    value: "NAMES",
    default: "",
    help: "Host names to be asked by, separated by commas; *.NAME for all below one. Addresses and localhost always are. Without it, every name.",
    check: crate::server::host::check,
};
static AUTH_FILE: Flag = Flag {
    name: "web.auth-file",
    value: "FILE",
    default: "",
    help: "Let in only who has one of the file's credentials, each on a line: bearer TOKEN, or basic NAME:PASSWORD. /health stays open.",
    check: check_file,
};
static CONFIG_FILE: Flag = Flag {
    name: "web.config.file",
    value: "FILE",
    default: "",
    help: "Let in only the basic_auth_users of a web configuration file of Prometheus exporters. /health stays open. A binary built for it speaks TLS as the file's tls_server_config says.",
    check: check_file,
};
static PROCFS: Flag = Flag {
    name: "path.procfs",
    value: "DIR",
    default: "/proc",
    help: "Where procfs is mounted.",
    check: check_directory,
};
static SYSFS: Flag =
    Flag { name: "path.sysfs", value: "DIR", default: "/sys", help: "Where sysfs is mounted.", check: check_directory };
static ROOTFS: Flag = Flag {
    name: "path.rootfs",
    value: "DIR",
    default: "/",
    help: "Where the root filesystem is mounted, for an agent in a container.",
    check: check_directory,
};
static INTERVAL: Flag = Flag {
    name: "sample.interval",
    value: "DURATION",
    default: "2s",
    help: "Time over which CPU percentages are taken, such as 500ms, 2s or 1m.",
    check: |value| parse_duration(value).map(drop),
};
static LOG_LEVEL: Flag = Flag {
    name: "log.level",
    value: "LEVEL",
    default: "info",
    help: "How much to log to standard error: error, warn, info or debug.",
    check: |value| match level(value) {
        Some(_) => Ok(()),
        None => Err("not one of error, warn, info, debug".to_owned()),
    },
};
static FORMAT: Flag = Flag {
    name: "format",
    value: "FORMAT",
    default: "table",
    help: "For print: prometheus, json or table.",
    check: |value| match value {
        "prometheus" | "json" | "table" => Ok(()),
        _ => Err("not one of prometheus, json, table".to_owned()),
    },
};

/// The flags that belong to no collector.
static FLAGS: &[&Flag] =
    &[&LISTEN, &ALLOWED_HOSTS, &AUTH_FILE, &CONFIG_FILE, &PROCFS, &SYSFS, &ROOTFS, &INTERVAL, &LOG_LEVEL, &FORMAT];

/// Switches for what is no collector, but just as optional: name, meaning, and whether it is on by default.
pub static SWITCHES: [(&str, &str, bool); 2] = [
    (PROCESSES, "/processes: what uses most CPU, memory and I/O; read only when a client asks", true),
    (COMMAND_LINES, "command lines in /processes, which may hold secrets (default: off)", false),
];
pub const PROCESSES: &str = "processes";
pub const COMMAND_LINES: &str = "processes.command-lines";

/// Everything that is switched by name, with its meaning.
fn switches() -> impl Iterator<Item = (&'static str, &'static str)> {
    let collectors = collect::ALL.iter().map(|registration| (registration.name, registration.summary));
    collectors.chain(SWITCHES.iter().map(|(name, meaning, _)| (*name, *meaning)))
}

const DISABLE_DEFAULTS: &str = "collector.disable-defaults";
const REQUIRE_SANDBOX: &str = "--require-sandbox";

/// Flags without a value that switch no collector: spelling and meaning.
pub const BARE: [(&str, &str); 2] = [
    ("--collector.disable-defaults", "Run only the collectors that are switched on by name."),
    (
        REQUIRE_SANDBOX,
        "Do not run without self-confinement: end if a layer of it fails (Landlock only where the kernel has it).",
    ),
];

/// Every flag that takes a value.
pub fn flags() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().chain(collect::ALL.iter().flat_map(|registration| registration.flags)).copied()
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Serve,
    Print,
    Help,
    Version,
}

/// A checked command line.
#[derive(Debug)]
pub struct Options {
    pub command: Command,
    pub roots: Roots,
    pub sample_interval: Duration,
    /// Whether to end rather than run without self-confinement.
    pub require_sandbox: bool,
    /// What was given, in order; the last one counts where one is wanted.
    given: Vec<(&'static str, String)>,
    /// `--collector.NAME` and `--no-collector.NAME`, in order.
    switches: Vec<(&'static str, bool)>,
    defaults_disabled: bool,
}

impl Options {
    /// Reads the words behind the program's name.
    ///
    /// # Errors
    /// One line that names the word that is wrong, and the nearest right one if it looks like a slip.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            command: Command::Serve,
            roots: Roots::default(),
            sample_interval: Duration::ZERO,
            require_sandbox: false,
            given: Vec::new(),
            switches: Vec::new(),
            defaults_disabled: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            options.take(&argument, &mut arguments)?;
        }
        options.roots = Roots {
            proc: options.value(&PROCFS).into(),
            sys: options.value(&SYSFS).into(),
            root: options.value(&ROOTFS).into(),
        };
        // An empty word where a file was meant must not open the door.
        let files = [AUTH_FILE.name, CONFIG_FILE.name];
        if let Some((name, _)) = options.given.iter().find(|(name, value)| files.contains(name) && value.is_empty()) {
            return Err(format!("--{name}=: wanted a file's name"));
        }
        options.sample_interval = parse_duration(options.value(&INTERVAL))?;
        if options.command != Command::Print && options.given.iter().any(|(name, _)| *name == FORMAT.name) {
            return Err("--format goes with print: pi-monitor print --format json".to_owned());
        }
        Ok(options)
    }

    fn take(&mut self, argument: &str, rest: &mut impl Iterator<Item = String>) -> Result<(), String> {
        match argument {
            "print" if self.command == Command::Serve => self.command = Command::Print,
            REQUIRE_SANDBOX => self.require_sandbox = true,
            "--help" | "-h" => self.command = Command::Help,
            "--version" if self.command != Command::Help => self.command = Command::Version,
            "--version" => {}
            _ => {
                let Some(word) = argument.strip_prefix("--") else {
                    return Err(unknown(argument));
                };
                let (name, value) = match word.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (word, None),
                };
                return self.take_flag(name, value, rest);
            }
        }
        Ok(())
    }

    fn take_flag(
        &mut self,
        name: &str,
        value: Option<String>,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), String> {
        if let Some(flag) = flags().find(|flag| flag.name == name) {
            let value =
                value.or_else(|| rest.next()).ok_or_else(|| format!("--{name} needs a value: {}", flag.value))?;
            (flag.check)(&value).map_err(|wrong| format!("--{name}={value}: {wrong}"))?;
            self.given.push((flag.name, value));
            return Ok(());
        }
        let (on, collector) = match (name.strip_prefix("collector."), name.strip_prefix("no-collector.")) {
            (Some(collector), _) => (true, collector),
            (_, Some(collector)) => (false, collector),
            _ => return Err(unknown(&format!("--{name}"))),
        };
        let switch = switches().find(|(known, _)| *known == collector);
        if switch.is_none() && name != DISABLE_DEFAULTS {
            return Err(unknown(&format!("--{name}")));
        }
        if let Some(value) = value {
            return Err(format!("--{name}={value}: takes no value"));
        }
        match switch {
            Some((known, _)) => self.switches.push((known, on)),
            None => self.defaults_disabled = true,
        }
        Ok(())
    }

    /// Whether a collector runs: the last switch counts, and without one the default.
    pub fn is_enabled(&self, collector: &str) -> bool {
        let by_default = SWITCHES.iter().all(|(name, _, on)| *name != collector || *on);
        let switch = self.switches.iter().rev().find(|(name, _)| *name == collector);
        switch.map_or(by_default && !self.defaults_disabled, |(_, on)| *on)
    }

    /// The addresses to listen on.
    pub fn listen(&self) -> impl Iterator<Item = &str> {
        let given = self.given.iter().filter(|(name, _)| *name == LISTEN.name).map(|(_, value)| value.as_str());
        let default = !self.given.iter().any(|(name, _)| *name == LISTEN.name);
        given.chain(default.then_some(LISTEN.default))
    }

    /// The names that the agent may be asked by, separated by commas; empty for all.
    pub fn allowed_hosts(&self) -> &str {
        self.value(&ALLOWED_HOSTS)
    }

    /// The file of credentials; empty for none.
    pub fn auth_file(&self) -> &str {
        self.value(&AUTH_FILE)
    }

    /// The web configuration file; empty for none.
    pub fn config_file(&self) -> &str {
        self.value(&CONFIG_FILE)
    }

    /// How much to log.
    pub fn log_level(&self) -> Level {
        level(self.value(&LOG_LEVEL)).unwrap_or(Level::Info)
    }

    /// The form that `print` writes.
    pub fn print_format(&self) -> &str {
        self.value(&FORMAT)
    }
}

impl Settings for Options {
    fn value(&self, flag: &'static Flag) -> &str {
        let given = self.given.iter().rev().find(|(name, _)| *name == flag.name);
        given.map_or(flag.default, |(_, value)| value)
    }
}

/// A line that names the word and the nearest one that would have been right.
fn unknown(word: &str) -> String {
    let switches = switches().flat_map(|(name, _)| [format!("--collector.{name}"), format!("--no-collector.{name}")]);
    let words = flags().map(|flag| format!("--{}", flag.name));
    let others = ["--help", "--version", "print"].into_iter().chain(BARE.map(|(flag, _)| flag)).map(str::to_owned);
    let all = words.chain(switches).chain(others);
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

fn level(name: &str) -> Option<Level> {
    Level::ALL.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
}

/// A duration as Prometheus writes it, with one unit: `500ms`, `2s`, `1m`, `1h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse::<u32>().map_err(|_| "not a duration such as 500ms, 2s or 1m".to_owned())?;
    let milliseconds = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("not a duration such as 500ms, 2s or 1m".to_owned()),
    };
    let duration = Duration::from_millis(u64::from(number) * milliseconds);
    if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&duration) {
        Ok(duration)
    } else {
        Err("not between 100ms and 1h".to_owned())
    }
}

/// `ADDRESS:PORT`, `[IPV6]:PORT`, `:PORT` or `NAME:PORT`; whether the name exists is seen when it is used.
fn check_address(value: &str) -> Result<(), String> {
    let Some((host, port)) = value.rsplit_once(':') else {
        return Err("not ADDRESS:PORT, such as :9100 or 127.0.0.1:9100".to_owned());
    };
    if port.parse::<u16>().is_err() {
        return Err(format!("{port:?} is not a port from 0 to 65535"));
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err(format!("an IPv6 address needs brackets: [{host}]:{port}"));
    }
    Ok(())
}

fn check_directory(value: &str) -> Result<(), String> {
    match std::fs::metadata(Path::new(value)) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err("not a directory".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// That it can be opened, and the empty default.
fn check_file(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    std::fs::File::open(value).map(drop).map_err(|error| error.to_string())
}

/// What `--help` prints.
pub fn help() -> String {
    let mut text = format!(
        "pi-monitor {}: live dashboard, Prometheus metrics and JSON of this machine\n\n\
         Usage:\n  pi-monitor [FLAGS]          serve\n  pi-monitor print [FLAGS]    write one collection to standard output and end\n\nFlags:\n",
        crate::VERSION
    );
    let mut line = |flag: &str, help: &str| {
        let _ = writeln!(text, "  {flag}\n        {help}");
    };
    for flag in flags() {
        let default = if flag.default.is_empty() { String::new() } else { format!(" (default {})", flag.default) };
        line(&format!("--{}={}", flag.name, flag.value), &format!("{}{default}", flag.help));
    }
    for (flag, help) in BARE {
        line(flag, help);
    }
    line("-h, --help", "This text.");
    line("--version", "The version and what it was built for.");
    text.push_str("\nCollectors, each switched on by --collector.NAME and off by --no-collector.NAME (default: on):\n");
    for (name, meaning) in switches() {
        let gap = if name.len() < 10 { 10 - name.len() } else { 2 };
        let _ = writeln!(text, "  {name}{:gap$}{meaning}", "");
    }
    text
}

/// What `--version` prints.
pub fn version() -> String {
    format!("pi-monitor {} ({})\n", crate::VERSION, std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn laws_over_the_table() {
        let mut names = HashSet::new();
        for flag in flags() {
            assert!(names.insert(flag.name), "{} is there twice", flag.name);
            assert!(
                flag.name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'-')),
                "{}",
                flag.name
            );
            assert!(flag.help.ends_with('.') && !flag.value.is_empty(), "{}", flag.name);
            assert_eq!((flag.check)(flag.default), Ok(()), "{}", flag.name);
            let text = help();
            assert!(text.contains(&format!("--{}={}", flag.name, flag.value)));
            // Both spellings give the same.
            let with = |line: String| parse(&line).unwrap().value(flag).to_owned();
            if !flag.default.is_empty() && flag.name != "format" {
                assert_eq!(with(format!("--{}={}", flag.name, flag.default)), flag.default);
                assert_eq!(with(format!("--{} {}", flag.name, flag.default)), flag.default);
            }
            // A slip is named, with the right word.
            let slip = format!("--{}x=1", flag.name);
            let expected = format!("did you mean --{}?", flag.name);
            assert!(parse(&slip).unwrap_err().contains(&expected), "{slip}: {:?}", parse(&slip));
        }
        for registration in collect::ALL {
            for flag in registration.flags {
                assert!(flag.name.starts_with(&format!("collector.{}.", registration.name)), "{}", flag.name);
            }
        }
    }

    #[test]
    fn what_is_switched_by_name() {
        let processes = |line: &str| {
            let options = parse(line).unwrap();
            (options.is_enabled(PROCESSES), options.is_enabled(COMMAND_LINES))
        };
        assert_eq!(processes(""), (true, false));
        assert_eq!(processes("--collector.processes.command-lines"), (true, true));
        assert_eq!(processes("--collector.processes.command-lines --no-collector.processes"), (false, true));
        assert_eq!(processes("--collector.disable-defaults"), (false, false));
        assert!(parse("--collector.processes=x").is_err() && parse("--collector.processes.command-line").is_err());
        assert!(parse("").unwrap().is_enabled("cpu"));
        assert!(!parse("--no-collector.cpu").unwrap().is_enabled("cpu"));
        assert!(parse("--no-collector.cpu --collector.cpu").unwrap().is_enabled("cpu"));
        let only = parse("--collector.disable-defaults --collector.disk").unwrap();
        assert!(only.is_enabled("disk") && !only.is_enabled("cpu"));
        assert_eq!(parse("--collector.cpu=yes").unwrap_err(), "--collector.cpu=yes: takes no value");
    }

    #[test]
    fn bad_words_are_named() {
        for (line, expected) in [
            ("--collector.cpuu", "unknown flag --collector.cpuu; did you mean --collector.cpu?"),
            ("serve", "unknown command serve; see --help"),
            ("prnt", "unknown command prnt; did you mean print?"),
            ("-x", "unknown flag -x; see --help"),
            ("--no-such-thing-at-all-anywhere", "unknown flag --no-such-thing-at-all-anywhere; see --help"),
            ("--web.listen-address", "--web.listen-address needs a value: ADDRESS"),
            (
                "--web.listen-address=9100",
                "--web.listen-address=9100: not ADDRESS:PORT, such as :9100 or 127.0.0.1:9100",
            ),
            ("--web.listen-address=:99999", "--web.listen-address=:99999: \"99999\" is not a port from 0 to 65535"),
            (
                "--web.listen-address=::1:9100",
                "--web.listen-address=::1:9100: an IPv6 address needs brackets: [::1]:9100",
            ),
            ("--sample.interval=2", "--sample.interval=2: not a duration such as 500ms, 2s or 1m"),
            ("--sample.interval=1ms", "--sample.interval=1ms: not between 100ms and 1h"),
            (
                "--sample.interval=99999999999s",
                "--sample.interval=99999999999s: not a duration such as 500ms, 2s or 1m",
            ),
            ("--log.level=loud", "--log.level=loud: not one of error, warn, info, debug"),
            ("--path.procfs=/nowhere", "--path.procfs=/nowhere: No such file or directory (os error 2)"),
            ("print --format=xml", "--format=xml: not one of prometheus, json, table"),
            ("--format=json", "--format goes with print: pi-monitor print --format json"),
        ] {
            assert_eq!(parse(line).unwrap_err(), expected, "{line}");
        }
        let wrong = parse("--collector.network.device-exclude=(").unwrap_err();
        assert!(wrong.starts_with("--collector.network.device-exclude=(: "), "{wrong}");
    }

    #[test]
    fn the_last_value_counts_but_addresses_add_up() {
        let options =
            parse("--log.level=debug --log.level error --web.listen-address=:1 --web.listen-address=[::1]:2").unwrap();
        assert_eq!(options.log_level(), Level::Error);
        assert_eq!(options.listen().collect::<Vec<_>>(), [":1", "[::1]:2"]);
        assert_eq!(parse("").unwrap().listen().collect::<Vec<_>>(), [":9100"]);
    }

    #[test]
    fn commands() {
        assert_eq!(parse("print --format json").unwrap().command, Command::Print);
        assert_eq!(parse("--help --version").unwrap().command, Command::Help);
        assert_eq!(parse("--version").unwrap().command, Command::Version);
    }
}
