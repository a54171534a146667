//! Where the machine's file trees are.

use crate::cli::{Flag, Options, prose};
use crate::sys;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

static PROCFS: Flag =
    Flag { words: "path.procfs DIR /proc", help: prose("Mount point of procfs."), check: check_directory };
static SYSFS: Flag =
    Flag { words: "path.sysfs DIR /sys", help: prose("Mount point of sysfs."), check: check_directory };
static ROOTFS: Flag = Flag {
    words: "path.rootfs DIR /",
    help: prose("Mount point of the host's root filesystem, for an agent in a container."),
    check: check_directory,
};

/// The flags of this file, in the order of `--help`.
pub static FLAGS: &[&Flag] = &[&PROCFS, &SYSFS, &ROOTFS];

/// Where the three file trees are that collectors read; other places than the usual ones for tests and containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    pub proc: PathBuf,
    pub sys: PathBuf,
    pub root: PathBuf,
}

impl Roots {
    /// Returns the directories that the command line names.
    pub fn new(options: &Options) -> Self {
        Roots {
            proc: options.value(&PROCFS).into(),
            sys: options.value(&SYSFS).into(),
            root: options.value(&ROOTFS).into(),
        }
    }

    /// Returns the place that a process which reads `path` has to be let into: `path` is what `Needs` declares.
    ///
    /// Of procfs and sysfs that is all: Landlock's rules are about inodes, and these have a new one when a file is opened after it
    /// was forgotten (`proc_get_inode`), or when a device comes.
    pub fn locate(&self, path: &str) -> PathBuf {
        match path.split_once('/').unwrap_or((path, "")) {
            ("proc", _) => self.proc.clone(),
            ("sys", _) => self.sys.clone(),
            ("root", below) => self.root.join(below),
            _ => path.into(),
        }
    }
}

impl Default for Roots {
    fn default() -> Self {
        Roots { proc: PROCFS.default().into(), sys: SYSFS.default().into(), root: ROOTFS.default().into() }
    }
}

fn check_directory(value: &str) -> Result<(), String> {
    match std::fs::metadata(Path::new(value)) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err("not a directory".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the path of what `path` leads to, without links; `None` for nothing, and for a path that is not UTF-8.
pub fn real_path(path: &Path) -> Option<String> {
    // The C library's own way is ten times as much code.
    let found = sys::open_place(path).ok()?;
    let link = std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
    link.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_paths_are_below_the_trees() {
        let roots = Roots { proc: "/p".into(), sys: "/s".into(), root: "/r".into() };
        for (path, place) in [
            ("proc", "/p"),
            ("proc/self/stat", "/p"),
            ("sys/class/net", "/s"),
            ("root/etc", "/r/etc"),
            ("/dev/vcio", "/dev/vcio"),
            ("/etc", "/etc"),
        ] {
            assert_eq!(roots.locate(path), PathBuf::from(place), "{path}");
        }
    }
}
