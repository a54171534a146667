//! What is taken from all files together: no name and no series twice, neither in the text format nor in OpenMetrics.

use super::parse::Found;
use super::{BYTES_MAX, FAMILIES_MAX, SERIES_MAX};
use crate::collect::{ALL, Reserved};
use crate::kernel::Bad;
use crate::model::{Foreign, ForeignFamily, Kind, PARTS, Unit};

/// What is taken from all files.
pub struct Merged {
    families: Vec<ForeignFamily>,
    taken: Taken,
    bytes: usize,
    series: usize,
}

impl Merged {
    /// Begins with the names of the agent's own families, whether their collectors are on or off, and those that are reserved.
    pub fn new(reserved: Reserved) -> Self {
        let mut taken = Taken { slots: vec![0; SLOTS], used: 0 };
        for family in ALL.iter().flat_map(|collector| collector.tables).flat_map(|head| head.families) {
            let kind = match (family.kind, family.unit) {
                (Kind::Counter, _) => "counter",
                (_, Unit::Info) => "info",
                _ => "gauge",
            };
            taken.names(family.name().as_bytes(), kind);
        }
        reserved(&mut |name, kind| {
            taken.names(name.as_bytes(), if kind == Kind::Counter { "counter" } else { "gauge" });
            if name.ends_with('_') {
                taken.take(hash(&[START, name.as_bytes()]));
            }
        });
        Merged { families: Vec::new(), taken, bytes: 0, series: 0 }
    }

    /// Adds the families of a file, and notes each family and series that had to be left out.
    pub fn add(&mut self, found: Vec<Found>, note: &mut dyn FnMut(Bad)) {
        let Merged { families, taken, bytes, series } = self;
        for Found { line, mut family } in found {
            let found = std::mem::take(&mut family.samples);
            if found.is_empty() {
                continue;
            }
            let place = match families.iter().position(|other| other.name == family.name) {
                Some(place) if families[place].kind == family.kind => place,
                None if families.len() < FAMILIES_MAX && taken.names(&family.name, family.kind) => {
                    families.push(family);
                    families.len() - 1
                }
                _ => {
                    note(Bad::new(
                        line,
                        "a name and type that no other file and no family of Pi-Monitor contradicts",
                        &family.name,
                    ));
                    continue;
                }
            };
            let samples = &mut families[place].samples;
            for sample in found.split_inclusive(|&byte| byte == b'\n') {
                let end = sample.iter().rposition(|&byte| byte == b' ').unwrap_or(0);
                if *bytes + sample.len() > BYTES_MAX || *series >= SERIES_MAX {
                    note(Bad::new(line, "512 KiB and 20,000 series in all files together", sample));
                    break;
                }
                if taken.take(hash(&[b"series ", &sample[..end]])) {
                    samples.extend_from_slice(sample);
                    *bytes += sample.len();
                    *series += 1;
                } else {
                    note(Bad::new(line, "each series once", &sample[..end]));
                }
            }
        }
    }

    /// Returns what was taken.
    pub fn finish(self) -> Foreign {
        let Merged { mut families, .. } = self;
        for family in &mut families {
            family.is_exact = is_exact(family);
        }
        Foreign { families }
    }
}

/// Hashes of names, in a table that is less than half full.
struct Taken {
    slots: Vec<u64>,
    used: usize,
}

const SLOTS: usize = 1 << 16;
/// What stands before the hashed beginning of names that are taken.
const START: &[u8] = b"start ";

impl Taken {
    /// Returns the slot of a hash, or the empty one for it.
    fn slot(&self, hash: u64) -> usize {
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot] != 0 && self.slots[slot] != hash {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }

    /// Takes a name; returns false if it is taken.
    fn take(&mut self, hash: u64) -> bool {
        let slot = self.slot(hash);
        let is_new = self.slots[slot] == 0 && self.used < SLOTS - 1;
        if is_new {
            self.slots[slot] = hash;
            self.used += 1;
        }
        is_new
    }

    /// Takes all names that a family may have in some format; returns false if one is taken.
    fn names(&mut self, name: &[u8], kind: &str) -> bool {
        let (own, ends): (&[u8], &[&str]) = match kind {
            "counter" => (b"_total", &["", "_total", "_created"]),
            "info" => (b"_info", &["", "_info"]),
            "histogram" | "summary" => (b"", &["", "_bucket", "_sum", "_count", "_created"]),
            _ => (b"", &[""]),
        };
        let stem = name.strip_suffix(own).unwrap_or(name);
        let hash = |end: &str| hash(&[stem, end.as_bytes()]);
        let has = |hash| self.slots[self.slot(hash)] != 0;
        let begins_taken = |end| name[end] == b'_' && has(self::hash(&[START, &name[..=end]]));
        if ends.iter().any(|end| has(hash(end))) || (0..name.len()).any(begins_taken) {
            return false;
        }
        for end in ends {
            self.take(hash(end));
        }
        true
    }
}

/// FNV-1a, never 0.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for &byte in *part {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash | 1 << 63
}

/// Returns what a sample's name adds to that of the family, if the family is a histogram or a summary that it is a part of.
pub fn part_of<'a>(name: &'a [u8], family: &ForeignFamily) -> Option<&'a [u8]> {
    let part = name.strip_prefix(&family.name[..])?;
    let first = match family.kind {
        "histogram" => 1,
        "summary" => 2,
        _ => return None,
    };
    PARTS[first..].iter().any(|known| known.as_bytes() == part).then_some(part)
}

/// Returns whether OpenMetrics allows the samples of a family to have its kind. Its rules for histograms and summaries are many, and
/// about all samples of a family together; their series are of unknown type there.
fn is_exact(family: &ForeignFamily) -> bool {
    let name = &family.name[..];
    let is_counted = |line: &[u8]| !matches!(family.split(line).2, [b'-' | b'N', ..]);
    match family.kind {
        "counter" => name.ends_with(b"_total") && name.len() > 6 && family.lines().all(is_counted),
        kind => kind == "gauge",
    }
}
