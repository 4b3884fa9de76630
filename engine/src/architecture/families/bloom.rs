//! BLOOM: ALiBi, layer norms with biases, normalised embeddings.

use super::config::{Config, Refusal, Sizes};
use super::{Biases, Plain, alibi, norm};
use crate::architecture::{Architecture, DecoderActivation, Dense, NormKind, Position};

/// Of the files that do not say: what the published models were trained on.
const WINDOW: usize = 2048;

pub(super) fn bloom(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    let mut values = config.values().clone();
    if config.value("max_position_embeddings").is_none() && config.value("seq_length").is_none() {
        values.insert("max_position_embeddings".to_owned(), WINDOW.into());
    }
    let config = &Config::new(&values);
    let sizes = Sizes::read(config)?;
    let norm = norm(config, NormKind::Layer, &["layer_norm_epsilon"], 1e-5)?;
    let inner_width = match config.value("n_inner") {
        Some(_) => Sizes::inner_width(config, &["n_inner"])?,
        None => 4 * sizes.width,
    };
    let feed_forward = Dense { inner_width, activation: DecoderActivation::GeluTanh, gated: false };
    let plain = Plain::new(sizes, norm, Position::Alibi { slopes: alibi::slopes(sizes.heads) }, feed_forward);
    let after = config.flag("apply_residual_connection_post_layernorm", false)?;
    let mut architecture = plain.architecture(config.flag("tie_word_embeddings", true)?, |_, layer| layer.residual_after_norm = after);
    // BLOOM was trained with it, for stability (arXiv 2211.05100).
    architecture.embedding.norm = Some(norm);
    let biases = Biases { query_key_value: true, attention_output: true, feed_forward: true, ..Biases::default() };
    Ok((architecture, biases))
}
