//! The Merkle tree over the records of a log: RFC 6962, section 2.1, with SHA-256.
//!
//! An entry is the 32 bytes of a record's hash, which is over all else in its line: so a line is hashed once for chain
//! and tree. What is kept in memory is the *frontier*: the roots
//! of the full subtrees that make up the tree so far, at most one for each bit of its size.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::chain::Hash;

/// RFC 6962 has these bytes before what is hashed, so that no leaf is a node.
const LEAF: u8 = 0;
const NODE: u8 = 1;

/// The hash of a leaf over `entry`.
pub(crate) fn leaf(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([LEAF]).chain_update(entry).finalize().into())
}

/// The hash of a node over its two children.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut both = [NODE; 65];
    both[1..33].copy_from_slice(&left.0);
    both[33..].copy_from_slice(&right.0);
    Hash::of_bytes(&both)
}

/// A tree of which only the roots of its full subtrees are kept, the largest first: enough to add leaves and
/// to say the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// A frontier as it was kept; `None` where there are not as many hashes as a tree of this size has.
    pub(crate) fn from_parts(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }

    /// How many leaves.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the full subtrees, the largest first.
    pub(crate) fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// The same with the leaves that each subtree is over.
    pub(crate) fn subtrees(&self) -> impl Iterator<Item = (Range<u64>, Hash)> {
        let mut begin = 0;
        let sizes = (0..u64::BITS).rev().map(|bit| 1 << bit).filter(|bit| self.size & bit != 0);
        sizes.zip(&self.roots).map(move |(size, root)| {
            let range = begin..begin + size;
            begin += size;
            (range, *root)
        })
    }

    /// Adds a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.push_subtree(1, leaf);
    }

    /// Adds a full subtree of `leaves` leaves, a power of two that the size so far is a multiple of.
    pub(crate) fn push_subtree(&mut self, leaves: u64, root: Hash) {
        debug_assert!(leaves.is_power_of_two() && self.size.is_multiple_of(leaves));
        let mut root = root;
        let mut bit = leaves;
        while self.size & bit != 0 {
            let Some(left) = self.roots.pop() else { break };
            root = node(&left, &root);
            bit <<= 1;
        }
        self.roots.push(root);
        self.size += leaves;
    }

    /// The root of the tree; of the empty one, the hash of nothing.
    pub(crate) fn root(&self) -> Hash {
        let Some((last, rest)) = self.roots.split_last() else { return Hash::of_bytes(&[]) };
        rest.iter().rev().fold(*last, |right, left| node(left, &right))
    }
}

/// The subtrees whose roots prove that leaf `index` is in the tree of `size`, from the leaf upwards.
pub(crate) fn inclusion(index: u64, size: u64) -> Vec<Range<u64>> {
    let mut siblings = Vec::new();
    let mut tree = 0..size;
    while tree.end - tree.start > 1 {
        let middle = middle(&tree);
        if index < middle {
            siblings.push(middle..tree.end);
            tree.end = middle;
        } else {
            siblings.push(tree.start..middle);
            tree.start = middle;
        }
    }
    siblings.reverse();
    siblings
}

/// The subtrees whose roots prove that the tree of `size` begins with the one of `old`, from below upwards.
pub(crate) fn consistency(old: u64, size: u64) -> Vec<Range<u64>> {
    let mut subtrees = Vec::new();
    let mut tree = 0..size;
    if old == 0 || old >= size {
        return subtrees;
    }
    while tree.end != old {
        let middle = middle(&tree);
        if old <= middle {
            subtrees.push(middle..tree.end);
            tree.end = middle;
        } else {
            subtrees.push(tree.start..middle);
            tree.start = middle;
        }
    }
    // The old tree's own root is known to whoever checks.
    if tree.start != 0 {
        subtrees.push(tree);
    }
    subtrees.reverse();
    subtrees
}

/// Where RFC 6962 divides a tree: its left side is the largest power of two below its size.
const fn middle(tree: &Range<u64>) -> u64 {
    tree.start + (1 << (u64::BITS - 1 - (tree.end - tree.start - 1).leading_zeros()))
}

/// The root that a tree of `size` has if `leaf` is at `index` in it and `path` are its siblings from the leaf
/// upwards (RFC 9162, 2.1.3.2); `None` where the path is not one of that place.
pub(crate) fn root_by_inclusion(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut root = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node(sibling, &root);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = node(&root, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

/// The roots that the trees of `old` and `size` have if one begins with the other and `path` proves it (RFC
/// 9162, 2.1.4.2); `None` where the path is not one of these sizes. `old_root` is the claimed one, which the path
/// leaves out where it is a subtree.
pub(crate) fn roots_by_consistency(
    old: u64,
    size: u64,
    old_root: Hash,
    path: &[Hash],
) -> Option<(Hash, Hash)> {
    if old == 0 || old > size {
        return None;
    }
    if old == size {
        return path.is_empty().then_some((old_root, old_root));
    }
    let mut path = path.iter();
    let (mut at, mut last) = (old - 1, size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let first = if old.is_power_of_two() { old_root } else { *path.next()? };
    let (mut small, mut large) = (first, first);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            small = node(sibling, &small);
            large = node(sibling, &large);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            large = node(&large, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some((small, large))
}

/// Computes the roots of subtrees of a tree whose leaves come one after the other.
#[derive(Debug)]
pub(crate) struct Gather {
    /// In the order of their leaves, with the place in which the caller wants them.
    wanted: Vec<(Range<u64>, usize, Frontier)>,
    at: usize,
}

impl Gather {
    /// For these subtrees, no two of which overlap. `begun` has the subtrees of the leaves that will not come.
    pub(crate) fn new(ranges: &[Range<u64>], begun: &Frontier) -> Option<Self> {
        let mut wanted: Vec<_> = ranges
            .iter()
            .enumerate()
            .map(|(place, range)| (range.clone(), place, Frontier::default()))
            .collect();
        wanted.sort_by_key(|(range, ..)| range.start);
        for (range, _, frontier) in &mut wanted {
            for (part, root) in begun.subtrees() {
                if part.start >= range.start && part.end <= range.end {
                    frontier.push_subtree(part.end - part.start, root);
                }
            }
            // A subtree that has lost leaves of which no root is left cannot be computed any more.
            let lost = range.end.min(begun.size()).saturating_sub(range.start);
            if frontier.size() != lost {
                return None;
            }
        }
        Some(Self { wanted, at: 0 })
    }

    /// Takes leaf `index`, the next one.
    pub(crate) fn leaf(&mut self, index: u64, leaf: impl FnOnce() -> Hash) {
        while self.wanted.get(self.at).is_some_and(|(range, ..)| range.end <= index) {
            self.at += 1;
        }
        if let Some((range, _, frontier)) = self.wanted.get_mut(self.at)
            && range.contains(&index)
        {
            frontier.push(leaf());
        }
    }

    /// The roots in the order in which they were asked for; `None` where leaves are missing.
    pub(crate) fn roots(mut self) -> Option<Vec<Hash>> {
        self.wanted.sort_by_key(|(_, place, _)| *place);
        self.wanted
            .into_iter()
            .map(|(range, _, frontier)| (frontier.size() == range.end - range.start).then(|| frontier.root()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;

    use super::*;

    /// RFC 6962, 2.1, word by word.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of_bytes(&[]),
            [one] => *one,
            more => {
                let mut k = 1;
                while k * 2 < more.len() {
                    k *= 2;
                }
                node(&naive(&more[..k]), &naive(&more[k..]))
            }
        }
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf(&number.to_be_bytes())).collect()
    }

    fn frontier(leaves: &[Hash]) -> Frontier {
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        frontier
    }

    fn gathered(ranges: &[Range<u64>], leaves: &[Hash], lost: usize) -> Option<Vec<Hash>> {
        let mut gather = Gather::new(ranges, &frontier(&leaves[..lost]))?;
        for (index, leaf) in leaves.iter().enumerate().skip(lost) {
            gather.leaf(index as u64, || *leaf);
        }
        gather.roots()
    }

    /// The test vectors that Certificate Transparency's implementations share.
    #[test]
    fn known_trees_have_their_known_roots() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves: Vec<Hash> = inputs.iter().map(|input| leaf(input)).collect();
        let root = |count: usize| frontier(&leaves[..count]).root().to_string();
        assert_eq!(root(0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(root(1), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(root(3), "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
        assert_eq!(root(8), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    #[test]
    fn every_small_tree_agrees_with_the_definition_and_with_another_implementation() {
        let all = leaves(70);
        let mut other = MemoryBackedTree::<sha2_011::Sha256, [u8; 8]>::new();
        for size in 0..=70_u64 {
            let tree = &all[..size as usize];
            let root = frontier(tree).root();
            assert_eq!(root, naive(tree));
            assert_eq!(other.root().as_bytes()[..], root.0);
            for index in 0..size {
                let ranges = inclusion(index, size);
                let path = gathered(&ranges, tree, 0).unwrap();
                assert_eq!(
                    other.prove_inclusion(index as usize).as_bytes(),
                    path.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>(),
                    "{index} in {size}"
                );
                assert_eq!(root_by_inclusion(index, size, tree[index as usize], &path), Some(root));
            }
            for old in 1..=size {
                let path = gathered(&consistency(old, size), tree, 0).unwrap();
                let theirs = other.prove_consistency((size - old) as usize);
                assert_eq!(theirs.as_bytes(), path.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>());
                let old_root = naive(&tree[..old as usize]);
                assert_eq!(roots_by_consistency(old, size, old_root, &path), Some((old_root, root)));
            }
            other.push(size.to_be_bytes());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn f1_a_proof_holds_for_its_leaf_and_place_alone(
            (size, index, other) in (1..400_u64).prop_flat_map(|size| (Just(size), 0..size, 0..size)),
            flipped in 0..256_usize,
        ) {
            let all = leaves(size);
            let root = naive(&all);
            let path = gathered(&inclusion(index, size), &all, 0).unwrap();
            let at = |index: u64, path: &[Hash]| root_by_inclusion(index, size, all[index as usize], path) == Some(root);
            prop_assert!(at(index, &path));
            prop_assert_eq!(at(other, &path), other == index);
            prop_assert_ne!(root_by_inclusion(index, size, leaf(b"another"), &path), Some(root));
            for cut in 0..path.len() {
                let mut changed = path.clone();
                changed[cut].0[flipped / 8] ^= 1 << (flipped % 8);
                prop_assert!(!at(index, &changed));
                changed.remove(cut);
                prop_assert!(!at(index, &changed));
            }
            let longer = [&path[..], &[root]].concat();
            prop_assert!(!at(index, &longer));
        }

        #[test]
        fn f1_a_proof_of_consistency_holds_for_its_two_trees_alone(
            (size, old) in (2..400_u64).prop_flat_map(|size| (Just(size), 1..size)),
            changed in 0..400_usize,
        ) {
            let all = leaves(size);
            let (root, old_root) = (naive(&all), naive(&all[..old as usize]));
            let path = gathered(&consistency(old, size), &all, 0).unwrap();
            let holds = |old_root: Hash, root: Hash, path: &[Hash]| {
                roots_by_consistency(old, size, old_root, path) == Some((old_root, root))
            };
            prop_assert!(holds(old_root, root, &path));
            let mut forked = all.clone();
            let changed = changed % old as usize;
            forked[changed] = leaf(b"another");
            let forked_root = naive(&forked);
            prop_assert!(!holds(old_root, forked_root, &path));
            let forked_path = gathered(&consistency(old, size), &forked, 0).unwrap();
            prop_assert!(!holds(old_root, forked_root, &forked_path));
            for cut in 0..path.len() {
                let mut shorter = path.clone();
                shorter.remove(cut);
                prop_assert!(!holds(old_root, root, &shorter));
            }
        }

        #[test]
        fn proofs_of_what_is_left_need_only_the_frontier_of_what_was_removed(
            (size, lost, index) in (1..300_u64)
                .prop_flat_map(|size| (Just(size), 0..size))
                .prop_flat_map(|(size, lost)| (Just(size), Just(lost), lost..size)),
        ) {
            let all = leaves(size);
            let lost = lost as usize;
            let path = gathered(&inclusion(index, size), &all, lost).unwrap();
            prop_assert_eq!(path, gathered(&inclusion(index, size), &all, 0).unwrap());
            let old = index.max(1);
            if old as usize >= lost {
                let path = gathered(&consistency(old, size), &all, lost).unwrap();
                prop_assert_eq!(path, gathered(&consistency(old, size), &all, 0).unwrap());
            }
        }
    }

    #[test]
    fn a_frontier_of_another_size_is_none() {
        let three = frontier(&leaves(3));
        assert_eq!(Frontier::from_parts(3, three.roots().to_vec()), Some(three.clone()));
        assert_eq!(Frontier::from_parts(4, three.roots().to_vec()), None);
    }
}
