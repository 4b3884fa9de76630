//! A model in several GGUF files, named as llama.cpp splits them: `name-00001-of-00003.gguf` and so on.
//!
//! Whichever is named, all are opened.

use std::path::{Path, PathBuf};

use super::remedy;
use crate::EngineError;

const PARTS_MAX: usize = 4096;
const DIGITS: usize = 5;
const ENDING: &str = ".gguf";

/// What a file's name says of the files that it is one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    stem: String,
    /// From 1.
    number: usize,
    count: usize,
}

impl Split {
    /// None where the name is no part's.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (rest, count) = name.strip_suffix(ENDING)?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let number_of = |digits: &str| {
            let plain = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
            plain.then(|| digits.parse::<usize>().ok()).flatten()
        };
        let (number, count) = (number_of(number)?, number_of(count)?);
        ((1..=count).contains(&number) && !stem.is_empty()).then(|| Self { stem: stem.to_owned(), number, count })
    }

    /// The names of all parts, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> + '_ {
        (1..=self.count).map(|number| self.name(number))
    }

    fn name(&self, number: usize) -> String {
        format!("{}-{number:0DIGITS$}-of-{:0DIGITS$}{ENDING}", self.stem, self.count)
    }
}

/// The files of a model, of which one was named, and what the model is called.
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) paths: Vec<PathBuf>,
}

impl Parts {
    /// # Errors
    /// [`EngineError::MissingFile`] where the named file is not there; [`EngineError::BrokenModel`] that names the parts that are not.
    pub(super) fn find(path: &Path) -> Result<Self, EngineError> {
        let name = path.file_stem().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        if let Some(error) = remedy::of_file(path, &name) {
            return Err(error);
        }
        let Some(split) = path.file_name().and_then(|name| Split::parse(name.to_str()?)) else {
            return Ok(Self { name, paths: vec![path.to_owned()] });
        };
        let broken = |reason| EngineError::BrokenModel { file: path.to_owned(), reason };
        if split.count > PARTS_MAX {
            return Err(broken(format!("it is one of {} parts: {PARTS_MAX} are read", split.count)));
        }
        let paths: Vec<PathBuf> = split.names().map(|name| path.with_file_name(name)).collect();
        let missing: Vec<String> = split.names().zip(&paths).filter(|(_, path)| !path.exists()).map(|(name, _)| name).collect();
        if !missing.is_empty() {
            let (number, count) = (split.number, split.count);
            return Err(broken(format!("it is part {number} of {count}, and beside it is no {}", missing.join(", "))));
        }
        Ok(Self { name: split.stem, paths })
    }
}

/// What so many files are called in a model's digest: the same whatever the model is.
pub(super) fn digested(count: usize) -> Vec<String> {
    let split = Split { stem: "model".to_owned(), number: 1, count };
    if count == 1 { vec![format!("model{ENDING}")] } else { split.names().collect() }
}

#[cfg(test)]
mod tests;
