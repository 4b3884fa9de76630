//! Where answers become durable, and how they reach the tables.
//!
//! A receipt is numbered, signed and appended to a log on the local disk before its answer is
//! handed out. [`Ledger::drain`] later moves batches into the tables; the `receipts` row is the
//! commit, the `answers` and `attributions` rows before it are unfolded from it. A crash anywhere
//! leaves records in the log, and draining them again adds nothing twice.

mod known;
mod log;
mod receivables;
mod rows;

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemas::ids::AnswerId;
use schemas::receipt::{Receipt, ReceiptBody};
use schemas::signer::Signer;
use schemas::tables::{AnswerRow, AttributionRow, FeeRow, Millis, ReceiptRow, Row};
use schemas::{Address, B256, U256};
use store::Store;

use crate::answer::{AnswerRecord, CopyRecord};
use crate::epochs::Dues;
use crate::{RagError, Result, blocking};
use known::Known;
use log::Log;

pub use receivables::Receivable;
use receivables::{Charge, Receivables};
pub(crate) use rows::receipt_of;

/// Receipts that are read at once. Tests read several times so many.
pub(crate) const RECEIPTS_AT_ONCE: usize = if cfg!(test) { 64 } else { 1_024 };

/// An answer that is not numbered and signed yet.
#[derive(Debug)]
pub(crate) struct Draft {
    /// `sequence`, `previous` and `issued_at_ms` are set when it is signed.
    pub(crate) body: ReceiptBody,
    pub(crate) question: String,
    pub(crate) salt: B256,
    pub(crate) answer: String,
    pub(crate) copies: Vec<CopyRecord>,
}

/// Every receipt ever issued: the older ones in the store, the newest in the log.
#[derive(Debug)]
pub(crate) struct Ledger {
    store: Store,
    signer: Arc<dyn Signer>,
    pending_limit: usize,
    /// Held while the disk is written. Taken before `pending`.
    writer: Mutex<Writer>,
    /// Held for moments only.
    pending: Mutex<Pending>,
    receivables: Receivables,
    known: Known,
    /// One drain at a time. When the last one ended.
    draining: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Writer {
    log: Log,
    next_sequence: u64,
    /// Body hash of the last receipt; zero before the first.
    previous: B256,
}

/// What is in the log and maybe not in the tables yet.
#[derive(Debug, Default)]
struct Pending {
    records: BTreeMap<u64, Arc<AnswerRecord>>,
    sequences: HashMap<AnswerId, u64>,
}

impl Pending {
    fn insert(&mut self, record: Arc<AnswerRecord>) {
        let sequence = record.receipt.body.sequence;
        self.sequences.insert(record.id(), sequence);
        self.records.insert(sequence, record);
    }
}

impl Ledger {
    /// Opens the log in `dir` and replays what is in it.
    pub(crate) async fn open(store: Store, signer: Arc<dyn Signer>, dir: &Path, pending_limit: usize) -> Result<Self> {
        let stored = store.max::<ReceiptRow>("sequence").await?.unwrap_or(0);
        let last = store.scan::<ReceiptRow>(Some(&format!("sequence = {stored}"))).await?.into_iter().next();
        let dir = dir.to_owned();
        let (log, records) = blocking(move || Log::open(&dir)).await?;
        let newest = records.iter().map(|record| &record.receipt).max_by_key(|receipt| receipt.body.sequence);
        let newest = newest.filter(|newest| newest.body.sequence >= stored);
        let previous = newest.map(|newest| newest.body_hash).or(last.map(|last| last.body_hash)).unwrap_or_default();
        let logged = newest.map_or(0, |newest| newest.body.sequence);
        let receivables = Receivables::open(&store, stored, records.iter().map(|record| charge(&record.receipt.body))).await?;
        let mut pending = Pending::default();
        let known = Known::of(&store);
        records.iter().for_each(|record| known.add(record.id()));
        records.into_iter().for_each(|record| pending.insert(Arc::new(record)));
        let writer = Writer { log, next_sequence: stored.max(logged).saturating_add(1), previous };
        tracing::info!(next_sequence = writer.next_sequence, pending = pending.records.len(), "receipt log opened");
        let (writer, pending) = (Mutex::new(writer), Mutex::new(pending));
        Ok(Self { store, signer, pending_limit, writer, pending, receivables, known, draining: tokio::sync::Mutex::default() })
    }

    /// Numbers, signs and stores an answer; durable when it returns. Blocks.
    ///
    /// The caller makes sure that no answer with this id exists or is being made.
    pub(crate) fn issue(&self, draft: Draft) -> Result<Arc<AnswerRecord>> {
        let mut writer = locked(&self.writer);
        if locked(&self.pending).records.len() >= self.pending_limit {
            return Err(RagError::Busy { what: "the queue of receipts that wait for the tables", limit: self.pending_limit });
        }
        let sequence = writer.next_sequence;
        let Draft { body, question, salt: question_salt, answer, copies } = draft;
        let body = ReceiptBody { sequence, previous: writer.previous, issued_at_ms: Millis::now().0, ..body };
        let (_, body_hash) = body.canonical()?;
        let signature = self.signer.sign_digest(body.signing_digest()?)?;
        let receipt = Receipt { body, body_hash, signer: self.signer.address(), signature };
        let record = AnswerRecord { receipt, question, question_salt, answer, copies };
        writer.log.append(&record)?;
        writer.next_sequence = sequence + 1;
        writer.previous = body_hash;
        let record = Arc::new(record);
        self.known.add(record.id());
        self.receivables.add(&charge(&record.receipt.body));
        locked(&self.pending).insert(record.clone());
        Ok(record)
    }

    /// See [`crate::Rag::caught_up`].
    pub(crate) async fn caught_up(&self) {
        self.known.read().await;
    }

    /// What was answered under this id, if anything was.
    pub(crate) async fn find(&self, id: AnswerId) -> Result<Option<AnswerRecord>> {
        if let Some(record) = self.find_pending(id) {
            return Ok(Some(AnswerRecord::clone(&record)));
        }
        if !self.known.may_hold(id) {
            return Ok(None);
        }
        let filter = format!("answer_id = '{id}'");
        let Some(receipt) = self.store.scan::<ReceiptRow>(Some(&filter)).await?.into_iter().next() else { return Ok(None) };
        let answer = self.store.scan::<AnswerRow>(Some(&filter)).await?.into_iter().next();
        let answer = answer.ok_or_else(|| RagError::not_found("stored text of answer", id))?;
        let attributions = self.store.scan::<AttributionRow>(Some(&filter)).await?;
        rows::record(&receipt, answer, attributions).map(Some)
    }

    fn find_pending(&self, id: AnswerId) -> Option<Arc<AnswerRecord>> {
        let pending = locked(&self.pending);
        pending.records.get(pending.sequences.get(&id)?).cloned()
    }

    /// An epoch was settled that ends with this receipt.
    pub(crate) fn settled(&self, last_sequence: u64) {
        self.receivables.settle(last_sequence);
    }

    /// What a payer's receipts and the answers being made come to beside `dues`; `None` where those are of an epoch before the
    /// newest settled one.
    pub(crate) fn receivable(&self, payer: Address, dues: &Dues, making: impl Iterator<Item = (AnswerId, U256)>) -> Option<Receivable> {
        self.receivables.of(payer, dues.settled_to, dues.asked_to, making)
    }

    pub(crate) fn pending_count(&self) -> usize {
        locked(&self.pending).records.len()
    }

    /// Moves everything that is in the log into the tables. Returns how many receipts that were.
    pub(crate) async fn drain(self: &Arc<Self>) -> Result<usize> {
        let mut ended = self.draining.lock().await;
        self.drain_locked(&mut ended).await
    }

    /// Waits until the receipts that were issued before are in the tables. Whoever waits at the same time shares a drain, and
    /// there is none for them sooner than `pace` after the one before: reading makes few commits, however much is read.
    pub(crate) async fn drained(self: &Arc<Self>, pace: Duration) -> Result<()> {
        let newest = locked(&self.pending).records.keys().next_back().copied();
        let Some(issued) = newest else { return Ok(()) };
        let mut ended = self.draining.lock().await;
        if locked(&self.pending).records.range(..=issued).next().is_none() {
            return Ok(());
        }
        if let Some(wait) = ended.and_then(|ended| pace.checked_sub(ended.elapsed())) {
            tokio::time::sleep(wait).await;
        }
        self.drain_locked(&mut ended).await.map(drop)
    }

    /// Why no receipt can be issued until a restart, if it is so. Blocks while one is.
    pub(crate) fn stopped(&self) -> Option<RagError> {
        locked(&self.writer).log.stopped()
    }

    async fn drain_locked(self: &Arc<Self>, ended: &mut Option<Instant>) -> Result<usize> {
        let batch: Vec<Arc<AnswerRecord>> = locked(&self.pending).records.values().cloned().collect();
        let Some(last) = batch.last().map(|record| record.receipt.body.sequence) else { return Ok(0) };
        let count = batch.len();
        let rows = blocking(move || rows::Rows::of(&batch)).await?;
        self.store.insert_new::<AttributionRow>(&rows.attributions).await?;
        self.store.insert_new::<AnswerRow>(&rows.answers).await?;
        self.store.insert_new::<ReceiptRow>(&rows.receipts).await?;
        let ledger = self.clone();
        blocking(move || ledger.forget(last)).await?;
        *ended = Some(Instant::now());
        tracing::info!(receipts = count, last_sequence = last, "receipts drained into the tables");
        Ok(count)
    }

    /// Drops the receipts up to `last` from the log: they are in the tables. Blocks.
    fn forget(&self, last: u64) -> Result<()> {
        let mut writer = locked(&self.writer);
        let kept: Vec<Arc<AnswerRecord>> = locked(&self.pending).records.range(last + 1..).map(|(_, record)| record.clone()).collect();
        writer.log.rewrite(kept.iter().map(Arc::as_ref))?;
        let mut pending = Pending::default();
        kept.into_iter().for_each(|record| pending.insert(record));
        *locked(&self.pending) = pending;
        Ok(())
    }
}

/// Body hashes of a gapless run of receipts that is in the tables, in order.
pub(crate) async fn body_hashes(store: &Store, run: RangeInclusive<u64>) -> Result<Vec<B256>> {
    Ok(read_run::<FeeRow>(store, run, |row| row.sequence).await?.into_iter().map(|row| row.body_hash).collect())
}

/// At most `limit` receipts after a number, in order, of those that are in the tables.
pub(crate) async fn after(store: &Store, sequence: u64, limit: u64) -> Result<Vec<Receipt>> {
    let filter = format!("sequence > {sequence} AND sequence <= {}", sequence.saturating_add(limit));
    let mut rows: Vec<ReceiptRow> = store.scan(Some(&filter)).await?;
    rows.sort_unstable_by_key(|row| row.sequence);
    rows.iter().map(receipt_of).collect()
}

/// A gapless run of receipts of which the tables hold each once, in order. For rows that are small.
pub(crate) async fn read_run<R: Row>(store: &Store, run: RangeInclusive<u64>, sequence: impl Fn(&R) -> u64) -> Result<Vec<R>> {
    let (first, last) = (*run.start(), *run.end());
    let mut rows: Vec<R> = joined(map_run(store, &run, None, |rows| rows).await?);
    rows.sort_unstable_by_key(&sequence);
    if rows.iter().map(sequence).eq(run) {
        return Ok(rows);
    }
    Err(RagError::Unproven(format!("the tables do not hold each of the receipts {first} to {last} once")))
}

/// What `map` makes of the receipts of a run that are in the tables and satisfy `filter`, some at a time; in no order.
pub(crate) async fn map_run<R: Row, T: Send + 'static>(
    store: &Store,
    run: &RangeInclusive<u64>,
    filter: Option<&str>,
    map: impl Fn(Vec<R>) -> T + Send + Sync + 'static,
) -> Result<Vec<T>> {
    if run.is_empty() {
        return Ok(Vec::new());
    }
    let more = filter.map(|filter| format!(" AND {filter}")).unwrap_or_default();
    let filter = format!("sequence >= {} AND sequence <= {}{more}", run.start(), run.end());
    Ok(store.map_batches(Some(&filter), RECEIPTS_AT_ONCE, map).await?)
}

/// All of them. Each part is let go of as it is taken: a million rows in parts are not there twice.
pub(crate) fn joined<T>(parts: Vec<Vec<T>>) -> Vec<T> {
    let mut all = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    parts.into_iter().for_each(|part| all.extend(part));
    all
}

fn charge(body: &ReceiptBody) -> Charge {
    Charge { sequence: body.sequence, answer_id: body.answer_id, payer: body.payer, fee_wei: body.fee_wei }
}

/// A panic elsewhere leaves nothing half done under these locks that the log would not tell.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
