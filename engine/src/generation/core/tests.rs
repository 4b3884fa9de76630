use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::generation::constraint::tests::table;
use crate::generation::prompt::{Piece, PieceKind, Prompt};
use crate::generation::sampling::Sampler;
use crate::generation::schedule::Limits;
use crate::generation::score::ScorePlan;
use crate::generation::text::AnswerText;
use crate::generation::toy::Toy;
use crate::{ContextMode, Finish, GenerationEnd, GenerationEvent, Sampling, Score};

mod oracle;
mod random;

pub(crate) use oracle::oracle;
use oracle::oracle_score;

/// An answer that the oracle and the core must agree on, bit for bit.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) prompt: Prompt,
    pub(crate) mode: ContextMode,
    pub(crate) adapter: Option<LoadedAdapter>,
    pub(crate) sampling: Sampling,
    pub(crate) tokens_max: usize,
}

pub(crate) type Heard = mpsc::Receiver<GenerationEvent>;
type Scored = oneshot::Receiver<Result<Vec<Score>, EngineError>>;

pub(crate) fn core(pages: usize, batch_tokens_max: usize, sequences_max: usize) -> Core<Toy> {
    let schedule = Schedule::new("toy".to_owned(), pages, Limits { batch_tokens_max, sequences_max });
    Core::new(Toy::new(pages), schedule, Arc::default())
}

/// Text before, sources, text behind.
pub(crate) fn prompt(head: &[u32], sources: &[Vec<u32>], tail: &[u32]) -> Prompt {
    let piece = |kind, tokens: &[u32]| Piece { kind, tokens: tokens.to_vec() };
    let middle = sources.iter().zip(0..).map(|(tokens, source)| piece(PieceKind::Source(source), tokens));
    let pieces = [piece(PieceKind::Template, head)].into_iter().chain(middle).chain([piece(PieceKind::Template, tail)]);
    Prompt { pieces: pieces.collect(), sources: sources.len() }
}

pub(crate) fn plain(tokens: std::ops::Range<u32>, tokens_max: usize) -> Ask {
    let prompt = prompt(&tokens.map(|token| token % 250).collect::<Vec<_>>(), &[], &[]);
    Ask { prompt, mode: ContextMode::Full, adapter: None, sampling: Sampling::default(), tokens_max }
}

pub(crate) fn submission(ask: &Ask) -> (Submission, Heard) {
    let (events, heard) = mpsc::channel(2 * ask.tokens_max + 4);
    let plan = ask.prompt.plan(ask.mode);
    let answering = Answering {
        events,
        table: table(),
        sampler: Sampler::new(ask.sampling.clone(), ask.prompt.pieces.iter().flat_map(|piece| piece.tokens.iter().copied())),
        grammar: None,
        text: AnswerText::new(Vec::new(), false),
        tokens: Vec::new(),
        tokens_max: ask.tokens_max,
        log_probabilities: Some(1),
        prompt_tokens: ask.prompt.tokens(),
        cached_tokens: 0,
    };
    let place = Arc::<Counters>::default().queue(1).expect("a place");
    (Submission { plan, adapter: ask.adapter.clone(), request: Request::Answer(Box::new(answering)), place }, heard)
}

impl Core<Toy> {
    fn ask(&mut self, ask: &Ask) -> Heard {
        let (submission, heard) = submission(ask);
        self.submit(submission);
        heard
    }

    fn score(&mut self, prompt: &Prompt, mode: ContextMode, subsets: &[Vec<bool>], answer: &[u32]) -> Scored {
        let (reply, scored) = oneshot::channel();
        let ScorePlan { plan, leaves } = ScorePlan::new(prompt, mode, subsets, answer, None);
        let request = Request::Score(Scoring::new(answer.into(), Vec::new(), leaves, reply));
        let place = Arc::<Counters>::default().queue(1).expect("a place");
        self.submit(Submission { plan, adapter: None, request, place });
        scored
    }

    fn finish(&mut self) {
        for _ in 0..100_000 {
            if self.is_idle() {
                self.step();
                self.schedule.pool().check();
                assert_eq!(self.schedule.pool().held(), 0, "pages leak");
                return;
            }
            self.step();
        }
        panic!("it never ends");
    }
}

/// An answer's tokens with the bits of their log-probabilities, and how it ended.
pub(crate) type Said = (Vec<(u32, u32)>, Finish);

pub(crate) fn said(mut heard: Heard) -> (Said, GenerationEnd) {
    let mut tokens = Vec::new();
    while let Ok(event) = heard.try_recv() {
        match event {
            GenerationEvent::Piece { tokens: more, .. } => {
                tokens.extend(more.into_iter().map(|token| (token.chosen.token, token.chosen.log_probability.to_bits())));
            }
            GenerationEvent::End(end) => {
                assert!(end.tokens.iter().eq(tokens.iter().map(|(token, _)| token)), "{end:?} {tokens:?}");
                return ((tokens, end.finish), end);
            }
            GenerationEvent::Failed(error) => panic!("{error}"),
        }
    }
    panic!("the answer has no end")
}

fn bits(scores: &[Score]) -> Vec<Vec<u32>> {
    scores.iter().map(|score| score.log_probabilities.iter().map(|number| number.to_bits()).collect()).collect()
}

fn warm(seed: u64) -> Sampling {
    Sampling { temperature: 1.5, top_k: 60, repetition_penalty: 1.1, frequency_penalty: 0.2, seed, ..Sampling::default() }
}

#[test]
fn an_answer_is_the_oracles() {
    for (budget, pages) in [(1, 8), (7, 8), (64, 8), (1000, 40)] {
        let ask = Ask { sampling: warm(5), ..plain(0..100, 40) };
        let mut core = core(pages, budget, 4);
        let heard = core.ask(&ask);
        core.finish();
        assert_eq!(said(heard).0, oracle(&ask));
        assert!(core.forward.passes.iter().all(|rows| *rows <= budget.max(4)), "{:?}", core.forward.passes);
    }
}

#[test]
fn blocks_are_the_oracles_and_are_found_again() {
    let sources: Vec<Vec<u32>> = [40, 3, 64, 0].iter().map(|tokens| (100..100 + tokens).collect()).collect();
    let head: Vec<u32> = (0..45).collect();
    let ask = |tail: &[u32]| Ask { prompt: prompt(&head, &sources, tail), mode: ContextMode::Blocks, sampling: warm(1), ..plain(0..1, 20) };
    let mut core = core(40, 50, 4);
    let first = core.ask(&ask(&[1, 2, 3]));
    core.finish();
    let (answer, end) = said(first);
    assert_eq!((answer, end.cached_tokens), (oracle(&ask(&[1, 2, 3])), 0));
    let second = core.ask(&ask(&[4, 5]));
    core.finish();
    let (answer, end) = said(second);
    assert_eq!((answer, end.cached_tokens), (oracle(&ask(&[4, 5])), 45 + 40 + 3 + 64), "only the tail is computed");
    assert_eq!(end.prompt_tokens, 45 + 107 + 2);
}

#[test]
fn a_prompt_that_was_seen_is_computed_from_its_last_token_on() {
    for length in [63, 64, 65] {
        let ask = plain(0..length, 3);
        let mut core = core(4, 1000, 4);
        let first = core.ask(&ask);
        core.finish();
        let second = core.ask(&ask);
        core.finish();
        let (answer, end) = said(second);
        assert_eq!(answer, said(first).0);
        let whole_pages = length as usize / 32 * 32;
        assert_eq!(end.cached_tokens, whole_pages.min(length as usize - 1));
    }
}

#[test]
fn an_adapter_finds_nothing_of_another() {
    let adapter = |index, sha256: &str| Some(LoadedAdapter { index, sha256: sha256.to_owned() });
    let asks = [None, adapter(0, "a"), adapter(1, "b"), adapter(0, "a")].map(|adapter| Ask { adapter, ..plain(0..70, 8) });
    let mut core = core(40, 1000, 4);
    let mut cached = Vec::new();
    for ask in &asks {
        let heard = core.ask(ask);
        core.finish();
        let (answer, end) = said(heard);
        assert_eq!(answer, oracle(ask));
        cached.push(end.cached_tokens);
    }
    assert_eq!(cached, [0, 0, 0, 64]);
}

#[test]
fn a_cancelled_request_leaves_at_once() {
    let mut core = core(20, 16, 4);
    let running = core.ask(&plain(0..100, 100));
    let waiting = core.ask(&plain(50..150, 100));
    for _ in 0..10 {
        core.step();
    }
    assert!(core.schedule.pool().held() > 0);
    drop((running, waiting));
    core.step();
    assert!(core.is_idle());
    assert_eq!(core.schedule.pool().held(), 0);
}

fn failure(mut heard: Heard) -> Option<String> {
    std::iter::from_fn(|| heard.try_recv().ok()).find_map(|event| match event {
        GenerationEvent::Failed(error) => Some(error.to_string()),
        _ => None,
    })
}

#[test]
fn a_panic_fails_the_requests_in_the_step_alone() {
    let mut core = core(20, 64, 2);
    core.forward.panics_at = Some(263);
    let bad = Ask { prompt: prompt(&[1, 2, 263], &[], &[]), ..plain(0..1, 10) };
    let (bad, beside, after) = (core.ask(&bad), core.ask(&plain(100..120, 10)), core.ask(&plain(100..130, 10)));
    core.finish();
    for failed in [bad, beside] {
        let message = failure(failed).expect("a failure");
        assert!(message.contains("running the model") && message.contains("a planted panic"), "{message}");
    }
    assert_eq!(said(after).0, oracle(&plain(100..130, 10)));
}

#[test]
fn the_oldest_goes_on_when_pages_run_out() {
    let asks: Vec<Ask> = (0..4).map(|ask| plain(ask * 40..ask * 40 + 40, 80)).collect();
    let mut core = core(8, 64, 4);
    let mut heard: Vec<Heard> = asks.iter().map(|ask| core.ask(ask)).collect();
    let mut steps = 0;
    while !core.is_idle() {
        core.step();
        steps += usize::from(!heard[0].is_closed());
        core.schedule.pool().check();
    }
    let (tokens, finish) = oracle(&asks[0]);
    let chosen = tokens.len() + usize::from(finish == Finish::Stop);
    assert_eq!(steps + 1, chosen, "the oldest never waits: its prompt and each token take one pass");
    assert!(core.schedule.preemptions() > 0, "four answers of four pages each do not fit in eight");
    for (ask, heard) in asks.iter().zip(heard.drain(..)) {
        assert_eq!(said(heard).0, oracle(ask));
    }
}

#[test]
fn scores_are_those_of_each_subset_alone() {
    let sources: Vec<Vec<u32>> = vec![(100..140).collect(), vec![7; 33], (10..20).collect(), vec![5]];
    let prompt = prompt(&(0..50).collect::<Vec<_>>(), &sources, &[1, 2, 3]);
    let subsets: Vec<Vec<bool>> = (0..16_u32).map(|bits| (0..4).map(|source| bits >> source & 1 == 1).collect()).collect();
    let answer: Vec<u32> = (200..240).collect();
    for mode in [ContextMode::Full, ContextMode::Blocks] {
        let expected: Vec<Vec<u32>> = subsets.iter().map(|subset| oracle_score(&prompt, mode, subset, &answer)).collect();
        let need = ScorePlan::new(&prompt, mode, &subsets, &answer, None).plan.pages_needed();
        for (pages, budget) in [(need, 5), (need, 1000), (200, 48), (200, 10_000)] {
            let mut core = core(pages, budget, 4);
            let scored = core.score(&prompt, mode, &subsets, &answer);
            core.finish();
            let scores = scored.blocking_recv().expect("a reply").expect("scores");
            assert_eq!(bits(&scores), expected, "{mode:?}, {pages} pages, {budget} tokens a pass");
        }
    }
}

#[test]
fn a_score_is_the_sum_of_what_generation_said() {
    for mode in [ContextMode::Full, ContextMode::Blocks] {
        let prompt = prompt(&[1, 2, 3], &[vec![4; 40], vec![5; 20]], &[6, 7]);
        let ask = Ask { prompt: prompt.clone(), mode, ..plain(0..1, 30) };
        let mut core = core(30, 64, 4);
        let heard = core.ask(&ask);
        core.finish();
        let (tokens, _) = said(heard).0;
        let answer: Vec<u32> = tokens.iter().map(|(token, _)| *token).collect();
        let scored = core.score(&prompt, mode, &[vec![true, true]], &answer);
        core.finish();
        let scores = scored.blocking_recv().expect("a reply").expect("scores");
        assert_eq!(bits(&scores), [tokens.iter().map(|(_, bits)| *bits).collect::<Vec<_>>()]);
    }
}
