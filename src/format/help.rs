//! What the families' help says, which the build script compresses.

use crate::model::{Family, crc32};
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use std::sync::OnceLock;

/// For each family the low half of its name's checksum, the length of its help, and its help.
static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/help.deflate"));
const LENGTH_MAX: usize = 1 << 16;

/// Returns what a family's help says; nothing for one that no collector declares.
pub fn help(family: &Family) -> &'static str {
    static PLAIN: OnceLock<Vec<u8>> = OnceLock::new();
    #[cfg(test)]
    if !family.help.is_empty() {
        return family.help;
    }
    let mut rest =
        PLAIN.get_or_init(|| decompress_to_vec_with_limit(COMPRESSED, LENGTH_MAX).unwrap_or_default()).as_slice();
    let [low, high, ..] = crc32(0, family.name.as_bytes()).to_le_bytes();
    while let [one, two, length, behind @ ..] = rest {
        let Some((text, next)) = behind.split_at_checked(usize::from(*length)) else { break };
        if [*one, *two] == [low, high] {
            return std::str::from_utf8(text).unwrap_or_default();
        }
        rest = next;
    }
    foreign(family.name).unwrap_or_default()
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
