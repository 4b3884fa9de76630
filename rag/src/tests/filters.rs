//! Answers that rest on some of a version's members.

use schemas::receipt::Filter;
use schemas::tables::{ChunkRow, Millis, SubmissionRow};
use schemas::{Address, B256};

use super::lies::sign;
use super::world::{File, World, account, cold_chain, file, ids, rows};
use crate::{AskRequest, RagError, verify_evidence};

const RANGE: &str = "At what temperature range should most vaccines be stored in a refrigerator?";

fn of(contributors: &[u8]) -> Filter {
    Filter { contributors: contributors.iter().map(|n| account(*n)).collect(), ..Filter::default() }
}

fn among(world: &World, id: &str, question: &str, filter: Filter) -> AskRequest {
    AskRequest { filter: Some(filter), ..world.request(id, question) }
}

/// What the n-th file was given under, and when.
async fn submit(world: &World, files: &[File], terms: &[(&str, i64)]) {
    let (chunks, _) = rows(world.datanet.datanet_id, files, world.embedder.as_ref());
    let submission = |registered: u64| -> &ChunkRow { chunks.iter().find(|chunk| chunk.registered == registered).unwrap() };
    let rows: Vec<SubmissionRow> = (1..)
        .zip(terms)
        .map(|(registered, (licence, received_at))| SubmissionRow {
            submission_id: submission(registered).submission_id,
            datanet_id: world.datanet.datanet_id,
            contributor: submission(registered).contributor,
            licence: (*licence).into(),
            note: String::new(),
            manifest_hash: B256::ZERO,
            document_count: 1,
            refused_count: 0,
            registered,
            signature: String::new(),
            deadline: 0,
            received_at: Millis(*received_at),
        })
        .collect();
    world.store.insert_new(&rows).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_rests_on_what_the_filter_leaves() {
    let world = World::new(&cold_chain()).await;
    submit(&world, &cold_chain(), &[("CC0-1.0", 10), ("CC-BY-4.0", 20), ("CC0-1.0", 30), ("MIT", 40)]).await;
    let rag = world.rag().await;
    let contributors = |answer: &crate::Answer| -> Vec<Address> { answer.citations.iter().map(|citation| citation.contributor).collect() };
    let open = rag.ask(world.request("open", RANGE)).await.unwrap();
    assert_eq!((contributors(&open)[0], open.receipt.body.retrieval.filter.clone()), (account(1), None));

    let licence = |licence: &str| Filter { licences: vec![licence.into()], ..Filter::default() };
    let from = |from, before| Filter { received_from_ms: from, received_before_ms: before, ..Filter::default() };
    let document = Filter { documents: vec![open.citations[0].document_id], ..Filter::default() };
    for (n, (filter, left)) in [
        (of(&[2]), &[2][..]),
        (of(&[9, 2, 2]), &[2]),
        (licence("CC-BY-4.0"), &[2]),
        (licence("CC0-1.0"), &[1, 3]),
        (licence("cc0-1.0"), &[1, 3]),
        (from(Some(20), Some(30)), &[2]),
        (from(Some(20), None), &[2, 3]),
        (from(None, Some(20)), &[1]),
        (document, &[1]),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = rag.ask(among(&world, &format!("{n}"), RANGE, filter.clone())).await.unwrap();
        let body = &answer.receipt.body;
        assert_eq!(body.retrieval.filter, Some(filter.clone().ordered()));
        assert!(!answer.citations.is_empty(), "{filter:?}: {}", answer.text);
        let left: Vec<Address> = left.iter().map(|n| account(*n)).collect();
        assert!(contributors(&answer).iter().all(|who| left.contains(who)), "{filter:?}: {:?}", answer.citations);
        let retrieved = usize::try_from(body.retrieved).unwrap();
        assert!(body.sources[..retrieved].iter().all(|source| left.contains(&source.contributor)), "{filter:?}");
        let evidence = rag.evidence(body.answer_id).await.unwrap();
        verify_evidence(&evidence).unwrap();
        assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new(), "{filter:?}");

        let mut lie = evidence.clone();
        lie.receipt.body.retrieval.filter = Some(of(&[7]));
        sign(&mut lie.receipt);
        assert!(crate::verify_receipt(&lie.receipt).unwrap_err().to_string().contains("the filter leaves"), "{filter:?}");
        lie.receipt.body.candidates = None;
        sign(&mut lie.receipt);
        assert!(crate::verify_receipt(&lie.receipt).unwrap_err().to_string().contains("no candidates"), "{filter:?}");
        lie.receipt.body.candidates = body.candidates.clone();
        let mut lie = evidence;
        lie.receipt.body.retrieval.filter = None;
        sign(&mut lie.receipt);
        assert!(!rag.reexecute(&lie).await.unwrap().is_empty(), "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_said_it_first_is_paid_whoever_may_be_quoted() {
    let mut files = cold_chain();
    let again = "The recommended temperature range for storing most vaccines in a refrigerator is 2 °C to 8 °C. Pallets of syringes travel \
                 upright on a wooden frame with straps around every corner. Drivers sign a form at each border and note the hour.";
    files.push(file("mixed.md", 4, again));
    let world = World::new(&files).await;
    let rag = world.rag().await;
    let answer = rag.ask(among(&world, "again", RANGE, of(&[4]))).await.unwrap();
    assert_eq!(answer.citations[0].contributor, account(4), "{}", answer.text);
    assert_eq!((answer.shares[0].contributor, answer.shares[0].share_ppm), (account(1), 1_000_000));
    let evidence = rag.evidence(answer.receipt.body.answer_id).await.unwrap();
    verify_evidence(&evidence).unwrap();
    assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());

    // who is paid for having said it first is not quoted
    let mut lie = evidence.clone();
    let first = lie.receipt.body.sources.iter().position(|source| source.contributor == account(1)).unwrap();
    lie.receipt.body.segments[0].source = first as u64;
    sign(&mut lie.receipt);
    assert!(crate::verify_receipt(&lie.receipt).unwrap_err().to_string().contains("which is quoted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_nobody_is_declined_and_what_is_no_filter_is_refused() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    for (id, filter) in [("nobody", of(&[9])), ("unlicensed", Filter { licences: vec!["MIT".into()], ..Filter::default() })] {
        let answer = rag.ask(among(&world, id, RANGE, filter)).await.unwrap();
        assert_eq!((answer.citations.len(), ids(&answer).len()), (0, 0));
        let evidence = rag.evidence(answer.receipt.body.answer_id).await.unwrap();
        assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());
    }
    for filter in [Filter::default(), Filter { licences: vec![String::new()], ..Filter::default() }] {
        assert!(matches!(rag.ask(among(&world, "bad", RANGE, filter)).await, Err(RagError::InvalidRequest(_))));
    }
    rag.ask(among(&world, "same", RANGE, of(&[2]))).await.unwrap();
    rag.ask(among(&world, "same", RANGE, of(&[2, 2]))).await.unwrap();
    for other in [world.request("same", RANGE), among(&world, "same", RANGE, of(&[1]))] {
        assert!(matches!(rag.ask(other).await, Err(RagError::Conflict(_))));
    }
}

/// A copy is another member with the same chunk: it is found once, and as the one that was registered first.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_two_contributors_is_one_candidate() {
    let asked = "# How cold is dry ice?\n\n# How cold is dry ice?\n\nDry ice is as cold as -78.5 °C.";
    let faq = "How cold is dry ice? Dry ice is as cold as -78.5 °C. What is this about? See also the next page.";
    let files = [file("faq.md", 1, faq), file("faq.md", 2, faq), file("notes.md", 3, asked), file("notes.md", 4, asked)];
    let world = World::new(&files).await;
    submit(&world, &files, &[("CC-BY-NC-4.0", 1), ("MIT", 2), ("CC-BY-NC-4.0", 1), ("MIT", 2)]).await;
    let rag = world.rag().await;
    let answer = rag.ask(world.request("copies", "How cold is dry ice?")).await.unwrap();
    crate::verify_receipt(&answer.receipt).unwrap();
    for (id, filter) in [("mit", Filter { licences: vec!["MIT".into()], ..Filter::default() }), ("two", of(&[2, 4]))] {
        let answer = rag.ask(among(&world, id, "How cold is dry ice?", filter)).await.unwrap();
        crate::verify_receipt(&answer.receipt).unwrap();
        assert!(answer.receipt.body.sources.iter().all(|source| [account(2), account(4)].contains(&source.contributor)), "{id}");
    }
}
