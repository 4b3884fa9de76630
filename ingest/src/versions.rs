//! Publishing: the accepted chunks of a Datanet become an immutable version with a Merkle root.
//!
//! A curator signs what [`Ingest::preview`] shows; publishing computes it again and takes nothing else.
//! The `versions` row is the commit: members that are written without it are not a version.

mod prepared;

use std::collections::HashSet;
use std::sync::Arc;

use schemas::ids::{ChunkId, DatanetId, SubmissionId};
use schemas::tables::{
    ChunkRow, DatanetRow, DocumentRow, ForeignVersionRow, MemberRow, Millis, ReviewRow, SubmissionRow, TextRow, VersionRow,
};
use schemas::{Address, B256, signed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Held;

use crate::book::Book;
use crate::datanets::hash_json;
use crate::duplicates::Committed;
use crate::reads::one_of;
use crate::service::Step;
use crate::{Ingest, IngestError, Result};
pub(crate) use prepared::PreparedVersions;
use prepared::{Next, Prepared, Stamp};

/// Documents, or submissions, that one scan looks for.
const IDS_PER_SCAN: usize = 500;
/// Where more than this part of the submissions is compared, the file of all fingerprints is read instead of their texts.
const FROM_FILE_PART: usize = 4;

/// What publishing now would commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    pub version: u64,
    /// Root of the current version; zero when there is none.
    pub parent_root: B256,
    pub root: B256,
    pub chunk_count: u64,
    pub document_count: u64,
    pub contributor_count: u64,
    /// Chunks that the current version lacks.
    pub added: u64,
    /// Chunks of the current version that this one lacks.
    pub removed: u64,
}

/// A publication as its publisher signed it (see [`schemas::signed::Publication`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPublication {
    /// A curator, or the Datanet's owner.
    pub publisher: Address,
    pub datanet: DatanetId,
    pub version: u64,
    pub parent_root: B256,
    pub root: B256,
    pub chunk_count: u64,
    pub signature: String,
}

impl Ingest {
    /// What publishing now would commit.
    ///
    /// # Errors
    /// [`IngestError::NothingToPublish`] when nothing is accepted, or nothing has changed since the current version.
    pub async fn preview(&self, datanet: DatanetId) -> Result<Preview> {
        let datanet = self.datanet(&datanet.to_string()).await?;
        let _held = self.inner.decisions.lock().await;
        Ok(self.next_version(&datanet).await?.preview.clone())
    }

    /// Publishes what was previewed and signed. The same publication again returns the same row.
    ///
    /// # Errors
    /// [`IngestError::Unauthorised`], [`IngestError::Forbidden`] for somebody who is neither curator nor
    /// owner, [`IngestError::NothingToPublish`], and [`IngestError::Conflict`] when what would be published
    /// is no longer what was signed.
    pub async fn publish(&self, publication: SignedPublication) -> Result<VersionRow> {
        let datanet = self.datanet(&publication.datanet.to_string()).await?;
        let SignedPublication { publisher, version, parent_root, root, chunk_count, .. } = publication;
        let message = signed::Publication {
            publisher,
            datanetId: datanet.datanet_id.0,
            version,
            parentRoot: parent_root,
            root,
            chunkCount: chunk_count,
        };
        signed::check_signature(self.config().domain.digest(&message), &publication.signature, publisher)
            .map_err(|error| IngestError::Unauthorised(format!("the publication's signature does not hold: {error}")))?;

        let _held = self.inner.decisions.lock().await;
        // Whoever was removed a moment ago publishes nothing.
        let datanet = self.datanet(&publication.datanet.to_string()).await?;
        if publisher != datanet.owner && !datanet.curators.contains(&publisher) {
            return Err(IngestError::Forbidden(format!("{publisher} is neither curator nor owner of Datanet {:?}", datanet.name)));
        }
        let versions = self.versions(datanet.datanet_id).await?;
        if let Some(existing) = versions.into_iter().find(|row| row.version == version) {
            return same_version(existing, &publication);
        }
        let next = self.next_version(&datanet).await?;
        let Next { preview, members, held, .. } = &*next;
        if (preview.version, preview.parent_root, preview.root, preview.chunk_count) != (version, parent_root, root, chunk_count) {
            return Err(IngestError::Conflict(format!(
                "version {} with {} chunks and root {} is what would be published now, not version {version} with {chunk_count} chunks \
                 and root {root}; look at the preview again and sign that",
                preview.version, preview.chunk_count, preview.root
            )));
        }
        let lance_version = self.store().publish_submitted(datanet.datanet_id, version, members, *held).await?;
        self.reached(Step::MembersWritten)?;
        let row = version_row(preview, &publication, lance_version)?;
        let inserted = self.store().insert_new(&[row.clone()]).await?;
        self.inner.prepared.hold(datanet.datanet_id, Held { lance_version, members: members.len() });
        self.reached(Step::VersionCommitted)?;
        if inserted.rows == 0 {
            let existing = self.versions(datanet.datanet_id).await?.into_iter().find(|row| row.version == version);
            return same_version(existing.unwrap_or(row), &publication);
        }
        tracing::info!(datanet = %row.datanet_id, version, root = %row.root, chunks = row.chunk_count, "version published");
        Ok(row)
    }

    /// The next version and its members. What was computed for a preview serves the publication, while nothing has changed.
    async fn next_version(&self, datanet: &DatanetRow) -> Result<Arc<Next>> {
        let stamp = self.stamp()?;
        let mut prepared = self.inner.prepared.take(datanet.datanet_id);
        let next = match prepared.next.take().filter(|next| next.stamp == stamp) {
            Some(next) => next,
            None => Arc::new(self.compute_next(datanet, stamp, &mut prepared).await?),
        };
        prepared.next = Some(next.clone());
        self.inner.prepared.put(datanet.datanet_id, prepared);
        Ok(next)
    }

    /// The tables that decide what the next version is.
    fn stamp(&self) -> Result<Stamp> {
        let store = self.store();
        Ok([
            store.version::<SubmissionRow>()?,
            store.version::<DocumentRow>()?,
            store.version::<ChunkRow>()?,
            store.version::<ReviewRow>()?,
            store.version::<VersionRow>()?,
            store.version::<ForeignVersionRow>()?,
        ])
    }

    async fn compute_next(&self, datanet: &DatanetRow, stamp: Stamp, prepared: &mut Prepared) -> Result<Next> {
        let id = datanet.datanet_id;
        let book = self.book(id).await?;
        self.compare_members(id, &book, prepared).await?;
        if prepared.is_empty() {
            return Err(IngestError::NothingToPublish(format!("Datanet {:?} has no accepted document; accept one first", datanet.name)));
        }
        let (members, root) = self.on(prepared, "hashing chunks", |prepared| prepared.members()).await??;
        let versions = self.versions(id).await?;
        let current = versions.last().cloned();
        // What stands on chain instead of ours, where the operator accepted it and nothing was built on it yet.
        let foreign = self.foreign_head(id).await?;
        let foreign = foreign.filter(|foreign| !versions.iter().any(|row| row.parent_root == foreign.root));
        if foreign.is_none() && current.as_ref().is_some_and(|current| current.root == root) {
            return Err(IngestError::NothingToPublish(format!(
                "nothing has changed in Datanet {:?} since its current version; accept or reject something first",
                datanet.name
            )));
        }
        let held = current.as_ref().and_then(|current| prepared.held_at(current.lance_version));
        let (before, kept) = match (&current, held) {
            (None, _) => (0, 0),
            (Some(_), Some(held)) => (held.members, held.members),
            (Some(current), None) => {
                let before = self.store().members_in_part::<MemberRow>(id, current.lance_version).await?;
                let before: HashSet<(ChunkId, SubmissionId)> = before.iter().map(MemberRow::key).collect();
                (before.len(), members.iter().filter(|chunk| before.contains(&chunk.key())).count())
            }
        };
        let (document_count, contributor_count) = prepared.counts();
        let preview = Preview {
            version: current.iter().map(|row| row.version).chain(foreign.iter().map(|row| row.version)).max().unwrap_or(0) + 1,
            parent_root: foreign.map(|row| row.root).or(current.map(|row| row.root)).unwrap_or_default(),
            root,
            chunk_count: members.len() as u64,
            document_count,
            contributor_count,
            added: (members.len() - kept) as u64,
            removed: (before - kept) as u64,
        };
        Ok(Next { stamp, preview, members, held })
    }

    /// Reads the chunks of the accepted documents, and finds the clusters that they form among themselves: nothing that is pending
    /// or rejected has a part in it.
    async fn compare_members(&self, datanet: DatanetId, book: &Book, prepared: &mut Prepared) -> Result<()> {
        let near_duplicate_ppm = self.config().near_duplicate_ppm;
        let accepted = book.accepted();
        let unread = prepared.unread(&accepted);
        let mut members: Vec<MemberRow> = Vec::new();
        match &unread {
            None => {
                members = self.store().scan_part::<ChunkRow, _>(Some(&format!("datanet_id = '{datanet}'"))).await?;
                members.retain(|chunk: &MemberRow| accepted.contains(&chunk.document_id));
            }
            Some(documents) => {
                for some in documents.chunks(IDS_PER_SCAN) {
                    members.extend(self.store().scan_part::<ChunkRow, MemberRow>(Some(&one_of("document_id", some.iter()))).await?);
                }
            }
        }
        for chunk in &mut members {
            if let Some(registered) = book.registered(chunk.submission_id) {
                chunk.registered = registered;
            }
        }
        let is_all = unread.is_none();
        self.on(prepared, "ordering chunks", move |prepared| {
            if is_all { prepared.take_all(members, near_duplicate_ppm) } else { prepared.take_later(members, near_duplicate_ppm) }
        })
        .await?;
        let mut missing = prepared.missing();
        if missing.len() * FROM_FILE_PART > book.submissions().len()
            && let Some(file) = self.fingerprints_file(datanet)
        {
            // Held while the file is read, which then has all that is committed.
            let index = self.duplicates(datanet).await?;
            let mut committed: Vec<Committed> = book.submissions().collect();
            committed.sort_unstable();
            self.on(prepared, "comparing fingerprints", move |prepared| prepared.place_kept(&file, &committed)).await?;
            drop(index);
            missing = prepared.missing();
        }
        for some in missing.chunks(IDS_PER_SCAN) {
            let texts = self.store().scan_part::<ChunkRow, TextRow>(Some(&one_of("submission_id", some.iter()))).await?;
            self.on(prepared, "comparing texts", move |prepared| prepared.place_texts(texts)).await?;
        }
        Ok(())
    }

    /// Computes with what is prepared, beside other work. It is lost where that is interrupted.
    async fn on<T: Send + 'static>(
        &self,
        prepared: &mut Prepared,
        what: &'static str,
        work: impl FnOnce(&mut Prepared) -> T + Send + 'static,
    ) -> Result<T> {
        let mut taken = std::mem::take(prepared);
        let (taken, done) = self
            .compute(what, move || {
                let done = work(&mut taken);
                (taken, done)
            })
            .await?;
        *prepared = taken;
        Ok(done)
    }
}

fn version_row(preview: &Preview, publication: &SignedPublication, lance_version: u64) -> Result<VersionRow> {
    let manifest = json!({
        "datanet_id": publication.datanet,
        "version": preview.version,
        "parent_root": preview.parent_root,
        "root": preview.root,
        "chunk_count": preview.chunk_count,
        "document_count": preview.document_count,
        "contributor_count": preview.contributor_count,
    });
    Ok(VersionRow {
        datanet_id: publication.datanet,
        version: preview.version,
        parent_root: preview.parent_root,
        root: preview.root,
        chunk_count: preview.chunk_count,
        document_count: preview.document_count,
        contributor_count: preview.contributor_count,
        manifest_hash: hash_json(&manifest)?,
        lance_version,
        publisher: publication.publisher,
        signature: publication.signature.clone(),
        published_at: Millis::now(),
    })
}

/// The row of a version that exists, when it is the one that was signed.
fn same_version(row: VersionRow, publication: &SignedPublication) -> Result<VersionRow> {
    let signed = (publication.publisher, publication.parent_root, publication.root, publication.chunk_count);
    if (row.publisher, row.parent_root, row.root, row.chunk_count) == signed {
        return Ok(row);
    }
    Err(IngestError::Conflict(format!(
        "version {} was published by {} with root {}; look at the preview again and sign the version after it",
        row.version, row.publisher, row.root
    )))
}

#[cfg(test)]
mod tests;
