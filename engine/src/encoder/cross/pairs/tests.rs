use proptest::prelude::*;
use tokenizers::{TruncationParams, TruncationStrategy, truncate_encodings};

use super::*;

fn encoding(tokens: usize) -> Encoding {
    let tokens = (0..tokens).map(|id| Token::new(u32::try_from(id).expect("few"), String::new(), (0, 0)));
    Encoding::from_tokens(tokens.collect(), 0)
}

#[test]
fn neither_side_starves() {
    assert_eq!(longest_first(5, 5, 10), (5, 5), "nothing is cut");
    assert_eq!(longest_first(5, 100, 20), (5, 15));
    assert_eq!(longest_first(100, 5, 20), (15, 5));
    assert_eq!(longest_first(100, 200, 21), (10, 11));
    assert_eq!(longest_first(200, 100, 21), (11, 10));
    assert_eq!(longest_first(100, 100, 21), (10, 11));
}

proptest! {
    /// The oracle is the tokenizers library, which transformers asks.
    #[test]
    fn the_rule_is_the_librarys(question in 0..40_usize, passage in 0..40_usize, room in 1..50_usize) {
        let rule = TruncationParams { max_length: room, strategy: TruncationStrategy::LongestFirst, ..TruncationParams::default() };
        let (first, second) = truncate_encodings(encoding(question), Some(encoding(passage)), &rule).expect("truncates");
        prop_assert_eq!(longest_first(question, passage, room), (first.len(), second.expect("a pair").len()));
    }

    #[test]
    fn a_side_keeps_its_beginning(tokens in 0..40_usize, kept in 0..50_usize) {
        let cut = cut(encoding(tokens), kept);
        let expected: Vec<u32> = (0..u32::try_from(tokens.min(kept)).expect("few")).collect();
        prop_assert_eq!(cut.get_ids(), expected.as_slice());
        prop_assert!(cut.get_overflowing().is_empty());
    }
}
