//! `headwater models inspect`: a pinned model's hashes, or what another one's files say of it.

use anyhow::{Context as _, bail};
use clap::Args;
use engine::models::{self, ModelKind, ModelState};
use engine::{Embedder, EmbedderOptions, ModelReport, Reranker, describe_model};
use serde_json::{Value, json};

use super::{describe, state_word};
use crate::config::{Config, EmbedderSource, ModelFolder, local_model};
use crate::output::Report;
use crate::service::{embedder, reranker};

#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// A name of `headwater models list`, a folder or a .gguf file [default: the configured embedder].
    model: Option<String>,
    /// Tokens of prompts and answers to reckon memory for [default: the model's window, at most 8192].
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
}

/// A window of this is enough for the sources of one answer.
const USUAL_CONTEXT: usize = 8192;

pub(super) async fn inspect(config: &Config, args: &InspectArgs) -> anyhow::Result<Report> {
    let named = args.model.as_deref().unwrap_or(&config.models.embedder);
    if let Ok(spec) = models::find(named) {
        return pinned(config, spec);
    }
    let path = local_model(named, &config.models_dir())?;
    match ModelKind::of(&path) {
        ModelKind::Embedder => encoder(ModelFolder::find(named, &config.models_dir())?, config).await,
        ModelKind::Reranker => ranker(ModelFolder::find(named, &config.models_dir())?).await,
        ModelKind::Generator => {
            let (shown, precision) = (path.clone(), config.generator.precision.into());
            let report = tokio::task::spawn_blocking(move || describe_model(&path, precision)).await.context("inspecting")?;
            let report = report.with_context(|| format!("{} cannot be run", shown.display()))?;
            let context = args.context.unwrap_or(report.window_tokens.min(USUAL_CONTEXT));
            if context > report.window_tokens {
                bail!("--context {context}: the window of {} is {} tokens", report.name, report.window_tokens);
            }
            Ok(generator(&report, context))
        }
    }
}

/// Loads it: that it can be run, nothing else tells for sure. At the configured precision, as its vectors would be.
async fn encoder(folder: ModelFolder, config: &Config) -> anyhow::Result<Report> {
    let options = EmbedderOptions { precision: config.models.embedder_precision.into(), ..EmbedderOptions::default() };
    let shown = folder.dir.display().to_string();
    let loaded = embedder::load_from(EmbedderSource::Folder(folder), &config.models_dir(), options).await;
    let model = loaded.with_context(|| format!("{shown} cannot be run"))?;
    let info = model.info();
    let lines = [
        ("kind", ModelKind::Embedder.as_str().to_owned()),
        ("dimensions", info.dimensions.to_string()),
        ("window", format!("{} tokens", info.window_tokens)),
        ("pooling", model.pooling().to_owned()),
        ("query prompt", format!("{:?}", model.query_prompt())),
        ("passage prompt", format!("{:?}", model.passage_prompt())),
        ("sha256", info.sha256.clone()),
    ];
    let json = json!({
        "name": info.name, "kind": ModelKind::Embedder.as_str(), "sha256": info.sha256, "dimensions": info.dimensions,
        "window_tokens": info.window_tokens, "pooling": model.pooling(), "query_prompt": model.query_prompt(),
        "passage_prompt": model.passage_prompt(),
    });
    Ok(runnable(&info.name, &lines, &json))
}

async fn ranker(folder: ModelFolder) -> anyhow::Result<Report> {
    let shown = folder.dir.display().to_string();
    let model = reranker::load(folder).await.with_context(|| format!("{shown} cannot be run"))?;
    let info = model.info();
    let lines = [
        ("kind", ModelKind::Reranker.as_str().to_owned()),
        ("window", format!("{} tokens", info.window_tokens)),
        ("sha256", info.sha256.clone()),
    ];
    let json = json!({
        "name": info.name, "kind": ModelKind::Reranker.as_str(), "sha256": info.sha256, "window_tokens": info.window_tokens,
    });
    Ok(runnable(&info.name, &lines, &json))
}

fn runnable(name: &str, lines: &[(&str, String)], json: &Value) -> Report {
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("  {name:<16}{value}")).collect();
    Report::new(format!("{name}: this build can run it\n{}", lines.join("\n")), json)
}

fn pinned(config: &Config, spec: &'static models::ModelSpec) -> anyhow::Result<Report> {
    let root = config.models_dir();
    let state = models::inspect(&root, spec)?;
    let dir = models::model_dir(&root, spec.name);
    let files: Vec<_> = spec.files.iter().map(|file| json!({ "path": file.path, "bytes": file.bytes, "sha256": file.sha256 })).collect();
    let text = format!("{} in {}: {}", spec.name, dir.display(), describe(&state));
    let report = Report::new(text, &json!({ "name": spec.name, "dir": dir, "state": state_word(&state), "files": files }));
    if state == ModelState::Ready { Ok(report) } else { bail!("{}; run `headwater models pull {}`", report.text, spec.name) }
}

fn generator(report: &ModelReport, context: usize) -> Report {
    let encodings: Vec<String> = report.encodings.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let (heads, kv_heads) = report.heads;
    let mib = |bytes: u64| format!("{} MiB", bytes.div_ceil(1 << 20));
    let memory = report.memory_bytes(context);
    let lines = [
        ("family", report.family.clone()),
        ("layers", format!("{} of width {}, {heads} heads on {kv_heads}", report.layers, report.width)),
        ("vocabulary", format!("{} tokens", report.vocabulary)),
        ("window", format!("{} tokens", report.window_tokens)),
        ("positions", report.positions.clone()),
        ("parameters", format!("{} ({})", report.parameters, encodings.join(", "))),
        ("memory", format!("{} for weights and {context} tokens of context ({} of it weights)", mib(memory), mib(report.weight_bytes))),
        ("chat template", if report.has_template { "yes" } else { "none: conversations are written out plainly" }.to_owned()),
        ("sha256", report.sha256.clone()),
    ];
    let json = json!({
        "name": report.name, "family": report.family, "sha256": report.sha256, "parameters": report.parameters,
        "encodings": report.encodings, "width": report.width, "layers": report.layers, "heads": heads, "kv_heads": kv_heads,
        "vocabulary": report.vocabulary, "window_tokens": report.window_tokens, "positions": report.positions, "has_template": report.has_template,
        "weight_bytes": report.weight_bytes, "cache_bytes_per_token": report.cache_bytes_per_token,
        "context_tokens": context, "memory_bytes": memory,
    });
    runnable(&report.name, &lines, &json)
}
