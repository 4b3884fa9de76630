//! Reading what a configuration says, one checked value at a time.

use serde_json::{Map, Value};

use crate::architecture::DecoderActivation;

pub(crate) const LAYERS_MAX: usize = 512;
pub(crate) const WIDTH_MAX: usize = 1 << 17;
/// Of one head: every layer's frequencies are half as many.
pub(crate) const HEAD_WIDTH_MAX: usize = 4096;
const HEADS_MAX: usize = 4096;
const VOCABULARY_MAX: usize = 1 << 22;
const WINDOW_MAX: usize = 1 << 25;
const EXPERTS_MAX: usize = 4096;

/// The keys of a `config.json`, or of a GGUF file's metadata under the same names.
#[derive(Clone, Copy)]
pub(crate) struct Config<'a> {
    values: &'a Map<String, Value>,
}

/// A sentence that names the key.
pub(crate) type Refusal = String;

impl<'a> Config<'a> {
    pub(crate) fn new(values: &'a Map<String, Value>) -> Self {
        Self { values }
    }

    pub(crate) fn values(&self) -> &'a Map<String, Value> {
        self.values
    }

    /// Whether the key is there at all, be it null.
    pub(crate) fn says(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// A value of null is no value.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// A part that is a table of its own.
    pub(crate) fn section(&self, key: &str) -> Result<Option<Config<'a>>, Refusal> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(values)) => Ok(Some(Self { values })),
            Some(other) => Err(format!("{key} is {}, not a table", shown(other))),
        }
    }

    pub(crate) fn size(&self, key: &str, most: usize) -> Result<usize, Refusal> {
        self.optional_size(key, most)?.ok_or_else(|| format!("{key} is missing"))
    }

    /// Never 0.
    pub(crate) fn optional_size(&self, key: &str, most: usize) -> Result<Option<usize>, Refusal> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=most).contains(size));
        size.map(Some).ok_or_else(|| format!("{key} is {}: a whole number from 1 to {most} is run", shown(value)))
    }

    /// What files call by several names; those that are there must agree.
    pub(crate) fn size_of(&self, keys: &[&str], most: usize) -> Result<usize, Refusal> {
        let mut said = None;
        for key in keys {
            match (self.optional_size(key, most)?, said) {
                (Some(size), Some((other, before))) if size != before => return Err(format!("{key} is {size} and {other} {before}")),
                (Some(size), None) => said = Some((*key, size)),
                _ => {}
            }
        }
        said.map(|(_, size)| size).ok_or_else(|| format!("{} is missing", keys.first().copied().unwrap_or("a size")))
    }

    /// May be 0.
    pub(crate) fn count(&self, key: &str, most: usize) -> Result<Option<usize>, Refusal> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|count| *count <= most);
        count.map(Some).ok_or_else(|| format!("{key} is {}: a whole number up to {most} is run", shown(value)))
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, Refusal> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!("{key} is {}, neither true nor false", shown(other))),
        }
    }

    /// Refuses what is not `wanted`, and takes nothing for it.
    pub(crate) fn must(&self, key: &str, wanted: bool) -> Result<(), Refusal> {
        if self.flag(key, wanted)? == wanted { Ok(()) } else { Err(format!("{key} is {}: only {wanted} is run", !wanted)) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "numbers of a configuration are meant as f32")]
    pub(crate) fn number(&self, key: &str) -> Result<Option<f32>, Refusal> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let number = value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| format!("{key} is {}, not a number", shown(value)))
    }

    /// Above 0.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f32>, Refusal> {
        match self.number(key)? {
            Some(number) if number <= 0.0 => Err(format!("{key} is {number}: a number above 0 is run")),
            number => Ok(number),
        }
    }

    pub(crate) fn numbers(&self, key: &str) -> Result<Option<Vec<f32>>, Refusal> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        #[expect(clippy::cast_possible_truncation, reason = "numbers of a configuration are meant as f32")]
        let number = |value: &Value| value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
        let numbers = value.as_array().and_then(|values| values.iter().map(number).collect());
        numbers.map(Some).ok_or_else(|| format!("{key} is {}, not a list of numbers", shown(value)))
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, Refusal> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{key} is {}, not a text", shown(other))),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, Refusal> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let texts = value.as_array().and_then(|values| values.iter().map(Value::as_str).collect());
        texts.map(Some).ok_or_else(|| format!("{key} is {}, not a list of texts", shown(value)))
    }

    /// A list of whole numbers.
    pub(crate) fn counts(&self, key: &str) -> Result<Option<Vec<u64>>, Refusal> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let counts = value.as_array().and_then(|values| values.iter().map(Value::as_u64).collect());
        counts.map(Some).ok_or_else(|| format!("{key} is {}, not a list of whole numbers", shown(value)))
    }

    pub(crate) fn activation(&self, keys: &[&str], default: &str) -> Result<DecoderActivation, Refusal> {
        let key = keys.iter().find(|key| self.value(key).is_some()).or(keys.first()).copied().unwrap_or_default();
        match self.text(key)?.unwrap_or(default) {
            "silu" | "swish" => Ok(DecoderActivation::Silu),
            "gelu" => Ok(DecoderActivation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(DecoderActivation::GeluTanh),
            "relu" => Ok(DecoderActivation::Relu),
            other => Err(format!("{key} is {other:?}: silu, gelu, gelu_new, gelu_pytorch_tanh and relu are run")),
        }
    }
}

/// The sizes that every family has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) vocabulary: usize,
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) window: usize,
}

/// Most numbers of a layer's projections together: a bound on what shapes are multiplied to.
const PROJECTION_MAX: usize = 1 << 20;

impl Sizes {
    /// With the names that most families use, and what other files of the family call them.
    pub(crate) fn read(config: &Config<'_>) -> Result<Self, Refusal> {
        Self::read_or(config, None)
    }

    /// With the width of a head where the file says none; without that, the heads divide the model's width.
    pub(crate) fn read_or(config: &Config<'_>, head_width: Option<usize>) -> Result<Self, Refusal> {
        let heads = config.size_of(&["num_attention_heads", "n_head"], HEADS_MAX)?;
        let width = config.size_of(&["hidden_size", "n_embed"], WIDTH_MAX)?;
        let sizes = Self {
            vocabulary: config.size_of(&["vocab_size", "padded_vocab_size"], VOCABULARY_MAX)?,
            width,
            layers: config.size_of(&["num_hidden_layers", "n_layer", "num_layers"], LAYERS_MAX)?,
            heads,
            kv_heads: config.optional_size("num_key_value_heads", HEADS_MAX)?.unwrap_or(heads),
            head_width: match config.optional_size("head_dim", HEAD_WIDTH_MAX)? {
                Some(head_width) => head_width,
                None if head_width.is_some() && !config.says("head_dim") => head_width.unwrap_or_default(),
                None => divided(width, heads)?,
            },
            window: config.size_of(&["max_position_embeddings", "seq_length"], WINDOW_MAX)?,
        };
        sizes.check()
    }

    pub(crate) fn check(self) -> Result<Self, Refusal> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(format!("{} key-value heads do not divide {} heads", self.kv_heads, self.heads));
        }
        if self.head_width > HEAD_WIDTH_MAX || self.heads * self.head_width > PROJECTION_MAX {
            return Err(format!("{} heads of {} numbers: {PROJECTION_MAX} numbers are run", self.heads, self.head_width));
        }
        Ok(self)
    }

    pub(crate) fn inner_width(config: &Config<'_>, keys: &[&str]) -> Result<usize, Refusal> {
        config.size_of(keys, PROJECTION_MAX)
    }

    pub(crate) fn experts(config: &Config<'_>, key: &str) -> Result<usize, Refusal> {
        config.size(key, EXPERTS_MAX)
    }
}

fn divided(width: usize, heads: usize) -> Result<usize, Refusal> {
    if width.is_multiple_of(heads) { Ok(width / heads) } else { Err(format!("a width of {width} does not divide into {heads} heads")) }
}

/// A value as an error shows it: short, whatever the file says.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("a list of {}", values.len()),
        Value::Object(_) => "a table".to_owned(),
        Value::String(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        other => other.to_string(),
    }
}
