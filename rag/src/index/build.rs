//! Building an index directory, and telling whether one is whole.
//!
//! A directory is built beside its place and renamed into it. `seal.json` in it lists length and
//! CRC-32 of every file, tantivy's own metadata included (its checksums cover segment files only).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use schemas::ids::ChunkId;
use schemas::tables::VersionRow;
use serde::{Deserialize, Serialize};
use tantivy::{Index, ReloadPolicy, TantivyDocument, TantivyError};

use super::{ANALYZER, Derived, TextIndex, analyzer, schema};
use crate::{RagError, Result};

/// Other words make another index.
const FORMAT: &str = "headwater.text-index/3";
const SEAL: &str = "seal.json";
const UNFINISHED: &str = ".unfinished-";
const WRITER_MEMORY_BYTES: usize = 50_000_000;
const STATEMENTS: &str = "statements.bin";
const VECTORS: &str = "vectors.bin";
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
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    files: BTreeMap<String, (u64, u32)>,
}

impl Seal {
    fn of(dir: &Path) -> std::io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == SEAL || name.ends_with(".lock") {
                continue;
            }
            let bytes = fs::read(entry.path())?;
            files.insert(name, (bytes.len() as u64, crc32fast::hash(&bytes)));
        }
        Ok(Self { files })
    }
}

/// Builds into a directory beside `target` and renames it there.
pub(super) fn build(
    target: &Path,
    payload: &str,
    earlier: Option<&Path>,
    chunks: &[(ChunkId, String)],
    statements: &[u8],
    vectors: &[u8],
) -> Result<()> {
    static BUILDS: AtomicU64 = AtomicU64::new(0);
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent).map_err(RagError::io(parent))?;
    let unfinished = parent.join(format!("{UNFINISHED}{}-{}", std::process::id(), BUILDS.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&unfinished).map_err(RagError::io(&unfinished))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = unfinished.join(name);
        fs::write(&path, bytes).map_err(RagError::io(&path))
    };
    let built = write(STATEMENTS, statements)
        .and_then(|()| write(VECTORS, vectors))
        .and_then(|()| fill(&unfinished, payload, earlier, chunks))
        .and_then(|()| fs::rename(&unfinished, target).map_err(RagError::io(target)));
    if built.is_err()
        && let Err(error) = fs::remove_dir_all(&unfinished)
    {
        tracing::warn!(path = %unfinished.display(), %error, "could not remove an unfinished text index");
    }
    // somebody else may have been faster; what stands there is checked when it is opened
    if target.join(SEAL).exists() { Ok(()) } else { built }
}

/// Puts the segments of an index into another folder: they are never written again, so the same files serve both.
fn carry(earlier: &Path, dir: &Path) -> Result<()> {
    for from in children(earlier)? {
        let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let to = dir.join(&name);
        let carried = match name.as_str() {
            SEAL | STATEMENTS | VECTORS => Ok(()),
            name if name.ends_with(".lock") => Ok(()),
            // what lists the segments is
            name if name.ends_with(".json") => fs::copy(&from, &to).map(drop),
            _ => fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)),
        };
        carried.map_err(RagError::io(&to))?;
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

fn fill(dir: &Path, payload: &str, earlier: Option<&Path>, chunks: &[(ChunkId, String)]) -> Result<()> {
    let (schema, fields) = schema();
    let index = match earlier {
        Some(earlier) => {
            carry(earlier, dir)?;
            Index::open_in_dir(dir)?
        }
        None => Index::create_in_dir(dir, schema)?,
    };
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
    writer.wait_merging_threads()?;
    let seal = Seal::of(dir).map_err(RagError::io(dir))?;
    let path = dir.join(SEAL);
    let text = schemas::canonical::to_string(&seal)?;
    fs::write(&path, text).map_err(RagError::io(&path))
}

/// Opens `dir` if every byte of it is as it was built, for `payload`.
pub(super) fn open(dir: &Path, payload: &str) -> Result<Derived, TantivyError> {
    let damaged = |problem: &str| TantivyError::SystemError(format!("{}: {problem}", dir.display()));
    let stated: Seal = serde_json::from_slice(&fs::read(dir.join(SEAL))?).map_err(|_| damaged("its seal is damaged"))?;
    if Seal::of(dir)? != stated {
        return Err(damaged("its files are not the ones that were built"));
    }
    let index = Index::open_in_dir(dir)?;
    let (expected, fields) = schema();
    if index.schema() != expected || index.load_metas()?.payload.as_deref() != Some(payload) {
        return Err(damaged("it was built from something else"));
    }
    index.tokenizers().register(ANALYZER, analyzer());
    let searcher = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?.searcher();
    Ok(Derived { text: TextIndex { searcher, fields }, statements: fs::read(dir.join(STATEMENTS))?, vectors: fs::read(dir.join(VECTORS))? })
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
