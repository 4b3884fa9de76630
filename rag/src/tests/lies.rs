//! What a dishonest operator could sign, and what shows it.

use schemas::B256;
use schemas::ids::ChunkId;
use schemas::receipt::{Candidate, Receipt, ReceiptBody, Source};
use schemas::signer::{KeySigner, Signer};

use super::settlement::close;
use super::world::{File, World, cold_chain, file};
use crate::attribution::compute_shares;
use crate::question::Question;
use crate::retrieve;
use crate::service::draft::Found;
use crate::{Evidence, Fusion, Rag, RagConfig, RagError, quote, verify_evidence, verify_inclusion, verify_receipt, verify_run};

const QUESTION: &str = "At what temperature range should most vaccines be stored in a refrigerator?";

pub(super) fn sign(receipt: &mut Receipt) {
    let signer = KeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    receipt.body_hash = receipt.body.canonical().unwrap().1;
    receipt.signature = signer.sign_digest(receipt.body.signing_digest().unwrap()).unwrap();
}

/// Signs shares that follow from whatever the body now states.
fn settle(evidence: &mut Evidence) {
    let body = &mut evidence.receipt.body;
    let shares = compute_shares(&body.sources, &body.value_table).unwrap();
    body.shares = shares.per_contributor;
    body.source_shares_ppm = shares.per_source_ppm;
    body.unattributed_ppm = shares.unattributed_ppm;
    sign(&mut evidence.receipt);
}

async fn evidence(files: &[File]) -> (World, Rag, Evidence) {
    let world = World::new(files).await;
    let rag = world.rag().await;
    let answer = world.ask(&rag, QUESTION).await;
    let evidence = rag.evidence(answer.receipt.body.answer_id).await.unwrap();
    (world, rag, evidence)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_truth_comes_out_again() {
    let (world, rag, evidence) = evidence(&cold_chain()).await;
    assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());
    let declined = world.ask(&rag, "Who won the 1998 football World Cup?").await;
    let declined = rag.evidence(declined.receipt.body.answer_id).await.unwrap();
    assert_eq!(rag.reexecute(&declined).await.unwrap(), Vec::<String>::new());
    // also of a version that is no longer the newest
    world.publish(2, &cold_chain()[2..]).await;
    assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());
}

/// Who registered first is in the root: another order has no proof.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_order_fails() {
    let range = "Most vaccines must be stored in a refrigerator at a temperature range of 2 °C to 8 °C.";
    let later = "Staff store most vaccines in a refrigerator, and the temperature range that must be held there is 2 °C to 8 °C.";
    let (_, _, mut evidence) = evidence(&[file("a", 1, range), file("b", 2, later)]).await;
    verify_evidence(&evidence).unwrap();
    let before = evidence.receipt.body.shares.clone();
    let numbers: Vec<u64> = evidence.receipt.body.sources.iter().rev().map(|source| source.registered).collect();
    for (source, registered) in evidence.receipt.body.sources.iter_mut().zip(numbers) {
        source.registered = registered;
    }
    let texts: Vec<_> = (evidence.receipt.body.sources.iter().zip(&evidence.source_texts))
        .map(|(source, text)| crate::attribution::SourceText { source, text })
        .collect();
    let segments: Vec<&str> = evidence.receipt.body.segments.iter().map(|s| &evidence.answer[s.start as usize..s.end as usize]).collect();
    evidence.receipt.body.value_table = crate::attribution::compute_value_table(QUESTION, &segments, &texts);
    settle(&mut evidence);
    assert_ne!(evidence.receipt.body.shares, before, "the order decides who is paid");
    let error = verify_receipt(&evidence.receipt).unwrap_err().to_string();
    assert!(error.contains("registered as"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_value_table_fails() {
    let (_, _, mut evidence) = evidence(&cold_chain()).await;
    for row in &mut evidence.receipt.body.value_table {
        row.adds_ppm.rotate_left(1);
    }
    settle(&mut evidence);
    verify_receipt(&evidence.receipt).unwrap();
    assert!(matches!(verify_evidence(&evidence), Err(RagError::Unproven(_))));
}

/// The candidates tell of a source that is left out; of one that is none of them, searching again.
#[tokio::test(flavor = "multi_thread")]
async fn a_paid_source_that_is_left_out_is_missed() {
    let (world, rag, told) = evidence(&cold_chain()).await;
    let paid = told.receipt.body.source_shares_ppm.iter().position(|share| *share > 0).unwrap();
    let dropped = told.receipt.body.sources[paid].chunk_id;
    // the operator's program passes it over
    let question = Question::alone(QUESTION, world.embedder.as_ref()).unwrap();
    let (opened, config) = (rag.opened(world.datanet.datanet_id, None).await.unwrap(), world.config());
    let method = retrieve::method(&config, &question, None, None);
    let retrieve::Search { mut retrieved, candidates } = retrieve::retrieve(&opened, &question, &method, None).await.unwrap();
    retrieved.retain(|retrieved| opened.chunk_id(retrieved.position) != Some(dropped));
    let request = world.request(QUESTION, QUESTION);
    let found = Found { id: told.receipt.body.answer_id, request, opened: opened.clone(), method, retrieved, candidates, reranker: None };
    let draft = tokio::task::block_in_place(|| {
        let quotes = quote::select(&question, &opened, &found.positions(), world.embedder.as_ref(), &config.quote).unwrap();
        found.quoted(quotes, world.embedder.info(), &config).unwrap()
    });
    let mut lie = told.clone();
    lie.receipt.body = ReceiptBody { sequence: 1, ..draft.body };
    lie.answer = draft.answer;
    let text = |source: &Source| opened.passage(opened.position(source.chunk_id).unwrap()).unwrap().text.clone();
    lie.source_texts = tokio::task::block_in_place(|| lie.receipt.body.sources.iter().map(text).collect());
    sign(&mut lie.receipt);

    assert_ne!(lie.receipt.body.shares, told.receipt.body.shares, "it takes somebody's pay");
    let error = verify_receipt(&lie.receipt).unwrap_err().to_string();
    assert!(error.contains("the candidates lead to"), "no table is needed to see it: {error}");

    // and leaves it out of the candidates
    let body = &mut lie.receipt.body;
    let candidates = body.candidates.as_mut().unwrap();
    for list in [&mut candidates.by_vector, &mut candidates.by_words] {
        list.retain(|candidate| candidate.0 != dropped);
    }
    for (at, due) in retrieve::best(&body.retrieval, body.candidates.as_ref().unwrap()).unwrap().into_iter().enumerate() {
        let source = &mut body.sources[at];
        assert_eq!(source.chunk_id, due.chunk_id);
        (source.vector_rank, source.lexical_rank) = (due.vector.map(|place| place.rank), due.words.map(|place| place.rank));
    }
    sign(&mut lie.receipt);
    verify_evidence(&lie).unwrap();
    let differences = rag.reexecute(&lie).await.unwrap();
    assert!(differences.iter().any(|difference| difference.contains("leaves it out")), "{differences:?}");
    assert!(differences.iter().any(|difference| difference.contains(&format!("candidate {dropped} by vector is found, and left out"))));
}

/// A receipt is searched again as it says, whatever is configured now.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_fused_in_another_way_comes_out_again() {
    let world = World::new(&cold_chain()).await;
    let mut methods = Vec::new();
    for fusion in [Fusion::ReciprocalRank { k: 3 }, Fusion::Convex { vector_weight_ppm: 900_000, contrast_ppm: 10_000 }] {
        let rag = world.open_with(RagConfig { fusion, ..world.config() }).await.unwrap();
        let id = world.ask(&rag, &format!("{QUESTION} {}", methods.len())).await.receipt.body.answer_id;
        let evidence = rag.evidence(id).await.unwrap();
        drop(rag);
        assert!(world.rag().await.reexecute(&evidence).await.unwrap().is_empty());
        methods.push(evidence.receipt.body.retrieval.method.clone());
        let with = |change: &dyn Fn(&mut Source)| {
            let mut changed = evidence.clone();
            changed.receipt.body.sources.iter_mut().for_each(change);
            // as receipts were before they stated candidates
            changed.receipt.body.candidates = None;
            sign(&mut changed.receipt);
            changed
        };
        let without = with(&|source| (source.vector_ppm, source.lexical_ppm) = (None, None));
        if evidence.receipt.body.retrieval.rrf_k.is_some() {
            // as receipts were before they stated scores
            assert!(world.rag().await.reexecute(&without).await.unwrap().is_empty());
        } else {
            assert!(matches!(verify_receipt(&without.receipt), Err(RagError::Schema(_))));
        }
        // as another instruction set may compute it, and as nothing does
        let near = with(&|source| source.vector_ppm = source.vector_ppm.map(|score| score - 40));
        assert!(world.rag().await.reexecute(&near).await.unwrap().is_empty());
        let far = with(&|source| source.lexical_ppm = source.lexical_ppm.map(|score| score / 2));
        assert_eq!(world.rag().await.reexecute(&far).await.unwrap(), ["the scores of the sources of the receipt is not what comes out"]);
        for impossible in [
            with(&|source| source.vector_ppm = source.vector_rank.map(|rank| i64::try_from(rank).unwrap())),
            with(&|source| source.lexical_ppm = Some(5)),
            with(&|source| source.vector_ppm = source.vector_rank.and(Some(1_000_001))),
        ] {
            assert!(matches!(verify_receipt(&impossible.receipt), Err(RagError::Schema(_))), "{:?}", verify_receipt(&impossible.receipt));
        }
        let mut both = evidence.clone();
        both.receipt.body.retrieval.rrf_k = match both.receipt.body.retrieval.rrf_k {
            Some(_) => None,
            None => Some(20),
        };
        sign(&mut both.receipt);
        assert!(verify_receipt(&both.receipt).is_err());
        let mut unknown = evidence;
        unknown.receipt.body.retrieval.method = "convex/9".into();
        sign(&mut unknown.receipt);
        assert!(matches!(world.rag().await.reexecute(&unknown).await, Err(RagError::Unproven(_))));
    }
    assert_eq!(methods, ["rrf/2", "convex/1"]);
}

/// The epoch's root has one of them, and both cannot stand in one chain.
#[tokio::test(flavor = "multi_thread")]
async fn two_receipts_for_one_answer_fail() {
    let (world, rag, first) = evidence(&cold_chain()).await;
    let second = world.ask(&rag, "At what temperature does dry ice sublimate?").await.receipt;
    assert_eq!(second.body.previous, first.receipt.body_hash);
    verify_run(&[second.clone(), first.receipt.clone()]).unwrap();
    close(&rag, 5).await.unwrap();
    let inclusion = rag.inclusion(first.receipt.body.answer_id).await.unwrap().unwrap();
    verify_inclusion(&first.receipt, &inclusion).unwrap();

    let mut twin = first.receipt.clone();
    twin.body.issued_at_ms += 1;
    sign(&mut twin);
    verify_receipt(&twin).unwrap();
    assert!(matches!(verify_inclusion(&twin, &inclusion), Err(RagError::Unproven(_))), "another stands in its place");
    assert!(matches!(verify_run(&[first.receipt.clone(), twin.clone()]), Err(RagError::Unproven(_))));
    assert!(matches!(verify_run(&[twin.clone(), second.clone()]), Err(RagError::Unproven(_))), "the next names the other");
    // under another number: the answer has two
    twin.body.sequence = 3;
    twin.body.previous = second.body_hash;
    sign(&mut twin);
    assert!(matches!(verify_run(&[first.receipt, second, twin]), Err(RagError::Unproven(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_chained_over_restarts() {
    let (world, rag, first) = evidence(&cold_chain()).await;
    assert_eq!(first.receipt.body.previous, B256::ZERO);
    let mut run = vec![first.receipt];
    drop(rag);
    for (n, drains) in [(1, true), (2, false), (3, true)] {
        let rag = world.rag().await;
        if drains {
            rag.drain().await.unwrap();
        }
        run.push(rag.ask(world.request(&format!("{n}"), QUESTION)).await.unwrap().receipt);
    }
    verify_run(&run).unwrap();
    for pair in run.windows(2) {
        assert_eq!(pair[1].body.previous, pair[0].body_hash);
    }
}

/// A dictionary of questions finds nothing in what everybody may read.
#[tokio::test(flavor = "multi_thread")]
async fn a_guessed_question_is_not_recognised() {
    let (world, rag, evidence) = evidence(&cold_chain()).await;
    let receipt = serde_json::to_string(&evidence.receipt).unwrap();
    let guess = schemas::alloy_primitives::keccak256(QUESTION);
    assert!(!receipt.contains(&format!("{guess:x}")) && !receipt.contains(&format!("{:x}", evidence.question_salt)));
    let again = rag.ask(crate::AskRequest { salt: B256::repeat_byte(3), ..world.request("again", QUESTION) }).await.unwrap();
    assert_ne!(again.receipt.body.question_hash, evidence.receipt.body.question_hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_that_contradict_the_sources_fail() {
    let (_, rag, evidence) = evidence(&cold_chain()).await;
    let refused = |change: &dyn Fn(&mut ReceiptBody), problem: &str| {
        let mut changed = evidence.clone();
        change(&mut changed.receipt.body);
        sign(&mut changed.receipt);
        let error = verify_receipt(&changed.receipt).unwrap_err().to_string();
        assert!(error.contains(problem), "{error} is not {problem:?}");
    };
    fn lists(body: &mut ReceiptBody) -> [&mut Vec<Candidate>; 2] {
        let candidates = body.candidates.as_mut().unwrap();
        [&mut candidates.by_vector, &mut candidates.by_words]
    }
    let swap = |body: &mut ReceiptBody| {
        body.sources.swap(0, 1);
        body.source_shares_ppm.swap(0, 1);
        body.value_table.iter_mut().for_each(|row| row.adds_ppm.swap(0, 1));
    };
    refused(&swap, "not the one that the candidates lead to");
    refused(&|body| lists(body)[0].clear(), "not the one that the candidates lead to");
    refused(&|body| lists(body)[0].swap(0, 1), "the greatest first");
    refused(&|body| lists(body)[1].push(Candidate(ChunkId::default(), 1_000_001)), "the greatest first");
    refused(
        &|body| {
            let first = lists(body)[0][0];
            lists(body)[0].insert(0, first)
        },
        "a chunk twice",
    );
    let nothing = |body: &mut ReceiptBody| {
        lists(body).into_iter().for_each(Vec::clear);
        for source in &mut body.sources {
            (source.vector_rank, source.lexical_rank, source.vector_ppm, source.lexical_ppm) = (None, None, None, None);
        }
    };
    refused(&nothing, "where the candidates lead to 0");
    refused(&|body| body.retrieval.turns = Some(0), "not stated as 0");
    refused(&|body| body.retrieval.candidates = 1, "longer than what was asked for");
    refused(&|body| body.retrieval.top_k = 2, "where the candidates lead to 2");
    // a worse one by which nothing changes
    let mut padded = evidence.clone();
    lists(&mut padded.receipt.body)[1].push(Candidate(ChunkId::default(), -5));
    padded.receipt.body.retrieval.top_k = evidence.receipt.body.retrieved;
    sign(&mut padded.receipt);
    let differences = rag.reexecute(&padded).await.unwrap();
    assert!(differences.iter().any(|difference| difference.contains("is stated, and not found")), "{differences:?}");
}
