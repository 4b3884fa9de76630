//! From a path on disk to a model that can be computed.
//!
//! This module owns what model files look like: their formats, their names for weights, their tokenizers and
//! templates. Files are hostile: every size, offset and name is checked against the file before it is used, nothing
//! larger than a small multiple of a file is allocated, and what is not understood is refused, never half-loaded.

mod adapter;
mod defaults;
mod digest;
mod directory;
mod gguf;
mod inventory;
mod latent;
mod remedy;
pub(crate) mod safetensors;
mod split;
mod template;
mod tensor_store;
mod vocabulary;
mod weights;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::EngineError;
use crate::architecture::Architecture;
use crate::architecture::families::blueprint;

pub(crate) use adapter::{AdapterFiles, AdapterModule};
pub(crate) use defaults::GenerationDefaults;
pub(crate) use digest::sha256_of;
pub(crate) use inventory::{Shape, needs};
pub(crate) use split::Split;
pub(crate) use template::{ChatTemplate, TemplatePiece};
pub use template::{Message, Part, Role};
pub(crate) use vocabulary::{Specials, Vocabulary, contained};
pub(crate) use weights::Weights;

use gguf::Gguf;
use split::Parts;
use tensor_store::TensorStore;
use vocabulary::Roles;

/// Everything that is in a model's files.
pub(crate) struct ModelFiles {
    pub(crate) architecture: Architecture,
    pub(crate) weights: Weights,
    pub(crate) tokenizer: Vocabulary,
    /// None where the files bring none.
    pub(crate) template: Option<ChatTemplate>,
    pub(crate) defaults: GenerationDefaults,
    /// None where they are GGUF files.
    directory: Option<PathBuf>,
    /// Of the directory, or of the file without its ending and part.
    pub(crate) name: String,
}

impl ModelFiles {
    /// A directory as transformers saves it, or a `.gguf` file, of several parts any one.
    ///
    /// # Errors
    /// [`EngineError::MissingFile`] where a file is not there; [`EngineError::BrokenModel`] where one is not what it should be;
    /// [`EngineError::UnsupportedModel`] where it says what is not understood.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineError> {
        if path.is_dir() {
            // the dot in a folder's name begins no ending: Qwen2.5-0.5B
            let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
            return Self::open_directory(path, name);
        }
        Self::open_gguf(Parts::find(path)?, path)
    }

    /// Lower-case hex, over all files that determine an answer. Reads all of them: seconds for a large model, in which
    /// others may load it. It is not kept from one time to the next: whoever could write where it lies could make
    /// receipts name another model.
    ///
    /// # Errors
    /// [`EngineError::CorruptModel`] where one is another than a `SHA256SUMS` beside it says; [`EngineError::Io`].
    pub(crate) fn sha256(&self) -> Result<String, EngineError> {
        let files = self.weights.files();
        let Some(directory) = &self.directory else {
            let counted = files.zip(split::digested(self.weights.files().count()));
            let counted = counted.map(|((path, bytes), name)| digest::Counted { name, path: path.to_owned(), mapped: Some(bytes) });
            return digest::of_files(&counted.collect::<Vec<_>>());
        };
        digest::of_directory(directory, files)
    }

    fn open_gguf(parts: Parts, path: &Path) -> Result<Self, EngineError> {
        let mappings = parts.paths.iter().map(|path| tensor_store::open(path)).collect::<Result<Vec<_>, _>>()?;
        let mut read = Vec::with_capacity(mappings.len());
        for (number, (path, mapping)) in parts.paths.iter().zip(&mappings).enumerate() {
            let part = Gguf::parse(mapping).and_then(|part| part.is_part(number, parts.paths.len()).map(|()| part));
            read.push(part.map_err(EngineError::broken(path))?);
        }
        let parsed = Gguf::join(read).map_err(EngineError::broken(path))?;
        let name = parts.name.clone();
        let unsupported = |reason| EngineError::UnsupportedModel { name: name.clone(), reason };
        let blueprint = gguf::blueprint(&parsed).map_err(unsupported)?;
        let tokenizer = gguf::vocabulary(&parsed, blueprint.architecture.vocabulary).map_err(unsupported)?;
        let template = match gguf::template(&parsed).map_err(EngineError::broken(path))? {
            None => None,
            Some((source, bos, eos)) => Some(ChatTemplate::parse(source, &bos, &eos).map_err(EngineError::broken(path))?),
        };
        let tensors = parsed.tensors.into_iter().map(|(name, stored)| (name.to_owned(), stored)).collect();
        let files = parts.paths.iter().cloned().zip(mappings).collect();
        let weights = Weights::new(TensorStore::gguf(files, tensors)?, &blueprint, &name)?;
        Ok(Self {
            architecture: blueprint.architecture,
            weights,
            tokenizer,
            template,
            defaults: GenerationDefaults::default(),
            directory: None,
            name,
        })
    }

    fn open_directory(path: &Path, name: String) -> Result<Self, EngineError> {
        let object = |file: &str| directory::read_object(&path.join(file));
        let config_path = path.join("config.json");
        let config = object("config.json")?.ok_or_else(|| remedy::without_configuration(path))?;
        let unsupported = |reason| EngineError::UnsupportedModel { name: name.clone(), reason: format!("config.json: {reason}") };
        let mut blueprint = blueprint(&config).map_err(unsupported)?;
        let generation = object("generation_config.json")?.unwrap_or_default();
        let tokenizer_config = object("tokenizer_config.json")?.unwrap_or_default();
        let shards = directory::weight_files(path)?;
        let store = TensorStore::safetensors(&shards)?;
        if blueprint.architecture.head.tied && weights::has_other_head(&store, &blueprint.scheme) {
            // As transformers: what the file holds counts, whatever the configuration says of it.
            blueprint.architecture.head.tied = false;
        }
        let weights = Weights::new(store, &blueprint, &name)?;
        let tokenizer_path = path.join("tokenizer.json");
        let json = directory::read(&tokenizer_path, directory::TOKENIZER_BYTES_MAX)?;
        let json = json.ok_or_else(|| directory::without_tokenizer(path, &name, &tokenizer_path))?;
        let roles = roles(&config, &generation, &tokenizer_config).map_err(EngineError::broken(&config_path))?;
        let tokenizer =
            Vocabulary::from_json(&json, blueprint.architecture.vocabulary, &roles).map_err(EngineError::broken(&tokenizer_path))?;
        let template = directory::template(path, &tokenizer_config)?;
        let template = match &template {
            Some(source) => {
                let token = |role| token_text(&tokenizer_config, role).unwrap_or_default();
                Some(ChatTemplate::parse(source, &token("bos_token"), &token("eos_token")).map_err(EngineError::broken(path))?)
            }
            None => None,
        };
        Ok(Self {
            architecture: blueprint.architecture,
            weights,
            tokenizer,
            template,
            defaults: GenerationDefaults::read(&generation).map_err(EngineError::broken(&path.join("generation_config.json")))?,
            directory: Some(path.to_owned()),
            name,
        })
    }
}

/// Which tokens begin a text and end an answer, from the three files that may say so.
fn roles(config: &Map<String, Value>, generation: &Map<String, Value>, tokenizer: &Map<String, Value>) -> Result<Roles, String> {
    let inner = config.get("text_config").and_then(Value::as_object);
    let mut eos_ids = defaults::eos_ids(generation)?;
    for table in [Some(config), inner].into_iter().flatten() {
        eos_ids.extend(defaults::eos_ids(table)?);
    }
    let bos_id = [Some(generation), Some(config), inner].into_iter().flatten().find_map(|table| table.get("bos_token_id")?.as_u64());
    Ok(Roles {
        bos: token_text(tokenizer, "bos_token"),
        bos_id: bos_id.and_then(|id| u32::try_from(id).ok()),
        eos: token_text(tokenizer, "eos_token").into_iter().collect(),
        eos_ids,
        adds_bos: None,
    })
}

/// A token of a `tokenizer_config.json`: its text, or a table that holds it.
fn token_text(values: &Map<String, Value>, key: &str) -> Option<String> {
    match values.get(key)? {
        Value::String(token) => Some(token.clone()),
        Value::Object(token) => token.get("content")?.as_str().map(str::to_owned),
        _ => None,
    }
}
