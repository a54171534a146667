//! `/proc/meminfo`: how the memory is used.
//! <https://docs.kernel.org/filesystems/proc.html#meminfo>
//!
//! `/proc/spl/kstat/zfs/arcstats`: the cache of ZFS, which the kernel counts as used.

use super::{Collect, Context, Registration};
use crate::kernel::text::{find, lines, place, take_uint, uint, words};
use crate::kernel::{Bad, Fault, Source};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;

/// Returns a gauge in bytes.
const fn bytes(name: &'static str, help: &'static str) -> Family {
    Family::gauge(name, help, Unit::Bytes)
}

pub static MEMORY: Table<0, 25> = Table::new(
    Place::Inline,
    &[],
    &[
        bytes("pi_memory_total_bytes", "Usable memory: installed memory minus what firmware and kernel reserve."),
        bytes("pi_memory_used_bytes", "Memory in use: total minus available, as `free` counts it.")
            .more(&More::NONE.history(&[Chart::first("memory_used")])),
        bytes("pi_memory_free_bytes", "Memory that nothing uses, not even a cache."),
        bytes(
            "pi_memory_available_bytes",
            "Memory that programs can have without swapping, as the kernel or, before Linux 3.14, the agent estimates it.",
        ),
        bytes("pi_memory_buffers_bytes", "Cache of raw block devices."),
        bytes("pi_memory_cached_bytes", "Page cache, including shared memory and tmpfs.")
            .more(&More::NONE.history(&[Chart::first("memory_cached")])),
        bytes("pi_memory_swap_total_bytes", "Swap space."),
        bytes("pi_memory_swap_used_bytes", "Swap space in use.")
            .more(&More::NONE.history(&[Chart::first("swap_used")])),
        bytes("pi_memory_swap_free_bytes", "Free swap space."),
        bytes("pi_memory_swap_cached_bytes", "Memory whose pages also have a copy in swap."),
        bytes("pi_memory_active_bytes", "Memory used recently, which is rarely reclaimed."),
        bytes("pi_memory_inactive_bytes", "Memory not used recently, which is reclaimed first."),
        bytes("pi_memory_anonymous_bytes", "Anonymous memory: mapped by programs and not backed by a file."),
        bytes("pi_memory_mapped_bytes", "Files mapped into the memory of programs."),
        bytes("pi_memory_shared_bytes", "Shared memory, including tmpfs."),
        bytes("pi_memory_slab_bytes", "The kernel's own data structures."),
        bytes(
            "pi_memory_slab_reclaimable_bytes",
            "Slab memory that can be reclaimed, such as caches of names and inodes.",
        ),
        bytes("pi_memory_kernel_stack_bytes", "Kernel stacks of all threads."),
        bytes("pi_memory_page_tables_bytes", "Page tables, which map virtual to physical addresses."),
        bytes("pi_memory_dirty_bytes", "Data waiting to be written to disk."),
        bytes("pi_memory_writeback_bytes", "Data being written to disk right now."),
        bytes("pi_memory_committed_bytes", "Memory committed to programs, whether they use it or not."),
        bytes("pi_memory_commit_limit_bytes", "Memory that may be committed under strict overcommit accounting."),
        bytes("pi_memory_cma_total_bytes", "Contiguous memory reserved for devices such as camera and display (CMA)."),
        bytes("pi_memory_cma_free_bytes", "Free contiguous memory (CMA)."),
    ],
);

pub static ZFS: Table<0, 1> = Table::new(
    Place::Object("zfs"),
    &[],
    &[bytes(
        "pi_memory_zfs_reclaimable_bytes",
        "Cache of ZFS (ARC) beyond its minimum: the kernel counts it as used, programs can have it.",
    )],
);

pub static COLLECTOR: Registration = Registration {
    name: "memory",
    summary: prose("memory and swap"),
    source: reference("/proc/meminfo, /proc/spl/kstat/zfs/arcstats"),
    needs: Needs::reading("proc/meminfo proc/spl/kstat/zfs"),
    tables: &[MEMORY.head(), ZFS.head()],
    flags: &[],
    new: |setup| {
        super::boxed(Memory {
            meminfo: setup.proc("meminfo").in_small_records(),
            arc: setup.proc("spl/kstat/zfs/arcstats").in_small_records(),
            known: Vec::new(),
            doubted: false,
        })
    },
};

struct Memory {
    meminfo: Source,
    /// The cache of ZFS, if that is loaded.
    arc: Source,
    /// The lines of meminfo at the last reading.
    known: Vec<Known>,
    /// Whether the last reading contradicted itself, which is logged once.
    doubted: bool,
}

impl Collect for Memory {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Memory { meminfo, known, doubted, .. } = self;
        let (mut info, bad) = parse(meminfo.read()?, known);
        let result = bad.map_or(Ok(()), |bad| Err(meminfo.refuse(bad)));
        let estimated = info.available.is_none_or(|bytes| bytes == 0).then(|| info.estimate()).flatten();
        let odd = info.drop_contradictions();
        if let (Some(name), false) = (odd, *doubted) {
            crate::debug!("{}: {name} is more than the whole that it is a part of", meminfo.path().display());
        }
        *doubted = odd.is_some();
        // It is a part of what is used.
        if let Some(bytes) = self.read_arc().filter(|&bytes| info.total.is_none_or(|total| bytes <= total)) {
            out.row(&ZFS, [], [bytes.into()]);
        }
        info.available = match info.available {
            // The kernel subtracts its reserve (`si_mem_available`), which is more than all of it on machines with little memory: 0 says
            // nothing where much could be had.
            Some(0) if estimated.zip(info.total).is_some_and(|(bytes, total)| bytes >= total / 4) => estimated,
            available => available.or(estimated),
        };
        let used = |total: Option<u64>, free: Option<u64>| total?.checked_sub(free?);
        let values = [
            info.total,
            used(info.total, info.available),
            info.free,
            info.available,
            info.buffers,
            info.cached,
            info.swap_total,
            used(info.swap_total, info.swap_free),
            info.swap_free,
            info.swap_cached,
            info.active,
            info.inactive,
            info.anonymous,
            info.mapped,
            info.shared,
            info.slab,
            info.slab_reclaimable,
            info.kernel_stack,
            info.page_tables,
            info.dirty,
            info.writeback,
            info.committed,
            info.commit_limit,
            info.cma_total,
            info.cma_free,
        ];
        out.row(&MEMORY, [], values.map(Value::from));
        result
    }
}

impl Memory {
    /// Returns the size of ZFS's cache.
    fn read_arc(&mut self) -> Option<u64> {
        parse_arc(self.arc.try_read().ok()?)
    }
}

/// What is reported of meminfo, in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Info {
    total: Option<u64>,
    free: Option<u64>,
    available: Option<u64>,
    buffers: Option<u64>,
    cached: Option<u64>,
    swap_total: Option<u64>,
    swap_free: Option<u64>,
    swap_cached: Option<u64>,
    active: Option<u64>,
    inactive: Option<u64>,
    anonymous: Option<u64>,
    mapped: Option<u64>,
    shared: Option<u64>,
    slab: Option<u64>,
    slab_reclaimable: Option<u64>,
    kernel_stack: Option<u64>,
    page_tables: Option<u64>,
    dirty: Option<u64>,
    writeback: Option<u64>,
    committed: Option<u64>,
    commit_limit: Option<u64>,
    cma_total: Option<u64>,
    cma_free: Option<u64>,
}

/// What meminfo calls the fields of [`Info::fields`].
const NAMES: &str = "MemFree MemAvailable Buffers Cached SwapCached Active Inactive AnonPages Mapped Shmem Slab SReclaimable \
    KernelStack PageTables Dirty Writeback CmaTotal MemTotal SwapTotal SwapFree Committed_AS CommitLimit CmaFree";
/// How many of them are parts of the total; they come first.
const PARTS: usize = 17;
/// The places of those that are parts of something else.
const SLAB_RECLAIMABLE: usize = 11;
const SWAP_FREE: usize = 19;
const CMA_FREE: usize = 22;

impl Info {
    fn fields(&mut self) -> [&mut Option<u64>; 23] {
        [
            &mut self.free,
            &mut self.available,
            &mut self.buffers,
            &mut self.cached,
            &mut self.swap_cached,
            &mut self.active,
            &mut self.inactive,
            &mut self.anonymous,
            &mut self.mapped,
            &mut self.shared,
            &mut self.slab,
            &mut self.slab_reclaimable,
            &mut self.kernel_stack,
            &mut self.page_tables,
            &mut self.dirty,
            &mut self.writeback,
            &mut self.cma_total,
            &mut self.total,
            &mut self.swap_total,
            &mut self.swap_free,
            &mut self.committed,
            &mut self.commit_limit,
            &mut self.cma_free,
        ]
    }

    /// Memory that programs can have: what is free, and the caches without shared memory, which the kernel counts among them.
    fn estimate(&self) -> Option<u64> {
        let (total, free, cached) = (self.total?, self.free?, self.cached?);
        let caches = cached.saturating_sub(self.shared.unwrap_or(0));
        let more = self.buffers.unwrap_or(0).saturating_add(self.slab_reclaimable.unwrap_or(0));
        Some(free.saturating_add(caches).saturating_add(more).min(total))
    }

    /// Forgets what is more than the whole that it is a part of; returns the name of one such number.
    fn drop_contradictions(&mut self) -> Option<&'static str> {
        let mut odd = None;
        for (name, field) in self.fields().into_iter().enumerate() {
            // Below zero, as containers' copies of the file have it.
            if *field == Some(u64::MAX) {
                (*field, odd) = (None, Some(name));
            }
        }
        let Info { total, swap_total, cma_total, slab, .. } = *self;
        let mut check = |part: &mut Option<u64>, whole: Option<u64>, name| {
            if part.zip(whole).is_some_and(|(part, whole)| part > whole) {
                (*part, odd) = (None, Some(name));
            }
        };
        check(&mut self.slab_reclaimable, slab, SLAB_RECLAIMABLE);
        check(&mut self.swap_free, swap_total, SWAP_FREE);
        check(&mut self.cma_free, cma_total, CMA_FREE);
        for (name, part) in self.fields().into_iter().take(PARTS).enumerate() {
            check(part, total, name);
        }
        odd.and_then(|name| NAMES.split(' ').nth(name))
    }
}

/// Returns how much of the ARC can be given back: `size` less `c_min`, of lines such as `size 4 2684354560` (name, type, number).
fn parse_arc(text: &[u8]) -> Option<u64> {
    let (mut size, mut least) = (None, None);
    for (_, line) in lines(text) {
        let mut words = words(line);
        let field = match place(words.next().unwrap_or_default(), "size c_min") {
            Some(0) => &mut size,
            Some(_) => &mut least,
            None => continue,
        };
        *field = words.nth(1).and_then(uint);
    }
    Some(size?.saturating_sub(least?))
}

/// A line of the last reading. The kernel prints the same lines every time, and a few bytes tell which one it is.
#[derive(Clone, Copy)]
struct Known {
    /// Its first bytes, which are more than the longest name that counts with its colon.
    start: Start,
    /// The length of its name with the colon.
    name: u8,
    /// Which of the fields it is for, if it is for one.
    field: u8,
}

/// 16 bytes as a number, which is compared in two instructions.
type Start = u128;

fn start(line: &[u8]) -> Option<Start> {
    line.first_chunk().map(|start| Start::from_le_bytes(*start))
}

/// The most lines that are remembered; the kernel prints about 50.
const KNOWN_MAX: usize = 100;

/// Lines such as `MemTotal:         437516 kB`; the unit is always KiB. Lines of other names are left alone.
///
/// Returns what could be read, and the first bad line or the missing total.
#[cfg_attr(small, optimize(speed))]
fn parse(text: &[u8], known: &mut Vec<Known>) -> (Info, Option<Bad>) {
    let mut info = Info::default();
    let mut fields = info.fields();
    let mut first = None;
    let (mut rest, mut number) = (text, 0);
    while !rest.is_empty() {
        let line = rest;
        let (name, field) = match known.get(number) {
            Some(known) if start(line) == Some(known.start) => (usize::from(known.name), usize::from(known.field)),
            _ => match learn(line, number, known) {
                Some(found) => found,
                None => break,
            },
        };
        number += 1;
        if let Some(field) = fields.get_mut(field) {
            let mut after = line.get(name..).unwrap_or_default();
            let bytes = take_uint(&mut after).map(|kib| kib.saturating_mul(1024));
            // What a good line ends in is known, so its end need not be looked for.
            if let (Some(bytes), Some((b" kB\n", behind))) = (bytes, after.split_first_chunk()) {
                (**field, rest) = (Some(bytes), behind);
                continue;
            }
            note(&mut first, number, line);
        }
        rest = behind_line(line);
    }
    if info.total.is_none_or(|total| total == u64::MAX) {
        first.get_or_insert(Bad::missing("MemTotal"));
    }
    (info, first)
}

/// Remembers a line, if it is long enough. Returns the length of its name with the colon, and which of the fields it is for; there is
/// none for a large number.
#[inline(never)]
fn learn(line: &[u8], number: usize, known: &mut Vec<Known>) -> Option<(usize, usize)> {
    let colon = find(b':', line)?;
    let field = place(&line[..colon], NAMES).unwrap_or(usize::MAX);
    known.truncate(number);
    if let (Some(start), true) = (start(line), number < KNOWN_MAX) {
        // Longer names are none that count.
        known.push(Known { start, name: (colon as u8).wrapping_add(1), field: field as u8 });
    }
    Some((colon + 1, field))
}

/// Notes that a line is bad, if it is the first one.
#[inline(never)]
fn note(first: &mut Option<Bad>, number: usize, line: &[u8]) {
    let line = line[..line.len() - behind_line(line).len()].trim_ascii_end();
    first.get_or_insert(Bad::new(number, "a name, a number and kB", line));
}

/// Returns what comes after the first line of `text`.
fn behind_line(text: &[u8]) -> &[u8] {
    find(b'\n', text).map_or(b"", |end| &text[end + 1..])
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let mut known = Vec::new();
    let once = parse(text, &mut known);
    assert_eq!(once, parse(text, &mut known));
    let _ = parse_arc(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a text twice: what was learned changes nothing.
    fn parse(text: &[u8]) -> (Info, Option<Bad>) {
        let mut known = Vec::new();
        let once = super::parse(text, &mut known);
        assert_eq!(once, super::parse(text, &mut known));
        once
    }

    #[test]
    fn a_name_may_have_any_length() {
        for length in [1, 15, 16, 254, 255, 256, 300] {
            let text = format!("MemTotal: 5 kB\n{}: 7 kB\nMemFree: 3 kB\n", "x".repeat(length));
            let (info, bad) = parse(text.as_bytes());
            assert_eq!((info.total, info.free, bad), (Some(5120), Some(3072), None), "{length}");
        }
    }

    #[test]
    fn what_was_learned_holds_for_the_same_lines_alone() {
        let mut known = Vec::new();
        let mut free = |text: &str| {
            let (info, bad) = super::parse(text.as_bytes(), &mut known);
            (info.free, info.total, bad.map(|bad| bad.line))
        };
        assert_eq!(free("MemTotal:     2 kB\nMemFree:      1 kB\n"), (Some(1024), Some(2048), None));
        assert_eq!(free("MemTotal:     3 kB\nMemFree:      2 kB\n"), (Some(2048), Some(3072), None));
        // Other lines in these places, and a name whose beginning is the same.
        assert_eq!(free("MemFree:      1 kB\nMemTotal:     2 kB\n"), (Some(1024), Some(2048), None));
        assert_eq!(
            free("MemFree:      1 kB\nInactive(anon):      7 kB\nMemTotal: 2 kB\n"),
            (Some(1024), Some(2048), None)
        );
        assert_eq!(
            free("MemFree:      1 kB\nInactive(file):      7 kB\nMemTotal: 2 kB\n"),
            (Some(1024), Some(2048), None)
        );
        assert_eq!(free("MemFree:      x kB\nMemTotal:     2 kB\n"), (None, Some(2048), Some(1)));
    }

    #[test]
    fn real_lines() {
        let text = b"MemTotal:         437516 kB\nMemFree:          301240 kB\nHugePages_Total:       0\nCmaTotal:          65536 kB\n";
        let (info, bad) = parse(text);
        assert_eq!(bad, None);
        let expected = Info {
            total: Some(437_516 << 10),
            free: Some(301_240 << 10),
            cma_total: Some(65_536 << 10),
            ..Info::default()
        };
        assert_eq!(info, expected);
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_stay() {
        for bad_line in [
            "MemFree: x kB",
            "MemFree:",
            "MemFree: 12",
            "MemFree: 12 MB",
            "MemFree: 1 kB 2",
            "MemFree: 99999999999999999999 kB",
            "MemFree: 12 kB ",
            "MemFree: 12\tkB",
        ] {
            let text = format!("MemTotal: 8 kB\n{bad_line}\nDirty: 4 kB\n");
            let (info, bad) = parse(text.as_bytes());
            assert_eq!(bad.unwrap().line, 2, "{bad_line}");
            assert_eq!((info.total, info.free, info.dirty), (Some(8192), None, Some(4096)));
        }
    }

    #[test]
    fn what_is_available_is_estimated_where_the_kernel_does_not() {
        let text = b"MemTotal: 8255808 kB\nMemFree: 4855632 kB\nBuffers: 98304 kB\nCached: 2187264 kB\nShmem: 44032 kB\nSReclaimable: 143360 kB\n";
        assert_eq!(parse(text).0.estimate(), Some((4_855_632 + 98_304 + 2_187_264 - 44_032 + 143_360) << 10));
        let odd = Info { total: Some(9), free: Some(5), cached: Some(8), shared: Some(1), ..Info::default() };
        assert_eq!(odd.estimate(), Some(9), "no more than all");
        assert_eq!(Info { total: Some(9), free: Some(5), ..Info::default() }.estimate(), None);
    }

    #[test]
    fn a_part_is_not_more_than_the_whole() {
        let whole = Info { total: Some(8), free: Some(8), available: Some(8), ..Info::default() };
        let mut info = Info { swap_total: Some(2), swap_free: Some(2), ..whole };
        assert_eq!((info.drop_contradictions(), info.free, info.swap_free), (None, Some(8), Some(2)));
        let mut info = Info { available: Some(9), swap_total: Some(2), swap_free: Some(3), ..whole };
        assert_eq!(info.drop_contradictions(), Some("MemAvailable"));
        assert_eq!((info.free, info.available, info.swap_free), (Some(8), None, None));
        for (part, name) in [(SLAB_RECLAIMABLE, "SReclaimable"), (SWAP_FREE, "SwapFree"), (CMA_FREE, "CmaFree")] {
            assert_eq!(place(name.as_bytes(), NAMES), Some(part));
        }
        // Below zero, which containers' copies of the file say where more is in use than they may have.
        let (mut info, bad) =
            parse(b"MemTotal: 8 kB\nSwapTotal: 18446744073709551615 kB\nSwapFree: 18446744073709551612 kB\n");
        assert_eq!((bad, info.drop_contradictions()), (None, Some("SwapFree")));
        assert_eq!((info.swap_total, info.swap_free), (None, None));
        assert!(parse(b"MemTotal: 18446744073709551615 kB\n").1.is_some());
        let mut info = Info { slab: Some(9), slab_reclaimable: Some(9), ..whole };
        assert!(info.drop_contradictions().is_some() && info.slab.is_none() && info.slab_reclaimable.is_none());
    }

    #[test]
    fn the_arc_gives_back_what_is_above_its_minimum() {
        let text = b"9 1 0x01 147 39984 6218372019 98765432101234\nname type data\nc_min 4 124288000\nc_max 4 2903244800\nsize 4 2684354560\n";
        assert_eq!(parse_arc(text), Some(2_684_354_560 - 124_288_000));
        assert_eq!(parse_arc(b"c_min 4 9\nsize 4 5\n"), Some(0));
        for bad in ["", "size 4 5\n", "c_min 4 x\nsize 4 5\n", "c_min 4\nsize 4 5\n"] {
            assert_eq!(parse_arc(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn no_total_is_a_fault() {
        assert_eq!(parse(b"").1, Some(Bad::missing("MemTotal")));
    }
}
