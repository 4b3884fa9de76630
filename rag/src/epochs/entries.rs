//! Receipts as epochs see them: of each what its payer owes and whom it pays, some hundred bytes, so that an epoch of a million fits
//! into memory. Their texts are read some at a time and let go.

use std::ops::RangeInclusive;

use schemas::alloy_primitives::keccak256;
use schemas::receipt::{ContributorShare, ReceiptBody};
use schemas::tables::{BodyRow, Wei};
use schemas::{Address, B256};
use serde::Deserialize;
use store::Store;

use super::amounts::contributors_parts;
use crate::receipts::map_run;
use crate::{RagError, Result};

/// A receipt in an epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(super) sequence: u64,
    pub(super) payer: Option<Address>,
    pub(super) fee_wei: Wei,
    pub(super) body_hash: B256,
    shares: Box<[ContributorShare]>,
    unattributed_ppm: u64,
}

/// Of a receipt's text what an entry needs.
#[derive(Deserialize)]
struct Text {
    sequence: u64,
    payer: Option<Address>,
    fee_wei: Wei,
    shares: Box<[ContributorShare]>,
    unattributed_ppm: u64,
}

impl Entry {
    pub(super) fn of(body: &ReceiptBody) -> Result<Self> {
        Ok(Self {
            sequence: body.sequence,
            payer: body.payer,
            fee_wei: body.fee_wei,
            body_hash: body.canonical()?.1,
            shares: body.shares.as_slice().into(),
            unattributed_ppm: body.unattributed_ppm,
        })
    }

    /// What its contributors are to have of its fee.
    pub(super) fn parts(&self, data_bps: u16) -> Result<Vec<(Address, u128)>> {
        contributors_parts(self.sequence, self.fee_wei, &self.shares, self.unattributed_ppm, data_bps)
    }

    fn read(row: &BodyRow) -> Result<Self> {
        let other = |problem: String| RagError::Unproven(format!("receipt {} in the tables {problem}", row.sequence));
        if keccak256(&row.body) != row.body_hash {
            return Err(other("is not what its hash says".into()));
        }
        let Text { sequence, payer, fee_wei, shares, unattributed_ppm } =
            serde_json::from_str(&row.body).map_err(|error| other(format!("cannot be read: {error}")))?;
        if sequence != row.sequence {
            return Err(other(format!("says that it is {sequence}")));
        }
        Ok(Self { sequence, payer, fee_wei, body_hash: row.body_hash, shares, unattributed_ppm })
    }
}

/// All of them, by sequence.
pub(super) fn entries(bodies: &[ReceiptBody]) -> Result<Vec<Entry>> {
    let mut entries = bodies.iter().map(Entry::of).collect::<Result<Vec<Entry>>>()?;
    entries.sort_by_key(|entry| entry.sequence);
    Ok(entries)
}

/// The receipts in a run of which the tables say what `filter` wants, by sequence.
pub(super) async fn read(store: &Store, run: RangeInclusive<u64>, filter: Option<&str>) -> Result<Vec<Entry>> {
    let read = |rows: Vec<BodyRow>| rows.iter().map(Entry::read).collect::<Result<Vec<Entry>>>();
    let parts = map_run(store, &run, filter, read).await?.into_iter().collect::<Result<Vec<Vec<Entry>>>>()?;
    let mut entries: Vec<Entry> = parts.into_iter().flatten().collect();
    entries.sort_by_key(|entry| entry.sequence);
    Ok(entries)
}
