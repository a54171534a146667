//! `/proc/self/mountinfo`: filesystems that are mounted, unmounted or turn read-only.
//!
//! The kernel signals each change of the mount table (`mounts_poll` in `fs/proc_namespace.c`). A machine with containers has
//! many, so the table is read at most once in a few seconds, and only what the disk collector would report counts.

use super::{Filesystems, Next, Out, Shown, Source};
use crate::kernel::devices::announce;
use crate::kernel::mounts::Mounts;
use crate::kernel::source::read_to_end;
use crate::kernel::{Roots, is_file};
use crate::model::{Severity, kinds};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// For how long the table is not read again: containers change it several times when they start.
const PAUSE: Duration = Duration::from_secs(3);

/// A filesystem that was mounted when the table was last read.
#[derive(Debug)]
struct Known {
    number: u64,
    read_only: bool,
    by_error: bool,
    /// Its mount point, in [`Table::names`].
    point: Range<usize>,
}

/// The filesystems of one reading.
#[derive(Debug, Default)]
struct Table {
    all: Vec<Known>,
    names: Vec<u8>,
}

struct Watched {
    file: File,
    text: Vec<u8>,
    root: Vec<u8>,
    wanted: Filesystems,
    mounts: Mounts,
    now: Table,
    before: Table,
    /// When the table was last read after a change, and whether it has changed since then.
    read_at: Duration,
    pending: bool,
}

/// Opens the mount table, and reads what is mounted already.
pub fn open(roots: &Roots, wanted: Filesystems) -> io::Result<Box<dyn Source>> {
    let file = File::open(roots.proc.join("self/mountinfo"))?;
    let mut root = roots.root.as_os_str().as_bytes().to_vec();
    while root.last() == Some(&b'/') {
        root.pop();
    }
    let mut watched = Watched {
        file,
        text: Vec::new(),
        root,
        wanted,
        mounts: Mounts::default(),
        now: Table::default(),
        before: Table::default(),
        read_at: Duration::ZERO,
        pending: false,
    };
    watched.refresh()?;
    Ok(Box::new(watched))
}

impl Source for Watched {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn is_exceptional(&self) -> bool {
        true
    }

    fn read(&mut self, _buffer: &mut [u8], out: &mut Out<'_>) -> Next {
        announce();
        self.pending = true;
        self.tick(out);
        Next::Wait
    }

    fn tick(&mut self, out: &mut Out<'_>) {
        if self.pending && out.now.saturating_sub(self.read_at) >= PAUSE {
            self.pending = false;
            self.read_at = out.now;
            if self.refresh().is_ok() {
                self.compare(out);
            }
        }
    }
}

impl Watched {
    /// Reads the table.
    fn refresh(&mut self) -> io::Result<()> {
        let Watched { file, text, .. } = self;
        let mut length = 0;
        read_to_end(text, &mut length, 0, &|into, at| file.read_at(into, at))?;
        self.parse(length);
        Ok(())
    }

    /// Lists the filesystems of the text's first `length` bytes; those listed last become those before.
    fn parse(&mut self, length: usize) {
        let Watched { text, root, wanted, mounts, now, before, .. } = self;
        std::mem::swap(now, before);
        now.all.clear();
        now.names.clear();
        // A bad line, which the disk collector reports, hides no other.
        let _ = mounts.parse(&text[..length], root);
        mounts.find_hidden();
        mounts.select(&**wanted, &|path| is_file(Path::new(OsStr::from_bytes(path.to_bytes()))));
        for mount in mounts.selected() {
            let Some(point) = mounts.mountpoint(mount) else { continue };
            // A container's, whose files lie on a filesystem that is reported by itself.
            if *mounts.bytes(&mount.fstype) == *b"overlay" && point != b"/" {
                continue;
            }
            let start = now.names.len();
            now.names.extend_from_slice(point);
            let point = start..now.names.len();
            now.all.push(Known { number: mount.number, read_only: mount.read_only, by_error: mount.by_error, point });
        }
    }

    /// Takes note of what differs between the last two readings.
    fn compare(&self, out: &mut Out<'_>) {
        let Watched { mounts, now, before, .. } = self;
        for old in &before.all {
            let point = Shown(&before.names[old.point.clone()]);
            if !now.all.iter().any(|it| it.number == old.number) {
                out.note(&kinds::MOUNT, Severity::Info, format_args!("{point} was unmounted"), format_args!(""), "");
            }
        }
        for new in &now.all {
            let old = before.all.iter().find(|it| it.number == new.number);
            let (severity, what) = match old.map(|old| (old.read_only, new.read_only)) {
                None => (Severity::Info, "was mounted"),
                // The kernel signals no such change; the kernel's log and a verdict have it.
                Some((false, true)) if new.by_error => continue,
                Some((false, true)) => (Severity::Warning, "became read-only"),
                Some((true, false)) => (Severity::Info, "became writable"),
                Some(_) => continue,
            };
            let point = Shown(&now.names[new.point.clone()]);
            let Some(mount) = mounts.selected().find(|mount| mount.number == new.number) else { continue };
            let (fstype, device) = (Shown(mounts.bytes(&mount.fstype)), Shown(mounts.bytes(&mount.device)));
            out.note(&kinds::MOUNT, severity, format_args!("{point} {what}"), format_args!("{fstype} on {device}"), "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Flow;
    use super::super::flow::testing::notes;
    use super::*;

    fn watched() -> Watched {
        Watched {
            file: File::open("/dev/null").unwrap(),
            text: Vec::new(),
            root: Vec::new(),
            wanted: Box::new(|point, _| !point.starts_with(b"/run")),
            mounts: Mounts::default(),
            now: Table::default(),
            before: Table::default(),
            read_at: Duration::ZERO,
            pending: false,
        }
    }

    /// What each of these tables after the first reports.
    fn changes(tables: &[&str]) -> Vec<String> {
        let mut watched = watched();
        let mut seen = Vec::new();
        for (number, table) in tables.iter().enumerate() {
            watched.text = table.as_bytes().to_vec();
            watched.parse(table.len());
            let new = notes(&mut Flow::default(), 0, |out| watched.compare(out));
            seen.extend(if number == 0 { vec![] } else { new });
        }
        seen
    }

    const ROOT: &str =
        "24 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n25 24 0:5 / /proc rw - proc proc rw\n";
    const STICK: &str = "90 24 8:1 / /media/My\\040Stick rw shared:9 - vfat /dev/sda1 rw,errors=remount-ro\n";

    #[test]
    fn filesystems_come_go_and_turn_read_only() {
        let with = format!("{ROOT}{STICK}");
        // Somebody remounts it; an error would leave the mount itself writable, and is reported as such.
        let read_only = with.replace("/media/My\\040Stick rw", "/media/My\\040Stick ro").replace("sda1 rw", "sda1 ro");
        let failed = with.replace("/dev/sda1 rw", "/dev/sda1 ro");
        assert_eq!(changes(&[&with, &failed]), [""; 0]);
        assert_eq!(
            changes(&[ROOT, &with, &with, &read_only, &with, ROOT]),
            [
                "mount info: /media/My Stick was mounted | vfat on /dev/sda1",
                "mount warning: /media/My Stick became read-only | vfat on /dev/sda1",
                "mount info: /media/My Stick became writable | vfat on /dev/sda1",
                "mount info: /media/My Stick was unmounted",
            ]
        );
    }

    /// What containers, sessions and binds do to the table is no event.
    #[test]
    fn what_is_no_filesystem_of_its_own_is_none() {
        let more = "\
            91 24 0:50 / /var/lib/docker/overlay2/1/merged rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n\
            92 24 179:2 /srv /mnt/bind rw - ext4 /dev/mmcblk0p2 rw\n\
            93 24 0:51 / /run/user/1000 rw - tmpfs tmpfs rw\n\
            94 24 0:4 net:[4026532281] /run/docker/netns/1 rw - nsfs nsfs rw\n\
            95 24 0:52 / /var/lib/docker/containers/1/mounts/shm rw - tmpfs shm rw\n\
            96 24 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro\n";
        let with = format!("{ROOT}{more}");
        assert_eq!(changes(&[ROOT, &with, ROOT]), [""; 0]);
    }

    #[test]
    fn odd_names_are_shown() {
        let odd = format!("{ROOT}{}", "90 24 8:1 / /mnt/caf\\351 rw - ext4 /dev/sda1 rw\n");
        assert_eq!(changes(&[ROOT, &odd]), ["mount info: /mnt/caf\\xe9 was mounted | ext4 on /dev/sda1"]);
    }

    #[test]
    fn the_real_table_is_read_and_does_not_change_by_that() {
        let mut watched = open(&Roots::default(), Box::new(|_, _| true)).unwrap();
        let seen = notes(&mut Flow::default(), 9, |out| assert_eq!(watched.read(&mut [], out), Next::Wait));
        assert_eq!(seen, [""; 0]);
    }

    /// A change that comes soon after another one waits for a tick.
    #[test]
    fn the_table_is_read_once_in_a_few_seconds() {
        let path = std::env::temp_dir().join(format!("pi-monitor-mountinfo-{}", std::process::id()));
        std::fs::write(&path, ROOT).unwrap();
        let mut watched = Watched { file: File::open(&path).unwrap(), ..watched() };
        watched.refresh().unwrap();
        let mut flow = Flow::default();
        let mut at = |now, table: &str, ready: bool| {
            std::fs::write(&path, table).unwrap();
            let work = |out: &mut Out<'_>| match ready {
                true => assert_eq!(watched.read(&mut [], out), Next::Wait),
                false => watched.tick(out),
            };
            notes(&mut flow, now, work).len()
        };
        let with = format!("{ROOT}{STICK}");
        assert_eq!([at(10, &with, true), at(11, ROOT, true), at(12, ROOT, false)], [1, 0, 0]);
        assert_eq!([at(13, ROOT, false), at(15, &with, false), at(15, &with, true)], [1, 0, 0]);
        std::fs::remove_file(&path).unwrap();
    }
}
