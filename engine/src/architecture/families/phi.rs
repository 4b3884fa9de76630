//! Phi-3 and Phi-4: fused projections, and LongRoPE.

use serde_json::{Map, Value};

use super::config::{Config, Refusal, Sizes};
use super::rotary::{RotaryRule, Turned, parameters};
use super::{Biases, Plain, gated, rms_norm};
use crate::architecture::Architecture;

/// Of the files that do not say.
const ORIGINAL_WINDOW: usize = 4096;

/// LongRoPE is the only scaling of the family, and older files call it otherwise.
fn long(config: &Config<'_>) -> Result<Option<Map<String, Value>>, Refusal> {
    let Some(table) = parameters(config)? else { return Ok(None) };
    let mut values = table.values().clone();
    match table.text("rope_type")?.or(table.text("type")?).unwrap_or("default") {
        "default" => {}
        "longrope" | "su" | "yarn" => {
            values.insert("rope_type".to_owned(), "longrope".into());
        }
        other => return Err(format!("rope_type is {other:?}: default and longrope are run in this family")),
    }
    Ok(Some(values))
}

pub(super) fn phi3(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let sizes = Sizes::read(config)?;
    let norm = rms_norm(config, 1e-5)?;
    let rule = RotaryRule { turned: Turned::Part(1.0), original: ORIGINAL_WINDOW, ..RotaryRule::halves(sizes, 10_000.0) };
    let scaled = rule.scaled(config, long(config)?.as_ref().map(Config::new).as_ref())?;
    let mut plain = Plain::new(sizes, norm, scaled.position(), gated(config, &["intermediate_size"], "silu")?);
    plain.sizes.window = scaled.window.unwrap_or(sizes.window);
    plain.attention.sliding_window = config.optional_size("sliding_window", usize::MAX)?;
    let architecture = plain.architecture(config.flag("tie_word_embeddings", false)?, |_, _| {});
    Ok((architecture, Biases::default()))
}
