//! The families of decoders: how a configuration becomes an [`Architecture`], and what the files call the weights.
//!
//! A family is an entry of [`FAMILIES`]; everything after this module is driven by the architecture alone. What
//! transformers computes is the reference. A configuration that says what is not understood is refused by the key.

mod alibi;
mod bloom;
pub(crate) mod config;
mod deepseek;
mod falcon;
mod gemma;
mod glm;
mod llama;
pub(crate) mod names;
mod phi;
mod rotary;

use serde_json::{Map, Value};

use crate::architecture::{
    Architecture, Attention, Dense, Embedding, FeedForward, Head, Layer, Norm, NormKind, Position, Residual, WeightRole,
};
use config::{Config, Refusal, Sizes};
use names::{BIGSCIENCE, CHATGLM, Entry, FUSED_ATTENTION, FUSED_FEED_FORWARD, GLM4, MIXTRAL, PLAIN, Part, SANDWICH};

/// A decoder that is understood, and how to find its weights.
#[derive(Debug, Clone)]
pub(crate) struct Blueprint {
    pub(crate) architecture: Architecture,
    pub(crate) scheme: Scheme,
}

#[derive(Debug, Clone)]
pub(crate) struct Scheme {
    /// Searched in this order.
    pub(crate) tables: Vec<&'static [Entry]>,
    /// What may stand before every name; the first under which the embeddings are found does.
    pub(crate) prefixes: &'static [&'static str],
    /// Added to the weights of every norm.
    pub(crate) norm_offset: f32,
    /// None where a file is taken at its word: GGUF says nothing of biases.
    pub(crate) biases: Option<Biases>,
    /// Names of layers past the last one are left alone: heads that predict several tokens ahead.
    pub(crate) ahead: bool,
    /// Tensors that are no weights.
    pub(crate) ignored: &'static [&'static str],
}

/// Which matrices have a bias. What is not said has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Biases {
    pub(crate) query_key_value: bool,
    pub(crate) attention_output: bool,
    pub(crate) feed_forward: bool,
    /// Of what leads into the narrow vectors of latent attention.
    pub(crate) latent: bool,
}

impl Biases {
    pub(crate) fn has(self, role: WeightRole) -> bool {
        match role {
            WeightRole::Query | WeightRole::Key | WeightRole::Value => self.query_key_value,
            WeightRole::AttentionOutput => self.attention_output,
            WeightRole::Gate | WeightRole::Up | WeightRole::Down => self.feed_forward,
            WeightRole::SharedGate | WeightRole::SharedUp | WeightRole::SharedDown => self.feed_forward,
            WeightRole::LatentQueryDown | WeightRole::LatentDown => self.latent,
            _ => false,
        }
    }
}

/// One line of the table.
struct Family {
    /// As `model_type` says them.
    names: &'static [&'static str],
    read: fn(&Config<'_>) -> Result<(Architecture, Biases), Refusal>,
    tables: &'static [&'static [Entry]],
    prefixes: &'static [&'static str],
    norm_offset: f32,
}

impl Family {
    /// Named as most are, with norms as they are.
    const fn plain(
        names: &'static [&'static str],
        read: fn(&Config<'_>) -> Result<(Architecture, Biases), Refusal>,
        tables: &'static [&'static [Entry]],
    ) -> Self {
        Self { names, read, tables, prefixes: &["model.", ""], norm_offset: 0.0 }
    }

    const fn under(self, prefixes: &'static [&'static str]) -> Self {
        Self { prefixes, ..self }
    }

    const fn adding_one(self) -> Self {
        Self { norm_offset: 1.0, ..self }
    }
}

const TRANSFORMER: &[&str] = &["transformer.", ""];
/// The text part of a Gemma 3 that sees images too lies deeper.
const GEMMA: &[&str] = &["model.", "model.language_model.", "language_model.model.", ""];

const FAMILIES: &[Family] = &[
    Family::plain(&["llama"], llama::llama, &[PLAIN]),
    Family::plain(&["mistral"], llama::mistral, &[PLAIN]),
    Family::plain(&["mixtral"], llama::mixtral, &[MIXTRAL, PLAIN]),
    Family::plain(&["qwen2"], llama::qwen2, &[PLAIN]),
    Family::plain(&["qwen3"], llama::qwen3, &[PLAIN]),
    Family::plain(&["qwen3_moe"], llama::qwen3_moe, &[PLAIN]),
    Family::plain(&["smollm3"], llama::smollm3, &[PLAIN]),
    Family::plain(&["phi3"], phi::phi3, &[FUSED_ATTENTION, FUSED_FEED_FORWARD, PLAIN]),
    Family::plain(&["gemma"], gemma::gemma, &[PLAIN]).adding_one(),
    Family::plain(&["gemma2"], gemma::gemma2, &[SANDWICH, PLAIN]).adding_one(),
    Family::plain(&["gemma3", "gemma3_text"], gemma::gemma3, &[SANDWICH, PLAIN]).adding_one().under(GEMMA),
    Family::plain(&["deepseek_v2"], deepseek::v2, &[PLAIN]),
    Family::plain(&["deepseek_v3"], deepseek::v3, &[PLAIN]),
    Family::plain(&["falcon", "RefinedWeb", "RefinedWebModel"], falcon::falcon, &[BIGSCIENCE]).under(TRANSFORMER),
    Family::plain(&["bloom"], bloom::bloom, &[BIGSCIENCE]).under(TRANSFORMER),
    Family::plain(&["glm"], glm::glm, &[FUSED_FEED_FORWARD, PLAIN]),
    Family::plain(&["glm4"], glm::glm4, &[GLM4, FUSED_FEED_FORWARD, PLAIN]),
    Family::plain(&["chatglm"], glm::chatglm, &[CHATGLM]).under(TRANSFORMER),
];

fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.names.contains(&name))
}

/// What transformers calls the weights of a family, and so what its adapters are called by.
pub(crate) fn scheme(name: &str) -> Option<Scheme> {
    let Family { tables, prefixes, norm_offset, .. } = *family(name)?;
    Some(Scheme { tables: tables.to_vec(), prefixes, norm_offset, biases: None, ahead: false, ignored: &[] })
}

/// From the keys of a `config.json`.
///
/// # Errors
/// A sentence that names the key or value that is not understood.
pub(crate) fn blueprint(values: &Map<String, Value>) -> Result<Blueprint, Refusal> {
    let config = Config::new(values);
    let inner = config.section("text_config").ok().flatten();
    if [Some(config), inner].iter().flatten().any(|config| config.value("quantization_config").is_some()) {
        return Err("quantization_config is set: weights of F32, F16 and BF16 are read, or a GGUF file".to_owned());
    }
    let name = config.text("model_type")?.ok_or("model_type is missing")?;
    let Some((family, scheme)) = family(name).zip(scheme(name)) else {
        let known: Vec<&str> = FAMILIES.iter().filter_map(|family| family.names.first().copied()).collect();
        let other: String = name.chars().take(40).collect();
        return Err(format!("model_type is {other:?}; these are run: {}", known.join(", ")));
    };
    let (mut architecture, biases) = (family.read)(&config)?;
    name.clone_into(&mut architecture.family);
    let ahead = config.count("num_nextn_predict_layers", usize::MAX)?.is_some_and(|layers| layers > 0);
    Ok(Blueprint { architecture, scheme: Scheme { biases: Some(biases), ahead, ..scheme } })
}

/// What most families share; each changes what it does differently.
struct Plain {
    sizes: Sizes,
    norm: Norm,
    attention: Attention,
    feed_forward: FeedForward,
}

impl Plain {
    fn new(sizes: Sizes, norm: Norm, position: Position, feed_forward: Dense) -> Self {
        let attention = Attention {
            heads: sizes.heads,
            kv_heads: sizes.kv_heads,
            head_width: sizes.head_width,
            value_width: sizes.head_width,
            scale: 1.0 / rotary::float(sizes.head_width).sqrt(),
            query_key_norm: None,
            position,
            sliding_window: None,
            soft_cap: None,
            latent: None,
        };
        Self { sizes, norm, attention, feed_forward: FeedForward::Dense(feed_forward) }
    }

    fn layer(&self) -> Layer {
        Layer {
            residual: Residual::Sequential,
            attention_norm: Some(self.norm),
            attention: self.attention.clone(),
            post_attention_norm: None,
            feed_forward_norm: Some(self.norm),
            feed_forward: self.feed_forward.clone(),
            post_feed_forward_norm: None,
            residual_after_norm: false,
        }
    }

    /// `change` is given each layer with its number.
    fn architecture(&self, tied: bool, mut change: impl FnMut(usize, &mut Layer)) -> Architecture {
        let layers = (0..self.sizes.layers).map(|at| {
            let mut layer = self.layer();
            change(at, &mut layer);
            layer
        });
        Architecture {
            family: String::new(),
            vocabulary: self.sizes.vocabulary,
            width: self.sizes.width,
            window: self.sizes.window,
            embedding: Embedding { scale: 1.0, norm: None },
            layers: layers.collect(),
            final_norm: self.norm,
            head: Head { tied, scale: 1.0, soft_cap: None },
        }
    }
}

impl Scheme {
    /// What a weight may be called, first choice first: as the first table says that knows the role.
    pub(crate) fn candidates(&self, role: WeightRole) -> impl Iterator<Item = (&'static str, Part)> {
        let kind = role.kind();
        let table = self.tables.iter().find(|table| table.iter().any(|(of, ..)| *of == kind));
        let entries = table.copied().unwrap_or_default().iter();
        entries.filter(move |(of, ..)| *of == kind).map(|(_, name, part)| (*name, *part))
    }
}

fn norm(config: &Config<'_>, kind: NormKind, keys: &[&str], default: f32) -> Result<Norm, Refusal> {
    for key in keys {
        if let Some(epsilon) = config.number(key)? {
            return if (0.0..1.0).contains(&epsilon) { Ok(Norm { kind, epsilon }) } else { Err(format!("{key} is {epsilon}")) };
        }
    }
    Ok(Norm { kind, epsilon: default })
}

fn rms_norm(config: &Config<'_>, default: f32) -> Result<Norm, Refusal> {
    norm(config, NormKind::Rms, &["rms_norm_eps"], default)
}

fn gated(config: &Config<'_>, inner_keys: &[&str], default_activation: &str) -> Result<Dense, Refusal> {
    Ok(Dense {
        inner_width: Sizes::inner_width(config, inner_keys)?,
        activation: config.activation(&["hidden_act", "hidden_activation"], default_activation)?,
        gated: true,
    })
}

/// Which layers see a window only, as `layer_types` says; none where it says nothing.
fn sliding_layers(config: &Config<'_>, layers: usize) -> Result<Option<Vec<bool>>, Refusal> {
    let Some(kinds) = config.texts("layer_types")? else {
        return Ok(None);
    };
    if kinds.len() != layers {
        return Err(format!("layer_types names {} layers of {layers}", kinds.len()));
    }
    let sliding = kinds.iter().map(|kind| match *kind {
        "full_attention" => Ok(false),
        "sliding_attention" => Ok(true),
        other => Err(format!("layer_types has {other:?}: full_attention and sliding_attention are run")),
    });
    sliding.collect::<Result<_, _>>().map(Some)
}
