//! `headwater doctor` and `headwater config`.

use anyhow::bail;
use clap::Subcommand;
use engine::Embedder as _;
use engine::models::{self, ModelState};
use indexer::devchain;
use schemas::Address;
use schemas::signed::SigningDomain;
use serde_json::{Value, json};
use store::{Durability, Store, StoreConfig};

use super::Context;
use crate::client::Client;
use crate::config::{Answers, Config, DEFAULTS, EmbedderSource, VARIABLES};
use crate::output::Report;
use crate::service::{embedder, rag_config, reranker};

#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings in force; `--defaults` the commented default file.
    Print {
        #[arg(long)]
        defaults: bool,
        /// With every size that is 0, and every place that is empty, as a service started here would use it.
        #[arg(long, conflicts_with = "defaults")]
        effective: bool,
    },
    /// Check the configuration and say where it comes from.
    Check,
}

pub fn config(context: &Context, command: &ConfigCommand) -> anyhow::Result<Report> {
    let config = context.config()?;
    match command {
        ConfigCommand::Print { defaults: true, .. } => Ok(Report::new(DEFAULTS, &DEFAULTS)),
        ConfigCommand::Print { effective, .. } => {
            let config = if *effective { config.effective(&context.data_dir)? } else { config };
            Ok(Report::new(toml::to_string_pretty(&config)?, &config))
        }
        ConfigCommand::Check => {
            check(context, &config)?;
            let file = context.sources.read_file();
            let mut variables: Vec<String> = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with(VARIABLES)).collect();
            variables.sort();
            let mut lines = vec![format!("the configuration is valid; data folder {}", context.data_dir.display())];
            lines.push(file.as_ref().map_or("  file         none".into(), |path| format!("  file         {}", path.display())));
            // The values can be secrets.
            lines.extend(variables.iter().map(|name| format!("  environment  {name}")));
            lines.extend(context.sources.set.iter().map(|set| format!("  --set        {}", set.split('=').next().unwrap_or_default())));
            let json = json!({ "valid": true, "data_dir": context.data_dir, "file": file, "environment": variables });
            Ok(Report::new(lines.join("\n"), &json))
        }
    }
}

/// Whether answers can be made by this configuration.
fn check(context: &Context, config: &Config) -> anyhow::Result<()> {
    let domain = SigningDomain { chain_id: 0, registry: Address::ZERO };
    Ok(rag_config(&config.clone().effective(&context.data_dir)?, &context.data_dir, domain).check()?)
}

struct Check {
    name: &'static str,
    result: anyhow::Result<String>,
}

/// Every check runs; the command fails when one does.
pub async fn doctor(context: &Context) -> anyhow::Result<Report> {
    let mut checks = Vec::new();
    let config = context.config();
    let configured = config.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"));
    let configured = configured.and_then(|config| check(context, config)).map(|()| "valid".to_owned());
    checks.push(Check { name: "configuration", result: configured });
    if let Ok(config) = config {
        checks.push(Check { name: "model", result: model(&config).await });
        checks.push(Check { name: "reranker", result: ranking(&config).await });
        checks.push(Check { name: "generator", result: generator(&config).await });
        let anvil = Some(config.chain.anvil.clone()).filter(|path| !path.as_os_str().is_empty());
        if config.chain.rpc_url.is_empty() {
            let found = devchain::find_anvil(anvil.as_deref()).map(|path| format!("anvil at {}", path.display()));
            checks.push(Check { name: "development chain", result: found.map_err(Into::into) });
        }
        checks.push(match running_service(context).await {
            Some(url) => Check { name: "service", result: service(&url).await },
            None => Check { name: "store", result: open_store(&config, context).await },
        });
    }
    let failed = checks.iter().filter(|check| check.result.is_err()).count();
    let lines: Vec<String> = checks
        .iter()
        .map(|check| match &check.result {
            Ok(text) => format!("✓ {:<18} {text}", check.name),
            Err(error) => format!("✗ {:<18} {error:#}", check.name),
        })
        .collect();
    let json: Vec<Value> = checks
        .iter()
        .map(|check| match &check.result {
            Ok(text) => json!({ "check": check.name, "ok": true, "detail": text }),
            Err(error) => json!({ "check": check.name, "ok": false, "detail": format!("{error:#}") }),
        })
        .collect();
    let report = Report::new(lines.join("\n"), &json);
    if failed > 0 {
        crate::output::print(context.voice, &report);
        bail!("{failed} of {} checks failed", checks.len());
    }
    Ok(report)
}

/// Of the catalogue, whether every file is as it was pinned; nobody pinned a folder, so it is loaded.
async fn model(config: &crate::config::Config) -> anyhow::Result<String> {
    let root = config.models_dir();
    let spec = match EmbedderSource::find(&config.models.embedder, &root)? {
        EmbedderSource::Catalogue(spec) => spec,
        EmbedderSource::Folder(folder) => {
            let model = embedder::load(config).await?;
            return Ok(format!("{} in {} can be run: {}", model.info().name, folder.dir.display(), embedder::describe(&model)));
        }
    };
    let shown = models::model_dir(&root, spec.name);
    let state = tokio::task::spawn_blocking(move || models::inspect(&root, spec)).await??;
    match state {
        ModelState::Ready => Ok(format!("{} in {}, every hash right", spec.name, shown.display())),
        _ => bail!("{} is not complete in {}; run `headwater models pull`", spec.name, shown.display()),
    }
}

async fn ranking(config: &crate::config::Config) -> anyhow::Result<String> {
    Ok(match reranker::open(config).await? {
        None => "none: what is found is not ordered once more".into(),
        Some(model) => format!("{} can be run, in windows of {} tokens", model.info().name, model.info().window_tokens),
    })
}

/// What is said of a model's files; a service elsewhere is not asked.
async fn generator(config: &crate::config::Config) -> anyhow::Result<String> {
    match config.generator.answers(&config.models_dir())? {
        Answers::Quoted => Ok("answers are quoted, no model writes".into()),
        Answers::Remote(address) => Ok(format!("{} at {address} writes answers", config.generator.remote_model)),
        Answers::Local(path) => {
            let precision = config.generator.precision.into();
            let report = tokio::task::spawn_blocking(move || engine::describe_model(&path, precision)).await??;
            Ok(format!("{} ({}, {} parameters) can be run", report.name, report.family, report.parameters))
        }
    }
}

/// Where a service of this data folder answers; one that was killed leaves its address behind.
pub(super) async fn running_service(context: &Context) -> Option<String> {
    let url = Client::discover(&context.data_dir).ok()?;
    Client::new(&url, None).ok()?.get::<Value>("/v1/info").await.ok()?;
    Some(url)
}

/// A running service knows its own health.
async fn service(url: &str) -> anyhow::Result<String> {
    let client = Client::new(url, None)?;
    let ready: Value = client.get("/readyz").await.map_err(|error| anyhow::anyhow!("{url}: {error:#}"))?;
    Ok(format!("{url} is ready, {} blocks behind", ready["checks"]["indexer"]["lag_blocks"]))
}

/// Without a service the store is opened: every table is read, and put-if-absent is tried.
async fn open_store(config: &crate::config::Config, context: &Context) -> anyhow::Result<String> {
    let url = config.store_url(&context.data_dir)?;
    if config.store.url.is_empty() && !context.data_dir.join("store").exists() {
        return Ok("none yet; `headwater up` makes it".into());
    }
    Store::open(&StoreConfig::new(&url, Durability::Fsync)).await?;
    Ok(format!("{url} opens, put-if-absent holds"))
}
