//! What a model's `config.json` says, as far as this encoder runs it.

use serde::Deserialize;

use super::variant::Variant;
use crate::kernels::Activation;

mod classic;
mod modern;

const LAYERS_MAX: usize = 64;
const WIDTH_MAX: usize = 8192;
const INNER_WIDTH_MAX: usize = 32_768;
const POSITIONS_MAX: usize = 32_768;
const VOCABULARY_MAX: usize = 1 << 21;
/// Panels of the widest path and the tiles of AMX: every width is a multiple of it.
const GRAIN: usize = 32;

/// How the tokens of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The first token's.
    Cls,
    Mean,
    /// The last token's.
    Last,
}

impl Pooling {
    /// As sentence-transformers calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cls => "cls",
            Self::Mean => "mean",
            Self::Last => "lasttoken",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct BertConfig {
    pub(super) variant: &'static Variant,
    pub(crate) width: usize,
    pub(crate) inner_width: usize,
    pub(crate) heads: usize,
    pub(crate) vocabulary: usize,
    /// Of each layer.
    pub(crate) attention: Vec<LayerAttention>,
    pub(crate) positions: Positions,
    pub(crate) activation: Activation,
    pub(crate) epsilon: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LayerAttention {
    /// A token sees so many to either side; all where there is none.
    pub(crate) reach: Option<usize>,
    pub(crate) rotation: Option<Rotation>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rotation {
    /// The slowest pair turns once in about as many positions, times 2π.
    pub(crate) base: f32,
}

/// How an encoder knows the order of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Positions {
    /// By a table's rows, added to the tokens' with the row of their type in another table.
    Table {
        rows: usize,
        /// The row of the first token: `RoBERTa` counts from after its padding token.
        first: usize,
        token_types: usize,
    },
    /// By rotation alone.
    Rotary { window: usize },
}

/// What every kind's file says.
#[derive(Deserialize)]
struct Sizes {
    hidden_size: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
}

#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

impl BertConfig {
    /// # Errors
    /// A sentence saying what of it this encoder does not run.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let parse = || {
            let kind: Kind = serde_json::from_slice(json).map_err(|error| error.to_string())?;
            match kind.model_type.as_str() {
                "bert" | "roberta" | "xlm-roberta" => classic::parse(json),
                "modernbert" => modern::parse(json),
                other => Err(format!("a model of type {other:?}; bert, roberta, xlm-roberta and modernbert are run")),
            }
        };
        parse().map_err(|reason| format!("config.json: {reason}"))
    }

    pub(crate) fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Of the feed-forward layer's first product.
    pub(crate) fn expanded_width(&self) -> usize {
        if self.variant.gated { 2 * self.inner_width } else { self.inner_width }
    }

    /// Most tokens of a text, special tokens included.
    pub(crate) fn tokens_max(&self) -> usize {
        match self.positions {
            Positions::Table { rows, first, .. } => rows - first,
            Positions::Rotary { window } => window,
        }
    }

    /// Types that a token can have; one where tokens have none.
    pub(crate) fn token_types(&self) -> usize {
        match self.positions {
            Positions::Table { token_types, .. } => token_types,
            Positions::Rotary { .. } => 1,
        }
    }
}

impl Sizes {
    fn check(&self) -> Result<(), String> {
        for (name, size, max, grain) in [
            ("hidden_size", self.hidden_size, WIDTH_MAX, GRAIN),
            ("intermediate_size", self.intermediate_size, INNER_WIDTH_MAX, GRAIN),
            ("num_attention_heads", self.num_attention_heads, WIDTH_MAX, 1),
            ("num_hidden_layers", self.num_hidden_layers, LAYERS_MAX, 1),
            ("vocab_size", self.vocab_size, VOCABULARY_MAX, 1),
            ("max_position_embeddings", self.max_position_embeddings, POSITIONS_MAX, 1),
        ] {
            check_size(name, size, max, grain)?;
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads * GRAIN) {
            return Err(format!(
                "{} heads in a width of {}: heads of a multiple of {GRAIN} are run",
                self.num_attention_heads, self.hidden_size
            ));
        }
        Ok(())
    }
}

fn check_size(name: &str, size: usize, max: usize, grain: usize) -> Result<(), String> {
    if size == 0 || size > max || !size.is_multiple_of(grain) {
        return Err(format!("{name} is {size}: a multiple of {grain} up to {max} is run"));
    }
    Ok(())
}

fn activation(name: Option<&str>) -> Result<Activation, String> {
    match name.unwrap_or("gelu") {
        "gelu" => Ok(Activation::Gelu),
        // Three names of one formula.
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        other => Err(format!("the activation {other:?} is not known")),
    }
}

fn epsilon(name: &str, epsilon: f32) -> Result<f32, String> {
    if (0.0..1.0).contains(&epsilon) { Ok(epsilon) } else { Err(format!("{name} is {epsilon}")) }
}
