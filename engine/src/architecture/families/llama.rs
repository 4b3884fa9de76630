//! LLaMA and those that changed little of it: Mistral and Mixtral, Qwen 2 and 3, SmolLM 3.

use super::config::{Config, Refusal, Sizes};
use super::rotary::RotaryRule;
use super::{Biases, Plain, gated, rms_norm, sliding_layers};
use crate::architecture::{Architecture, Dense, Experts, FeedForward, Position, Routing, RoutingScores};

const WINDOW_MAX: usize = 1 << 25;

/// What a family's class takes where a file says nothing.
struct Defaults {
    /// None: the width, divided by the heads.
    head_width: Option<usize>,
    rotary_base: f32,
    epsilon: f32,
}

const DEFAULTS: Defaults = Defaults { head_width: None, rotary_base: 10_000.0, epsilon: 1e-6 };

fn plain(config: &Config<'_>, defaults: &Defaults) -> Result<Plain, Refusal> {
    let sizes = Sizes::read_or(config, defaults.head_width)?;
    let norm = rms_norm(config, defaults.epsilon)?;
    let feed_forward = gated(config, &["intermediate_size"], "silu")?;
    let scaled = RotaryRule::halves(sizes, defaults.rotary_base).read(config)?;
    let mut plain = Plain::new(sizes, norm, scaled.position(), feed_forward);
    plain.sizes.window = scaled.window.unwrap_or(sizes.window);
    Ok(plain)
}

fn tied(config: &Config<'_>, default: bool) -> Result<bool, Refusal> {
    config.flag("tie_word_embeddings", default)
}

fn both_biases(config: &Config<'_>) -> Result<Biases, Refusal> {
    let attention = config.flag("attention_bias", false)?;
    let feed_forward = config.flag("mlp_bias", false)?;
    Ok(Biases { query_key_value: attention, attention_output: attention, feed_forward, ..Biases::default() })
}

pub(super) fn llama(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let architecture = plain(config, &DEFAULTS)?.architecture(tied(config, false)?, |_, _| {});
    Ok((architecture, both_biases(config)?))
}

pub(super) fn mistral(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let plain = plain(config, &DEFAULTS)?;
    let window = window(config)?;
    let architecture = plain.architecture(tied(config, false)?, |_, layer| layer.attention.sliding_window = window);
    Ok((architecture, Biases::default()))
}

/// Every layer has experts, of the width that Mistral's feed-forward part has.
pub(super) fn mixtral(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let plain = plain(config, &Defaults { rotary_base: 1_000_000.0, epsilon: 1e-5, ..DEFAULTS })?;
    let window = config.optional_size("sliding_window", WINDOW_MAX)?;
    let expert = gated(config, &["intermediate_size"], "silu")?;
    let mut experts = experts(config, Sizes::experts(config, "num_local_experts")?, expert)?;
    // Mixtral takes the softmax of the chosen alone, which is that of all, normalised.
    experts.routing.normalised = true;
    let architecture = plain.architecture(tied(config, false)?, |_, layer| {
        layer.attention.sliding_window = window;
        layer.feed_forward = FeedForward::Experts(experts.clone());
    });
    Ok((architecture, Biases::default()))
}

/// Null takes the window away; where nothing is said, there is one.
fn window(config: &Config<'_>) -> Result<Option<usize>, Refusal> {
    if config.says("sliding_window") { config.optional_size("sliding_window", WINDOW_MAX) } else { Ok(Some(4096)) }
}

/// Which layers see how much: `layer_types`, or all from `max_window_layers` on.
fn qwen_windows(config: &Config<'_>, layers: usize) -> Result<Vec<Option<usize>>, Refusal> {
    let window = if config.flag("use_sliding_window", false)? { window(config)? } else { None };
    if window.is_none() && sliding_layers(config, layers)?.is_some_and(|sliding| sliding.contains(&true)) {
        return Err("layer_types has sliding_attention, and no sliding_window is used".to_owned());
    }
    // Qwen2Config's default.
    let from = config.count("max_window_layers", usize::MAX)?.unwrap_or(28);
    let sliding = sliding_layers(config, layers)?.unwrap_or_else(|| (0..layers).map(|at| at >= from).collect());
    Ok(sliding.iter().map(|slides| window.filter(|_| *slides)).collect())
}

pub(super) fn qwen2(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let plain = plain(config, &DEFAULTS)?;
    let windows = qwen_windows(config, plain.sizes.layers)?;
    let architecture = plain.architecture(tied(config, false)?, |at, layer| {
        layer.attention.sliding_window = windows.get(at).copied().flatten();
    });
    Ok((architecture, Biases { query_key_value: true, ..Biases::default() }))
}

fn qwen3_plain(config: &Config<'_>, defaults: &Defaults) -> Result<Plain, Refusal> {
    let mut plain = plain(config, defaults)?;
    plain.attention.query_key_norm = Some(plain.norm);
    Ok(plain)
}

pub(super) fn qwen3(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let plain = qwen3_plain(config, &Defaults { head_width: Some(128), ..DEFAULTS })?;
    let windows = qwen_windows(config, plain.sizes.layers)?;
    let architecture = plain.architecture(tied(config, false)?, |at, layer| {
        layer.attention.sliding_window = windows.get(at).copied().flatten();
    });
    Ok((architecture, both_biases(config)?))
}

/// Unlike in Qwen3, a window counts in every layer.
pub(super) fn qwen3_moe(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let plain = qwen3_plain(config, &DEFAULTS)?;
    let window = if config.flag("use_sliding_window", false)? { window(config)? } else { None };
    let count = match config.value("num_experts") {
        Some(_) => Sizes::experts(config, "num_experts")?,
        None => Sizes::experts(config, "num_local_experts")?,
    };
    let expert = gated(config, &["moe_intermediate_size"], "silu")?;
    let experts = experts(config, count, expert)?;
    let step = config.optional_size("decoder_sparse_step", usize::MAX)?.unwrap_or(1);
    let dense = config.counts("mlp_only_layers")?.unwrap_or_default();
    let architecture = plain.architecture(tied(config, false)?, |at, layer| {
        layer.attention.sliding_window = window;
        if (at + 1).is_multiple_of(step) && !dense.contains(&(at as u64)) {
            layer.feed_forward = FeedForward::Experts(experts.clone());
        }
    });
    Ok((architecture, both_biases(config)?))
}

fn experts(config: &Config<'_>, count: usize, expert: Dense) -> Result<Experts, Refusal> {
    let routing = Routing {
        scores: RoutingScores::Softmax,
        biased: false,
        normalised: config.flag("norm_topk_prob", false)?,
        scale: 1.0,
        groups: None,
    };
    Ok(Experts { count, per_token: config.size("num_experts_per_tok", count)?, expert, shared: None, routing })
}

/// Some layers know no positions (arXiv 2501.18795).
pub(super) fn smollm3(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let plain = plain(config, &Defaults { rotary_base: 2_000_000.0, ..DEFAULTS })?;
    let layers = plain.sizes.layers;
    let interval = config.optional_size("no_rope_layer_interval", usize::MAX)?.unwrap_or(4);
    let turned = match config.counts("no_rope_layers")? {
        None => (0..layers).map(|at| !(at + 1).is_multiple_of(interval)).collect(),
        Some(flags) if flags.len() == layers => flags.iter().map(|flag| *flag != 0).collect::<Vec<_>>(),
        Some(flags) => return Err(format!("no_rope_layers names {} layers of {layers}", flags.len())),
    };
    let window = if config.flag("use_sliding_window", false)? { config.optional_size("sliding_window", WINDOW_MAX)? } else { None };
    // What knows no positions is what may slide, where the file says nothing.
    let sliding = sliding_layers(config, layers)?.unwrap_or_else(|| turned.iter().map(|turned| !turned).collect());
    let architecture = plain.architecture(tied(config, true)?, |at, layer| {
        if turned.get(at) == Some(&false) {
            layer.attention.position = Position::None;
        }
        layer.attention.sliding_window = window.filter(|_| sliding.get(at) == Some(&true));
    });
    Ok((architecture, both_biases(config)?))
}
