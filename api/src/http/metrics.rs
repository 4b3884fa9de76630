//! `/metrics` in the text format of Prometheus, made from snapshots: nothing is counted here.

use std::fmt::Write;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use engine::GeneratorCounters;
use indexer::{BlockId, IndexerStatus, RpcStats, SenderStatus};
use rag::GenerationStats;
use store::TableSize;

use super::App;

/// Public, as the heads of a public chain are.
pub(super) async fn show(State(service): State<App>) -> impl IntoResponse {
    let mut text = Text::default();
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
        text.gauge("headwater_store_bytes", "What the store takes on disk, with all that is kept of the past.", "", last.bytes);
        let seconds = last.at.elapsed().unwrap_or_default().as_secs();
        text.gauge("headwater_upkeep_age_seconds", "Since the store was last put in order.", "", seconds);
    }
    if let Some(writer) = &service.writer {
        generator(&mut text, &service.rag.generation_stats());
        if let Some(counters) = writer.counters() {
            model(&mut text, &counters);
        }
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text.finish())
}

/// Families in the order in which they are first met, each with its samples together.
#[derive(Debug, Default)]
struct Text {
    families: Vec<(&'static str, String)>,
}

impl Text {
    fn sample(&mut self, name: &'static str, kind: &str, help: &str, labels: &str, value: u64) {
        let known = self.families.iter().position(|(family, _)| *family == name);
        let index = known.unwrap_or_else(|| {
            self.families.push((name, format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")));
            self.families.len() - 1
        });
        if let Some((_, lines)) = self.families.get_mut(index) {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{name}{labels} {value}");
        }
    }

    fn gauge(&mut self, name: &'static str, help: &str, labels: &str, value: u64) {
        self.sample(name, "gauge", help, labels, value);
    }

    fn counter(&mut self, name: &'static str, help: &str, labels: &str, value: u64) {
        self.sample(name, "counter", help, labels, value);
    }

    fn finish(self) -> String {
        self.families.into_iter().map(|(_, lines)| lines).collect()
    }
}

fn tables(text: &mut Text, sizes: &[TableSize]) {
    for TableSize { name, fragments, version, bytes } in sizes {
        let labels = format!("{{table=\"{name}\"}}");
        text.gauge("headwater_table_fragments", "Files with rows that a table consists of.", &labels, *fragments as u64);
        text.gauge("headwater_table_version", "Commits to a table.", &labels, *version);
        text.gauge("headwater_table_bytes", "What the rows of a table's newest version take on disk.", &labels, *bytes);
    }
}

fn indexer(text: &mut Text, status: &IndexerStatus, head_age_seconds: Option<u64>) {
    let heads = [
        ("latest", status.head),
        ("safe", status.safe),
        ("finalized", status.finalized),
        ("indexed_finalized", status.indexed_finalized),
        ("indexed", status.indexed_hot),
    ];
    for (place, block) in heads {
        if let Some(BlockId { number, .. }) = block {
            text.gauge(
                "headwater_indexer_block",
                "Height of each end of the chain, and of what is held.",
                &format!("{{at=\"{place}\"}}"),
                number,
            );
        }
    }
    if let Some(lag) = status.lag_blocks {
        text.gauge("headwater_indexer_lag_blocks", "Blocks between the newest block and the newest held.", "", lag);
    }
    if let Some(age) = head_age_seconds {
        text.gauge("headwater_indexer_head_age_seconds", "Age of the newest block held.", "", age);
    }
    text.gauge("headwater_indexer_failing", "1 while the last step failed.", "", u64::from(status.last_error.is_some()));
    text.gauge("headwater_indexer_events_missing", "1 while a contract's event numbers show a gap.", "", u64::from(status.alarm.is_some()));
    text.counter("headwater_indexer_reorgs_total", "Reorganisations undone.", "", status.reorgs);
    text.counter("headwater_indexer_undone_blocks_total", "Blocks undone.", "", status.undone_blocks);
    text.gauge("headwater_indexer_deepest_reorg_blocks", "Depth of the deepest of them.", "", status.deepest_reorg);
}

fn rpc(text: &mut Text, stats: &RpcStats) {
    let node = stats.endpoints.first().map_or("", |endpoint| endpoint.shown_url.as_str());
    for ((method, outcome), count) in &stats.calls {
        let outcome = serde_json::to_value(outcome).ok();
        let outcome = outcome.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
        let labels = format!("{{node=\"{node}\",method=\"{method}\",outcome=\"{outcome}\"}}");
        text.counter("headwater_rpc_calls_total", "Calls to nodes.", &labels, *count);
    }
    let labels = format!("{{node=\"{node}\"}}");
    text.counter("headwater_rpc_retries_total", "Exchanges that repeat one that failed.", &labels, stats.retries);
    text.counter("headwater_rpc_received_bytes_total", "Bytes of replies.", &labels, stats.received_bytes);
    text.counter("headwater_rpc_endpoint_switches_total", "Changes to another address.", &labels, stats.endpoint_switches);
}

fn sender(text: &mut Text, status: &SenderStatus) {
    let counts = [
        ("sent", status.sent),
        ("replaced", status.replaced),
        ("reorged_out", status.reorged_out),
        ("failed", status.failed),
        ("finalized", status.finalized),
    ];
    for (event, count) in counts {
        let labels = format!("{{event=\"{event}\"}}");
        text.counter("headwater_transactions_total", "What became of transactions of the service's account.", &labels, count);
    }
    text.gauge("headwater_transactions_unfinished", "Transactions that are not final.", "", status.unfinished);
}

fn generator(text: &mut Text, stats: &GenerationStats) {
    text.gauge("headwater_generator_under_way", "Answers that the model writes, or that wait for it.", "", stats.under_way);
    let outcomes = [
        ("answered", stats.answered.saturating_sub(stats.declined)),
        ("declined", stats.declined),
        ("failed", stats.failed),
        ("abandoned", stats.abandoned),
    ];
    for (outcome, count) in outcomes {
        let labels = format!("{{outcome=\"{outcome}\"}}");
        text.counter("headwater_generator_answers_total", "Answers that the model was asked for, by what became of them.", &labels, count);
    }
    for (part, count) in [("prompt", stats.prompt_tokens), ("answer", stats.answer_tokens)] {
        let labels = format!("{{part=\"{part}\"}}");
        text.counter("headwater_generator_tokens_total", "Tokens of whole answers and of their prompts.", &labels, count);
    }
    let help = "Time from request to first words, summed; in milliseconds.";
    text.counter("headwater_generator_first_words_milliseconds_total", help, "", stats.first_piece_ms);
    text.counter("headwater_generator_first_words_total", "Answers that are in that sum.", "", stats.first_pieces);
    let help = "Time from request to last words of whole answers, summed; in milliseconds.";
    text.counter("headwater_generator_milliseconds_total", help, "", stats.generating_ms);
}

/// A model on this machine.
fn model(text: &mut Text, counters: &GeneratorCounters) {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    for (state, requests) in [("waiting", counters.waiting), ("running", counters.running)] {
        let labels = format!("{{state=\"{state}\"}}");
        text.gauge("headwater_model_requests", "Requests to the model on this machine.", &labels, count(requests));
    }
    let free = counters.pages.saturating_sub(counters.pages_held).saturating_sub(counters.pages_cached);
    for (state, pages) in [("held", counters.pages_held), ("cached", counters.pages_cached), ("free", free)] {
        let labels = format!("{{state=\"{state}\"}}");
        text.gauge("headwater_model_cache_pages", "Pages of 32 tokens in the model's cache.", &labels, count(pages));
    }
    for (kind, tokens) in
        [("computed", counters.computed_tokens), ("found_in_cache", counters.cached_tokens), ("generated", counters.generated_tokens)]
    {
        let labels = format!("{{kind=\"{kind}\"}}");
        text.counter("headwater_model_tokens_total", "Tokens of prompts, answers and scores.", &labels, tokens);
    }
    text.counter("headwater_model_steps_total", "Forward passes.", "", counters.steps);
    text.counter(
        "headwater_model_preemptions_total",
        "Work let go for want of cache pages, to be computed again.",
        "",
        counters.preemptions,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_family_stand_together() {
        let mut text = Text::default();
        text.gauge("a", "First.", "{x=\"1\"}", 1);
        text.counter("b", "Second.", "", 2);
        text.gauge("a", "First.", "{x=\"2\"}", 3);
        let expected = "# HELP a First.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 3\n# HELP b Second.\n# TYPE b counter\nb 2\n";
        assert_eq!(text.finish(), expected);
    }
}
