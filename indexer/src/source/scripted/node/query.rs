//! What an honest node answers from its view of the chain.

use schemas::{Address, B256};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Answer, Refusal};
use crate::source::scripted::{State, json};

fn parsed<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// The height that a tag or a number means; the error of a tag that has no block yet is geth's.
fn height(view: &State, block: &Value) -> Result<Option<u64>, Refusal> {
    match block.as_str() {
        Some("latest") => Ok(Some(view.head())),
        Some("safe") => view.safe.map(|safe| Some(safe.min(view.head()))).ok_or(Refusal(-39_001, "safe block not found")),
        Some("finalized") => view.finalized.map(Some).ok_or(Refusal(-39_001, "finalized block not found")),
        _ => Ok(number(block)),
    }
}

pub(super) fn header(view: &State, method: &str, params: &Value) -> Answer {
    let block = if method == "eth_getBlockByHash" {
        parsed(&params[0]).and_then(|hash| view.known(hash))
    } else if let Some(misplaced) = view.misplaced_finalized.filter(|_| params[0] == "finalized") {
        view.blocks.get(&misplaced).map(AsRef::as_ref)
    } else {
        height(view, &params[0])?.and_then(|number| view.at(number))
    };
    Ok(block.map_or(Value::Null, json::block))
}

pub(super) fn receipts(view: &State, params: &Value, is_timed: bool) -> Value {
    let block = parsed(&params[0]).and_then(|hash| view.known(hash));
    block.map_or(Value::Null, |block| json::receipts(block, is_timed))
}

/// One value, or a list of them, of which any will do; nothing given admits all.
fn admits<T: DeserializeOwned + PartialEq>(wanted: &Value, found: Option<&T>) -> bool {
    match wanted {
        Value::Null => true,
        Value::Array(any) => any.is_empty() || any.iter().any(|one| parsed::<T>(one).as_ref() == found && found.is_some()),
        one => found.is_some() && parsed::<T>(one).as_ref() == found,
    }
}

/// Logs of one block, or of a range. Of a range that goes beyond the head a node gives what it has: the
/// trap of go-ethereum issue 24078.
pub(super) fn logs(view: &State, params: &Value, is_timed: bool) -> Answer {
    let filter = &params[0];
    let blocks: Vec<_> = if filter["blockHash"].is_null() {
        let ends = (height(view, &filter["fromBlock"])?, height(view, &filter["toBlock"])?);
        let (Some(from), Some(to)) = ends else { return Err(Refusal(-32_602, "invalid block range")) };
        if from > to {
            return Err(Refusal(-32_602, "invalid block range params"));
        }
        (from..=to.min(view.head())).filter_map(|number| view.at(number)).collect()
    } else {
        let hash = parsed::<B256>(&filter["blockHash"]);
        vec![hash.and_then(|hash| view.known(hash)).ok_or(Refusal(-32_000, "unknown block"))?]
    };
    let wanted = filter["topics"].as_array().map_or(&[][..], Vec::as_slice);
    let logs = blocks.iter().flat_map(|block| block.receipts.logs.iter());
    let logs = logs.filter(|log| admits::<Address>(&filter["address"], Some(&log.address)));
    let logs = logs.filter(|log| wanted.iter().enumerate().all(|(place, topic)| admits::<B256>(topic, log.topics.get(place))));
    Ok(logs.map(|log| json::log(&log, is_timed)).collect())
}
