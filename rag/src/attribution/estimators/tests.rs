use proptest::prelude::*;

use super::context_cite::lasso;
use super::*;

const NO_FACTS: Facts<'static> = Facts { answer: "", answer_tokens: 1, sources: &[] };
const CONTEXT_CITE: Estimator = Estimator::ContextCite { ablations: 64, seed: 0, scale: Scale::Plain };
const PERMUTATIONS: Estimator = Estimator::PermutationShapley { pairs: 8, seed: 3 };
const FEW_SETS: Estimator = Estimator::KernelShapley { sets: 6, seed: 3 };
const ALL_SETS: Estimator = Estimator::KernelShapley { sets: usize::MAX, seed: 0 };
const OF_GAMES: [Estimator; 6] = [Estimator::Exact, Estimator::LeaveOneOut, CONTEXT_CITE, PERMUTATIONS, FEW_SETS, ALL_SETS];

fn of_table(estimator: Estimator, table: &[f64]) -> Estimate {
    let players = table.len().trailing_zeros() as usize;
    estimator.estimate(Game::new(players, |set| table[set]).unwrap(), &NO_FACTS).unwrap()
}

fn scores(estimator: Estimator, table: &[f64]) -> Vec<f64> {
    of_table(estimator, table).scores
}

/// A table of the worth of every set.
fn table(players: usize, worth: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..1 << players).map(worth).collect()
}

fn is_in(set: usize, player: usize) -> bool {
    set >> player & 1 == 1
}

fn additive(worth: &[f64]) -> Vec<f64> {
    table(worth.len(), |set| worth.iter().enumerate().filter(|(player, _)| is_in(set, *player)).map(|(_, worth)| worth).sum())
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], error: f64) {
    let is_near = found.len() == expected.len() && found.iter().zip(expected).all(|(one, other)| (one - other).abs() <= error);
    assert!(is_near, "{found:?} instead of {expected:?}");
}

/// By every order of the players: another way than the sum over sets.
fn by_orders(table: &[f64]) -> Vec<f64> {
    let players = table.len().trailing_zeros() as usize;
    let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
    for player in 0..players {
        let with = |order: &Vec<usize>, at: usize| [&order[..at], &[player], &order[at..]].concat();
        orders = orders.iter().flat_map(|order| (0..=order.len()).map(move |at| with(order, at))).collect();
    }
    let mut values = vec![0.0; players];
    for order in &orders {
        let mut set = 0;
        for player in order {
            values[*player] += (table[set | 1 << player] - table[set]) / orders.len() as f64;
            set |= 1 << player;
        }
    }
    values
}

#[test]
fn exact_values_of_known_games() {
    let or = table(3, |set| f64::from(set & 0b011 != 0));
    assert_near(&scores(Estimator::Exact, &or), &[0.5, 0.5, 0.0], 1e-12);
    let and = table(3, |set| f64::from(set & 0b101 == 0b101));
    assert_near(&scores(Estimator::Exact, &and), &[0.5, 0.0, 0.5], 1e-12);
    // two gloves for the left hand and one for the right
    let gloves = table(3, |set| f64::from(is_in(set, 2) && set & 0b011 != 0));
    assert_near(&scores(Estimator::Exact, &gloves), &[1.0 / 6.0, 1.0 / 6.0, 2.0 / 3.0], 1e-12);
    assert_eq!(of_table(Estimator::Exact, &gloves).evaluations, 8);
}

/// Who repeats another is worth nothing by leaving one out, though one of them is needed.
#[test]
fn leave_one_out_pays_nobody_for_what_two_say() {
    let or = table(2, |set| f64::from(set != 0));
    assert_near(&scores(Estimator::LeaveOneOut, &or), &[0.0, 0.0], 0.0);
    assert_eq!(of_table(Estimator::LeaveOneOut, &or).evaluations, 3);
}

#[test]
fn additive_games_are_read_off() {
    let worth = [0.5, -2.0, 0.0, 7.25];
    let game = additive(&worth);
    for estimator in [Estimator::Exact, Estimator::LeaveOneOut, PERMUTATIONS, FEW_SETS, ALL_SETS] {
        assert_near(&scores(estimator, &game), &worth, 1e-9);
    }
}

/// What scikit-learn 1.9.1 fits: `Lasso(alpha=0.01)` after `StandardScaler`, coefficients divided by its scale.
#[test]
fn lasso_is_that_of_scikit_learn() {
    let sets = [5, 11, 2, 14, 7, 8, 13, 0, 9, 6, 3, 12, 15, 1];
    let outputs = [0.31, -0.2, 0.05, 0.44, 0.7, -0.35, 0.12, -0.4, 0.02, 0.5, 0.1, -0.05, 0.6, -0.1];
    assert_near(&lasso(&sets, &outputs, 4), &[0.141_876_073_911_696_4, 0.28, 0.4525, -0.0875], 1e-9);
    // the last player in every set
    let always = sets.map(|set| set | 8);
    assert_near(&lasso(&always, &outputs, 4), &[0.141_876_073_911_696_43, 0.294_583_333_333_333_3, 0.437_916_666_666_666_6, 0.0], 1e-9);
}

/// Of eight players three count: they are found, and shrunk by the penalty over the deviation of a fair coin.
#[test]
fn context_cite_finds_the_few_who_count() {
    let worth = [0.0, 3.0, 0.0, 0.0, -1.0, 0.0, 2.0, 0.0];
    let estimate = of_table(Estimator::ContextCite { ablations: 256, seed: 1, scale: Scale::Plain }, &additive(&worth));
    assert_near(&estimate.scores, &worth, 0.05);
    for (score, worth) in estimate.scores.iter().zip(&worth) {
        assert_eq!(*score == 0.0, *worth == 0.0, "{estimate:?}");
    }
    assert!(estimate.evaluations <= 256);
}

/// Of log-probabilities the logit is fitted, per token: where the answer is unlikely that is the log-probability itself.
#[test]
fn context_cite_reads_probabilities() {
    let likely = |scale: Scale, table: &[f64]| {
        let game = Game::new(2, |set| table[set]).unwrap();
        let facts = Facts { answer_tokens: 10, ..NO_FACTS };
        Estimator::ContextCite { ablations: 64, seed: 0, scale }.estimate(game, &facts).unwrap().scores
    };
    let unlikely = [-90.0, -50.0, -80.0, -40.0];
    // a penalty of 0.01 on what a coin's deviation of about a half was taken from, times 10 tokens
    assert_near(&likely(Scale::LogProbability, &unlikely), &[40.0, 10.0], 0.3);
    let certain = likely(Scale::LogProbability, &[-5.0, 0.0, -5.0, 0.0]);
    assert!(certain[0] > 15.0 && certain[0].is_finite() && certain[1].abs() < 1.0, "{certain:?}");
}

#[test]
fn orders_and_sets_that_are_drawn_come_near() {
    // worth more together than alone, and less to whoever comes third
    let game = table(5, |set| [0.0, 1.0, 4.0, 5.0, 5.5, 7.0][set.count_ones() as usize] + f64::from(is_in(set, 1)) * 2.0);
    let exact = by_orders(&game);
    let many = Estimator::PermutationShapley { pairs: 2_000, seed: 9 };
    assert_near(&scores(many, &game), &exact, 0.05);
    let of_sum = |scores: Vec<f64>| scores.iter().sum::<f64>();
    for estimator in [many, PERMUTATIONS, FEW_SETS, ALL_SETS] {
        assert!((of_sum(scores(estimator, &game)) - 9.0).abs() < 1e-9, "{estimator:?}");
    }
    let six = of_table(FEW_SETS, &game);
    assert!(six.evaluations == 8, "six sets beside none and all: {six:?}");
}

#[test]
fn one_player_has_it_all() {
    for estimator in [Estimator::Exact, Estimator::LeaveOneOut, PERMUTATIONS, FEW_SETS, ALL_SETS] {
        assert_near(&scores(estimator, &[-3.0, -1.0]), &[2.0], 1e-12);
    }
    let fitted = scores(CONTEXT_CITE, &[-3.0, -1.0]);
    assert!((fitted[0] - 2.0).abs() < 0.05 && fitted[0] < 2.0, "{fitted:?}");
}

#[test]
fn nobody_counts_where_nothing_changes() {
    for estimator in OF_GAMES {
        assert_near(&scores(estimator, &[-4.0; 16]), &[0.0; 4], 1e-12);
    }
    let certain = Estimator::ContextCite { ablations: 8, seed: 0, scale: Scale::LogProbability };
    assert_near(&scores(certain, &[0.0; 16]), &[0.0; 4], 1e-9);
}

#[test]
fn alike_players_have_the_same() {
    let game = table(4, |set| f64::from((set & 0b0111).count_ones().min(2)));
    for estimator in [Estimator::Exact, Estimator::LeaveOneOut, ALL_SETS] {
        let scores = scores(estimator, &game);
        assert_near(&scores, &[scores[0], scores[0], scores[0], 0.0], 1e-9);
    }
}

#[test]
fn what_stands_in_texts() {
    let source = |player, text, retrieval_score, citations| SourceFacts { player, text, retrieval_score, citations };
    let sources = [
        source(0, "Nothing of it, but the Muman bridge.", 0.25, 0),
        source(2, "They say THE MUMAN bridge opened; in 1952 it closed.", 0.5, 1),
        source(2, "Opened in 1952.", 0.25, 2),
    ];
    let facts = Facts { answer: "The Muman bridge opened in 1952.", answer_tokens: 6, sources: &sources };
    let of = |estimator: Estimator| {
        let estimate = estimator.estimate(Game::new(3, |_| f64::NAN).unwrap(), &facts).unwrap();
        assert_eq!(estimate.evaluations, 0);
        estimate.scores
    };
    assert_near(&of(Estimator::RetrievalScore), &[0.25, 0.0, 0.75], 0.0);
    assert_near(&of(Estimator::Citation), &[0.0, 0.0, 1.0], 0.0);
    assert_near(&of(Estimator::VerbatimOverlap), &[0.5, 0.0, 1.0], 0.0);
    let silent = Facts { answer: "", sources: &[], ..facts };
    for estimator in [Estimator::VerbatimOverlap, Estimator::Citation, Estimator::RetrievalScore] {
        assert_near(&estimator.estimate(Game::new(2, |_| 0.0).unwrap(), &silent).unwrap().scores, &[0.0, 0.0], 0.0);
    }
}

#[test]
fn what_is_no_game_is_refused() {
    let message = |result: Result<Estimate>| result.unwrap_err().to_string();
    assert!(Game::new(0, |_| 0.0).is_err() && Game::new(MAX_PLAYERS + 1, |_| 0.0).is_err());
    let game = |worth: f64| Game::new(2, move |set| if set == 3 { worth } else { 0.0 }).unwrap();
    for worth in [f64::NAN, f64::INFINITY] {
        assert!(message(Estimator::LeaveOneOut.estimate(game(worth), &NO_FACTS)).contains("no finite number"));
    }
    let of = |estimator: Estimator, facts: &Facts<'_>| message(estimator.estimate(game(1.0), facts));
    assert!(of(Estimator::ContextCite { ablations: 0, seed: 0, scale: Scale::Plain }, &NO_FACTS).contains("ablations"));
    assert!(of(Estimator::PermutationShapley { pairs: 0, seed: 0 }, &NO_FACTS).contains("pairs"));
    assert!(of(Estimator::Exact, &Facts { answer_tokens: 0, ..NO_FACTS }).contains("answer_tokens"));
    let source = SourceFacts { player: 2, text: "", retrieval_score: 0.0, citations: 0 };
    assert!(of(Estimator::Citation, &Facts { sources: &[source], ..NO_FACTS }).contains("player 2"));
    let source = SourceFacts { player: 0, retrieval_score: f64::NAN, ..source };
    assert!(of(Estimator::Citation, &Facts { sources: &[source], ..NO_FACTS }).contains("no number"));
}

fn tables() -> impl Strategy<Value = Vec<f64>> {
    (1usize..6).prop_flat_map(|players| prop::collection::vec(-1.0..1.0f64, 1 << players))
}

proptest! {
    #[test]
    fn exact_is_the_mean_over_orders(table in tables()) {
        assert_near(&scores(Estimator::Exact, &table), &by_orders(&table), 1e-9);
    }

    #[test]
    fn all_sets_of_the_kernel_are_exact(table in tables()) {
        let estimate = of_table(ALL_SETS, &table);
        assert_near(&estimate.scores, &by_orders(&table), 1e-7);
        prop_assert_eq!(estimate.evaluations, table.len());
    }

    #[test]
    fn orders_keep_to_their_bound(table in tables(), seed in any::<u64>()) {
        let players = table.len().trailing_zeros() as usize;
        let exact = by_orders(&table);
        for pairs in [50, 400] {
            let bound = permutation_error(players, pairs, 2.0, 1e-9);
            assert_near(&scores(Estimator::PermutationShapley { pairs, seed }, &table), &exact, bound);
        }
    }

    /// Without its penalty it would be exact; nothing else is drawn by chance where all sets are.
    #[test]
    fn lasso_takes_least_penalty_and_error(table in tables(), moved in prop::collection::vec(-0.1..0.1f64, 5)) {
        let players = table.len().trailing_zeros() as usize;
        let sets: Vec<usize> = (0..table.len()).collect();
        // every player is in half of the sets: a deviation of a half
        let loss = |weights: &[f64]| {
            let fit = |set: usize| -> f64 { (0..players).filter(|player| is_in(set, *player)).map(|player| weights[player]).sum() };
            let errors: Vec<f64> = sets.iter().map(|set| table[*set] - fit(*set)).collect();
            let mean = errors.iter().sum::<f64>() / errors.len() as f64;
            let squares = errors.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / (2 * errors.len()) as f64;
            squares + 0.01 * weights.iter().map(|weight| weight.abs() / 2.0).sum::<f64>()
        };
        let weights = lasso(&sets, &table, players);
        let elsewhere: Vec<f64> = weights.iter().zip(&moved).map(|(weight, moved)| weight + moved).collect();
        prop_assert!(loss(&weights) <= loss(&elsewhere) + 1e-12);
    }

    #[test]
    fn a_seed_repeats_and_numbers_are_finite(table in tables(), seed in any::<u64>(), large in -300.0..300.0f64) {
        let table: Vec<f64> = table.iter().map(|worth| worth * large).collect();
        for estimator in [
            Estimator::ContextCite { ablations: 16, seed, scale: Scale::Plain },
            Estimator::ContextCite { ablations: 16, seed, scale: Scale::LogProbability },
            Estimator::PermutationShapley { pairs: 3, seed },
            Estimator::KernelShapley { sets: 4, seed },
        ] {
            let estimate = of_table(estimator, &table);
            prop_assert!(estimate.scores.iter().all(|score| score.is_finite()), "{:?}", estimate);
            prop_assert_eq!(&estimate, &of_table(estimator, &table));
            prop_assert!(estimate.evaluations <= table.len());
        }
    }
}

#[test]
fn another_seed_draws_others() {
    // three who are needed together: with two, an order and its reverse would be exact
    let game = table(6, |set| f64::from(set & 0b10_0101 == 0b10_0101));
    let with = |seed| scores(Estimator::PermutationShapley { pairs: 1, seed }, &game);
    assert!((1..5).any(|seed| with(seed) != with(0)));
}
