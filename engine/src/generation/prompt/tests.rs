use super::*;

/// Pieces from a line: `<template>`, `[source]`, text. Every character is a token.
fn prompt(line: &str) -> Prompt {
    let mut pieces = Vec::new();
    let mut sources = 0;
    for part in line.split_inclusive(['>', ']']).flat_map(|part| {
        let open = part.find(['<', '[']).unwrap_or(part.len());
        let (text, rest) = part.split_at(open);
        [text, rest]
    }) {
        let kind = match part.chars().next() {
            None => continue,
            Some('<') => PieceKind::Template,
            Some('[') => {
                sources += 1;
                PieceKind::Source(sources - 1)
            }
            Some(_) => PieceKind::Text,
        };
        pieces.push(Piece { kind, tokens: part.chars().map(u32::from).collect() });
    }
    Prompt { pieces, sources }
}

fn text(tokens: &[u32]) -> String {
    tokens.iter().filter_map(|token| char::from_u32(*token)).collect()
}

#[test]
fn a_subset_is_the_pieces_that_are_left() {
    let prompt = prompt("<s>sources:[one][two]what?<e>");
    assert_eq!(text(&prompt.full(&[true, true])), "<s>sources:[one][two]what?<e>");
    assert_eq!(text(&prompt.full(&[false, true])), "<s>sources:[two]what?<e>");
    assert_eq!(text(&prompt.full(&[false, false])), "<s>sources:what?<e>");
    assert_eq!(prompt.tokens(), 29);
}

fn check_blocks(line: &str, head: &str, blocks: &[&str], tail: &str) {
    let found = prompt(line).blocks();
    let texts: Vec<String> = found.blocks.iter().map(|block| text(block)).collect();
    assert_eq!((text(&found.head).as_str(), text(&found.tail).as_str()), (head, tail), "{line}");
    assert_eq!(texts, blocks, "{line}");
}

#[test]
fn text_between_sources_goes_where_it_should() {
    check_blocks("<s>read:[one][two]what?<e>", "<s>read:", &["[one]", "[two]"], "what?<e>");
    check_blocks("<s>1.[one]\n2.[two]what?<e>", "<s>1.", &["[one]", "\n2.[two]"], "what?<e>");
    check_blocks("<u>read:[one]why?<a>so.<u>and[two]why?<a>", "<u>read:", &["[one]", "[two]"], "why?<a>so.<u>andwhy?<a>");
    check_blocks("<s>no sources<e>", "<s>no sources<e>", &[], "");
}

#[test]
fn the_tail_stays_where_it_is() {
    let prompt = prompt("<s>[a][long][bc]tail");
    let blocks = prompt.blocks();
    assert_eq!(blocks.tail_position(), 3 + 6);
    let mut plan = Plan::default();
    let cached = blocks.plan(&mut plan, &[true, false, true]);
    let tails: Vec<Option<usize>> =
        [[true, false, true], [false, false, true], [false; 3]].map(|subset| blocks.plan_tail(&mut plan, &cached, &subset, &[])).to_vec();
    assert_eq!(tails, [Some(3), Some(4), Some(5)]);
    let seen: Vec<(&[usize], usize)> = plan.spans.iter().map(|span| (span.sees.as_slice(), span.first_position)).collect();
    assert_eq!(seen, [(&[][..], 0), (&[0], 3), (&[0], 3), (&[0, 1, 2], 9), (&[0, 2], 9), (&[0], 9)]);
}

#[test]
fn without_sources_both_modes_are_one() {
    let prompt = prompt("<s>hello<e>");
    assert_eq!(prompt.plan(ContextMode::Full), prompt.plan(ContextMode::Blocks));
    assert_eq!(prompt.answer_position(ContextMode::Blocks), 11);
    assert!(prompt.has_end(ContextMode::Blocks));
    assert!(!super::tests::prompt("<s>[one]").has_end(ContextMode::Blocks));
}

#[test]
fn an_empty_source_takes_no_place() {
    let mut prompt = prompt("<s>[one][two]?");
    prompt.pieces[1].tokens.clear();
    let plan = prompt.plan(ContextMode::Blocks);
    assert_eq!(plan.spans.len(), 3);
    assert_eq!(plan.spans[2].sees, [0, 1]);
}
