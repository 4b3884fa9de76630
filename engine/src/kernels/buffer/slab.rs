//! Slabs of large pages that the weights of models are cut from.
//!
//! A step of a decoder reads all weights once; with small pages a quarter of that time goes into translating addresses,
//! and most matrices are too small, or lie too badly, to be mapped in large ones alone.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{LARGE_BYTES, LINE_BYTES};
use crate::kernels::pinning::request_large_pages;

/// Of addresses: memory is taken as it is written.
const SLAB_BYTES: usize = 32 << 20;

/// The slab that is being cut, and how much of it is given away.
static CURRENT: Mutex<(Weak<Slab>, usize)> = Mutex::new((Weak::new(), 0));

/// Numbers whose bits may all be zero.
///
/// # Safety
/// Any bits, all zeros among them, are a value, and a line of the cache is aligned enough.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: a float has no invalid bits.
unsafe impl Plain for f32 {}
// SAFETY: nor has a whole number.
unsafe impl Plain for u32 {}
// SAFETY: nor has a shorter one.
unsafe impl Plain for u16 {}

struct Slab {
    /// Freed with the slab, and touched through its parts alone.
    _storage: Vec<u64>,
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a slab hands out its address only; who may write where is the parts' matter.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

/// Some of a slab, nobody else's.
pub(super) struct Part<T> {
    start: NonNull<T>,
    length: usize,
    _slab: Arc<Slab>,
    numbers: PhantomData<T>,
}

// SAFETY: a part is its numbers' only owner.
unsafe impl<T: Send> Send for Part<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Part<T> {}

impl Slab {
    fn new(bytes: usize) -> Self {
        // Zeros from the system; from the first whole large page on.
        let mut storage = vec![0_u64; (bytes + LARGE_BYTES) / size_of::<u64>()];
        let all = storage.as_mut_ptr().cast::<u8>();
        let before = all.align_offset(LARGE_BYTES / 2).min(LARGE_BYTES / 2);
        request_large_pages(all.addr() + before, bytes);
        // SAFETY: `before` is at most what the storage has more than `bytes`.
        let start = unsafe { NonNull::new_unchecked(all.add(before)) };
        Self { _storage: storage, start, bytes }
    }
}

impl<T: Plain> Part<T> {
    /// Zeros.
    pub(super) fn new(length: usize) -> Self {
        let bytes = (length * size_of::<T>()).next_multiple_of(LINE_BYTES);
        let (slab, first) = take(bytes);
        // SAFETY: the slab has `bytes` from `first` on.
        let start = unsafe { slab.start.add(first) }.cast();
        Self { start, length, _slab: slab, numbers: PhantomData }
    }
}

/// A slab, and where in it are so many bytes that were never given away.
fn take(bytes: usize) -> (Arc<Slab>, usize) {
    if bytes >= SLAB_BYTES {
        return (Arc::new(Slab::new(bytes)), 0);
    }
    let (current, used) = &mut *CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let room = current.upgrade().filter(|slab| slab.bytes - *used >= bytes);
    let slab = room.unwrap_or_else(|| {
        let slab = Arc::new(Slab::new(SLAB_BYTES));
        (*current, *used) = (Arc::downgrade(&slab), 0);
        slab
    });
    let first = *used;
    *used += bytes;
    (slab, first)
}

impl<T> Deref for Part<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the slab is alive, these numbers of it are this part's alone, and zeros or what was written are values.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T> DerefMut for Part<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_start_on_lines_are_zero_and_do_not_overlap() {
        let lengths = [1, 17, 40_000, 9 << 20, 3_000_000, 3_000_000, 3_000_000, 5];
        let mut parts: Vec<Part<u32>> = lengths.map(Part::new).into_iter().collect();
        for (value, part) in (1..).zip(&mut parts) {
            assert_eq!(part.as_ptr().addr() % LINE_BYTES, 0);
            assert!(part.iter().all(|number| *number == 0), "part {value} is zeros");
            part.fill(value);
        }
        for ((value, part), length) in (1..).zip(&parts).zip(lengths) {
            assert_eq!(part.len(), length);
            assert!(part.iter().all(|number| *number == value), "part {value} is its own");
        }
    }

    #[test]
    fn memory_is_zero_again_after_a_slab_has_gone() {
        for _ in 0..8 {
            let mut part: Part<f32> = Part::new(1 << 20);
            assert!(part.iter().all(|number| *number == 0.0));
            part.fill(1.0);
        }
    }
}
