//! Removing what writes left that ended with their process.
//!
//! In a folder an object is written under another name, `NAME#N`, and renamed when it is whole. One that is not is no object:
//! object_store neither lists nor reads it, so that nothing but the file system knows of it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Retention, Upkept, clean};
use crate::{Store, StoreError};

/// A file that was never renamed.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
    bytes: u64,
}

impl Store {
    /// Removes unfinished files that are old enough for nobody to be writing them.
    pub(super) async fn remove_unfinished(&self, retention: &Retention) -> Result<Upkept, StoreError> {
        let mut upkept = Upkept::default();
        for file in self.unfinished(retention).await? {
            match tokio::fs::remove_file(&file.path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&file.path, error)),
                Err(_) | Ok(()) => {}
            }
            upkept.orphans_removed += 1;
            upkept.bytes_removed += file.bytes;
            clean::pause().await;
        }
        Ok(upkept)
    }

    /// What [`Store::remove_unfinished`] would remove.
    pub(super) async fn plan_unfinished(&self, retention: &Retention) -> Result<Upkept, StoreError> {
        let unfinished = self.unfinished(retention).await?;
        let bytes_removed = unfinished.iter().map(|file| file.bytes).sum();
        Ok(Upkept { orphans_removed: unfinished.len() as u64, bytes_removed, ..Upkept::default() })
    }

    async fn unfinished(&self, retention: &Retention) -> Result<Vec<Unfinished>, StoreError> {
        let Some(folder) = self.inner.location.folder().map(Path::to_owned) else { return Ok(Vec::new()) };
        let before = retention.orphans_before();
        let searched = tokio::task::spawn_blocking(move || search(folder, before)).await;
        searched.map_err(|error| StoreError::Misuse(format!("the search for unfinished files ended: {error}")))?
    }
}

fn search(root: PathBuf, before: SystemTime) -> Result<Vec<Unfinished>, StoreError> {
    let (mut found, mut folders) = (Vec::new(), vec![root]);
    while let Some(folder) = folders.pop() {
        // Upkeep and uploads remove files and folders meanwhile.
        let Some(entries) = unless_gone(std::fs::read_dir(&folder)).map_err(|error| failed(&folder, error))? else { continue };
        for entry in entries {
            let entry = entry.map_err(|error| failed(&folder, error))?;
            let path = entry.path();
            if entry.file_type().map_err(|error| failed(&path, error))?.is_dir() {
                folders.push(path);
            } else if is_unfinished(&entry.file_name().to_string_lossy())
                && let Some(metadata) = unless_gone(entry.metadata()).map_err(|error| failed(&path, error))?
                && metadata.modified().map_err(|error| failed(&path, error))? <= before
            {
                found.push(Unfinished { path, bytes: metadata.len() });
            }
        }
    }
    Ok(found)
}

/// The names under which `LocalFileSystem` of object_store 0.14 writes, and which it takes for no object's.
fn is_unfinished(name: &str) -> bool {
    name.split_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

fn unless_gone<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(path: &Path, error: std::io::Error) -> StoreError {
    object_store::Error::Generic { store: "file", source: format!("{}: {error}", path.display()).into() }.into()
}
