//! What is found, against comparing everything with everything.

use proptest::prelude::*;

use super::Bytes;
use super::build::Builder;
use super::part::{Holder, Part};
use super::query::{Query, Span};
use super::search::{Found, FoundSpan, HOLDERS_MAX, search};
use super::tokens::tokens;

/// A part of each list of texts.
fn parts(texts: &[&[String]]) -> Vec<Part> {
    texts.iter().map(|texts| part(builder(texts))).collect()
}

fn builder(texts: &[String]) -> Builder {
    let mut builder = Builder::default();
    texts.iter().for_each(|text| builder.add(text).unwrap());
    builder
}

fn part(builder: Builder) -> Part {
    Part::new(Bytes::new(bytes(builder))).unwrap()
}

fn bytes(builder: Builder) -> Vec<u8> {
    let mut bytes = Vec::new();
    builder.write(&mut bytes).unwrap();
    bytes
}

/// By comparing each place of the query with each of the members: quadratic, and nothing of what is tested.
fn by_comparing(members: &[String], query: &Query, spans_max: usize) -> Found {
    let cut = |text: &str| tokens(text).map(|(_, token)| token.to_owned()).collect::<Vec<String>>();
    let (members, asked): (Vec<Vec<String>>, Vec<String>) = (members.iter().map(|text| cut(text)).collect(), cut(&query.text));
    let places = |wanted: &[String]| {
        let mut places = Vec::new();
        for (member, tokens) in members.iter().enumerate() {
            let starts = (0..tokens.len()).filter(|at| tokens[*at..].starts_with(wanted));
            places.extend(starts.map(|token| Holder { member, token }));
        }
        places
    };
    let mut spans: Vec<Span> = Vec::new();
    for start in 0..asked.len() {
        for end in start + 1..=asked.len() {
            let is_word = |at: usize| asked[at].chars().any(char::is_alphanumeric);
            let ends = |at: usize| matches!(asked[at].as_str(), "." | "!" | "?");
            let between = &query.text[query.tokens[start].range.start..query.tokens[end - 1].range.end];
            let is_span = is_word(start)
                && (is_word(end - 1) || ends(end - 1))
                && !(start..end - 1).any(ends)
                && !between.replace(' ', "").contains("\n\n")
                && !places(&asked[start..end]).is_empty();
            if is_span {
                spans.push(Span { tokens: start..end, words: (start..end).filter(|at| is_word(*at)).count() });
            }
        }
    }
    let inside = |a: &Span, b: &Span| a != b && b.tokens.start <= a.tokens.start && a.tokens.end <= b.tokens.end;
    let all = spans.clone();
    spans.retain(|span| !all.iter().any(|other| inside(span, other)) && span.words >= query.at_least());
    let covered = (0..asked.len()).filter(|at| query.tokens[*at].is_word && spans.iter().any(|span| span.tokens.contains(at))).count();
    let count: usize = members.iter().map(Vec::len).sum();
    let rarity = |span: &Span| {
        let bits = |at: usize| (count as f64 / places(&asked[at..=at]).len() as f64).log2();
        span.tokens.clone().map(bits).sum::<f64>()
    };
    let shown = query.chosen(&spans, rarity, spans_max).into_iter().map(|(span, rarity_bits)| {
        let places = places(&asked[span.tokens.clone()]);
        let mut holders = places.clone();
        holders.dedup_by_key(|holder| holder.member);
        holders.truncate(HOLDERS_MAX);
        FoundSpan { span: span.clone(), rarity_bits, occurrences: places.len() as u64, has_more: holders.len() == HOLDERS_MAX, holders }
    });
    Found { coverage_ppm: covered as u64 * 1_000_000 / query.words().max(1) as u64, spans_in_all: spans.len(), shown: shown.collect() }
}

/// Texts of few different tokens, so that they share much.
fn text(longest: usize) -> impl Strategy<Value = String> {
    let token =
        prop_oneof![4 => Just("a"), 3 => Just("b"), 2 => Just("c"), 1 => Just("d"), 1 => Just(","), 1 => Just("."), 1 => Just("\n")];
    prop::collection::vec(token, 0..longest).prop_map(|tokens| tokens.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_what_comparing_everything_finds(
        members in prop::collection::vec(text(12), 0..90),
        asked in text(24),
        cuts in prop::collection::vec(0..90_usize, 0..4),
        at_least in 1..5_usize,
        density_ppm in prop_oneof![Just(50_000_u64), Just(400_000), Just(1_000_000)],
    ) {
        let asked = format!("{asked} x a b");
        let query = Query::read(&asked, Some(at_least), Some(density_ppm), 10_000).unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(members.len())).chain([0, members.len()]).collect();
        cuts.sort_unstable();
        let split: Vec<&[String]> = cuts.windows(2).map(|cut| &members[cut[0]..cut[1]]).collect();
        let expected = by_comparing(&members, &query, 7);
        prop_assert_eq!(search(&parts(&split), &query, 7), expected);
    }

    /// A part that is made of two is the one that is made of all texts, byte by byte.
    #[test]
    fn parts_that_are_put_together_are_those_of_all_texts(
        members in prop::collection::vec(text(9), 0..20),
        more in prop::collection::vec(text(9), 0..20),
    ) {
        let mut together = Builder::of(&part(builder(&members)));
        together.append(&builder(&more)).unwrap();
        prop_assert_eq!(bytes(together), bytes(builder(&[members, more].concat())));
    }

    /// What a damaged disk holds after a part was opened ends and panics nowhere.
    #[test]
    fn any_bytes_are_searched_or_refused(members in prop::collection::vec(text(9), 1..12), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = bytes(builder(&members));
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(part) = Part::new(Bytes::new(bytes)) {
            let query = Query::read("a b a b c a d a a . b", Some(1), Some(1_000_000), 100).unwrap();
            drop(search(&[part], &query, 9));
        }
    }
}

#[test]
fn no_span_crosses_the_end_of_a_member_or_of_a_part() {
    let members: Vec<String> = ["one two three", "four five six", "seven eight"].map(Into::into).to_vec();
    for split in [vec![&members[..]], vec![&members[..1], &members[1..]]] {
        let query = Query::read("one two three four five six seven eight", Some(2), Some(1_000_000), 100).unwrap();
        let found = search(&parts(&split), &query, 9);
        let spans: Vec<_> = found.shown.iter().map(|shown| (shown.span.tokens.clone(), shown.holders[0].member)).collect();
        assert_eq!(spans, [(0..3, 0), (3..6, 1), (6..8, 2)]);
    }
}

#[test]
fn a_text_of_one_word_is_traced_in_bounded_work() {
    let member = "a ".repeat(400);
    let members = vec![member; 300];
    let parts = parts(&[&members[..200], &members[200..]]);
    let query = Query::read(&"a ".repeat(32_768), Some(6), None, 65_536).unwrap();
    let found = search(&parts, &query, 256);
    assert_eq!((found.coverage_ppm, found.spans_in_all), (1_000_000, 32_768 - 399));
    assert!(found.shown.len() == 256 && found.shown.iter().all(|shown| shown.occurrences == 300 && shown.holders.len() == HOLDERS_MAX));
    // shorter ones stand at every place
    let found = search(&parts, &Query::read("a a a a a a", None, None, 100).unwrap(), 256);
    assert_eq!(found.shown[0].occurrences, 300 * 395);
    assert_eq!(found.shown[0].holders[63], Holder { member: 63, token: 0 });
}

#[test]
fn nothing_is_found_in_nothing() {
    let query = Query::read("one two three four five six seven", None, None, 100).unwrap();
    let nothing = Found { coverage_ppm: 0, spans_in_all: 0, shown: vec![] };
    assert_eq!(search(&[], &query, 9), nothing);
    assert_eq!(search(&parts(&[&[]]), &query, 9), nothing);
    assert_eq!(search(&parts(&[&[String::new(), " ".into()]]), &query, 9), nothing);
}

#[test]
fn what_looks_alike_is_compared_exactly() {
    let members = vec!["The cafe\u{301} sells va\u{ad}ccine a\0b zero\u{200b}width".to_owned()];
    let parts = parts(&[&members]);
    let covered = |text: &str| search(&parts, &Query::read(text, Some(1), None, 200).unwrap(), 9).coverage_ppm;
    assert_eq!(covered(&members[0]), 1_000_000);
    assert_eq!((covered("café"), covered("vaccine"), covered("the"), covered("zerowidth")), (0, 0, 0, 0));
}

/// `HEADWATER_TRACE_MB=100 cargo test --release --workspace --lib -- --ignored --nocapture bench_trace`: time to build what 100 MB of
/// text are traced by, its bytes, and time to trace a text of 300 words. Words as rare as in English (Zipf), sentences that repeat.
#[test]
#[ignore = "a measurement"]
fn bench_trace() {
    let megabytes: usize = std::env::var("HEADWATER_TRACE_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let mut state = 5_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    // rank r with a probability of about 1/r among 200,000
    let mut word = move || {
        let rank = (200_000_f64.powf(next()) - 1.0) as usize;
        let mut letters = String::new();
        let mut left = rank + 27;
        while left > 0 {
            letters.push(char::from(b'a' + (left % 26) as u8));
            left /= 13;
        }
        letters
    };
    let mut sentence = move || (0..14).map(|_| word()).collect::<Vec<String>>().join(" ") + ". ";
    let (mut members, mut bytes): (Vec<String>, usize) = (Vec::new(), 0);
    while bytes < megabytes * 1_000_000 {
        let member: String = (0..16).map(|_| sentence()).collect();
        bytes += member.len();
        members.push(member);
    }
    let started = std::time::Instant::now();
    let (mut parts, mut builder, mut on_disk) = (Vec::new(), Builder::default(), 0);
    for (at, member) in members.iter().enumerate() {
        builder.add(member).unwrap();
        if builder.is_full(super::kept::PART_TOKENS_MAX) || at + 1 == members.len() {
            let mut written = Vec::new();
            std::mem::take(&mut builder).write(&mut written).unwrap();
            on_disk += written.len();
            parts.push(Part::new(Bytes::new(written)).unwrap());
        }
    }
    let (built, tokens) = (started.elapsed(), parts.iter().map(Part::suffix_count).sum::<usize>());
    // half of it stands in the members, the rest only in pieces
    let quoted: String = (0..11).map(|n| members[n * members.len() / 11].split_inclusive(". ").nth(3).unwrap().to_owned()).collect();
    let own: String = (0..11).map(|_| sentence()).collect();
    let text = quoted + &own;
    let long: String = std::iter::repeat_with(&mut sentence).take(900).collect();
    for (text, at_least, density_ppm) in [(&text, 6, 50_000), (&text, 1, 50_000), (&long, 1, 1_000_000)] {
        let mut times = Vec::new();
        for _ in 0..20 {
            let started = std::time::Instant::now();
            let query = Query::read(text, Some(at_least), Some(density_ppm), 1 << 20).unwrap();
            let found = search(&parts, &query, 256);
            times.push((started.elapsed(), found.shown.len(), found.coverage_ppm));
        }
        times.sort();
        println!("{} bytes, spans of {at_least}: median and most {:?} {:?}", text.len(), times[10], times[19]);
    }
    println!(
        "{bytes} bytes of text, {tokens} tokens, {} parts, built in {built:?}, {on_disk} bytes on disk: {:.3} a byte of text",
        parts.len(),
        on_disk as f64 / bytes as f64
    );
}
