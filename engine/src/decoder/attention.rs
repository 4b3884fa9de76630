//! Attention of one layer: from normalised rows to the mix of values that the output matrix reads.

use super::forward::AttentionBuffers;
use super::pages::{Cache, Memory};
use super::pass::{Pass, RowSet};
use super::projection::Strided;
use super::rows::share;
use super::weights::{AttentionInput, AttentionWeights, NormWeights};
use super::{PAGE_TOKENS, Pages};
use crate::architecture::{Attention, Position, WeightRole};
use crate::kernels::{Element, HeadLayout, PagedAttention, Query, ScoreRule, TILE_LIMIT, TileScratch, block_count, merge_blocks};

/// Fewer tiles for a thread than these, and long ones are divided.
const TILES_PER_THREAD: usize = 3;

/// Queries, keys and values of every row, ready for attention.
#[derive(Clone, Copy)]
pub(super) struct Projections<'a> {
    pub(super) queries: Strided<'a>,
    pub(super) keys: Strided<'a>,
    pub(super) values: Strided<'a>,
}

/// Queries that are computed together: some heads of some rows that read the same keys.
struct Tile<'a> {
    view: usize,
    kv_head: usize,
    queries: Vec<Query<'a>>,
    outs: Vec<&'a mut [f32]>,
    /// Place of its last query.
    place: usize,
}

impl Pass<'_> {
    /// Queries, keys and values, normalised and rotated.
    pub(super) fn project(&self, weights: &AttentionWeights, rows: &RowSet, input: &[f32], buffers: &mut AttentionBuffers) {
        match &weights.input {
            AttentionInput::Latent(latent) => self.project_latent(weights, latent, rows, input, buffers),
            AttentionInput::Projected(projections) => {
                buffers.projected.multiply(self, projections, rows, input);
                for (role, norm) in [(WeightRole::Query, &weights.query_norm), (WeightRole::Key, &weights.key_norm)] {
                    let heads = buffers.projected.rows_mut(projections, role, rows.len());
                    self.turn(weights, norm.as_ref(), heads, 0);
                }
            }
        }
    }

    /// Normalises and rotates the heads of every row, from a head's number `first` on.
    pub(super) fn turn<'h>(
        &self,
        weights: &AttentionWeights,
        norm: Option<&NormWeights>,
        heads: impl Iterator<Item = &'h mut [f32]>,
        first: usize,
    ) {
        let table = weights.rotary.map(|rotary| &self.tables[rotary]);
        if norm.is_none() && table.is_none() {
            return;
        }
        let (cpu, head_width) = (self.decoder.cpu, weights.shape.head_width);
        let numbers = weights.shape.heads * head_width;
        self.decoder.by_rows(heads.enumerate(), numbers, |(row, heads)| {
            // Normalised, then turned, as Qwen 3 and Gemma 3 do: the norm weighs each number, so the order counts.
            if let Some(norm) = norm {
                norm.normalise(cpu, heads);
            }
            if let Some(table) = table {
                table.rotate(cpu, row, heads, head_width, first);
            }
        });
    }

    /// Writes the keys and values of every row to its page.
    pub(super) fn append(&self, layer: usize, pages: &mut Pages, weights: &AttentionWeights, buffers: &AttentionBuffers) {
        let projections = projections(weights, buffers);
        match &mut pages.0 {
            Memory::F32(cache) => self.append_to(layer, cache, &weights.shape, projections),
            Memory::Bf16(cache) => self.append_to(layer, cache, &weights.shape, projections),
        }
    }

    fn append_to<E: Element>(&self, layer: usize, cache: &mut Cache<E>, shape: &Attention, projections: Projections<'_>) {
        let heads = &cache.layers[layer];
        // One item a page: no two threads write to the same one.
        let pages = cache.words.pages_mut(self.appends.iter().map(|(page, _)| *page));
        let numbers = PAGE_TOKENS * shape.kv_heads * shape.head_width;
        self.decoder.by_rows(pages.into_iter().zip(&self.appends), numbers, |(mut page, (_, appends))| {
            for append in appends {
                let keys = projections.keys.row(append.row).chunks_exact(shape.head_width);
                let values = projections.values.row(append.row).chunks_exact(shape.value_width);
                for (head, (key, value)) in heads.iter().zip(keys.zip(values)) {
                    page.write(*head, append.place, key, value);
                }
            }
        });
    }

    /// `attended: [rows][heads · value width]` for the rows of the set.
    pub(super) fn attend(
        &self,
        layer: usize,
        pages: &Pages,
        weights: &AttentionWeights,
        rows: &RowSet,
        buffers: &AttentionBuffers,
        attended: &mut [f32],
    ) {
        let queries = projections(weights, buffers).queries;
        let tiles = self.tiles(&weights.shape, rows, queries, attended);
        match &pages.0 {
            Memory::F32(cache) => self.attend_to(layer, cache, &weights.shape, tiles),
            Memory::Bf16(cache) => self.attend_to(layer, cache, &weights.shape, tiles),
        }
    }

    fn attend_to<E: Element>(&self, layer: usize, cache: &Cache<E>, shape: &Attention, tiles: Vec<Tile<'_>>) {
        let rule = ScoreRule { scale: shape.scale, soft_cap: shape.soft_cap, window: shape.sliding_window };
        let (team, cpu) = (&self.decoder.team, self.decoder.cpu);
        // Dividing a tile costs a merge: worth it only where threads would have nothing to do.
        let few = tiles.len() < TILES_PER_THREAD * self.decoder.threads && self.decoder.threads > 1;
        let (long, short): (Vec<_>, Vec<_>) = tiles.into_iter().partition(|tile| few && self.blocks(tile) > 1);
        if !long.is_empty() {
            self.attend_by_blocks(&rule, &cache.layers[layer], cache, long);
        }
        share(team, short, |Tile { view, kv_head, queries, mut outs, .. }| {
            cache.with_scratch(|scratch| {
                let tile = self.paged(&rule, cache, (view, cache.layers[layer][kv_head]), &queries, scratch);
                tile.whole(cpu, &mut outs);
            });
        });
    }

    /// Divides a few long tiles by their blocks: the same sums, merged in the same order.
    fn attend_by_blocks<E: Element>(&self, rule: &ScoreRule, heads: &[HeadLayout], cache: &Cache<E>, tiles: Vec<Tile<'_>>) {
        let (team, cpu) = (&self.decoder.team, self.decoder.cpu);
        let numbers = |tile: &Tile<'_>| tile.queries.len() * heads[tile.kv_head].part_numbers();
        let mut parts: Vec<Vec<f32>> = tiles.iter().map(|tile| vec![0.0; self.blocks(tile) * numbers(tile)]).collect();
        let blocks = tiles
            .iter()
            .zip(&mut parts)
            .flat_map(|(tile, parts)| parts.chunks_exact_mut(numbers(tile)).enumerate().map(move |(block, part)| (tile, block, part)));
        share(team, blocks.collect(), |(tile, block, part)| {
            cache.with_scratch(|scratch| {
                let tile = self.paged(rule, cache, (tile.view, heads[tile.kv_head]), &tile.queries, scratch);
                tile.block(cpu, block, part);
            });
        });
        share(team, tiles.into_iter().zip(parts).collect(), |(mut tile, parts)| {
            let head = heads[tile.kv_head];
            cache.with_scratch(|scratch| merge_blocks(cpu, &parts, head, &mut tile.outs, scratch));
        });
    }

    fn blocks(&self, tile: &Tile<'_>) -> usize {
        block_count(self.batch.views[tile.view].segments, tile.place)
    }

    fn paged<'t, E: Element>(
        &'t self,
        rule: &'t ScoreRule,
        cache: &'t Cache<E>,
        (view, head): (usize, HeadLayout),
        queries: &'t [Query<'t>],
        scratch: &'t mut TileScratch<E>,
    ) -> PagedAttention<'t, E> {
        PagedAttention { pages: &cache.words, head, segments: self.batch.views[view].segments, rule, queries, scratch }
    }

    /// The longest first.
    fn tiles<'b>(&self, shape: &Attention, rows: &RowSet, queries: Strided<'b>, attended: &'b mut [f32]) -> Vec<Tile<'b>> {
        let group = shape.heads / shape.kv_heads;
        let mut tiles: Vec<Tile<'b>> = Vec::new();
        // Where the tiles that still have room are, for each key-value head.
        let mut open: Vec<usize> = Vec::new();
        let mut outs = attended.chunks_exact_mut(shape.value_width);
        let mut view = None;
        for row in &rows.rows {
            let spot = self.spots[*row];
            // Another sequence has other keys: none of its rows joins a tile of the one before.
            if view.replace(spot.view) != Some(spot.view) {
                open = vec![usize::MAX; shape.kv_heads];
            }
            let numbers = queries.row(*row).chunks_exact(shape.head_width);
            for (head, (numbers, out)) in numbers.zip(outs.by_ref().take(shape.heads)).enumerate() {
                let open = &mut open[head / group];
                if tiles.get(*open).is_none_or(|tile| tile.queries.len() == TILE_LIMIT) {
                    *open = tiles.len();
                    tiles.push(Tile { view: spot.view, kv_head: head / group, queries: Vec::new(), outs: Vec::new(), place: 0 });
                }
                let tile = &mut tiles[*open];
                // Places ascend within a view: the last one written is the furthest that the tile reads to.
                tile.place = spot.place;
                tile.queries.push(Query { numbers, place: spot.place, slope: slope(&shape.position, head) });
                tile.outs.push(out);
            }
        }
        tiles.sort_by_key(|tile| std::cmp::Reverse(tile.place));
        tiles
    }
}

fn slope(position: &Position, head: usize) -> f32 {
    match position {
        Position::Alibi { slopes } => slopes[head],
        Position::None | Position::Rotary(_) => 0.0,
    }
}

fn projections<'a>(weights: &AttentionWeights, buffers: &'a AttentionBuffers) -> Projections<'a> {
    match &weights.input {
        AttentionInput::Latent(_) => {
            let shape = &weights.shape;
            Projections {
                queries: Strided::new(&buffers.queries, shape.heads * shape.head_width),
                keys: Strided::new(&buffers.keys, shape.heads * shape.head_width),
                values: Strided::new(&buffers.values, shape.heads * shape.value_width),
            }
        }
        AttentionInput::Projected(projections) => {
            let part = |role| buffers.projected.of(projections, role);
            Projections { queries: part(WeightRole::Query), keys: part(WeightRole::Key), values: part(WeightRole::Value) }
        }
    }
}
