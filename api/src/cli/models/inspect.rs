//! `headwater models inspect`: a pinned model's hashes, or what a generator's files say of it.

use anyhow::{Context as _, bail};
use clap::Args;
use engine::models::{self, ModelState};
use engine::{ModelReport, describe_model};
use serde_json::json;

use super::{describe, state_word};
use crate::config::{Config, local_model};
use crate::output::Report;

#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// A name of `headwater models list`, a folder or a .gguf file [default: the configured embedder]
    model: Option<String>,
    /// Tokens of prompts and answers to reckon memory for [default: the model's window, at most 8192].
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
}

/// A window of this is enough for the sources of one answer.
const USUAL_CONTEXT: usize = 8192;

pub(super) async fn inspect(config: &Config, args: &InspectArgs) -> anyhow::Result<Report> {
    let named = args.model.as_deref().unwrap_or(&config.models.embedder);
    match models::find(named) {
        Ok(spec) => pinned(config, spec),
        Err(_) => {
            let path = local_model(named, &config.models_dir())?;
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
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("  {name:<14}{value}")).collect();
    let text = format!("{}: this build can run it\n{}", report.name, lines.join("\n"));
    let json = json!({
        "name": report.name, "family": report.family, "sha256": report.sha256, "parameters": report.parameters,
        "encodings": report.encodings, "width": report.width, "layers": report.layers, "heads": heads, "kv_heads": kv_heads,
        "vocabulary": report.vocabulary, "window_tokens": report.window_tokens, "positions": report.positions, "has_template": report.has_template,
        "weight_bytes": report.weight_bytes, "cache_bytes_per_token": report.cache_bytes_per_token,
        "context_tokens": context, "memory_bytes": memory,
    });
    Report::new(text, &json)
}
