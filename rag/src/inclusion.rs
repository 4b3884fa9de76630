//! That a receipt is one of its epoch's: a proof against the root that the vault was given with the epoch's debits.

use schemas::B256;
use schemas::alloy_primitives::keccak256;
use schemas::merkle;
use schemas::receipt::Receipt;
use serde::{Deserialize, Serialize};

use crate::{RagError, Result};

/// A receipt's place in a closed epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inclusion {
    pub epoch: u64,
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// Root over the body hashes of these receipts.
    pub receipts_root: B256,
    pub proof: Vec<B256>,
}

/// Checks that `inclusion` proves `receipt` to be one of the epoch's. That the root is the one on chain is for the caller to
/// check.
///
/// # Errors
/// [`RagError::Unproven`].
pub fn verify_inclusion(receipt: &Receipt, inclusion: &Inclusion) -> Result<()> {
    let Inclusion { epoch, first_sequence, last_sequence, receipts_root, proof } = inclusion;
    let sequence = receipt.body.sequence;
    if !(*first_sequence..=*last_sequence).contains(&sequence) {
        return Err(RagError::Unproven(format!("epoch {epoch} has the receipts {first_sequence} to {last_sequence}, and not {sequence}")));
    }
    let hash = receipt.body.canonical()?.1;
    if !proves(*receipts_root, hash, proof) {
        return Err(RagError::Unproven(format!(
            "the receipt is not one of those whose root epoch {epoch} has: another may stand in its place"
        )));
    }
    Ok(())
}

pub(crate) fn proves(receipts_root: B256, body_hash: B256, proof: &[B256]) -> bool {
    merkle::verify(receipts_root, leaf(body_hash), proof)
}

/// The leaf of a receipt.
pub(crate) fn leaf(body_hash: B256) -> B256 {
    keccak256(keccak256(body_hash))
}
