//! A GGUF file's tokenizer, built as the one that transformers would load for the same model.

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, Tokenizer};

use super::{Array, Gguf};
use crate::files::vocabulary::{Roles, Vocabulary};
use crate::tokens::contained;

/// A longer token cannot be merged to: its splits would be too many.
const TOKEN_BYTES_MAX: usize = 1024;
const TOKENS_MAX: usize = 1 << 22;

/// ggml's kinds of tokens; the others are ordinary.
const CONTROL: u8 = 3;
const USER_DEFINED: u8 = 4;

/// Letters of several scripts that DeepSeek's first tokenizer keeps together.
const LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const PUNCTUATION: &str = r"\s?[!-/:-~！-／：-～‘-‟　-。]+";
const LLAMA_3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BLOOM: &str = r" ?[^(\s|[.,!?…。，、।۔،])]+";

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
        eos: Vec::new(),
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
    let name = gguf.text("tokenizer.ggml.pre")?.unwrap_or("default");
    let rule = pre_tokenizer(name)?;
    let merges = match gguf.array("tokenizer.ggml.merges")? {
        Some(array) => pairs(array)?,
        // Nothing to merge where every ordinary token is a single character.
        None if tokens.iter().zip(kinds).all(|(token, kind)| *kind != 1 || token.chars().nth(1).is_none()) => Vec::new(),
        None => return Err("tokenizer.ggml.merges is missing".to_owned()),
    };
    let whole = rule.whole_tokens;
    let model = contained(|| BPE::builder().vocab_and_merges(ids(tokens), merges).ignore_merges(whole).build())?;
    let mut tokenizer = Tokenizer::new(model);
    if rule.composes {
        contained(|| tokenizer.with_normalizer(Some(part::<tokenizers::NormalizerWrapper>(json!({ "type": "NFC" }))?)).map(drop))?;
    }
    tokenizer.with_pre_tokenizer(Some(part::<tokenizers::PreTokenizerWrapper>(rule.splits)?));
    let decoder = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    tokenizer.with_decoder(Some(part::<tokenizers::DecoderWrapper>(decoder)?));
    add(&mut tokenizer, tokens, kinds)?;
    Ok((tokenizer, rule.begins))
}

/// Each a text of two parts. The alphabet of bytes writes no space, so the first one parts them.
fn pairs(merges: Array<'_>) -> Result<Vec<(String, String)>, String> {
    let merges = merges.texts().ok_or("tokenizer.ggml.merges holds no texts")?;
    let pair = |merge: &str| merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned()));
    merges.map(|merge| pair(merge).ok_or_else(|| "tokenizer.ggml.merges has one that is no pair".to_owned())).collect()
}

struct PreTokenizer {
    splits: Value,
    /// A piece that is a token is taken whole, however its merges go.
    whole_tokens: bool,
    /// Text is normalised to NFC.
    composes: bool,
    /// A text begins with the beginning token, where the file does not say.
    begins: bool,
}

/// What llama.cpp's name for a way to cut texts stands for.
fn pre_tokenizer(name: &str) -> Result<PreTokenizer, String> {
    let bytes = |regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex });
    let split = |pattern: &str| json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
    let digits = |each: bool| json!({ "type": "Digits", "individual_digits": each });
    let sequence = |parts: &[Value]| json!({ "type": "Sequence", "pretokenizers": parts });
    let plain = |splits| PreTokenizer { splits, whole_tokens: false, composes: false, begins: false };
    Ok(match name {
        "default" | "gpt-2" | "gpt2" | "phi-2" | "jina-es" | "jina-de" => plain(bytes(true)),
        "llama-bpe" | "llama3" | "llama-v3" | "llama4-bpe-3" => {
            PreTokenizer { whole_tokens: true, begins: true, ..plain(sequence(&[split(LLAMA_3), bytes(false)])) }
        }
        "falcon3" | "smaug-bpe" | "chatglm-bpe" | "glm4" => plain(sequence(&[split(LLAMA_3), bytes(false)])),
        "qwen2" | "deepseek-r1-qwen" => PreTokenizer { composes: true, ..plain(sequence(&[split(QWEN_2), bytes(false)])) },
        "smollm" => plain(sequence(&[digits(true), bytes(true)])),
        "deepseek-llm" => {
            let parts = ["[\r\n]", LETTERS, PUNCTUATION, r"\s+$", "[一-龥ࠀ-一가-퟿]+"].map(split);
            plain(sequence(&[&parts[..], &[digits(true), bytes(false)]].concat()))
        }
        "deepseek-v3" => plain(sequence(&[split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK_3), bytes(false)])),
        "tekken" => PreTokenizer { whole_tokens: true, begins: true, ..plain(sequence(&[split(TEKKEN), bytes(false)])) },
        "falcon" => {
            let punctuation = json!({ "type": "Punctuation", "behavior": "Contiguous" });
            plain(sequence(&[punctuation, bytes(true), digits(false), split("[0-9][0-9][0-9]")]))
        }
        "bloom" => plain(sequence(&[split(BLOOM), bytes(false)])),
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(format!("tokenizer.ggml.pre is {other:?}, a way to cut texts that is not known"));
        }
    })
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
