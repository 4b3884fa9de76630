//! What an answer must look like, token by token. Owns the llguidance library.
//!
//! The grammar reads the bytes of [`TokenTable`], the same that the answer's text is made of. How much a grammar may cost
//! is bounded by the library's own limits: their excess is an error of the request, before it starts or in its midst.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::Value;

use super::request::ensure;
use super::text::TokenTable;
use crate::{Constraint, EngineError};

mod place;
#[cfg(test)]
pub(crate) mod tests;

/// Longer tokens (runs of spaces, mostly) are not used under a constraint; the library's tree is not deeper.
const TOKEN_BYTES_MAX: usize = 512;
/// Of a schema or a regular expression.
const CONSTRAINT_BYTES_MAX: usize = 1 << 18;
/// Of a complaint that is passed on.
const REASON_CHARACTERS_MAX: usize = 400;

/// Compiles constraints for one vocabulary, whose tree is built when the first one comes.
pub(crate) struct Constraints {
    table: Arc<TokenTable>,
    factory: OnceLock<Result<ParserFactory, String>>,
}

/// A constraint while it is followed.
pub(crate) struct Grammar(Matcher);

impl Constraints {
    pub(crate) fn new(table: Arc<TokenTable>) -> Self {
        Self { table, factory: OnceLock::new() }
    }

    /// # Errors
    /// [`EngineError::Prompt`] that says what in the constraint cannot be followed, and where.
    pub(crate) fn compile(&self, constraint: &Constraint) -> Result<Grammar, EngineError> {
        let bytes = match constraint {
            Constraint::JsonObject => 0,
            Constraint::JsonSchema(schema) => schema.to_string().len(),
            Constraint::Regex(regex) => regex.len(),
        };
        ensure(bytes <= CONSTRAINT_BYTES_MAX, || format!("the constraint has {bytes} bytes, more than {CONSTRAINT_BYTES_MAX}"))?;
        let factory = self.factory.get_or_init(|| build_factory(&self.table)).as_ref();
        let factory = factory.map_err(EngineError::library("reading the vocabulary for constraints"))?;
        match constraint {
            Constraint::JsonObject => compile_schema(factory, &serde_json::json!({ "type": "object" })),
            Constraint::JsonSchema(schema) => compile_schema(factory, schema).map_err(|reason| {
                let (place, reason) = place::find(schema, reason, |part| compile_schema(factory, part).map(|_| ()));
                format!("the JSON schema cannot be followed at {place}: {reason}")
            }),
            Constraint::Regex(regex) => {
                compile_regex(factory, regex).map_err(|reason| format!("the regular expression cannot be followed: {reason}"))
            }
        }
        .map_err(|reason| EngineError::Prompt { reason })
    }
}

impl Grammar {
    /// Takes away what may not come next: its logit becomes -∞.
    ///
    /// # Errors
    /// [`EngineError::Prompt`] where following the grammar costs more than is allowed.
    pub(crate) fn restrict(&mut self, logits: &mut [f32]) -> Result<(), EngineError> {
        let allowed = self.0.compute_mask().map_err(too_costly)?;
        let words = allowed.as_slice();
        for (token, logit) in logits.iter_mut().enumerate() {
            if words.get(token / 32).is_none_or(|word| word >> (token % 32) & 1 == 0) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Goes on with an allowed token that is no ending. Whether the answer is complete and can only end.
    ///
    /// # Errors
    /// As [`Grammar::restrict`].
    pub(crate) fn accept(&mut self, token: u32) -> Result<bool, EngineError> {
        self.0.consume_token(token).map_err(too_costly)?;
        Ok(self.0.is_stopped())
    }
}

fn too_costly(error: impl Display) -> EngineError {
    EngineError::Prompt { reason: format!("the constraint cannot be followed further: {}", first_line(error)) }
}

/// The library adds its state, and where it panicked, behind what it has to say.
fn first_line(error: impl Display) -> String {
    let text = error.to_string();
    let line = text.split(['\n', '<']).map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason is given");
    line.chars().take(REASON_CHARACTERS_MAX).collect()
}

fn compile(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<Grammar, String> {
    let parser = factory.create_parser(grammar).map_err(first_line)?;
    let matcher = Matcher::new(Ok(parser));
    match matcher.get_error() {
        Some(error) => Err(first_line(error)),
        None => Ok(Grammar(matcher)),
    }
}

fn compile_schema(factory: &ParserFactory, schema: &Value) -> Result<Grammar, String> {
    let mut schema = schema.clone();
    if schema.is_object() {
        // No white space between two parts: a small model loses itself in it until its answer is cut.
        let options = JsonCompileOptions { whitespace_flexible: false, ..JsonCompileOptions::default() };
        options.apply_to(&mut schema);
    }
    compile(factory, TopLevelGrammar::from_json_schema(schema))
}

fn compile_regex(factory: &ParserFactory, regex: &str) -> Result<Grammar, String> {
    // The library would drop a last backslash that escapes nothing, and read an empty expression as a comment.
    let backslashes = regex.chars().rev().take_while(|character| *character == '\\').count();
    if backslashes % 2 == 1 {
        return Err("its last backslash escapes nothing".to_owned());
    }
    compile(factory, TopLevelGrammar::from_regex(if regex.is_empty() { "(?:)" } else { regex }))
}

fn build_factory(table: &TokenTable) -> Result<ParserFactory, String> {
    let built = std::panic::catch_unwind(|| {
        let vocabulary: TokEnv = Arc::new(Vocabulary(tree(table)));
        let slices = SlicedBiasComputer::json_slices();
        ParserFactory::new(&vocabulary, InferenceCapabilities::default(), &slices).map_err(first_line)
    });
    let mut factory = built.map_err(|_| "the library cannot hold it".to_owned())??;
    factory.quiet();
    *factory.limits_mut() = ParserLimits { verbose_errors: false, ..ParserLimits::default() };
    Ok(factory)
}

fn tree(table: &TokenTable) -> TokTrie {
    let tokens: Vec<Vec<u8>> = (0..).take(table.tokens()).map(|token| tree_bytes(table, token)).collect();
    let endings: Vec<TokenId> = table.endings().iter().copied().filter(|token| (*token as usize) < tokens.len()).collect();
    let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    let tree = TokTrie::from(&TokRxInfo::new(count, llguidance::toktrie::INVALID_TOKEN), &tokens);
    if endings.is_empty() { tree } else { tree.with_eos_tokens(&endings) }
}

/// Special tokens stand behind a byte that no text has, so that no grammar leads to them. What is empty is never allowed.
fn tree_bytes(table: &TokenTable, token: u32) -> Vec<u8> {
    let bytes = table.bytes(token);
    if table.is_special(token) || table.is_ending(token) {
        [&[TokTrie::SPECIAL_TOKEN_MARKER], format!("[{token}]").as_bytes()].concat()
    } else if bytes.len() > TOKEN_BYTES_MAX || bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
        Vec::new()
    } else {
        bytes.to_vec()
    }
}

/// The library never tokenizes: every token that fits is allowed, as the model would have it.
struct Vocabulary(TokTrie);

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, text: &[u8]) -> Vec<TokenId> {
        self.0.greedy_tokenize(text)
    }

    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}
