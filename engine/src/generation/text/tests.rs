use proptest::prelude::*;

use super::*;

/// Pushes tokens until a stop text comes: the pieces, and how many tokens are the answer's.
fn run(stops: &[&str], tokens: &[&[u8]]) -> (Vec<(String, Vec<usize>)>, usize) {
    let mut text = AnswerText::new(stops.iter().map(|stop| (*stop).to_owned()).collect(), false);
    let mut pieces = Vec::new();
    for (index, bytes) in tokens.iter().enumerate() {
        let piece = text.push(bytes, Some(index));
        pieces.push((piece.text, piece.tokens));
        if text.is_stopped() {
            return (pieces, text.kept_tokens());
        }
    }
    let piece = text.finish();
    pieces.push((piece.text, piece.tokens));
    (pieces, text.kept_tokens())
}

fn texts(stops: &[&str], tokens: &[&[u8]]) -> Vec<String> {
    run(stops, tokens).0.into_iter().map(|(text, _)| text).collect()
}

#[test]
fn characters_come_whole() {
    assert_eq!(texts(&[], &[b"na\xc3", b"\xafve ", b"\xf0\x9f", b"\x9a", b"\x9a!"]), ["na", "ïve ", "", "", "🚚!", ""]);
}

#[test]
fn bytes_that_are_no_character_are_replaced() {
    assert_eq!(texts(&[], &[b"a\xff", b"b\xe2\x82", b"c\xe2\x82"]), ["a\u{fffd}", "b", "\u{fffd}c", "\u{fffd}"]);
}

#[test]
fn the_beginning_of_a_stop_text_is_held_back() {
    assert_eq!(texts(&["END."], &[b"the E", b"N", b"D is near"]), ["the ", "", "END is near", ""]);
    assert_eq!(texts(&["END."], &[b"the E", b"ND", b". is near"]), ["the ", "", ""]);
    assert_eq!(texts(&["END."], &[b"the EN"]), ["the ", "EN"], "an answer that is cut short keeps what was held");
}

#[test]
fn the_stop_text_that_is_complete_first_counts() {
    assert_eq!(texts(&["xyz", "y"], &[b"axyz"]).concat(), "ax");
    assert_eq!(texts(&["xyz", "y"], &[b"a", b"x", b"y", b"z"]).concat(), "ax");
    assert_eq!(texts(&["ab", "abc"], &[b"1abc"]), ["1"]);
}

#[test]
fn tokens_come_with_the_end_of_their_text() {
    let (pieces, kept) = run(&["##"], &[b"on", b"e #", b"#", b"# two"]);
    assert_eq!(pieces, [("on".into(), vec![0]), ("e ".into(), vec![]), (String::new(), vec![1])]);
    assert_eq!(kept, 2, "the token that only adds to the stop text is not the answer's");
}

#[test]
fn a_stop_text_at_the_beginning_leaves_nothing() {
    assert_eq!(run(&["no"], &[b"no"]), (vec![(String::new(), vec![])], 0));
}

#[test]
fn special_tokens_say_nothing() {
    let mut table = TokenTable::new(vec![2]);
    table.push(b"hi", false);
    table.push(b"", false);
    table.push(b"</s>", true);
    assert_eq!((table.bytes(0), table.bytes(2)), (&b"hi"[..], &b""[..]));
    assert!(table.is_ending(2) && table.is_special(9) && table.bytes(9).is_empty());
}

#[test]
fn the_space_that_a_vocabulary_puts_first_is_dropped_once() {
    let mut text: AnswerText<()> = AnswerText::new(vec!["b".to_owned()], true);
    let said: Vec<String> = [&b""[..], b"  a", b" b"].iter().map(|bytes| text.push(bytes, None).text).collect();
    assert_eq!((said, text.kept_tokens()), (vec![String::new(), " a".to_owned(), " ".to_owned()], 3));
}

proptest! {
    /// However a text is cut into tokens, what is given out is the text up to the first stop text.
    #[test]
    fn cuts_change_nothing(letters in proptest::collection::vec("[abé]", 0..40), cuts in proptest::collection::vec(1..4_usize, 0..40)) {
        let whole: String = letters.concat();
        let stops = ["aba", "éé", "bbbé"];
        let ends = stops.iter().flat_map(|stop| whole.match_indices(stop).map(|(start, _)| (start + stop.len(), start)));
        let expected = ends.min().map_or(whole.as_str(), |(_, start)| &whole[..start]);
        let mut bytes = whole.as_bytes();
        let mut tokens = Vec::new();
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (token, rest) = bytes.split_at(cut.min(bytes.len()));
            tokens.push(token);
            bytes = rest;
        }
        prop_assert_eq!(texts(&stops, &tokens).concat(), expected);
        let single: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
        prop_assert_eq!(texts(&stops, &single).concat(), expected);
    }
}
