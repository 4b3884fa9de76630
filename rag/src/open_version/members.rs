//! The members of a version in the order of registration, and their Merkle tree.

use schemas::B256;
use schemas::ids::ChunkId;
use schemas::leaves::VersionLeaf;
use schemas::merkle::SparseMerkleTree;
use schemas::tables::{OriginRow, VersionRow};
use store::Store;

use crate::statements::{Origin, Origins};
use crate::{RagError, Result, blocking};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) chunk_id: ChunkId,
    /// In the version's dataset.
    pub(crate) place: u32,
}

#[derive(Debug)]
pub(crate) struct Members {
    /// By registration, then chunk id: the earlier, the lower the position.
    each: Vec<Member>,
    pub(crate) origins: Origins,
    /// Positions by chunk id, then position.
    by_chunk: Vec<u32>,
    tree: SparseMerkleTree,
}

impl Members {
    /// Checked against the version's root. A batch at a time is read: of a million members all columns would take more memory
    /// than what is kept of them.
    pub(crate) async fn read(store: &Store, row: &VersionRow) -> Result<Self> {
        let (mut chunks, mut origins) = (Vec::new(), Vec::new());
        let mut each = |rows: Vec<OriginRow>| {
            chunks.extend(rows.iter().map(|row| row.chunk_id));
            origins.push(rows.iter().map(Origin::of).collect::<Origins>());
            Ok(())
        };
        store.for_each_member(row.datanet_id, row.lance_version, &mut each).await?;
        let row = row.clone();
        blocking(move || {
            let origins: Origins = origins.iter().flat_map(Origins::iter).copied().collect();
            Self::in_order(&row, &chunks, &origins)
        })
        .await
    }

    /// `chunks` and `origins` as they stand in the dataset.
    fn in_order(row: &VersionRow, chunks: &[ChunkId], origins: &Origins) -> Result<Self> {
        let key = |place: u32| {
            let origin = origins.get(place as usize);
            (origin.map(|origin| origin.registered), chunks.get(place as usize), origin.map(|origin| origin.submission))
        };
        let mut places: Vec<u32> = (0..).take(chunks.len()).collect();
        places.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)));
        let member = |place: &u32| Some(Member { chunk_id: *chunks.get(*place as usize)?, place: *place });
        let each: Vec<Member> = places.iter().filter_map(member).collect();
        let origins: Origins = places.iter().filter_map(|place| origins.get(*place as usize).copied()).collect();
        let leaves: Vec<B256> = each.iter().zip(origins.iter()).map(|(member, origin)| leaf(member, origin).hash()).collect();
        let tree = SparseMerkleTree::new(&leaves)?;
        if tree.root() != row.root {
            let problem = format!("its {} chunks have root {} instead of {}", leaves.len(), tree.root(), row.root);
            return Err(RagError::CorruptVersion { datanet: row.datanet_id, version: row.version, problem });
        }
        let mut by_chunk: Vec<u32> = (0..).take(each.len()).collect();
        by_chunk.sort_unstable_by_key(|at| (each.get(*at as usize).map(|member| member.chunk_id), *at));
        Ok(Self { each, origins, by_chunk, tree })
    }

    pub(crate) fn len(&self) -> usize {
        self.each.len()
    }

    pub(super) fn get(&self, position: usize) -> Option<&Member> {
        self.each.get(position)
    }

    /// From this position on.
    pub(crate) fn after(&self, position: usize) -> &[Member] {
        self.each.get(position..).unwrap_or_default()
    }

    /// The earliest-registered member with this id.
    pub(super) fn position(&self, id: ChunkId) -> Option<usize> {
        let of = |at: &u32| self.get(*at as usize).map(|member| member.chunk_id);
        let first = self.by_chunk.partition_point(|at| of(at) < Some(id));
        self.by_chunk.get(first).filter(|at| of(at) == Some(id)).map(|at| *at as usize)
    }

    pub(super) fn proof(&self, position: usize) -> Option<Vec<B256>> {
        let leaf = |at: usize| self.each.get(at).zip(self.origins.get(at)).map(|(member, origin)| leaf(member, origin).hash());
        self.tree.proof(position, |at| leaf(at).unwrap_or_default())
    }

    /// How many of the members an earlier version has, where it has no others and they come first.
    pub(super) fn begin_with(&self, earlier: &Self) -> Option<usize> {
        let count = earlier.len();
        let same = |(member, before): (&Member, &Member)| member.chunk_id == before.chunk_id;
        let is_same = count <= self.len() && self.each.iter().zip(&earlier.each).all(same) && self.origins.begin_with(&earlier.origins);
        is_same.then_some(count)
    }

    /// About how many bytes this takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.len() * (size_of::<Member>() + size_of::<u32>()) + self.tree.bytes() + self.origins.bytes()
    }
}

fn leaf(member: &Member, origin: &Origin) -> VersionLeaf {
    let Origin { contributor, submission: submission_id, registered, .. } = *origin;
    VersionLeaf { chunk_id: member.chunk_id, contributor, submission_id, registered }
}
