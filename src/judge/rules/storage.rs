//! Filesystems and the disks below them.

use crate::collect::{disk::FILESYSTEMS, diskio::DISKS, mdraid::ARRAYS, pressure::RESOURCES};
use crate::judge::rule::{Rule, above, below};
use crate::judge::rules::by_io;
use crate::judge::view::View;
use crate::judge::words::{Ahead, Size, Tenths};
use crate::model::{Finding, Input, Row, Severity, Unit, key};

static TOTAL: Input = FILESYSTEMS.input("pi_disk_total_bytes");
static USED: Input = FILESYSTEMS.input("pi_disk_used_bytes");
static AVAILABLE: Input = FILESYSTEMS.input("pi_disk_available_bytes");
static INODES: Input = FILESYSTEMS.input("pi_disk_inodes");
static INODES_FREE: Input = FILESYSTEMS.input("pi_disk_inodes_free");
static READ_ONLY: Input = FILESYSTEMS.input("pi_disk_read_only");
static FILESYSTEM_ERROR: Input = FILESYSTEMS.input("pi_disk_filesystem_error");
static FULL_IN: Input = FILESYSTEMS.input("pi_disk_full_in_seconds");
static DEVICE_ERROR: Input = FILESYSTEMS.input("pi_disk_device_error");
static ARRAY_ACTIVE: Input = ARRAYS.input("pi_mdraid_active");
static ARRAY_DISKS: Input = ARRAYS.input("pi_mdraid_disks");
static WAITING: Input = RESOURCES.input("pi_pressure_waiting_seconds_total");
static BUSY: Input = DISKS.input("pi_disk_io_time_seconds_total");
static READS: Input = DISKS.input("pi_disk_reads_completed_total");
static WRITES: Input = DISKS.input("pi_disk_writes_completed_total");
static READ_TIME: Input = DISKS.input("pi_disk_read_time_seconds_total");
static WRITE_TIME: Input = DISKS.input("pi_disk_write_time_seconds_total");

fn mountpoint<'a>(row: Row<'a>) -> &'a str {
    row.labels().nth(1).unwrap_or("")
}

/// The filesystem of which most is used, with the used share in percent. One that is read-only cannot fill up.
fn fullest<'a>(view: &View<'a>, used: impl Fn(Row<'a>) -> Option<f64>) -> Option<(Row<'a>, f64)> {
    let section = view.filesystems(&READ_ONLY)?;
    let rows = section.rows().filter(|row| view.of(*row, &READ_ONLY) == Some(0.0));
    let shares = rows.filter_map(|row| Some((row, used(row)?)));
    shares.max_by(|(_, one), (_, other)| one.total_cmp(other))
}

pub static DISK_FULL: Rule = Rule::new(
    "disk_full",
    "a filesystem is almost full",
    Severity::Critical,
    "filesystems",
    &[&READ_ONLY, &USED, &AVAILABLE, &TOTAL],
    disk_full,
)
.limits(&[above("rule.disk_full.above PERCENT 95", Unit::Percent, "Used share of a filesystem, as df counts it.")])
.filesystems()
.fix("Delete what is not needed, such as logs under /var/log or old packages (apt clean), or move it to another disk");

fn disk_full(view: &mut View<'_>, found: &mut Finding) -> bool {
    // What `df` says: of what is used and what users may still have.
    let share = |row: Row<'_>| {
        let (used, available) = (view.of(row, &USED)?, view.of(row, &AVAILABLE)?);
        (used > 0.0).then(|| used / (used + available) * 100.0)
    };
    let Some((row, percent)) = fullest(view, share).filter(|(_, percent)| *percent >= view.limit()) else {
        return false;
    };
    let name = mountpoint(row);
    let total = view.of(row, &TOTAL).unwrap_or_default();
    found.measured = Some(percent);
    found.name(name, format_args!("{name} is almost full"), format_args!("{}% of {}", Tenths(percent), Size(total)))
}

pub static FILESYSTEM_FULL_SOON: Rule = Rule::new(
    "filesystem_full_soon",
    "a filesystem will be full soon at the pace of the last days",
    Severity::Warning,
    "filesystems",
    &[&FULL_IN, &AVAILABLE],
    filesystem_full_soon,
)
.limits(&[below("rule.filesystem_full_soon.below DAYS 14", Unit::Days, "Days until a filesystem that fills steadily is full.")])
.filesystems()
// By the hour, it may be a little more or less than the threshold.
.until(3600)
.fix("Find what grows, such as logs, backups or recordings (du -xh --max-depth=2), and limit it or move it to another disk");

fn filesystem_full_soon(view: &mut View<'_>, found: &mut Finding) -> bool {
    const DAY: f64 = 86_400.0;
    let Some(section) = view.filesystems(&FULL_IN) else { return false };
    let times = section.rows().filter_map(|row| Some((row, view.of(row, &FULL_IN)? / DAY)));
    let soonest = times.min_by(|(_, one), (_, other)| one.total_cmp(other));
    let Some((row, days)) = soonest.filter(|(_, days)| *days < view.limit()) else { return false };
    let (name, available) = (mountpoint(row), view.of(row, &AVAILABLE).unwrap_or_default());
    found.measured = Some(days);
    found.name(
        name,
        format_args!("{name} will be full in {}", Ahead(days)),
        format_args!("grows {} a day, {} available", Size(available / days.max(1e-3)), Size(available)),
    )
}

pub static INODES_FULL: Rule = Rule::new(
    "inodes_full",
    "a filesystem is almost out of inodes",
    Severity::Critical,
    "filesystems",
    &[&READ_ONLY, &INODES, &INODES_FREE],
    inodes_full,
)
.limits(&[above("rule.inodes_full.above PERCENT 95", Unit::Percent, "Used share of a filesystem's inodes.")])
.filesystems()
.fix("Delete directories with very many small files, such as caches, sessions or mail queues");

fn inodes_full(view: &mut View<'_>, found: &mut Finding) -> bool {
    let share = |row: Row<'_>| {
        let (all, free) = (view.of(row, &INODES)?, view.of(row, &INODES_FREE)?);
        (all > 0.0).then(|| (all - free) / all * 100.0)
    };
    let Some((row, percent)) = fullest(view, share).filter(|(_, percent)| *percent >= view.limit()) else {
        return false;
    };
    let (name, all) = (mountpoint(row), view.of(row, &INODES).unwrap_or_default() as u64);
    found.measured = Some(percent);
    found.name(
        name,
        format_args!("{name} is almost out of inodes"),
        format_args!("{}% of {all} inodes in use", Tenths(percent)),
    )
}

pub static DISK_READ_ONLY: Rule = Rule::new(
    "disk_read_only",
    "a filesystem turned read-only after an error, or has new errors",
    Severity::Critical,
    "filesystems",
    &[&READ_ONLY, &FILESYSTEM_ERROR],
    disk_read_only,
)
.filesystems()
.fix("Read the kernel log (dmesg) for errors of the device, back it up, then check it with fsck or replace it");

/// Filesystems that the kernel mounts writable, or not at all, unless it is asked for read-only.
const WRITABLE: &str = "ext4 vfat btrfs f2fs";

/// Somebody may remount a filesystem read-only on purpose. Two witnesses: it is read-only though its kind can be written, or was
/// written before, and the kernel says that nobody asked for that; or ext4 has counted errors.
fn disk_read_only(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(section) = view.filesystems(&READ_ONLY) else { return false };
    let mut failed = false;
    for row in section.rows() {
        let name = mountpoint(row);
        let read_only = view.of(row, &READ_ONLY) == Some(1.0);
        let known = view.was_well(key(name, 0), !read_only);
        let error = view.of(row, &FILESYSTEM_ERROR) == Some(1.0);
        // erofs, for one, is read-only without having been asked for.
        let fstype = row.labels().nth(2).unwrap_or_default();
        if failed || !error || read_only && !known && !WRITABLE.split(' ').any(|it| it == fstype) {
            continue;
        }
        failed = if read_only {
            let detail = format_args!("Nobody remounted it");
            found.name(name, format_args!("{name} turned read-only after an error"), detail)
        } else {
            let detail = format_args!("ext4 has counted new errors since Pi-Monitor started");
            found.name(name, format_args!("{name} has filesystem errors"), detail)
        };
    }
    failed
}

pub static MOUNT_STALLED: Rule = Rule::new(
    "mount_stalled",
    "a filesystem does not answer",
    Severity::Warning,
    "filesystems",
    &[&DEVICE_ERROR],
    mount_stalled,
)
.filesystems()
.fix("Check the server or the device behind it, then unmount it (umount -l) and mount it again");

fn mount_stalled(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(section) = view.filesystems(&DEVICE_ERROR) else { return false };
    let mut stalled = false;
    for row in section.rows() {
        let name = mountpoint(row);
        let silent = view.of(row, &DEVICE_ERROR) == Some(1.0);
        // One that never answered may not be asked, such as a user's own FUSE mount.
        if view.was_well(key(name, 1), !silent) && silent && !stalled {
            let device = row.labels().next().unwrap_or_default();
            stalled = found.name(
                name,
                format_args!("{name} does not answer"),
                format_args!("{device} did not say how full it is, as it did before"),
            );
        }
    }
    stalled
}

pub static IO_PRESSURE: Rule = Rule::new(
    "io_pressure",
    "processes are stalled on disk I/O",
    Severity::Warning,
    "pressure",
    &[&WAITING, &BUSY],
    io_pressure,
)
.limits(&[above("rule.io_pressure.above PERCENT 20", Unit::Percent, "Share of time in which some process was stalled on disk I/O."), above("rule.io_pressure.busy.above PERCENT 10", Unit::Percent,
    "Share of time from which a disk is busy; otherwise a disk must have worked within a minute, and a process be blocked.",
)])
.blames(by_io)
.fix("Move what writes much to a faster disk, such as an SSD on USB 3, or let it write less");

fn io_pressure(view: &mut View<'_>, found: &mut Finding) -> bool {
    let limit = view.limit();
    let percent = view.pressure(&WAITING, "io");
    // Idle waiters of io_uring count as stalled on I/O, while no disk works.
    let busy_enough = view.second_limit() / 100.0;
    let mut busiest = 0.0_f64;
    let mut listed = false;
    if let Some(section) = view.section(&BUSY) {
        for row in section.rows() {
            listed = true;
            let device = row.labels().next().unwrap_or("");
            let Some(busy) = view.of(row, &BUSY) else { continue };
            let Some((growth, seconds)) = view.growth(&BUSY, device, busy) else { continue };
            busiest = busiest.max(growth / seconds.max(1e-3));
        }
    }
    let worked = view.disk_worked(busiest > 0.0);
    let Some(percent) = percent.filter(|percent| *percent >= limit) else { return false };
    if busiest < busy_enough && (listed && !worked || !view.is_blocked()) {
        return false;
    }
    found.measured = Some(percent);
    found.name(
        "",
        format_args!("Processes are stalled on disk I/O"),
        format_args!("Processes were stalled on disk I/O {}% of the time", Tenths(percent)),
    )
}

pub static DISK_SLOW: Rule = Rule::new(
    "disk_slow",
    "a disk is busy and slow",
    Severity::Warning,
    "diskio",
    &[&BUSY, &READS, &WRITES, &READ_TIME, &WRITE_TIME],
    disk_slow,
)
.limits(&[
    above("rule.disk_slow.above SECONDS 0.05", Unit::Seconds, "Average time of an operation of a disk that is busy."),
    above("rule.disk_slow.busy.above PERCENT 90", Unit::Percent, "Share of time from which a disk is busy."),
])
.blames(by_io)
.fix("Move what writes much to a faster disk, or replace a worn SD card");

fn disk_slow(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(section) = view.section(&BUSY) else { return false };
    let (slow, busy_enough) = (view.limit(), view.second_limit() / 100.0);
    let (mut worst, mut most) = (None, 0.0);
    for row in section.rows() {
        let device = row.labels().next().unwrap_or("");
        let mut time = 0.0;
        let growth = [&BUSY, &READS, &WRITES, &READ_TIME, &WRITE_TIME].map(|input| {
            let value = view.of(row, input)?;
            let (growth, seconds) = view.growth(input, device, value)?;
            time = seconds;
            Some(growth)
        });
        let [Some(busy), Some(reads), Some(writes), Some(read_time), Some(write_time)] = growth else { continue };
        let (operations, waited) = (reads + writes, read_time + write_time);
        if time > 0.0 && operations > 0.0 && busy / time >= busy_enough && waited / operations >= slow {
            let each = waited / operations * 1000.0;
            if each > most {
                most = each;
                worst = Some((device, (busy / time * 100.0).min(100.0)));
            }
        }
    }
    let Some((device, busy)) = worst else { return false };
    found.measured = Some(most / 1000.0);
    found.name(
        device,
        format_args!("{device} is slow"),
        format_args!("{} ms per operation, busy {}% of the time", most.round() as u64, Tenths(busy)),
    )
}

pub static RAID_DEGRADED: Rule = Rule::new(
    "raid_degraded",
    "an array of disks is incomplete or not running",
    Severity::Critical,
    "filesystems",
    &[&ARRAY_DISKS, &ARRAY_ACTIVE],
    raid_degraded,
)
.slow()
.fix("Back up what matters, and replace the disk (cat /proc/mdstat, mdadm --detail)");

/// Some makers create arrays with more places than they ever fill, such as 12 for 4 disks.
fn raid_degraded(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(section) = view.section(&ARRAY_DISKS) else { return false };
    for row in section.rows() {
        let name = row.labels().next().unwrap_or("");
        if view.of(row, &ARRAY_ACTIVE) == Some(0.0) {
            return found.name(
                name,
                format_args!("{name} is not running"),
                format_args!("The kernel knows disks of it, and did not start it"),
            );
        }
        let mut counts = [0.0; 4];
        for (count, value) in counts.iter_mut().zip(&row.values()[ARRAY_DISKS.column..]) {
            *count = value.to_f64().unwrap_or_default();
        }
        let [active, missing, _, failed] = counts;
        if missing > 0.0 && (active >= missing || failed > 0.0) {
            let (missing, all) = (missing as u64, (active + missing) as u64);
            return found.name(
                name,
                format_args!("{name} is degraded"),
                format_args!("{missing} of {all} disks are missing from it"),
            );
        }
    }
    false
}
