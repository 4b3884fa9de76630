//! Gemma 1 to 3, text: norms that add one, scaled embeddings, soft caps, local and global layers.

use serde_json::Value;

use super::config::{Config, Refusal, Sizes};
use super::rotary::{self, RotaryRule, float};
use super::{Biases, Plain, rms_norm, sliding_layers};
use crate::architecture::{Architecture, DecoderActivation, Dense, Position};

/// Where a file says nothing.
const HEAD_WIDTH: usize = 256;

pub(super) fn gemma(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let sizes = Sizes::read_or(config, Some(HEAD_WIDTH))?;
    let plain = plain(config, sizes, None)?;
    let mut architecture = plain.architecture(config.flag("tie_word_embeddings", true)?, |_, _| {});
    scale(config, &mut architecture)?;
    Ok((architecture, biases(config)?))
}

pub(super) fn gemma2(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let sizes = Sizes::read_or(config, Some(HEAD_WIDTH))?;
    let mut plain = plain(config, sizes, None)?;
    plain.attention.scale = query_scale(config, 256.0)?;
    let window = window(config)?;
    // Every second layer sees a window, the first one too.
    let sliding = sliding_layers(config, sizes.layers)?.unwrap_or_else(|| (0..sizes.layers).map(|at| at.is_multiple_of(2)).collect());
    let cap = soft_cap(config, "attn_logit_softcapping", Some(50.0))?;
    let norm = plain.norm;
    let mut architecture = plain.architecture(config.flag("tie_word_embeddings", true)?, |at, layer| {
        layer.post_attention_norm = Some(norm);
        layer.post_feed_forward_norm = Some(norm);
        layer.attention.soft_cap = cap;
        layer.attention.sliding_window = Some(window).filter(|_| sliding.get(at) == Some(&true));
    });
    architecture.head.soft_cap = soft_cap(config, "final_logit_softcapping", Some(30.0))?;
    scale(config, &mut architecture)?;
    Ok((architecture, biases(config)?))
}

/// Some layers see no more than this, so null says nothing that could be run.
fn window(config: &Config<'_>) -> Result<usize, Refusal> {
    match config.optional_size("sliding_window", usize::MAX)? {
        Some(window) => Ok(window),
        None if config.says("sliding_window") => Err("sliding_window is null, and layers slide".to_owned()),
        None => Ok(4096),
    }
}

/// The published files leave out whatever is as in the class's defaults.
pub(super) fn gemma3(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let text = config.section("text_config")?.unwrap_or(*config);
    let mut values = text.values().clone();
    for (key, default) in [
        ("vocab_size", 262_208),
        ("hidden_size", 2304),
        ("intermediate_size", 9216),
        ("num_hidden_layers", 26),
        ("num_attention_heads", 8),
        ("num_key_value_heads", 4),
        ("head_dim", 256),
        ("max_position_embeddings", 131_072),
    ] {
        values.entry(key).or_insert_with(|| Value::from(default));
    }
    let text = Config::new(&values);
    let sizes = Sizes::read(&text)?;
    let (global, local) = (gemma3_rotary(&text, sizes, "full_attention")?, gemma3_rotary(&text, sizes, "sliding_attention")?);
    let mut plain = plain(&text, sizes, Some(global))?;
    plain.attention.scale = query_scale(&text, 256.0)?;
    plain.attention.query_key_norm = Some(plain.norm);
    let window = window(&text)?;
    let pattern = match text.optional_size("sliding_window_pattern", usize::MAX)? {
        Some(pattern) => pattern,
        None => text.optional_size("_sliding_window_pattern", usize::MAX)?.unwrap_or(6),
    };
    // The last of every `pattern` layers sees everything.
    let every = || (0..sizes.layers).map(|at| !(at + 1).is_multiple_of(pattern)).collect();
    let sliding = sliding_layers(&text, sizes.layers)?.unwrap_or_else(every);
    let cap = soft_cap(&text, "attn_logit_softcapping", None)?;
    let norm = plain.norm;
    let tied = config.flag("tie_word_embeddings", text.flag("tie_word_embeddings", true)?)?;
    let mut architecture = plain.architecture(tied, |at, layer| {
        layer.post_attention_norm = Some(norm);
        layer.post_feed_forward_norm = Some(norm);
        layer.attention.soft_cap = cap;
        if sliding.get(at) == Some(&true) {
            layer.attention.sliding_window = Some(window);
            layer.attention.position = local.clone();
        }
    });
    architecture.head.soft_cap = soft_cap(&text, "final_logit_softcapping", None)?;
    scale(config, &mut architecture)?;
    Ok((architecture, biases(&text)?))
}

/// A table for each kind of layer. Older files scale the global layers alone, in `rope_scaling`, which adds to their table,
/// and give the bases in keys of their own.
fn gemma3_rotary(config: &Config<'_>, sizes: Sizes, kind: &str) -> Result<Position, Refusal> {
    let global = kind == "full_attention";
    let (key, base) = if global { ("rope_theta", 1_000_000.0) } else { ("rope_local_base_freq", 10_000.0) };
    let tables = config.section("rope_parameters")?;
    if let Some(other) = tables.iter().flat_map(|tables| tables.values()).find(|(kind, value)| !is_layer_kind(kind) && !value.is_null()) {
        return Err(format!("rope_parameters has {:?}: this family has a table for full_attention and one for sliding_attention", other.0));
    }
    let table = tables.map(|tables| tables.section(kind)).transpose()?.flatten();
    let mut values = table.map(|table| table.values().clone()).unwrap_or_default();
    if let Some(scaling) = config.section("rope_scaling")?.filter(|_| global) {
        values.extend(scaling.values().clone());
    }
    // transformers does not look for it here, and would scale nothing: that cannot be meant.
    if let Some(kind) = values.get("type").filter(|_| !values.contains_key("rope_type")) {
        return Err(format!("type is {kind} and rope_type is not there, which is what counts in this family: write rope_type"));
    }
    rotary::check("rope_parameters", &Config::new(&values))?;
    let base = config.positive(key)?.unwrap_or(base);
    let nothing = serde_json::Map::new();
    Ok(RotaryRule::halves(sizes, base).scaled(&Config::new(&nothing), Some(&Config::new(&values)))?.position())
}

fn is_layer_kind(name: &str) -> bool {
    matches!(name, "full_attention" | "sliding_attention")
}

fn plain(config: &Config<'_>, sizes: Sizes, position: Option<Position>) -> Result<Plain, Refusal> {
    config.must("use_bidirectional_attention", false)?;
    let position = match position {
        Some(position) => position,
        None => RotaryRule::halves(sizes, 10_000.0).read(config)?.position(),
    };
    // Gemma's first files say "gelu" and mean its approximation.
    let said = config.text("hidden_activation")?.or(config.text("hidden_act")?).unwrap_or("gelu_pytorch_tanh");
    let activation = match said {
        "gelu" => DecoderActivation::GeluTanh,
        _ => config.activation(&["hidden_activation", "hidden_act"], "gelu_pytorch_tanh")?,
    };
    let feed_forward = Dense { inner_width: Sizes::inner_width(config, &["intermediate_size"])?, activation, gated: true };
    Ok(Plain::new(sizes, rms_norm(config, 1e-6)?, position, feed_forward))
}

fn biases(config: &Config<'_>) -> Result<Biases, Refusal> {
    let attention = config.flag("attention_bias", false)?;
    Ok(Biases { query_key_value: attention, attention_output: attention, ..Biases::default() })
}

fn query_scale(config: &Config<'_>, default: f32) -> Result<f32, Refusal> {
    Ok(1.0 / config.positive("query_pre_attn_scalar")?.unwrap_or(default).sqrt())
}

/// Null takes the cap away; where nothing is said, the default counts.
fn soft_cap(config: &Config<'_>, key: &str, default: Option<f32>) -> Result<Option<f32>, Refusal> {
    if config.says(key) { config.positive(key) } else { Ok(default) }
}

/// The root of the width, in the precision that the weights were made in: transformers multiplies in it.
fn scale(config: &Config<'_>, architecture: &mut Architecture) -> Result<(), Refusal> {
    let exact = float(architecture.width).sqrt();
    let kind = match config.text("dtype")? {
        Some(kind) => Some(kind),
        None => config.text("torch_dtype")?,
    };
    architecture.embedding.scale = match kind {
        // Rounded to bf16, half to even.
        Some("bfloat16") => f32::from_bits((exact.to_bits() + 0x7fff + (exact.to_bits() >> 16 & 1)) & 0xffff_0000),
        // Ten bits of fraction are kept: no width's root is subnormal or overflows.
        Some("float16") => f32::from_bits((exact.to_bits() + 0xfff + (exact.to_bits() >> 13 & 1)) & 0xffff_e000),
        _ => exact,
    };
    Ok(())
}
