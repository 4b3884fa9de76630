//! Threads that do the arithmetic, started once, one for each processor.
//!
//! Calls take turns, one piece of work at a time: a single question does not wait for a long batch, only for the
//! pieces that are being worked on.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use crate::kernels::pin_to_cpu;

pub(crate) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    calls: VecDeque<Call>,
    stopping: bool,
}

type Work = Arc<dyn Fn(usize) + Send + Sync>;

/// Pieces `next..pieces` of one call are still to be taken.
struct Call {
    next: usize,
    pieces: usize,
    work: Work,
}

impl Workers {
    /// # Errors
    /// Where the system starts no more threads.
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new() });
        let mut workers = Self { shared: shared.clone(), threads: Vec::with_capacity(count) };
        for worker in 0..count {
            let shared = shared.clone();
            let work = move || {
                pin_to_cpu(worker, count);
                shared.work();
            };
            workers.threads.push(std::thread::Builder::new().name(format!("engine-{worker}")).spawn(work)?);
        }
        Ok(workers)
    }

    pub(crate) fn count(&self) -> usize {
        self.threads.len()
    }

    /// `work(0)` to `work(pieces - 1)`, in that order in the result; blocks until all are done. None where a piece panicked.
    pub(crate) fn map<T: Send + 'static>(&self, pieces: usize, work: impl Fn(usize) -> T + Send + Sync + 'static) -> Option<Vec<T>> {
        if pieces == 0 {
            return Some(Vec::new());
        }
        let (sender, receiver) = mpsc::channel();
        let work = Arc::new(move |piece| {
            let done = catch_unwind(AssertUnwindSafe(|| work(piece))).ok();
            // A caller that has stopped listening has seen a panic.
            let _ = sender.send((piece, done));
        });
        self.shared.lock().calls.push_back(Call { next: 0, pieces, work });
        self.shared.changed.notify_all();
        let mut results: Vec<Option<T>> = (0..pieces).map(|_| None).collect();
        for (piece, done) in receiver.iter().take(pieces) {
            *results.get_mut(piece)? = Some(done?);
        }
        results.into_iter().collect()
    }
}

impl Shared {
    // Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some((piece, work)) = queue.take() {
                drop(queue);
                work(piece);
                drop(work);
                queue = self.lock();
            } else if queue.stopping {
                return;
            } else {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Queue {
    fn take(&mut self) -> Option<(usize, Work)> {
        let mut call = self.calls.pop_front()?;
        let taken = (call.next, call.work.clone());
        call.next += 1;
        if call.next < call.pieces {
            self.calls.push_back(call);
        }
        Some(taken)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A piece's panic was caught; a worker itself does not panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let workers = Workers::start(3).expect("threads");
        assert_eq!(workers.map(100, |piece| piece * 2), Some((0..100).map(|piece| piece * 2).collect()));
        assert_eq!(workers.map(0, |piece| piece), Some(vec![]));
    }

    #[test]
    fn calls_take_turns() {
        let workers = Arc::new(Workers::start(1).expect("threads"));
        let (started, start) = mpsc::channel();
        let (gate, gated) = mpsc::channel::<()>();
        let gated = Mutex::new(gated);
        let order = Arc::new(Mutex::new(Vec::new()));
        let (long, long_order) = (workers.clone(), order.clone());
        let batch = std::thread::spawn(move || {
            long.map(3, move |piece| {
                let _ = started.send(());
                gated.lock().expect("gate").recv().expect("opened");
                long_order.lock().expect("order").push(format!("batch {piece}"));
            })
        });
        start.recv().expect("the batch has the worker");
        let (short, short_order) = (workers.clone(), order.clone());
        let question = std::thread::spawn(move || short.map(1, move |_| short_order.lock().expect("order").push("question".to_owned())));
        while workers.shared.lock().calls.len() < 2 {
            std::thread::yield_now();
        }
        (0..3).for_each(|_| gate.send(()).expect("open"));
        question.join().expect("joins").expect("done");
        batch.join().expect("joins").expect("done");
        assert_eq!(*order.lock().expect("order"), ["batch 0", "batch 1", "question", "batch 2"]);
    }

    #[test]
    fn a_panic_is_contained() {
        let workers = Workers::start(2).expect("threads");
        assert_eq!(workers.map(4, |piece| assert_ne!(piece, 2, "a planted panic")), None);
        assert_eq!(workers.map(2, |piece| piece), Some(vec![0, 1]));
    }
}
