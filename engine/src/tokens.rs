//! A model's tokenizer, with truncation and padding taken out of its hands.

use std::panic::catch_unwind;

use tokenizers::Tokenizer;

use crate::EngineError;

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
        // The library asserts in places what a file can break.
        let parsed = catch_unwind(|| Tokenizer::from_bytes(json)).map_err(|_| "tokenizer.json: its parser panicked")?;
        let mut tokenizer = parsed.map_err(|error| format!("tokenizer.json: {error}"))?;
        // The published file of MiniLM truncates at 128 tokens and pads every text to 128.
        tokenizer.with_truncation(None).map_err(|error| format!("tokenizer.json: {error}"))?;
        tokenizer.with_padding(None);
        if let Some((token, id)) = tokenizer.get_vocab(true).into_iter().find(|(_, id)| *id as usize >= vocabulary) {
            return Err(format!("tokenizer.json gives {token:?} the id {id}; the weights have {vocabulary}"));
        }
        let empty = tokenizer.encode_fast("", true).map_err(|error| format!("tokenizer.json: {error}"))?;
        let (before, after) = match *empty.get_ids() {
            [] => (vec![], vec![]),
            [after] => (vec![], vec![after]),
            [before, after] => (vec![before], vec![after]),
            ref ids => return Err(format!("tokenizer.json puts {} special tokens around a text", ids.len())),
        };
        if window <= before.len() + after.len() {
            return Err(format!("a window of {window} tokens has no room for a text"));
        }
        Ok(Self { tokenizer, window, before, after })
    }

    /// The special tokens and, between them, as many of the text's as the window holds.
    pub(crate) fn window_ids(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(EngineError::library("tokenizing"))?;
        let room = self.window - self.before.len() - self.after.len();
        let inner = encoding.get_ids().iter().take(room);
        Ok(self.before.iter().chain(inner).chain(&self.after).copied().collect())
    }

    pub(crate) fn count(&self, text: &str) -> Result<usize, EngineError> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(EngineError::library("tokenizing"))?;
        Ok(encoding.len())
    }

    /// Byte ranges in `text`.
    pub(crate) fn offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        let encoding = self.tokenizer.encode(text, false).map_err(EngineError::library("tokenizing"))?;
        Ok(encoding.get_offsets().to_vec())
    }
}
