//! The files beside an encoder's weights and the weights themselves, read with limits.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::EngineError;

pub(super) const WEIGHTS: &str = "model.safetensors";
const CONFIG_BYTES_MAX: u64 = 1 << 20;
const TOKENIZER_BYTES_MAX: u64 = 64 << 20;
const WEIGHTS_BYTES_MAX: u64 = 4 << 30;
/// What a folder without one of them needs.
const REMEDY: &str = "copy the model's folder as it was published, with config.json, tokenizer.json and model.safetensors";

pub(super) struct Files {
    pub(super) config: Vec<u8>,
    pub(super) tokenizer: Vec<u8>,
    pub(super) weights: Vec<u8>,
}

impl Files {
    pub(super) fn read(dir: &Path, name: &str) -> Result<Self, EngineError> {
        let read = |file: &str, bytes_max| {
            let missing = || EngineError::MissingFile { file: dir.join(file), remedy: REMEDY.to_owned() };
            read_limited(dir, file, name, bytes_max)?.ok_or_else(missing)
        };
        Ok(Self {
            config: read("config.json", CONFIG_BYTES_MAX)?,
            tokenizer: read("tokenizer.json", TOKENIZER_BYTES_MAX)?,
            weights: read(WEIGHTS, WEIGHTS_BYTES_MAX)?,
        })
    }
}

/// A JSON file that a model may do without: None where there is no such file.
pub(super) fn read_json<T: DeserializeOwned>(dir: &Path, file: &str, name: &str) -> Result<Option<T>, EngineError> {
    let bytes = read_limited(dir, file, name, CONFIG_BYTES_MAX)?;
    let unsupported =
        |error: serde_json::Error| EngineError::UnsupportedModel { name: name.to_owned(), reason: format!("{file}: {error}") };
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(unsupported)).transpose()
}

fn read_limited(dir: &Path, file: &str, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, EngineError> {
    let path = dir.join(file);
    let unsupported = |reason| EngineError::UnsupportedModel { name: name.to_owned(), reason };
    let known = match std::fs::metadata(&path) {
        Ok(known) => known,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(EngineError::io("read", &path)(error)),
    };
    // a pipe would keep whoever opens it waiting
    if !known.is_file() {
        return Err(unsupported(format!("{file} is no file")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(known.len().min(bytes_max)).unwrap_or_default());
    let opened = File::open(&path).map_err(EngineError::io("open", &path))?;
    opened.take(bytes_max + 1).read_to_end(&mut bytes).map_err(EngineError::io("read", &path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(unsupported(format!("{file} has more than the {bytes_max} bytes that are allowed")));
    }
    Ok(Some(bytes))
}
