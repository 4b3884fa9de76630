use schemas::ids::DocumentId;
use schemas::leaves::VersionLeaf;
use schemas::merkle::{self, StandardMerkleTree};
use store::Store;

use super::*;
use crate::IngestConfig;
use crate::test_support::*;

/// A Datanet with one document each of Alice and Bob; their ids.
async fn two_documents(ingest: &Ingest, datanet: DatanetId) -> (DocumentId, DocumentId) {
    let alice = submit(ingest, ALICE, datanet, &[("a.txt", &prose(1, 40))]).await;
    let bob = submit(ingest, BOB, datanet, &[("b.txt", &prose(2, 40))]).await;
    (alice.documents[0].document_id, bob.documents[0].document_id)
}

async fn decide(ingest: &Ingest, datanet: DatanetId, document: DocumentId, what: &str, code: &str) {
    ingest.review(decision(CURATOR, datanet, document, what, code, 0)).await.unwrap();
}

#[tokio::test]
async fn accepted_documents_become_versions() {
    let (ingest, datanet) = service().await;
    let id = datanet.datanet_id;
    let (alice, bob) = two_documents(&ingest, id).await;
    assert!(matches!(ingest.preview(id).await, Err(IngestError::NothingToPublish(_))));

    decide(&ingest, id, alice, "accept", "").await;
    let preview = ingest.preview(id).await.unwrap();
    assert_eq!((preview.version, preview.parent_root, preview.removed), (1, B256::ZERO, 0));
    assert_eq!((preview.added, preview.document_count, preview.contributor_count), (preview.chunk_count, 1, 1));
    let first = ingest.publish(publication(CURATOR, id, &preview)).await.unwrap();
    assert!(matches!(ingest.preview(id).await, Err(IngestError::NothingToPublish(_))));

    decide(&ingest, id, bob, "accept", "").await;
    decide(&ingest, id, alice, "reject", "off_topic").await;
    let preview = ingest.preview(id).await.unwrap();
    assert_eq!((preview.version, preview.parent_root, preview.removed), (2, first.root, first.chunk_count));
    let second = ingest.publish(publication(OWNER, id, &preview)).await.unwrap();
    assert_eq!(ingest.versions(id).await.unwrap(), [first.clone(), second.clone()]);

    for (version, document) in [(&first, alice), (&second, bob)] {
        let members = ingest.store().members(id, version.lance_version).await.unwrap();
        assert_eq!(members.len() as u64, version.chunk_count);
        assert!(members.iter().all(|chunk| chunk.document_id == document));
        let leaves: Vec<B256> = members.iter().map(|chunk| VersionLeaf::of(chunk).hash()).collect();
        let tree = StandardMerkleTree::new(&leaves).unwrap();
        for (index, leaf) in leaves.iter().enumerate() {
            assert!(merkle::verify(version.root, *leaf, &tree.proof(index).unwrap()));
        }
    }
    decide(&ingest, id, bob, "reject", "off_topic").await;
    assert!(matches!(ingest.preview(id).await, Err(IngestError::NothingToPublish(_))), "a version has at least one chunk");
}

#[tokio::test]
async fn only_what_was_signed_is_published() {
    let (ingest, datanet) = service().await;
    let id = datanet.datanet_id;
    let (alice, bob) = two_documents(&ingest, id).await;
    decide(&ingest, id, alice, "accept", "").await;
    let preview = ingest.preview(id).await.unwrap();
    let stale = publication(CURATOR, id, &preview);
    let mut forged = stale.clone();
    forged.chunk_count += 1;
    let wrong = |change: &dyn Fn(&mut Preview)| {
        let mut preview = preview.clone();
        change(&mut preview);
        publication(CURATOR, id, &preview)
    };
    let cases = [
        (forged, "Unauthorised"),
        (publication(ALICE, id, &preview), "Forbidden"),
        (wrong(&|preview| preview.version = 2), "Conflict"),
        (wrong(&|preview| preview.version = 0), "Conflict"),
        (wrong(&|preview| preview.parent_root = B256::repeat_byte(1)), "Conflict"),
        (wrong(&|preview| preview.root = B256::repeat_byte(1)), "Conflict"),
        (wrong(&|preview| preview.chunk_count += 1), "Conflict"),
    ];
    for (publication, expected) in cases {
        let error = ingest.publish(publication).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
    }
    decide(&ingest, id, bob, "accept", "").await;
    assert!(matches!(ingest.publish(stale.clone()).await, Err(IngestError::Conflict(_))), "something was accepted since");
    decide(&ingest, id, bob, "reject", "licence").await;

    let published = ingest.publish(stale.clone()).await.unwrap();
    assert_eq!(ingest.publish(stale).await.unwrap(), published, "the same publication again is the same row");
    let rival = publication(OWNER, id, &preview);
    assert!(matches!(ingest.publish(rival).await, Err(IngestError::Conflict(_))));
}

#[tokio::test]
async fn a_crash_while_publishing_is_repaired_by_trying_again() {
    for step in [Step::MembersWritten, Step::VersionCommitted] {
        let (ingest, datanet) = service().await;
        let id = datanet.datanet_id;
        let (alice, bob) = two_documents(&ingest, id).await;
        decide(&ingest, id, alice, "accept", "").await;
        let preview = ingest.preview(id).await.unwrap();
        let signed = publication(CURATOR, id, &preview);
        crash_at(&ingest, step);
        assert!(matches!(ingest.publish(signed.clone()).await, Err(IngestError::Crashed(at)) if at == format!("{step:?}")));
        let committed = step == Step::VersionCommitted;
        assert_eq!(ingest.versions(id).await.unwrap().len(), usize::from(committed));

        let ingest = service_on(ingest.store().clone());
        if !committed {
            // The members that the crash left behind are not the version that is published in the end.
            decide(&ingest, id, bob, "accept", "").await;
            let preview = ingest.preview(id).await.unwrap();
            let row = ingest.publish(publication(CURATOR, id, &preview)).await.unwrap();
            assert_eq!(ingest.store().members(id, row.lance_version).await.unwrap().len() as u64, preview.chunk_count);
        }
        assert_eq!(ingest.publish(signed).await.is_ok(), committed, "{step:?}");
        assert_eq!(ingest.versions(id).await.unwrap().len(), 1, "{step:?}");
    }
}

#[tokio::test]
async fn datanets_and_versions_are_owed_to_the_chain() {
    let (ingest, datanet) = service().await;
    let id = datanet.datanet_id;
    assert_eq!(ingest.create_datanet(cold_chain()).await.unwrap(), datanet, "the same again is the same row");
    let mut other = cold_chain();
    other.curators.reverse();
    assert_eq!(ingest.create_datanet(other.clone()).await.unwrap(), datanet, "curators are a set");
    other.title.push('!');
    assert!(matches!(ingest.create_datanet(other).await, Err(IngestError::Conflict(_))));
    assert_eq!(ingest.datanet("cold-chain").await.unwrap(), ingest.datanet(&id.to_string()).await.unwrap());

    assert_eq!(ingest.pending_registrations(&[]).await.unwrap(), [datanet.clone()]);
    assert_eq!(ingest.pending_registrations(&[id]).await.unwrap(), []);
    let call = crate::registration_call(&datanet);
    assert_eq!(schemas::hashing::datanet_id(datanet.owner, "cold-chain"), id);
    assert_eq!((call.metadataHash, call.policyHash), (datanet.metadata_hash, datanet.policy_hash));

    let (alice, _) = two_documents(&ingest, id).await;
    decide(&ingest, id, alice, "accept", "").await;
    let row = ingest.publish(publication(CURATOR, id, &ingest.preview(id).await.unwrap())).await.unwrap();
    let owed = async |anchored: &[crate::AnchoredVersion]| ingest.anchorings(anchored).await.unwrap().remove(0).1;
    assert_eq!(owed(&[]).await, crate::Anchoring::Owed(Box::new(row.clone())));
    let anchored = crate::AnchoredVersion { datanet_id: id, version: 1, root: row.root, committer: datanet.owner };
    assert_eq!(owed(&[anchored]).await, crate::Anchoring::Level);
    let call = crate::anchor_call(&row);
    assert_eq!((call.version, call.root, call.parentRoot, call.chunkCount), (1, row.root, B256::ZERO, row.chunk_count));
}

/// Fourteen uploads that are rejected, each 0.8 like the one before, lead from a published text to one that somebody honest
/// sends in: they move no cluster.
#[tokio::test]
async fn a_chain_of_rejected_uploads_ties_nothing() {
    let (ingest, datanet) = service().await;
    let id = datanet.datanet_id;
    let words: Vec<String> = (0..130).map(|n| format!("word{n}")).collect();
    let text = |step: usize| format!("{}.", words[step * 5..step * 5 + 60].join(" "));
    let published = submit(&ingest, ALICE, id, &[("a.txt", &text(0))]).await;
    decide(&ingest, id, published.documents[0].document_id, "accept", "").await;
    for step in 1..=13 {
        let sent = submit(&ingest, BOB, id, &[(&format!("{step}.txt"), &text(step))]).await;
        assert_eq!(sent.documents[0].duplicate_chunks, 1, "step {step} is like the one before it");
        decide(&ingest, id, sent.documents[0].document_id, "reject", "low_quality").await;
    }
    let honest = submit(&ingest, 9, id, &[("x.txt", &text(14))]).await;
    decide(&ingest, id, honest.documents[0].document_id, "accept", "").await;
    let row = ingest.publish(publication(CURATOR, id, &ingest.preview(id).await.unwrap())).await.unwrap();
    let members = ingest.store().members(id, row.lance_version).await.unwrap();
    assert_eq!(members.len(), 2);
    for member in members {
        assert_eq!((member.cluster_id, member.duplicate_of, member.similarity_ppm), (member.chunk_id, None, None));
    }
    // what was said of it when it came counts everything that had been sent in, and ties it to the published one neither
    let (_, chunks) = ingest.document(honest.documents[0].document_id).await.unwrap();
    let (_, first) = ingest.document(published.documents[0].document_id).await.unwrap();
    assert!(chunks[0].duplicate_of.is_some() && chunks[0].cluster_id != first[0].chunk_id);
}

/// A copy of what is only pending is no copy in the version.
#[tokio::test]
async fn clusters_are_those_of_the_members() {
    let (ingest, datanet) = service().await;
    let id = datanet.datanet_id;
    let text = prose(21, 12);
    let pending = submit(&ingest, ALICE, id, &[("pending.txt", &text)]).await;
    let copy = submit(&ingest, BOB, id, &[("copy.txt", &text)]).await;
    decide(&ingest, id, copy.documents[0].document_id, "accept", "").await;
    let clusters = async |version: &VersionRow| -> Vec<bool> {
        let members = ingest.store().members(id, version.lance_version).await.unwrap();
        members.iter().map(|member| member.duplicate_of.is_some()).collect()
    };
    let first = ingest.publish(publication(CURATOR, id, &ingest.preview(id).await.unwrap())).await.unwrap();
    assert!(clusters(&first).await.iter().all(|is_copy| !is_copy));
    decide(&ingest, id, pending.documents[0].document_id, "accept", "").await;
    let second = ingest.publish(publication(CURATOR, id, &ingest.preview(id).await.unwrap())).await.unwrap();
    assert_eq!(clusters(&second).await.iter().filter(|is_copy| **is_copy).count(), clusters(&first).await.len());
}

/// A service that has compared nothing yet takes the fingerprints that are kept, and gives every member the standing that its text
/// gives; where the file is damaged, texts fill in.
#[tokio::test]
async fn a_start_publishes_by_the_fingerprints_that_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory().await.unwrap();
    let with = |duplicates_dir: Option<&std::path::Path>| {
        let config = IngestConfig { duplicates_dir: duplicates_dir.map(std::path::Path::to_owned), ..config() };
        Ingest::new(store.clone(), std::sync::Arc::new(engine::HashingEmbedder::new()), config)
    };
    let ingest = with(Some(folder.path()));
    let id = ingest.create_datanet(cold_chain()).await.unwrap().datanet_id;
    for (n, who) in [ALICE, BOB, ALICE, BOB].into_iter().enumerate() {
        let (own, shared) = (prose(n as u64, 30), prose(40, 20));
        let name = format!("{n}.txt");
        let report = submit(&ingest, who, id, &[(&name, &own), ("shared.txt", &format!("{shared} {n}"))]).await;
        for document in report.documents {
            if n != 2 {
                decide(&ingest, id, document.document_id, "accept", "").await;
            }
        }
    }
    let standings = async |ingest: &Ingest| {
        let datanet = ingest.datanet(&id.to_string()).await.unwrap();
        let before = store.reads();
        let next = ingest.next_version(&datanet).await.unwrap();
        let after = store.reads();
        let members: Vec<String> = next.members.iter().map(|member| format!("{member:?}")).collect();
        (next.preview.clone(), members, after.rows - before.rows)
    };
    let (preview, members, rows_of_texts) = standings(&with(None)).await;
    assert!(members.iter().any(|member| !member.contains("duplicate_of: None")), "{members:?}");
    let path = folder.path().join(format!("{id}.fingerprints"));
    let whole = std::fs::read(&path).unwrap();
    for kept in [&whole[..], &whole[..whole.len() / 2], b"something else"] {
        std::fs::write(&path, kept).unwrap();
        let (again, as_before, _) = standings(&with(Some(folder.path()))).await;
        assert_eq!((&again, &as_before), (&preview, &members), "{} bytes", kept.len());
    }
    // what was damaged is whole again, and then no text is read
    let started = with(Some(folder.path()));
    drop(started.duplicates(id).await.unwrap());
    let (_, as_before, rows) = standings(&started).await;
    assert_eq!(as_before, members);
    assert!(rows + preview.chunk_count <= rows_of_texts, "{rows} rows, with texts {rows_of_texts}");
}

/// Publishing reads what was added, however much is published, and gives what reading everything gives; also where what is accepted
/// later was sent in earlier, where something is taken back, and where somebody else put the dataset in order.
#[tokio::test]
async fn publishing_again_reads_what_was_added() {
    let (ingest, datanet) = service().await;
    let id = datanet.datanet_id;
    let mut documents = Vec::new();
    for n in 0..8_u64 {
        let (own, shared) = (prose(n, 30), format!("{} {n}", prose(70 + n / 2, 20)));
        let report = submit(&ingest, [ALICE, BOB][n as usize % 2], id, &[("a.txt", &own), ("b.txt", &shared)]).await;
        documents.push(report.documents.iter().map(|document| document.document_id).collect::<Vec<_>>());
    }
    let mut rows = Vec::new();
    // In the last two rounds order and membership change: all is read then.
    for (round, (accepted, rejected)) in
        [(vec![0, 1, 2, 4], None), (vec![5], None), (vec![6], None), (vec![3], None), (vec![7], Some(1))].into_iter().enumerate()
    {
        for document in accepted.iter().flat_map(|n: &usize| &documents[*n]) {
            decide(&ingest, id, *document, "accept", "").await;
        }
        for document in rejected.iter().flat_map(|n: &usize| &documents[*n]) {
            decide(&ingest, id, *document, "reject", "off_topic").await;
        }
        let row = datanet_row(&ingest, id).await;
        let before = ingest.store().reads().rows;
        let next = ingest.next_version(&row).await.unwrap();
        let published = ingest.publish(publication(CURATOR, id, &next.preview)).await.unwrap();
        rows.push(ingest.store().reads().rows - before);
        // Another service knows nothing and reads everything.
        let fresh = service_on(ingest.store().clone()).next_version(&row).await;
        assert!(matches!(fresh, Err(IngestError::NothingToPublish(_))), "round {round}: the root is another");
        let members = ingest.store().members(id, published.lance_version).await.unwrap();
        let mut expected = next.members.to_vec();
        expected.sort_by_key(MemberRow::key);
        assert_eq!(members.iter().map(MemberRow::of).collect::<Vec<_>>(), expected, "round {round}");
        assert!(expected.iter().any(|member| member.duplicate_of.is_some()), "round {round}");
        if round == 1 {
            let retention = store::Retention::default();
            ingest.store().upkeep(&retention, store::Effort::Everything).await.unwrap();
        }
    }
    assert!(rows[1] < rows[0] && rows[2] < rows[0] && rows[3] > rows[2], "{rows:?}");
}

async fn datanet_row(ingest: &Ingest, id: DatanetId) -> DatanetRow {
    ingest.datanet(&id.to_string()).await.unwrap()
}
