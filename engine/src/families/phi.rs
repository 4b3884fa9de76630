//! Phi-3 and Phi-4: fused projections, and LongRoPE.

use super::config::{Config, Refusal, Sizes};
use super::rotary::RotaryRule;
use super::{Biases, Plain, gated, rms_norm};
use crate::architecture::{Architecture, RotaryLayout};

pub(super) fn phi3(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let sizes = Sizes::read(config)?;
    let norm = rms_norm(config)?;
    let rule = RotaryRule { head_width: sizes.head_width, layout: RotaryLayout::Halves, base: 10_000.0, turned: 1.0, window: sizes.window };
    let scaled = rule.read(config, None)?;
    let mut plain = Plain::new(sizes, norm, scaled.position(), gated(config, &["intermediate_size"], "silu")?);
    plain.sizes.window = scaled.window.unwrap_or(sizes.window);
    plain.attention.sliding_window = config.optional_size("sliding_window", usize::MAX)?;
    let architecture = plain.architecture(config.flag("tie_word_embeddings", false)?, |_, _| {});
    Ok((architecture, Biases::default()))
}
