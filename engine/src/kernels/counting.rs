//! The test binary's allocator: the system's, counting what the thread that asks holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that is ending has no counters left.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call is handed to the system's allocator as it is; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps this function's contract, which is the same.
        let pointer = unsafe { System.alloc(layout) };
        count_new(pointer, layout.size());
        pointer
    }

    // The trait's own would write zeros over what `alloc` gives: pages that the system hands out zeroed, and that take no
    // memory until they are written, would all be taken.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        count_new(pointer, layout.size());
        pointer
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { System.realloc(pointer, layout, new_size) };
        if moved == pointer {
            count(new_size.cast_signed() - layout.size().cast_signed());
        } else if !moved.is_null() {
            // Both places were held while the bytes moved.
            count(new_size.cast_signed());
            count(-layout.size().cast_signed());
        }
        moved
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Counts what an allocation gave, which may be nothing.
fn count_new(pointer: *mut u8, bytes: usize) {
    if !pointer.is_null() {
        count(bytes.cast_signed());
    }
}

/// What the work returns, and how many bytes this thread held at most meanwhile, beyond what it held before.
pub(crate) fn most_bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let result = work();
    (result, (MOST.get() - before).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_allocate_is_counted_once() {
        const BYTES: usize = 1 << 16;
        let before = HELD.get();
        let (mut zeros, most) = most_bytes(|| vec![0_u8; BYTES]);
        assert_eq!((zeros.capacity(), most), (BYTES, BYTES));
        zeros.reserve_exact(2 * BYTES);
        assert_eq!(HELD.get() - before, zeros.capacity().cast_signed());
        zeros.truncate(1);
        zeros.shrink_to_fit();
        assert_eq!(HELD.get() - before, zeros.capacity().cast_signed());
        drop(zeros);
        assert_eq!(HELD.get(), before);
    }

    /// Too large to exist, whatever memory the machine has, so that nothing but the system's answer is counted.
    #[test]
    fn memory_that_was_not_given_is_not_counted() {
        let mut words = vec![1_u8; 8];
        let (refused, most) = most_bytes(|| std::hint::black_box(&mut words).try_reserve_exact(isize::MAX.unsigned_abs() - 64).is_err());
        assert!(refused);
        assert_eq!(most, 0);
    }
}
