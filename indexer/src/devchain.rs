//! The development chain: anvil in its OP-Stack mode, as a child process that ends with us.
//!
//! A shell stands between us and anvil. It lets anvil finish what it mines and ends it with SIGTERM, at
//! which anvil writes its state, as soon as the pipe from us closes: on [`DevChain::stop`], on drop, and also when we are killed.
//! The state's log file is locked for as long as anyone of them lives, so that a restart waits until
//! the state of its predecessor is written. For development only: it holds no value.

mod find;

use std::fs::{File, OpenOptions, TryLockError};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use schemas::alloy_primitives::{Bytes, address};
use schemas::{Address, U256};
use serde_json::{Value, json};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::rpc::{Rpc, RpcConfig};
use crate::source::{ChainSource, RpcSource};
use crate::{IndexerError, Result};

/// The chain id of every development chain.
pub const CHAIN_ID: u64 = 31_337;

/// Holds 32 random bytes, behind a zero, as its code: the identity of a development chain. The last
/// bytes of keccak256("headwater development chain").
pub(crate) const MARKED_ACCOUNT: Address = address!("0x4a0ca2e683ac8a2ee528f5a930f5f208b225da87");

/// How long anvil may take to answer, and a predecessor to write its state and end.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// States of blocks that anvil keeps at least, of a megabyte each: reorganisations go back no further. More for tests that mine
/// themselves.
const KEPT_STATES: u64 = 64;
const KEPT_STATES_BY_HAND: u64 = 256;

/// Runs anvil (`"$@"`), and ends it when standard input closes.
///
/// While it writes its state, anvil (1.7.1) must mine nothing: it reads the blocks before the accounts, so that a transaction between
/// the two would have moved money and be in no block. So it is told to mine no more of itself, and, by mining twice, waited for. Where
/// there is no bash to say so, the shell waits for what is probably over by then.
const WATCHED: &str = r#"
port=$1
shift
exec 3<&0
"$@" </dev/null 3<&- &
chain=$!
{
    cat <&3 >/dev/null
    bash -c '
        ask() {
            exec 4<>"/dev/tcp/127.0.0.1/$0" || return
            printf "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n" >&4
            printf "Content-Length: %s\r\n\r\n%s" "${#1}" "$1" >&4
            IFS= read -r -t 5 -d "" answer <&4
        }
        ask "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"evm_setAutomine\",\"params\":[false]}"
        for _ in 1 2; do ask "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"evm_mine\",\"params\":[]}"; done
        true
    ' "$port" 2>/dev/null || sleep 0.5
    kill -TERM "$chain" 2>/dev/null
} &
watch=$!
exec 3<&-
wait "$chain"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"#;

/// How the development chain runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevChainConfig {
    /// The anvil to run; looked for when not named.
    pub anvil: Option<PathBuf>,
    /// 0 takes a free one.
    pub port: u16,
    /// A block comes this often, besides the one that each transaction gets at once. Finality needs
    /// blocks to keep coming; 0 is for tests that mine themselves.
    pub block_time_ms: u64,
    /// The finalized block is two epochs behind the newest; 1 is the least finality there is.
    pub slots_in_an_epoch: u64,
    /// A file in which the chain outlives the process; without one it starts anew each time.
    pub state_path: Option<PathBuf>,
    /// The state is written this often, and at the end. A killed anvil loses what came since.
    pub state_interval_seconds: u64,
}

impl Default for DevChainConfig {
    fn default() -> Self {
        Self { anvil: None, port: 0, block_time_ms: 500, slots_in_an_epoch: 1, state_path: None, state_interval_seconds: 1 }
    }
}

/// A running development chain. Dropping it ends it.
#[derive(Debug)]
pub struct DevChain {
    shell: Child,
    /// Open as long as the chain is to live. Kept apart from `shell`, because waiting for a child closes its input.
    alive: Option<ChildStdin>,
    rpc: Rpc,
    url: String,
    mining: Option<Mining>,
}

/// Blocks that come by time, until this is dropped. By us and not by anvil: told a block time (1.7.1), it keeps more than a gigabyte of
/// states, however few it is told to keep.
#[derive(Debug)]
struct Mining(JoinHandle<()>);

impl Mining {
    fn every(time: Duration, rpc: Rpc) -> Self {
        Self(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(time);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // Where anvil is busy, or gone, the next one is as good.
                if let Err(error) = rpc.request::<Value>("evm_mine", json!([])).await {
                    tracing::debug!(%error, "no block was mined");
                }
            }
        }))
    }
}

impl Drop for Mining {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The anvil that [`DevChain::start`] would run.
///
/// # Errors
/// [`IndexerError::AnvilMissing`].
pub fn find_anvil(configured: Option<&Path>) -> Result<PathBuf> {
    find::anvil(configured)
}

impl DevChain {
    /// Starts anvil and waits until it answers.
    ///
    /// # Errors
    /// [`IndexerError::AnvilMissing`], [`IndexerError::DevChain`].
    pub async fn start(config: &DevChainConfig) -> Result<Self> {
        let anvil = find::anvil(config.anvil.as_deref())?;
        let lock = match &config.state_path {
            Some(path) => Some(lock_state(path).await?),
            None => None,
        };
        let continues = config.state_path.as_deref().is_some_and(Path::exists);
        if continues && let Some(path) = config.state_path.as_deref() {
            check_state(path).await?;
        }
        let port = free_port(config.port)?;
        let url = format!("http://127.0.0.1:{port}");
        let rpc = Rpc::connect(&url, RpcConfig { max_attempts: 1, ..RpcConfig::default() })?;
        let mut shell = spawn(&anvil, config, port, lock)?;
        let alive = shell.stdin.take();
        let mut chain = Self { shell, alive, rpc, url, mining: None };
        chain.wait_until_ready().await?;
        if !continues {
            chain.put_mark().await?;
        } else {
            // Of the states, anvil keeps the newest only. These blocks make it the finalized one, so
            // that reading at "finalized" works from the first moment.
            chain.mine(2 * config.slots_in_an_epoch.max(1)).await?;
        }
        let time = Duration::from_millis(config.block_time_ms);
        chain.mining = (!time.is_zero()).then(|| Mining::every(time, chain.rpc.clone()));
        tracing::info!(url = %chain.url, anvil = %anvil.display(), continues, "development chain is up");
        Ok(chain)
    }

    pub fn rpc_url(&self) -> &str {
        &self.url
    }

    /// Sets an account's balance for gas, in wei.
    pub async fn fund(&self, account: Address, wei: U256) -> Result<()> {
        self.control("anvil_setBalance", json!([account, wei])).await.map(drop)
    }

    /// Mines blocks now.
    pub async fn mine(&self, blocks: u64) -> Result<()> {
        self.control("anvil_mine", json!([format!("{blocks:#x}")])).await.map(drop)
    }

    /// Replaces the newest `depth` blocks by others without their transactions.
    pub async fn reorg(&self, depth: u64) -> Result<()> {
        self.control("anvil_reorg", json!([depth, []])).await.map(drop)
    }

    /// Moves the clock of the next block forward.
    pub async fn skip_time(&self, seconds: u64) -> Result<()> {
        self.control("evm_increaseTime", json!([seconds])).await.map(drop)
    }

    /// Returns when the chain has ended without being asked to.
    pub async fn ended(&mut self) -> IndexerError {
        match self.shell.wait().await {
            Ok(status) => IndexerError::DevChain { problem: format!("anvil ended with {status}") },
            Err(error) => IndexerError::DevChain { problem: format!("anvil cannot be waited for: {error}") },
        }
    }

    /// Tells this chain from all other development chains: anvil makes block 0 anew whenever it goes on
    /// from a saved state, but keeps the code of accounts. The first byte makes it code that does nothing.
    async fn put_mark(&self) -> Result<()> {
        let mark = [[0].as_slice(), &rand::random::<[u8; 32]>()].concat();
        self.control("anvil_setCode", json!([MARKED_ACCOUNT, Bytes::from(mark)])).await.map(drop)
    }

    /// Ends the chain and waits until its state is written.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.mining.take());
        drop(self.alive.take());
        match tokio::time::timeout(START_TIMEOUT, self.shell.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(IndexerError::DevChain { problem: format!("anvil cannot be waited for: {error}") }),
            Err(_) => Err(IndexerError::DevChain { problem: format!("anvil did not end within {START_TIMEOUT:?}") }),
        }
    }

    async fn control(&self, method: &'static str, params: Value) -> Result<Value> {
        self.rpc.request(method, params).await
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let source = RpcSource::over(self.rpc.clone());
        loop {
            if let Some(status) = self.shell.try_wait().map_err(|error| io_problem("anvil", &error))? {
                return Err(IndexerError::DevChain { problem: format!("anvil ended at once with {status}; its log is beside its state") });
            }
            match source.chain_id().await {
                Ok(CHAIN_ID) => return Ok(()),
                Ok(found) => return Err(IndexerError::WrongChain { expected: CHAIN_ID, found }),
                Err(error) if Instant::now() > deadline => {
                    return Err(IndexerError::DevChain { problem: format!("anvil does not answer after {START_TIMEOUT:?}: {error}") });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

fn spawn(anvil: &Path, config: &DevChainConfig, port: u16, lock: Option<File>) -> Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", WATCHED, "headwater-devchain", &port.to_string()]).arg(anvil);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--optimism", "--chain-id", &CHAIN_ID.to_string()]);
    command.args(["--slots-in-an-epoch", &config.slots_in_an_epoch.max(1).to_string()]);
    // No accounts of a known key, no web pages, and old states only in memory, of which it otherwise
    // writes thousands into the home folder: those of blocks that are not final, to which it may go back.
    let least = if config.block_time_ms == 0 { KEPT_STATES_BY_HAND } else { KEPT_STATES };
    let kept_states = (2 * config.slots_in_an_epoch + 2).max(least).to_string();
    command.args(["--accounts", "0", "--no-cors", "--quiet", "--prune-history", &kept_states]);
    if let Some(path) = &config.state_path {
        command.arg("--state").arg(path).args(["--state-interval", &config.state_interval_seconds.max(1).to_string()]);
    }
    let outputs = lock.map(|file| Ok((file.try_clone()?, file))).transpose().map_err(|error| io_problem("the state's log", &error))?;
    let (stdout, stderr) = outputs.map_or_else(|| (Stdio::null(), Stdio::null()), |(a, b)| (a.into(), b.into()));
    // A group of its own: an interrupt from the terminal is ours to handle, not anvil's.
    command.process_group(0).stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
    command.spawn().map_err(|error| io_problem("sh", &error))
}

/// Locks `<state>.log`, which becomes anvil's output, waiting for a predecessor that is still writing.
async fn lock_state(state: &Path) -> Result<File> {
    let mut name = state.as_os_str().to_owned();
    name.push(".log");
    let path = PathBuf::from(name);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| io_problem(&folder.display().to_string(), &error))?;
    }
    let shown = path.display().to_string();
    let file = OpenOptions::new().create(true).append(true).open(&path).map_err(|error| io_problem(&shown, &error))?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(io_problem(&shown, &error)),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                return Err(IndexerError::DevChain { problem: format!("another anvil is using {shown}; stop it first") });
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// anvil writes its state in place, so that one that was killed in the middle leaves a torn file.
async fn check_state(path: &Path) -> Result<()> {
    let shown = path.display().to_string();
    let bytes = tokio::fs::read(path).await.map_err(|error| io_problem(&shown, &error))?;
    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map(drop).map_err(|error| IndexerError::DevChain {
        problem: format!(
            "the state file {shown} is torn ({error}), because anvil was killed while writing it: start with an empty data folder"
        ),
    })
}

/// The port, or a free one for 0, after a look that nobody listens there.
fn free_port(port: u16) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", port)).map_err(|error| io_problem(&format!("port {port}"), &error))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| io_problem("port", &error))
}

fn io_problem(what: &str, error: &std::io::Error) -> IndexerError {
    IndexerError::DevChain { problem: format!("{what}: {error}") }
}

#[cfg(test)]
mod tests;
