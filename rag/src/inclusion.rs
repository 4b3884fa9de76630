//! That a receipt is one of its epoch's: a proof against the root that the vault was given with the epoch's debits.

use schemas::B256;
use schemas::alloy_primitives::keccak256;
use schemas::ids::AnswerId;
use schemas::merkle::{self, StandardMerkleTree};
use schemas::receipt::Receipt;
use schemas::tables::{ClosingRow, ReceiptRow};
use serde::{Deserialize, Serialize};
use store::Store;

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
    if !merkle::verify(*receipts_root, leaf(hash), proof) {
        return Err(RagError::Unproven(format!(
            "the receipt is not one of those whose root epoch {epoch} has: another may stand in its place"
        )));
    }
    Ok(())
}

/// Where the receipt of `id` stands; none while its epoch is not closed.
pub(crate) async fn find(store: &Store, id: AnswerId, sequence: u64) -> Result<Option<Inclusion>> {
    let holds = format!("first_sequence <= {sequence} AND last_sequence >= {sequence}");
    let Some(closing) = store.scan::<ClosingRow>(Some(&holds)).await?.into_iter().next() else { return Ok(None) };
    let ClosingRow { epoch, first_sequence, last_sequence, receipts_root, .. } = closing;
    let in_epoch = format!("sequence >= {first_sequence} AND sequence <= {last_sequence}");
    let mut rows = store.scan::<ReceiptRow>(Some(&in_epoch)).await?;
    rows.sort_by_key(|row| row.sequence);
    let tree = StandardMerkleTree::new(&rows.iter().map(|row| leaf(row.body_hash)).collect::<Vec<B256>>())?;
    let position = rows.iter().position(|row| row.answer_id == id);
    let proof = position.and_then(|position| tree.proof(position));
    match proof {
        Some(proof) if tree.root() == receipts_root => Ok(Some(Inclusion { epoch, first_sequence, last_sequence, receipts_root, proof })),
        _ => {
            let problem = format!("the receipts {first_sequence} to {last_sequence} in the tables do not lead to its root");
            Err(RagError::EpochConflict { epoch, problem })
        }
    }
}

fn leaf(body_hash: B256) -> B256 {
    keccak256(keccak256(body_hash))
}
