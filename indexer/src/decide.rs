//! What a new head means for the blocks we hold: a pure function of headers.
//!
//! Heights alone never decide. A block is known by its hash; a head that went back to a block we
//! hold is a node catching up, not a reorganisation.

use schemas::B256;

use crate::source::{BlockId, Header};

/// The blocks we hold above what is final, lowest first, hash-linked.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The last final block in the tables; `None` before the first.
    pub anchor: Option<BlockId>,
    /// Height of `hot[0]`: the anchor's plus 1, or the first block that is followed.
    pub first: u64,
    /// Hashes at heights `first..first + hot.len()`.
    pub hot: &'a [B256],
}

impl Held<'_> {
    fn hash_at(&self, number: u64) -> Option<B256> {
        if let Some(anchor) = self.anchor.filter(|anchor| anchor.number == number) {
            return Some(anchor.hash);
        }
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.hot.get(index).copied()
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// We hold the head already, or it lies below what is followed.
    Nothing,
    /// The branch does not reach what we hold yet: read this parent and ask again.
    ReadParent(B256),
    /// The branch continues our newest block: add it.
    Extend,
    /// The branch leaves ours: keep the lowest `keep` hot blocks, drop the `depth` others, add the branch.
    Undo { keep: usize, depth: usize },
    /// The branch leaves the chain at a final block. Nothing may be changed.
    BelowFinalized { number: u64, stored: B256, found: B256 },
}

/// Decides about a branch that was read from a new head downwards: newest first, each block the
/// parent of the one before it.
pub fn decide(held: &Held<'_>, branch: &[Header]) -> Decision {
    let (Some(head), Some(oldest)) = (branch.first(), branch.last()) else { return Decision::Nothing };
    if held.hash_at(head.number) == Some(head.hash) {
        return Decision::Nothing;
    }
    if oldest.number < held.first {
        // Only the anchor's own height can be compared here; lower ones are in the tables.
        return match held.anchor.filter(|anchor| anchor.number == oldest.number) {
            Some(anchor) => Decision::BelowFinalized { number: anchor.number, stored: anchor.hash, found: oldest.hash },
            None => Decision::Nothing,
        };
    }
    if oldest.number == held.first {
        return match held.anchor {
            Some(anchor) if anchor.hash != oldest.parent_hash => {
                Decision::BelowFinalized { number: anchor.number, stored: anchor.hash, found: oldest.parent_hash }
            }
            _ => join(held, 0),
        };
    }
    match usize::try_from(oldest.number - held.first) {
        Ok(keep) if held.hash_at(oldest.number - 1) == Some(oldest.parent_hash) => join(held, keep),
        _ => Decision::ReadParent(oldest.parent_hash),
    }
}

fn join(held: &Held<'_>, keep: usize) -> Decision {
    match held.hot.len().saturating_sub(keep) {
        0 => Decision::Extend,
        depth => Decision::Undo { keep, depth },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ScriptedChain;
    use proptest::prelude::*;

    /// Walks down from the head as the follower does; panics if it does not end.
    fn walk(held: &Held<'_>, chain: &[Header]) -> (Decision, Vec<Header>) {
        let mut branch = vec![*chain.last().unwrap()];
        for _ in 0..=chain.len() {
            match decide(held, &branch) {
                Decision::ReadParent(hash) => branch.push(*chain.iter().find(|header| header.hash == hash).unwrap()),
                decision => return (decision, branch),
            }
        }
        panic!("the walk does not end")
    }

    proptest! {
        /// Two branches fork after block `common`; we hold one of them up to `ours`, final up to
        /// `finalized`, and see the other's head at `theirs`.
        #[test]
        fn the_walk_finds_the_highest_common_block(
            common in 0u64..12, ours in 0u64..12, theirs in 0u64..12, finalized in 0u64..30, start in 0u64..6,
        ) {
            let chain = ScriptedChain::new(1);
            for _ in 0..common { chain.mine(0, &[]); }
            for _ in 0..ours { chain.mine(1, &[]); }
            let mine = chain.canonical();
            chain.rewind(usize::try_from(ours).unwrap());
            for _ in 0..theirs { chain.mine(2, &[]); }
            let other = chain.canonical();

            let tip = common + ours;
            let anchor = (finalized >= start && finalized <= tip).then(|| mine[usize::try_from(finalized).unwrap()].id());
            let first = anchor.map_or(start, |anchor| anchor.number + 1);
            let hot: Vec<B256> = mine.iter().filter(|header| header.number >= first).map(|header| header.hash).collect();
            let held = Held { anchor, first, hot: &hot };

            let head = common + theirs;
            let (decision, branch) = walk(&held, &other);
            let lowest_held = anchor.map_or(first, |anchor| anchor.number);
            if head < lowest_held {
                prop_assert_eq!(decision, Decision::Nothing);
            } else if (theirs == 0 || ours == 0) && head <= tip && hash_of(&mine, head) == hash_of(&other, head) {
                prop_assert_eq!(decision, Decision::Nothing);
            } else if anchor.is_some_and(|anchor| anchor.number > common) {
                prop_assert!(matches!(decision, Decision::BelowFinalized { .. }), "{:?}", decision);
            } else {
                let keep = usize::try_from((common + 1).saturating_sub(first)).unwrap().min(hot.len());
                let depth = hot.len() - keep;
                prop_assert_eq!(decision, if depth == 0 { Decision::Extend } else { Decision::Undo { keep, depth } });
                // Applying it gives exactly the other branch.
                let mut result = hot[..keep].to_vec();
                result.extend(branch.iter().rev().map(|header| header.hash));
                let wanted: Vec<B256> = other.iter().filter(|header| header.number >= first).map(|header| header.hash).collect();
                prop_assert_eq!(result, wanted);
            }
        }
    }

    fn hash_of(chain: &[Header], number: u64) -> Option<B256> {
        chain.get(usize::try_from(number).unwrap()).map(|header| header.hash)
    }

    #[test]
    fn no_head_is_no_news() {
        assert_eq!(decide(&Held { anchor: None, first: 0, hot: &[] }, &[]), Decision::Nothing);
    }
}
