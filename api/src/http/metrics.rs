//! `/metrics` as OpenMetrics: what [`crate::metrics`] counts, and a snapshot of what other parts count.

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::GeneratorCounters;
use indexer::{BlockId, IndexerStatus, RpcStats, SenderStatus};
use ingest::{JobCounts, UploadTotals};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use rag::GenerationStats;
use store::TableSize;

use super::{ApiError, App, Reply};
use crate::metrics::Underway;
use crate::service::Service;

/// What Prometheus asks for since its version 2.5; older ones read it as text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Public, as the heads of a public chain are.
pub(super) async fn show(State(service): State<App>) -> Reply<impl IntoResponse> {
    let mut now = Registry::default();
    now.register_collector(Box::new(snapshot(&service)));
    let mut page = String::new();
    let written = text::encode_registry(&mut page, &now).and_then(|()| text::encode(&mut page, service.metrics.registry()));
    written.map_err(|error| ApiError::internal(&error))?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], page))
}

fn snapshot(service: &Service) -> Readings {
    let mut text = Readings::default();
    let status = service.indexer.borrow().clone();
    // By this machine's clock. No node is asked: anybody may read this page as often as they like.
    let newest = service.store.hot().blocks.last().map(|block| block.timestamp);
    let now = schemas::tables::Millis::now().unix_seconds();
    indexer(&mut text, &status, newest.map(|timestamp| now.saturating_sub(timestamp)));
    for stats in service.source.stats() {
        rpc(&mut text, &stats);
    }
    sender(&mut text, &service.sender.status());
    tables(&mut text, &service.store.table_sizes());
    if let Some(last) = service.store.last_upkeep() {
        text.gauge("headwater_store_bytes", "What the store takes on disk, with all that is kept of the past.", &[], last.bytes);
        let seconds = last.at.elapsed().unwrap_or_default().as_secs();
        text.gauge("headwater_upkeep_age_seconds", "Since the store was last put in order.", &[], seconds);
    }
    let open = u64::try_from(service.rag.open_version_bytes()).unwrap_or(u64::MAX);
    text.gauge("headwater_open_versions_bytes", "Memory that open versions take, about.", &[], open);
    under_way(&mut text, service);
    uploads(&mut text, service.ingest.job_counts(), service.ingest.upload_totals());
    if let Some(writer) = &service.writer {
        generator(&mut text, &service.rag.generation_stats());
        if let Some(counters) = writer.counters() {
            model(&mut text, &counters);
        }
    }
    text
}

fn under_way(text: &mut Readings, service: &Service) {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    text.gauge(
        "headwater_receipts_pending",
        "Receipts in the log that are not in the tables yet.",
        &[],
        count(service.rag.pending_receipts()),
    );
    for (what, places) in [("upload", service.uploads.under_way()), ("query", service.queries.taken()), ("trace", service.traces.taken())] {
        text.gauge("headwater_under_way", "Uploads, queries and traces that have a place.", &[("what", what)], count(places));
    }
}

/// Uploads that were accepted, as jobs.
fn uploads(text: &mut Readings, counts: JobCounts, totals: UploadTotals) {
    for (state, uploads) in [("queued", counts.queued), ("running", counts.running), ("failed", counts.failed)] {
        let help = "Uploads that were accepted and are not done: those that wait, those that are worked at, and those that failed lately.";
        text.gauge("headwater_uploads", help, &[("state", state)], uploads);
    }
    for (outcome, uploads) in [("done", totals.done), ("failed", totals.failed)] {
        text.counter("headwater_uploads_ended", "Uploads by what became of them.", &[("outcome", outcome)], uploads);
    }
    for (stage, chunks) in [("read", totals.chunks_read), ("embedded", totals.chunks_embedded)] {
        text.counter("headwater_upload_chunks", "Chunks of uploads that were read and embedded.", &[("stage", stage)], chunks);
    }
}

/// What stands before one route.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) service: App,
    pub(super) method: &'static str,
    /// As the table of doors has it: never the path that was asked for.
    pub(super) path: &'static str,
}

/// Counts and times a route's requests.
pub(super) async fn count(State(counted): State<Counted>, request: Request, next: Next) -> Response {
    let underway = Underway::new(&counted.service.metrics, counted.method, counted.path);
    let response = next.run(request).await;
    underway.done(response.status().as_u16());
    response
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

#[derive(Debug)]
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: Vec<(Vec<(&'static str, String)>, u64)>,
}

/// What other parts count, as it stands now: metrics in the order in which they are first met, each with its samples together.
#[derive(Debug, Default)]
struct Readings {
    metrics: Vec<Metric>,
}

impl Readings {
    fn sample(&mut self, name: &'static str, kind: Kind, help: &'static str, labels: &[(&'static str, &str)], value: u64) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        match self.metrics.iter_mut().find(|metric| metric.name == name) {
            Some(metric) => metric.samples.push((labels, value)),
            None => self.metrics.push(Metric { name, kind, help, samples: vec![(labels, value)] }),
        }
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.sample(name, Kind::Gauge, help, labels, value);
    }

    /// The name without the `_total` that a counter is shown with.
    fn counter(&mut self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.sample(name, Kind::Counter, help, labels, value);
    }
}

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        for Metric { name, kind, help, samples } in &self.metrics {
            let kind_told = match kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind_told)?;
            for (labels, value) in samples {
                if labels.is_empty() {
                    write(&mut metric, *kind, *value)?;
                } else {
                    write(&mut metric.encode_family(labels)?, *kind, *value)?;
                }
            }
        }
        Ok(())
    }
}

fn write(sample: &mut MetricEncoder<'_>, kind: Kind, value: u64) -> std::fmt::Result {
    match kind {
        Kind::Counter => sample.encode_counter::<NoLabelSet, _, u64>(&value, None),
        Kind::Gauge => sample.encode_gauge(&value),
    }
}

fn tables(text: &mut Readings, sizes: &[TableSize]) {
    for TableSize { name, fragments, version, bytes } in sizes {
        let labels = [("table", name.as_str())];
        text.gauge("headwater_table_fragments", "Files with rows that a table consists of.", &labels, *fragments as u64);
        text.gauge("headwater_table_version", "Commits to a table.", &labels, *version);
        text.gauge("headwater_table_bytes", "What the rows of a table's newest version take on disk.", &labels, *bytes);
    }
}

fn indexer(text: &mut Readings, status: &IndexerStatus, head_age_seconds: Option<u64>) {
    let heads = [
        ("latest", status.head),
        ("safe", status.safe),
        ("finalized", status.finalized),
        ("indexed_finalized", status.indexed_finalized),
        ("indexed", status.indexed_hot),
    ];
    for (place, block) in heads {
        if let Some(BlockId { number, .. }) = block {
            text.gauge("headwater_indexer_block", "Height of each end of the chain, and of what is held.", &[("at", place)], number);
        }
    }
    if let Some(lag) = status.lag_blocks {
        text.gauge("headwater_indexer_lag_blocks", "Blocks between the newest block and the newest held.", &[], lag);
    }
    if let Some(age) = head_age_seconds {
        text.gauge("headwater_indexer_head_age_seconds", "Age of the newest block held.", &[], age);
    }
    text.gauge("headwater_indexer_failing", "1 while the last step failed.", &[], u64::from(status.last_error.is_some()));
    text.gauge(
        "headwater_indexer_events_missing",
        "1 while a contract's event numbers show a gap.",
        &[],
        u64::from(status.alarm.is_some()),
    );
    text.counter("headwater_indexer_reorgs", "Reorganisations undone.", &[], status.reorgs);
    text.counter("headwater_indexer_undone_blocks", "Blocks undone.", &[], status.undone_blocks);
    text.gauge("headwater_indexer_deepest_reorg_blocks", "Depth of the deepest of them.", &[], status.deepest_reorg);
}

fn rpc(text: &mut Readings, stats: &RpcStats) {
    let node = stats.endpoints.first().map_or("", |endpoint| endpoint.shown_url.as_str());
    for ((method, outcome), count) in &stats.calls {
        let outcome = serde_json::to_value(outcome).ok();
        let outcome = outcome.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
        let labels = [("node", node), ("method", method), ("outcome", outcome)];
        text.counter("headwater_rpc_calls", "Calls to nodes.", &labels, *count);
    }
    let labels = [("node", node)];
    text.counter("headwater_rpc_retries", "Exchanges that repeat one that failed.", &labels, stats.retries);
    text.counter("headwater_rpc_received_bytes", "Bytes of replies.", &labels, stats.received_bytes);
    text.counter("headwater_rpc_endpoint_switches", "Changes to another address.", &labels, stats.endpoint_switches);
}

fn sender(text: &mut Readings, status: &SenderStatus) {
    let counts = [
        ("sent", status.sent),
        ("replaced", status.replaced),
        ("reorged_out", status.reorged_out),
        ("failed", status.failed),
        ("finalized", status.finalized),
    ];
    for (event, count) in counts {
        let labels = [("event", event)];
        text.counter("headwater_transactions", "What became of transactions of the service's account.", &labels, count);
    }
    text.gauge("headwater_transactions_unfinished", "Transactions that are not final.", &[], status.unfinished);
}

fn generator(text: &mut Readings, stats: &GenerationStats) {
    text.gauge("headwater_generator_under_way", "Answers that the model writes, or that wait for it.", &[], stats.under_way);
    let outcomes = [
        ("answered", stats.answered.saturating_sub(stats.declined)),
        ("declined", stats.declined),
        ("failed", stats.failed),
        ("abandoned", stats.abandoned),
    ];
    for (outcome, count) in outcomes {
        let labels = [("outcome", outcome)];
        text.counter("headwater_generator_answers", "Answers that the model was asked for, by what became of them.", &labels, count);
    }
    for (part, count) in [("prompt", stats.prompt_tokens), ("answer", stats.answer_tokens)] {
        let labels = [("part", part)];
        text.counter("headwater_generator_tokens", "Tokens of whole answers and of their prompts.", &labels, count);
    }
    let help = "Time from request to first words, summed; in milliseconds.";
    text.counter("headwater_generator_first_words_milliseconds", help, &[], stats.first_piece_ms);
    text.counter("headwater_generator_first_words", "Answers that are in that sum.", &[], stats.first_pieces);
    let help = "Time from request to last words of whole answers, summed; in milliseconds.";
    text.counter("headwater_generator_milliseconds", help, &[], stats.generating_ms);
}

/// A model on this machine.
fn model(text: &mut Readings, counters: &GeneratorCounters) {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    for (state, requests) in [("waiting", counters.waiting), ("running", counters.running)] {
        let labels = [("state", state)];
        text.gauge("headwater_model_requests", "Requests to the model on this machine.", &labels, count(requests));
    }
    let free = counters.pages.saturating_sub(counters.pages_held).saturating_sub(counters.pages_cached);
    for (state, pages) in [("held", counters.pages_held), ("cached", counters.pages_cached), ("free", free)] {
        let labels = [("state", state)];
        text.gauge("headwater_model_cache_pages", "Pages of 32 tokens in the model's cache.", &labels, count(pages));
    }
    for (kind, tokens) in
        [("computed", counters.computed_tokens), ("found_in_cache", counters.cached_tokens), ("generated", counters.generated_tokens)]
    {
        let labels = [("kind", kind)];
        text.counter("headwater_model_tokens", "Tokens of prompts, answers and scores.", &labels, tokens);
    }
    text.counter("headwater_model_steps", "Forward passes.", &[], counters.steps);
    text.counter("headwater_model_preemptions", "Work let go for want of cache pages, to be computed again.", &[], counters.preemptions);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_told_by_state() {
        let mut snapshot = Readings::default();
        let totals = UploadTotals { done: 4, failed: 5, chunks_read: 6, chunks_embedded: 7 };
        uploads(&mut snapshot, JobCounts { queued: 1, running: 2, failed: 3 }, totals);
        let (mut registry, mut page) = (Registry::default(), String::new());
        registry.register_collector(Box::new(snapshot));
        text::encode(&mut page, &registry).unwrap();
        for line in [
            "headwater_uploads{state=\"queued\"} 1",
            "headwater_uploads{state=\"failed\"} 3",
            "headwater_uploads_ended_total{outcome=\"done\"} 4",
            "headwater_upload_chunks_total{stage=\"embedded\"} 7",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
    }

    #[test]
    fn samples_of_a_metric_stand_together() {
        let mut snapshot = Readings::default();
        snapshot.gauge("a", "First.", &[("x", "1")], 1);
        snapshot.counter("b", "Second.", &[], 2);
        snapshot.gauge("a", "First.", &[("x", "a \"quoted\" word")], 3);
        let (mut registry, mut page) = (Registry::default(), String::new());
        registry.register_collector(Box::new(snapshot));
        text::encode(&mut page, &registry).unwrap();
        let expected = "# HELP a First.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"a \\\"quoted\\\" word\"} 3\n\
                        # HELP b Second.\n# TYPE b counter\nb_total 2\n# EOF\n";
        assert_eq!(page, expected);
    }
}
