//! The section `[generator]`: what writes the answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use engine::ContextMode;
use rag::GenerationConfig;
use serde::{Deserialize, Serialize};

use super::local_model;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    /// `quote`, a folder, a `.gguf` file, the name or hub id of a pulled model, or the address of a service.
    pub model: String,
    pub context_mode: Mode,
    pub tokens_max: usize,
    pub temperature: f64,
    pub top_p: f64,
    pub queue_max: usize,
    pub precision: Precision,
    /// 0: one for each processor.
    pub threads: usize,
    pub cache_mib: usize,
    /// LoRA adapters of a local model: folders, by the names that requests call them by.
    pub adapters: BTreeMap<String, PathBuf>,
    pub remote_model: String,
    /// Name of the environment variable that holds the key; empty: none is sent.
    pub remote_key_variable: String,
    pub remote_context_tokens: usize,
    pub remote_scores: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Full,
    Blocks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    F32,
    Bf16,
}

impl From<Precision> for engine::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// What writes the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answers {
    /// Nobody: sentences of the sources are quoted.
    Quoted,
    /// A model's folder or file.
    Local(PathBuf),
    /// A service at this address.
    Remote(String),
}

impl Generator {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !(0.0..=2.0).contains(&self.temperature) {
            bail!("configuration: generator.temperature is {}; it must be from 0 to 2", self.temperature);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            bail!("configuration: generator.top_p is {}; it must be above 0 and at most 1", self.top_p);
        }
        let positive = [
            ("tokens_max", self.tokens_max),
            ("queue_max", self.queue_max),
            ("cache_mib", self.cache_mib),
            ("remote_context_tokens", self.remote_context_tokens),
        ];
        for (key, value) in positive {
            if value == 0 {
                bail!("configuration: generator.{key} must be at least 1");
            }
        }
        if let Some(name) =
            self.adapters.keys().find(|name| !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) || name.is_empty())
        {
            bail!("configuration: generator.adapters: the name {name:?} has other characters than letters, digits, '-', '_' and '.'");
        }
        if !self.adapters.is_empty() && (self.is_remote() || self.model == "quote") {
            bail!("configuration: generator.adapters need a model on this machine, and generator.model is {:?}", self.model);
        }
        if self.is_remote() && self.remote_model.is_empty() {
            bail!("configuration: generator.model is an address, but generator.remote_model does not say which model to ask for there");
        }
        if self.is_remote() && self.context_mode == Mode::Blocks {
            bail!("configuration: generator.context_mode \"blocks\" needs a model on this machine");
        }
        Ok(())
    }

    /// Whether what answers says how likely an answer was.
    pub(super) fn scores(&self) -> bool {
        if self.is_remote() { self.remote_scores } else { self.model != "quote" }
    }

    fn is_remote(&self) -> bool {
        self.model.starts_with("http://") || self.model.starts_with("https://")
    }

    /// What `model` names: an address, a path, or a model that was pulled into `models_dir`.
    pub fn answers(&self, models_dir: &Path) -> anyhow::Result<Answers> {
        if self.model == "quote" {
            return Ok(Answers::Quoted);
        }
        if self.is_remote() {
            return Ok(Answers::Remote(self.model.clone()));
        }
        Ok(Answers::Local(local_model(&self.model, models_dir)?))
    }

    pub fn config(&self) -> GenerationConfig {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be from 0 to 2")]
        let ppm = |fraction: f64| (fraction * 1e6).round() as u64;
        GenerationConfig {
            concurrent_answers: self.queue_max,
            tokens_max: self.tokens_max,
            temperature_ppm: ppm(self.temperature),
            top_p_ppm: ppm(self.top_p),
            mode: match self.context_mode {
                Mode::Full => ContextMode::Full,
                Mode::Blocks => ContextMode::Blocks,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_word_an_address_a_path_or_a_name() {
        let defaults: crate::config::Config = toml::from_str(crate::config::DEFAULTS).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("owner/tiny")).unwrap();
        let named = |model: &str| Generator { model: model.into(), ..defaults.generator.clone() }.answers(folder.path());
        assert_eq!(named("quote").unwrap(), Answers::Quoted);
        assert_eq!(named("https://models.example/v1").unwrap(), Answers::Remote("https://models.example/v1".into()));
        let path = folder.path().join("owner/tiny");
        assert_eq!(named(path.to_str().unwrap()).unwrap(), Answers::Local(path.clone()));
        assert_eq!(named("owner/tiny").unwrap(), Answers::Local(path.clone()));
        std::fs::write(path.join("tiny-q4.gguf"), "x").unwrap();
        assert_eq!(named("owner/tiny").unwrap(), Answers::Local(path.join("tiny-q4.gguf")));
        std::fs::write(path.join("config.json"), "{}").unwrap();
        assert_eq!(named("owner/tiny").unwrap(), Answers::Local(path));
        for wrong in ["owner/other", "", "../owner", "/nowhere"] {
            assert!(named(wrong).unwrap_err().to_string().contains("headwater models pull"), "{wrong}");
        }
    }
}
