//! What a text must hold.

use anyhow::{bail, ensure};
use serde::Deserialize;

/// Expectations of one text.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Expected {
    /// All of them, in this order.
    pub(super) contains: Vec<String>,
    /// None of them.
    pub(super) lacks: Vec<String>,
    /// One of them, whatever its case.
    pub(super) any_of: Vec<String>,
}

impl Expected {
    pub(super) fn check(&self, what: &str, text: &str) -> anyhow::Result<()> {
        let mut rest = text;
        for wanted in &self.contains {
            match rest.split_once(wanted.as_str()) {
                Some((_, after)) => rest = after,
                None if text.contains(wanted.as_str()) => bail!("{what}: {wanted:?} comes too early in {text:?}"),
                None => bail!("{what}: {wanted:?} is not in {text:?}"),
            }
        }
        for unwanted in &self.lacks {
            ensure!(!text.contains(unwanted.as_str()), "{what}: {unwanted:?} is in {text:?}");
        }
        let lower = text.to_lowercase();
        ensure!(
            self.any_of.is_empty() || self.any_of.iter().any(|word| lower.contains(&word.to_lowercase())),
            "{what}: none of {:?} is in {text:?}",
            self.any_of
        );
        Ok(())
    }
}
