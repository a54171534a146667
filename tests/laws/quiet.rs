//! Fifteen quiet minutes on every board, on a clock of the test: no verdict may come of a machine that is well.

use crate::boards::{self, CLOCK, Tree};
use pi_monitor::agent::Agent;
use pi_monitor::agent::foreign::Choice;
use pi_monitor::format::Format;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Boards that are ill on purpose, with the rules that fire there.
const ILL: &[(&str, &[&str])] =
    &[("hostile", &["under_voltage", "disk_full", "throttled"]), ("pi-zero-2", &["hot", "throttled"])];

/// Files with counters, and how they grow while little happens.
type Growth = fn(&str, u64, bool) -> String;
const GROWTH: &[(&str, Growth)] = &[
    ("proc/stat", cpu),
    ("proc/net/dev", network),
    ("proc/diskstats", disks),
    ("proc/vmstat", memory),
    ("proc/pressure/cpu", pressure),
    ("proc/pressure/io", pressure),
    ("proc/pressure/memory", pressure),
];

/// Seconds of a sample.
const STEP: u64 = 2;

/// Adds `growth` to numbers of a line, by their place among its words.
fn add(line: &str, growth: &[(usize, u64)]) -> String {
    let word = |(place, word): (usize, &str)| {
        let more = growth.iter().find(|(at, _)| *at == place).map_or(0, |(_, more)| *more);
        word.parse::<u64>().map_or_else(|_| word.to_owned(), |number| (number.saturating_add(more)).to_string())
    };
    line.split_whitespace().enumerate().map(word).collect::<Vec<_>>().join(" ") + "\n"
}

/// User, system, idle, waiting and interrupts: 6% in use. Now and then something runs for two samples.
fn cpu(text: &str, tick: u64, is_peak: bool) -> String {
    let cpus = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count() as u64;
    let peaks = peaks(tick, is_peak);
    let lines = text.lines().map(|line| match line.split(' ').next() {
        Some(name) if name.starts_with("cpu") => {
            let (all, count) = if name == "cpu" { (cpus, cpus) } else { (1, 1) };
            let quiet = (tick - peaks) * all;
            add(
                line,
                &[(1, quiet * 8 + peaks * count * 200), (3, quiet * 3), (4, quiet * 186), (5, quiet * 2), (7, quiet)],
            )
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// How many of the samples up to this one were peaks: two in each minute, and all of the last ones if `is_peak`.
fn peaks(tick: u64, is_peak: bool) -> u64 {
    if is_peak { tick - 2 * (450 / 30) } else { 2 * (tick / 30) + (tick % 30).min(2) }
}

/// A broken packet among ten thousand. A VPN that has no peer cannot send.
fn network(text: &str, tick: u64, _: bool) -> String {
    let line = |line: &str| match line.split_once(':') {
        Some((name, rest)) if !line.contains('|') => {
            let (name, rest) = (name.trim(), rest.trim_start());
            let growth = match (name, rest.starts_with("0 ")) {
                ("wg0", _) => vec![(10, tick * 3)],
                (_, true) => vec![],
                _ => vec![
                    (0, tick * 90_000),
                    (1, tick * 120),
                    (2, tick / 80),
                    (3, tick),
                    (8, tick * 30_000),
                    (9, tick * 80),
                ],
            };
            format!("{name}: {}", add(rest, &growth))
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// 14 operations that keep a disk busy for 50 ms, and for whole samples now and then.
fn disks(text: &str, tick: u64, _: bool) -> String {
    let busy = tick * 50 + peaks(tick, false) * 1900;
    let line = |line: &str| match line.split_whitespace().nth(3) {
        Some("0") | None => format!("{line}\n"),
        _ => add(
            line,
            &[
                (3, tick * 4),
                (5, tick * 64),
                (6, tick * 8),
                (7, tick * 10),
                (9, tick * 200),
                (10, tick * 60),
                (12, busy),
            ],
        ),
    };
    text.lines().map(line).collect()
}

fn memory(text: &str, tick: u64, _: bool) -> String {
    let line = |line: &str| match line.split(' ').next() {
        Some("pgfault" | "pgpgin" | "pgpgout") => add(line, &[(1, tick * 900)]),
        Some("pgmajfault" | "allocstall_normal" | "pswpin" | "pswpout") => add(line, &[(1, tick / 4)]),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// 1% of the time, and nearly all of it now and then.
fn pressure(text: &str, tick: u64, _: bool) -> String {
    let line = |line: &str| match line.split_once("total=") {
        Some((before, total)) => {
            let total: u64 = total.parse().unwrap();
            format!("{before}total={}\n", total.saturating_add(tick * 20_000 + peaks(tick, false) * 1_900_000))
        }
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

struct Quiet {
    tree: Tree,
    agent: Agent,
    texts: BTreeMap<PathBuf, (String, Growth)>,
}

impl Quiet {
    /// Two seconds pass; returns the rules that are firing then.
    async fn tick(&mut self, tick: u64, is_peak: bool) -> Vec<String> {
        CLOCK.set(CLOCK.get() + STEP);
        for (path, (text, grow)) in &self.texts {
            std::fs::write(path, grow(text, tick, is_peak)).unwrap();
        }
        self.agent.tick();
        // The second look, if somebody is to blame.
        if self.agent.look().is_some() {
            CLOCK.set(CLOCK.get() + 1);
            assert_eq!(self.agent.look(), None);
        }
        // A scraper comes every 16 s, later only for one collector, and then no more.
        match (tick / 150, tick % 8) {
            (0, 0) => drop(self.agent.snapshot(Duration::ZERO).await),
            (1, 0) => {
                let choice = Choice { collect: vec!["cpu".into()], exclude: Vec::new() };
                let one = self.agent.choose(&choice).unwrap();
                drop(self.agent.page_of(one, Some(Format::Prometheus), false, Duration::ZERO).await);
            }
            _ => {}
        }
        let found = self.agent.verdicts().items();
        found.map(|it| format!("{} ({}: {})", it.rule.name, it.title, it.detail)).collect()
    }
}

#[test]
fn fifteen_quiet_minutes_give_no_verdict_on_any_board() {
    const TICKS: u64 = 15 * 60 / STEP;
    for board in boards::all() {
        let tree = Tree::new(&board);
        boards::run(async {
            let agent = boards::agent_with_clock(&tree, &[]);
            let file = |(file, growth): &(&str, Growth)| {
                let path = tree.path().join(file);
                let text = std::fs::read_to_string(&path).ok()?;
                Some((path, (text, *growth)))
            };
            let texts = GROWTH.iter().filter_map(file).collect();
            let mut quiet = Quiet { tree, agent, texts };
            let ill = ILL.iter().find(|(name, _)| *name == board);
            let mut seen = Vec::new();
            for tick in 1..=TICKS {
                let found = quiet.tick(tick, false).await;
                assert!(ill.is_some() || found.is_empty(), "{board} after {} s: {found:?}", tick * STEP);
                seen = found;
            }
            if let Some((_, expected)) = ill {
                let rules: Vec<_> = seen.iter().map(|found| found.split(' ').next().unwrap_or_default()).collect();
                assert_eq!(rules, *expected, "{board}: {seen:?}");
            }
            // The board is judged: a CPU that stays busy is found.
            let mut found = Vec::new();
            for tick in TICKS + 1..TICKS + 25 {
                found = quiet.tick(tick, true).await;
            }
            assert!(found.iter().any(|found| found.starts_with("cpu_busy ")), "{board}: {found:?}");
            assert!(quiet.tree.path().exists());
        });
    }
}
