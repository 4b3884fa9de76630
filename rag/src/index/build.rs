//! Building an index directory, and telling whether one is whole.
//!
//! Its seal ([`crate::kept`]) covers every file, tantivy's own metadata included (tantivy's checksums cover segment files only).

use std::fs;
use std::ops::Range;
use std::path::Path;

use engine::VectorCodes;
use schemas::tables::VersionRow;
use tantivy::{Index, ReloadPolicy, TantivyDocument, TantivyError};

use super::{ANALYZER, Derived, TextIndex, analyzer, schema};
use crate::kept::{self, Seal};
use crate::{RagError, Result};

/// Other words make another index.
const FORMAT: &str = "headwater.text-index/9";
const WRITER_MEMORY_BYTES: usize = 50_000_000;
const STATEMENTS: &str = "statements.bin";
/// Before and after the rows of a part of the vectors.
const VECTORS: (&str, &str) = ("vectors-", ".bin");

/// What the commit says it was built from; an index that says anything else is rebuilt.
pub(super) fn payload(row: &VersionRow) -> Result<String> {
    let payload = serde_json::json!({
        "format": FORMAT,
        "words": schemas::words::METHOD,
        "datanet": row.datanet_id,
        "version": row.version,
        "root": row.root,
        "chunks": row.chunk_count,
    });
    Ok(schemas::canonical::to_string(&payload)?)
}

/// Builds into a directory beside `target` and renames it there. Of `earlier`, a directory that was opened, the files are taken
/// that stay as they are.
pub(super) fn build(
    target: &Path,
    payload: &str,
    earlier: Option<&Path>,
    texts: impl IntoIterator<Item = (usize, String)>,
    statements: &[u8],
    vectors: &VectorCodes,
) -> Result<()> {
    let unfinished = kept::unfinished(target)?;
    let mut carried = Seal::default();
    let built = (earlier.map_or(Ok(()), |earlier| carry(earlier, &unfinished, vectors, &mut carried)))
        .and_then(|()| kept::write(&unfinished, STATEMENTS, statements))
        .and_then(|()| write_vectors(&unfinished, vectors, &carried))
        .and_then(|()| fill(&unfinished, payload, earlier.is_some(), texts))
        .and_then(|()| Seal::write(&unfinished, &carried));
    kept::put(&unfinished, target, built)
}

fn write_vectors(dir: &Path, vectors: &VectorCodes, carried: &Seal) -> Result<()> {
    for rows in vectors.parts() {
        let name = part_name(&rows);
        if !carried.files.contains_key(&name) {
            kept::write(dir, &name, &vectors.part_to_bytes(&rows).unwrap_or_default())?;
        }
    }
    Ok(())
}

fn part_name(rows: &Range<usize>) -> String {
    format!("{}{}-{}{}", VECTORS.0, rows.start, rows.end, VECTORS.1)
}

fn part_rows(name: &str) -> Option<Range<usize>> {
    let (start, end) = name.strip_prefix(VECTORS.0)?.strip_suffix(VECTORS.1)?.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

/// Puts the files of an earlier index that are never written again into another folder: the same files serve both. These are
/// its segments, and the parts of its vectors that are parts of these.
fn carry(earlier: &Path, dir: &Path, vectors: &VectorCodes, carried: &mut Seal) -> Result<()> {
    let sealed = Seal::read(earlier).map_err(RagError::io(earlier))?.unwrap_or_default();
    for (name, stated) in sealed.files {
        let (from, to) = (earlier.join(&name), dir.join(&name));
        let is_part = part_rows(&name).map(|rows| vectors.parts().any(|other| other == rows));
        if name == STATEMENTS || is_part == Some(false) {
            continue;
        }
        // what lists the segments is written again
        if name.ends_with(".json") {
            fs::copy(&from, &to).map(drop).map_err(RagError::io(&to))?;
            continue;
        }
        kept::share(&from, &to)?;
        if fs::metadata(&to).map_err(RagError::io(&to))?.len() != stated.0 {
            return Err(RagError::Index(damaged(earlier, "a file of it has another length")));
        }
        carried.files.insert(name, stated);
    }
    Ok(())
}

/// Adds the texts to the text index in a folder.
fn fill(dir: &Path, payload: &str, is_there: bool, texts: impl IntoIterator<Item = (usize, String)>) -> Result<()> {
    let (schema, fields) = schema();
    let index = if is_there { Index::open_in_dir(dir)? } else { Index::create_in_dir(dir, schema)? };
    index.tokenizers().register(ANALYZER, analyzer());
    // one thread: the same texts in the same order give the same segments
    let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, WRITER_MEMORY_BYTES)?;
    for (position, text) in texts {
        let mut document = TantivyDocument::default();
        document.add_u64(fields.position, position as u64);
        document.add_text(fields.text, text);
        writer.add_document(document)?;
    }
    let mut commit = writer.prepare_commit()?;
    commit.set_payload(payload);
    commit.commit()?;
    Ok(writer.wait_merging_threads()?)
}

/// Opens `dir` if every byte of it is as it was built, for `payload`.
pub(super) fn open(dir: &Path, payload: &str) -> Result<Derived, TantivyError> {
    let stated = Seal::read(dir)?.ok_or_else(|| damaged(dir, "its seal is damaged"))?;
    if Seal::of(dir, &Seal::default())? != stated {
        return Err(damaged(dir, "its files are not the ones that were built"));
    }
    let mut parts: Vec<Range<usize>> = stated.files.keys().filter_map(|name| part_rows(name)).collect();
    parts.sort_by_key(|rows| rows.start);
    Ok(Derived { text: open_text(dir, payload)?, dir: dir.to_owned(), parts })
}

impl Derived {
    /// What [`build`] was given.
    pub(crate) fn statements(&self) -> Result<Vec<u8>> {
        let path = self.dir.join(STATEMENTS);
        fs::read(&path).map_err(RagError::io(&path))
    }

    /// A part with its rows, in order, each read when it is asked for; what cannot be read is left out.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = (Range<usize>, Vec<u8>)> {
        self.parts.iter().filter_map(|rows| Some((rows.clone(), fs::read(self.dir.join(part_name(rows))).ok()?)))
    }
}

/// The text index in `dir`, if it is the one of `payload`.
pub(super) fn open_text(dir: &Path, payload: &str) -> Result<TextIndex, TantivyError> {
    let index = Index::open_in_dir(dir)?;
    let (expected, fields) = schema();
    if index.schema() != expected || index.load_metas()?.payload.as_deref() != Some(payload) {
        return Err(damaged(dir, "it was built from something else"));
    }
    index.tokenizers().register(ANALYZER, analyzer());
    let searcher = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?.searcher();
    Ok(TextIndex { searcher, fields })
}

fn damaged(dir: &Path, problem: &str) -> TantivyError {
    TantivyError::SystemError(format!("{}: {problem}", dir.display()))
}
