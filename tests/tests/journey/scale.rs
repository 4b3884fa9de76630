//! What growth costs: of a Datanet in chunks, of the receipts, of the chain's logs. `make bench-scale` fills folders of several
//! sizes and writes the tables.
//!
//! Each step runs in a process of its own, so that its memory is its own. Texts are generated; they are put into the tables as
//! ingest would have put them, for reading and embedding cost the same per chunk at every size. So are receipts and logs.

#![expect(clippy::print_stderr, reason = "whoever runs a benchmark wants to see it go on")]

mod logs;
mod measure;
mod receipts;
mod steps;
mod table;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// What a step measured, by name.
type Measured = BTreeMap<String, f64>;

const SUBJECT: &str = "HEADWATER_SCALE_SUBJECT";
const STEP: &str = "HEADWATER_SCALE_STEP";
const SIZE: &str = "HEADWATER_SCALE_SIZE";
const FOLDER: &str = "HEADWATER_SCALE_FOLDER";
/// Before what a step prints for its parent.
const MARK: &str = "measured: ";

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Chunks,
    Receipts,
    Logs,
}

impl Subject {
    const ALL: [Self; 3] = [Self::Chunks, Self::Receipts, Self::Logs];

    fn name(self) -> &'static str {
        match self {
            Self::Chunks => "chunks",
            Self::Receipts => "receipts",
            Self::Logs => "logs",
        }
    }

    /// Sizes that are measured, smallest first: of the environment variable, or these.
    fn sizes(self) -> anyhow::Result<Vec<usize>> {
        let (variable, usual) = match self {
            Self::Chunks => ("SIZES", "1k,10k,100k"),
            Self::Receipts => ("RECEIPTS", "1k,10k,100k"),
            Self::Logs => ("LOGS", "10k,100k,1m"),
        };
        let text = std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
        let given = text.split(',').map(str::trim).filter(|size| !size.is_empty());
        let mut sizes = given.map(|size| size_of(size).with_context(|| variable)).collect::<anyhow::Result<Vec<usize>>>()?;
        sizes.sort_unstable();
        Ok(sizes)
    }

    /// In the order in which they run on one folder.
    fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Chunks => &steps::STEPS,
            Self::Receipts => &receipts::STEPS,
            Self::Logs => &logs::STEPS,
        }
    }

    async fn step(self, step: &str, size: usize, folder: &Path) -> anyhow::Result<Measured> {
        match self {
            Self::Chunks => steps::step(step, size, folder).await,
            Self::Receipts => receipts::step(step, size, folder).await,
            Self::Logs => logs::step(step, size, folder).await,
        }
    }
}

fn size_of(text: &str) -> anyhow::Result<usize> {
    let (digits, factor) = match text.to_ascii_lowercase() {
        lower if lower.ends_with('k') => (text.len() - 1, 1_000),
        lower if lower.ends_with('m') => (text.len() - 1, 1_000_000),
        _ => (text.len(), 1),
    };
    let number: usize = text.get(..digits).unwrap_or_default().parse().with_context(|| format!("{text:?} is no size"))?;
    Ok(number * factor)
}

/// Runs one step in a process of its own.
fn run(subject: Subject, step: &str, size: usize, folder: &Path) -> anyhow::Result<Measured> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "--nocapture", "scale::scale_step"])
        .env(SUBJECT, subject.name())
        .env(STEP, step)
        .env(SIZE, size.to_string())
        .env(FOLDER, folder)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let measured = text.lines().find_map(|line| line.split_once(MARK)).map(|(_, json)| json);
    ensure!(output.status.success(), "step {step} at {size} {} failed:\n{text}", subject.name());
    let measured: Measured = serde_json::from_str(measured.context("a step printed nothing")?)?;
    eprintln!("{size} {}, {step}: {measured:.4?}", subject.name());
    Ok(measured)
}

/// One step of [`bench_scale`], in its own process.
#[test]
#[ignore = "a step of make bench-scale"]
fn scale_step() -> anyhow::Result<()> {
    let Ok(step) = std::env::var(STEP) else { return Ok(()) };
    let subject = std::env::var(SUBJECT)?;
    let subject = Subject::ALL.into_iter().find(|one| one.name() == subject).context("an unknown subject")?;
    let size: usize = std::env::var(SIZE)?.parse()?;
    let folder = std::env::var(FOLDER)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(subject.step(&step, size, Path::new(&folder)))?;
    println!("{MARK}{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// `make bench-scale`.
#[test]
#[ignore = "takes minutes to hours and writes BENCHMARKS.md: make bench-scale"]
fn bench_scale() -> anyhow::Result<()> {
    for subject in Subject::ALL {
        let mut rows = Vec::new();
        for size in subject.sizes()? {
            let folder = tempfile::tempdir()?;
            let mut row = Measured::new();
            for step in subject.steps() {
                row.extend(run(subject, step, size, folder.path())?);
            }
            rows.push((size, row));
        }
        if rows.is_empty() {
            continue;
        }
        println!("{}", table::markdown(subject.name(), &rows));
        if let Ok(file) = std::env::var("SCALE_TABLE") {
            table::write(Path::new(&file), subject.name(), &rows)?;
        }
    }
    Ok(())
}
