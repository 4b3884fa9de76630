//! Answers made wrong.

use serde_json::{Value, json};

use crate::source::scripted::faults::Dice;
use crate::source::scripted::{NodeFault, State, json as written};

/// Flips the last hexadecimal digit of a text.
fn flip(value: &mut Value) {
    let Some(text) = value.as_str() else { return };
    let Some(last) = text.chars().last().and_then(|digit| digit.to_digit(16)) else { return };
    *value = format!("{}{:x}", &text[..text.len() - 1], last ^ 1).into();
}

pub(super) fn header(view: &State, mut block: Value, dice: &mut Dice<'_>) -> Value {
    let Some(number) = block["number"].as_str().and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()) else {
        return block;
    };
    if dice.strikes(NodeFault::HeaderAbsent) {
        return Value::Null;
    }
    if number > 0 && dice.strikes(NodeFault::HeaderOfAnother) {
        return view.at(number - 1).map_or(Value::Null, written::block);
    }
    if dice.strikes(NodeFault::HeaderAltered) {
        let fields = ["hash", "parentHash", "receiptsRoot", "logsBloom", "timestamp", "number", "stateRoot"];
        let field = fields.get(dice.place(fields.len())).copied().unwrap_or_default();
        if field == "logsBloom" {
            block[field] = json!(schemas::alloy_primitives::Bloom::ZERO);
            // Its own change, even where the block has no log.
            flip(&mut block["extraData"]);
        } else {
            flip(&mut block[field]);
        }
    }
    block
}

/// Where there is a log that can be lied about.
pub(super) fn logs(mut reply: Value, dice: &mut Dice<'_>) -> Value {
    let Some(logs) = reply.as_array_mut().filter(|logs| !logs.is_empty()) else { return reply };
    if logs.len() > 1 && dice.strikes(NodeFault::LogsShuffled) {
        logs.reverse();
    }
    if dice.strikes(NodeFault::LogRepeated) {
        let place = dice.place(logs.len());
        logs.insert(place, logs[place].clone());
    }
    lie_about_logs(logs, dice);
    reply
}

fn lie_about_logs(logs: &mut Vec<Value>, dice: &mut Dice<'_>) {
    if !logs.is_empty() && dice.strikes(NodeFault::LogDropped) {
        logs.remove(dice.place(logs.len()));
    }
    if !logs.is_empty() && dice.strikes(NodeFault::LogsEmptied) {
        logs.clear();
    }
    if !logs.is_empty() && dice.strikes(NodeFault::LogAltered) {
        let place = dice.place(logs.len());
        alter(&mut logs[place], dice);
    }
}

/// Another topic, other data, another address or one topic less: whatever the receipts' root covers.
fn alter(log: &mut Value, dice: &mut Dice<'_>) {
    let topics = log["topics"].as_array().map_or(0, Vec::len);
    match dice.below(4) {
        0 if topics > 0 => flip(&mut log["topics"][topics - 1]),
        1 if topics > 0 => drop(log["topics"].as_array_mut().and_then(Vec::pop)),
        2 => flip(&mut log["address"]),
        _ => log["data"] = format!("{}ff", log["data"].as_str().unwrap_or("0x")).into(),
    }
}

pub(super) fn receipts(mut reply: Value, dice: &mut Dice<'_>) -> Value {
    let Some(receipts) = reply.as_array_mut().filter(|receipts| !receipts.is_empty()) else { return reply };
    if dice.strikes(NodeFault::ReceiptDropped) {
        receipts.remove(dice.place(receipts.len()));
    }
    if receipts.len() > 1 && dice.strikes(NodeFault::ReceiptsSwapped) {
        receipts.reverse();
    }
    for receipt in receipts {
        if let Some(logs) = receipt["logs"].as_array_mut() {
            lie_about_logs(logs, dice);
        }
    }
    reply
}
