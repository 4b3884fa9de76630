//! The statements that hold one token, of which so many are looked at: those that share little else are told apart by their
//! signatures, which stand beside them, before their tokens are read.

use super::Signature;

/// Earlier statements that are looked at for one token.
const COMPARED: usize = 4096;

/// The statements of one token, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Posting {
    count: usize,
    /// The first of them, each with its signature.
    statements: Vec<u32>,
    signatures: Vec<Signature>,
}

impl Posting {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn push(&mut self, statement: u32, signature: Signature) {
        self.count += 1;
        if self.statements.len() < COMPARED {
            self.statements.push(statement);
            self.signatures.push(signature);
        }
    }

    /// Appends those that may hold all but so many tokens of a set with this signature.
    pub(super) fn find(&self, wanted: Signature, lacking: usize, found: &mut Vec<u32>) {
        for (statement, signature) in self.statements.iter().zip(&self.signatures) {
            if signature.lacks(wanted) <= lacking {
                found.push(*statement);
            }
        }
    }

    /// About how many bytes this takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.statements.capacity() * size_of::<u32>() + self.signatures.capacity() * size_of::<Signature>()
    }
}
