//! What a decoder is made of, whatever family it comes from.
//!
//! An [`Architecture`] says everything the forward pass needs to know; no code asks for a family's name. The families
//! are a table that fills it in, from a `config.json` or from the metadata of a GGUF file.

pub(crate) mod families;
mod role;

pub(crate) use role::WeightRole;

/// A decoder-only transformer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Architecture {
    /// As the file names it, such as `llama`.
    pub(crate) family: String,
    pub(crate) vocabulary: usize,
    /// Of the residual stream.
    pub(crate) width: usize,
    /// Most positions.
    pub(crate) window: usize,
    pub(crate) embedding: Embedding,
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: Norm,
    pub(crate) head: Head,
}

impl Architecture {
    /// How long a sequence may be before its rotation changes; none where it never does.
    pub(crate) fn stretches_after(&self) -> Option<usize> {
        let stretched = |layer: &Layer| match &layer.attention.position {
            Position::Rotary(rotary) => rotary.stretched.as_ref().map(|stretched| stretched.after),
            Position::None | Position::Alibi { .. } => None,
        };
        self.layers.iter().find_map(stretched)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Embedding {
    /// Gemma multiplies by the square root of the width.
    pub(crate) scale: f32,
    /// BLOOM normalises the embeddings.
    pub(crate) norm: Option<Norm>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    /// The embedding's matrix is the head's.
    pub(crate) tied: bool,
    /// Logits are multiplied by it.
    pub(crate) scale: f32,
    /// `cap · tanh(logit / cap)`
    pub(crate) soft_cap: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Norm {
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NormKind {
    /// `x / rms(x) · weight`. Weights are loaded ready to multiply with (Gemma's `1 +` is added when they are read).
    Rms,
    /// With a weight and, where the file has one, a bias.
    Layer,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub(crate) residual: Residual,
    /// None where the layer normalises its outputs only.
    pub(crate) attention_norm: Option<Norm>,
    pub(crate) attention: Attention,
    /// Of the attention's output, before it is added.
    pub(crate) post_attention_norm: Option<Norm>,
    /// None in a parallel layer with one norm: both branches read `attention_norm`'s output.
    pub(crate) feed_forward_norm: Option<Norm>,
    pub(crate) feed_forward: FeedForward,
    pub(crate) post_feed_forward_norm: Option<Norm>,
    /// BLOOM can add the normalised input instead of the input.
    pub(crate) residual_after_norm: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residual {
    /// `x += attention(norm(x)); x += feed_forward(norm(x))`
    Sequential,
    /// `x += attention(norm(x)) + feed_forward(norm(x))`
    Parallel,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Divides `heads`; query head `h` reads key-value head `h · kv_heads / heads`.
    pub(crate) kv_heads: usize,
    /// Of queries and keys.
    pub(crate) head_width: usize,
    /// Of values; differs for latent attention only.
    pub(crate) value_width: usize,
    /// Scores are multiplied by it.
    pub(crate) scale: f32,
    /// Over each head's queries and keys, before rotation.
    pub(crate) query_key_norm: Option<Norm>,
    pub(crate) position: Position,
    /// A query sees itself and so many tokens less one before it.
    pub(crate) sliding_window: Option<usize>,
    pub(crate) soft_cap: Option<f32>,
    pub(crate) latent: Option<Latent>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Position {
    /// Nothing: order comes from the causal mask.
    None,
    Rotary(Rotary),
    /// A head's slope times the key's position is added to the score (arXiv 2108.12409).
    Alibi {
        slopes: Vec<f32>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rotary {
    /// Radians per position of each pair, scaling applied: half as many as the numbers that are rotated. What lies
    /// beyond them in a head is left as it is.
    pub(crate) frequencies: Vec<f32>,
    pub(crate) layout: RotaryLayout,
    /// What the scaling that the frequencies have is called: `default` for none.
    pub(crate) scaling: &'static str,
    /// Cosine and sine are multiplied by it (YaRN, LongRoPE).
    pub(crate) magnitude: f32,
    /// How a sequence turns that is longer than those the model was first trained on (LongRoPE).
    pub(crate) stretched: Option<Stretched>,
}

/// From its first token on, a sequence of more tokens than `after` turns at other frequencies.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stretched {
    pub(crate) after: usize,
    pub(crate) frequencies: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RotaryLayout {
    /// Number `i` turns with number `i + pairs` (GPT-NeoX).
    Halves,
    /// Number `2 i` turns with number `2 i + 1` (GPT-J).
    Neighbours,
}

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values are expanded from a narrow vector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Latent {
    /// Queries pass a narrow vector of this width too; none where they are projected at once.
    pub(crate) query_rank: Option<usize>,
    pub(crate) key_value_rank: usize,
    /// The last numbers of each head's query and key are rotated; the key's are shared by all heads.
    pub(crate) rotary_width: usize,
    /// Of the narrow vectors.
    pub(crate) norm: Norm,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FeedForward {
    Dense(Dense),
    Experts(Experts),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dense {
    pub(crate) inner_width: usize,
    pub(crate) activation: DecoderActivation,
    /// `down(activation(gate(x)) · up(x))`; otherwise `down(activation(up(x)))`.
    pub(crate) gated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecoderActivation {
    Silu,
    /// With the error function.
    Gelu,
    /// With the hyperbolic tangent.
    GeluTanh,
    Relu,
}

/// A mixture of experts (DeepSeek-V2 and V3, Qwen MoE, Mixtral).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Experts {
    pub(crate) count: usize,
    pub(crate) per_token: usize,
    pub(crate) expert: Dense,
    /// One more that every token passes.
    pub(crate) shared: Option<Dense>,
    pub(crate) routing: Routing,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Routing {
    pub(crate) scores: RoutingScores,
    /// Chosen by score plus a bias that the file holds; weighted by the score alone.
    pub(crate) biased: bool,
    /// The chosen weights are made to sum to one.
    pub(crate) normalised: bool,
    pub(crate) scale: f32,
    /// Experts come from the best groups only: how many there are, how many are taken, and how a group is judged.
    pub(crate) groups: Option<(usize, usize, GroupScore)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoutingScores {
    Softmax,
    Sigmoid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupScore {
    Best,
    SumOfBestTwo,
}
