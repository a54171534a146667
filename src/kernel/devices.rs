//! Devices that come and go in a directory of sysfs.

use super::absence::Absence;
use crate::sys::Directory;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many uevents were heard; 0 while nobody listens.
#[cfg(not(test))]
static ANNOUNCED: AtomicU32 = AtomicU32::new(0);
#[cfg(test)]
thread_local! {
    static ANNOUNCED: AtomicU32 = const { AtomicU32::new(0) };
}

/// Says that the kernel announced a device that came, changed or went, a link or a mount, or that announcements are listened to from
/// now on.
pub(super) fn announce() {
    #[cfg(not(test))]
    ANNOUNCED.fetch_add(1, Relaxed);
    #[cfg(test)]
    ANNOUNCED.with(|count| count.fetch_add(1, Relaxed));
}

fn announced() -> u32 {
    #[cfg(not(test))]
    return ANNOUNCED.load(Relaxed);
    #[cfg(test)]
    ANNOUNCED.with(|count| count.load(Relaxed))
}

/// Devices that have an entry each in a directory of sysfs, such as `thermal_zone0` or `policy4`.
///
/// A directory of sysfs is listed again when the kernel has announced something, whatever it is, and every 30 s, because no announcements
/// arrive in a container with users of its own; any other directory at every collection. The directory itself does not tell: it holds links, which
/// do not count in its number of links, and its time of modification stands still. Without the directory, which
/// a kernel makes when its first driver comes, it is looked for now and then.
#[derive(Debug)]
pub struct Devices<T> {
    path: PathBuf,
    directory: Option<Directory>,
    absence: Absence,
    heard: Heard,
    wanted: fn(&[u8]) -> bool,
    all: Vec<Device<T>>,
}

/// When something was looked at of which the kernel announces each change.
#[derive(Debug, Default)]
pub struct Heard {
    /// How many were [`announced`] then.
    count: u32,
    since: Absence,
}

impl Heard {
    /// Returns whether nothing was announced since then, which was less than 30 s ago.
    #[inline(never)]
    pub fn is_current(&self) -> bool {
        self.count != 0 && self.count == announced() && self.since.is_recent()
    }

    /// Takes note that it is looked at now. Call it before that is done: what is announced meanwhile is then heard.
    #[inline(never)]
    pub fn note(&mut self) {
        self.count = announced();
        self.since.begin();
    }
}

/// One device.
#[derive(Debug)]
pub struct Device<T> {
    /// Its entry's name.
    pub name: Vec<u8>,
    /// What its collector keeps of it.
    pub state: T,
    /// Set by the collector when the device's files say that it is gone: if its entry is there, it is another device.
    pub gone: bool,
    listed: bool,
}

impl<T> Devices<T> {
    /// Creates the list of those entries of the directory at `path` whose names are `wanted`.
    pub fn new(path: PathBuf, wanted: fn(&[u8]) -> bool) -> Self {
        let (absence, heard) = (Absence::default(), Heard::default());
        Devices { path, directory: None, absence, heard, wanted, all: Vec::new() }
    }

    /// Lists the directory if that can have changed: forgets devices that are gone, and lets `make` make those that are new from their
    /// path. Tells whether there were any of either. A directory that is not there has none.
    pub fn update(&mut self, make: &dyn Fn(&Path) -> T) -> bool {
        let Devices { path, directory, absence, heard, wanted, all } = self;
        update(path, directory, absence, heard, *wanted, &mut Kind { all, make })
    }

    /// Returns whether `is` holds for one of the devices.
    pub fn has(&self, is: impl Fn(&T) -> bool) -> bool {
        self.all.iter().any(|device| is(&device.state))
    }

    /// Returns the devices that the last [`Devices::update`] found, in the order of their numbers.
    pub fn all(&mut self) -> &mut [Device<T>] {
        &mut self.all
    }
}

/// Devices of one kind, of which [`update`] sees only what all kinds have.
trait Known {
    fn count(&self) -> usize;
    /// Returns a device's name, whether it is gone, and whether it is listed.
    fn get(&mut self, place: usize) -> (&[u8], bool, &mut bool);
    fn remove(&mut self, place: usize);
    fn insert(&mut self, place: usize, name: &[u8], path: &Path);
}

struct Kind<'a, T> {
    all: &'a mut Vec<Device<T>>,
    make: &'a dyn Fn(&Path) -> T,
}

impl<T> Known for Kind<'_, T> {
    fn count(&self) -> usize {
        self.all.len()
    }

    fn get(&mut self, place: usize) -> (&[u8], bool, &mut bool) {
        let Device { name, gone, listed, .. } = &mut self.all[place];
        (name, *gone, listed)
    }

    fn remove(&mut self, place: usize) {
        self.all.remove(place);
    }

    fn insert(&mut self, place: usize, name: &[u8], path: &Path) {
        let state = (self.make)(path);
        self.all.insert(place, Device { name: name.to_owned(), state, gone: false, listed: true });
    }
}

/// In the binary once for all kinds of devices.
#[inline(never)]
fn update(
    path: &Path,
    directory: &mut Option<Directory>,
    absence: &mut Absence,
    heard: &mut Heard,
    wanted: fn(&[u8]) -> bool,
    known: &mut dyn Known,
) -> bool {
    let mut changed = forget(known, |gone, _| gone);
    if !changed && heard.is_current() {
        return false;
    }
    heard.note();
    list(path, directory, absence, &mut |name| {
        let Some(name) = name else {
            for place in 0..known.count() {
                *known.get(place).2 = false;
            }
            return;
        };
        if !wanted(name) {
            return;
        }
        // They are in the order of their numbers.
        let (mut low, mut high) = (0, known.count());
        while low < high {
            let middle = low.midpoint(high);
            let (other, _, listed) = known.get(middle);
            match other.len().cmp(&name.len()).then(other.cmp(name)) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    *listed = true;
                    return;
                }
            }
        }
        known.insert(low, name, &path.join(OsStr::from_bytes(name)));
        changed = true;
    });
    if !directory.as_ref().is_some_and(Directory::is_original) || !is_announced(path) {
        *heard = Heard::default();
    }
    changed | forget(known, |_, listed| !listed)
}

/// Returns whether the kernel announces what comes into a directory of sysfs: `/sys/class/net`, `/sys/devices/system/cpu`; for
/// `/sys/fs/ext4`, that the mount table has changed. Of others that are not about devices, it says nothing (`kobject_uevent` in
/// `lib/kobject_uevent.c`, and who calls it).
fn is_announced(path: &Path) -> bool {
    path.iter().any(|part| matches!(part.as_bytes(), b"class" | b"devices" | b"block" | b"ext4"))
}

/// Forgets the devices of which `is_out` says so, by whether they are gone and whether they are listed; returns whether there were any.
fn forget(known: &mut dyn Known, is_out: fn(bool, bool) -> bool) -> bool {
    let before = known.count();
    for place in (0..before).rev() {
        let (_, gone, listed) = known.get(place);
        if is_out(gone, *listed) {
            known.remove(place);
        }
    }
    known.count() != before
}

/// Hands the names in a directory to `each`, with none in front of them.
pub(super) fn list(
    path: &Path,
    directory: &mut Option<Directory>,
    absence: &mut Absence,
    each: &mut dyn FnMut(Option<&[u8]>),
) {
    // A directory that was removed and made again has to be opened again.
    for _ in 0..2 {
        each(None);
        if directory.is_none() && !absence.is_recent() {
            let opened = Directory::open(path);
            absence.note(opened.as_ref().err());
            *directory = opened.ok();
        }
        let Some(open) = directory else { return };
        if open.list(|name, _| each(Some(name))).is_ok() {
            return;
        }
        *directory = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::let_absence_end;

    #[test]
    fn devices_come_go_and_are_replaced() {
        let dir = std::env::temp_dir().join(format!("pi-monitor-devices-{}", std::process::id()));
        let mut devices = Devices::new(dir.clone(), |name| name.starts_with(b"zone"));
        let mut names = |gone: &str| {
            let changed = devices.update(&|path: &Path| path.to_owned());
            let names = devices.all().iter_mut().map(|device| {
                let name = String::from_utf8(device.name.clone()).unwrap();
                assert!(device.state.ends_with(&name));
                device.gone = name == gone;
                name
            });
            (names.collect::<Vec<_>>().join(" "), changed)
        };
        assert_eq!(names(""), (String::new(), false));
        for name in ["zone10", "zone2", "other3"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        assert_eq!(names(""), (String::new(), false), "an absent directory is not asked for each time");
        let_absence_end();
        assert_eq!(names(""), ("zone2 zone10".to_owned(), true));
        assert_eq!(names(""), ("zone2 zone10".to_owned(), false));
        std::fs::remove_dir(dir.join("zone2")).unwrap();
        std::fs::create_dir(dir.join("zone3")).unwrap();
        assert_eq!(names("zone3"), ("zone3 zone10".to_owned(), true));
        assert_eq!(names(""), ("zone3 zone10".to_owned(), true));
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(names(""), (String::new(), true));
        std::fs::create_dir_all(dir.join("zone3")).unwrap();
        assert_eq!(names(""), (String::new(), false));
        let_absence_end();
        assert_eq!(names(""), ("zone3".to_owned(), true));
        // The directory is another one of the same name.
        std::fs::remove_dir_all(&dir).unwrap();
        std::fs::create_dir_all(dir.join("zone4")).unwrap();
        assert_eq!(names(""), ("zone4".to_owned(), true));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_announced_is_listed_again_and_nothing_else() {
        let mut devices = Devices::new("/sys/class/net".into(), |name| name == b"lo");
        // Whether it is found when the list forgets it.
        let mut is_listed = |forget: bool| {
            if forget {
                devices.all.clear();
            }
            devices.update(&|_| ());
            devices.all().len() == 1
        };
        assert!(is_listed(false) && is_listed(true), "nobody listens");
        announce();
        assert!(is_listed(true), "somebody listens");
        assert!(!is_listed(true) && !is_listed(false), "nothing was announced");
        announce();
        assert!(is_listed(false) && !is_listed(true));
        let_absence_end();
        assert!(is_listed(false));
        devices.all[0].gone = true;
        assert!(devices.update(&|_| ()) && devices.all.len() == 1, "another device of its name");
        for (path, expected) in [
            ("/sys/class/net", true),
            ("/sys/devices/system/cpu", true),
            ("/sys/fs/ext4", true),
            ("/sys/bus/usb", false),
        ] {
            assert_eq!(is_announced(Path::new(path)), expected, "{path}");
        }
    }
}
