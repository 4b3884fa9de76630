//! What gaming the attribution pays: the demonstration's corpus, with attacks that are registered after it.
//!
//! Everything runs in this process: uploads are read and cut by ingest, published, and asked through rag. A small part of it is a
//! test; `make bench-gaming` runs all of it with the real embedder and writes the table.

mod attacks;
mod corpus;
mod table;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use engine::{Embedder, HashingEmbedder, MiniLm};

use attacks::{ATTACKS, Attack, Class};
use corpus::Corpus;
use world::{Pay, Remembering};

/// What an attack did, by so many accounts.
struct Outcome {
    attack: &'static Attack,
    sybils: usize,
    /// Pay of the attacker and its accounts, over what it had without the attack.
    gain: f64,
    /// What is left of the pay of whoever lost most, in parts of one.
    worst_other: f64,
    /// Answers that are no longer what they were.
    changed_answers: usize,
}

fn measure(
    corpus: &Corpus,
    embedder: &Arc<Remembering>,
    attacks: &[&'static Attack],
    sybils: &[usize],
    tell: impl Fn(&Outcome),
) -> anyhow::Result<Vec<Outcome>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let before = runtime.block_on(world::play(corpus, embedder, &[]))?;
    let attacker = attacker(&before)?;
    let mut outcomes = Vec::new();
    for attack in attacks {
        for sybils in sybils {
            let texts = (attack.texts)(corpus, &attacker, *sybils);
            let after = runtime.block_on(world::play(corpus, embedder, &texts))?;
            let outcome = outcome(attack, *sybils, &attacker, &before, &after);
            tell(&outcome);
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

/// The contributor whose pay is closest to a quarter of it all.
fn attacker(pay: &Pay) -> anyhow::Result<String> {
    let quarter = pay.by_name.values().sum::<u64>() / 4;
    let closest = pay.by_name.iter().min_by_key(|(_, share)| share.abs_diff(quarter));
    Ok(closest.context("nobody is paid")?.0.clone())
}

#[expect(clippy::cast_precision_loss, reason = "parts per million")]
fn outcome(attack: &'static Attack, sybils: usize, attacker: &str, before: &Pay, after: &Pay) -> Outcome {
    let is_attacker = |name: &str| name == attacker || name.starts_with(world::SYBIL);
    let taken = |pay: &Pay| pay.by_name.iter().filter(|(name, _)| is_attacker(name)).map(|(_, share)| *share).sum::<u64>() as f64;
    let kept = |name: &str| after.by_name.get(name).copied().unwrap_or(0) as f64 / before.by_name.get(name).copied().unwrap_or(1) as f64;
    let others: BTreeMap<&str, f64> =
        before.by_name.keys().filter(|name| !is_attacker(name)).map(|name| (name.as_str(), kept(name))).collect();
    Outcome {
        attack,
        sybils,
        gain: taken(after) / taken(before),
        worst_other: others.into_values().fold(f64::INFINITY, f64::min),
        changed_answers: before.answers.iter().zip(&after.answers).filter(|(before, after)| before != after).count(),
    }
}

/// What each class of attacks may gain, and others may lose.
fn hold(outcomes: &[Outcome]) -> Vec<String> {
    let mut broken = Vec::new();
    for outcome in outcomes {
        let greatest = match outcome.attack.class {
            Class::KeepsWords | Class::SaysNothing => 1.0,
            Class::Edits => 1.05,
            Class::NotCovered => continue,
        };
        // a millionth is rounding
        if outcome.gain > greatest + 1e-5 {
            broken.push(format!("{} by {} gains {:.3}", outcome.attack.name, outcome.sybils, outcome.gain));
        }
        if outcome.worst_other < 0.95 {
            broken.push(format!("{} by {} leaves somebody {:.3}", outcome.attack.name, outcome.sybils, outcome.worst_other));
        }
    }
    broken
}

/// The attacks that took most when texts were compared by shingles alone, by one account and by four.
#[test]
fn gaming_does_not_pay() -> anyhow::Result<()> {
    let corpus = Corpus::read()?.only("cold-chain");
    let embedder = Arc::new(Remembering::new(Arc::new(HashingEmbedder::new())));
    let attacks: Vec<&'static Attack> = ATTACKS.iter().filter(|attack| attack.in_test).collect();
    let outcomes = measure(&corpus, &embedder, &attacks, &[1, 4], |_| {})?;
    let broken = hold(&outcomes);
    ensure!(broken.is_empty(), "{broken:#?}\n{}", table::markdown(&outcomes));
    Ok(())
}

/// `make bench-gaming`.
#[test]
#[ignore = "takes many minutes and writes BENCHMARKS.md: make bench-gaming"]
fn bench_gaming() -> anyhow::Result<()> {
    let corpus = Corpus::read()?;
    let models = std::env::var("HEADWATER_MODELS").context("HEADWATER_MODELS: where the models are")?;
    let dir = std::path::Path::new(&models).join("all-MiniLM-L6-v2");
    let (inner, name): (Arc<dyn Embedder>, &str) = match MiniLm::load(&dir) {
        Ok(model) => (Arc::new(model), "all-MiniLM-L6-v2"),
        Err(error) => {
            eprintln!("{error}: with the hashing embedder instead");
            (Arc::new(HashingEmbedder::new()), "the hashing embedder")
        }
    };
    let embedder = Arc::new(Remembering::new(inner));
    let sybils = std::env::var("SYBILS").unwrap_or_else(|_| "1,4,20".to_owned());
    let sybils: Vec<usize> = sybils.split(',').map(str::parse).collect::<Result<_, _>>().context("SYBILS: numbers")?;
    let outcomes = measure(&corpus, &embedder, &ATTACKS.iter().collect::<Vec<_>>(), &sybils, |outcome| {
        let Outcome { attack, sybils, gain, worst_other, .. } = outcome;
        eprintln!("{} by {sybils}: gain {gain:.2}, another keeps {worst_other:.2}", attack.name);
    })?;
    println!("{}", table::markdown(&outcomes));
    if let Ok(file) = std::env::var("GAMING_TABLE") {
        table::write(std::path::Path::new(&file), name, &outcomes)?;
    }
    let broken = hold(&outcomes);
    ensure!(broken.is_empty(), "{broken:#?}");
    Ok(())
}
