//! What the program can do: one file per command, and the lists of all commands and flags.

mod client;
pub mod doctor;
pub mod events;
pub mod hash;
pub mod health;
pub mod notify;
pub mod print;
pub mod serve;

use crate::agent::{Agent, flags::INTERVAL, keeper::DIRECTORY};
use crate::cli::{Command, Entry, Options, help};
use crate::collect::processes::{COMMAND_LINES, PROCESSES};
use crate::judge::rules;
use crate::kernel::mounts::Mounts;
use crate::kernel::roots::{self, Roots};
use crate::kernel::{Machine, read_all};
use crate::runtime::log;
use crate::runtime::sandbox::{self, Needs, REQUIRE_SANDBOX};
use crate::{agent, collect, dialect, outbound, server, sys};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Every command; the first one is the default.
pub static ALL: &[&Command] = &[
    &serve::COMMAND,
    &print::COMMAND,
    &events::COMMAND,
    &doctor::COMMAND,
    &health::COMMAND,
    &notify::COMMAND,
    &hash::COMMAND,
];

/// Returns every flag, in the order of `--help`.
pub fn entries() -> Vec<Entry> {
    let mut all = Vec::new();
    all.extend(server::flags::FLAGS);
    all.extend(outbound::flags::FLAGS);
    for flags in [roots::FLAGS, &[&INTERVAL, &DIRECTORY, &log::LOG_LEVEL]] {
        all.extend(flags.iter().copied().map(Entry::Value));
    }
    all.extend(collect::ALL.iter().flat_map(|it| it.flags).copied().map(Entry::Value));
    // Commands share some, and the dialect shares one of a collector, with a default of its own.
    for entry in ALL.iter().flat_map(|command| command.flags).copied().chain(dialect::flags::entries()) {
        if !all.iter().any(|other| entry.is(other)) {
            all.push(entry);
        }
    }
    let limits = rules::ALL.iter().flat_map(|rule| rule.limits);
    all.extend(limits.map(|limit| Entry::Value(&limit.flag)));
    all.extend([&collect::DISABLE_DEFAULTS, &REQUIRE_SANDBOX].map(Entry::Bare));
    all.extend(collect::ALL.iter().map(|it| it.switch()).chain([PROCESSES, COMMAND_LINES]).map(Entry::Switch));
    all.extend(dialect::flags::switches().map(Entry::Switch));
    all.extend(rules::ALL.iter().map(|rule| Entry::Switch(rule.switch())));
    all
}

/// Parses the words after the program's name.
///
/// # Errors
/// As [`Options::parse`].
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Options, String> {
    let entries = entries();
    Options::parse(words, ALL, &entries).map_err(|wrong| {
        // node_exporter's flags, in the command line of somebody who comes from there.
        let name = wrong.strip_prefix("unknown flag --").map(|rest| rest.split(';').next().unwrap_or_default());
        match name.and_then(dialect::flags::elsewhere) {
            Some(instead) => format!("unknown flag --{}; {instead}", name.unwrap_or_default()),
            None => wrong,
        }
    })
}

/// Returns what `--help` prints.
pub fn help() -> String {
    help::help(ALL, &entries())
}

/// Gives up all rights that a collecting command does not need; `more` is what it needs beyond the agent. Call it while there is one thread.
///
/// # Errors
/// As [`sandbox::enter`].
pub fn confine(options: &Options, more: &[Needs]) -> Result<(), String> {
    let mut needs = agent::needs(options);
    needs.extend(more);
    let roots = Roots::new(options);
    let mut named = Vec::new();
    for flag in needs.iter().flat_map(|needs| needs.rights.named_by) {
        named.extend(options.values(flag).into_iter().map(Path::new));
    }
    named.retain(|path| !path.as_os_str().is_empty());
    if !named.is_empty() {
        // Not even to be let into it, what may hang is touched.
        let mut mounts = Mounts::default();
        let table = read_all(&roots.proc.join("self/mountinfo")).unwrap_or_default();
        let _ = mounts.parse(&table, b"");
        mounts.find_hidden();
        named.retain(|path| !mounts.hangs(path));
    }
    sandbox::enter(&needs, &|path| roots.locate(path), &named, options.has(&REQUIRE_SANDBOX))
}

/// Builds a single-threaded runtime, which only ends with the process.
fn runtime() -> Result<&'static Runtime, String> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Ok(Box::leak(Box::new(runtime))),
        Err(error) => Err(format!("cannot start the runtime: {error}")),
    }
}

/// Runs `work`, which is never taken apart: the end of the process does that without code for it.
fn run_to_end<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    runtime.block_on(std::mem::ManuallyDrop::new(Box::pin(work)).as_mut())
}

/// Collects twice, with the pause between that rates need, and prints what `show` writes.
///
/// # Errors
/// There is no runtime, or standard output cannot be written.
fn once(options: &Options, show: &mut dyn FnMut(&mut Agent, &mut Vec<u8>)) -> Result<ExitCode, String> {
    const PAUSE: Duration = Duration::from_millis(500);
    let runtime = runtime()?;
    // Helper processes register with it. The agent is never taken apart, as above.
    let _entered = runtime.enter();
    let agent = Box::leak(Box::new(Agent::once(options, Machine::default())));
    run_to_end(runtime, async {
        // For the rules, which judge filesystems by what a collection saw of them.
        agent.snapshot(Duration::ZERO).await;
        tokio::time::sleep(PAUSE.min(agent::flags::interval(options))).await;
        agent.tick();
        agent.snapshot(Duration::ZERO).await;
        let mut out = Vec::new();
        show(agent, &mut out);
        write(&out)
    })
}

/// Writes to standard output; a reader that closes the pipe early is no failure.
///
/// # Errors
/// Standard output cannot be written.
pub fn write(text: &[u8]) -> Result<ExitCode, String> {
    match sys::output().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Asked;
    use crate::server::flags::LISTEN;
    use std::collections::HashSet;

    fn parse(line: &str) -> Result<Options, String> {
        super::parse(line.split_whitespace().map(str::to_owned))
    }

    fn is_enabled(line: &str, name: &str) -> bool {
        let mut switches = entries().into_iter().filter_map(|entry| match entry {
            Entry::Switch(switch) if switch.name == name => Some(switch),
            _ => None,
        });
        collect::is_enabled(&parse(line).unwrap(), &switches.next().unwrap())
    }

    #[test]
    fn laws_over_the_table() {
        let mut names = HashSet::new();
        let text = help();
        for entry in entries() {
            let spelled = entry.spellings();
            for spelling in &spelled {
                assert!(names.insert(spelling.clone()), "duplicate {spelling}");
                let good = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'-' | b'_');
                assert!(spelling.bytes().all(good), "{spelling}");
                // A slip is named, with the right word.
                let slip = format!("{spelling}q=1");
                let expected = format!("did you mean {spelling}?");
                assert!(parse(&slip).unwrap_err().contains(&expected), "{slip}: {:?}", parse(&slip));
            }
            match entry {
                Entry::Value(flag) => {
                    assert!(flag.help.text().ends_with('.') && !flag.value().is_empty(), "{}", flag.name());
                    assert!(text.contains(&format!("--{}={}", flag.name(), flag.value())));
                    if flag.default().is_empty() {
                        continue;
                    }
                    assert_eq!((flag.check)(flag.default()), Ok(()), "{}", flag.name());
                    // Both spellings give the same, with the command that the flag goes with.
                    let owns = |command: &&&Command| {
                        command.flags.iter().any(|own| own.spellings().first() == spelled.first())
                    };
                    let command = ALL.iter().find(owns).map_or("serve", |command| command.name);
                    for gap in ["=", " "] {
                        let line = format!("{command} --{}{gap}{}", flag.name(), flag.default());
                        assert_eq!(parse(&line).unwrap().value(flag), flag.default(), "{line}");
                    }
                }
                Entry::Bare(bare) => {
                    assert!(
                        bare.help.text().ends_with('.') && text.contains(&format!("  --{}\n", bare.name)),
                        "{}",
                        bare.name
                    );
                    let owns = |command: &&&Command| command.flags.iter().any(|own| own.spellings() == spelled);
                    let command = ALL.iter().find(owns).map_or("serve", |command| command.name);
                    assert!(parse(&format!("{command} --{}", bare.name)).unwrap().has(bare), "{}", bare.name);
                    let value = format!("--{}=1", bare.name);
                    assert_eq!(parse(&value).unwrap_err(), format!("{value}: takes no value"));
                }
                Entry::Switch(switch) => {
                    assert!(text.contains(&format!("\n  {} ", switch.name)), "{}", switch.name);
                    for (spelling, on) in spelled.iter().zip([true, false]) {
                        assert_eq!(parse(spelling).unwrap().switched(&switch), Some(on), "{spelling}");
                    }
                }
            }
        }
        for command in ALL {
            assert!(names.insert(command.name.to_owned()) && text.contains(command.name), "{}", command.name);
        }
        for registration in collect::ALL {
            for flag in registration.flags {
                assert!(flag.name().starts_with(&format!("collector.{}.", registration.name)), "{}", flag.name());
            }
        }
    }

    #[test]
    fn what_is_switched_by_name() {
        let processes = |line: &str| (is_enabled(line, "processes"), is_enabled(line, "processes.command-lines"));
        assert_eq!(processes(""), (true, false));
        assert_eq!(processes("--collector.processes.command-lines"), (true, true));
        assert_eq!(processes("--collector.processes.command-lines --no-collector.processes"), (false, true));
        assert_eq!(processes("--collector.disable-defaults"), (false, false));
        assert!(parse("--collector.processes=x").is_err() && parse("--collector.processes.command-line").is_err());
        assert!(is_enabled("", "cpu"));
        assert!(!is_enabled("--no-collector.cpu", "cpu"));
        assert!(is_enabled("--no-collector.cpu --collector.cpu", "cpu"));
        let only = |name| is_enabled("--collector.disable-defaults --collector.disk", name);
        assert!(only("disk") && !only("cpu"));
        assert_eq!(parse("--collector.cpu=yes").unwrap_err(), "--collector.cpu=yes: takes no value");
    }

    #[test]
    fn bad_words_are_named() {
        for (line, expected) in [
            ("--collector.cpuu", "unknown flag --collector.cpuu; did you mean --collector.cpu?"),
            ("status", "unknown command status; see --help"),
            ("serv", "unknown command serv; did you mean serve?"),
            ("print more", "unexpected argument more; see --help"),
            ("print print", "unexpected argument print; see --help"),
            ("print -x", "unknown flag -x; see --help"),
            ("--web.auth-file=", "--web.auth-file=: expected the name of a file"),
            ("--web.config.file= --help", "--web.config.file=: expected the name of a file"),
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
            ("--sample.interval=2", "--sample.interval=2: expected a duration such as 500ms, 2s or 1m"),
            ("--sample.interval=1ms", "--sample.interval=1ms: expected a duration from 100ms to 1h"),
            (
                "--sample.interval=99999999999s",
                "--sample.interval=99999999999s: expected a duration such as 500ms, 2s or 1m",
            ),
            ("--web.wait-for-address=no", "--web.wait-for-address=no: takes no value"),
            ("--web.connections-per-address=0", "--web.connections-per-address=0: not a number from 1 to 128"),
            ("--log.level=loud", "--log.level=loud: expected error, warn, info or debug"),
            ("--path.procfs=/nowhere", "--path.procfs=/nowhere: No such file or directory (os error 2)"),
            ("print --format=xml", "--format=xml: expected prometheus, json or table"),
            ("--format=json", "--format does not apply to serve; try pi-monitor print --format=json"),
            ("events --format=json", "--format does not apply to events; try pi-monitor print --format=json"),
            ("doctor --since=1h", "--since does not apply to doctor; try pi-monitor events --since=1h"),
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
        assert_eq!(log::level(&options), log::Level::Error);
        assert_eq!(options.values(&LISTEN), [":1", "[::1]:2"]);
        assert_eq!(parse("").unwrap().values(&LISTEN), [":9100"]);
    }

    #[test]
    fn commands() {
        let asked = |line| match parse(line).unwrap().asked {
            Asked::Run(command) => command.name,
            Asked::Help => "--help",
            Asked::Version => "--version",
        };
        for (line, expected) in [
            ("", "serve"),
            ("serve", "serve"),
            ("print --format json", "print"),
            ("--format=json print", "print"),
            ("--help --version", "--help"),
            ("--version --help", "--help"),
            ("--format=json --help", "--help"),
            ("print --version", "--version"),
        ] {
            assert_eq!(asked(line), expected, "{line}");
        }
    }
}
