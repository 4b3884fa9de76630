//! `[settlement]`: when epochs are closed, whom they pay, and what the contracts of a development chain say of it.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use schemas::Address;
use schemas::ids::parse_address;
use serde::{Deserialize, Serialize};

use super::wei;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// 0: only when asked.
    pub interval_seconds: u64,
    /// Decimal strings, in wei.
    pub reserve_wei: String,
    pub contributor_cap_wei: String,
    /// Parties, each the accounts of one.
    pub linked: Vec<Vec<String>>,
    pub limit_least_wei: String,
    pub limits_per_payer_max: usize,
    pub apps_per_payer_max: usize,
    pub apps_max: usize,
    pub limits_max: usize,
    pub batch_gas_max: u64,
    pub batch_bytes_max: usize,
    pub data_bps: u16,
    pub model_bps: u16,
    pub dispute_window_seconds: u64,
    pub dispute_bond_wei: u64,
    pub withdrawal_delay_seconds: u64,
    pub fee_notice_margin_seconds: u64,
}

impl Settlement {
    pub fn reserve_wei(&self) -> anyhow::Result<u128> {
        wei("settlement.reserve_wei", &self.reserve_wei)
    }

    pub fn contributor_cap_wei(&self) -> anyhow::Result<u128> {
        wei("settlement.contributor_cap_wei", &self.contributor_cap_wei)
    }

    pub fn linked(&self) -> anyhow::Result<Vec<BTreeSet<Address>>> {
        let party =
            |accounts: &Vec<String>| accounts.iter().map(|account| parse_address(account)).collect::<Result<BTreeSet<Address>, _>>();
        self.linked.iter().map(party).collect::<Result<_, _>>().context("configuration: settlement.linked")
    }

    pub fn limit_least_wei(&self) -> anyhow::Result<u128> {
        wei("settlement.limit_least_wei", &self.limit_least_wei)
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.reserve_wei()?;
        self.contributor_cap_wei()?;
        self.linked()?;
        self.limit_least_wei()?;
        if self.limits_per_payer_max == 0 {
            bail!("configuration: settlement.limits_per_payer_max is 0; a payer needs at least one limit");
        }
        let (data_bps, model_bps) = (self.data_bps, self.model_bps);
        if u32::from(data_bps) + u32::from(model_bps) > 10_000 {
            bail!("configuration: settlement.data_bps and settlement.model_bps are {data_bps} and {model_bps}; together at most 10000");
        }
        Ok(())
    }
}
