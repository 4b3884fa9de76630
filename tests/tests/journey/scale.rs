//! What a Datanet costs as it grows: publishing, opening, asking, disk. `make bench-scale` fills folders of several sizes and
//! writes the table.
//!
//! Each step runs in a process of its own, so that its memory is its own. Texts are generated; they are put into the tables as
//! ingest would have put them, for reading and embedding cost the same per chunk at every size.

#![expect(clippy::print_stderr, reason = "whoever runs a benchmark wants to see it go on")]

mod steps;
mod table;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// What a step measured, by name.
type Measured = BTreeMap<String, f64>;

const STEP: &str = "HEADWATER_SCALE_STEP";
const SIZE: &str = "HEADWATER_SCALE_SIZE";
const FOLDER: &str = "HEADWATER_SCALE_FOLDER";
/// Before what a step prints for its parent.
const MARK: &str = "measured: ";

/// Chunks of the folders, smallest first.
fn sizes() -> anyhow::Result<Vec<usize>> {
    let text = std::env::var("SIZES").unwrap_or_else(|_| "1k,10k,100k".to_owned());
    let mut sizes = text.split(',').map(|size| size_of(size.trim())).collect::<anyhow::Result<Vec<usize>>>()?;
    sizes.sort_unstable();
    Ok(sizes)
}

fn size_of(text: &str) -> anyhow::Result<usize> {
    let (digits, factor) = match text.to_ascii_lowercase() {
        lower if lower.ends_with('k') => (text.len() - 1, 1_000),
        lower if lower.ends_with('m') => (text.len() - 1, 1_000_000),
        _ => (text.len(), 1),
    };
    let number: usize = text.get(..digits).unwrap_or_default().parse().with_context(|| format!("SIZES: {text:?} is no size"))?;
    Ok(number * factor)
}

/// Runs one step in a process of its own.
fn run(step: &str, size: usize, folder: &Path) -> anyhow::Result<Measured> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "--nocapture", "scale::scale_step"])
        .env(STEP, step)
        .env(SIZE, size.to_string())
        .env(FOLDER, folder)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let measured = text.lines().find_map(|line| line.split_once(MARK)).map(|(_, json)| json);
    ensure!(output.status.success(), "step {step} at {size} failed:\n{text}");
    let measured: Measured = serde_json::from_str(measured.context("a step printed nothing")?)?;
    eprintln!("{size} {step}: {measured:.4?}");
    Ok(measured)
}

/// One step of [`bench_scale`], in its own process.
#[test]
#[ignore = "a step of make bench-scale"]
fn scale_step() -> anyhow::Result<()> {
    let Ok(step) = std::env::var(STEP) else { return Ok(()) };
    let size: usize = std::env::var(SIZE)?.parse()?;
    let folder = std::env::var(FOLDER)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(steps::step(&step, size, Path::new(&folder)))?;
    println!("{MARK}{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// `make bench-scale`.
#[test]
#[ignore = "takes minutes to hours and writes BENCHMARKS.md: make bench-scale"]
fn bench_scale() -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for size in sizes()? {
        let folder = tempfile::tempdir()?;
        let mut row = Measured::new();
        for step in steps::STEPS {
            row.extend(run(step, size, folder.path())?);
        }
        rows.push((size, row));
    }
    println!("{}", table::markdown(&rows));
    if let Ok(file) = std::env::var("SCALE_TABLE") {
        table::write(Path::new(&file), &rows)?;
    }
    Ok(())
}
