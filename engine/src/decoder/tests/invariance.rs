//! A row's bits do not depend on how it is computed.

use super::*;
use crate::Precision;

fn each(families: impl Iterator<Item = String>, check: impl Fn(&str, &Decoder)) {
    for family in families {
        let fixture = Fixture::open(&family);
        for precision in [Precision::F32, Precision::Bf16] {
            check(&format!("{family} in {precision:?}"), &fixture.decoder(precision, None));
        }
    }
}

#[test]
fn chunks_give_the_bits_of_one_pass() {
    each(families().into_iter(), |what, decoder| {
        // More than one block of attention, and no whole page.
        let tokens = tokens(301, decoder.architecture().vocabulary, 1);
        let whole = Runner::new(decoder).chunked(None, &tokens, &[tokens.len()]);
        for chunks in [&[1][..], &[32], &[5, 64, 1, 130]] {
            let found = Runner::new(decoder).chunked(None, &tokens, chunks);
            assert_same(&found, &whole, &format!("{what}, in chunks of {chunks:?}"));
        }
    });
}

#[test]
fn any_batch_gives_the_bits_of_one_alone() {
    each(families().into_iter(), |what, decoder| {
        let width = decoder.architecture().width;
        let texts: Vec<Vec<u32>> =
            [70, 1, 33, 12].iter().zip(1..).map(|(count, seed)| tokens(*count, decoder.architecture().vocabulary, seed)).collect();
        let alone: Vec<Vec<f32>> = texts.iter().map(|text| Runner::new(decoder).chunked(None, text, &[text.len()])).collect();
        for order in [[0, 1, 2, 3], [3, 0, 2, 1]] {
            let mut runner = Runner::new(decoder);
            let mut sequences: Vec<Sequence> = order.iter().map(|text| runner.sequence(texts[*text].len())).collect();
            // The first tokens of each come alone, the rest all together.
            for (sequence, text) in sequences.iter_mut().zip(order) {
                let first = texts[text].len() / 3;
                let found = runner.run(&mut [(sequence, &texts[text][..first])]);
                assert_same(&found, &alone[text][..first * width], what);
            }
            let mut work: Vec<(&mut Sequence, &[u32])> =
                sequences.iter_mut().zip(order).map(|(sequence, text)| (sequence, &texts[text][texts[text].len() / 3..])).collect();
            let found = runner.run(&mut work);
            let expected: Vec<f32> = order.iter().flat_map(|text| alone[*text][texts[*text].len() / 3 * width..].to_vec()).collect();
            assert_same(&found, &expected, &format!("{what}, in the order {order:?}"));
        }
    });
}

#[test]
fn shared_and_copied_pages_give_the_bits_of_own_ones() {
    each(families().into_iter(), |what, decoder| {
        let (vocabulary, width) = (decoder.architecture().vocabulary, decoder.architecture().width);
        let prefix = tokens(75, vocabulary, 1);
        let mut runner = Runner::new(decoder);
        let mut first = runner.sequence(prefix.len());
        runner.run(&mut [(&mut first, &prefix)]);
        for (seed, shared) in [(2, 64), (3, 75), (4, 70)] {
            let own: Vec<u32> = tokens(40, vocabulary, seed);
            let mut second = first.clone();
            second.tokens = shared;
            second.pages.truncate(shared / PAGE_TOKENS);
            if shared % PAGE_TOKENS != 0 {
                let page = runner.page();
                runner.pages.copy(first.pages[shared / PAGE_TOKENS], page, shared % PAGE_TOKENS);
                second.pages.push(page);
            }
            (0..2).for_each(|_| second.pages.push(runner.page()));
            let found = runner.run(&mut [(&mut second, &own)]);
            let whole = [&prefix[..shared], &own].concat();
            let expected = Runner::new(decoder).chunked(None, &whole, &[whole.len()]);
            assert_same(&found, &expected[shared * width..], &format!("{what}, {shared} tokens shared"));
        }
    });
}

#[test]
fn unwanted_rows_cost_no_bits() {
    each(families().into_iter(), |what, decoder| {
        let width = decoder.architecture().width;
        let tokens = tokens(50, decoder.architecture().vocabulary, 1);
        let whole = Runner::new(decoder).chunked(None, &tokens, &[tokens.len()]);
        for wanted in [&[][..], &[49], &[3, 17, 49]] {
            let mut runner = Runner::new(decoder);
            let sequence = runner.sequence(tokens.len() + 1);
            let segments = [Segment { pages: &sequence.pages, tokens: 0, first_position: 0 }];
            let rows =
                tokens.iter().enumerate().map(|(at, token)| Row { token: *token, view: 0, adapter: None, wanted: wanted.contains(&at) });
            let rows: Vec<Row> = rows.collect();
            let hidden = decoder
                .forward(&mut runner.pages, &Batch { rows: &rows, views: &[View { segments: &segments, stretched: sequence.stretched }] });
            let expected: Vec<f32> = wanted.iter().flat_map(|at| whole[at * width..][..width].to_vec()).collect();
            assert_eq!(hidden.rows, wanted.len());
            assert_same(&hidden.numbers, &expected, &format!("{what}, rows {wanted:?}"));
        }
    });
}

#[test]
fn threads_change_no_bits() {
    for family in ["llama", "deepseek-v3", "gemma2"] {
        let fixture = Fixture::open(family);
        let load = |threads| {
            Decoder::load(&fixture.files, &DecoderOptions { threads: Some(threads), ..DecoderOptions::default() }).expect("loads")
        };
        let tokens = tokens(301, 256, 1);
        let one = Runner::new(&load(1)).chunked(None, &tokens, &[tokens.len()]);
        let five = Runner::new(&load(5)).chunked(None, &tokens, &[tokens.len()]);
        assert_same(&five, &one, family);
    }
}

/// Blocks that do not see each other and begin at one position: which of them lies first is only a matter of rounding.
#[test]
fn blocks_of_a_view_may_come_in_any_order() {
    for family in families() {
        let decoder = &Fixture::open(&family).decoder(Precision::F32, None);
        let vocabulary = decoder.architecture().vocabulary;
        let texts = [tokens(37, vocabulary, 1), tokens(20, vocabulary, 2), tokens(45, vocabulary, 3)];
        let question = tokens(9, vocabulary, 4);
        let mut runner = Runner::new(decoder);
        let pages: Vec<Vec<PageId>> = texts.iter().map(|text| runner.sequence(text.len()).pages).collect();
        let segment = |text: usize, tokens| Segment { pages: &pages[text], tokens, first_position: if text == 0 { 0 } else { 37 } };
        let mut run = |segments: &[Segment<'_>], tokens: &[u32]| {
            let rows = tokens.iter().map(|token| Row { token: *token, view: 0, adapter: None, wanted: true });
            let rows: Vec<Row> = rows.collect();
            decoder.forward(&mut runner.pages, &Batch { rows: &rows, views: &[View { segments, stretched: false }] }).numbers
        };
        run(&[segment(0, 0)], &texts[0]);
        run(&[segment(0, 37), segment(1, 0)], &texts[1]);
        run(&[segment(0, 37), segment(2, 0)], &texts[2]);
        let own = [PageId(0)];
        let asked = Segment { pages: &own, tokens: 0, first_position: 82 };
        let both = run(&[segment(0, 37), segment(1, 20), segment(2, 45), asked], &question);
        let turned = run(&[segment(0, 37), segment(2, 45), segment(1, 20), asked], &question);
        let one = run(&[segment(0, 37), segment(1, 20), asked], &question);
        let far = |other: &[f32]| both.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far(&turned) < 1e-3, "{family}: {} apart", far(&turned));
        assert!(far(&one) > 1e-3, "{family}: the third block is seen");
    }
}
