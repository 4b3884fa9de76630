//! The memory of keys and values.

use std::sync::{Arc, Mutex, PoisonError};

use super::PageId;
use crate::Precision;
use crate::architecture::Architecture;
use crate::kernels::{Bf16, Element, HeadLayout, PageWords, TileScratch};

/// What a page of a decoder holds.
#[derive(Debug, Clone)]
pub(super) struct PageShape {
    precision: Precision,
    /// The key-value heads of every layer.
    layers: Arc<[Vec<HeadLayout>]>,
    words: usize,
}

/// Pages of keys and values, all layers of [`super::PAGE_TOKENS`] tokens each.
pub(crate) struct Pages(pub(super) Memory);

pub(super) enum Memory {
    F32(Cache<f32>),
    Bf16(Cache<Bf16>),
}

pub(super) struct Cache<E: Element> {
    pub(super) words: PageWords<E>,
    pub(super) layers: Arc<[Vec<HeadLayout>]>,
    /// Working memory of attention that no thread is using.
    idle: Mutex<Vec<TileScratch<E>>>,
}

impl PageShape {
    pub(super) fn new(architecture: &Architecture, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::of::<f32>(architecture, precision),
            Precision::Bf16 => Self::of::<Bf16>(architecture, precision),
        }
    }

    fn of<E: Element>(architecture: &Architecture, precision: Precision) -> Self {
        let mut words = 0;
        let layers = architecture.layers.iter().map(|layer| {
            let heads = (0..layer.attention.kv_heads).map(|_| {
                let head = HeadLayout::new::<E>(words, layer.attention.head_width, layer.attention.value_width);
                words = head.end();
                head
            });
            heads.collect()
        });
        let layers = layers.collect();
        Self { precision, layers, words }
    }

    pub(super) fn page_bytes(&self) -> usize {
        self.words * size_of::<u32>()
    }
}

impl Pages {
    pub(super) fn new(shape: &PageShape, count: usize) -> Self {
        Self(match shape.precision {
            Precision::F32 => Memory::F32(Cache::new(shape, count)),
            Precision::Bf16 => Memory::Bf16(Cache::new(shape, count)),
        })
    }

    /// The first `tokens` of a page into another.
    pub(crate) fn copy(&mut self, from: PageId, to: PageId, tokens: usize) {
        match &mut self.0 {
            Memory::F32(cache) => cache.copy(from, to, tokens),
            Memory::Bf16(cache) => cache.copy(from, to, tokens),
        }
    }
}

impl<E: Element> Cache<E> {
    fn new(shape: &PageShape, count: usize) -> Self {
        Self { words: PageWords::new(count, shape.words), layers: shape.layers.clone(), idle: Mutex::default() }
    }

    fn copy(&mut self, from: PageId, to: PageId, tokens: usize) {
        self.words.copy(from, to, tokens, self.layers.iter().flatten().copied());
    }

    /// `work` with working memory for one tile.
    pub(super) fn with_scratch(&self, work: impl FnOnce(&mut TileScratch<E>)) {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = idle.unwrap_or_else(TileScratch::new);
        work(&mut scratch);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn resident_bytes() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("a process has its sizes");
        pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("resident pages") * 4096
    }

    #[test]
    fn pages_that_are_never_written_take_no_memory() {
        const BYTES: usize = 2 << 30;
        let words = 1 << 20;
        let shape = PageShape { precision: Precision::F32, layers: Arc::new([]), words };
        let before = resident_bytes();
        let pages = Pages::new(&shape, BYTES / shape.page_bytes());
        let after = resident_bytes();
        assert!(after < before + BYTES / 4, "{before} bytes before, {after} after {BYTES}");
        drop(pages);
    }
}
