//! The bytes of each token, whichever way its vocabulary spells them.

use std::collections::BTreeSet;

use tokenizers::{AddedToken, Tokenizer};

/// Bytes of all tokens, one after the other.
pub(crate) struct TokenBytes {
    bytes: Vec<u8>,
    /// Token *i* ends at the *i*-th.
    ends: Vec<u32>,
    /// The first space of a text belongs to how it was encoded, not to it.
    pub(super) drops_first_space: bool,
}

/// How a token that was not added is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// One character for each byte (GPT-2).
    Characters,
    /// `▁` for a space, `<0x0A>` for a byte (SentencePiece).
    Pieces,
}

impl TokenBytes {
    pub(super) fn new(tokenizer: &Tokenizer, added: &[(u32, AddedToken)], control: &BTreeSet<u32>, size: usize) -> Result<Self, String> {
        let decoder = serde_json::to_string(&tokenizer.get_decoder()).map_err(|error| error.to_string())?;
        let spelling = match (decoder.contains("\"ByteLevel\""), decoder.contains("ByteFallback") || decoder.contains("Metaspace")) {
            (true, _) => Spelling::Characters,
            (false, true) => Spelling::Pieces,
            (false, false) => return Err("its decoder is neither byte-level nor SentencePiece's".to_owned()),
        };
        let drops_first_space = spelling == Spelling::Pieces && drops_first_space(&decoder);
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(size);
        for id in 0..u32::try_from(size).unwrap_or(u32::MAX) {
            if !control.contains(&id) {
                match added.binary_search_by_key(&id, |(id, _)| *id).ok().and_then(|at| added.get(at)) {
                    Some((_, token)) => bytes.extend_from_slice(token.content.as_bytes()),
                    None => spelling.append(&tokenizer.id_to_token(id).unwrap_or_default(), &mut bytes),
                }
            }
            ends.push(u32::try_from(bytes.len()).map_err(|_| "its tokens take up more than 4 GiB")?);
        }
        Ok(Self { bytes, ends, drops_first_space })
    }

    /// Nothing for a control token, and beyond the vocabulary.
    pub(super) fn of(&self, id: u32) -> &[u8] {
        let at = id as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(at).copied().unwrap_or(start);
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }
}

impl Spelling {
    fn append(self, token: &str, bytes: &mut Vec<u8>) {
        match self {
            Self::Characters => {
                let start = bytes.len();
                for character in token.chars() {
                    let Some(byte) = byte_of(character) else {
                        // Not of the alphabet: the library takes the whole token as it is.
                        bytes.truncate(start);
                        bytes.extend_from_slice(token.as_bytes());
                        return;
                    };
                    bytes.push(byte);
                }
            }
            Self::Pieces => match byte_piece(token) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend_from_slice(token.replace('▁', " ").as_bytes()),
            },
        }
    }
}

/// `<0x0A>`
pub(crate) fn byte_piece(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// GPT-2's alphabet: printable bytes are themselves, the others follow from U+0100 in their order.
fn byte_of(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// `Strip` of one space at the start, or `Metaspace` that was told to prepend one.
fn drops_first_space(decoder: &str) -> bool {
    let strips = decoder.contains(r#""type":"Strip","content":" ","start":1"#);
    let metaspace = decoder.contains("\"Metaspace\"") && !decoder.contains(r#""prepend_scheme":"never""#);
    strips || metaspace
}
