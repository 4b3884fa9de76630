//! Which texts are encoded together: a pure function of their lengths.

/// Cuts texts into micro-batches of at most `tokens_max` tokens, or one longer text; returns their indices.
///
/// Longest first, so that the last ones to finish are short. What is together does not change any result.
pub(crate) fn micro_batches(lengths: &[usize], tokens_max: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|text| std::cmp::Reverse(lengths.get(*text).copied().unwrap_or_default()));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for text in order {
        let length = lengths.get(text).copied().unwrap_or_default();
        match batches.last_mut().filter(|_| length <= room) {
            Some(batch) => batch.push(text),
            None => {
                batches.push(vec![text]);
                room = tokens_max.max(length);
            }
        }
        room = room.saturating_sub(length);
    }
    batches
}

/// A budget that gives every worker something to do, and none less than is worth the weights it reads.
pub(crate) fn token_budget(tokens: usize, workers: usize, tokens_max: usize) -> usize {
    const TOKENS_MIN: usize = 64;
    tokens.div_ceil(workers.max(1)).clamp(TOKENS_MIN.min(tokens_max), tokens_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_full_and_hold_every_text_once() {
        let check = |lengths: &[usize], tokens_max: usize, expected: &[&[usize]]| {
            assert_eq!(micro_batches(lengths, tokens_max), expected, "{lengths:?} at {tokens_max}");
        };
        check(&[], 8, &[]);
        check(&[3, 9, 2, 4], 8, &[&[1], &[3, 0], &[2]]);
        check(&[4, 4, 4, 4], 8, &[&[0, 1], &[2, 3]]);
        check(&[20, 20], 8, &[&[0], &[1]]);
        check(&[0, 0], 8, &[&[0, 1]]);
    }

    #[test]
    fn the_budget_feeds_every_worker() {
        assert_eq!(token_budget(10, 2, 512), 64);
        assert_eq!(token_budget(300, 2, 512), 150);
        assert_eq!(token_budget(100_000, 2, 512), 512);
        assert_eq!(token_budget(100_000, 2, 32), 32);
        assert_eq!(token_budget(0, 0, 512), 64);
    }
}
