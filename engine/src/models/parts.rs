//! Parts: `<file>.part`, what a file is called until it is whole, verified and durable.

use std::path::{Path, PathBuf};

use tokio::fs::{self, File};

use crate::EngineError;
use crate::files::sha256_of;

/// Makes bytes durable under their final name.
pub(super) async fn publish(part: &Path, destination: &Path) -> Result<(), EngineError> {
    let file = File::open(part).await.map_err(EngineError::io("open", part))?;
    file.sync_all().await.map_err(EngineError::io("flush", part))?;
    fs::rename(part, destination).await.map_err(EngineError::io("rename to", destination))?;
    let Some(dir) = destination.parent() else {
        return Ok(());
    };
    let dir_file = File::open(dir).await.map_err(EngineError::io("open", dir))?;
    dir_file.sync_all().await.map_err(EngineError::io("flush", dir))
}

pub(super) fn part_path(destination: &Path) -> PathBuf {
    let mut name = destination.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// 0 where there is none.
pub(super) async fn size_of(path: &Path) -> Result<u64, EngineError> {
    match fs::metadata(path).await {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(EngineError::io("read", path)(error)),
    }
}

pub(super) async fn remove(path: &Path) -> Result<(), EngineError> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(EngineError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Hashing is CPU work: it leaves the runtime's threads.
pub(super) async fn hash(path: &Path) -> Result<String, EngineError> {
    let owned = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || sha256_of(std::fs::File::open(owned)?)).await;
    hashed.map_err(EngineError::library("hashing"))?.map_err(EngineError::io("read", path))
}
