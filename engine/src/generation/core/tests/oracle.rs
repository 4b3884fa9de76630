//! What an answer and a score must be, told from the toy's definition: no pages, no batches, no schedule.

use super::{Ask, Said};
use crate::generation::prompt::Prompt;
use crate::generation::sampling::Sampler;
use crate::generation::toy;
use crate::{ContextMode, Finish};

/// The token that ends an answer in the tests' table.
const ENDING: u32 = 260;

fn adapter_index(ask: &Ask) -> Option<u32> {
    ask.adapter.as_ref().map(|adapter| adapter.index)
}

/// States of the prompt, and the answer's first position.
fn prompt_states(prompt: &Prompt, mode: ContextMode, subset: &[bool], adapter: Option<u32>) -> (Vec<u64>, usize) {
    if mode == ContextMode::Full || prompt.sources == 0 {
        let tokens = prompt.full(subset);
        return (toy::run(&tokens, 0, adapter, &[]), tokens.len());
    }
    let blocks = prompt.blocks();
    let head = toy::run(&blocks.head, 0, adapter, &[]);
    let mut seen = head.clone();
    for (block, _) in blocks.blocks.iter().zip(subset).filter(|(_, is_in)| **is_in) {
        seen.extend(toy::run(block, blocks.head.len(), adapter, &head));
    }
    let tail = toy::run(&blocks.tail, blocks.tail_position(), adapter, &seen);
    seen.extend(tail);
    (seen, blocks.tail_position() + blocks.tail.len())
}

pub(crate) fn oracle(ask: &Ask) -> Said {
    let everything = vec![true; ask.prompt.sources];
    let (mut states, mut position) = prompt_states(&ask.prompt, ask.mode, &everything, adapter_index(ask));
    let mut sampler = Sampler::new(ask.sampling.clone(), ask.prompt.pieces.iter().flat_map(|piece| piece.tokens.iter().copied()));
    let mut tokens = Vec::new();
    while tokens.len() < ask.tokens_max {
        let last = *states.last().expect("a state");
        let mut logits = toy::logits(last);
        logits[262..].fill(f32::NEG_INFINITY);
        let token = sampler.choose(&mut logits).expect("a token");
        if token == ENDING || token == ENDING + 1 {
            return (tokens, Finish::Stop);
        }
        tokens.push((token, toy::log_probability(last, token).to_bits()));
        states.push(toy::state(token, position, adapter_index(ask), &states));
        position += 1;
    }
    (tokens, Finish::Length)
}

pub(super) fn oracle_score(prompt: &Prompt, mode: ContextMode, subset: &[bool], answer: &[u32]) -> Vec<u32> {
    let (mut states, mut position) = prompt_states(prompt, mode, subset, None);
    let mut bits = Vec::new();
    for token in answer {
        bits.push(toy::log_probability(*states.last().expect("a state"), *token).to_bits());
        states.push(toy::state(*token, position, None, &states));
        position += 1;
    }
    bits
}
