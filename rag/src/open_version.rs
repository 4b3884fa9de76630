//! A published version, opened to be asked: its members, who said what first, its Merkle tree, its vectors and its text index.
//! Nothing that is not a member of the version can be reached through it.
//!
//! In memory are ids, statements and vectors in a byte a number; texts and whole vectors are read by their place when they are
//! needed. What is derived of a version stands beside its text index, and is carried forward: where the next version only adds
//! members after those of this one, only they are read.

mod among;
mod cache;
mod members;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Embedder, VectorCodes};
use schemas::B256;
use schemas::ids::{ChunkId, DatanetId, DocumentId, SubmissionId};
use schemas::tables::{ContentRow, DocumentRow, Embedding, FileNameRow, PassageRow, VectorRow, VersionRow};
use store::Store;
use tokio::sync::OnceCell;

use crate::index::{self, Derived, TextIndex};
use crate::retrieve::Hit;
use crate::statements::{ChunkStanding, Origin, StatementIndex};
use crate::{RagError, Result, blocking};

pub(crate) use among::Among;
use among::Terms;
pub(crate) use cache::{OpenVersions, REPLACED_FOR};
pub(crate) use members::{Member, Members};

/// Members whose texts and vectors are read at once.
const CONTENTS_PER_READ: usize = 4096;
/// Passages that are remembered; when there are more, all are forgotten.
const PASSAGES: usize = 4096;
/// Vectors of statements that are remembered, in the same way.
const STATEMENT_VECTORS: usize = 4096;

/// One version, read-only. Members are named by their position in the order of registration.
#[derive(Debug)]
pub(crate) struct OpenVersion {
    pub(crate) row: VersionRow,
    store: Store,
    members: Members,
    /// Of the members' documents.
    file_names: HashMap<DocumentId, String>,
    /// Members that state something of their own.
    speaking: usize,
    pub(crate) statements: StatementIndex,
    vectors: VectorCodes,
    pub(crate) text: TextIndex,
    passages: Mutex<HashMap<usize, Arc<PassageRow>>>,
    statement_vectors: Mutex<HashMap<usize, Arc<[f32]>>>,
    terms: OnceCell<HashMap<SubmissionId, Terms>>,
}

impl OpenVersion {
    /// Reads the version's members, checks them against its root, and opens what is derived of them; derives it where it is
    /// missing, from what `earlier` has where it can.
    pub(crate) async fn load(store: &Store, index_dir: PathBuf, row: VersionRow, earlier: Option<Arc<Self>>) -> Result<Self> {
        let members = Members::read(store, &row).await?;
        let file_names = file_names(store, row.datanet_id, &members).await?;
        let (stated, dir, count) = (row.clone(), index::directory(&index_dir, &row), members.len());
        let target = dir.clone();
        let derived = blocking(move || {
            let Some(derived) = index::open(&target, &stated)? else { return Ok(None) };
            let opened = open_derived(derived, count);
            if opened.is_none() {
                index::discard(&target, &stated, "what was derived of it cannot be read, or is in another format")?;
            }
            Ok(opened)
        })
        .await?;
        let (statements, vectors, text) = match derived {
            Some(derived) => derived,
            None => derive(store, &dir, &row, &members, earlier).await?,
        };
        let speaking = (0..count).filter(|position| statements.chunk(*position) == ChunkStanding::Speaks).count();
        Ok(Self {
            row,
            store: store.clone(),
            members,
            file_names,
            speaking,
            statements,
            vectors,
            text,
            passages: Mutex::default(),
            statement_vectors: Mutex::default(),
            terms: OnceCell::new(),
        })
    }

    /// Number of members that state something of their own: those that are searched by vector.
    pub(crate) fn speaking(&self) -> usize {
        self.speaking
    }

    pub(crate) fn chunk_id(&self, position: usize) -> Option<ChunkId> {
        self.members.get(position).map(|member| member.chunk_id)
    }

    pub(crate) fn origin(&self, position: usize) -> Option<&Origin> {
        self.members.origins.get(position)
    }

    /// What the file of a member's document was called.
    pub(crate) fn file_name(&self, document: DocumentId) -> Option<&str> {
        self.file_names.get(&document).map(String::as_str)
    }

    /// The earliest-registered member with this id.
    pub(crate) fn position(&self, id: ChunkId) -> Option<usize> {
        self.members.position(id)
    }

    /// A member's text and place in its file. Blocks, for it may have to be read.
    pub(crate) fn passage(&self, position: usize) -> Result<Arc<PassageRow>> {
        if let Some(known) = self.remembered().get(&position) {
            return Ok(known.clone());
        }
        let read = tokio::runtime::Handle::current().block_on(self.read_passages([position]))?;
        read.get(&position).cloned().ok_or_else(|| RagError::not_found("member", position))
    }

    /// These members' passages; those that are not known yet are read in one go.
    pub(crate) async fn read_passages(&self, positions: impl IntoIterator<Item = usize>) -> Result<BTreeMap<usize, Arc<PassageRow>>> {
        let mut passages = BTreeMap::new();
        let missing: BTreeSet<usize> = {
            let known = self.remembered();
            let mut missing = BTreeSet::new();
            for position in positions {
                match known.get(&position) {
                    Some(passage) => drop(passages.insert(position, passage.clone())),
                    None => drop(missing.insert(position)),
                }
            }
            missing
        };
        if missing.is_empty() {
            return Ok(passages);
        }
        let places = self.places(missing.iter().copied())?;
        let rows: Vec<PassageRow> = self.store.members_at(self.row.datanet_id, self.row.lance_version, &places).await?;
        let read: Vec<(usize, Arc<PassageRow>)> = missing.into_iter().zip(rows.into_iter().map(Arc::new)).collect();
        let mut known = self.remembered();
        if known.len() + read.len() > PASSAGES {
            known.clear();
        }
        known.extend(read.iter().cloned());
        passages.extend(read);
        Ok(passages)
    }

    /// Texts of the members with these chunk ids, in their order.
    pub(crate) async fn texts_of(&self, chunks: &[ChunkId]) -> Result<Vec<String>> {
        let position = |id: &ChunkId| self.position(*id).ok_or_else(|| RagError::not_found("chunk", id));
        let positions = chunks.iter().map(position).collect::<Result<Vec<usize>>>()?;
        let passages = self.read_passages(positions.iter().copied()).await?;
        let text = |at: &usize| passages.get(at).map(|passage| passage.text.clone());
        positions.iter().map(|at| text(at).ok_or_else(|| RagError::not_found("member", at))).collect()
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Arc<PassageRow>>> {
        self.passages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Vectors of statements, given by their numbers and texts, as `embedder` gives them: a text's is the same in every batch. Blocks.
    pub(crate) fn statement_vectors(&self, statements: &[(usize, &str)], embedder: &dyn Embedder) -> Result<Vec<Arc<[f32]>>> {
        let locked = || self.statement_vectors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut vectors: HashMap<usize, Arc<[f32]>> = {
            let known = locked();
            statements.iter().filter_map(|(at, _)| Some((*at, known.get(at)?.clone()))).collect()
        };
        let missing: Vec<(usize, &str)> = statements.iter().filter(|(at, _)| !vectors.contains_key(at)).copied().collect();
        if !missing.is_empty() {
            let texts: Vec<&str> = missing.iter().map(|(_, text)| *text).collect();
            let computed = embedder.embed(&texts)?.into_iter().map(Arc::from);
            vectors.extend(missing.iter().map(|(at, _)| *at).zip(computed));
            let mut known = locked();
            if known.len() + missing.len() > STATEMENT_VECTORS {
                known.clear();
            }
            known.extend(missing.iter().filter_map(|(at, _)| Some((*at, vectors.get(at)?.clone()))));
        }
        let vector = |at: &usize| vectors.get(at).cloned().ok_or_else(|| RagError::Worker("the embedder left a text out".into()));
        statements.iter().map(|(at, _)| vector(at)).collect()
    }

    fn places(&self, positions: impl Iterator<Item = usize>) -> Result<Vec<u64>> {
        let place = |position: usize| self.members.get(position).map(|member| u64::from(member.place));
        positions.map(|position| place(position).ok_or_else(|| RagError::not_found("member", position))).collect()
    }

    /// The `wanted` members `among` these nearest to `query` (`[384]`, of length 1) by cosine, nearest first, ties by chunk id; of
    /// those that state something of their own; [`VectorCodes`] tells how surely.
    pub(crate) async fn nearest(self: &Arc<Self>, query: &[f32], wanted: usize, among: &Among) -> Result<Vec<Hit>> {
        let (opened, vector, among) = (self.clone(), query.to_vec(), among.clone());
        let candidates = blocking(move || {
            let is_searched = |position: usize| among.has(position) && opened.statements.chunk(position) == ChunkStanding::Speaks;
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
        found.retain(|(_, chunk)| seen.insert(*chunk));
        found.truncate(wanted);
        Ok(found.into_iter().map(|(cosine, chunk)| Hit::new(chunk, cosine)).collect())
    }

    /// The `wanted` members `among` these with the best BM25 for the terms. Blocks.
    pub(crate) fn by_words(&self, terms: &[String], wanted: usize, among: &Among) -> Result<Vec<Hit>> {
        // of members with one chunk the first stands for all
        let is_sought = |chunk: ChunkId| among.is_all() || self.position(chunk).is_some_and(|first| among.has(first));
        self.text.search(terms, wanted, &|position| self.chunk_id(position).filter(|chunk| is_sought(*chunk)))
    }

    /// The members that repeat this one on the whole, earliest first.
    pub(crate) fn copies(&self, position: usize) -> impl Iterator<Item = (ChunkId, &Origin)> {
        self.statements.copies(position).filter_map(|copy| Some((self.chunk_id(copy)?, self.origin(copy)?)))
    }

    /// Proof that the member is in the version.
    pub(crate) fn proof(&self, position: usize) -> Result<Vec<B256>> {
        self.members.proof(position).ok_or_else(|| RagError::not_found("member", position))
    }

    /// About how many bytes this takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let vectors = self.statement_vectors.lock().unwrap_or_else(PoisonError::into_inner).len();
        let passages: usize = self.remembered().values().map(|passage| size_of::<PassageRow>() + passage.text.len()).sum();
        let remembered = passages + vectors * Embedding::DIMENSIONS * size_of::<f32>();
        let terms = self.terms.get().map_or(0, |terms| terms.len() * size_of::<(SubmissionId, Terms)>());
        self.members.bytes() + self.statements.bytes() + self.vectors.bytes() + remembered + terms
    }
}

async fn file_names(store: &Store, datanet: DatanetId, members: &Members) -> Result<HashMap<DocumentId, String>> {
    let documents: HashSet<DocumentId> = members.origins.each().iter().map(|origin| origin.document).collect();
    let rows: Vec<FileNameRow> = store.scan_part::<DocumentRow, _>(Some(&format!("datanet_id = '{datanet}'"))).await?;
    Ok(rows.into_iter().filter(|row| documents.contains(&row.document_id)).map(|row| (row.document_id, row.file_name)).collect())
}

/// What was derived of so many members, if it is that.
fn open_derived(derived: Derived, members: usize) -> Option<(StatementIndex, VectorCodes, TextIndex)> {
    let statements = StatementIndex::from_bytes(&derived.statements().ok()?)?;
    let vectors = VectorCodes::from_parts(derived.vectors(), Embedding::DIMENSIONS)?;
    (vectors.len() == members).then_some((statements, vectors, derived.text))
}

/// Reads what is new in the version and derives what it is searched by.
async fn derive(
    store: &Store,
    dir: &Path,
    row: &VersionRow,
    members: &Members,
    earlier: Option<Arc<OpenVersion>>,
) -> Result<(StatementIndex, VectorCodes, TextIndex)> {
    let carried = earlier.and_then(|earlier| Some((members.begin_with(&earlier.members)?, earlier)));
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
        let places: Vec<u64> = self.members.after(self.carried).iter().map(|member| u64::from(member.place)).collect();
        let mut texts = Vec::with_capacity(places.len());
        for places in places.chunks(CONTENTS_PER_READ) {
            let contents: Vec<ContentRow> = self.store.members_at(self.row.datanet_id, self.row.lance_version, places).await?;
            for ContentRow { text, embedding } in contents {
                added.push(&embedding.0);
                texts.push(text);
            }
        }
        let (origins, carried) = (self.members.origins.clone(), self.carried);
        let (row, dir) = (self.row.clone(), dir.to_owned());
        blocking(move || {
            let statements = match &earlier {
                Some(earlier) => earlier.statements.extended(&origins, &texts)?,
                None => Some(StatementIndex::build(&origins, &texts)?),
            };
            let Some(statements) = statements else { return Ok(None) };
            let searched = (carried..).zip(&texts).filter_map(|(at, text)| Some((at, statements.searched_text(at, text)?)));
            let vectors = earlier.as_ref().map_or_else(|| added.clone(), |earlier| earlier.vectors.followed_by(&added));
            let before = earlier.map(|earlier| dir.with_file_name(index::folder_name(&earlier.row)));
            let text = index::build(&dir, &row, before.as_deref(), searched, &statements.to_bytes(), &vectors)?;
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
