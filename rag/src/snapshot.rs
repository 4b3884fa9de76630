//! A published version, opened to be asked: its members, who said what first, its Merkle tree and its
//! text index. Nothing that is not a member of the version can be reached through it.

mod cache;

use std::collections::HashMap;
use std::path::PathBuf;

use schemas::B256;
use schemas::ids::{ChunkId, SubmissionId};
use schemas::leaves::VersionLeaf;
use schemas::merkle::StandardMerkleTree;
use schemas::tables::{ChunkRow, Embedding, VersionRow};
use store::Store;

use crate::index::{self, TextIndex};
use crate::statements::{ChunkStanding, StatementIndex};
use crate::{RagError, Result, blocking};

pub(crate) use cache::SnapshotCache;

/// One version, read-only. Members are named by their position in the order of registration.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) row: VersionRow,
    /// By registration, then chunk id: the earlier, the lower the position. Without embeddings.
    chunks: Vec<ChunkRow>,
    by_chunk: HashMap<ChunkId, usize>,
    /// Members that state something of their own.
    speaking: usize,
    pub(crate) statements: StatementIndex,
    tree: StandardMerkleTree,
    pub(crate) text: TextIndex,
}

impl Snapshot {
    /// Reads the version's members, checks them against its root, orders what they state, and opens or builds its text index.
    pub(crate) async fn load(store: &Store, index_dir: PathBuf, row: VersionRow) -> Result<Self> {
        let members = store.members(row.datanet_id, row.lance_version).await?;
        blocking(move || Self::build(index_dir, row, members)).await
    }

    fn build(index_dir: PathBuf, row: VersionRow, mut chunks: Vec<ChunkRow>) -> Result<Self> {
        chunks.sort_by_key(|chunk| (chunk.registered, chunk.chunk_id, chunk.submission_id));
        for chunk in &mut chunks {
            chunk.embedding = Embedding::default();
        }
        let corrupt = |problem: String| RagError::CorruptVersion { datanet: row.datanet_id, version: row.version, problem };
        let tree = StandardMerkleTree::new(&chunks.iter().map(|chunk| VersionLeaf::of(chunk).hash()).collect::<Vec<B256>>())?;
        if tree.root() != row.root {
            return Err(corrupt(format!("its {} chunks have root {} instead of {}", chunks.len(), tree.root(), row.root)));
        }
        let mut by_chunk = HashMap::new();
        for (position, chunk) in chunks.iter().enumerate() {
            by_chunk.entry(chunk.chunk_id).or_insert(position);
        }
        let statements = StatementIndex::build(&chunks);
        let searched: Vec<(ChunkId, String)> = (chunks.iter().enumerate())
            .filter_map(|(position, chunk)| Some((chunk.chunk_id, statements.searched_text(position, &chunk.text)?)))
            .collect();
        let text = index::open_or_build(&index_dir, &row, &searched)?;
        let speaking = (0..chunks.len()).filter(|position| statements.chunk(*position) == ChunkStanding::Speaks).count();
        Ok(Self { row, chunks, by_chunk, speaking, statements, tree, text })
    }

    /// Number of members.
    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Number of members that state something of their own: those that are searched by vector.
    pub(crate) fn speaking(&self) -> usize {
        self.speaking
    }

    pub(crate) fn chunk(&self, position: usize) -> Option<&ChunkRow> {
        self.chunks.get(position)
    }

    /// The earliest-registered member with this id.
    pub(crate) fn position(&self, id: ChunkId) -> Option<usize> {
        self.by_chunk.get(&id).copied()
    }

    /// The position of a member that states something of its own.
    pub(crate) fn speaker(&self, chunk: ChunkId, submission: SubmissionId) -> Option<usize> {
        let position = self.position(chunk)?;
        let is_first = self.chunk(position)?.submission_id == submission;
        (is_first && self.statements.chunk(position) == ChunkStanding::Speaks).then_some(position)
    }

    /// The members that repeat this one on the whole, earliest first.
    pub(crate) fn copies(&self, position: usize) -> impl Iterator<Item = &ChunkRow> {
        self.statements.copies(position).iter().filter_map(|copy| self.chunks.get(*copy))
    }

    /// Proof that the member is in the version.
    pub(crate) fn proof(&self, position: usize) -> Result<Vec<B256>> {
        self.tree.proof(position).ok_or_else(|| RagError::not_found("member", position))
    }
}
