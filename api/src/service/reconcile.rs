//! Reconcilers: each asks the tables what the world still owes them and brings it level. A crash
//! anywhere is repaired by the next round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indexer::events;
use ingest::{AnchoredVersion, Anchoring};
use schemas::ids::DatanetId;
use store::{Effort, Finality, Mark};
use tokio_util::sync::CancellationToken;

use super::{ROUND, Service};
use crate::settlement;

/// What nothing in the tables tells, as that an epoch's time has come, is looked at so often.
const TIMED: Duration = Duration::from_secs(2);

/// Runs all reconcilers in turn until stopped, whenever there is something new for them to read.
pub(super) async fn run(service: Arc<Service>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut clock = settlement::Clock::default();
    let mut level: Option<(Mark, Instant)> = None;
    while !stop.is_cancelled() {
        service.trouble("transactions", service.sender.tend().await.map_err(Into::into));
        let mark = service.store.mark();
        let is_level = level.as_ref().is_some_and(|(before, at)| *before == mark && at.elapsed() < TIMED);
        if !is_level {
            reconcile(&service, &mut clock).await;
            level = Some((mark, Instant::now()));
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(ROUND) => {}
        }
    }
    Ok(())
}

async fn reconcile(service: &Service, clock: &mut settlement::Clock) {
    if service.follows_closely() {
        service.trouble("registrations", register(service).await);
        service.trouble("anchors", anchor(service).await);
    }
    service.trouble("text indexes", service.rag.reconcile().await.map(|_| ()).map_err(Into::into));
    service.trouble("settlement", settlement::step(service, clock).await);
}

/// Moves waiting receipts into the tables, whatever the reconcilers wait for.
pub(super) async fn drain(service: Arc<Service>, stop: CancellationToken) -> anyhow::Result<()> {
    let every = Duration::from_millis(service.config.rag.drain_interval_ms).max(ROUND);
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        service.trouble("receipts", service.rag.drain().await.map(|_| ()).map_err(Into::into));
    }
    Ok(())
}

/// Keeps the tables in few files.
pub(super) async fn upkeep(service: Arc<Service>, stop: CancellationToken) -> anyhow::Result<()> {
    let section = &service.config.store;
    let retention = section.retention();
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(section.upkeep_interval_seconds.get()))).await.is_some() {
        let done = service.store.upkeep(&retention, Effort::Due).await;
        for (table, upkept) in done.iter().flatten() {
            tracing::debug!(table, ?upkept, "put a table in order");
        }
        service.trouble("upkeep", done.map(drop).map_err(Into::into));
    }
    Ok(())
}

/// Datanets that the chain does not know yet are registered. An error of one stays with it.
async fn register(service: &Service) -> anyhow::Result<()> {
    let created = events::datanets_created(&service.store, &service.deployment, Finality::Any).await?;
    let created: Vec<_> = created.iter().map(|log| log.event.datanetId.into()).collect();
    let mut problems = Vec::new();
    for row in service.ingest.pending_registrations(&created).await? {
        match service.sender.call(service.deployment.registry, &ingest::registration_call(&row)).await {
            Ok(outcome) => {
                tracing::info!(datanet = %row.datanet_id, transaction = %outcome.hash, "registered a Datanet");
                service.saw(outcome.block_number).await;
            }
            Err(error) => problems.push(format!("Datanet {:?}: {error}", row.name)),
        }
    }
    told(&problems)
}

/// Versions whose root is not on chain yet are anchored, in order. An error or a fork of one Datanet stays with it.
async fn anchor(service: &Service) -> anyhow::Result<()> {
    let created = events::datanets_created(&service.store, &service.deployment, Finality::Any).await?;
    let anchored = anchored(service, Finality::Any).await?;
    let mut problems = Vec::new();
    for (datanet, anchoring) in service.ingest.anchorings(&anchored).await? {
        match anchoring {
            Anchoring::Level => {}
            Anchoring::Owed(row) => {
                let is_registered = created.iter().any(|log| DatanetId::from(log.event.datanetId) == row.datanet_id);
                if !is_registered {
                    continue;
                }
                match service.sender.call(service.deployment.registry, &ingest::anchor_call(&row)).await {
                    Ok(outcome) => {
                        let (version, transaction) = (row.version, outcome.hash);
                        tracing::info!(datanet = %row.datanet_id, version, %transaction, "anchored a version");
                        service.saw(outcome.block_number).await;
                    }
                    Err(error) => problems.push(format!("version {} of Datanet {:?}: {error}", row.version, datanet.name)),
                }
            }
            Anchoring::Fork(found) => problems.push(format!(
                "version {} of Datanet {:?} stands on chain with root {:#x}, committed by {}, and was not published here: nothing more of it is \
                 anchored. Restore the newest backup if this data folder is an old one; otherwise `headwater datanets accept-fork {}` lets \
                 its next version build on what stands there",
                found.version, datanet.name, found.root, found.committer, datanet.name
            )),
        }
    }
    told(&problems)
}

/// Every version that stands on chain.
pub(crate) async fn anchored(service: &Service, finality: Finality) -> anyhow::Result<Vec<AnchoredVersion>> {
    let committed = events::versions_committed(&service.store, &service.deployment, finality).await?;
    let version = |row: &events::CommittedVersion| AnchoredVersion {
        datanet_id: row.datanet_id,
        version: row.version,
        root: row.root,
        committer: row.committer,
    };
    Ok(committed.iter().map(version).collect())
}

fn told(problems: &[String]) -> anyhow::Result<()> {
    if problems.is_empty() { Ok(()) } else { Err(anyhow::anyhow!("{}", problems.join("; "))) }
}
