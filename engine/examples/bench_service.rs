//! How fast a local model serves: one answer, many at once, a prompt seen before, an answer held to a schema.
//!
//! `cargo run --release -p engine --example bench_service -- MODEL [THREADS]`. Answers are cut off, not ended, so any
//! weights do, random ones too.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::path::Path;
use std::time::Instant;

use engine::{
    Constraint, ContextMode, EngineError, GenerationEvent, GenerationRequest, Generator, GeneratorOptions, LocalGenerator, Message, Part,
    Precision, Role, Sampling,
};

const ANSWER_TOKENS: usize = 48;

#[tokio::main]
async fn main() -> Result<(), EngineError> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_default();
    let threads = arguments.next().and_then(|threads| threads.parse().ok());
    let options = GeneratorOptions { precision: Precision::Bf16, threads, ..GeneratorOptions::default() };
    let started = Instant::now();
    let generator = LocalGenerator::open(Path::new(&model), &options)?;
    println!("opened {} in {:.2} s: {:?}", generator.info().name, started.elapsed().as_secs_f64(), generator.counters());
    answers(&generator).await?;
    constraint(&generator).await?;
    println!("{:?}", generator.counters());
    Ok(())
}

async fn answers(generator: &LocalGenerator) -> Result<(), EngineError> {
    let (first, rest, prompt, said) = answer(generator, request(0, 400)).await?;
    println!("prompt of {prompt} tokens: first token after {first:.3} s, {:.1} tokens/s", prompt as f64 / first);
    println!("one answer: {:.1} tokens/s", (said - 1) as f64 / rest);
    let (again, ..) = answer(generator, request(0, 400)).await?;
    println!("the same prompt again: first token after {again:.4} s");
    for count in [2, 4, 8, 16] {
        let started = Instant::now();
        let streams: Vec<_> = (0..count).map(|seed| answer(generator, request(seed + 100 * count, 8))).collect();
        let mut tokens = 0;
        for said in futures_in_turn(streams).await {
            tokens += said?.3;
        }
        println!("{count} answers at once: {:.1} tokens/s together", tokens as f64 / started.elapsed().as_secs_f64());
    }
    Ok(())
}

async fn constraint(generator: &LocalGenerator) -> Result<(), EngineError> {
    let schema = serde_json::json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
    for (name, constraint) in [("first JSON schema", schema.clone()), ("second JSON schema", schema)] {
        let started = Instant::now();
        let request = GenerationRequest { constraint: Some(Constraint::JsonSchema(constraint)), ..request(7, 8) };
        let (_, rest, _, said) = answer(generator, request).await?;
        println!("{name}: {:.3} s, {:.1} tokens/s once it has begun", started.elapsed().as_secs_f64(), (said - 1) as f64 / rest.max(1e-9));
    }
    Ok(())
}

/// Seconds to the first token and from there to the end, tokens of the prompt and of the answer.
async fn answer(generator: &LocalGenerator, request: GenerationRequest) -> Result<(f64, f64, usize, usize), EngineError> {
    let started = Instant::now();
    let mut stream = generator.generate(request).await?;
    let mut first = None;
    while let Some(event) = stream.next().await {
        match event {
            GenerationEvent::Piece { .. } => {
                first.get_or_insert_with(|| started.elapsed().as_secs_f64());
            }
            GenerationEvent::End(end) => {
                let all = started.elapsed().as_secs_f64();
                let first = first.unwrap_or(all);
                return Ok((first, all - first, end.prompt_tokens, end.answer_tokens.max(1)));
            }
            GenerationEvent::Failed(error) => return Err(error),
        }
    }
    Err(EngineError::Library { operation: "generating", reason: "the answer ended without its end".to_owned() })
}

/// Polls all of them together.
async fn futures_in_turn<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |context| {
        for (future, output) in futures.iter_mut().filter(|(_, output)| output.is_none()) {
            if let std::task::Poll::Ready(done) = future.as_mut().poll(context) {
                *output = Some(done);
            }
        }
        match futures.iter().any(|(_, output)| output.is_none()) {
            true => std::task::Poll::Pending,
            false => std::task::Poll::Ready(futures.iter_mut().filter_map(|(_, output)| output.take()).collect()),
        }
    })
    .await
}

fn words(salt: usize, count: usize) -> String {
    (0..count).map(|word| format!("{} ", (word * 7919 + salt * 104_729) % 10_007)).collect()
}

fn request(salt: usize, prompt_words: usize) -> GenerationRequest {
    GenerationRequest {
        messages: vec![Message { role: Role::User, parts: vec![Part::Text(words(salt, prompt_words))] }],
        mode: ContextMode::Full,
        sampling: Sampling { temperature: 1.0, seed: salt as u64, ..Sampling::default() },
        tokens_max: ANSWER_TOKENS,
        stop: Vec::new(),
        log_probabilities: None,
        constraint: None,
        adapter: None,
    }
}
