//! One output that several threads write, each its own columns.

use std::marker::PhantomData;

use super::Write;
use crate::kernels::{Simd, Sink};

/// The widest vector of any path.
const LANES_LIMIT: usize = 16;

/// `[rows][columns]`, where the columns need not fill whole vectors.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    write: Write,
    lent: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is written through [`OutputSink`] alone, whose makers promise that no two threads write the same columns.
unsafe impl Sync for Output<'_> {}
// SAFETY: as above.
unsafe impl Send for Output<'_> {}

impl<'a> Output<'a> {
    pub(super) fn new(output: &'a mut [f32], rows: usize, columns: usize, write: Write) -> Self {
        assert!(output.len() >= rows * columns, "there is room for the output");
        Self { start: output.as_mut_ptr(), rows, columns, write, lent: PhantomData }
    }

    /// # Safety
    /// While the sink is used, no other one is given the same columns.
    pub(super) unsafe fn sink(self) -> OutputSink<'a> {
        OutputSink(self)
    }
}

pub(super) struct OutputSink<'a>(Output<'a>);

impl Sink for OutputSink<'_> {
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::Vector) {
        let Output { start, rows, columns, write, .. } = self.0;
        if row >= rows || column >= columns {
            // What only fills a last panel.
            return;
        }
        let count = S::LANES.min(columns - column);
        // SAFETY: row and column lie within the output, `count` numbers from there do too, and nobody else has them.
        let at = unsafe { std::slice::from_raw_parts_mut(start.add(row * columns + column), count) };
        if count == S::LANES {
            let sums = if write == Write::Add { simd.add(simd.load(at), sums) } else { sums };
            return simd.store(at, sums);
        }
        let mut last = [0.0; LANES_LIMIT];
        simd.store(&mut last, sums);
        for (to, sum) in at.iter_mut().zip(last) {
            *to = if write == Write::Add { *to + sum } else { sum };
        }
    }
}
