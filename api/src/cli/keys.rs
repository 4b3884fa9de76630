//! `headwater keys` and `headwater dev`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use indexer::Sender;
use schemas::U256;
use schemas::alloy_primitives::utils::parse_units;
use schemas::contracts::OpenToken;
use schemas::signer::Signer;
use serde_json::json;

use super::Context;
use crate::identity::{self, keystore};
use crate::output::Report;

#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Make a new random key.
    New { name: String },
    /// List the keys and their addresses.
    List,
    /// Show one key's address.
    Address { name: String },
    /// Keep the key of a Web3 keystore file (V3) under a name, unencrypted.
    Import {
        name: String,
        #[arg(long, value_name = "FILE")]
        keystore: PathBuf,
        /// File with the password [else: $HEADWATER_KEYSTORE_PASSWORD].
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum DevCommand {
    /// Give an account gas and OPEN tokens (development chain only).
    Fund {
        /// Key name or address.
        account: String,
        /// Gas, in ether.
        #[arg(long, default_value = "0")]
        eth: String,
        /// OPEN tokens.
        #[arg(long, default_value = "0")]
        open: String,
    },
}

pub fn keys(context: &Context, command: &KeysCommand) -> anyhow::Result<Report> {
    match command {
        KeysCommand::New { name } => {
            let address = identity::create(&context.data_dir, name)?.address();
            Ok(Report::new(format!("{name}  {address}"), &json!({ "name": name, "address": address })))
        }
        KeysCommand::Import { name, keystore, password_file } => {
            let signer = keystore::open(keystore, &keystore::password(password_file.as_deref())?)?;
            identity::import(&context.data_dir, name, &signer)?;
            let address = signer.address();
            Ok(Report::new(format!("{name}  {address}"), &json!({ "name": name, "address": address })))
        }
        KeysCommand::Address { name } => {
            let address = identity::load(&context.data_dir, name)?.address();
            Ok(Report::new(address.to_string(), &json!({ "name": name, "address": address })))
        }
        KeysCommand::List => {
            let mut listed = Vec::new();
            let mut text = String::new();
            for name in identity::list(&context.data_dir)? {
                let address = identity::load(&context.data_dir, &name)?.address();
                text.push_str(&format!("{address}  {name}\n"));
                listed.push(json!({ "name": name, "address": address }));
            }
            Ok(Report::new(if text.is_empty() { "no keys yet; `headwater keys new NAME` makes one".into() } else { text }, &listed))
        }
    }
}

/// An amount with up to 18 decimals, in wei.
pub fn wei(text: &str) -> anyhow::Result<U256> {
    let units = parse_units(text, 18).map_err(|_| anyhow::anyhow!("{text:?} is not an amount such as 1 or 0.25"))?;
    if units.is_negative() {
        bail!("{text:?} is negative");
    }
    Ok(units.get_absolute())
}

pub async fn dev(context: &Context, command: &DevCommand) -> anyhow::Result<Report> {
    let DevCommand::Fund { account, eth, open } = command;
    let info = context.info().await?;
    if info.deployment.chain_id != indexer::devchain::CHAIN_ID {
        bail!("chain {} is not a development chain; nobody gives tokens away there", info.deployment.chain_id);
    }
    let account = identity::address(&context.data_dir, account)?;
    let (gas, tokens) = (wei(eth)?, wei(open)?);
    let faucet = identity::load(&context.data_dir, identity::FAUCET).context("the faucet's key gives the tokens away")?;
    let sender = Sender::connect(info.node()?, faucet, context.sender_config()).await?;
    if !gas.is_zero() {
        sender.send(Some(account), Default::default(), gas).await.context("sending gas")?;
    }
    if !tokens.is_zero() {
        sender.call(info.deployment.token, &OpenToken::transferCall { to: account, amount: tokens }).await.context("sending OPEN")?;
    }
    Ok(Report::new(format!("{account} got {eth} ETH and {open} OPEN"), &json!({ "account": account, "eth": eth, "open": open })))
}
