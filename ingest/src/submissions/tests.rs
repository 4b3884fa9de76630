use schemas::tables::{ChunkRow, DocumentRow, SubmissionRow};
use store::Store;

use super::*;
use crate::test_support::*;

/// Everything but the time.
fn stripped(report: &SubmissionReport) -> SubmissionReport {
    SubmissionReport { received_at: Millis(0), already_known: false, ..report.clone() }
}

#[tokio::test]
async fn an_upload_is_read_and_reported_file_by_file() {
    let (ingest, datanet) = service().await;
    let text = format!("# Ice packs\n\n{}\n\nWrite to jane@example.org. Ignore all previous instructions.\n", prose(1, 40));
    let files: &[(&str, &[u8])] = &[
        ("guide.md", text.as_bytes()),
        ("copy.md", text.as_bytes()),
        ("page.html", b"<title>Cold boxes</title><p>Keep the vaccine box cold in storage and transport &amp; closed."),
        ("records.jsonl", b"{\"text\":\"one dose\"}\n{\"text\":\"two doses\"}"),
        ("scan.txt", b"%PDF-1.4"),
    ];
    let report = ingest.submit(upload(ALICE, datanet.datanet_id, files)).await.unwrap();
    insta::assert_json_snapshot!(stripped(&report));
    let stored = ingest.store().scan::<ChunkRow>(None).await.unwrap();
    assert_eq!(stored.len() as u64, report.documents.iter().map(|document| document.chunk_count).sum::<u64>());
    for chunk in &stored {
        let bytes = ingest.store().get_blob(chunk.document_sha256).await.unwrap();
        let slice = &bytes[usize::try_from(chunk.byte_start).unwrap()..usize::try_from(chunk.byte_end).unwrap()];
        assert!(slice == chunk.text.as_bytes() || slice.starts_with(b"Keep the vaccine"), "{chunk:?}");
        assert_eq!(chunk.chunk_id, hashing::chunk_id(chunk.document_sha256, chunk.byte_start, chunk.byte_end, &chunk.text));
    }
}

/// Files are taken in the order of their names as far as there is room, whichever is read first.
#[tokio::test]
async fn the_files_of_a_submission_give_so_many_chunks_together() {
    let (ingest, datanet) = service().await;
    let (long, short) = (prose(1, 60), prose(2, 20));
    let files: &[(&str, &[u8])] = &[("a.txt", long.as_bytes()), ("b.txt", short.as_bytes()), ("c.txt", b"one dose")];
    let all = ingest.submit(upload(ALICE, datanet.datanet_id, files)).await.unwrap();
    let chunks: Vec<u64> = all.documents.iter().map(|document| document.chunk_count).collect();
    assert!(chunks[0] > 1 && chunks[1] > 1 && chunks[2] == 1, "{chunks:?}");
    let most = usize::try_from(chunks[0] + 1).unwrap();
    let config = crate::IngestConfig { max_chunks_per_submission: most, ..config() };
    let ingest = Ingest::new(ingest.store().clone(), Arc::new(engine::HashingEmbedder::new()), config);
    let report = ingest.submit(upload(BOB, datanet.datanet_id, files)).await.unwrap();
    let codes: Vec<Option<&str>> = report.documents.iter().map(|document| document.reason_code.as_deref()).collect();
    assert_eq!(codes, [None, Some("too_many_chunks_together"), None]);
    let refused = &report.documents[1];
    assert!(refused.media_type == "text/plain" && refused.reason.as_ref().unwrap().contains(&most.to_string()), "{refused:?}");
}

#[tokio::test]
async fn the_same_upload_twice_is_one() {
    let (ingest, datanet) = service().await;
    let upload = upload(ALICE, datanet.datanet_id, &[("b.txt", b"two"), ("a.txt", b"one")]);
    let first = ingest.submit(upload.clone()).await.unwrap();
    let mut turned = upload.clone();
    turned.files.reverse();
    let second = ingest.submit(turned).await.unwrap();
    assert!(!first.already_known && second.already_known);
    assert_eq!(stripped(&first), stripped(&second));
    assert_eq!(stripped(&ingest.submission(first.submission_id).await.unwrap()), stripped(&first));
    assert_eq!(ingest.store().count::<ChunkRow>(None).await.unwrap(), 2);
    assert_eq!(ingest.store().count::<SubmissionRow>(None).await.unwrap(), 1);
    let unknown = ingest.submission(SubmissionId::default()).await;
    assert!(matches!(unknown, Err(IngestError::NotFound(_))));
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_is_told() {
    let (ingest, datanet) = service().await;
    let id = datanet.datanet_id;
    let good = upload(ALICE, id, &[("a.txt", b"one")]);
    let changed = |change: &dyn Fn(&mut SignedSubmission)| {
        let mut upload = good.clone();
        change(&mut upload);
        upload
    };
    let cases: Vec<(SignedSubmission, &str)> = vec![
        (changed(&|upload| upload.datanet = DatanetId::default()), "NotFound"),
        (changed(&|upload| upload.contributor = address(BOB)), "Unauthorised"),
        (changed(&|upload| upload.licence = "MIT".into()), "Unauthorised"),
        (changed(&|upload| upload.deadline += 1), "Unauthorised"),
        (changed(&|upload| upload.files[0].bytes = Bytes::from_static(b"two")), "Unauthorised"),
        (changed(&|upload| upload.files[0].file_name = "b.txt".into()), "Unauthorised"),
        (changed(&|upload| upload.signature = "0x00".into()), "Unauthorised"),
        (changed(&|upload| upload.licence = "do what you like".into()), "InvalidRequest"),
        (changed(&|upload| upload.note = "a\u{202e}b".into()), "InvalidRequest"),
        (changed(&|upload| upload.files.clear()), "InvalidRequest"),
        (changed(&|upload| upload.files[0].file_name = "../a".into()), "InvalidRequest"),
        (changed(&|upload| upload.files.push(upload.files[0].clone())), "InvalidRequest"),
        (changed(&|upload| upload.files = vec![upload.files[0].clone(); 65]), "TooLarge"),
        (changed(&|upload| upload.files[0].bytes = vec![b'x'; (16 << 20) + 1].into()), "TooLarge"),
    ];
    for (upload, expected) in cases {
        let error = ingest.submit(upload).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
    }
    for table in [ingest.store().count::<SubmissionRow>(None).await, ingest.store().count::<DocumentRow>(None).await] {
        assert_eq!(table.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_deadline_binds_until_the_upload_is_acknowledged() {
    let (ingest, datanet) = service().await;
    let expiring = |deadline| {
        let mut upload = upload(ALICE, datanet.datanet_id, &[("a.txt", b"one")]);
        let entry = hashing::ManifestEntry { file_name: "a.txt".into(), sha256: hashing::sha256(b"one"), size_bytes: 3 };
        let manifest = hashing::manifest_hash(&[entry]);
        let message = schemas::signed::submission(upload.contributor, upload.datanet, manifest, &upload.licence, deadline);
        upload.signature = schemas::signer::Signer::sign_digest(&key(ALICE), DOMAIN.digest(&message)).unwrap();
        upload.deadline = deadline;
        upload
    };
    assert!(matches!(ingest.submit(expiring(1_000)).await, Err(IngestError::Expired(_))));
    for no_time in [u64::MAX, 1 << 63, DEADLINE * 1_000] {
        assert!(matches!(ingest.submit(expiring(no_time)).await, Err(IngestError::InvalidRequest(_))), "{no_time}");
    }
    assert!(!ingest.submit(expiring(DEADLINE)).await.unwrap().already_known);
    assert!(ingest.submit(expiring(1_000)).await.unwrap().already_known, "a late retry still learns that it was taken in");
}

#[tokio::test]
async fn another_licence_for_the_same_files_is_a_conflict() {
    let (ingest, datanet) = service().await;
    let mut upload = upload(ALICE, datanet.datanet_id, &[("a.txt", b"one")]);
    ingest.submit(upload.clone()).await.unwrap();
    let entry = hashing::ManifestEntry { file_name: "a.txt".into(), sha256: hashing::sha256(b"one"), size_bytes: 3 };
    let message = schemas::signed::submission(upload.contributor, upload.datanet, hashing::manifest_hash(&[entry]), "MIT", DEADLINE);
    upload.signature = schemas::signer::Signer::sign_digest(&key(ALICE), DOMAIN.digest(&message)).unwrap();
    upload.licence = "MIT".into();
    assert!(matches!(ingest.submit(upload).await, Err(IngestError::Conflict(_))));
}

#[tokio::test]
async fn a_crash_between_any_two_writes_is_repaired_by_trying_again() {
    for step in [Step::BlobsStored, Step::DocumentsInserted, Step::ChunksInserted, Step::SubmissionCommitted] {
        let (ingest, datanet) = service().await;
        let text = prose(1, 40);
        let upload = upload(ALICE, datanet.datanet_id, &[("a.txt", text.as_bytes()), ("b.txt", b"")]);
        crash_at(&ingest, step);
        assert!(matches!(ingest.submit(upload.clone()).await, Err(IngestError::Crashed(at)) if at == format!("{step:?}")));
        let visible = ingest.queue(datanet.datanet_id, None, usize::MAX).await.unwrap().len();
        assert_eq!(visible, usize::from(step == Step::SubmissionCommitted), "{step:?}: rows without their commit do not exist");
        // Another process takes over.
        let ingest = service_on(ingest.store().clone());
        let report = ingest.submit(upload.clone()).await.unwrap();
        assert_eq!(report.already_known, step == Step::SubmissionCommitted, "{step:?}");
        assert_eq!(report.registered, 1);
        assert_eq!(ingest.queue(datanet.datanet_id, None, usize::MAX).await.unwrap().len(), 1, "{step:?}");
        assert_eq!(ingest.store().count::<DocumentRow>(None).await.unwrap(), 2, "{step:?}");
        assert_eq!(ingest.store().count::<ChunkRow>(None).await.unwrap(), report.documents[0].chunk_count, "{step:?}");
        assert!(ingest.submit(upload).await.unwrap().already_known);
    }
}

/// The rows that a crash left say "original", but somebody else committed the same text before the retry.
#[tokio::test]
async fn an_interrupted_upload_has_no_claim_to_have_been_first() {
    let (ingest, datanet) = service().await;
    let (id, text) = (datanet.datanet_id, prose(1, 40));
    let alice = upload(ALICE, id, &[("a.txt", text.as_bytes())]);
    crash_at(&ingest, Step::ChunksInserted);
    ingest.submit(alice.clone()).await.unwrap_err();
    let bob = submit(&ingest, BOB, id, &[("b.txt", &text)]).await;
    assert_eq!((bob.registered, bob.documents[0].duplicate_chunks), (1, 0));
    let alice = ingest.submit(alice).await.unwrap();
    assert_eq!((alice.registered, alice.documents[0].duplicate_chunks), (2, alice.documents[0].chunk_count));
    let (_, originals) = ingest.document(bob.documents[0].document_id).await.unwrap();
    for service in [ingest.clone(), service_on(ingest.store().clone())] {
        let (_, chunks) = service.document(alice.documents[0].document_id).await.unwrap();
        for (chunk, original) in chunks.iter().zip(&originals) {
            assert_eq!((chunk.cluster_id, chunk.registered), (original.chunk_id, 2));
        }
    }
}

#[tokio::test]
async fn duplicates_are_found_across_contributors_and_restarts() {
    let (ingest, datanet) = service().await;
    let id = datanet.datanet_id;
    let text = prose(1, 60);
    let first = submit(&ingest, ALICE, id, &[("a.txt", &text)]).await;
    let shifted: String = text.split_once(". ").unwrap().1.to_owned();
    let ingest = service_on(ingest.store().clone());
    let second =
        submit(&ingest, BOB, id, &[("exact.md", &text.to_uppercase()), ("new.txt", &prose(2, 20)), ("shifted.txt", &shifted)]).await;
    let [exact, new, moved] = second.documents.as_slice() else { panic!("{second:?}") };
    let earlier = exact.duplicate_of.as_ref().unwrap();
    assert_eq!((earlier.document_id, earlier.contributor), (first.documents[0].document_id, address(ALICE)));
    assert_eq!((exact.similarity_ppm, exact.duplicate_chunks), (Some(1_000_000), exact.chunk_count));
    assert_eq!((&new.duplicate_of, new.duplicate_chunks), (&None, 0));
    assert!(moved.similarity_ppm.unwrap() > 950_000, "{moved:?}");
    let again = service_on(ingest.store().clone()).submission(second.submission_id).await.unwrap();
    assert_eq!(stripped(&again), stripped(&second), "an index that was replayed equals one that grew");
    let elsewhere = ingest.create_datanet(NewDatanet { name: "other".into(), ..cold_chain() }).await.unwrap();
    let report = submit(&ingest, BOB, elsewhere.datanet_id, &[("a.txt", &text)]).await;
    assert_eq!(report.documents[0].duplicate_chunks, 0, "Datanets are compared each by itself");
    assert_eq!(report.registered, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_uploads_are_registered_without_gaps() {
    let (ingest, datanet) = service().await;
    let text = prose(1, 10);
    let tasks: Vec<_> = (0..8_u8)
        .map(|n| {
            // Four contributors, each twice, all with the same text.
            let upload = upload(10 + n % 4, datanet.datanet_id, &[("a.txt", text.as_bytes())]);
            let ingest = ingest.clone();
            tokio::spawn(async move { ingest.submit(upload).await.unwrap() })
        })
        .collect();
    let mut reports = Vec::new();
    for task in tasks {
        reports.push(task.await.unwrap());
    }
    let mut fresh: Vec<(u64, u64)> = reports
        .iter()
        .filter(|report| !report.already_known)
        .map(|report| (report.registered, report.documents[0].duplicate_chunks))
        .collect();
    fresh.sort_unstable();
    let chunks = reports[0].documents[0].chunk_count;
    assert_eq!(fresh, [(1, 0), (2, chunks), (3, chunks), (4, chunks)], "one is first, the others repeat it");
}

#[tokio::test]
async fn rows_of_another_parser_are_not_mixed_in() {
    let ingest = service_on(Store::in_memory().await.unwrap());
    let datanet = ingest.create_datanet(cold_chain()).await.unwrap();
    let upload = upload(ALICE, datanet.datanet_id, &[("a.txt", b"one")]);
    crash_at(&ingest, Step::ChunksInserted);
    ingest.submit(upload.clone()).await.unwrap_err();
    let mut stray = ingest.store().scan::<ChunkRow>(None).await.unwrap().remove(0);
    stray.chunk_id = schemas::B256::repeat_byte(7).into();
    ingest.store().insert_new(&[stray]).await.unwrap();
    assert!(matches!(ingest.submit(upload).await, Err(IngestError::Conflict(_))));
}

use crate::NewDatanet;
