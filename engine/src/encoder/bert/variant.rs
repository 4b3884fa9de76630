//! How the kinds of the family differ: a table, and what their tensors are called.

/// One kind of encoder.
#[derive(Debug)]
pub(crate) struct Variant {
    /// What files put before every name: nothing, or the model inside a model with a head.
    pub(super) prefixes: &'static [&'static str],
    /// Of tokens, `[vocabulary][width]`.
    pub(super) words: &'static str,
    pub(super) embedding_norm: &'static str,
    /// Before a layer's number.
    pub(super) layers: &'static str,
    /// Queries, keys and values, one below the other.
    pub(super) projections: &'static [&'static str],
    pub(super) attention_output: &'static str,
    /// Between attention and feed-forward layer.
    pub(super) middle_norm: &'static str,
    pub(super) expansion: &'static str,
    pub(super) contraction: &'static str,
    pub(super) norm: &'static str,
    /// Layers normalise what they read and add to what they read it from, the last one's output is normalised by the norm of
    /// this name, and the first layer has no norm of its own; otherwise they normalise what they have added to.
    pub(super) final_norm: Option<&'static str>,
    /// Linear layers and norms have biases.
    pub(super) biased: bool,
    /// `contraction(activation(first half) · second half)` of the expansion.
    pub(super) gated: bool,
}

/// BERT, `RoBERTa` and XLM-R (arXiv 1810.04805).
pub(super) static BERT: Variant = Variant {
    prefixes: &["", "bert.", "roberta."],
    words: "embeddings.word_embeddings",
    embedding_norm: "embeddings.LayerNorm",
    layers: "encoder.layer",
    projections: &["attention.self.query", "attention.self.key", "attention.self.value"],
    attention_output: "attention.output.dense",
    middle_norm: "attention.output.LayerNorm",
    expansion: "intermediate.dense",
    contraction: "output.dense",
    norm: "output.LayerNorm",
    final_norm: None,
    biased: true,
    gated: false,
};

/// `ModernBERT` (arXiv 2412.13663).
pub(super) static MODERN_BERT: Variant = Variant {
    prefixes: &["", "model."],
    words: "embeddings.tok_embeddings",
    embedding_norm: "embeddings.norm",
    layers: "layers",
    projections: &["attn.Wqkv"],
    attention_output: "attn.Wo",
    middle_norm: "mlp_norm",
    expansion: "mlp.Wi",
    contraction: "mlp.Wo",
    norm: "attn_norm",
    final_norm: Some("final_norm"),
    biased: false,
    gated: true,
};
