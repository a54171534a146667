//! What the sandbox lets a collector read is what the collector says that it needs.

use crate::boards::{self, Board, Tree};
use pi_monitor::collect;
use pi_monitor::format::Format;
use std::collections::HashSet;

/// The samples of one collector on its own.
fn samples(tree: &Tree, collector: &str) -> String {
    let switch = format!("--collector.{collector}");
    let flags = ["--collector.disable-defaults", &switch];
    boards::run(async { boards::page(&mut boards::agent(tree, &flags), Format::Prometheus).await })
}

#[test]
fn a_collector_reads_only_what_it_declares() {
    let mut seen = HashSet::new();
    for name in boards::all() {
        let board = Board::read(&boards::file(&name)).unwrap();
        let whole = Tree::of(&board, &name);
        let none = Tree::of(&Board::default(), &name);
        for registration in collect::ALL {
            // That file stands for statfs(), and is read by the tests.
            let paths =
                registration.needs.paths.split_ascii_whitespace().chain(["root/statfs.txt"]).collect::<Vec<_>>();
            let part = Tree::of(&board.only(&paths), registration.name);
            let (all, declared) = (samples(&whole, registration.name), samples(&part, registration.name));
            let missing = all.lines().find(|line| !declared.lines().any(|other| other == *line));
            assert_eq!(missing, None, "{name}: {} reads what is not in its needs", registration.name);
            assert_eq!(declared, all, "{name}: {}", registration.name);
            // Without all that, there is less to tell; else a wrong path would change nothing.
            if samples(&none, registration.name) != all {
                seen.insert(registration.name);
            }
        }
    }
    for registration in collect::ALL {
        // What a flag names is on no board.
        if registration.needs.paths.is_empty() || !registration.needs.rights.named_by.is_empty() {
            continue;
        }
        assert!(seen.contains(registration.name), "no board shows what {} reads", registration.name);
    }
}

#[test]
fn needs_are_paths_of_the_three_trees_or_of_the_machine() {
    for registration in collect::ALL {
        let needs = registration.needs;
        assert!(!needs.paths.is_empty() || !needs.rights.calls.is_empty(), "{} reads nothing", registration.name);
        for path in registration.needs.paths.split_ascii_whitespace() {
            let (tree, rest) = path.split_once('/').unwrap_or((path, "x"));
            assert!(
                matches!(tree, "proc" | "sys" | "root" | "") && !rest.is_empty() && !path.ends_with('/'),
                "{}: {path}",
                registration.name
            );
        }
    }
}
