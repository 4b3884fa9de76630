//! Any requests in any order, with any limits: everyone gets what the oracle says.

use proptest::prelude::*;

use super::*;

/// What may happen between two passes.
#[derive(Debug, Clone)]
enum Event {
    Ask(Box<Ask>),
    Score { prompt: Prompt, mode: ContextMode, bits: u32, answer: Vec<u32> },
    Cancel(usize),
    Steps(usize),
}

/// Prompts that share beginnings, of lengths around a page.
fn prompts() -> impl Strategy<Value = Prompt> {
    let run = |longest: usize| {
        (0..3_u32, 0..=longest).prop_map(|(kind, length)| (0..length as u32).map(|place| (place * 7 + kind) % 200).collect::<Vec<u32>>())
    };
    (run(70), proptest::collection::vec(run(50), 0..4), run(40)).prop_map(|(head, sources, mut tail)| {
        tail.push(9);
        prompt(&head, &sources, &tail)
    })
}

fn modes() -> impl Strategy<Value = ContextMode> {
    prop_oneof![Just(ContextMode::Full), Just(ContextMode::Blocks)]
}

fn events() -> impl Strategy<Value = Event> {
    let adapters = prop_oneof![3 => Just(None), 1 => (0..2_u32).prop_map(|index| Some(LoadedAdapter { index, sha256: index.to_string() }))];
    let samplings = prop_oneof![Just(Sampling::default()), (0..4_u64).prop_map(warm)];
    let ask = (prompts(), modes(), adapters, samplings, 1..60_usize).prop_map(|(prompt, mode, adapter, sampling, tokens_max)| {
        Event::Ask(Box::new(Ask { prompt, mode, adapter, sampling, tokens_max }))
    });
    let score = (prompts(), modes(), 1_u32..16, proptest::collection::vec(0..250_u32, 1..40))
        .prop_map(|(prompt, mode, bits, answer)| Event::Score { prompt, mode, bits, answer });
    prop_oneof![4 => ask, 2 => score, 1 => (0..8_usize).prop_map(Event::Cancel), 3 => (1..20_usize).prop_map(Event::Steps)]
}

/// Subsets that leave out each source that a bit names, and the whole.
fn subsets(prompt: &Prompt, bits: u32) -> Vec<Vec<bool>> {
    let out = (0..prompt.sources).filter(|source| bits >> source & 1 == 1);
    out.map(Some).chain([None]).map(|out| (0..prompt.sources).map(|source| Some(source) != out).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order, everyone gets the oracle's answer, no page is lost and the oldest ends first or
    /// at least ends.
    #[test]
    fn every_schedule_gives_the_same(
        events in proptest::collection::vec(events(), 1..40), spare in 0..40_usize, budget in 1..200_usize, sequences in 1..8_usize
    ) {
        let needed = events.iter().map(|event| match event {
            Event::Ask(ask) => {
                let mut plan = ask.prompt.plan(ask.mode);
                plan.spans.last_mut().expect("a span").tokens.extend(vec![0; ask.tokens_max]);
                plan.pages_needed()
            }
            Event::Score { prompt, mode, bits, answer } => ScorePlan::new(prompt, *mode, &subsets(prompt, *bits), answer, None).plan.pages_needed(),
            _ => 0,
        });
        let mut core = core(needed.max().unwrap_or_default() + spare, budget, sequences);
        let (mut asked, mut scored): (Vec<(&Ask, Option<Heard>)>, Vec<_>) = (Vec::new(), Vec::new());
        for event in &events {
            match event {
                Event::Ask(ask) => asked.push((ask, Some(core.ask(ask)))),
                Event::Score { prompt, mode, bits, answer } => {
                    scored.push((event, core.score(prompt, *mode, &subsets(prompt, *bits), answer)));
                }
                Event::Cancel(which) => {
                    if let Some((_, heard)) = asked.get_mut(*which) {
                        *heard = None;
                    }
                }
                Event::Steps(count) => (0..*count).for_each(|_| {
                    core.step();
                    core.schedule.pool().check();
                }),
            }
        }
        core.finish();
        for (ask, heard) in asked {
            if let Some(heard) = heard {
                prop_assert_eq!(said(heard).0, oracle(ask));
            }
        }
        for (event, scores) in scored {
            let Event::Score { prompt, mode, bits: out, answer } = event else { continue };
            let scores = scores.blocking_recv().expect("a reply").expect("scores");
            let expected: Vec<Vec<u32>> = subsets(prompt, *out).iter().map(|subset| oracle_score(prompt, *mode, subset, answer)).collect();
            prop_assert_eq!(bits(&scores), expected);
        }
    }
}
