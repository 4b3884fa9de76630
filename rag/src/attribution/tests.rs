use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::allocation::PPM;
use schemas::ids::{ChunkId, DocumentId, Sha256, SubmissionId};
use schemas::receipt::{Source, ValueRow};
use schemas::{Address, B256};

use super::*;
use crate::sentences;

const QUESTION: &str = "What is said?";

pub(super) fn source(contributor: u8, registered: u64, chunk: u8) -> Source {
    Source {
        chunk_id: ChunkId(B256::repeat_byte(chunk)),
        contributor: Address::repeat_byte(contributor),
        submission_id: SubmissionId::default(),
        registered,
        document_id: DocumentId::default(),
        document_sha256: Sha256::default(),
        byte_start: 0,
        byte_end: 0,
        text_sha256: Sha256::default(),
        vector_rank: None,
        lexical_rank: None,
        vector_ppm: None,
        lexical_ppm: None,
        proof: vec![],
    }
}

/// Contributor, registration and text of each source.
type Texts<'a> = Vec<(u8, u64, &'a str)>;

fn sources(texts: &Texts<'_>) -> Vec<Source> {
    (1..).zip(texts).map(|(chunk, (contributor, registered, _))| source(*contributor, *registered, chunk)).collect()
}

fn table(question: &str, segments: &[&str], texts: &Texts<'_>) -> Vec<ValueRow> {
    let sources = sources(texts);
    let texts: Vec<SourceText<'_>> = sources.iter().zip(texts).map(|(source, (_, _, text))| SourceText { source, text }).collect();
    compute_value_table(question, segments, &texts)
}

fn shares(question: &str, segments: &[&str], texts: &Texts<'_>) -> Shares {
    compute_shares(&sources(texts), &table(question, segments, texts)).unwrap()
}

/// `[contributor byte, share]` of everyone with a share.
fn paid(segments: &[&str], texts: &Texts<'_>) -> Vec<(u8, u64)> {
    shares(QUESTION, segments, texts).per_contributor.iter().map(|share| (share.contributor[0], share.share_ppm)).collect()
}

const RANGE: &str = "Most vaccines keep between 2 °C and 8 °C in the refrigerator.";

#[test]
fn a_statement_belongs_to_whoever_registered_it_first() {
    assert_eq!(paid(&[RANGE], &vec![(1, 5, RANGE)]), [(1, PPM)]);
    // whichever is listed first
    assert_eq!(paid(&[RANGE], &vec![(2, 9, RANGE), (1, 5, RANGE)]), [(1, PPM)]);
    // edited, cut, mixed, in other letters, with small words: the words that count are the same
    let edits = [
        "So it is that most of the vaccines do keep, between 2 °C and 8 °C, in a refrigerator.",
        "Intro here. In the refrigerator, between 2 and 8 °C, keep most vaccines. And more.",
        "Mоst vаccines kееp between 2 °C аnd 8 °C in the refrigeratоr.",
    ];
    for edit in edits {
        for sybils in [1, 4, 20] {
            let mut texts = vec![(1, 5, RANGE)];
            texts.extend((0..sybils).map(|n| (10 + n, 10 + u64::from(n), edit)));
            assert_eq!(paid(&[RANGE], &texts), [(1, PPM)], "{edit}");
        }
    }
}

#[test]
fn whoever_comes_later_earns_what_it_adds() {
    let later = "Most vaccines keep between 2 °C and 8 °C in the refrigerator, until staff discard them.";
    // most, vaccines, keep, between, 2, 8, refrigerator are the first one's; until, staff, discard the second one's
    assert_eq!(paid(&[later], &vec![(1, 1, RANGE), (2, 2, later)]), [(1, 700_000), (2, 300_000)]);
    // and nothing of what the answer does not say
    assert_eq!(paid(&[RANGE], &vec![(1, 1, RANGE), (2, 2, later)]), [(1, PPM)]);
    // who says less first keeps that
    let less = "Most vaccines keep in the refrigerator.";
    assert_eq!(paid(&[RANGE], &vec![(1, 1, less), (2, 2, RANGE)]), [(1, 571_429), (2, 428_571)]);
    // a word or two is not saying it
    assert_eq!(paid(&[RANGE], &vec![(1, 1, "Vaccines keep."), (2, 2, RANGE)]), [(2, PPM)]);
}

#[test]
fn another_number_earns_that_number() {
    let (right, wrong) = ("The opened vial keeps for 31 days.", "The opened vial keeps for 10 weeks.");
    let texts = vec![(1, 1, right), (2, 2, wrong)];
    assert_eq!(paid(&[wrong], &texts), [(1, 750_000), (2, 250_000)]);
    // shown beside each other, what is said twice is paid once
    let both = shares(QUESTION, &[right, wrong], &texts);
    let weights: Vec<u64> = table(QUESTION, &[right, wrong], &texts).iter().map(|row| row.weight_ppm).collect();
    assert!(weights[1] * 3 < weights[0], "{weights:?}");
    assert_eq!(both.per_contributor[0].share_ppm, weights[0]);
}

#[test]
fn what_says_nothing_earns_nothing() {
    // before the one that says it, so that it would be the first
    let silent = [
        "Do most vaccines keep between 2 °C and 8 °C in the refrigerator?",
        "most, vaccines, keep, between, refrigerator, 2 °C, 8 °C, cold, chain, range",
        "most vaccines keep between refrigerator temperature cold chain range 2 °C 8 °C",
        "This note treats the question whether most vaccines keep in the refrigerator.",
    ];
    for silent in silent {
        let told = "Staff say that the cold chain has a temperature range.";
        assert_eq!(paid(&[RANGE], &vec![(1, 1, silent), (2, 2, RANGE), (3, 3, told)]), [(2, PPM)], "{silent}");
    }
    // one sentence that holds every word there is
    let everything = "Most vaccines keep between 2 °C and 8 °C in the refrigerator and alpha beta gamma delta epsilon zeta eta theta iota kappa \
        lambda mu nu xi omicron pi rho sigma tau upsilon phi chi psi omega one more or less wordy tail end.";
    assert_eq!(paid(&[RANGE], &vec![(1, 1, everything), (2, 2, RANGE)]), [(2, PPM)]);
    // an answer that only gives the question back is nobody's; one that confirms it is somebody's
    let back = "Most vaccines keep between temperatures in the refrigerator.";
    let open = "Between what temperatures do most vaccines keep in the refrigerator?";
    assert_eq!(shares(open, &[back], &vec![(1, 1, back)]).unattributed_ppm, PPM);
    let claim = "Do most vaccines keep between 2 °C and 8 °C in the refrigerator?";
    assert_eq!(shares(claim, &[RANGE], &vec![(1, 1, RANGE)]).unattributed_ppm, 0);
}

#[test]
fn short_facts_and_tables_say_something() {
    for text in ["Storage: 2-8 °C", "| Vaccine | keep between 2 °C and 8 °C |", "# Storage between 2 °C and 8 °C", "- 2 °C to 8 °C"]
    {
        assert_eq!(shares("Which?", &["It is 2 °C to 8 °C."], &vec![(1, 1, text)]).unattributed_ppm, 0, "{text}");
    }
}

#[test]
fn bad_tables_are_refused() {
    let sources = [source(1, 1, 1)];
    let row = |weight_ppm: u64, adds_ppm: &[u64]| ValueRow { weight_ppm, adds_ppm: adds_ppm.to_vec() };
    for table in [vec![row(PPM, &[])], vec![row(PPM, &[PPM + 1])], vec![row(PPM - 1, &[1])], vec![row(u64::MAX, &[1]), row(PPM, &[1])]] {
        assert!(compute_shares(&sources, &table).is_err(), "{table:?}");
    }
    let many: Vec<Source> = (0..=MAX_SOURCES as u8).map(|n| source(n, n.into(), n)).collect();
    assert!(compute_shares(&many, &[]).is_err());
    assert_eq!(compute_shares(&[], &[]).unwrap().unattributed_ppm, PPM);
    assert!(compute_value_table(QUESTION, &[], &[]).is_empty());
}

const VOCABULARY: [&str; 12] = ["ice", "dry", "box", "heat", "cold", "gas", "cell", "drug", "dose", "van", "ship", "log"];

fn sentence(words: &[usize]) -> String {
    let line: Vec<&str> = words.iter().map(|word| VOCABULARY[*word]).collect();
    format!("The {}.", line.join(" "))
}

/// Texts over few words, so that they overlap in every way; one contributor per registration.
fn games() -> impl Strategy<Value = (Vec<(u8, u64, String)>, Vec<String>)> {
    let said = || proptest::collection::vec(proptest::collection::vec(0usize..12, 2..7), 1..4);
    let texts = proptest::collection::vec((1u8..5, said()), 1..7);
    (texts, said()).prop_map(|(texts, answer)| {
        let text = |said: Vec<Vec<usize>>| said.iter().map(|words| sentence(words)).collect::<Vec<_>>().join(" ");
        let texts = (1u64..).zip(texts).map(|(n, (contributor, said))| (contributor, n * 7 % 11, text(said))).collect();
        (texts, answer.iter().map(|words| sentence(words)).collect())
    })
}

fn borrowed(texts: &[(u8, u64, String)]) -> Texts<'_> {
    texts.iter().map(|(contributor, registered, text)| (*contributor, *registered, text.as_str())).collect()
}

fn by_contributor(shares: &Shares) -> BTreeMap<Address, u64> {
    shares.per_contributor.iter().map(|share| (share.contributor, share.share_ppm)).collect()
}

/// Σ over all orders of the players of what each adds when it arrives, straight from the definition of v.
fn by_permutations(players: &[Address], worth: &dyn Fn(&[Address]) -> u128) -> (BTreeMap<Address, u128>, u128) {
    fn walk(
        arrived: &mut Vec<Address>,
        players: &[Address],
        worth: &dyn Fn(&[Address]) -> u128,
        added: &mut BTreeMap<Address, u128>,
    ) -> u128 {
        if arrived.len() == players.len() {
            return 1;
        }
        let before = worth(arrived);
        let mut orders = 0;
        for player in players {
            if !arrived.contains(player) {
                arrived.push(*player);
                let now = worth(arrived);
                let below = walk(arrived, players, worth, added);
                *added.entry(*player).or_default() += (now - before) * below;
                orders += below;
                arrived.pop();
            }
        }
        orders
    }
    let mut added = BTreeMap::new();
    let orders = walk(&mut Vec::new(), players, worth, &mut added);
    (added, orders)
}

proptest! {
    #[test]
    fn equals_shapley_over_all_orders((texts, answer) in games()) {
        let (texts, segments) = (borrowed(&texts), answer.iter().map(String::as_str).collect::<Vec<_>>());
        let (sources, table) = (sources(&texts), table(QUESTION, &segments, &texts));
        let mut players: Vec<Address> = sources.iter().map(|source| source.contributor).collect();
        players.sort();
        players.dedup();
        let worth = |set: &[Address]| -> u128 {
            let row = |row: &ValueRow| -> u128 {
                sources.iter().zip(&row.adds_ppm).filter(|(source, _)| set.contains(&source.contributor)).map(|(_, adds)| u128::from(*adds)).sum::<u128>()
                    * u128::from(row.weight_ppm)
            };
            table.iter().map(row).sum()
        };
        let (added, orders) = by_permutations(&players, &worth);
        let mut weights: Vec<u128> = players.iter().map(|player| added[player]).collect();
        weights.push((u128::from(PPM) * u128::from(PPM) - worth(&players)) * orders);
        let mut expected = schemas::allocation::largest_remainder(PPM.into(), &weights);
        expected.pop();
        let expected: BTreeMap<Address, u64> = players.into_iter().zip(expected).map(|(p, s)| (p, s as u64)).filter(|(_, s)| *s > 0).collect();
        prop_assert_eq!(by_contributor(&compute_shares(&sources, &table).unwrap()), expected);
    }

    #[test]
    fn sums_are_exact((texts, answer) in games()) {
        let (texts, segments) = (borrowed(&texts), answer.iter().map(String::as_str).collect::<Vec<_>>());
        let shares = shares(QUESTION, &segments, &texts);
        prop_assert_eq!(shares.per_contributor.iter().map(|s| s.share_ppm).sum::<u64>() + shares.unattributed_ppm, PPM);
        prop_assert_eq!(shares.per_source_ppm.iter().sum::<u64>() + shares.unattributed_ppm, PPM);
        for share in &shares.per_contributor {
            let own: u64 = texts.iter().zip(&shares.per_source_ppm).filter(|(t, _)| Address::repeat_byte(t.0) == share.contributor).map(|(_, p)| p).sum();
            prop_assert_eq!(own, share.share_ppm);
        }
    }

    /// Whatever somebody registers later, and under however many names, nobody's pay for what was there moves.
    #[test]
    fn what_comes_later_moves_nobody((texts, answer) in games(), (more, _) in games(), copied in any::<prop::sample::Index>()) {
        let segments: Vec<&str> = answer.iter().map(String::as_str).collect();
        let before = shares(QUESTION, &segments, &borrowed(&texts));
        let copy = texts[copied.index(texts.len())].2.clone();
        let mut later = texts.clone();
        later.extend(more.into_iter().zip(100u64..).map(|((contributor, _, text), n)| (contributor + 50, n, text)));
        later.push((90, 200, copy));
        let after = shares(QUESTION, &segments, &borrowed(&later));
        for (contributor, share) in by_contributor(&before) {
            // to the ppm that rounding gives
            prop_assert!(by_contributor(&after).get(&contributor).copied().unwrap_or(0).abs_diff(share) <= segments.len() as u64 + 1);
        }
        prop_assert!(!by_contributor(&after).contains_key(&Address::repeat_byte(90)), "the copy comes last and adds nothing");
    }

    #[test]
    fn the_order_of_sources_is_irrelevant((texts, answer) in games(), seed in any::<u64>()) {
        let segments: Vec<&str> = answer.iter().map(String::as_str).collect();
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|index| (*index as u64 + 1).wrapping_mul(seed | 1));
        let all = sources(&borrowed(&texts));
        let given: Vec<SourceText<'_>> = all.iter().zip(&texts).map(|(source, (.., text))| SourceText { source, text }).collect();
        let shuffled: Vec<SourceText<'_>> = order.iter().map(|index| given[*index]).collect();
        let moved: Vec<Source> = order.iter().map(|index| all[*index].clone()).collect();
        let a = compute_shares(&all, &compute_value_table(QUESTION, &segments, &given)).unwrap();
        let b = compute_shares(&moved, &compute_value_table(QUESTION, &segments, &shuffled)).unwrap();
        prop_assert_eq!(&a.per_contributor, &b.per_contributor);
        prop_assert_eq!(order.iter().map(|i| a.per_source_ppm[*i]).collect::<Vec<_>>(), b.per_source_ppm);
    }

    #[test]
    fn splitting_a_source_changes_no_contributor((texts, answer) in games(), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let segments: Vec<&str> = answer.iter().map(String::as_str).collect();
        let before = shares(QUESTION, &segments, &borrowed(&texts));
        let (contributor, registered, text) = texts[which.index(texts.len())].clone();
        let bounds = sentences::split(&text);
        let (left, right) = text.split_at(bounds[at.index(bounds.len())].start);
        let mut cut = borrowed(&texts);
        cut[which.index(texts.len())].2 = left;
        cut.push((contributor, registered, right));
        let (before, after) = (by_contributor(&before), by_contributor(&shares(QUESTION, &segments, &cut)));
        for contributor in before.keys().chain(after.keys()) {
            let share = |shares: &BTreeMap<Address, u64>| shares.get(contributor).copied().unwrap_or(0);
            // to the ppm that rounding gives
            prop_assert!(share(&before).abs_diff(share(&after)) <= segments.len() as u64 + 1);
        }
    }

    #[test]
    fn any_text_is_weighed(answer in crate::sentences::tests::any_text(), text in crate::sentences::tests::any_text()) {
        let segments: Vec<&str> = sentences::split(&answer).iter().map(|sentence| sentence.of(&answer)).collect();
        let shares = shares(QUESTION, &segments, &vec![(1, 1, &text), (2, 2, &answer)]);
        prop_assert_eq!(shares.per_source_ppm.iter().sum::<u64>() + shares.unattributed_ppm, PPM);
    }
}
