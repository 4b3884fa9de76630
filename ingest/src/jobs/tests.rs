use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use engine::{Embedder, EmbedderInfo, EngineError, HashingEmbedder};
use schemas::tables::{ChunkRow, DocumentRow, SubmissionRow};
use store::Store;

use super::*;
use crate::submissions::Announcement;
use crate::test_support::*;
use crate::{IngestConfig, SubmissionPage, SubmissionReport};

/// Accepts an upload as a service does.
async fn accept(ingest: &Ingest, submission: SignedSubmission) -> Result<SubmissionStatus> {
    match ingest.announce(manifest_of(&submission), None).await? {
        Announcement::Known(status) => Ok(status),
        Announcement::Expected(room) => ingest.accept(submission, room).await,
    }
}

/// Works until nothing is left to be done.
async fn work(ingest: &Ingest) {
    let idle = async {
        while matches!(ingest.job_counts(), JobCounts { queued, running, .. } if queued + running > 0) {
            tokio::task::yield_now().await;
        }
    };
    ingest.work(idle).await.unwrap();
}

async fn report(ingest: &Ingest, id: SubmissionId) -> SubmissionReport {
    match ingest.submission_status(id).await.unwrap() {
        SubmissionStatus::Done(report) => report,
        other => panic!("{other:?}"),
    }
}

async fn records(store: &Store) -> Vec<Record> {
    Record::all(store).await.unwrap()
}

/// Tells that it was reached, and waits to be opened.
type Gate = (Mutex<Sender<()>>, Mutex<Receiver<()>>);

/// The hashing embedder, as told: it waits, or fails.
#[derive(Debug)]
struct Told {
    inner: HashingEmbedder,
    /// Each batch is announced, and waits until it may go on.
    gate: Option<Gate>,
    fails: bool,
}

impl Embedder for Told {
    fn info(&self) -> &EmbedderInfo {
        self.inner.info()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        if let Some((begun, go_on)) = &self.gate {
            begun.lock().unwrap().send(()).unwrap();
            go_on.lock().unwrap().recv().unwrap();
        }
        if self.fails { Err(EngineError::Overloaded { waiting: 1 }) } else { self.inner.embed(texts) }
    }

    fn count_tokens(&self, text: &str) -> Result<usize, EngineError> {
        self.inner.count_tokens(text)
    }

    fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        self.inner.token_offsets(text)
    }
}

fn telling(store: Store, gate: Option<(Sender<()>, Receiver<()>)>, fails: bool) -> Ingest {
    let gate = gate.map(|(begun, go_on)| (Mutex::new(begun), Mutex::new(go_on)));
    let embedder = Told { inner: HashingEmbedder::new(), gate, fails };
    Ingest::new(store, Arc::new(embedder), IngestConfig { embedding_batch_texts: 1, ..config() })
}

#[tokio::test]
async fn an_accepted_upload_is_a_job_and_a_retry_finds_it() {
    let (ingest, datanet) = service().await;
    let text = prose(1, 40);
    let files: &[(&str, &[u8])] = &[("a.txt", text.as_bytes()), ("b.txt", b"\0"), ("c.txt", text.as_bytes())];
    let upload = upload(ALICE, datanet.datanet_id, files);
    let accepted = accept(&ingest, upload.clone()).await.unwrap();
    let id = accepted.submission_id();
    let SubmissionStatus::Queued(job) = &accepted else { panic!("{accepted:?}") };
    assert_eq!((job.files, job.files_read, job.error.as_ref()), (3, 0, None));
    assert_eq!(serde_json::to_value(&accepted).unwrap()["state"], "queued");
    assert_eq!(accept(&ingest, upload.clone()).await.unwrap(), accepted, "sent again, it is the same job");
    let own = ingest.documents_of(address(ALICE), SubmissionPage { limit: 10, after: None }).await.unwrap();
    assert!(own.len() == 3 && own.iter().all(|document| document.state == crate::OwnState::UnderWay), "{own:?}");
    let other = SubmissionStatus::Queued(JobReport { licence: "MIT".into(), ..job.clone() });
    assert!(matches!(ingest.under_way(id, "MIT"), Err(IngestError::Conflict(_))), "{other:?}");

    work(&ingest).await;
    let done = report(&ingest, id).await;
    assert!(!done.already_known && done.received_at == job.received_at);
    let (direct, _) = service().await;
    let same = direct.submit(upload.clone()).await.unwrap();
    assert_eq!(done, SubmissionReport { received_at: done.received_at, ..same }, "what is told of it is what it was");
    assert!(matches!(accept(&ingest, upload).await.unwrap(), SubmissionStatus::Done(report) if report.already_known));
    assert!(records(ingest.store()).await.is_empty() && ingest.inner.uploading.lock().unwrap().is_empty());
    let states: Vec<_> = ingest
        .documents_of(address(ALICE), SubmissionPage { limit: 10, after: None })
        .await
        .unwrap()
        .into_iter()
        .map(|document| document.state)
        .collect();
    assert_eq!(states, [crate::OwnState::Pending, crate::OwnState::Refused, crate::OwnState::Refused]);
}

#[tokio::test]
async fn a_crash_anywhere_after_the_acceptance_is_repaired_by_the_next_start() {
    for step in [Step::JobRecorded, Step::DocumentsInserted, Step::ChunksInserted, Step::SubmissionCommitted] {
        let (ingest, datanet) = service().await;
        let text = prose(1, 40);
        let upload = upload(ALICE, datanet.datanet_id, &[("a.txt", text.as_bytes()), ("b.txt", b"")]);
        let id = schemas::hashing::submission_id(
            datanet.datanet_id,
            address(ALICE),
            schemas::hashing::manifest_hash(&manifest_of(&upload).files),
        );
        crash_at(&ingest, step);
        let accepted = accept(&ingest, upload.clone()).await;
        assert_eq!(accepted.is_err(), step == Step::JobRecorded);
        if accepted.is_ok() {
            let crashed = async {
                while ingest.inner.crash_at.lock().unwrap().is_some() {
                    tokio::task::yield_now().await;
                }
            };
            ingest.work(crashed).await.unwrap();
        }
        assert_eq!(records(ingest.store()).await.len(), 1, "{step:?}");
        // Another process takes over.
        let ingest = service_on(ingest.store().clone());
        ingest.resume().await.unwrap();
        assert!(matches!(ingest.submission_status(id).await.unwrap(), SubmissionStatus::Queued(_)), "{step:?}");
        work(&ingest).await;
        let report = report(&ingest, id).await;
        assert_eq!((report.registered, report.documents.len()), (1, 2), "{step:?}");
        assert_eq!(ingest.store().count::<SubmissionRow>(None).await.unwrap(), 1, "{step:?}");
        assert_eq!(ingest.store().count::<DocumentRow>(None).await.unwrap(), 2, "{step:?}");
        assert_eq!(ingest.store().count::<ChunkRow>(None).await.unwrap(), report.documents[0].chunk_count, "{step:?}");
        assert!(records(ingest.store()).await.is_empty(), "{step:?}");
    }
}

/// An upload that takes long holds up no shutdown, and is done by the next process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_embedded_is_left_when_stopped() {
    let (begun, begins) = channel();
    let (go_on, goes_on) = channel();
    let (ingest, datanet) = service().await;
    let ingest = telling(ingest.store().clone(), Some((begun, goes_on)), false);
    let id = accept(&ingest, upload(ALICE, datanet.datanet_id, &[("a.txt", prose(1, 60).as_bytes())])).await.unwrap().submission_id();
    let stop = {
        let (ingest, go_on) = (ingest.clone(), go_on.clone());
        async move {
            tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
            // One batch more is let through, after the order to stop.
            let jobs = &ingest.inner.jobs;
            jobs.stop();
            go_on.send(()).unwrap();
        }
    };
    ingest.work(stop).await.unwrap();
    let SubmissionStatus::Embedding(job) = ingest.submission_status(id).await.unwrap() else { panic!("it is not left where it was") };
    assert!(job.chunks_embedded == 1 && job.chunks > 2, "{job:?}");
    let left = records(ingest.store()).await;
    assert!(left.len() == 1 && left[0].attempts == 0, "an end by order is no attempt: {left:?}");

    let ingest = service_on(ingest.store().clone());
    ingest.resume().await.unwrap();
    work(&ingest).await;
    assert_eq!(report(&ingest, id).await.documents[0].chunk_count, job.chunks);
}

#[tokio::test]
async fn a_failed_upload_says_why_and_can_be_sent_again() {
    let (ingest, datanet) = service().await;
    let upload = upload(ALICE, datanet.datanet_id, &[("a.txt", b"one dose")]);
    let failing = telling(ingest.store().clone(), None, true);
    let id = accept(&failing, upload.clone()).await.unwrap().submission_id();
    work(&failing).await;
    for ingest in [failing, service_on(ingest.store().clone())] {
        ingest.resume().await.unwrap();
        let SubmissionStatus::Failed(job) = ingest.submission_status(id).await.unwrap() else { panic!("it did not fail") };
        assert_eq!(job.error.unwrap().code, "embedding_failed");
        assert_eq!(ingest.job_counts(), JobCounts { failed: 1, ..JobCounts::default() });
        assert!(ingest.inner.uploading.lock().unwrap().is_empty(), "it holds nothing");
    }
    let ingest = service_on(ingest.store().clone());
    ingest.resume().await.unwrap();
    assert!(matches!(accept(&ingest, upload).await.unwrap(), SubmissionStatus::Queued(_)));
    work(&ingest).await;
    assert_eq!(report(&ingest, id).await.documents[0].chunk_count, 1);
    assert!(records(ingest.store()).await.is_empty());
}

#[tokio::test]
async fn uploads_are_counted_and_their_stages_timed() {
    let (ingest, datanet) = service().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let ingest = ingest.with_stage_listener(move |stage, _| heard.lock().unwrap().push(stage));
    accept(&ingest, upload(ALICE, datanet.datanet_id, &[("a.txt", b"one dose"), ("b.txt", b"two doses")])).await.unwrap();
    work(&ingest).await;
    assert_eq!(
        *told.lock().unwrap(),
        [UploadStage::Queue, UploadStage::Read, UploadStage::Embed, UploadStage::Compare, UploadStage::Commit]
    );
    assert_eq!(ingest.upload_totals(), UploadTotals { done: 1, failed: 0, chunks_read: 2, chunks_embedded: 2 });
    let failing = telling(ingest.store().clone(), None, true);
    accept(&failing, upload(BOB, datanet.datanet_id, &[("a.txt", b"one dose")])).await.unwrap();
    work(&failing).await;
    assert_eq!(failing.upload_totals(), UploadTotals { done: 0, failed: 1, chunks_read: 1, chunks_embedded: 0 });
}

/// Nothing was given with an upload that failed: whoever signs its files again says anew under what they are given.
#[tokio::test]
async fn a_failed_upload_is_replaced_by_what_is_signed_anew() {
    let (ingest, datanet) = service().await;
    let id = datanet.datanet_id;
    let under = |licence: &str| upload_under(ALICE, id, &[("a.txt", b"one dose")], licence);
    let failing = telling(ingest.store().clone(), None, true);
    accept(&failing, under("CC-BY-4.0")).await.unwrap();
    work(&failing).await;
    let ingest = service_on(ingest.store().clone());
    ingest.resume().await.unwrap();
    let SubmissionStatus::Queued(job) = accept(&ingest, under("MIT")).await.unwrap() else { panic!("it is not tried again") };
    assert_eq!((job.licence.as_str(), records(ingest.store()).await[0].upload.licence.as_str()), ("MIT", "MIT"));
    for _ in 0..2 {
        // From here on what was accepted stands, and then what was given.
        assert!(matches!(accept(&ingest, under("CC-BY-4.0")).await, Err(IngestError::Conflict(_))));
        work(&ingest).await;
    }
    let row = ingest.store().scan::<SubmissionRow>(None).await.unwrap().remove(0);
    let signed = under("MIT");
    assert_eq!((row.licence, row.signature), (signed.licence, signed.signature), "the licence is the one that is signed");
}

/// The files of an upload stay as long as anybody may ask for it to be tried again.
#[tokio::test]
async fn blobs_go_with_the_record_of_what_failed() {
    let (ingest, datanet) = service().await;
    let failing = telling(ingest.store().clone(), None, true);
    let upload = upload(ALICE, datanet.datanet_id, &[("a.txt", b"one dose")]);
    let blob = manifest_of(&upload).files[0].sha256;
    accept(&failing, upload).await.unwrap();
    work(&failing).await;
    let retention = store::Retention { orphans: Duration::ZERO, ..store::Retention::default() };
    // As another process finds it, a week later.
    for is_kept in [true, false] {
        let store = ingest.store().opened_again().await.unwrap();
        store.upkeep(&retention, store::Effort::Everything).await.unwrap();
        assert_eq!(store.get_blob(blob).await.is_ok(), is_kept);
        for record in records(&store).await {
            record.remove(&store).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_failed_is_told_for_a_week() {
    let (ingest, datanet) = service().await;
    let failing = telling(ingest.store().clone(), None, true);
    for n in [ALICE, BOB] {
        accept(&failing, upload(n, datanet.datanet_id, &[("a.txt", b"one dose")])).await.unwrap();
    }
    work(&failing).await;
    let mut records = records(ingest.store()).await;
    assert_eq!(records.len(), 2);
    let (first, error) = (records.remove(0), IngestError::Interrupted("a test"));
    let mut old = records.remove(0);
    old.failure.as_mut().unwrap().failed_at.0 -= FAILURE_KEPT_MS + 1;
    failing.inner.jobs.add_failed(old.clone());
    failing.failed(first.clone(), &error).await;
    assert!(matches!(failing.submission_status(old.id()).await, Err(IngestError::NotFound(_))));
    assert_eq!(Record::all(ingest.store()).await.unwrap().iter().map(Record::id).collect::<Vec<_>>(), [first.id()]);
}

/// What failed when all was written is done.
#[tokio::test]
async fn an_upload_whose_row_stands_has_not_failed() {
    let (ingest, datanet) = service().await;
    let id = accept(&ingest, upload(ALICE, datanet.datanet_id, &[("a.txt", b"one dose")])).await.unwrap().submission_id();
    let record = records(ingest.store()).await.remove(0);
    work(&ingest).await;
    ingest.failed(record, &IngestError::Interrupted("keeping fingerprints")).await;
    report(&ingest, id).await;
    assert!(records(ingest.store()).await.is_empty());
}

/// An upload that ends the process each time, as one that takes all memory, must not do so for ever.
#[tokio::test]
async fn an_upload_that_ends_every_process_is_given_up() {
    let (ingest, datanet) = service().await;
    let id = accept(&ingest, upload(ALICE, datanet.datanet_id, &[("a.txt", b"one dose")])).await.unwrap().submission_id();
    let mut record = records(ingest.store()).await.remove(0);
    record.attempts = ATTEMPTS_MAX;
    record.write(ingest.store()).await.unwrap();
    let ingest = service_on(ingest.store().clone());
    ingest.resume().await.unwrap();
    work(&ingest).await;
    let SubmissionStatus::Failed(job) = ingest.submission_status(id).await.unwrap() else { panic!("it was tried once more") };
    assert_eq!(job.error.unwrap().code, "interrupted");
}

/// Of two uploads that were worked at when a process ended, one is why: the other is not given up with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_in_which_a_process_ended_are_worked_at_alone() {
    let (ingest, datanet) = service().await;
    for n in [ALICE, BOB] {
        accept(&ingest, upload(n, datanet.datanet_id, &[("a.txt", &[b'a' + n])])).await.unwrap();
    }
    for mut record in records(ingest.store()).await {
        record.attempts = 1;
        record.write(ingest.store()).await.unwrap();
    }
    let (begun, begins) = channel();
    let (go_on, goes_on) = channel();
    let ingest = telling(ingest.store().clone(), Some((begun, goes_on)), false);
    ingest.resume().await.unwrap();
    let watched = {
        let ingest = ingest.clone();
        async move {
            let begins = tokio::task::spawn_blocking(move || (begins.recv().unwrap(), begins).1).await.unwrap();
            let mut attempts: Vec<u32> = records(ingest.store()).await.iter().map(|record| record.attempts).collect();
            attempts.sort_unstable();
            assert_eq!(attempts, [1, 2]);
            // Each has one chunk, and its topic.
            (0..4).for_each(|_| go_on.send(()).unwrap());
            while ingest.job_counts() != JobCounts::default() {
                tokio::task::yield_now().await;
            }
            drop(begins);
        }
    };
    ingest.work(watched).await.unwrap();
    assert_eq!(ingest.store().count::<SubmissionRow>(None).await.unwrap(), 2);
}

/// Whoever sends much waits for those who send little.
#[tokio::test]
async fn contributors_take_turns() {
    let (ingest, datanet) = service().await;
    for (n, text) in [(ALICE, "a"), (ALICE, "b"), (ALICE, "c"), (BOB, "d")] {
        accept(&ingest, upload(n, datanet.datanet_id, &[("a.txt", text.as_bytes())])).await.unwrap();
    }
    let mut begun = Vec::new();
    for _ in 0..4 {
        begun.push(ingest.inner.jobs.next().await.unwrap().0.upload.contributor);
    }
    assert_eq!(begun, [address(ALICE), address(BOB), address(ALICE), address(ALICE)]);
}

#[tokio::test]
async fn so_many_uploads_are_under_way_and_no_more() {
    let (ingest, datanet) = service().await;
    let config = IngestConfig { max_submissions_under_way_per_contributor: 2, max_submissions_under_way: 3, ..config() };
    let ingest = Ingest::new(ingest.store().clone(), Arc::new(HashingEmbedder::new()), config);
    let text = |n: u8| upload(n % 10, datanet.datanet_id, &[("a.txt", &[b'a' + n / 10])]);
    for n in [ALICE, ALICE + 10] {
        accept(&ingest, text(n)).await.unwrap();
    }
    assert!(matches!(accept(&ingest, text(ALICE + 20)).await, Err(IngestError::TooManyUnderWay(_))));
    assert!(matches!(accept(&ingest, text(ALICE)).await, Ok(SubmissionStatus::Queued(_))), "a retry takes no room");
    accept(&ingest, text(BOB)).await.unwrap();
    assert!(matches!(accept(&ingest, text(BOB + 10)).await, Err(IngestError::Busy(_))));
    // What was accepted counts after a restart, and no more once it is done.
    let ingest = {
        let config = ingest.config().clone();
        Ingest::new(ingest.store().clone(), Arc::new(HashingEmbedder::new()), config)
    };
    ingest.resume().await.unwrap();
    assert!(matches!(accept(&ingest, text(BOB + 10)).await, Err(IngestError::Busy(_))));
    work(&ingest).await;
    assert_eq!(ingest.store().count::<SubmissionRow>(None).await.unwrap(), 3);
    accept(&ingest, text(ALICE + 20)).await.unwrap();
}
