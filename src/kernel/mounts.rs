//! The mount table: which filesystems there are, which of them can be reached, and which may hang.
//! <https://docs.kernel.org/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts>
//!
//! mountinfo holds what `/proc/self/mounts` holds and also each mount's parent, which serves two purposes: to omit mounts
//! that another one hides, and to know which mounts cannot hang.

use super::text::{lines, place, uint, unescape_octal, words};
use super::{Bad, First};
use crate::sys::FsStat;
use std::cmp::Ordering;
use std::ffi::CStr;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Filesystems that have no space of their own to run out of.
const PSEUDO: &str = "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl fuse.gvfsd-fuse \
    fuse.lxcfs fuse.portal hugetlbfs iso9660 mqueue nsfs proc pstore rpc_pipefs securityfs selinuxfs squashfs \
    sysfs tracefs";

/// Filesystems whose `statvfs()` the kernel answers from memory. An overlay answers for its upper layer, see [`Mounts::find_hidden`].
/// ZFS waits for its pool, and a pool whose disks are gone keeps it waiting.
const LOCAL: &str = "bcachefs btrfs exfat ext2 ext3 ext4 f2fs hfs hfsplus jffs2 jfs msdos nilfs2 ntfs3 overlay ramfs reiserfs \
    rootfs tmpfs ubifs udf vfat xfs";

/// One line of mountinfo; names are places in [`Mounts::names`].
#[derive(Debug)]
pub struct Mount {
    id: u64,
    parent: u64,
    /// The device's number, major in the upper half. Each filesystem has its own, also those without a device.
    pub(super) number: u64,
    /// The directory of the filesystem that is mounted here.
    directory: Range<usize>,
    pub device: Range<usize>,
    /// An overlay's upper layer, or its only one: a directory, as a rule on another mount.
    upper: Range<usize>,
    /// `--path.rootfs`, the mount point, and a NUL byte.
    path: Range<usize>,
    pub fstype: Range<usize>,
    /// Whether the filesystem itself is read-only. A mount can be so while its filesystem is not, as in the agent's own view of
    /// the machine when a service manager shields the machine from it.
    pub read_only: bool,
    /// Whether the filesystem turned read-only by itself, after an error. A person who remounts it (`mount -o remount,ro`) makes
    /// the mount read-only with it; an error leaves the mount writable. ext4 says so in a word of its own from Linux 6.15 on.
    /// A mount that was passed on from another mount namespace (`master:`) shows no remount of there, so it is no witness.
    pub by_error: bool,
    /// What the table itself says of that.
    by_error_in_table: bool,
    pub local: bool,
    hidden: bool,
    selected: bool,
    /// An overlay that holds the bytes of a filesystem which is reported by itself.
    repeats: bool,
    /// What `statvfs()` said first after the table was read.
    pub no_writes: Option<bool>,
    /// What it said last.
    pub answer: Option<FsStat>,
}

/// The mount table; cleared and refilled with its capacity kept.
#[derive(Debug, Default)]
pub struct Mounts {
    /// What the table was filled from; empty if some of that was bad.
    text: Vec<u8>,
    all: Vec<Mount>,
    names: Vec<u8>,
    /// How much of every path is `--path.rootfs`.
    root: usize,
    /// Whether the mount table itself lists mounts below `--path.rootfs`, as in a container that the machine's files are mounted
    /// into. They alone are the machine's then. Otherwise the table is another one's, and all of it is behind that path.
    inside: bool,
    /// Places in `all`: by parent and mount point, then by mount number, at last by filesystem and directory.
    order: Vec<usize>,
}

impl Mounts {
    /// Forgets all mounts.
    pub fn clear(&mut self) {
        self.text.clear();
        self.all.clear();
        self.names.clear();
    }

    /// Returns whether the table was filled from the same text, and needs nothing but [`Mounts::forget_answers`] to be as new.
    pub fn is_of(&self, text: &[u8]) -> bool {
        !text.is_empty() && self.text == text
    }

    /// Forgets what filesystems answered since the table was read.
    pub fn forget_answers(&mut self) {
        for mount in &mut self.all {
            mount.no_writes = None;
            mount.answer = None;
            mount.by_error = mount.by_error_in_table;
        }
    }

    /// Returns the text of one of a mount's names.
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.names[range.clone()]
    }

    /// Returns whether the file or directory at `path` is on a filesystem where reading may hang. Touches nothing, so links in the path
    /// are not known. Call [`Mounts::find_hidden`] first.
    pub fn hangs(&self, path: &Path) -> bool {
        let Mounts { all, names, root, .. } = self;
        let path = path.as_os_str().as_bytes();
        let point = |mount: &Mount| mountpoint(names, *root, mount);
        let mut holder: Option<&Mount> = None;
        for mount in all {
            let holds = !mount.hidden && (point(mount) == path || is_below(path, point(mount)));
            if holds && holder.is_none_or(|holder| point(holder).len() <= point(mount).len()) {
                holder = Some(mount);
            }
        }
        holder.is_some_and(|holder| {
            let fstype = &names[holder.fstype.clone()];
            // What has no size to wait for may wait all the same when a file is opened.
            !holder.local || fstype == b"autofs" || fstype.starts_with(b"fuse")
        })
    }

    /// Returns where the agent finds the mount.
    pub fn path(&self, mount: &Mount) -> &CStr {
        path(&self.names, self.root, self.inside, mount)
    }

    /// Returns where the mount is for the programs of the machine; `None` if it is not the machine's.
    pub fn mountpoint(&self, mount: &Mount) -> Option<&[u8]> {
        machines_mountpoint(&self.names, self.root, self.inside, mount)
    }

    /// Asks for the size of what cannot hang. Returns whether one can be written to now that could not when the table was read, or
    /// the other way round.
    ///
    /// An overlay answers with the numbers of the filesystem that holds its upper layer. Where that is reported by itself, the
    /// overlay holds the same bytes and is omitted, unless it is the root.
    pub fn ask(&mut self, statfs: fn(&CStr) -> io::Result<FsStat>) -> bool {
        let Mounts { all, names, root, inside, .. } = self;
        let mut turned = false;
        for mount in all.iter_mut().filter(|mount| mount.selected && mount.local) {
            mount.answer = statfs(path(names, *root, *inside, mount)).ok();
            if let Some(stat) = mount.answer {
                turned |= *mount.no_writes.get_or_insert(stat.no_writes) != stat.no_writes;
            }
        }
        let size = |mount: &Mount| mount.answer.map(|stat| (stat.block_size, stat.blocks, stat.files));
        for place in 0..all.len() {
            let mount = &all[place];
            if mount.selected
                && is_overlay(names, mount)
                && machines_mountpoint(names, *root, *inside, mount) != Some(b"/")
            {
                let (size, of) = (size(mount), size);
                let same = |other: &Mount| other.selected && !is_overlay(names, other) && of(other) == size;
                all[place].repeats = size.is_some() && all.iter().any(same);
            }
        }
        turned
    }

    /// Returns the mounts to report.
    pub fn selected(&self) -> impl Iterator<Item = &Mount> {
        self.all.iter().filter(|mount| mount.selected && !mount.repeats)
    }

    /// Returns whether a filesystem that is reported is read-only, so that the first process's view of it counts.
    pub fn asks_first(&self) -> bool {
        self.all.iter().any(|mount| mount.selected && mount.read_only)
    }

    /// Takes over from the mount table of the first process who made filesystems read-only: a service has mounts of its own, which
    /// show no remount by somebody outside of it, and may be read-only for its own sake.
    pub fn take_first(&mut self, first: &Mounts) {
        for mount in &mut self.all {
            let (mut listed, mut by_error) = (false, mount.read_only);
            for other in &first.all {
                if other.number == mount.number {
                    listed = true;
                    // One mount of several shows the remount.
                    by_error &= other.by_error;
                }
            }
            if listed {
                mount.by_error = by_error;
            }
        }
    }

    /// Hands each selected mount's device, type, device number and [`Mount::by_error`] to `look`; not of those that may hang.
    pub fn for_each_selected(&mut self, mut look: impl FnMut(&[u8], &[u8], u64, &mut bool)) {
        for mount in self.all.iter_mut().filter(|mount| mount.selected && mount.local) {
            let (device, fstype) = (&self.names[mount.device.clone()], &self.names[mount.fstype.clone()]);
            look(device, fstype, mount.number, &mut mount.by_error);
        }
    }

    /// Fills the table from mountinfo's text.
    ///
    /// A line is such as `36 35 98:0 /dir /mnt/My\040Disk rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue`: the mount's number,
    /// its parent's, the device's, the directory that is mounted, the mount point, the mount's options, any number of
    /// optional fields, a dash, the type, the device, the filesystem's options. Blanks in names are octal escapes.
    ///
    /// # Errors
    /// The first bad line; all others are in the table.
    pub fn parse(&mut self, text: &[u8], root: &[u8]) -> Result<(), Bad> {
        self.clear();
        self.root = root.len();
        let mut first = First::new();
        for (number, line) in lines(text) {
            if self.parse_line(line, root).is_none() {
                first.note(Bad::new(number, "two numbers, four fields, a dash and three fields", line));
            }
        }
        if self.all.is_empty() {
            first.note(Bad::missing("a mount"));
        }
        let Mounts { all, names, .. } = self;
        let below = |mount| machines_mountpoint(names, root.len(), true, mount).is_some();
        self.inside = !root.is_empty() && all.iter().any(below);
        let result = first.result();
        if result.is_ok() {
            self.text.extend_from_slice(text);
        }
        result
    }

    fn parse_line(&mut self, line: &[u8], root: &[u8]) -> Option<()> {
        let mut words = words(line);
        let id = uint(words.next()?)?;
        let parent = uint(words.next()?)?;
        let number = words.next()?;
        let colon = number.iter().position(|&byte| byte == b':')?;
        let number = uint(&number[..colon])? << 32 | uint(&number[colon + 1..])?;
        let directory = words.next()?;
        let mountpoint = words.next()?;
        let view_options = words.next()?;
        let mut passed_on = false;
        words.by_ref().find(|&word| {
            passed_on |= word.starts_with(b"master:");
            word == b"-"
        })?;
        let fstype_text = words.next()?;
        // A device can have an empty name, for which the kernel leaves two blanks: then the options come too early.
        let (device_text, super_options) = match (words.next()?, words.next()) {
            (device, Some(options)) => (device, options),
            (options, None) => (&b""[..], options),
        };
        let names = &mut self.names;
        let mut store = |text: &[u8], before: &[u8], after: &[u8]| {
            let start = names.len();
            names.extend_from_slice(before);
            unescape_octal(text, names);
            names.extend_from_slice(after);
            start..names.len()
        };
        let remounted = passed_on || has(view_options, b"ro");
        let by_error = has(super_options, b"emergency_ro") || has(super_options, b"ro") && !remounted;
        self.all.push(Mount {
            id,
            parent,
            number,
            directory: store(directory, b"", b""),
            device: store(device_text, b"", b""),
            upper: store(if fstype_text == b"overlay" { upper(super_options) } else { b"" }, b"", b""),
            path: store(mountpoint, root, b"\0"),
            fstype: store(fstype_text, b"", b""),
            read_only: is_read_only(super_options),
            by_error,
            by_error_in_table: by_error,
            local: place(fstype_text, LOCAL).or(place(fstype_text, PSEUDO)).is_some(),
            hidden: false,
            selected: false,
            repeats: false,
            no_writes: None,
            answer: None,
        });
        Some(())
    }

    /// Marks the mounts that no path reaches because another mount lies over them, and those that may hang because a parent may.
    pub fn find_hidden(&mut self) {
        self.hide_covered_siblings();
        self.hide_covered_parents();
        // A child may be listed before its parent, so once is not always enough.
        for _ in 0..self.all.len() {
            if !self.inherit() {
                break;
            }
        }
    }

    /// Hides mounts that a later one in the same parent covers: of one at /mnt and one at /mnt/a, the later one at /mnt hides the other,
    /// which would otherwise be in it.
    fn hide_covered_siblings(&mut self) {
        let Mounts { all, names, root, order, .. } = self;
        let point = |mount: &Mount| mountpoint(names, *root, mount);
        // Sorted with the slash before all other bytes, what is below a path follows it.
        order.clear();
        order.extend(0..all.len());
        sort(order, &|a, b| {
            let key = |place: usize| path_order(point(&all[place]));
            all[a].parent.cmp(&all[b].parent).then_with(|| key(a).cmp(key(b))).then(a.cmp(&b))
        });
        let mut over: Option<usize> = None;
        for &place in order.iter() {
            match over {
                Some(above) if all[above].parent == all[place].parent && all[above].id != all[place].parent => {
                    if point(&all[above]) == point(&all[place]) {
                        all[above].hidden = true;
                        over = Some(place);
                    } else if is_below(point(&all[place]), point(&all[above])) {
                        all[place].hidden = true;
                    } else {
                        over = Some(place);
                    }
                }
                _ => over = Some(place),
            }
        }
    }

    /// Hides mounts on whose own mount point another one is mounted, whose parent they are. Leaves `order` sorted by id.
    fn hide_covered_parents(&mut self) {
        let Mounts { all, names, root, order, .. } = self;
        let point = |mount: &Mount| mountpoint(names, *root, mount);
        sort(order, &|a, b| all[a].id.cmp(&all[b].id));
        for place in 0..all.len() {
            let parent = find(all, order, all[place].parent);
            if let Some(parent) = parent.filter(|&parent| parent != place && point(&all[parent]) == point(&all[place]))
            {
                all[parent].hidden = true;
            }
        }
    }

    /// Passes on to each mount what hides or slows down its parent, and to an overlay what slows down its upper layer. Returns whether
    /// that changed anything.
    fn inherit(&mut self) -> bool {
        let Mounts { all, names, root, order, .. } = self;
        let point = |mount: &Mount| mountpoint(names, *root, mount);
        let mut changed = false;
        for place in 0..all.len() {
            let upper = &names[all[place].upper.clone()];
            if all[place].local && !upper.is_empty() {
                let holds = |mount: &&Mount| !mount.hidden && (point(mount) == upper || is_below(upper, point(mount)));
                let holder = all.iter().filter(holds).max_by_key(|mount| point(mount).len());
                if holder.is_some_and(|holder| !holder.local) {
                    all[place].local = false;
                    changed = true;
                }
            }
            let Some(parent) = find(all, order, all[place].parent).filter(|&parent| parent != place) else {
                continue;
            };
            // A mount that merely lies over its parent at the same point is reached all the same.
            let over = point(&all[parent]) == point(&all[place]);
            if all[parent].hidden && !over && !all[place].hidden {
                all[place].hidden = true;
                changed = true;
            }
            if !all[parent].local && all[place].local {
                all[place].local = false;
                changed = true;
            }
        }
        changed
    }

    /// Chooses what is reported: what can be reached, has space of its own, and `wanted` (mount point, type) agrees to; of the mounts
    /// of one filesystem (binds, subvolumes) one, so that its bytes count once: the machine's root, or else the one that shows most
    /// of it under the shortest path. `is_file` says whether a path, which cannot hang, is a file: container engines
    /// mount single ones, such as `/etc/hosts`, and sockets, such as `/run/docker.sock`.
    pub fn select(&mut self, wanted: &dyn Fn(&[u8], &[u8]) -> bool, is_file: &dyn Fn(&CStr) -> bool) {
        let Mounts { all, names, root, inside, order, .. } = self;
        let machines = |mount: &Mount| machines_mountpoint(names, *root, *inside, mount);
        for mount in all.iter_mut() {
            let fstype = &names[mount.fstype.clone()];
            let mountpoint = machines(mount).filter(|_| !mount.hidden && place(fstype, PSEUDO).is_none());
            // Container engines call a container's shared memory so; the machine's own comes from "tmpfs".
            let shared_memory = fstype == b"tmpfs" && names[mount.device.clone()] == *b"shm";
            mount.selected = mountpoint.is_some_and(|mountpoint| wanted(mountpoint, fstype))
                && !shared_memory
                && !(mount.local && is_file(path(names, *root, *inside, mount)));
        }
        let rank = |mount: &Mount| {
            let point = machines(mount).unwrap_or_default();
            (mount.number, !mount.selected, point != b"/", names[mount.directory.clone()] != *b"/", point.len())
        };
        sort(order, &|a, b| rank(&all[a]).cmp(&rank(&all[b])).then(a.cmp(&b)));
        let mut last = None;
        for &place in order.iter() {
            let mount = &mut all[place];
            mount.selected &= last != Some(mount.number);
            last = Some(mount.number);
        }
    }
}

/// See [`Mounts::path`].
fn path<'a>(names: &'a [u8], root: usize, inside: bool, mount: &Mount) -> &'a CStr {
    let start = mount.path.start + if inside { root } else { 0 };
    CStr::from_bytes_with_nul(&names[start..mount.path.end]).unwrap_or(c"/")
}

/// Returns the mount point as the mount table has it.
fn mountpoint<'a>(names: &'a [u8], root: usize, mount: &Mount) -> &'a [u8] {
    &names[mount.path.start + root..mount.path.end - 1]
}

/// Returns the mount point as the machine's programs know it; `None` if the table is a container's, and the mount is not below the
/// `root` bytes of `--path.rootfs` that every path begins with.
fn machines_mountpoint<'a>(names: &'a [u8], root: usize, inside: bool, mount: &Mount) -> Option<&'a [u8]> {
    let point = mountpoint(names, root, mount);
    if !inside {
        return Some(point);
    }
    match point.strip_prefix(&names[mount.path.start..mount.path.start + root])? {
        b"" => Some(b"/"),
        below => below.starts_with(b"/").then_some(below),
    }
}

/// Returns a path's bytes with the slash before all others, so that what is below a path follows it at once when paths are sorted.
fn path_order(path: &[u8]) -> impl Iterator<Item = u8> + '_ {
    path.iter().map(|&byte| if byte == b'/' { 0 } else { byte })
}

/// Sorts places by what they are places of; once in the binary for all orders, since sorting takes some kilobytes.
fn sort(places: &mut [usize], order: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_unstable_by(|&a, &b| order(a, b));
}

/// Returns the place of mount number `id`, by binary search in `order`.
fn find(all: &[Mount], order: &[usize], id: u64) -> Option<usize> {
    order.binary_search_by_key(&id, |&place| all[place].id).ok().map(|at| order[at])
}

/// Returns whether `path` is strictly below `directory`.
fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/") || (directory == b"/" && !rest.is_empty()))
}

/// Returns whether comma-separated options hold a word.
fn has(options: &[u8], word: &[u8]) -> bool {
    options.split(|&byte| byte == b',').any(|option| option == word)
}

fn is_overlay(names: &[u8], mount: &Mount) -> bool {
    names[mount.fstype.clone()] == *b"overlay"
}

/// Returns the upper layer among an overlay's options, or without one the topmost lower layer. A relative path has lost its meaning.
fn upper(options: &[u8]) -> &[u8] {
    let option = |name: &[u8]| options.split(|&byte| byte == b',').find_map(|option| option.strip_prefix(name));
    let lower = || option(b"lowerdir=").and_then(|layers| layers.split(|&byte| byte == b':').next());
    option(b"upperdir=").or_else(lower).filter(|layer| layer.starts_with(b"/")).unwrap_or_default()
}

/// Returns whether a filesystem's comma-separated options hold `ro`, or the word with which ext4 says, from Linux 6.15 on, that it lets
/// nobody write after an error.
fn is_read_only(options: &[u8]) -> bool {
    has(options, b"ro") || has(options, b"emergency_ro")
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let mut mounts = Mounts::default();
    let _ = mounts.parse(text, b"/root");
    mounts.find_hidden();
    mounts.select(&|mountpoint, _| mountpoint.len() != 3, &|path| path.is_empty());
    for mount in mounts.selected() {
        let _ = (mounts.path(mount), mounts.mountpoint(mount));
    }
}

#[cfg(test)]
mod tests;
