//! ChatGLM 2 and 3, and GLM-4: half of each head turns, as neighbours.

use super::config::{Config, HEAD_WIDTH_MAX, Refusal, Sizes};
use super::rotary::{RotaryRule, Turned};
use super::{Biases, Plain, gated, norm, rms_norm};
use crate::architecture::{Architecture, DecoderActivation, Dense, NormKind, RotaryLayout};

const KV_HEADS_MAX: usize = 4096;

fn plain(config: &Config<'_>) -> Result<Plain, Refusal> {
    let sizes = Sizes::read_or(config, Some(128))?;
    let scaled = rule(sizes, 10_000.0).read(config)?;
    let mut plain = Plain::new(sizes, rms_norm(config, 1.5625e-7)?, scaled.position(), gated(config, &["intermediate_size"], "silu")?);
    plain.sizes.window = scaled.window.unwrap_or(sizes.window);
    Ok(plain)
}

fn rule(sizes: Sizes, base: f32) -> RotaryRule {
    RotaryRule { layout: RotaryLayout::Neighbours, turned: Turned::Part(0.5), ..RotaryRule::halves(sizes, base) }
}

fn biases(config: &Config<'_>) -> Result<Biases, Refusal> {
    Ok(Biases { query_key_value: config.flag("attention_bias", true)?, ..Biases::default() })
}

pub(super) fn glm(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let architecture = plain(config)?.architecture(config.flag("tie_word_embeddings", false)?, |_, _| {});
    Ok((architecture, biases(config)?))
}

pub(super) fn glm4(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let plain = plain(config)?;
    let norm = plain.norm;
    let architecture = plain.architecture(config.flag("tie_word_embeddings", false)?, |_, layer| {
        layer.post_attention_norm = Some(norm);
        layer.post_feed_forward_norm = Some(norm);
    });
    Ok((architecture, biases(config)?))
}

/// As `modeling_chatglm.py` beside the published files reads it. ChatGLM-6B, the first, is another architecture.
pub(super) fn chatglm(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    for (key, wanted) in [
        ("rmsnorm", true),
        ("post_layer_norm", true),
        ("add_bias_linear", false),
        ("original_rope", true),
        ("apply_residual_connection_post_layernorm", false),
    ] {
        config.must(key, wanted)?;
    }
    for key in ["pre_seq_len", "prefix_projection"] {
        if config.value(key).is_some_and(|value| *value != serde_json::Value::Bool(false)) {
            return Err(format!("{key} is set: prompts that were trained are not run"));
        }
    }
    let mut sizes = Sizes::read(config)?;
    if let Some(head_width) = config.optional_size("kv_channels", HEAD_WIDTH_MAX)? {
        sizes.head_width = head_width;
    }
    if config.flag("multi_query_attention", false)? {
        sizes.kv_heads = config.size("multi_query_group_num", KV_HEADS_MAX)?;
    }
    let sizes = sizes.check()?;
    // It stretches the base, not the positions.
    let base = 10_000.0 * config.positive("rope_ratio")?.unwrap_or(1.0);
    let norm = norm(config, NormKind::Rms, &["layernorm_epsilon"], 1e-5)?;
    let inner_width = Sizes::inner_width(config, &["ffn_hidden_size"])?;
    let feed_forward = Dense { inner_width, activation: DecoderActivation::Silu, gated: true };
    let plain = Plain::new(sizes, norm, rule(sizes, base).scaled(config, None)?.position(), feed_forward);
    let architecture = plain.architecture(config.flag("tie_word_embeddings", false)?, |_, _| {});
    let biases = Biases { query_key_value: config.flag("add_qkv_bias", false)?, ..Biases::default() };
    Ok((architecture, biases))
}
