use proptest::prelude::*;

use super::{CitationFilter, Plain};

fn filtered(pieces: &[&str], sources: usize) -> (String, u64) {
    let mut filter = CitationFilter::new(sources);
    let mut text: String = pieces.iter().map(|piece| filter.push(piece)).collect();
    text.push_str(&filter.finish());
    (text, filter.invalid)
}

#[test]
fn only_citations_of_the_prompt_remain() {
    for (said, expected, invalid) in [
        ("Cold [1]. Colder [2][3].", "Cold [1]. Colder [2][3].", 0),
        ("Cold [4]. Colder [0].", "Cold. Colder.", 2),
        ("Cold [1, 9,3].", "Cold [1, 3].", 1),
        ("Cold [1,3].", "Cold [1, 3].", 0),
        ("  a[i] = [x] [] [ ] [1", "a[i] = [x] [] [ ] [1", 0),
        ("[12345] is no citation, [99] is one\n", "[12345] is no citation, is one", 1),
        ("[7]", "", 1),
        ("[7] Cold", "Cold", 1),
        ("cold\n\n[8]\n\nwarm", "cold\n\nwarm", 1),
        ("[1](http://x) 【2】 [1-3] [², ]", "[1](http://x) 【2】 [1-3] [², ]", 0),
    ] {
        assert_eq!(filtered(&[said], 3), (expected.to_owned(), invalid), "{said:?}");
    }
}

#[test]
fn a_run_of_digits_is_held_back_only_so_long() {
    let mut filter = CitationFilter::new(3);
    let text: String = (0..200).map(|_| filter.push("[1, ").len() + filter.push("1").len()).map(|n| n.to_string()).collect();
    assert!(filter.held.len() <= super::MAX_BYTES + 4, "{text}");
}

proptest! {
    /// However an answer is cut into pieces, the outcome is the same; and filtering it again changes nothing.
    #[test]
    fn pieces_do_not_matter(said in "[a\\[\\]0-9, .\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6), sources in 0usize..12) {
        let whole = filtered(&[&said], sources);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(said.len())).collect();
        cuts.extend([0, said.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|pair| &said[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&filtered(&pieces, sources), &whole);
        // what is left after one citation was taken out can read as another: "[[9]1]"
        if !whole.0.contains("[[") && !said.contains("[[") && !said.contains("][") {
            prop_assert_eq!(filtered(&[&whole.0], sources), (whole.0.clone(), 0));
        }
    }

    /// Every byte of the plain text is the answer's at the place that it is mapped to.
    #[test]
    fn the_way_back_is_exact(said in "[a-cé\\[\\]0-9, .\n]{0,60}") {
        let plain = Plain::without_citations(&said);
        for (at, byte) in plain.text.bytes().enumerate() {
            prop_assert_eq!(said.as_bytes()[plain.in_answer(at)], byte);
        }
    }
}
