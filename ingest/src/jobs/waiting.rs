//! The jobs of this process, in memory: what waits, what is worked at, and what failed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::Address;
use schemas::ids::SubmissionId;
use schemas::tables::Millis;
use tokio::sync::Notify;

use super::{JobCounts, Record};
use crate::measures::Totals;
use crate::progress::Progress;
use crate::submissions::Room;

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    state: Mutex<State>,
    /// A job was added, or all is to stop.
    changed: Notify,
    /// Held while a record is written for the first time.
    pub(super) accepting: tokio::sync::Mutex<()>,
    pub(super) totals: Arc<Totals>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<SubmissionId>,
    jobs: HashMap<SubmissionId, Job>,
    is_stopped: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub record: Record,
    pub progress: Arc<Progress>,
    pub is_running: bool,
    /// What it holds of its contributor's quota, until it ends.
    _room: Option<Arc<Room>>,
}

impl State {
    /// The job that waited longest of those whose contributor has the fewest that are worked at: nobody holds up the others by
    /// sending much. What was worked at when a process ended is not worked at beside another such: one of them may be why, and
    /// the others must not be given up for it.
    fn take(&mut self) -> Option<(Record, Arc<Progress>)> {
        self.queue.retain(|id| self.jobs.contains_key(id));
        let running = || self.jobs.values().filter(|job| job.is_running);
        let is_suspect = |job: &Job| job.record.attempts > 0;
        let has_suspect = running().any(is_suspect);
        let of = |contributor: Address| running().filter(|job| job.record.upload.contributor == contributor).count();
        let waiting = self.queue.iter().enumerate().filter_map(|(at, id)| Some((at, self.jobs.get(id)?)));
        let may_begin = waiting.filter(|(_, job)| !(has_suspect && is_suspect(job)));
        let (at, _) = may_begin.min_by_key(|(at, job)| (of(job.record.upload.contributor), *at))?;
        let job = self.jobs.get_mut(&self.queue.remove(at)?)?;
        job.is_running = true;
        Some((job.record.clone(), job.progress.clone()))
    }
}

impl Jobs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job at the end of the queue, also in place of one that failed.
    pub(super) fn add(&self, record: Record, room: Room) -> Job {
        let progress = Arc::new(Progress::counted(self.totals.clone()));
        let job = Job { record, progress, is_running: false, _room: Some(Arc::new(room)) };
        let mut state = self.state();
        state.queue.push_back(job.record.id());
        state.jobs.insert(job.record.id(), job.clone());
        drop(state);
        self.changed.notify_waiters();
        job
    }

    /// Keeps a job that is not to be worked at any more.
    pub(super) fn add_failed(&self, record: Record) {
        let job = Job { record, progress: Arc::default(), is_running: false, _room: None };
        self.state().jobs.insert(job.record.id(), job);
        self.changed.notify_waiters();
    }

    /// Jobs that failed before a time are not told of any more.
    pub(super) fn take_failed_before(&self, before: Millis) -> Vec<Record> {
        let is_old = |job: &Job| job.record.failure.as_ref().is_some_and(|failure| failure.failed_at.0 < before.0);
        self.state().jobs.extract_if(|_, job| is_old(job)).map(|(_, job)| job.record).collect()
    }

    pub(super) fn remove(&self, id: SubmissionId) {
        self.state().jobs.remove(&id);
        self.changed.notify_waiters();
    }

    pub(super) fn find(&self, id: SubmissionId) -> Option<Job> {
        self.state().jobs.get(&id).cloned()
    }

    /// Jobs of a contributor, in no order.
    pub(crate) fn of(&self, contributor: Address) -> Vec<Job> {
        self.state().jobs.values().filter(|job| job.record.upload.contributor == contributor).cloned().collect()
    }

    pub(super) fn counts(&self) -> JobCounts {
        let mut counts = JobCounts::default();
        for job in self.state().jobs.values() {
            match (&job.record.failure, job.is_running) {
                (Some(_), _) => counts.failed += 1,
                (None, true) => counts.running += 1,
                (None, false) => counts.queued += 1,
            }
        }
        counts
    }

    /// The job whose turn it is, when there is one ([`State::take`]); none once all is to stop.
    pub(super) async fn next(&self) -> Option<(Record, Arc<Progress>)> {
        loop {
            // From here on no change is missed.
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if state.is_stopped {
                    return None;
                }
                if let Some(taken) = state.take() {
                    return Some(taken);
                }
            }
            changed.await;
        }
    }

    /// No job is begun any more, and those that are being read end soon.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.is_stopped = true;
        for job in state.jobs.values() {
            job.progress.stop();
        }
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    pub(super) async fn stopped(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_stopped() {
                return;
            }
            changed.await;
        }
    }
}
