//! Memory of this process, bytes of a folder, and times put in order.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use store::Store;
use store::sql::{QueryLimits, QueryResult};

use super::Measured;

/// Runs of each query; the median counts.
const RUNS: usize = 5;

/// The part of the sorted times that `percent` of them are not above, in the unit of the times.
pub(super) fn percentile(times: &[f64], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

/// The median time of a query, ms, and its last result.
pub(super) async fn query_ms(store: &Store, sql: &str) -> anyhow::Result<(f64, QueryResult)> {
    let limits = QueryLimits { timeout: std::time::Duration::from_secs(600), ..QueryLimits::default() };
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..RUNS {
        let began = Instant::now();
        last = Some(store.query(sql, &limits, None).await.with_context(|| sql.to_owned())?);
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok((percentile(&times, 50), last.context("no run")?))
}

/// Fragments and bytes of a store, those of its past included.
pub(super) async fn stored(store: &Store) -> anyhow::Result<Measured> {
    let sizes = store.table_sizes();
    let named: u64 = sizes.iter().chain(&store.datanet_sizes().await?).map(|size| size.bytes).sum();
    let all = store.bytes_stored().await?;
    let fragments = sizes.iter().map(|size| size.fragments).max().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let (fragments, all, named) = (fragments as f64, all as f64, named as f64);
    let of = |name: &str, value: f64| (name.to_owned(), value);
    Ok([of("fragments", fragments), of("stored_mib", all / f64::from(1 << 20)), of("referenced", all / named)].into())
}

pub(super) fn resident_mib() -> anyhow::Result<f64> {
    of_status("VmRSS:")
}

pub(super) fn peak_mib() -> anyhow::Result<f64> {
    of_status("VmHWM:")
}

fn of_status(name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

pub(super) fn disk_mib(folder: &Path) -> anyhow::Result<f64> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() { folders.push(entry.path()) } else { bytes += metadata.len() }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(bytes as f64 / f64::from(1 << 20))
}
