//! The journey's texts and script, which are part of the binary.

use std::path::Path;

use anyhow::Context as _;
use include_dir::{Dir, include_dir};
use serde::Deserialize;

static CORPUS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/demo");

/// `api/demo/journey.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journey {
    pub contributors: Vec<String>,
    pub datanets: Vec<Datanet>,
    pub submissions: Vec<Submission>,
    pub rejections: Vec<Rejection>,
    pub questions: Vec<Question>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Datanet {
    pub name: String,
    pub title: String,
    pub description: String,
    pub topic: String,
    pub curators: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    pub datanet: String,
    pub contributor: String,
    pub licence: String,
    /// Published with version 1 or version 2.
    pub round: u64,
    pub note: String,
    pub files: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    pub file: String,
    pub reason_code: String,
    pub comment: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub datanet: String,
    pub question: String,
    /// Files that hold the answer.
    pub sources: Vec<String>,
    pub answerable: bool,
}

impl Journey {
    pub fn load() -> anyhow::Result<Self> {
        let file = CORPUS.get_file("journey.json").context("the demo's script is not in this binary")?;
        serde_json::from_slice(file.contents()).context("the demo's script")
    }
}

/// Writes the texts to a folder, as files to upload.
pub(super) fn write_corpus(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    CORPUS.extract(folder).with_context(|| format!("cannot write the demo's texts to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_files_that_exist() {
        let journey = Journey::load().unwrap();
        let files: Vec<&String> = journey.submissions.iter().flat_map(|submission| &submission.files).collect();
        assert!(files.len() >= 60, "{}", files.len());
        for file in &files {
            assert!(CORPUS.get_file(file.as_str()).is_some(), "{file}");
        }
        for named in journey
            .rejections
            .iter()
            .map(|rejection| &rejection.file)
            .chain(journey.questions.iter().flat_map(|question| &question.sources))
        {
            assert!(files.contains(&named), "{named}");
        }
        assert_eq!(journey.questions.iter().filter(|question| question.answerable).count(), 8);
        assert_eq!(journey.questions.len(), 10);
    }
}
