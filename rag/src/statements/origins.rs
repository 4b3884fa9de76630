//! Whose the chunks of a version are. What the chunks of a document share stands once.

use std::collections::HashMap;

use schemas::Address;
use schemas::ids::{DocumentId, SubmissionId};
use schemas::tables::OriginRow;

/// Whose a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) contributor: Address,
    pub(crate) submission: SubmissionId,
    pub(crate) document: DocumentId,
    pub(crate) registered: u64,
}

impl Origin {
    pub(crate) fn of(row: &OriginRow) -> Self {
        let OriginRow { contributor, submission_id: submission, document_id: document, registered, .. } = *row;
        Self { contributor, submission, document, registered }
    }
}

/// The origin of each chunk, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    /// Each once, in the order of their first chunks.
    each: Vec<Origin>,
    of_chunk: Vec<u32>,
}

impl Origins {
    pub(crate) fn get(&self, chunk: usize) -> Option<&Origin> {
        self.each.get(*self.of_chunk.get(chunk)? as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.of_chunk.iter().filter_map(|at| self.each.get(*at as usize))
    }

    /// Of each chunk: which of [`Self::each`] it is.
    pub(crate) fn of_chunks(&self) -> &[u32] {
        &self.of_chunk
    }

    /// Each origin once.
    pub(crate) fn each(&self) -> &[Origin] {
        &self.each
    }

    /// Whether those of `other` come first.
    pub(crate) fn begin_with(&self, other: &Self) -> bool {
        self.of_chunk.starts_with(&other.of_chunk) && self.each.starts_with(&other.each)
    }

    /// About how many bytes this takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.each.len() * size_of::<Origin>() + self.of_chunk.len() * size_of::<u32>()
    }
}

impl Extend<Origin> for Origins {
    fn extend<T: IntoIterator<Item = Origin>>(&mut self, origins: T) {
        let mut known: HashMap<Origin, u32> = self.each.iter().copied().zip(0..).collect();
        for origin in origins {
            let next = known.len();
            let at = *known.entry(origin).or_insert_with(|| {
                self.each.push(origin);
                // there are no more of them than places in a dataset, which have 32 bits
                u32::try_from(next).unwrap_or(u32::MAX)
            });
            self.of_chunk.push(at);
        }
    }
}

impl FromIterator<Origin> for Origins {
    fn from_iter<T: IntoIterator<Item = Origin>>(origins: T) -> Self {
        let mut all = Self::default();
        all.extend(origins);
        all
    }
}
