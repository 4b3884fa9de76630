use std::path::PathBuf;

use super::*;
use crate::generation::prompt::{Piece, PieceKind, Prompt};
use crate::{Answer, Constraint, ContextMode, Finish, GenerationEnd, GenerationEvent, Part, Role};

fn fixture(family: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/decoders").join(family)
}

fn options() -> GeneratorOptions {
    GeneratorOptions { cache_bytes: 4 << 20, threads: Some(2), ..GeneratorOptions::default() }
}

fn open(options: &GeneratorOptions) -> LocalGenerator {
    LocalGenerator::open(&fixture("llama"), options).expect("the fixture opens")
}

fn user(parts: Vec<Part>) -> Vec<Message> {
    vec![Message { role: Role::User, parts }]
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn ask(question: &str, tokens_max: usize) -> GenerationRequest {
    GenerationRequest {
        messages: user(vec![text(question)]),
        mode: ContextMode::Full,
        sampling: Sampling { temperature: 0.9, seed: 3, ..Sampling::default() },
        tokens_max,
        stop: Vec::new(),
        log_probabilities: Some(2),
        constraint: None,
        adapter: None,
    }
}

fn with_sources(mode: ContextMode, tokens_max: usize) -> GenerationRequest {
    let source = |text: &str| Part::Source(text.to_owned());
    let parts = vec![text("Read: "), source("Vaccines are kept cold."), source("Trucks are blue. All of them."), text(" Why?")];
    GenerationRequest { messages: user(parts), mode, ..ask("", tokens_max) }
}

#[derive(Debug, PartialEq)]
struct Heard {
    text: String,
    tokens: Vec<(u32, u32)>,
    end: GenerationEnd,
}

async fn hear(generator: &LocalGenerator, request: GenerationRequest) -> Heard {
    let mut stream = generator.generate(request).await.expect("accepted");
    let (mut text, mut tokens) = (String::new(), Vec::new());
    while let Some(event) = stream.next().await {
        match event {
            GenerationEvent::Piece { text: piece, tokens: more } => {
                text.push_str(&piece);
                assert!(more.iter().all(|token| token.alternatives.len() == 2));
                tokens.extend(more.iter().map(|token| (token.chosen.token, token.chosen.log_probability.to_bits())));
            }
            GenerationEvent::End(end) => return Heard { text, tokens, end },
            GenerationEvent::Failed(error) => panic!("{error}"),
        }
    }
    panic!("the answer has no end")
}

async fn refusal(generator: &LocalGenerator, request: GenerationRequest) -> EngineError {
    generator.generate(request).await.expect_err("refused")
}

#[tokio::test]
async fn it_does_what_every_generator_must() {
    for family in ["llama", "gemma3", "deepseek-v3", "bloom"] {
        let generator = LocalGenerator::open(&fixture(family), &options()).expect("the fixture opens");
        crate::conformance::check_generator(&generator).await.unwrap_or_else(|complaint| panic!("{family}: {complaint}"));
    }
}

/// Alone, among others, in chunks of three tokens, with one request at a time, found in the cache, in scarce memory.
#[tokio::test]
async fn an_answer_is_the_same_whatever_else_runs() {
    let requests: Vec<GenerationRequest> = (0..6)
        .map(|index| match index {
            4 => with_sources(ContextMode::Full, 30),
            5 => with_sources(ContextMode::Blocks, 30),
            _ => ask(&format!("Question {index}: why are vaccines kept cold on their way to a village?"), 30 + index),
        })
        .collect();
    let mut alone = Vec::new();
    for request in &requests {
        alone.push(hear(&open(&options()), request.clone()).await);
    }
    let page_bytes = (4 << 20) / open(&options()).counters().pages;
    let ways = [
        options(),
        GeneratorOptions { batch_tokens_max: 3, sequences_max: 3, ..options() },
        GeneratorOptions { sequences_max: 1, ..options() },
        GeneratorOptions { cache_bytes: 7 * page_bytes, threads: Some(1), ..options() },
    ];
    for way in ways {
        let generator = open(&way);
        for _ in 0..2 {
            let answers = requests.iter().map(|request| hear(&generator, request.clone()));
            let together = join_all(answers).await;
            for (found, expected) in together.iter().zip(&alone) {
                assert_eq!(
                    (&found.text, &found.tokens, found.end.finish),
                    (&expected.text, &expected.tokens, expected.end.finish),
                    "{way:?}"
                );
            }
        }
        let counters = generator.counters();
        let scarce = way.cache_bytes < options().cache_bytes;
        assert!(if scarce { counters.preemptions > 0 } else { counters.cached_tokens > 0 }, "{counters:?}");
    }
}

/// Polls all of them, so that they run together.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |context| {
        for (future, output) in futures.iter_mut().filter(|(_, output)| output.is_none()) {
            if let std::task::Poll::Ready(done) = future.as_mut().poll(context) {
                *output = Some(done);
            }
        }
        if futures.iter().any(|(_, output)| output.is_none()) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(futures.iter_mut().filter_map(|(_, output)| output.take()).collect())
    })
    .await
}

#[tokio::test]
async fn scores_are_what_generation_said() {
    let generator = open(&options());
    for mode in [ContextMode::Full, ContextMode::Blocks] {
        let request = GenerationRequest { sampling: Sampling::default(), ..with_sources(mode, 40) };
        let heard = hear(&generator, request.clone()).await;
        let subsets = vec![vec![true, true], vec![false, true], vec![true, false], vec![false, false]];
        let answer = Answer::Tokens(heard.end.tokens.clone());
        let ask = ScoreRequest { messages: request.messages, mode, answer, subsets: subsets.clone(), adapter: None };
        let scores = generator.score(ask.clone()).await.expect("scores");
        let whole = &scores[0].log_probabilities;
        assert_eq!(whole.len(), heard.tokens.len());
        for (scored, (_, said)) in whole.iter().zip(&heard.tokens) {
            let said = f32::from_bits(*said);
            assert!((scored - said).abs() < 2e-5, "{mode:?}: scored {scored}, said {said}");
        }
        assert_ne!(scores[1], scores[2], "{mode:?}: it does not matter which source is out");
        for (subset, score) in subsets.into_iter().zip(&scores) {
            let alone = open(&GeneratorOptions { batch_tokens_max: 5, sequences_max: 2, ..options() });
            let alone = alone.score(ScoreRequest { subsets: vec![subset], ..ask.clone() }).await.expect("scores");
            assert_eq!(&alone[0], score, "{mode:?}: a subset's score depends on the others");
        }
    }
}

/// A prompt of one source is the same sequence in both modes, so far as the model can tell.
#[tokio::test]
async fn a_source_that_is_out_is_not_seen() {
    let generator = open(&options());
    let score = async |mode, sources: [&str; 2], subset: [bool; 2]| {
        let parts = vec![text("Read: "), Part::Source(sources[0].to_owned()), Part::Source(sources[1].to_owned()), text(" Why?")];
        let request = ScoreRequest {
            messages: user(parts),
            mode,
            answer: Answer::Text("Because.".to_owned()),
            subsets: vec![subset.to_vec()],
            adapter: None,
        };
        generator.score(request).await.expect("scores").remove(0)
    };
    for mode in [ContextMode::Full, ContextMode::Blocks] {
        let one = score(mode, ["Trucks are blue.", "Vaccines."], [true, false]).await;
        assert_eq!(one, score(mode, ["Trucks are blue.", "Buckets."], [true, false]).await, "{mode:?}");
        assert_ne!(one, score(mode, ["Trucks are grey.", "Vaccines."], [true, false]).await, "{mode:?}");
    }
    // In blocks the longest source, in or out, says where the tail stands.
    let short = score(ContextMode::Blocks, ["Trucks are blue.", "V"], [true, false]).await;
    let long = score(ContextMode::Blocks, ["Trucks are blue.", "Vaccines are kept cold."], [true, false]).await;
    assert_ne!(short, long);
    let full = score(ContextMode::Full, ["Trucks are blue.", "V"], [true, false]).await;
    assert_eq!(short.log_probabilities.len(), full.log_probabilities.len());
    let difference = (short.log_likelihood() - full.log_likelihood()).abs();
    assert!(difference < 1e-3, "one source that is the longest stands where it would in full: {difference}");
}

#[tokio::test]
async fn a_constraint_is_kept() {
    let generator = open(&options());
    let request = GenerationRequest { constraint: Some(Constraint::Regex("(yes|no), [0-9]{3}".to_owned())), ..ask("Well?", 40) };
    let heard = hear(&generator, request).await;
    assert_eq!(heard.end.finish, Finish::Stop);
    let (word, number) = heard.text.split_once(", ").expect("a comma");
    assert!((word == "yes" || word == "no") && number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()), "{}", heard.text);
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "kept": { "type": "boolean" }, "degrees": { "type": "integer", "minimum": 2, "maximum": 8 } },
        "required": ["kept", "degrees"],
        "additionalProperties": false
    });
    for seed in 0..4 {
        let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
        let request = GenerationRequest { constraint: Some(Constraint::JsonSchema(schema.clone())), sampling, ..ask("Well?", 200) };
        let heard = hear(&generator, request).await;
        assert_eq!(heard.end.finish, Finish::Stop, "{}", heard.text);
        let value: serde_json::Value = serde_json::from_str(&heard.text).expect("a JSON text");
        assert!(value["kept"].is_boolean() && (2..=8).contains(&value["degrees"].as_i64().expect("a number")), "{value}");
    }
}

/// transformers' own choice, from tests/fixtures/make_decoders.py: past the first window it begins anew with other factors.
#[tokio::test]
async fn an_answer_that_outgrows_the_first_window_is_rotated_anew() {
    let expected = |family: &str, name: &str| {
        let file = std::fs::read(fixture(family).join("expected.safetensors")).expect("fixture");
        let header = crate::files::safetensors::Header::parse(&file).expect("safetensors");
        let (from, to) = header.tensors[name].data_offsets;
        let ids = file[header.data_start + from..header.data_start + to].as_chunks().0.iter();
        ids.map(|bytes| u32::from_le_bytes(*bytes)).collect::<Vec<_>>()
    };
    for (family, begun_anew) in [("phi3-growing", 1), ("phi3-longer", 0), ("llama", 0)] {
        let generator = LocalGenerator::open(&fixture(family), &options()).expect("the fixture opens");
        let (tokens, greedy) = (expected(family, "tokens"), expected(family, "greedy"));
        let prompt = Prompt { pieces: vec![Piece { kind: PieceKind::Template, tokens }], sources: 0 };
        for _ in 0..2 {
            let (plan, request, events) = generator
                .model
                .answer_to(prompt.clone(), GenerationRequest { sampling: Sampling::default(), ..ask("", 12) })
                .expect("fits");
            let place = generator.queue().expect("a place");
            generator.service.submit(Submission { plan, adapter: None, request, place }).expect("runs");
            let mut stream = GenerationStream::new(events);
            let mut found = Vec::new();
            while let Some(event) = stream.next().await {
                match event {
                    GenerationEvent::Piece { tokens, .. } => found.extend(tokens.iter().map(|token| token.chosen.token)),
                    GenerationEvent::End(_) => {}
                    GenerationEvent::Failed(error) => panic!("{error}"),
                }
            }
            assert_eq!(found, greedy, "{family}");
        }
        assert_eq!(generator.counters().preemptions, 2 * begun_anew, "{family}");
    }
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_its_numbers() {
    let generator = open(&options());
    let too_long = refusal(&generator, ask(&"long ".repeat(60), 10)).await.to_string();
    assert!(too_long.contains("318") && too_long.contains("256"), "{too_long}");
    let unknown = refusal(&generator, GenerationRequest { adapter: Some("none".to_owned()), ..ask("Why?", 1) }).await;
    assert!(matches!(unknown, EngineError::Adapter { name, .. } if name == "none"));
    let few_pages = (4 << 20) / generator.counters().pages * 3;
    let small = open(&GeneratorOptions { cache_bytes: few_pages, ..options() });
    assert_eq!(small.info().context_tokens, 96);
    let too_large = refusal(&small, ask(&"long ".repeat(30), 10)).await.to_string();
    assert!(too_large.contains("6 pages") && too_large.contains("which has 3"), "{too_large}");
    let short = hear(&small, ask("Why?", 500)).await;
    assert!(short.end.finish == Finish::Stop || short.end.tokens.len() + short.end.prompt_tokens == 97, "{:?}", short.end);
    let nothing = LocalGenerator::open(&fixture("llama"), &GeneratorOptions { cache_bytes: 100, ..options() });
    assert!(matches!(nothing, Err(EngineError::UnsupportedModel { .. })));
    let answer =
        |answer| ScoreRequest { messages: user(vec![text("Why?")]), mode: ContextMode::Full, answer, subsets: vec![vec![]], adapter: None };
    for wrong in [Answer::Tokens(vec![]), Answer::Text(String::new()), Answer::Tokens(vec![256])] {
        assert!(matches!(generator.score(answer(wrong)).await, Err(EngineError::Prompt { .. })));
    }
    let none = ScoreRequest { subsets: Vec::new(), ..answer(Answer::Tokens(vec![3])) };
    assert_eq!(generator.score(none).await.expect("nothing to do"), []);
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let generator = open(&GeneratorOptions { queue_max: 2, sequences_max: 1, ..options() });
    let mut streams = Vec::new();
    let mut refused = None;
    for _ in 0..200 {
        match generator.generate(ask("Tell me everything.", 200)).await {
            Ok(stream) => streams.push(stream),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(EngineError::Overloaded { waiting: 2 })), "{refused:?} after {}", streams.len());
    drop(streams);
    while generator.counters().waiting > 0 || generator.counters().pages_held > 0 {
        tokio::task::yield_now().await;
    }
    assert!(generator.generate(ask("Why?", 1)).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_outlives_its_generator_fails() {
    let generator = open(&options());
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(generator.generate(ask("Tell me everything.", 200)).await.expect("accepted"));
    }
    drop(generator);
    let mut failed = 0;
    for stream in streams {
        failed += usize::from(stream.collect().await.is_err_and(|error| error.to_string().contains("closed")));
    }
    assert!(failed > 0);
}

#[tokio::test]
async fn adapters_are_requests_own() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/adapter-batches/llama");
    let generator = LocalGenerator::open(&fixture("llama"), &options()).expect("the fixture opens");
    let with =
        |adapter: Option<&str>| GenerationRequest { adapter: adapter.map(str::to_owned), ..ask("Well, why are they kept cold?", 20) };
    let base = hear(&generator, with(None)).await;
    generator.load_adapter("all", &fixtures.join("all")).expect("loads");
    generator.load_adapter("all", &fixtures.join("all")).expect("the same again");
    generator.load_adapter("one", &fixtures.join("one")).expect("loads");
    generator.load_adapter("alias", &fixtures.join("all")).expect("the same under another name");
    let taken = generator.load_adapter("all", &fixtures.join("one"));
    assert!(matches!(taken, Err(EngineError::Adapter { name, .. }) if name == "all"));
    assert!(generator.load_adapter("other", &fixtures.join("../phi3/fused")).is_err(), "it is for another base");
    let named: Vec<_> = generator.adapters().into_iter().map(|adapter| (adapter.name, adapter.sha256.len())).collect();
    assert_eq!(named, [("alias".to_owned(), 64), ("all".to_owned(), 64), ("one".to_owned(), 64)]);
    let names = [None, Some("all"), Some("one"), None, Some("alias")];
    let together = join_all(names.iter().map(|name| hear(&generator, with(*name)))).await;
    let tokens: Vec<&Vec<(u32, u32)>> = together.iter().map(|heard| &heard.tokens).collect();
    assert_eq!((tokens[0], tokens[3]), (&base.tokens, &base.tokens), "rows of the base are the base's");
    assert_eq!(tokens[1], tokens[4]);
    assert!(tokens[1] != tokens[0] && tokens[2] != tokens[0] && tokens[1] != tokens[2]);
    for (name, heard) in names.iter().zip(&together) {
        assert_eq!(hear(&generator, with(*name)).await.tokens, heard.tokens, "{name:?}: another answer from the cache");
    }
}
