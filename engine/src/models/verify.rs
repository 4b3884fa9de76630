//! Are the files on disk the pinned ones?

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{ModelFile, ModelSpec, model_dir};
use crate::EngineError;
use crate::files::sha256_of;

/// What is on disk of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelState {
    /// None of its files.
    Missing,
    /// Some of its files; these are missing.
    Incomplete { missing: Vec<&'static str> },
    /// A file is there and is not the pinned one. `expected` and `found` are sizes or sha256 hashes.
    Corrupt { file: &'static str, expected: String, found: String },
    /// Every file is there and is the pinned one.
    Ready,
}

/// Looks at a model's files and hashes them. Blocks for as long as reading them takes.
///
/// # Errors
/// [`EngineError::Io`] when a file is there and cannot be read.
pub fn inspect(models_root: &Path, spec: &ModelSpec) -> Result<ModelState, EngineError> {
    let dir = model_dir(models_root, spec.name);
    let mut missing = Vec::new();
    for file in spec.files {
        match check_file(&dir.join(file.path), file)? {
            FileState::Missing => missing.push(file.path),
            FileState::Corrupt { expected, found } => {
                return Ok(ModelState::Corrupt { file: file.path, expected, found });
            }
            FileState::Good => {}
        }
    }
    Ok(match missing.len() {
        0 => ModelState::Ready,
        n if n == spec.files.len() => ModelState::Missing,
        _ => ModelState::Incomplete { missing },
    })
}

pub(super) enum FileState {
    Missing,
    Corrupt { expected: String, found: String },
    Good,
}

pub(super) fn check_file(path: &Path, pinned: &ModelFile) -> Result<FileState, EngineError> {
    let Some(file) = open(path)? else {
        return Ok(FileState::Missing);
    };
    let found_bytes = file.metadata().map_err(EngineError::io("read", path))?.len();
    if found_bytes != pinned.bytes {
        let (expected, found) = sizes(pinned.bytes, found_bytes);
        return Ok(FileState::Corrupt { expected, found });
    }
    let found = sha256_of(file).map_err(EngineError::io("read", path))?;
    if found == pinned.sha256 { Ok(FileState::Good) } else { Ok(FileState::Corrupt { expected: pinned.sha256.to_owned(), found }) }
}

/// A model file's bytes, once they are known to be the pinned ones. Never reads more than the pinned size.
pub(crate) fn read_verified(dir: &Path, spec: &ModelSpec, path: &str) -> Result<Vec<u8>, EngineError> {
    let full = dir.join(path);
    let unlisted = || EngineError::UnsupportedModel { name: spec.name.to_owned(), reason: format!("the catalogue lists no {path}") };
    let pinned = spec.file(path).ok_or_else(unlisted)?;
    let Some(file) = open(&full)? else {
        return Err(EngineError::MissingModel { name: spec.name.to_owned(), file: full });
    };
    let found_bytes = file.metadata().map_err(EngineError::io("read", &full))?.len();
    if found_bytes != pinned.bytes {
        let (expected, found) = sizes(pinned.bytes, found_bytes);
        return Err(EngineError::CorruptModel { file: full, expected, found });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(pinned.bytes).unwrap_or_default());
    file.take(pinned.bytes).read_to_end(&mut bytes).map_err(EngineError::io("read", &full))?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != pinned.sha256 {
        return Err(EngineError::CorruptModel { file: full, expected: pinned.sha256.to_owned(), found });
    }
    Ok(bytes)
}

fn open(path: &Path) -> Result<Option<File>, EngineError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EngineError::io("open", path)(error)),
    }
}

fn sizes(expected: u64, found: u64) -> (String, String) {
    (format!("{expected} bytes"), format!("{found} bytes"))
}
