//! `.headwater.json` in a model's folder: where its files came from and what they are. With it the model is installed.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::parts::{hash, part_path, publish};
use super::RepositoryName;
use super::listing::RemoteFile;
use crate::EngineError;
use crate::files::sha256_of;

const FILE: &str = ".headwater.json";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    repository: String,
    revision: String,
    pub(super) commit: String,
    files: Vec<ManifestFile>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ManifestFile {
    path: String,
    bytes: u64,
    sha256: String,
}

/// A model that was pulled from the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// As the configuration names it: `owner/name` or `owner/name@revision`.
    pub name: String,
    /// A folder, or the GGUF file in it, the first of its parts.
    pub path: PathBuf,
    pub commit: String,
    pub bytes: u64,
}

impl Manifest {
    pub(super) fn new(name: &RepositoryName, commit: String) -> Self {
        Self { repository: name.repository(), revision: name.revision().to_owned(), commit, files: Vec::new() }
    }

    /// Adds a file that is there; `known` is its hash where it was looked at before.
    pub(super) async fn add(&mut self, dir: &Path, file: &RemoteFile, known: Option<&String>) -> Result<(), EngineError> {
        let sha256 = match known.or(file.sha256.as_ref()) {
            Some(sha256) => sha256.clone(),
            None => hash(&dir.join(&file.path)).await?,
        };
        self.files.push(ManifestFile { path: file.path.clone(), bytes: file.bytes, sha256 });
        Ok(())
    }

    pub(super) async fn write(&self, dir: &Path) -> Result<(), EngineError> {
        let path = dir.join(FILE);
        let part = part_path(&path);
        let text = serde_json::to_vec_pretty(self).map_err(EngineError::library("writing the manifest"))?;
        tokio::fs::write(&part, text).await.map_err(EngineError::io("write", &part))?;
        publish(&part, &path).await
    }
}

/// The hashes of those of `files` that are there and sound. A small file has no hash of the hub's: it is sound where the
/// manifest of the same commit says what it was.
pub(super) async fn kept(dir: &Path, commit: &str, files: &[RemoteFile]) -> Result<HashMap<String, String>, EngineError> {
    let (dir, commit, files) = (dir.to_owned(), commit.to_owned(), files.to_vec());
    let look = move || {
        let before = read(&dir)?.filter(|before| before.commit == commit);
        let mut kept = HashMap::new();
        for file in files {
            let listed = before.as_ref().and_then(|before| before.files.iter().find(|listed| listed.path == file.path));
            let Some(expected) = file.sha256.or(listed.map(|listed| listed.sha256.clone())) else { continue };
            let path = dir.join(&file.path);
            let found = match std::fs::File::open(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(EngineError::io("open", &path)(error)),
            };
            let length = found.metadata().map_err(EngineError::io("read", &path))?.len();
            if length == file.bytes && sha256_of(found).map_err(EngineError::io("read", &path))? == expected {
                kept.insert(file.path, expected);
            }
        }
        Ok(kept)
    };
    tokio::task::spawn_blocking(look).await.map_err(EngineError::library("verifying"))?
}

/// None where there is no manifest, or none that can be read: then the model is pulled anew.
fn read(dir: &Path) -> Result<Option<Manifest>, EngineError> {
    let path = dir.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(EngineError::io("read", &path)(error)),
    }
}

pub(super) fn installed(models_root: &Path) -> Result<Vec<Installed>, EngineError> {
    let mut found = Vec::new();
    for owner in folders(models_root)? {
        for dir in folders(&owner)? {
            let Some(manifest) = read(&dir)? else { continue };
            let name = dir.strip_prefix(models_root).unwrap_or(&dir).display().to_string();
            // Of a split one, any part stands for all.
            let path = match manifest.files.first() {
                Some(one) if manifest.files.iter().all(|file| file.path.ends_with(".gguf")) => dir.join(&one.path),
                _ => dir,
            };
            let bytes = manifest.files.iter().map(|file| file.bytes).sum();
            found.push(Installed { name, path, commit: manifest.commit, bytes });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(EngineError::io("list", dir)(error)),
    };
    let paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<PathBuf>>>().map_err(EngineError::io("list", dir))?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}
