//! Many seeds at once, and what came of them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use store::StorageFailures;

use crate::source::NodeFault;

/// What happened in a schedule, or in several.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) steps: u64,
    pub(super) failed_steps: u64,
    pub(super) stopped_steps: u64,
    pub(super) restarts: u64,
    pub(super) events_missing: u64,
    pub(super) faults: BTreeMap<NodeFault, u64>,
    pub(super) storage: StorageFailures,
    /// How often so many blocks were undone at once. 0: in a step that failed later.
    depths: BTreeMap<u64, u64>,
}

impl Tally {
    pub(super) fn undone(&mut self, blocks: u64) {
        *self.depths.entry(blocks).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.failed_steps += other.failed_steps;
        self.stopped_steps += other.stopped_steps;
        self.restarts += other.restarts;
        self.events_missing += other.events_missing;
        self.storage.reads += other.storage.reads;
        self.storage.writes_refused += other.storage.writes_refused;
        self.storage.writes_unconfirmed += other.storage.writes_unconfirmed;
        other.faults.iter().for_each(|(fault, count)| *self.faults.entry(*fault).or_default() += count);
        other.depths.iter().for_each(|(depth, count)| *self.depths.entry(*depth).or_default() += count);
    }
}

#[derive(Debug)]
pub(super) struct Report {
    seeds: Range<u64>,
    pub(super) tally: Tally,
    /// Seed and message.
    pub(super) failures: BTreeMap<u64, String>,
}

impl Report {
    /// Runs every seed, on as many threads as there are processors.
    pub(super) fn of<F: Future<Output = Tally>>(seeds: Range<u64>, run: impl Fn(u64) -> F + Sync) -> Self {
        let next = AtomicU64::new(seeds.start);
        let report = Mutex::new(Self { seeds: seeds.clone(), tally: Tally::default(), failures: BTreeMap::new() });
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return;
                }
                let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(seed))));
                let mut report = report.lock().unwrap();
                match outcome {
                    Ok(tally) => report.tally.add(&tally),
                    Err(panic) => drop(report.failures.insert(seed, message(panic.as_ref()))),
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        report.into_inner().unwrap()
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").chars().take(400).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { steps, failed_steps, stopped_steps, restarts, events_missing, faults, storage, depths } = &self.tally;
        writeln!(f, "seeds {:?}: {} failed", self.seeds, self.failures.len())?;
        writeln!(f, "steps {steps}, of which {failed_steps} failed; {stopped_steps} more were stopped in the middle; {restarts} restarts")?;
        writeln!(f, "steps that noticed a lost event: {events_missing}")?;
        writeln!(f, "blocks undone at once, how often: {depths:?}")?;
        writeln!(f, "faults that struck: {faults:?}")?;
        writeln!(f, "failures of the storage: {storage:?}")?;
        for (seed, message) in &self.failures {
            writeln!(f, "HEADWATER_SIMULATE=1 HEADWATER_SEED={seed}: {message}")?;
        }
        Ok(())
    }
}
