//! Falcon: parallel layers with one norm (7B) or two (40B), or sequential ones with ALiBi (RW).

use super::config::{Config, Refusal, Sizes};
use super::rotary::RotaryRule;
use super::{Biases, Plain, alibi, norm};
use crate::architecture::{Architecture, Dense, NormKind, Position, Residual};

const KV_HEADS_MAX: usize = 4096;
/// Of the files that do not say.
const WINDOW: usize = 2048;

pub(super) fn falcon(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let mut values = config.values().clone();
    values.entry("max_position_embeddings").or_insert_with(|| WINDOW.into());
    let config = &Config::new(&values);
    let mut sizes = Sizes::read(config)?;
    let new = config.flag("new_decoder_architecture", false)?;
    let parallel = config.flag("parallel_attn", true)?;
    // 40B normalises for each half of a layer, 7B once for both; neither file says so.
    let norms = config.optional_size("num_ln_in_parallel_attn", 2)?.unwrap_or(if new { 2 } else { 1 });
    if new != parallel && new || !new && norms == 2 {
        return Err("num_ln_in_parallel_attn, parallel_attn and new_decoder_architecture do not go together".to_owned());
    }
    sizes.kv_heads = match (new, config.flag("multi_query", true)?) {
        (false, true) => 1,
        (false, false) => sizes.heads,
        (true, _) => config.optional_size("num_kv_heads", KV_HEADS_MAX)?.unwrap_or(sizes.heads),
    };
    let sizes = sizes.check()?;
    let norm = norm(config, NormKind::Layer, &["layer_norm_epsilon"], 1e-5)?;
    let inner_width = match config.value("ffn_hidden_size") {
        Some(_) => Sizes::inner_width(config, &["ffn_hidden_size"])?,
        None => 4 * sizes.width,
    };
    let feed_forward = Dense { inner_width, activation: config.activation(&["activation", "hidden_act"], "gelu")?, gated: false };
    let mut plain = Plain::new(sizes, norm, Position::None, feed_forward);
    plain.attention.position = position(config, sizes, plain.attention.scale)?;
    let architecture = plain.architecture(config.flag("tie_word_embeddings", true)?, |_, layer| {
        if parallel {
            layer.residual = Residual::Parallel;
            layer.feed_forward_norm = layer.feed_forward_norm.filter(|_| norms == 2);
        }
    });
    let bias = config.flag("bias", false)?;
    let biases = Biases { query_key_value: bias, attention_output: bias, feed_forward: bias, ..Biases::default() };
    Ok((architecture, biases))
}

fn position(config: &Config<'_>, sizes: Sizes, scale: f32) -> Result<Position, Refusal> {
    if config.flag("alibi", false)? {
        // The reference rounds the slopes to bf16, and scales them with the scores.
        let rounded = |slope: f32| f32::from_bits((slope.to_bits() + 0x7fff + (slope.to_bits() >> 16 & 1)) & 0xffff_0000);
        return Ok(Position::Alibi { slopes: alibi::slopes(sizes.heads).into_iter().map(|slope| rounded(slope) * scale).collect() });
    }
    Ok(RotaryRule::halves(sizes, 10_000.0).read(config)?.position())
}
