//! Sentence embeddings by an encoder of the BERT family: tokenizer, encoder, pooling, workers.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::bert::{Bert, BertConfig, ByteRows, Encode, PlainRows};
use super::plan::{micro_batches, token_budget};
use super::tokens::Tokens;
use super::workers::Workers;
use super::{Embedder, EmbedderInfo, normalise};
use crate::EngineError;
use crate::files::safetensors::Safetensors;
use crate::kernels::{Bf16, Cpu, EmbedderPrecision, Isa, Widened};
use crate::models::{ModelSpec, read_verified};
use files::Files;
pub(crate) use recipe::Recipe;

mod files;
mod recipe;

#[cfg(test)]
pub(crate) mod tests;

const WEIGHTS: &str = "model.safetensors";
/// Texts that a worker tokenizes at a time.
const TOKENIZED_TEXTS: usize = 16;

/// How a model is run. The default suits a server: f32, the best instruction set, a worker for each processor.
#[derive(Debug, Clone)]
pub struct EmbedderOptions {
    pub precision: EmbedderPrecision,
    /// Forces an instruction set, to measure or test it.
    pub isa: Option<Isa>,
    /// Worker threads; at least one.
    pub threads: usize,
    /// Most tokens of the texts that are encoded together; a longer text is alone.
    pub micro_batch_tokens: usize,
    /// What the model is said to be made for (ISO 639-3); empty: what the catalogue says, and nothing of another model.
    pub languages: Vec<String>,
}

impl Default for EmbedderOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { precision: EmbedderPrecision::F32, isa: None, threads, micro_batch_tokens: 512, languages: Vec::new() }
    }
}

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
        Self::from_files(name, identity(&files, &recipe), &files, &recipe, options)
    }

    fn from_files(name: &str, sha256: String, files: &Files, recipe: &Recipe, options: &EmbedderOptions) -> Result<Self, EngineError> {
        let unsupported = |reason| EngineError::UnsupportedModel { name: name.to_owned(), reason };
        let isa = options.isa.unwrap_or_else(Isa::detect);
        let cpu = Cpu::new(isa).ok_or_else(|| EngineError::UnsupportedCpu { wanted: isa, best: Isa::detect() })?;
        let config = BertConfig::parse(&files.config).map_err(unsupported)?;
        let window_tokens = recipe.window_tokens.unwrap_or(usize::MAX).min(config.tokens_max());
        let tokens = Tokens::from_bytes(&files.tokenizer, window_tokens, config.vocabulary).map_err(unsupported)?;
        let tensors = Safetensors::parse(&files.weights).map_err(unsupported)?;
        let (known_as, sha256) = options.precision.identity(name, &sha256);
        let languages = options.languages.clone();
        let info = EmbedderInfo { name: known_as, sha256, dimensions: config.width, window_tokens, languages };
        let encoder = load_encoder(&tensors, config, (window_tokens, cpu), options.precision).map_err(unsupported)?;
        let workers = Workers::start(options.threads.max(1)).map_err(EngineError::library("starting threads"))?;
        tracing::info!(model = info.name, info.sha256, %isa, threads = workers.count(), "model loaded");
        let micro_batch_tokens = options.micro_batch_tokens.max(1);
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
        let budget = token_budget(lengths.iter().sum(), self.workers.count(), self.micro_batch_tokens);
        let batches = Arc::new(micro_batches(&lengths, budget));
        let (encoder, pooling, own_batches) = (self.encoder.clone(), self.recipe.pooling, batches.clone());
        let encoded = self.workers.map(batches.len(), move |piece| {
            let batch = own_batches.get(piece).map(Vec::as_slice).unwrap_or_default();
            let texts: Vec<&[u32]> = batch.iter().filter_map(|text| ids.get(*text)).map(Vec::as_slice).collect();
            encoder.encode(&texts, pooling).and_then(|vectors| vectors.into_iter().map(unit).collect::<Result<Vec<_>, _>>())
        });
        let mut vectors = vec![Vec::new(); texts.len()];
        for (batch, encoded) in batches.iter().zip(encoded.ok_or("a worker panicked").map_err(EngineError::library("embedding"))?) {
            for (text, vector) in batch.iter().zip(encoded.map_err(EngineError::library("embedding"))?) {
                if let Some(slot) = vectors.get_mut(*text) {
                    *slot = vector;
                }
            }
        }
        Ok(vectors)
    }

    /// Ids of every text, special tokens included, at most the window.
    fn tokenize(&self, prefix: &str, texts: &[&str]) -> Result<Vec<Vec<u32>>, EngineError> {
        let texts: Vec<String> = texts.iter().map(|text| [prefix, text].concat()).collect();
        let tokens = self.tokens.clone();
        let tokenized = self.workers.map(texts.len().div_ceil(TOKENIZED_TEXTS), move |piece| {
            let texts = texts.iter().skip(piece * TOKENIZED_TEXTS).take(TOKENIZED_TEXTS);
            texts.map(|text| tokens.window_ids(text)).collect::<Result<Vec<_>, _>>()
        });
        let tokenized = tokenized.ok_or("a worker panicked").map_err(EngineError::library("tokenizing"))?;
        Ok(tokenized.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
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

/// What is made of tokens is bf16, at bf16 and beside bytes, where the processor multiplies it; elsewhere only weights are.
fn load_encoder(
    tensors: &Safetensors<'_>,
    config: BertConfig,
    (window, cpu): (usize, Cpu),
    precision: EmbedderPrecision,
) -> Result<Arc<dyn Encode>, String> {
    Ok(match precision {
        EmbedderPrecision::F32 => Arc::new(Bert::<PlainRows<f32>>::load(tensors, config, window, cpu)?),
        EmbedderPrecision::Bf16 if cpu.multiplies_bf16() => Arc::new(Bert::<PlainRows<Bf16>>::load(tensors, config, window, cpu)?),
        EmbedderPrecision::Bf16 => Arc::new(Bert::<PlainRows<Widened>>::load(tensors, config, window, cpu)?),
        EmbedderPrecision::Int8 if cpu.multiplies_bf16() => Arc::new(Bert::<ByteRows<Bf16>>::load(tensors, config, window, cpu)?),
        EmbedderPrecision::Int8 => Arc::new(Bert::<ByteRows<f32>>::load(tensors, config, window, cpu)?),
    })
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
