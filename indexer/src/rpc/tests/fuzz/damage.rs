//! Ways in which a reply goes wrong: in its bytes, in its values, in its envelope, or altogether.

use super::*;

/// Written in place of a value; no JSON library would write them.
const RAW: [(&str, &str); 5] =
    [("@0", "1e999"), ("@1", "123456789012345678901234567890"), ("@2", "-0"), ("@3", "1.5"), ("@4", "\"\\ud800\"")];

/// The reply, and whether it still says the same.
pub(super) fn damaged(reply: Value, random: &mut StdRng) -> (bool, std::result::Result<Bytes, TransportFailure>) {
    let mut reply = reply;
    match random.random_range(0..12) {
        0 => return (true, Ok(reply.to_string().into())),
        1 => {
            if let Some(replies) = reply.as_array_mut() {
                replies.reverse();
            }
            return (true, Ok(serde_json::to_string_pretty(&reply).unwrap().into()));
        }
        2..=4 => {
            for _ in 0..random.random_range(1..4) {
                *somewhere(&mut reply, random) = nasty(random);
            }
        }
        5 => remove(&mut reply, random),
        6 => envelope(&mut reply, random),
        7 => return (false, Err(failure(random))),
        8 => error_object(&mut reply, random),
        _ => {}
    }
    let mut text = reply.to_string();
    for (mark, raw) in RAW {
        text = text.replace(&format!("\"{mark}\""), raw);
    }
    let mut bytes = text.into_bytes();
    if random.random_bool(0.5) {
        for _ in 0..random.random_range(1..4) {
            damage_bytes(&mut bytes, random);
        }
    }
    // Some damage changes nothing that is read; then the answer is right, which is not looked into.
    (false, Ok(bytes.into()))
}

/// A random value in the tree.
fn somewhere<'a>(value: &'a mut Value, random: &mut StdRng) -> &'a mut Value {
    let size = match &*value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    if size == 0 || random.random_bool(0.15) {
        return value;
    }
    let chosen = random.random_range(0..size);
    match value {
        Value::Array(items) => somewhere(&mut items[chosen], random),
        Value::Object(fields) => somewhere(fields.values_mut().nth(chosen).unwrap(), random),
        _ => unreachable!("scalars have no size"),
    }
}

fn nasty(random: &mut StdRng) -> Value {
    let nested = |depth| (0..depth).fold(json!(0), |inner, _| json!([inner]));
    match random.random_range(0..24) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!("0x"),
        5 => json!("0x1ffffffffffffffff"),
        6 => json!("0xzz"),
        7 => json!(""),
        8 => json!("latest"),
        9 => json!([]),
        10 => json!({}),
        11 => json!("\u{0}\u{10ffff}"),
        12 => json!(format!("0x{}", "f".repeat(random.random_range(0..5_000)))),
        13 => nested(random.random_range(0..120)),
        14 => json!(vec![0; random.random_range(0..5_000)]),
        15 => json!(vec![Value::Null; random.random_range(0..5_000)]),
        16 => json!("0x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"),
        17 => json!({ "number": "0x1", "hash": "0x1" }),
        18 => json!("x".repeat(random.random_range(0..300_000))),
        other => json!(RAW[other % RAW.len()].0),
    }
}

fn remove(reply: &mut Value, random: &mut StdRng) {
    match somewhere(reply, random) {
        Value::Object(fields) if !fields.is_empty() => {
            let key = fields.keys().nth(random.random_range(0..fields.len())).unwrap().clone();
            let value = fields.remove(&key).unwrap();
            if random.random_bool(0.5) {
                fields.insert(key.to_uppercase(), value);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let item = items.remove(random.random_range(0..items.len()));
            if random.random_bool(0.5) {
                items.extend([item.clone(), item]);
            }
        }
        other => *other = Value::Null,
    }
}

fn envelope(reply: &mut Value, random: &mut StdRng) {
    let kind = random.random_range(0..7);
    if let Value::Array(replies) = reply {
        match kind {
            0 => return replies.truncate(1),
            1 => return replies.push(replies[0].clone()),
            2 => return *reply = replies[0].clone(),
            3 => return replies.clear(),
            4 if replies.len() > 1 => return replies.swap(0, 1),
            _ => {}
        }
    }
    let first = if reply.is_array() { &mut reply[0] } else { reply };
    let Value::Object(fields) = first else { return };
    match kind {
        0 => fields.insert("jsonrpc".into(), nasty(random)),
        1 | 2 => fields.insert("id".into(), nasty(random)),
        3 => fields.insert("id".into(), json!(random.random_range(0..1_000_000u64))),
        4 => fields.remove("jsonrpc"),
        5 => fields.remove("id"),
        _ => fields.remove("result"),
    };
}

fn error_object(reply: &mut Value, random: &mut StdRng) {
    const MESSAGES: [&str; 8] = [
        "execution reverted: rate limit",
        "too many requests, see https://node.example/secret",
        "query returned more than 10000 results. Try with this block range [0x1, 0x2].",
        "limit exceeded",
        "request timed out",
        "block range is too wide (maximum 1024)",
        "header not found",
        "batch too large",
    ];
    let codes = [json!(-32005), json!(429), json!(3), json!("-32000"), Value::Null, json!(i64::MIN), json!(u64::MAX)];
    let mut error = json!({
        "code": codes[random.random_range(0..codes.len())],
        "message": MESSAGES[random.random_range(0..MESSAGES.len())],
        "data": { "rate": { "backoff_seconds": 7 } },
    });
    if random.random_bool(0.3) {
        *somewhere(&mut error, random) = nasty(random);
    }
    let first = if reply.is_array() { &mut reply[0] } else { &mut *reply };
    if let Value::Object(fields) = first {
        fields.remove("result");
        fields.insert("error".into(), error);
    }
    if reply.is_array() && random.random_bool(0.3) {
        *reply = reply[0].clone();
    }
}

fn failure(random: &mut StdRng) -> TransportFailure {
    const STATUSES: [u16; 12] = [200, 204, 301, 400, 401, 404, 408, 413, 429, 500, 503, 524];
    match random.random_range(0..6) {
        0 => TransportFailure::Unreachable { problem: "x".repeat(random.random_range(0..100_000)) },
        1 => TransportFailure::Timeout,
        2 => TransportFailure::TooLarge { limit_bytes: 1 },
        _ => {
            let mut reply = json!({ "jsonrpc": "2.0", "id": 1, "result": null });
            error_object(&mut reply, random);
            let mut body = reply.to_string().into_bytes();
            if random.random_bool(0.3) {
                damage_bytes(&mut body, random);
            }
            let status = STATUSES[random.random_range(0..STATUSES.len())];
            let retry_after_ms = random.random_bool(0.5).then(|| random.random());
            TransportFailure::Status { status, retry_after_ms, body: body.into() }
        }
    }
}

fn damage_bytes(bytes: &mut Vec<u8>, random: &mut StdRng) {
    if bytes.is_empty() {
        bytes.extend(b"<html>");
        return;
    }
    let at = random.random_range(0..bytes.len());
    let end = (at + random.random_range(1..40)).min(bytes.len());
    match random.random_range(0..8) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, piece));
        }
        5 => drop(bytes.splice(at..at, [b"[{\"}],:0ex\xff"[random.random_range(0..11)]])),
        6 => drop(bytes.splice(at..at, std::iter::repeat_n(b'[', random.random_range(1..3_000)))),
        _ => bytes[at..].fill_with(|| random.random()),
    }
}
