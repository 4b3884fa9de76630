//! A Datanet as it grows: the steps, in order, and what each measures: seconds, milliseconds, MiB.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use rag::{Rag, Stage};
use schemas::tables::ChunkRow;
use store::{Effort, Retention};

use super::Measured;
use super::measure::{disk_mib, peak_mib, percentile, resident_mib};
use super::world::{World, question};

/// In the order in which they run on one folder.
pub(super) const STEPS: [&str; 7] = ["fill", "publish", "build", "ask", "export", "publish_more", "build_more"];
/// Chunks that are added to a published version, twice.
const MORE: usize = 1000;
const QUESTIONS: usize = 200;
/// Where what is searched goes for others to search: `tests/bench/scale` takes it from there.
const EXPORT: &str = "HEADWATER_SCALE_EXPORT";

pub(super) async fn step(step: &str, size: usize, folder: &Path) -> anyhow::Result<Measured> {
    let world = World::open(folder).await?;
    let mut measured = Measured::new();
    let mut note = |name: &str, value: f64| {
        measured.insert(name.to_owned(), value);
    };
    let began = Instant::now();
    match step {
        "fill" => {
            world.fill(0, size).await?;
            // as in a service, which takes so many chunks in over days
            world.store.upkeep(&Retention::default(), Effort::Due).await?;
        }
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
        "export" => {
            if let Some(into) = std::env::var_os(EXPORT).filter(|into| !into.is_empty()) {
                export(&world, size, Path::new(&into)).await?;
            }
        }
        "publish_more" => {
            world.fill(size, MORE).await?;
            let began = Instant::now();
            world.publish().await?;
            note("publish_more_s", began.elapsed().as_secs_f64());
            // as a service does that has not just been started
            world.fill(size + MORE, MORE).await?;
            let began = Instant::now();
            world.publish().await?;
            note("publish_again_s", began.elapsed().as_secs_f64());
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
    let stages = StageTimes::default();
    let rag = stages.of(world.rag().await?);
    world.ask(&rag, size / 2, "first").await?;
    note("open_s", began.elapsed().as_secs_f64());
    note("open_mib", resident_mib()? - before);
    stages.take();
    let shared = Arc::new((world, rag));
    for at_once in [1, 8, 32] {
        let mut took = Vec::new();
        let mut answered = 0;
        let mut running = tokio::task::JoinSet::new();
        for number in 0..QUESTIONS {
            if running.len() >= at_once {
                let (seconds, is_answered) = running.join_next().await.context("a question")???;
                took.push(seconds);
                answered += usize::from(is_answered);
            }
            let shared = shared.clone();
            running.spawn(async move {
                let began = Instant::now();
                // others each time: what was asked before is remembered
                let at = asked_of(at_once * QUESTIONS + number, size);
                let answer = shared.0.ask(&shared.1, at, &format!("{at_once}-{number}")).await?;
                Ok::<_, anyhow::Error>((began.elapsed().as_secs_f64(), !answer.citations.is_empty()))
            });
        }
        while let Some(ended) = running.join_next().await {
            let (seconds, is_answered) = ended??;
            took.push(seconds);
            answered += usize::from(is_answered);
        }
        ensure!(answered * 2 > QUESTIONS, "of {QUESTIONS} questions {answered} were answered");
        note(&format!("ask_{at_once}_p50_ms"), percentile(&took, 50) * 1000.0);
        note(&format!("ask_{at_once}_p99_ms"), percentile(&took, 99) * 1000.0);
        if at_once == 1 {
            stages.take().iter().for_each(|(stage, times)| note(&format!("{}_p50_ms", stage.as_str()), percentile(times, 50)));
        }
    }
    note("asked_mib", resident_mib()? - before);
    Ok(())
}

/// How long each stage of the answers took, ms.
#[derive(Default)]
struct StageTimes(Arc<Mutex<HashMap<Stage, Vec<f64>>>>);

impl StageTimes {
    fn of(&self, rag: Rag) -> Rag {
        let times = self.0.clone();
        rag.with_stage_listener(move |stage, took| {
            let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
            times.entry(stage).or_default().push(took.as_secs_f64() * 1000.0);
        })
    }

    /// Since they were taken last.
    fn take(&self) -> HashMap<Stage, Vec<f64>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Which chunk question `number` of so many is about.
fn asked_of(number: usize, size: usize) -> usize {
    (number * 7919) % size
}

/// Writes texts, vectors, questions, and how long they take here, one at a time.
async fn export(world: &World, size: usize, into: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(into)?;
    let rows: Vec<ChunkRow> = world.store.scan(None).await?;
    let texts: String = rows.iter().map(|row| format!("{}\n", row.text.replace('\n', " "))).collect();
    std::fs::write(into.join("texts.txt"), texts)?;
    let bytes = |vectors: &mut dyn Iterator<Item = &f32>| -> Vec<u8> { vectors.flat_map(|number| number.to_le_bytes()).collect() };
    std::fs::write(into.join("vectors.f32"), bytes(&mut rows.iter().flat_map(|row| &row.embedding.0)))?;
    drop(rows);
    let questions: Vec<String> = (0..QUESTIONS).map(|number| question(asked_of(number, size))).collect();
    let asked = world.embedder.embed_queries(&questions.iter().map(String::as_str).collect::<Vec<_>>())?;
    std::fs::write(into.join("questions.f32"), bytes(&mut asked.iter().flatten()))?;
    std::fs::write(into.join("questions.txt"), questions.iter().map(|text| format!("{text}\n")).collect::<String>())?;
    let stages = StageTimes::default();
    let rag = stages.of(world.rag().await?);
    for number in 0..QUESTIONS {
        world.ask(&rag, asked_of(number, size), &format!("export-{number}")).await?;
    }
    let retrieve_ms = stages.take().remove(&Stage::Retrieve).unwrap_or_default();
    let took = serde_json::json!({ "retrieve_ms": retrieve_ms });
    Ok(std::fs::write(into.join("headwater.json"), took.to_string())?)
}
