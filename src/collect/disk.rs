//! `/proc/self/mountinfo` and `statvfs()`: how full each mounted filesystem is.
//! <https://docs.kernel.org/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts>
//!
//! The table is read in [`mounts`](crate::kernel::mounts). `statvfs()` on a local filesystem whose every parent is
//! local is answered from memory and asked right here; any other may hang for as long as its server, or the program behind it,
//! likes and is asked by [`RemoteStat`](crate::kernel::RemoteStat).
//!
//! The kernel says when a mount came, went or got other options, so the table is read again only then. It does not say when a
//! filesystem turns read-only after an error, or in another mount namespace. `statvfs()` shows it in most cases; at the latest
//! the table is read again after half a minute.

use super::{Collect, Context, Registration, Setup};
use crate::cli::pattern::{Pattern, check_pattern};
use crate::cli::{Flag, Options};
use crate::kernel::block;
use crate::kernel::mounts::Mounts;
use crate::kernel::text::{trim, uint};
use crate::kernel::{Fault, Source, is_file, read_once};
use crate::model::{Family, Level, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::{CAP_DAC_READ_SEARCH, Call, Needs, Rights};
use crate::sys::FsStat;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For how long the kernel's word is taken that the mount table has not changed.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

pub static FILESYSTEMS: Table<3, 10> = Table::new(
    Place::List("filesystems"),
    &["device", "mountpoint", "fstype"],
    &[
        Family::gauge("pi_disk_total_bytes", "Size of the filesystem.", Unit::Bytes),
        Family::gauge("pi_disk_used_bytes", "Space in use.", Unit::Bytes),
        Family::gauge("pi_disk_free_bytes", "Free space, including the space reserved for root.", Unit::Bytes),
        Family::gauge("pi_disk_available_bytes", "Free space available to users other than root.", Unit::Bytes),
        Family::gauge("pi_disk_inodes", "Inodes (files and directories) that the filesystem can hold.", Unit::Count),
        Family::gauge("pi_disk_inodes_free", "Free inodes.", Unit::Count),
        Family::gauge("pi_disk_read_only", "1 while the filesystem is mounted read-only, 0 otherwise.", Unit::Count),
        Family::gauge(
            "pi_disk_filesystem_error",
            "1 if the kernel made the filesystem read-only by itself, or ext4 has counted errors since the agent started.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_disk_device_error",
            "1 if the filesystem does not answer in time or answers with an error, 0 if it answers.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_disk_full_in_seconds",
            "Time until the filesystem is full at the pace of the last days, only while it fills steadily.",
            Unit::Seconds,
        ),
    ],
);

static MOUNT_POINTS_EXCLUDE: Flag = Flag {
    words: "collector.disk.mount-points-exclude REGEX ^/(dev|proc|sys|run/credentials|run/user|var/lib/containers|var/lib/docker|var/lib/kubelet|var/lib/private)($|/)",
    help: prose("Mount points to exclude."),
    check: check_pattern,
};

static FS_TYPES_EXCLUDE: Flag = Flag {
    words: "collector.disk.fs-types-exclude REGEX ",
    help: prose("Filesystem types to exclude, in addition to those without files on a device, such as proc."),
    check: check_pattern,
};

pub static COLLECTOR: Registration = Registration {
    name: "disk",
    summary: prose("space and files of each mounted filesystem"),
    source: reference("/proc/self/mountinfo, statvfs()"),
    needs: Needs {
        paths: "proc/self/mountinfo proc/1/mountinfo sys/fs/ext4 sys/class/block",
        rights: &Rights {
            // To end a helper process that a mount does not answer.
            calls: &[Call::With(libc::SYS_kill, libc::SIGKILL as u32)],
            // Mounts can be below directories that only their user may enter.
            capabilities: CAP_DAC_READ_SEARCH,
            ..Rights::NONE
        },
    },
    tables: &[FILESYSTEMS.head()],
    flags: &[&MOUNT_POINTS_EXCLUDE, &FS_TYPES_EXCLUDE],
    new: |setup| super::boxed(Disk::new(setup)),
};

/// Returns what tells whether a mount point with a filesystem type is reported.
pub fn wanted(options: &Options) -> impl Fn(&[u8], &[u8]) -> bool + use<> {
    let pattern = |flag| Pattern::new(options.value(flag)).unwrap_or_default();
    let (points, types) = (pattern(&MOUNT_POINTS_EXCLUDE), pattern(&FS_TYPES_EXCLUDE));
    move |point, fstype| !types.matches(fstype) && !points.matches(point)
}

struct Disk {
    mountinfo: Source,
    /// The table of the first process, which is the machine's where the agent has mounts of its own.
    first: Source,
    first_mounts: Mounts,
    statfs: fn(&CStr) -> io::Result<FsStat>,
    mount_points: Pattern,
    types: Pattern,
    /// `--path.rootfs`, without a slash at its end.
    root: Vec<u8>,
    mounts: Mounts,
    errors: Errors,
    /// When the table was read, in time since boot; `None` if that went wrong.
    read_at: Option<Duration>,
    fault: Option<Fault>,
}

impl Disk {
    fn new(setup: &mut Setup) -> Self {
        let mut root = setup.roots.root.as_os_str().as_bytes().to_vec();
        while root.last() == Some(&b'/') {
            root.pop();
        }
        Disk {
            mountinfo: setup.proc("self/mountinfo"),
            first: setup.proc("1/mountinfo"),
            first_mounts: Mounts::default(),
            statfs: setup.machine.statfs,
            mount_points: setup.pattern(&MOUNT_POINTS_EXCLUDE),
            types: setup.pattern(&FS_TYPES_EXCLUDE),
            root,
            mounts: Mounts::default(),
            errors: Errors { sys: setup.roots.sys.clone(), known: Vec::new() },
            read_at: None,
            fault: None,
        }
    }

    fn read_table(&mut self, now: Duration) {
        let Disk {
            mountinfo,
            first,
            first_mounts,
            statfs: _,
            mount_points,
            types,
            root,
            mounts,
            errors,
            read_at,
            fault,
        } = self;
        let mut known = false;
        let parsed = mountinfo.read().map(|text| {
            known = mounts.is_of(text);
            if known {
                mounts.forget_answers();
                return Ok(());
            }
            mounts.parse(text, root)
        });
        *fault = match parsed {
            Ok(Ok(())) => None,
            Ok(Err(bad)) => Some(Fault::parse(mountinfo.path(), bad)),
            Err(unread) => {
                mounts.clear();
                Some(unread)
            }
        };
        *read_at = fault.is_none().then_some(now);
        if !known {
            mounts.find_hidden();
            let wanted = |mountpoint: &[u8], fstype: &[u8]| !types.matches(fstype) && !mount_points.matches(mountpoint);
            mounts.select(&wanted, &|path| is_file(Path::new(OsStr::from_bytes(path.to_bytes()))));
        }
        if mounts.asks_first() {
            if let Ok(text) = first.try_read() {
                // What could be read of it counts.
                let _ = first_mounts.parse(text, b"");
                mounts.take_first(first_mounts);
            }
        }
        mounts.for_each_selected(|device, fstype, number, by_error| {
            if fstype.starts_with(b"ext") {
                *by_error = errors.confirm(number, device, *by_error);
            }
        });
    }
}

/// The errors that ext4, which also serves ext2 and ext3, keeps count of: `/sys/fs/ext4/DEVICE/errors_count`. They stay after a
/// reboot, so only those that are new are news. From Linux 6.12 on the count is the only sign of a filesystem that refuses
/// to be written after an error, until 6.15 brought `emergency_ro`.
/// <https://docs.kernel.org/admin-guide/ext4.html>
struct Errors {
    sys: PathBuf,
    /// Each filesystem's device number, its count, and the count at first.
    known: Vec<(u64, Source, Option<u64>)>,
}

impl Errors {
    /// Returns whether the filesystem on a device is in error: it has more errors than when it was first looked at, or the mount table
    /// says so (`by_error`) and the count does not deny it. ext4 counts each error that makes it read-only, unless the device itself
    /// is read-only by then (`ext4_handle_error`). So without errors it was somebody in another mount namespace: the private copies
    /// of mounts in a container stay writable when the machine remounts its own.
    fn confirm(&mut self, number: u64, device: &[u8], by_error: bool) -> bool {
        let Errors { sys, known } = self;
        let place = known.iter().position(|(known, ..)| *known == number).unwrap_or_else(|| {
            // The kernel's name of the device, which may not be the one that it was mounted by: `/dev/root`.
            let given = device.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            let name = block::name(sys, number).unwrap_or_else(|| OsStr::from_bytes(given).to_owned());
            let path = sys.join("fs/ext4").join(name).join("errors_count");
            known.push((number, Source::new(path).in_small_records(), None));
            known.len() - 1
        });
        let (_, source, first) = &mut known[place];
        let count = source.try_read().ok().and_then(|text| uint(trim(text)));
        let Some(count) = count else { return by_error };
        if count > *first.get_or_insert(count) {
            return true;
        }
        let is_locked = || {
            let device = source.path().parent().and_then(Path::file_name).unwrap_or_default();
            read_once(&sys.join("class/block").join(device).join("ro")).is_some_and(|text| text == b"1")
        };
        by_error && (count > 0 || is_locked())
    }
}

impl Collect for Disk {
    fn asks(&self) -> bool {
        true
    }

    /// Reads the mount table and asks for what may hang.
    fn prepare(&mut self, context: &mut Context<'_>) {
        let now = context.moment.since_boot;
        let trusted = self.read_at.is_some_and(|read_at| now.saturating_sub(read_at) < TRUSTED_FOR);
        // Asked in any case: the answer is about the time since the last question.
        if self.mountinfo.has_news() || !trusted {
            self.read_table(now);
        }
        let mounts = &self.mounts;
        for mount in mounts.selected().filter(|mount| !mount.local) {
            context.remote.want(mounts.path(mount));
        }
    }

    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        if self.mounts.ask(self.statfs) {
            self.read_table(context.moment.since_boot);
            self.mounts.ask(self.statfs);
        }
        let mounts = &self.mounts;
        for mount in mounts.selected() {
            let answer = if mount.local { mount.answer } else { context.remote.answer(mounts.path(mount)) };
            if answer.is_some_and(|stat| stat.blocks == 0) {
                continue;
            }
            let mountpoint = mounts.mountpoint(mount).unwrap_or_default();
            let labels = [mounts.bytes(&mount.device), mountpoint, mounts.bytes(&mount.fstype)];
            let state = values(answer, mount.read_only, mount.by_error);
            let mut row = [Value::ABSENT; 10];
            row[..9].copy_from_slice(&state);
            // Of what fills up and stays: on a device of this machine, which its name shows, and writable.
            let device = labels[0];
            let is_kept = mount.local && !mount.read_only && (device.starts_with(b"/") || device.contains(&b':'));
            let whole = |value: Value| value.to_f64().map(|number| number as u64);
            if let (true, Some(used), Some(available)) = (is_kept, whole(state[1]), whole(state[3])) {
                let level = Level { moment: context.moment, device, mountpoint, used, available };
                row[9] = context.levels.note(&level).into();
            }
            out.row(&FILESYSTEMS, labels, row);
        }
        self.fault.take().map_or(Ok(()), Err)
    }
}

/// Used, free and available as `df` counts them: free includes root's reserve, available does not. What contradicts its
/// neighbors is absent.
fn values(answer: Option<FsStat>, read_only: bool, by_error: bool) -> [Value; 9] {
    let state = |error: bool| [read_only.into(), by_error.into(), error.into()];
    let Some(FsStat { block_size, blocks, blocks_free, blocks_available, files, files_free, no_writes: _ }) = answer
    else {
        let mut values = [Value::ABSENT; 9];
        values[6..].copy_from_slice(&state(true));
        return values;
    };
    let bytes = |blocks: u64| Value::from(blocks.saturating_mul(block_size));
    let free = (blocks_free <= blocks).then_some(blocks_free);
    // Below zero, in unsigned numbers, once root has used up some of its reserve: `ext4_statfs` of old kernels, and others.
    let available = if blocks_available > i64::MAX as u64 { 0 } else { blocks_available };
    let available = free.filter(|&free| available <= free).map(|_| available);
    // Filesystems without a fixed number of inodes (btrfs, vfat) say 0.
    let inodes = (files > 0).then_some(files);
    let mut values = [
        bytes(blocks),
        free.map_or(Value::ABSENT, |free| bytes(blocks - free)),
        free.map_or(Value::ABSENT, bytes),
        available.map_or(Value::ABSENT, bytes),
        inodes.into(),
        inodes.filter(|_| files_free <= files).map(|_| files_free).into(),
        Value::ABSENT,
        Value::ABSENT,
        Value::ABSENT,
    ];
    values[6..].copy_from_slice(&state(false));
    values
}
#[cfg(fuzzing)]
pub use crate::kernel::mounts::fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_df() {
        let stat = FsStat {
            block_size: 4096,
            blocks: 1000,
            blocks_free: 400,
            blocks_available: 350,
            files: 0,
            files_free: 0,
            no_writes: false,
        };
        let expected = [
            4_096_000.into(),
            2_457_600.into(),
            1_638_400.into(),
            1_433_600.into(),
            Value::ABSENT,
            Value::ABSENT,
            false.into(),
            false.into(),
            false.into(),
        ];
        assert_eq!(values(Some(stat), false, false), expected);
        assert_eq!(values(None, true, false)[6..], [true.into(), false.into(), true.into()]);
        assert!(values(None, true, true)[..6].iter().all(|value| !value.is_present()));
    }

    #[test]
    fn only_new_errors_of_ext4_count() {
        let sys = std::env::temp_dir().join(format!("pi-monitor-ext4-{}", std::process::id()));
        let write = |device: &str, text: &str| {
            let directory = sys.join("fs/ext4").join(device);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("errors_count"), text).unwrap();
        };
        write("mmcblk0p2", "3\n");
        write("sda1", "0\n");
        std::fs::create_dir_all(sys.join("dev/block")).unwrap();
        std::os::unix::fs::symlink("../../devices/soc/block/mmcblk0/mmcblk0p2", sys.join("dev/block/179:2")).unwrap();
        let mut errors = Errors { sys: sys.clone(), known: Vec::new() };
        let (root, data) = (179 << 32 | 2, 8 << 32 | 1);
        let mut grown = || (errors.confirm(root, b"/dev/root", false), errors.confirm(data, b"/dev/sda1", false));
        assert_eq!(grown(), (false, false));
        write("mmcblk0p2", "4\n");
        assert_eq!(grown(), (true, false));
        write("sda1", "1\n");
        assert_eq!(grown(), (true, true));
        assert!(!errors.confirm(9 << 32, b"/dev/md0", false));
        std::fs::remove_dir_all(&sys).unwrap();
    }

    #[test]
    fn a_number_that_contradicts_its_neighbors_is_absent() {
        let stat = FsStat {
            block_size: 4096,
            blocks: 75_913_000,
            blocks_free: 1000,
            blocks_available: 1_000_000_u64.wrapping_neg(),
            files: 10,
            files_free: 11,
            no_writes: false,
        };
        let values = |stat| values(Some(stat), false, false);
        // Root has used a part of its reserve: nothing is left for others.
        assert_eq!(values(stat)[3], 0.into());
        assert!(values(stat)[4].is_present() && !values(stat)[5].is_present());
        let odd = values(FsStat { blocks_available: 1001, ..stat });
        assert!(odd[2].is_present() && !odd[3].is_present());
        let odd = values(FsStat { blocks_free: stat.blocks + 1, ..stat });
        assert!(odd[0].is_present() && odd[1..4].iter().all(|value| !value.is_present()));
    }
}
