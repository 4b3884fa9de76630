//! Memory that vectors like: its first element lies at the start of a cache line.

use std::ops::{Deref, DerefMut};

use super::pinning::request_large_pages;

const LINE_BYTES: usize = 64;
/// Two large pages of x86-64.
const LARGE_BYTES: usize = 4 << 20;

/// A vector of fixed length. A vector of 64 bytes that straddles two lines costs two reads.
pub(crate) struct Buffer<T> {
    storage: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Copy + Default> Buffer<T> {
    pub(crate) fn new(length: usize) -> Self {
        let slack = LINE_BYTES / size_of::<T>().max(1);
        let storage = vec![T::default(); length + slack];
        if length * size_of::<T>() >= LARGE_BYTES {
            request_large_pages(storage.as_ptr().addr(), length * size_of::<T>());
        }
        let start = storage.as_ptr().align_offset(LINE_BYTES).min(slack);
        Self { storage, start, length }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.storage[self.start..self.start + self.length]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.storage[self.start..self.start + self.length]
    }
}
