//! Where the machine's file trees are.

use std::path::PathBuf;

/// Where the three file trees are that collectors read; other places than the usual ones for tests and containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    pub proc: PathBuf,
    pub sys: PathBuf,
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Roots { proc: "/proc".into(), sys: "/sys".into(), root: "/".into() }
    }
}
