//! Attention of a few queries to the keys and values of their sequence, which lie in pages.
//!
//! Keys are taken in blocks of [`BLOCK_TOKENS`] counted from the start of each segment. A block gives its largest score,
//! the sum of its exponentials and their mix of values; blocks are then merged one after the other. So every sum is
//! taken in an order that the query's own list of keys fixes, whoever shares its tile and whichever keys are cached.

use super::product::Block;
use super::{Add, Cpu, Element, Kernel, Overwrite, PAGE_TOKENS, Segment, Simd};

mod memory;
mod scores;
mod scratch;

pub(crate) use memory::{HeadLayout, PageWords};
pub(crate) use scores::ScoreRule;
pub(crate) use scratch::Scratch;
use scratch::{Finish, Merge, TakeQueries};

/// Tokens whose scores are kept at once.
const BLOCK_TOKENS: usize = 8 * PAGE_TOKENS;
/// The most queries of a tile: whole tiles of any path.
pub(crate) const TILE_LIMIT: usize = 24;
/// The largest score and the exponentials' sum of no keys.
const NOTHING: (f32, f32) = (f32::NEG_INFINITY, 0.0);

/// One query head of one token.
#[derive(Clone, Copy)]
pub(crate) struct Query<'a> {
    /// `[head_width]`
    pub(crate) numbers: &'a [f32],
    /// The token's place in the last segment.
    pub(crate) place: usize,
    /// Of ALiBi; 0 for none.
    pub(crate) slope: f32,
}

/// Queries that see the same segments and read the same key-value head.
pub(crate) struct PagedAttention<'a, E: Element> {
    pub(crate) pages: &'a PageWords<E>,
    pub(crate) head: HeadLayout,
    pub(crate) segments: &'a [Segment<'a>],
    pub(crate) rule: &'a ScoreRule,
    /// At most [`TILE_LIMIT`].
    pub(crate) queries: &'a [Query<'a>],
    pub(crate) scratch: &'a mut Scratch<E>,
}

/// Tokens of one segment that are taken together.
struct KeyBlock<'a> {
    segment: &'a Segment<'a>,
    is_last: bool,
    /// Place of the block's first token.
    start: usize,
}

/// Blocks of a view whose last query is at `place` of the last segment.
pub(crate) fn block_count(segments: &[Segment<'_>], place: usize) -> usize {
    blocks(segments, place).count()
}

#[inline(always)]
fn blocks<'a>(segments: &'a [Segment<'a>], place: usize) -> impl Iterator<Item = KeyBlock<'a>> {
    segments.iter().enumerate().flat_map(move |(index, segment)| {
        let is_last = index + 1 == segments.len();
        let tokens = if is_last { place + 1 } else { segment.tokens };
        (0..tokens).step_by(BLOCK_TOKENS).map(move |start| KeyBlock { segment, is_last, start })
    })
}

/// What [`PagedAttention::whole`] gives, from the parts of all blocks in their order.
pub(crate) fn merge_blocks<E: Element>(cpu: Cpu, parts: &[f32], head: HeadLayout, outs: &mut [&mut [f32]], scratch: &mut Scratch<E>) {
    scratch.clear(outs.len(), head);
    for part in parts.chunks_exact(outs.len() * head.part_numbers()) {
        scratch.take(part, head);
        cpu.run(Merge { queries: outs.len(), head, scratch: &mut *scratch });
    }
    cpu.run(Finish { outs, head, scratch });
}

/// One block of one tile: the only kernel here that is large, compiled once for every path.
struct Attend<'k, 'a, E: Element> {
    tile: &'k mut PagedAttention<'a, E>,
    block: KeyBlock<'a>,
}

impl<E: Element> Kernel for Attend<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.tile.attend(simd, &self.block);
    }
}

impl<E: Element> PagedAttention<'_, E> {
    /// `softmax(rule(Q Kᵀ)) V`, each of `outs` a query's `[value_width]`.
    pub(crate) fn whole(mut self, cpu: Cpu, outs: &mut [&mut [f32]]) {
        cpu.run(TakeQueries { queries: self.queries, head: self.head, scratch: self.scratch });
        self.scratch.clear(self.queries.len(), self.head);
        for block in blocks(self.segments, self.last_place()) {
            cpu.run(Attend { tile: &mut self, block });
            cpu.run(Merge { queries: self.queries.len(), head: self.head, scratch: self.scratch });
        }
        cpu.run(Finish { outs, head: self.head, scratch: self.scratch });
    }

    /// What one block gives, to be merged later: for each query the largest score, the exponentials' sum, then the
    /// values, `[queries][head.part_numbers()]`.
    pub(crate) fn block(mut self, cpu: Cpu, block: usize, part: &mut [f32]) {
        if let Some(block) = blocks(self.segments, self.last_place()).nth(block) {
            cpu.run(TakeQueries { queries: self.queries, head: self.head, scratch: self.scratch });
            cpu.run(Attend { tile: &mut self, block });
            self.scratch.give(part, self.head);
        }
    }

    fn last_place(&self) -> usize {
        self.queries.iter().map(|query| query.place).max().unwrap_or(0)
    }

    /// Leaves the block's values and their weights in the scratch.
    #[inline(always)]
    fn attend<S: Simd>(&mut self, simd: S, block: &KeyBlock<'_>) {
        let position = self.segments.last().map_or(0, |segment| segment.first_position);
        assert!(self.queries.len() <= TILE_LIMIT, "a tile has room for its queries");
        let mut visible = [(0, 0); TILE_LIMIT];
        let (mut first, mut end) = (usize::MAX, 0);
        for (visible, query) in visible.iter_mut().zip(self.queries) {
            *visible = self.rule.visible(block, position + query.place, query.place);
            if visible.0 < visible.1 {
                (first, end) = (first.min(visible.0), end.max(visible.1));
            }
        }
        self.scratch.parts = [NOTHING; TILE_LIMIT];
        if first >= end {
            return;
        }
        let pages = (first / PAGE_TOKENS, end.div_ceil(PAGE_TOKENS));
        self.score(simd, block, pages);
        let scratch = &mut *self.scratch;
        let rows = scratch.scores.chunks_exact_mut(BLOCK_TOKENS).zip(scratch.weights.chunks_exact_mut(BLOCK_TOKENS));
        let rows = rows.zip(&mut scratch.parts).zip(self.queries.iter().zip(visible));
        let start = block.segment.first_position + block.start;
        for (((scores, weights), part), (query, visible)) in rows {
            #[expect(clippy::cast_precision_loss, reason = "a position is below 2^24")]
            let distance = start as f32 - (position + query.place) as f32;
            let row = scores::ScoreRow { scores, weights, visible, pages, slope: query.slope, distance };
            *part = row.exponentials(simd, self.rule);
        }
        self.mix(simd, block, pages, end);
    }

    /// Scores of every query against the keys of some of the block's pages.
    #[inline(always)]
    fn score<S: Simd>(&mut self, simd: S, block: &KeyBlock<'_>, (first, end): (usize, usize)) {
        let scratch = &mut *self.scratch;
        let mut sink = Overwrite { out: &mut scratch.scores, stride: BLOCK_TOKENS };
        for page in first..end {
            let keys = self.pages.keys(self.head, block.segment.pages[block.start / PAGE_TOKENS + page]);
            for panel in (0..PAGE_TOKENS).step_by(2 * S::LANES) {
                let product = Block::<S, E> {
                    left: &scratch.queries,
                    left_stride: scratch.query_stride,
                    rows: tile_rows::<S>(self.queries.len()),
                    right: &keys[panel..],
                    right_stride: PAGE_TOKENS,
                    steps: self.head.key_words,
                    start: [simd.splat(0.0); 2],
                };
                product.run(simd, 0, page * PAGE_TOKENS + panel, &mut sink);
            }
        }
    }

    /// The block's values, weighted by the exponentials of its scores.
    #[inline(always)]
    fn mix<S: Simd>(&mut self, simd: S, block: &KeyBlock<'_>, (first, end): (usize, usize), tokens: usize) {
        let (scratch, stride) = (&mut *self.scratch, self.head.value_width);
        scratch.mixed.fill(0.0);
        for page in first..end {
            let values = self.pages.values(self.head, block.segment.pages[block.start / PAGE_TOKENS + page]);
            let page_tokens = PAGE_TOKENS.min(tokens - page * PAGE_TOKENS);
            for column in (0..stride).step_by(2 * S::LANES) {
                let product = Block::<S, E> {
                    left: &scratch.weights[page * PAGE_TOKENS..],
                    left_stride: BLOCK_TOKENS,
                    rows: tile_rows::<S>(self.queries.len()),
                    right: &values[column..],
                    right_stride: stride,
                    steps: page_tokens.div_ceil(E::PER_WORD),
                    start: [simd.splat(0.0); 2],
                };
                product.run(simd, 0, column, &mut Add { to: &mut scratch.mixed, stride });
            }
        }
    }
}

/// As many rows as products take in whole tiles: one more row in a tile costs less than one more tile, and what comes
/// of rows without a query is not read.
#[inline(always)]
fn tile_rows<S: Simd>(queries: usize) -> usize {
    let rest = queries % S::TILE_ROWS;
    queries - rest + if rest > 2 { rest.next_multiple_of(2).max(4) } else { rest }
}

#[cfg(test)]
mod tests;
