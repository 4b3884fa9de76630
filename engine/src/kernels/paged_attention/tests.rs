//! Every path against plain attention in f64, over pages in any order, and against itself in other tiles.

use super::*;
use crate::kernels::tests::{numbers, paths, widen};
use crate::kernels::{Bf16, Cpu, PageId};

const KV_HEADS: usize = 2;

/// Keys and values of every token of a segment, and where they lie.
struct Run {
    first_position: usize,
    pages: Vec<PageId>,
    /// `[tokens][KV_HEADS · width]`
    keys: Vec<f32>,
    values: Vec<f32>,
}

struct Case {
    widths: (usize, usize),
    runs: Vec<Run>,
    rule: ScoreRule,
    slope: f32,
}

impl Case {
    /// Segments of so many tokens, each with its first position; their pages are scattered.
    fn new(widths: (usize, usize), segments: &[(usize, usize)], rule: ScoreRule, slope: f32) -> Self {
        let mut page = 40;
        let run = |(seed, (tokens, first_position)): (usize, &(usize, usize))| {
            let pages = (0..tokens.div_ceil(PAGE_TOKENS)).map(|_| {
                page -= 1;
                PageId(page)
            });
            let pages = pages.collect();
            let rounded =
                |width: usize, seed: usize| numbers(tokens * KV_HEADS * width, seed as u64).into_iter().map(|a| widen(Bf16::from_f32(a)));
            let (keys, values) = (rounded(widths.0, 2 * seed + 1).collect(), rounded(widths.1, 2 * seed + 2).collect());
            Run { first_position: *first_position, pages, keys, values }
        };
        Self { widths, runs: segments.iter().enumerate().map(run).collect(), rule, slope }
    }

    fn tokens(&self, run: usize) -> usize {
        self.runs[run].keys.len() / KV_HEADS / self.widths.0
    }

    fn heads<E: Element>(&self) -> (Vec<HeadLayout>, usize) {
        let first = HeadLayout::new::<E>(7 * 32, self.widths.0, self.widths.1);
        let second = HeadLayout::new::<E>(first.end(), self.widths.0, self.widths.1);
        (vec![first, second], second.end() + 32)
    }

    fn pages<E: Element>(&self) -> PageWords<E> {
        let (heads, page_words) = self.heads::<E>();
        let mut words = PageWords::<E>::new(40, page_words);
        for run in &self.runs {
            let keys = run.keys.chunks_exact(self.widths.0).zip(run.values.chunks_exact(self.widths.1)).enumerate();
            for (at, (key, value)) in keys {
                let (token, head) = (at / KV_HEADS, at % KV_HEADS);
                let page = run.pages[token / PAGE_TOKENS];
                words.pages_mut(std::iter::once(page))[0].write(heads[head], token % PAGE_TOKENS, key, value);
            }
        }
        words
    }

    fn found<E: Element>(&self, cpu: Cpu, head: usize, queries: &[f32], places: &[usize], by_blocks: bool) -> Vec<f32> {
        let (heads, _) = self.heads::<E>();
        let pages = self.pages::<E>();
        let last = self.runs.len() - 1;
        let segment = |(index, run): (usize, &'_ Run)| (run.first_position, if index == last { 0 } else { self.tokens(index) });
        let tokens: Vec<_> = self.runs.iter().enumerate().map(segment).collect();
        let segments =
            self.runs.iter().zip(tokens).map(|(run, (first_position, tokens))| Segment { pages: &run.pages, tokens, first_position });
        let segments: Vec<Segment<'_>> = segments.collect();
        let mut out = vec![f32::NAN; places.len() * self.widths.1];
        let rows = queries.chunks_exact(self.widths.0).zip(places);
        let queries: Vec<Query<'_>> = rows.map(|(numbers, place)| Query { numbers, place: *place, slope: self.slope }).collect();
        let mut outs: Vec<&mut [f32]> = out.chunks_exact_mut(self.widths.1).collect();
        let (head, rule) = (heads[head], &self.rule);
        let scratch = &mut Scratch::new();
        for (queries, outs) in queries.chunks(TILE_LIMIT).zip(outs.chunks_mut(TILE_LIMIT)) {
            let pages = &pages;
            let segments = &segments[..];
            if !by_blocks {
                let tile = PagedAttention { pages, head, segments, rule, queries, scratch: &mut *scratch };
                tile.whole(cpu, outs);
                continue;
            }
            let last = queries.iter().map(|query| query.place).max().expect("queries");
            let mut parts = vec![f32::NAN; block_count(segments, last) * queries.len() * head.part_numbers()];
            for (block, part) in parts.chunks_exact_mut(queries.len() * head.part_numbers()).enumerate() {
                let tile = PagedAttention { pages, head, segments, rule, queries, scratch: &mut *scratch };
                tile.block(cpu, block, part);
            }
            merge_blocks(cpu, &parts, head, outs, scratch);
        }
        out
    }

    fn expected(&self, head: usize, query: &[f32], place: usize) -> Vec<f64> {
        let (width, value_width) = self.widths;
        let position = self.runs.last().expect("a segment").first_position + place;
        let (mut total, mut out) = (0.0, vec![0.0; value_width]);
        for (index, run) in self.runs.iter().enumerate() {
            let tokens = if index + 1 == self.runs.len() { place + 1 } else { self.tokens(index) };
            for token in 0..tokens {
                let key_position = run.first_position + token;
                if self.rule.window.is_some_and(|window| key_position + window <= position) {
                    continue;
                }
                let key = &run.keys[(token * KV_HEADS + head) * width..][..width];
                let product: f64 = key.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let mut score = product * f64::from(self.rule.scale);
                if let Some(cap) = self.rule.soft_cap {
                    score = f64::from(cap) * (score / f64::from(cap)).tanh();
                }
                let weight = (score + f64::from(self.slope) * (key_position as f64 - position as f64)).exp();
                total += weight;
                let value = &run.values[(token * KV_HEADS + head) * value_width..][..value_width];
                out.iter_mut().zip(value).for_each(|(out, value)| *out += weight * f64::from(*value));
            }
        }
        out.into_iter().map(|sum| sum / total).collect()
    }
}

fn cases() -> Vec<Case> {
    let plain = ScoreRule { scale: 0.3, soft_cap: None, window: None };
    let capped = ScoreRule { soft_cap: Some(1.5), ..plain.clone() };
    let window = |window| ScoreRule { window: Some(window), ..plain.clone() };
    vec![
        Case::new((8, 8), &[(70, 0)], plain.clone(), 0.0),
        Case::new((64, 64), &[(BLOCK_TOKENS + 40, 0)], capped, 0.0),
        Case::new((80, 80), &[(3, 0), (70, 3), (33, 73)], plain.clone(), 0.0),
        Case::new((24, 12), &[(40, 0), (65, 40), (70, 40), (50, 110)], plain.clone(), -0.07),
        Case::new((7, 33), &[(65, 0)], window(1), 0.0),
        Case::new((32, 32), &[(BLOCK_TOKENS * 2 + 9, 0)], window(50), 0.0),
        Case::new((32, 96), &[(BLOCK_TOKENS + 1, 0), (64, 200), (20, 300)], window(90), 0.02),
    ]
}

fn check<E: Element>(cpu: Cpu, case: &Case, tolerance: f64) {
    let tokens = case.tokens(case.runs.len() - 1);
    let places: Vec<usize> = (0..tokens).collect();
    let queries: Vec<f32> = numbers(tokens * case.widths.0, 99).into_iter().map(|a| widen(Bf16::from_f32(2.0 * a))).collect();
    for head in 0..KV_HEADS {
        let all = case.found::<E>(cpu, head, &queries, &places, false);
        let divided = case.found::<E>(cpu, head, &queries, &places, true);
        assert!(
            all.iter().zip(&divided).all(|(a, b)| a.to_bits() == b.to_bits()),
            "{} {:?}: another result by blocks",
            cpu.isa(),
            case.rule
        );
        for (place, (query, found)) in queries.chunks_exact(case.widths.0).zip(all.chunks_exact(case.widths.1)).enumerate() {
            for (found, expected) in found.iter().zip(case.expected(head, query, place)) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < tolerance, "{} {:?} {:?} at {place}: {found} for {expected}", cpu.isa(), case.widths, case.rule);
            }
            let alone = case.found::<E>(cpu, head, query, &[place], false);
            let same = alone.iter().zip(found).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{} {:?} {:?}: another result alone at {place}", cpu.isa(), case.widths, case.rule);
        }
    }
}

#[test]
fn pages_give_what_plain_attention_gives_and_queries_are_alone() {
    for cpu in paths() {
        for case in cases() {
            check::<f32>(cpu, &case, 1e-5);
            check::<Bf16>(cpu, &case, 1e-2);
        }
    }
}

/// What was in a page before, however broken, is not seen.
#[test]
fn stale_tokens_do_not_matter() {
    fn check<E: Element>(cpu: Cpu) {
        let rule = ScoreRule { scale: 0.3, soft_cap: None, window: None };
        let case = Case::new((16, 16), &[(33, 0)], rule, 0.0);
        let (heads, _) = case.heads::<E>();
        let query = numbers(16, 5);
        let run = |stale: f32| {
            let mut pages = case.pages::<E>();
            let token = |place: usize| [&case.runs[0].keys, &case.runs[0].values].map(|numbers| &numbers[place * KV_HEADS * 16..][..16]);
            for (page, from) in case.runs[0].pages.iter().zip([18, 0]) {
                let page = &mut pages.pages_mut(std::iter::once(*page))[0];
                (from..PAGE_TOKENS).for_each(|place| page.write(heads[0], place, &[stale; 16], &[stale; 16]));
            }
            let [key, value] = token(18);
            pages.pages_mut(std::iter::once(case.runs[0].pages[0]))[0].write(heads[0], 18, key, value);
            let mut out = vec![0.0; 16];
            let segments = [Segment { pages: &case.runs[0].pages, tokens: 18, first_position: 0 }];
            let queries = &[Query { numbers: &query, place: 18, slope: 0.0 }];
            let scratch = &mut Scratch::new();
            let tile = PagedAttention { pages: &pages, head: heads[0], segments: &segments, rule: &case.rule, queries, scratch };
            tile.whole(cpu, &mut [&mut out]);
            out
        };
        assert_eq!(run(0.0), run(f32::NAN), "{}", cpu.isa());
    }
    for cpu in paths() {
        check::<f32>(cpu);
        check::<Bf16>(cpu);
    }
}

#[test]
fn copied_tokens_are_the_same() {
    fn check<E: Element>() {
        let rule = ScoreRule { scale: 1.0, soft_cap: None, window: None };
        let case = Case::new((6, 10), &[(32, 0)], rule, 0.0);
        let (heads, _) = case.heads::<E>();
        let mut pages = case.pages::<E>();
        let from = case.runs[0].pages[0];
        pages.copy(from, PageId(1), 5, heads.iter().copied());
        for head in heads {
            let (old, new) = (pages.keys(head, from), pages.keys(head, PageId(1)));
            for (old, new) in old.chunks(PAGE_TOKENS).zip(new.chunks(PAGE_TOKENS)) {
                let bits = |words: &[E::Word]| words.iter().map(|word| E::unpack(*word, 0).to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&old[..5]), bits(&new[..5]));
                assert_eq!(bits(&new[5..]), vec![0; PAGE_TOKENS - 5]);
            }
            let tokens = 5_usize.div_ceil(E::PER_WORD) * head.value_width;
            let bits = |words: &[E::Word]| words.iter().map(|word| E::unpack(*word, 0).to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&pages.values(head, from)[..tokens]), bits(&pages.values(head, PageId(1))[..tokens]));
        }
    }
    check::<f32>();
    check::<Bf16>();
}
