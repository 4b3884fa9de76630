//! `headwater settle`, `headwater rewards` and `headwater claim`.

mod recompute;

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use indexer::{At, ContractReader, RpcConfig, Sender};
use rag::RewardProof;
use schemas::U256;
use schemas::contracts::RewardDistributor;
use schemas::signer::Signer;
use serde::Deserialize;
use serde_json::json;

use super::{Context, Patience, SignAs, gas};
use crate::output::{Progress, Report, count, tokens};
use crate::settlement::{SettlementStatus, Stage};

/// How long the service may report that it cannot carry an epoch on; what is only slow is waited for.
fn limit(patience: Patience) -> Duration {
    Duration::from_secs(if patience == Patience::Usual { 120 } else { 1800 })
}

#[derive(Debug, Deserialize)]
struct Latest {
    settlement: SettlementStatus,
    error: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct SettleArgs {
    /// Close nothing: compute this epoch's payouts again, from the service's receipts and what a node says was collected, and compare
    /// them with what the service and the chain say.
    #[arg(long, value_name = "EPOCH")]
    pub recompute: Option<u64>,
    /// Compute all epochs from this one on again: from 1 on, nothing of what was owed or earned before is believed.
    #[arg(long, value_name = "EPOCH", requires = "recompute")]
    pub from: Option<u64>,
    /// The node to believe [default: the service's; an auditor names another].
    #[arg(long, value_name = "URL", requires = "recompute")]
    pub rpc: Option<String>,
    /// The registry that holds the versions' roots [default: the one that the service works with].
    #[arg(long, value_name = "ADDRESS", value_parser = schemas::ids::parse_address, requires = "recompute")]
    pub registry: Option<schemas::Address>,
    /// The vault that took the debits [default: the one that the service works with].
    #[arg(long, value_name = "ADDRESS", value_parser = schemas::ids::parse_address, requires = "recompute")]
    pub vault: Option<schemas::Address>,
    /// The distributor that pays [default: the one that the service works with].
    #[arg(long, value_name = "ADDRESS", value_parser = schemas::ids::parse_address, requires = "recompute")]
    pub distributor: Option<schemas::Address>,
    /// The first block that can hold an event of these contracts [default: by the service's word].
    #[arg(long, value_name = "BLOCK", requires = "recompute")]
    pub start_block: Option<u64>,
}

pub async fn settle_or_recompute(context: &Context, args: &SettleArgs) -> anyhow::Result<Report> {
    match args.recompute {
        Some(epoch) => recompute::recompute(context, args, epoch).await,
        None => settle(context).await,
    }
}

/// Closes an epoch, then watches it become claimable.
pub async fn settle(context: &Context) -> anyhow::Result<Report> {
    let client = context.client()?;
    let closed: SettlementStatus = client.post("/v1/settlements", &json!({})).await?;
    let progress = Progress::start(context.voice, "epoch closed");
    let mut deadline = Instant::now() + limit(context.patience);
    let done = loop {
        let latest: Latest = client.get("/v1/settlements/latest").await?;
        let status = latest.settlement;
        if status.epoch == closed.epoch && status.stage == Stage::Accepted {
            break status;
        }
        if let Some(why) = status.halted {
            bail!("epoch {} is closed, but {why}", closed.epoch);
        }
        progress.say(match status.stage {
            Stage::None | Stage::Closed => "debiting the payers",
            Stage::Debited => "proposing the reward root",
            Stage::Proposed => "waiting for the dispute window to pass",
            Stage::Disputed | Stage::Removed => "halted",
            Stage::Accepted => "accepted",
        });
        let now = schemas::tables::Millis::now().unix_seconds();
        if latest.error.is_none() || status.disputable_until > now {
            deadline = Instant::now() + limit(context.patience);
        }
        if Instant::now() > deadline {
            let error = latest.error.map_or(String::new(), |error| format!(": {error}"));
            bail!("epoch {} is closed but not claimable yet{error}; the service goes on trying", closed.epoch);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let text = format!(
        "epoch {}: {}, fees {} OPEN; collected {} OPEN, of which {} to contributors\n  reward root {} accepted",
        done.epoch,
        count(done.receipt_count, "receipt"),
        tokens(U256::from(done.total_wei.0)),
        tokens(U256::from(done.collected_wei.0)),
        tokens(U256::from(done.pool_wei.0)),
        done.reward_root
    );
    Ok(Report::new(text, &done))
}

#[derive(Debug, Clone, Args)]
pub struct ClaimArgs {
    #[command(flatten)]
    pub signer: SignAs,
    /// Claim for this account (key name or address) [default: the signer's]; anyone may, it is paid to the account.
    #[arg(long)]
    pub account: Option<String>,
}

pub async fn claim(context: &Context, args: &ClaimArgs) -> anyhow::Result<Report> {
    let signer = context.signer(&args.signer)?;
    let account = match &args.account {
        Some(account) => crate::identity::address(&context.data_dir, account)?,
        None => signer.address(),
    };
    let info = context.info().await?;
    let deployment = info.deployment;
    let proof: RewardProof = context.client()?.get(&format!("/v1/rewards/{account}")).await?;
    let reader = ContractReader::connect(info.node()?, RpcConfig::default(), deployment)?;
    let root = reader.reward_root(At::Latest).await?;
    if root != proof.root {
        bail!("epoch {} is not accepted on chain yet; run `headwater settle`, or wait for the dispute window to pass", proof.epoch);
    }
    let cumulative = U256::from(proof.cumulative_wei.0);
    let claimed = reader.claimed(account, At::Latest).await?;
    if claimed >= cumulative {
        bail!("{account} has claimed all of its {} OPEN already", tokens(cumulative));
    }
    let call = RewardDistributor::claimCall { account, cumulative, expectedRoot: proof.root, proof: proof.proof };
    let sender = Sender::connect(info.node()?, signer, context.sender_config()).await?;
    let named = args.account.as_ref().or(args.signer.name.as_ref()).map_or_else(|| account.to_string(), Clone::clone);
    let otherwise = format!("anybody who has some can send it: `headwater claim --account {named} --as OTHER`");
    let outcome = gas::send(&info, &sender, (deployment.distributor, &call), "claiming", &otherwise).await?;
    let balance = reader.token_balance(account, At::Latest).await?;
    let paid = cumulative - claimed;
    let text = format!("{account} was paid {} OPEN; its balance is {} OPEN", tokens(paid), tokens(balance));
    let json = json!({ "account": account, "paid_wei": paid.to_string(), "balance_wei": balance.to_string(), "transaction": outcome.hash });
    Ok(Report::new(text, &json))
}

#[derive(Debug, Clone, Args)]
pub struct RewardsArgs {
    /// Key name or address.
    pub account: String,
}

/// What an account has earned, and what of it is still to be claimed.
pub async fn rewards(context: &Context, args: &RewardsArgs) -> anyhow::Result<Report> {
    let account = crate::identity::address(&context.data_dir, &args.account)?;
    let info = context.info().await?;
    let proof: RewardProof = context.client()?.get(&format!("/v1/rewards/{account}")).await?;
    let reader = ContractReader::connect(info.node()?, RpcConfig::default(), info.deployment)?;
    let (is_accepted, claimed) = (reader.reward_root(At::Latest).await? == proof.root, reader.claimed(account, At::Latest).await?);
    let earned = U256::from(proof.cumulative_wei.0);
    let open = earned.saturating_sub(claimed);
    let what_now = match (open.is_zero(), is_accepted) {
        (true, _) => String::new(),
        (false, true) => format!("; `headwater claim --account {}` has it paid", args.account),
        (false, false) => "; it can be claimed when the epoch is accepted on chain".to_owned(),
    };
    let (epoch, earned_open, claimed_open) = (proof.epoch, tokens(earned), tokens(claimed));
    let text = format!(
        "{account} earned {earned_open} OPEN up to epoch {epoch}, and claimed {claimed_open}: {} OPEN are left{what_now}",
        tokens(open)
    );
    let json = json!({
        "account": account, "epoch": epoch, "earned_wei": earned.to_string(), "claimed_wei": claimed.to_string(), "left_wei": open.to_string(),
        "accepted": is_accepted
    });
    Ok(Report::new(text, &json))
}
