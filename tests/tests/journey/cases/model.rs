//! Configurations of models.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::expected::Expected;

#[derive(Debug, Deserialize)]
pub(super) struct ModelCheck {
    /// A `config.json`, or a folder as a model's would be.
    config: String,
    #[serde(default)]
    refused: bool,
    /// Of what is said of the model: `family llama, 2 layers of width 64, window 256, positions rotary`; or of the reason.
    #[serde(flatten)]
    says: Expected,
}

impl ModelCheck {
    pub(super) fn run(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(&self.config);
        let said = if path.is_dir() {
            let report = engine::describe_model(&path, engine::Precision::F32);
            report.map(|report| (report.family, report.layers, report.width, report.window_tokens, report.positions))
        } else {
            let json = fs::read_to_string(&path).with_context(|| self.config.clone())?;
            let report = engine::describe_configuration(&json);
            report.map(|report| (report.family, report.layers, report.width, report.window_tokens, report.positions))
        };
        match (said, self.refused) {
            (Ok((family, layers, width, window, positions)), false) => {
                let said = format!("family {family}, {layers} layers of width {width}, window {window}, positions {positions}");
                self.says.check(&self.config, &said)
            }
            (Err(error), true) => self.says.check(&self.config, &error.to_string()),
            (Ok(_), true) => bail!("{}: it can be run, and should be refused", self.config),
            (Err(error), false) => bail!("{}: {error}", self.config),
        }
    }
}
