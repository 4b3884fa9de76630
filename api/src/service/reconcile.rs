//! Reconcilers: each asks the tables what the world still owes them and brings it level. A crash
//! anywhere is repaired by the next round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indexer::{At, events};
use store::Finality;
use tokio_util::sync::CancellationToken;

use super::{ROUND, Service};
use crate::settlement;

/// Runs all reconcilers in turn until stopped.
pub(super) async fn run(service: Arc<Service>, stop: CancellationToken) -> anyhow::Result<()> {
    let drain_every = Duration::from_millis(service.config.rag.drain_interval_ms);
    let mut drained = Instant::now();
    while !stop.is_cancelled() {
        service.trouble("transactions", service.sender.tend().await.map_err(Into::into));
        service.trouble("registrations", register(&service).await);
        service.trouble("anchors", anchor(&service).await);
        service.trouble("text indexes", service.rag.reconcile().await.map(|_| ()).map_err(Into::into));
        service.trouble("settlement", settlement::step(&service).await);
        if drained.elapsed() >= drain_every {
            service.trouble("receipts", service.rag.drain().await.map(|_| ()).map_err(Into::into));
            drained = Instant::now();
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(ROUND) => {}
        }
    }
    Ok(())
}

/// Datanets that the chain does not know yet are registered.
async fn register(service: &Service) -> anyhow::Result<()> {
    let created = events::datanets_created(&service.store, &service.deployment, Finality::Any).await?;
    let created: Vec<_> = created.iter().map(|log| log.event.datanetId.into()).collect();
    for row in service.ingest.pending_registrations(&created).await? {
        // The indexer may be behind: ask the contract before sending.
        if service.reader.owner_of(row.datanet_id, At::Latest).await?.is_none() {
            let outcome = service.sender.call(service.deployment.registry, &ingest::registration_call(&row)).await?;
            tracing::info!(datanet = %row.datanet_id, transaction = %outcome.hash, "registered a Datanet");
        }
    }
    Ok(())
}

/// Versions whose root is not on chain yet are anchored, in order.
async fn anchor(service: &Service) -> anyhow::Result<()> {
    let committed = events::versions_committed(&service.store, &service.deployment, Finality::Any).await?;
    let committed: Vec<_> = committed.iter().map(|version| (version.datanet_id, version.version)).collect();
    for row in service.ingest.pending_anchors(&committed).await? {
        if service.reader.owner_of(row.datanet_id, At::Latest).await?.is_none() {
            continue; // not registered yet
        }
        let head = service.reader.registry_head(row.datanet_id, At::Latest).await?.map_or(0, |(version, _)| version);
        if head + 1 == row.version {
            let outcome = service.sender.call(service.deployment.registry, &ingest::anchor_call(&row)).await?;
            tracing::info!(datanet = %row.datanet_id, version = row.version, transaction = %outcome.hash, "anchored a version");
        }
    }
    Ok(())
}
