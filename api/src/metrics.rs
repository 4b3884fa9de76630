//! What the service counts and times of itself, for `/metrics`. What other parts count is read from them when it is asked for
//! (`http/metrics.rs`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ingest::UploadStage;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rag::Stage;

/// Upper ends of buckets, in seconds: from a lookup in memory to the longest that a request may take.
const REQUEST_SECONDS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// From a text of a line to an upload that takes half a day.
const UPLOAD_SECONDS: [f64; 11] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 14_400.0];
const STAGE_SECONDS: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Labels with their names. Only what the service itself chose: a caller's words would make series without end.
type Labels<const N: usize> = [(&'static str, String); N];

/// Everything that is counted here.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels<3>, Counter>,
    request_seconds: Family<Labels<2>, Histogram, fn() -> Histogram>,
    stage_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    upload_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    disk: Family<Labels<1>, Gauge<u64, std::sync::atomic::AtomicU64>>,
    cache: Family<Labels<1>, Gauge<u64, std::sync::atomic::AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let request_seconds: fn() -> Histogram = || Histogram::new(REQUEST_SECONDS);
        let stage_seconds: fn() -> Histogram = || Histogram::new(STAGE_SECONDS);
        let upload_seconds: fn() -> Histogram = || Histogram::new(UPLOAD_SECONDS);
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_seconds),
            stage_seconds: Family::new_with_constructor(stage_seconds),
            upload_seconds: Family::new_with_constructor(upload_seconds),
            disk: Family::default(),
            cache: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("headwater_http_requests", "Requests by route, and what became of them", metrics.requests.clone());
        registry.register(
            "headwater_http_request_seconds",
            "Time until a reply begins; of requests that were not given up",
            metrics.request_seconds.clone(),
        );
        registry.register("headwater_answer_stage_seconds", "Time of the stages of an answer", metrics.stage_seconds.clone());
        registry.register(
            "headwater_upload_stage_seconds",
            "Time of the stages of an upload, from its acceptance on",
            metrics.upload_seconds.clone(),
        );
        registry.register("headwater_disk_bytes", "Bytes of the data folder's parts, looked at with every upkeep", metrics.disk.clone());
        registry.register("headwater_store_cache_bytes", "Bytes that the caches of tables hold", metrics.cache.clone());
        metrics
    }
}

impl Metrics {
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn stage(&self, stage: Stage, took: Duration) {
        self.stage_seconds.get_or_create(&[("stage", stage.as_str().to_owned())]).observe(took.as_secs_f64());
    }

    pub fn upload_stage(&self, stage: UploadStage, took: Duration) {
        self.upload_seconds.get_or_create(&[("stage", stage.as_str().to_owned())]).observe(took.as_secs_f64());
    }

    /// Counts a request whose reply is there, or which was given up.
    fn request(&self, method: &'static str, route: &'static str, status: &str, took: Option<Duration>) {
        let (method, route) = (("method", method.to_owned()), ("route", route.to_owned()));
        self.requests.get_or_create(&[method.clone(), route.clone(), ("status", status.to_owned())]).inc();
        if let Some(took) = took {
            self.request_seconds.get_or_create(&[method, route]).observe(took.as_secs_f64());
        }
    }

    /// Takes down how much there is on the disk and in caches. Walks through every folder: not for each scrape.
    ///
    /// # Errors
    /// When the walk could not be begun.
    pub async fn measure(&self, data_dir: &Path, store: &store::Store) -> anyhow::Result<()> {
        let folder = data_dir.to_owned();
        for (part, bytes) in tokio::task::spawn_blocking(move || parts(&folder)).await? {
            self.disk.get_or_create(&[("part", part)]).set(bytes);
        }
        for (cache, bytes) in store.cache_sizes().await {
            self.cache.get_or_create(&[("cache", cache.to_owned())]).set(bytes as u64);
        }
        Ok(())
    }
}

/// A request under way. One that is dropped before its reply is there was given up: by its caller, or for its time.
#[derive(Debug)]
pub struct Underway<'a> {
    metrics: &'a Metrics,
    method: &'static str,
    route: &'static str,
    began: Instant,
    is_done: bool,
}

impl<'a> Underway<'a> {
    pub fn new(metrics: &'a Metrics, method: &'static str, route: &'static str) -> Self {
        Self { metrics, method, route, began: Instant::now(), is_done: false }
    }

    pub fn done(mut self, status: u16) {
        self.is_done = true;
        self.metrics.request(self.method, self.route, &status.to_string(), Some(self.began.elapsed()));
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.metrics.request(self.method, self.route, "given_up", None);
        }
    }
}

/// Bytes of the folders that the service itself makes, and of what else lies in the data folder.
fn parts(data_dir: &Path) -> Vec<(String, u64)> {
    const OWN: [&str; 6] = ["store", "index", "wal", "uploads", "outbox", "chain"];
    let mut all: Vec<(String, u64)> = OWN.iter().map(|name| ((*name).to_owned(), bytes_below(data_dir.join(name)))).collect();
    let named: u64 = all.iter().map(|(_, bytes)| bytes).sum();
    all.push(("other".into(), bytes_below(data_dir.to_owned()).saturating_sub(named)));
    all
}

/// Files come and go meanwhile: what is gone has no size. Links are not followed.
fn bytes_below(folder: PathBuf) -> u64 {
    let (mut bytes, mut folders) = (0_u64, vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => bytes = bytes.saturating_add(entry.metadata().map_or(0, |metadata| metadata.len())),
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, metrics.registry()).unwrap();
        text
    }

    #[test]
    fn requests_are_counted_by_route_and_by_what_became_of_them() {
        let metrics = Metrics::default();
        Underway::new(&metrics, "GET", "/v1/receipts/{id}").done(200);
        Underway::new(&metrics, "GET", "/v1/receipts/{id}").done(404);
        drop(Underway::new(&metrics, "POST", "/v1/sql"));
        let text = text(&metrics);
        for line in [
            r#"headwater_http_requests_total{method="GET",route="/v1/receipts/{id}",status="404"} 1"#,
            r#"headwater_http_requests_total{method="POST",route="/v1/sql",status="given_up"} 1"#,
            r#"headwater_http_request_seconds_count{method="GET",route="/v1/receipts/{id}"} 2"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains(r#"seconds_count{method="POST""#), "{text}");
    }

    #[test]
    fn stages_have_buckets() {
        let metrics = Metrics::default();
        metrics.stage(Stage::Embed, Duration::from_millis(3));
        metrics.upload_stage(UploadStage::Compare, Duration::from_secs(2));
        let text = text(&metrics);
        assert!(text.contains(r#"headwater_answer_stage_seconds_bucket{le="0.0025",stage="embed"} 0"#), "{text}");
        assert!(text.contains(r#"headwater_answer_stage_seconds_bucket{le="0.005",stage="embed"} 1"#), "{text}");
        assert!(text.contains(r#"headwater_upload_stage_seconds_bucket{le="1.0",stage="compare"} 0"#), "{text}");
        assert!(text.contains(r#"headwater_upload_stage_seconds_bucket{le="5.0",stage="compare"} 1"#), "{text}");
    }

    #[tokio::test]
    async fn bytes_on_the_disk_are_those_of_the_folders() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("store/tables/a")).unwrap();
        std::fs::write(folder.path().join("store/tables/a/1"), [0; 100]).unwrap();
        std::fs::write(folder.path().join("service.json"), [0; 7]).unwrap();
        let (metrics, store) = (Metrics::default(), store::Store::in_memory().await.unwrap());
        metrics.measure(folder.path(), &store).await.unwrap();
        let text = text(&metrics);
        assert!(text.contains(r#"headwater_disk_bytes{part="store"} 100"#), "{text}");
        assert!(text.contains(r#"headwater_disk_bytes{part="other"} 7"#), "{text}");
        assert!(text.contains(r#"headwater_store_cache_bytes{cache="metadata"} "#), "{text}");
    }
}
