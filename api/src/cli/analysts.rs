//! `headwater analysts`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::Context;
use crate::http::AnalystRequest;
use crate::identity;
use crate::output::Report;

#[derive(Debug, Clone, Subcommand)]
pub enum AnalystsCommand {
    /// Make an API key that queries what is published, and nothing else.
    New {
        name: String,
        /// Where to write it [default: NAME.apikey in the data folder].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub async fn analysts(context: &Context, command: &AnalystsCommand) -> anyhow::Result<Report> {
    let AnalystsCommand::New { name, out } = command;
    let path = super::apps::new_key_path(context, name, out.as_ref())?;
    let reply: Value = context.client()?.post("/v1/analysts", &AnalystRequest { name: name.clone() }).await?;
    let key = reply["api_key"].as_str().context("the service gave no key")?;
    identity::write_secret(&path, &format!("{key}\n"))?;
    Ok(Report::new(format!("the API key of {name} is in {}", path.display()), &json!({ "name": name, "key_file": path })))
}
