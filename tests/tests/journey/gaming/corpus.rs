//! The demonstration's Datanets, contributors and questions.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

pub(super) struct Corpus {
    pub(super) datanets: Vec<Value>,
    pub(super) submissions: Vec<Submission>,
    pub(super) questions: Vec<Question>,
}

pub(super) struct Submission {
    pub(super) datanet: String,
    pub(super) contributor: String,
    pub(super) files: Vec<(String, Vec<u8>)>,
}

pub(super) struct Question {
    pub(super) datanet: String,
    pub(super) text: String,
}

impl Corpus {
    pub(super) fn read() -> anyhow::Result<Self> {
        let demo = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../api/demo");
        let journey: Value = serde_json::from_str(&std::fs::read_to_string(demo.join("journey.json"))?)?;
        let list = |name: &str| journey[name].as_array().cloned().with_context(|| format!("journey.json has no {name}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut submissions = Vec::new();
        for submission in list("submissions")? {
            let mut files = Vec::new();
            for name in submission["files"].as_array().into_iter().flatten().map(text) {
                let bytes = std::fs::read(demo.join(&name)).with_context(|| name.clone())?;
                files.push((name.rsplit('/').next().unwrap_or_default().to_owned(), bytes));
            }
            submissions.push(Submission { datanet: text(&submission["datanet"]), contributor: text(&submission["contributor"]), files });
        }
        let asked = list("questions")?;
        let questions = asked.iter().filter(|question| question["answerable"] == true);
        let questions =
            questions.map(|question| Question { datanet: text(&question["datanet"]), text: text(&question["question"]) }).collect();
        Ok(Self { datanets: list("datanets")?, submissions, questions })
    }

    /// One Datanet of it.
    pub(super) fn only(mut self, datanet: &str) -> Self {
        self.datanets.retain(|one| one["name"] == datanet);
        self.submissions.retain(|one| one.datanet == datanet);
        self.questions.retain(|one| one.datanet == datanet);
        self
    }

    /// The texts of a Datanet that others than `attacker` sent in, as a reader sees them, without markup.
    pub(super) fn texts_of_others(&self, datanet: &str, attacker: &str) -> Vec<String> {
        let others = self.submissions.iter().filter(|one| one.datanet == datanet && one.contributor != attacker);
        others.flat_map(|one| &one.files).filter_map(|(name, bytes)| plain(name, bytes)).collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.datanets.iter().filter_map(|one| one["name"].as_str()).map(str::to_owned).collect()
    }
}

/// What ingest reads of a file, paragraph by paragraph.
fn plain(name: &str, bytes: &[u8]) -> Option<String> {
    let file = ingest::read_file(name, bytes).ok()?;
    Some(file.text)
}
