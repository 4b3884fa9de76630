//! A published version, opened to be asked: its members, who said what first, its Merkle tree, its vectors and its text index.
//! Nothing that is not a member of the version can be reached through it.
//!
//! In memory are ids, statements and vectors in a byte a number; texts and whole vectors are read by their place when they are
//! needed. What is derived of a version stands beside its text index, and is carried forward: where the next version only adds
//! members after those of this one, only they are read.

mod cache;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use engine::VectorCodes;
use schemas::B256;
use schemas::ids::{ChunkId, SubmissionId};
use schemas::leaves::VersionLeaf;
use schemas::merkle::StandardMerkleTree;
use schemas::tables::{ContentRow, Embedding, MemberRow, PassageRow, VectorRow, VersionRow};
use store::Store;

use crate::index::{self, Derived, TextIndex};
use crate::statements::{ChunkStanding, Origin, StatementIndex};
use crate::{RagError, Result, blocking};

pub(crate) use cache::OpenVersions;

/// Members whose texts and vectors are read at once.
const CONTENTS_PER_READ: usize = 4096;
/// Passages that are remembered; when there are more, all are forgotten.
const PASSAGES: usize = 4096;

/// One version, read-only. Members are named by their position in the order of registration.
#[derive(Debug)]
pub(crate) struct OpenVersion {
    pub(crate) row: VersionRow,
    store: Store,
    /// By registration, then chunk id: the earlier, the lower the position.
    members: Vec<Member>,
    origins: Vec<Origin>,
    /// Positions by chunk id, then position.
    by_chunk: Vec<u32>,
    /// Members that state something of their own.
    speaking: usize,
    pub(crate) statements: StatementIndex,
    tree: StandardMerkleTree,
    vectors: VectorCodes,
    pub(crate) text: TextIndex,
    passages: Mutex<HashMap<usize, Arc<PassageRow>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    chunk_id: ChunkId,
    submission_id: SubmissionId,
    /// In the version's dataset.
    place: u32,
}

/// The members of a version in order, and their tree.
struct Members {
    members: Vec<Member>,
    origins: Vec<Origin>,
    tree: StandardMerkleTree,
}

impl Members {
    /// Checked against the version's root.
    fn of(row: &VersionRow, rows: Vec<MemberRow>) -> Result<Self> {
        let corrupt = |problem: String| RagError::CorruptVersion { datanet: row.datanet_id, version: row.version, problem };
        let mut placed: Vec<(u32, MemberRow)> = (0..).zip(rows).collect();
        placed.sort_by_key(|(_, row)| (row.registered, row.chunk_id, row.submission_id));
        let leaves: Vec<B256> = placed.iter().map(|(_, row)| VersionLeaf::of_member(row).hash()).collect();
        let tree = StandardMerkleTree::new(&leaves)?;
        if tree.root() != row.root {
            return Err(corrupt(format!("its {} chunks have root {} instead of {}", leaves.len(), tree.root(), row.root)));
        }
        let origins = placed.iter().map(|(_, row)| Origin::of(row)).collect();
        let member = |(place, row): (u32, MemberRow)| Member { chunk_id: row.chunk_id, submission_id: row.submission_id, place };
        Ok(Self { members: placed.into_iter().map(member).collect(), origins, tree })
    }

    /// How many of the members an earlier version has, where it has no others and they come first.
    fn begin_with(&self, earlier: &OpenVersion) -> Option<usize> {
        let same =
            |(member, before): (&Member, &Member)| member.chunk_id == before.chunk_id && member.submission_id == before.submission_id;
        let count = earlier.members.len();
        let is_same = count <= self.members.len()
            && self.members.iter().zip(&earlier.members).all(same)
            && self.origins.get(..count) == Some(&earlier.origins);
        is_same.then_some(count)
    }
}

impl OpenVersion {
    /// Reads the version's members, checks them against its root, and opens what is derived of them; derives it where it is
    /// missing, from what `earlier` has where it can.
    pub(crate) async fn load(store: &Store, index_dir: PathBuf, row: VersionRow, earlier: Option<Arc<Self>>) -> Result<Self> {
        let rows = store.members_in_part::<MemberRow>(row.datanet_id, row.lance_version).await?;
        let (stated, dir) = (row.clone(), index::directory(&index_dir, &row));
        let target = dir.clone();
        let (members, derived) = blocking(move || {
            let members = Members::of(&stated, rows)?;
            let Some(derived) = index::open(&target, &stated)? else { return Ok((members, None)) };
            let opened = open_derived(derived, &members);
            if opened.is_none() {
                index::discard(&target, &stated, "what was derived of it is in another format")?;
            }
            Ok((members, opened))
        })
        .await?;
        let (statements, vectors, text) = match derived {
            Some(derived) => derived,
            None => derive(store, &dir, &row, &members, earlier).await?,
        };
        blocking({
            let store = store.clone();
            move || Ok(Self::of(store, row, members, statements, vectors, text))
        })
        .await
    }

    fn of(store: Store, row: VersionRow, all: Members, statements: StatementIndex, vectors: VectorCodes, text: TextIndex) -> Self {
        let Members { members, origins, tree } = all;
        let mut by_chunk: Vec<u32> = (0..).take(members.len()).collect();
        by_chunk.sort_by_key(|at| (members.get(*at as usize).map(|member| member.chunk_id), *at));
        let speaking = (0..members.len()).filter(|position| statements.chunk(*position) == ChunkStanding::Speaks).count();
        Self { row, store, members, origins, by_chunk, speaking, statements, tree, vectors, text, passages: Mutex::default() }
    }

    /// Number of members that state something of their own: those that are searched by vector.
    pub(crate) fn speaking(&self) -> usize {
        self.speaking
    }

    pub(crate) fn chunk_id(&self, position: usize) -> Option<ChunkId> {
        self.members.get(position).map(|member| member.chunk_id)
    }

    pub(crate) fn origin(&self, position: usize) -> Option<&Origin> {
        self.origins.get(position)
    }

    /// The earliest-registered member with this id.
    pub(crate) fn position(&self, id: ChunkId) -> Option<usize> {
        let of = |at: &u32| self.members.get(*at as usize).map(|member| member.chunk_id);
        let first = self.by_chunk.partition_point(|at| of(at) < Some(id));
        self.by_chunk.get(first).filter(|at| of(at) == Some(id)).map(|at| *at as usize)
    }

    /// A member's text and place in its file. Blocks, for it may have to be read.
    pub(crate) fn passage(&self, position: usize) -> Result<Arc<PassageRow>> {
        if let Some(known) = self.remembered().get(&position) {
            return Ok(known.clone());
        }
        tokio::runtime::Handle::current().block_on(self.read_passages([position]))?;
        self.remembered().get(&position).cloned().ok_or_else(|| RagError::not_found("member", position))
    }

    /// Reads those of these members' passages that are not known yet, in one go.
    pub(crate) async fn read_passages(&self, positions: impl IntoIterator<Item = usize>) -> Result<()> {
        let missing: BTreeSet<usize> = {
            let known = self.remembered();
            positions.into_iter().filter(|position| !known.contains_key(position)).collect()
        };
        let places = self.places(missing.iter().copied())?;
        if places.is_empty() {
            return Ok(());
        }
        let rows: Vec<PassageRow> = self.store.members_at(self.row.datanet_id, self.row.lance_version, &places).await?;
        let mut known = self.remembered();
        if known.len() + rows.len() > PASSAGES {
            known.clear();
        }
        known.extend(missing.into_iter().zip(rows.into_iter().map(Arc::new)));
        Ok(())
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Arc<PassageRow>>> {
        self.passages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self, positions: impl Iterator<Item = usize>) -> Result<Vec<u64>> {
        let place = |position: usize| self.members.get(position).map(|member| u64::from(member.place));
        positions.map(|position| place(position).ok_or_else(|| RagError::not_found("member", position))).collect()
    }

    /// The `wanted` members nearest to `query` (`[384]`, of length 1) by cosine, nearest first, ties by chunk id; of those that
    /// state something of their own. Exact.
    pub(crate) async fn nearest(self: &Arc<Self>, query: &[f32], wanted: usize) -> Result<Vec<ChunkId>> {
        let (opened, vector) = (self.clone(), query.to_vec());
        let candidates = blocking(move || {
            let is_searched = |position: usize| opened.statements.chunk(position) == ChunkStanding::Speaks;
            Ok(opened.vectors.candidates(&vector, wanted, is_searched))
        })
        .await?;
        let places = self.places(candidates.iter().copied())?;
        let rows: Vec<VectorRow> = match places.as_slice() {
            [] => Vec::new(),
            places => self.store.members_at(self.row.datanet_id, self.row.lance_version, places).await?,
        };
        let mut found: Vec<(f64, ChunkId)> = (candidates.into_iter().zip(&rows))
            .filter_map(|(position, row)| Some((cosine(query, &row.embedding.0), self.chunk_id(position)?)))
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut seen = BTreeSet::new();
        Ok(found.into_iter().map(|(_, chunk)| chunk).filter(|chunk| seen.insert(*chunk)).take(wanted).collect())
    }

    /// The members that repeat this one on the whole, earliest first.
    pub(crate) fn copies(&self, position: usize) -> impl Iterator<Item = (ChunkId, &Origin)> {
        self.statements.copies(position).filter_map(|copy| Some((self.chunk_id(copy)?, self.origin(copy)?)))
    }

    /// Proof that the member is in the version.
    pub(crate) fn proof(&self, position: usize) -> Result<Vec<B256>> {
        self.tree.proof(position).ok_or_else(|| RagError::not_found("member", position))
    }

    /// About how many bytes this takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        const OF_MEMBER: usize = size_of::<Member>() + size_of::<Origin>() + size_of::<u32>() + 2 * size_of::<B256>() + size_of::<usize>();
        self.members.len() * OF_MEMBER + self.statements.bytes() + self.vectors.bytes()
    }
}

/// What was derived of these members, if it is that.
fn open_derived(derived: Derived, members: &Members) -> Option<(StatementIndex, VectorCodes, TextIndex)> {
    let statements = StatementIndex::from_bytes(&derived.statements)?;
    let vectors = VectorCodes::from_parts(derived.vectors, Embedding::DIMENSIONS)?;
    (vectors.len() == members.members.len()).then_some((statements, vectors, derived.text))
}

/// Reads what is new in the version and derives what it is searched by.
async fn derive(
    store: &Store,
    dir: &Path,
    row: &VersionRow,
    members: &Members,
    earlier: Option<Arc<OpenVersion>>,
) -> Result<(StatementIndex, VectorCodes, TextIndex)> {
    let carried = earlier.and_then(|earlier| Some((members.begin_with(&earlier)?, earlier)));
    if let Some((count, earlier)) = carried {
        match Derivation::new(store, row, members, count).run(dir, Some(earlier)).await {
            Ok(Some(derived)) => return Ok(derived),
            Ok(None) => {}
            // What is kept of the earlier version was damaged or removed under it.
            Err(error) => tracing::warn!(datanet = %row.datanet_id, version = row.version, %error, "derived from all texts instead"),
        }
    }
    let derived = Derivation::new(store, row, members, 0).run(dir, None).await?;
    derived.ok_or_else(|| RagError::Worker("a version was not derived from all of its members".into()))
}

/// Deriving from the members after the first so many.
struct Derivation<'a> {
    store: &'a Store,
    row: &'a VersionRow,
    members: &'a Members,
    carried: usize,
}

impl<'a> Derivation<'a> {
    fn new(store: &'a Store, row: &'a VersionRow, members: &'a Members, carried: usize) -> Self {
        Self { store, row, members, carried }
    }

    /// None where what was carried does not stand any more.
    async fn run(&self, dir: &Path, earlier: Option<Arc<OpenVersion>>) -> Result<Option<(StatementIndex, VectorCodes, TextIndex)>> {
        let mut added = VectorCodes::new(Embedding::DIMENSIONS);
        let places: Vec<u64> = self.members.members.iter().skip(self.carried).map(|member| u64::from(member.place)).collect();
        let mut texts = Vec::with_capacity(places.len());
        for places in places.chunks(CONTENTS_PER_READ) {
            let contents: Vec<ContentRow> = self.store.members_at(self.row.datanet_id, self.row.lance_version, places).await?;
            for ContentRow { text, embedding } in contents {
                added.push(&embedding.0);
                texts.push(text);
            }
        }
        let (origins, carried) = (self.members.origins.clone(), self.carried);
        let ids: Vec<ChunkId> = self.members.members.iter().skip(carried).map(|member| member.chunk_id).collect();
        let (row, dir) = (self.row.clone(), dir.to_owned());
        blocking(move || {
            let statements = match &earlier {
                Some(earlier) => earlier.statements.extended(&origins, &texts)?,
                None => Some(StatementIndex::build(&origins, &texts)?),
            };
            let Some(statements) = statements else { return Ok(None) };
            let searched: Vec<(ChunkId, String)> = (ids.into_iter().zip(&texts).enumerate())
                .filter_map(|(at, (id, text))| Some((id, statements.searched_text(carried + at, text)?)))
                .collect();
            let vectors = earlier.as_ref().map_or_else(|| added.clone(), |earlier| earlier.vectors.followed_by(&added));
            let before = earlier.map(|earlier| dir.with_file_name(index::folder_name(&earlier.row)));
            let text = index::build(&dir, &row, before.as_deref(), &searched, &statements.to_bytes(), &vectors)?;
            Ok(Some((statements, vectors, text)))
        })
        .await
    }
}

/// Of two vectors, in the order of their numbers: the same on every machine. 0 for one without length.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths > 0.0 { product(a, b) / lengths } else { 0.0 }
}
