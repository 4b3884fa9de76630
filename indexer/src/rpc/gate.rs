//! How many exchanges run at once, for all clones of one connection: additive increase,
//! multiplicative decrease (Chiu and Jain 1989, as in TCP).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub(super) struct Gate {
    slots: Arc<Semaphore>,
    state: Mutex<State>,
    min: usize,
    max: usize,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Slots still held that are to vanish when they are given back.
    debt: usize,
    /// Answers since the limit last changed.
    answers: usize,
    /// How often the limit was cut.
    cuts: u64,
}

/// The right to one exchange; it ends when dropped.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    slot: Option<OwnedSemaphorePermit>,
    cuts_before: u64,
}

impl Gate {
    /// A gate that lets `start` through, later between `min` and `max`; all are at least 1.
    pub(super) fn new(min: usize, start: usize, max: usize) -> Self {
        let min = min.clamp(1, Semaphore::MAX_PERMITS);
        let max = max.clamp(min, Semaphore::MAX_PERMITS);
        let limit = start.clamp(min, max);
        Self { slots: Arc::new(Semaphore::new(limit)), state: Mutex::new(State { limit, debt: 0, answers: 0, cuts: 0 }), min, max }
    }

    /// Waits for a slot, first come, first served.
    pub(super) async fn enter(&self) -> Pass<'_> {
        // The semaphore is never closed; without a slot the pass would only be uncounted.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        Pass { gate: self, slot, cuts_before: self.lock().cuts }
    }

    pub(super) fn limit(&self) -> usize {
        self.lock().limit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The exchange was answered in time.
    pub(super) fn answered(&self) {
        let mut state = self.gate.lock();
        state.answers += 1;
        if state.answers < state.limit {
            return;
        }
        state.answers = 0;
        if state.limit < self.gate.max {
            state.limit += 1;
            if state.debt > 0 {
                state.debt -= 1;
            } else {
                self.gate.slots.add_permits(1);
            }
        }
    }

    /// The node asked for less, or took too long. Exchanges that began before the last cut say
    /// nothing about the limit after it.
    pub(super) fn overloaded(&self) {
        let mut state = self.gate.lock();
        if state.cuts != self.cuts_before {
            return;
        }
        let limit = (state.limit / 2).max(self.gate.min);
        let surplus = state.limit - limit;
        state.debt += surplus - self.gate.slots.forget_permits(surplus);
        state.limit = limit;
        state.answers = 0;
        state.cuts += 1;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if state.debt > 0
            && let Some(slot) = self.slot.take()
        {
            state.debt -= 1;
            slot.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_halves_once_per_cut_and_grows_by_one_per_window() {
        let gate = Gate::new(1, 4, 5);
        let mut passes = Vec::new();
        for _ in 0..4 {
            passes.push(gate.enter().await);
        }
        assert!(gate.slots.try_acquire().is_err(), "four at once, no more");
        for pass in &passes {
            pass.overloaded();
        }
        assert_eq!(gate.limit(), 2, "four complaints from one window are one cut");
        passes.truncate(2);
        assert!(gate.slots.try_acquire().is_err(), "the surplus slots are gone");
        passes.clear();
        assert_eq!(gate.slots.available_permits(), 2);

        for _ in 0..2 {
            gate.enter().await.answered();
        }
        assert_eq!((gate.limit(), gate.slots.available_permits()), (3, 3));
        for _ in 0..100 {
            gate.enter().await.answered();
        }
        assert_eq!((gate.limit(), gate.slots.available_permits()), (5, 5), "never above the maximum");
        for _ in 0..10 {
            gate.enter().await.overloaded();
        }
        assert_eq!((gate.limit(), gate.slots.available_permits()), (1, 1), "never below the minimum");
    }

    #[tokio::test]
    async fn growth_while_slots_are_owed_creates_none() {
        let gate = Gate::new(1, 4, 8);
        let held = [gate.enter().await, gate.enter().await, gate.enter().await, gate.enter().await];
        held[0].overloaded();
        held[1].answered();
        held[2].answered();
        assert_eq!(gate.limit(), 3);
        drop(held);
        assert_eq!(gate.slots.available_permits(), 3);
    }
}
