//! `headwater models bench` of an embedder: how fast passages become vectors, a few and many at a time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use engine::{Embedder, EmbedderOptions, SentenceEmbedder};
use serde::Serialize;
use serde_json::json;

use super::bench::{BenchArgs, WORDS, rate};
use crate::cli::Context;
use crate::config::{Config, EmbedderSource};
use crate::output::{Progress, Report, table};
use crate::service::embedder;

/// Each row is measured for so long, and at least once.
const ROW_TIME: Duration = Duration::from_secs(2);
/// Beside a passage's own.
const SPECIAL_TOKENS: usize = 2;

/// What was measured with so many passages at a time.
#[derive(Debug, Clone, Serialize)]
struct Row {
    batch: usize,
    /// Of all of them together.
    tokens: usize,
    /// The least.
    wall_ms: f64,
    tokens_per_second: f64,
}

pub(super) async fn bench(context: &Context, config: &Config, source: EmbedderSource, args: &BenchArgs) -> anyhow::Result<Report> {
    if args.batches.contains(&0) {
        bail!("--batches: each must be at least 1");
    }
    let bar = Progress::start(context.voice, "loading the model");
    let loading = Instant::now();
    let precision = args.precision.unwrap_or(config.models.embedder_precision).into();
    let model = embedder::load_from(source, &config.models_dir(), EmbedderOptions { precision, ..EmbedderOptions::default() }).await?;
    let load_ms = loading.elapsed().as_millis();
    bar.say("embedding");
    let args = args.clone();
    let measured = tokio::task::spawn_blocking(move || {
        let rows: anyhow::Result<Vec<Row>> = args.batches.iter().map(|batch| measure(&model, *batch, args.prompt_tokens)).collect();
        rows.map(|rows| (model, rows))
    });
    let (model, rows) = measured.await.context("measuring")??;
    drop(bar);
    let cells = rows.iter().map(|row| {
        let counts = [row.batch.to_string(), row.tokens.to_string()];
        counts.into_iter().chain([format!("{:.1}", row.wall_ms), format!("{:.0}", row.tokens_per_second)]).collect()
    });
    let table = table(&["at a time", "tokens", "ms", "tokens/s"], &cells.collect::<Vec<_>>());
    let (name, isa) = (&model.info().name, model.isa().to_string());
    let text = format!("{name} on {isa}, loaded in {load_ms} ms\n{table}");
    Ok(Report::new(text, &json!({ "model": name, "isa": isa, "load_ms": load_ms, "rows": rows })))
}

fn measure(model: &SentenceEmbedder, batch: usize, passage_tokens: usize) -> anyhow::Result<Row> {
    let passages: Vec<String> = (0..batch).map(|number| passage(model, number, passage_tokens)).collect::<anyhow::Result<_>>()?;
    let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
    let tokens = passages.iter().map(|passage| Ok(model.count_tokens(passage)? + SPECIAL_TOKENS)).sum::<anyhow::Result<usize>>()?;
    let (start, mut least) = (Instant::now(), Duration::MAX);
    while least == Duration::MAX || start.elapsed() < ROW_TIME {
        let started = Instant::now();
        model.embed(&passages)?;
        least = least.min(started.elapsed());
    }
    Ok(Row { batch, tokens, wall_ms: least.as_secs_f64() * 1e3, tokens_per_second: rate(tokens, least) })
}

/// As many words as make so many tokens, or fill the window.
fn passage(model: &SentenceEmbedder, number: usize, tokens: usize) -> anyhow::Result<String> {
    let most = tokens.min(model.info().window_tokens).saturating_sub(SPECIAL_TOKENS);
    let mut passage = number.to_string();
    for word in WORDS.iter().cycle().take(most) {
        let longer = format!("{passage} {word}");
        if model.count_tokens(&longer)? > most {
            break;
        }
        passage = longer;
    }
    Ok(passage)
}
