//! `/sys/fs/cgroup`: the control groups of services and containers.
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html>

use super::Roots;
use super::source::read_record;
use super::text::{find, lines, trim, uint, words};
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
    is_unified: bool,
    /// Names that a walk has still to visit, each with a NUL behind it.
    names: Vec<u8>,
}

/// When a walk is at a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    /// Before the groups below it, which are left out if the answer is no.
    Before,
    /// After them, and whether one of them was taken.
    After(bool),
}

impl Cgroups {
    /// Finds the tree; nothing is wrong if there is none.
    pub fn new(roots: &Roots) -> Self {
        let mut path = roots.sys.join("fs/cgroup");
        let is_unified = path.join("cgroup.controllers").exists();
        if !is_unified {
            path.push("memory");
        }
        Cgroups { root: path.as_os_str().len(), path, is_unified, names: Vec::new() }
    }

    /// Returns the directory of the tree, if it is of version 2 and the only one.
    pub fn unified(&self) -> Option<&Path> {
        self.is_unified.then_some(&self.path)
    }

    /// Returns how many bytes of each directory are the tree's own.
    pub fn root(&self) -> usize {
        self.root
    }

    /// Hands each group's directory to `take`, with whether `take` has taken a group below it; it returns whether it takes
    /// this one. Groups come after those below them.
    pub fn each(&mut self, take: &mut dyn FnMut(&mut PathBuf, bool) -> bool) {
        self.walk(&mut |path, visit| match visit {
            Visit::Before => true,
            Visit::After(below) => take(path, below),
        });
    }

    /// Hands each group's directory to `enter`, which returns whether to go on to the groups below it. Groups come before those
    /// below them. Nothing is allocated once the tree is known.
    pub fn descend(&mut self, enter: &mut dyn FnMut(&mut PathBuf) -> bool) {
        self.walk(&mut |path, visit| visit == Visit::Before && enter(path));
    }

    fn walk(&mut self, at: &mut dyn FnMut(&mut PathBuf, Visit) -> bool) {
        /// Deeper than service managers and engines nest them.
        const DEPTH_MAX: usize = 12;
        let Cgroups { path, names, .. } = self;
        visit(path, names, DEPTH_MAX, at);
    }

    /// Returns the name of the group with this directory: `/system.slice/cron.service`.
    pub fn name<'a>(&self, path: &'a Path) -> &'a [u8] {
        let name = path.as_os_str().as_bytes().get(self.root..).unwrap_or_default();
        if name.is_empty() { b"/" } else { name }
    }
}

fn visit(
    path: &mut PathBuf,
    names: &mut Vec<u8>,
    depth: usize,
    at: &mut dyn FnMut(&mut PathBuf, Visit) -> bool,
) -> bool {
    let mut below = false;
    if at(path, Visit::Before) && depth > 0 {
        let start = names.len();
        if let Ok(mut directory) = Directory::open(path) {
            // A list that breaks off has fewer groups, which is still more than none.
            let _ = directory.list(|name, is_directory| {
                if is_directory {
                    names.extend_from_slice(name);
                    names.push(0);
                }
            });
        }
        let (mut next, end) = (start, names.len());
        while let Some(length) = find(0, &names[next..end]) {
            path.push(OsStr::from_bytes(&names[next..next + length]));
            below |= visit(path, names, depth - 1, at);
            path.pop();
            next += length + 1;
        }
        names.truncate(start);
    }
    at(path, Visit::After(below)) || below
}

/// Returns the number of the first process in a group with this directory, as a rule the oldest. None in a group whose processes are in
/// groups below it, or in another process namespace (0).
pub fn first_process(group: &Path, text: &mut Vec<u8>) -> Option<u64> {
    read_record(&group.join("cgroup.procs"), text, true).ok()?;
    lines(text).find_map(|(_, line)| uint(line)).filter(|pid| *pid > 0)
}

/// Returns the number behind `name` in a file of lines such as `oom_kill 3`; without a name, that of a file that is a number.
pub fn number(text: &[u8], name: &[u8]) -> Option<u64> {
    uint(trim(lines(text).find_map(|(_, line)| line.strip_prefix(name))?))
}

/// Returns the bytes read and written that `io.stat` counts, all disks together: `179:0 rbytes=61440 wbytes=0 rios=4 wios=0 dbytes=0 dios=0`.
pub fn io_bytes(text: &[u8]) -> [u64; 2] {
    let mut bytes = [0_u64; 2];
    for word in words(text) {
        for (name, sum) in [&b"rbytes="[..], b"wbytes="].into_iter().zip(&mut bytes) {
            *sum = sum.saturating_add(word.strip_prefix(name).and_then(uint).unwrap_or(0));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_visited_as_asked() {
        let root = std::env::temp_dir().join(format!("pi-monitor-cgroups-{}", std::process::id()));
        let tree = root.join("fs/cgroup");
        for name in ["a.slice/b.service/below", "a.slice/c.service", "d.scope"] {
            std::fs::create_dir_all(tree.join(name)).unwrap();
        }
        let roots = Roots { sys: root.clone(), ..Roots::default() };
        assert_eq!(Cgroups::new(&roots).unified(), None);
        std::fs::write(tree.join("cgroup.controllers"), "cpu io pids\n").unwrap();
        let mut cgroups = Cgroups::new(&roots);
        assert_eq!(cgroups.unified(), Some(&*tree));
        let mut seen = Vec::new();
        let name = |path: &Path| path.strip_prefix(&tree).unwrap().to_str().unwrap().to_owned();
        cgroups.descend(&mut |path| {
            seen.push(name(path));
            !path.ends_with("b.service")
        });
        seen.sort();
        assert_eq!(seen, ["", "a.slice", "a.slice/b.service", "a.slice/c.service", "d.scope"]);
        let mut taken = Vec::new();
        cgroups.each(&mut |path, below| {
            taken.push((name(path), below));
            path.ends_with("below")
        });
        taken.sort();
        let expected = [
            ("", true),
            ("a.slice", true),
            ("a.slice/b.service", true),
            ("a.slice/b.service/below", false),
            ("a.slice/c.service", false),
            ("d.scope", false),
        ];
        assert_eq!(taken, expected.map(|(name, below)| (name.to_owned(), below)));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn real_text() {
        let events = b"low 0\nhigh 12\nmax 512\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(number(events, b"oom_kill "), Some(1));
        assert_eq!(number(events, b"oom "), Some(2));
        assert_eq!(number(events, b"absent "), None);
        assert_eq!(number(b"536870912\n", b""), Some(536_870_912));
        assert_eq!(number(b"max\n", b""), None);
        let io = b"179:0 rbytes=61440 wbytes=4096 rios=4 wios=1 dbytes=0 dios=0\n8:0 rbytes=1 wbytes=2 rios=1 wios=1 dbytes=9 dios=9\n";
        assert_eq!(io_bytes(io), [61_441, 4098]);
        // A disk that this group never used, as kernels before 5.15 print it.
        assert_eq!(io_bytes(b"8:16\n"), [0, 0]);
    }
}
