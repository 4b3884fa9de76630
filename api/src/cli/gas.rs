//! Transactions of whoever runs a command. An account that cannot pay for them is told what helps.

use anyhow::Context as _;
use indexer::{IndexerError, Sender, TxOutcome};
use schemas::Address;
use schemas::alloy_sol_types::SolCall;

use crate::http::Info;

/// Sends a call. `otherwise` is what else somebody without gas can do.
pub(super) async fn send<C: SolCall>(
    info: &Info,
    sender: &Sender,
    (to, call): (Address, &C),
    doing: &'static str,
    otherwise: &str,
) -> anyhow::Result<TxOutcome> {
    sender.call(to, call).await.map_err(|error| explained(error, info.deployment.chain_id, otherwise)).context(doing)
}

fn explained(error: IndexerError, chain_id: u64, otherwise: &str) -> anyhow::Error {
    let IndexerError::Unfunded { account, .. } = error else { return error.into() };
    let faucet = faucet(chain_id, format_args!("{account} --eth 1"));
    let help = [faucet.as_str(), otherwise].into_iter().filter(|help| !help.is_empty()).collect::<Vec<_>>().join("; ");
    let help = if help.is_empty() { "send it some".to_owned() } else { help };
    anyhow::Error::new(error).context(format!("{account}, who signs, has too little gas: {help}"))
}

/// What gives an account gas or tokens on a development chain; empty elsewhere.
pub(super) fn faucet(chain_id: u64, arguments: impl std::fmt::Display) -> String {
    if chain_id == indexer::devchain::CHAIN_ID {
        format!("on this development chain `headwater dev fund {arguments}` gives some")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use schemas::U256;

    use super::*;

    #[test]
    fn who_has_no_gas_is_told_what_helps() {
        let unfunded = || IndexerError::Unfunded { account: Address::ZERO, balance_wei: U256::ZERO, needed_wei: U256::from(7u64) };
        let told = |chain_id, otherwise| format!("{:#}", explained(unfunded(), chain_id, otherwise));
        let all = told(indexer::devchain::CHAIN_ID, "ask ada");
        for words in [&format!("{}, who signs", Address::ZERO), "dev fund 0x", "; ask ada", "holds 0 wei for gas", "up to 7 wei"] {
            assert!(all.contains(words), "{all}");
        }
        assert!(told(1, "ask ada").contains("too little gas: ask ada"));
        assert!(told(1, "").contains("send it some") && !told(1, "").contains("dev fund"));
        let other = explained(IndexerError::Transaction { problem: "x".into() }, 1, "ask ada");
        assert_eq!(format!("{other:#}"), "transaction not sent: x");
    }
}
