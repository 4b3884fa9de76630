//! How long the parts of an answer take, told to whoever keeps account.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// A part of the way from a question to its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Waiting for a place among the answers that are computed.
    Queue,
    /// Having the version open.
    Open,
    /// The question's vector.
    Embed,
    /// Searching the version.
    Retrieve,
    /// Choosing sentences of the sources.
    Read,
    /// A model's writing.
    Generate,
    /// How likely the sources made what a model wrote.
    Score,
    /// Who is paid for what.
    Attribute,
    /// Signing the receipt, and its way to the disk.
    Receipt,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Open => "open",
            Self::Embed => "embed",
            Self::Retrieve => "retrieve",
            Self::Read => "read",
            Self::Generate => "generate",
            Self::Score => "score",
            Self::Attribute => "attribute",
            Self::Receipt => "receipt",
        }
    }
}

type Listener = Arc<dyn Fn(Stage, Duration) + Send + Sync>;

/// Times stages; also those that fail, but none that is given up.
#[derive(Clone, Default)]
pub(crate) struct Stages(Option<Listener>);

impl Stages {
    pub(crate) fn told_to(listener: Listener) -> Self {
        Self(Some(listener))
    }

    fn tell(&self, stage: Stage, began: Instant) {
        if let Some(listener) = &self.0 {
            listener(stage, began.elapsed());
        }
    }

    pub(crate) async fn wait<T>(&self, stage: Stage, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.tell(stage, began);
        done
    }

    pub(crate) fn run<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.tell(stage, began);
        done
    }
}

impl std::fmt::Debug for Stages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stages").field("told", &self.0.is_some()).finish()
    }
}
