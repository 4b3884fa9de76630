//! The text index of one published version: derived from the store, rebuilt when it is not exactly
//! what that version needs.
//!
//! One document per member, of what it was the first to state, so that copies move no word statistics. User text never reaches tantivy's
//! query parser, which recurses without a limit: a query is a flat disjunction of analysed terms.

mod build;
mod search;
mod tokens;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use engine::VectorCodes;
use schemas::tables::VersionRow;
use tantivy::Searcher;
use tantivy::schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{Language, Stemmer, TextAnalyzer};

use crate::{RagError, Result, kept, trace};

pub(crate) use search::MAX_TERMS;

/// The position of a document's member in the version.
const POSITION: &str = "position";
const ANALYZER: &str = "headwater_words";
/// Before the number of a version in the name of its folder.
const VERSION: &str = "v";

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
    position: Field,
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

/// Builds what is searched of `row`: `texts` of members by position, in the place of which `earlier` has those that it begins with. Keeps `statements`
/// and `vectors` beside it. Blocks.
pub(crate) fn build(
    target: &Path,
    row: &VersionRow,
    earlier: Option<&Path>,
    texts: impl IntoIterator<Item = (usize, String)>,
    statements: &[u8],
    vectors: &VectorCodes,
) -> Result<TextIndex> {
    let payload = build::payload(row)?;
    build::build(target, &payload, earlier, texts, statements, vectors)?;
    let carried = earlier.is_some();
    tracing::info!(datanet = %row.datanet_id, version = row.version, chunks = row.chunk_count, carried, "text index built");
    kept::remove_old(target, VERSION, row.version)?;
    trace::remove_old(target, row.version)?;
    build::open_text(target, &payload).map_err(RagError::Index)
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
    let position = schema.add_u64_field(POSITION, FAST);
    let indexing = TextFieldIndexing::default().set_tokenizer(ANALYZER).set_index_option(IndexRecordOption::WithFreqs);
    let text = schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing));
    (schema.build(), Fields { position, text })
}

#[cfg(test)]
mod tests;
