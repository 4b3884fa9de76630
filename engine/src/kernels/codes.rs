//! Vectors in a byte a number: which rows of a matrix may be nearest to a query, without reading the matrix.
//!
//! A row is `scale · codes` but for an error whose length is known. After a [`rotation`] the product of that error with a query is
//! spread as if by chance, and [`part`] trusts that it is not six standard deviations from 0: a row in 10^9 is. What may be among the
//! nearest by these bounds holds all that are: whoever computes the products of these rows exactly has searched exactly, having read
//! not many more than were wanted. (What is certain, by Cauchy–Schwarz, is three times as wide at 384 dimensions.)
//!
//! Most rows are told to be too far by the upper halves of their codes alone, which stand apart: half of the bytes are read.

mod part;
mod rotation;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use part::{Part, Query, ROWS_AT_ONCE};

/// Fewer rows are not worth a second thread.
const ROWS_PER_THREAD: usize = 64 << 10;
/// A matrix `[rows, dimensions]` of vectors of length 1. It is in parts that never change, and a matrix that goes on where another
/// ends shares them with it.
#[derive(Debug, Clone, Default)]
pub struct VectorCodes {
    dimensions: usize,
    parts: Vec<Arc<Part>>,
}

impl VectorCodes {
    /// Without rows.
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions, ..Self::default() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a row of [`Self::new`]'s dimensions; what is missing is 0, what is beyond is left out.
    pub fn push(&mut self, vector: &[f32]) {
        if self.parts.last_mut().is_none_or(|last| Arc::get_mut(last).is_none()) {
            self.parts.push(Arc::default());
        }
        if let Some(part) = self.parts.last_mut().and_then(Arc::get_mut) {
            part.push(vector, self.dimensions);
        }
    }

    /// The rows of both, of which this one's come first. A part that is as long as the one before it is put together with that:
    /// there are no more parts than the number of rows has bits, and a row is copied no more often.
    #[must_use]
    pub fn followed_by(&self, other: &Self) -> Self {
        let mut parts = self.parts.clone();
        for part in &other.parts {
            let mut part = part.clone();
            while let Some(before) = parts.pop_if(|before| before.len() <= part.len()) {
                part = Arc::new(before.followed_by(&part));
            }
            parts.push(part);
        }
        Self { dimensions: self.dimensions, parts }
    }

    /// Every row that may be among the `wanted` ones of the greatest products with `query` (`[dimensions]`, of length 1), of
    /// those that `is_searched`; in order. Blocks, on as many threads as the rows are worth.
    pub fn candidates(&self, query: &[f32], wanted: usize, is_searched: impl Fn(usize) -> bool + Sync) -> Vec<usize> {
        if wanted == 0 || self.dimensions == 0 {
            return Vec::new();
        }
        let query = Query::new(query, self.dimensions);
        let rows = self.len();
        let threads = rows.div_ceil(ROWS_PER_THREAD).min(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let share = rows.div_ceil(threads.max(1)).max(1);
        let search = |first: usize| self.search(&query, first..rows.min(first + share), wanted, &is_searched);
        let mut found = std::thread::scope(|scope| {
            let search = &search;
            let others: Vec<_> = (share..rows).step_by(share).map(|first| scope.spawn(move || search(first))).collect();
            let own = search(0);
            let others = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            others.fold(own, Nearest::followed_by)
        });
        found.may_be.retain(|(_, most)| order(*most) >= found.greatest.least());
        found.may_be.into_iter().map(|(row, _)| row).collect()
    }

    /// What bounds say of a row counts within what its upper halves say: so that who is told to be too far by them is the same whatever
    /// was looked at before.
    fn search(&self, query: &Query, rows: Range<usize>, wanted: usize, is_searched: &impl Fn(usize) -> bool) -> Nearest {
        let mut nearest = Nearest { greatest: Greatest::new(wanted), may_be: Vec::new() };
        for (part, of_part) in self.parts.iter().zip(self.parts()) {
            let here = rows.start.max(of_part.start)..rows.end.min(of_part.end);
            let mut upper = [0.0; ROWS_AT_ONCE];
            for first in here.clone().step_by(ROWS_AT_ONCE) {
                let computed = part.most(query, first - of_part.start, &mut upper);
                for (row, upper) in (first..here.end).zip(upper.iter().take(computed)) {
                    if order(*upper) >= nearest.greatest.least()
                        && is_searched(row)
                        && let Some((least, most)) = part.bounds(query, row - of_part.start)
                    {
                        nearest.add(row, least.min(*upper), most.min(*upper));
                    }
                }
            }
        }
        nearest
    }

    /// Bytes that this takes in memory, those included that it shares.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes()).sum()
    }

    /// The rows of each part, in order.
    pub fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        self.parts.iter().scan(0, |start, part| {
            let rows = *start..*start + part.len();
            *start = rows.end;
            Some(rows)
        })
    }

    /// A part to be kept. None where no part has exactly these rows.
    pub fn part_to_bytes(&self, rows: &Range<usize>) -> Option<Vec<u8>> {
        let (_, part) = self.parts().zip(&self.parts).find(|(of_part, _)| of_part == rows)?;
        Some(part.to_bytes())
    }

    /// What was kept: parts in order, each with its rows; none where they are not that.
    pub fn from_parts(parts: impl IntoIterator<Item = (Range<usize>, Vec<u8>)>, dimensions: usize) -> Option<Self> {
        let mut codes = Self::new(dimensions);
        let mut next = 0;
        for (rows, bytes) in parts {
            let count = rows.end.checked_sub(rows.start).filter(|_| rows.start == next)?;
            codes.parts.push(Arc::new(Part::from_bytes(&bytes, count, dimensions)?));
            next = rows.end;
        }
        Some(codes)
    }
}

/// Rows that may be among the nearest of those that were looked at.
struct Nearest {
    /// What the products are at least.
    greatest: Greatest,
    /// In order, each with what its product is at most.
    may_be: Vec<(usize, f32)>,
}

impl Nearest {
    /// What has no bounds is near to nothing.
    fn add(&mut self, row: usize, least: f32, most: f32) {
        if least.is_nan() || most.is_nan() {
            return;
        }
        self.greatest.add(order(least));
        if order(most) >= self.greatest.least() {
            self.may_be.push((row, most));
        }
    }

    fn followed_by(mut self, other: Self) -> Self {
        other.greatest.numbers.into_iter().for_each(|Reverse(number)| self.greatest.add(number));
        self.may_be.extend(other.may_be);
        self
    }
}

/// The so many greatest of some numbers, each as its [`order`].
struct Greatest {
    wanted: usize,
    numbers: BinaryHeap<Reverse<u32>>,
}

impl Greatest {
    fn new(wanted: usize) -> Self {
        Self { wanted, numbers: BinaryHeap::new() }
    }

    /// The least of them, where there are so many.
    fn least(&self) -> u32 {
        self.numbers.peek().filter(|_| self.numbers.len() >= self.wanted).map_or(0, |Reverse(least)| *least)
    }

    fn add(&mut self, number: u32) {
        if self.numbers.len() < self.wanted {
            self.numbers.push(Reverse(number));
        } else if let Some(mut least) = self.numbers.peek_mut().filter(|least| number > least.0) {
            *least = Reverse(number);
        }
    }
}

/// A number that is greater where this one is.
fn order(number: f32) -> u32 {
    const SIGN: u32 = 1 << 31;
    let bits = number.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSIONS: usize = 384;

    fn vectors(count: usize) -> Vec<Vec<f32>> {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let one = |next: &mut dyn FnMut() -> f32| {
            let raw: Vec<f32> = (0..DIMENSIONS).map(|_| next()).collect();
            let length = raw.iter().map(|number| number * number).sum::<f32>().sqrt();
            raw.into_iter().map(|number| number / length).collect()
        };
        (0..count).map(|_| one(&mut next)).collect()
    }

    fn product(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn the_nearest_are_among_the_candidates() {
        let rows = vectors(3000);
        let mut codes = VectorCodes::new(DIMENSIONS);
        rows.iter().for_each(|row| codes.push(row));
        let is_searched = |at: usize| at % 5 != 2;
        for query in vectors(3020).split_off(3000) {
            let mut exact: Vec<usize> = (0..rows.len()).filter(|at| is_searched(*at)).collect();
            exact.sort_by(|a, b| product(&query, &rows[*b]).total_cmp(&product(&query, &rows[*a])));
            let found = codes.candidates(&query, 20, is_searched);
            assert!(exact[..20].iter().all(|at| found.contains(at)));
            assert!(found.iter().all(|at| is_searched(*at)));
            assert!(found.len() < 3 * 20, "{}", found.len());
        }
    }

    #[test]
    fn few_rows_are_all_candidates_and_none_of_none() {
        let mut codes = VectorCodes::new(DIMENSIONS);
        let query = vectors(1).remove(0);
        assert!(codes.is_empty() && codes.candidates(&query, 3, |_| true).is_empty());
        codes.push(&query);
        codes.push(&vec![0.0; DIMENSIONS]);
        assert_eq!(codes.candidates(&query, 3, |_| true), [0, 1]);
        assert!(codes.candidates(&query, 0, |_| true).is_empty());
    }

    fn codes_of(rows: &[Vec<f32>]) -> VectorCodes {
        let mut codes = VectorCodes::new(DIMENSIONS);
        rows.iter().for_each(|row| codes.push(row));
        codes
    }

    fn kept(codes: &VectorCodes) -> Vec<(Range<usize>, Vec<u8>)> {
        codes.parts().map(|rows| (rows.clone(), codes.part_to_bytes(&rows).unwrap())).collect()
    }

    #[test]
    fn codes_survive_being_kept() {
        let codes = codes_of(&vectors(9)).followed_by(&codes_of(&vectors(4)));
        let parts = kept(&codes);
        assert_eq!(parts.iter().map(|(rows, _)| rows.clone()).collect::<Vec<_>>(), [0..9, 9..13]);
        let again = VectorCodes::from_parts(parts.clone(), DIMENSIONS).unwrap();
        assert_eq!((kept(&again), again.len()), (parts.clone(), 13));
        let (rows, bytes) = parts[0].clone();
        for damaged in [&bytes[1..], &bytes[..bytes.len() - 4]] {
            assert!(VectorCodes::from_parts([(rows.clone(), damaged.to_vec())], DIMENSIONS).is_none());
        }
        assert!(VectorCodes::from_parts([(0..8, bytes)], DIMENSIONS).is_none());
        assert!(VectorCodes::from_parts(parts.into_iter().skip(1), DIMENSIONS).is_none(), "the first part is missing");
    }

    #[test]
    fn what_grows_is_searched_as_one_and_shares_its_parts() {
        let rows = vectors(700);
        let whole = codes_of(&rows);
        let first = codes_of(&rows[..300]);
        let mut grown = first.followed_by(&codes_of(&rows[300..320]));
        assert_eq!(grown.parts().collect::<Vec<_>>(), [0..300, 300..320]);
        assert!(Arc::ptr_eq(&first.parts[0], &grown.parts[0]));
        for some in rows[320..].chunks(20) {
            grown = grown.followed_by(&codes_of(some));
        }
        assert!(grown.parts.len() < 10, "{:?}", grown.parts().collect::<Vec<_>>());
        assert_eq!(grown.len(), rows.len());
        for query in vectors(705).split_off(700) {
            assert_eq!(grown.candidates(&query, 9, |at| at % 3 != 0), whole.candidates(&query, 9, |at| at % 3 != 0));
        }
    }
}
