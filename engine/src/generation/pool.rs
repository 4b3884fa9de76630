//! The key-value cache's pages: who holds which, and which finished ones may be found again.
//!
//! Owns reference counts, the index of pages by content and the order of eviction. It never touches the numbers in a
//! page, and never hands a page out for writing that someone else can find or holds.

use std::collections::{BTreeMap, HashMap};

use super::chain::Key;
use crate::decoder::PageId;

#[cfg(test)]
mod tests;

pub(crate) struct Pool {
    pages: Vec<PageState>,
    free: Vec<PageId>,
    index: HashMap<Key, PageId>,
    /// Pages that nobody holds but whose content is known, least recently used first.
    unused: BTreeMap<u64, PageId>,
    clock: u64,
}

#[derive(Default)]
struct PageState {
    references: u32,
    content: Option<Content>,
    /// When it was last let go; its place in `unused`.
    stamp: u64,
}

/// A page with content is complete: nobody writes to it again.
struct Content {
    key: Key,
    tokens: Box<[u32]>,
}

impl Pool {
    pub(crate) fn new(pages: usize) -> Self {
        let ids = (0..pages).filter_map(|page| u32::try_from(page).ok()).map(PageId);
        let free: Vec<PageId> = ids.rev().collect();
        let pages = free.iter().map(|_| PageState::default()).collect();
        Self { pages, free, index: HashMap::new(), unused: BTreeMap::new(), clock: 0 }
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Pages that [`Pool::allocate`] can give out.
    pub(crate) fn available(&self) -> usize {
        self.free.len() + self.unused.len()
    }

    /// Pages that nobody holds and that can be found again.
    pub(crate) fn cached(&self) -> usize {
        self.unused.len()
    }

    /// A page for the caller alone, its content forgotten. None when every page is held.
    pub(crate) fn allocate(&mut self) -> Option<PageId> {
        let page = match self.free.pop() {
            Some(page) => page,
            None => self.unused.pop_first()?.1,
        };
        let state = self.pages.get_mut(page.0 as usize)?;
        if let Some(content) = state.content.take() {
            self.index.remove(&content.key);
        }
        state.references = 1;
        Some(page)
    }

    /// One more holder of a page that is held.
    pub(crate) fn share(&mut self, page: PageId) {
        if let Some(state) = self.pages.get_mut(page.0 as usize) {
            if state.references == 0 {
                self.unused.remove(&state.stamp);
            }
            state.references += 1;
        }
    }

    /// The page with this content, held once more. The tokens are compared: equal hashes alone are not believed.
    pub(crate) fn find(&mut self, key: &Key, tokens: &[u32]) -> Option<PageId> {
        let page = *self.index.get(key)?;
        let same = self.pages.get(page.0 as usize)?.content.as_ref().is_some_and(|content| &*content.tokens == tokens);
        same.then(|| self.share(page))?;
        Some(page)
    }

    /// Lets `page`, which the caller holds and has filled, be found. The first page of a content stays the one that is.
    pub(crate) fn register(&mut self, page: PageId, key: Key, tokens: &[u32]) {
        let Some(state) = self.pages.get_mut(page.0 as usize) else { return };
        if state.content.is_none() && !self.index.contains_key(&key) {
            state.content = Some(Content { key, tokens: tokens.into() });
            self.index.insert(key, page);
        }
    }

    /// Lets go of a run's pages. The last are let go first, so that a page is never evicted before those after it,
    /// which are of no use without it.
    pub(crate) fn release(&mut self, pages: &[PageId]) {
        for page in pages.iter().rev() {
            let Some(state) = self.pages.get_mut(page.0 as usize) else { continue };
            state.references = state.references.saturating_sub(1);
            if state.references > 0 {
                continue;
            }
            if state.content.is_some() {
                self.clock += 1;
                state.stamp = self.clock;
                self.unused.insert(self.clock, *page);
            } else {
                self.free.push(*page);
            }
        }
    }
}
