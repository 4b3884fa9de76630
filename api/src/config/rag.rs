//! `[rag]` and `[attribution]`: how questions are answered, and who is paid for it.

use std::num::NonZero;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rag {
    /// Price of an answer in wei, as a decimal string.
    pub price_wei: String,
    pub top_k: usize,
    pub candidates: usize,
    pub fusion: Fusion,
    pub vector_weight_ppm: u64,
    pub contrast_ppm: u64,
    pub rrf_k: u64,
    /// Of what was fused so many are read by a reranker, where there is one.
    pub rerank_candidates: usize,
    pub min_cosine_ppm: u32,
    pub min_coverage_ppm: u32,
    pub min_score_ppm: u32,
    pub drain_interval_ms: u64,
    /// 0: one for each processor.
    pub max_concurrent_answers: usize,
    pub max_waiting_answers: usize,
    pub max_pending_receipts: usize,
    pub max_question_bytes: usize,
    /// 0: one for each processor.
    pub max_concurrent_traces: usize,
    pub max_waiting_traces: usize,
    pub max_trace_bytes: usize,
    pub max_trace_datanets: usize,
    /// Memory of published versions that stay open.
    pub open_versions_mib: NonZero<usize>,
}

/// How what was found by vector and by words becomes one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    Convex,
    Rrf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribution {
    pub method: AttributionMethod,
    pub timeout_seconds: u64,
}

/// By what answers are divided that a model wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributionMethod {
    Support,
    Likelihood,
}
