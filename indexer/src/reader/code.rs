//! What stands at an address: nothing, a contract, or one that lends its address to another's code.

use schemas::alloy_primitives::{Bytes, b256};
use schemas::{Address, B256};
use serde_json::json;

use super::{At, ContractReader};
use crate::Result;
use crate::rpc::Rpc;

/// Where proxies keep the address of the code that they run: EIP-1967, EIP-1822, and OpenZeppelin's before those.
const IMPLEMENTATION_SLOTS: [B256; 3] = [
    b256!("360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"),
    b256!("c5f16f0fcc639fa48a6947836d9850f504798523bf8c9a3a87d5876cf622bcf7"),
    b256!("7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3"),
];
/// Of a contract that knows the address: EIP-1967.
const BEACON_SLOT: B256 = b256!("a3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50");
/// The code of a minimal proxy before and after the address (EIP-1167).
const MINIMAL_PROXY: ([u8; 10], [u8; 15]) = (
    [0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73],
    [0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3],
);
/// The code of an account that somebody has a key to, before the address of what it runs (EIP-7702).
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

/// What stands at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    NoCode,
    Contract,
    /// It runs the code of this contract, whose events it emits.
    Proxy(Address),
    /// It asks this contract what to run.
    BeaconProxy(Address),
    /// Somebody's account that runs the code of this contract.
    Delegation(Address),
}

impl ContractReader {
    /// What stands at an address now.
    pub async fn standing(&self, address: Address) -> Result<Standing> {
        standing(&self.rpc, address).await
    }
}

/// What stands at an address now. Of proxies those are recognised that follow EIP-1967, 1822, 1167 and 7702.
pub async fn standing(rpc: &Rpc, address: Address) -> Result<Standing> {
    let code: Bytes = rpc.request("eth_getCode", json!([address, At::Latest.json()])).await?;
    if let Some(standing) = of_code(&code) {
        return Ok(standing);
    }
    for slot in IMPLEMENTATION_SLOTS {
        if let Some(implementation) = address_in(rpc, address, slot).await? {
            return Ok(Standing::Proxy(implementation));
        }
    }
    let beacon = address_in(rpc, address, BEACON_SLOT).await?;
    Ok(beacon.map_or(Standing::Contract, Standing::BeaconProxy))
}

async fn address_in(rpc: &Rpc, contract: Address, slot: B256) -> Result<Option<Address>> {
    let word: B256 = rpc.request("eth_getStorageAt", json!([contract, slot, At::Latest.json()])).await?;
    Ok(Some(Address::from_word(word)).filter(|address| *address != Address::ZERO))
}

/// What the code alone says; `None` where it may be a proxy all the same.
fn of_code(code: &[u8]) -> Option<Standing> {
    if code.is_empty() {
        return Some(Standing::NoCode);
    }
    let (before, after) = MINIMAL_PROXY;
    let minimal = code.strip_prefix(&before).and_then(|rest| rest.strip_suffix(&after)).filter(|address| address.len() == 20);
    if let Some(address) = minimal {
        return Some(Standing::Proxy(Address::from_slice(address)));
    }
    let delegated = code.strip_prefix(&DELEGATION).filter(|address| address.len() == 20)?;
    Some(Standing::Delegation(Address::from_slice(delegated)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::alloy_primitives::{U256, hex, keccak256};

    #[test]
    fn code_says_what_stands_there() {
        let target = Address::repeat_byte(0xbe);
        assert_eq!(of_code(&[]), Some(Standing::NoCode));
        assert_eq!(of_code(&hex!("6080604052")), None);
        // The example of EIP-1167.
        let minimal = hex!("363d3d373d3d3d363d73bebebebebebebebebebebebebebebebebebebebe5af43d82803e903d91602b57fd5bf3");
        assert_eq!(of_code(&minimal), Some(Standing::Proxy(target)));
        assert_eq!(of_code(&minimal[..44]), None);
        let delegation = hex!("ef0100bebebebebebebebebebebebebebebebebebebebe");
        assert_eq!(of_code(&delegation), Some(Standing::Delegation(target)));
    }

    /// The standards say how each slot is computed.
    #[test]
    fn slots_are_those_of_the_standards() {
        let before = |name: &str| B256::from(U256::from_be_bytes(keccak256(name).0) - U256::from(1));
        let names = ["PROXIABLE", "org.zeppelinos.proxy.implementation"];
        assert_eq!(IMPLEMENTATION_SLOTS, [before("eip1967.proxy.implementation"), keccak256(names[0]), keccak256(names[1])]);
        assert_eq!(BEACON_SLOT, before("eip1967.proxy.beacon"));
    }
}
