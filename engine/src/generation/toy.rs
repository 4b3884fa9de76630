//! A model for tests whose numbers depend on everything a token sees, exactly, and an oracle that tells them without pages.

use super::forward::Forward;
use super::schedule::PageCopy;
use crate::decoder::{Batch, PAGE_TOKENS, PageId};

/// What a token leaves in the cache, and its final state: a hash of itself, its place, its adapter and all it sees.
type State = u64;

pub(crate) const VOCABULARY: usize = 264;

pub(crate) struct Toy {
    pages: Vec<[State; PAGE_TOKENS]>,
    /// A token at which the pass panics.
    pub(crate) panics_at: Option<u32>,
    /// Rows of each pass so far.
    pub(crate) passes: Vec<usize>,
}

impl Toy {
    pub(crate) fn new(pages: usize) -> Self {
        Self { pages: vec![[0xdead; PAGE_TOKENS]; pages], panics_at: None, passes: Vec::new() }
    }

    fn read<'a>(&'a self, pages: &'a [PageId], tokens: usize) -> impl Iterator<Item = State> + 'a {
        (0..tokens).map(|place| self.pages[pages[place / PAGE_TOKENS].0 as usize][place % PAGE_TOKENS])
    }
}

impl Forward for Toy {
    fn copy(&mut self, copy: PageCopy) {
        assert_ne!(copy.from, copy.to);
        let from = self.pages[copy.from.0 as usize];
        self.pages[copy.to.0 as usize][..copy.tokens].copy_from_slice(&from[..copy.tokens]);
        self.pages[copy.to.0 as usize][copy.tokens..].fill(0xdead);
    }

    fn forward(&mut self, batch: &Batch<'_>) -> Vec<f32> {
        let mut hidden = Vec::new();
        let mut done = vec![0; batch.views.len()];
        self.passes.push(batch.rows.len());
        for row in batch.rows {
            assert_ne!(Some(row.token), self.panics_at, "a planted panic");
            let (own, seen) = batch.views[row.view as usize].segments.split_last().expect("a segment");
            let place = own.tokens + done[row.view as usize];
            done[row.view as usize] += 1;
            let before: Vec<State> =
                seen.iter().flat_map(|segment| self.read(segment.pages, segment.tokens)).chain(self.read(own.pages, place)).collect();
            let state = state(row.token, own.first_position + place, row.adapter, &before);
            self.pages[own.pages[place / PAGE_TOKENS].0 as usize][place % PAGE_TOKENS] = state;
            if row.wanted {
                hidden.extend(to_numbers(state));
            }
        }
        hidden
    }

    fn logits(&self, hidden: &[f32], rows: usize) -> Vec<f32> {
        assert_eq!(hidden.len(), rows * 4);
        hidden.chunks(4).flat_map(|row| logits(from_numbers(row))).collect()
    }

    fn log_probabilities(&self, hidden: &[f32], targets: &[u32]) -> Vec<f32> {
        assert_eq!(hidden.len(), targets.len() * 4);
        hidden.chunks(4).zip(targets).map(|(row, target)| log_probability(from_numbers(row), *target)).collect()
    }
}

pub(crate) fn state(token: u32, position: usize, adapter: Option<u32>, before: &[State]) -> State {
    let own = mix(mix(u64::from(token), position as u64), adapter.map_or(0, |adapter| u64::from(adapter) + 1));
    before.iter().fold(own, |state, seen| mix(state, *seen))
}

pub(crate) fn logits(state: State) -> Vec<f32> {
    (0..VOCABULARY as u64).map(|token| (mix(state, token) >> 40) as f32 / (1 << 22) as f32).collect()
}

pub(crate) fn log_probability(state: State, token: u32) -> f32 {
    let logits = logits(state);
    (f64::from(logits[token as usize]) - super::sampling::log_sum(&logits)) as f32
}

/// States of `tokens`, which see `before` and each other.
pub(crate) fn run(tokens: &[u32], position: usize, adapter: Option<u32>, before: &[State]) -> Vec<State> {
    let mut states = before.to_vec();
    for (token, place) in tokens.iter().zip(0..) {
        states.push(state(*token, position + place, adapter, &states));
    }
    states.split_off(before.len())
}

/// splitmix64's finaliser over both.
fn mix(a: u64, b: u64) -> u64 {
    let mut mixed = a.rotate_left(17).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn to_numbers(state: State) -> [f32; 4] {
    [0, 16, 32, 48].map(|shift| f32::from((state >> shift) as u16))
}

fn from_numbers(row: &[f32]) -> State {
    row.iter().zip([0, 16, 32, 48]).map(|(number, shift)| u64::from(*number as u16) << shift).sum()
}
