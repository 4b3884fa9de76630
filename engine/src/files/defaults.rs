//! What `generation_config.json` proposes.

use serde_json::{Map, Value};

use crate::architecture::families::config::{Config, Refusal};

const EOS_MAX: usize = 64;

/// How the model's makers sample from it. None where they say nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GenerationDefaults {
    /// False: always the likeliest token, whatever the rest says.
    pub(crate) samples: Option<bool>,
    pub(crate) temperature: Option<f32>,
    pub(crate) top_k: Option<usize>,
    pub(crate) top_p: Option<f32>,
    pub(crate) min_p: Option<f32>,
    pub(crate) repetition_penalty: Option<f32>,
}

impl GenerationDefaults {
    /// # Errors
    /// A sentence that names the value that is no such thing.
    pub(crate) fn read(values: &Map<String, Value>) -> Result<Self, Refusal> {
        let config = Config::new(values);
        let within = |key: &str, least: f32, most: f32| match config.number(key)? {
            Some(number) if !(least..=most).contains(&number) => Err(format!("{key} is {number}, not from {least} to {most}")),
            number => Ok(number),
        };
        Ok(Self {
            samples: config.value("do_sample").map(|_| config.flag("do_sample", false)).transpose()?,
            temperature: within("temperature", 0.0, 100.0)?,
            top_k: config.count("top_k", usize::MAX)?,
            top_p: within("top_p", 0.0, 1.0)?,
            min_p: within("min_p", 0.0, 1.0)?,
            repetition_penalty: within("repetition_penalty", 0.01, 100.0)?,
        })
    }
}

/// `eos_token_id`: a number, a list of them, or nothing.
pub(crate) fn eos_ids(values: &Map<String, Value>) -> Result<Vec<u32>, Refusal> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let wrong = || "eos_token_id is neither a token's number nor a short list of them".to_owned();
    match values.get("eos_token_id") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(ids)) if ids.len() <= EOS_MAX => ids.iter().map(|value| id(value).ok_or_else(wrong)).collect(),
        Some(value) => id(value).map(|id| vec![id]).ok_or_else(wrong),
    }
}
