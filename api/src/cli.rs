//! The command line. Each command is a function that returns a [`Report`]; `demo` calls the same
//! functions that a user does.

pub mod analysts;
pub mod answers;
pub mod apps;
pub mod chain;
pub mod datanets;
pub mod doctor;
mod gas;
pub mod index;
pub mod keys;
pub mod models;
pub mod review;
pub mod rewards;
pub mod submissions;
pub mod submit;
pub mod trace;
pub mod up;
pub mod upkeep;
pub mod verify;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use indexer::SenderConfig;
use schemas::signer::KeySigner;
use serde_json::json;

use crate::client::{Client, ServiceError};
use crate::config::{self, Config, Sources};
use crate::http::Info;
use crate::identity;
use crate::output::{self, Progress, Report, Voice};

/// Community-owned datasets whose contributors are paid each time an answer is built on what they gave.
#[derive(Debug, Parser)]
#[command(name = "headwater", version)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder of all state: store, keys, development chain [default: headwater in $XDG_DATA_HOME, else in ~/.local/share].
    #[arg(long, global = true, env = "HEADWATER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file [default: headwater.toml in the data folder, if there].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, over file and environment; may be repeated.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Address of the service [default: the one running with this data folder].
    #[arg(long, global = true, env = "HEADWATER_URL", value_name = "URL")]
    url: Option<String>,
    /// API key [default: the operator's, from the data folder].
    #[arg(long, global = true, env = "HEADWATER_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Print errors only.
    #[arg(long, short, global = true)]
    quiet: bool,
}

/// Whose key signs.
#[derive(Debug, Clone, Args)]
pub struct SignAs {
    /// Name of a key in the data folder (`headwater keys list`).
    #[arg(id = "sign_as", long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// A key file, instead of a name [else: $HEADWATER_PRIVATE_KEY].
    #[arg(long, value_name = "FILE", conflicts_with = "sign_as")]
    pub key_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the service; without a configured node also a development chain.
    Up,
    /// Run the whole journey on real parts, from uploads to paid contributors.
    ///
    /// It begins by emptying the data folder [default: .headwater/demo] of what an earlier demo left there, receipts and earnings
    /// included. A folder that no demo made, or that holds keys that a demo did not make, is left alone; `up` goes on with what is there.
    Demo(crate::demo::DemoArgs),
    /// Signing keys in the data folder.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Gas and tokens on a development chain.
    #[command(subcommand)]
    Dev(keys::DevCommand),
    /// Create and list Datanets.
    #[command(subcommand)]
    Datanets(datanets::DatanetsCommand),
    /// Upload files to a Datanet, signed.
    Submit(submit::SubmitArgs),
    /// List what you sent in, and what became of it, signed.
    Submissions(submissions::SubmissionsArgs),
    /// See what waits for a decision, accept and reject, signed.
    #[command(subcommand)]
    Review(review::ReviewCommand),
    /// Publish what is accepted as the next version, signed.
    Publish(datanets::PublishArgs),
    /// Apps that ask and pay.
    #[command(subcommand)]
    Apps(apps::AppsCommand),
    /// People who query what is published.
    #[command(subcommand)]
    Analysts(analysts::AnalystsCommand),
    /// Ask a Datanet a question.
    Ask(answers::AskArgs),
    /// Find out who published the same words as a text, word for word, and who was first.
    Trace(trace::TraceArgs),
    /// Query all tables in SQL: SHOW TABLES lists them, DESCRIBE NAME the columns of one.
    Sql(answers::SqlArgs),
    /// Fetch an answer's receipt, and what `verify --offline` needs beside it.
    Receipt(answers::ReceiptArgs),
    /// Check a receipt against the chain, believing nobody.
    Verify(verify::VerifyArgs),
    /// Close an epoch and carry its rewards on chain; or compute one again, believing nobody.
    Settle(rewards::SettleArgs),
    /// The contracts: fees in force, disputes of reward roots, and what their owner may do.
    #[command(subcommand)]
    Chain(chain::ChainCommand),
    /// What an account has earned, and what of it is still to be claimed.
    Rewards(rewards::RewardsArgs),
    /// Claim what an account has earned.
    Claim(rewards::ClaimArgs),
    /// Models: list, fetch, inspect and measure them.
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// Check that everything needed is there and works.
    Doctor,
    /// What runs, how far it is, and how much is stored.
    Status,
    /// Put the store in order, or have the service do it that runs with it: fragments, indexes, old versions, leftovers.
    Upkeep(upkeep::UpkeepArgs),
    /// The chain follower.
    #[command(subcommand)]
    Index(index::IndexCommand),
    /// Show and check the configuration.
    #[command(subcommand)]
    Config(doctor::ConfigCommand),
    /// One query of the service, in a process of its own.
    #[command(name = SQL_WORKER, hide = true)]
    SqlWorker,
}

/// The command that the service starts for a query.
pub(crate) const SQL_WORKER: &str = "sql-worker";

/// What every command is given.
#[derive(Debug, Clone)]
pub struct Context {
    pub data_dir: PathBuf,
    pub sources: Sources,
    pub voice: Voice,
    pub url: Option<String>,
    pub api_key: Option<String>,
    pub patience: Patience,
}

/// How long a command waits for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A node that takes longer has a problem.
    Usual,
    /// The machine may be slow; whoever waits is told what for, and can stop.
    Endless,
}

impl Context {
    fn new(global: &Global) -> Self {
        let data_dir = global.data_dir.clone().unwrap_or_else(config::default_data_dir);
        let sources = Sources { data_dir: data_dir.clone(), file: global.config.clone(), set: global.set.clone(), defaults: &[] };
        let voice = match (global.json, global.quiet) {
            (true, _) => Voice::Json,
            (false, true) => Voice::Quiet,
            (false, false) => Voice::Person,
        };
        Self { data_dir, sources, voice, url: global.url.clone(), api_key: global.api_key.clone(), patience: Patience::Usual }
    }

    pub fn config(&self) -> anyhow::Result<Config> {
        Config::load(&self.sources)
    }

    /// The service, with the given API key or the operator's.
    pub fn client(&self) -> anyhow::Result<Client> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => Client::discover(&self.data_dir)?,
        };
        let key = match &self.api_key {
            Some(key) => Some(key.clone()),
            None => std::fs::read_to_string(self.data_dir.join("operator.apikey")).ok().map(|key| key.trim().to_owned()),
        };
        Client::new(&url, key)
    }

    /// The key that signs.
    pub fn signer(&self, who: &SignAs) -> anyhow::Result<KeySigner> {
        match (&who.name, &who.key_file) {
            (Some(name), _) => identity::load(&self.data_dir, name),
            (None, Some(path)) => identity::load_file(path),
            (None, None) => identity::from_environment()?.with_context(|| {
                format!("who signs? Use --as NAME, --key-file FILE or the environment variable {}", identity::KEY_VARIABLE)
            }),
        }
    }

    /// What these commands send is remembered in the data folder, as what the service sends is.
    pub fn sender_config(&self) -> SenderConfig {
        let usual = SenderConfig::with_outbox(self.data_dir.join("outbox"));
        match self.patience {
            Patience::Usual => usual,
            Patience::Endless => SenderConfig { receipt_timeout_ms: u64::MAX / 2, ..usual },
        }
    }

    /// What the service says of itself; where it names no node, the one in the configuration of this machine.
    pub async fn info(&self) -> anyhow::Result<Info> {
        let mut info: Info = self.client()?.get("/v1/info").await?;
        if info.rpc_url.is_empty()
            && let Ok(config) = self.config()
        {
            info.rpc_url = config.chain.rpc_url.split(',').next().unwrap_or_default().trim().to_owned();
        }
        Ok(info)
    }
}

/// Runs a parsed command line. Exit code 0: done; 1: failed (usage errors are clap's 2).
pub fn main(cli: Cli) -> ExitCode {
    if matches!(cli.command, Command::SqlWorker) {
        // It brings its own threads, and nobody reads what it would print.
        return if store::workers::serve().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let context = Context::new(&cli.global);
    start_logging(&cli.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::notice(&format!("error: cannot start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let voice = context.voice;
    match runtime.block_on(run(cli.command, context)) {
        Ok(Some(report)) => {
            output::print(voice, &report);
            if report.is_failure { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            show_error(voice, &error);
            ExitCode::FAILURE
        }
    }
}

fn show_error(voice: Voice, error: &anyhow::Error) {
    if voice == Voice::Json {
        let code = error.downcast_ref::<ServiceError>().map_or("error", |error| error.code.as_str());
        output::notice(&json!({ "error": { "code": code, "message": format!("{error:#}") } }).to_string());
    } else {
        output::notice(&output::printable(&format!("error: {error:#}")));
    }
}

/// Logs go to standard error: for the service from `info` on, for other commands only warnings.
/// `RUST_LOG` decides otherwise, `HEADWATER_LOG=json` gives JSON lines.
fn start_logging(command: &Command) {
    use tracing_subscriber::EnvFilter;
    let default = match command {
        Command::Up => "info,lance=warn,datafusion=warn,tantivy=warn",
        _ => "error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let started = if std::env::var("HEADWATER_LOG").is_ok_and(|form| form == "json") {
        subscriber.json().try_init()
    } else {
        subscriber.compact().try_init()
    };
    drop(started);
}

async fn run(command: Command, context: Context) -> anyhow::Result<Option<Report>> {
    // These show a progress of their own.
    let own_progress = matches!(
        command,
        Command::Up | Command::Demo(_) | Command::Settle(_) | Command::Submit(_) | Command::Models(_) | Command::Index(_) | Command::Ask(_)
    );
    let _progress = (!own_progress).then(|| Progress::start(context.voice, "working"));
    let report = match command {
        Command::Up => return up::up(&context).await.map(|()| None),
        Command::Demo(args) => return crate::demo::run(&context, args).await,
        Command::Keys(command) => keys::keys(&context, &command)?,
        Command::Dev(command) => keys::dev(&context, &command).await?,
        Command::Datanets(command) => datanets::datanets(&context, command).await?,
        Command::Submit(args) => submit::submit(&context, &args).await?,
        Command::Submissions(args) => submissions::submissions(&context, &args).await?,
        Command::Review(command) => review::review(&context, &command).await?,
        Command::Publish(args) => datanets::publish(&context, &args).await?,
        Command::Apps(command) => apps::apps(&context, &command).await?,
        Command::Analysts(command) => analysts::analysts(&context, &command).await?,
        Command::Ask(args) => answers::ask_here(&context, &args).await?,
        Command::Trace(args) => trace::trace(&context, &args).await?,
        Command::Sql(args) => answers::sql(&context, &args).await?,
        Command::Receipt(args) => answers::receipt(&context, &args).await?,
        Command::Verify(args) => verify::verify(&context, &args).await?,
        Command::Settle(args) => rewards::settle_or_recompute(&context, &args).await?,
        Command::Chain(command) => chain::chain(&context, &command).await?,
        Command::Rewards(args) => rewards::rewards(&context, &args).await?,
        Command::Claim(args) => rewards::claim(&context, &args).await?,
        Command::Models(command) => models::models(&context, &command).await?,
        Command::Doctor => doctor::doctor(&context).await?,
        Command::Status => upkeep::status(&context).await?,
        Command::Upkeep(args) => upkeep::upkeep(&context, &args).await?,
        Command::Index(command) => return index::index(&context, command).await,
        Command::Config(command) => doctor::config(&context, &command)?,
        Command::SqlWorker => anyhow::bail!("a query is not run by hand: use `headwater sql`"),
    };
    Ok(Some(report))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Clap finds contradictions in arguments only when it is asked to.
    #[test]
    fn every_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_limit_ends_within_a_lifetime() {
        let days = |days: &str| Cli::try_parse_from(["headwater", "apps", "limit", "--as", "iris", "--limit", "1", "--days", days]);
        days("36500").unwrap();
        for wrong in ["0", "36501", "99999999999999"] {
            assert!(days(wrong).unwrap_err().to_string().contains("--days"), "{wrong}");
        }
    }

    #[test]
    fn accepting_nothing_names_both_ways_to_accept() {
        let usage = Cli::try_parse_from("headwater review accept --datanet a --as iris".split(' ')).unwrap_err().to_string();
        assert!(usage.contains("--all-pending") && usage.contains("DOCUMENTS"), "{usage}");
    }
}
