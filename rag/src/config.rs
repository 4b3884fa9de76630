//! What this crate can be told. Only `api` reads files, flags and the environment.

use std::path::PathBuf;
use std::time::Duration;

use engine::ContextMode;
use schemas::receipt::Quoting;
use schemas::signed::SigningDomain;

use crate::retrieve::Fusion;
use crate::{RagError, Result};

/// Leaves room in a receipt for those who said first what is said.
const MAX_TOP_K: usize = 24;
/// More at once would only wait for the CPU, and hold memory meanwhile.
const MAX_QUEUE: usize = 10_000;
/// A reranker reads each with the question: more would take seconds.
pub const MAX_RERANKED: usize = 200;

/// Settings of [`crate::Rag`].
#[derive(Debug, Clone)]
pub struct RagConfig {
    /// The chain and registry that receipts are signed for.
    pub domain: SigningDomain,
    /// Where text indexes, and what texts are traced by, are derived to; may be deleted at any time, but never written to: they are mapped into memory.
    pub index_dir: PathBuf,
    /// Where receipts are kept until they are in the tables; must survive a restart.
    pub wal_dir: PathBuf,
    /// Chunks asked of each retriever.
    pub candidates: usize,
    /// Sources per answer at most.
    pub top_k: usize,
    pub fusion: Fusion,
    /// Of what was fused so many are read by a reranker, where there is one; `top_k` at least.
    pub rerank_candidates: usize,
    pub attribution: AttributionConfig,
    pub quote: QuoteConfig,
    pub generation: GenerationConfig,
    /// Memory of published versions that are kept open; the one asked last is, whatever it takes.
    pub open_versions_bytes: usize,
    /// Answers computed at once; each takes a CPU.
    pub concurrent_answers: usize,
    /// Answers that may wait for their turn.
    pub waiting_answers: usize,
    /// Receipts that may wait to be drained into the tables.
    pub pending_receipts: usize,
    pub question_max_bytes: usize,
    /// Texts traced at once; each takes a CPU.
    pub concurrent_traces: usize,
    /// Texts that may wait to be traced.
    pub waiting_traces: usize,
    pub trace_max_bytes: usize,
    /// Versions that stay open to be traced in: mapped files.
    pub open_traces: usize,
}

/// Who is paid for what a model wrote.
#[derive(Debug, Clone)]
pub struct AttributionConfig {
    pub method: AttributionMethod,
    /// Scoring that takes longer is given up.
    pub timeout: Duration,
}

impl Default for AttributionConfig {
    fn default() -> Self {
        Self { method: AttributionMethod::default(), timeout: Duration::from_mins(1) }
    }
}

/// By what answers are divided that a model wrote. Quoted ones are divided by what their sources said first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AttributionMethod {
    /// What the sources said first: `support/2`.
    #[default]
    Support,
    /// How likely the sources made the answer, `likelihood/1`; where the model cannot tell, or takes too long, as above. Each receipt
    /// says by which.
    Likelihood,
}

/// What a model is asked for where a caller does not say.
#[derive(Debug, Clone)]
pub struct GenerationConfig {
    /// Answers that a model writes, or that wait for it, at most.
    pub concurrent_answers: usize,
    /// Tokens of an answer at most; nobody may ask for more.
    pub tokens_max: usize,
    /// 0 takes the most likely token.
    pub temperature_ppm: u64,
    pub top_p_ppm: u64,
    pub mode: ContextMode,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self { concurrent_answers: 64, tokens_max: 512, temperature_ppm: 0, top_p_ppm: 1_000_000, mode: ContextMode::Full }
    }
}

/// When the extractive answerer speaks, and how much it says.
#[derive(Debug, Clone)]
pub struct QuoteConfig {
    /// Least cosine of a quoted sentence to the question, in parts per million.
    pub min_cosine_ppm: u32,
    /// Least part of the question's content words (weighted by rarity) that a quoted sentence holds, in parts per million.
    pub min_coverage_ppm: u32,
    /// Least score (mean of cosine and coverage) of the best sentence, in parts per million.
    pub min_score_ppm: u32,
    /// A further sentence is quoted where its score reaches this part of the best one's, in parts per million.
    pub further_score_ppm: u32,
    /// Sentences in an answer at most.
    pub max_sentences: usize,
    /// Sentences embedded per question at most: those with the best coverage.
    pub embedded_sentences: usize,
}

/// Measured with all-MiniLM-L6-v2 and `rrf/2` (`src/tests/calibration.rs` has the command): of 150 ClapNQ questions
/// with an answer 66 % are answered, 73 % of these with a supporting sentence first (77 % with the second
/// one); of 150 without one, asked to passages on their own subject, 12 % are. Of 300 XQuAD questions 76 %
/// are answered, 83 % with the sentence that holds the answer; of 150 on other subjects none is.
impl Default for QuoteConfig {
    fn default() -> Self {
        Self {
            min_cosine_ppm: 450_000,
            min_coverage_ppm: 350_000,
            min_score_ppm: 550_000,
            further_score_ppm: 850_000,
            max_sentences: 2,
            embedded_sentences: 24,
        }
    }
}

impl QuoteConfig {
    /// As receipts state it.
    pub(crate) fn stated(&self) -> Quoting {
        let Self { min_cosine_ppm, min_coverage_ppm, min_score_ppm, further_score_ppm, max_sentences, embedded_sentences } = *self;
        Quoting {
            min_cosine_ppm,
            min_coverage_ppm,
            min_score_ppm,
            further_score_ppm,
            max_sentences: max_sentences as u64,
            embedded_sentences: embedded_sentences as u64,
        }
    }

    /// As a receipt stated it.
    pub(crate) fn of(stated: &Quoting) -> Self {
        let limit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            min_cosine_ppm: stated.min_cosine_ppm,
            min_coverage_ppm: stated.min_coverage_ppm,
            min_score_ppm: stated.min_score_ppm,
            further_score_ppm: stated.further_score_ppm,
            max_sentences: limit(stated.max_sentences),
            embedded_sentences: limit(stated.embedded_sentences),
        }
    }
}

impl RagConfig {
    /// Defaults for everything but where and for whom.
    pub fn new(domain: SigningDomain, index_dir: PathBuf, wal_dir: PathBuf) -> Self {
        Self {
            domain,
            index_dir,
            wal_dir,
            candidates: 20,
            top_k: 8,
            fusion: Fusion::default(),
            rerank_candidates: 20,
            attribution: AttributionConfig::default(),
            quote: QuoteConfig::default(),
            generation: GenerationConfig::default(),
            open_versions_bytes: 1 << 30,
            concurrent_answers: 2,
            waiting_answers: 32,
            pending_receipts: 10_000,
            question_max_bytes: 1024,
            concurrent_traces: 2,
            waiting_traces: 32,
            trace_max_bytes: 1 << 16,
            open_traces: 64,
        }
    }

    /// Whether a service could run with it.
    ///
    /// # Errors
    /// [`RagError::Config`] names the setting that is impossible, or at odds with another.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("candidates", self.candidates),
            ("top_k", self.top_k),
            ("quote.max_sentences", self.quote.max_sentences),
            ("quote.embedded_sentences", self.quote.embedded_sentences),
            ("open_versions_bytes", self.open_versions_bytes),
            ("concurrent_answers", self.concurrent_answers),
            ("pending_receipts", self.pending_receipts),
            ("question_max_bytes", self.question_max_bytes),
            ("concurrent_traces", self.concurrent_traces),
            ("trace_max_bytes", self.trace_max_bytes),
            ("open_traces", self.open_traces),
            ("generation.concurrent_answers", self.generation.concurrent_answers),
            ("generation.tokens_max", self.generation.tokens_max),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(RagError::Config(format!("{name} must be at least 1")));
        }
        let bounded = [
            ("concurrent_answers", self.concurrent_answers),
            ("waiting_answers", self.waiting_answers),
            ("concurrent_traces", self.concurrent_traces),
            ("waiting_traces", self.waiting_traces),
            ("generation.concurrent_answers", self.generation.concurrent_answers),
        ];
        if let Some((name, value)) = bounded.iter().find(|(_, value)| *value > MAX_QUEUE) {
            return Err(RagError::Config(format!("{name} is {value}; at most {MAX_QUEUE}")));
        }
        let GenerationConfig { temperature_ppm, top_p_ppm, .. } = self.generation;
        if temperature_ppm > 2_000_000 || top_p_ppm == 0 || top_p_ppm > 1_000_000 {
            return Err(RagError::Config("generation: temperature must be from 0 to 2, top_p above 0 and at most 1".into()));
        }
        if self.top_k > MAX_TOP_K {
            return Err(RagError::Config(format!("top_k is {}; at most {MAX_TOP_K}", self.top_k)));
        }
        if let Some(problem) = self.fusion.problem() {
            return Err(RagError::Config(problem));
        }
        if self.rerank_candidates > MAX_RERANKED {
            return Err(RagError::Config(format!("rerank_candidates is {}; at most {MAX_RERANKED}", self.rerank_candidates)));
        }
        if self.candidates < self.top_k {
            return Err(RagError::Config(format!("candidates is {}, below top_k {}", self.candidates, self.top_k)));
        }
        Ok(())
    }
}
