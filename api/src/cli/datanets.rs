//! `headwater datanets` and `headwater publish`.

use clap::{Args, Subcommand};
use ingest::{NewDatanet, SignedCuratorChange, SignedPublication};
use schemas::ids::DatanetId;
use schemas::signed::{Publication, SigningDomain};
use schemas::signer::Signer;
use schemas::{Address, B256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, SignAs, review};
use crate::client::Client;
use crate::identity;
use crate::output::{Report, count, table};

#[derive(Debug, Clone, Subcommand)]
pub enum DatanetsCommand {
    /// Create a Datanet; it is registered on chain by the service.
    Create(CreateArgs),
    /// List the Datanets.
    List,
    /// List a Datanet's versions, and how far each is anchored on chain.
    Versions { datanet: String },
    /// Let somebody decide in a Datanet, or decide no more; signed by its owner.
    Curator(CuratorArgs),
    /// Let a Datanet's next version build on what stands on chain, although it was not published here.
    AcceptFork { datanet: String },
}

#[derive(Debug, Clone, Args)]
pub struct CuratorArgs {
    #[arg(long)]
    pub datanet: String,
    /// The owner: `--as operator` where the service's own key registered the Datanet.
    #[command(flatten)]
    pub signer: SignAs,
    /// Key name or address of who may decide from now on.
    #[arg(long, required_unless_present = "remove", conflicts_with = "remove")]
    pub add: Option<String>,
    /// Key name or address of who may decide no more.
    #[arg(long)]
    pub remove: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// Lower-case letters, digits and hyphens.
    #[arg(long)]
    pub name: String,
    #[arg(long)]
    pub title: String,
    #[arg(long, default_value = "")]
    pub description: String,
    /// What belongs here, in words; uploads are screened against it.
    #[arg(long)]
    pub topic: String,
    /// Key name or address of a curator; may be repeated.
    #[arg(long = "curator", required = true)]
    pub curators: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct PublishArgs {
    #[arg(long)]
    pub datanet: String,
    #[command(flatten)]
    pub signer: SignAs,
}

/// A Datanet as the service lists it, as far as commands need it.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedDatanet {
    pub datanet_id: DatanetId,
    pub name: String,
    pub title: String,
    pub owner: Address,
    pub curators: Vec<Address>,
}

/// Every Datanet of the service.
pub(super) async fn all(client: &Client) -> anyhow::Result<Vec<ListedDatanet>> {
    client.get_all("/v1/datanets", |datanet: &ListedDatanet| datanet.datanet_id.to_string()).await
}

/// The Datanet of that name, or id.
pub async fn find(context: &Context, name: &str) -> anyhow::Result<ListedDatanet> {
    of(&context.client()?, name).await
}

/// [`find`], of a service.
pub(super) async fn of(client: &Client, name: &str) -> anyhow::Result<ListedDatanet> {
    let listed = all(client).await?;
    let names: Vec<String> = listed.iter().map(|datanet| datanet.name.clone()).collect();
    listed
        .into_iter()
        .find(|datanet| datanet.name == name || name.parse::<DatanetId>().is_ok_and(|id| id == datanet.datanet_id))
        .ok_or_else(|| anyhow::anyhow!("there is no Datanet {name:?}; there are: {}", names.join(", ")))
}

pub async fn datanets(context: &Context, command: DatanetsCommand) -> anyhow::Result<Report> {
    let client = context.client()?;
    match command {
        DatanetsCommand::Create(args) => {
            let curators = args.curators.iter().map(|curator| identity::address(&context.data_dir, curator));
            let CreateArgs { name, title, description, topic, .. } = args.clone();
            let new = NewDatanet { name, title, description, topic, curators: curators.collect::<anyhow::Result<_>>()? };
            let created: Value = client.post("/v1/datanets", &new).await?;
            let id = created["datanet_id"].as_str().unwrap_or_default();
            Ok(Report::new(format!("created Datanet {} ({id})", new.name), &created))
        }
        DatanetsCommand::List => {
            let listed = all(&client).await?;
            let rows: Vec<Vec<String>> =
                listed.iter().map(|row| vec![row.name.clone(), row.title.clone(), row.datanet_id.to_string()]).collect();
            let json: Vec<Value> = listed
                .iter()
                .map(|row| json!({ "name": row.name, "title": row.title, "datanet_id": row.datanet_id, "curators": row.curators }))
                .collect();
            Ok(Report::new(table(&["name", "title", "id"], &rows), &json))
        }
        DatanetsCommand::Versions { datanet } => {
            let version = |row: &Value| row["version"]["version"].to_string();
            let listed: Vec<Value> = client.get_all(&format!("/v1/datanets/{datanet}/versions"), version).await?;
            let cell = |row: &Value, name: &str| match &row["version"][name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let rows: Vec<Vec<String>> = listed
                .iter()
                .map(|row| {
                    let anchor = row["anchor"].as_str().unwrap_or_default().to_owned();
                    vec![cell(row, "version"), cell(row, "chunk_count"), cell(row, "contributor_count"), cell(row, "root"), anchor]
                })
                .collect();
            Ok(Report::new(table(&["version", "chunks", "contributors", "root", "anchor"], &rows), &listed))
        }
        DatanetsCommand::Curator(args) => change_curator(context, &args).await,
        DatanetsCommand::AcceptFork { datanet } => {
            let accepted: Vec<Value> = client.post(&format!("/v1/datanets/{datanet}/accept-fork"), &json!({})).await?;
            let text = format!("accepted of the chain: {}; publish the next version on that", count(accepted.len(), "version"));
            Ok(Report::new(text, &accepted))
        }
    }
}

async fn change_curator(context: &Context, args: &CuratorArgs) -> anyhow::Result<Report> {
    let client = context.client()?;
    let info = context.info().await?;
    let signer = context.signer(&args.signer)?;
    let datanet = find(context, &args.datanet).await?;
    let path = format!("/v1/datanets/{}/curators", datanet.name);
    let now: Value = client.get(&path).await?;
    let changes = now["changes"].as_array().map_or(0, Vec::len);
    let (allowed, who) = match (&args.add, &args.remove) {
        (Some(who), _) => (true, who),
        (None, Some(who)) => (false, who),
        (None, None) => anyhow::bail!("who? Use --add or --remove"),
    };
    let unsigned = SignedCuratorChange {
        datanet: datanet.datanet_id,
        sequence: u64::try_from(changes)? + 1,
        curator: identity::address(&context.data_dir, who)?,
        allowed,
        signature: String::new(),
    };
    let domain = SigningDomain { chain_id: info.deployment.chain_id, registry: info.deployment.registry };
    let signature = signer.sign_digest(domain.digest(&unsigned.message()))?;
    let changed: Value = client.post(&path, &SignedCuratorChange { signature, ..unsigned }).await?;
    let verb = if allowed { "may decide" } else { "may not decide any more" };
    Ok(Report::new(format!("{who} {verb} in Datanet {}", datanet.name), &changed))
}

#[derive(Debug, Deserialize)]
struct Preview {
    version: u64,
    parent_root: B256,
    root: B256,
    chunk_count: u64,
    document_count: u64,
    contributor_count: u64,
}

/// Signs what publishing would commit, and commits it. Somebody else's change in between is refused.
pub async fn publish(context: &Context, args: &PublishArgs) -> anyhow::Result<Report> {
    let client = context.client()?;
    let info = context.info().await?;
    let signer = context.signer(&args.signer)?;
    let datanet = find(context, &args.datanet).await?;
    let preview: Preview = review::unpublished(context, &datanet, &args.signer, &format!("/v1/datanets/{}/preview", datanet.name)).await?;
    let message = Publication {
        publisher: signer.address(),
        datanetId: datanet.datanet_id.0,
        version: preview.version,
        parentRoot: preview.parent_root,
        root: preview.root,
        chunkCount: preview.chunk_count,
    };
    let domain = SigningDomain { chain_id: info.deployment.chain_id, registry: info.deployment.registry };
    let publication = SignedPublication {
        publisher: signer.address(),
        datanet: datanet.datanet_id,
        version: preview.version,
        parent_root: preview.parent_root,
        root: preview.root,
        chunk_count: preview.chunk_count,
        signature: signer.sign_digest(domain.digest(&message))?,
    };
    let row: Value = client.post(&format!("/v1/datanets/{}/versions", datanet.name), &publication).await?;
    let text = format!(
        "published {} version {}: {} of {} by {}\n  root {}",
        datanet.name,
        preview.version,
        count(preview.chunk_count, "chunk"),
        count(preview.document_count, "document"),
        count(preview.contributor_count, "contributor"),
        preview.root
    );
    Ok(Report::new(text, &row))
}
