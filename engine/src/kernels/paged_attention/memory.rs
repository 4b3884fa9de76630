//! Where keys and values lie: pages of [`PAGE_TOKENS`] tokens, in each page one place after the other for every head of
//! every layer.
//!
//! A head's keys are `[words of a key][PAGE_TOKENS]`, so that a product reads whole vectors of tokens; its values are
//! `[PAGE_TOKENS / PER_WORD][value_width]`, where a word is one column of as many tokens as it holds.

use crate::kernels::{Buffer, Element, PAGE_TOKENS, PageId};

/// Values are padded with zeros to whole pairs of vectors of any path.
const VALUE_STEP: usize = 32;

/// One key-value head of one layer, inside a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadLayout {
    /// First word of its keys.
    start: usize,
    pub(super) key_words: usize,
    /// Padded.
    pub(super) value_width: usize,
    per_word: usize,
}

impl HeadLayout {
    /// Of a head that starts at a word of its page.
    pub(crate) fn new<E: Element>(start: usize, head_width: usize, value_width: usize) -> Self {
        let key_words = head_width.div_ceil(E::PER_WORD);
        Self { start, key_words, value_width: value_width.next_multiple_of(VALUE_STEP), per_word: E::PER_WORD }
    }

    /// The word after its last.
    pub(crate) fn end(self) -> usize {
        self.values() + PAGE_TOKENS / self.per_word * self.value_width
    }

    /// Numbers of one query's part of a block: see [`super::BlockAttention`].
    pub(crate) fn part_numbers(self) -> usize {
        2 + self.value_width
    }

    fn values(self) -> usize {
        self.start + self.key_words * PAGE_TOKENS
    }
}

/// The words of all pages. What was never written is zero and takes no memory.
pub(crate) struct PageWords<E: Element> {
    words: Buffer<E::Word>,
    page_words: usize,
}

/// A page that tokens are appended to.
pub(crate) struct PageMut<'a, E: Element>(&'a mut [E::Word]);

impl<E: Element> PageWords<E> {
    pub(crate) fn new(pages: usize, page_words: usize) -> Self {
        Self { words: Buffer::new(pages * page_words), page_words }
    }

    #[inline(always)]
    pub(super) fn keys(&self, head: HeadLayout, page: PageId) -> &[E::Word] {
        &self.words[page.0 as usize * self.page_words + head.start..][..head.key_words * PAGE_TOKENS]
    }

    #[inline(always)]
    pub(super) fn values(&self, head: HeadLayout, page: PageId) -> &[E::Word] {
        let length = PAGE_TOKENS / E::PER_WORD * head.value_width;
        &self.words[page.0 as usize * self.page_words + head.values()..][..length]
    }

    /// Pages to write to, for ids that ascend and differ.
    pub(crate) fn pages_mut(&mut self, pages: impl Iterator<Item = PageId>) -> Vec<PageMut<'_, E>> {
        let page_words = self.page_words;
        let (mut rest, mut next) = (&mut self.words[..], 0);
        pages
            .map(|page| {
                let skipped = (page.0 as usize - next) * page_words;
                let (head, tail) = std::mem::take(&mut rest).split_at_mut(skipped + page_words);
                (rest, next) = (tail, page.0 as usize + 1);
                PageMut(&mut head[skipped..])
            })
            .collect()
    }

    /// The first `tokens` of a page, of every head.
    pub(crate) fn copy(&mut self, from: PageId, to: PageId, tokens: usize, heads: impl Iterator<Item = HeadLayout>) {
        let (from, to) = (from.0 as usize * self.page_words, to.0 as usize * self.page_words);
        for head in heads {
            for word in 0..head.key_words {
                let start = head.start + word * PAGE_TOKENS;
                self.words.copy_within(from + start..from + start + tokens, to + start);
            }
            let values = head.values();
            self.words.copy_within(from + values..from + values + tokens.div_ceil(E::PER_WORD) * head.value_width, to + values);
        }
    }
}

impl<E: Element> PageMut<'_, E> {
    /// Writes a token's key and value of one head. Tokens of a page are written in order: the first of a word clears it.
    pub(crate) fn write(&mut self, head: HeadLayout, place: usize, key: &[f32], value: &[f32]) {
        let keys = self.0[head.start + place..].iter_mut().step_by(PAGE_TOKENS);
        for (word, numbers) in keys.zip(key.chunks(E::PER_WORD)) {
            *word = E::pack(|at| numbers.get(at).map_or_else(E::default, |number| E::from_f32(*number)));
        }
        let half = place % E::PER_WORD;
        let values = &mut self.0[head.values() + place / E::PER_WORD * head.value_width..];
        for (word, number) in values.iter_mut().zip(value) {
            let before = *word;
            *word = E::pack(|at| match at.cmp(&half) {
                std::cmp::Ordering::Less => E::from_f32(E::unpack(before, at)),
                std::cmp::Ordering::Equal => E::from_f32(*number),
                std::cmp::Ordering::Greater => E::default(),
            });
        }
    }
}
