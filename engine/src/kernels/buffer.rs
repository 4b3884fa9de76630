//! Memory that vectors like: its first element lies at the start of a cache line.

use std::ops::{Deref, DerefMut};

use super::pinning::request_large_pages;
use slab::Part;
pub(crate) use slab::Plain;

mod slab;

const LINE_BYTES: usize = 64;
/// Two large pages of x86-64.
const LARGE_BYTES: usize = 4 << 20;
/// What is smaller is not worth a place in a slab.
const SLAB_PART_BYTES: usize = 128 << 10;

/// A vector of fixed length. A vector of 64 bytes that straddles two lines costs two reads.
pub(crate) struct Buffer<T>(Memory<T>);

enum Memory<T> {
    Own { storage: Vec<T>, start: usize, length: usize },
    Part(Part<T>),
}

impl<T: Copy + Default> Buffer<T> {
    pub(crate) fn new(length: usize) -> Self {
        let slack = LINE_BYTES / size_of::<T>().max(1);
        let storage = vec![T::default(); length + slack];
        if length * size_of::<T>() >= LARGE_BYTES {
            request_large_pages(storage.as_ptr().addr(), length * size_of::<T>());
        }
        let start = storage.as_ptr().align_offset(LINE_BYTES).min(slack);
        Self(Memory::Own { storage, start, length })
    }

    /// Zeros for what lives as long as a model: several share large pages, which none would fill alone.
    pub(crate) fn of_model(length: usize) -> Self
    where
        T: Plain,
    {
        match length * size_of::<T>() {
            ..SLAB_PART_BYTES => Self::new(length),
            _ => Self(Memory::Part(Part::new(length))),
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Memory::Own { storage, start, length } => &storage[*start..start + length],
            Memory::Part(part) => part,
        }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Memory::Own { storage, start, length } => &mut storage[*start..*start + *length],
            Memory::Part(part) => part,
        }
    }
}
