//! Receipts as epochs see them: of each what its payer owes and whom it pays, some hundred bytes, so that an epoch of a million fits
//! into memory. Their texts are read some at a time and let go.

use std::ops::RangeInclusive;

use schemas::receipt::{ContributorShare, ReceiptBody};
use schemas::tables::{BodyRow, Wei};
use schemas::{Address, B256};
use serde::Deserialize;
use store::Store;

use super::amounts::{check_whole, contributors_parts};
use crate::receipts::{joined, map_run};
use crate::{RagError, Result};

/// A receipt in an epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(super) sequence: u64,
    pub(super) payer: Option<Address>,
    pub(super) fee_wei: Wei,
    pub(super) body_hash: B256,
    shares: Box<[Share]>,
    unattributed_ppm: u64,
}

/// Small, for there are millions.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share {
    contributor: Address,
    ppm: u32,
}

impl Share {
    fn of(share: &ContributorShare) -> Self {
        // what is more than all is refused where shares are summed, whatever it is
        Self { contributor: share.contributor, ppm: u32::try_from(share.share_ppm).unwrap_or(u32::MAX) }
    }
}

/// Of a receipt's text what an entry needs.
#[derive(Deserialize)]
struct Text {
    sequence: u64,
    payer: Option<Address>,
    fee_wei: Wei,
    shares: Vec<ContributorShare>,
    unattributed_ppm: u64,
}

impl Entry {
    pub(super) fn of(body: &ReceiptBody) -> Result<Self> {
        Ok(Self {
            sequence: body.sequence,
            payer: body.payer,
            fee_wei: body.fee_wei,
            body_hash: body.canonical()?.1,
            shares: body.shares.iter().map(Share::of).collect(),
            unattributed_ppm: body.unattributed_ppm,
        })
    }

    /// What its contributors are to have of its fee.
    pub(super) fn parts(&self, data_bps: u16) -> Result<Vec<(Address, u128)>> {
        let shares = self.shares.iter().map(|share| (share.contributor, u64::from(share.ppm))).collect();
        contributors_parts(self.sequence, self.fee_wei, shares, self.unattributed_ppm, data_bps)
    }

    /// Refuses what [`Self::parts`] would refuse.
    pub(super) fn check_shares(&self) -> Result<()> {
        check_whole(self.sequence, self.shares.iter().map(|share| share.ppm.into()), self.unattributed_ppm)
    }

    /// Of each row, in order; the bodies are hashed together.
    fn read(rows: &[BodyRow]) -> Result<Vec<Self>> {
        let bodies: Vec<&str> = rows.iter().map(|row| row.body.as_str()).collect();
        let read_one = |(row, hash): (&BodyRow, [u8; 32])| {
            let other = |problem: String| RagError::Unproven(format!("receipt {} in the tables {problem}", row.sequence));
            if row.body_hash != hash {
                return Err(other("is not what its hash says".into()));
            }
            let Text { sequence, payer, fee_wei, shares, unattributed_ppm } =
                serde_json::from_str(&row.body).map_err(|error| other(format!("cannot be read: {error}")))?;
            if sequence != row.sequence {
                return Err(other(format!("says that it is {sequence}")));
            }
            let shares = shares.iter().map(Share::of).collect();
            Ok(Self { sequence, payer, fee_wei, body_hash: row.body_hash, shares, unattributed_ppm })
        };
        rows.iter().zip(engine::keccak256_many(&bodies)).map(read_one).collect()
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
    let parts = map_run(store, &run, filter, |rows: Vec<BodyRow>| Entry::read(&rows)).await?;
    let mut entries = joined(parts.into_iter().collect::<Result<Vec<Vec<Entry>>>>()?);
    entries.sort_unstable_by_key(|entry| entry.sequence);
    Ok(entries)
}
