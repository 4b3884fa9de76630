//! What llama.cpp's converter calls the weights, and how it lays them out.

use crate::architecture::WeightRole::{self, *};
use crate::architecture::families::Scheme;
use crate::architecture::families::names::{Entry, Fusion, Part, Third};

const COMMON: &[Entry] = &[
    (Embedding, "token_embd.weight", Part::Whole),
    (EmbeddingNorm, "token_embd_norm.weight", Part::Whole),
    (EmbeddingNormBias, "token_embd_norm.bias", Part::Whole),
    (FinalNorm, "output_norm.weight", Part::Whole),
    (FinalNormBias, "output_norm.bias", Part::Whole),
    (WeightRole::Head, "output.weight", Part::Whole),
    (AttentionNorm, "blk.{l}.attn_norm.weight", Part::Whole),
    (AttentionNormBias, "blk.{l}.attn_norm.bias", Part::Whole),
    (Query, "blk.{l}.attn_q.weight", Part::Whole),
    (Key, "blk.{l}.attn_k.weight", Part::Whole),
    (Value, "blk.{l}.attn_v.weight", Part::Whole),
    (AttentionOutput, "blk.{l}.attn_output.weight", Part::Whole),
    (QueryNorm, "blk.{l}.attn_q_norm.weight", Part::Whole),
    (KeyNorm, "blk.{l}.attn_k_norm.weight", Part::Whole),
    (PostAttentionNorm, "blk.{l}.post_attention_norm.weight", Part::Whole),
    (FeedForwardNorm, "blk.{l}.ffn_norm.weight", Part::Whole),
    (FeedForwardNormBias, "blk.{l}.ffn_norm.bias", Part::Whole),
    (Gate, "blk.{l}.ffn_gate.weight", Part::Whole),
    (Up, "blk.{l}.ffn_up.weight", Part::Whole),
    (Down, "blk.{l}.ffn_down.weight", Part::Whole),
    (PostFeedForwardNorm, "blk.{l}.post_ffw_norm.weight", Part::Whole),
    (Router, "blk.{l}.ffn_gate_inp.weight", Part::Whole),
    (RouterBias, "blk.{l}.exp_probs_b.bias", Part::Whole),
    (ExpertGate(0), "blk.{l}.ffn_gate_exps.weight", Part::Stacked),
    (ExpertUp(0), "blk.{l}.ffn_up_exps.weight", Part::Stacked),
    (ExpertDown(0), "blk.{l}.ffn_down_exps.weight", Part::Stacked),
    // Mixtral's first files keep experts apart.
    (ExpertGate(0), "blk.{l}.ffn_gate.{e}.weight", Part::Whole),
    (ExpertUp(0), "blk.{l}.ffn_up.{e}.weight", Part::Whole),
    (ExpertDown(0), "blk.{l}.ffn_down.{e}.weight", Part::Whole),
    (SharedGate, "blk.{l}.ffn_gate_shexp.weight", Part::Whole),
    (SharedUp, "blk.{l}.ffn_up_shexp.weight", Part::Whole),
    (SharedDown, "blk.{l}.ffn_down_shexp.weight", Part::Whole),
    (LatentQueryDown, "blk.{l}.attn_q_a.weight", Part::Whole),
    (LatentQueryNorm, "blk.{l}.attn_q_a_norm.weight", Part::Whole),
    (LatentQueryUp, "blk.{l}.attn_q_b.weight", Part::Whole),
    (LatentDown, "blk.{l}.attn_kv_a_mqa.weight", Part::Whole),
    (LatentNorm, "blk.{l}.attn_kv_a_norm.weight", Part::Whole),
    (LatentUp, "blk.{l}.attn_kv_b.weight", Part::Whole),
    (LatentUp, "blk.{l}.attn_k_b.weight", Part::Apart),
];

/// The converter turns LLaMA's halves into neighbours.
const PAIRED: &[Entry] = &[(Query, "blk.{l}.attn_q.weight", Part::Paired), (Key, "blk.{l}.attn_k.weight", Part::Paired)];

/// It takes Falcon's and BLOOM's groups apart.
const FUSED_ATTENTION: &[Entry] = &[
    (Query, "blk.{l}.attn_qkv.weight", Part::Fused(Third::Query, Fusion::Blocks)),
    (Key, "blk.{l}.attn_qkv.weight", Part::Fused(Third::Key, Fusion::Blocks)),
    (Value, "blk.{l}.attn_qkv.weight", Part::Fused(Third::Value, Fusion::Blocks)),
];

/// ChatGLM's files and GLM's differ.
const EITHER_ATTENTION: &[Entry] = &[
    (Query, "blk.{l}.attn_qkv.weight", Part::Fused(Third::Query, Fusion::Blocks)),
    (Key, "blk.{l}.attn_qkv.weight", Part::Fused(Third::Key, Fusion::Blocks)),
    (Value, "blk.{l}.attn_qkv.weight", Part::Fused(Third::Value, Fusion::Blocks)),
    (Query, "blk.{l}.attn_q.weight", Part::Whole),
    (Key, "blk.{l}.attn_k.weight", Part::Whole),
    (Value, "blk.{l}.attn_v.weight", Part::Whole),
];

const FUSED_FEED_FORWARD: &[Entry] = &[(Gate, "blk.{l}.ffn_up.weight", Part::First), (Up, "blk.{l}.ffn_up.weight", Part::Second)];

/// Where Falcon has two norms, the second one is attention's.
const FALCON_NORMS: &[Entry] = &[
    (AttentionNorm, "blk.{l}.attn_norm_2.weight", Part::Whole),
    (AttentionNormBias, "blk.{l}.attn_norm_2.bias", Part::Whole),
    (AttentionNorm, "blk.{l}.attn_norm.weight", Part::Whole),
    (AttentionNormBias, "blk.{l}.attn_norm.bias", Part::Whole),
    (FeedForwardNorm, "blk.{l}.attn_norm.weight", Part::Whole),
    (FeedForwardNormBias, "blk.{l}.attn_norm.bias", Part::Whole),
];

/// Read when the architecture is.
pub(super) const ROTARY_FACTORS: &str = "rope_freqs.weight";
pub(super) const SHORT_FACTORS: &str = "rope_factors_short.weight";
pub(super) const LONG_FACTORS: &str = "rope_factors_long.weight";
const IGNORED: &[&str] = &[ROTARY_FACTORS, SHORT_FACTORS, LONG_FACTORS];

pub(super) fn scheme(architecture: &str) -> Scheme {
    let mut tables: Vec<&'static [Entry]> = match architecture {
        "llama" | "smollm3" => vec![PAIRED],
        "falcon" => vec![FALCON_NORMS, FUSED_ATTENTION],
        "bloom" => vec![FUSED_ATTENTION],
        "phi3" => vec![FUSED_ATTENTION, FUSED_FEED_FORWARD],
        "chatglm" | "glm4" => vec![EITHER_ATTENTION, FUSED_FEED_FORWARD],
        _ => Vec::new(),
    };
    tables.push(COMMON);
    Scheme { tables, prefixes: &[""], norm_offset: 0.0, biases: None, ahead: false, ignored: IGNORED }
}
