//! What has to be computed to score one answer under many subsets of the sources, each token once.
//!
//! With blocks, head and sources are computed once and only the tail and the answer for each subset. With full attention
//! the subsets' prompts form a tree, and a beginning that several share is computed once. Either way a subset sees the
//! very numbers that its own prompt would give alone.

use std::collections::{BTreeMap, HashMap};

use super::prompt::Prompt;
use super::span::Plan;
use crate::ContextMode;

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(crate) struct ScorePlan {
    pub(crate) plan: Plan,
    /// The span that scores each subset; equal subsets share one.
    pub(crate) leaves: Vec<usize>,
}

impl ScorePlan {
    /// `answer` is not empty, and neither is what follows the sources. Sequences of more than `stretches_after` tokens share
    /// nothing with shorter ones.
    pub(crate) fn new(prompt: &Prompt, mode: ContextMode, subsets: &[Vec<bool>], answer: &[u32], stretches_after: Option<usize>) -> Self {
        let mut numbers: HashMap<&[bool], usize> = HashMap::new();
        let mut distinct: Vec<&[bool]> = Vec::new();
        let mut number_of = Vec::with_capacity(subsets.len());
        for subset in subsets {
            let number = *numbers.entry(subset).or_insert(distinct.len());
            if number == distinct.len() {
                distinct.push(subset);
            }
            number_of.push(number);
        }
        let mut plan = Plan { stretches_after, ..Plan::default() };
        let leaves = if mode == ContextMode::Blocks && prompt.sources > 0 {
            plan_blocks(&mut plan, prompt, &distinct, answer)
        } else {
            plan_tree(&mut plan, prompt, &distinct, answer)
        };
        Self { plan, leaves: number_of.iter().filter_map(|number| leaves.get(*number).copied()).collect() }
    }
}

/// The last token of an answer is asked about, never computed.
fn computed(answer: &[u32]) -> &[u32] {
    answer.split_last().map_or(&[], |(_, before)| before)
}

fn plan_blocks(plan: &mut Plan, prompt: &Prompt, subsets: &[&[bool]], answer: &[u32]) -> Vec<usize> {
    let blocks = prompt.blocks();
    let used: Vec<bool> =
        (0..prompt.sources).map(|source| subsets.iter().any(|subset| subset.get(source).is_some_and(|is_in| *is_in))).collect();
    let cached = blocks.plan(plan, &used);
    let tail = |subset: &&[bool]| {
        let leaf = blocks.plan_tail(plan, &cached, subset, computed(answer))?;
        plan.want_last(answer.len());
        Some(leaf)
    };
    let leaves = subsets.iter().filter_map(tail).collect();
    plan.stretch();
    leaves
}

fn plan_tree(plan: &mut Plan, prompt: &Prompt, subsets: &[&[bool]], answer: &[u32]) -> Vec<usize> {
    let prompts: Vec<Vec<u32>> = subsets.iter().map(|subset| prompt.full(subset)).collect();
    let stretches_after = plan.stretches_after.unwrap_or(usize::MAX);
    let is_stretched = |prompt: &usize| prompts.get(*prompt).is_some_and(|tokens| tokens.len() + computed(answer).len() > stretches_after);
    let (stretched, others): (Vec<usize>, Vec<usize>) = (0..prompts.len()).partition(is_stretched);
    let mut tree = Tree { plan, prompts: &prompts, answer, leaves: vec![0; prompts.len()] };
    if !others.is_empty() {
        tree.grow(None, 0, &others);
    }
    let first = tree.plan.spans.len();
    if !stretched.is_empty() {
        tree.grow(None, 0, &stretched);
    }
    tree.plan.spans.iter_mut().skip(first).for_each(|span| span.stretched = true);
    tree.leaves
}

struct Tree<'a> {
    plan: &'a mut Plan,
    prompts: &'a [Vec<u32>],
    answer: &'a [u32],
    leaves: Vec<usize>,
}

impl Tree<'_> {
    /// Adds the prompts of `group`, whose first `depth` tokens are those of `parent`. Prompts that are alone become leaves at once.
    fn grow(&mut self, parent: Option<usize>, depth: usize, group: &[usize]) {
        if let [alone] = group {
            self.leaf(parent, depth, *alone);
            return;
        }
        let shared = self.shared(group);
        let beginning = group.first().and_then(|first| self.prompts.get(*first)?.get(depth..shared)).unwrap_or_default();
        let parent = if beginning.is_empty() { parent } else { Some(self.plan.branch(parent, beginning)) };
        let mut branches: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for prompt in group {
            match self.body(*prompt).get(shared) {
                Some(token) => branches.entry(*token).or_default().push(*prompt),
                None => self.leaf(parent, shared, *prompt),
            }
        }
        for branch in branches.values() {
            self.grow(parent, shared, branch);
        }
    }

    /// The rest of a prompt and the answer.
    fn leaf(&mut self, parent: Option<usize>, depth: usize, prompt: usize) {
        let rest = self.prompts.get(prompt).and_then(|tokens| tokens.get(depth..)).unwrap_or_default();
        let leaf = self.plan.branch(parent, &[rest, computed(self.answer)].concat());
        self.plan.want_last(self.answer.len());
        if let Some(slot) = self.leaves.get_mut(prompt) {
            *slot = leaf;
        }
    }

    /// A prompt without its last token, whose distribution each leaf asks for.
    fn body(&self, prompt: usize) -> &[u32] {
        self.prompts.get(prompt).map_or(&[], |tokens| computed(tokens))
    }

    /// How many tokens all of the group begin with.
    fn shared(&self, group: &[usize]) -> usize {
        let first = group.first().map_or(&[][..], |first| self.body(*first));
        let with_first = |prompt: &usize| first.iter().zip(self.body(*prompt)).take_while(|(a, b)| a == b).count();
        group.iter().map(with_first).min().unwrap_or_default()
    }
}
