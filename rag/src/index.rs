//! The text index of one published version: derived from the store, rebuilt when it is not exactly
//! what that version needs.
//!
//! One document per chunk, of what it was the first to state, so that copies move no word statistics. User text never reaches tantivy's query parser, which recurses without a
//! limit: a query is a flat disjunction of analysed terms.

mod build;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use engine::VectorCodes;
use schemas::ids::ChunkId;
use schemas::tables::VersionRow;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, TermQuery, TermSetQuery};
use tantivy::schema::document::Value;
use tantivy::schema::{Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{Language, Stemmer, TextAnalyzer};
use tantivy::{DocAddress, Score, Searcher, TantivyDocument, Term};

use crate::retrieve::Hit;
use crate::{RagError, Result, kept, trace};

/// Terms of a question that are searched for; what comes after is ignored.
pub(crate) const MAX_TERMS: usize = 32;
/// Of tantivy's BM25.
const K1: f64 = 1.2;
const ANALYZER: &str = "headwater_words";
/// Before the number of a version in the name of its folder.
const VERSION: &str = "v";

/// So many chunks are sought by their ids; more by looking at what is found.
pub(crate) const FEW: usize = 4096;

/// So many documents are looked at for chunks that are not sought by their ids; worse ones count as not found.
const MOST_LOOKED_AT: usize = 1 << 16;

/// The chunks that a search may find.
pub(crate) enum Sought<'a> {
    All,
    These(&'a [ChunkId]),
    Such(&'a dyn Fn(ChunkId) -> bool),
}

/// An open text index.
#[derive(Clone)]
pub(crate) struct TextIndex {
    searcher: Searcher,
    fields: Fields,
}

impl std::fmt::Debug for TextIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextIndex").field("documents", &self.searcher.num_docs()).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
struct Fields {
    chunk_id: Field,
    text: Field,
}

/// Where what is derived of a version lives.
pub(crate) fn directory(index_dir: &Path, row: &VersionRow) -> PathBuf {
    index_dir.join(row.datanet_id.to_string()).join(folder_name(row))
}

/// The last part of [`directory`].
pub(crate) fn folder_name(row: &VersionRow) -> String {
    format!("{VERSION}{}", row.version)
}

/// What is derived of a version.
pub(crate) struct Derived {
    pub(crate) text: TextIndex,
    dir: PathBuf,
    /// Rows of the parts of the vectors, in order.
    parts: Vec<Range<usize>>,
}

/// Opens what was derived of `row`; none where it is missing. What is damaged, or of something else, is removed. Blocks.
pub(crate) fn open(target: &Path, row: &VersionRow) -> Result<Option<Derived>> {
    if !is_there(target) {
        return Ok(None);
    }
    match build::open(target, &build::payload(row)?) {
        Ok(derived) => Ok(Some(derived)),
        Err(problem) => {
            discard(target, row, &problem.to_string())?;
            Ok(None)
        }
    }
}

/// Whether anything stands there, be it a link to nothing.
pub(crate) fn is_there(target: &Path) -> bool {
    std::fs::symlink_metadata(target).is_ok()
}

/// Removes what was derived of `row` and cannot be used: it is derived anew.
pub(crate) fn discard(target: &Path, row: &VersionRow, problem: &str) -> Result<()> {
    tracing::warn!(datanet = %row.datanet_id, version = row.version, problem, "what was derived of a version is unusable and will be rebuilt");
    let is_folder = std::fs::symlink_metadata(target).map_err(RagError::io(target))?.is_dir();
    let removed = if is_folder { std::fs::remove_dir_all(target) } else { std::fs::remove_file(target) };
    removed.map_err(RagError::io(target))
}

/// Builds what is searched of `row`: `chunks`, in the place of which `earlier` has those that it begins with. Keeps `statements`
/// and `vectors` beside it. Blocks.
pub(crate) fn build(
    target: &Path,
    row: &VersionRow,
    earlier: Option<&Path>,
    chunks: impl IntoIterator<Item = (ChunkId, String)>,
    statements: &[u8],
    vectors: &VectorCodes,
) -> Result<TextIndex> {
    let payload = build::payload(row)?;
    build::build(target, &payload, earlier, chunks, statements, vectors)?;
    let carried = earlier.is_some();
    tracing::info!(datanet = %row.datanet_id, version = row.version, chunks = row.chunk_count, carried, "text index built");
    kept::remove_old(target, VERSION, row.version)?;
    trace::remove_old(target, row.version)?;
    build::open_text(target, &payload).map_err(RagError::Index)
}

impl TextIndex {
    /// The best `limit` of the chunks that are `sought` by BM25 for the terms, best first, ties by chunk id. Rarities are those of all
    /// chunks. Blocks.
    pub(crate) fn search(&self, terms: &[String], limit: usize, sought: &Sought<'_>) -> Result<Vec<Hit>> {
        if terms.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let clauses: Vec<(Occur, Box<dyn Query>)> = (terms.iter().take(MAX_TERMS))
            .map(|term| -> (Occur, Box<dyn Query>) {
                (Occur::Should, Box::new(TermQuery::new(Term::from_field_text(self.fields.text, term), IndexRecordOption::WithFreqs)))
            })
            .collect();
        let query = match sought {
            Sought::All | Sought::Such(_) => BooleanQuery::new(clauses),
            Sought::These(chunks) => {
                let ids = chunks.iter().map(|chunk| Term::from_field_text(self.fields.chunk_id, &chunk.to_string()));
                // no score: the sum of the words' is what it would be
                let is_one = ConstScoreQuery::new(Box::new(TermSetQuery::new(ids)), 0.0);
                BooleanQuery::new(vec![
                    (Occur::Must, Box::new(BooleanQuery::new(clauses)) as Box<dyn Query>),
                    (Occur::Must, Box::new(is_one)),
                ])
            }
        };
        let mut breadth = limit;
        // those that tie with the last one are all looked at: which of them come first must not depend on how segments lie
        let mut scored = loop {
            breadth = breadth.saturating_mul(2);
            let found = self.searcher.search(&query, &TopDocs::with_limit(breadth).order_by_score())?;
            let (is_all, last) = (found.len() < breadth, found.last().map(|(score, _)| f64::from(*score)));
            let is_tied = found.get(limit - 1).map(|(score, _)| f64::from(*score)) == last;
            if is_tied && !is_all && !matches!(sought, Sought::Such(_)) {
                continue;
            }
            let mut scored = self.chunks(found, sought)?;
            if is_all || scored.get(limit - 1).is_some_and(|(score, _)| Some(*score) != last) {
                break scored;
            }
            if breadth >= MOST_LOOKED_AT && matches!(sought, Sought::Such(_)) {
                // of those that tie with the last, others lie beyond
                scored.retain(|(score, _)| Some(*score) != last);
                break scored;
            }
        };
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.truncate(limit);
        // of a text that says every word, without end; tantivy's rarities are rounded up where nearly every text has a word
        let greatest = terms.iter().take(MAX_TERMS).map(|term| self.rarity(term)).sum::<Result<f64>>()? * (K1 + 1.0);
        Ok(scored.into_iter().map(|(score, id)| Hit::new(id, (score / greatest).min(1.0))).collect())
    }

    /// Those of the documents that are sought, in their order, each chunk once: a copy that says something of its own is another document
    /// of the same chunk.
    fn chunks(&self, found: Vec<(Score, DocAddress)>, sought: &Sought<'_>) -> Result<Vec<(f64, ChunkId)>> {
        let (mut chunks, mut seen) = (Vec::with_capacity(found.len()), BTreeSet::new());
        for (score, address) in found {
            let document: TantivyDocument = self.searcher.doc(address)?;
            let id = document.get_first(self.fields.chunk_id).and_then(|value| value.as_str()).unwrap_or_default();
            let id = id.parse::<ChunkId>()?;
            if !matches!(sought, Sought::Such(is_one) if !is_one(id)) && seen.insert(id) {
                chunks.push((f64::from(score), id));
            }
        }
        Ok(chunks)
    }

    /// BM25's inverse document frequency of a term, above zero: ln(1 + (N − n + ½) / (n + ½)).
    pub(crate) fn rarity(&self, term: &str) -> Result<f64> {
        let with = self.searcher.doc_freq(&Term::from_field_text(self.fields.text, term))?;
        #[expect(clippy::cast_precision_loss, reason = "counts of chunks are far below 2^53")]
        let (all, with) = (self.searcher.num_docs() as f64, with as f64);
        Ok((1.0 + (all - with + 0.5) / (with + 0.5)).ln())
    }
}

/// The terms of a text, distinct, in order of first appearance: its content words and numbers
/// ([`schemas::words`]), stemmed as English.
pub(crate) fn terms(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut analyzer = analyzer();
    let mut stream = analyzer.token_stream(text);
    while let Some(token) = stream.next() {
        let place = seen.len();
        seen.entry(token.text.clone()).or_insert(place);
    }
    let mut terms: Vec<(String, usize)> = seen.into_iter().collect();
    terms.sort_by_key(|(_, place)| *place);
    terms.into_iter().map(|(term, _)| term).collect()
}

fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(tokens::Words).filter(Stemmer::new(Language::English)).build()
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let chunk_id = schema.add_text_field("chunk_id", STRING | STORED);
    let indexing = TextFieldIndexing::default().set_tokenizer(ANALYZER).set_index_option(IndexRecordOption::WithFreqs);
    let text = schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing));
    (schema.build(), Fields { chunk_id, text })
}

#[cfg(test)]
mod tests;
