//! A GGUF file's tokenizer, built as the one that transformers would load for the same model.

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, Tokenizer};

use super::cuts::{Cuts, UNNAMED};
use super::{Array, Gguf};
use crate::files::vocabulary::{Roles, Vocabulary, contained};

/// A longer token cannot be merged to: its splits would be too many.
const TOKEN_BYTES_MAX: usize = 1024;
const TOKENS_MAX: usize = 1 << 22;

/// ggml's kinds of tokens; the others are ordinary.
const CONTROL: u8 = 3;
const USER_DEFINED: u8 = 4;

/// Tokens that end an answer wherever they are: few files name them all, and a model whose answer does not end talks on
/// in the next speaker's place.
const ENDINGS: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<EOT>",
    "<｜end▁of▁sentence｜>",
];

/// # Errors
/// A sentence that names the key that is not understood.
pub(in crate::files) fn vocabulary(gguf: &Gguf<'_>, size: usize) -> Result<Vocabulary, String> {
    let tokens = gguf.array("tokenizer.ggml.tokens")?.ok_or("tokenizer.ggml.tokens is missing")?;
    if tokens.count > TOKENS_MAX {
        return Err(format!("tokenizer.ggml.tokens has {} tokens", tokens.count));
    }
    let tokens: Vec<&str> = tokens.texts().ok_or("tokenizer.ggml.tokens holds no texts")?.collect();
    let kinds = kinds(gguf, tokens.len())?;
    let (tokenizer, begins) = match gguf.text("tokenizer.ggml.model")?.ok_or("tokenizer.ggml.model is missing")? {
        "gpt2" => byte_level(gguf, &tokens, &kinds)?,
        "llama" => sentence_piece(gguf, &tokens, &kinds)?,
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(format!("tokenizer.ggml.model is {other:?}: gpt2 and llama are read"));
        }
    };
    let id = |key: &str| Ok::<_, String>(gguf.whole(key)?.and_then(|id| u32::try_from(id).ok()));
    let mut ends = Vec::new();
    for key in ["eos", "eot", "eom"] {
        ends.extend(id(&format!("tokenizer.ggml.{key}_token_id"))?);
    }
    let roles = Roles {
        bos: None,
        bos_id: id("tokenizer.ggml.bos_token_id")?,
        eos: ENDINGS.iter().map(|token| (*token).to_owned()).collect(),
        eos_ids: ends,
        adds_bos: Some(gguf.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(begins)),
    };
    Vocabulary::new(tokenizer, size, &roles)
}

/// The chat template, with the texts of the tokens that it may name.
pub(in crate::files) fn template<'a>(gguf: &Gguf<'a>) -> Result<Option<(&'a str, String, String)>, String> {
    let Some(template) = gguf.text("tokenizer.chat_template")? else {
        return Ok(None);
    };
    let tokens = gguf.array("tokenizer.ggml.tokens")?.and_then(Array::texts).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let named = |key: &str| -> Result<String, String> {
        let id = gguf.whole(key)?.and_then(|id| usize::try_from(id).ok());
        Ok(id.and_then(|id| tokens.get(id)).map_or_else(String::new, |token| (*token).to_owned()))
    };
    Ok(Some((template, named("tokenizer.ggml.bos_token_id")?, named("tokenizer.ggml.eos_token_id")?)))
}

/// One for each token; all ordinary where the file says nothing.
fn kinds(gguf: &Gguf<'_>, count: usize) -> Result<Vec<u8>, String> {
    let Some(array) = gguf.array("tokenizer.ggml.token_type")? else {
        return Ok(vec![1; count]);
    };
    if array.count != count {
        return Err(format!("tokenizer.ggml.token_type has {} kinds of {count} tokens", array.count));
    }
    let numbers = array.numbers().ok_or("tokenizer.ggml.token_type holds no numbers")?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a kind is a small number; others are ordinary")]
    Ok(numbers.map(|number| if (0.0..16.0).contains(&number) { number as u8 } else { 0 }).collect())
}

fn ids(tokens: &[&str]) -> Vocab {
    (0..).zip(tokens).map(|(id, token)| ((*token).to_owned(), id)).collect()
}

/// GPT-2's: a character for each byte, merged in the order of the file's list.
fn byte_level(gguf: &Gguf<'_>, tokens: &[&str], kinds: &[u8]) -> Result<(Tokenizer, bool), String> {
    let cuts = Cuts::find(gguf.text("tokenizer.ggml.pre")?.unwrap_or(UNNAMED))?;
    let merges = match gguf.array("tokenizer.ggml.merges")? {
        Some(array) => pairs(array)?,
        // Nothing to merge where every ordinary token is a single character.
        None if tokens.iter().zip(kinds).all(|(token, kind)| *kind != 1 || token.chars().nth(1).is_none()) => Vec::new(),
        None => return Err("tokenizer.ggml.merges is missing".to_owned()),
    };
    let build = || BPE::builder().vocab_and_merges(ids(tokens), merges).ignore_merges(cuts.whole_tokens).build();
    let model = contained(build)?;
    let mut tokenizer = Tokenizer::new(model);
    if cuts.composes {
        contained(|| tokenizer.with_normalizer(Some(part::<tokenizers::NormalizerWrapper>(json!({ "type": "NFC" }))?)).map(drop))?;
    }
    tokenizer.with_pre_tokenizer(Some(part::<tokenizers::PreTokenizerWrapper>(cuts.described())?));
    let decoder = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    tokenizer.with_decoder(Some(part::<tokenizers::DecoderWrapper>(decoder)?));
    add(&mut tokenizer, tokens, kinds)?;
    Ok((tokenizer, cuts.begins))
}

/// Each a text of two parts. The alphabet of bytes writes no space, so the first one parts them.
fn pairs(merges: Array<'_>) -> Result<Vec<(String, String)>, String> {
    let merges = merges.texts().ok_or("tokenizer.ggml.merges holds no texts")?;
    let pair = |merge: &str| merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned()));
    merges.map(|merge| pair(merge).ok_or_else(|| "tokenizer.ggml.merges has one that is no pair".to_owned())).collect()
}

/// SentencePiece's: pieces with scores, the best merge first; bytes where there is no piece.
fn sentence_piece(gguf: &Gguf<'_>, tokens: &[&str], kinds: &[u8]) -> Result<(Tokenizer, bool), String> {
    let scores = gguf.array("tokenizer.ggml.scores")?.and_then(Array::numbers).ok_or("tokenizer.ggml.scores is missing")?;
    let scores: Vec<f64> = scores.collect();
    if scores.len() != tokens.len() {
        return Err(format!("tokenizer.ggml.scores has {} scores of {} tokens", scores.len(), tokens.len()));
    }
    let ids = ids(tokens);
    let merges = merges(tokens, kinds, &scores, &ids);
    let unknown = gguf.whole("tokenizer.ggml.unknown_token_id")?.and_then(|id| usize::try_from(id).ok()).unwrap_or(0);
    let unknown = tokens.get(unknown).map_or_else(String::new, |token| (*token).to_owned());
    let build = || BPE::builder().vocab_and_merges(ids, merges).unk_token(unknown).fuse_unk(true).byte_fallback(true).build();
    let mut tokenizer = Tokenizer::new(contained(build)?);
    let space = gguf.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let normalizer = match space {
        true => json!({ "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }, spaces] }),
        false => spaces,
    };
    contained(|| tokenizer.with_normalizer(Some(part::<tokenizers::NormalizerWrapper>(normalizer)?)).map(drop))?;
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if space {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    tokenizer.with_decoder(Some(part::<tokenizers::DecoderWrapper>(json!({ "type": "Sequence", "decoders": decoders }))?));
    add(&mut tokenizer, tokens, kinds)?;
    Ok((tokenizer, true))
}

/// Every pair of pieces that makes a piece, best score first: as transformers converts SentencePiece models.
fn merges(tokens: &[&str], kinds: &[u8], scores: &[f64], ids: &Vocab) -> Vec<(String, String)> {
    let mut found: Vec<(f64, &str, &str)> = Vec::new();
    for ((token, kind), score) in tokens.iter().zip(kinds).zip(scores) {
        if token.len() > TOKEN_BYTES_MAX || matches!(*kind, 2 | CONTROL | 5 | 6) {
            continue;
        }
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut pairs: Vec<(u32, u32, &str, &str)> =
            splits.filter_map(|(left, right)| Some((*ids.get(left)?, *ids.get(right)?, left, right))).collect();
        pairs.sort_unstable_by_key(|(left, right, ..)| (*left, *right));
        found.extend(pairs.into_iter().map(|(_, _, left, right)| (*score, left, right)));
    }
    let lengths = |left: &str, right: &str| (left.chars().count(), right.chars().count());
    found.sort_by(|(one, left, right), (other, other_left, other_right)| {
        other.total_cmp(one).then_with(|| lengths(other_left, other_right).cmp(&lengths(left, right)))
    });
    found.into_iter().map(|(_, left, right)| (left.to_owned(), right.to_owned())).collect()
}

/// Control tokens, and those that are found whole before a text is cut.
fn add(tokenizer: &mut Tokenizer, tokens: &[&str], kinds: &[u8]) -> Result<(), String> {
    let added = tokens.iter().zip(kinds).filter(|(token, kind)| matches!(**kind, CONTROL | USER_DEFINED) && !token.is_empty());
    let added: Vec<AddedToken> = added.map(|(token, kind)| AddedToken::from(*token, *kind == CONTROL).normalized(false)).collect();
    contained(|| tokenizer.add_tokens(added).map(drop))
}

/// One part of a tokenizer, as its file would describe it.
fn part<T: serde::de::DeserializeOwned>(description: Value) -> Result<T, String> {
    serde_json::from_value(description).map_err(|error| format!("a tokenizer's part: {error}"))
}
