//! Decoders of every family against transformers, and every decoder against itself in other batches.

mod adapters;
mod fixture;
mod invariance;
mod parity;

use super::*;
use fixture::{Fixture, families};

/// Tokens that look random and are the same everywhere.
fn tokens(count: usize, vocabulary: usize, seed: u64) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as u32 % vocabulary as u32
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// A sequence with its own pages.
#[derive(Clone)]
struct Sequence {
    pages: Vec<PageId>,
    tokens: usize,
    adapter: Option<u32>,
    stretched: bool,
}

/// A decoder with pages to run sequences in.
struct Runner<'a> {
    decoder: &'a Decoder,
    pages: Pages,
    next: u32,
}

impl<'a> Runner<'a> {
    const PAGES: usize = 200;

    fn new(decoder: &'a Decoder) -> Self {
        Self { decoder, pages: decoder.pages(Self::PAGES), next: Self::PAGES as u32 }
    }

    /// Pages are given out from the last to the first, so that no sequence's lie in order.
    fn page(&mut self) -> PageId {
        self.next -= 1;
        PageId(self.next)
    }

    /// For so many tokens in all.
    fn sequence(&mut self, tokens: usize) -> Sequence {
        let pages = (0..tokens.div_ceil(PAGE_TOKENS)).map(|_| self.page()).collect();
        let stretched = self.decoder.architecture().stretches_after().is_some_and(|after| tokens > after);
        Sequence { pages, tokens: 0, adapter: None, stretched }
    }

    /// Appends tokens to sequences in one batch; the hidden states of all of them.
    fn run(&mut self, work: &mut [(&mut Sequence, &[u32])]) -> Vec<f32> {
        let segments = work.iter().map(|(sequence, _)| [Segment { pages: &sequence.pages, tokens: sequence.tokens, first_position: 0 }]);
        let segments: Vec<_> = segments.collect();
        let views = segments.iter().zip(&*work).map(|(segments, (sequence, _))| View { segments, stretched: sequence.stretched });
        let views: Vec<View<'_>> = views.collect();
        let rows = work.iter().enumerate().flat_map(|(view, (sequence, tokens))| {
            let adapter = sequence.adapter;
            tokens.iter().map(move |token| Row { token: *token, view: view as u32, adapter, wanted: true })
        });
        let rows: Vec<Row> = rows.collect();
        let hidden = self.decoder.forward(&mut self.pages, &Batch { rows: &rows, views: &views });
        assert_eq!(hidden.rows, rows.len());
        work.iter_mut().for_each(|(sequence, tokens)| sequence.tokens += tokens.len());
        hidden.numbers
    }

    /// One sequence, given in chunks of these lengths over and over.
    fn chunked(&mut self, adapter: Option<u32>, tokens: &[u32], chunks: &[usize]) -> Vec<f32> {
        let mut sequence = Sequence { adapter, ..self.sequence(tokens.len()) };
        let (mut hidden, mut rest) = (Vec::new(), tokens);
        for chunk in chunks.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, after) = rest.split_at((*chunk).min(rest.len()));
            hidden.extend(self.run(&mut [(&mut sequence, now)]));
            rest = after;
        }
        hidden
    }
}

fn assert_same(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let differ = found.iter().zip(expected).position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!(differ, None, "{what}: the first number with other bits");
}
