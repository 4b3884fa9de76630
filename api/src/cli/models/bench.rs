//! `headwater models bench`: tokens per second as a caller sees them, through the same door as answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use engine::models::ModelKind;
use engine::{ContextMode, GenerationRequest, Generator, Message, Part, Role, Sampling};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::bench_embedder;
use crate::cli::Context;
use crate::config::{Config, EmbedderPrecision, EmbedderSource};
use crate::output::{Progress, Report, table};
use crate::service::generator;

#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// A folder, a .gguf file, a pulled model or an embedder [default: the configured generator].
    model: Option<String>,
    /// Tokens of each prompt, about; of each passage that is embedded, at most the model's window.
    #[arg(long, default_value_t = 512, value_name = "TOKENS")]
    pub(super) prompt_tokens: usize,
    /// Tokens of each answer at most.
    #[arg(long, default_value_t = 64, value_name = "TOKENS")]
    answer_tokens: usize,
    /// Requests, or passages, at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,4,8", value_name = "N,…")]
    pub(super) batches: Vec<usize>,
    /// What an embedder computes with [default: models.embedder_precision].
    #[arg(long)]
    pub(super) precision: Option<EmbedderPrecision>,
}

/// What was measured with so many requests at a time.
#[derive(Debug, Clone, Serialize)]
struct Row {
    batch: usize,
    prompt_tokens: usize,
    answer_tokens: usize,
    /// Of prompts as long, from the first request to the last one's first token.
    prefill_ms: f64,
    /// From there to the last token.
    decode_ms: f64,
    prefill_tokens_per_second: f64,
    decode_tokens_per_second: f64,
}

pub(super) async fn bench(context: &Context, config: &Config, args: &BenchArgs) -> anyhow::Result<Report> {
    if let Some(source) = args.model.as_deref().and_then(|named| embedder(named, config)) {
        return bench_embedder::bench(context, config, source, args).await;
    }
    if args.precision.is_some() {
        bail!("--precision is an embedder's; a generator's is generator.precision");
    }
    if args.batches.iter().any(|batch| *batch == 0 || *batch > config.generator.queue_max) {
        bail!("--batches: each must be from 1 to {} (generator.queue_max)", config.generator.queue_max);
    }
    let mut config = config.clone();
    if let Some(model) = &args.model {
        config.generator.model.clone_from(model);
    }
    let bar = Progress::start(context.voice, "loading the model");
    let loading = Instant::now();
    let writer = generator::load(&config, &|what| bar.say(what)).await?;
    let writer = writer.context("which model? \"quote\" runs none: name a folder, a .gguf file or a pulled model")?;
    let generator = writer.generator();
    let load_ms = loading.elapsed().as_millis();
    let mut rows = Vec::new();
    for (round, batch) in args.batches.iter().enumerate() {
        bar.say(&format!("{batch} at a time"));
        rows.push(measure(&generator, round, *batch, args).await?);
    }
    drop(bar);
    let info = generator.info();
    let cells = rows.iter().map(|row| {
        let shown = |number: f64| format!("{number:.1}");
        let counts = [row.batch.to_string(), row.prompt_tokens.to_string(), row.answer_tokens.to_string()];
        let rates = [shown(row.prefill_tokens_per_second), shown(row.decode_tokens_per_second), shown(row.prefill_ms)];
        counts.into_iter().chain(rates).collect()
    });
    let header = ["at a time", "prompt tokens", "answer tokens", "prefill tokens/s", "decode tokens/s", "ms to first token"];
    let text = format!("{} ({}), loaded in {load_ms} ms\n{}", info.name, info.family, table(&header, &cells.collect::<Vec<_>>()));
    Ok(Report::new(text, &json!({ "model": info.name, "family": info.family, "load_ms": load_ms, "rows": rows })))
}

/// None where what is named so is another kind of model, or nothing is.
fn embedder(named: &str, config: &Config) -> Option<EmbedderSource> {
    let source = EmbedderSource::find(named, &config.models_dir()).ok()?;
    let is_embedder = match &source {
        EmbedderSource::Catalogue(_) => true,
        EmbedderSource::Folder(folder) => ModelKind::of(&folder.dir) == ModelKind::Embedder,
    };
    is_embedder.then_some(source)
}

/// Words may come later than the tokens that they are made of, so the time to the first token is that of other requests which
/// end with it.
async fn measure(generator: &Arc<dyn Generator>, round: usize, batch: usize, args: &BenchArgs) -> anyhow::Result<Row> {
    let first = run(generator, &format!("{round}-first"), batch, 1, args).await?;
    let whole = run(generator, &format!("{round}-whole"), batch, args.answer_tokens, args).await?;
    let decode = whole.took.saturating_sub(first.took);
    Ok(Row {
        batch,
        prompt_tokens: whole.prompt_tokens,
        answer_tokens: whole.answer_tokens,
        prefill_ms: first.took.as_secs_f64() * 1e3,
        decode_ms: decode.as_secs_f64() * 1e3,
        prefill_tokens_per_second: rate(first.prompt_tokens, first.took),
        // each one's first token is the prefill's
        decode_tokens_per_second: rate(whole.answer_tokens.saturating_sub(batch), decode),
    })
}

struct Ran {
    prompt_tokens: usize,
    answer_tokens: usize,
    took: Duration,
}

/// So many requests at once, until the last of them is done.
async fn run(generator: &Arc<dyn Generator>, name: &str, batch: usize, answer_tokens: usize, args: &BenchArgs) -> anyhow::Result<Ran> {
    let requests = (0..batch).map(|number| request(generator.as_ref(), &format!("{name}-{number}"), answer_tokens, args));
    let requests = requests.collect::<anyhow::Result<Vec<GenerationRequest>>>()?;
    let started = Instant::now();
    let mut running = JoinSet::new();
    for request in requests {
        let stream = generator.generate(request).await?;
        running.spawn(stream.collect());
    }
    let (mut prompt_tokens, mut answer_tokens) = (0, 0);
    while let Some(ended) = running.join_next().await {
        let (_, end) = ended.context("a request")??;
        prompt_tokens += end.prompt_tokens;
        answer_tokens += end.answer_tokens;
    }
    Ok(Ran { prompt_tokens, answer_tokens, took: started.elapsed() })
}

/// What prompts are made of.
pub(super) const WORDS: [&str; 9] = ["the", "river", "carries", "cold", "water", "down", "to", "the", "plain"];

/// A prompt that nothing was computed of before: it begins with a name of its own.
fn request(generator: &dyn Generator, name: &str, answer_tokens: usize, args: &BenchArgs) -> anyhow::Result<GenerationRequest> {
    let window = generator.info().context_tokens;
    if args.prompt_tokens + args.answer_tokens > window {
        bail!("{} and {} tokens do not fit the model's window of {window}", args.prompt_tokens, args.answer_tokens);
    }
    let messages = |words: usize| {
        let text: Vec<&str> = std::iter::once(name).chain(WORDS.iter().copied().cycle().take(words)).collect();
        let text = text.join(" ");
        vec![Message { role: Role::User, parts: vec![Part::Text(text)] }]
    };
    let count = |words: usize| generator.count_tokens(&messages(words));
    // as many words as make so many tokens
    let (mut low, mut high) = (0, args.prompt_tokens);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if count(middle)? <= args.prompt_tokens { low = middle } else { high = middle - 1 }
    }
    Ok(GenerationRequest {
        messages: messages(low),
        mode: ContextMode::Full,
        sampling: Sampling { temperature: 1.0, ..Sampling::default() },
        tokens_max: answer_tokens,
        stop: Vec::new(),
        log_probabilities: None,
        constraint: None,
        adapter: None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens")]
pub(super) fn rate(tokens: usize, duration: Duration) -> f64 {
    if duration.is_zero() { 0.0 } else { tokens as f64 / duration.as_secs_f64() }
}
