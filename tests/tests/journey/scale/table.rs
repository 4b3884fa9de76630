//! The table in BENCHMARKS.md.

use std::path::Path;

use anyhow::Context as _;

use super::Measured;

const BEGIN: &str = "<!-- scale: begin -->";
const END: &str = "<!-- scale: end -->";

/// What is shown, and of what unit.
const LINES: [(&str, &str); 16] = [
    ("publish_s", "publish all, s"),
    ("publish_mib", "memory while publishing, MiB"),
    ("build_s", "first opening, s"),
    ("build_mib", "memory while opening first, MiB"),
    ("open_s", "opening after a restart, with a question, s"),
    ("open_mib", "memory of the open version, MiB"),
    ("asked_mib", "the same after all questions, MiB"),
    ("ask_1_p50_ms", "a question, p50, ms"),
    ("ask_1_p99_ms", "p99"),
    ("ask_8_p50_ms", "8 at once, p50"),
    ("ask_8_p99_ms", "p99"),
    ("ask_32_p50_ms", "32 at once, p50"),
    ("ask_32_p99_ms", "p99"),
    ("publish_more_s", "publish 1,000 more, s"),
    ("build_more_s", "first opening of that version, s"),
    ("disk_mib", "disk, both versions, MiB"),
];

/// A column per size, each value with its ratio to the smallest size's.
pub(super) fn markdown(rows: &[(usize, Measured)]) -> String {
    let mut text = String::from("| |");
    rows.iter().for_each(|(size, _)| text.push_str(&format!(" {size} chunks |")));
    text.push_str("\n|---|");
    rows.iter().for_each(|_| text.push_str("---|"));
    for (name, title) in LINES {
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

/// Replaces what stands between the marks.
pub(super) fn write(file: &Path, rows: &[(usize, Measured)]) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let (before, rest) = text.split_once(BEGIN).context("the file has no place for the table")?;
    let (_, after) = rest.split_once(END).context("the place for the table has no end")?;
    Ok(std::fs::write(file, format!("{before}{BEGIN}\n\n{}\n{END}{after}", markdown(rows)))?)
}
