//! `[rpc]`, `[indexer]` and `[sender]`: limits of what is asked of nodes, read from them, and sent.

use anyhow::bail;
use indexer::{IndexerConfig, RpcConfig, SenderConfig};
use serde::{Deserialize, Serialize};

use super::{Chain, at_least};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rpc {
    pub timeout_ms: u64,
    pub max_attempts: u32,
    pub max_in_flight: usize,
    pub max_batch_requests: usize,
    pub max_reply_bytes: u64,
    pub max_backoff_ms: u64,
    pub max_retry_after_ms: u64,
    pub cool_down_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexerSection {
    pub max_ranges_in_flight: usize,
    pub max_range_blocks: u64,
    pub commit_blocks: usize,
    pub commit_bytes: usize,
    pub max_hot_blocks: u64,
    pub max_backoff_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SenderSection {
    pub receipt_timeout_ms: u64,
    pub rebroadcast_ms: u64,
    pub replace_after_ms: u64,
    pub replace_after_blocks: u64,
    pub gas_margin_percent: u64,
}

impl Rpc {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        at_least(&[
            ("rpc.timeout_ms", self.timeout_ms, 1),
            ("rpc.max_attempts", self.max_attempts.into(), 1),
            ("rpc.max_in_flight", self.max_in_flight as u64, 1),
            ("rpc.max_batch_requests", self.max_batch_requests as u64, 1),
            // A block with its receipts must fit.
            ("rpc.max_reply_bytes", self.max_reply_bytes, 1 << 20),
            ("rpc.max_backoff_ms", self.max_backoff_ms, 1),
        ])
    }

    pub fn config(&self) -> RpcConfig {
        let usual = RpcConfig::default();
        RpcConfig {
            timeout_ms: self.timeout_ms,
            max_attempts: self.max_attempts,
            max_in_flight: self.max_in_flight,
            start_in_flight: usual.start_in_flight.min(self.max_in_flight),
            max_batch_requests: self.max_batch_requests,
            max_reply_bytes: self.max_reply_bytes,
            backoff_ms: usual.backoff_ms.min(self.max_backoff_ms),
            max_backoff_ms: self.max_backoff_ms,
            max_retry_after_ms: self.max_retry_after_ms,
            cool_down_ms: self.cool_down_ms,
            ..usual
        }
    }
}

impl IndexerSection {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        at_least(&[
            ("indexer.max_ranges_in_flight", self.max_ranges_in_flight as u64, 1),
            ("indexer.max_range_blocks", self.max_range_blocks, 1),
            ("indexer.commit_blocks", self.commit_blocks as u64, 1),
            ("indexer.commit_bytes", self.commit_bytes as u64, 1 << 20),
            ("indexer.max_backoff_ms", self.max_backoff_ms, 1),
        ])?;
        if self.max_hot_blocks <= self.commit_blocks as u64 {
            let (hot, commit) = (self.max_hot_blocks, self.commit_blocks);
            bail!(
                "configuration: indexer.max_hot_blocks is {hot}; it must be above indexer.commit_blocks, {commit}, which wait in the window"
            );
        }
        Ok(())
    }

    pub fn config(&self, chain: &Chain) -> IndexerConfig {
        let usual = IndexerConfig::default();
        IndexerConfig {
            verify: chain.verify,
            poll_interval_ms: chain.poll_interval_ms,
            commit_interval_ms: chain.commit_interval_ms,
            max_backoff_ms: self.max_backoff_ms,
            initial_range_blocks: usual.initial_range_blocks.min(self.max_range_blocks),
            max_range_blocks: self.max_range_blocks,
            max_ranges_in_flight: self.max_ranges_in_flight,
            commit_bytes: self.commit_bytes,
            commit_blocks: self.commit_blocks,
            max_hot_blocks: self.max_hot_blocks,
            ..usual
        }
    }
}

impl SenderSection {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        at_least(&[
            ("sender.receipt_timeout_ms", self.receipt_timeout_ms, 1),
            ("sender.rebroadcast_ms", self.rebroadcast_ms, 1),
            ("sender.replace_after_ms", self.replace_after_ms, 1),
            ("sender.replace_after_blocks", self.replace_after_blocks, 1),
        ])?;
        if self.gas_margin_percent > 1000 {
            bail!("configuration: sender.gas_margin_percent is {}; it must be at most 1000", self.gas_margin_percent);
        }
        Ok(())
    }

    /// Where its outbox is and what it may spend is for the caller to say.
    pub fn config(&self, rpc: RpcConfig) -> SenderConfig {
        SenderConfig {
            rpc,
            receipt_timeout_ms: self.receipt_timeout_ms,
            rebroadcast_ms: self.rebroadcast_ms,
            replace_after_ms: self.replace_after_ms,
            replace_after_blocks: self.replace_after_blocks,
            gas_margin_percent: self.gas_margin_percent,
            ..SenderConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use indexer::{IndexerConfig, RpcConfig, SenderConfig};

    use crate::config::{Config, DEFAULTS};

    /// A default is written in the file and in its crate: they are the same.
    #[test]
    fn the_defaults_are_those_of_the_indexer() {
        let defaults: Config = toml::from_str(DEFAULTS).unwrap();
        assert_eq!(format!("{:?}", defaults.rpc.config()), format!("{:?}", RpcConfig::default()));
        assert_eq!(format!("{:?}", defaults.sender.config(defaults.rpc.config())), format!("{:?}", SenderConfig::default()));
        let usual = IndexerConfig { poll_interval_ms: defaults.chain.poll_interval_ms, ..IndexerConfig::default() };
        assert_eq!(format!("{:?}", defaults.indexer.config(&defaults.chain)), format!("{usual:?}"));
    }

    #[test]
    fn few_at_once_are_few_from_the_start() {
        let mut defaults: Config = toml::from_str(DEFAULTS).unwrap();
        defaults.rpc.max_in_flight = 1;
        assert_eq!(defaults.rpc.config().start_in_flight, 1);
        defaults.indexer.max_range_blocks = 5;
        assert_eq!(defaults.indexer.config(&defaults.chain).initial_range_blocks, 5);
    }
}
