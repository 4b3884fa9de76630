use super::*;

fn sampler(sampling: Sampling) -> Sampler {
    Sampler::new(sampling, [].into_iter())
}

/// Tokens that `draws` choices give, sorted, each once.
fn support(sampling: &Sampling, logits: &[f32], draws: u64) -> Vec<u32> {
    let mut seen: Vec<u32> =
        (0..draws).map(|seed| sampler(Sampling { seed, ..sampling.clone() }).choose(&mut logits.to_vec()).expect("a token")).collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

#[test]
fn greedy_takes_the_lowest_id_of_equals() {
    assert_eq!(sampler(Sampling::default()).choose(&mut [0.0, 2.0, 1.0, 2.0]).ok(), Some(1));
    assert_eq!(most_likely(&[f32::NEG_INFINITY; 3]), None);
    assert_eq!(most_likely_tokens(&[1.0, 3.0, 3.0, f32::NEG_INFINITY, 2.0], 4), [1, 2, 4, 0]);
}

#[test]
fn what_is_not_a_number_is_an_error() {
    for logits in [[f32::NAN, 1.0], [f32::INFINITY, 1.0], [f32::NEG_INFINITY; 2]] {
        assert!(matches!(sampler(Sampling::default()).choose(&mut logits.to_vec()), Err(EngineError::Library { .. })));
    }
}

#[test]
fn each_filter_keeps_what_it_says() {
    // Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625.
    let logits: Vec<f32> = [0.5_f32, 0.25, 0.125, 0.0625, 0.0625].iter().map(|p| p.ln()).collect();
    let warm = Sampling { temperature: 1.0, ..Sampling::default() };
    let check = |sampling: Sampling, kept: &[u32]| assert_eq!(support(&sampling, &logits, 400), kept, "{sampling:?}");
    check(warm.clone(), &[0, 1, 2, 3, 4]);
    check(Sampling { top_k: 2, ..warm.clone() }, &[0, 1]);
    check(Sampling { top_p: 0.5, ..warm.clone() }, &[0]);
    check(Sampling { top_p: 0.51, ..warm.clone() }, &[0, 1]);
    check(Sampling { top_p: 0.0, ..warm.clone() }, &[0]);
    check(Sampling { min_p: 0.2, ..warm.clone() }, &[0, 1, 2]);
    // Top-p counts within what top-k left: 0.5 / 0.75 is enough.
    check(Sampling { top_k: 2, top_p: 0.66, ..warm.clone() }, &[0]);
    // The temperature comes before the filters: at 0.1 the first has nearly everything.
    check(Sampling { temperature: 0.1, top_p: 0.9, ..warm }, &[0]);
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [0.6_f32.ln(), 0.3_f32.ln(), 0.1_f32.ln()];
    let mut counts = [0_u32; 3];
    for seed in 0..20_000 {
        let token = sampler(Sampling { temperature: 1.0, seed, ..Sampling::default() }).choose(&mut logits.to_vec());
        counts[token.expect("a token") as usize] += 1;
    }
    for (count, expected) in counts.iter().zip([12_000.0, 6_000.0, 2_000.0]) {
        assert!((f64::from(*count) - expected).abs() < 4.0 * f64::sqrt(expected), "{counts:?}");
    }
}

/// A large vocabulary takes the partly sorted path: the same tokens as sorting everything.
#[test]
fn the_share_of_a_large_vocabulary_is_exact() {
    let logits: Vec<f32> = (0..50_000_u32).map(|token| (token.wrapping_mul(2_654_435_761) >> 20) as f32 / 700.0).collect();
    for share in [0.01, 0.3, 0.9, 0.999] {
        let mut candidates = Candidates::new(&logits, 1.0);
        candidates.keep_share(share);
        let mut order: Vec<u32> = (0..50_000).collect();
        order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
        let highest = logits[order[0] as usize];
        let weight = |token: u32| f64::from(logits[token as usize] - highest).exp();
        let wanted = f64::from(share) * (0..50_000).map(weight).sum::<f64>();
        let mut reached = 0.0;
        let kept = order
            .iter()
            .take_while(|token| {
                let more = reached < wanted;
                reached += weight(**token);
                more
            })
            .copied();
        assert!(candidates.tokens().eq(kept), "{share}");
    }
}

#[test]
fn penalties_are_those_of_the_papers() {
    let penalised = Sampling { repetition_penalty: 2.0, presence_penalty: 0.5, frequency_penalty: 0.25, ..Sampling::default() };
    let mut sampler = Sampler::new(penalised, [0, 1].into_iter());
    let mut logits = [2.0, -1.0, 3.0];
    assert_eq!(sampler.choose(&mut logits).ok(), Some(2));
    assert_eq!(logits, [1.0, -2.0, 3.0], "the prompt counts for the repetition penalty only");
    let mut logits = [2.0, -1.0, 3.0];
    assert_eq!(sampler.choose(&mut logits).ok(), Some(0));
    assert_eq!(logits, [1.0, -2.0, 1.5 - 0.5 - 0.25]);
}

#[test]
fn a_seed_and_a_place_decide() {
    let logits = [0.0_f32; 64];
    let run = |seed| {
        let mut sampler = sampler(Sampling { temperature: 1.0, seed, ..Sampling::default() });
        (0..16).map(|_| sampler.choose(&mut logits.to_vec()).expect("a token")).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
    assert!(run(3).windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn log_probabilities_sum_to_one() {
    let logits = [80.0, 1.0, -3.0, 79.5];
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - log_sum(&logits)).exp()).sum();
    assert!((sum - 1.0).abs() < 1e-7, "{sum}");
}
