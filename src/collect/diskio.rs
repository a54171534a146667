//! `/proc/diskstats`: what went to and from each disk, and how long that took.
//! <https://docs.kernel.org/admin-guide/iostats.html>

use super::{Collect, Context, Registration};
use crate::cli::Flag;
use crate::cli::pattern::{Pattern, check_pattern};
use crate::kernel::block::{disk_of_path, is_disk};
use crate::kernel::text::{lines, take_uint, take_word, trim};
use crate::kernel::{Bad, Fault, First, Source};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;
use std::path::PathBuf;

/// Whatever a disk's real sectors are, the kernel counts in these.
const SECTOR: u64 = 512;

pub static DISKS: Table<1, 13> = Table::new(
    Place::List("disks"),
    &["device"],
    &[
        Family::counter("pi_disk_read_bytes_total", "Bytes read.", Unit::Bytes)
            .more(&More::NONE.history(&[Chart::sum("disk_read")])),
        Family::counter("pi_disk_written_bytes_total", "Bytes written.", Unit::Bytes)
            .more(&More::NONE.history(&[Chart::sum("disk_write")])),
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
        .more(&More::NONE.history(&[Chart::max("disk_busy")])),
        Family::gauge("pi_disk_io_in_progress", "Requests in progress right now.", Unit::Count),
        Family::gauge(
            "pi_disk_worst_average_seconds",
            "Highest average time of a read or write among the samples of the last one to two minutes; the slowest one may have taken longer.",
            Unit::Seconds,
        ),
        Family::counter("pi_disk_discards_completed_total", "Discard requests completed.", Unit::Count),
        Family::counter("pi_disk_discard_time_seconds_total", "Total time spent on all discards.", Unit::Seconds),
        Family::counter(
            "pi_disk_flushes_completed_total",
            "Flush requests completed: the disk had to write its cache.",
            Unit::Count,
        ),
        Family::counter("pi_disk_flush_time_seconds_total", "Total time spent on all flushes.", Unit::Seconds),
    ],
);

static EXCLUDE: Flag = Flag {
    words: "collector.diskio.device-exclude REGEX ",
    help: prose(
        "Disks to exclude. The default keeps whole physical disks: no partitions, and nothing that lies on other disks, in \
           memory or in a file.",
    ),
    check: check_pattern,
};

pub static COLLECTOR: Registration = Registration {
    name: "diskio",
    summary: prose("bytes, requests and time of each disk"),
    source: reference("/proc/diskstats"),
    needs: Needs::reading("proc/diskstats"),
    tables: &[DISKS.head()],
    flags: &[&EXCLUDE],
    new: |setup| {
        let exclude = setup.pattern(&EXCLUDE);
        let devices = Devices { class: setup.roots.sys.join("class/block"), exclude, known: Vec::new() };
        super::boxed(DiskIo { diskstats: setup.proc("diskstats"), devices })
    },
};

struct DiskIo {
    diskstats: Source,
    devices: Devices,
}

impl Collect for DiskIo {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let DiskIo { diskstats, devices } = self;
        let minute = context.moment.since_boot.as_secs() / 60;
        let text = diskstats.read()?;
        let mut first = First::new();
        let mut place = 0;
        for line in parse(text) {
            let Some(line) = first.keep(line) else { continue };
            let known = devices.get(place, line.device, text);
            place += 1;
            // Most lines are those of partitions and of what lies in memory: their counters need not be read.
            if known.excluded {
                continue;
            }
            let Some(Row { read, written, io_in_progress, io_time, more }) = first.keep(line.row()) else { continue };
            let operations = read.completed.wrapping_add(written.completed);
            known.latency.note(minute, operations, read.time.wrapping_add(written.time));
            let bytes = |sectors: u64| Value::from(sectors.saturating_mul(SECTOR));
            let seconds = |milliseconds| Value::decimal(milliseconds, 3);
            let [discards, discard_time, flushes, flush_time] = more;
            let values = [
                bytes(read.sectors),
                bytes(written.sectors),
                read.completed.into(),
                written.completed.into(),
                seconds(read.time),
                seconds(written.time),
                seconds(io_time),
                io_in_progress.into(),
                Value::decimal(known.latency.worst[0].max(known.latency.worst[1]), 6),
                discards,
                discard_time,
                flushes,
                flush_time,
            ];
            out.row(&DISKS, [line.device], values);
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
    known: Vec<Known>,
}

struct Known {
    name: Vec<u8>,
    excluded: bool,
    latency: Latency,
}

impl Devices {
    /// Returns what is known of `device`, the one at `place` in the kernel's list `text`. The kernel's order is the same nearly every
    /// time.
    fn get(&mut self, place: usize, device: &[u8], text: &[u8]) -> &mut Known {
        let Devices { class, exclude, known } = self;
        if known.get(place).is_none_or(|known| known.name != device) {
            match known.iter().skip(place).position(|known| known.name == device) {
                Some(further) => known.swap(place, place + further),
                None => {
                    let before = known[..place].iter().map(|known| known.name.as_slice());
                    let excluded = if exclude.is_empty() {
                        !is_disk(class, device, before) || is_counted_path(device, text)
                    } else {
                        exclude.matches(device)
                    };
                    known.insert(place, Known { name: device.to_owned(), excluded, latency: Latency::default() });
                }
            }
        }
        &mut known[place]
    }
}

/// Returns whether `device` is an NVMe path to a disk that counts the same bytes. Linux counts them at the paths alone before 6.4; later
/// at the disk, too, which has been read from before anybody looks.
fn is_counted_path(device: &[u8], text: &[u8]) -> bool {
    let Some((disk, namespace)) = disk_of_path(device) else { return false };
    let mut is_counted = false;
    for line in parse(text).flatten() {
        let is_it = line.device.strip_prefix(disk) == Some(namespace);
        is_counted |= is_it && line.row().is_ok_and(|row| row.read.completed > 0);
    }
    is_counted
}

/// How long reads and writes took. The kernel has sums and counts alone, of which each sample shows an average.
#[derive(Default)]
struct Latency {
    /// How many operations, and their milliseconds.
    last: Option<(u64, u64)>,
    minute: u64,
    /// The highest average of a sample in this minute and in the one before, in microseconds.
    worst: [u64; 2],
}

impl Latency {
    fn note(&mut self, minute: u64, operations: u64, time: u64) {
        if minute != self.minute {
            let before = if minute == self.minute + 1 { self.worst[0] } else { 0 };
            *self = Latency { minute, worst: [0, before], ..*self };
        }
        // Counters that run backwards are those of another disk, or have overflown.
        let grown = self.last.and_then(|(count, sum)| Some((operations.checked_sub(count)?, time.checked_sub(sum)?)));
        if let Some((count @ 1.., sum)) = grown {
            self.worst[0] = self.worst[0].max(sum.saturating_mul(1000) / count);
        }
        self.last = Some((operations, time));
    }
}

/// A line whose counters are not read yet.
#[derive(Debug)]
struct Line<'a> {
    number: usize,
    text: &'a [u8],
    device: &'a [u8],
    counters: &'a [u8],
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    read: Direction,
    written: Direction,
    io_in_progress: u64,
    /// Milliseconds.
    io_time: u64,
    /// Discards and their time, from Linux 4.18 on; flushes and theirs, from 5.5 on.
    more: [Value; 4],
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
fn parse(text: &[u8]) -> impl Iterator<Item = Result<Line<'_>, Bad>> {
    // Empty in a container that has no disk of its own.
    lines(text).map(|(number, text)| {
        let mut counters = text;
        let device = take_device(&mut counters).ok_or_else(|| bad(number, text))?;
        Ok(Line { number, text, device, counters })
    })
}

fn bad(number: usize, line: &[u8]) -> Bad {
    Bad::new(number, "two numbers, a name and 11 counters", line)
}

fn take_device<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    take_uint(rest)?;
    take_uint(rest)?;
    take_word(rest)
}

impl Line<'_> {
    fn row(&self) -> Result<Row, Bad> {
        parse_counters(self.counters).ok_or_else(|| bad(self.number, self.text))
    }
}

fn parse_counters(mut rest: &[u8]) -> Option<Row> {
    let mut counters = [0; 17];
    let mut count = 0;
    while let Some(counter) = counters.get_mut(count) {
        match take_uint(&mut rest) {
            Some(number) => *counter = number,
            None if trim(rest).is_empty() => break,
            None => return None,
        }
        count += 1;
    }
    if count < 11 {
        return None;
    }
    let mut more = [Value::ABSENT; 4];
    if count >= 15 {
        more[0] = counters[11].into();
        more[1] = Value::decimal(counters[14], 3);
    }
    if count == 17 {
        more[2] = counters[15].into();
        more[3] = Value::decimal(counters[16], 3);
    }
    let [reads, _, read_sectors, read_time, writes, _, write_sectors, write_time, io_in_progress, io_time, ..] =
        counters;
    Some(Row {
        read: Direction { completed: reads, sectors: read_sectors, time: read_time },
        written: Direction { completed: writes, sectors: write_sectors, time: write_time },
        io_in_progress,
        io_time,
        more,
    })
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    parse(text).flatten().for_each(|line| drop(line.row()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines() {
        let text = b" 179       0 mmcblk0 74 0 5192 1193 56 4073 37970 36449 2 3028 37643 5 0 160 7 8 9
   8       0 sda 10 1 20 2 30 3 40 4 5 6 7
";
        let lines: Vec<_> = parse(text).map(Result::unwrap).collect();
        let rows: Vec<_> = lines.iter().map(|line| line.row().unwrap()).collect();
        let mmcblk0 = Row {
            read: Direction { completed: 74, sectors: 5192, time: 1193 },
            written: Direction { completed: 56, sectors: 37_970, time: 36_449 },
            io_in_progress: 2,
            io_time: 3028,
            more: [5_u64.into(), Value::decimal(7, 3), 8_u64.into(), Value::decimal(9, 3)],
        };
        assert_eq!(rows[0], mmcblk0);
        assert_eq!(rows[1].more, [Value::ABSENT; 4]);
        // Linux 4.17 and older.
        assert_eq!(
            (lines[1].device, rows[1].read.sectors, rows[1].written.time, rows[1].io_time),
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
            "8 1 sda1 10 1 20 2 30 3 40 4 5 6 7 8 x",
            "",
        ] {
            let text = format!("{bad}\n{good}");
            let lines: Vec<_> = parse(text.as_bytes()).collect();
            let row = lines[0].as_ref().map_err(Bad::clone).and_then(Line::row);
            assert_eq!(row.unwrap_err().line, 1, "{bad}");
            assert_eq!(lines[1].as_ref().unwrap().device, b"sda");
        }
        assert!(parse(b"").next().is_none());
    }

    #[test]
    fn devices_keep_their_verdict_when_others_come_and_go() {
        let exclude = Pattern::new("^b").map_err(|error| error.to_string()).unwrap();
        let mut devices = Devices { class: PathBuf::new(), exclude, known: Vec::new() };
        for list in [&["a", "b", "c"][..], &["a", "b", "c"], &["b", "c"], &["c", "b", "a", "d"], &[], &["b"]] {
            for (place, name) in list.iter().enumerate() {
                assert_eq!(devices.get(place, name.as_bytes(), b"").excluded, *name == "b", "{list:?}");
            }
            devices.known.truncate(list.len());
            assert!(
                devices.known.iter().map(|known| known.name.as_slice()).eq(list.iter().map(|name| name.as_bytes()))
            );
        }
    }

    /// Linux 6.4 counts what goes to an NVMe disk with several paths at the disk and at the path; before, the disk's counters stay at 0.
    #[test]
    fn what_goes_over_a_path_of_nvme_is_counted_once() {
        let shown = |reads: u64, names: &[&str]| {
            let line = |name: &&str| {
                let reads = if name.contains('c') { 940 } else { reads };
                format!(" 259 0 {name} {reads} 0 5192 1193 56 4073 37970 36449 2 3028 37643\n")
            };
            let text: String = names.iter().map(line).collect();
            let exclude = Pattern::new("").map_err(|error| error.to_string()).unwrap();
            let mut devices = Devices { class: PathBuf::from("/nowhere"), exclude, known: Vec::new() };
            let mut shown = Vec::new();
            for (place, name) in names.iter().enumerate() {
                if !devices.get(place, name.as_bytes(), text.as_bytes()).excluded {
                    shown.push((*name).to_owned());
                }
            }
            shown.join(" ")
        };
        let names = ["nvme0c0n1", "nvme0n1", "nvme0c1n1", "nvme1c2n1", "nvme10n1"];
        assert_eq!(shown(7, &names), "nvme0n1 nvme1c2n1 nvme10n1");
        // The disk says nothing, so the paths have to.
        assert_eq!(shown(0, &names), "nvme0c0n1 nvme0n1 nvme0c1n1 nvme1c2n1 nvme10n1");
    }

    #[test]
    fn the_worst_average_of_a_sample_lasts_for_a_minute_or_two() {
        let mut latency = Latency::default();
        // What was before the agent is nobody's sample.
        latency.note(7, 1000, 500_000);
        assert_eq!(latency.worst, [0, 0]);
        // 4 operations in 10 ms, then one in 300 ms, then none, then many.
        for (operations, time, worst) in
            [(1004, 500_010, 2500), (1005, 500_310, 300_000), (1005, 500_310, 300_000), (2005, 501_310, 300_000)]
        {
            latency.note(7, operations, time);
            assert_eq!(latency.worst[0], worst);
        }
        latency.note(8, 2006, 501_311);
        assert_eq!(latency.worst, [1000, 300_000]);
        latency.note(9, 2007, 501_313);
        assert_eq!(latency.worst, [2000, 1000]);
        latency.note(11, 2008, 501_318);
        assert_eq!(latency.worst, [5000, 0]);
        // Another disk of the same name, or a count of 32 bits that began anew.
        latency.note(11, 3, 9_000_000);
        latency.note(11, 4, 8_000_000);
        assert_eq!(latency.worst, [5000, 0]);
    }
}
