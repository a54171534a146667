//! What the families' help says.

use crate::model::Family;
use std::sync::OnceLock;

/// Returns what a family's help says; nothing for one that no collector declares.
pub fn help(family: &Family) -> &'static str {
    let help = family.help();
    if help.is_empty() { foreign(family.name()).unwrap_or_default() } else { help }
}

/// The help of families that no collector declares: lines of a kind, a name, where it is read, and the help. Where it is read in `*`,
/// names only begin with the name.
static FOREIGN: OnceLock<&'static str> = OnceLock::new();

/// Takes the help of another program's families.
pub fn explain(table: &'static str) {
    let _ = FOREIGN.set(table);
}

fn foreign(name: &str) -> Option<&'static str> {
    for line in FOREIGN.get()?.lines() {
        let mut words = line.splitn(4, ' ').skip(1);
        let (Some(known), Some(source), Some(help)) = (words.next(), words.next(), words.next()) else { continue };
        if known == name || source == "*" && name.starts_with(known) {
            return Some(help);
        }
    }
    None
}
