//! Folders of files that are derived from the store and kept beside it: built beside their place, put there by renaming, and sealed
//! by the length and the checksum of every file. What is in the seal is never written again, so that a later folder can share it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::{RagError, Result};

const SEAL: &str = "seal.json";
const UNFINISHED: &str = ".unfinished-";
const SUMMED_AT_ONCE: usize = 1 << 18;
/// Versions of a Datanet that something is kept of: the newest. Others are derived again when somebody asks for them.
pub(crate) const KEPT_VERSIONS: u64 = 4;

/// File name to length and CRC-32.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) files: BTreeMap<String, (u64, u32)>,
}

impl Seal {
    /// None where it is damaged.
    pub(crate) fn read(dir: &Path) -> std::io::Result<Option<Self>> {
        Ok(serde_json::from_slice(&fs::read(dir.join(SEAL))?).ok())
    }

    /// Of the files in `dir`; those of `carried` are believed.
    pub(crate) fn of(dir: &Path, carried: &Self) -> std::io::Result<Self> {
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

    /// Seals what is in `dir`.
    pub(crate) fn write(dir: &Path, carried: &Self) -> Result<()> {
        let seal = Self::of(dir, carried).map_err(RagError::io(dir))?;
        write(dir, SEAL, schemas::canonical::to_string(&seal)?.as_bytes())
    }
}

/// Length and CRC-32 of a file, of which little is in memory at a time.
pub(crate) fn sum(path: &Path) -> std::io::Result<(u64, u32)> {
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

/// An empty folder beside `target`, to be filled and given to [`put`].
pub(crate) fn unfinished(target: &Path) -> Result<PathBuf> {
    static BUILDS: AtomicU64 = AtomicU64::new(0);
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent).map_err(RagError::io(parent))?;
    let unfinished = parent.join(format!("{UNFINISHED}{}-{}", std::process::id(), BUILDS.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&unfinished).map_err(RagError::io(&unfinished))?;
    Ok(unfinished)
}

/// Puts a folder that was built and sealed into its place, or removes what could not be built.
pub(crate) fn put(unfinished: &Path, target: &Path, built: Result<()>) -> Result<()> {
    let built = built.and_then(|()| fs::rename(unfinished, target).map_err(RagError::io(target)));
    if built.is_err()
        && let Err(error) = fs::remove_dir_all(unfinished)
    {
        tracing::warn!(path = %unfinished.display(), %error, "could not remove what was left of something derived");
    }
    // somebody else may have been faster; what stands there is checked when it is opened
    if target.join(SEAL).exists() { Ok(()) } else { built }
}

pub(crate) fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    fs::write(&path, bytes).map_err(RagError::io(&path))
}

/// Puts a file that is never written again into another folder too: the same one where the file system can.
pub(crate) fn share(from: &Path, to: &Path) -> Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)).map_err(RagError::io(from))
}

/// Removes what is kept of versions so old that they are asked for seldom: folders beside `target` whose names are `prefix` and a
/// version's number.
pub(crate) fn remove_old(target: &Path, prefix: &str, newest: u64) -> Result<()> {
    for (version, folder) in versions(target.parent().unwrap_or(target), prefix)? {
        if version.saturating_add(KEPT_VERSIONS) <= newest {
            fs::remove_dir_all(&folder).map_err(RagError::io(&folder))?;
        }
    }
    Ok(())
}

/// The same, of folders that are built in any order: all but those of the newest versions, and of `built`.
pub(crate) fn remove_others(target: &Path, prefix: &str, built: u64) -> Result<()> {
    let mut folders = versions(target.parent().unwrap_or(target), prefix)?;
    folders.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    for (_, folder) in folders.iter().skip(KEPT_VERSIONS as usize).filter(|(version, _)| *version != built) {
        fs::remove_dir_all(folder).map_err(RagError::io(folder))?;
    }
    Ok(())
}

/// The folders in `dir` whose names are `prefix` and a version's number.
pub(crate) fn versions(dir: &Path, prefix: &str) -> Result<Vec<(u64, PathBuf)>> {
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.strip_prefix(prefix)?.parse().ok();
    Ok(children(dir)?.into_iter().filter_map(|folder| Some((version(&folder)?, folder))).collect())
}

/// Removes what was never finished. Only for when nothing is being built.
pub(crate) fn remove_leftovers(index_dir: &Path) -> Result<()> {
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
