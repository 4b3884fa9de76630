//! `make soak`: for as long as it is told, a bounded mix of uploads, reviews, publications, paid questions and SQL at a service
//! that follows a chain with a block every 200 ms. Memory must become level, disk grow evenly, and what was acknowledged be there.
//!
//! The load comes at a rate, not as fast as it can: what grows with it must then grow with time alone. Everybody who calls does
//! so by the functions behind the commands, so that a change of the protocol reaches this by the client.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "whoever runs it wants to see it go on")]

mod audit;
mod load;
mod samples;
mod verdict;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::harness::Place;
use load::World;
use samples::Watch;

/// `SOAK_SET` adds to these, and counts more.
const SETTINGS: [&str; 3] = [
    "chain.dev_block_time_ms=200",
    // As small as an operator would make it: a cache must be full early, to be told from a leak.
    "store.cache_mib=16",
    // Epochs are closed, debited and proposed meanwhile.
    "settlement.interval_seconds=120",
];

#[test]
#[ignore = "takes as long as it is told: make soak MINUTES=30"]
fn soak() -> anyhow::Result<()> {
    let minutes: f64 = std::env::var("SOAK_MINUTES").map_or(Ok(30.0), |text| text.parse()).context("SOAK_MINUTES: a number")?;
    let time = Duration::from_secs_f64(minutes * 60.0);
    let more = std::env::var("SOAK_SET").unwrap_or_default();
    let settings: Vec<String> = SETTINGS.into_iter().chain(more.split_whitespace()).map(str::to_owned).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let place = Place::new()?;
    let service = place.up_with(&settings)?;
    let world = World::prepare(&place, &runtime)?;
    eprintln!("soaking for {minutes} minutes with {}", settings.join(" "));
    let began = Instant::now();
    let watch = Watch { process: service.process_id(), folder: place.data_dir(), began, until: began + time };
    let (samples, done) = std::thread::scope(|scope| {
        let samples = scope.spawn(|| watch.run());
        let done = world.run(&runtime, began, began + time);
        Ok::<_, anyhow::Error>((samples.join().map_err(|_| anyhow::anyhow!("the watch panicked"))??, done?))
    })?;
    ensure!(service.lives()?, "the service ended by itself:\n{}", service.log()?);
    println!("{}", verdict::table(&samples, &done, time));
    let mut broken = verdict::hold(&samples, time)?;
    broken.extend(done.failures.iter().cloned());
    broken.extend(audit::uploads(&world, &runtime, &done)?);
    broken.extend(audit::receipts(&world, &runtime, &done)?);
    broken.extend(audit::log(&service.log()?));
    for problem in &broken {
        println!("✗ {problem}");
    }
    ensure!(broken.is_empty(), "{} checks failed", broken.len());
    println!("✓ everything that was acknowledged is there; memory is level, disk grows evenly, every refusal was typed");
    Ok(())
}
