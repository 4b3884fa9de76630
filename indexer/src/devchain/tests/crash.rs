//! `make crash`: a process that indexes a live chain into a store on disk is killed with SIGKILL, again and
//! again. After each kill the tables hold a true prefix, and at last they equal the node's receipts.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::tables::{BlockRow, LogRow};
use store::{Durability, StoreConfig};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;

use super::witness::{Witness, stored};
use super::*;

const URL: &str = "HEADWATER_CRASH_RPC";
const FOLDER: &str = "HEADWATER_CRASH_STORE";
/// What the child says when it has the store.
const OPENED: &str = "the store is open";

/// Without fsync: a killed process loses nothing that the system has taken.
async fn open(folder: &Path) -> Store {
    let config = StoreConfig::new(format!("file://{}", folder.display()), Durability::Fast);
    Store::open(&config).await.unwrap()
}

fn over(url: &str, store: &Store) -> Indexer {
    let source = RpcSource::connect(url, RpcConfig::default()).unwrap();
    // Small ranges and commits, so that there are many points to be killed at.
    let config =
        IndexerConfig { poll_interval_ms: 1, max_range_blocks: 2, initial_range_blocks: 1, commit_bytes: 1, ..IndexerConfig::default() };
    Indexer::new(Arc::new(source), store.clone(), Witness::followed(), config)
}

/// The process that is killed.
#[tokio::test]
#[ignore = "a part of `kills_lose_and_double_nothing`, which starts it"]
async fn child() {
    let (Ok(url), Ok(folder)) = (std::env::var(URL), std::env::var(FOLDER)) else { return };
    let store = open(Path::new(&folder)).await;
    println!("{OPENED}");
    over(&url, &store).run(None, CancellationToken::new()).await.unwrap();
}

fn spawn_child(url: &str, folder: &Path) -> tokio::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "devchain::tests::crash::child", "--ignored", "--nocapture"]).env(URL, url).env(FOLDER, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// The tables' blocks are the first ones expected, and their logs are all of those blocks' logs; logs of
/// the blocks that were being written may be there too. Returns whether they are.
async fn check_prefix(store: &Store, expected: &(Vec<BlockRow>, Vec<LogRow>), kill: u64) -> bool {
    let (blocks, mut logs) = stored(store).await;
    assert_eq!(blocks, expected.0[..blocks.len()], "blocks after kill {kill}");
    let tip = blocks.last().map_or(0, |block| block.number);
    let all = logs.len();
    logs.retain(|log| log.block_number <= tip);
    let wanted: Vec<LogRow> = expected.1.iter().filter(|log| log.block_number <= tip).cloned().collect();
    assert_eq!(logs, wanted, "logs after kill {kill}");
    all > logs.len()
}

/// After so many kills a new store and a new chain: a table of hundreds of small commits is slow to open.
const KILLS_OF_ONE_STORE: u64 = 25;

/// Kills the children of one store, and what came of it.
struct Killing {
    random: StdRng,
    /// How long a child may live at most: about every second one is to write, however slow the machine is.
    longest_ms: u64,
    kills: u64,
    grown: u64,
    orphans: u64,
    blocks: u64,
}

impl Killing {
    async fn of_one_store(&mut self, kills: u64) {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = Witness::start(1).await;
        let mut expected = (Vec::new(), Vec::new());
        let mut last = 0;
        for _ in 0..kills {
            witness.emit(3).await;
            self.kill_one(&mut witness, folder.path()).await;
            let height = witness.height().await;
            witness.extend(&mut expected, height - 2).await;
            let store = open(folder.path()).await;
            self.orphans += u64::from(check_prefix(&store, &expected, self.kills).await);
            let count = store.count::<BlockRow>(None).await.unwrap();
            let has_grown = count > last;
            self.longest_ms = if has_grown { (self.longest_ms * 7 / 10).max(50) } else { (self.longest_ms * 13 / 10).min(60_000) };
            self.grown += u64::from(has_grown);
            last = count;
        }
        let store = open(folder.path()).await;
        settle(&mut over(witness.chain.rpc_url(), &store)).await;
        witness.check(&store).await;
        self.blocks += store.count::<BlockRow>(None).await.unwrap();
        println!("{} kills; {} blocks; children may live {} ms", self.kills, self.blocks, self.longest_ms);
    }

    async fn kill_one(&mut self, witness: &mut Witness, folder: &Path) {
        self.kills += 1;
        let mut child = spawn_child(witness.chain.rpc_url(), folder);
        let lives = Duration::from_millis(self.random.random_range(5..self.longest_ms));
        // One in ten is killed while it starts.
        let opens = !self.kills.is_multiple_of(10);
        let stopped = AtomicBool::new(false);
        let killing = async {
            if opens {
                let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
                while !lines.next_line().await.unwrap().unwrap().ends_with(OPENED) {}
            }
            tokio::time::sleep(lives).await;
            stopped.store(true, Ordering::Relaxed);
            child.start_kill().unwrap();
            child.wait().await.unwrap();
        };
        let moving = async {
            for _ in 0..20 {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // Two blocks are not final, of which one is replaced.
                witness.emit(2).await;
                witness.chain.reorg(1).await.unwrap();
            }
        };
        tokio::join!(killing, moving);
    }
}

#[tokio::test]
#[ignore = "minutes; make crash runs it, HEADWATER_KILLS says how often it kills"]
async fn kills_lose_and_double_nothing() {
    let kills: u64 = std::env::var("HEADWATER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(200);
    let mut killing = Killing { random: StdRng::seed_from_u64(1), longest_ms: 250, kills: 0, grown: 0, orphans: 0, blocks: 0 };
    while killing.kills < kills {
        killing.of_one_store((kills - killing.kills).min(KILLS_OF_ONE_STORE)).await;
    }
    let Killing { grown, orphans, blocks, .. } = killing;
    println!("{kills} kills; the tables had grown before {grown} of them; {orphans} fell between logs and blocks; {blocks} blocks");
    assert!(grown > kills / 4, "most children were killed before they wrote anything");
}
