//! Columns of a file that is mapped into memory, as [`crate::bytes`] writes them.
//!
//! Whatever the bytes hold, reading them ends and panics nowhere: they are checked when a folder is opened, and could change later.

use std::ops::Range;

use super::Bytes;
use crate::bytes::Reader;

/// A file of `N` columns.
pub(super) struct Columns<const N: usize> {
    bytes: Bytes,
    ranges: [Range<usize>; N],
}

impl<const N: usize> std::fmt::Debug for Columns<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Columns").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl<const N: usize> Columns<N> {
    /// None where the bytes are no `N` columns.
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        let mut reader = Reader::new(&bytes);
        let mut at = 0;
        let mut ranges = [const { 0..0 }; N];
        for range in &mut ranges {
            let start = at + size_of::<u64>();
            *range = start..start + reader.bytes()?.len();
            at = range.end;
        }
        let is_whole = reader.is_at_end();
        is_whole.then_some(Self { bytes, ranges })
    }

    pub(super) fn bytes(&self, column: usize) -> &[u8] {
        self.ranges.get(column).and_then(|range| self.bytes.get(range.clone())).unwrap_or_default()
    }

    /// A column of values of so many bytes each.
    pub(super) fn values<const WIDTH: usize>(&self, column: usize) -> &[[u8; WIDTH]] {
        self.bytes(column).as_chunks().0
    }

    pub(super) fn numbers(&self, column: usize) -> Numbers<'_> {
        Numbers(self.values(column))
    }
}

/// A column of numbers of 32 bits, little-endian.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers<'a>(&'a [[u8; 4]]);

impl<'a> Numbers<'a> {
    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    /// 0 beyond the end.
    pub(super) fn get(self, at: usize) -> u32 {
        self.0.get(at).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.0.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }
}
