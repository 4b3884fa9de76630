//! The thread that owns the decoder. Requests come over a channel; answers go back over each request's own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use super::core::{Core, Submission};
use super::counters::Counters;
use super::forward::Forward;
use super::schedule::Schedule;
use crate::EngineError;

#[cfg(test)]
mod tests;

/// Dropping it fails what is still running, waits for the pass in progress and joins the thread.
pub(crate) struct Service<F: Forward> {
    commands: Option<Sender<Command<F>>>,
    thread: Option<JoinHandle<()>>,
}

enum Command<F> {
    Submit(Box<Submission>),
    /// Between two passes.
    With(Box<dyn FnOnce(&mut F) + Send>),
}

impl<F: Forward> Service<F> {
    /// # Errors
    /// [`EngineError::Library`] where the system starts no thread.
    pub(crate) fn start(forward: F, schedule: Schedule, counters: Arc<Counters>) -> Result<Self, EngineError> {
        let (commands, inbox) = channel();
        let core = Core::new(forward, schedule, counters);
        let thread = std::thread::Builder::new().name("generator".to_owned()).spawn(move || run(core, &inbox));
        let thread = thread.map_err(EngineError::library("starting the generator's thread"))?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
    }

    /// # Errors
    /// [`EngineError::Library`] where the thread has ended, which a defect of this crate alone can bring about.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), EngineError> {
        self.send(Command::Submit(Box::new(submission)))
    }

    /// Changes the model between two passes, and waits for it. Blocks: what is running goes on first, for one pass.
    ///
    /// # Errors
    /// [`EngineError::Library`] where the change panics, and as [`Service::submit`].
    pub(crate) fn with<T: Send + 'static>(&self, change: impl FnOnce(&mut F) -> T + Send + 'static) -> Result<T, EngineError> {
        let (reply, result) = channel();
        self.send(Command::With(Box::new(move |forward| {
            // Whoever asked waits below.
            let _ = reply.send(catch_unwind(AssertUnwindSafe(|| change(forward))));
        })))?;
        let panicked = |_| EngineError::Library { operation: "changing the model", reason: "it panicked".to_owned() };
        result.recv().map_err(|_| ended())?.map_err(panicked)
    }

    fn send(&self, command: Command<F>) -> Result<(), EngineError> {
        self.commands.as_ref().ok_or_else(ended)?.send(command).map_err(|_| ended())
    }
}

impl<F: Forward> Drop for Service<F> {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // It has logged why, where it panicked.
            let _ = thread.join();
        }
    }
}

fn ended() -> EngineError {
    EngineError::Library { operation: "generating", reason: "the model's thread has ended".to_owned() }
}

fn run<F: Forward>(mut core: Core<F>, inbox: &Receiver<Command<F>>) {
    loop {
        let command = if core.is_idle() { inbox.recv().map_err(|_| TryRecvError::Disconnected) } else { inbox.try_recv() };
        match command {
            Ok(Command::Submit(submission)) => core.submit(*submission),
            Ok(Command::With(change)) => change(&mut core.forward),
            Err(TryRecvError::Empty) => core.step(),
            Err(TryRecvError::Disconnected) => return core.close(),
        }
    }
}
