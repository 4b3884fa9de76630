//! The steps, in order, and what each measures: seconds, milliseconds, MiB.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::Measured;
use super::world::World;

/// In the order in which they run on one folder.
pub(super) const STEPS: [&str; 6] = ["fill", "publish", "build", "ask", "publish_more", "build_more"];
/// Chunks that are added to a published version.
const MORE: usize = 1000;
const QUESTIONS: usize = 200;

pub(super) async fn step(step: &str, size: usize, folder: &Path) -> anyhow::Result<Measured> {
    let world = World::open(folder).await?;
    let mut measured = Measured::new();
    let mut note = |name: &str, value: f64| {
        measured.insert(name.to_owned(), value);
    };
    let began = Instant::now();
    match step {
        "fill" => world.fill(0, size).await?,
        "publish" => {
            world.publish().await?;
            note("publish_s", began.elapsed().as_secs_f64());
            note("publish_mib", peak_mib()?);
        }
        // The first opening derives what a version needs; a restart finds it.
        "build" => {
            open(&world).await?;
            note("build_s", began.elapsed().as_secs_f64());
            note("build_mib", peak_mib()?);
        }
        "ask" => ask(world, size, &mut note).await?,
        "publish_more" => {
            world.fill(size, MORE).await?;
            let began = Instant::now();
            world.publish().await?;
            note("publish_more_s", began.elapsed().as_secs_f64());
        }
        "build_more" => {
            open(&world).await?;
            note("build_more_s", began.elapsed().as_secs_f64());
            note("disk_mib", disk_mib(folder)?);
        }
        other => anyhow::bail!("there is no step {other:?}"),
    }
    Ok(measured)
}

async fn open(world: &World) -> anyhow::Result<()> {
    let version = world.ingest.versions(world.datanet().datanet_id).await?.last().context("nothing is published")?.version;
    Ok(world.rag().await?.ensure_index(world.datanet().datanet_id, version).await?)
}

async fn ask(world: World, size: usize, note: &mut impl FnMut(&str, f64)) -> anyhow::Result<()> {
    let before = resident_mib()?;
    let began = Instant::now();
    let rag = world.rag().await?;
    world.ask(&rag, size / 2, "first").await?;
    note("open_s", began.elapsed().as_secs_f64());
    note("open_mib", resident_mib()? - before);
    let shared = Arc::new((world, rag));
    for at_once in [1, 8, 32] {
        let mut took = Vec::new();
        let mut answered = 0;
        let mut running = tokio::task::JoinSet::new();
        for question in 0..QUESTIONS {
            if running.len() >= at_once {
                let (seconds, is_answered) = running.join_next().await.context("a question")???;
                took.push(seconds);
                answered += usize::from(is_answered);
            }
            let shared = shared.clone();
            running.spawn(async move {
                let began = Instant::now();
                let at = (question * 7919) % size;
                let answer = shared.0.ask(&shared.1, at, &format!("{at_once}-{question}")).await?;
                Ok::<_, anyhow::Error>((began.elapsed().as_secs_f64(), !answer.citations.is_empty()))
            });
        }
        while let Some(ended) = running.join_next().await {
            let (seconds, is_answered) = ended??;
            took.push(seconds);
            answered += usize::from(is_answered);
        }
        ensure!(answered * 2 > QUESTIONS, "of {QUESTIONS} questions {answered} were answered");
        took.sort_by(f64::total_cmp);
        let at = |part: usize| took.get((took.len() - 1) * part / 100).copied().unwrap_or_default() * 1000.0;
        note(&format!("ask_{at_once}_p50_ms"), at(50));
        note(&format!("ask_{at_once}_p99_ms"), at(99));
    }
    note("asked_mib", resident_mib()? - before);
    Ok(())
}

fn resident_mib() -> anyhow::Result<f64> {
    of_status("VmRSS:")
}

fn peak_mib() -> anyhow::Result<f64> {
    of_status("VmHWM:")
}

fn of_status(name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

fn disk_mib(folder: &Path) -> anyhow::Result<f64> {
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
