//! `/proc/vmstat`: page faults, swapping and processes killed for lack of memory.
//! <https://docs.kernel.org/filesystems/proc.html#vmstat>

use super::{Collect, Context, Registration};
use crate::kernel::text::{find, lines, place, take_uint, take_word};
use crate::kernel::{Bad, Cgroups, Fault, First, Source, cgroups, read_into};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;
use crate::sys;

pub static VM: Table<0, 6> = Table::new(
    Place::Inline,
    &[],
    &[
        Family::counter("pi_oom_kills_total", "Processes killed by the kernel's out-of-memory killer.", Unit::Count),
        Family::counter("pi_page_faults_total", "Page faults; a major one had to read from disk.", Unit::Count)
            .more(&More::NONE.by("kind", &["minor", "major"])),
        Family::counter("pi_swap_in_bytes_total", "Bytes read from swap.", Unit::Bytes)
            .more(&More::NONE.history(&[Chart::sum("swap_rate")])),
        Family::counter("pi_swap_out_bytes_total", "Bytes written to swap.", Unit::Bytes)
            .more(&More::NONE.history(&[Chart::sum("swap_rate")])),
        Family::counter(
            "pi_direct_reclaims_total",
            "Allocations that had to wait until the kernel had reclaimed memory for them.",
            Unit::Count,
        ),
    ],
);

/// Only the groups in which something was killed or that ran out of memory.
pub static GROUPS: Table<1, 3> = Table::new(
    Place::List("groups"),
    &["cgroup"],
    &[
        Family::counter(
            "pi_cgroup_oom_kills_total",
            "Processes of the control group killed by the out-of-memory killer, for whichever limit.",
            Unit::Count,
        ),
        Family::counter(
            "pi_cgroup_out_of_memory_total",
            "Times the control group was at its own memory limit and an allocation was about to fail.",
            Unit::Count,
        ),
        Family::gauge("pi_cgroup_memory_limit_bytes", "The control group's own memory limit.", Unit::Bytes),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "vm",
    summary: prose("page faults, swapping, out-of-memory kills"),
    source: reference("/proc/vmstat"),
    needs: Needs::reading("proc/vmstat sys/fs/cgroup"),
    tables: &[VM.head(), GROUPS.head()],
    flags: &[],
    new: |setup| {
        let vmstat = setup.proc("vmstat").in_small_records();
        let killed = Killed { cgroups: Cgroups::new(setup.roots), groups: Vec::new(), kills: None };
        super::boxed(Vm { vmstat, known: Vec::new(), page_size: sys::page_size(), killed })
    },
};

struct Vm {
    vmstat: Source,
    /// The lines that count, as they were at the last reading.
    known: Vec<Known>,
    page_size: u64,
    killed: Killed,
}

/// The groups of which a process was killed, or that ran out of memory.
struct Killed {
    cgroups: Cgroups,
    groups: Vec<Group>,
    /// The kernel's count of kills when the groups were last looked at.
    kills: Option<u64>,
}

/// A group's name, and its values as [`GROUPS`] has them.
struct Group {
    name: Vec<u8>,
    values: [Option<u64>; 3],
}

impl Killed {
    /// Looks at all groups if there was a kill since the last look.
    fn look(&mut self, kills: Option<u64>) {
        let Killed { cgroups: tree, groups, kills: known } = self;
        if kills == *known {
            return;
        }
        *known = kills;
        groups.clear();
        let (mut text, mut paths) = (Vec::new(), Vec::new());
        tree.each(&mut |path, _| {
            let mut number = |file: &str, name: &[u8]| {
                path.push(file);
                let read = read_into(path, &mut text);
                path.pop();
                read.ok()?;
                cgroups::number(&text, name)
            };
            // Of the group alone, from Linux 5.2 on; before that with those below it; version 1.
            const EVENTS: [&str; 3] = ["memory.events.local", "memory.events", "memory.oom_control"];
            let kills = EVENTS.iter().find_map(|file| number(file, b"oom_kill "));
            let exhausted = EVENTS[..2].iter().find_map(|file| number(file, b"oom "));
            if kills.unwrap_or(0) > 0 || exhausted.unwrap_or(0) > 0 {
                let limit = ["memory.max", "memory.limit_in_bytes"].iter().find_map(|file| number(file, b""));
                // Version 1 writes the largest number of pages for none.
                let limit = limit.filter(|limit| *limit < 1 << 62);
                paths.push((path.clone(), [kills, exhausted, limit]));
            }
            false
        });
        for (path, values) in &paths {
            groups.push(Group { name: tree.name(path).to_owned(), values: *values });
        }
    }
}

impl Collect for Vm {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Vm { vmstat, known, page_size, killed } = self;
        // The kernel prints the same lines every time, and what follows the last one that counts need not be printed.
        let start = known.last().map(|last| last.at + LINE_MAX).filter(|end| *end <= PAGE && vmstat.is_original());
        let again = start.map(|end| vmstat.read_first(end)).transpose()?.and_then(|text| parse_again(text, known));
        let (counters, result) = match again {
            Some(counters) => (counters, Ok(())),
            None => match vmstat.read()? {
                // A container's copy that says nothing.
                b"" => return Ok(()),
                text => parse(text, known),
            },
        };
        let Counters { oom_kills, faults, major_faults, swapped_in, swapped_out, reclaims } = counters;
        let minor_faults = faults.zip(major_faults).map(|(all, major)| all.saturating_sub(major));
        let bytes = |pages: Option<u64>| pages.map(|pages| pages.saturating_mul(*page_size));
        let values = [
            oom_kills.into(),
            minor_faults.into(),
            major_faults.into(),
            bytes(swapped_in).into(),
            bytes(swapped_out).into(),
            reclaims.into(),
        ];
        out.row(&VM, [], values);
        killed.look(oom_kills);
        for Group { name, values } in &killed.groups {
            out.row(&GROUPS, [name], values.map(Value::from));
        }
        result.map_err(|bad| vmstat.refuse(bad))
    }
}

/// What the kernel counts; it leaves out what it was built without (oom_kill is there from Linux 4.13 on).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counters {
    oom_kills: Option<u64>,
    /// Minor and major ones.
    faults: Option<u64>,
    major_faults: Option<u64>,
    /// Pages.
    swapped_in: Option<u64>,
    swapped_out: Option<u64>,
    /// Of all zones together.
    reclaims: Option<u64>,
}

impl Counters {
    /// Takes a line's number; returns whether it is one.
    fn add(&mut self, field: usize, mut number: &[u8]) -> bool {
        let Counters { oom_kills, faults, major_faults, swapped_in, swapped_out, reclaims } = self;
        let fields = [oom_kills, faults, major_faults, swapped_in, swapped_out, reclaims];
        let Some(count) = take_uint(&mut number) else { return false };
        let before = fields[field].filter(|_| field == RECLAIMS).unwrap_or(0);
        *fields[field] = Some(before.saturating_add(count));
        true
    }
}

/// What the lines of [`Counters`]' fields are called, and the place of the last one, which has a line for each zone, or a single one
/// before Linux 4.10.
const NAMES: &str = "oom_kill pgfault pgmajfault pswpin pswpout";
const RECLAIMS: usize = 5;

/// A line that counts: where in the text it begins, and for which of the counters it is.
#[derive(Clone, Copy)]
struct Known {
    at: usize,
    field: usize,
}

/// More than one of these lines takes, and by more than lines before it become longer.
const LINE_MAX: usize = 128;
const PAGE: usize = 4096;

/// Takes the name of a line that counts from its front, and returns the place of its field.
fn take_field(line: &mut &[u8]) -> Option<usize> {
    // Most of the 100 to 200 lines already differ in their first letters.
    match line {
        [b'o', ..] | [b'p', b'g', b'f' | b'm', ..] | [b'p', b's', b'w', ..] => place(take_word(line)?, NAMES),
        [b'a', b'l', ..] => take_word(line)?.starts_with(b"allocstall").then_some(RECLAIMS),
        _ => None,
    }
}

/// Lines of a name and a number, such as `pgfault 8801822`.
///
/// Returns what could be read, and the first bad line. Remembers the lines that count if there is no bad one.
fn parse(text: &[u8], known: &mut Vec<Known>) -> (Counters, Result<(), Bad>) {
    known.clear();
    let mut counters = Counters::default();
    let mut first = First::new();
    let mut any = false;
    let mut end = 0;
    for (number, line) in lines(text) {
        let (mut rest, at) = (line, end);
        end += line.len() + 1;
        any |= line.starts_with(b"nr_");
        let Some(field) = take_field(&mut rest) else { continue };
        any = true;
        known.push(Known { at, field });
        if !counters.add(field, rest) {
            first.note(Bad::new(number, "a name and a number", line));
        }
    }
    if !any {
        first.note(Bad::missing("pgfault"));
    }
    let result = first.result();
    if result.is_err() {
        known.clear();
    }
    (counters, result)
}

/// Looks for the lines that count near where they were; `None` if one of them is elsewhere, is cut off or is bad.
fn parse_again(text: &[u8], known: &mut [Known]) -> Option<Counters> {
    /// By how much the lines between two of these may become shorter, and behind how many others one is looked for.
    const BEFORE: usize = 8;
    const OTHERS: usize = 2;
    let mut counters = Counters::default();
    // By how much the line before has moved, and where it ends.
    let (mut shift, mut end) = (0, 0);
    for Known { at, field } in known {
        let near = at.wrapping_add(shift).saturating_sub(BEFORE);
        if near > end {
            end = near + find(b'\n', text.get(near..)?)? + 1;
        }
        let mut others = 0;
        let begin = loop {
            let begin = end;
            let length = find(b'\n', text.get(begin..)?)?;
            end += length + 1;
            let mut line = &text[begin..begin + length];
            if take_field(&mut line) == Some(*field) {
                if !counters.add(*field, line) {
                    return None;
                }
                break begin;
            }
            if others == OTHERS {
                return None;
            }
            others += 1;
        };
        shift = begin.wrapping_sub(*at);
        *at = begin;
    }
    Some(counters)
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let mut known = Vec::new();
    let _ = parse(text, &mut known);
    let _ = parse_again(text, &mut known);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines() {
        let text = b"nr_free_pages 12345
nr_unstable 0
pgpgin 2781000
pswpin 9876
pswpout 21345
allocstall_dma32 3
allocstall_normal 40
pgfault 987654321
pgmajfault 43210
pgscan_kswapd 0
oom_kill 1
unevictable_pgs_culled 0
";
        let expected = Counters {
            oom_kills: Some(1),
            faults: Some(987_654_321),
            major_faults: Some(43_210),
            swapped_in: Some(9876),
            swapped_out: Some(21_345),
            reclaims: Some(43),
        };
        let mut known = Vec::new();
        assert_eq!(parse(text, &mut known), (expected.clone(), Ok(())));
        assert_eq!(parse_again(text, &mut known), Some(expected));
    }

    #[test]
    fn kernels_that_count_less_are_no_fault() {
        let (counters, result) = parse(b"nr_free_pages 12345\nnr_zone_inactive_anon 0\n", &mut Vec::new());
        assert_eq!((counters, result), (Counters::default(), Ok(())));
    }

    #[test]
    fn one_bad_line_does_not_hide_the_others() {
        for bad in ["pgfault", "pgfault x", "pgfault -1", "pgfault 18446744073709551616"] {
            let (counters, result) = parse(format!("nr_free_pages 1\n{bad}\noom_kill 2\n").as_bytes(), &mut Vec::new());
            assert_eq!((counters.faults, counters.oom_kills), (None, Some(2)), "{bad}");
            assert_eq!(result.unwrap_err().line, 2, "{bad}");
        }
        assert!(parse(b"", &mut Vec::new()).1.is_err() && parse(b"garbage\n", &mut Vec::new()).1.is_err());
    }

    /// What `parse` makes of every text that differs from one of the kernel's in its numbers, `parse_again` makes of it, or leaves it to
    /// `parse`. Cut off anywhere, it is left to `parse`, too.
    #[test]
    fn lines_are_found_again_whatever_becomes_of_the_numbers() {
        const LINES: [&str; 16] = [
            "nr_free_pages",
            "nr_dirty",
            "nr_writeback",
            "pgpgin",
            "pswpin",
            "pswpout",
            "allocstall_dma",
            "allocstall_dma32",
            "allocstall_normal",
            "pgskip_dma",
            "pgfault",
            "pgmajfault",
            "pgrefill",
            "pgreuse",
            "oom_kill",
            "numa_hit",
        ];
        let mut state = 7_u64;
        let mut known = Vec::new();
        let (mut found, mut left) = (0, 0);
        for _ in 0..5_000 {
            let text: String = LINES.iter().fold(String::new(), |text, name| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Mostly of about the same length.
                let number = (state >> 33) % if state >> 60 == 0 { 1 << 30 } else { 1000 };
                format!("{text}{name} {number}\n")
            });
            let text = text.as_bytes();
            let expected = parse(text, &mut Vec::new()).0;
            match parse_again(text, &mut known) {
                Some(counters) if !known.is_empty() => {
                    found += 1;
                    assert_eq!(counters, expected);
                }
                _ => {
                    left += 1;
                    assert_eq!(parse(text, &mut known).0, expected);
                }
            }
            let end = text.len() - "numa_hit 0".len();
            for cut in (0..end).step_by(7) {
                if let Some(counters) = parse_again(&text[..cut], &mut known.clone()) {
                    assert_eq!(counters, expected, "{cut}");
                }
            }
        }
        assert!(found > 3_000 && left > 100, "{found} {left}");
    }
}
