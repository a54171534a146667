//! `/sys/fs/cgroup`: the control groups of services and containers.
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html>

use super::Roots;
use crate::sys::Directory;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The tree of groups that limits memory: the only one, or that of version 1.
#[derive(Debug)]
pub struct Cgroups {
    path: PathBuf,
    /// How many bytes of `path` are the root's.
    root: usize,
}

impl Cgroups {
    /// Finds the tree; nothing is wrong if there is none.
    pub fn new(roots: &Roots) -> Self {
        let mut path = roots.sys.join("fs/cgroup");
        if !path.join("cgroup.controllers").exists() {
            path.push("memory");
        }
        Cgroups { root: path.as_os_str().len(), path }
    }

    /// Returns how many bytes of each directory are the tree's own.
    pub fn root(&self) -> usize {
        self.root
    }

    /// Hands each group's directory to `take`, with whether `take` has taken a group below it; it returns whether it takes
    /// this one. Groups come after those below them.
    pub fn each(&mut self, take: &mut dyn FnMut(&mut PathBuf, bool) -> bool) {
        /// Deeper than service managers and engines nest them.
        const DEPTH_MAX: usize = 12;
        visit(&mut self.path, DEPTH_MAX, take);
    }

    /// Returns the name of the group with this directory: `/system.slice/cron.service`.
    pub fn name<'a>(&self, path: &'a Path) -> &'a [u8] {
        let name = path.as_os_str().as_bytes().get(self.root..).unwrap_or_default();
        if name.is_empty() { b"/" } else { name }
    }
}

fn visit(path: &mut PathBuf, depth: usize, take: &mut dyn FnMut(&mut PathBuf, bool) -> bool) -> bool {
    let mut names = Vec::new();
    if let Ok(mut directory) = Directory::open(path) {
        // A list that breaks off has fewer groups, which is still more than none.
        let _ = directory.list(|name, is_directory| {
            if is_directory {
                names.push(name.to_owned());
            }
        });
    }
    let mut below = false;
    for name in names.iter().filter(|_| depth > 0) {
        path.push(OsStr::from_bytes(name));
        below |= visit(path, depth - 1, take);
        path.pop();
    }
    take(path, below) || below
}
