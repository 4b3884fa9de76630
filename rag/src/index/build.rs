//! Building an index directory, and telling whether one is whole.
//!
//! A directory is built beside its place and renamed into it. `seal.json` in it lists length and
//! CRC-32 of every file, tantivy's own metadata included (its checksums cover segment files only).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use engine::VectorCodes;
use schemas::ids::ChunkId;
use schemas::tables::VersionRow;
use serde::{Deserialize, Serialize};
use tantivy::{Index, ReloadPolicy, TantivyDocument, TantivyError};

use super::{ANALYZER, Derived, TextIndex, analyzer, schema};
use crate::{RagError, Result};

/// Other words make another index.
const FORMAT: &str = "headwater.text-index/7";
const SEAL: &str = "seal.json";
const UNFINISHED: &str = ".unfinished-";
const WRITER_MEMORY_BYTES: usize = 50_000_000;
const SUMMED_AT_ONCE: usize = 1 << 18;
const STATEMENTS: &str = "statements.bin";
/// Before and after the rows of a part of the vectors.
const VECTORS: (&str, &str) = ("vectors-", ".bin");
/// Versions of a Datanet that something is kept of: the newest. Others are derived again when somebody asks for them.
const KEPT_VERSIONS: u64 = 4;

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

/// File name to length and CRC-32.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    files: BTreeMap<String, (u64, u32)>,
}

impl Seal {
    fn read(dir: &Path) -> std::io::Result<Option<Self>> {
        Ok(serde_json::from_slice(&fs::read(dir.join(SEAL))?).ok())
    }

    /// Of the files in `dir`; those of `carried` are believed.
    fn of(dir: &Path, carried: &Self) -> std::io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == SEAL || name.ends_with(".lock") {
                continue;
            }
            let stated = match carried.files.get(&name) {
                Some(stated) => *stated,
                None => sum(&entry.path())?,
            };
            files.insert(name, stated);
        }
        Ok(Self { files })
    }
}

/// Length and CRC-32 of a file, of which little is in memory at a time.
fn sum(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = fs::File::open(path)?;
    let (mut length, mut crc) = (0, crc32fast::Hasher::new());
    let mut bytes = vec![0; SUMMED_AT_ONCE];
    loop {
        let read = file.read(&mut bytes)?;
        let Some(bytes) = bytes.get(..read).filter(|bytes| !bytes.is_empty()) else { return Ok((length, crc.finalize())) };
        crc.update(bytes);
        length += read as u64;
    }
}

/// Builds into a directory beside `target` and renames it there. Of `earlier`, a directory that was opened, the files are taken
/// that stay as they are.
pub(super) fn build(
    target: &Path,
    payload: &str,
    earlier: Option<&Path>,
    chunks: impl IntoIterator<Item = (ChunkId, String)>,
    statements: &[u8],
    vectors: &VectorCodes,
) -> Result<()> {
    static BUILDS: AtomicU64 = AtomicU64::new(0);
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent).map_err(RagError::io(parent))?;
    let unfinished = parent.join(format!("{UNFINISHED}{}-{}", std::process::id(), BUILDS.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&unfinished).map_err(RagError::io(&unfinished))?;
    let mut carried = Seal::default();
    let built = (earlier.map_or(Ok(()), |earlier| carry(earlier, &unfinished, vectors, &mut carried)))
        .and_then(|()| write(&unfinished, STATEMENTS, statements))
        .and_then(|()| write_vectors(&unfinished, vectors, &carried))
        .and_then(|()| fill(&unfinished, payload, earlier.is_some(), chunks))
        .and_then(|()| seal(&unfinished, &carried))
        .and_then(|()| fs::rename(&unfinished, target).map_err(RagError::io(target)));
    if built.is_err()
        && let Err(error) = fs::remove_dir_all(&unfinished)
    {
        tracing::warn!(path = %unfinished.display(), %error, "could not remove an unfinished text index");
    }
    // somebody else may have been faster; what stands there is checked when it is opened
    if target.join(SEAL).exists() { Ok(()) } else { built }
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    fs::write(&path, bytes).map_err(RagError::io(&path))
}

fn write_vectors(dir: &Path, vectors: &VectorCodes, carried: &Seal) -> Result<()> {
    for rows in vectors.parts() {
        let name = part_name(&rows);
        if !carried.files.contains_key(&name) {
            write(dir, &name, &vectors.part_to_bytes(&rows).unwrap_or_default())?;
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
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).map_err(RagError::io(&from))?;
        if fs::metadata(&to).map_err(RagError::io(&to))?.len() != stated.0 {
            return Err(RagError::Index(damaged(earlier, "a file of it has another length")));
        }
        carried.files.insert(name, stated);
    }
    Ok(())
}

/// Removes what is kept of versions so old that they are asked for seldom.
pub(super) fn remove_old(target: &Path, row: &VersionRow) -> Result<()> {
    for folder in children(target.parent().unwrap_or(target))? {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let version = name.strip_prefix('v').and_then(|version| version.parse::<u64>().ok());
        if version.is_some_and(|version| version.saturating_add(KEPT_VERSIONS) <= row.version) {
            fs::remove_dir_all(&folder).map_err(RagError::io(&folder))?;
        }
    }
    Ok(())
}

/// Adds the chunks to the text index in a folder.
fn fill(dir: &Path, payload: &str, is_there: bool, chunks: impl IntoIterator<Item = (ChunkId, String)>) -> Result<()> {
    let (schema, fields) = schema();
    let index = if is_there { Index::open_in_dir(dir)? } else { Index::create_in_dir(dir, schema)? };
    index.tokenizers().register(ANALYZER, analyzer());
    // one thread: the same chunks in the same order give the same segments
    let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, WRITER_MEMORY_BYTES)?;
    for (chunk_id, text) in chunks {
        let mut document = TantivyDocument::default();
        document.add_text(fields.chunk_id, chunk_id.to_string());
        document.add_text(fields.text, text);
        writer.add_document(document)?;
    }
    let mut commit = writer.prepare_commit()?;
    commit.set_payload(payload);
    commit.commit()?;
    Ok(writer.wait_merging_threads()?)
}

fn seal(dir: &Path, carried: &Seal) -> Result<()> {
    let seal = Seal::of(dir, carried).map_err(RagError::io(dir))?;
    write(dir, SEAL, schemas::canonical::to_string(&seal)?.as_bytes())
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

pub(super) fn remove_leftovers(index_dir: &Path) -> Result<()> {
    for datanet in children(index_dir)? {
        for entry in children(&datanet)? {
            if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED)) {
                fs::remove_dir_all(&entry).map_err(RagError::io(&entry))?;
            }
        }
    }
    Ok(())
}

fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(dir).map_err(RagError::io(dir))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(RagError::io(dir))).collect()
}
