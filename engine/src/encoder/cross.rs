//! Scores by a cross-encoder: a question and a passage are one text of two segments, and a head reads its first token.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::batches::{in_micro_batches, tokenized};
use super::bert::{BertConfig, Encode, Pooling, Text, TextLimits, load_encoder};
use super::files::{Files, read_json};
use super::workers::Workers;
use super::{EmbedderOptions, Reranker, RerankerInfo};
use crate::EngineError;
use crate::files::safetensors::Safetensors;
use crate::kernels::Isa;
use head::{Head, HeadKind};
use pairs::{Pair, PairTokens, TokenizerFile};

mod head;
mod pairs;

#[cfg(test)]
mod tests;

/// Segments of a pair. A model may know more types of tokens; no pair has them.
const SEGMENTS: usize = 2;

/// `config_sentence_transformers.json`
#[derive(Default, Deserialize)]
#[serde(default)]
struct PromptsFile {
    default_prompt_name: Option<String>,
}

/// A loaded reranker of the BERT family: `BertForSequenceClassification` (ms-marco-MiniLM), or `RobertaForSequenceClassification`
/// and `XLMRobertaForSequenceClassification` (bge-reranker), with one label.
pub struct CrossEncoder {
    info: RerankerInfo,
    isa: Isa,
    micro_batch_tokens: usize,
    tokens: Arc<PairTokens>,
    encoder: Arc<dyn Encode>,
    head: Arc<Head>,
    workers: Workers,
}

impl CrossEncoder {
    /// Loads a reranker from a directory in the layout of transformers: `config.json`, `tokenizer.json`, `model.safetensors`
    /// and, where it is there, `tokenizer_config.json`. Nothing vouches for its files: they are checked for what they are, not
    /// for whose.
    ///
    /// # Errors
    /// [`EngineError::MissingFile`] or [`EngineError::Io`] for the files; [`EngineError::UnsupportedModel`] for what is in
    /// them; [`EngineError::UnsupportedCpu`] for a forced path.
    pub fn load_unverified(dir: &Path, name: &str, options: &EmbedderOptions) -> Result<Self, EngineError> {
        let files = Files::read(dir, name)?;
        let tokenizer_file = read_json(dir, "tokenizer_config.json", name)?.unwrap_or_default();
        let prompts: PromptsFile = read_json(dir, "config_sentence_transformers.json", name)?.unwrap_or_default();
        if let Some(prompt) = prompts.default_prompt_name {
            let reason = format!("config_sentence_transformers.json: default_prompt_name is {prompt:?}; pairs are scored without a prompt");
            return Err(EngineError::UnsupportedModel { name: name.to_owned(), reason });
        }
        let model = Self::from_files(name, &files, &tokenizer_file, options)?;
        let tried = model.score("a question", &["a passage"]);
        tried.map_err(|error| EngineError::UnsupportedModel { name: name.to_owned(), reason: format!("it scores nothing: {error}") })?;
        Ok(model)
    }

    fn from_files(name: &str, files: &Files, tokenizer_file: &TokenizerFile, options: &EmbedderOptions) -> Result<Self, EngineError> {
        let unsupported = |reason| EngineError::UnsupportedModel { name: name.to_owned(), reason };
        let cpu = options.cpu()?;
        let head = HeadKind::parse(&files.config).map_err(unsupported)?;
        let config = BertConfig::parse(&files.config).map_err(unsupported)?;
        let window_tokens = tokenizer_file.window(config.tokens_max());
        let types = tokenizer_file.tells_types(head).then_some(config.token_types().min(SEGMENTS));
        let tokens = PairTokens::from_bytes(&files.tokenizer, tokenizer_file, window_tokens, config.vocabulary, types);
        let tokens = tokens.map_err(unsupported)?;
        let limits = TextLimits { window: window_tokens, token_types: types.unwrap_or(1) };
        let tensors = Safetensors::parse(&files.weights).map_err(unsupported)?;
        let head = Head::load(&tensors, head, config.width, cpu).map_err(unsupported)?;
        let encoder = load_encoder(&tensors, config, limits, cpu, options.precision).map_err(unsupported)?;
        let (known_as, sha256) = options.precision.identity("reranker", name, &identity(files, window_tokens, types));
        let info = RerankerInfo { name: known_as, sha256, window_tokens };
        let workers = options.start_workers()?;
        tracing::info!(model = info.name, info.sha256, isa = %cpu.isa(), threads = workers.count(), "reranker loaded");
        Ok(Self {
            info,
            isa: cpu.isa(),
            micro_batch_tokens: options.micro_batch_tokens,
            tokens: Arc::new(tokens),
            encoder,
            head: Arc::new(head),
            workers,
        })
    }

    /// The path that its arithmetic takes.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    fn pairs(&self, question: &str, passages: &[&str]) -> Result<Vec<Pair>, EngineError> {
        let question = self.tokens.side(question)?;
        let passages = passages.iter().map(|passage| (*passage).to_owned()).collect();
        let tokens = self.tokens.clone();
        tokenized(&self.workers, passages, move |passage| tokens.pair(&question, tokens.side(passage)?))
    }
}

/// The sha256 of a line for each thing that decides which scores a folder's model gives.
fn identity(files: &Files, window_tokens: usize, types: Option<usize>) -> String {
    let sha256 = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let Files { config, tokenizer, weights } = files;
    let [config, tokenizer, weights] = [config, tokenizer, weights].map(|bytes| sha256(bytes));
    let types = types.unwrap_or(1);
    let description = format!(
        "headwater/cross-encoder/1\nconfig {config}\ntokenizer {tokenizer}\nweights {weights}\nwindow {window_tokens}\ntypes {types}\n"
    );
    sha256(description.as_bytes())
}

impl Reranker for CrossEncoder {
    fn info(&self) -> &RerankerInfo {
        &self.info
    }

    fn score(&self, question: &str, passages: &[&str]) -> Result<Vec<f32>, EngineError> {
        let pairs = self.pairs(question, passages)?;
        let lengths: Vec<usize> = pairs.iter().map(|pair| pair.ids.len()).collect();
        let (encoder, head) = (self.encoder.clone(), self.head.clone());
        in_micro_batches(&self.workers, &lengths, self.micro_batch_tokens, "reranking", move |batch| {
            let pairs = batch.iter().filter_map(|pair| pairs.get(*pair));
            let texts: Vec<Text<'_>> = pairs.map(|pair| Text { ids: &pair.ids, types: pair.types.as_deref() }).collect();
            head.scores(&encoder.encode(&texts, Pooling::Cls)?)
        })
    }
}

impl std::fmt::Debug for CrossEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CrossEncoder").field("info", &self.info).field("isa", &self.isa).finish_non_exhaustive()
    }
}
