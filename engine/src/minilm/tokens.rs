//! The model's tokenizer, with truncation and padding taken out of its hands.

use tokenizers::Tokenizer;

use crate::EngineError;

pub(super) struct Tokens {
    tokenizer: Tokenizer,
    window: usize,
    cls: u32,
    sep: u32,
}

impl Tokens {
    /// From the bytes of a `tokenizer.json`; `window` counts `[CLS]` and `[SEP]`.
    pub(super) fn from_bytes(json: &[u8], window: usize) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| format!("tokenizer.json: {error}"))?;
        // The published file truncates at 128 tokens and pads every text to 128.
        tokenizer.with_truncation(None).map_err(|error| format!("tokenizer.json: {error}"))?;
        tokenizer.with_padding(None);
        let special = |token| tokenizer.token_to_id(token).ok_or_else(|| format!("tokenizer.json has no {token}"));
        let (cls, sep) = (special("[CLS]")?, special("[SEP]")?);
        Ok(Self { tokenizer, window, cls, sep })
    }

    /// `[CLS]`, as many tokens of the text as the window holds, `[SEP]`.
    pub(super) fn window_ids(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(EngineError::library("tokenizing"))?;
        let inner = encoding.get_ids().iter().copied().take(self.window.saturating_sub(2));
        Ok(std::iter::once(self.cls).chain(inner).chain(std::iter::once(self.sep)).collect())
    }

    pub(super) fn count(&self, text: &str) -> Result<usize, EngineError> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(EngineError::library("tokenizing"))?;
        Ok(encoding.len())
    }

    /// Byte ranges in `text`.
    pub(super) fn offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        let encoding = self.tokenizer.encode(text, false).map_err(EngineError::library("tokenizing"))?;
        Ok(encoding.get_offsets().to_vec())
    }
}
