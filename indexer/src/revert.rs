//! Why a contract refused: revert data read with the ABIs of our contracts.

use schemas::alloy_primitives::{Bytes, U256};
use schemas::alloy_sol_types::{Panic, Revert as RevertString, SolError};
use schemas::contracts::Contract;
use serde_json::Value;

/// A decoded revert. Its text is `WrongVersion(datanetId=0x…, head=2, given=3)`, the contract's
/// own words for `require` strings, or the raw data where no ABI of ours knows the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// The error's name, where it is known: match on this.
    pub name: Option<String>,
    /// Parameter names and values, in order; empty when a parameter does not fit one word.
    pub arguments: Vec<(String, String)>,
    /// As the node gave it.
    pub data: Bytes,
}

impl Revert {
    /// Reads revert data.
    pub fn decode(data: &Bytes) -> Self {
        let unknown = Self { name: None, arguments: Vec::new(), data: data.clone() };
        let Some((selector, body)) = data.split_first_chunk::<4>() else { return unknown };
        if *selector == RevertString::SELECTOR {
            let reason = RevertString::abi_decode(data).map(|revert| revert.reason).unwrap_or_default();
            return Self { name: Some("Error".into()), arguments: vec![("reason".into(), reason)], ..unknown };
        }
        if *selector == Panic::SELECTOR {
            let code = Panic::abi_decode(data).map(|panic| panic.code).unwrap_or_default();
            return Self { name: Some("Panic".into()), arguments: vec![("code".into(), format!("{code:#x}"))], ..unknown };
        }
        for contract in Contract::ALL {
            let Ok(artifact) = contract.artifact() else { continue };
            if let Some(error) = artifact.abi.errors().find(|error| error.selector() == *selector) {
                let names_and_types = error.inputs.iter().map(|input| (input.name.as_str(), input.ty.as_str()));
                let arguments = words(names_and_types, body).unwrap_or_default();
                return Self { name: Some(error.name.clone()), arguments, ..unknown };
            }
        }
        unknown
    }

    /// The revert in the `data` of a JSON-RPC error: a string, or an object that holds one.
    pub(crate) fn from_rpc(data: Option<&str>) -> Option<Self> {
        let text = match serde_json::from_str::<Value>(data?).ok()? {
            Value::String(text) => text,
            Value::Object(fields) => fields.get("data")?.as_str()?.to_owned(),
            _ => return None,
        };
        text.parse::<Bytes>().ok().map(|data| Self::decode(&data))
    }
}

impl std::fmt::Display for Revert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => {
                write!(f, "{name}(")?;
                for (index, (argument, value)) in self.arguments.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{argument}={value}")?;
                }
                write!(f, "){}", in_words(name))
            }
            None if self.data.is_empty() => write!(f, "reverted without a reason"),
            None => write!(f, "unknown error {}", self.data),
        }
    }
}

/// What people meet without knowing the contracts.
fn in_words(name: &str) -> &'static str {
    match name {
        "WithdrawalNotReady" => ": the withdrawal's delay is not over; ask again from that Unix time on",
        _ => "",
    }
}

/// One 32-byte word per parameter; `None` if a type does not fit one.
fn words<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>, body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut words = body.chunks_exact(32);
    parameters
        .map(|(name, solidity)| {
            let word = U256::from_be_slice(words.next()?);
            let value = match solidity {
                "address" => format!("0x{word:040x}"),
                "bool" => (word != U256::ZERO).to_string(),
                _ if solidity.starts_with("bytes") && solidity.len() > 5 => format!("0x{word:064x}"),
                _ if solidity.starts_with("uint") && !solidity.ends_with(']') => word.to_string(),
                _ => return None,
            };
            Some((name.to_owned(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverts_print_as_the_contract_wrote_them() {
        let wrong_version = Contract::DatanetRegistry.artifact().unwrap().abi;
        let selector = wrong_version.errors().find(|error| error.name == "WrongVersion").unwrap().selector();
        let mut data = selector.to_vec();
        for word in [7u64, 2, 3] {
            data.extend(U256::from(word).to_be_bytes::<32>());
        }
        let text = Revert::decode(&data.into()).to_string();
        assert!(text.starts_with("WrongVersion(datanetId=0x") && text.ends_with("head=2, given=3)"), "{text}");

        let required = RevertString::from("not today").abi_encode();
        assert_eq!(Revert::decode(&required.into()).to_string(), "Error(reason=not today)");
        assert_eq!(Revert::decode(&Bytes::new()).to_string(), "reverted without a reason");
        assert_eq!(Revert::decode(&Bytes::from_static(&[1, 2, 3, 4, 5])).to_string(), "unknown error 0x0102030405");
        // Cut short: the name is still known.
        let short: Bytes = selector.to_vec().into();
        assert_eq!(Revert::decode(&short).to_string(), "WrongVersion()");
    }

    #[test]
    fn a_withdrawal_that_is_too_early_is_told_in_words() {
        let early = Revert { name: Some("WithdrawalNotReady".into()), arguments: Vec::new(), data: Bytes::new() };
        assert!(early.to_string().contains("the withdrawal's delay is not over"));
        assert!(Contract::PaymentVault.artifact().unwrap().abi.errors().any(|error| error.name == "WithdrawalNotReady"));
    }

    #[test]
    fn revert_data_is_found_in_both_shapes() {
        for text in [r#""0x01020304""#, r#"{"data":"0x01020304","message":"x"}"#] {
            assert_eq!(Revert::from_rpc(Some(text)).unwrap().data.len(), 4);
        }
        for text in ["17", "null", r#""xyz""#, "{}"] {
            assert_eq!(Revert::from_rpc(Some(text)), None);
        }
        assert_eq!(Revert::from_rpc(None), None);
    }
}
