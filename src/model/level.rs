//! How full a filesystem is, from the one who asks it to the one who remembers.

use super::Moment;

/// How full a filesystem on a device is.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    pub moment: Moment,
    /// What it is on, which tells it from others.
    pub device: &'a [u8],
    pub mountpoint: &'a [u8],
    /// In bytes.
    pub used: u64,
    pub available: u64,
}

/// What remembers levels.
pub trait Levels: std::fmt::Debug {
    /// Takes a level; returns in how many seconds the filesystem is full, if it fills steadily.
    fn note(&mut self, level: &Level<'_>) -> Option<u64>;
}

/// Remembers nothing.
impl Levels for () {
    fn note(&mut self, _: &Level<'_>) -> Option<u64> {
        None
    }
}
