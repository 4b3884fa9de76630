//! What a weight is for, whatever its file calls it.

/// Biases of matrices come with the matrix and have no role of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum WeightRole {
    /// `[vocabulary][width]`
    Embedding,
    EmbeddingNorm,
    EmbeddingNormBias,
    FinalNorm,
    FinalNormBias,
    /// `[vocabulary][width]`; asked for where the head is not tied.
    Head,

    AttentionNorm,
    AttentionNormBias,
    /// `[heads · head width][width]`, head by head.
    Query,
    /// `[key-value heads · head width][width]`
    Key,
    /// `[key-value heads · value width][width]`
    Value,
    /// `[width][heads · value width]`
    AttentionOutput,
    /// A head's width, or that of all heads.
    QueryNorm,
    KeyNorm,
    PostAttentionNorm,

    FeedForwardNorm,
    FeedForwardNormBias,
    /// `[inner width][width]`
    Gate,
    Up,
    /// `[width][inner width]`
    Down,
    PostFeedForwardNorm,
    /// `[experts][width]`
    Router,
    /// A vector: added to the scores for choosing only.
    RouterBias,
    ExpertGate(usize),
    ExpertUp(usize),
    ExpertDown(usize),
    SharedGate,
    SharedUp,
    SharedDown,

    /// `[query rank][width]`; where there is no query rank, [`WeightRole::Query`] is `[heads · head width][width]`.
    /// A head's query is first what is not rotated, then what is.
    LatentQueryDown,
    LatentQueryNorm,
    /// `[heads · head width][query rank]`
    LatentQueryUp,
    /// `[key-value rank + rotary width][width]`: the narrow vector, then the rotated part of the key.
    LatentDown,
    LatentNorm,
    /// `[heads · (head width − rotary width + value width)][key-value rank]`: each head's key, then its value.
    LatentUp,
}

impl WeightRole {
    /// The role of all experts alike, as tables of names list it.
    pub(crate) fn kind(self) -> Self {
        match self {
            Self::ExpertGate(_) => Self::ExpertGate(0),
            Self::ExpertUp(_) => Self::ExpertUp(0),
            Self::ExpertDown(_) => Self::ExpertDown(0),
            other => other,
        }
    }

    pub(crate) fn expert(self) -> Option<usize> {
        match self {
            Self::ExpertGate(expert) | Self::ExpertUp(expert) | Self::ExpertDown(expert) => Some(expert),
            _ => None,
        }
    }

    /// A norm's weight, not its shift.
    pub(crate) fn is_norm(self) -> bool {
        matches!(
            self,
            Self::EmbeddingNorm
                | Self::FinalNorm
                | Self::AttentionNorm
                | Self::QueryNorm
                | Self::KeyNorm
                | Self::PostAttentionNorm
                | Self::FeedForwardNorm
                | Self::PostFeedForwardNorm
                | Self::LatentQueryNorm
                | Self::LatentNorm
        )
    }
}
