//! A model's tokenizer, with truncation and padding taken out of its hands.

use tokenizers::{Encoding, Tokenizer, TruncationDirection};

use crate::EngineError;
use crate::files::contained;

pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    /// Most tokens of a text, special tokens included.
    window: usize,
    /// What stands before a text, `[CLS]`, and after it, `[SEP]`.
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Tokens {
    /// From the bytes of a `tokenizer.json`; `window` counts special tokens. No id reaches `vocabulary`.
    pub(crate) fn from_bytes(json: &[u8], window: usize, vocabulary: usize) -> Result<Self, String> {
        let describe = |reason: String| format!("tokenizer.json: {reason}");
        let (tokenizer, _) = load_tokenizer(json, vocabulary).map_err(describe)?;
        let empty = contained(|| tokenizer.encode_fast("", true)).map_err(describe)?;
        let (before, after) = match *empty.get_ids() {
            [] => (vec![], vec![]),
            [after] => (vec![], vec![after]),
            [before, after] => (vec![before], vec![after]),
            ref ids => return Err(describe(format!("{} special tokens around a text", ids.len()))),
        };
        if window <= before.len() + after.len() {
            return Err(format!("a window of {window} tokens has no room for a text"));
        }
        Ok(Self { tokenizer, window, before, after })
    }

    /// The special tokens and, between them, as many of the text's as the window holds.
    pub(crate) fn window_ids(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding = self.without_offsets(text)?;
        let room = self.window - self.before.len() - self.after.len();
        let inner = encoding.get_ids().iter().take(room);
        Ok(self.before.iter().chain(inner).chain(&self.after).copied().collect())
    }

    pub(crate) fn count(&self, text: &str) -> Result<usize, EngineError> {
        Ok(self.without_offsets(text)?.len())
    }

    /// Byte ranges in `text`.
    pub(crate) fn offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        let encoding = contained(|| self.tokenizer.encode(text, false)).map_err(EngineError::library("tokenizing"))?;
        Ok(encoding.get_offsets().to_vec())
    }

    fn without_offsets(&self, text: &str) -> Result<Encoding, EngineError> {
        contained(|| self.tokenizer.encode_fast(text, false)).map_err(EngineError::library("tokenizing"))
    }
}

/// A tokenizer that neither truncates nor pads and gives no id from `vocabulary` on, and at which end its file would have cut.
pub(super) fn load_tokenizer(json: &[u8], vocabulary: usize) -> Result<(Tokenizer, TruncationDirection), String> {
    let mut tokenizer = contained(|| Tokenizer::from_bytes(json))?;
    let direction = tokenizer.get_truncation().map(|truncation| truncation.direction).unwrap_or_default();
    // The published file of MiniLM truncates at 128 tokens and pads every text to 128.
    contained(|| tokenizer.with_truncation(None).map(drop))?;
    tokenizer.with_padding(None);
    match tokenizer.get_vocab(true).into_iter().find(|(_, id)| *id as usize >= vocabulary) {
        Some((token, id)) => Err(format!("{token:?} has the id {id}; the weights have {vocabulary}")),
        None => Ok((tokenizer, direction)),
    }
}
