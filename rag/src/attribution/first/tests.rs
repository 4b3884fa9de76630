use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::allocation::PPM;
use schemas::ids::ChunkId;
use schemas::receipt::first::ValueRow;
use schemas::{Address, B256};

use super::shares::MAX_SOURCES;
use super::*;
use crate::sentences;

fn key(contributor: u8, cluster: u8, registered: u64, chunk: u8) -> SourceKey {
    SourceKey {
        contributor: Address::repeat_byte(contributor),
        cluster_id: ChunkId(B256::repeat_byte(cluster)),
        registered,
        chunk_id: ChunkId(B256::repeat_byte(chunk)),
    }
}

fn row(weight_ppm: u64, support_ppm: &[u64]) -> ValueRow {
    ValueRow { weight_ppm, support_ppm: support_ppm.to_vec() }
}

/// `[contributor byte, share]` of everyone with a share.
fn shares_of(sources: &[SourceKey], table: &[ValueRow]) -> Vec<(u8, u64)> {
    let shares = compute_shares(sources, table).unwrap();
    shares.per_contributor.iter().map(|share| (share.contributor[0], share.share_ppm)).collect()
}

#[test]
fn closed_forms() {
    // OR: two who say the same, independently
    let or = [key(1, 1, 1, 1), key(2, 2, 2, 2)];
    assert_eq!(shares_of(&or, &[row(PPM, &[PPM, PPM])]), [(1, 500_000), (2, 500_000)]);
    // one says it wholly, one by three quarters: the upper quarter is the first one's alone
    assert_eq!(shares_of(&or, &[row(PPM, &[PPM, 750_000])]), [(1, 625_000), (2, 375_000)]);
    // additive over segments
    assert_eq!(shares_of(&or, &[row(750_000, &[PPM, 0]), row(250_000, &[0, PPM])]), [(1, 750_000), (2, 250_000)]);
    // nobody reaches the top: what is missing is unattributed
    let shares = compute_shares(&or, &[row(PPM, &[600_000, 0])]).unwrap();
    assert_eq!((shares.per_source_ppm, shares.unattributed_ppm), (vec![600_000, 0], 400_000));
    // thirds
    let three = [key(1, 1, 1, 1), key(2, 2, 2, 2), key(3, 3, 3, 3)];
    assert_eq!(shares_of(&three, &[row(PPM, &[PPM, PPM, PPM])]), [(1, 333_334), (2, 333_333), (3, 333_333)]);
    // nothing answered, nothing attributed
    let none = compute_shares(&or, &[]).unwrap();
    assert_eq!((none.per_contributor, none.per_source_ppm, none.unattributed_ppm), (vec![], vec![0, 0], PPM));
    assert_eq!(compute_shares(&[], &[]).unwrap().unattributed_ppm, PPM);
}

/// reference/attribution.md, trap 1: X and Y are both needed (two segments); copying X must help nobody.
#[test]
fn trap_of_the_copy() {
    let honest = [key(1, 1, 1, 1), key(2, 2, 2, 2)];
    let table = |copies: usize| {
        let mut first = vec![PPM, 0];
        let mut second = vec![0, PPM];
        first.extend(vec![PPM; copies]);
        second.extend(vec![0; copies]);
        [row(500_000, &first), row(500_000, &second)]
    };
    assert_eq!(shares_of(&honest, &table(0)), [(1, 500_000), (2, 500_000)]);
    for copies in [1u8, 2, 3] {
        let mut sources = honest.to_vec();
        sources.extend((0..copies).map(|n| key(10 + n, 1, 10 + u64::from(n), 10 + n)));
        assert_eq!(shares_of(&sources, &table(copies.into())), [(1, 500_000), (2, 500_000)], "{copies} copies");
    }
    // not marked as copies they would halve the first one's pay
    let unmarked = [honest[0], honest[1], key(10, 10, 10, 10)];
    assert_eq!(shares_of(&unmarked, &table(1)), [(1, 250_000), (2, 500_000), (10, 250_000)]);
}

/// reference/attribution.md, trap 2: players are owners, so cutting a document pays nothing.
#[test]
fn trap_of_the_split() {
    let table = [row(500_000, &[PPM, 0, PPM]), row(500_000, &[0, PPM, PPM])];
    let cut = [key(1, 1, 1, 1), key(1, 2, 1, 2), key(2, 3, 3, 3)];
    assert_eq!(shares_of(&cut, &table), [(1, 500_000), (2, 500_000)]);
    assert_eq!(compute_shares(&cut, &table).unwrap().per_source_ppm, [250_000, 250_000, 500_000]);
}

#[test]
fn a_later_member_earns_what_it_adds() {
    // the second of the cluster says more than the first: it is paid for the upper part
    let sources = [key(1, 1, 1, 1), key(2, 1, 2, 2)];
    assert_eq!(shares_of(&sources, &[row(PPM, &[600_000, PPM])]), [(1, 600_000), (2, 400_000)]);
    assert_eq!(shares_of(&sources, &[row(PPM, &[PPM, 600_000])]), [(1, PPM)]);
}

#[test]
fn bad_tables_are_refused() {
    let sources = [key(1, 1, 1, 1)];
    for table in [vec![row(PPM, &[])], vec![row(PPM, &[PPM + 1])], vec![row(PPM - 1, &[1])], vec![row(u64::MAX, &[1]), row(PPM, &[1])]] {
        assert!(compute_shares(&sources, &table).is_err(), "{table:?}");
    }
    let many: Vec<SourceKey> = (0..=MAX_SOURCES as u8).map(|n| key(n, n, n.into(), n)).collect();
    assert!(compute_shares(&many, &[]).is_err());
}

#[test]
fn the_largest_game_fits() {
    let many: Vec<SourceKey> = (0..MAX_SOURCES as u8).map(|n| key(n / 2, n, n.into(), n)).collect();
    let table = [row(PPM, &(1..=MAX_SOURCES as u64).map(|n| n * PPM / MAX_SOURCES as u64).collect::<Vec<_>>())];
    let shares = compute_shares(&many, &table).unwrap();
    assert_eq!(shares.per_source_ppm.iter().sum::<u64>() + shares.unattributed_ppm, PPM);
}

#[test]
fn supports() {
    let quoted = "Keep most vaccines between 2 °C and 8 °C.";
    let near = "Most vaccines are to be kept between 2 °C and 8 °C in a refrigerator.";
    let far = "Sourdough needs flour. Keep most of it.";
    let table = compute_value_table(&[quoted, "It is."], &[&format!("Intro. {quoted} More."), near, far, "So. It is. Not."]);
    assert_eq!(table[0].support_ppm, [PPM, 857_142, 0, 0]);
    assert_eq!(table[1].support_ppm, [0, 0, 0, PPM]);
    assert_eq!(table.iter().map(|row| row.weight_ppm).sum::<u64>(), PPM);
    // one long sentence cannot say everything
    let stuffed = format!("{} {}", "x ".repeat(400), quoted.replace('.', ""));
    assert!(compute_value_table(&[quoted], &[&stuffed])[0].support_ppm[0] <= PPM);
    assert!(compute_value_table(&[], &["a"]).is_empty());
}

/// Sources with consistent registration: one contributor per `registered`.
fn games() -> impl Strategy<Value = (Vec<SourceKey>, Vec<ValueRow>)> {
    (1usize..7, 1usize..4).prop_flat_map(|(sources, segments)| {
        let keys = proptest::collection::vec((1u8..5, 1u8..4), sources);
        let supports = proptest::collection::vec(proptest::collection::vec(0u64..5, sources), segments);
        let weights = proptest::collection::vec(1u128..100, segments);
        (keys, supports, weights).prop_map(|(keys, supports, weights)| {
            let keys = (keys.into_iter().zip(1u8..)).map(|((owner, cluster), n)| key(owner, cluster, u64::from(n) * 7 % 11, n)).collect();
            let weights = schemas::allocation::largest_remainder(PPM.into(), &weights);
            let rows = supports
                .iter()
                .zip(weights)
                .map(|(levels, weight)| row(weight as u64, &levels.iter().map(|level| level * 250_000).collect::<Vec<_>>()));
            (keys, rows.collect())
        })
    })
}

/// The worth of a set of contributors, straight from the definition: the length of the union of
/// the intervals in which their sources count, in steps of 250,000.
fn worth(sources: &[SourceKey], table: &[ValueRow], set: &[Address]) -> u128 {
    let mut total = 0;
    for row in table {
        for step in 1..=4u64 {
            let level = step * 250_000;
            let counts = |index: usize| {
                let source = &sources[index];
                set.contains(&source.contributor)
                    && row.support_ppm[index] >= level
                    && !(0..sources.len()).any(|other| {
                        let other_key = &sources[other];
                        other_key.cluster_id == source.cluster_id
                            && other_key.contributor != source.contributor
                            && (other_key.registered, other_key.chunk_id) < (source.registered, source.chunk_id)
                            && row.support_ppm[other] >= level
                    })
            };
            if (0..sources.len()).any(counts) {
                total += u128::from(row.weight_ppm) * 250_000;
            }
        }
    }
    total
}

/// Σ over all orders of the players of what each adds when it arrives: Shapley times the number of orders.
fn by_permutations(players: &[Address], worth: &dyn Fn(&[Address]) -> u128) -> (BTreeMap<Address, u128>, u128) {
    fn walk(
        arrived: &mut Vec<Address>,
        players: &[Address],
        before: u128,
        worth: &dyn Fn(&[Address]) -> u128,
        added: &mut BTreeMap<Address, u128>,
    ) -> u128 {
        if arrived.len() == players.len() {
            return 1;
        }
        let mut orders = 0;
        for player in players {
            if !arrived.contains(player) {
                arrived.push(*player);
                let now = worth(arrived);
                let below = walk(arrived, players, now, worth, added);
                *added.entry(*player).or_default() += (now - before) * below;
                orders += below;
                arrived.pop();
            }
        }
        orders
    }
    let mut added = BTreeMap::new();
    let orders = walk(&mut Vec::new(), players, 0, worth, &mut added);
    (added, orders)
}

proptest! {
    #[test]
    fn equals_shapley_over_all_orders((sources, table) in games()) {
        let mut players: Vec<Address> = sources.iter().map(|source| source.contributor).collect();
        players.sort();
        players.dedup();
        let (added, orders) = by_permutations(&players, &|set| worth(&sources, &table, set));
        let mut weights: Vec<u128> = players.iter().map(|player| added[player]).collect();
        let all = worth(&sources, &table, &players);
        weights.push((u128::from(PPM) * u128::from(PPM) - all) * orders);
        let mut expected = schemas::allocation::largest_remainder(PPM.into(), &weights);
        let unattributed = expected.pop().unwrap();
        let expected: Vec<(Address, u64)> = players.into_iter().zip(expected).map(|(p, s)| (p, s as u64)).filter(|(_, s)| *s > 0).collect();
        let shares = compute_shares(&sources, &table).unwrap();
        let got: Vec<(Address, u64)> = shares.per_contributor.iter().map(|share| (share.contributor, share.share_ppm)).collect();
        prop_assert_eq!(got, expected);
        prop_assert_eq!(u128::from(shares.unattributed_ppm), unattributed);
        // without clusters the worth is the plain maximum
        let best: u128 = table.iter().map(|row| u128::from(row.weight_ppm) * u128::from(*row.support_ppm.iter().max().unwrap())).sum();
        prop_assert_eq!(all, best, "ordering a cluster loses nothing of the whole");
    }

    #[test]
    fn sums_are_exact((sources, table) in games()) {
        let shares = compute_shares(&sources, &table).unwrap();
        prop_assert_eq!(shares.per_contributor.iter().map(|s| s.share_ppm).sum::<u64>() + shares.unattributed_ppm, PPM);
        for share in &shares.per_contributor {
            let own: u64 = sources.iter().zip(&shares.per_source_ppm).filter(|(s, _)| s.contributor == share.contributor).map(|(_, p)| p).sum();
            prop_assert_eq!(own, share.share_ppm);
        }
        prop_assert_eq!(shares.per_source_ppm.iter().sum::<u64>() + shares.unattributed_ppm, PPM);
    }

    #[test]
    fn a_perfect_copy_earns_nothing_and_changes_nobody((sources, table) in games(), of in any::<prop::sample::Index>(), owner in 1u8..8) {
        let before = compute_shares(&sources, &table).unwrap();
        let of = of.index(sources.len());
        let mut copied = sources.clone();
        copied.push(SourceKey { contributor: Address::repeat_byte(owner), registered: 1000, chunk_id: ChunkId(B256::repeat_byte(99)), ..sources[of] });
        let table: Vec<ValueRow> = table.iter().map(|row| {
            let mut row = row.clone();
            row.support_ppm.push(row.support_ppm[of]);
            row
        }).collect();
        let after = compute_shares(&copied, &table).unwrap();
        prop_assert_eq!(&after.per_contributor, &before.per_contributor);
        prop_assert_eq!(after.unattributed_ppm, before.unattributed_ppm);
        if !sources.iter().any(|source| source.contributor == Address::repeat_byte(owner)) {
            prop_assert_eq!(after.per_source_ppm.last(), Some(&0));
        }
    }

    #[test]
    fn the_order_of_sources_is_irrelevant((sources, table) in games(), seed in any::<u64>()) {
        let mut order: Vec<usize> = (0..sources.len()).collect();
        order.sort_by_key(|index| (*index as u64 + 1).wrapping_mul(seed | 1));
        let shuffled: Vec<SourceKey> = order.iter().map(|index| sources[*index]).collect();
        let rows: Vec<ValueRow> = table.iter().map(|r| row(r.weight_ppm, &order.iter().map(|i| r.support_ppm[*i]).collect::<Vec<_>>())).collect();
        let (a, b) = (compute_shares(&sources, &table).unwrap(), compute_shares(&shuffled, &rows).unwrap());
        prop_assert_eq!(&a.per_contributor, &b.per_contributor);
        prop_assert_eq!(order.iter().map(|i| a.per_source_ppm[*i]).collect::<Vec<_>>(), b.per_source_ppm);
    }

    #[test]
    fn splitting_a_source_changes_no_contributor((sources, _) in games(), words in proptest::collection::vec(proptest::collection::vec(0usize..12, 3..7), 6..12), at in any::<prop::sample::Index>(), which in any::<prop::sample::Index>()) {
        const VOCABULARY: [&str; 12] = ["ice", "dry", "box", "heat", "cold", "gas", "cell", "drug", "dose", "van", "ship", "log"];
        let sentences: Vec<String> = words.iter().map(|s| {
            let line: Vec<&str> = s.iter().map(|w| VOCABULARY[*w]).collect();
            format!("The {}.", line.join(" "))
        }).collect();
        let segments: Vec<&str> = sentences.iter().take(2).map(String::as_str).collect();
        let texts: Vec<String> = (0..sources.len()).map(|n| {
            sentences.iter().skip(n % 3).step_by(1 + n % 2).cloned().collect::<Vec<_>>().join(" ")
        }).collect();
        let whole: Vec<&str> = texts.iter().map(String::as_str).collect();
        let before = compute_shares(&sources, &compute_value_table(&segments, &whole)).unwrap();
        let which = which.index(sources.len());
        let bounds = sentences::split_by(whole[which], sentences::Edition::First);
        let cut = bounds[at.index(bounds.len())].start;
        let (left, right) = whole[which].split_at(cut);
        // both halves stay in the cluster, or each is one of its own
        for cluster in [sources[which].cluster_id, ChunkId(B256::repeat_byte(200))] {
            if cluster != sources[which].cluster_id && sources.iter().filter(|s| s.cluster_id == sources[which].cluster_id).count() > 1 {
                continue;
            }
            let mut keys = sources.clone();
            keys.push(SourceKey { cluster_id: cluster, chunk_id: ChunkId(B256::repeat_byte(201)), ..sources[which] });
            let mut cut_texts = whole.clone();
            cut_texts[which] = left;
            cut_texts.push(right);
            let after = compute_shares(&keys, &compute_value_table(&segments, &cut_texts)).unwrap();
            prop_assert_eq!(&after.per_contributor, &before.per_contributor);
        }
    }

    #[test]
    fn an_exact_quote_is_fully_supported(text in crate::sentences::tests::any_text()) {
        for sentence in sentences::split_by(&text, sentences::Edition::First) {
            let quoted = sentence.of(&text);
            prop_assert_eq!(&compute_value_table(&[quoted], &[&text])[0].support_ppm, &vec![PPM]);
        }
    }
}
