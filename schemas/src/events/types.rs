//! Solidity's types, and values of dynamic size as text. Decoding follows offsets that anybody may
//! have chosen, so its result is bounded in bytes: what does not fit, or is malformed, is no value.

use alloy_primitives::{I256, U256, hex};
use serde::{Deserialize, Serialize};

use super::WordType;
use super::abi::RawParameter;

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
/// Of a tuple's member, which is written with every value.
const MAX_NAME_CHARS: usize = 64;

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
    /// The type that an ABI writes as `ty` and, for tuples, `components`; and as a signature has it.
    pub(super) fn parse(ty: &str, components: &[RawParameter]) -> Result<(Self, String), String> {
        Self::parse_within(ty, components, 0)
    }

    fn parse_within(ty: &str, components: &[RawParameter], depth: usize) -> Result<(Self, String), String> {
        if depth > MAX_DEPTH {
            return Err(format!("nests deeper than {MAX_DEPTH}"));
        }
        let (parsed, canonical) = if let Some(array) = ty.strip_suffix(']') {
            let (element, count) = array.rsplit_once('[').ok_or_else(|| format!("{:?} is not a type", shown(ty)))?;
            let (element, canonical) = Self::parse_within(element, components, depth + 1)?;
            let element = Box::new(element);
            match count {
                "" => (Self::Array(element), format!("{canonical}[]")),
                count => match count.parse::<usize>() {
                    Ok(count @ 1..=MAX_WORDS) => (Self::FixedArray(element, count), format!("{canonical}[{count}]")),
                    _ => return Err(format!("{:?} is not a length from 1 to {MAX_WORDS}", shown(count))),
                },
            }
        } else if ty == "tuple" {
            Self::parse_tuple(components, depth)?
        } else {
            // What people write and compilers do not.
            let canonical = match ty {
                "uint" => "uint256",
                "int" => "int256",
                "address payable" => "address",
                other => other,
            };
            let parsed = match canonical {
                "string" => Self::String,
                "bytes" => Self::Bytes,
                word => Self::Word(WordType::parse(word).ok_or_else(|| format!("{:?} is not a type that is read", shown(ty)))?),
            };
            (parsed, canonical.to_owned())
        };
        if parsed.head_words() > MAX_WORDS {
            return Err(format!("{} is longer than {MAX_WORDS} words", shown(ty)));
        }
        Ok((parsed, canonical))
    }

    fn parse_tuple(components: &[RawParameter], depth: usize) -> Result<(Self, String), String> {
        if !(1..=MAX_COMPONENTS).contains(&components.len()) {
            return Err(format!("a tuple of {} components; from 1 to {MAX_COMPONENTS} are read", components.len()));
        }
        let (mut parts, mut canonical) = (Vec::with_capacity(components.len()), Vec::with_capacity(components.len()));
        for part in components {
            let (parsed, text) = Self::parse_within(&part.ty, &part.components, depth + 1)?;
            parts.push((part.name.chars().take(MAX_NAME_CHARS).collect(), parsed));
            canonical.push(text);
        }
        Ok((Self::Tuple(parts), format!("({})", canonical.join(","))))
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
            Self::Tuple(parts) => parts.iter().fold(0, |sum: usize, (_, part)| sum.saturating_add(part.head_words())),
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
            Self::Word(word) => text.push(&word.json(word_at(frame, at)?)?),
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

/// As an error shows it.
fn shown(ty: &str) -> String {
    ty.chars().take(40).collect()
}

impl WordType {
    pub(super) fn parse(solidity: &str) -> Option<Self> {
        let bits = |digits: &str| {
            let bits = digits.parse().ok().filter(|bits: &u16| (8..=256).contains(bits) && bits.is_multiple_of(8));
            bits.filter(|_| !digits.starts_with(['0', '+']))
        };
        match solidity {
            "address" => return Some(Self::Address),
            "bool" => return Some(Self::Bool),
            // An address and a selector.
            "function" => return Some(Self::FixedBytes(24)),
            _ => {}
        }
        if let Some(digits) = solidity.strip_prefix("uint") {
            return bits(digits).map(Self::Uint);
        }
        if let Some(digits) = solidity.strip_prefix("int") {
            return bits(digits).map(Self::Int);
        }
        let length = solidity.strip_prefix("bytes").filter(|digits| !digits.starts_with(['0', '+']))?;
        length.parse().ok().filter(|length| (1..=32).contains(length)).map(Self::FixedBytes)
    }

    /// Whether the word is one that a value of the type is written as. A contract may emit any other.
    pub fn holds(self, word: &[u8; 32]) -> bool {
        let is = |part: Option<&[u8]>, byte: u8| part.is_some_and(|part| part.iter().all(|found| *found == byte));
        match self {
            Self::Address => is(word.get(..12), 0),
            Self::FixedBytes(length) => is(word.get(usize::from(length)..), 0),
            Self::Bool => U256::from_be_bytes(*word) <= U256::ONE,
            Self::Uint(bits) => is(word.get(..32 - usize::from(bits / 8)), 0),
            Self::Int(bits) => {
                let start = 32 - usize::from(bits / 8);
                let negative = word.get(start).is_some_and(|byte| *byte >= 0x80);
                is(word.get(..start), if negative { 0xff } else { 0 })
            }
        }
    }

    /// A word that it [`holds`](Self::holds) as text: addresses and bytes as `0x` text, numbers in decimal digits.
    pub fn text(self, word: &[u8; 32]) -> String {
        match self {
            Self::Address => hex::encode_prefixed(word.get(12..).unwrap_or_default()),
            Self::FixedBytes(length) => hex::encode_prefixed(word.get(..usize::from(length)).unwrap_or_default()),
            Self::Bool => (word.last() == Some(&1)).to_string(),
            Self::Uint(_) => U256::from_be_bytes(*word).to_string(),
            Self::Int(_) => I256::from_be_bytes(*word).to_string(),
        }
    }

    fn json(self, word: &[u8; 32]) -> Option<String> {
        let text = self.holds(word).then(|| self.text(word))?;
        Some(if self == Self::Bool { text } else { format!("\"{text}\"") })
    }
}
