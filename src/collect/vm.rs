//! `/proc/vmstat`: page faults, swapping and processes killed for lack of memory.
//! <https://docs.kernel.org/filesystems/proc.html#vmstat>

use super::{Collect, Context, Registration};
use crate::kernel::text::{lines, place, take_word, uint};
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
        super::boxed(Vm { vmstat, page_size: sys::page_size(), killed })
    },
};

struct Vm {
    vmstat: Source,
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
        let Vm { vmstat, page_size, killed } = self;
        let (counters, result) = parse(vmstat.read()?);
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
#[derive(Debug, Default, PartialEq, Eq)]
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

/// Lines of a name and a number, such as `pgfault 8801822`.
///
/// Returns what could be read, and the first bad line.
fn parse(text: &[u8]) -> (Counters, Result<(), Bad>) {
    let mut counters = Counters::default();
    let Counters { oom_kills, faults, major_faults, swapped_in, swapped_out, reclaims } = &mut counters;
    let fields = [oom_kills, faults, major_faults, swapped_in, swapped_out, reclaims];
    const NAMES: &str = "oom_kill pgfault pgmajfault pswpin pswpout";
    const RECLAIMS: usize = 5;
    let mut first = First::new();
    let mut any = false;
    for (number, line) in lines(text) {
        let mut rest = line;
        // Most of the 100 to 200 lines already differ in their first letters.
        let field = match line {
            [b'o', ..] | [b'p', b'g', b'f' | b'm', ..] | [b'p', b's', b'w', ..] => {
                match place(take_word(&mut rest).unwrap_or_default(), NAMES) {
                    Some(field) => field,
                    None => continue,
                }
            }
            // One line for each zone, or a single one before Linux 4.10.
            [b'a', b'l', ..] if line.starts_with(b"allocstall") => {
                take_word(&mut rest);
                RECLAIMS
            }
            [b'n', b'r', b'_', ..] => {
                any = true;
                continue;
            }
            _ => continue,
        };
        any = true;
        match take_word(&mut rest).and_then(uint) {
            Some(count) if field == RECLAIMS => *fields[field] = Some(fields[field].unwrap_or(0).saturating_add(count)),
            Some(count) => *fields[field] = Some(count),
            None => first.note(Bad::new(number, "a name and a number", line)),
        }
    }
    if !any {
        first.note(Bad::missing("pgfault"));
    }
    (counters, first.result())
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = parse(text);
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
        assert_eq!(parse(text), (expected, Ok(())));
    }

    #[test]
    fn kernels_that_count_less_are_no_fault() {
        let (counters, result) = parse(b"nr_free_pages 12345\nnr_zone_inactive_anon 0\n");
        assert_eq!((counters, result), (Counters::default(), Ok(())));
    }

    #[test]
    fn one_bad_line_does_not_hide_the_others() {
        for bad in ["pgfault", "pgfault x", "pgfault -1", "pgfault 18446744073709551616"] {
            let (counters, result) = parse(format!("nr_free_pages 1\n{bad}\noom_kill 2\n").as_bytes());
            assert_eq!((counters.faults, counters.oom_kills), (None, Some(2)), "{bad}");
            assert_eq!(result.unwrap_err().line, 2, "{bad}");
        }
        assert!(parse(b"").1.is_err() && parse(b"garbage\n").1.is_err());
    }
}
