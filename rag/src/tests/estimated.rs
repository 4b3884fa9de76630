//! `make bench-attribution`: what pays beside what others would say, on answers of the small reader and, with `HEADWATER_DATA`, on quoted
//! ones.
//!
//! Everybody is held against one table for each answer: what it is worth under every set of its contributors, computed anew for each.

mod cost;
mod measures;
mod quoted;
mod read;
mod table;

use crate::attribution::estimators::{Estimator, Facts, Game, Scale, SourceFacts};
use measures::{Measured, Of};

/// Sets that `ContextCite` draws: the fewest that its paper has.
const ABLATIONS: usize = 32;
const SEED: u64 = 0;

/// An answer with what its sources' contributors make it worth.
struct Case {
    /// Answers of one group rest on one question, and are drawn together.
    group: usize,
    /// Of every set of contributors.
    table: Vec<f64>,
    /// Without its citations.
    answer: String,
    answer_tokens: usize,
    sources: Vec<OfSource>,
    /// What each is paid by.
    paid: Vec<f64>,
    /// Sets whose worth that took.
    paid_evaluations: usize,
    /// Contributors of supporting passages, where somebody said which these are.
    gold: Vec<usize>,
}

struct OfSource {
    player: usize,
    text: String,
    retrieval_score: f64,
    citations: usize,
}

impl OfSource {
    fn facts(&self) -> SourceFacts<'_> {
        SourceFacts { player: self.player, text: &self.text, retrieval_score: self.retrieval_score, citations: self.citations }
    }
}

/// Who is measured: what pays, and the estimators.
#[derive(Clone, Copy)]
enum Method {
    Paid(&'static str),
    By(&'static str, Estimator),
}

fn methods(paid: &'static str, scale: Scale) -> Vec<Method> {
    let by = Method::By;
    vec![
        Method::Paid(paid),
        by("exact Shapley value", Estimator::Exact),
        by("permutation Shapley, 8 pairs", Estimator::PermutationShapley { pairs: 8, seed: SEED }),
        by("kernel Shapley, 16 sets", Estimator::KernelShapley { sets: 16, seed: SEED }),
        by("ContextCite, 32 ablations", Estimator::ContextCite { ablations: ABLATIONS, seed: SEED, scale }),
        by("leave-one-out", Estimator::LeaveOneOut),
        by("verbatim overlap", Estimator::VerbatimOverlap),
        by("retrieval score", Estimator::RetrievalScore),
        by("citation", Estimator::Citation),
    ]
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Paid(name) | Self::By(name, _) => name,
        }
    }

    /// Scores by player, and how many sets' worth they took.
    fn scores(self, case: &Case) -> (Vec<f64>, usize) {
        let Self::By(_, estimator) = self else { return (case.paid.clone(), case.paid_evaluations) };
        let sources: Vec<SourceFacts<'_>> = case.sources.iter().map(OfSource::facts).collect();
        let facts = Facts { answer: &case.answer, answer_tokens: case.answer_tokens, sources: &sources };
        let game = Game::new(case.players(), |set| case.table[set]).unwrap();
        let estimate = estimator.estimate(game, &facts).unwrap();
        (estimate.scores, estimate.evaluations)
    }
}

impl Case {
    fn players(&self) -> usize {
        self.table.len().trailing_zeros() as usize
    }
}

fn of(case: &Case, method: Method) -> Of {
    let (scores, evaluations) = method.scores(case);
    let (exact, _) = Method::By("", Estimator::Exact).scores(case);
    Of::new(&case.table, &scores, &exact, &case.gold, evaluations)
}

fn measure(cases: &[Case], method: Method) -> Measured {
    Measured::new(cases.iter().map(|case| (case.group, of(case, method))).collect())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and writes BENCHMARKS.md: make bench-attribution"]
async fn bench_attribution() {
    let page = std::env::var("ATTRIBUTION_TABLE").ok();
    let write = |part: &str, text: &str| {
        println!("{text}");
        page.iter().for_each(|page| table::write(page.as_ref(), part, text));
    };
    let read = read::cases(2..=6).await;
    write("reader", &read::table(&read));
    if let Some(file) = std::env::var_os("ATTRIBUTION_CASES").filter(|file| !file.is_empty()) {
        std::fs::write(file, read::lines(&read)).unwrap();
    }
    write("cost", &cost::table().await);
    if let Some(data) = std::env::var("HEADWATER_DATA").ok().filter(|data| !data.is_empty()) {
        write("quoted", &quoted::tables(data.as_ref()).await);
    }
}

/// The table of a receipt is the same as that which the benchmark computes by itself, and exact values miss nothing.
#[tokio::test(flavor = "multi_thread")]
async fn receipts_have_the_table_that_estimators_are_held_against() {
    let read = read::cases(2..=3).await;
    let same_tables = read.repeats.iter().filter(|repeats| !**repeats).count();
    assert!(same_tables >= 24 && same_tables < read.cases.len(), "{} answers, {same_tables} tables", read.cases.len());
    let measured = |method: Method| measure(&read.cases, method);
    let methods = methods("likelihood/1", Scale::LogProbability);
    let exact = measured(methods[1]);
    let (ranked, drawn) = (exact.mean(|of| of.rank_correlation), measured(methods[2]).mean(|of| of.error_most));
    assert!(
        ranked > 0.8 && (1.0..100_000.0).contains(&drawn),
        "exact values rank sets by {ranked}, {} is off by {drawn}",
        methods[2].name()
    );
}
