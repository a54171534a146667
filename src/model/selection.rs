//! Which collectors somebody asks for.

/// A set of collectors, by the order of their registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection(u64);

impl Selection {
    pub const NONE: Selection = Selection(0);
    pub const ALL: Selection = Selection(u64::MAX);
    /// The most collectors that a set can hold.
    pub const COLLECTORS_MAX: usize = u64::BITS as usize;

    /// Returns the set with the collector at `place` added.
    pub const fn with(self, place: usize) -> Self {
        Selection(self.0 | 1 << place)
    }

    /// Returns whether the collector at `place` is in the set.
    pub const fn contains(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }

    /// Returns the set with what is in `other`, too.
    pub const fn and(self, other: Selection) -> Self {
        Selection(self.0 | other.0)
    }

    /// Returns the set without what is in `other`.
    pub const fn without(self, other: Selection) -> Self {
        Selection(self.0 & !other.0)
    }

    /// Returns the set without places from `count` on.
    pub const fn first(self, count: usize) -> Self {
        match u64::MAX.checked_shr(u64::BITS - count as u32) {
            Some(mask) => Selection(self.0 & mask),
            None => Selection::NONE,
        }
    }

    /// Returns whether every collector of `other` is in the set.
    pub const fn includes(self, other: Selection) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the set as a number, which no other set has.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_collectors() {
        let some = Selection::NONE.with(0).with(63);
        assert!(some.contains(0) && !some.contains(1) && some.contains(63));
        assert!(Selection::ALL.includes(some) && some.includes(some) && !some.includes(Selection::NONE.with(1)));
        assert_eq!(Selection::NONE.with(1).and(some), some.with(1));
        assert_eq!(Selection::ALL.first(64), Selection::ALL);
        assert_eq!(some.first(63), Selection::NONE.with(0));
        assert_eq!(Selection::ALL.first(0), Selection::NONE);
        assert_eq!(Selection::ALL.first(2).bits(), 3);
    }
}
