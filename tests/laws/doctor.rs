//! The doctor on every board, and the document that explains what it finds.

use crate::boards::{self, Tree};
use pi_monitor::doctor::{self, Words};
use pi_monitor::model::{Outcome, check_texts};
use std::path::Path;
use std::time::Duration;

/// What the doctor finds on the boards, beside verdicts, and what it cannot see there: a board has no radio and no clock.
const FOUND: &[(&str, &[&str])] = &[
    ("cm-5", &["memory_accounting"]),
    ("hostile", &["throttled_since_boot", "filesystem_errors"]),
    ("nas", &["filesystem_errors"]),
    ("pi-3a-plus", &[]),
    ("pi-5", &["memory_accounting"]),
    ("pi-zero-2", &["throttled_since_boot", "filesystem_errors", "swap_on_card", "psi", "memory_accounting"]),
    ("vm", &[]),
];

#[test]
fn each_board_has_its_findings_and_no_others() {
    assert_eq!(FOUND.iter().map(|(board, _)| *board).collect::<Vec<_>>(), boards::all());
    for (board, expected) in FOUND {
        let tree = Tree::new(board);
        let mut found = Vec::new();
        let mut details = Vec::new();
        boards::run(async {
            let mut agent = boards::agent(&tree, &[]);
            agent.snapshot(Duration::ZERO).await;
            agent.diagnose(&mut |looked| {
                let is_check = looked.page.ends_with("doctor.md#");
                if is_check && matches!(looked.outcome, Outcome::Found(_)) {
                    found.push(looked.name.to_owned());
                    details.push(looked.detail.to_owned());
                }
            });
        });
        assert_eq!(found, *expected, "{board}: {details:?}");
    }
}

/// What only days show is nothing that a single look has seen.
#[test]
fn what_takes_days_is_not_seen_at_first() {
    for board in boards::all() {
        let tree = Tree::new(&board);
        let mut unseen = Vec::new();
        boards::run(async {
            let mut agent = boards::agent(&tree, &[]);
            agent.snapshot(Duration::ZERO).await;
            agent.diagnose(&mut |looked| {
                if looked.page == "docs/rules.md" && looked.outcome == Outcome::Unseen {
                    assert!(looked.detail.contains("days") && !looked.fix.is_empty(), "{looked:?}");
                    unseen.push(looked.name.to_owned());
                }
            });
        });
        assert_eq!(unseen, ["filesystem_full_soon"], "{board}");
    }
}

/// `docs/fix/doctor.md` has a section for each check, in their order, which quotes what it says.
#[test]
fn each_check_is_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fix/doctor.md");
    let text = std::fs::read_to_string(path).unwrap();
    let sections: Vec<_> = text.split("\n### ").skip(1).collect();
    let headings: Vec<_> = sections.iter().map(|section| section.lines().next().unwrap()).collect();
    let texts = check_texts();
    let mut rest = &*texts;
    let checks: Vec<_> = doctor::ALL.iter().map(|_| Words::take(&mut rest)).collect();
    assert_eq!(headings, checks.iter().map(|check| check.name).collect::<Vec<_>>());
    for (section, check) in sections.iter().zip(checks) {
        assert!(section.contains(check.title), "docs/fix/doctor.md: {} does not say {:?}", check.name, check.title);
        // What is typed stands behind a colon.
        for part in check.fix.split(';').filter_map(|part| Some(part.split_once(": ")?.1)) {
            let typed = part.split('$').next().unwrap().trim();
            assert!(section.contains(typed), "docs/fix/doctor.md: {} does not say {typed:?}", check.name);
        }
    }
}
