//! Threads that share one piece of arithmetic: started once, and quick to come together again.
//!
//! A decoder's step is some hundred short products, one after the other. Between them the workers spin for a moment;
//! idle, they sleep. The caller takes part and waits for nobody who has not begun: a worker that the system does not
//! let run costs nothing. Threads are not pinned: the caller cannot be, and would meet a worker on its processor.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Cpu;

/// How long a worker waits awake. Longer than what lies between two products, shorter than anyone notices.
const AWAKE: Duration = Duration::from_micros(50);
/// Looks at the state between two looks at the clock.
const LOOKS: u32 = 64;
/// Looks of a caller that waits for the last parts, before it offers its processor.
const CALLER_LOOKS: u32 = 20_000;

/// One number says which job there is and who is in it: bit 0 that it is open, bit 1 that the team ends, bits 2 to 15
/// how many workers are inside, the rest counts jobs.
const OPEN: u64 = 1;
const ENDED: u64 = 2;
const INSIDE: u64 = 4;
const INSIDE_MASK: u64 = 0xfffc;
const JOB: u64 = 0x1_0000;
const WORKERS_LIMIT: usize = 1024;

thread_local! {
    /// Whether this thread is working on a part: a product within a part is done by its thread alone.
    static WORKING: Cell<bool> = const { Cell::new(false) };
}

/// The caller and `threads - 1` workers.
pub(crate) struct Team {
    cpu: Cpu,
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// Callers take turns.
    turn: Mutex<()>,
}

struct Worker {
    asleep: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// In a line of its own, so that taking parts does not slow those who look at the state.
#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    state: Line<AtomicU64>,
    next: Line<AtomicUsize>,
    /// Written by the caller while no job is open and nobody is inside.
    job: UnsafeCell<Job>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    parts: usize,
}

// SAFETY: `job` is written by one caller at a time, before it opens the job, and read only by workers who have entered
// an open one; the caller leaves `run`, and `work` ends, after all of them have left.
unsafe impl Sync for Shared {}
// SAFETY: as above; what `work` points to is `Sync`.
unsafe impl Send for Shared {}

impl Team {
    /// # Errors
    /// Where the system starts no more threads.
    pub(crate) fn start(threads: usize, cpu: Cpu) -> io::Result<Self> {
        let job = UnsafeCell::new(Job { work: &|_| (), parts: 0 });
        let (state, next) = (Line(AtomicU64::new(0)), Line(AtomicUsize::new(0)));
        let shared = Arc::new(Shared { state, next, job, panic: Mutex::new(None) });
        let mut team = Self { cpu, shared, workers: Vec::new(), turn: Mutex::new(()) };
        for worker in 1..threads.clamp(1, WORKERS_LIMIT) {
            let asleep = Arc::new(AtomicBool::new(false));
            let (shared, own_asleep) = (team.shared.clone(), asleep.clone());
            let thread = std::thread::Builder::new().name(format!("team-{worker}")).spawn(move || shared.serve(&own_asleep))?;
            team.workers.push(Worker { asleep, thread });
        }
        Ok(team)
    }

    pub(crate) fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// With the caller.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// `work(0)` to `work(parts - 1)`, in any order and on any thread; returns when all are done. A panic of a part
    /// is raised here, after the other parts.
    pub(crate) fn run(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        if parts <= 1 || self.workers.is_empty() || WORKING.get() {
            return (0..parts).for_each(work);
        }
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only the lifetime changes; nobody is inside when this function returns.
        let job = Job { work: unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(work) }, parts };
        let state = &self.shared.state.0;
        // SAFETY: no job is open and nobody is inside, and this caller has the turn.
        unsafe { *self.shared.job.get() = job };
        self.shared.next.0.store(0, Ordering::Relaxed);
        state.fetch_add(JOB | OPEN, Ordering::SeqCst);
        self.wake(parts - 1);
        self.shared.take_parts(job);
        state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while state.load(Ordering::Acquire) & INSIDE_MASK != 0 {
            looks += 1;
            if looks < CALLER_LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let panic = self.shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(turn);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn wake(&self, most: usize) {
        for worker in self.workers.iter().take(most) {
            if worker.asleep.load(Ordering::SeqCst) && worker.asleep.swap(false, Ordering::SeqCst) {
                worker.thread.thread().unpark();
            }
        }
    }
}

impl Shared {
    fn serve(&self, asleep: &AtomicBool) {
        let mut done = 0;
        loop {
            let state = self.wait(done, asleep);
            if state & ENDED != 0 {
                return;
            }
            if self.state.0.compare_exchange(state, state + INSIDE, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                // SAFETY: the job is open with this worker inside: it is not written until the worker has left.
                self.take_parts(unsafe { *self.job.get() });
                done = state / JOB;
                self.state.0.fetch_sub(INSIDE, Ordering::Release);
            }
        }
    }

    /// The state, once it shows the end or an open job that is not `done`.
    fn wait(&self, done: u64, asleep: &AtomicBool) -> u64 {
        let news = |state: u64| state & ENDED != 0 || state & OPEN != 0 && state / JOB != done;
        loop {
            let start = Instant::now();
            while start.elapsed() < AWAKE {
                for _ in 0..LOOKS {
                    let state = self.state.0.load(Ordering::Acquire);
                    if news(state) {
                        return state;
                    }
                    std::hint::spin_loop();
                }
            }
            // A caller opens its job before it looks who sleeps, and this looks for a job after saying so.
            asleep.store(true, Ordering::SeqCst);
            let state = self.state.0.load(Ordering::SeqCst);
            if news(state) {
                asleep.store(false, Ordering::SeqCst);
                return state;
            }
            std::thread::park();
            asleep.store(false, Ordering::SeqCst);
        }
    }

    fn take_parts(&self, job: Job) {
        let before = WORKING.replace(true);
        loop {
            let part = self.next.0.fetch_add(1, Ordering::Relaxed);
            if part >= job.parts {
                break;
            }
            // SAFETY: the caller is in `run`, or waits there for this thread: what it lent is alive.
            let work = unsafe { &*job.work };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(part))) {
                self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
            }
        }
        WORKING.set(before);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.state.0.fetch_or(ENDED, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread.thread().unpark();
            // A part's panic was caught; a worker itself does not panic.
            let _ = worker.thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
