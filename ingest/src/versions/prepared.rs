//! What is known of a Datanet's next version from the last time it was computed: chunks that were read and compared then are
//! neither read nor compared again where only later ones were added.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::ids::{ChunkId, DatanetId, DocumentId, SubmissionId};
use schemas::leaves::VersionLeaf;
use schemas::merkle::GrowingTree;
use schemas::tables::{MemberRow, TextRow};
use schemas::{Address, B256};
use store::Held;

use super::Preview;
use crate::duplicates::{Clusters, Committed, Fingerprint, Placement, read_kept};
use crate::{IngestError, Result};

/// Datanets that something is remembered of: the last ones that were published.
const REMEMBERED: usize = 4;

/// Versions of the tables that a [`Next`] was computed from.
pub(super) type Stamp = [u64; 6];

/// A version that could be published.
#[derive(Debug)]
pub(crate) struct Next {
    pub(super) stamp: Stamp,
    pub(super) preview: Preview,
    /// In the order of their registration.
    pub(super) members: Arc<Vec<MemberRow>>,
    /// What the Datanet's dataset has of them.
    pub(super) held: Option<Held>,
}

/// By Datanet, the last one last. Derived: what is lost is computed anew.
#[derive(Debug, Default)]
pub(crate) struct PreparedVersions(Mutex<Vec<(DatanetId, Prepared)>>);

impl PreparedVersions {
    pub(super) fn take(&self, datanet: DatanetId) -> Prepared {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(other, _)| *other == datanet);
        at.map(|at| all.remove(at).1).unwrap_or_default()
    }

    pub(super) fn put(&self, datanet: DatanetId, prepared: Prepared) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, _)| *other != datanet);
        all.push((datanet, prepared));
        let beyond = all.len().saturating_sub(REMEMBERED);
        all.drain(..beyond);
    }

    /// Notes that all members were published.
    pub(super) fn hold(&self, datanet: DatanetId, held: Held) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, prepared)) = all.iter_mut().find(|(other, _)| *other == datanet) {
            prepared.held = (held.members == prepared.placed.len()).then_some(held);
        }
    }
}

/// The members of one Datanet that were compared, in the order of their registration.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(super) next: Option<Arc<Next>>,
    clusters: Option<Clusters>,
    /// As they were placed.
    placed: Arc<Vec<MemberRow>>,
    /// One of each that is placed.
    tree: GrowingTree,
    /// Those after them, which have no standing yet.
    waiting: VecDeque<MemberRow>,
    /// All that any of these are of.
    documents: HashSet<DocumentId>,
    /// Of those that are placed.
    contributors: HashSet<Address>,
    /// The first of those that are placed, as they were published.
    held: Option<Held>,
}

impl Prepared {
    /// The accepted documents whose chunks are to be read. None where all are: where one is not accepted any more, and where most
    /// are new.
    pub(super) fn unread(&self, accepted: &HashSet<DocumentId>) -> Option<Vec<DocumentId>> {
        let unread: Vec<DocumentId> = accepted.difference(&self.documents).copied().collect();
        (unread.len() < self.documents.len() && accepted.len() - unread.len() == self.documents.len()).then_some(unread)
    }

    /// Takes the chunks of those documents that were unread.
    pub(super) fn take_later(&mut self, mut later: Vec<MemberRow>, near_duplicate_ppm: u64) {
        later.sort_by_key(order);
        if later.first().map(order) < self.placed.last().map(order) && !later.is_empty() {
            let all = self.placed.iter().cloned().chain(later).collect();
            return self.take_all(all, near_duplicate_ppm);
        }
        self.documents.extend(later.iter().map(|member| member.document_id));
        self.waiting = later.into();
    }

    /// Takes all chunks, and gives those their standing that have it already. Of those that were placed all stay or none: what
    /// comes after may lean on any of them.
    pub(super) fn take_all(&mut self, mut members: Vec<MemberRow>, near_duplicate_ppm: u64) {
        members.sort_by_key(order);
        let is_placed = self.placed.len() <= members.len()
            && (self.placed.iter().zip(&members)).all(|(placed, member)| placed.key() == member.key() && order(placed) == order(member));
        if !is_placed || self.clusters.is_none() {
            *self = Self { clusters: Some(Clusters::new(near_duplicate_ppm)), ..Self::default() };
        }
        self.documents = members.iter().map(|member| member.document_id).collect();
        self.waiting = members.split_off(self.placed.len()).into();
    }

    /// The submissions of those that have no standing yet, in order.
    pub(super) fn missing(&self) -> Vec<SubmissionId> {
        let mut missing: Vec<SubmissionId> = self.waiting.iter().map(|member| member.submission_id).collect();
        missing.dedup();
        missing
    }

    /// Places the next members that `texts` has the texts of.
    pub(super) fn place_texts(&mut self, texts: Vec<TextRow>) {
        self.place(texts.into_iter().map(|row| ((row.chunk_id, row.submission_id), row.text)).collect(), |text| Fingerprint::of(&text));
    }

    /// Places the next members whose fingerprints a file keeps, of submissions that were committed.
    pub(super) fn place_kept(&mut self, file: &Path, committed: &[Committed]) {
        let read = read_kept(file, committed, |(_, submission_id), documents| {
            let chunks = documents.into_iter().flat_map(|document| document.chunks);
            self.place(chunks.map(|chunk| ((chunk.chunk_id, submission_id), chunk.fingerprint)).collect(), |kept| kept);
        });
        if let Err(error) = read {
            tracing::warn!(%error, file = %file.display(), "fingerprints could not be read; texts are");
        }
    }

    /// Places the next members of which something is `known`: states of each what it repeats among those before it.
    fn place<T>(&mut self, mut known: HashMap<(ChunkId, SubmissionId), T>, fingerprint: impl Fn(T) -> Fingerprint) {
        let Some(clusters) = self.clusters.as_mut() else { return };
        let placed = Arc::make_mut(&mut self.placed);
        while let Some(known) = self.waiting.front().and_then(|member| known.remove(&member.key()))
            && let Some(mut member) = self.waiting.pop_front()
        {
            let Placement { cluster_id, repeats } = clusters.place(member.chunk_id, fingerprint(known));
            member.cluster_id = cluster_id;
            let earlier = repeats.and_then(|(earlier, ppm)| Some((placed.get(earlier)?.chunk_id, ppm)));
            member.duplicate_of = earlier.map(|(chunk_id, _)| chunk_id);
            member.similarity_ppm = earlier.map(|(_, ppm)| ppm);
            self.tree.push(VersionLeaf::of_member(&member).hash());
            self.contributors.insert(member.contributor);
            placed.push(member);
        }
    }

    /// Whether there are no members at all.
    pub(super) fn is_empty(&self) -> bool {
        self.placed.is_empty() && self.waiting.is_empty()
    }

    /// All members, where all have their standing, and the root over (chunk id, contributor, submission id, registration) of every
    /// one. Blocks.
    pub(super) fn members(&mut self) -> Result<(Arc<Vec<MemberRow>>, B256)> {
        if !self.waiting.is_empty() {
            return Err(IngestError::Interrupted("comparing texts"));
        }
        Ok((self.placed.clone(), self.tree.root()?))
    }

    /// How many documents and contributors the members are of, where all have their standing.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.documents.len() as u64, self.contributors.len() as u64)
    }

    /// What the dataset has of the members, if it is at this Lance version.
    pub(super) fn held_at(&self, lance_version: u64) -> Option<Held> {
        self.held.filter(|held| held.lance_version == lance_version)
    }
}

/// In which members come.
fn order(member: &MemberRow) -> (u64, DocumentId, u64) {
    (member.registered, member.document_id, member.ordinal)
}
