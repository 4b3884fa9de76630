//! The hub: whole, broken off, resumed, wrong.

use super::*;

#[tokio::test]
async fn pulls_verifies_and_reports_progress() {
    let server = Server::start(vec![Reply::Whole, Reply::Whole]);
    let bench = Bench::with_hub(&server);
    server.serve(&[CONFIG, &bench.weights]);
    let pulled = bench.pull(PullSource::Hub).await.expect("pulled");
    let bytes = (CONFIG.len() + WEIGHTS_BYTES) as u64;
    assert_eq!(pulled, Pulled { dir: bench.path(""), source_used: PulledFrom::Hub, bytes });
    bench.assert_ready();
    let last = bench.last_progress("downloading").expect("progress");
    assert_eq!((last.done_bytes, last.total_bytes), (bytes, Some(bytes)));
    assert_eq!(server.paths(), ["/owner/small/resolve/abc/config.json", "/owner/small/resolve/abc/model.safetensors"]);
    // Ready: the second pull asks nobody.
    assert_eq!(bench.pull(PullSource::Auto).await.expect("ready").source_used, PulledFrom::Disk);
    assert_eq!(server.paths().len(), 2);
}

#[tokio::test]
async fn a_transfer_that_breaks_off_is_resumed_where_it_stopped() {
    let server = Server::start(vec![Reply::Whole, Reply::CutAfter(100_000), Reply::CutAfter(50_000), Reply::Whole]);
    let bench = Bench::with_hub(&server);
    server.serve(&[CONFIG, &bench.weights, &bench.weights, &bench.weights]);
    let pulled = bench.pull(PullSource::Hub).await.expect("pulled");
    assert_eq!(pulled.bytes, (CONFIG.len() + WEIGHTS_BYTES) as u64, "no byte was fetched twice");
    assert_eq!(server.ranges(), [None, None, Some(100_000), Some(150_000)]);
    bench.assert_ready();
}

#[tokio::test]
async fn the_next_pull_resumes_what_the_last_one_left() {
    let server = Server::start(vec![Reply::Whole]);
    let bench = Bench::with_hub(&server);
    bench.put("config.json", CONFIG);
    bench.put("model.safetensors.part", &bench.weights[..200_000]);
    server.serve(&[&bench.weights]);
    assert_eq!(bench.pull(PullSource::Hub).await.expect("pulled").bytes, 100_000);
    assert_eq!(server.ranges(), [Some(200_000)]);
    bench.assert_ready();
}

#[tokio::test]
async fn a_whole_answer_to_a_range_begins_the_file_anew() {
    let server = Server::start(vec![Reply::IgnoringRange]);
    let bench = Bench::with_hub(&server);
    bench.put("config.json", CONFIG);
    bench.put("model.safetensors.part", &bench.weights[..200_000]);
    server.serve(&[&bench.weights]);
    assert_eq!(bench.pull(PullSource::Hub).await.expect("pulled").bytes, WEIGHTS_BYTES as u64);
    bench.assert_ready();
}

#[tokio::test]
async fn a_bad_part_from_before_costs_one_more_download_and_no_more() {
    let server = Server::start(vec![Reply::Whole, Reply::Whole]);
    let bench = Bench::with_hub(&server);
    bench.put("config.json", CONFIG);
    bench.put("model.safetensors.part", &[7; 1000]);
    server.serve(&[&bench.weights, &bench.weights]);
    bench.pull(PullSource::Hub).await.expect("pulled");
    assert_eq!(server.ranges(), [Some(1000), None]);
    bench.assert_ready();
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_not_kept() {
    let server = Server::start(vec![Reply::Whole]);
    let bench = Bench::with_hub(&server);
    bench.put("config.json", CONFIG);
    let mut wrong = bench.weights.clone();
    wrong[0] ^= 1;
    server.serve(&[&wrong]);
    let error = bench.pull(PullSource::Hub).await.expect_err("wrong hash");
    assert!(matches!(error, EngineError::CorruptModel { .. }), "{error:?}");
    assert!(!bench.path("model.safetensors").exists() && !bench.path("model.safetensors.part").exists());
}

#[tokio::test]
async fn more_bytes_than_pinned_are_cut_off() {
    let server = Server::start(vec![Reply::Whole]);
    let bench = Bench::with_hub(&server);
    bench.put("config.json", CONFIG);
    server.serve(&[&[0; 400_000]]);
    let error = bench.pull(PullSource::Hub).await.expect_err("too long");
    assert!(error.to_string().contains("more than the pinned 300000 bytes"), "{error}");
    assert!(!bench.path("model.safetensors.part").exists());
}

#[tokio::test]
async fn refusals_say_what_was_answered_and_passing_faults_are_tried_again() {
    let server = Server::start(vec![Reply::Status("404 Not Found")]);
    let bench = Bench::with_hub(&server);
    server.serve(&[b""]);
    let error = bench.pull(PullSource::Hub).await.expect_err("404").to_string();
    assert!(error.contains("config.json of owner/small from the hub") && error.contains("404"), "{error}");

    let busy = Reply::Status("503 Service Unavailable");
    let server = Server::start(vec![busy, busy, Reply::Whole, Reply::Whole]);
    let bench = Bench::with_hub(&server);
    server.serve(&[b"", b"", CONFIG, &bench.weights]);
    bench.pull(PullSource::Hub).await.expect("the third try succeeds");

    let server = Server::start(vec![busy, busy, busy]);
    let bench = Bench::with_hub(&server);
    server.serve(&[b"", b"", b""]);
    let error = bench.pull(PullSource::Hub).await.expect_err("three tries").to_string();
    assert!(error.contains("503"), "{error}");
}

#[tokio::test]
async fn only_what_is_missing_or_corrupt_is_fetched() {
    let server = Server::start(vec![Reply::Whole]);
    let bench = Bench::with_hub(&server);
    bench.put("config.json", b"{\"layers\": 7}");
    bench.put("model.safetensors", &bench.weights);
    server.serve(&[CONFIG]);
    assert_eq!(bench.pull(PullSource::Hub).await.expect("pulled").bytes, CONFIG.len() as u64);
    bench.assert_ready();
}

#[tokio::test]
async fn two_pulls_at_once_fetch_once() {
    let server = Server::start(vec![Reply::Whole, Reply::Whole]);
    let bench = Bench::with_hub(&server);
    server.serve(&[CONFIG, &bench.weights]);
    let (one, other) = tokio::join!(bench.pull(PullSource::Hub), bench.pull(PullSource::Hub));
    let mut sources = [one.expect("one").source_used, other.expect("other").source_used];
    sources.sort_by_key(|source| *source == PulledFrom::Hub);
    assert_eq!(sources, [PulledFrom::Disk, PulledFrom::Hub]);
    bench.assert_ready();
}

#[tokio::test]
async fn a_pull_that_does_not_finish_is_not_waited_for_for_ever() {
    let mut bench = Bench::new();
    bench.options.lock_timeout = Duration::ZERO;
    let held = std::fs::File::create(bench.root.path().join(".small.lock")).expect("lock file");
    held.lock().expect("locked");
    let error = bench.pull(PullSource::Hub).await.expect_err("held");
    assert!(matches!(error, EngineError::Busy { .. }), "{error:?}");
}
