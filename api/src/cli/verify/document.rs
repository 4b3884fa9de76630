//! What is to be verified: a receipt of any version, with its evidence where that is at hand, from files or from the service.

use std::path::Path;

use anyhow::{Context as _, bail};
use rag::{Evidence, FirstEvidence, Inclusion};
use schemas::alloy_primitives::keccak256;
use schemas::ids::{AnswerId, DatanetId};
use schemas::receipt::{self, Receipt};
use schemas::{Address, B256};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::VerifyArgs;
use crate::cli::Context;

#[derive(Debug)]
pub(super) enum Document {
    Receipt { receipt: Box<Receipt>, evidence: Option<Box<Evidence>> },
    First { receipt: Box<receipt::first::Receipt>, evidence: Option<Box<FirstEvidence>> },
}

/// The receipt in the reply to a question, if it is one, and if the text of the reply is that of the receipt.
fn receipt_in(mut json: Value) -> anyhow::Result<Value> {
    if json.get("body").is_some() || json.get("source_texts").is_some() {
        return Ok(json);
    }
    let text = json.pointer("/choices/0/message/content").and_then(Value::as_str).map(keccak256);
    let Some(receipt) = json.pointer_mut("/attribution/receipt").map(Value::take) else { return Ok(json) };
    let stated = receipt["body"]["answer_hash"].as_str().and_then(|hash| hash.parse::<B256>().ok());
    if text.is_none() || text != stated {
        bail!("the text of the reply is not the answer that its receipt is of");
    }
    Ok(receipt)
}

/// Where a receipt belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) chain_id: u64,
    pub(super) registry: Address,
    pub(super) datanet: DatanetId,
    pub(super) version: u64,
    pub(super) root: B256,
    pub(super) signer: Address,
}

impl Document {
    fn of(json: Value) -> anyhow::Result<Self> {
        let json = receipt_in(json)?;
        let is_evidence = json.get("source_texts").is_some();
        let stated = if is_evidence { &json["receipt"] } else { &json };
        match (stated["body"]["schema"].as_str(), is_evidence) {
            (Some(receipt::SCHEMA), false) => Ok(Self::Receipt { receipt: serde_json::from_value(json)?, evidence: None }),
            (Some(receipt::SCHEMA), true) => {
                let evidence: Box<Evidence> = serde_json::from_value(json)?;
                Ok(Self::Receipt { receipt: Box::new(evidence.receipt.clone()), evidence: Some(evidence) })
            }
            (Some(receipt::first::SCHEMA), false) => Ok(Self::First { receipt: serde_json::from_value(json)?, evidence: None }),
            (Some(receipt::first::SCHEMA), true) => {
                let evidence: Box<FirstEvidence> = serde_json::from_value(json)?;
                Ok(Self::First { receipt: Box::new(evidence.receipt.clone()), evidence: Some(evidence) })
            }
            (Some(other), _) => bail!("receipts of the form {other:?} are not known here: use a newer version"),
            (None, _) => bail!(
                "it is neither a receipt nor evidence of an answer; `headwater receipt ID --out FILE` writes the one, --evidence FILE the other"
            ),
        }
    }

    pub(super) fn id(&self) -> AnswerId {
        match self {
            Self::Receipt { receipt, .. } => receipt.body.answer_id,
            Self::First { receipt, .. } => receipt.body.answer_id,
        }
    }

    pub(super) fn place(&self) -> Place {
        match self {
            Self::Receipt { receipt, .. } => {
                let Receipt { body, signer, .. } = receipt.as_ref();
                let (datanet, version, root) = (body.datanet_id, body.version, body.version_root);
                Place { chain_id: body.chain_id, registry: body.registry, datanet, version, root, signer: *signer }
            }
            Self::First { receipt, .. } => {
                let receipt::first::Receipt { body, signer, .. } = receipt.as_ref();
                let (datanet, version, root) = (body.datanet_id, body.version, body.version_root);
                Place { chain_id: body.chain_id, registry: body.registry, datanet, version, root, signer: *signer }
            }
        }
    }

    /// Takes the evidence of another document, which must be of the same receipt.
    fn take_evidence(&mut self, other: Self) -> anyhow::Result<()> {
        match (self, other) {
            (Self::Receipt { receipt, evidence }, Self::Receipt { evidence: Some(other), .. }) if other.receipt == **receipt => {
                *evidence = Some(other);
            }
            (Self::First { receipt, evidence }, Self::First { evidence: Some(other), .. }) if other.receipt == **receipt => {
                *evidence = Some(other);
            }
            (_, Self::Receipt { evidence: None, .. } | Self::First { evidence: None, .. }) => {
                bail!("a receipt is not its evidence; `headwater receipt ID --evidence FILE` writes that")
            }
            _ => bail!("the evidence is for another receipt"),
        }
        Ok(())
    }
}

/// The document that `name` is: a file, or the id of a receipt at the service, which gives its evidence to those who may see it.
pub(super) async fn read(context: &Context, args: &VerifyArgs, name: &str) -> anyhow::Result<Document> {
    let path = Path::new(name);
    let mut document = if path.exists() {
        Document::of(read_json(path)?).with_context(|| format!("reading {name}"))?
    } else if name.parse::<AnswerId>().is_ok() {
        if args.offline {
            bail!("with --offline nobody is asked for receipt {name}: give it in a file (`headwater receipt ID --out FILE` writes one)");
        }
        let client = context.client()?;
        let mut document = Document::of(client.get(&format!("/v1/receipts/{name}")).await?)?;
        if let Ok(evidence) = client.get::<Value>(&format!("/v1/receipts/{name}/evidence")).await {
            document.take_evidence(Document::of(evidence)?)?;
        }
        document
    } else {
        bail!("{name:?} is neither a file nor a receipt id");
    };
    if let Some(path) = &args.evidence {
        document.take_evidence(Document::of(read_json(path)?)?)?;
    }
    Ok(document)
}

/// The receipt's place in its epoch: from a file, or from the service where there is one and the epoch is closed. Or why there
/// is none.
pub(super) async fn inclusion(context: &Context, args: &VerifyArgs, document: &Document) -> anyhow::Result<(Option<Inclusion>, String)> {
    if let Some(path) = &args.inclusion {
        return Ok((Some(read_json(path)?), String::new()));
    }
    if args.offline {
        return Ok((None, "with --offline nobody is asked for the proof (--inclusion)".into()));
    }
    let Ok(client) = context.client() else { return Ok((None, "nobody gave the proof (--inclusion)".into())) };
    match client.get(&format!("/v1/receipts/{}/inclusion", document.id())).await {
        Ok(inclusion) => Ok((Some(inclusion), String::new())),
        Err(error) => Ok((None, format!("{error:#}"))),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON as this version writes it", path.display()))
}
