//! The embedder behind a pipe, for the benchmark in `tests/bench/embed/`: a command a line in, a JSON object a line out.
//!
//! `embed FILE` embeds a JSON list of texts; `vectors FILE OUT` also writes them as f32; `tokenize FILE` makes their token
//! ids and no more, on one thread, `ids FILE OUT` also writes them; `query COUNT TEXT` times one short text; `memory` gives
//! the most that was ever resident.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use engine::{Embedder, EmbedderOptions, SentenceEmbedder, models};
use serde_json::{Value, json};

const USAGE: &str = "usage: bench_embed MODELS_ROOT f32|bf16|int8 best|ISA THREADS";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [models_root, precision, isa, threads] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let options = EmbedderOptions {
        precision: precision.parse()?,
        isa: if isa == "best" { None } else { Some(isa.parse()?) },
        threads: threads.parse()?,
        ..EmbedderOptions::default()
    };
    let spec = models::find("all-MiniLM-L6-v2")?;
    let start = Instant::now();
    let model = SentenceEmbedder::load(&models::model_dir(Path::new(models_root), spec.name), spec, &options)?;
    println!("{}", json!({ "isa": model.isa().to_string(), "load_s": start.elapsed().as_secs_f64() }));
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(&model, &line?)?);
    }
    Ok(())
}

fn answer(model: &SentenceEmbedder, line: &str) -> Result<Value, Box<dyn Error>> {
    match line.splitn(3, ' ').collect::<Vec<_>>().as_slice() {
        ["embed", file] => Ok(json!({ "seconds": embed(model, file)?.1 })),
        ["vectors", file, out] => {
            let (vectors, seconds) = embed(model, file)?;
            std::fs::write(out, vectors.iter().flatten().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())?;
            Ok(json!({ "seconds": seconds }))
        }
        ["tokenize", file] => Ok(json!({ "seconds": tokenize(model, file)?.1 })),
        ["ids", file, out] => {
            let (ids, seconds) = tokenize(model, file)?;
            std::fs::write(out, serde_json::to_vec(&ids)?)?;
            Ok(json!({ "seconds": seconds }))
        }
        ["query", count, text] => query(model, count.parse()?, text),
        ["memory"] => memory(),
        _ => Err(format!("no such command: {line}").into()),
    }
}

/// What was made of each text, and the seconds that it took.
type Timed<T> = (Vec<Vec<T>>, f64);

fn read(file: &str) -> Result<Vec<String>, Box<dyn Error>> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

fn tokenize(model: &SentenceEmbedder, file: &str) -> Result<Timed<u32>, Box<dyn Error>> {
    let texts = read(file)?;
    let start = Instant::now();
    let ids = texts.iter().map(|text| engine::bench::token_ids(model, text)).collect::<Result<Vec<_>, _>>()?;
    Ok((ids, start.elapsed().as_secs_f64()))
}

fn embed(model: &SentenceEmbedder, file: &str) -> Result<Timed<f32>, Box<dyn Error>> {
    let texts = read(file)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let start = Instant::now();
    let vectors = model.embed(&texts)?;
    Ok((vectors, start.elapsed().as_secs_f64()))
}

fn query(model: &SentenceEmbedder, count: usize, text: &str) -> Result<Value, Box<dyn Error>> {
    let mut times_ms = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let start = Instant::now();
        model.embed_queries(&[text])?;
        times_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times_ms.sort_by(f64::total_cmp);
    let at = |part: usize| times_ms.get(times_ms.len() * part / 100).copied();
    Ok(json!({ "p50_ms": at(50), "p95_ms": at(95) }))
}

/// What Linux says of this process.
fn memory() -> Result<Value, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    Ok(json!({ "resident_mib": kib("VmRSS").map(|kib| kib / 1024), "peak_mib": kib("VmHWM").map(|kib| kib / 1024) }))
}
