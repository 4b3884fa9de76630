//! The `config.json` of BERT, `RoBERTa` and XLM-R.

use serde::Deserialize;

use super::{BertConfig, LayerAttention, POSITIONS_MAX, Positions, Sizes, activation, check_size, epsilon};
use crate::encoder::bert::variant::BERT;

#[derive(Deserialize)]
struct File {
    #[serde(flatten)]
    sizes: Sizes,
    model_type: String,
    #[serde(default = "two")]
    type_vocab_size: usize,
    hidden_act: Option<String>,
    layer_norm_eps: f32,
    position_embedding_type: Option<String>,
    pad_token_id: Option<usize>,
    #[serde(default)]
    is_decoder: bool,
}

fn two() -> usize {
    2
}

pub(super) fn parse(json: &[u8]) -> Result<BertConfig, String> {
    let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let sizes = &file.sizes;
    sizes.check()?;
    check_size("type_vocab_size", file.type_vocab_size, POSITIONS_MAX, 1)?;
    if let Some(other) = file.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
        return Err(format!("position embeddings of type {other:?}; absolute ones are run"));
    }
    // It would see no later tokens, and attention here masks nothing.
    if file.is_decoder {
        return Err("a decoder; encoders are run".to_owned());
    }
    let first = if file.model_type == "bert" { 0 } else { file.pad_token_id.unwrap_or(1).saturating_add(1) };
    if first >= sizes.max_position_embeddings {
        return Err(format!("the first of {} positions is {first}", sizes.max_position_embeddings));
    }
    Ok(BertConfig {
        variant: &BERT,
        width: sizes.hidden_size,
        inner_width: sizes.intermediate_size,
        heads: sizes.num_attention_heads,
        vocabulary: sizes.vocab_size,
        attention: vec![LayerAttention { reach: None, rotation: None }; sizes.num_hidden_layers],
        positions: Positions::Table { rows: sizes.max_position_embeddings, first, token_types: file.type_vocab_size },
        activation: activation(file.hidden_act.as_deref())?,
        epsilon: epsilon("layer_norm_eps", file.layer_norm_eps)?,
    })
}
