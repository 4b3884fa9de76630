//! The decoder behind a pipe, for the benchmark in `tests/bench/generate/`: a command a line in, a JSON object a line out.
//!
//! `prefill TOKENS` times a prompt; `decode SEQUENCES PROMPT STEPS` times steps of one token a sequence, after prompts;
//! `memory` gives the most that was ever resident.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use engine::bench::{BenchDecoder, Timing};
use engine::{Isa, Precision};
use serde_json::{Value, json};

const USAGE: &str = "usage: bench_generate MODEL f32|bf16 best|ISA THREADS";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, precision, isa, threads] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let isa = if isa == "best" { None } else { Some(isa.parse()?) };
    let start = Instant::now();
    let decoder = BenchDecoder::load(Path::new(model), precision, isa, threads.parse()?)?;
    let isa = isa.unwrap_or_else(Isa::detect);
    println!("{}", json!({ "isa": isa.to_string(), "load_s": start.elapsed().as_secs_f64() }));
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(&decoder, &line?)?);
    }
    Ok(())
}

fn answer(decoder: &BenchDecoder, line: &str) -> Result<Value, Box<dyn Error>> {
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["prefill", tokens] => Ok(timing(decoder.prefill(tokens.parse()?))),
        ["decode", sequences, prompt, steps] => Ok(timing(decoder.decode(sequences.parse()?, prompt.parse()?, steps.parse()?))),
        ["memory"] => memory(),
        _ => Err(format!("no such command: {line}").into()),
    }
}

fn timing(timing: Timing) -> Value {
    json!({ "wall_s": timing.wall_s, "processor_s": timing.cpu_s })
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
