//! The statements that hold one token, of which so many are looked at: those that share little else are told apart by their
//! signatures, which stand beside them, before their tokens are read.

use super::Signature;

/// Earlier statements that are looked at for one token.
const COMPARED: usize = 4096;

/// The statements of one token, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Posting {
    count: usize,
    /// The first of them.
    statements: Vec<u32>,
    /// The first part of their signatures, while statements are added: beside them, for then all that hold a token are looked at once
    /// per statement.
    signatures: [Vec<u64>; 2],
}

impl Posting {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether all are looked at.
    pub(super) fn is_complete(&self) -> bool {
        self.count == self.statements.len()
    }

    /// So many of them, of which the first are looked at.
    pub(super) fn with_room(count: usize) -> Self {
        Self { statements: Vec::with_capacity(count.min(COMPARED)), ..Self::default() }
    }

    pub(super) fn push(&mut self, statement: u32) {
        self.count += 1;
        if self.statements.len() < COMPARED {
            self.statements.push(statement);
        }
    }

    /// The same while signatures are held.
    pub(super) fn push_with(&mut self, statement: u32, signature: Signature) {
        self.push(statement);
        for (beside, half) in self.signatures.iter_mut().zip(signature.first).filter(|(beside, _)| beside.len() < self.statements.len()) {
            beside.push(half);
        }
    }

    /// Those that are looked at.
    #[cfg(test)]
    pub(super) fn listed(&self) -> impl Iterator<Item = u32> {
        self.statements.iter().copied()
    }

    /// Puts those of `all` statements beside those that have none there.
    pub(super) fn hold_signatures(&mut self, all: &[Signature]) {
        let [lower, upper] = &mut self.signatures;
        for statement in self.statements.iter().skip(lower.len()) {
            let [low, high] = all.get(*statement as usize).map_or([0; 2], |signature| signature.first);
            lower.push(low);
            upper.push(high);
        }
    }

    pub(super) fn let_signatures_go(&mut self) {
        self.signatures = Default::default();
        self.statements.shrink_to_fit();
    }

    /// Appends those that may hold all but so many tokens of a set with this signature; `all` are the signatures of all statements.
    pub(super) fn find(&self, wanted: &Signature, lacking: usize, all: &[Signature], found: &mut Vec<u32>) {
        let [lower, upper] = &self.signatures;
        let (beside, others) = self.statements.split_at_checked(lower.len()).unwrap_or_default();
        let mut places = Vec::new();
        engine::nearly_holding([lower, upper], wanted.first, lacking, &mut places);
        let may_be = |statement: &u32| all.get(*statement as usize).is_some_and(|signature| signature.lacks(wanted) <= lacking);
        let beside = places.into_iter().filter_map(|place| beside.get(place));
        found.extend(beside.chain(others).copied().filter(may_be));
    }

    /// About how many bytes this takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.statements.capacity() * size_of::<u32>()
            + self.signatures.iter().map(Vec::capacity).sum::<usize>() * size_of::<u64>()
    }
}
