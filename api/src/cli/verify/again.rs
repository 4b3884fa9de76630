//! Searching a receipt's version again.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use rag::{Evidence, Rag};
use schemas::receipt::Receipt;
use schemas::signer::KeySigner;
use store::Store;

use super::checks::{Checks, RETRIEVAL};
use super::document::Document;
use crate::cli::Context;
use crate::config::Machine;
use crate::http::Reexecution;
use crate::service::{embedder, generator as writer, rag_config, reranker};

const WHAT: &str = "that searching the version again gives these sources, this answer and these shares";

/// From the data folder, an auditor's copy of it mostly. What somebody's folder says of itself is not believed: neither the address of
/// a service that stands in it, nor what was derived of its tables.
pub(super) async fn note(context: &Context, document: &Document, is_offline: bool, checks: &mut Checks) {
    let Document::Receipt { receipt, evidence } = document else {
        checks.skip(RETRIEVAL, format!("{WHAT}: receipts of this form were made in ways that are not repeated here"));
        return;
    };
    let foreign = context.url.is_some() && !is_offline;
    let again = match evidence {
        _ if foreign => by_the_service(context, receipt).await,
        Some(evidence) => here(context, evidence).await,
        None => {
            checks.skip(RETRIEVAL, format!("{WHAT}: that takes the evidence (--evidence FILE)"));
            return;
        }
    };
    let whose = if foreign { "the service" } else { "the data folder" };
    match again {
        Ok(differences) if differences.is_empty() && foreign => {
            checks.skip(RETRIEVAL, format!("{WHAT}: the service says so, and you have its word alone; search a copy of its data folder"));
        }
        Ok(differences) if differences.is_empty() => checks.valid(RETRIEVAL, format!("searched again by {whose}: nothing differs")),
        Ok(differences) => checks.fail(RETRIEVAL, format!("searched again by {whose}: {}", differences.join("; "))),
        Err(error) => checks.skip(RETRIEVAL, format!("{WHAT}: {error:#}")),
    }
}

async fn by_the_service(context: &Context, receipt: &Receipt) -> anyhow::Result<Vec<String>> {
    let path = format!("/v1/receipts/{}/reexecution", receipt.body.answer_id);
    let again: Reexecution = context.client()?.get(&path).await?;
    let theirs: Receipt = context.client()?.get(&format!("/v1/receipts/{}", receipt.body.answer_id)).await?;
    if theirs != *receipt {
        bail!("the service has another receipt for this answer");
    }
    Ok(again.differences)
}

async fn here(context: &Context, evidence: &Evidence) -> anyhow::Result<Vec<String>> {
    let config = context.config()?.sized_to(Machine::here());
    let folder = std::path::absolute(context.data_dir.join("store")).context("the data folder's path")?;
    let store_url = if folder.exists() {
        reqwest::Url::from_directory_path(&folder).map_err(|()| anyhow!("{} cannot be a file URL", folder.display()))?.to_string()
    } else if config.store.url.is_empty() {
        bail!("there is no store in {}", context.data_dir.display());
    } else {
        config.store.url.clone()
    };
    let store = Store::open_to_read(&store_url).await?;
    let embedder = embedder::load(&config).await.context("loading the embedding model")?;
    // signs nothing
    let signer = KeySigner::from_bytes(&schemas::B256::repeat_byte(1))?;
    let domain = evidence.receipt.body.signing_domain();
    let derived = tempfile::tempdir().context("a folder for what is derived")?;
    let mut rag = Rag::open(store, Arc::new(embedder), Arc::new(signer), rag_config(&config, derived.path(), domain)).await?;
    if evidence.receipt.body.retrieval.reranked.is_some()
        && let Some(reranker) = reranker::open(&config).await?
    {
        rag = rag.with_reranker(reranker);
    }
    // what made the answer likely, only the model tells
    if evidence.receipt.body.likelihood.is_some()
        && let Some(writer) = writer::load(&config, &|_| {}).await?
    {
        rag = rag.with_generator(writer.generator());
    }
    Ok(rag.reexecute(evidence).await?)
}
