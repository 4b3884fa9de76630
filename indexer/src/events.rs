//! Our contracts' events, typed, out of the `logs` table and the window above it. A pure reading:
//! nothing is kept here. What decides money is read of these, never of one node's word on the state of a contract.

pub mod debits;
pub mod payers;
pub mod roots;

use schemas::alloy_sol_types::SolEvent;
use schemas::contracts::{DatanetRegistry, Deployment, PaymentVault};
use schemas::ids::DatanetId;
use schemas::tables::LogRow;
use schemas::{Address, B256};
use store::{Finality, Store};

use crate::{IndexerError, Result};

/// Where and when an event was emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub block_number: u64,
    pub block_hash: B256,
    /// Unix seconds of the block.
    pub block_timestamp: u64,
    pub tx_hash: B256,
    pub log_index: u64,
}

/// An event and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<E> {
    pub event: E,
    pub place: Place,
}

/// Reads one log as an event; topics and data must be exactly the event's.
///
/// # Errors
/// [`IndexerError::EventUndecodable`].
pub fn decode<E: SolEvent>(row: &LogRow) -> Result<E> {
    let undecodable = |problem: String| IndexerError::EventUndecodable {
        event: E::SIGNATURE,
        block: row.block_number,
        log_index: row.log_index,
        problem,
    };
    let topics = [row.topic0, row.topic1, row.topic2, row.topic3];
    E::decode_raw_log_validate(topics.into_iter().flatten().map(|topic| topic.0), &row.data).map_err(|error| undecodable(error.to_string()))
}

/// All events of a type that a contract emitted, in chain order.
///
/// # Errors
/// [`IndexerError::EventUndecodable`], and errors of the store.
pub async fn all<E: SolEvent>(store: &Store, address: Address, finality: Finality) -> Result<Vec<Placed<E>>> {
    about(store, address, [None; 3], finality).await
}

/// The events of a type whose indexed parameters have these values, in chain order.
///
/// # Errors
/// [`IndexerError::EventUndecodable`], and errors of the store.
pub async fn about<E: SolEvent>(
    store: &Store,
    address: Address,
    parameters: [Option<B256>; 3],
    finality: Finality,
) -> Result<Vec<Placed<E>>> {
    let rows = store.logs_about(address, E::SIGNATURE_HASH, parameters, finality).await?;
    rows.iter().map(|row| Ok(Placed { event: decode(row)?, place: place(row) })).collect()
}

/// The events of a type that a contract emitted, among logs that were read elsewhere; in the order of those.
///
/// # Errors
/// [`IndexerError::EventUndecodable`].
pub fn among<E: SolEvent>(logs: &[LogRow], address: Address) -> Result<Vec<Placed<E>>> {
    let is_one = |row: &&LogRow| row.address.0 == address && row.topic0.is_some_and(|topic| topic.0 == E::SIGNATURE_HASH);
    logs.iter().filter(is_one).map(|row| Ok(Placed { event: decode(row)?, place: place(row) })).collect()
}

fn place(row: &LogRow) -> Place {
    Place {
        block_number: row.block_number,
        block_hash: row.block_hash.0,
        block_timestamp: row.block_timestamp,
        tx_hash: row.transaction_hash.0,
        log_index: row.log_index,
    }
}

/// A version that stands on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedVersion {
    pub datanet_id: DatanetId,
    pub version: u64,
    pub root: B256,
    pub parent_root: B256,
    pub chunk_count: u64,
    pub manifest_hash: B256,
    pub committer: Address,
    pub seq: u64,
    pub block_number: u64,
    pub tx_hash: B256,
}

/// Versions committed to the registry, in chain order.
pub async fn versions_committed(store: &Store, deployment: &Deployment, finality: Finality) -> Result<Vec<CommittedVersion>> {
    let events = all::<DatanetRegistry::VersionCommitted>(store, deployment.registry, finality).await?;
    let version = |Placed { event, place }: Placed<DatanetRegistry::VersionCommitted>| CommittedVersion {
        datanet_id: event.datanetId.into(),
        version: event.version,
        root: event.root,
        parent_root: event.parentRoot,
        chunk_count: event.chunkCount,
        manifest_hash: event.manifestHash,
        committer: event.committer,
        seq: event.seq,
        block_number: place.block_number,
        tx_hash: place.tx_hash,
    };
    Ok(events.into_iter().map(version).collect())
}

/// Datanets created in the registry, in chain order.
pub async fn datanets_created(
    store: &Store,
    deployment: &Deployment,
    finality: Finality,
) -> Result<Vec<Placed<DatanetRegistry::DatanetCreated>>> {
    all(store, deployment.registry, finality).await
}

/// The fee schedule in force at the end of a block that is in the tables; `None` before the vault was deployed.
pub async fn fees_at(store: &Store, deployment: &Deployment, block: u64) -> Result<Option<PaymentVault::FeesActivated>> {
    let activated = all::<PaymentVault::FeesActivated>(store, deployment.vault, Finality::Any).await?;
    Ok(activated.into_iter().rfind(|fees| fees.place.block_number <= block).map(|fees| fees.event))
}

#[cfg(test)]
mod tests;
