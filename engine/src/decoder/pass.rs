//! What is the same for every layer of one forward pass.

use super::rotary::RotaryTable;
use super::{Batch, Decoder, PAGE_TOKENS, PageId};

pub(super) struct Pass<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) batch: &'a Batch<'a>,
    /// Of every row.
    pub(super) spots: Vec<Spot>,
    /// Rows by the page they are written to, pages ascending.
    pub(super) appends: Vec<(PageId, Vec<Append>)>,
    /// One for each rotation of the decoder.
    pub(super) tables: Vec<RotaryTable>,
}

/// Where a row belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    pub(super) view: usize,
    /// In the view's last segment.
    pub(super) place: usize,
    pub(super) position: usize,
}

/// A row and its place in a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Append {
    pub(super) row: usize,
    pub(super) place: usize,
}

/// The rows that a step computes, and which adapters they have.
#[derive(Debug, Clone)]
pub(super) struct RowSet {
    /// Indices into the batch's rows, ascending.
    pub(super) rows: Vec<usize>,
    /// Each adapter with its rows, as places in `rows`.
    pub(super) adapted: Vec<(u32, Vec<usize>)>,
}

impl RowSet {
    pub(super) fn new(batch: &Batch<'_>, rows: Vec<usize>) -> Self {
        let mut adapted: Vec<(u32, Vec<usize>)> = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let Some(adapter) = batch.rows.get(*row).and_then(|row| row.adapter) else {
                continue;
            };
            match adapted.iter_mut().find(|(known, _)| *known == adapter) {
                Some((_, places)) => places.push(place),
                None => adapted.push((adapter, vec![place])),
            }
        }
        Self { rows, adapted }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

impl<'a> Pass<'a> {
    pub(super) fn new(decoder: &'a Decoder, batch: &'a Batch<'a>) -> Self {
        let spots = spots(batch);
        let rows = || spots.iter().map(|spot| (spot.position, batch.views[spot.view].stretched));
        let tables = decoder.rotaries.iter().map(|rotary| RotaryTable::new(rotary, rows())).collect();
        Self { decoder, batch, appends: appends(batch, &spots), tables, spots }
    }
}

fn spots(batch: &Batch<'_>) -> Vec<Spot> {
    let mut spots: Vec<Spot> = Vec::with_capacity(batch.rows.len());
    for row in batch.rows {
        let view = row.view as usize;
        let last = batch.views[view].segments.last().expect("a view has a segment");
        let place = match spots.last().filter(|before| before.view == view) {
            Some(before) => before.place + 1,
            None => last.tokens,
        };
        spots.push(Spot { view, place, position: last.first_position + place });
    }
    spots
}

fn appends(batch: &Batch<'_>, spots: &[Spot]) -> Vec<(PageId, Vec<Append>)> {
    let mut appends: Vec<(PageId, Vec<Append>)> = Vec::new();
    for (row, spot) in spots.iter().enumerate() {
        let segment = batch.views[spot.view].segments.last().expect("a view has a segment");
        let page = segment.pages[spot.place / PAGE_TOKENS];
        let append = Append { row, place: spot.place % PAGE_TOKENS };
        match appends.last_mut().filter(|(last, _)| *last == page) {
            Some((_, appends)) => appends.push(append),
            None => appends.push((page, vec![append])),
        }
    }
    // Pages are handed out as parts of one slice, which is cut from the front.
    appends.sort_by_key(|(page, _)| *page);
    appends
}
