//! How an encoder is run, whatever is made of what it gives.

use super::workers::Workers;
use crate::EngineError;
use crate::kernels::{Cpu, EmbedderPrecision, Isa};

/// How a model is run. The default suits a server: f32, the best instruction set, a worker for each processor.
#[derive(Debug, Clone)]
pub struct EmbedderOptions {
    pub precision: EmbedderPrecision,
    /// Forces an instruction set, to measure or test it.
    pub isa: Option<Isa>,
    /// Worker threads; at least one.
    pub threads: usize,
    /// Most tokens of the texts that are encoded together; a longer text is alone.
    pub micro_batch_tokens: usize,
    /// What an embedder is said to be made for (ISO 639-3); empty: what the catalogue says, and nothing of another model.
    pub languages: Vec<String>,
}

impl Default for EmbedderOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { precision: EmbedderPrecision::F32, isa: None, threads, micro_batch_tokens: 512, languages: Vec::new() }
    }
}

impl EmbedderOptions {
    pub(super) fn cpu(&self) -> Result<Cpu, EngineError> {
        let isa = self.isa.unwrap_or_else(Isa::detect);
        Cpu::new(isa).ok_or_else(|| EngineError::UnsupportedCpu { wanted: isa, best: Isa::detect() })
    }

    pub(super) fn start_workers(&self) -> Result<Workers, EngineError> {
        Workers::start(self.threads.max(1)).map_err(EngineError::library("starting threads"))
    }
}
