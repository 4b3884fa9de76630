//! What stands around an encoder: pooling, window and prompts, as sentence-transformers keeps them beside a model.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::EngineError;
use crate::encoder::bert::Pooling;
use crate::encoder::files::read_json;

#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) pooling: Pooling,
    /// Special tokens included; as many as there are positions where nothing is said.
    pub(crate) window_tokens: Option<usize>,
    pub(crate) query_prefix: String,
    pub(crate) passage_prefix: String,
}

/// `1_Pooling/config.json`: one switch for each kind, or in newer files its name.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolingFile {
    pooling_mode: Option<String>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_lasttoken: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
}

/// What of a `modules.json` is run. A vector has length 1 with and without the last.
const MODULES: [&str; 3] = ["Transformer", "Pooling", "Normalize"];

/// `modules.json`: what a text goes through, in order.
#[derive(Deserialize)]
struct Module {
    /// A class of Python's, with the modules that it is in before it.
    #[serde(rename = "type")]
    class: String,
}

/// `sentence_bert_config.json`
#[derive(Default, Deserialize)]
#[serde(default)]
struct WindowFile {
    max_seq_length: Option<usize>,
}

/// `tokenizer_config.json`, where newer versions keep the window. Tokenizers without a limit say 10^30.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerFile {
    model_max_length: Option<f64>,
}

/// `config_sentence_transformers.json`
#[derive(Default, Deserialize)]
#[serde(default)]
struct PromptsFile {
    prompts: BTreeMap<String, String>,
}

impl Recipe {
    /// all-MiniLM-L6-v2, whose catalogue entry pins none of these files: `max_seq_length` of its published configuration.
    pub(crate) const MINILM: Self =
        Self { pooling: Pooling::Mean, window_tokens: Some(256), query_prefix: String::new(), passage_prefix: String::new() };

    /// Mean pooling without prompts where a file is missing, as sentence-transformers does.
    pub(super) fn read(dir: &Path, name: &str) -> Result<Self, EngineError> {
        let modules: Vec<Module> = read_json(dir, "modules.json", name)?.unwrap_or_default();
        let mut classes = modules.iter().filter_map(|module| module.class.rsplit('.').next());
        if let Some(other) = classes.find(|class| !MODULES.contains(class)) {
            let reason = format!("modules.json: {other:?} is not run; {} are", MODULES.join(", "));
            return Err(EngineError::UnsupportedModel { name: name.to_owned(), reason });
        }
        let pooling: Option<PoolingFile> = read_json(dir, "1_Pooling/config.json", name)?;
        let is_pooled = modules.iter().any(|module| module.class.ends_with(".Pooling"));
        let pooling = match pooling {
            Some(file) => file.pooling(),
            None if is_pooled => Err("modules.json names a pooling, and 1_Pooling/config.json, which says which, is missing".to_owned()),
            None => Ok(Pooling::Mean),
        };
        let pooling = pooling.map_err(|reason| EngineError::UnsupportedModel { name: name.to_owned(), reason })?;
        let window: WindowFile = read_json(dir, "sentence_bert_config.json", name)?.unwrap_or_default();
        let tokenizer: TokenizerFile = read_json(dir, "tokenizer_config.json", name)?.unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and the model's positions limit it")]
        let limit = tokenizer.model_max_length.map(|limit| limit as usize);
        let mut prompts = read_json::<PromptsFile>(dir, "config_sentence_transformers.json", name)?.unwrap_or_default().prompts;
        let mut prompt = |names: &[&str]| names.iter().find_map(|name| prompts.remove(*name)).unwrap_or_default();
        Ok(Self {
            pooling,
            window_tokens: window.max_seq_length.or(limit),
            query_prefix: prompt(&["query"]),
            passage_prefix: prompt(&["passage", "document", "corpus"]),
        })
    }
}

impl PoolingFile {
    fn pooling(&self) -> Result<Pooling, String> {
        let switches = [
            (self.pooling_mode_cls_token, "cls"),
            (self.pooling_mode_mean_tokens, "mean"),
            (self.pooling_mode_lasttoken, "lasttoken"),
            (self.pooling_mode_max_tokens, "max"),
            (self.pooling_mode_mean_sqrt_len_tokens, "mean_sqrt_len_tokens"),
            (self.pooling_mode_weightedmean_tokens, "weightedmean"),
        ];
        let mut named: Vec<&str> = switches.into_iter().filter_map(|(on, name)| on.then_some(name)).collect();
        named.extend(self.pooling_mode.as_deref());
        match *named {
            ["cls"] => Ok(Pooling::Cls),
            ["mean"] => Ok(Pooling::Mean),
            ["lasttoken"] => Ok(Pooling::Last),
            _ => Err(format!("1_Pooling/config.json: pooling by {named:?}; one of cls, mean and lasttoken is run")),
        }
    }
}
