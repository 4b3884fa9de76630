//! A LoRA adapter as PEFT saves it: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! The tensors say what the adapter is; the configuration must say the same of every one of them. Whatever it asks
//! for beyond plain LoRA is refused by name: nothing is loaded in part.

mod configuration;
mod modules;

#[cfg(test)]
mod tests;

use std::path::Path;

use super::{digest, directory, remedy, tensor_store};
use crate::EngineError;
use crate::architecture::{Architecture, WeightRole};
use crate::files::safetensors::Safetensors;
use configuration::Configuration;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Everything that is in an adapter's files.
#[derive(Debug)]
pub(crate) struct AdapterFiles {
    /// Of the directory.
    pub(crate) name: String,
    /// What the adapter says it was made for; not checked: shapes are.
    pub(crate) base: Option<String>,
    /// Lower-case hex, over both files.
    pub(crate) sha256: String,
    /// By layer, then role; each at most once.
    pub(crate) modules: Vec<AdapterModule>,
}

/// What is added to one matrix: `scale · up · down`. Parts of a fused matrix are apart, as the base's weights are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AdapterModule {
    pub(crate) layer: Option<usize>,
    /// [`WeightRole::Embedding`]'s inputs are the vocabulary's tokens, its columns the width.
    pub(crate) role: WeightRole,
    pub(crate) rank: usize,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
    /// `[rank][inner]`
    pub(crate) down: Vec<f32>,
    /// `[columns][rank]`
    pub(crate) up: Vec<f32>,
    /// `alpha / rank`, or `alpha / √rank` with rsLoRA.
    pub(crate) scale: f32,
}

impl AdapterFiles {
    /// # Errors
    /// [`EngineError::Adapter`] where it asks for what is not run, or is for another base; [`EngineError::BrokenModel`] where a file is not
    /// what it should be.
    pub(crate) fn open(path: &Path, base: &Architecture) -> Result<Self, EngineError> {
        let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let (config_path, weights_path) = (path.join(CONFIG), path.join(WEIGHTS));
        let values = directory::read_object(&config_path)?.ok_or_else(|| remedy::missing(&config_path, remedy::NO_ADAPTER.to_owned()))?;
        let refused = |reason| EngineError::Adapter { name: name.clone(), reason };
        let configuration = Configuration::read(&values).map_err(|reason| refused(format!("{CONFIG}: {reason}")))?;
        if !weights_path.is_file() {
            return Err(remedy::missing(&weights_path, remedy::NO_ADAPTER.to_owned()));
        }
        let mapping = tensor_store::open(&weights_path)?;
        let tensors = Safetensors::parse(&mapping).map_err(EngineError::broken(&weights_path))?;
        let modules = modules::read(&tensors, &configuration, base).map_err(refused)?;
        let counted = |name: &str, path, mapped| digest::Counted { name: name.to_owned(), path, mapped };
        let files = [counted(CONFIG, config_path, None), counted(WEIGHTS, weights_path, Some(&*mapping))];
        Ok(Self { sha256: digest::of_files(&files)?, base: configuration.base.map(str::to_owned), name, modules })
    }
}
