//! The text index of one published version: derived from the store, rebuilt when it is not exactly
//! what that version needs.
//!
//! One document per chunk, of what it was the first to state, so that copies move no word statistics. User text never reaches tantivy's query parser, which recurses without a
//! limit: a query is a flat disjunction of analysed terms.

mod build;
mod tokens;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemas::ids::ChunkId;
use schemas::tables::VersionRow;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::document::Value;
use tantivy::schema::{Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{Language, Stemmer, TextAnalyzer};
use tantivy::{Searcher, TantivyDocument, Term};

use crate::{RagError, Result};

/// Terms of a question that are searched for; what comes after is ignored.
pub(crate) const MAX_TERMS: usize = 32;
const ANALYZER: &str = "headwater_words";

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

/// Where the index of a version lives.
pub(crate) fn directory(index_dir: &Path, row: &VersionRow) -> PathBuf {
    index_dir.join(row.datanet_id.to_string()).join(format!("v{}", row.version))
}

/// Opens the index of `row`, in which `chunks` are searched; builds it where it is missing, damaged, or of something else.
/// Blocks.
pub(crate) fn open_or_build(index_dir: &Path, row: &VersionRow, chunks: &[(ChunkId, String)]) -> Result<TextIndex> {
    let target = directory(index_dir, row);
    let payload = build::payload(row, chunks.len())?;
    if target.exists() {
        match build::open(&target, &payload) {
            Ok(index) => return Ok(index),
            Err(problem) => {
                tracing::warn!(datanet = %row.datanet_id, version = row.version, %problem, "text index is unusable and will be rebuilt");
                std::fs::remove_dir_all(&target).map_err(RagError::io(&target))?;
            }
        }
    }
    build::build(&target, &payload, chunks)?;
    tracing::info!(datanet = %row.datanet_id, version = row.version, documents = chunks.len(), "text index built");
    build::open(&target, &payload).map_err(RagError::Index)
}

/// Removes what builds that never finished left behind. Only for when nothing is being built.
pub(crate) fn remove_leftovers(index_dir: &Path) -> Result<()> {
    build::remove_leftovers(index_dir)
}

impl TextIndex {
    /// The best `limit` chunks by BM25 for the terms, best first, ties by chunk id. Blocks.
    pub(crate) fn search(&self, terms: &[String], limit: usize) -> Result<Vec<ChunkId>> {
        if terms.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let clauses: Vec<(Occur, Box<dyn Query>)> = (terms.iter().take(MAX_TERMS))
            .map(|term| -> (Occur, Box<dyn Query>) {
                (Occur::Should, Box::new(TermQuery::new(Term::from_field_text(self.fields.text, term), IndexRecordOption::WithFreqs)))
            })
            .collect();
        let found = self.searcher.search(&BooleanQuery::new(clauses), &TopDocs::with_limit(limit).order_by_score())?;
        let mut scored = Vec::with_capacity(found.len());
        for (score, address) in found {
            let document: TantivyDocument = self.searcher.doc(address)?;
            let id = document.get_first(self.fields.chunk_id).and_then(|value| value.as_str()).unwrap_or_default();
            scored.push((score, id.parse::<ChunkId>()?));
        }
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        Ok(scored.into_iter().map(|(_, id)| id).collect())
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
