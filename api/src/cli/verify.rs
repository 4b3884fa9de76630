//! `headwater verify`: checks a receipt with nothing but a chain node.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use indexer::{At, ContractReader, RpcConfig};
use rag::Evidence;
use schemas::contracts::Deployment;
use schemas::receipt::Receipt;
use serde_json::json;

use super::Context;
use crate::output::Report;

#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A receipt's file, or its id at the service.
    pub receipt: String,
    /// The node to believe [default: the service's; an auditor names another].
    #[arg(long, value_name = "URL")]
    pub rpc: Option<String>,
    /// The registry that holds the roots [default: the one that the service works with].
    #[arg(long, value_name = "ADDRESS", value_parser = schemas::ids::parse_address)]
    pub registry: Option<schemas::Address>,
    /// Evidence in a file (question, answer, source texts), to re-execute the attribution.
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
}

pub async fn verify(context: &Context, args: &VerifyArgs) -> anyhow::Result<Report> {
    let (receipt, evidence) = read(context, args).await?;
    let body = &receipt.body;
    let mut done = Vec::new();
    rag::verify_receipt(&receipt).context("the receipt does not hold")?;
    done.push(format!("body hash and signature hold (signer {})", receipt.signer));
    done.push(format!("{} sources are proven members of version {} ({})", body.sources.len(), body.version, body.version_root));
    done.push("shares follow from the value table and sum to 1,000,000".to_owned());
    if let Some(evidence) = &evidence {
        if evidence.receipt != receipt {
            bail!("the evidence is for another receipt");
        }
        rag::verify_evidence(evidence).context("the evidence does not hold")?;
        done.push("re-executed: the question, answer and source texts give the same value table".to_owned());
    }
    let (reader, registry) = reader(context, args, &receipt).await?;
    if registry != body.registry {
        bail!("the receipt is for registry {}, not {registry}", body.registry);
    }
    let at = At::Finalized;
    let root = reader.version_root(body.datanet_id, body.version, at).await?;
    match root {
        Some(root) if root == body.version_root => done.push("the chain holds that version root, finalized".to_owned()),
        Some(root) => bail!("the chain has root {root} for version {}, the receipt states {}", body.version, body.version_root),
        None => bail!("the chain has no finalized root for version {} of Datanet {}", body.version, body.datanet_id),
    }
    match reader.owner_of(body.datanet_id, at).await? {
        Some(owner) if owner == receipt.signer => done.push("the signer owns the Datanet on chain".to_owned()),
        Some(owner) => bail!("signed by {}, but the Datanet belongs to {owner}", receipt.signer),
        None => bail!("the chain does not know Datanet {}", body.datanet_id),
    }
    let text = format!("receipt {} holds\n  ✓ {}", body.answer_id, done.join("\n  ✓ "));
    Ok(Report::new(text, &json!({ "receipt_id": body.answer_id, "valid": true, "checks": done })))
}

/// The receipt from a file or the service; evidence from a file, or from the service if it gives it.
async fn read(context: &Context, args: &VerifyArgs) -> anyhow::Result<(Receipt, Option<Evidence>)> {
    let from_file = args.evidence.as_deref().map(read_json::<Evidence>).transpose()?;
    if Path::new(&args.receipt).exists() {
        return Ok((read_json(Path::new(&args.receipt))?, from_file));
    }
    if args.receipt.parse::<schemas::ids::AnswerId>().is_err() {
        bail!("{:?} is neither a file nor a receipt id", args.receipt);
    }
    let client = context.client()?;
    let receipt: Receipt = client.get(&format!("/v1/receipts/{}", args.receipt)).await?;
    let evidence = match from_file {
        Some(evidence) => Some(evidence),
        None => client.get(&format!("/v1/receipts/{}/evidence", args.receipt)).await.ok(),
    };
    Ok((receipt, evidence))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a receipt as this version writes it", path.display()))
}

async fn reader(context: &Context, args: &VerifyArgs, receipt: &Receipt) -> anyhow::Result<(ContractReader, schemas::Address)> {
    let (url, registry) = match (&args.rpc, args.registry) {
        (Some(url), Some(registry)) => (url.clone(), registry),
        (url, registry) => {
            let info = context.info().await?;
            let url = match url {
                Some(url) => url.clone(),
                None => info.node()?.to_owned(),
            };
            (url, registry.unwrap_or(info.deployment.registry))
        }
    };
    // Only the registry is read.
    let zero = schemas::Address::ZERO;
    let deployment =
        Deployment { chain_id: receipt.body.chain_id, registry, models: zero, vault: zero, distributor: zero, token: zero, start_block: 0 };
    let reader = ContractReader::connect(&url, RpcConfig::default(), deployment)?;
    let chain_id = reader.chain_id().await?;
    if chain_id != receipt.body.chain_id {
        bail!("the node at {url} serves chain {chain_id}; the receipt is for chain {}", receipt.body.chain_id);
    }
    Ok((reader, registry))
}
