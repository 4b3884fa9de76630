//! What the chain holds of a receipt.

use anyhow::bail;
use indexer::{At, ContractReader, RpcConfig};
use rag::Inclusion;
use schemas::Address;
use schemas::contracts::Deployment;

use super::VerifyArgs;
use super::checks::Checks;
use super::document::{Document, Place};
use crate::cli::Context;

const ROOT: &str = "that the version's root stands on chain, and that the signer owns the Datanet there";

/// Asks a node for the version's root, its owner, and the root of the last epoch.
pub(super) async fn note(
    context: &Context,
    args: &VerifyArgs,
    document: &Document,
    inclusion: Option<&Inclusion>,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    let place = document.place();
    let Some(node) = node(context, args, &place).await? else {
        checks.skip("chain", format!("{ROOT}: no service runs here; name a node with --rpc and --registry"));
        return Ok(());
    };
    if node.registry != place.registry {
        checks.fail("chain", format!("the receipt is for registry {}, not {}", place.registry, node.registry));
        return Ok(());
    }
    let reader = node.reader(&place)?;
    let chain_id = reader.chain_id().await?;
    if chain_id != place.chain_id {
        bail!("the node at {} serves chain {chain_id}; the receipt is for chain {}", node.url, place.chain_id);
    }
    match reader.version_root(place.datanet, place.version, At::Finalized).await? {
        Some(root) if root == place.root => checks.valid("chain", "it holds that version root, finalized"),
        Some(root) => checks.fail("chain", format!("it has root {root} for version {}, the receipt states {}", place.version, place.root)),
        None => checks.fail("chain", format!("it has no finalized root for version {} of Datanet {}", place.version, place.datanet)),
    }
    match reader.owner_of(place.datanet, At::Finalized).await? {
        Some(owner) if owner == place.signer => checks.valid("chain", "the signer owns the Datanet there"),
        Some(owner) => checks.fail("chain", format!("signed by {}, but the Datanet belongs to {owner} there", place.signer)),
        None => checks.fail("chain", format!("it does not know Datanet {}", place.datanet)),
    }
    if let Some(inclusion) = inclusion {
        epoch(&node, &reader, inclusion, checks).await?;
    }
    Ok(())
}

/// A node and the registry to read there.
struct Node {
    url: String,
    registry: Address,
    vault: Option<Address>,
}

impl Node {
    fn reader(&self, place: &Place) -> anyhow::Result<ContractReader> {
        let zero = Address::ZERO;
        let (chain_id, registry, vault) = (place.chain_id, self.registry, self.vault.unwrap_or(zero));
        let deployment = Deployment { chain_id, registry, models: zero, vault, distributor: zero, token: zero, start_block: 0 };
        Ok(ContractReader::connect(&self.url, RpcConfig::default(), deployment)?)
    }
}

/// What the arguments name, and what the service says of the rest; none where neither does.
async fn node(context: &Context, args: &VerifyArgs, place: &Place) -> anyhow::Result<Option<Node>> {
    if let (Some(url), Some(registry)) = (&args.rpc, args.registry) {
        return Ok(Some(Node { url: url.clone(), registry, vault: args.vault }));
    }
    let info = match context.info().await {
        Ok(info) => info,
        Err(error) if args.registry.is_some() => return Err(error.context("name a node with --rpc")),
        Err(error) if args.rpc.is_some() => {
            let advice = format!("name the registry that you trust with --registry; the receipt says that it is {}", place.registry);
            return Err(error.context(advice));
        }
        Err(_) => return Ok(None),
    };
    let url = match &args.rpc {
        Some(url) => url.clone(),
        None => info.node()?.to_owned(),
    };
    let vault = args.vault.or((args.rpc.is_none() && args.registry.is_none()).then_some(info.deployment.vault));
    let registry = args.registry.unwrap_or(info.deployment.registry);
    Ok(Some(Node { url, registry, vault }))
}

/// Whether the vault was given this epoch's root. It remembers the last batch alone; earlier ones stand in its events.
async fn epoch(node: &Node, reader: &ContractReader, inclusion: &Inclusion, checks: &mut Checks) -> anyhow::Result<()> {
    let Inclusion { epoch, receipts_root, .. } = inclusion;
    if node.vault.is_none() {
        checks.skip("chain", format!("that the vault debited epoch {epoch} by this root: name it with --vault"));
        return Ok(());
    }
    let last = reader.last_batch(At::Finalized).await?;
    if last.epoch == *epoch && last.receiptsRoot == *receipts_root {
        checks.valid("chain", format!("the vault debited epoch {epoch} by this root, finalized"));
    } else if last.epoch == *epoch {
        checks.fail("chain", format!("the vault debited epoch {epoch} by root {}, not {receipts_root}", last.receiptsRoot));
    } else {
        checks.skip(
            "chain",
            format!("that the vault debited epoch {epoch} by this root: its last is of epoch {}; look for BatchDebited with topic {receipts_root}", last.epoch),
        );
    }
    Ok(())
}
