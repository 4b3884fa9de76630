use std::sync::{Arc, Mutex};

use schemas::allocation::PPM;
use schemas::alloy_primitives::keccak256;
use schemas::receipt::AnswerStatus;
use schemas::tables::{AnswerRow, AttributionRow, ReceiptRow, Wei};

use super::world::{World, account, cold_chain, files_below, ids};
use crate::{Answer, Evidence, RagError, verify_evidence, verify_receipt};

const RANGE: &str = "At what temperature range should most vaccines be stored in a refrigerator?";

/// What a reader sees of an answer.
fn shown(answer: &Answer) -> String {
    let mut text = format!("{}\n", answer.text);
    for citation in &answer.citations {
        let file = citation.file_name.as_deref().unwrap_or("?");
        text += &format!(
            "[{}..{}] {file} {}..{} {}\n",
            citation.start, citation.end, citation.source_byte_start, citation.source_byte_end, citation.contributor
        );
    }
    for share in &answer.shares {
        text += &format!("{} {}{}\n", share.contributor, share.share_ppm, if share.copy_of.is_some() { " copy" } else { "" });
    }
    text + &format!("unattributed {}\n", answer.receipt.body.unattributed_ppm)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_quotes_pays_and_proves() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let answer = world.ask(&rag, RANGE).await;
    insta::assert_snapshot!(shown(&answer));
    let body = &answer.receipt.body;
    assert_eq!((body.sequence, body.status, body.version), (1, AnswerStatus::Answered, 1));
    assert_eq!(body.fee_wei, Wei(1_000_003));
    assert_eq!(body.answer_hash, keccak256(&answer.text));
    verify_receipt(&answer.receipt).unwrap();
    verify_evidence(&rag.evidence(body.answer_id).await.unwrap()).unwrap();
    for citation in &answer.citations {
        // offsets are exact in the answer and in the file
        assert_eq!(&answer.text[citation.start as usize..citation.end as usize], citation.quote);
        let file = cold_chain().into_iter().find(|file| Some(&file.name) == citation.file_name.as_ref()).unwrap();
        assert_eq!(&file.text[citation.source_byte_start as usize..citation.source_byte_end as usize], citation.quote);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stage_of_an_answer_is_told_once() {
    let world = World::new(&cold_chain()).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = told.clone();
    let rag = world.rag().await.with_stage_listener(move |stage, _| listener.lock().unwrap().push(stage.as_str()));
    world.ask(&rag, RANGE).await;
    assert_eq!(*told.lock().unwrap(), ["queue", "open", "embed", "retrieve", "read", "attribute", "receipt"]);
    assert_eq!(rag.pending_receipts(), 1);
    rag.drain().await.unwrap();
    assert_eq!(rag.pending_receipts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_source_says_is_declined() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    for question in ["Who won the 1998 football World Cup?", "What does a pack of atorvastatin cost in Portugal?"] {
        let answer = world.ask(&rag, question).await;
        let body = &answer.receipt.body;
        assert_eq!(answer.text, "The Datanet does not hold an answer to this question.");
        assert_eq!((body.status, body.unattributed_ppm, body.fee_wei), (AnswerStatus::Declined, PPM, Wei(0)));
        assert!(answer.citations.is_empty() && answer.shares.is_empty() && body.segments.is_empty());
        verify_evidence(&rag.evidence(body.answer_id).await.unwrap()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told_apart() {
    let world = World::new(&[]).await;
    let rag = world.rag().await;
    let ask = async |question: &str| rag.ask(world.request("r", question)).await.unwrap_err();
    assert!(matches!(ask(" ?! ").await, RagError::InvalidQuestion(_)));
    assert!(matches!(ask(&"long ".repeat(1000)).await, RagError::InvalidQuestion(_)));
    assert!(matches!(ask("Anything?").await, RagError::NothingPublished(_)));
    let unpaid = crate::AskRequest { payer: None, ..world.request("r", "Anything?") };
    assert!(matches!(rag.ask(unpaid).await, Err(RagError::InvalidRequest(_))));
    let nameless = world.request("", "Anything?");
    assert!(matches!(rag.ask(nameless).await, Err(RagError::InvalidRequest(_))));
    world.publish(1, &cold_chain()).await;
    for version in [9, u64::MAX] {
        let missing = crate::AskRequest { version: Some(version), ..world.request("r", RANGE) };
        assert!(matches!(rag.ask(missing).await, Err(RagError::NotFound { .. })), "{version}");
    }
    assert!(matches!(rag.receipt(schemas::ids::AnswerId::default()).await, Err(RagError::NotFound { .. })));
    assert!(matches!(world.open().await, Err(RagError::LogLocked(_))), "one process writes receipts");
    // queries that a parser would choke on are words here
    for question in ["((((a", "text:vaccine AND \"", "vaccine~9 [* TO *] ^^", &"vaccine OR ".repeat(80)] {
        rag.ask(world.request(&question.len().to_string(), question)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_the_stored_answer() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let request = world.request("same", RANGE);
    let first = rag.ask(request.clone()).await.unwrap();
    let (a, b) = tokio::join!(rag.ask(request.clone()), rag.ask(request.clone()));
    assert_eq!((&a.unwrap(), &b.unwrap()), (&first, &first));
    rag.drain().await.unwrap();
    assert_eq!(rag.ask(request.clone()).await.unwrap(), first, "also from the tables");
    assert_eq!(rag.answer_of(first.receipt.body.answer_id).await.unwrap(), first);
    let other = rag.ask(world.request("same", "What is dry ice?")).await;
    assert!(matches!(other, Err(RagError::Conflict(_))));
    // concurrent first requests make one receipt
    let (a, b) = tokio::join!(rag.ask(world.request("new", RANGE)), rag.ask(world.request("new", RANGE)));
    assert_eq!(a.unwrap().receipt, b.unwrap().receipt);
    assert_eq!(world.ask(&rag, "What is dry ice?").await.receipt.body.sequence, 3);
}

/// A caller that goes away at any moment, and asks again: one receipt, never two.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_request_is_answered_once() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    for polls in 1..12u64 {
        let id = format!("abandoned {polls}");
        let mut first = Box::pin(rag.ask(world.request(&id, RANGE)));
        for _ in 0..polls {
            tokio::select! { biased; _ = &mut first => break, () = tokio::task::yield_now() => {} }
        }
        drop(first);
        let answer = rag.ask(world.request(&id, RANGE)).await.unwrap();
        assert_eq!(answer.receipt.body.sequence, polls);
    }
    assert_eq!(rag.drain().await.unwrap(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_pin_a_version() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let before = world.ask(&rag, RANGE).await;
    world.publish(2, &cold_chain()[2..]).await;
    let newest = rag.ask(world.request("newest", RANGE)).await.unwrap();
    assert_eq!(newest.receipt.body.version, 2);
    assert!(ids(&newest).iter().all(|id| *id != before.citations[0].chunk_id), "what version 2 dropped is not retrieved");
    let pinned = rag.ask(crate::AskRequest { version: Some(1), ..world.request("pinned", RANGE) }).await.unwrap();
    assert_eq!((&pinned.text, ids(&pinned)), (&before.text, ids(&before)));
    verify_evidence(&rag.evidence(before.receipt.body.answer_id).await.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn drained_answers_stand_in_the_tables() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let answer = world.ask(&rag, RANGE).await;
    world.ask(&rag, "Who won the 1998 football World Cup?").await;
    assert_eq!((rag.drain().await.unwrap(), rag.drain().await.unwrap()), (2, 0));
    let mut rows = world.store.scan::<AnswerRow>(None).await.unwrap();
    rows.sort_by_key(|row| row.sequence);
    assert_eq!(rows.iter().map(|row| row.status.as_str()).collect::<Vec<_>>(), ["answered", "declined"]);
    assert_eq!(rows[0].answer, answer.text);
    let attributions = world.store.scan::<AttributionRow>(None).await.unwrap();
    for share in &answer.receipt.body.shares {
        let own: u64 = attributions.iter().filter(|row| row.contributor == share.contributor).map(|row| row.share_ppm).sum();
        assert_eq!(own, share.share_ppm);
    }
    assert_eq!(world.store.count::<ReceiptRow>(None).await.unwrap(), 2);
    assert_eq!(rag.receipt(answer.receipt.body.answer_id).await.unwrap(), answer.receipt);
}

/// Whatever is changed in the evidence, verification notices.
#[tokio::test(flavor = "multi_thread")]
async fn changed_evidence_fails() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let answer = world.ask(&rag, RANGE).await;
    let evidence = rag.evidence(answer.receipt.body.answer_id).await.unwrap();
    type Change = Box<dyn Fn(&mut Evidence)>;
    let changes: Vec<(&str, Change)> = vec![
        ("question", Box::new(|e| e.question.push(' '))),
        ("salt", Box::new(|e| e.question_salt = keccak256("another"))),
        ("answer", Box::new(|e| e.answer.push('!'))),
        ("text", Box::new(|e| e.source_texts[0].push('x'))),
        ("texts", Box::new(|e| e.source_texts.truncate(1))),
        ("share", Box::new(|e| e.receipt.body.shares[0].share_ppm -= 1)),
        ("fee", Box::new(|e| e.receipt.body.fee_wei = Wei(1))),
        ("signer", Box::new(|e| e.receipt.signer = account(9))),
        ("hash", Box::new(|e| e.receipt.body_hash = keccak256("x"))),
    ];
    for (what, change) in changes {
        let mut changed = evidence.clone();
        change(&mut changed);
        assert!(verify_evidence(&changed).is_err(), "{what}");
    }
    // every byte of the receipt's text counts
    let text = serde_json::to_string(&evidence.receipt).unwrap();
    for at in (0..text.len()).step_by(7) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        if let Ok(receipt) = serde_json::from_slice::<schemas::receipt::Receipt>(&bytes)
            && receipt != evidence.receipt
        {
            assert!(verify_receipt(&receipt).is_err(), "byte {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_lies_fail_too() {
    use schemas::signer::{KeySigner, Signer};
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let answer = world.ask(&rag, RANGE).await;
    let evidence = rag.evidence(answer.receipt.body.answer_id).await.unwrap();
    let signer = KeySigner::from_bytes(&schemas::B256::repeat_byte(7)).unwrap();
    let resign = |evidence: &mut Evidence| {
        let receipt = &mut evidence.receipt;
        receipt.body_hash = receipt.body.canonical().unwrap().1;
        receipt.signature = signer.sign_digest(receipt.body.signing_digest().unwrap()).unwrap();
    };
    let mut skewed = evidence.clone();
    let first = skewed.receipt.body.sources.iter().position(|s| s.contributor == skewed.receipt.body.shares[0].contributor).unwrap();
    skewed.receipt.body.shares[0].share_ppm -= 10;
    skewed.receipt.body.source_shares_ppm[first] -= 10;
    skewed.receipt.body.unattributed_ppm += 10;
    resign(&mut skewed);
    skewed.receipt.check().unwrap();
    assert!(matches!(verify_receipt(&skewed.receipt), Err(RagError::Unproven(_))), "shares that do not follow from the table");
    let mut misplaced = evidence.clone();
    misplaced.receipt.body.segments[0].source_byte_start += 1;
    resign(&mut misplaced);
    verify_receipt(&misplaced.receipt).unwrap();
    assert!(matches!(verify_evidence(&misplaced), Err(RagError::Unproven(_))), "a quote from another place");
    let mut invented = evidence.clone();
    invented.receipt.body.value_table[0].adds_ppm.iter_mut().for_each(|adds| *adds = 0);
    let shares = crate::attribution::compute_shares(&invented.receipt.body.sources, &invented.receipt.body.value_table).unwrap();
    invented.receipt.body.shares = shares.per_contributor;
    invented.receipt.body.source_shares_ppm = shares.per_source_ppm;
    invented.receipt.body.unattributed_ppm = shares.unattributed_ppm;
    resign(&mut invented);
    verify_receipt(&invented.receipt).unwrap();
    assert!(matches!(verify_evidence(&invented), Err(RagError::Unproven(_))), "a table that the texts do not give");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_is_rebuilt() {
    let world = World::new(&cold_chain()).await;
    let expected = {
        let rag = world.rag().await;
        assert_eq!(rag.reconcile().await.unwrap(), 1);
        ids(&world.ask(&rag, RANGE).await)
    };
    let count = files_below(&world.index(1)).len();
    assert!(count > 4);
    for n in 0..count {
        // a rebuilt index has as many files, under other names
        let path = files_below(&world.index(1)).swap_remove(n);
        let mut bytes = std::fs::read(&path).unwrap();
        match bytes.len() {
            0 => bytes.push(1),
            length => bytes[length / 2] ^= 0x10,
        }
        std::fs::write(&path, &bytes).unwrap();
        let rag = world.rag().await;
        let answer = rag.ask(world.request(&format!("damaged {n}"), RANGE)).await.unwrap();
        assert_eq!(ids(&answer), expected, "{}", path.display());
    }
    for path in files_below(&world.index(1)) {
        std::fs::remove_file(path).unwrap();
    }
    let rag = world.rag().await;
    assert_eq!(ids(&rag.ask(world.request("emptied", RANGE)).await.unwrap()), expected);
}

/// An index of something else in the place of the right one is not used.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_index_is_rebuilt() {
    let world = World::new(&cold_chain()).await;
    world.publish(2, &cold_chain()[1..3]).await;
    {
        let rag = world.rag().await;
        rag.ensure_index(world.datanet.datanet_id, 1).await.unwrap();
        rag.ensure_index(world.datanet.datanet_id, 2).await.unwrap();
    }
    std::fs::remove_dir_all(world.index(2)).unwrap();
    std::fs::rename(world.index(1), world.index(2)).unwrap();
    std::fs::create_dir(world.index(1).with_file_name(".unfinished-1-0")).unwrap();
    let rag = world.rag().await;
    assert!(!world.index(1).with_file_name(".unfinished-1-0").exists());
    let answer = world.ask(&rag, "Why is the genset of a reefer container checked before loading?").await;
    assert_eq!(answer.receipt.body.status, AnswerStatus::Declined, "the reefer file is not in version 2");
}
