//! Making a part: the texts of members that follow each other, as tokens, and the order of their suffixes.

use std::collections::HashMap;
use std::io::Write;

use super::part::{BLOCK, Part, SEPARATOR};
use super::suffixes::suffixes;
use super::tokens::tokens;
use crate::{RagError, Result};

/// From so many bytes of different words on a part takes no more texts.
const WORDS_BYTES_MAX: usize = 1 << 28;
/// What a word takes in memory beside its bytes, about.
const WORD_BYTES: usize = 64;

/// A part while texts are added to it.
#[derive(Debug, Default)]
pub(super) struct Builder {
    /// Numbered from 1 in the order of their first appearance; 0 is [`SEPARATOR`].
    ids: HashMap<Box<str>, u32>,
    words_bytes: usize,
    tokens: Vec<u32>,
    /// Where each member's tokens begin.
    starts: Vec<u32>,
}

impl Builder {
    /// With what a part holds.
    pub(super) fn of(part: &Part) -> Self {
        let ids: HashMap<Box<str>, u32> = part.words().map(Box::from).zip(1..).collect();
        let words_bytes = ids.keys().map(|word| word.len()).sum();
        Self { ids, words_bytes, tokens: part.tokens().collect(), starts: part.starts().collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub(super) fn members(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn is_full(&self, tokens_max: usize) -> bool {
        self.tokens.len() >= tokens_max || self.words_bytes + self.ids.len() * WORD_BYTES >= WORDS_BYTES_MAX
    }

    /// Whether a part that comes before this one is to be put together with it: one that is no longer, where both fit into one.
    pub(super) fn takes(&self, before: &Part, tokens_max: usize) -> bool {
        before.length() <= self.tokens.len()
            && before.length() + self.tokens.len() <= tokens_max
            && before.words_bytes() + self.words_bytes + (before.word_count() + self.ids.len()) * WORD_BYTES <= WORDS_BYTES_MAX
    }

    /// Adds the text of the next member.
    ///
    /// # Errors
    /// [`RagError::TooLarge`] where the tokens cannot be numbered.
    pub(super) fn add(&mut self, text: &str) -> Result<()> {
        self.begin()?;
        for (_, token) in tokens(text) {
            let id = self.id(token)?;
            self.tokens.push(id);
        }
        self.tokens.push(SEPARATOR);
        Ok(())
    }

    /// Adds the members of another builder after those of this one.
    pub(super) fn append(&mut self, other: &Self) -> Result<()> {
        let mut theirs = vec![SEPARATOR; other.ids.len() + 1];
        for (word, id) in &other.ids {
            let own = self.id(word)?;
            if let Some(place) = theirs.get_mut(*id as usize) {
                *place = own;
            }
        }
        let offset = u32::try_from(self.tokens.len()).map_err(|_| too_large())?;
        self.starts.extend(other.starts.iter().map(|start| start + offset));
        self.tokens.extend(other.tokens.iter().map(|id| theirs.get(*id as usize).copied().unwrap_or(SEPARATOR)));
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        self.starts.push(u32::try_from(self.tokens.len()).map_err(|_| too_large())?);
        Ok(())
    }

    fn id(&mut self, token: &str) -> Result<u32> {
        if let Some(id) = self.ids.get(token) {
            return Ok(*id);
        }
        let id = u32::try_from(self.ids.len() + 1).map_err(|_| too_large())?;
        self.words_bytes += token.len();
        self.ids.insert(token.into(), id);
        Ok(id)
    }

    /// Writes the part as columns ([`Part::new`] says which). Words are numbered in their order, so the same texts give the same
    /// bytes. Blocks, and takes 16 bytes of memory a token.
    ///
    /// # Errors
    /// [`RagError::Worker`] where the suffixes could not be sorted; what `to` says.
    pub(super) fn write(self, to: &mut impl Write) -> Result<(), WriteError> {
        let Self { ids, mut tokens, starts, .. } = self;
        let mut words: Vec<(Box<str>, u32)> = ids.into_iter().collect();
        words.sort_unstable();
        let mut ordered = vec![SEPARATOR; words.len() + 1];
        for (at, (_, id)) in (1..).zip(&words) {
            if let Some(place) = ordered.get_mut(*id as usize) {
                *place = at;
            }
        }
        for token in &mut tokens {
            *token = ordered.get(*token as usize).copied().unwrap_or(SEPARATOR);
        }
        drop(ordered);
        let order = suffixes(&tokens, words.len() + 1)?;
        // those that begin at the end of a member are the first
        let order = order.get(starts.len()..).unwrap_or_default();
        let mut ends = Vec::with_capacity(words.len());
        let mut bytes = Vec::new();
        for (word, _) in &words {
            bytes.extend(word.as_bytes());
            ends.push(u32::try_from(bytes.len()).map_err(|_| too_large())?);
        }
        let buckets = buckets(&tokens, words.len());
        let minima = order.chunks(BLOCK).map(|block| block.iter().copied().min().unwrap_or_default());
        for column in [&starts, &ends] {
            write_numbers(to, column.len(), column.iter().copied())?;
        }
        write_length(to, bytes.len())?;
        to.write_all(&bytes)?;
        for column in [buckets.as_slice(), tokens.as_slice(), order] {
            write_numbers(to, column.len(), column.iter().copied())?;
        }
        write_numbers(to, order.len().div_ceil(BLOCK), minima)
    }
}

/// Where the suffixes that begin with each word begin among all, and where the last word's end.
fn buckets(tokens: &[u32], words: usize) -> Vec<u32> {
    let mut counts = vec![0_u32; words + 1];
    for token in tokens.iter().filter(|token| **token != SEPARATOR) {
        if let Some(count) = counts.get_mut(*token as usize) {
            *count += 1;
        }
    }
    // the separator has none, so that each word's begin where those of the one before it end
    for id in 1..counts.len() {
        let before = counts.get(id - 1).copied().unwrap_or_default();
        if let Some(count) = counts.get_mut(id) {
            *count += before;
        }
    }
    counts
}

fn write_numbers(to: &mut impl Write, count: usize, numbers: impl Iterator<Item = u32>) -> Result<(), WriteError> {
    write_length(to, count * size_of::<u32>())?;
    for number in numbers {
        to.write_all(&number.to_le_bytes())?;
    }
    Ok(())
}

fn write_length(to: &mut impl Write, bytes: usize) -> Result<(), WriteError> {
    Ok(to.write_all(&(bytes as u64).to_le_bytes())?)
}

fn too_large() -> RagError {
    RagError::TooLarge { what: "tokens of a part of what is traced", limit: i32::MAX as usize }
}

/// Why a part was not written.
#[derive(Debug)]
pub(super) enum WriteError {
    Making(RagError),
    Io(std::io::Error),
}

impl From<RagError> for WriteError {
    fn from(error: RagError) -> Self {
        Self::Making(error)
    }
}

impl From<std::io::Error> for WriteError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
