//! The tables in BENCHMARKS.md.

use std::path::Path;

use anyhow::Context as _;

use super::Measured;

/// What is shown, and of what unit.
const LINES: [(&str, &str); 40] = [
    ("publish_s", "publish all, s"),
    ("publish_mib", "memory while publishing, MiB"),
    ("build_s", "first opening, s"),
    ("build_mib", "memory while opening first, MiB"),
    ("open_s", "opening after a restart, with a question, s"),
    ("open_mib", "memory of the open version, MiB"),
    ("asked_mib", "the same after all questions, MiB"),
    ("ask_1_p50_ms", "a question, p50, ms"),
    ("ask_1_p99_ms", "p99"),
    ("embed_p50_ms", "of it the question's vector"),
    ("retrieve_p50_ms", "search, passages read"),
    ("read_p50_ms", "choosing what is quoted"),
    ("attribute_p50_ms", "who said it first, shares"),
    ("receipt_p50_ms", "the durable receipt"),
    ("ask_8_p50_ms", "8 at once, p50"),
    ("ask_8_p99_ms", "p99"),
    ("ask_32_p50_ms", "32 at once, p50"),
    ("ask_32_p99_ms", "p99"),
    ("publish_more_s", "publish 1,000 more after a start, s"),
    ("publish_again_s", "publish 1,000 more after that, s"),
    ("build_more_s", "first opening of that version, s"),
    ("disk_mib", "disk, all three versions, MiB"),
    ("start_s", "start, s"),
    ("start_mib", "memory after it, MiB"),
    ("ask_p50_ms", "a question, p50, ms"),
    ("ask_p99_ms", "p99"),
    ("by_id_p50_ms", "a receipt by its id, p50, ms"),
    ("count_ms", "`count(*)`, ms"),
    ("by_payer_ms", "fees by payer, ms"),
    ("earned_ms", "shares by contributor, joined with receipts, ms"),
    ("epoch_s", "an epoch of all of them: close, ask, settle, s"),
    ("epoch_mib", "memory while closing it, most, MiB"),
    ("count_logs_ms", "`count(*)` of logs, ms"),
    ("of_block_ms", "logs of one block, ms"),
    ("of_event_ms", "logs of one event of one contract, ms"),
    ("join_ms", "logs by hour, joined with blocks, ms"),
    ("latest_ms", "latest block, ms"),
    ("fragments", "fragments of the largest table"),
    ("stored_mib", "disk, MiB"),
    ("referenced", "disk ÷ what the newest versions name"),
];

/// A column per size, each value with its ratio to the smallest size's.
pub(super) fn markdown(subject: &str, rows: &[(usize, Measured)]) -> String {
    let mut text = String::from("| |");
    rows.iter().for_each(|(size, _)| text.push_str(&format!(" {size} {subject} |")));
    text.push_str("\n|---|");
    rows.iter().for_each(|_| text.push_str("---|"));
    let is_measured = |(name, _): &(&str, &str)| rows.iter().any(|(_, row)| row.contains_key(*name));
    for (name, title) in LINES.into_iter().filter(is_measured) {
        text.push_str(&format!("\n| {title} |"));
        let first = rows.first().and_then(|(_, row)| row.get(name)).copied().unwrap_or_default();
        for (_, row) in rows {
            let value = row.get(name).copied().unwrap_or_default();
            text.push_str(&format!(" {value:.2} ({:.1} ×) |", value / first.max(1e-9)));
        }
    }
    text.push('\n');
    text
}

/// Replaces what stands between the marks of a subject.
pub(super) fn write(file: &Path, subject: &str, rows: &[(usize, Measured)]) -> anyhow::Result<()> {
    let (begin, end) = (format!("<!-- scale-{subject}: begin -->"), format!("<!-- scale-{subject}: end -->"));
    let text = std::fs::read_to_string(file)?;
    let (before, rest) = text.split_once(&begin).context("the file has no place for the table")?;
    let (_, after) = rest.split_once(&end).context("the place for the table has no end")?;
    Ok(std::fs::write(file, format!("{before}{begin}\n\n{}\n{end}{after}", markdown(subject, rows)))?)
}
