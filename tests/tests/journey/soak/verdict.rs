//! The table, and what must hold of its numbers.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::load::{Call, Done, Kind};
use super::samples::Sample;

/// The run is looked at in so many parts; in the first, caches fill.
const PARTS: usize = 5;
/// Memory of the last part over that of the second: parts of it, and in any case so much.
const GROWTH: f64 = 0.05;
const GROWTH_MIB: f64 = 16.0;
/// Disk of the later half, over that of the earlier one, after the first part.
const FASTER: f64 = 1.5;
const FASTER_MIB: f64 = 8.0;

fn part_of(at: Duration, time: Duration) -> usize {
    ((at.as_secs_f64() / time.as_secs_f64() * PARTS as f64) as usize).min(PARTS - 1)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The slope of least squares, per hour.
fn slope_per_hour(points: &[(Duration, f64)]) -> f64 {
    let hours = |at: Duration| at.as_secs_f64() / 3600.0;
    let count = points.len() as f64;
    let (mean_x, mean_y) =
        (points.iter().map(|(at, _)| hours(*at)).sum::<f64>() / count, points.iter().map(|(_, value)| value).sum::<f64>() / count);
    let covariance: f64 = points.iter().map(|(at, value)| (hours(*at) - mean_x) * (value - mean_y)).sum();
    covariance / points.iter().map(|(at, _)| (hours(*at) - mean_x).powi(2)).sum::<f64>()
}

/// What is not as it must be.
pub(super) fn hold(samples: &[Sample], time: Duration) -> anyhow::Result<Vec<String>> {
    let settled: Vec<&Sample> = samples.iter().filter(|sample| part_of(sample.at, time) > 0).collect();
    ensure!(settled.len() >= 2 * PARTS, "{} samples are too few: soak for longer", samples.len());
    let level = |part: usize| {
        median(samples.iter().filter(|sample| part_of(sample.at, time) == part).map(|sample| sample.resident_mib).collect())
            .with_context(|| format!("no sample in part {part}"))
    };
    let (early, late) = (level(1)?, level(PARTS - 1)?);
    let memory: Vec<_> = settled.iter().map(|sample| (sample.at, sample.resident_mib)).collect();
    let mut broken = Vec::new();
    let slope = slope_per_hour(&memory);
    let bound = (early * GROWTH).max(GROWTH_MIB);
    println!(
        "memory: {early:.0} MiB in the second fifth, {late:.0} MiB in the last, slope {slope:+.0} MiB an hour; {bound:.0} MiB more are allowed"
    );
    if late - early > bound {
        broken.push(format!("memory grew by {:.0} MiB from the second fifth to the last", late - early));
    }
    let (first, last) = settled.split_at(settled.len() / 2);
    let grown = |half: &[&Sample]| half.last().zip(half.first()).map_or(0.0, |(end, begin)| end.disk_mib - begin.disk_mib);
    let (first, last) = (grown(first), grown(last));
    let disk: Vec<_> = settled.iter().map(|sample| (sample.at, sample.disk_mib)).collect();
    println!("disk: {:+.0} MiB an hour; {first:.1} MiB, then {last:.1} MiB in the halves after the first fifth", slope_per_hour(&disk));
    if last > first * FASTER + FASTER_MIB {
        broken.push(format!("disk grows faster and faster: {first:.1} MiB in one half, {last:.1} MiB in the next"));
    }
    Ok(broken)
}

/// One row per part.
pub(super) fn table(samples: &[Sample], done: &Done, time: Duration) -> String {
    let mut text = String::from("  minutes  memory  (no file)    disk   CPU  files");
    for kind in Kind::ALL {
        let _ = write!(text, "  {:>20}", format!("{kind:?} n p50 p95 s"));
    }
    text.push('\n');
    for part in 0..PARTS {
        let mine: Vec<&Sample> = samples.iter().filter(|sample| part_of(sample.at, time) == part).collect();
        let (Some(begin), Some(end)) = (mine.first(), mine.last()) else { continue };
        let of = |value: fn(&Sample) -> f64| median(mine.iter().map(|sample| value(sample)).collect()).unwrap_or_default();
        let cpu = (end.cpu_seconds - begin.cpu_seconds) / (end.at - begin.at).as_secs_f64().max(1e-9) * 100.0;
        // writing to a string does not fail
        let _ = write!(
            text,
            "{:>9.1} {:>7.0} {:>10.0} {:>7.1} {cpu:>4.0}% {:>6}",
            end.at.as_secs_f64() / 60.0,
            of(|sample| sample.resident_mib),
            of(|sample| sample.anonymous_mib),
            end.disk_mib,
            end.open_files,
        );
        for kind in Kind::ALL {
            let calls = done.calls.iter().filter(|call| call.kind == kind && call.refused.is_none() && part_of(call.at, time) == part);
            let _ = write!(text, "  {:>20}", quantiles(calls));
        }
        text.push('\n');
    }
    let mut refused = std::collections::BTreeMap::<(String, &str), usize>::new();
    for call in &done.calls {
        if let Some(code) = &call.refused {
            *refused.entry((format!("{:?}", call.kind), code)).or_default() += 1;
        }
    }
    let _ = write!(text, "refused, with a type: {refused:?}");
    text
}

fn quantiles<'a>(calls: impl Iterator<Item = &'a Call>) -> String {
    let mut seconds: Vec<f64> = calls.map(|call| call.took.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    let at = |part: f64| seconds.get((seconds.len() as f64 * part) as usize).copied().unwrap_or_default();
    format!("{} {:.2} {:.2}", seconds.len(), at(0.5), at(0.95))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(1000);

    fn run(memory: fn(f64) -> f64, disk: fn(f64) -> f64) -> Vec<String> {
        let sample = |second: u32| Sample {
            at: Duration::from_secs(second.into()),
            resident_mib: memory(f64::from(second)),
            anonymous_mib: 1.0,
            disk_mib: disk(f64::from(second)),
            cpu_seconds: 1.0,
            open_files: 3,
        };
        hold(&(0..1000).step_by(2).map(sample).collect::<Vec<_>>(), TIME).unwrap()
    }

    #[test]
    fn a_leak_is_told_from_a_cache_that_fills() {
        let level = |_: f64| 400.0;
        let even = |second: f64| second / 10.0;
        assert!(run(|second| 400.0_f64.min(100.0 + 3.0 * second), even).is_empty(), "a cache that is full after 100 s");
        assert!(run(level, |_| 5.0).is_empty());
        let leak = run(|second| 400.0 + second / 20.0, even);
        assert!(leak.len() == 1 && leak[0].contains("memory grew by 30 MiB"), "{leak:?}");
        let faster = run(level, |second| second * second / 5000.0);
        assert!(faster.len() == 1 && faster[0].contains("faster and faster"), "{faster:?}");
    }

    #[test]
    fn slopes_are_per_hour() {
        let points: Vec<_> = (0..10).map(|minute| (Duration::from_secs(60 * minute), 2.0 * minute as f64)).collect();
        assert!((slope_per_hour(&points) - 120.0).abs() < 1e-6);
    }
}
