//! Answers that are divided by how likely their sources made them.

use std::sync::Arc;

use engine::{Message, Score};
use schemas::Address;
use schemas::allocation::PPM;
use schemas::receipt::{AnswerStatus, Likelihood, Receipt};

use super::lies::sign;
use super::scripted::{Script, Scripted, shown};
use super::world::{File, World, account, cold_chain, file};
use crate::attribution::likelihood::{Players, Told, compute_shares};
use crate::prompt::{self, Form, Window};
use crate::{AttributionConfig, AttributionMethod, Evidence, Rag, RagConfig, RagError, verify_evidence, verify_receipt};

const RANGE: &str = "At what temperature range should most vaccines be stored in a refrigerator?";
const SAID: &[&str] = &["Store vaccines at 2 °C to 8 °C [1][9]. A buffered probe", " shows the temperature better [2]."];

fn config(world: &World) -> RagConfig {
    let attribution = AttributionConfig { method: AttributionMethod::Likelihood, ..AttributionConfig::default() };
    RagConfig { attribution, ..world.config() }
}

async fn world_with(files: &[File], generator: Scripted) -> (World, Rag) {
    let world = World::new(files).await;
    let rag = world.open_with(config(&world)).await.unwrap().with_generator(Arc::new(generator));
    (world, rag)
}

fn says(pieces: &[&'static str]) -> Scripted {
    Scripted::new(Script::Say(pieces.to_vec()), 100_000)
}

async fn evidence(world: &World, rag: &Rag) -> Evidence {
    let answer = rag.ask(world.request("r", RANGE)).await.unwrap();
    rag.evidence(answer.receipt.body.answer_id).await.unwrap()
}

fn game(evidence: &mut Evidence) -> &mut Likelihood {
    evidence.receipt.body.likelihood.as_mut().unwrap()
}

/// Signs shares that follow from whatever the body now states.
fn settle(evidence: &mut Evidence) {
    let body = &mut evidence.receipt.body;
    let shares = compute_shares(&body.sources, body.likelihood.as_ref().unwrap());
    body.shares = shares.per_contributor;
    body.source_shares_ppm = shares.per_source_ppm;
    body.unattributed_ppm = shares.unattributed_ppm;
    sign(&mut evidence.receipt);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_divided_by_what_made_it_likely() {
    let (world, rag) = world_with(&cold_chain(), says(SAID).scores()).await;
    let evidence = evidence(&world, &rag).await;
    let body = &evidence.receipt.body;
    let game = body.likelihood.as_ref().unwrap();
    assert_eq!((body.method.as_str(), body.value_table.len()), ("likelihood/1", 0));
    assert_eq!(body.retrieved, body.sources.len() as u64, "what the model did not read is no source");
    // each word is a token here, and those that cite do not count
    let words = i64::try_from(evidence.answer.split_whitespace().filter(|word| !word.contains('[')).count()).unwrap();
    assert_eq!(evidence.answer, "Store vaccines at 2 °C to 8 °C [1]. A buffered probe shows the temperature better [2].");
    assert_eq!((game.tokens, game.table[0], game.instruction_set.as_str()), (15, -4_000_000 * words, "portable"));
    assert_eq!(game.table.len(), 1 << game.players.len());
    let share = |n| body.shares.iter().find(|share| share.contributor == account(n)).map_or(0, |share| share.share_ppm);
    assert!(share(2) > share(3) && share(3) > 0, "{:?}", body.shares);
    assert!(body.unattributed_ppm > 20_000 && body.unattributed_ppm < 500_000, "{}", body.unattributed_ppm);
    verify_receipt(&evidence.receipt).unwrap();
    verify_evidence(&evidence).unwrap();
    assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());
    // its rows are those of any answer
    rag.drain().await.unwrap();
    assert_eq!(rag.evidence(body.answer_id).await.unwrap(), evidence);
}

/// A statement of monitoring.md, with another beside it.
fn with_padded(contributor: u8) -> Vec<File> {
    let said = cold_chain()[1].text.split("\n\n").nth(1).unwrap().to_owned();
    let padded = format!("{said} The lithium cells of such a recorder last for two winters in an unheated barn.");
    cold_chain().into_iter().chain([file("padded.md", contributor, &padded)]).collect()
}

/// Whoever sends the same again, in any number of accounts, gains nothing and takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn copies_gain_nothing() {
    let paid = async |files: &[File]| {
        let (world, rag) = world_with(files, says(SAID).scores()).await;
        let body = evidence(&world, &rag).await.receipt.body;
        body.shares.iter().map(|share| (share.contributor, share.share_ppm)).collect::<Vec<_>>()
    };
    let before = paid(&cold_chain()).await;
    let copied: Vec<File> = cold_chain().into_iter().chain((7..9).map(|n| File { contributor: n, ..cold_chain().remove(1) })).collect();
    assert_eq!(paid(&copied).await, before);
    assert_eq!(paid(&with_padded(7)).await, before, "what is added says nothing of the answer");
    // nor does whoever is paid already, by having the others' words too
    let share = |paid: &[(Address, u64)], n| paid.iter().find(|(who, _)| *who == account(n)).map_or(0, |(_, share)| *share);
    let greedy = paid(&with_padded(1)).await;
    assert!(share(&greedy, 1) <= share(&before, 1) && share(&greedy, 2) >= share(&before, 2), "{greedy:?} {before:?}");
}

/// Where the model cannot tell, what the sources said first divides the answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_scored_is_divided_by_support() {
    let (world, rag) = world_with(&cold_chain(), says(SAID)).await;
    let evidence = evidence(&world, &rag).await;
    assert_eq!((evidence.receipt.body.method.as_str(), &evidence.receipt.body.likelihood), ("support/2", &None));
    verify_evidence(&evidence).unwrap();
    assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());
    // what declines, or is quoted, has no game either
    let (world, rag) = world_with(&cold_chain(), says(&["The Datanet does not hold an answer to this question."]).scores()).await;
    let quoted = crate::AskRequest { answerer: crate::Answerer::Quote, ..world.request("q", RANGE) };
    for request in [world.request("r", RANGE), quoted] {
        assert_eq!(rag.ask(request).await.unwrap().receipt.body.likelihood, None);
    }
}

/// More contributors than a table has room for: the last are one player.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_paid_too() {
    const PLACES: [&str; 12] =
        ["harbour", "airport", "hospital", "station", "market", "valley", "border", "island", "castle", "bridge", "forest", "desert"];
    let crowd: Vec<File> = (1..)
        .zip(PLACES)
        .map(|(n, place)| file(place, n, &format!("At the {place} vaccines are stored, and {place}master {n} reads the {place} logger.")))
        .collect();
    let world = World::new(&crowd).await;
    let config = RagConfig { top_k: 12, ..config(&world) };
    let rag = world.open_with(config).await.unwrap().with_generator(Arc::new(says(&["Ask the masters of harbour and desert."]).scores()));
    let request = world.request("r", "Where are vaccines stored, and who reads the logger?");
    let evidence = rag.evidence(rag.ask(request).await.unwrap().receipt.body.answer_id).await.unwrap();
    let game = evidence.receipt.body.likelihood.as_ref().unwrap();
    assert_eq!((game.players.len(), game.players[9].len(), game.table.len()), (10, 3, 1024));
    verify_evidence(&evidence).unwrap();
    assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());
}

/// What a model is asked with these sources.
fn prompt_of(texts: &[String]) -> Vec<Message> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let window = Window { tokens: 100_000, answer: 512 };
    prompt::fit(&says(SAID), RANGE, &texts, Form::Prose, window).unwrap().unwrap().messages
}

/// What was found, and not shown to the model, is told by searching again; so is a prompt that was put in another order.
#[tokio::test(flavor = "multi_thread")]
async fn sources_left_out_are_told() {
    let (world, rag) = world_with(&cold_chain(), says(SAID).scores()).await;
    let evidence = evidence(&world, &rag).await;
    let (full, texts) = (evidence.receipt.body.clone(), evidence.source_texts.clone());
    let scored_as = |order: &[usize], dropped: u64| {
        let mut evidence = evidence.clone();
        let body = &mut evidence.receipt.body;
        body.sources = order.iter().map(|at| full.sources[*at].clone()).collect();
        body.retrieved = order.len() as u64;
        body.generation.as_mut().unwrap().dropped_sources = dropped;
        evidence.source_texts = order.iter().map(|at| texts[*at].clone()).collect();
        let said = ["Store vaccines at 2 °C to 8 °C.", "A buffered probe shows the temperature better."].map(str::to_owned);
        let told: Vec<Told<'_>> =
            (evidence.receipt.body.sources.iter().zip(&evidence.source_texts)).map(|(source, text)| Told::of(source, text)).collect();
        let players = Players::new(RANGE, &said, &told).unwrap();
        let ends: Vec<usize> = vec![evidence.answer.len()];
        let scores: Vec<Score> = players.subsets().iter().map(|_| Score { log_probabilities: vec![-1.0], ends: ends.clone() }).collect();
        evidence.receipt.body.likelihood = Some(players.likelihood(&scores, &evidence.answer, &[], "portable".into()).unwrap());
        settle(&mut evidence);
        evidence
    };
    let all: Vec<usize> = (0..full.sources.len()).collect();
    let fewer = scored_as(&all[..2], all.len() as u64 - 2);
    verify_evidence(&fewer).unwrap();
    let differences = rag.reexecute(&fewer).await.unwrap();
    assert!(differences.len() == 1 && differences[0].contains("sources fit the model's window"), "{differences:?}");
    let mut narrow = fewer.clone();
    let shown = shown(&prompt_of(&narrow.source_texts));
    narrow.receipt.body.generation.as_mut().unwrap().context_tokens = Some(512 + shown.len() as u64 + 1);
    sign(&mut narrow.receipt);
    let error = rag.reexecute(&narrow).await.unwrap_err().to_string();
    assert!(error.contains("were left out for a window of"), "{error}");
    let turned: Vec<usize> = all.iter().rev().copied().collect();
    let mut turned = scored_as(&turned, 0);
    assert!(verify_evidence(&turned).unwrap_err().to_string().contains("the candidates lead to"));
    // as old receipts, which state none
    turned.receipt.body.candidates = None;
    sign(&mut turned.receipt);
    let differences = rag.reexecute(&turned).await.unwrap();
    assert!(differences.iter().any(|difference| difference.contains("order or rank")), "{differences:?}");
    // also by who has not the model
    let other = world.open_with(RagConfig { wal_dir: world.dir.path().join("other"), ..config(&world) }).await.unwrap();
    assert!(!other.reexecute(&turned).await.unwrap().is_empty());
    let twice = scored_as(&[0, 0, 1], all.len() as u64 - 3);
    assert!(verify_receipt(&twice.receipt).is_err());
}

/// Receipts of every kind, as `schemas/verifier` reads them: `HEADWATER_OUT=../schemas/verifier/fixtures`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes files for another program's tests"]
async fn receipts_for_the_verifier() {
    let folder = std::path::PathBuf::from(std::env::var("HEADWATER_OUT").unwrap());
    let write = |name: &str, receipts: &[Receipt]| {
        std::fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(receipts).unwrap() + "\n").unwrap();
    };
    let (world, rag) = world_with(&with_padded(3), says(SAID).scores()).await;
    let quoted = |question: &str| crate::AskRequest { answerer: crate::Answerer::Quote, ..world.request(question, question) };
    let mut run = Vec::new();
    for request in [quoted(RANGE), quoted("Who won the 1998 football World Cup?"), world.request("r", RANGE)] {
        run.push(rag.ask(request).await.unwrap().receipt);
    }
    write("run", &run);
    let (world, rag) = world_with(&cold_chain(), says(SAID)).await;
    write("generated", &[evidence(&world, &rag).await.receipt]);
    let (world, rag) = world_with(&cold_chain(), says(&["Penguins like it."]).scores()).await;
    write("unlikely", &[evidence(&world, &rag).await.receipt]);
}

/// Whatever is changed and signed again, something shows it: alone, with the texts, or with the model.
#[tokio::test(flavor = "multi_thread")]
async fn signed_lies_about_likelihoods_fail() {
    let (world, rag) = world_with(&with_padded(3), says(SAID).scores()).await;
    let evidence = evidence(&world, &rag).await;
    let changed = |change: &dyn Fn(&mut Evidence)| {
        let mut evidence = evidence.clone();
        change(&mut evidence);
        settle(&mut evidence);
        evidence
    };
    type Change<'a> = &'a dyn Fn(&mut Evidence);
    let lies: [(&str, Change<'_>); 17] = [
        ("a number left out", &|e| game(e).table.truncate(1)),
        ("likelier than certain", &|e| *game(e).table.last_mut().unwrap() = 1),
        ("less likely than can be", &|e| game(e).table[0] = i64::MIN),
        ("no tokens", &|e| game(e).tokens = 0),
        ("an instruction set of their own", &|e| game(e).instruction_set = "x".into()),
        ("a model elsewhere that is known", &|e| game(e).instruction_set = "remote".into()),
        ("an answer that was declined", &|e| e.receipt.body.status = AnswerStatus::Declined),
        ("tokens without end", &|e| game(e).tokens = u64::MAX),
        ("a player left out", &|e| drop(game(e).players.remove(0))),
        ("a player twice", &|e| {
            let first = game(e).players[0][0];
            game(e).players[1].push(first);
        }),
        ("a need of oneself", &|e| game(e).needs[0] = vec![0]),
        ("a need of nobody", &|e| game(e).needs[0] = vec![9]),
        ("an unknown mode", &|e| e.receipt.body.generation.as_mut().unwrap().mode = "x".into()),
        ("a number for a source left out", &|e| game(e).alone.truncate(1)),
        ("the game of no model", &|e| e.receipt.body.generation = None),
        ("another method", &|e| e.receipt.body.method = "support/2".into()),
        ("an unknown method", &|e| e.receipt.body.method = "likelihood/9".into()),
    ];
    for (what, lie) in lies {
        assert!(verify_receipt(&changed(lie).receipt).is_err(), "{what}");
    }
    let mut greedy = evidence.clone();
    greedy.receipt.body.likelihood = None;
    sign(&mut greedy.receipt);
    assert!(verify_receipt(&greedy.receipt).is_err(), "no table at all");
    let mut greedy = evidence.clone();
    let body = &mut greedy.receipt.body;
    (body.unattributed_ppm, body.shares[0].share_ppm) = (0, body.shares[0].share_ppm + body.unattributed_ppm);
    sign(&mut greedy.receipt);
    assert!(verify_receipt(&greedy.receipt).is_err(), "shares that do not follow");

    // consistent in itself: the texts show it …
    let freed = changed(&|e| {
        let needs = &mut game(e).needs;
        let some = needs.iter().position(|needs| !needs.is_empty());
        needs[some.expect("padded.md says again what monitoring.md says")].clear();
    });
    verify_receipt(&freed.receipt).unwrap();
    let error = verify_evidence(&freed).unwrap_err().to_string();
    assert!(error.contains("who says again"), "{error}");
    // … or the model
    let invented = changed(&|e| {
        let all = game(e).table.len() - 1;
        let Likelihood { table, alone, without, .. } = game(e);
        table.iter_mut().take(all).chain(alone).chain(without).for_each(|value| *value -= 50_000);
    });
    verify_evidence(&invented).unwrap();
    let told = async |evidence: &Evidence| rag.reexecute(evidence).await.unwrap().join("; ");
    assert!(told(&invented).await.contains("50000 µnat from what comes out, where 0 may be"));
    // by another instruction set it may be a little else
    let elsewhere = |change: i64| {
        changed(&|e| {
            game(e).instruction_set = "avx2".into();
            game(e).table[0] -= change;
        })
    };
    assert_eq!(told(&elsewhere(2_000)).await, "");
    assert!(told(&elsewhere(2_000_000)).await.contains("2000000 µnat from what comes out, where 300000 may be"));
    // which has to be the one that wrote it
    let other = world.open_with(RagConfig { wal_dir: world.dir.path().join("other"), ..config(&world) }).await.unwrap();
    let error = other.reexecute(&evidence).await.unwrap_err();
    assert!(matches!(&error, RagError::Unproven(problem) if problem.contains("re-execute it with that one")), "{error}");
    assert!(evidence.receipt.body.shares.iter().map(|share| share.share_ppm).sum::<u64>() < PPM);
}
