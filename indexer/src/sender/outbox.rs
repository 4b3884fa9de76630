//! Every transaction that an account has signed and that is not final: the queue's memory.
//!
//! A transaction is written here, and the file is on the disk, before it is sent. The outbox never
//! talks to a node and decides nothing; who holds it is the account's only sender, because its lock
//! file is held by one process at a time. Without a folder it lives in memory.

mod file;
mod record;
mod state;

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use schemas::tables::Millis;
use schemas::{Address, B256};

pub(crate) use record::{Content, Identity, Inclusion, Parked, Record, Role, Version};
pub(crate) use state::{DaySpending, Slot, State, Status};

use crate::{IndexerError, Result};
use file::{RecordFile, outbox_error};

/// The version of the file's format.
pub(crate) const FORMAT: u32 = 1;

/// A file beyond this is rewritten without what is finished.
const COMPACT_ABOVE_BYTES: u64 = 1 << 20;

/// Between two tries to take the lock.
const LOCK_POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) state: State,
    stored: Option<Stored>,
}

#[derive(Debug)]
struct Stored {
    file: RecordFile,
    identity: Identity,
    /// Of the file after it was last rewritten.
    compacted_bytes: u64,
    _lock: File,
}

/// The lock of one account on one chain. Held, nobody else sends for it.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock of `<chain>-<account>` in `folder`, waiting at most `patience`.
    ///
    /// # Errors
    /// [`IndexerError::OutboxLocked`], [`IndexerError::Outbox`].
    pub(crate) async fn take(folder: &Path, chain_id: u64, account: Address, patience: Duration) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| outbox_error(folder, &error))?;
        let path = folder.join(format!("{chain_id}-{account:#x}.jsonl"));
        let lock = path.with_extension("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&lock)
            .map_err(|error| outbox_error(&lock, &error))?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { path, file }),
                Err(TryLockError::Error(error)) => return Err(outbox_error(&lock, &error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(IndexerError::OutboxLocked { account, path: lock });
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
            }
        }
    }
}

impl Outbox {
    pub(crate) fn in_memory() -> Self {
        Self { state: State::default(), stored: None }
    }

    /// Reads the account's file, or makes it.
    ///
    /// # Errors
    /// [`IndexerError::Outbox`] when it is damaged, or of another chain.
    pub(crate) fn open(lock: Lock, chain_id: u64, account: Address, genesis: B256, now: Millis) -> Result<Self> {
        let identity = Identity { format: FORMAT, chain_id, account, genesis };
        let path = lock.path;
        let (file, records) = RecordFile::open(&path)?;
        let mut state = State::default();
        match records.split_first() {
            None => {}
            Some((Record::Opened(found), rest)) if *found == identity => {
                for record in rest {
                    state.apply(record).map_err(|problem| outbox_error(&path, &problem))?;
                }
            }
            Some((Record::Opened(found), _)) => return Err(outbox_error(&path, &stranger(found, &identity))),
            Some(_) => return Err(outbox_error(&path, &"it does not begin as an outbox does")),
        }
        let stored = Stored { file, identity, compacted_bytes: 0, _lock: lock.file };
        let mut outbox = Self { state, stored: Some(stored) };
        outbox.compact(now)?;
        Ok(outbox)
    }

    /// Writes a record durably, then takes it into the state. It waits for the disk within the
    /// caller's thread: so no future that is dropped half-way can leave the two apart.
    pub(crate) fn append(&mut self, record: &Record) -> Result<()> {
        // First on the state, which refuses what a reader would refuse.
        let mut state = self.state.clone();
        state.apply(record).map_err(|problem| IndexerError::Transaction { problem: format!("in the outbox: {problem}") })?;
        if let Some(stored) = &mut self.stored {
            stored.file.append(record)?;
        }
        self.state = state;
        Ok(())
    }

    /// Rewrites the file if much of it is finished.
    pub(crate) fn compact_if_long(&mut self, now: Millis) -> Result<()> {
        let long = |stored: &Stored| stored.file.length_bytes > COMPACT_ABOVE_BYTES.max(2 * stored.compacted_bytes);
        if self.stored.as_ref().is_some_and(long) { self.compact(now) } else { Ok(()) }
    }

    fn compact(&mut self, now: Millis) -> Result<()> {
        let Some(stored) = &mut self.stored else { return Ok(()) };
        let records: Vec<Record> = [Record::Opened(stored.identity)].into_iter().chain(self.state.records(now)).collect();
        stored.file.rewrite(&records)?;
        stored.compacted_bytes = stored.file.length_bytes;
        self.state = State::default();
        for record in records.iter().skip(1) {
            self.state.apply(record).map_err(|problem| IndexerError::Transaction { problem })?;
        }
        Ok(())
    }
}

fn stranger(found: &Identity, expected: &Identity) -> String {
    if found.format != expected.format {
        return format!("it has format {}, this version reads {}", found.format, expected.format);
    }
    format!(
        "it belongs to {} on the chain {} with the origin {:#x}, but this is {} on the chain {} with the origin {:#x}: its \
         transactions must not be sent here; use the data folder of this chain, or remove the file if that chain is gone for good",
        found.account, found.chain_id, found.genesis, expected.account, expected.chain_id, expected.genesis
    )
}

#[cfg(test)]
mod tests;
