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
    /// Their signatures, while statements are added: beside them, for then all that hold a token are looked at once per statement.
    signatures: Vec<u64>,
}

impl Posting {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// So many of them, of which the first are looked at.
    pub(super) fn with_room(count: usize) -> Self {
        Self { count: 0, statements: Vec::with_capacity(count.min(COMPARED)), signatures: Vec::new() }
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
        if self.signatures.len() < self.statements.len() {
            self.signatures.push(signature.0);
        }
    }

    /// Puts those of `all` statements beside those that have none there.
    pub(super) fn hold_signatures(&mut self, all: &[[Signature; 2]]) {
        let added = self.statements.iter().skip(self.signatures.len());
        self.signatures.extend(added.map(|statement| all.get(*statement as usize).map_or(0, |[first, _]| first.0)));
    }

    pub(super) fn let_signatures_go(&mut self) {
        self.signatures = Vec::new();
        self.statements.shrink_to_fit();
    }

    /// Appends those that may hold all but so many tokens of a set with this signature; `all` are the signatures of all statements.
    pub(super) fn find(&self, wanted: Signature, lacking: usize, all: &[[Signature; 2]], found: &mut Vec<u32>) {
        let (beside, others) = self.statements.split_at_checked(self.signatures.len()).unwrap_or_default();
        let mut places = Vec::new();
        engine::nearly_holding(&self.signatures, wanted.0, lacking, &mut places);
        found.extend(places.into_iter().filter_map(|place| beside.get(place)));
        let may_be = |statement: &u32| all.get(*statement as usize).is_some_and(|[first, _]| first.lacks(wanted) <= lacking);
        found.extend(others.iter().copied().filter(may_be));
    }

    /// About how many bytes this takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.statements.capacity() * size_of::<u32>() + self.signatures.capacity() * size_of::<u64>()
    }
}
