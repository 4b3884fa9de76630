//! `headwater chain`: the contracts, and what their owner decides.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indexer::{At, ContractReader, RpcConfig, Sender};
use schemas::alloy_primitives::keccak256;
use schemas::contracts::{OpenToken, RewardDistributor};
use schemas::ids::parse_address;
use schemas::signer::Signer;
use schemas::{Address, U256};
use serde_json::{Value, json};

use super::{Context, SignAs, gas};
use crate::http::{ChainView, Fees};
use crate::output::{Report, tokens, utc};
use crate::settlement::ChainAction;

#[derive(Debug, Clone, Subcommand)]
pub enum ChainCommand {
    /// Who may do what, the fees in force, and where the newest epoch stands.
    Show,
    /// Announce a fee schedule, in basis points that sum to 10000.
    ProposeFees(FeesArgs),
    /// Put the announced fee schedule in force, once its notice is over.
    ActivateFees,
    /// Dispute the pending reward root; costs the bond until it is decided. Anybody may.
    Dispute(DisputeArgs),
    /// Decide the open dispute over the pending reward root.
    Resolve(ResolveArgs),
    /// Remove the pending reward root.
    Revoke {
        /// The epoch whose root it is.
        #[arg(long)]
        epoch: u64,
    },
    /// Propose the newest epoch's reward root again after it was removed.
    ProposeRoot,
}

#[derive(Debug, Clone, Args)]
pub struct FeesArgs {
    #[arg(long)]
    pub platform: u16,
    #[arg(long)]
    pub model: u16,
    #[arg(long, default_value_t = 0)]
    pub stakers: u16,
    #[arg(long)]
    pub data: u16,
    /// Receives the stakers' part.
    #[arg(long, value_parser = parse_address)]
    pub stakers_pool: Option<Address>,
}

#[derive(Debug, Clone, Args)]
pub struct DisputeArgs {
    #[command(flatten)]
    pub signer: SignAs,
    /// The evidence, to be published; its keccak256 goes on chain.
    #[arg(long, value_name = "FILE")]
    pub evidence: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub struct ResolveArgs {
    /// The epoch whose root is disputed.
    #[arg(long)]
    pub epoch: u64,
    /// The root is wrong: it is removed, and the bond goes back.
    #[arg(long, conflicts_with = "invalid", required_unless_present = "invalid")]
    pub valid: bool,
    /// The root is right: it goes on, and the bond is lost.
    #[arg(long)]
    pub invalid: bool,
}

pub async fn chain(context: &Context, command: &ChainCommand) -> anyhow::Result<Report> {
    let (action, done) = match command {
        ChainCommand::Show => return show(context).await,
        ChainCommand::Dispute(args) => return dispute(context, args).await,
        ChainCommand::ProposeFees(args) => {
            let action = ChainAction::ProposeFees {
                platform_bps: args.platform,
                model_bps: args.model,
                stakers_bps: args.stakers,
                data_bps: args.data,
                stakers_pool: args.stakers_pool,
            };
            (action, "the fee schedule is announced; `headwater chain show` says from when it can be activated".to_owned())
        }
        ChainCommand::ActivateFees => (ChainAction::ActivateFees, "the announced fee schedule is in force".to_owned()),
        ChainCommand::Resolve(ResolveArgs { epoch, valid, .. }) => {
            let outcome = if *valid { "is valid: its root is removed" } else { "is invalid: its root goes on" };
            (ChainAction::Resolve { epoch: *epoch, valid: *valid }, format!("the dispute over epoch {epoch} {outcome}"))
        }
        ChainCommand::Revoke { epoch } => (ChainAction::Revoke { epoch: *epoch }, format!("the root of epoch {epoch} is removed")),
        ChainCommand::ProposeRoot => (ChainAction::ProposeRoot, "the newest epoch's root is proposed".to_owned()),
    };
    let reply: Value = context.client()?.post("/v1/chain", &action).await?;
    Ok(Report::new(done, &reply))
}

async fn show(context: &Context) -> anyhow::Result<Report> {
    let view: ChainView = context.client()?.get("/v1/chain").await?;
    let settlement = &view.settlement;
    let mut lines = vec![
        format!("owner of the vault        {}", view.vault_owner),
        format!("owner of the distributor  {}", view.distributor_owner),
        format!("operator (debits)         {}", view.operator),
        format!("proposer (roots)          {}", view.proposer),
        format!("fees                      {}", fees(&view.fees)),
    ];
    if let Some((proposed, at)) = &view.proposed_fees {
        lines.push(format!("announced fees            {}; can be activated from {}", fees(proposed), utc(*at)));
    }
    lines.push(format!("bond of a dispute         {} OPEN", tokens(view.dispute_bond_wei)));
    lines.push(format!(
        "newest epoch              {} ({})",
        settlement.epoch,
        serde_json::to_value(settlement.stage)?.as_str().unwrap_or("–")
    ));
    if let Some(why) = &settlement.halted {
        lines.push(format!("payouts are halted        {why}"));
    }
    if let Some(trouble) = &view.trouble {
        lines.push(format!("trouble                   {trouble}"));
    }
    Ok(Report::new(lines.join("\n"), &view))
}

fn fees(fees: &Fees) -> String {
    let Fees { platform_bps, model_bps, stakers_bps, data_bps, .. } = fees;
    format!("platform {platform_bps}, models {model_bps}, stakers {stakers_bps}, data {data_bps} (basis points)")
}

/// Straight to the contract, with the disputer's own key and bond.
async fn dispute(context: &Context, args: &DisputeArgs) -> anyhow::Result<Report> {
    let signer = context.signer(&args.signer)?;
    let evidence = std::fs::read(&args.evidence).with_context(|| format!("cannot read {}", args.evidence.display()))?;
    let evidence_hash = keccak256(evidence);
    let info = context.info().await?;
    let distributor = info.deployment.distributor;
    let reader = ContractReader::connect(info.node()?, RpcConfig::default(), info.deployment)?;
    let pending = reader.call(distributor, &RewardDistributor::pendingCall {}, At::Latest).await?;
    let bond = reader.call(distributor, &RewardDistributor::disputeBondCall {}, At::Latest).await?;
    let by = signer.address();
    let sender = Sender::connect(info.node()?, signer, context.sender_config()).await?;
    if bond > U256::ZERO {
        let approve = OpenToken::approveCall { spender: distributor, amount: bond };
        gas::send(&info, &sender, (info.deployment.token, &approve), "approving the bond", "").await?;
    }
    let call = RewardDistributor::disputeCall { epoch: pending.epoch, expectedRoot: pending.root, evidenceHash: evidence_hash };
    let outcome = gas::send(&info, &sender, (distributor, &call), "disputing the reward root", "").await?;
    let text = format!(
        "{by} disputes the root {} of epoch {} with the evidence {evidence_hash}; the bond is {} OPEN",
        pending.root,
        pending.epoch,
        tokens(bond)
    );
    let json = json!({ "epoch": pending.epoch, "root": pending.root, "by": by, "evidence_hash": evidence_hash,
        "bond_wei": bond.to_string(), "transaction": outcome.hash });
    Ok(Report::new(text, &json))
}
