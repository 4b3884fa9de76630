//! Names of cached pages: a chain of sha256 over everything that a page's keys and values depend on.
//!
//! A page depends on the model, the adapter, its position and every token before it. Two pages with the same key hold the
//! same numbers, bit for bit, whichever request computed them.

use sha2::{Digest, Sha256};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// What a run of tokens starts from: `seen` are the ends of the runs that it sees besides itself, in their order.
    /// An adapter is named by its content, so that another one under the same name finds nothing of the first. A stretched
    /// sequence's keys are rotated otherwise.
    pub(crate) fn root(model: &str, adapter: Option<&str>, stretched: bool, first_position: usize, seen: &[Self]) -> Self {
        let mut hash = Sha256::new();
        for field in [model, adapter.unwrap_or_default()] {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        hash.update([u8::from(stretched)]);
        hash.update((first_position as u64).to_le_bytes());
        for key in seen {
            hash.update(key.0);
        }
        Self(hash.finalize().into())
    }

    /// The key of the page that holds `tokens` and follows what `self` stands for.
    pub(crate) fn then(&self, tokens: &[u32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        for token in tokens {
            hash.update(token.to_le_bytes());
        }
        Self(hash.finalize().into())
    }
}
