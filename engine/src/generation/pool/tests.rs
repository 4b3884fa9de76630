use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

impl Pool {
    /// Every page is free, unused or held, once; what is indexed can be found.
    pub(crate) fn check(&self) {
        let free: HashSet<PageId> = self.free.iter().copied().collect();
        let unused: HashSet<PageId> = self.unused.values().copied().collect();
        assert_eq!(free.len(), self.free.len(), "a page is free twice");
        assert!(free.is_disjoint(&unused));
        for (state, page) in self.pages.iter().zip((0..).map(PageId)) {
            assert_eq!(state.references > 0, !free.contains(&page) && !unused.contains(&page), "{page:?}");
            assert_eq!(state.content.is_some(), state.content.as_ref().is_some_and(|content| self.index.get(&content.key) == Some(&page)));
            assert!(!free.contains(&page) || state.content.is_none(), "a free page can be found");
            assert!(!unused.contains(&page) || state.content.is_some(), "an unused page cannot be found");
        }
        assert_eq!(self.index.len(), self.pages.iter().filter(|state| state.content.is_some()).count());
    }

    pub(crate) fn held(&self) -> usize {
        self.pages() - self.available()
    }
}

fn key(tokens: &[u32]) -> Key {
    Key::root("model", None, false, 0, &[]).then(tokens)
}

#[test]
fn content_is_found_until_its_page_is_taken() {
    let mut pool = Pool::new(2);
    let page = pool.allocate().expect("a page");
    pool.register(page, key(&[1]), &[1]);
    pool.release(&[page]);
    assert_eq!((pool.available(), pool.cached()), (2, 1));
    assert_eq!(pool.find(&key(&[1]), &[1]), Some(page));
    assert_eq!(pool.find(&key(&[1]), &[2]), None, "the tokens are compared, not the hash alone");
    let other = pool.allocate().expect("a page");
    assert_ne!(other, page);
    assert_eq!(pool.allocate(), None);
    pool.release(&[page]);
    assert_eq!(pool.allocate(), Some(page), "the unused page is evicted");
    assert_eq!(pool.find(&key(&[1]), &[1]), None);
    pool.check();
}

#[test]
fn the_end_of_a_run_is_evicted_before_its_beginning() {
    let mut pool = Pool::new(3);
    let pages: Vec<PageId> = (0..3).filter_map(|_| pool.allocate()).collect();
    for (page, token) in pages.iter().zip(0..) {
        pool.register(*page, key(&[token]), &[token]);
    }
    pool.release(&pages);
    let evicted: Vec<PageId> = (0..3).filter_map(|_| pool.allocate()).collect();
    assert_eq!(evicted, pages.iter().rev().copied().collect::<Vec<_>>());
}

#[test]
fn keys_depend_on_everything_that_a_page_depends_on() {
    let root = Key::root("model", None, false, 0, &[]);
    let others = [
        Key::root("other", None, false, 0, &[]),
        Key::root("model", Some("adapter"), false, 0, &[]),
        Key::root("modeladapter", None, false, 0, &[]),
        Key::root("model", None, false, 32, &[]),
        Key::root("model", None, true, 0, &[]),
        Key::root("model", None, false, 0, &[root]),
        root.then(&[0]),
        root.then(&[0, 0]),
        root.then(&[0]).then(&[0]),
    ];
    let distinct: HashSet<Key> = others.into_iter().chain([root]).collect();
    assert_eq!(distinct.len(), 10);
}

proptest! {
    #[test]
    fn a_thousand_operations_lose_no_page(operations in proptest::collection::vec((0..4_u8, 0..12_u32, 0..1000_usize), 1000)) {
        let mut pool = Pool::new(7);
        let mut held: Vec<PageId> = Vec::new();
        for (operation, token, choice) in operations {
            match operation {
                0 => held.extend(pool.allocate()),
                1 => held.extend(pool.find(&key(&[token]), &[token])),
                2 if !held.is_empty() => pool.register(held[choice % held.len()], key(&[token]), &[token]),
                _ if !held.is_empty() => {
                    let page = held.swap_remove(choice % held.len());
                    pool.release(&[page]);
                }
                _ => {}
            }
            pool.check();
            let distinct: HashSet<PageId> = held.iter().copied().collect();
            prop_assert_eq!(pool.held(), distinct.len());
        }
        for page in held {
            pool.release(&[page]);
        }
        pool.check();
        prop_assert_eq!(pool.available(), 7);
    }
}
