mod collected;
mod first;
mod hostile;
mod policies;
mod stored;

use schemas::allocation::PPM;
use schemas::receipt::{AnswerStatus, ContributorShare, Models, ReceiptBody};
use schemas::tables::Wei;
use schemas::{Address, B256};

/// `shares`: contributor byte and ppm; the rest is unattributed.
fn receipt(sequence: u64, fee_wei: u128, payer: Option<u8>, shares: &[(u8, u64)]) -> ReceiptBody {
    ReceiptBody {
        schema: schemas::receipt::SCHEMA.into(),
        answer_id: B256::from(schemas::U256::from(sequence)).into(),
        sequence,
        previous: B256::repeat_byte(8),
        issued_at_ms: 0,
        chain_id: 1,
        registry: Address::ZERO,
        datanet_id: B256::ZERO.into(),
        version: 1,
        version_root: B256::ZERO,
        question_hash: B256::ZERO,
        answer_hash: B256::ZERO,
        status: AnswerStatus::Answered,
        retrieval: crate::Fusion::ReciprocalRank { k: 20 }.stated(20, 8),
        quoting: None,
        models: Models {
            embedder: "e".into(),
            embedder_sha256: "0".into(),
            generator: "quote/1".into(),
            reranker: None,
            reranker_sha256: None,
        },
        candidates: None,
        sources: vec![],
        retrieved: 0,
        segments: vec![],
        generation: None,
        method: "support/2".into(),
        value_table: vec![],
        likelihood: None,
        shares: shares
            .iter()
            .map(|(n, share_ppm)| ContributorShare { contributor: Address::repeat_byte(*n), share_ppm: *share_ppm })
            .collect(),
        source_shares_ppm: vec![],
        unattributed_ppm: PPM - shares.iter().map(|(_, share)| share).sum::<u64>(),
        fee_wei: Wei(fee_wei),
        payer: payer.map(Address::repeat_byte),
    }
}
