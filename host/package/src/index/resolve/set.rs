use std::fmt;

use pubgrub::VersionSet;

use super::super::MAX_VERSIONS;

/// Words of a set: 320 versions. A plugin has 256 in an index, one that is locked, one that is installed, and the one
/// that stands for not being there.
const WORDS: usize = 5;
const BITS: u16 = 64;

/// A version by its place among those that are known of a plugin, oldest first.
pub(super) type Place = u16;

/// The plugin is not there. Who needs a plugin only where it is there anyway takes this, too.
pub(super) const ABSENT: Place = BITS * WORDS as Place - 1;

const _: () = assert!(MAX_VERSIONS + 2 <= ABSENT as usize, "each version needs a place");

/// Some of the versions that are known of one plugin. A range over semantic versions is no interval (pre-releases), so
/// each is written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set([u64; WORDS]);

impl Set {
    pub(super) const NONE: Set = Set([0; WORDS]);

    pub(super) const fn add(&mut self, place: Place) {
        self.0[(place / BITS) as usize] |= 1 << (place % BITS);
    }

    pub(super) const fn has(&self, place: Place) -> bool {
        self.0[(place / BITS) as usize] & 1 << (place % BITS) != 0
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(super) fn of(places: impl IntoIterator<Item = Place>) -> Set {
        let mut set = Self::NONE;
        places.into_iter().for_each(|place| set.add(place));
        set
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((0..=ABSENT).filter(|&place| self.has(place))).finish()
    }
}

impl VersionSet for Set {
    type V = Place;

    fn empty() -> Set {
        Self::NONE
    }

    fn singleton(place: Place) -> Set {
        Self::of([place])
    }

    fn complement(&self) -> Set {
        Set(self.0.map(|word| !word))
    }

    fn intersection(&self, other: &Set) -> Set {
        Set(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }

    fn contains(&self, place: &Place) -> bool {
        self.has(*place)
    }

    fn union(&self, other: &Set) -> Set {
        Set(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What pubgrub rests on: that two sets of the same versions are equal, whichever way they came about.
    #[test]
    fn sets_are_sets() {
        let (low, high) = (Set::of([0, 63, 64]), Set::of([64, ABSENT]));
        assert_eq!(low.intersection(&high), Set::singleton(64));
        assert_eq!(low.union(&high), Set::of([ABSENT, 64, 0, 63]));
        assert_eq!(low.complement().complement(), low);
        assert_eq!(Set::full().count(), u32::from(ABSENT) + 1);
        assert!(low.is_disjoint(&low.complement()) && !low.is_disjoint(&high));
        assert!(Set::singleton(63).subset_of(&low) && !high.subset_of(&low));
        assert!(low.contains(&63) && !low.contains(&62));
    }
}
