//! What the files of each family call a weight, and which rows of a tensor it is.
//!
//! A scheme is a list of tables; the first entry of a role whose tensor the file has counts. `{l}` stands for the
//! layer, `{e}` for the expert. A name that begins with `/` stands alone; every other one follows the model's prefix.

use std::ops::Range;

use crate::architecture::WeightRole::{self, *};

pub(crate) type Entry = (WeightRole, &'static str, Part);

/// Which rows of the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// Of queries, keys and values in one tensor.
    Fused(Third, Fusion),
    /// Of two matrices of the same height, one after the other.
    First,
    Second,
    /// Of all experts' matrices, one after the other.
    Stacked,
    /// Of two tensors, one with the heads' keys, turned round, one with their values (GGUF's latent attention).
    Apart,
    /// Rows of a head lie as neighbours that turn together; wanted are halves that do (GGUF's llama).
    Paired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Third {
    Query,
    Key,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fusion {
    /// All queries, all keys, all values.
    Blocks,
    /// For each key-value head: its queries, its key, its value.
    Groups,
}

/// What the rows of a part are counted with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
    /// Of the layer's feed-forward part.
    pub(crate) experts: usize,
}

/// Rows of a tensor in the order in which they are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Of the whole tensor.
    pub(crate) total: usize,
    pub(crate) runs: Vec<Range<usize>>,
}

impl Rows {
    pub(crate) fn one(run: Range<usize>, total: usize) -> Self {
        Self { total, runs: std::iter::once(run).collect() }
    }

    pub(crate) fn count(&self) -> usize {
        self.runs.iter().map(ExactSizeIterator::len).sum()
    }
}

impl Part {
    /// Of the tensor.
    pub(crate) fn dimensions(self) -> usize {
        if matches!(self, Self::Stacked | Self::Apart) { 3 } else { 2 }
    }

    /// For a matrix of so many rows; `expert` where it is one of several.
    pub(crate) fn rows(self, columns: usize, heads: Heads, expert: usize) -> Rows {
        let one = |first: usize, total| Rows::one(first..first + columns, total);
        let experts = heads.experts;
        match self {
            Self::Whole | Self::Apart => one(0, columns),
            Self::First => one(0, 2 * columns),
            Self::Second => one(columns, 2 * columns),
            Self::Stacked => one(expert * columns, experts * columns),
            Self::Fused(third, fusion) => heads.fused(third, fusion),
            Self::Paired => Rows { total: columns, runs: unpaired(columns, heads.head_width) },
        }
    }
}

impl Heads {
    fn fused(self, third: Third, fusion: Fusion) -> Rows {
        let queries = self.heads * self.head_width;
        let keys = self.kv_heads * self.head_width;
        let total = queries + 2 * keys;
        let (times, queries, keys) = match fusion {
            Fusion::Blocks => (1, queries, keys),
            Fusion::Groups => (self.kv_heads, queries / self.kv_heads, self.head_width),
        };
        let (first, count) = match third {
            Third::Query => (0, queries),
            Third::Key => (queries, keys),
            Third::Value => (queries + keys, keys),
        };
        let stride = queries + 2 * keys;
        Rows { total, runs: (0..times).map(|time| time * stride + first..time * stride + first + count).collect() }
    }
}

fn unpaired(columns: usize, head_width: usize) -> Vec<Range<usize>> {
    let row = |row: usize| {
        let (head, within) = (row / head_width, row % head_width);
        let half = (head_width / 2).max(1);
        head * head_width + within % half * 2 + within / half
    };
    (0..columns).map(|wanted| row(wanted)..row(wanted) + 1).collect()
}

/// `model.safetensors` of transformers, for most families.
pub(crate) const PLAIN: &[Entry] = &[
    (Embedding, "embed_tokens.weight", Part::Whole),
    (FinalNorm, "norm.weight", Part::Whole),
    (Head, "/lm_head.weight", Part::Whole),
    (Head, "/language_model.lm_head.weight", Part::Whole),
    (AttentionNorm, "layers.{l}.input_layernorm.weight", Part::Whole),
    (Query, "layers.{l}.self_attn.q_proj.weight", Part::Whole),
    (Key, "layers.{l}.self_attn.k_proj.weight", Part::Whole),
    (Value, "layers.{l}.self_attn.v_proj.weight", Part::Whole),
    (AttentionOutput, "layers.{l}.self_attn.o_proj.weight", Part::Whole),
    (QueryNorm, "layers.{l}.self_attn.q_norm.weight", Part::Whole),
    (KeyNorm, "layers.{l}.self_attn.k_norm.weight", Part::Whole),
    (FeedForwardNorm, "layers.{l}.post_attention_layernorm.weight", Part::Whole),
    (Gate, "layers.{l}.mlp.gate_proj.weight", Part::Whole),
    (Up, "layers.{l}.mlp.up_proj.weight", Part::Whole),
    (Down, "layers.{l}.mlp.down_proj.weight", Part::Whole),
    (Router, "layers.{l}.mlp.gate.weight", Part::Whole),
    (RouterBias, "layers.{l}.mlp.gate.e_score_correction_bias", Part::Whole),
    (ExpertGate(0), "layers.{l}.mlp.experts.{e}.gate_proj.weight", Part::Whole),
    (ExpertUp(0), "layers.{l}.mlp.experts.{e}.up_proj.weight", Part::Whole),
    (ExpertDown(0), "layers.{l}.mlp.experts.{e}.down_proj.weight", Part::Whole),
    (SharedGate, "layers.{l}.mlp.shared_experts.gate_proj.weight", Part::Whole),
    (SharedUp, "layers.{l}.mlp.shared_experts.up_proj.weight", Part::Whole),
    (SharedDown, "layers.{l}.mlp.shared_experts.down_proj.weight", Part::Whole),
    (LatentQueryDown, "layers.{l}.self_attn.q_a_proj.weight", Part::Whole),
    (LatentQueryNorm, "layers.{l}.self_attn.q_a_layernorm.weight", Part::Whole),
    (LatentQueryUp, "layers.{l}.self_attn.q_b_proj.weight", Part::Whole),
    (LatentDown, "layers.{l}.self_attn.kv_a_proj_with_mqa.weight", Part::Whole),
    (LatentNorm, "layers.{l}.self_attn.kv_a_layernorm.weight", Part::Whole),
    (LatentUp, "layers.{l}.self_attn.kv_b_proj.weight", Part::Whole),
];

pub(crate) const MIXTRAL: &[Entry] = &[
    (Router, "layers.{l}.block_sparse_moe.gate.weight", Part::Whole),
    (ExpertGate(0), "layers.{l}.block_sparse_moe.experts.{e}.w1.weight", Part::Whole),
    (ExpertUp(0), "layers.{l}.block_sparse_moe.experts.{e}.w3.weight", Part::Whole),
    (ExpertDown(0), "layers.{l}.block_sparse_moe.experts.{e}.w2.weight", Part::Whole),
];

/// Gemma 2 and 3 normalise outputs too.
pub(crate) const SANDWICH: &[Entry] = &[
    (PostAttentionNorm, "layers.{l}.post_attention_layernorm.weight", Part::Whole),
    (FeedForwardNorm, "layers.{l}.pre_feedforward_layernorm.weight", Part::Whole),
    (PostFeedForwardNorm, "layers.{l}.post_feedforward_layernorm.weight", Part::Whole),
];

/// GLM-4 does under names of its own.
pub(crate) const GLM4: &[Entry] = &[
    (PostAttentionNorm, "layers.{l}.post_self_attn_layernorm.weight", Part::Whole),
    (PostFeedForwardNorm, "layers.{l}.post_mlp_layernorm.weight", Part::Whole),
];

/// Phi-3 and GLM.
pub(crate) const FUSED_FEED_FORWARD: &[Entry] =
    &[(Gate, "layers.{l}.mlp.gate_up_proj.weight", Part::First), (Up, "layers.{l}.mlp.gate_up_proj.weight", Part::Second)];

pub(crate) const FUSED_ATTENTION: &[Entry] = &[
    (Query, "layers.{l}.self_attn.qkv_proj.weight", Part::Fused(Third::Query, Fusion::Blocks)),
    (Key, "layers.{l}.self_attn.qkv_proj.weight", Part::Fused(Third::Key, Fusion::Blocks)),
    (Value, "layers.{l}.self_attn.qkv_proj.weight", Part::Fused(Third::Value, Fusion::Blocks)),
];

/// Falcon and BLOOM.
pub(crate) const BIGSCIENCE: &[Entry] = &[
    (Embedding, "word_embeddings.weight", Part::Whole),
    (EmbeddingNorm, "word_embeddings_layernorm.weight", Part::Whole),
    (EmbeddingNormBias, "word_embeddings_layernorm.bias", Part::Whole),
    (FinalNorm, "ln_f.weight", Part::Whole),
    (FinalNormBias, "ln_f.bias", Part::Whole),
    (Head, "/lm_head.weight", Part::Whole),
    (AttentionNorm, "h.{l}.input_layernorm.weight", Part::Whole),
    (AttentionNormBias, "h.{l}.input_layernorm.bias", Part::Whole),
    (AttentionNorm, "h.{l}.ln_attn.weight", Part::Whole),
    (AttentionNormBias, "h.{l}.ln_attn.bias", Part::Whole),
    (Query, "h.{l}.self_attention.query_key_value.weight", Part::Fused(Third::Query, Fusion::Groups)),
    (Key, "h.{l}.self_attention.query_key_value.weight", Part::Fused(Third::Key, Fusion::Groups)),
    (Value, "h.{l}.self_attention.query_key_value.weight", Part::Fused(Third::Value, Fusion::Groups)),
    (AttentionOutput, "h.{l}.self_attention.dense.weight", Part::Whole),
    (FeedForwardNorm, "h.{l}.post_attention_layernorm.weight", Part::Whole),
    (FeedForwardNormBias, "h.{l}.post_attention_layernorm.bias", Part::Whole),
    (FeedForwardNorm, "h.{l}.ln_mlp.weight", Part::Whole),
    (FeedForwardNormBias, "h.{l}.ln_mlp.bias", Part::Whole),
    (Up, "h.{l}.mlp.dense_h_to_4h.weight", Part::Whole),
    (Down, "h.{l}.mlp.dense_4h_to_h.weight", Part::Whole),
];

/// The files of chatglm2 and chatglm3.
pub(crate) const CHATGLM: &[Entry] = &[
    (Embedding, "embedding.word_embeddings.weight", Part::Whole),
    (FinalNorm, "encoder.final_layernorm.weight", Part::Whole),
    (Head, "output_layer.weight", Part::Whole),
    (AttentionNorm, "encoder.layers.{l}.input_layernorm.weight", Part::Whole),
    (Query, "encoder.layers.{l}.self_attention.query_key_value.weight", Part::Fused(Third::Query, Fusion::Blocks)),
    (Key, "encoder.layers.{l}.self_attention.query_key_value.weight", Part::Fused(Third::Key, Fusion::Blocks)),
    (Value, "encoder.layers.{l}.self_attention.query_key_value.weight", Part::Fused(Third::Value, Fusion::Blocks)),
    (AttentionOutput, "encoder.layers.{l}.self_attention.dense.weight", Part::Whole),
    (FeedForwardNorm, "encoder.layers.{l}.post_attention_layernorm.weight", Part::Whole),
    (Gate, "encoder.layers.{l}.mlp.dense_h_to_4h.weight", Part::First),
    (Up, "encoder.layers.{l}.mlp.dense_h_to_4h.weight", Part::Second),
    (Down, "encoder.layers.{l}.mlp.dense_4h_to_h.weight", Part::Whole),
];
