//! `headwater index add`, `remove` and `contracts`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use schemas::events::{MAX_ABI_FILE_BYTES, abi_in_file};
use schemas::followed::NewContract;
use schemas::ids::parse_address;
use serde_json::Value;

use crate::cli::Context;
use crate::output::{Report, table};
use crate::service::contracts::ListedContract;

/// Of an ABI with thousands of events, the list says enough.
const MAX_SHOWN_TABLES: usize = 40;

#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// The contract's ABI: a JSON list, or a compiler's or block explorer's file that holds it.
    #[arg(value_name = "ABI.json")]
    pub abi: PathBuf,
    /// Its address; left out for the children of a factory.
    #[arg(required_unless_present = "factory", conflicts_with = "factory")]
    pub address: Option<String>,
    /// First part of its tables' names: `NAME_event`.
    #[arg(long)]
    pub name: String,
    /// First block whose logs are kept [default: the first block of our own contracts].
    #[arg(long, value_name = "BLOCK")]
    pub start_block: Option<u64>,
    /// Follow all children that a followed contract's event tells of.
    #[arg(long, value_name = "PARENT:Event:parameter")]
    pub factory: Option<String>,
    /// Also where no code stands at the address yet.
    #[arg(long)]
    pub force: bool,
}

/// Follows a contract and gives it decoded tables.
pub async fn add(context: &Context, args: &AddArgs) -> anyhow::Result<Report> {
    let abi = read_abi(&args.abi)?;
    let address = args.address.as_deref().map(parse_address).transpose()?;
    let AddArgs { name, start_block, factory, force, .. } = args.clone();
    let new = NewContract { name, abi, address, start_block, factory, force };
    let added: ListedContract = context.client()?.post("/v1/index/contracts", &new).await?;
    let tables = match added.tables.as_slice() {
        [shown @ .., _] if shown.len() >= MAX_SHOWN_TABLES => {
            let shown = shown.get(..MAX_SHOWN_TABLES).unwrap_or_default().join(", ");
            format!("{shown} and {} more", added.tables.len() - MAX_SHOWN_TABLES)
        }
        all => all.join(", "),
    };
    let mut text = format!("following {} ({}) from block {}\n  tables  {tables}", added.name, whose(&added), added.start_block);
    added.notes.iter().for_each(|note| text.push_str(&format!("\n  note    {note}")));
    Ok(Report::new(text, &added))
}

/// The ABI in a file, without the code and sources that a compiler writes beside it.
pub(super) fn read_abi(path: &Path) -> anyhow::Result<Value> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    if size > MAX_ABI_FILE_BYTES as u64 {
        bail!("{shown} has {size} bytes; an ABI is looked for in {MAX_ABI_FILE_BYTES} at most");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    abi_in_file(&text).with_context(|| format!("cannot read {shown}"))
}

/// Ends the following of a contract.
pub async fn remove(context: &Context, name: &str) -> anyhow::Result<Report> {
    // A name that could be added needs no escaping.
    if !name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_') {
        bail!("no contract is called {name:?}; `headwater index contracts` lists them");
    }
    let removed: ListedContract = context.client()?.delete(&format!("/v1/index/contracts/{name}")).await?;
    let text = format!(
        "{} ({}) is followed no more\n  its tables are gone; what was read stays in `logs`. It can be added again",
        removed.name,
        whose(&removed)
    );
    Ok(Report::new(text, &removed))
}

fn whose(contract: &ListedContract) -> String {
    contract.address.map_or_else(|| contract.factory.clone().unwrap_or_default(), |address| address.to_string())
}

/// Lists the followed contracts and how far their logs are there.
pub async fn contracts(context: &Context) -> anyhow::Result<Report> {
    let listed: Vec<ListedContract> =
        context.client()?.get_all("/v1/index/contracts", |contract: &ListedContract| contract.name.clone()).await?;
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    let text = match rows.as_slice() {
        [] => "no other contracts are followed; `headwater index add ABI.json ADDRESS --name NAME` adds one".into(),
        rows => table(&["name", "address or factory", "from block", "logs", "tables"], rows),
    };
    Ok(Report::new(text, &listed))
}

fn row(contract: &ListedContract) -> Vec<String> {
    let logs = match (contract.complete, contract.covered_to, contract.live_from) {
        (true, ..) => "complete".into(),
        (false, Some(to), Some(live)) => format!("to block {to} of {}, and from {live} on", live.saturating_sub(1)),
        (false, None, Some(live)) => format!("from block {live} on; those before are being read"),
        (false, _, None) => "waiting".into(),
    };
    vec![contract.name.clone(), whose(contract), contract.start_block.to_string(), logs, contract.tables.len().to_string()]
}
