//! Speed of the embedder on a file of passages: see `tests/bench/embed/`. Prints one JSON object.
#![allow(clippy::print_stdout, reason = "a benchmark's output")]

use std::time::Instant;

use engine::{Embedder, EmbedderOptions, Precision, SentenceEmbedder, models};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, models_root, passages, precision, isa, rounds] = arguments.as_slice() else {
        return Err("usage: bench_embed MODELS_ROOT PASSAGES.json PRECISION ISA ROUNDS".into());
    };
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(passages)?)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let isa = if isa == "best" { None } else { Some(isa.parse()?) };
    let spec = models::find("all-MiniLM-L6-v2")?;
    let dir = models::model_dir(models_root.as_ref(), spec.name);
    let loading = Instant::now();
    let threads = std::env::var("THREADS").map_or(Ok(2), |threads| threads.parse())?;
    let micro_batch_tokens = std::env::var("TOKENS").map_or(Ok(512), |tokens| tokens.parse())?;
    let model = SentenceEmbedder::load(&dir, spec, &EmbedderOptions { precision, isa, threads, micro_batch_tokens })?;
    let load_s = loading.elapsed().as_secs_f64();
    let tokens: usize = texts.iter().map(|text| model.count_tokens(text).map_or(0, |n| (n + 2).min(256))).sum();
    model.embed(&texts[..texts.len().min(64)])?;
    let mut seconds: Vec<f64> = Vec::new();
    for _ in 0..rounds.parse()? {
        let start = Instant::now();
        model.embed(&texts)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let mut query_ms: Vec<f64> = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        model.embed(&["how cold must a vaccine be kept?"])?;
        query_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    query_ms.sort_by(f64::total_cmp);
    let rate = |seconds: f64| tokens as f64 / seconds;
    println!(
        "isa {} load {load_s:.2} s tokens {tokens} median {:.0} tok/s best {:.0} query p50 {:.2} ms p95 {:.2} ms",
        model.isa(),
        rate(seconds[seconds.len() / 2]),
        rate(seconds[0]),
        query_ms[100],
        query_ms[190]
    );
    Ok(())
}
