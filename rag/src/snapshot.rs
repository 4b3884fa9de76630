//! A published version, opened to be asked: its members, who came first, its Merkle tree and its
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
use crate::{RagError, Result, blocking};

pub(crate) use cache::SnapshotCache;

/// One version, read-only.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) row: VersionRow,
    /// By registration, then chunk id: the earlier, the lower the index. Without embeddings.
    chunks: Vec<ChunkRow>,
    by_chunk: HashMap<ChunkId, usize>,
    /// Members of each near-duplicate cluster, earliest first.
    clusters: HashMap<ChunkId, Vec<usize>>,
    tree: StandardMerkleTree,
    pub(crate) text: TextIndex,
}

impl Snapshot {
    /// Reads the version's members, checks them against its root, and opens or builds its text index.
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
        let tree = StandardMerkleTree::new(&chunks.iter().map(|chunk| leaf(chunk).hash()).collect::<Vec<B256>>())?;
        if tree.root() != row.root {
            return Err(corrupt(format!("its {} chunks have root {} instead of {}", chunks.len(), tree.root(), row.root)));
        }
        let mut by_chunk = HashMap::new();
        let mut clusters: HashMap<ChunkId, Vec<usize>> = HashMap::new();
        for (index, chunk) in chunks.iter().enumerate() {
            by_chunk.entry(chunk.chunk_id).or_insert(index);
            clusters.entry(chunk.cluster_id).or_default().push(index);
        }
        let mut first: Vec<usize> = clusters.values().filter_map(|members| members.first().copied()).collect();
        first.sort_unstable();
        let representatives: Vec<&ChunkRow> = first.iter().filter_map(|index| chunks.get(*index)).collect();
        let text = index::open_or_build(&index_dir, &row, &representatives)?;
        Ok(Self { row, chunks, by_chunk, clusters, tree, text })
    }

    /// Number of members.
    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Number of near-duplicate clusters: the chunks that can be retrieved.
    pub(crate) fn cluster_count(&self) -> usize {
        self.clusters.len()
    }

    /// The earliest-registered member with this id.
    pub(crate) fn chunk(&self, id: ChunkId) -> Option<&ChunkRow> {
        self.chunks.get(*self.by_chunk.get(&id)?)
    }

    /// Whether this member is the one that stands for its cluster.
    pub(crate) fn represents(&self, chunk: ChunkId, submission: SubmissionId) -> bool {
        self.chunk(chunk)
            .and_then(|row| self.representative(row.cluster_id))
            .is_some_and(|first| first.chunk_id == chunk && first.submission_id == submission)
    }

    /// The earliest-registered member of a cluster.
    pub(crate) fn representative(&self, cluster: ChunkId) -> Option<&ChunkRow> {
        self.chunks.get(*self.clusters.get(&cluster)?.first()?)
    }

    /// The members of a cluster that came later than its representative, earliest first.
    pub(crate) fn copies(&self, cluster: ChunkId) -> impl Iterator<Item = &ChunkRow> {
        self.clusters.get(&cluster).into_iter().flatten().skip(1).filter_map(|index| self.chunks.get(*index))
    }

    /// Proof that the member is in the version.
    pub(crate) fn proof(&self, id: ChunkId) -> Result<Vec<B256>> {
        let index = self.by_chunk.get(&id).copied();
        index.and_then(|index| self.tree.proof(index)).ok_or_else(|| RagError::not_found("chunk", id))
    }
}

fn leaf(chunk: &ChunkRow) -> VersionLeaf {
    VersionLeaf { chunk_id: chunk.chunk_id, contributor: chunk.contributor, submission_id: chunk.submission_id }
}
