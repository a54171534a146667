//! `/proc/self/mountinfo` and `statvfs()`: how full each mounted filesystem is.
//! <https://docs.kernel.org/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts>
//!
//! The table is read in [`mounts`](crate::kernel::mounts). `statvfs()` on a local filesystem whose every parent is
//! local is answered from memory and asked right here; any other may hang for as long as its server, or the program behind it,
//! likes and is asked by [`RemoteStat`](crate::kernel::RemoteStat).
//!
//! The kernel says when a mount came, went or got other options, so the table is read again only then. It does not say when a
//! filesystem turns read-only after an error, or in another mount namespace. `statvfs()` tells in most cases; at the latest
//! the table is read again after half a minute.

use super::{Collect, Context, Registration, Setup};
use crate::cli::Flag;
use crate::cli::pattern::{Pattern, check_pattern};
use crate::kernel::mounts::Mounts;
use crate::kernel::{Fault, Source};
use crate::model::{Family, Place, Snapshot, Table, Unit, Value};
use crate::runtime::sandbox::{CAP_DAC_READ_SEARCH, Call, Needs};
use crate::sys::FsStat;
use std::ffi::CStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// For how long the kernel's word is taken that the mount table has not changed.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

pub static FILESYSTEMS: Table<3, 8> = Table::new(
    Place::List("filesystems"),
    &["device", "mountpoint", "fstype"],
    &[
        Family::gauge("pi_disk_total_bytes", "Size of the filesystem.", Unit::Bytes),
        Family::gauge("pi_disk_used_bytes", "Space in use.", Unit::Bytes),
        Family::gauge("pi_disk_free_bytes", "Space not in use, root's reserve included.", Unit::Bytes),
        Family::gauge("pi_disk_available_bytes", "Space that users other than root can still fill.", Unit::Bytes),
        Family::gauge("pi_disk_inodes", "Files that the filesystem can hold.", Unit::Count),
        Family::gauge("pi_disk_inodes_free", "Files that can still be made.", Unit::Count),
        Family::gauge("pi_disk_read_only", "Whether the filesystem is mounted read-only.", Unit::Count),
        Family::gauge(
            "pi_disk_device_error",
            "Whether the filesystem's size could not be had: it hangs or answers with an error.",
            Unit::Count,
        ),
    ],
);

static MOUNT_POINTS_EXCLUDE: Flag = Flag {
    name: "collector.disk.mount-points-exclude",
    value: "REGEX",
    default: "^/(dev|proc|sys|run/credentials|run/user|var/lib/containers|var/lib/docker|var/lib/kubelet)($|/)",
    help: "Mount points to exclude.",
    check: check_pattern,
};

static FS_TYPES_EXCLUDE: Flag = Flag {
    name: "collector.disk.fs-types-exclude",
    value: "REGEX",
    default: "",
    help: "Filesystem types to exclude, in addition to those without files on a device, such as proc.",
    check: check_pattern,
};

pub static COLLECTOR: Registration = Registration {
    name: "disk",
    summary: "space and files of each mounted filesystem",
    source: "/proc/self/mountinfo, statvfs()",
    needs: Needs {
        paths: &["proc/self/mountinfo"],
        // To end a helper process that a mount does not answer.
        calls: &[Call::With(libc::SYS_kill, libc::SIGKILL as u32)],
        // Mounts can be below directories that only their user may enter.
        capabilities: CAP_DAC_READ_SEARCH,
    },
    tables: &[FILESYSTEMS.head()],
    flags: &[&MOUNT_POINTS_EXCLUDE, &FS_TYPES_EXCLUDE],
    new: |setup| Box::new(Disk::new(setup)),
};
struct Disk {
    mountinfo: Source,
    statfs: fn(&CStr) -> io::Result<FsStat>,
    mount_points: Pattern,
    types: Pattern,
    /// `--path.rootfs`, without a slash at its end.
    root: Vec<u8>,
    mounts: Mounts,
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
            mountinfo: setup.proc("self/mountinfo").with_long_lines(),
            statfs: setup.machine.statfs,
            mount_points: setup.pattern(&MOUNT_POINTS_EXCLUDE),
            types: setup.pattern(&FS_TYPES_EXCLUDE),
            root,
            mounts: Mounts::default(),
            read_at: None,
            fault: None,
        }
    }

    fn read_table(&mut self, now: Duration) {
        let Disk { mountinfo, statfs: _, mount_points, types, root, mounts, read_at, fault } = self;
        let parsed = mountinfo.read().map(|text| mounts.parse(text, root));
        *fault = match parsed {
            Ok(Ok(())) => None,
            Ok(Err(bad)) => Some(Fault::parse(mountinfo.path(), bad)),
            Err(unread) => {
                mounts.clear();
                Some(unread)
            }
        };
        *read_at = fault.is_none().then_some(now);
        mounts.find_hidden();
        mounts.select(|mountpoint, fstype| !types.matches(fstype) && !mount_points.matches(mountpoint));
    }
}

impl Collect for Disk {
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
            out.row(&FILESYSTEMS, labels, values(answer, mount.read_only));
        }
        self.fault.take().map_or(Ok(()), Err)
    }
}

/// Used, free and available as `df` counts them: free includes root's reserve, available does not.
fn values(answer: Option<FsStat>, read_only: bool) -> [Value; 8] {
    let Some(FsStat { block_size, blocks, blocks_free, blocks_available, files, files_free, no_writes: _ }) = answer
    else {
        let mut values = [Value::ABSENT; 8];
        values[6] = read_only.into();
        values[7] = true.into();
        return values;
    };
    let bytes = |blocks: u64| Value::from(blocks.saturating_mul(block_size));
    // Filesystems without a fixed number of inodes (btrfs, vfat) say 0.
    let inodes = |number: u64| Value::from((files > 0).then_some(number));
    [
        bytes(blocks),
        bytes(blocks.saturating_sub(blocks_free)),
        bytes(blocks_free),
        bytes(blocks_available),
        inodes(files),
        inodes(files_free),
        read_only.into(),
        false.into(),
    ]
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
        ];
        assert_eq!(values(Some(stat), false), expected);
        assert_eq!(values(None, true)[6..], [true.into(), true.into()]);
        assert!(values(None, true)[..6].iter().all(|value| !value.is_present()));
    }
}
