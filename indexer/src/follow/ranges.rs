//! How many blocks to ask for at once: learnt from replies, shared by all requests in flight.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A size that grows while replies are small and shrinks at once when the node or the replies say so.
#[derive(Debug)]
pub(super) struct RangeSize {
    blocks: AtomicU64,
    max_blocks: u64,
    target_logs: u64,
}

impl RangeSize {
    pub(super) fn new(initial_blocks: u64, max_blocks: u64, target_logs: u64) -> Self {
        let max_blocks = max_blocks.max(1);
        Self { blocks: AtomicU64::new(initial_blocks.clamp(1, max_blocks)), max_blocks, target_logs: target_logs.max(1) }
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks.load(Relaxed)
    }

    /// A reply for `blocks` blocks held `logs` logs. At most a fourfold growth and a tenfold fall, so
    /// that one odd stretch of the chain does not decide.
    pub(super) fn saw(&self, blocks: u64, logs: u64) {
        let wanted = blocks.saturating_mul(self.target_logs) / logs.max(1);
        let (floor, ceiling) = ((blocks / 10).max(1), blocks.saturating_mul(4).min(self.max_blocks));
        self.blocks.store(wanted.clamp(floor.min(ceiling), ceiling), Relaxed);
    }

    /// The node refused `blocks` blocks at once; returns what to ask for instead.
    pub(super) fn refused(&self, blocks: u64) -> u64 {
        let smaller = (blocks / 2).max(1);
        self.blocks.fetch_min(smaller, Relaxed);
        smaller
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_replies() {
        let size = RangeSize::new(50, 2_000, 1_000);
        size.saw(50, 0);
        assert_eq!(size.blocks(), 200);
        size.saw(200, 10);
        size.saw(800, 10);
        assert_eq!(size.blocks(), 2_000, "the maximum");
        size.saw(2_000, 20_000);
        assert_eq!(size.blocks(), 200);
        size.saw(200, 10_000_000);
        assert_eq!(size.blocks(), 20);
        size.saw(20, 1_000);
        assert_eq!(size.blocks(), 20);
        assert_eq!(size.refused(20), 10);
        assert_eq!(size.blocks(), 10);
        size.saw(1, 1_000_000);
        assert_eq!((size.blocks(), size.refused(1)), (1, 1));
    }
}
