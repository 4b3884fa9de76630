//! How far scores are from what an answer is worth under sets of its contributors.

use std::collections::BTreeMap;

const DRAWS: usize = 2_000;
const PPM: f64 = 1e6;

/// Of one answer; none where there is nothing to measure.
pub(super) struct Of {
    /// Spearman's, of the sum of a set's scores with what the set is worth, over all sets (LDS); 0 where all sums are the same.
    pub(super) rank_correlation: Option<f64>,
    /// What is lost of the answer's worth without the one, and the two, of the greatest scores.
    pub(super) drops: [Option<f64>; 2],
    /// Between what the positive parts of the scores and of the exact values are of their sums, in ppm: the greatest of the players', and
    /// their mean.
    pub(super) error_most: Option<f64>,
    pub(super) error_mean: Option<f64>,
    /// Whether the one of the greatest score holds what supports the answer, and the part of those who do among as many of the greatest
    /// scores; whose score is not positive is not among them.
    pub(super) precision_at_one: Option<f64>,
    pub(super) precision: Option<f64>,
    /// What they have of all positive scores.
    pub(super) to_gold: Option<f64>,
    pub(super) evaluations: Option<f64>,
}

impl Of {
    pub(super) fn new(table: &[f64], scores: &[f64], exact: &[f64], gold: &[usize], evaluations: usize) -> Self {
        let best = best_first(scores);
        let everybody = table.len() - 1;
        let drop = |count: usize| {
            let set = best.iter().take(count).fold(everybody, |set, player| set & !(1 << player));
            (best.len() > count || count == 1).then(|| table[everybody] - table[set])
        };
        let (parts, exact) = (parts(scores), parts(exact));
        let is_divided = exact.iter().sum::<f64>() > 0.0;
        let errors: Vec<f64> = parts.iter().zip(&exact).map(|(part, exact)| (part - exact).abs() * PPM).collect();
        let found = |count: usize| {
            let found = best.iter().take(count).filter(|player| scores[**player] > 0.0 && gold.contains(player)).count();
            (!gold.is_empty()).then(|| found as f64 / count as f64)
        };
        Self {
            rank_correlation: spearman(&sums(scores), table),
            drops: [drop(1), drop(2)],
            error_most: is_divided.then(|| errors.iter().copied().fold(0.0, f64::max)),
            error_mean: is_divided.then(|| errors.iter().sum::<f64>() / errors.len() as f64),
            precision_at_one: found(1),
            precision: found(gold.len()),
            to_gold: (!gold.is_empty()).then(|| gold.iter().map(|player| parts[*player]).sum()),
            evaluations: Some(evaluations as f64),
        }
    }
}

/// The first of equal scores first.
fn best_first(scores: &[f64]) -> Vec<usize> {
    let mut players: Vec<usize> = (0..scores.len()).collect();
    players.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]).then(one.cmp(other)));
    players
}

/// What the positive part of each score is of all; nothing where none is positive.
fn parts(scores: &[f64]) -> Vec<f64> {
    let all: f64 = scores.iter().map(|score| score.max(0.0)).sum();
    scores.iter().map(|score| if all > 0.0 { score.max(0.0) / all } else { 0.0 }).collect()
}

/// Of every set the sum of its players' scores.
fn sums(scores: &[f64]) -> Vec<f64> {
    (0..1usize << scores.len())
        .map(|set| scores.iter().enumerate().filter(|(player, _)| set >> player & 1 == 1).map(|(_, score)| score).sum())
        .collect()
}

/// None where what is `true` is the same everywhere.
fn spearman(guessed: &[f64], truth: &[f64]) -> Option<f64> {
    let (guessed, truth) = (ranks(guessed), ranks(truth));
    let mean = (guessed.len() - 1) as f64 / 2.0;
    let product = |one: &[f64], other: &[f64]| -> f64 { one.iter().zip(other).map(|(one, other)| (one - mean) * (other - mean)).sum() };
    let of_truth = product(&truth, &truth);
    let of_guess = product(&guessed, &guessed);
    (of_truth > 0.0).then(|| if of_guess > 0.0 { product(&guessed, &truth) / (of_truth * of_guess).sqrt() } else { 0.0 })
}

/// From 0 on; equal numbers (to a thousand-millionth of the greatest) share the mean of their ranks.
fn ranks(numbers: &[f64]) -> Vec<f64> {
    let least = numbers.iter().map(|number| number.abs()).fold(0.0, f64::max) * 1e-9;
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|one, other| numbers[*one].total_cmp(&numbers[*other]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut first = 0;
    while first < order.len() {
        let equal = order[first..].iter().take_while(|at| numbers[**at] - numbers[order[first]] <= least).count();
        order[first..first + equal].iter().for_each(|at| ranks[*at] = first as f64 + (equal - 1) as f64 / 2.0);
        first += equal;
    }
    ranks
}

/// Of a method on many answers.
pub(super) struct Measured {
    groups: Vec<Vec<Of>>,
}

impl Measured {
    pub(super) fn new(measured: Vec<(usize, Of)>) -> Self {
        let mut groups: BTreeMap<usize, Vec<Of>> = BTreeMap::new();
        for (group, of) in measured {
            groups.entry(group).or_default().push(of);
        }
        Self { groups: groups.into_values().collect() }
    }

    pub(super) fn mean(&self, number: impl Fn(&Of) -> Option<f64>) -> f64 {
        let (sum, count) = self.sums(number).into_iter().fold((0.0, 0.0), |all, of| (all.0 + of.0, all.1 + of.1));
        sum / count
    }

    /// The mean, and 95 % of the means of as many groups drawn 2,000 times.
    pub(super) fn shown(&self, decimals: usize, number: impl Fn(&Of) -> Option<f64> + Copy) -> String {
        let sums = self.sums(number);
        let (least, most) = interval(&sums);
        format!("{:.decimals$} [{least:.decimals$}, {most:.decimals$}]", self.mean(number))
    }

    /// Of each group the sum and the count.
    fn sums(&self, number: impl Fn(&Of) -> Option<f64>) -> Vec<(f64, f64)> {
        let of_group =
            |group: &Vec<Of>| group.iter().filter_map(&number).fold((0.0, 0.0), |(sum, count), number| (sum + number, count + 1.0));
        self.groups.iter().map(of_group).filter(|(_, count)| *count > 0.0).collect()
    }
}

/// 95 % of the means (of sums and counts) of groups drawn again.
pub(super) fn interval(groups: &[(f64, f64)]) -> (f64, f64) {
    let mut state = 1u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        groups[(state >> 33) as usize % groups.len()]
    };
    let mut mean = || {
        let (sum, count) = groups.iter().map(|_| draw()).fold((0.0, 0.0), |all, of| (all.0 + of.0, all.1 + of.1));
        sum / count
    };
    let mut means: Vec<f64> = (0..DRAWS).map(|_| mean()).collect();
    means.sort_by(f64::total_cmp);
    (means[DRAWS / 40], means[DRAWS - 1 - DRAWS / 40])
}

#[test]
fn ranks_are_compared() {
    let of = |guessed: &[f64], truth: &[f64]| spearman(guessed, truth);
    assert_eq!(of(&[1.0, 2.0, 3.0], &[-9.0, 0.0, 0.5]), Some(1.0));
    assert_eq!(of(&[3.0, 2.0, 1.0], &[-9.0, 0.0, 0.5]), Some(-1.0));
    assert_eq!((of(&[1.0, 2.0], &[4.0, 4.0]), of(&[1.0, 1.0], &[4.0, 5.0])), (None, Some(0.0)));
    // scipy 1.17.1: spearmanr([1, 2, 2, 4], [1, 3, 2, 4]) is 0.9487
    assert!((of(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 2.0, 4.0]).unwrap() - 0.9487).abs() < 1e-4);
}

#[test]
fn what_is_measured() {
    // the second of three is needed with the third, and the first is worth nothing
    let table: Vec<f64> = (0..8usize).map(|set| if set & 0b110 == 0b110 { 2.0 } else { 0.0 }).collect();
    let of = Of::new(&table, &[1.0, 0.0, -1.0], &[0.0, 1.0, 1.0], &[1, 2], 5);
    assert_eq!((of.drops, of.error_most), ([Some(0.0), Some(2.0)], Some(1e6)));
    assert_eq!((of.precision_at_one, of.precision, of.to_gold), (Some(0.0), Some(0.0), Some(0.0)));
    let of = Of::new(&table, &[-1.0, 3.0, 1.0], &[0.0, 1.0, 1.0], &[1, 2], 5);
    assert_eq!((of.drops, of.error_most), ([Some(2.0), Some(2.0)], Some(250_000.0)));
    assert_eq!((of.precision_at_one, of.precision, of.to_gold), (Some(1.0), Some(1.0), Some(1.0)));
    assert!((of.error_mean.unwrap() - 500_000.0 / 3.0).abs() < 1e-6);
}

#[test]
fn groups_are_drawn_together() {
    let (least, most) = interval(&[(1.0, 1.0), (0.0, 1.0), (1.0, 1.0), (0.0, 1.0)]);
    assert_eq!((least, most), (0.0, 1.0));
    assert_eq!(interval(&[(3.0, 2.0), (1.5, 1.0)]), (1.5, 1.5));
}
