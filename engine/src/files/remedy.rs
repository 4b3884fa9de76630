//! What to do where a model's files are not what they should be: told by what is there instead.

use std::path::{Path, PathBuf};

use crate::EngineError;

/// Files that are named in an error, at most.
const NAMED_MAX: usize = 5;

/// What a file is, where it is plainly not the one that its name says; and what to do.
pub(super) fn not_the_file(bytes: &[u8]) -> Option<&'static str> {
    let begins = |with: &[u8]| bytes.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if bytes.is_empty() {
        Some("it is empty: download it again")
    } else if begins(b"version https://git-lfs.github.com/spec/") {
        Some("it is a Git LFS pointer, not the file: run `git lfs pull` in the folder that was cloned, or download the file itself")
    } else if begins(b"<!doctype html") || begins(b"<html") {
        Some("it is a web page, not the file: download it again, from the address behind the page's download button")
    } else if begins(b"PK\x03\x04") || begins(b"\x80\x02") {
        Some(PICKLED)
    } else {
        None
    }
}

/// Of an adapter's files.
pub(super) const NO_ADAPTER: &str = "an adapter is a folder with adapter_config.json and adapter_model.safetensors, as peft saves it";

const PICKLED: &str = "it is in PyTorch's own format, which can hold programs and is not read: save the model again as safetensors \
    (AutoModelForCausalLM.from_pretrained(folder).save_pretrained(other_folder)), or take a GGUF file of it";

/// A path at which there is nothing, or that is one of a folder's files.
pub(super) fn of_file(path: &Path, name: &str) -> Option<EngineError> {
    let unsupported = |reason: &str| EngineError::UnsupportedModel { name: name.to_owned(), reason: reason.to_owned() };
    if !path.exists() {
        return Some(missing(path, "there is nothing of that name; name a model's folder or a .gguf file".to_owned()));
    }
    let is_part = ["safetensors", "json"].contains(&ending(path).as_str());
    is_part.then(|| unsupported("it is one of a model's files: name the folder that it lies in"))
}

/// A folder in which there is no `config.json`.
pub(super) fn without_configuration(directory: &Path) -> EngineError {
    let file = directory.join("config.json");
    let gguf = of_ending(directory, &["gguf"]);
    let remedy = if !gguf.is_empty() {
        format!("the folder holds GGUF files; name the one that is meant: {}", listed(directory, &gguf))
    } else if directory.join("adapter_config.json").is_file() {
        "the folder holds an adapter; name its base model here, and the adapter in [generator.adapters]".to_owned()
    } else {
        "copy all files of the model into the folder, from where it was published".to_owned()
    };
    missing(&file, remedy)
}

/// A folder in which there is a `config.json`, and no weights that are read.
pub(super) fn without_weights(directory: &Path) -> EngineError {
    let file = directory.join("model.safetensors");
    let (gguf, pickled) = (of_ending(directory, &["gguf"]), of_ending(directory, &["bin", "pt", "pth", "ckpt"]));
    let weights = of_ending(directory, &["safetensors"]);
    let shards: Vec<PathBuf> = weights.iter().filter(|path| path.to_string_lossy().contains("-of-")).cloned().collect();
    let remedy = if directory.join("adapter_model.safetensors").is_file() {
        "the folder holds an adapter; name its base model here, and the adapter in [generator.adapters]".to_owned()
    } else if !shards.is_empty() {
        let shards = listed(directory, &shards);
        format!("there is {shards}, and no model.safetensors.index.json that says what is in which: copy that file too")
    } else if !gguf.is_empty() {
        format!("the folder holds GGUF files; name the one that is meant: {}", listed(directory, &gguf))
    } else if !pickled.is_empty() {
        format!("of {}: {PICKLED}", listed(directory, &pickled))
    } else if !weights.is_empty() {
        format!("if the weights are in {}, give it this name", listed(directory, &weights))
    } else {
        "copy the weights into the folder, from where the model was published".to_owned()
    };
    missing(&file, remedy)
}

/// Shards that an index names and that are not there.
pub(super) fn without_shards(directory: &Path, absent: &[PathBuf], count: usize) -> EngineError {
    let remedy = format!(
        "of the {count} files that model.safetensors.index.json names, {} are missing: {}. Download them into the folder too",
        absent.len(),
        listed(directory, absent)
    );
    missing(absent.first().map_or(directory, PathBuf::as_path), remedy)
}

pub(super) fn missing(file: &Path, remedy: String) -> EngineError {
    EngineError::MissingFile { file: file.to_owned(), remedy }
}

fn ending(path: &Path) -> String {
    path.extension().map_or_else(String::new, |ending| ending.to_string_lossy().to_ascii_lowercase())
}

fn of_ending(directory: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let entries = directory.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| endings.contains(&ending(path).as_str())).collect();
    files.sort();
    files
}

fn listed(directory: &Path, files: &[PathBuf]) -> String {
    let name = |path: &PathBuf| path.strip_prefix(directory).unwrap_or(path).display().to_string();
    let named: Vec<String> = files.iter().take(NAMED_MAX).map(name).collect();
    let more = files.len().saturating_sub(NAMED_MAX);
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}
