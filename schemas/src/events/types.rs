//! Solidity's types, and values of dynamic size as text. Decoding follows offsets that anybody may
//! have chosen, so its result is bounded in bytes: what does not fit, or is malformed, is no value.

use alloy_json_abi::Param;
use alloy_primitives::{I256, U256, hex};
use serde::{Deserialize, Serialize};

use super::WordType;

/// Bytes of a decoded value's text, at most. Every element adds at least one, so it bounds the work too.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// How much longer than a log's data its text can be: 78 digits and a name of 64 letters for a word of 32
/// bytes, six for an escaped byte. Only data that is referred to more than once becomes longer.
const MAX_GROWTH: usize = 8;
/// Arrays and tuples within each other.
const MAX_DEPTH: usize = 8;
/// 32-byte words of a type of fixed size.
const MAX_WORDS: usize = 4096;
const MAX_COMPONENTS: usize = 64;

/// The type of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum AbiType {
    Word(WordType),
    String,
    Bytes,
    Array(Box<AbiType>),
    FixedArray(Box<AbiType>, usize),
    /// Names and types.
    Tuple(Vec<(String, AbiType)>),
}

impl AbiType {
    /// The type that an ABI writes as `ty` and, for tuples, `components`.
    pub(super) fn parse(ty: &str, components: &[Param]) -> Result<Self, String> {
        Self::parse_within(ty, components, 0)
    }

    fn parse_within(ty: &str, components: &[Param], depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!("nests deeper than {MAX_DEPTH}"));
        }
        let parsed = if let Some(array) = ty.strip_suffix(']') {
            let (element, count) = array.rsplit_once('[').ok_or_else(|| format!("{ty:?} is not a type"))?;
            let element = Box::new(Self::parse_within(element, components, depth + 1)?);
            match count {
                "" => Self::Array(element),
                count => match count.parse::<usize>() {
                    Ok(count @ 1..=MAX_WORDS) => Self::FixedArray(element, count),
                    _ => return Err(format!("{count:?} is not a length from 1 to {MAX_WORDS}")),
                },
            }
        } else {
            match ty {
                "tuple" if (1..=MAX_COMPONENTS).contains(&components.len()) => {
                    let parse = |part: &Param| Ok((part.name.clone(), Self::parse_within(&part.ty, &part.components, depth + 1)?));
                    Self::Tuple(components.iter().map(parse).collect::<Result<_, String>>()?)
                }
                "tuple" => return Err(format!("a tuple of {} components; from 1 to {MAX_COMPONENTS} are read", components.len())),
                "string" => Self::String,
                "bytes" => Self::Bytes,
                _ => Self::Word(WordType::parse(ty).ok_or_else(|| format!("{ty:?} is not a type"))?),
            }
        };
        if parsed.head_words() > MAX_WORDS {
            return Err(format!("{ty} is longer than {MAX_WORDS} words"));
        }
        Ok(parsed)
    }

    fn is_dynamic(&self) -> bool {
        match self {
            Self::Word(_) => false,
            Self::String | Self::Bytes | Self::Array(_) => true,
            Self::FixedArray(element, _) => element.is_dynamic(),
            Self::Tuple(parts) => parts.iter().any(|(_, part)| part.is_dynamic()),
        }
    }

    /// Words that it takes where it stands: an offset for what is dynamic.
    pub(super) fn head_words(&self) -> usize {
        match self {
            _ if self.is_dynamic() => 1,
            Self::FixedArray(element, count) => element.head_words().saturating_mul(*count),
            Self::Tuple(parts) => parts.iter().map(|(_, part)| part.head_words()).sum(),
            _ => 1,
        }
    }

    /// The value whose head stands at byte `at` of `frame`: text as it is, bytes as `0x` text, everything
    /// else as JSON. `None` for what is malformed, not UTF-8, or too long.
    pub(super) fn text(&self, frame: &[u8], at: usize) -> Option<String> {
        let mut text = Text { limit: MAX_TEXT_BYTES.min(64 + MAX_GROWTH * frame.len()), written: String::new() };
        match self {
            Self::String => text.push(std::str::from_utf8(dynamic_bytes(tail(frame, at)?)?).ok()?)?,
            Self::Bytes => text.push_hex(dynamic_bytes(tail(frame, at)?)?)?,
            _ => self.write(frame, at, &mut text)?,
        }
        Some(text.written)
    }

    /// Writes the value as JSON. Integers are strings, because JSON's readers lose digits.
    fn write(&self, frame: &[u8], at: usize, text: &mut Text) -> Option<()> {
        let (frame, at) = if self.is_dynamic() { (tail(frame, at)?, 0) } else { (frame, at) };
        match self {
            Self::Word(word) => text.push(&word.json(word_at(frame, at)?)),
            Self::String => match std::str::from_utf8(dynamic_bytes(frame)?) {
                Ok(value) => text.push(&serde_json::to_string(value).ok()?),
                Err(_) => text.push("null"),
            },
            Self::Bytes => {
                text.push("\"")?;
                text.push_hex(dynamic_bytes(frame)?)?;
                text.push("\"")
            }
            Self::Array(element) => {
                let count = length(frame, 0)?;
                Self::write_list(std::iter::repeat_n((None, element.as_ref()), count), frame.get(32..)?, 0, text)
            }
            Self::FixedArray(element, count) => Self::write_list(std::iter::repeat_n((None, element.as_ref()), *count), frame, at, text),
            Self::Tuple(parts) => {
                let named = parts
                    .iter()
                    .enumerate()
                    .all(|(index, (name, _))| !name.is_empty() && parts.iter().take(index).all(|(before, _)| before != name));
                Self::write_list(parts.iter().map(|(name, part)| (named.then_some(name.as_str()), part)), frame, at, text)
            }
        }
    }

    /// Values one after the other: an object if they have names, an array otherwise.
    fn write_list<'a>(
        values: impl Iterator<Item = (Option<&'a str>, &'a Self)>,
        frame: &[u8],
        mut at: usize,
        text: &mut Text,
    ) -> Option<()> {
        let mut values = values.peekable();
        let (open, close) = if values.peek().is_some_and(|(name, _)| name.is_some()) { ("{", "}") } else { ("[", "]") };
        text.push(open)?;
        let mut first = true;
        for (name, value) in values {
            if !std::mem::take(&mut first) {
                text.push(",")?;
            }
            if let Some(name) = name {
                text.push(&serde_json::to_string(name).ok()?)?;
                text.push(":")?;
            }
            value.write(frame, at, text)?;
            at = at.checked_add(32 * value.head_words())?;
        }
        text.push(close)
    }
}

/// Text that does not grow beyond its limit.
#[derive(Debug)]
struct Text {
    limit: usize,
    written: String,
}

impl Text {
    fn push(&mut self, more: &str) -> Option<()> {
        (self.written.len() + more.len() <= self.limit).then(|| self.written.push_str(more))
    }

    fn push_hex(&mut self, bytes: &[u8]) -> Option<()> {
        (bytes.len() <= self.limit / 2).then(|| self.push(&hex::encode_prefixed(bytes)))?
    }
}

fn word_at(frame: &[u8], at: usize) -> Option<&[u8; 32]> {
    frame.get(at..)?.first_chunk()
}

fn length(frame: &[u8], at: usize) -> Option<usize> {
    usize::try_from(U256::from_be_bytes(*word_at(frame, at)?)).ok()
}

/// What the offset at `at` points to.
fn tail(frame: &[u8], at: usize) -> Option<&[u8]> {
    frame.get(length(frame, at)?..)
}

fn dynamic_bytes(frame: &[u8]) -> Option<&[u8]> {
    frame.get(32..)?.get(..length(frame, 0)?)
}

impl WordType {
    pub(super) fn parse(solidity: &str) -> Option<Self> {
        let bits = |digits: &str| match digits {
            "" => Some(256u16),
            digits => digits.parse().ok().filter(|bits: &u16| (8..=256).contains(bits) && bits.is_multiple_of(8)),
        };
        match solidity {
            "address" => return Some(Self::Address),
            "bool" => return Some(Self::Bool),
            // An address and a selector.
            "function" => return Some(Self::FixedBytes(24)),
            _ => {}
        }
        if let Some(digits) = solidity.strip_prefix("uint") {
            return bits(digits).map(|bits| if bits <= 64 { Self::Uint64 } else { Self::Uint256 });
        }
        if let Some(digits) = solidity.strip_prefix("int") {
            return bits(digits).map(|bits| if bits <= 64 { Self::Int64 } else { Self::Int256 });
        }
        solidity.strip_prefix("bytes")?.parse().ok().filter(|length| (1..=32).contains(length)).map(Self::FixedBytes)
    }

    /// The word as `0x` text, for addresses and bytes.
    pub fn hex(self, word: &[u8; 32]) -> String {
        let part = match self {
            Self::Address => word.get(12..),
            Self::FixedBytes(length) => word.get(..usize::from(length)),
            _ => None,
        };
        hex::encode_prefixed(part.unwrap_or(word))
    }

    fn json(self, word: &[u8; 32]) -> String {
        match self {
            Self::Address | Self::FixedBytes(_) => format!("\"{}\"", self.hex(word)),
            Self::Bool => (word.last() == Some(&1)).to_string(),
            Self::Uint64 | Self::Uint256 => format!("\"{}\"", U256::from_be_bytes(*word)),
            Self::Int64 | Self::Int256 => format!("\"{}\"", I256::from_be_bytes(*word)),
        }
    }
}
