//! A question that needs what was said before it.
//!
//! The last test measures what turns do to XQuAD's questions, with weights and data that are no part of the repository:
//!
//! ```text
//! HEADWATER_MINILM=<folder with model.safetensors> HEADWATER_DATA=<shared/data> \
//!   cargo test --workspace --lib -- --ignored --nocapture measure_follow_ups
//! ```

use super::calibration::{Case, data_set, embedder, var};
use super::lies::sign;
use super::world::{World, cold_chain};
use crate::{AskRequest, RagError, verify_evidence};

const FIRST: &str = "At what temperature does dry ice sublimate?";
/// What stands between turns.
const TURN: &str = "\u{2029}";

fn after(world: &World, id: &str, earlier: &[&str], question: &str) -> AskRequest {
    AskRequest { earlier: earlier.iter().map(|turn| (*turn).to_owned()).collect(), ..world.request(id, question) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_searched_with_what_it_needs() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let earlier = ["At which temperature does dry ice sublimate during air transport?"];
    let answer = rag.ask(after(&world, "next", &earlier, "Is it vented?")).await.unwrap();
    assert_eq!(answer.receipt.body.retrieval.turns, Some(1));
    assert!(answer.text.starts_with("Dry ice sublimates at -78.5 °C and must be vented"), "{}", answer.text);
    let evidence = rag.evidence(answer.receipt.body.answer_id).await.unwrap();
    assert_eq!(evidence.question, format!("{}{TURN}Is it vented?", earlier[0]));
    verify_evidence(&evidence).unwrap();
    assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());

    // one that was not there
    let mut lie = evidence.clone();
    lie.receipt.body.retrieval.turns = Some(2);
    sign(&mut lie.receipt);
    assert!(verify_evidence(&lie).unwrap_err().to_string().contains("another number of earlier turns"));
    // the operator searched with fewer of them
    let mut lie = evidence.clone();
    lie.receipt.body.retrieval.turns = None;
    sign(&mut lie.receipt);
    assert!(verify_evidence(&lie).unwrap_err().to_string().contains("another number of earlier turns"));
    // and states it as receipts of before were
    lie.receipt.body.retrieval.turns = Some(1);
    lie.receipt.body.candidates = None;
    sign(&mut lie.receipt);
    assert!(verify_evidence(&lie).unwrap_err().to_string().contains("no candidates"));
}

/// What has nothing to do with a question changes nothing of its answer.
#[tokio::test(flavor = "multi_thread")]
async fn another_subject_before_a_question_is_passed_over() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let alone = rag.ask(world.request("alone", FIRST)).await.unwrap();
    let answer = rag.ask(after(&world, "next", &["Who won the 1998 football World Cup?", "Tell me more!"], FIRST)).await.unwrap();
    assert_eq!((answer.text, answer.receipt.body.retrieval.turns), (alone.text, None));
    assert_eq!(answer.receipt.body.sources, alone.receipt.body.sources);
}

/// With other turns that count it is another request; those that do not are not kept.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_has_the_same_turns() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let earlier = "At which temperature does dry ice sublimate during air transport?";
    let first = rag.ask(after(&world, "r", &[earlier], "Is it vented?")).await.unwrap();
    assert_eq!(first.receipt.body.retrieval.turns, Some(1));
    for turns in [&[earlier][..], &["Is it warm?", earlier]] {
        assert_eq!(rag.ask(after(&world, "r", turns, "Is it vented?")).await.unwrap(), first);
    }
    for turns in [&[][..], &["How cold is it?"]] {
        assert!(matches!(rag.ask(after(&world, "r", turns, "Is it vented?")).await, Err(RagError::Conflict(_))));
    }
    let apart = rag.ask(after(&world, "apart", &["Who won the 1998 football World Cup?"], FIRST)).await.unwrap();
    assert_eq!(rag.evidence(apart.receipt.body.answer_id).await.unwrap().question, FIRST);
    assert_eq!(rag.ask(world.request("apart", FIRST)).await.unwrap(), apart);
    let long = "long ".repeat(400);
    let asked = rag.ask(after(&world, "long", &[earlier, &long], "Is it vented?")).await.unwrap();
    let evidence = rag.evidence(asked.receipt.body.answer_id).await.unwrap();
    assert_eq!(evidence.question, "Is it vented?", "what is too long is left out, with what was said before it");
}

/// A word with a capital that is in both questions, not at their beginning.
fn shared_name(one: &str, other: &str) -> Option<String> {
    let names = |text: &str| -> Vec<String> {
        let words = text.split_whitespace().skip(1).map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
        words.filter(|word| word.len() > 2 && word.starts_with(char::is_uppercase)).map(str::to_owned).collect()
    };
    names(one).into_iter().find(|name| names(other).contains(name))
}

/// What came out of questions that were asked in one way.
#[derive(Debug, Default)]
struct Tally {
    asked: usize,
    /// The passage that answers is a source.
    found: usize,
    answered: usize,
    right: usize,
    with_turns: usize,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs weights and data from outside the repository"]
async fn measure_follow_ups() {
    let set = data_set(&var("HEADWATER_DATA"), "xquad-en", 1190);
    let world = World::with(embedder(), &set.files).await;
    let rag = world.rag().await;
    let names = world.store.scan::<schemas::tables::DocumentRow>(None).await.unwrap();
    let pairs: Vec<(&Case, &Case, String)> = (set.cases.windows(2))
        .filter(|pair| pair[0].gold == pair[1].gold)
        .filter_map(|pair| Some((&pair[0], &pair[1], shared_name(&pair[0].question, &pair[1].question)?)))
        .collect();
    let mut tallies: Vec<(&str, Tally)> = Vec::new();
    for way in ["the question", "without the name", "the question before, without the name", "another subject before"] {
        let mut tally = Tally::default();
        for (n, (first, next, name)) in pairs.iter().enumerate() {
            let bare = next.question.replace(name.as_str(), "it");
            let other = &set.cases[(n * 7 + set.cases.len() / 2) % set.cases.len()].question;
            let (earlier, question): (Vec<&str>, &str) = match way {
                "the question" => (vec![], &next.question),
                "without the name" => (vec![], &bare),
                "another subject before" => (vec![other], &next.question),
                _ => (vec![&first.question], &bare),
            };
            let answer = rag.ask(after(&world, &format!("{way} {n}"), &earlier, question)).await.unwrap();
            let body = &answer.receipt.body;
            let files = body.sources.iter().take(3).filter_map(|source| names.iter().find(|row| row.document_id == source.document_id));
            tally.asked += 1;
            tally.found += usize::from(files.map(|row| &row.file_name).any(|name| next.gold.contains(name)));
            tally.answered += usize::from(!answer.citations.is_empty());
            tally.right += usize::from(next.answers.iter().any(|right| answer.text.to_lowercase().contains(&right.to_lowercase())));
            tally.with_turns += usize::from(body.retrieval.turns.is_some());
        }
        tallies.push((way, tally));
    }
    for (way, tally) in tallies {
        println!("{way}: {tally:?}");
    }
}
