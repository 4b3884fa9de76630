//! Reconcilers: each asks the tables what the world still owes them and brings it level. A crash
//! anywhere is repaired by the next round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indexer::events;
use ingest::{AnchoredVersion, Anchoring};
use schemas::ids::DatanetId;
use schemas::tables::{ClosingRow, DatanetRow, DebtRow, EpochRow, ForeignVersionRow, LogRow, Row, SpendingLimitRow, TableSpec, VersionRow};
use store::{Effort, Finality};
use tokio_util::sync::CancellationToken;

use super::{ROUND, Service};
use crate::settlement;

/// When a reconciler that failed runs again.
const RETRY: Duration = Duration::from_secs(2);

/// What registrations and anchors follow from.
const PUBLISHED: [TableSpec; 4] = [DatanetRow::TABLE, VersionRow::TABLE, ForeignVersionRow::TABLE, LogRow::TABLE];
/// What settlement follows from; when an epoch's time has come it asks itself.
const SETTLED: [TableSpec; 5] = [ClosingRow::TABLE, DebtRow::TABLE, EpochRow::TABLE, LogRow::TABLE, SpendingLimitRow::TABLE];

/// A reconciler has nothing to do while what it rests on is as it was when it ran last, unless a time has come that it named.
#[derive(Debug)]
struct Watch<M> {
    level: Option<M>,
    again: Option<Instant>,
}

impl<M: PartialEq> Watch<M> {
    fn new() -> Self {
        Self { level: None, again: None }
    }

    fn is_due(&self, mark: &M) -> bool {
        self.level.as_ref() != Some(mark) || self.again.is_some_and(|at| at <= Instant::now())
    }

    /// It ran: `mark` was taken before.
    fn ran(&mut self, mark: M, again_in: Option<Duration>) {
        self.level = Some(mark);
        self.again = again_in.and_then(|pause| Instant::now().checked_add(pause));
    }
}

/// Runs all reconcilers in turn until stopped, each whenever there is something new for it to read.
pub(super) async fn run(service: Arc<Service>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut clock = settlement::Clock::default();
    let (mut anchors, mut indexes, mut settled) = (Watch::new(), Watch::new(), Watch::new());
    while !stop.is_cancelled() {
        service.trouble("transactions", service.sender.tend().await.map_err(Into::into));
        let mark = service.store.mark(&PUBLISHED)?;
        if service.follows_closely() && anchors.is_due(&mark) {
            let (registered, anchored) = (register(&service).await, anchor(&service).await);
            anchors.ran(mark, (registered.is_err() || anchored.is_err()).then_some(RETRY));
            service.trouble("registrations", registered);
            service.trouble("anchors", anchored);
        }
        let version = service.store.version::<VersionRow>()?;
        if indexes.is_due(&version) {
            let built = service.rag.reconcile().await;
            indexes.ran(version, built.is_err().then_some(RETRY));
            service.trouble("text indexes", built.map(drop).map_err(Into::into));
        }
        let mark = (service.store.mark(&SETTLED)?, settlement::Moment::now(&service));
        if service.follows_closely() && settled.is_due(&mark) {
            let stepped = settlement::step(&service, &mut clock).await;
            settled.ran(mark, if stepped.is_err() { Some(RETRY) } else { clock.pause(&service) });
            service.trouble("settlement", stepped);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(ROUND) => {}
        }
    }
    Ok(())
}

/// Moves waiting receipts into the tables, whatever the reconcilers wait for.
pub(super) async fn drain(service: Arc<Service>, stop: CancellationToken) -> anyhow::Result<()> {
    let every = Duration::from_millis(service.config.rag.drain_interval_ms).max(ROUND);
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        let drained = service.rag.drain().await.map(drop);
        let checked = service.rag.check_log().await;
        service.trouble("receipts", drained.and(checked).map_err(Into::into));
    }
    Ok(())
}

/// Keeps the tables in few files.
pub(super) async fn upkeep(service: Arc<Service>, stop: CancellationToken) -> anyhow::Result<()> {
    let section = &service.config.store;
    let retention = section.retention();
    measure(&service).await;
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(section.upkeep_interval_seconds.get()))).await.is_some() {
        let done = service.store.upkeep(&retention, Effort::Due).await;
        for (table, upkept) in done.iter().flatten() {
            tracing::debug!(table, ?upkept, "put a table in order");
        }
        service.trouble("upkeep", done.map(drop).map_err(Into::into));
        measure(&service).await;
    }
    Ok(())
}

async fn measure(service: &Service) {
    if let Err(error) = service.metrics.measure(&service.data_dir, &service.store).await {
        tracing::warn!(%error, "what is on the disk was not measured");
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconciler_runs_for_a_change_and_at_its_time() {
        let mut watch = Watch::new();
        assert!(watch.is_due(&1), "at the start");
        watch.ran(1, None);
        assert!(!watch.is_due(&1) && watch.is_due(&2));
        watch.ran(2, Some(Duration::from_secs(3_600)));
        assert!(!watch.is_due(&2) && watch.is_due(&1));
        watch.ran(2, Some(Duration::ZERO));
        assert!(watch.is_due(&2), "its time has come");
    }
}
