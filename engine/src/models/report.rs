//! What a generator's files say of it, without loading it: for a person who decides whether to run it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::architecture::families::blueprint;
use crate::architecture::{Architecture, Position};
use crate::files::{ModelFiles, Shape, needs};
use crate::kernels::TensorKind;
use crate::{EngineError, Precision};

/// A model as its files describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelReport {
    pub name: String,
    pub family: String,
    /// Lower-case hex, over all files that determine an answer.
    pub sha256: String,
    pub parameters: u64,
    /// Parameters by the encoding of the files, such as `bf16` or `q4_k`.
    pub encodings: BTreeMap<String, u64>,
    /// Of the residual stream.
    pub width: usize,
    pub layers: usize,
    /// Of the first layer: of queries, and of keys and values.
    pub heads: (usize, usize),
    pub vocabulary: usize,
    pub window_tokens: usize,
    /// How places in a text are told, and by what they are scaled.
    pub positions: String,
    /// Whether the files say how a conversation is written for it.
    pub has_template: bool,
    /// Of the weights once loaded; quantised ones stay as they are.
    pub weight_bytes: u64,
    /// Of the keys and values of one token.
    pub cache_bytes_per_token: u64,
}

impl ModelReport {
    /// Memory for the weights and for the keys and values of so many tokens.
    #[must_use]
    pub fn memory_bytes(&self, tokens: usize) -> u64 {
        self.weight_bytes.saturating_add(self.cache_bytes_per_token.saturating_mul(tokens as u64))
    }
}

/// Opens a folder or a `.gguf` file as [`crate::LocalGenerator`] does, up to its weights. `precision` is what it would be run in.
///
/// # Errors
/// As [`crate::LocalGenerator::open`] for the files: what is not supported is named.
pub fn describe_model(path: &Path, precision: Precision) -> Result<ModelReport, EngineError> {
    let files = ModelFiles::open(path)?;
    let architecture = &files.architecture;
    let plain_bytes = plain_bytes(precision);
    let mut encodings: BTreeMap<String, u64> = BTreeMap::new();
    let mut weight_bytes = 0;
    for (layer, role, shape) in needs(architecture) {
        let (kind, numbers, bytes) = match shape {
            Shape::Vector(length) | Shape::Optional(length) => {
                let Some(numbers) = files.weights.vector(layer, role, length)? else { continue };
                (TensorKind::F32, numbers.len() as u64, 4 * numbers.len() as u64)
            }
            Shape::Matrix { columns, inner } => {
                let matrix = files.weights.matrix(layer, role, columns, inner)?;
                let numbers = (columns * inner) as u64;
                let bytes = if matrix.kind.block_numbers() == 1 { numbers * plain_bytes } else { matrix.bytes.len() as u64 };
                (matrix.kind, numbers, bytes + 4 * matrix.bias.map_or(0, |bias| bias.len() as u64))
            }
        };
        *encodings.entry(format!("{kind:?}").to_lowercase()).or_default() += numbers;
        weight_bytes += bytes;
    }
    let sha256 = files.sha256()?;
    let attention = architecture.layers.first().map(|layer| &layer.attention);
    Ok(ModelReport {
        parameters: encodings.values().sum(),
        encodings,
        width: architecture.width,
        layers: architecture.layers.len(),
        heads: attention.map_or((0, 0), |attention| (attention.heads, attention.kv_heads)),
        vocabulary: architecture.vocabulary,
        window_tokens: architecture.window,
        positions: positions(architecture),
        has_template: files.template.is_some(),
        weight_bytes,
        cache_bytes_per_token: cached_numbers(architecture) * plain_bytes,
        family: architecture.family.clone(),
        name: files.name,
        sha256,
    })
}

/// What a `config.json` alone says of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationReport {
    pub family: String,
    pub width: usize,
    pub layers: usize,
    pub window_tokens: usize,
    /// As in [`ModelReport`].
    pub positions: String,
}

/// Reads a `config.json`.
///
/// # Errors
/// [`EngineError::UnsupportedModel`] that names the key which is not understood.
pub fn describe_configuration(json: &str) -> Result<ConfigurationReport, EngineError> {
    let unsupported = |reason: String| EngineError::UnsupportedModel { name: "config.json".to_owned(), reason };
    let values = serde_json::from_str(json).map_err(|error| unsupported(error.to_string()))?;
    let architecture = blueprint(&values).map_err(unsupported)?.architecture;
    Ok(ConfigurationReport {
        positions: positions(&architecture),
        width: architecture.width,
        layers: architecture.layers.len(),
        window_tokens: architecture.window,
        family: architecture.family,
    })
}

/// Of all layers, each kind once.
fn positions(architecture: &Architecture) -> String {
    let of_layers = architecture.layers.iter().map(|layer| match &layer.attention.position {
        Position::None => "none".to_owned(),
        Position::Alibi { .. } => "ALiBi".to_owned(),
        Position::Rotary(rotary) if rotary.scaling == "default" => "rotary".to_owned(),
        Position::Rotary(rotary) => format!("rotary, scaled by {}", rotary.scaling),
    });
    let kinds: BTreeSet<String> = of_layers.collect();
    kinds.into_iter().collect::<Vec<_>>().join("; ")
}

fn plain_bytes(precision: Precision) -> u64 {
    match precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
    }
}

/// Keys and values of one token over all layers.
fn cached_numbers(architecture: &Architecture) -> u64 {
    let of_layer = architecture.layers.iter().map(|layer| {
        let attention = &layer.attention;
        attention.kv_heads * (attention.head_width + attention.value_width)
    });
    of_layer.sum::<usize>() as u64
}
