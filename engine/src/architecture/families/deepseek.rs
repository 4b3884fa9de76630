//! DeepSeek V2 and V3: latent attention, experts in groups, YaRN.

use super::config::{Config, HEAD_WIDTH_MAX, Refusal, Sizes, WIDTH_MAX};
use super::rotary::{self, RotaryRule, mscale};
use super::{Biases, Plain, gated, rms_norm};
use crate::architecture::{
    Architecture, Dense, Experts, FeedForward, GroupScore, Latent, Norm, NormKind, RotaryLayout, Routing, RoutingScores,
};

/// transformers gives the norms of the narrow vectors this, whatever the configuration says.
const LATENT_EPSILON: f32 = 1e-6;

pub(super) fn v2(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    config.must("norm_topk_prob", false)?;
    if let Some(other) = config.text("scoring_func")?.filter(|kind| *kind != "softmax") {
        return Err(format!("scoring_func is {other:?}: softmax is run"));
    }
    let grouped = match config.text("topk_method")?.unwrap_or("greedy") {
        "greedy" => false,
        "group_limited_greedy" => true,
        other => return Err(format!("topk_method is {other:?}: greedy and group_limited_greedy are run")),
    };
    let scale = config.positive("routed_scaling_factor")?.unwrap_or(1.0);
    let routing = Routing { scores: RoutingScores::Softmax, biased: false, normalised: false, scale, groups: None };
    read(config, routing, grouped.then_some(GroupScore::Best), RotaryLayout::Neighbours)
}

pub(super) fn v3(config: &Config<'_>) -> Result<(Architecture, Biases), Refusal> {
    for (key, wanted) in [("scoring_func", "sigmoid"), ("topk_method", "noaux_tc")] {
        if let Some(other) = config.text(key)?.filter(|kind| *kind != wanted) {
            return Err(format!("{key} is {other:?}: {wanted} is run"));
        }
    }
    let routing = Routing {
        scores: RoutingScores::Sigmoid,
        biased: true,
        normalised: config.flag("norm_topk_prob", true)?,
        scale: config.positive("routed_scaling_factor")?.unwrap_or(2.5),
        groups: None,
    };
    let layout = if config.flag("rope_interleave", true)? { RotaryLayout::Neighbours } else { RotaryLayout::Halves };
    read(config, routing, Some(GroupScore::SumOfBestTwo), layout)
}

fn read(
    config: &Config<'_>,
    routing: Routing,
    group_score: Option<GroupScore>,
    layout: RotaryLayout,
) -> Result<(Architecture, Biases), Refusal> {
    let mut sizes = Sizes::read(config)?;
    let rotary_width = config.size("qk_rope_head_dim", HEAD_WIDTH_MAX)?;
    sizes.head_width = config.size("qk_nope_head_dim", HEAD_WIDTH_MAX)? + rotary_width;
    // Keys are cached expanded: each head has its own.
    sizes.kv_heads = sizes.heads;
    let sizes = sizes.check()?;
    let rule = RotaryRule { head_width: rotary_width, layout, ..RotaryRule::halves(sizes, 10_000.0) };
    let scaled = rule.read(config)?;
    let mut plain = Plain::new(sizes, rms_norm(config, 1e-6)?, scaled.position(), gated(config, &["intermediate_size"], "silu")?);
    plain.attention.value_width = config.size("v_head_dim", HEAD_WIDTH_MAX)?;
    plain.attention.scale *= stretched(config)?;
    plain.attention.latent = Some(Latent {
        query_rank: config.optional_size("q_lora_rank", WIDTH_MAX)?,
        key_value_rank: config.size("kv_lora_rank", WIDTH_MAX)?,
        rotary_width,
        norm: Norm { kind: NormKind::Rms, epsilon: LATENT_EPSILON },
    });
    let experts = experts(config, routing, group_score)?;
    let dense = config.count("first_k_dense_replace", sizes.layers)?.unwrap_or(0);
    if config.optional_size("moe_layer_freq", usize::MAX)?.is_some_and(|every| every != 1) {
        return Err("moe_layer_freq is not 1: every layer after the dense ones has experts".to_owned());
    }
    let architecture = plain.architecture(config.flag("tie_word_embeddings", false)?, |at, layer| {
        if at >= dense
            && let Some(experts) = &experts
        {
            layer.feed_forward = FeedForward::Experts(experts.clone());
        }
    });
    let bias = config.flag("attention_bias", false)?;
    let feed_forward = config.flag("mlp_bias", false)?;
    let biases = Biases { query_key_value: false, latent: bias, attention_output: bias, feed_forward };
    Ok((architecture, biases))
}

/// What YaRN adds to the scores' scale.
fn stretched(config: &Config<'_>) -> Result<f32, Refusal> {
    let Some(parameters) = rotary::parameters(config)? else {
        return Ok(1.0);
    };
    let kind = parameters.text("rope_type")?.or(parameters.text("type")?).unwrap_or("default");
    let weight = parameters.number("mscale_all_dim")?.unwrap_or(0.0);
    if kind == "default" || weight == 0.0 {
        return Ok(1.0);
    }
    let factor = parameters.positive("factor")?.ok_or("factor is missing from the rotary parameters")?;
    // Once for the queries and once for the keys.
    Ok(mscale(factor, weight).powi(2))
}

fn experts(config: &Config<'_>, mut routing: Routing, group_score: Option<GroupScore>) -> Result<Option<Experts>, Refusal> {
    if config.value("n_routed_experts").is_none() {
        return Ok(None);
    }
    let count = Sizes::experts(config, "n_routed_experts")?;
    let expert = gated(config, &["moe_intermediate_size"], "silu")?;
    if let Some(score) = group_score {
        let groups = config.size("n_group", count)?;
        let chosen = config.size("topk_group", groups)?;
        if !count.is_multiple_of(groups) || score == GroupScore::SumOfBestTwo && count / groups < 2 {
            return Err(format!("n_group is {groups}, for {count} experts"));
        }
        routing.groups = Some((groups, chosen, score));
    }
    let within = routing.groups.map_or(count, |(groups, chosen, _)| count / groups * chosen);
    let shared = config.count("n_shared_experts", count)?.filter(|shared| *shared > 0);
    Ok(Some(Experts {
        count,
        per_token: config.size("num_experts_per_tok", within)?,
        expert,
        shared: shared.map(|shared| Dense { inner_width: expert.inner_width * shared, ..expert }),
        routing,
    }))
}
