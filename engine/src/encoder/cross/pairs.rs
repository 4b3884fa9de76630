//! A question and a passage as one text, put together and cut as transformers does.
//!
//! What stands around and between the two is the post-processor's of the tokenizer; cutting is done here. The library would cut
//! too, but keeps every piece that it cut off, and pairs each of one side's with each of the other's: memory that grows with
//! the product of the lengths.

use serde::Deserialize;
use tokenizers::{Encoding, Token, Tokenizer, TruncationDirection};

use super::head::HeadKind;
use crate::EngineError;
use crate::encoder::tokens::load_tokenizer;
use crate::files::contained;

/// What of a `tokenizer_config.json` changes ids.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenizerFile {
    /// Tokenizers without a limit say 10^30.
    model_max_length: Option<f64>,
    truncation_side: Option<String>,
    model_input_names: Option<Vec<String>>,
}

impl TokenizerFile {
    /// Most tokens of a pair, as sentence-transformers has it; `positions` is what the model has.
    pub(super) fn window(&self, positions: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and the positions limit it")]
        self.model_max_length.map_or(positions, |limit| positions.min(limit as usize))
    }

    /// Whether the model is told the tokens' types: the file says so, or it is as the layout's own tokenizers have it.
    pub(super) fn tells_types(&self, head: HeadKind) -> bool {
        let by_layout = head == HeadKind::Bert;
        self.model_input_names.as_ref().map_or(by_layout, |names| names.iter().any(|name| name == "token_type_ids"))
    }

    /// # Errors
    /// A sentence, where texts lose their beginnings. `direction` is what the tokenizer's own file says.
    fn check_side(&self, direction: TruncationDirection) -> Result<(), String> {
        let side = self.truncation_side.as_deref().unwrap_or(direction.as_ref());
        if side == "right" { Ok(()) } else { Err(format!("truncation_side is {side:?}: texts are cut at the right here")) }
    }
}

pub(super) struct PairTokens {
    tokenizer: Tokenizer,
    /// Most tokens of question and passage together, special tokens left out.
    room: usize,
    /// The model is told the types.
    typed: bool,
}

/// One of a pair's texts.
pub(super) struct Side {
    /// As much of it as there is room for.
    encoding: Encoding,
    /// Of all of it.
    tokens: usize,
}

/// What a model reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) ids: Vec<u32>,
    /// None where all are of the first type.
    pub(super) types: Option<Vec<u32>>,
}

impl PairTokens {
    /// From the bytes of a `tokenizer.json`. No id reaches `vocabulary`, and no type `types`: None where the model is told none.
    ///
    /// # Errors
    /// A sentence, where it makes no pairs that such a model reads.
    pub(super) fn from_bytes(
        json: &[u8],
        file: &TokenizerFile,
        window: usize,
        vocabulary: usize,
        types: Option<usize>,
    ) -> Result<Self, String> {
        let describe = |reason: String| format!("tokenizer.json: {reason}");
        let (tokenizer, direction) = load_tokenizer(json, vocabulary).map_err(describe)?;
        file.check_side(direction)?;
        let join = |tokens: usize| {
            let side = || Encoding::from_tokens(vec![Token::new(0, String::new(), (0, 0)); tokens], 0);
            contained(|| tokenizer.post_process(side(), Some(side()), true)).map_err(describe)
        };
        let (empty, pair) = (join(0)?, join(1)?);
        let specials = empty.len();
        if specials == 0 || pair.len() != specials + 2 {
            return Err(describe(format!("a pair of one token each becomes {} tokens, {specials} of them special", pair.len())));
        }
        if let Some(id) = empty.get_ids().iter().find(|id| **id as usize >= vocabulary) {
            return Err(describe(format!("a pair has the special token {id}; the weights have {vocabulary}")));
        }
        if window <= specials {
            return Err(format!("a window of {window} tokens has no room for a pair: {specials} are special"));
        }
        if let Some(types) = types
            && let Some(kind) = pair.get_type_ids().iter().find(|kind| **kind as usize >= types)
        {
            return Err(describe(format!("a pair has tokens of type {kind}; {types} types are known")));
        }
        Ok(Self { tokenizer, room: window - specials, typed: types.is_some() })
    }

    /// # Errors
    /// [`EngineError::Library`] when the tokenizer fails.
    pub(super) fn side(&self, text: &str) -> Result<Side, EngineError> {
        let encoding = contained(|| self.tokenizer.encode_fast(text, false)).map_err(EngineError::library("tokenizing"))?;
        let tokens = encoding.len();
        Ok(Side { encoding: cut(encoding, self.room), tokens })
    }

    /// # Errors
    /// [`EngineError::Library`] when the tokenizer fails.
    pub(super) fn pair(&self, question: &Side, passage: Side) -> Result<Pair, EngineError> {
        let (of_question, of_passage) = longest_first(question.tokens, passage.tokens, self.room);
        let (question, passage) = (cut(question.encoding.clone(), of_question), cut(passage.encoding, of_passage));
        let pair = contained(|| self.tokenizer.post_process(question, Some(passage), true)).map_err(EngineError::library("tokenizing"))?;
        let types = Some(pair.get_type_ids()).filter(|types| self.typed && types.iter().any(|kind| *kind != 0));
        Ok(Pair { ids: pair.get_ids().to_vec(), types: types.map(<[u32]>::to_vec) })
    }
}

/// The first tokens, and nothing kept of the others.
fn cut(mut encoding: Encoding, tokens: usize) -> Encoding {
    encoding.truncate(tokens, 0, TruncationDirection::Right);
    encoding.take_overflowing();
    encoding
}

/// How many tokens of each side remain, by Hugging Face's rule `longest_first`: the longer one loses tokens until both are
/// equally long, then both do; of an odd room the longer one has the odd token, the passage where they were equal.
fn longest_first(question: usize, passage: usize, room: usize) -> (usize, usize) {
    let half = room / 2;
    if question + passage <= room {
        (question, passage)
    } else if question > passage {
        (room - passage.min(half), passage.min(half))
    } else {
        (question.min(half), room - question.min(half))
    }
}

#[cfg(test)]
mod tests;
