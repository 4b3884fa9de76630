//! Models that the catalogue does not list: a repository of the hub, by `owner/name` and a revision.
//!
//! The hub says what the revision's commit is and which files it has; what it keeps as large files it names by sha256, and
//! they are checked against that. Only what a model is run from is fetched, never pickles or code. The manifest is written last
//! and says what was fetched, so that a folder without one is not an installed model.

mod listing;
mod manifest;

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::download::{self, Retry, Wanted};
use super::lock::PullLock;
use super::pull::{Progress, PullOptions, PullProgress, Pulled, PulledFrom, report};
use crate::EngineError;
use listing::RemoteFile;
pub use manifest::Installed;
use manifest::Manifest;

/// The branch of a repository where no revision is named.
const DEFAULT_REVISION: &str = "main";

/// A key to the hub, for models behind terms of use. Not shown.
#[derive(Clone)]
pub struct HubToken(String);

impl HubToken {
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(token)
    }
}

impl fmt::Debug for HubToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubToken")
    }
}

/// `owner/name[@revision]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName {
    owner: String,
    name: String,
    revision: Option<String>,
}

impl RepositoryName {
    /// None where `text` is not of that form. Each part is plain: it becomes a folder's name and a part of an address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (path, revision) = text.split_once('@').map_or((text, None), |(path, revision)| (path, Some(revision)));
        let (owner, name) = path.split_once('/')?;
        let parts = [Some(owner), Some(name), revision];
        parts.into_iter().flatten().all(is_plain).then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// `owner/name`
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }

    /// Where its files lie.
    #[must_use]
    pub fn dir(&self, models_root: &Path) -> PathBuf {
        models_root.join(&self.owner).join(self.folder())
    }

    fn folder(&self) -> String {
        match &self.revision {
            Some(revision) => format!("{}@{revision}", self.name),
            None => self.name.clone(),
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.folder())
    }
}

/// Fit to be one component of a path and of an address.
fn is_plain(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.chars().all(plain)
}

/// Makes a repository's model ready under `models_root`. Of several GGUF files one is named by `file`. Safe to interrupt at any
/// point and to run twice at once.
///
/// # Errors
/// [`EngineError::Download`] when the hub does not deliver, [`EngineError::UnsupportedModel`] when the repository holds nothing that
/// can be run or `file` does not say which, [`EngineError::CorruptModel`] when the hub delivers other bytes than it announced,
/// [`EngineError::Busy`], [`EngineError::Io`].
pub async fn pull_repository(
    models_root: &Path,
    name: &RepositoryName,
    file: Option<&str>,
    options: &PullOptions,
    token: Option<&HubToken>,
    progress: Progress<'_>,
) -> Result<Pulled, EngineError> {
    report(progress, "asking the hub");
    let client = client(options, token)?;
    let (commit, files) = listing::ask(&client, options, name).await?;
    let files = listing::choose(name, files, file)?;
    let dir = name.dir(models_root);
    tokio::fs::create_dir_all(&dir).await.map_err(EngineError::io("create", &dir))?;
    let lock_path = dir.with_file_name(format!(".{}.lock", name.folder()));
    let waiting = || report(progress, "waiting for another pull");
    let _lock = PullLock::acquire(lock_path, options.lock_timeout, waiting).await?;
    report(progress, "verifying");
    let mut manifest = Manifest::new(name, commit);
    let kept = manifest::kept(&dir, &manifest.commit, &files).await?;
    let total_bytes = Some(files.iter().filter(|file| !kept.contains_key(&file.path)).map(|file| file.bytes).sum());
    let (mut received, mut before) = (0, 0);
    for file in &files {
        if !kept.contains_key(&file.path) {
            let on_bytes = |done: u64| progress(PullProgress { stage: "downloading", done_bytes: before + done, total_bytes });
            received += fetch(&client, options, name, &manifest.commit, &dir, file, &on_bytes).await?;
            before += file.bytes;
        }
        manifest.add(&dir, file, kept.get(&file.path)).await?;
    }
    manifest.write(&dir).await?;
    let source_used = if received == 0 && before == 0 { PulledFrom::Disk } else { PulledFrom::Hub };
    tracing::info!(model = %name, commit = manifest.commit, bytes = received, "model pulled");
    Ok(Pulled { dir, source_used, bytes: received })
}

async fn fetch(
    client: &Client,
    options: &PullOptions,
    name: &RepositoryName,
    commit: &str,
    dir: &Path,
    file: &RemoteFile,
    on_bytes: &(dyn Fn(u64) + Send + Sync),
) -> Result<u64, EngineError> {
    let url = format!("{}/{}/resolve/{commit}/{}", options.hub_url, name.repository(), file.path);
    let what = format!("{} of {} from the hub", file.path, name.repository());
    let destination = dir.join(&file.path);
    if let Some(folder) = destination.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(EngineError::io("create", folder))?;
    }
    let wanted = Wanted { url: &url, what: &what, destination: &destination, bytes: file.bytes, sha256: file.sha256.as_deref() };
    let retry = Retry { tries: options.tries, delay: options.retry_delay };
    download::fetch(client, wanted, retry, on_bytes).await
}

/// A redirect to another host goes there without the token.
fn client(options: &PullOptions, token: Option<&HubToken>) -> Result<Client, EngineError> {
    let Some(HubToken(token)) = token else { return download::client(options, HeaderMap::new()) };
    let bad = |reason: &str| EngineError::Download { what: "the model from the hub".to_owned(), reason: reason.to_owned() };
    let local = ["http://127.0.0.1:", "http://localhost:"].iter().any(|here| options.hub_url.starts_with(here));
    if !local && !options.hub_url.starts_with("https://") {
        return Err(bad("the hub's address is not https: the token would travel in the clear"));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| bad("the token is not visible ASCII"))?;
    value.set_sensitive(true);
    download::client(options, HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

/// The models that were pulled from the hub, by name.
///
/// # Errors
/// [`EngineError::Io`] when a folder cannot be read.
pub fn installed(models_root: &Path) -> Result<Vec<Installed>, EngineError> {
    manifest::installed(models_root)
}
