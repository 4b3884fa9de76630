//! A part of what is traced of a version: the tokens of members that follow each other, and their suffixes in order. Mapped into
//! memory, where the system keeps of it what is used.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

use super::Bytes;
use super::columns::{Columns, Numbers};

/// Ends each member's tokens; less than any word, and no word of a query.
pub(super) const SEPARATOR: u32 = 0;
/// Suffixes of which the first position is kept.
pub(super) const BLOCK: usize = 256;

/// The columns, as [`Part::new`] says.
const STARTS: usize = 0;
const WORD_ENDS: usize = 1;
const WORDS: usize = 2;
const BUCKET_ENDS: usize = 3;
const TOKENS: usize = 4;
const SUFFIXES: usize = 5;
const MINIMA: usize = 6;

/// A part, by its columns.
#[derive(Debug)]
pub(super) struct Part {
    columns: Columns<7>,
}

/// A member that holds a span: its number in the part, and which of its tokens the span's first occurrence begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) member: usize,
    pub(super) token: usize,
}

impl Part {
    /// Columns as `Builder::write` writes them: where members begin among the tokens; where words end among the words' bytes; these
    /// bytes, sorted; where each word's suffixes end among all, from the separator (0) on; the tokens, word *n* of the words as *n*
    /// from 1 on; the positions of suffixes, sorted by the tokens from there on; and of each [`BLOCK`] of them the least. None where
    /// the bytes are something else.
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        let part = Self { columns: Columns::new(bytes)? };
        let (members, words) = (part.numbers(STARTS).len(), part.numbers(WORD_ENDS).len());
        let fits = part.numbers(BUCKET_ENDS).len() == words + 1
            && part.suffix_count() + members == part.length()
            && part.numbers(MINIMA).len() == part.suffix_count().div_ceil(BLOCK);
        fits.then_some(part)
    }

    fn numbers(&self, column: usize) -> Numbers<'_> {
        self.columns.numbers(column)
    }

    pub(super) fn members(&self) -> usize {
        self.numbers(STARTS).len()
    }

    /// Tokens and the ends of members.
    pub(super) fn length(&self) -> usize {
        self.numbers(TOKENS).len()
    }

    /// Tokens without the ends of members.
    pub(super) fn suffix_count(&self) -> usize {
        self.numbers(SUFFIXES).len()
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = u32> {
        self.numbers(TOKENS).iter()
    }

    pub(super) fn starts(&self) -> impl Iterator<Item = u32> {
        self.numbers(STARTS).iter()
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        (1..=self.numbers(WORD_ENDS).len()).map(|id| self.word(id))
    }

    pub(super) fn word_count(&self) -> usize {
        self.numbers(WORD_ENDS).len()
    }

    pub(super) fn words_bytes(&self) -> usize {
        self.columns.bytes(WORDS).len()
    }

    fn word(&self, id: usize) -> &str {
        let ends = self.numbers(WORD_ENDS);
        let start = id.checked_sub(2).map_or(0, |before| ends.get(before));
        let end = id.checked_sub(1).map_or(0, |own| ends.get(own));
        let bytes = self.columns.bytes(WORDS).get(start as usize..end as usize).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The number of a word; [`SEPARATOR`] for one that stands nowhere.
    pub(super) fn id(&self, word: &str) -> u32 {
        let count = self.numbers(WORD_ENDS).len();
        let at = first_of(1..count + 1, |id| self.word(id) >= word);
        if at <= count && self.word(at) == word { u32::try_from(at).unwrap_or(SEPARATOR) } else { SEPARATOR }
    }

    /// The suffixes that begin with a word.
    pub(super) fn bucket(&self, id: u32) -> Range<usize> {
        let ends = self.numbers(BUCKET_ENDS);
        let Some(before) = (id as usize).checked_sub(1) else { return 0..0 };
        let end = |id: usize| (ends.get(id) as usize).min(self.suffix_count());
        end(before)..end(id as usize)
    }

    /// How many tokens from `position` on are those of `query`, the first `known` being so, and how what follows stands to them.
    fn compare(&self, query: &[u32], known: usize, position: u32) -> (usize, Ordering) {
        let tokens = self.numbers(TOKENS);
        let mut at = known;
        loop {
            let Some(wanted) = query.get(at) else { return (at, Ordering::Equal) };
            let found = tokens.get(position as usize + at);
            // no query holds a separator
            match found.cmp(wanted) {
                Ordering::Equal if found != SEPARATOR => at += 1,
                order => return (at, order),
            }
        }
    }

    /// How many of the first tokens of `query` stand together somewhere in one member. What two suffixes share with it is shared by
    /// all between them (Manber and Myers, 1990), so that no token is compared in each step again.
    pub(super) fn longest(&self, query: &[u32]) -> usize {
        let Some(first) = query.first() else { return 0 };
        let suffixes = self.numbers(SUFFIXES);
        let mut range = self.bucket(*first);
        if range.is_empty() {
            return 0;
        }
        let (mut longest, mut shared_before, mut shared_after) = (1, 1, 1);
        while !range.is_empty() && longest < query.len() {
            let middle = range.start.midpoint(range.end);
            let (shared, order) = self.compare(query, shared_before.min(shared_after), suffixes.get(middle));
            longest = longest.max(shared);
            if order == Ordering::Less {
                (range.start, shared_before) = (middle + 1, shared);
            } else {
                (range.end, shared_after) = (middle, shared);
            }
        }
        longest
    }

    /// The suffixes that begin with `query`.
    pub(super) fn occurrences(&self, query: &[u32]) -> Range<usize> {
        let Some(first) = query.first() else { return 0..0 };
        let (suffixes, bucket) = (self.numbers(SUFFIXES), self.bucket(*first));
        let order = |at: usize| self.compare(query, 0, suffixes.get(at)).1;
        let start = first_of(bucket.clone(), |at| order(at) != Ordering::Less);
        start..first_of(start..bucket.end, |at| order(at) == Ordering::Greater)
    }

    /// The first `limit` members in which one of these suffixes begins, in order. The blocks are looked at by the least position that
    /// they hold, so no more of them than there are occurrences in these members.
    pub(super) fn first_holders(&self, occurrences: &Range<usize>, limit: usize) -> Vec<Holder> {
        let (starts, suffixes, minima) = (self.numbers(STARTS), self.numbers(SUFFIXES), self.numbers(MINIMA));
        let blocks = occurrences.start / BLOCK..occurrences.end.div_ceil(BLOCK);
        let mut left: BinaryHeap<Reverse<(u32, usize)>> =
            if occurrences.is_empty() { BinaryHeap::new() } else { blocks.map(|block| Reverse((minima.get(block), block))).collect() };
        let mut first: BTreeMap<usize, u32> = BTreeMap::new();
        // positions from here on are of later members than those that were found
        let mut beyond = u32::MAX;
        while let Some(Reverse((least, block))) = left.pop() {
            if least >= beyond || limit == 0 {
                break;
            }
            for at in occurrences.start.max(block * BLOCK)..occurrences.end.min((block + 1) * BLOCK) {
                let position = suffixes.get(at);
                if position >= beyond {
                    continue;
                }
                let member = first_of(0..starts.len(), |member| starts.get(member) > position).saturating_sub(1);
                first.entry(member).and_modify(|known| *known = position.min(*known)).or_insert(position);
                if first.len() > limit {
                    first.pop_last();
                }
                if let Some((last, _)) = first.last_key_value().filter(|_| first.len() == limit) {
                    beyond = if last + 1 < starts.len() { starts.get(last + 1) } else { u32::MAX };
                }
            }
        }
        let holder = |(member, position): (usize, u32)| Holder { member, token: position.saturating_sub(starts.get(member)) as usize };
        first.into_iter().map(holder).collect()
    }
}

/// The first of a range for which `holds`, which then holds for all that follow; its end where there is none.
fn first_of(range: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let Range { mut start, mut end } = range;
    while start < end {
        let middle = start.midpoint(end);
        if holds(middle) {
            end = middle;
        } else {
            start = middle + 1;
        }
    }
    start
}
