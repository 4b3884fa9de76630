//! Files as they are read.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::expected::Expected;

#[derive(Debug, Deserialize)]
pub(super) struct DocumentCheck {
    file: String,
    title: Option<String>,
    /// Whether it is refused, or may be.
    #[serde(default)]
    refused: Refused,
    /// Of its text, and of the reason where it is refused.
    #[serde(flatten)]
    text: Expected,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Refused {
    #[default]
    Never,
    /// What is expected of a text counts where it is read.
    Perhaps,
    Always,
}

impl DocumentCheck {
    pub(super) fn run(&self, folder: &Path) -> anyhow::Result<()> {
        let Self { file, title, refused, text } = self;
        let bytes = fs::read(folder.join(file)).with_context(|| file.clone())?;
        match (ingest::read_file(file, &bytes), refused) {
            (Ok(_), Refused::Always) => bail!("{file} is read, and should be refused"),
            (Err(reason), Refused::Never) => bail!("{file} is refused: {reason}"),
            (Err(_), Refused::Perhaps) => Ok(()),
            (Err(reason), Refused::Always) => text.check(file, &reason),
            (Ok(read), _) => {
                let controls = read.text.chars().find(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t'));
                ensure!(controls.is_none(), "{file}: its text has the control character {controls:?}");
                ensure!(title.is_none() || *title == read.title, "{file}: its title is {:?}", read.title);
                text.check(file, &read.text)
            }
        }
    }
}
