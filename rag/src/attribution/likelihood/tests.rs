use proptest::prelude::*;
use schemas::B256;

use super::*;

const NAT: i64 = 1_000_000;

/// Worths in nats of the sets of so many players, above −9 without anybody; each player has one source.
fn game(players: usize, worth: impl Fn(usize) -> i64) -> Likelihood {
    let table: Vec<i64> = (0..1 << players).map(|set| (worth(set) - 9) * NAT).collect();
    let at = |set: usize| table[set];
    let all = (1 << players) - 1;
    Likelihood {
        tokens: 1,
        instruction_set: "avx2".into(),
        players: (0..players).map(|player| vec![account(u8::try_from(player).unwrap())]).collect(),
        needs: vec![vec![]; players],
        alone: (0..players).map(|player| at(1 << player)).collect(),
        without: (0..players).map(|player| at(all ^ 1 << player)).collect(),
        table,
    }
}

fn account(n: u8) -> Address {
    Address::repeat_byte(n + 1)
}

/// Values in thousandths of a nat.
fn valued(game: &Likelihood) -> Vec<i64> {
    player_values(game).into_iter().map(|(_, value)| value / 1000).collect()
}

fn source(contributor: u8, chunk: u8) -> Source {
    crate::attribution::tests::source(contributor + 1, chunk.into(), chunk)
}

fn sources(game: &Likelihood) -> Vec<Source> {
    (0..game.players.len()).map(|player| u8::try_from(player).unwrap()).map(|player| source(player, player)).collect()
}

/// Games whose values are known: Shapley's, where nobody says the same as another.
#[test]
fn values_are_shapleys() {
    assert_eq!(valued(&game(2, |set| i64::from(set == 3) * 6)), [3000, 3000], "both are needed");
    assert_eq!(valued(&game(3, |set| i64::from(set & 6 != 0) * 6)), [0, 3000, 3000], "either will do, and the first adds nothing");
    assert_eq!(valued(&game(3, |set| i64::from(set & 1 == 1 && set & 6 != 0) * 6)), [4000, 1000, 1000], "one, and either of two");
    assert_eq!(valued(&game(2, |set| [0, 4, -2, 2][set])), [4000, -2000], "one misleads");
    // v = |S|², by symmetry
    assert_eq!(valued(&game(3, |set| i64::from(set.count_ones().pow(2)))), [3000, 3000, 3000]);
}

/// What a game is where the last player's source says again what the first one's says: it counts beside that alone.
#[test]
fn a_copy_moves_nobodys_pay() {
    // the first's words and the second's are needed; the third has the first's too
    let original = |set: usize| i64::from(set == 3) * 8;
    let either = |set: usize| i64::from(set & 2 != 0 && set & 5 != 0) * 8;
    assert_eq!(valued(&game(2, original)), [4000, 4000]);
    assert_eq!(valued(&game(3, either)), [1333, 5333, 1333], "were it free, the one beside would gain most");
    assert_eq!(valued(&game(3, |set| either(if set & 1 == 0 { set & 3 } else { set }))), [4000, 4000, 0]);
    // the second puts the first's words into a source of its own: that one alone would have them all
    let taken = |set: usize| i64::from(set & 2 != 0) * 8;
    assert_eq!(valued(&game(2, taken)), [0, 8000], "were it free");
    assert_eq!(valued(&game(2, |set| if set & 1 == 0 { 0 } else { taken(set) })), [4000, 4000]);
}

#[test]
fn shares_are_of_what_the_sources_gained() {
    let divided = |game: &Likelihood| {
        let shares = compute_shares(&sources(game), game);
        (shares.per_contributor.into_iter().map(|share| share.share_ppm).collect::<Vec<_>>(), shares.unattributed_ppm)
    };
    // of one nat, 1 − 1/e
    assert_eq!(divided(&game(2, |set| i64::from(set == 3))), (vec![316_061, 316_060], 367_879));
    assert_eq!(divided(&game(2, |_| 0)), (vec![], PPM), "the model knew it");
    assert_eq!(divided(&game(2, |set| -i64::from(set == 3))), (vec![], PPM), "the sources misled it");
    // who misleads is not paid, and the others are not paid for it
    let (shares, unattributed) = divided(&game(2, |set| [0, 4, -2, 2][set]));
    assert_eq!((shares, unattributed), (vec![864_665], 135_335));
}

/// A contributor's share goes to its sources by what each adds; where none does, evenly.
#[test]
fn sources_of_one_share_what_it_earned() {
    let mut game = game(1, |set| i64::from(set == 1) * 9);
    let sources = [source(0, 2), source(0, 1), source(0, 3)];
    (game.alone, game.without) = (vec![-9 * NAT, 0, 0], vec![0, 0, -9 * NAT]);
    let shares = compute_shares(&sources, &game);
    let whole = shares.per_contributor[0].share_ppm;
    assert_eq!(shares.per_source_ppm, [0, whole / 3, whole - whole / 3], "{whole}");
    (game.alone, game.without) = (vec![-9 * NAT; 3], vec![0; 3]);
    assert_eq!(compute_shares(&sources, &game).per_source_ppm.iter().sum::<u64>(), whole);
}

/// Beyond ten contributors the last are one player; its share goes to each by what its sources add.
#[test]
fn the_last_of_many_share_as_one() {
    let mut game = game(2, |set| i64::from(set.count_ones()) * 4);
    game.players[1].push(account(7));
    let sources = [source(0, 1), source(1, 2), source(7, 3)];
    (game.alone, game.without) = (vec![-5 * NAT, -8 * NAT, -7 * NAT], vec![-5 * NAT, -NAT, -NAT]);
    let shares = compute_shares(&sources, &game);
    let paid: Vec<u64> = shares.per_contributor.iter().map(|share| share.share_ppm).collect();
    assert_eq!(paid, shares.per_source_ppm);
    assert_eq!(paid.iter().sum::<u64>(), PPM - 335);
    // the second adds 1 nat alone, the third 2
    assert!((paid[1] * 2).abs_diff(paid[2]) <= 2 && paid[0].abs_diff(paid[1] + paid[2]) <= 1, "{paid:?}");
}

#[test]
fn decay_is_the_exponential() {
    for micro in (0..20_000_000).step_by(9973) {
        let exact = 1e6 * (-f64::from(micro) / 1e6).exp();
        assert!((decay_ppm(micro.try_into().unwrap()) as f64 - exact.floor()).abs() <= f64::from(exact.fract() < 1e-6), "{micro}");
    }
    assert_eq!((decay_ppm(0), decay_ppm(u64::MAX), decay_ppm(13_815_511)), (PPM, 0, 0));
}

const RANGE: &str = "Most vaccines keep between 2 °C and 8 °C in the refrigerator of a clinic.";
const AGAIN: &str = "Between 2 °C and 8 °C in the refrigerator of a clinic most vaccines keep, it is said.";
const WRONG: &str = "Most vaccines keep between 2 °C and 9 °C in the refrigerator of a clinic.";
const OTHER: &str = "A logger with a buffered probe writes the temperature every five minutes.";
const FILLED: &str = "Its alarm rings where a door stands open for an hour. The key of the store hangs beside the stairs.";
const QUESTION: &str = "How do vaccines keep?";

/// Of sources in this order: contributor, registration, text.
fn needed(texts: &[(u8, u64, &str)], said: &str) -> Vec<Vec<u64>> {
    let told: Vec<Told<'_>> = (0..)
        .zip(texts)
        .map(|(chunk, (contributor, registered, text))| Told {
            contributor: account(*contributor),
            registered: *registered,
            chunk_id: ChunkId(B256::repeat_byte(chunk)),
            text,
        })
        .collect();
    needs(QUESTION, &[said.to_owned()], &told)
}

#[test]
fn who_says_it_again_needs_who_said_it_first() {
    let none: Vec<u64> = vec![];
    assert_eq!(needed(&[(0, 1, RANGE), (1, 2, OTHER)], RANGE), [vec![], none.clone()]);
    assert_eq!(needed(&[(0, 2, RANGE), (1, 1, AGAIN)], RANGE), [vec![1], vec![]], "the earlier is the first, wherever it stands");
    assert_eq!(needed(&[(0, 1, RANGE), (0, 2, AGAIN)], RANGE), [vec![], none.clone()], "nobody needs themselves");
    assert_eq!(needed(&[(0, 1, RANGE), (1, 2, WRONG)], WRONG), [vec![], none.clone()], "another number is no repetition");
    // whatever is put around it
    let padded = format!("{FILLED} {AGAIN} {OTHER}");
    assert_eq!(needed(&[(0, 1, RANGE), (1, 2, &padded)], RANGE), [vec![], vec![0]]);
    // what the answer does not say is nobody's
    assert_eq!(needed(&[(0, 1, OTHER), (1, 2, &format!("{OTHER} {RANGE}"))], RANGE), [vec![], none.clone()]);
    // a little less or more of the words around it, but not without what the answer says
    let keeps = |place: &str| format!("Opened pens of the brand Lantus keep in a {place} for several weeks.");
    let (early, true_one) = (keeps("refrigerator"), keeps("cupboard"));
    assert_eq!(needed(&[(0, 1, &early), (1, 2, &true_one)], &true_one), [vec![], none.clone()], "the earlier says something else");
    assert_eq!(needed(&[(0, 1, "Lantus storage."), (1, 2, &format!("Lantus storage. {true_one}"))], &true_one), [vec![], none.clone()]);
    // put as a question, or with a number that is not there before, it is said again
    let asked = format!("{} Its box is blue.", RANGE.replace('.', "?"));
    assert_eq!(needed(&[(0, 1, RANGE), (1, 2, &asked)], RANGE), [vec![], vec![0]]);
    let numbered = OTHER.replace('.', " (7).");
    assert_eq!(needed(&[(0, 1, OTHER), (1, 2, &numbered)], OTHER), [vec![], vec![0]]);
    // an answer in other words than any source's: whatever is repeated counts
    assert_eq!(needed(&[(0, 1, RANGE), (1, 2, AGAIN)], "Ja."), [vec![], vec![0]]);
    // who copies from a copier needs both
    let both = format!("{RANGE} {OTHER}");
    assert_eq!(needed(&[(2, 1, RANGE), (1, 2, &both), (0, 3, OTHER)], &both), [vec![], vec![0], vec![0, 1]]);
    // of three, the first alone
    assert_eq!(needed(&[(2, 1, RANGE), (0, 2, AGAIN), (1, 3, RANGE)], RANGE), [vec![], vec![0], vec![0]]);
    assert!(needed(&[], RANGE).is_empty());
}

fn told(contributor: u8, chunk: u8, text: &str) -> Told<'_> {
    Told { contributor: account(contributor), registered: chunk.into(), chunk_id: ChunkId(B256::repeat_byte(chunk)), text }
}

fn players(sources: &[Told<'_>]) -> Option<Players> {
    Players::new(QUESTION, &[RANGE.to_owned()], sources)
}

#[test]
fn what_is_scored_are_the_sets_and_each_source() {
    let sources = [told(1, 1, ""), told(0, 2, ""), told(1, 3, "")];
    let of_bits = |bits: &[usize]| -> Vec<Vec<bool>> { bits.iter().map(|set| (0..3).map(|at| set >> at & 1 == 1).collect()).collect() };
    let three = players(&sources).unwrap();
    assert_eq!(three.players, [[account(1)], [account(0)]], "in the order of the prompt");
    assert_eq!(three.subsets(), of_bits(&[0b000, 0b101, 0b010, 0b111, 0b001, 0b100, 0b110, 0b011]), "each once");
    assert_eq!(three.places, [0, 1, 2, 3, 4, 2, 5, 6, 1, 7]);
    // one that repeats is in the prompt beside the first alone
    let again = players(&[told(1, 1, RANGE), told(0, 2, AGAIN)]).unwrap();
    assert_eq!(
        again.places[..4].iter().map(|place| again.subsets()[*place].clone()).collect::<Vec<_>>(),
        [vec![false, false], vec![true, false], vec![false, false], vec![true, true]]
    );
    let many: Vec<Told<'_>> = (0..11).map(|n| told(n, n, "")).collect();
    assert_eq!(players(&many).unwrap().players.len(), 10);
    assert!(players(&[]).is_none());
}

#[test]
fn tokens_of_citations_do_not_count() {
    let answer = "Cold [1]. Dry";
    let score = |numbers: [f32; 5]| Score { log_probabilities: numbers.to_vec(), ends: vec![4, 6, 8, 9, 13] };
    let scores = |game: &Players| -> Vec<Score> {
        (0u8..).zip(game.subsets()).map(|(n, _)| score([-f32::from(n), -5.0, -5.0, 1e-9, -20.0])).collect()
    };
    let game = || players(&[told(1, 1, "")]).unwrap();
    let scored = |scores: &[Score], cited: &[Range<usize>]| game().likelihood(scores, answer, cited, "avx2".into());
    let cited = std::slice::from_ref(&(4..8));
    let likelihood = scored(&scores(&game()), cited).unwrap();
    assert_eq!((likelihood.tokens, likelihood.table), (3, vec![LEAST_TOKEN, LEAST_TOKEN - NAT]), "a token weighs so much at most");
    assert_eq!((likelihood.alone, likelihood.without), (vec![LEAST_TOKEN - NAT], vec![LEAST_TOKEN]));
    assert_eq!(scored(&scores(&game()), &[]).unwrap().tokens, 5);
    let all_cited = 0..answer.len();
    let of_another = [Score { ends: vec![4, 6, 8, 9, 12], ..score([-1.0; 5]) }, score([-1.0; 5])];
    let no_number = [score([f32::NAN; 5]), score([-1.0; 5])];
    for (bad, cited) in
        [(&scores(&game())[1..], &cited[..0]), (&[], &[]), (&of_another, &[]), (&no_number, &[]), (&scores(&game()), &[all_cited])]
    {
        assert!(matches!(scored(bad, cited), Err(RagError::Worker(_))));
    }
}

proptest! {
    /// Whatever the game: values sum to what all gained, shares to the whole, and the order of the players does not matter.
    #[test]
    fn nothing_is_created_or_lost(players in 1usize..6, numbers in proptest::collection::vec(0i64..9_000_000, 32)) {
        let mut given = game(players, |_| 0);
        given.table = numbers[..1 << players].iter().map(|number| -number).collect();
        let orders = factorial(players);
        prop_assert_eq!(values(&given).iter().sum::<i128>(), orders * i128::from(given.of_all() - given.of_none()));
        let shares = compute_shares(&sources(&given), &given);
        prop_assert_eq!(shares.per_contributor.iter().map(|share| share.share_ppm).sum::<u64>() + shares.unattributed_ppm, PPM);
        prop_assert_eq!(shares.per_source_ppm.iter().sum::<u64>() + shares.unattributed_ppm, PPM);
        if given.of_all() <= given.of_none() {
            prop_assert_eq!(shares.unattributed_ppm, PPM);
        }
        let turned = |set: usize| (0..players).filter(|player| set >> player & 1 == 1).fold(0, |set, player| set | 1 << (players - 1 - player));
        let mut mirrored = given.clone();
        mirrored.table = (0..1 << players).map(|set| given.table[turned(set)]).collect();
        let mut back = values(&mirrored);
        back.reverse();
        prop_assert_eq!(back, values(&given));
    }
}
