//! Sentence embeddings by an encoder of the BERT family: tokenizer, encoder, pooling, workers.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::batches::{in_micro_batches, tokenized};
use super::bert::{BertConfig, Encode, Text, TextLimits, load_encoder};
use super::files::{Files, WEIGHTS};
use super::tokens::Tokens;
use super::workers::Workers;
use super::{Embedder, EmbedderInfo, EmbedderOptions, normalise};
use crate::EngineError;
use crate::files::safetensors::Safetensors;
use crate::kernels::Isa;
use crate::models::{ModelSpec, read_verified};
pub(crate) use recipe::Recipe;

mod recipe;

#[cfg(test)]
pub(crate) mod tests;

/// A loaded model of the BERT family (BERT, `RoBERTa`, XLM-R, `ModernBERT`) that gives one vector per text.
pub struct SentenceEmbedder {
    info: EmbedderInfo,
    recipe: Recipe,
    isa: Isa,
    micro_batch_tokens: usize,
    tokens: Arc<Tokens>,
    encoder: Arc<dyn Encode>,
    workers: Workers,
}

impl SentenceEmbedder {
    /// Loads a model of the catalogue from a directory that `headwater models pull` filled, verifying every file first.
    ///
    /// # Errors
    /// [`EngineError::MissingModel`], [`EngineError::CorruptModel`] or [`EngineError::Io`] for the files;
    /// [`EngineError::UnsupportedModel`] for what is in them; [`EngineError::UnsupportedCpu`] for a forced path.
    pub fn load(dir: &Path, spec: &ModelSpec, options: &EmbedderOptions) -> Result<Self, EngineError> {
        let files = Files {
            config: read_verified(dir, spec, "config.json")?,
            tokenizer: read_verified(dir, spec, "tokenizer.json")?,
            weights: read_verified(dir, spec, WEIGHTS)?,
        };
        let sha256 = spec.file(WEIGHTS).map(|file| file.sha256.to_owned()).unwrap_or_default();
        let mut options = options.clone();
        if options.languages.is_empty() {
            options.languages = spec.languages.iter().map(|language| (*language).to_owned()).collect();
        }
        Self::from_files(spec.name, sha256, &files, &Recipe::MINILM, &options)
    }

    /// Loads any model of the family from a directory in the layout of sentence-transformers, pooling and prompts
    /// included. Nothing vouches for its files: they are checked for what they are, not for whose, and its sha256 is over all of
    /// them that decide a vector.
    ///
    /// # Errors
    /// As [`SentenceEmbedder::load`], with [`EngineError::MissingFile`] for a file that is not there.
    pub fn load_unverified(dir: &Path, name: &str, options: &EmbedderOptions) -> Result<Self, EngineError> {
        let files = Files::read(dir, name)?;
        let recipe = Recipe::read(dir, name)?;
        let model = Self::from_files(name, identity(&files, &recipe), &files, &recipe, options)?;
        // weights that overflow and tokens beyond them are told here, and not by every text
        let tried = model.embed(&["a text"]).and_then(|_| model.embed_queries(&["a question"]));
        tried.map_err(|error| EngineError::UnsupportedModel { name: name.to_owned(), reason: format!("it embeds nothing: {error}") })?;
        Ok(model)
    }

    fn from_files(name: &str, sha256: String, files: &Files, recipe: &Recipe, options: &EmbedderOptions) -> Result<Self, EngineError> {
        let unsupported = |reason| EngineError::UnsupportedModel { name: name.to_owned(), reason };
        let cpu = options.cpu()?;
        let config = BertConfig::parse(&files.config).map_err(unsupported)?;
        let window_tokens = recipe.window_tokens.unwrap_or(usize::MAX).min(config.tokens_max());
        let tokens = Tokens::from_bytes(&files.tokenizer, window_tokens, config.vocabulary).map_err(unsupported)?;
        let tensors = Safetensors::parse(&files.weights).map_err(unsupported)?;
        let (known_as, sha256) = options.precision.identity("embedder", name, &sha256);
        let languages = options.languages.clone();
        let prompt_tokens = tokens.count(&recipe.passage_prefix)?;
        if prompt_tokens * 2 > window_tokens {
            return Err(unsupported(format!("the prompt before passages takes {prompt_tokens} of {window_tokens} tokens")));
        }
        let room = window_tokens - prompt_tokens;
        let info = EmbedderInfo { name: known_as, sha256, dimensions: config.width, window_tokens: room, languages };
        // A text is one segment: all of its tokens have the first type.
        let limits = TextLimits { window: window_tokens, token_types: 1 };
        let encoder = load_encoder(&tensors, config, limits, cpu, options.precision).map_err(unsupported)?;
        let workers = options.start_workers()?;
        tracing::info!(model = info.name, info.sha256, isa = %cpu.isa(), threads = workers.count(), "model loaded");
        let micro_batch_tokens = options.micro_batch_tokens;
        Ok(Self { info, recipe: recipe.clone(), isa: cpu.isa(), micro_batch_tokens, tokens: Arc::new(tokens), encoder, workers })
    }

    /// The path that its arithmetic takes.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How the tokens of a text become one vector, as sentence-transformers calls it.
    #[must_use]
    pub fn pooling(&self) -> &'static str {
        self.recipe.pooling.name()
    }

    /// What is put before a question.
    #[must_use]
    pub fn query_prompt(&self) -> &str {
        &self.recipe.query_prefix
    }

    /// What is put before a passage.
    #[must_use]
    pub fn passage_prompt(&self) -> &str {
        &self.recipe.passage_prefix
    }

    pub(crate) fn token_ids(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.tokens.window_ids(&[self.recipe.passage_prefix.as_str(), text].concat())
    }

    fn embed_prefixed(&self, prefix: &str, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        let ids = self.tokenize(prefix, texts)?;
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let (encoder, pooling) = (self.encoder.clone(), self.recipe.pooling);
        in_micro_batches(&self.workers, &lengths, self.micro_batch_tokens, "embedding", move |batch| {
            let texts: Vec<Text<'_>> = batch.iter().filter_map(|text| ids.get(*text)).map(|ids| Text { ids, types: None }).collect();
            encoder.encode(&texts, pooling)?.into_iter().map(unit).collect()
        })
    }

    /// Ids of every text, special tokens included, at most the window.
    fn tokenize(&self, prefix: &str, texts: &[&str]) -> Result<Vec<Vec<u32>>, EngineError> {
        let texts = texts.iter().map(|text| [prefix, text].concat()).collect();
        let tokens = self.tokens.clone();
        tokenized(&self.workers, texts, move |text| tokens.window_ids(text))
    }
}

/// The sha256 of a line for each thing that decides what vectors a folder's model gives. Prompts are hashed, so that none can
/// pass for a line.
fn identity(files: &Files, recipe: &Recipe) -> String {
    let sha256 = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let window = recipe.window_tokens.map_or_else(|| "positions".to_owned(), |tokens| tokens.to_string());
    let description = format!(
        "headwater/sentence-embedder/1\nconfig {}\ntokenizer {}\nweights {}\npooling {}\nwindow {window}\nquery {}\npassage {}\n",
        sha256(&files.config),
        sha256(&files.tokenizer),
        sha256(&files.weights),
        recipe.pooling.name(),
        sha256(recipe.query_prefix.as_bytes()),
        sha256(recipe.passage_prefix.as_bytes()),
    );
    sha256(description.as_bytes())
}

/// The vector at length 1.
fn unit(mut vector: Vec<f32>) -> Result<Vec<f32>, String> {
    let sound = vector.iter().all(|number| number.is_finite()) && normalise(&mut vector);
    if sound { Ok(vector) } else { Err("the model gave a vector without a direction".to_owned()) }
}

impl Embedder for SentenceEmbedder {
    fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        self.embed_prefixed(&self.recipe.passage_prefix, texts)
    }

    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        self.embed_prefixed(&self.recipe.query_prefix, texts)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, EngineError> {
        self.tokens.count(text)
    }

    fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        self.tokens.offsets(text)
    }
}

impl std::fmt::Debug for SentenceEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentenceEmbedder").field("info", &self.info).field("isa", &self.isa).finish_non_exhaustive()
    }
}
