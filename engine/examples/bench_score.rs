//! Scoring of subsets behind a pipe, for the benchmark in `tests/bench/generate/`: a command a line in, a JSON object a line out.
//!
//! `together full|blocks SOURCE_TOKENS SUBSETS` times one request; `alone SOURCE_TOKENS SUBSETS` times a request for each
//! subset. Every request begins differently: nothing of it is in the cache. Tokens are counted as the benchmark's
//! models count them, a byte each.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::io::BufRead;
use std::path::Path;

use engine::bench::timed;
use engine::{Answer, ContextMode, EngineError, Generator, GeneratorOptions, LocalGenerator, Message, Part, Precision, Role, ScoreRequest};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const USAGE: &str = "usage: bench_score MODEL f32|bf16 THREADS";

/// Of a request; a subset is half of them.
const SOURCES: usize = 8;
/// Before the sources, and after them.
const TEXT_TOKENS: usize = 32;
const ANSWER_TOKENS: usize = 64;
/// Room for every subset's prompt; what is not written takes up no memory.
const CACHE_BYTES: usize = 8 << 30;

struct Bench {
    runtime: Runtime,
    generator: LocalGenerator,
    /// So far.
    requests: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, precision, threads] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let options = GeneratorOptions { precision, threads: Some(threads.parse()?), cache_bytes: CACHE_BYTES, ..GeneratorOptions::default() };
    let generator = LocalGenerator::open(Path::new(model), &options)?;
    let mut bench = Bench { runtime: Runtime::new()?, generator, requests: 0 };
    println!("{}", json!({ "model": bench.generator.info().name }));
    for line in std::io::stdin().lock().lines() {
        println!("{}", bench.answer(&line?)?);
    }
    Ok(())
}

impl Bench {
    fn answer(&mut self, line: &str) -> Result<Value, Box<dyn Error>> {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["together", mode, tokens, count] => {
                let mode = if *mode == "blocks" { ContextMode::Blocks } else { ContextMode::Full };
                self.score(mode, tokens.parse()?, &[subsets(count.parse()?)])
            }
            ["alone", tokens, count] => {
                let one_by_one: Vec<_> = subsets(count.parse()?).into_iter().map(|subset| vec![subset]).collect();
                self.score(ContextMode::Full, tokens.parse()?, &one_by_one)
            }
            _ => Err(format!("no such command: {line}").into()),
        }
    }

    /// A request for each of `groups`, one after the other.
    fn score(&mut self, mode: ContextMode, source_tokens: usize, groups: &[Vec<Vec<bool>>]) -> Result<Value, Box<dyn Error>> {
        let before = self.generator.counters().computed_tokens;
        let mut result = Ok(());
        let timing = timed(|| result = groups.iter().try_for_each(|subsets| self.request(mode, source_tokens, subsets)));
        result?;
        let tokens = self.generator.counters().computed_tokens - before;
        Ok(json!({ "wall_s": timing.wall_s, "processor_s": timing.cpu_s, "tokens": tokens, "answer_tokens": ANSWER_TOKENS }))
    }

    fn request(&mut self, mode: ContextMode, source_tokens: usize, subsets: &[Vec<bool>]) -> Result<(), EngineError> {
        self.requests += 1;
        let head = Part::Text(text(self.requests, TEXT_TOKENS));
        let sources = (0..SOURCES).map(|source| Part::Source(text(source, source_tokens)));
        let parts = [head].into_iter().chain(sources).chain([Part::Text(text(SOURCES, TEXT_TOKENS))]).collect();
        let answer = Answer::Text(text(SOURCES + 1, ANSWER_TOKENS));
        let messages = vec![Message { role: Role::User, parts }];
        let request = ScoreRequest { messages, mode, answer, subsets: subsets.to_vec(), adapter: None };
        let scores = self.runtime.block_on(self.generator.score(request))?;
        std::hint::black_box(scores);
        Ok(())
    }
}

/// So many bytes that begin with a number of their own and mean nothing.
fn text(number: usize, bytes: usize) -> String {
    let rest = (0..bytes).map(|at| char::from(b'a' + (at * 31 % 29 + number * at % 23) as u8 % 26));
    let mut text: String = number.to_string().chars().chain(rest).collect();
    text.truncate(bytes);
    text
}

/// Different ones, each half of the sources, in no order.
fn subsets(count: usize) -> Vec<Vec<bool>> {
    let mut halves: Vec<u32> = (0..1 << SOURCES).filter(|mask: &u32| mask.count_ones() as usize == SOURCES / 2).collect();
    halves.sort_by_key(|mask| mask * 7919 % 257);
    halves.iter().take(count).map(|mask| (0..SOURCES).map(|source| mask >> source & 1 == 1).collect()).collect()
}
