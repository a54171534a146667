//! `/proc/diskstats`: what went to and from each disk, and how long that took.
//! <https://docs.kernel.org/admin-guide/iostats.html>

use super::{Collect, Context, Registration};
use crate::cli::Flag;
use crate::cli::pattern::{Pattern, check_pattern};
use crate::kernel::block::is_disk;
use crate::kernel::text::{lines, uint, words};
use crate::kernel::{Bad, Fault, First, Source};
use crate::model::{Chart, Family, Place, Snapshot, Table, Unit, Value};
use crate::runtime::sandbox::Needs;
use std::path::PathBuf;

/// Whatever a disk's real sectors are, the kernel counts in these.
const SECTOR: u64 = 512;

pub static DISKS: Table<1, 8> = Table::new(
    Place::List("disks"),
    &["device"],
    &[
        Family::counter("pi_disk_read_bytes_total", "Bytes read.", Unit::Bytes).history(&[Chart::sum("disk_read")]),
        Family::counter("pi_disk_written_bytes_total", "Bytes written.", Unit::Bytes)
            .history(&[Chart::sum("disk_write")]),
        Family::counter("pi_disk_reads_completed_total", "Read requests completed.", Unit::Count),
        Family::counter("pi_disk_writes_completed_total", "Write requests completed.", Unit::Count),
        Family::counter(
            "pi_disk_read_time_seconds_total",
            "Total time spent on all reads, from request to completion.",
            Unit::Seconds,
        ),
        Family::counter(
            "pi_disk_write_time_seconds_total",
            "Total time spent on all writes, from request to completion.",
            Unit::Seconds,
        ),
        Family::counter(
            "pi_disk_io_time_seconds_total",
            "Time during which at least one request was in progress.",
            Unit::Seconds,
        )
        .history(&[Chart::max("disk_busy")]),
        Family::gauge("pi_disk_io_in_progress", "Requests in progress right now.", Unit::Count),
    ],
);

static EXCLUDE: Flag = Flag {
    name: "collector.diskio.device-exclude",
    value: "REGEX",
    default: "",
    help: "Disks to exclude. The default keeps whole physical disks: no partitions, and nothing that lies on other disks, in \
           memory or in a file.",
    check: check_pattern,
};

pub static COLLECTOR: Registration = Registration {
    name: "diskio",
    summary: "bytes, requests and time of each disk",
    source: "/proc/diskstats",
    needs: Needs::reading(&["proc/diskstats"]),
    tables: &[DISKS.head()],
    flags: &[&EXCLUDE],
    new: |setup| {
        let exclude = setup.pattern(&EXCLUDE);
        let devices = Devices { class: setup.roots.sys.join("class/block"), exclude, known: Vec::new() };
        Box::new(DiskIo { diskstats: setup.proc("diskstats"), devices })
    },
};

struct DiskIo {
    diskstats: Source,
    devices: Devices,
}

impl Collect for DiskIo {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let DiskIo { diskstats, devices } = self;
        let text = diskstats.read()?;
        let mut first = First::new();
        let mut place = 0;
        for row in parse(text) {
            let Some(Row { device, read, written, io_in_progress, io_time }) = first.keep(row) else { continue };
            let excluded = devices.is_excluded(place, device);
            place += 1;
            if excluded {
                continue;
            }
            let bytes = |sectors: u64| Value::from(sectors.saturating_mul(SECTOR));
            let seconds = |milliseconds| Value::decimal(milliseconds, 3);
            let values = [
                bytes(read.sectors),
                bytes(written.sectors),
                read.completed.into(),
                written.completed.into(),
                seconds(read.time),
                seconds(written.time),
                seconds(io_time),
                io_in_progress.into(),
            ];
            out.row(&DISKS, [device], values);
        }
        devices.known.truncate(place);
        first.result().map_err(|bad| Fault::parse(diskstats.path(), bad))
    }
}

/// Remembers which devices are excluded: looking at two dozen loop and RAM devices at every collection would cost more than all
/// else here.
struct Devices {
    /// `/sys/class/block`
    class: PathBuf,
    exclude: Pattern,
    known: Vec<(Vec<u8>, bool)>,
}

impl Devices {
    /// Returns whether `device`, the one at `place` in the kernel's list, is excluded. The kernel's order is the same nearly every time.
    fn is_excluded(&mut self, place: usize, device: &[u8]) -> bool {
        let Devices { class, exclude, known } = self;
        if known.get(place).is_none_or(|(name, _)| name != device) {
            match known.iter().skip(place).position(|(name, _)| name == device) {
                Some(further) => known.swap(place, place + further),
                None => {
                    let before = known[..place].iter().map(|(name, _)| name.as_slice());
                    let excluded =
                        if exclude.is_empty() { !is_disk(class, device, before) } else { exclude.matches(device) };
                    known.insert(place, (device.to_owned(), excluded));
                }
            }
        }
        known[place].1
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    device: &'a [u8],
    read: Direction,
    written: Direction,
    io_in_progress: u64,
    /// Milliseconds.
    io_time: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Direction {
    completed: u64,
    sectors: u64,
    /// Milliseconds.
    time: u64,
}

/// Lines such as ` 179       0 mmcblk0 74 0 5192 1193 56 4073 37970 36449 0 3028 37643 0 0 0 0 0 0`: major, minor, name, then reads
/// completed, merged, sectors, milliseconds; the same of writes; requests in progress, milliseconds busy, weighted
/// milliseconds; and from Linux 4.18 and 5.5 on the same as at first of discards and flushes.
fn parse(text: &[u8]) -> impl Iterator<Item = Result<Row<'_>, Bad>> {
    // Empty in a container that has no disk of its own.
    lines(text).map(|(number, line)| {
        parse_line(line).ok_or_else(|| Bad::new(number, "two numbers, a name and 11 counters", line))
    })
}

fn parse_line(line: &[u8]) -> Option<Row<'_>> {
    let mut words = words(line);
    uint(words.next()?)?;
    uint(words.next()?)?;
    let device = words.next()?;
    let mut counters = [0; 11];
    for counter in &mut counters {
        *counter = uint(words.next()?)?;
    }
    let [reads, _, read_sectors, read_time, writes, _, write_sectors, write_time, io_in_progress, io_time, _] =
        counters;
    Some(Row {
        device,
        read: Direction { completed: reads, sectors: read_sectors, time: read_time },
        written: Direction { completed: writes, sectors: write_sectors, time: write_time },
        io_in_progress,
        io_time,
    })
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    parse(text).for_each(drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines() {
        let text = b" 179       0 mmcblk0 74 0 5192 1193 56 4073 37970 36449 2 3028 37643 0 0 0 0 0 0
   8       0 sda 10 1 20 2 30 3 40 4 5 6 7
";
        let rows: Vec<_> = parse(text).map(Result::unwrap).collect();
        let mmcblk0 = Row {
            device: b"mmcblk0",
            read: Direction { completed: 74, sectors: 5192, time: 1193 },
            written: Direction { completed: 56, sectors: 37_970, time: 36_449 },
            io_in_progress: 2,
            io_time: 3028,
        };
        assert_eq!(rows[0], mmcblk0);
        // Linux 4.17 and older.
        assert_eq!(
            (rows[1].device, rows[1].read.sectors, rows[1].written.time, rows[1].io_time),
            (&b"sda"[..], 20, 4, 6)
        );
    }

    #[test]
    fn one_bad_line_does_not_hide_the_others() {
        let good = "8 0 sda 10 1 20 2 30 3 40 4 5 6 7\n";
        for bad in [
            "8 1 sda1 10 1 20 2 30 3 40 4 5 6",
            "8 1 sda1 10 1 x 2 30 3 40 4 5 6 7",
            "8 sda1 1 2 3 4 5 6 7 8 9 10 11",
            "",
        ] {
            let text = format!("{bad}\n{good}");
            let rows: Vec<_> = parse(text.as_bytes()).collect();
            assert_eq!(rows[0].as_ref().unwrap_err().line, 1, "{bad}");
            assert_eq!(rows[1].as_ref().unwrap().device, b"sda");
        }
        assert!(parse(b"").next().is_none());
    }

    #[test]
    fn devices_keep_their_verdict_when_others_come_and_go() {
        let exclude = Pattern::new("^b").map_err(|error| error.to_string()).unwrap();
        let mut devices = Devices { class: PathBuf::new(), exclude, known: Vec::new() };
        for list in [&["a", "b", "c"][..], &["a", "b", "c"], &["b", "c"], &["c", "b", "a", "d"], &[], &["b"]] {
            for (place, name) in list.iter().enumerate() {
                assert_eq!(devices.is_excluded(place, name.as_bytes()), *name == "b", "{list:?}");
            }
            devices.known.truncate(list.len());
            assert!(devices.known.iter().map(|(name, _)| name.as_slice()).eq(list.iter().map(|name| name.as_bytes())));
        }
    }
}
