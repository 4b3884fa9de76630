//! `ModernBERT`'s `config.json`, as transformers 4 and 5 write it.

use serde::Deserialize;

use super::{BertConfig, LayerAttention, Positions, Rotation, Sizes, activation, epsilon};
use crate::encoder::bert::variant::MODERN_BERT;

#[derive(Deserialize)]
struct File {
    #[serde(flatten)]
    sizes: Sizes,
    hidden_activation: Option<String>,
    norm_eps: Option<f32>,
    #[serde(default)]
    norm_bias: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    layer_types: Option<Vec<String>>,
    global_attn_every_n_layers: Option<usize>,
    local_attention: Option<usize>,
    global_rope_theta: Option<f32>,
    local_rope_theta: Option<f32>,
    rope_parameters: Option<RopeFile>,
    rope_scaling: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RopeFile {
    full_attention: KindFile,
    sliding_attention: KindFile,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KindFile {
    rope_type: Option<String>,
    rope_theta: Option<f32>,
}

pub(super) fn parse(json: &[u8]) -> Result<BertConfig, String> {
    let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let sizes = &file.sizes;
    sizes.check()?;
    for (name, on) in [("norm_bias", file.norm_bias), ("attention_bias", file.attention_bias), ("mlp_bias", file.mlp_bias)] {
        if on {
            return Err(format!("{name}: ModernBERT is run without biases"));
        }
    }
    if file.rope_scaling.is_some() {
        return Err("rope_scaling: ModernBERT is run with plain rotation".to_owned());
    }
    Ok(BertConfig {
        variant: &MODERN_BERT,
        width: sizes.hidden_size,
        inner_width: sizes.intermediate_size,
        heads: sizes.num_attention_heads,
        vocabulary: sizes.vocab_size,
        attention: file.attention()?,
        positions: Positions::Rotary { window: sizes.max_position_embeddings },
        activation: activation(file.hidden_activation.as_deref())?,
        epsilon: epsilon("norm_eps", file.norm_eps.unwrap_or(1e-5))?,
    })
}

impl File {
    fn attention(&self) -> Result<Vec<LayerAttention>, String> {
        let layers = self.sizes.num_hidden_layers;
        // The defaults are those of ModernBertConfig, which files leave out.
        let every = self.global_attn_every_n_layers.unwrap_or(3).max(1);
        let kind = |layer: usize| match &self.layer_types {
            Some(kinds) => kinds.get(layer).map(String::as_str),
            None => Some(if layer.is_multiple_of(every) { "full_attention" } else { "sliding_attention" }),
        };
        let rope = self.rope_parameters.as_ref();
        let global = rotation(rope.map(|rope| &rope.full_attention), self.global_rope_theta.unwrap_or(160_000.0))?;
        let local = rotation(rope.map(|rope| &rope.sliding_attention), self.local_rope_theta.unwrap_or(10_000.0))?;
        // The file counts both sides.
        let reach = self.local_attention.unwrap_or(128) / 2;
        let attention = (0..layers).map(|layer| match kind(layer) {
            Some("full_attention") => Ok(LayerAttention { reach: None, rotation: Some(global) }),
            Some("sliding_attention") => Ok(LayerAttention { reach: Some(reach), rotation: Some(local) }),
            other => Err(format!("layer_types: layer {layer} is {other:?}; full_attention and sliding_attention are run")),
        });
        attention.collect()
    }
}

fn rotation(file: Option<&KindFile>, default: f32) -> Result<Rotation, String> {
    if let Some(other) = file.and_then(|file| file.rope_type.as_deref()).filter(|kind| *kind != "default") {
        return Err(format!("rope_type is {other:?}: ModernBERT is run with plain rotation"));
    }
    let base = file.and_then(|file| file.rope_theta).unwrap_or(default);
    if base > 1.0 && base.is_finite() { Ok(Rotation { base }) } else { Err(format!("rope_theta is {base}")) }
}
