//! `headwater review`.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, Subcommand};
use futures::{StreamExt as _, TryStreamExt as _};
use ingest::SignedReview;
use schemas::ids::DocumentId;
use schemas::signed::{self, SigningDomain};
use schemas::signer::Signer;
use schemas::tables::Millis;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answers::{self, person};
use super::datanets::ListedDatanet;
use super::{Context, SignAs, datanets};
use crate::http::curator_header;
use crate::identity;
use crate::output::{self, Report, table};

/// Decisions under way at the same time.
const SENT_AT_ONCE: usize = 32;
/// Digits of a document's id that are enough to name it, where no other begins with them.
const LEAST_DIGITS: usize = 8;

#[derive(Debug, Clone, Subcommand)]
pub enum ReviewCommand {
    /// List a Datanet's documents with what screening found.
    List {
        #[arg(long)]
        datanet: String,
        /// Only those that wait for a decision.
        #[arg(long)]
        pending: bool,
        #[command(flatten)]
        signer: SignAs,
    },
    /// Show a document's text, and what screening found in it.
    Show {
        #[arg(long)]
        datanet: String,
        #[command(flatten)]
        signer: SignAs,
        /// Document id or file name.
        document: String,
    },
    /// Accept documents.
    Accept(AcceptArgs),
    /// Reject documents, with a reason that the contributor can act on.
    Reject(RejectArgs),
}

#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["documents", "all_pending"])))]
pub struct AcceptArgs {
    #[arg(long)]
    pub datanet: String,
    #[command(flatten)]
    pub signer: SignAs,
    #[arg(long, default_value = "")]
    pub comment: String,
    /// Document ids (the first eight digits are enough) or file names.
    pub documents: Vec<String>,
    /// All that wait for a decision.
    #[arg(long)]
    pub all_pending: bool,
}

#[derive(Debug, Clone, Args)]
pub struct RejectArgs {
    #[arg(long)]
    pub datanet: String,
    #[command(flatten)]
    pub signer: SignAs,
    /// off_topic, duplicate, near_duplicate, prompt_injection, low_quality, licence, personal_data or other.
    #[arg(long)]
    pub reason: String,
    #[arg(long, default_value = "")]
    pub comment: String,
    /// Document ids (the first eight digits are enough) or file names.
    #[arg(required = true)]
    pub documents: Vec<String>,
}

struct Decision<'a> {
    datanet: &'a str,
    signer: &'a SignAs,
    decision: &'static str,
    reason_code: &'a str,
    comment: &'a str,
}

pub async fn review(context: &Context, command: &ReviewCommand) -> anyhow::Result<Report> {
    match command {
        ReviewCommand::List { datanet, pending, signer } => list(context, datanet, *pending, signer).await,
        ReviewCommand::Show { datanet, signer, document } => show(context, datanet, signer, document).await,
        ReviewCommand::Accept(args) => {
            let documents = if args.all_pending { pending(context, &args.datanet, &args.signer).await? } else { args.documents.clone() };
            let decision = Decision {
                datanet: &args.datanet,
                signer: &args.signer,
                decision: "accept",
                reason_code: "accepted",
                comment: &args.comment,
            };
            decide(context, &decision, &documents).await
        }
        ReviewCommand::Reject(args) => {
            let decision = Decision {
                datanet: &args.datanet,
                signer: &args.signer,
                decision: "reject",
                reason_code: &args.reason,
                comment: &args.comment,
            };
            decide(context, &decision, &args.documents).await
        }
    }
}

/// What is not published yet: read with a curator's signature where a curator is named, else with the operator's key.
pub(super) async fn unpublished<T: DeserializeOwned>(
    context: &Context,
    datanet: &ListedDatanet,
    who: &SignAs,
    path: &str,
) -> anyhow::Result<T> {
    let signed = as_curator(context, datanet, who).await?;
    context.client()?.get_as_curator(path, signed.as_deref()).await
}

/// A curator's signature for reading, where a curator is named.
async fn as_curator(context: &Context, datanet: &ListedDatanet, who: &SignAs) -> anyhow::Result<Option<String>> {
    let is_named = who.name.is_some() || who.key_file.is_some();
    let signer = if is_named || identity::from_environment()?.is_some() { Some(context.signer(who)?) } else { None };
    let Some(signer) = signer else { return Ok(None) };
    if !datanet.curators.contains(&signer.address()) {
        if is_named && signer.address() != datanet.owner {
            bail!("{} is no curator of Datanet {}", signer.address(), datanet.name);
        }
        return Ok(None);
    }
    let info = context.info().await?;
    let domain = SigningDomain { chain_id: info.deployment.chain_id, registry: info.deployment.registry };
    Ok(Some(curator_header(&domain, &signer, datanet.datanet_id)?))
}

async fn queue(context: &Context, datanet: &str, who: &SignAs) -> anyhow::Result<Vec<Value>> {
    let datanet = datanets::find(context, datanet).await?;
    let signed = as_curator(context, &datanet, who).await?;
    let key = |item: &Value| {
        let part = if item["status"] == "pending" { "pending" } else { "decided" };
        format!("{part}:{}", item["document"]["document_id"].as_str().unwrap_or_default())
    };
    let mut items: Vec<Value> =
        context.client()?.get_all_as_curator(&format!("/v1/datanets/{}/queue", datanet.name), signed.as_deref(), key).await?;
    // what was decided while pages were read is there twice: as it is now, the second time
    let mut seen = HashSet::new();
    items.reverse();
    items.retain(|item| seen.insert(item["document"]["document_id"].clone()));
    items.reverse();
    Ok(items)
}

async fn pending(context: &Context, datanet: &str, who: &SignAs) -> anyhow::Result<Vec<String>> {
    let items = queue(context, datanet, who).await?;
    let waiting = items.iter().filter(|item| item["status"] == "pending");
    Ok(waiting.filter_map(|item| item["document"]["document_id"].as_str().map(str::to_owned)).collect())
}

async fn show(context: &Context, datanet: &str, who: &SignAs, document: &str) -> anyhow::Result<Report> {
    let id = match document.parse::<DocumentId>() {
        Ok(id) => id,
        Err(_) => resolve(&queue(context, datanet, who).await?, document)?,
    };
    let datanet = datanets::find(context, datanet).await?;
    let shown: Value = unpublished(context, &datanet, who, &format!("/v1/documents/{id}")).await?;
    let mut text = format!("{} ({id})", shown["document"]["file_name"].as_str().unwrap_or_default());
    for chunk in shown["chunks"].as_array().into_iter().flatten() {
        let flags: Vec<&str> = chunk["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let flags = if flags.is_empty() { String::new() } else { format!(" [{}]", flags.join(", ")) };
        text.push_str(&format!("\n\n{}.{flags}\n{}", chunk["ordinal"], chunk["text"].as_str().unwrap_or_default()));
    }
    Ok(Report::new(output::printable(&text), &shown))
}

async fn list(context: &Context, datanet: &str, only_pending: bool, who: &SignAs) -> anyhow::Result<Report> {
    let items: Vec<Value> =
        queue(context, datanet, who).await?.into_iter().filter(|item| !only_pending || item["status"] == "pending").collect();
    let names = answers::names(context);
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let flags: Vec<&str> = item["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let similar = item["duplicate_of"]["file_name"]
                .as_str()
                .map_or(String::new(), |name| format!("{} % in {name}", item["similarity_ppm"].as_u64().unwrap_or(0) / 10_000));
            let id: String = text(&item["document"]["document_id"]).chars().take(2 + LEAST_DIGITS).collect();
            let contributor = item["submission"]["contributor"].as_str().and_then(|address| address.parse().ok());
            let reason = text(&item["last_review"]["reason_code"]);
            vec![
                id,
                text(&item["document"]["file_name"]),
                contributor.map_or_else(String::new, |contributor| person(&names, contributor)),
                text(&item["status"]),
                text(&item["submission"]["licence"]),
                format!("{} %", item["topic_similarity_ppm"].as_u64().unwrap_or(0) / 10_000),
                similar,
                flags.join(", "),
                if item["status"] == "rejected" { reason } else { String::new() },
            ]
        })
        .collect();
    let heads = ["id", "document", "by", "status", "licence", "topic", "repeats", "flags", "reason"];
    Ok(Report::new(table(&heads, &rows), &items))
}

async fn decide(context: &Context, decision: &Decision<'_>, documents: &[String]) -> anyhow::Result<Report> {
    if documents.is_empty() {
        bail!("nothing waits for a decision in {}", decision.datanet);
    }
    let client = context.client()?;
    let info = context.info().await?;
    let signer = context.signer(decision.signer)?;
    let datanet = datanets::find(context, decision.datanet).await?;
    let items = queue(context, &datanet.name, decision.signer).await?;
    let domain = SigningDomain { chain_id: info.deployment.chain_id, registry: info.deployment.registry };
    let mut reviews = Vec::with_capacity(documents.len());
    for document in documents {
        let document_id = resolve(&items, document)?;
        let decided_at = Millis::now().unix_seconds();
        let Decision { decision, reason_code, comment, .. } = decision;
        let message = signed::review(signer.address(), datanet.datanet_id, document_id, decision, reason_code, comment, decided_at);
        let review = SignedReview {
            datanet: datanet.datanet_id,
            document_id,
            curator: signer.address(),
            decision: (*decision).to_owned(),
            reason_code: (*reason_code).to_owned(),
            comment: (*comment).to_owned(),
            decided_at,
            signature: signer.sign_digest(domain.digest(&message))?,
        };
        reviews.push((document, review));
    }
    // The service records together what comes at the same time.
    let sent = reviews.iter().map(|(document, review)| {
        let recorded = client.post::<Value>("/v1/reviews", review);
        async move { recorded.await.with_context(|| format!("document {document}")) }
    });
    let rows: Vec<Value> = futures::stream::iter(sent).buffered(SENT_AT_ONCE).try_collect().await?;
    let done = if decision.decision == "accept" { "accepted" } else { "rejected" };
    let mut text = format!("{done} {} of {}", output::count(rows.len(), "document"), datanet.name);
    // what repeats something else may have been meant to be rejected
    let decided: BTreeSet<&str> = rows.iter().filter_map(|row| row["document_id"].as_str()).collect();
    let is_decided = |item: &&Value| item["document"]["document_id"].as_str().is_some_and(|id| decided.contains(id));
    text.extend(items.iter().filter(is_decided).filter_map(|item| {
        let (name, earlier) = (item["document"]["file_name"].as_str()?, item["duplicate_of"]["file_name"].as_str()?);
        Some(format!("\n  {name}: {} % of it stands in {earlier}", item["similarity_ppm"].as_u64().unwrap_or(0) / 10_000))
    }));
    Ok(Report::new(output::printable(&text), &rows))
}

/// Whose upload an item of the queue is of, under which licence, and what became of it.
fn upload(item: &Value) -> String {
    let text = |name: &str| item["submission"][name].as_str().unwrap_or_default();
    let status = item["status"].as_str().unwrap_or_default();
    format!("{status}, {} by {}, upload {}", text("licence"), text("contributor"), item["submission"]["registered"])
}

/// A document by id or the beginning of one, or by file name, where that is unambiguous.
fn resolve(items: &[Value], text: &str) -> anyhow::Result<DocumentId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let is_start = text.strip_prefix("0x").is_some_and(|digits| digits.len() >= LEAST_DIGITS);
    let is_meant = |document: &Value| {
        document["file_name"] == text || is_start && document["document_id"].as_str().is_some_and(|id| id.starts_with(text))
    };
    let found: Vec<&Value> = items.iter().filter(|item| is_meant(&item["document"])).collect();
    let id = |item: &Value| item["document"]["document_id"].as_str().unwrap_or_default().to_owned();
    match found.as_slice() {
        [item] => Ok(id(item).parse()?),
        [] => bail!("no readable document is called {text:?}; `headwater review list` shows them"),
        many => {
            let each = many.iter().map(|item| format!("\n  {}  {}", id(item), upload(item)));
            bail!("{} documents are called {text:?}; use an id:{}", many.len(), each.collect::<String>())
        }
    }
}
