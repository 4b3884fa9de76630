//! A model as transformers saves it: a directory of `config.json`, `*.safetensors` and the tokenizer's files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::remedy;
use super::template::{TEMPLATE_BYTES_MAX, configured};
use crate::EngineError;

const JSON_BYTES_MAX: u64 = 16 << 20;
pub(super) const TOKENIZER_BYTES_MAX: u64 = 128 << 20;
const SHARDS_MAX: usize = 4096;

/// A file's bytes; none where there is no such file.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, EngineError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(EngineError::io("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(EngineError::io("read", path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(EngineError::BrokenModel { file: path.to_owned(), reason: format!("it is larger than {bytes_max} bytes") });
    }
    match remedy::not_the_file(&bytes) {
        Some(reason) => Err(EngineError::BrokenModel { file: path.to_owned(), reason: reason.to_owned() }),
        None => Ok(Some(bytes)),
    }
}

/// A JSON object; none where there is no such file.
pub(super) fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, EngineError> {
    let Some(bytes) = read(path, JSON_BYTES_MAX)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(EngineError::broken(path))
}

/// SentencePiece's own format is not read: transformers converts it.
pub(super) fn without_tokenizer(directory: &Path, name: &str, wanted: &Path) -> EngineError {
    if !directory.join("tokenizer.model").is_file() {
        return remedy::missing(wanted, "copy it into the folder, from where the model was published".to_owned());
    }
    let reason = "it has a tokenizer.model and no tokenizer.json, which transformers writes: \
        AutoTokenizer.from_pretrained(folder).save_pretrained(folder); or take a GGUF file of it";
    EngineError::UnsupportedModel { name: name.to_owned(), reason: reason.to_owned() }
}

/// The weight files that belong to the model, in order.
pub(super) fn weight_files(directory: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let single = directory.join("model.safetensors");
    let index_path = directory.join("model.safetensors.index.json");
    let Some(index) = read_object(&index_path)? else {
        return if single.is_file() { Ok(vec![single]) } else { Err(remedy::without_weights(directory)) };
    };
    let broken = |reason: &str| EngineError::BrokenModel { file: index_path.clone(), reason: reason.to_owned() };
    let map = index.get("weight_map").and_then(Value::as_object).ok_or_else(|| broken("it has no weight_map"))?;
    let mut shards = BTreeSet::new();
    for shard in map.values() {
        let shard = shard.as_str().ok_or_else(|| broken("weight_map names a file that is no text"))?;
        if !is_plain_name(shard) {
            return Err(broken("weight_map names a file outside the directory"));
        }
        shards.insert(shard);
    }
    if shards.is_empty() || shards.len() > SHARDS_MAX {
        return Err(broken("weight_map names no files, or too many"));
    }
    let files: Vec<PathBuf> = shards.iter().map(|shard| directory.join(shard)).collect();
    let absent: Vec<PathBuf> = files.iter().filter(|path| !path.is_file()).cloned().collect();
    if absent.is_empty() { Ok(files) } else { Err(remedy::without_shards(directory, &absent, files.len())) }
}

/// A name in the directory itself, whatever the platform takes for a separator.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    !name.contains(['/', '\\', ':', '\0']) && matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

/// The chat template: a file of its own, or a value of the tokenizer's configuration.
pub(super) fn template(directory: &Path, tokenizer_config: &Map<String, Value>) -> Result<Option<String>, EngineError> {
    let path = directory.join("chat_template.jinja");
    if let Some(bytes) = read(&path, TEMPLATE_BYTES_MAX as u64)? {
        return String::from_utf8(bytes).map(Some).map_err(EngineError::broken(&path));
    }
    let path = directory.join("tokenizer_config.json");
    configured(tokenizer_config).map(|template| template.map(str::to_owned)).map_err(EngineError::broken(&path))
}
