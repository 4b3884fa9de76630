//! What a model's `config.json` says, as far as this encoder runs it.

use serde::Deserialize;

use crate::kernels::Activation;

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

#[derive(Debug, Clone)]
pub(crate) struct BertConfig {
    pub(crate) width: usize,
    pub(crate) inner_width: usize,
    pub(crate) heads: usize,
    pub(crate) layers: usize,
    pub(crate) vocabulary: usize,
    /// Rows of the table of positions.
    pub(crate) positions: usize,
    /// The row of the first token: RoBERTa counts from after its padding token.
    pub(crate) first_position: usize,
    pub(crate) token_types: usize,
    pub(crate) activation: Activation,
    pub(crate) epsilon: f32,
}

#[derive(Deserialize)]
struct File {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default)]
    hidden_act: Option<String>,
    layer_norm_eps: f32,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    pad_token_id: Option<usize>,
    #[serde(default)]
    is_decoder: bool,
}

fn two() -> usize {
    2
}

impl BertConfig {
    /// # Errors
    /// A sentence saying what of it this encoder does not run.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(json).map_err(|error| format!("config.json: {error}"))?;
        file.check().map_err(|reason| format!("config.json: {reason}"))?;
        let activation = match file.hidden_act.as_deref().unwrap_or("gelu") {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            "silu" | "swish" => Activation::Silu,
            other => return Err(format!("config.json: the activation {other:?} is not known")),
        };
        let first_position = match file.model_type.as_str() {
            "bert" => 0,
            "roberta" | "xlm-roberta" => file.pad_token_id.unwrap_or(1).saturating_add(1),
            other => return Err(format!("config.json: a model of type {other:?}; bert, roberta and xlm-roberta are run")),
        };
        if first_position >= file.max_position_embeddings {
            return Err(format!("config.json: the first of {} positions is {first_position}", file.max_position_embeddings));
        }
        Ok(Self {
            width: file.hidden_size,
            inner_width: file.intermediate_size,
            heads: file.num_attention_heads,
            layers: file.num_hidden_layers,
            vocabulary: file.vocab_size,
            positions: file.max_position_embeddings,
            first_position,
            token_types: file.type_vocab_size,
            activation,
            epsilon: file.layer_norm_eps,
        })
    }

    pub(crate) fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Most tokens of a text, special tokens included.
    pub(crate) fn tokens_max(&self) -> usize {
        self.positions - self.first_position
    }
}

impl File {
    fn check(&self) -> Result<(), String> {
        for (name, size, max, grain) in [
            ("hidden_size", self.hidden_size, WIDTH_MAX, GRAIN),
            ("intermediate_size", self.intermediate_size, INNER_WIDTH_MAX, GRAIN),
            ("num_attention_heads", self.num_attention_heads, WIDTH_MAX, 1),
            ("num_hidden_layers", self.num_hidden_layers, LAYERS_MAX, 1),
            ("vocab_size", self.vocab_size, VOCABULARY_MAX, 1),
            ("max_position_embeddings", self.max_position_embeddings, POSITIONS_MAX, 1),
            ("type_vocab_size", self.type_vocab_size, POSITIONS_MAX, 1),
        ] {
            if size == 0 || size > max || !size.is_multiple_of(grain) {
                return Err(format!("{name} is {size}: a multiple of {grain} up to {max} is run"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads * GRAIN) {
            return Err(format!(
                "{} heads in a width of {}: heads of a multiple of {GRAIN} are run",
                self.num_attention_heads, self.hidden_size
            ));
        }
        if !(self.layer_norm_eps >= 0.0 && self.layer_norm_eps < 1.0) {
            return Err(format!("layer_norm_eps is {}", self.layer_norm_eps));
        }
        if let Some(other) = self.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return Err(format!("position embeddings of type {other:?}; absolute ones are run"));
        }
        if self.is_decoder { Err("a decoder; encoders are run".to_owned()) } else { Ok(()) }
    }
}
