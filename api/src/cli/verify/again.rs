//! Searching a receipt's version again.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rag::{Evidence, Rag};
use schemas::receipt::Receipt;
use schemas::signer::KeySigner;
use store::{Durability, Store, StoreConfig, StoreError};

use super::checks::{Checks, RETRIEVAL};
use super::document::Document;
use crate::cli::Context;
use crate::config::Machine;
use crate::http::Reexecution;
use crate::service::{embedder, rag_config};

const WHAT: &str = "that searching the version again gives these sources, this answer and these shares";

/// From the data folder, an auditor's copy of it mostly, or by the service that runs with it.
pub(super) async fn note(context: &Context, document: &Document, checks: &mut Checks) {
    let Document::Receipt { receipt, evidence } = document else {
        checks.skip(RETRIEVAL, format!("{WHAT}: receipts of this form were made in ways that are not repeated here"));
        return;
    };
    let foreign = context.url.is_some();
    let mut whose = "the service";
    let again = match if foreign { None } else { Some(open_store(context).await) } {
        None => by_the_service(context, receipt).await,
        // Only what runs here with this very folder holds its lock: the address that stands in a copied folder counts for nothing.
        Some(Err(error)) if matches!(error.downcast_ref(), Some(StoreError::Locked { .. })) => by_the_service(context, receipt).await,
        Some(Err(error)) => Err(error),
        Some(Ok(store)) => {
            whose = "the data folder";
            let Some(evidence) = evidence else {
                checks.skip(RETRIEVAL, format!("{WHAT}: that takes the evidence (--evidence FILE)"));
                return;
            };
            here(context, store, evidence).await
        }
    };
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

async fn open_store(context: &Context) -> anyhow::Result<Store> {
    let (url, data_dir) = (context.config()?.store_url(&context.data_dir)?, &context.data_dir);
    if !data_dir.join("store").exists() && url.starts_with("file") {
        bail!("there is no store in {}", data_dir.display());
    }
    Ok(Store::open(&StoreConfig::new(url, Durability::Fast)).await?)
}

async fn here(context: &Context, store: Store, evidence: &Evidence) -> anyhow::Result<Vec<String>> {
    let config = context.config()?.sized_to(Machine::here());
    let data_dir: &Path = &context.data_dir;
    let embedder = embedder::open(&config, &store, data_dir).await.context("loading the embedding model")?;
    // signs nothing
    let signer = KeySigner::from_bytes(&schemas::B256::repeat_byte(1))?;
    let domain = evidence.receipt.body.signing_domain();
    let rag = Rag::open(store, embedder, Arc::new(signer), rag_config(&config, data_dir, domain)).await?;
    Ok(rag.reexecute(evidence).await?)
}
