//! Rows as products read them: made once for all products of the same rows.

use std::sync::{Mutex, PoisonError};

use super::{BF16_INNER, Form, Linear};
use crate::kernels::blocks::ByteRows;
use crate::kernels::{Bf16, Buffer, Element, Kernel, Simd, Team};

/// Rows that one part makes ready.
const PART_ROWS: usize = 8;

/// `[rows][inner]`, and the other forms that a product has asked for.
pub(crate) struct Input<'a> {
    numbers: &'a [f32],
    rows: usize,
    inner: usize,
    /// `[rows][inner, padded to whole steps]`
    halves: Option<Buffer<Bf16>>,
    bytes: Option<ByteRows>,
}

impl<'a> Input<'a> {
    pub(super) fn new(numbers: &'a [f32], rows: usize, inner: usize) -> Self {
        Self { numbers: &numbers[..rows * inner], rows, inner, halves: None, bytes: None }
    }

    pub(super) fn numbers(&self) -> &[f32] {
        self.numbers
    }

    /// Empty where no product has asked for them.
    pub(super) fn halves(&self) -> &[Bf16] {
        self.halves.as_deref().unwrap_or_default()
    }

    /// None where no product has asked for them.
    pub(super) fn bytes(&self) -> Option<&ByteRows> {
        self.bytes.as_ref()
    }

    /// Makes what `linear` reads.
    pub(super) fn make_ready(&mut self, linear: &Linear, team: &Team) {
        match &linear.form {
            Form::F32(_) | Form::Widened(_) => (),
            Form::Bf16(_) => {
                let (numbers, rows, inner) = (self.numbers, self.rows, self.inner);
                self.halves.get_or_insert_with(|| narrow(team, numbers, rows, inner));
            }
            Form::Blocks(_) => {
                let (numbers, inner) = (self.numbers, self.inner);
                self.bytes.get_or_insert_with(|| ByteRows::new(team, numbers, inner));
            }
        }
    }
}

fn narrow(team: &Team, numbers: &[f32], rows: usize, inner: usize) -> Buffer<Bf16> {
    let padded = inner.next_multiple_of(BF16_INNER);
    let mut halves = Buffer::new(rows * padded);
    let parts = halves.chunks_mut(PART_ROWS * padded).zip(numbers.chunks(PART_ROWS * inner));
    let parts: Vec<_> = parts.map(|(to, from)| Mutex::new((to, from))).collect();
    team.run(parts.len(), &|part| {
        let (to, from) = &mut *parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        for (to, from) in to.chunks_exact_mut(padded).zip(from.chunks_exact(inner)) {
            team.cpu().run(Narrow { from, to });
        }
    });
    drop(parts);
    halves
}

/// Rounds a row; what lies behind it stays zero.
struct Narrow<'a> {
    from: &'a [f32],
    to: &'a mut [Bf16],
}

impl Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let vectors = self.from.chunks_exact(S::LANES);
        let (rest, whole) = (vectors.remainder(), self.from.len() - vectors.remainder().len());
        for (from, to) in vectors.zip(self.to.chunks_exact_mut(S::LANES)) {
            simd.store(to, simd.load(from));
        }
        for (from, to) in rest.iter().zip(&mut self.to[whole..]) {
            *to = Bf16::from_f32(*from);
        }
    }
}
