//! Which blocks a call is about: what an error says beside the method.

use serde_json::Value;

/// For people; `None` for calls about no block.
pub(super) fn blocks(method: &str, params: &Value) -> Option<String> {
    let first = params.get(0)?;
    match method {
        "eth_getBlockByNumber" | "eth_getBlockByHash" | "eth_getBlockReceipts" => Some(format!("block {}", place(first)?)),
        "eth_getLogs" => match (first.get("fromBlock"), first.get("toBlock"), first.get("blockHash")) {
            (Some(from), Some(to), _) => Some(format!("blocks {} to {}", place(from)?, place(to)?)),
            (_, _, Some(hash)) => Some(format!("block {}", place(hash)?)),
            _ => None,
        },
        "eth_call" => {
            let block = params.get(1)?;
            Some(format!("block {}", place(block.get("blockHash").unwrap_or(block))?))
        }
        _ => None,
    }
}

/// A number in decimal; a hash or tag as it stands.
fn place(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let number = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    Some(number.map_or_else(|| text.to_owned(), |number| number.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blocks_are_named() {
        let hash = format!("0x{}", "ab".repeat(32));
        for (method, params, named) in [
            ("eth_getBlockByNumber", json!(["0x1f", false]), Some("block 31".to_owned())),
            ("eth_getBlockByNumber", json!(["finalized", false]), Some("block finalized".to_owned())),
            ("eth_getBlockByHash", json!([hash, false]), Some(format!("block {hash}"))),
            ("eth_getBlockReceipts", json!([hash]), Some(format!("block {hash}"))),
            ("eth_getLogs", json!([{ "fromBlock": "0x2", "toBlock": "0x10", "address": [] }]), Some("blocks 2 to 16".to_owned())),
            ("eth_getLogs", json!([{ "blockHash": hash }]), Some(format!("block {hash}"))),
            ("eth_call", json!([{}, { "blockHash": hash }]), Some(format!("block {hash}"))),
            ("eth_call", json!([{}, "latest"]), Some("block latest".to_owned())),
            ("eth_chainId", json!([]), None),
            ("eth_sendRawTransaction", json!(["0xff"]), None),
            ("eth_getLogs", json!([5]), None),
        ] {
            assert_eq!(blocks(method, &params), named, "{method} {params}");
        }
    }
}
