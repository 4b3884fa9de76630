//! Answers that a model writes: what it is asked, what becomes of what it says, what they cost, and what is proven of them.

use std::sync::Arc;

use engine::{Constraint, EngineError};
use schemas::allocation::PPM;
use schemas::alloy_primitives::keccak256;
use schemas::receipt::{AnswerStatus, FinishReason, Receipt};
use schemas::signer::{KeySigner, Signer};
use schemas::tables::{ReceiptRow, Wei};

use super::scripted::{Script, Scripted, shown};
use super::world::{World, account, cold_chain};
use crate::{Answer, Answerer, AskRequest, Evidence, GenerationSettings, Progress, Rag, RagError, verify_evidence, verify_receipt};

const RANGE: &str = "At what temperature range should most vaccines be stored in a refrigerator?";
/// The first source is storage.md's: its words come back, one sentence is made up, and one citation is.
const SAID: &[&str] = &[
    "Most vaccines are stored in a refrigera",
    "tor at 2 °C to 8 °C [",
    "1][9]. The usual set point",
    " is 5 °C. [1] Penguins like it [0]",
    " too.",
];
const TEXT: &str = "Most vaccines are stored in a refrigerator at 2 °C to 8 °C [1]. The usual set point is 5 °C. [1] Penguins like it too.";

async fn world_with(generator: Arc<Scripted>) -> (World, Rag) {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await.with_generator(generator);
    (world, rag)
}

async fn heard(rag: &Rag, request: AskRequest) -> (crate::Result<Answer>, Vec<String>) {
    let mut pieces = Vec::new();
    let answer = rag
        .ask_aloud(request, &mut |progress| {
            if let Progress::Piece { text, .. } = progress {
                pieces.push(text);
            }
        })
        .await;
    (answer, pieces)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_answer_cites_pays_and_proves() {
    let generator = Scripted::says(SAID);
    let (world, rag) = world_with(generator.clone()).await;
    let (answer, pieces) = heard(&rag, world.request("r", RANGE)).await;
    let answer = answer.unwrap();
    assert_eq!((answer.text.as_str(), pieces.concat().as_str()), (TEXT, TEXT));
    let body = &answer.receipt.body;
    let generation = body.generation.as_ref().unwrap();
    assert_eq!((body.status, body.fee_wei, body.models.generator.as_str()), (AnswerStatus::Answered, Wei(1_000_003), "scripted"));
    assert_eq!((generation.invalid_citations, generation.finish, generation.answer_tokens), (2, FinishReason::Stop, 5));
    assert_eq!(generation.tokens_hash, Some(keccak256([0u32, 1, 2, 3, 4].map(u32::to_le_bytes).concat())));
    assert!(body.segments.is_empty() && body.value_table.len() == 3);
    // what the sources do not say is nobody's
    assert!(body.unattributed_ppm > 100_000 && body.unattributed_ppm < 400_000, "{}", body.unattributed_ppm);
    assert!(body.shares.iter().any(|share| share.contributor == account(1) && share.share_ppm > 400_000), "{:?}", body.shares);
    for citation in &answer.citations {
        assert_eq!(&answer.text[citation.start as usize..citation.end as usize], citation.quote);
        assert_eq!(citation.chunk_id, body.sources[0].chunk_id);
    }
    assert_eq!(answer.citations.len(), 2);
    verify_receipt(&answer.receipt).unwrap();
    verify_evidence(&rag.evidence(body.answer_id).await.unwrap()).unwrap();
    let stats = rag.generation_stats();
    assert_eq!((stats.answered, stats.declined, stats.answer_tokens, stats.under_way), (1, 0, 5, 0));
    insta::assert_snapshot!(shown(&generator.asked.lock().unwrap()[0].messages));
}

/// The format of a generated answer's receipt, field by field.
#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_of_a_generated_answer_is_stable() {
    let (world, rag) = world_with(Scripted::says(SAID)).await;
    let generation = GenerationSettings {
        temperature_ppm: Some(700_000),
        stop: vec!["\n\n".into()],
        frequency_penalty_ppm: Some(-500_000),
        ..GenerationSettings::default()
    };
    let answer = rag.ask(AskRequest { generation, ..world.request("r", RANGE) }).await.unwrap();
    let mut body = answer.receipt.body;
    body.issued_at_ms = 0;
    insta::assert_snapshot!(body.canonical().unwrap().0);
    // a quoted answer has no such field
    let quoted = rag.ask(AskRequest { answerer: Answerer::Quote, ..world.request("q", RANGE) }).await.unwrap();
    assert!(!quoted.receipt.body.canonical().unwrap().0.contains("generation"));
    assert_eq!(quoted.receipt.body.models.generator, "quote/2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_may_decline_and_that_is_free() {
    for said in [&["The Datanet does not hold an ", "answer to this question."][..], &[], &["  \n"], &["[99]"]] {
        let (world, rag) = world_with(Arc::new(Scripted::new(Script::Say(said.to_vec()), 100_000))).await;
        let (answer, pieces) = heard(&rag, world.request("r", RANGE)).await;
        let answer = answer.unwrap();
        let body = &answer.receipt.body;
        assert_eq!((answer.text.as_str(), pieces.concat()), ("The Datanet does not hold an answer to this question.", answer.text.clone()));
        assert_eq!((body.status, body.fee_wei, body.unattributed_ppm), (AnswerStatus::Declined, Wei(0), PPM));
        assert!(answer.citations.is_empty() && answer.shares.is_empty());
        verify_evidence(&rag.evidence(body.answer_id).await.unwrap()).unwrap();
    }
}

/// What no source supports is charged, and nobody's: the data part of its fee stays with the platform.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_support_pays_nobody() {
    let (world, rag) = world_with(Scripted::says(&["Penguins are birds."])).await;
    let answer = rag.ask(world.request("r", RANGE)).await.unwrap();
    let body = &answer.receipt.body;
    assert_eq!((body.status, body.fee_wei, body.unattributed_ppm), (AnswerStatus::Answered, Wei(1_000_003), PPM));
    assert!(answer.shares.is_empty());
    verify_evidence(&rag.evidence(body.answer_id).await.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_and_cost_nothing() {
    let is_prompt = |error: &RagError| matches!(error, RagError::Generator(EngineError::Prompt { .. }));
    let is_overloaded = |error: &RagError| matches!(error, RagError::Generator(EngineError::Overloaded { .. }));
    let is_remote = |error: &RagError| matches!(error, RagError::Generator(EngineError::Remote { .. }));
    type Expected<'a> = &'a dyn Fn(&RagError) -> bool;
    let cases: [(Script, Expected<'_>); 3] =
        [(Script::Refuse, &is_prompt), (Script::Overloaded, &is_overloaded), (Script::SayAndFail(vec!["Most"]), &is_remote)];
    for (script, expected) in cases {
        let (world, rag) = world_with(Arc::new(Scripted::new(script.clone(), 100_000))).await;
        let error = rag.ask(world.request("r", RANGE)).await.unwrap_err();
        assert!(expected(&error), "{script:?}: {error}");
        assert_eq!((rag.drain().await.unwrap(), rag.generation_stats().failed), (0, 1));
        // the same request can be tried again, and its receipt is the first
        drop(rag);
        let rag = world.rag().await.with_generator(Scripted::says(SAID));
        assert_eq!(rag.ask(world.request("r", RANGE)).await.unwrap().receipt.body.sequence, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_ends_the_generation() {
    let generator = Arc::new(Scripted::new(Script::SayAndWait(vec!["Most vaccines"]), 100_000));
    let (world, rag) = world_with(generator.clone()).await;
    let (said, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let mut listener = |progress| drop(said.send(progress));
    let asking = rag.ask_aloud(world.request("r", RANGE), &mut listener);
    let mut asking = Box::pin(asking);
    loop {
        tokio::select! {
            answer = &mut asking => panic!("it has no end: {answer:?}"),
            heard = hears.recv() => if matches!(heard, Some(Progress::Piece { .. })) { break },
        }
    }
    assert!(generator.is_heard());
    assert_eq!(rag.generation_stats().under_way, 1);
    drop(asking);
    assert!(!generator.is_heard(), "the stream is dropped with its reader");
    let stats = rag.generation_stats();
    assert_eq!((stats.under_way, stats.abandoned, stats.answered), (0, 1, 0));
    rag.drain().await.unwrap();
    assert_eq!(world.store.count::<ReceiptRow>(None).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_repeats_the_stored_words() {
    let generator = Scripted::says(SAID);
    let (world, rag) = world_with(generator.clone()).await;
    let hot = GenerationSettings { temperature_ppm: Some(500_000), ..GenerationSettings::default() };
    let request = AskRequest { generation: hot.clone(), ..world.request("same", RANGE) };
    let first = rag.ask(request.clone()).await.unwrap();
    rag.drain().await.unwrap();
    let (again, pieces) = heard(&rag, request.clone()).await;
    assert_eq!((&again.unwrap(), pieces.concat().as_str(), pieces.len()), (&first, TEXT, 3));
    assert_eq!(rag.ask(world.request("same", RANGE)).await.unwrap(), first, "what is left out fits");
    assert_eq!(generator.asked.lock().unwrap().len(), 1, "the model was asked once");
    let colder = AskRequest { generation: GenerationSettings { temperature_ppm: Some(0), ..hot }, ..request };
    assert!(matches!(rag.ask(colder).await, Err(RagError::Conflict(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lowest_ranked_sources_are_dropped_whole() {
    let generous = Scripted::says(SAID);
    let (world, rag) = world_with(generous.clone()).await;
    let all = rag.ask(world.request("all", RANGE)).await.unwrap();
    let whole = shown(&generous.asked.lock().unwrap()[0].messages).len();
    drop(rag);
    let narrow = Arc::new(Scripted::new(Script::Say(SAID.to_vec()), whole + 100));
    let rag = world.rag().await.with_generator(narrow.clone());
    let request = AskRequest {
        generation: GenerationSettings { tokens_max: Some(101), ..GenerationSettings::default() },
        ..world.request("some", RANGE)
    };
    let some = rag.ask(request).await.unwrap();
    let body = &some.receipt.body;
    assert_eq!(body.generation.as_ref().unwrap().dropped_sources, 1);
    assert_eq!(body.sources[..], all.receipt.body.sources[..all.receipt.body.sources.len() - 1]);
    verify_evidence(&rag.evidence(body.answer_id).await.unwrap()).unwrap();
    drop(rag);
    let rag = world.rag().await.with_generator(Arc::new(Scripted::new(Script::Say(vec![]), 300)));
    let error = rag.ask(world.request("none", RANGE)).await.unwrap_err();
    assert!(matches!(&error, RagError::InvalidQuestion(problem) if problem.contains("300 tokens")), "{error}");
}

/// A template without a system gets the instruction with the question.
#[tokio::test(flavor = "multi_thread")]
async fn every_template_gets_the_instruction() {
    let generator = Arc::new(Scripted::without_system(Script::Say(SAID.to_vec())));
    let (world, rag) = world_with(generator.clone()).await;
    rag.ask(world.request("r", RANGE)).await.unwrap();
    let asked = shown(&generator.asked.lock().unwrap()[0].messages);
    assert!(asked.starts_with("<user>You answer questions from numbered sources.") && asked.ends_with(RANGE), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prescribed_form_is_kept_byte_for_byte() {
    let (world, rag) = world_with(Scripted::says(&["{\"range\": [2", ", 8], \"more\": [99]}"])).await;
    let generation = GenerationSettings { constraint: Some(Constraint::JsonObject), ..GenerationSettings::default() };
    let answer = rag.ask(AskRequest { generation, ..world.request("r", RANGE) }).await.unwrap();
    let generation = answer.receipt.body.generation.as_ref().unwrap();
    assert_eq!(answer.text, "{\"range\": [2, 8], \"more\": [99]}");
    assert!(generation.constraint_hash.is_some() && generation.invalid_citations == 0 && answer.citations.is_empty());
    verify_evidence(&rag.evidence(answer.receipt.body.answer_id).await.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_is_asked_for_and_stated() {
    let generator = Scripted::says(SAID);
    let (world, rag) = world_with(generator.clone()).await;
    let with = |id: &str, adapter: Option<&str>| AskRequest {
        generation: GenerationSettings { adapter: adapter.map(str::to_owned), ..GenerationSettings::default() },
        ..world.request(id, RANGE)
    };
    let answer = rag.ask(with("adapted", Some("legal"))).await.unwrap();
    let body = &answer.receipt.body;
    let used = body.generation.as_ref().unwrap().adapter.clone().unwrap();
    assert_eq!((used.name.as_str(), used.sha256), ("legal", "cd".repeat(32)));
    assert_eq!(generator.asked.lock().unwrap()[0].adapter.as_deref(), Some("legal"));
    verify_evidence(&rag.evidence(body.answer_id).await.unwrap()).unwrap();
    // the same id for the plain model is another request, and the plain model's receipt says nothing of adapters
    assert!(matches!(rag.ask(with("adapted", None)).await, Err(RagError::Conflict(_))));
    let plain = rag.ask(with("plain", None)).await.unwrap();
    assert!(!serde_json::to_string(&plain.receipt).unwrap().contains("adapter"));
    let unknown = rag.ask(with("unknown", Some("medical"))).await.unwrap_err();
    assert!(matches!(&unknown, RagError::Parameter { parameter: "model", problem } if problem.contains("medical")), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_out_of_range_are_named() {
    let (world, rag) = world_with(Scripted::says(SAID)).await;
    let none = GenerationSettings::default;
    for (parameter, generation) in [
        ("temperature", GenerationSettings { temperature_ppm: Some(2_000_001), ..none() }),
        ("top_p", GenerationSettings { top_p_ppm: Some(0), ..none() }),
        ("presence_penalty", GenerationSettings { presence_penalty_ppm: Some(-2_000_001), ..none() }),
        ("frequency_penalty", GenerationSettings { frequency_penalty_ppm: Some(i64::MIN), ..none() }),
        ("seed", GenerationSettings { seed: Some(1 << 53), ..none() }),
        ("max_tokens", GenerationSettings { tokens_max: Some(513), ..none() }),
        ("stop", GenerationSettings { stop: vec![String::new()], ..none() }),
        ("stop", GenerationSettings { stop: vec!["x".into(); 5], ..none() }),
        ("top_logprobs", GenerationSettings { log_probabilities: Some(21), ..none() }),
        ("response_format", GenerationSettings { constraint: Some(Constraint::Regex("x".repeat(70_000))), ..none() }),
    ] {
        let error = rag.ask(AskRequest { generation, ..world.request("r", RANGE) }).await.unwrap_err();
        assert!(matches!(error, RagError::Parameter { parameter: named, .. } if named == parameter), "{parameter}: {error}");
    }
}

/// Whatever is changed in the evidence of a generated answer, and signed again, verification notices.
#[tokio::test(flavor = "multi_thread")]
async fn signed_lies_about_a_generated_answer_fail() {
    let (world, rag) = world_with(Scripted::says(SAID)).await;
    let answer = rag.ask(world.request("r", RANGE)).await.unwrap();
    let evidence = rag.evidence(answer.receipt.body.answer_id).await.unwrap();
    let signer = KeySigner::from_bytes(&schemas::B256::repeat_byte(7)).unwrap();
    let resigned = |change: &dyn Fn(&mut Evidence)| {
        let mut evidence = evidence.clone();
        change(&mut evidence);
        let Receipt { body, body_hash, signature, .. } = &mut evidence.receipt;
        body.answer_hash = keccak256(&evidence.answer);
        *body_hash = body.canonical().unwrap().1;
        *signature = signer.sign_digest(body.signing_digest().unwrap()).unwrap();
        evidence
    };
    verify_evidence(&resigned(&|_| {})).unwrap();
    type Change<'a> = &'a dyn Fn(&mut Evidence);
    fn made(evidence: &mut Evidence) -> &mut schemas::receipt::Generation {
        evidence.receipt.body.generation.as_mut().unwrap()
    }
    let changes: [(&str, Change<'_>); 9] = [
        ("another answer", &|e| e.answer = e.answer.replace("2 °C", "3 °C")),
        ("a sentence moved", &|e| made(e).sentences[0].end -= 1),
        ("a sentence left out", &|e| drop(made(e).sentences.pop())),
        ("a citation added", &|e| made(e).sentences[2].cited.push(0)),
        ("a citation of nothing", &|e| made(e).sentences[0].cited = vec![99]),
        ("another prompt", &|e| made(e).prompt_hash = schemas::B256::ZERO),
        ("a later prompt", &|e| made(e).prompt = "headwater.prompt/2".into()),
        ("no generation", &|e| e.receipt.body.generation = None),
        ("a form that was not prescribed", &|e| made(e).constraint_hash = Some(schemas::B256::ZERO)),
    ];
    for (what, change) in changes {
        assert!(verify_evidence(&resigned(change)).is_err(), "{what}");
    }
}
