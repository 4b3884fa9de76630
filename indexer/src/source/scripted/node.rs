//! A node over a scripted chain: real JSON-RPC bodies, read by the real parser. It answers as op-geth
//! does, and wrongly where its faults strike.

mod lies;
mod query;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};

use super::faults::{Dice, Faults};
use super::{FaultPlan, NodeFault, ScriptedChain, State, json};
use crate::rpc::{Transport, TransportFailure};

/// A transport to a node that serves a scripted chain.
#[derive(Debug)]
pub struct ScriptedNode {
    chain: ScriptedChain,
    faults: Faults,
    /// Whether logs bear their block's time.
    is_timed: bool,
    /// The highest block ever named as finalized.
    announced: Mutex<u64>,
}

/// An error object's code and message.
struct Refusal(i64, &'static str);

type Answer = std::result::Result<Value, Refusal>;

impl ScriptedNode {
    /// A faultless node; `is_timed` says whether its logs bear their block's time.
    pub fn new(chain: ScriptedChain, is_timed: bool) -> Self {
        Self { chain, faults: Faults::default(), is_timed, announced: Mutex::default() }
    }

    /// From now on faults strike as planned.
    pub fn plan_faults(&self, plan: FaultPlan) {
        self.faults.plan(plan);
    }

    /// The fault strikes the next time it can.
    pub fn strike_next(&self, fault: NodeFault) {
        self.faults.due(fault);
    }

    /// How often each fault struck.
    pub fn struck(&self) -> BTreeMap<NodeFault, u64> {
        self.faults.struck()
    }

    /// The highest block that was named as finalized, truly or not.
    pub fn announced_finalized(&self) -> u64 {
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, body: &[u8]) -> std::result::Result<Bytes, TransportFailure> {
        let Ok(asked) = serde_json::from_slice::<Value>(body) else {
            return Ok(reply_to(&Value::Null, Err(Refusal(-32_700, "parse error"))).to_string().into());
        };
        let calls = asked.as_array().map_or(std::slice::from_ref(&asked), Vec::as_slice);
        let mut dice = self.faults.dice(calls);
        if let Some(failure) = transport_failure(&mut dice) {
            return Err(failure);
        }
        let asks_finality = calls.iter().any(|call| call["params"][0] == "finalized");
        let view = self.view(asks_finality, &mut dice);
        let mut replies: Vec<Value> = calls.iter().map(|call| reply_to(&call["id"], self.answer(&view, call, &mut dice))).collect();
        if replies.len() > 1 && dice.strikes(NodeFault::Unordered) {
            replies.reverse();
        }
        if replies.len() > 1 && dice.strikes(NodeFault::Unanswered) {
            replies.remove(dice.place(replies.len()));
        }
        let text = if asked.is_array() { Value::Array(replies).to_string() } else { replies.pop().unwrap_or_default().to_string() };
        Ok(body_of(text, &mut dice))
    }

    /// The chain as the node behind this exchange sees it.
    fn view(&self, asks_finality: bool, dice: &mut Dice<'_>) -> State {
        let mut view = self.chain.lock().clone();
        let final_height = view.finalized.unwrap_or(0).max(self.announced_finalized());
        let rivals: Vec<Vec<_>> = view.abandoned.iter().map(|head| view.branch(*head)).collect();
        let place = usize::try_from(final_height).unwrap_or(usize::MAX);
        let rivals: Vec<_> = rivals.into_iter().filter(|branch| branch.get(place) == view.canonical.get(place)).collect();
        if !rivals.is_empty() && view.canonical.len() > place && dice.strikes(NodeFault::OtherBranch) {
            view.canonical = rivals.into_iter().nth(dice.place(view.abandoned.len())).unwrap_or_default();
        }
        if view.canonical.is_empty() {
            view.canonical = self.chain.lock().canonical.clone();
        }
        if dice.strikes(NodeFault::Behind) {
            let behind = dice.place(view.canonical.len().min(12));
            view.canonical.truncate(view.canonical.len() - behind);
            view.orphans_known = false;
        }
        if asks_finality {
            self.place_heads(&mut view, dice);
        }
        view
    }

    fn place_heads(&self, view: &mut State, dice: &mut Dice<'_>) {
        let Some(finalized) = view.finalized.map(|number| number.min(view.head())) else { return };
        view.finalized = Some(finalized);
        let is_honest = self.chain.lock().canonical.starts_with(&view.canonical);
        if finalized > 0 && dice.strikes(NodeFault::FinalizedLower) {
            view.finalized = Some(dice.below(finalized));
        } else if dice.strikes(NodeFault::FinalizedAbsent) {
            view.finalized = None;
        } else if is_honest && view.head() > finalized && dice.strikes(NodeFault::FinalizedHigher) {
            view.finalized = Some(finalized + 1 + dice.below(view.head() - finalized));
        }
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        *announced = view.finalized.unwrap_or(0).max(*announced);
    }

    fn answer(&self, view: &State, call: &Value, dice: &mut Dice<'_>) -> Answer {
        let (method, params) = (call["method"].as_str().unwrap_or_default(), &call["params"]);
        if let Some(refusal) = refusal(method, dice) {
            return Err(refusal);
        }
        match method {
            "eth_chainId" => Ok(json::quantity(view.chain_id)),
            "eth_getBlockByNumber" | "eth_getBlockByHash" => {
                query::header(view, method, params).map(|block| lies::header(view, block, dice))
            }
            "eth_getLogs" => Ok(lies::logs(query::logs(view, params, self.is_timed)?, dice)),
            "eth_getBlockReceipts" => Ok(lies::receipts(query::receipts(view, params, self.is_timed), dice)),
            _ => Err(Refusal(-32_601, "the method does not exist/is not available")),
        }
    }
}

#[async_trait]
impl Transport for ScriptedNode {
    /// Waits before and after, so that a client can be stopped on both sides of what a node does.
    async fn exchange(&self, body: Bytes) -> std::result::Result<Bytes, TransportFailure> {
        tokio::task::yield_now().await;
        let reply = self.reply(&body);
        tokio::task::yield_now().await;
        reply
    }

    fn shown_url(&self) -> &'static str {
        "scripted"
    }
}

fn reply_to(id: &Value, answer: Answer) -> Value {
    match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(Refusal(code, message)) => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }),
    }
}

fn transport_failure(dice: &mut Dice<'_>) -> Option<TransportFailure> {
    if dice.strikes(NodeFault::Unreachable) {
        return Some(TransportFailure::Unreachable { problem: "connection reset by peer".into() });
    }
    if dice.strikes(NodeFault::TimedOut) {
        return Some(TransportFailure::Timeout);
    }
    if dice.strikes(NodeFault::TooLarge) {
        return Some(TransportFailure::TooLarge { limit_bytes: 1 << 20 });
    }
    let status = *[429, 500, 503, 413, 403].get(dice.place(5))?;
    let body = Bytes::from_static(b"<html>busy</html>");
    dice.strikes(NodeFault::Status).then_some(TransportFailure::Status { status, retry_after_ms: Some(0), body })
}

fn refusal(method: &str, dice: &mut Dice<'_>) -> Option<Refusal> {
    let errors = [
        (NodeFault::InternalError, Refusal(-32_603, "internal error")),
        (NodeFault::RateLimited, Refusal(-32_005, "too many requests, slow down")),
        (NodeFault::TimeoutError, Refusal(-32_002, "request timed out")),
        (NodeFault::RangeRefused, Refusal(-32_000, "query returned more than 10000 results")),
    ];
    let can_strike = |fault| fault != NodeFault::RangeRefused || method == "eth_getLogs";
    errors.into_iter().find_map(|(fault, refusal)| (can_strike(fault) && dice.strikes(fault)).then_some(refusal))
}

fn body_of(mut text: String, dice: &mut Dice<'_>) -> Bytes {
    if dice.strikes(NodeFault::Garbage) {
        let garbage = ["<html>bad gateway</html>", "", "null", "[]", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":0x1}"];
        return garbage.get(dice.place(garbage.len())).copied().unwrap_or_default().into();
    }
    if dice.strikes(NodeFault::Truncated) {
        // All of it is ASCII.
        text.truncate(dice.place(text.len()));
    }
    text.into()
}

#[cfg(test)]
mod tests;
