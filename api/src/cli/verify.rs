//! `headwater verify`: checks receipts with nothing but what is at hand, and says of each thing whether it was checked.

mod again;
pub(crate) mod checks;
mod document;
mod onchain;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::Context;
use crate::output::Report;
use checks::{Check, Checks, Outcome, RETRIEVAL};
use document::Document;

#[derive(Debug, Clone, Default, Args)]
pub struct VerifyArgs {
    /// Files of receipts, of their evidence, or of replies to questions (their receipt and their text), or receipt ids at the service.
    /// Several are checked to be of one run.
    #[arg(required = true, value_name = "RECEIPT")]
    pub receipts: Vec<String>,
    /// The node to believe [default: the service's; an auditor names another].
    #[arg(long, value_name = "URL")]
    pub rpc: Option<String>,
    /// The registry that holds the roots [default: the one that the service works with].
    #[arg(long, value_name = "ADDRESS", value_parser = schemas::ids::parse_address)]
    pub registry: Option<schemas::Address>,
    /// The vault that took the epoch's debits [default: the service's; with a node or a registry of your own none].
    #[arg(long, value_name = "ADDRESS", value_parser = schemas::ids::parse_address)]
    pub vault: Option<schemas::Address>,
    /// Ask neither a node nor a service: what the chain holds is then not checked.
    #[arg(long, conflicts_with_all = ["rpc", "registry", "vault"])]
    pub offline: bool,
    /// Evidence in a file (`receipt ID --evidence FILE`: question, answer, source texts), for one receipt.
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// The receipt's place in its epoch, in a file (`receipt ID --inclusion FILE`), for one receipt.
    #[arg(long, value_name = "FILE")]
    pub inclusion: Option<PathBuf>,
    /// Search the version again, or fail: in the tables of the data folder that --data-dir names, of which everything is derived anew. A
    /// service's word (--url) counts for nothing.
    #[arg(long)]
    pub reexecute: bool,
}

pub async fn verify(context: &Context, args: &VerifyArgs) -> anyhow::Result<Report> {
    let one = args.receipts.len() == 1;
    if !one && (args.evidence.is_some() || args.inclusion.is_some()) {
        bail!("--evidence and --inclusion are of one receipt: give one");
    }
    let mut documents = Vec::with_capacity(args.receipts.len());
    for receipt in &args.receipts {
        documents.push(document::read(context, args, receipt).await?);
    }
    let mut all = Vec::with_capacity(documents.len());
    for document in &documents {
        all.push(check(context, args, document).await?);
    }
    if !one {
        all.push(checks::run(&documents));
    }
    let failed = all.iter().any(Checks::failed);
    let text = all.iter().map(Checks::text).collect::<Vec<_>>().join("\n");
    if failed {
        bail!("{text}");
    }
    let is_unsearched = |check: &Check| check.of == RETRIEVAL && check.outcome == Outcome::NotChecked;
    if args.reexecute && all.iter().flat_map(|checks| &checks.done).any(is_unsearched) {
        bail!("{text}\nwhat --reexecute asks for was not done");
    }
    let unchecked = all.iter().flat_map(|checks| &checks.done).any(|check| check.outcome == Outcome::NotChecked);
    let listed: Vec<_> = all.iter().flat_map(|checks| &checks.done).collect();
    Ok(Report::new(
        text,
        &json!({ "receipt_id": documents.first().map(Document::id), "valid": !unchecked, "failed": false, "checks": listed }),
    ))
}

async fn check(context: &Context, args: &VerifyArgs, document: &Document) -> anyhow::Result<Checks> {
    let mut checks = Checks::of(document);
    let (inclusion, without) = document::inclusion(context, args, document).await?;
    checks.inclusion(document, inclusion.as_ref(), &without);
    if args.reexecute {
        again::note(context, document, args.offline, &mut checks).await;
    } else {
        checks.skip(RETRIEVAL, "that nothing better was left out of the sources: search again with --reexecute");
    }
    checks.filter(document);
    if args.offline {
        checks.skip("chain", "the version's root, its signer and the epoch's root: with --offline no node is asked");
    } else {
        onchain::note(context, args, document, inclusion.as_ref(), &mut checks).await.context("asking the chain")?;
    }
    Ok(checks)
}
