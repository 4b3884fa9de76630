//! Uploads that are accepted and published, and questions about them.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use serde::Deserialize;

use super::Bench;
use super::expected::Expected;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuestionCase {
    pub(super) about: String,
    files: Vec<String>,
    check: Vec<QuestionCheck>,
}

#[derive(Debug, Deserialize)]
struct QuestionCheck {
    question: String,
    #[serde(flatten)]
    answer: Expected,
}

impl QuestionCase {
    pub(super) fn run(&self, folder: &Path, bench: &Bench) -> anyhow::Result<()> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (place, _) = bench.service()?;
        let (datanet, contributor, curator) = (format!("case-{number}"), format!("contributor{number}"), format!("curator{number}"));
        place.json(&["keys", "new", &contributor])?;
        place.json(&["keys", "new", &curator])?;
        place.json(&["datanets", "create", "--name", &datanet, "--title", "A case", "--topic", "whatever", "--curator", &curator])?;
        let files: Vec<String> = self.files.iter().map(|file| folder.join(file).display().to_string()).collect();
        let submit = ["submit", "--datanet", &datanet, "--as", &contributor, "--licence", "CC0-1.0"];
        place.json(&[&submit[..], &files.iter().map(String::as_str).collect::<Vec<_>>()].concat())?;
        place.json(&["review", "accept", "--all-pending", "--datanet", &datanet, "--as", &curator])?;
        place.json(&["publish", "--datanet", &datanet, "--as", &curator])?;
        for QuestionCheck { question, answer } in &self.check {
            let reply = place.json(&["ask", "--datanet", &datanet, question])?;
            let text = reply["choices"][0]["message"]["content"].as_str().unwrap_or_default();
            ensure!(!text.is_empty(), "{question}: no answer in {reply}");
            answer.check(question, text)?;
        }
        Ok(())
    }
}
