//! What is known of a Datanet's next version from the last time it was computed: chunks that were compared then are not
//! compared again where only later ones were added.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::ids::{ChunkId, DatanetId, SubmissionId};
use schemas::tables::{MemberRow, TextRow};

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
    pub(super) members: Vec<MemberRow>,
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
}

/// The members of one Datanet that were compared, in the order of their registration.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(super) next: Option<Arc<Next>>,
    clusters: Option<Clusters>,
    /// As they were placed.
    placed: Vec<MemberRow>,
}

impl Prepared {
    /// Orders `members` and gives those their standing that have it already. Of those that were placed all stay or none: what comes
    /// after may lean on any of them.
    pub(super) fn begin(&mut self, members: &mut [MemberRow], near_duplicate_ppm: u64) {
        members.sort_by_key(|member| (member.registered, member.document_id, member.ordinal));
        let is_placed = self.placed.len() <= members.len()
            && self.placed.iter().zip(members.iter()).all(|(placed, member)| {
                placed.key() == member.key() && placed.registered == member.registered && placed.document_id == member.document_id
            });
        if !is_placed || self.clusters.is_none() {
            self.clusters = Some(Clusters::new(near_duplicate_ppm));
            self.placed.clear();
        }
        members.iter_mut().zip(&self.placed).for_each(|(member, placed)| member.clone_from(placed));
    }

    /// The submissions of those that have no standing yet, in order.
    pub(super) fn missing(&self, members: &[MemberRow]) -> Vec<SubmissionId> {
        let mut missing: Vec<SubmissionId> = members.iter().skip(self.placed.len()).map(|member| member.submission_id).collect();
        missing.dedup();
        missing
    }

    /// Places the next members that `texts` has the texts of.
    pub(super) fn place_texts(&mut self, members: &mut [MemberRow], texts: Vec<TextRow>) {
        self.place(members, texts.into_iter().map(|row| ((row.chunk_id, row.submission_id), row.text)).collect(), |text| {
            Fingerprint::of(&text)
        });
    }

    /// Places the next members whose fingerprints a file keeps, of submissions that were committed.
    pub(super) fn place_kept(&mut self, members: &mut [MemberRow], file: &Path, committed: &[Committed]) {
        let read = read_kept(file, committed, |(_, submission_id), documents| {
            let chunks = documents.into_iter().flat_map(|document| document.chunks);
            self.place(members, chunks.map(|chunk| ((chunk.chunk_id, submission_id), chunk.fingerprint)).collect(), |kept| kept);
        });
        if let Err(error) = read {
            tracing::warn!(%error, file = %file.display(), "fingerprints could not be read; texts are");
        }
    }

    /// Places the next members of which something is `known`: states of each what it repeats among those before it.
    fn place<T>(
        &mut self,
        members: &mut [MemberRow],
        mut known: HashMap<(ChunkId, SubmissionId), T>,
        fingerprint: impl Fn(T) -> Fingerprint,
    ) {
        let Some(clusters) = self.clusters.as_mut() else { return };
        for member in members.iter_mut().skip(self.placed.len()) {
            let Some(known) = known.remove(&member.key()) else { break };
            let Placement { cluster_id, repeats } = clusters.place(member.chunk_id, fingerprint(known));
            member.cluster_id = cluster_id;
            let earlier = repeats.and_then(|(earlier, ppm)| Some((self.placed.get(earlier)?.chunk_id, ppm)));
            member.duplicate_of = earlier.map(|(chunk_id, _)| chunk_id);
            member.similarity_ppm = earlier.map(|(_, ppm)| ppm);
            self.placed.push(member.clone());
        }
    }

    /// Whether all of them have their standing.
    pub(super) fn check(&self, members: &[MemberRow]) -> Result<()> {
        match members.get(self.placed.len()) {
            None => Ok(()),
            Some(_) => Err(IngestError::Interrupted("comparing texts")),
        }
    }
}
