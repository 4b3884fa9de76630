//! The section `[models]`: what embeds and ranks, how, and where models lie.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use engine::models::{self, ModelSpec};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// Empty: `$HEADWATER_MODELS`, else `headwater/models` in the user's cache folder.
    pub dir: PathBuf,
    /// A name of the catalogue, a folder, or the name of a pulled model.
    pub embedder: String,
    pub embedder_precision: EmbedderPrecision,
    /// Empty: those that the catalogue says, and of a folder none are known.
    pub embedder_languages: Vec<Language>,
    /// A folder or the name of a pulled model; empty: none.
    pub reranker: String,
    pub hub_url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum EmbedderPrecision {
    F32,
    Bf16,
    Int8,
}

impl From<EmbedderPrecision> for engine::EmbedderPrecision {
    fn from(precision: EmbedderPrecision) -> Self {
        match precision {
            EmbedderPrecision::F32 => Self::F32,
            EmbedderPrecision::Bf16 => Self::Bf16,
            EmbedderPrecision::Int8 => Self::Int8,
        }
    }
}

/// A language, by its code of ISO 639-3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(String);

/// Write the three letters of ISO 639-3.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no code of ISO 639-3, which is three lower-case letters, as \"eng\", \"deu\" or \"cmn\"")]
pub struct NoLanguage(String);

impl TryFrom<String> for Language {
    type Error = NoLanguage;

    fn try_from(code: String) -> Result<Self, NoLanguage> {
        let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_lowercase());
        if is_code { Ok(Self(code)) } else { Err(NoLanguage(code)) }
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.0
    }
}

/// Where an embedder comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbedderSource {
    /// The catalogue, which pins its files.
    Catalogue(&'static ModelSpec),
    Folder(ModelFolder),
}

/// A model that nobody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    /// The repository's name where it was pulled, otherwise the last part of its path.
    pub name: String,
    pub dir: PathBuf,
}

impl EmbedderSource {
    /// An embedder by its name in the catalogue, by its path, or by the name under which it was pulled.
    ///
    /// # Errors
    /// Where nothing is called so.
    pub fn find(named: &str, models_dir: &Path) -> anyhow::Result<Self> {
        if let Ok(spec) = models::find(named) {
            return Ok(Self::Catalogue(spec));
        }
        let known: Vec<&str> = models::catalogue().iter().map(|spec| spec.name).collect();
        let folder = ModelFolder::find(named, models_dir);
        folder.map(Self::Folder).with_context(|| format!("{named:?} is none of the models that are known by name ({})", known.join(", ")))
    }
}

impl ModelFolder {
    /// A folder by its path, or by the name under which it was pulled.
    ///
    /// # Errors
    /// Where nothing is called so, or what is called so is a file.
    pub fn find(named: &str, models_dir: &Path) -> anyhow::Result<Self> {
        let (name, dir) = match Place::find(named, models_dir)? {
            Place::Pulled(dir) => (named.trim_end_matches('/').to_owned(), dir),
            Place::AtPath(dir) => (last_part(&dir), dir),
        };
        if !dir.is_dir() {
            bail!(
                "{} is a file; an embedder or a reranker is a folder with config.json, tokenizer.json and model.safetensors",
                dir.display()
            );
        }
        Ok(Self { name, dir })
    }
}

/// A model by its path, or by the name under which it was pulled.
pub fn local_model(named: &str, models_dir: &Path) -> anyhow::Result<PathBuf> {
    let (Place::AtPath(path) | Place::Pulled(path)) = Place::find(named, models_dir)?;
    Ok(or_its_file(path))
}

/// Where a model lies.
enum Place {
    AtPath(PathBuf),
    /// Below the folder of models.
    Pulled(PathBuf),
}

impl Place {
    fn find(named: &str, models_dir: &Path) -> anyhow::Result<Self> {
        let path = PathBuf::from(named);
        if path.exists() {
            return Ok(Self::AtPath(path));
        }
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let pulled = models_dir.join(&path);
        if plain && !named.is_empty() && pulled.exists() {
            return Ok(Self::Pulled(pulled));
        }
        bail!(
            "there is no model {named:?}: neither a folder or file of that name, nor one pulled into {}; `headwater models pull OWNER/NAME` \
             fetches one from the hub",
            models_dir.display()
        )
    }
}

/// Also of `.`, which has none of its own.
fn last_part(dir: &Path) -> String {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    absolute.file_name().map_or_else(|| dir.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A folder that holds one GGUF file and no configuration stands for that file.
fn or_its_file(path: PathBuf) -> PathBuf {
    let Ok(entries) = std::fs::read_dir(&path) else { return path };
    if path.join("config.json").exists() {
        return path;
    }
    let mut files = entries.flatten().map(|entry| entry.path()).filter(|file| file.extension().is_some_and(|ending| ending == "gguf"));
    match (files.next(), files.next()) {
        (Some(one), None) => one,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedder_is_known_a_path_or_pulled() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("owner/tiny@v1");
        std::fs::create_dir_all(&dir).unwrap();
        let find = |named: &str| EmbedderSource::find(named, folder.path());
        let of_folder = |name: &str| EmbedderSource::Folder(ModelFolder { name: name.into(), dir: dir.clone() });
        assert!(matches!(find("all-MiniLM-L6-v2").unwrap(), EmbedderSource::Catalogue(spec) if spec.name == "all-MiniLM-L6-v2"));
        assert_eq!(find("owner/tiny@v1").unwrap(), of_folder("owner/tiny@v1"));
        assert_eq!(find(dir.to_str().unwrap()).unwrap(), of_folder("tiny@v1"));
        std::fs::write(folder.path().join("owner/model.gguf"), "x").unwrap();
        for (wrong, words) in [
            ("owner/other", "headwater models pull"),
            ("all-MiniLM", "known by name (all-MiniLM-L6-v2)"),
            ("", "there is no model"),
            ("../owner", "there is no model"),
            ("owner/model.gguf", "is a file"),
        ] {
            let error = format!("{:#}", find(wrong).unwrap_err());
            assert!(error.contains(words), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_folder_is_called_by_its_last_part() {
        for (dir, name) in [("/models/e5", "e5"), ("/models/e5/", "e5"), ("models/e5/.", "e5")] {
            assert_eq!(last_part(Path::new(dir)), name, "{dir}");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(Some(last_part(Path::new("."))), here.file_name().map(|name| name.to_string_lossy().into_owned()));
    }

    #[test]
    fn a_language_is_three_letters() {
        for code in ["eng", "deu", "cmn"] {
            assert_eq!(String::from(Language::try_from(code.to_owned()).unwrap()), code);
        }
        for wrong in ["", "en", "ENG", "engl", "e1g", "dé"] {
            assert!(Language::try_from(wrong.to_owned()).unwrap_err().to_string().contains("ISO 639-3"), "{wrong}");
        }
    }
}
