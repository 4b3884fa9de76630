//! A model's tokens: texts to ids and back, with control tokens under control.
//!
//! A control token is one that the tokenizer file marks as special, or one that was added to it and looks like markup
//! (`<tool_call>`, `<｜User｜>`): models are trained to obey those too. With [`Specials::AsText`] no control token comes
//! out, whatever the text says. Nothing here ever truncates or pads.

mod bytes;
mod pieces;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::tokenizer::{AddedVocabulary, Model, OffsetType, PreTokenizedString, PreTokenizer};
use tokenizers::{AddedToken, Encoding, Tokenizer};

use crate::EngineError;
use bytes::TokenBytes;

/// What the names of control tokens mean in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Specials {
    /// Control tokens. A prompt's template is encoded whole instead, by [`Vocabulary::encode_pieces`].
    #[cfg_attr(not(test), expect(dead_code, reason = "what the stock libraries do, to compare with"))]
    Parse,
    /// The characters that they are.
    AsText,
}

pub(crate) struct Vocabulary {
    tokenizer: Tokenizer,
    /// As the tokenizer's own, but blind to control tokens.
    plain: AddedVocabulary,
    /// How a text begins that does not stand first, where that differs: without a space put before it.
    inner: Option<PreTokenizerWrapper>,
    bytes: TokenBytes,
    control: BTreeSet<u32>,
    /// Ids of the model: those of the tokenizer that reach it are no tokens.
    size: usize,
    bos: Option<u32>,
    adds_bos: bool,
    eos: BTreeSet<u32>,
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vocabulary").field("size", &self.size).field("bos", &self.bos).field("eos", &self.eos).finish_non_exhaustive()
    }
}

/// What other files than the tokenizer's say of its tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roles {
    /// By name or by id.
    pub(crate) bos: Option<String>,
    pub(crate) bos_id: Option<u32>,
    pub(crate) eos: Vec<String>,
    pub(crate) eos_ids: Vec<u32>,
    /// None: as the tokenizer itself does.
    pub(crate) adds_bos: Option<bool>,
}

impl Vocabulary {
    /// From the bytes of a `tokenizer.json`; `size` is the model's.
    pub(crate) fn from_json(json: &[u8], size: usize, roles: &Roles) -> Result<Self, String> {
        // The library panics over some texts that are no JSON at all.
        serde_json::from_slice::<serde::de::IgnoredAny>(json).map_err(|error| error.to_string())?;
        Self::new(contained(|| Tokenizer::from_bytes(json))?, size, roles)
    }

    pub(crate) fn new(mut tokenizer: Tokenizer, size: usize, roles: &Roles) -> Result<Self, String> {
        contained(|| tokenizer.with_truncation(None).map(drop))?;
        tokenizer.with_padding(None);
        let mut added: Vec<(u32, AddedToken)> = tokenizer.get_added_tokens_decoder().into_iter().collect();
        added.sort_unstable_by_key(|(id, _)| *id);
        let obeyed: Vec<(u32, AddedToken)> = added.iter().filter(|(_, token)| is_control(token)).cloned().collect();
        let mut plain = tokenizer.get_added_vocabulary().clone();
        let special = obeyed.iter().map(|(_, token)| token.clone().special(true));
        contained(|| plain.add_special_tokens(special, tokenizer.get_model(), tokenizer.get_normalizer()))?;
        plain.set_encode_special_tokens(true);
        let mut control: BTreeSet<u32> = obeyed.into_iter().map(|(id, _)| id).collect();
        let named = |name: &String| tokenizer.token_to_id(name).filter(|id| (*id as usize) < size);
        let bos = roles.bos.as_ref().and_then(named).or(roles.bos_id.filter(|id| (*id as usize) < size));
        let eos = roles.eos.iter().filter_map(named).chain(roles.eos_ids.iter().copied().filter(|id| (*id as usize) < size)).collect();
        control.extend(bos.iter().chain(&eos));
        let empty = contained(|| tokenizer.encode_fast("", true))?;
        let adds_bos = roles.adds_bos.unwrap_or_else(|| bos.is_some() && empty.get_ids().first() == bos.as_ref());
        let bytes = TokenBytes::new(&tokenizer, &added, &control, size)?;
        let inner = inner_pre_tokenizer(&tokenizer);
        Ok(Self { tokenizer, plain, inner, bytes, control, size, bos, adds_bos, eos })
    }

    /// # Errors
    /// [`EngineError::Prompt`] where a token is none of the model's.
    pub(crate) fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, EngineError> {
        let added = match specials {
            Specials::Parse => self.tokenizer.get_added_vocabulary(),
            Specials::AsText => &self.plain,
        };
        let ids = self.run(text, added, self.tokenizer.get_pre_tokenizer())?.get_ids().to_vec();
        if specials == Specials::AsText { self.without_control(text, ids) } else { self.known(ids) }
    }

    /// A text that follows others: as [`Vocabulary::encode`] of [`Specials::AsText`], without a space put before it.
    fn encode_inner(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let pre_tokenizer = self.inner.as_ref().or(self.tokenizer.get_pre_tokenizer());
        let ids = self.run(text, &self.plain, pre_tokenizer)?.get_ids().to_vec();
        self.without_control(text, ids)
    }

    fn run(&self, text: &str, added: &AddedVocabulary, pre_tokenizer: Option<&PreTokenizerWrapper>) -> Result<Encoding, EngineError> {
        let encode = || {
            let mut split: PreTokenizedString = added.extract_and_normalize(self.tokenizer.get_normalizer(), text);
            if let Some(pre_tokenizer) = pre_tokenizer {
                pre_tokenizer.pre_tokenize(&mut split)?;
            }
            split.tokenize(|part| self.tokenizer.get_model().tokenize(part.get()))?;
            split.into_encoding(None, 0, OffsetType::Byte)
        };
        contained(encode).map_err(EngineError::library("tokenizing"))
    }

    /// The byte of the text before which each token of its encoding ends; none where the tokens are of other bytes than the text's.
    pub(crate) fn ends(&self, tokens: &[u32], text: &str) -> Vec<usize> {
        let first = tokens.first().map_or(&[][..], |token| self.bytes.of(*token));
        let put_before = usize::from(first.starts_with(b" ") && !text.starts_with(' '));
        let mut end = 0;
        let mut ends = Vec::with_capacity(tokens.len());
        for token in tokens {
            end += self.bytes.of(*token).len();
            ends.push(end.saturating_sub(put_before));
        }
        if ends.last() == Some(&text.len()) { ends } else { Vec::new() }
    }

    /// Some models merge characters into a control token, since it is an ordinary piece to them: then the text is
    /// encoded character by character.
    fn without_control(&self, text: &str, ids: Vec<u32>) -> Result<Vec<u32>, EngineError> {
        if !ids.iter().any(|id| self.control.contains(id)) {
            return self.known(ids);
        }
        let mut apart = Vec::with_capacity(text.len());
        let mut buffer = [0; 4];
        for character in text.chars() {
            let encoding =
                self.run(character.encode_utf8(&mut buffer), &self.plain, self.inner.as_ref().or(self.tokenizer.get_pre_tokenizer()))?;
            apart.extend(encoding.get_ids().iter().filter(|id| !self.control.contains(id)));
        }
        self.known(apart)
    }

    fn known(&self, ids: Vec<u32>) -> Result<Vec<u32>, EngineError> {
        match ids.iter().find(|id| **id as usize >= self.size) {
            None => Ok(ids),
            Some(id) => Err(EngineError::Prompt { reason: format!("token {id} of the text is none of the model's {}", self.size) }),
        }
    }

    /// The text of the tokens; control tokens and ids out of range have none.
    #[cfg(test)]
    pub(crate) fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.bytes.of(*id)).copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        text.strip_prefix(' ').filter(|_| self.bytes.drops_first_space).unwrap_or(&text).to_owned()
    }

    /// What the token adds to a text; nothing for a control token or an id out of range.
    pub(crate) fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.of(id)
    }

    /// Whether a space at the beginning of a text belongs to how it was encoded, not to it.
    pub(crate) fn drops_first_space(&self) -> bool {
        self.bytes.drops_first_space
    }

    /// How many ids the model has.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.control.contains(&id)
    }

    /// What a text begins with that no template was put around. A template writes it itself.
    pub(crate) fn beginning(&self) -> Option<u32> {
        self.bos.filter(|_| self.adds_bos)
    }

    /// Tokens that end an answer.
    pub(crate) fn eos(&self) -> &BTreeSet<u32> {
        &self.eos
    }

    #[cfg(test)]
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token).filter(|id| (*id as usize) < self.size)
    }
}

/// Marked special, or added and in the brackets of markup.
fn is_control(token: &AddedToken) -> bool {
    let content = token.content.trim();
    let bracketed = |open, close| content.len() > 2 && content.starts_with(open) && content.ends_with(close);
    token.special || bracketed('<', '>') || bracketed('[', ']')
}

/// A space is put before the first piece only: a pre-tokenizer for the others.
fn inner_pre_tokenizer(tokenizer: &Tokenizer) -> Option<PreTokenizerWrapper> {
    match tokenizer.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::Metaspace(metaspace)) if metaspace.get_prepend_scheme() == PrependScheme::First => {
            let mut inner = metaspace.clone();
            inner.set_prepend_scheme(PrependScheme::Never);
            Some(PreTokenizerWrapper::Metaspace(inner))
        }
        _ => None,
    }
}

/// Under the library, `spm_precompiled` indexes by what a `tokenizer.json` says: a file can make it panic.
pub(crate) fn contained<T, E: std::fmt::Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizer panicked".to_owned()),
    }
}
