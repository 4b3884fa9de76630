//! `headwater index`: where the chain follower stands, and following, auditing and exporting without a
//! service.

pub mod add;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use indexer::{ChainSource, Followed, HeadTag, Indexer, IndexerConfig, IndexerStatus, Rpc, RpcConfig, Verify};
use schemas::contracts::Deployment;
use schemas::events::{Abi, AbiEvent};
use schemas::tables::{BlockRow, LogRow, Row};
use schemas::{Address, B256};
use serde::Serialize;
use serde_json::Value;
use store::{Durability, Store, StoreConfig, StoreError};

use super::Context;
use crate::output::{Progress, Report};
use crate::service::contracts::note_on;

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// How far the chain is followed.
    Status,
    /// Follow another contract and give it decoded tables.
    Add(add::AddArgs),
    /// Follow a contract no more: its tables leave SQL, its logs stay in `logs`.
    Remove {
        /// As it was added.
        name: String,
    },
    /// List the other contracts that are followed.
    Contracts,
    /// Follow contracts into a store of their own up to the finalized block, and end.
    Sync(SyncArgs),
    /// Compare the tables with what another node proves; names the first block that differs.
    Verify(VerifyArgs),
    /// Print a table of the chain.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Where the tables go, as file:///absolute/folder.
    #[arg(long, value_name = "URL")]
    store: String,
    /// The node; several addresses have commas between them.
    #[arg(long, value_name = "URL")]
    rpc: String,
    /// A contract to follow; may be repeated. With the file of its ABI, only the events in it are kept of it.
    #[arg(long = "contract", value_name = "NAME=ADDRESS[:ABI.json]", required = true)]
    contracts: Vec<Contract>,
    /// First block that is kept.
    #[arg(long, value_name = "BLOCK", default_value_t = 0)]
    start_block: u64,
    /// How far the node's word is taken.
    #[arg(long, value_enum, default_value_t = Trust::Full)]
    verify: Trust,
    /// Last block: a number at or below the finalized block, or "finalized".
    #[arg(long, value_name = "BLOCK", default_value = "finalized")]
    to: To,
    /// Faster, but not safe from a power failure.
    #[arg(long)]
    no_fsync: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The node to compare with: better another than the one that is followed.
    #[arg(long, value_name = "URL")]
    rpc: String,
    /// First block [default: the first that is followed].
    #[arg(long, value_name = "BLOCK")]
    from: Option<u64>,
    /// Last block [default: the last that is final in the tables].
    #[arg(long, value_name = "BLOCK")]
    to: Option<u64>,
    /// The tables, as file:///absolute/folder [default: those of the data folder].
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A contract that they follow; may be repeated [default: those of the deployment].
    #[arg(long = "contract", value_name = "NAME=ADDRESS[:ABI.json]", requires = "store")]
    contracts: Vec<Contract>,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The tables, as file:///absolute/folder [default: those of the data folder].
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[arg(long, value_enum)]
    table: Table,
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Table {
    Blocks,
    Logs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Jsonl,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Trust {
    /// Headers are hashed and linked; logs are derived from receipts that hash to the header's root.
    Full,
    /// The node's logs are taken as they come.
    Logs,
}

impl From<Trust> for Verify {
    fn from(trust: Trust) -> Self {
        match trust {
            Trust::Full => Self::Full,
            Trust::Logs => Self::Logs,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Contract {
    pub name: String,
    pub address: Address,
    pub abi: Option<PathBuf>,
}

impl FromStr for Contract {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or("expected NAME=ADDRESS:ABI.json")?;
        let (address, abi) = rest.split_once(':').map_or((rest, None), |(address, abi)| (address, Some(PathBuf::from(abi))));
        let address = schemas::ids::parse_address(address).map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), address, abi })
    }
}

#[derive(Debug, Clone, Copy)]
enum To {
    Finalized,
    Block(u64),
}

impl FromStr for To {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "finalized" => Ok(Self::Finalized),
            number => number.parse().map(Self::Block).map_err(|_| format!("{number:?} is neither a block number nor \"finalized\"")),
        }
    }
}

pub async fn index(context: &Context, command: IndexCommand) -> anyhow::Result<Option<Report>> {
    match command {
        IndexCommand::Status => status(context).await.map(Some),
        IndexCommand::Add(args) => add::add(context, &args).await.map(Some),
        IndexCommand::Remove { name } => add::remove(context, &name).await.map(Some),
        IndexCommand::Contracts => add::contracts(context).await.map(Some),
        IndexCommand::Sync(args) => sync(context, &args).await.map(Some),
        IndexCommand::Verify(args) => verify(context, &args).await.map(Some),
        IndexCommand::Export(args) => export(context, &args).await.map(|()| None),
    }
}

async fn status(context: &Context) -> anyhow::Result<Report> {
    let status: Value = context.client()?.get("/v1/status").await?;
    let indexer = &status["indexer"];
    let block = |name: &str| indexer[name]["number"].as_u64().map_or("–".to_owned(), |number| number.to_string());
    let text = format!(
        "chain {}, verified by {}\n  head       {}\n  finalized  {}\n  final here {}\n  digest     {}\n  lag        {} blocks\n  \
         reorgs     {} (deepest {})\n  alarm      {}\n  error      {}",
        indexer["chain_id"],
        indexer["verify"].as_str().unwrap_or_default(),
        block("head"),
        block("finalized"),
        block("indexed_finalized"),
        indexer["digest"].as_str().unwrap_or("–"),
        indexer["lag_blocks"],
        indexer["reorgs"],
        indexer["deepest_reorg"],
        indexer["alarm"].as_str().unwrap_or("none"),
        indexer["last_error"].as_str().unwrap_or("none")
    );
    Ok(Report::new(text, indexer))
}

async fn sync(context: &Context, args: &SyncArgs) -> anyhow::Result<Report> {
    let progress = Progress::start(context.voice, "opening the store");
    let durability = if args.no_fsync { Durability::Fast } else { Durability::Fsync };
    let source = indexer::source::connect(&args.rpc, &RpcConfig::default())?;
    let (events, mut notes) = events_of(&args.contracts)?;
    let store = Store::open(&StoreConfig::new(&args.store, durability)).await?;
    let followed = Followed {
        chain_id: source.chain_id().await?,
        addresses: args.contracts.iter().map(|contract| contract.address).collect(),
        events,
        start_block: args.start_block,
        numbered: Vec::new(),
    };
    let finalized = source.head(HeadTag::Finalized).await?.map(|header| header.number);
    let to = match (args.to, finalized) {
        (To::Finalized, Some(number)) => number,
        (To::Block(number), Some(finalized)) if number <= finalized => number,
        (_, finalized) => bail!("the chain is final up to {}", finalized.map_or("no block".into(), |number| format!("block {number}"))),
    };
    if args.start_block > to {
        bail!("start block {} is above block {to}, the last that is read", args.start_block);
    }
    notes.extend(standings(&args.rpc, &followed.addresses).await?);
    let config = IndexerConfig { verify: args.verify.into(), last_block: Some(to), ..IndexerConfig::default() };
    let pause = Duration::from_millis(config.poll_interval_ms);
    let mut indexer = Indexer::new(source, store, followed, config);
    let status = indexer.status();
    let shown = tokio::spawn(show_progress(status.clone(), progress, args.start_block, to));
    let mut failures = 0u32;
    while status.borrow().indexed_finalized.is_none_or(|block| block.number < to) {
        match indexer.step().await {
            Ok(progress) => {
                failures = 0;
                // The node is behind what is here, or does not give the last block yet.
                if !progress.more {
                    tokio::time::sleep(pause).await;
                }
            }
            Err(error) if error.is_transient() && failures < MAX_FAILURES => {
                failures += 1;
                tokio::time::sleep(Duration::from_millis(200 << failures.min(6))).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    shown.abort();
    let status = status.borrow().clone();
    let digest = status.digest.map(|digest| format!("{digest:#x}")).unwrap_or_default();
    let mut text = format!("blocks {} to {to} are in the tables\n  digest {digest}", args.start_block);
    notes.iter().for_each(|note| text.push_str(&format!("\n  note   {note}")));
    Ok(Report::new(text, &Synced { status, notes }))
}

/// What a sync reports.
#[derive(Debug, Serialize)]
struct Synced {
    #[serde(flatten)]
    status: IndexerStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// The events of each contract that has an ABI and is not given without one too, by their first topic; and what the ABIs have that
/// is not read.
fn events_of(contracts: &[Contract]) -> anyhow::Result<(BTreeMap<Address, BTreeSet<B256>>, Vec<String>)> {
    let (mut events, mut notes) = (BTreeMap::<_, BTreeSet<B256>>::new(), Vec::new());
    for contract in contracts {
        let Some(path) = &contract.abi else { continue };
        let abi = add::read_abi(path)?;
        let abi = Abi::parse(&abi.to_string()).with_context(|| format!("{} of {}", path.display(), contract.name))?;
        notes.extend(abi.left_out().iter().map(|left| format!("{}: left out: {left}", contract.name)));
        events.entry(contract.address).or_default().extend(abi.events().iter().map(AbiEvent::topic0));
    }
    for contract in contracts.iter().filter(|contract| contract.abi.is_none()) {
        events.remove(&contract.address);
    }
    Ok((events, notes))
}

/// What is to be said of the addresses, as the first of the nodes has it.
async fn standings(urls: &str, addresses: &[Address]) -> anyhow::Result<Vec<String>> {
    let rpc = Rpc::connect(urls.split(',').next().unwrap_or_default().trim(), RpcConfig::default())?;
    let mut notes = Vec::new();
    for address in addresses.iter().collect::<BTreeSet<_>>() {
        notes.extend(note_on(*address, &indexer::standing(&rpc, *address).await));
    }
    Ok(notes)
}

/// Failures in a row after which a sync gives up.
const MAX_FAILURES: u32 = 8;

/// A bar with rate and time left, from what the indexer says.
async fn show_progress(mut status: tokio::sync::watch::Receiver<indexer::IndexerStatus>, progress: Progress, from: u64, to: u64) {
    while status.changed().await.is_ok() {
        if let Some(block) = status.borrow_and_update().indexed_finalized {
            progress.blocks(block.number.saturating_sub(from), to.saturating_sub(from));
        }
    }
}

async fn verify(context: &Context, args: &VerifyArgs) -> anyhow::Result<Report> {
    let progress = Progress::start(context.voice, "opening the store");
    let store = Store::open_to_read(&store_url(context, args.store.as_deref())?).await?;
    let source = indexer::source::connect(&args.rpc, &RpcConfig::default())?;
    let followed = followed(context, args, &store, source.as_ref()).await?;
    let to = match args.to {
        Some(to) => to,
        None => store.max::<BlockRow>("number").await?.context("the tables hold no block")?,
    };
    let from = args.from.unwrap_or(followed.start_block);
    let blocks = to.saturating_sub(from);
    let audit = indexer::audit(&store, source, &followed, from..=to, |done| progress.blocks(done.saturating_sub(from), blocks)).await?;
    match &audit.difference {
        None => Ok(Report::new(
            format!(
                "blocks {from} to {to} hold: {} blocks proven, {} logs the same\n  digest {:#x}",
                audit.blocks, audit.logs, audit.digest
            ),
            &audit,
        )),
        Some(difference) => bail!("block {} is the first that differs: {}", difference.block, difference.problem),
    }
}

async fn followed(context: &Context, args: &VerifyArgs, store: &Store, source: &dyn ChainSource) -> anyhow::Result<Followed> {
    if args.contracts.is_empty() {
        let deployment = match context.config()?.chain.deployment {
            Some(deployment) => deployment,
            None => {
                let path = context.data_dir.join("deployment.json");
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_str::<Deployment>(&text).with_context(|| format!("{} is not a deployment", path.display()))?
            }
        };
        return Ok(Followed::deployment(&deployment)?);
    }
    let first: Vec<BlockRow> = store.scan(None).await?;
    Ok(Followed {
        chain_id: source.chain_id().await?,
        addresses: args.contracts.iter().map(|contract| contract.address).collect(),
        events: events_of(&args.contracts)?.0,
        start_block: first.iter().map(|block| block.number).min().context("the tables hold no block")?,
        numbered: Vec::new(),
    })
}

fn store_url(context: &Context, given: Option<&str>) -> anyhow::Result<String> {
    match given {
        Some(url) => Ok(url.to_owned()),
        None => context.config()?.store_url(&context.data_dir),
    }
}

async fn export(context: &Context, args: &ExportArgs) -> anyhow::Result<()> {
    let store = Store::open_to_read(&store_url(context, args.store.as_deref())?).await?;
    let Format::Jsonl = args.format;
    match args.table {
        Table::Blocks => print_rows::<BlockRow>(&store).await,
        Table::Logs => print_rows::<LogRow>(&store).await,
    }
}

async fn print_rows<R: Row + Serialize>(store: &Store) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let broken = |error: std::io::Error| StoreError::Query(format!("cannot print: {error}"));
    store
        .for_each_batch::<R>(|rows| {
            for row in rows {
                serde_json::to_writer(&mut out, &row).map_err(|error| broken(error.into()))?;
                out.write_all(b"\n").map_err(broken)?;
            }
            Ok(())
        })
        .await?;
    out.flush().context("cannot print")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each contract is restricted to its own ABI's events; one that is given without an ABI is not restricted at all.
    #[test]
    fn each_contract_has_the_events_of_its_own_abi() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, abi: serde_json::Value| {
            let path = folder.path().join(name);
            std::fs::write(&path, abi.to_string()).unwrap();
            path
        };
        let event = |name: &str, ty: &str| json!({"type": "event", "name": name, "inputs": [{"name": "x", "type": ty}]});
        let tick = file("tick.json", json!([event("Tick", "uint8")]));
        let both = file("both.json", json!({"abi": [event("Tock", "uint8"), event("Odd", "fixed168x10")]}));
        let [a, b, c] = [1, 2, 3].map(Address::repeat_byte);
        let contract = |address: Address, abi: Option<&PathBuf>| Contract { name: format!("c{}", address[0]), address, abi: abi.cloned() };
        let topic = |signature: &str| schemas::alloy_primitives::keccak256(signature);
        let contracts = [contract(a, Some(&tick)), contract(b, Some(&both)), contract(c, Some(&tick)), contract(c, None)];
        let (events, notes) = events_of(&contracts).unwrap();
        let expected = [(a, BTreeSet::from([topic("Tick(uint8)")])), (b, BTreeSet::from([topic("Tock(uint8)")]))];
        assert_eq!(events, BTreeMap::from(expected));
        assert!(notes.len() == 1 && notes[0].starts_with("c2: left out") && notes[0].contains("fixed168x10"), "{notes:?}");
        let twice = [contract(a, Some(&tick)), contract(a, Some(&both))];
        assert_eq!(events_of(&twice).unwrap().0[&a].len(), 2);
        let missing = folder.path().join("missing.json");
        assert!(events_of(&[contract(a, Some(&missing))]).unwrap_err().to_string().contains("missing.json"));
    }
}
