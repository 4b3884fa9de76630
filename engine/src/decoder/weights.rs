//! The weights of a decoder, in the forms in which the forward pass uses them.

use super::projection::Projection;
use crate::architecture::{Attention, DecoderActivation, Dense, Experts, Norm, NormKind, WeightRole};
use crate::kernels::{Activation, Cpu, NormaliseBy, NormaliseRows};

pub(super) struct NormWeights {
    pub(super) norm: Norm,
    pub(super) scale: Vec<f32>,
    pub(super) shift: Option<Vec<f32>>,
}

pub(super) struct LayerWeights {
    pub(super) attention_norm: Option<NormWeights>,
    pub(super) attention: AttentionWeights,
    pub(super) post_attention_norm: Option<NormWeights>,
    pub(super) feed_forward_norm: Option<NormWeights>,
    pub(super) feed_forward: FeedForwardWeights,
    pub(super) post_feed_forward_norm: Option<NormWeights>,
}

pub(super) struct AttentionWeights {
    pub(super) shape: Attention,
    pub(super) input: AttentionInput,
    pub(super) query_norm: Option<NormWeights>,
    pub(super) key_norm: Option<NormWeights>,
    /// Index of the layer's rotation among the decoder's.
    pub(super) rotary: Option<usize>,
    pub(super) output: Projection,
}

pub(super) enum AttentionInput {
    /// Queries, keys and values.
    Projected(Vec<Projection>),
    Latent(Box<LatentWeights>),
}

pub(super) struct LatentWeights {
    /// Narrow queries, or queries where there are none, and the narrow keys and values with the rotated part of the key.
    pub(super) down: Vec<Projection>,
    /// Of the narrow queries, and what widens them.
    pub(super) query: Option<(NormWeights, Projection)>,
    /// Of the narrow keys and values.
    pub(super) norm: NormWeights,
    pub(super) up: Projection,
    pub(super) rotary_width: usize,
}

pub(super) enum FeedForwardWeights {
    Dense(Box<DenseWeights>),
    Experts(Box<ExpertsWeights>),
}

pub(super) struct DenseWeights {
    pub(super) shape: Dense,
    pub(super) roles: DenseRoles,
    /// Gate, where there is one, and up.
    pub(super) inner: Vec<Projection>,
    pub(super) down: Projection,
}

/// What the three matrices are called in their layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DenseRoles {
    pub(super) gate: WeightRole,
    pub(super) up: WeightRole,
    pub(super) down: WeightRole,
}

pub(super) struct ExpertsWeights {
    pub(super) shape: Experts,
    pub(super) router: Projection,
    /// Empty where nothing biases the choice.
    pub(super) bias: Vec<f32>,
    pub(super) experts: Vec<DenseWeights>,
    pub(super) shared: Option<DenseWeights>,
}

impl NormWeights {
    /// Normalises every `scale.len()` numbers.
    pub(super) fn normalise(&self, cpu: Cpu, rows: &mut [f32]) {
        let by = match self.norm.kind {
            NormKind::Rms => NormaliseBy::RootMeanSquare,
            NormKind::Layer => NormaliseBy::Variance,
        };
        cpu.run(NormaliseRows { rows, scale: &self.scale, shift: self.shift.as_deref(), by, epsilon: self.norm.epsilon });
    }
}

impl DenseWeights {
    pub(super) fn activation(&self) -> Activation {
        match self.shape.activation {
            DecoderActivation::Silu => Activation::Silu,
            DecoderActivation::Gelu => Activation::Gelu,
            DecoderActivation::GeluTanh => Activation::GeluTanh,
            DecoderActivation::Relu => Activation::Relu,
        }
    }
}
