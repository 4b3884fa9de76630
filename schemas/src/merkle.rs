//! OpenZeppelin `StandardMerkleTree` v1: the roots and proofs of the npm package
//! `@openzeppelin/merkle-tree`, so that any stock library can check ours.
//!
//! The tree is a complete binary tree in an array of `2n - 1` nodes, leaves sorted by hash and
//! stored backwards from the end; an inner node is the keccak of its two children, smaller first.

use alloy_primitives::{B256, Keccak256};

use crate::SchemaError;

/// Nodes that are worth a thread, which costs as much as hashing a hundred.
const LEAST_PER_THREAD: usize = if cfg!(test) { 8 } else { 4_096 };

/// A tree over leaf hashes (see [`crate::leaves`]).
#[derive(Debug, Clone)]
pub struct StandardMerkleTree {
    nodes: Vec<B256>,
    /// Array position of each leaf, in the order in which the leaves were given.
    positions: Vec<usize>,
}

impl StandardMerkleTree {
    /// Builds the tree over `leaves`, given in any order.
    ///
    /// # Errors
    /// [`SchemaError::BadTree`] when there are no leaves, or two are equal (a proof would be ambiguous).
    pub fn new(leaves: &[B256]) -> Result<Self, SchemaError> {
        let mut sorted: Vec<(B256, usize)> = leaves.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        let nodes = nodes(sorted.iter().map(|(leaf, _)| *leaf))?;
        let mut positions = vec![0; leaves.len()];
        for (rank, (_, index)) in sorted.into_iter().enumerate() {
            positions[index] = nodes.len() - 1 - rank;
        }
        Ok(Self { nodes, positions })
    }

    /// The root.
    pub fn root(&self) -> B256 {
        self.nodes.first().copied().unwrap_or_default()
    }

    /// Sibling hashes from the `index`-th given leaf up to the root; `None` when there is no such leaf.
    pub fn proof(&self, index: usize) -> Option<Vec<B256>> {
        let mut position = *self.positions.get(index)?;
        let mut proof = Vec::new();
        while position > 0 {
            let sibling = if position % 2 == 1 { position + 1 } else { position - 1 };
            proof.push(*self.nodes.get(sibling)?);
            position = (position - 1) / 2;
        }
        Some(proof)
    }
}

/// The leaves of a tree that grows, of which only the root is wanted: what was sorted is not sorted again.
#[derive(Debug, Clone, Default)]
pub struct GrowingTree {
    sorted: Vec<B256>,
    /// Those that came later.
    later: Vec<B256>,
}

impl GrowingTree {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: B256) {
        self.later.push(leaf);
    }

    /// The root of [`StandardMerkleTree::new`] over all leaves.
    ///
    /// # Errors
    /// Those of [`StandardMerkleTree::new`].
    pub fn root(&mut self) -> Result<B256, SchemaError> {
        let mut later = std::mem::take(&mut self.later);
        later.sort_unstable();
        self.sorted.reserve(later.len());
        let mut before = self.sorted.len();
        self.sorted.extend_from_slice(&later);
        // from the end, so that nothing is in the way
        for at in (0..self.sorted.len()).rev() {
            let Some(last) = later.last() else { break };
            let greater = before.checked_sub(1).map(|before| self.sorted[before]).filter(|before| before > last);
            before -= usize::from(greater.is_some());
            self.sorted[at] = greater.or_else(|| later.pop()).unwrap_or_default();
        }
        Ok(nodes(self.sorted.iter().copied())?.first().copied().unwrap_or_default())
    }
}

/// The same tree in a ninth of the memory, once it is built: the upper levels, and the order of the leaves. What lies below is computed from the
/// leaves again when a proof is asked for, a few dozen of them.
#[derive(Debug, Clone)]
pub struct SparseMerkleTree {
    upper: Vec<B256>,
    /// Numbers of the leaves as given, by hash.
    sorted: Vec<u32>,
}

impl SparseMerkleTree {
    /// Of so many leaves a node is kept.
    const LEAVES_PER_NODE: usize = 8;

    /// Builds the tree over `leaves`, given in any order.
    ///
    /// # Errors
    /// As [`StandardMerkleTree::new`]; [`SchemaError::BadTree`] also beyond 2^32 leaves.
    pub fn new(leaves: &[B256]) -> Result<Self, SchemaError> {
        let StandardMerkleTree { mut nodes, positions } = StandardMerkleTree::new(leaves)?;
        let last = nodes.len() - 1;
        let mut sorted = vec![0; leaves.len()];
        for (index, position) in positions.into_iter().enumerate() {
            let index = u32::try_from(index).map_err(|_| SchemaError::BadTree("a tree has at most 2^32 leaves".into()))?;
            sorted[last - position] = index;
        }
        nodes.truncate(leaves.len().div_ceil(Self::LEAVES_PER_NODE));
        nodes.shrink_to_fit();
        Ok(Self { upper: nodes, sorted })
    }

    /// The root.
    pub fn root(&self) -> B256 {
        self.upper.first().copied().unwrap_or_default()
    }

    /// As [`StandardMerkleTree::proof`]; `leaf` gives the hash of a leaf by its number. The proof leads to the root only where it
    /// gives those that the tree was built of.
    pub fn proof(&self, index: usize, leaf: impl Fn(usize) -> B256) -> Option<Vec<B256>> {
        let index = u32::try_from(index).ok().filter(|_| index < self.sorted.len())?;
        let of = |number: u32| leaf(number as usize);
        let wanted = of(index);
        let rank = self.sorted.partition_point(|other| of(*other) < wanted);
        self.sorted.get(rank).filter(|at| **at == index)?;
        let mut position = 2 * self.sorted.len() - 2 - rank;
        let mut proof = Vec::new();
        while position > 0 {
            let sibling = if position % 2 == 1 { position + 1 } else { position - 1 };
            proof.push(self.node(sibling, &of)?);
            position = (position - 1) / 2;
        }
        Some(proof)
    }

    fn node(&self, position: usize, leaf: &impl Fn(u32) -> B256) -> Option<B256> {
        if let Some(kept) = self.upper.get(position) {
            return Some(*kept);
        }
        let leaves = self.sorted.len();
        if position >= leaves - 1 {
            return (2 * leaves - 2).checked_sub(position).and_then(|rank| self.sorted.get(rank)).map(|number| leaf(*number));
        }
        Some(hash_pair(self.node(2 * position + 1, leaf)?, self.node(2 * position + 2, leaf)?))
    }

    /// Bytes that this takes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(self.upper.as_slice()) + size_of_val(self.sorted.as_slice())
    }
}

/// Whether `proof` leads from `leaf` to `root` (OpenZeppelin's `MerkleProof.verify`).
pub fn verify(root: B256, leaf: B256, proof: &[B256]) -> bool {
    proof.iter().fold(leaf, |node, sibling| hash_pair(node, *sibling)) == root
}

/// The tree over leaves that come sorted by hash.
fn nodes(sorted: impl ExactSizeIterator<Item = B256>) -> Result<Vec<B256>, SchemaError> {
    let leaves = sorted.len();
    let Some(size) = (2 * leaves).checked_sub(1) else { return Err(SchemaError::BadTree("a tree needs at least one leaf".into())) };
    let mut nodes = vec![B256::ZERO; size];
    nodes.iter_mut().rev().zip(sorted).for_each(|(node, leaf)| *node = leaf);
    if nodes[size - leaves..].windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(SchemaError::BadTree("two leaves are equal".into()));
    }
    hash_inner(&mut nodes, size - leaves);
    Ok(nodes)
}

/// Fills in the inner nodes, which are the first so many: level by level from the deepest, each on as many threads as it is worth.
fn hash_inner(nodes: &mut [B256], inner: usize) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut level = 0..inner;
    while !level.is_empty() {
        // a level begins at 2^k - 1
        level.start = (1 << level.end.ilog2()) - 1;
        let (upper, children) = nodes.split_at_mut(level.end);
        let children = &children[2 * level.start + 1 - level.end..];
        let upper = &mut upper[level.start..];
        let part = upper.len().div_ceil(threads).max(LEAST_PER_THREAD);
        std::thread::scope(|scope| {
            let mut parts = upper.chunks_mut(part).zip(children.chunks(2 * part));
            let own = parts.next();
            parts.for_each(|(nodes, children)| drop(scope.spawn(move || hash_level(nodes, children))));
            own.into_iter().for_each(|(nodes, children)| hash_level(nodes, children));
        });
        level = 0..level.start;
    }
}

fn hash_level(nodes: &mut [B256], children: &[B256]) {
    for (node, pair) in nodes.iter_mut().zip(children.as_chunks().0) {
        let [left, right]: &[B256; 2] = pair;
        *node = hash_pair(*left, *right);
    }
}

/// keccak of two nodes, smaller first.
fn hash_pair(a: B256, b: B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(a.min(b));
    hasher.update(a.max(b));
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::ids::{parse_address, parse_b256};
    use crate::leaves::{FirstVersionLeaf, RewardLeaf, VersionLeaf};

    fn hash(value: &Value) -> B256 {
        parse_b256("hash", value.as_str().unwrap()).unwrap()
    }

    /// Roots, leaf hashes and proofs made with npm's `@openzeppelin/merkle-tree`.
    #[test]
    fn equals_openzeppelin() {
        let vectors: Value = serde_json::from_str(include_str!("../contracts/vectors/standard-merkle-tree.json")).unwrap();
        let trees = vectors["trees"].as_array().unwrap();
        assert!(trees.len() >= 36, "{}", trees.len());
        for tree in trees {
            let leaves: Vec<B256> = tree["values"].as_array().unwrap().iter().map(|value| leaf(&tree["kind"], value)).collect();
            let built = StandardMerkleTree::new(&leaves).unwrap();
            assert_eq!(built.root(), hash(&tree["root"]), "{} of {}", tree["kind"], tree["size"]);
            for expected in tree["leaves"].as_array().unwrap() {
                let index = expected["index"].as_u64().unwrap() as usize;
                assert_eq!(leaves[index], hash(&expected["leafHash"]));
                let proof: Vec<B256> = expected["proof"].as_array().unwrap().iter().map(hash).collect();
                assert_eq!(built.proof(index).unwrap(), proof);
                assert!(verify(built.root(), leaves[index], &proof));
            }
        }
    }

    fn leaf(kind: &Value, value: &Value) -> B256 {
        let text = |index: usize| value[index].as_str().unwrap();
        match kind.as_str().unwrap() {
            "version" => FirstVersionLeaf {
                chunk_id: text(0).parse().unwrap(),
                contributor: parse_address(text(1)).unwrap(),
                submission_id: text(2).parse().unwrap(),
            }
            .hash(),
            "version/2" => VersionLeaf {
                chunk_id: text(0).parse().unwrap(),
                contributor: parse_address(text(1)).unwrap(),
                submission_id: text(2).parse().unwrap(),
                registered: text(3).parse().unwrap(),
            }
            .hash(),
            // The leaf of a receipt is its body's hash, as `rag` builds the receipts root.
            "receipt" => keccak256(keccak256(hash(&value[0]))),
            _ => RewardLeaf {
                chain_id: text(0).parse().unwrap(),
                distributor: parse_address(text(1)).unwrap(),
                account: parse_address(text(2)).unwrap(),
                cumulative_wei: text(3).parse().unwrap(),
            }
            .hash(),
        }
    }

    #[test]
    fn impossible_trees_are_refused() {
        assert!(StandardMerkleTree::new(&[]).is_err() && GrowingTree::default().root().is_err());
        assert!(StandardMerkleTree::new(&[B256::ZERO, B256::ZERO]).is_err());
        assert!(StandardMerkleTree::new(&[B256::ZERO]).unwrap().proof(1).is_none());
    }

    #[test]
    fn a_sparse_tree_gives_the_same_proofs() {
        for count in (1u64..70).chain([1000]) {
            let leaves: Vec<B256> = (0..count).map(|number| keccak256(number.to_be_bytes())).collect();
            let (whole, sparse) = (StandardMerkleTree::new(&leaves).unwrap(), SparseMerkleTree::new(&leaves).unwrap());
            assert_eq!(whole.root(), sparse.root());
            for index in 0..=leaves.len() {
                assert_eq!(whole.proof(index), sparse.proof(index, |number| leaves[number]), "{index} of {count}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_tree_that_grows_has_the_root_of_all(parts in proptest::collection::vec(proptest::collection::vec(any::<u64>(), 1..40), 1..6)) {
            let (mut growing, mut all) = (GrowingTree::default(), Vec::new());
            for leaf in parts.iter().flat_map(|part| part.iter().map(Some).chain([None])) {
                match leaf {
                    Some(leaf) => {
                        all.push(keccak256(leaf.to_be_bytes()));
                        growing.push(keccak256(leaf.to_be_bytes()));
                    }
                    None => prop_assert_eq!(growing.root().ok(), StandardMerkleTree::new(&all).ok().map(|tree| tree.root())),
                }
            }
        }

        #[test]
        fn every_leaf_is_proven_and_no_other(seeds in proptest::collection::btree_set(any::<[u8; 32]>(), 1..40), stranger: [u8; 32]) {
            let leaves: Vec<B256> = seeds.iter().map(alloy_primitives::keccak256).collect();
            let tree = StandardMerkleTree::new(&leaves).unwrap();
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = tree.proof(index).unwrap();
                prop_assert!(verify(tree.root(), *leaf, &proof));
                prop_assert!(!verify(tree.root(), B256::from(stranger), &proof));
            }
        }
    }
}
