//! The suffixes of a sequence of tokens, in order.

use libsais_rs::libsais_int;

use crate::{RagError, Result};

/// Where each suffix of `tokens` begins, by what the suffixes hold; every token is below `kinds`. In linear time and 12 bytes a token.
///
/// The library is a translation by machine, so its result is checked, in linear time too: that it is wrong is an error, never a wrong
/// answer.
///
/// # Errors
/// [`RagError::TooLarge`] from 2^31 tokens on; [`RagError::Worker`] where the library fails.
pub(super) fn suffixes(tokens: &[u32], kinds: usize) -> Result<Vec<u32>> {
    let too_large = |_| RagError::TooLarge { what: "tokens of a part of what is traced", limit: i32::MAX as usize };
    let kinds = i32::try_from(kinds).map_err(too_large)?;
    i32::try_from(tokens.len()).map_err(too_large)?;
    let failed = |problem: &str| RagError::Worker(format!("the suffixes of a text: {problem}"));
    let mut text = tokens.iter().map(|token| i32::try_from(*token)).collect::<Result<Vec<i32>, _>>().map_err(too_large)?;
    let mut order = vec![0_i32; text.len()];
    if libsais_int(&mut text, &mut order, kinds, 0) != 0 {
        return Err(failed("the library failed"));
    }
    drop(text);
    let order: Vec<u32> = order.into_iter().map(i32::cast_unsigned).collect();
    if is_in_order(tokens, &order) { Ok(order) } else { Err(failed("the library put them in another order")) }
}

/// Whether these are all suffixes, each after those that are less: two that begin alike stand as what follows in each does.
fn is_in_order(tokens: &[u32], order: &[u32]) -> bool {
    const NONE: u32 = u32::MAX;
    let mut place = vec![NONE; tokens.len()];
    for (at, suffix) in (0..).zip(order) {
        match place.get_mut(*suffix as usize) {
            Some(free) if *free == NONE => *free = at,
            _ => return false,
        }
    }
    // of what begins after a suffix's first token; the end is before everything
    let rest = |suffix: u32| place.get(suffix as usize + 1).map_or(-1, |at| i64::from(*at));
    let key = |suffix: u32| (tokens.get(suffix as usize), rest(suffix));
    order.len() == tokens.len() && order.windows(2).all(|pair| matches!(pair, [a, b] if key(*a) < key(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_comparing(tokens: &[u32]) -> Vec<u32> {
        let mut order: Vec<u32> = (0..).take(tokens.len()).collect();
        order.sort_by_key(|at| &tokens[*at as usize..]);
        order
    }

    #[test]
    fn suffixes_are_those_of_a_sort() {
        let mut state = 11_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for case in 0..400_u64 {
            let kinds = 1 + case % 7 * if case % 3 == 0 { 50 } else { 1 };
            let tokens: Vec<u32> = (0..next(300)).map(|_| u32::try_from(next(kinds)).unwrap()).collect();
            assert_eq!(suffixes(&tokens, usize::try_from(kinds).unwrap()).unwrap(), by_comparing(&tokens), "{tokens:?}");
        }
        let same = vec![1; 10_000];
        assert_eq!(suffixes(&same, 2).unwrap(), (0..10_000).rev().collect::<Vec<u32>>());
    }

    #[test]
    fn another_order_is_seen() {
        let tokens = [1, 2, 1, 2, 0];
        let right = by_comparing(&tokens);
        assert!(is_in_order(&tokens, &right));
        for at in 1..right.len() {
            let mut wrong = right.clone();
            wrong.swap(at - 1, at);
            assert!(!is_in_order(&tokens, &wrong), "{wrong:?}");
        }
        assert!(!is_in_order(&tokens, &[0, 0, 0, 0, 0]) && !is_in_order(&tokens, &right[1..]));
    }
}
