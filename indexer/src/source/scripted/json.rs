//! Blocks, logs and receipts as an OP-Stack node writes them.

use schemas::tables::LogRef;
use serde_json::{Value, json};

use super::block::Block;

pub(super) fn quantity(number: u64) -> Value {
    format!("{number:#x}").into()
}

/// A block without its transactions' bodies.
pub(super) fn block(block: &Block) -> Value {
    let header = &block.consensus;
    json!({
        "hash": block.header.hash,
        "parentHash": header.parent_hash,
        "sha3Uncles": header.ommers_hash,
        "miner": header.beneficiary,
        "stateRoot": header.state_root,
        "transactionsRoot": header.transactions_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "difficulty": header.difficulty,
        "number": quantity(header.number),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": header.extra_data,
        "mixHash": header.mix_hash,
        "nonce": header.nonce,
        "size": "0x220",
        "uncles": [],
        "transactions": block.transactions,
    })
}

/// Some nodes write a log's time, others do not.
pub(super) fn log(log: &LogRef<'_>, is_timed: bool) -> Value {
    let mut value = json!({
        "address": log.address,
        "topics": log.topics,
        "data": format!("0x{}", schemas::alloy_primitives::hex::encode(log.data)),
        "blockHash": log.block_hash,
        "blockNumber": quantity(log.block_number),
        "transactionHash": log.transaction_hash,
        "transactionIndex": quantity(log.transaction_index),
        "logIndex": quantity(log.log_index),
        "removed": false,
    });
    if is_timed {
        value["blockTimestamp"] = quantity(log.block_timestamp);
    }
    value
}

/// The receipts of a block; types in upper case, as op-geth's "0x7E" of deposits.
pub(super) fn receipts(block: &Block, is_timed: bool) -> Value {
    let mut logs = block.receipts.logs.iter();
    let mut logs_start = 0;
    let receipts = block.receipts.receipts.iter().zip(&block.transactions).zip(0..).map(|((meta, hash), place)| {
        let of_receipt: Vec<Value> = logs.by_ref().take(meta.logs_end - logs_start).map(|entry| log(&entry, is_timed)).collect();
        logs_start = meta.logs_end;
        let mut value = json!({
            "type": format!("0x{:X}", meta.transaction_type),
            "status": if meta.succeeded { "0x1" } else { "0x0" },
            "cumulativeGasUsed": quantity(meta.cumulative_gas_used),
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x1",
            "contractAddress": null,
            "logsBloom": meta.logs_bloom,
            "logs": of_receipt,
            "transactionHash": hash,
            "transactionIndex": quantity(place),
            "blockHash": block.header.hash,
            "blockNumber": quantity(block.header.number),
        });
        if let Some(nonce) = meta.deposit_nonce {
            value["depositNonce"] = quantity(nonce);
        }
        if let Some(version) = meta.deposit_receipt_version {
            value["depositReceiptVersion"] = quantity(version);
        }
        value
    });
    receipts.collect()
}
