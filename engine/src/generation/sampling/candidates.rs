//! Tokens that may still be drawn, with their weights.

/// How many are sorted first when only the most likely of a large vocabulary are asked for.
const SORTED_FIRST: usize = 256;

/// Weights are relative to that of the most likely token, which is 1.
pub(super) struct Candidates {
    /// The first `sorted` in order: by weight, then by id.
    list: Vec<Candidate>,
    sorted: usize,
}

#[derive(Clone, Copy)]
struct Candidate {
    token: u32,
    logit: f32,
    weight: f64,
}

impl Candidates {
    pub(super) fn new(logits: &[f32], temperature: f32) -> Self {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let list = logits.iter().zip(0..).filter(|(logit, _)| **logit > f32::NEG_INFINITY).map(|(logit, token)| {
            let weight = f64::from((logit - highest) / temperature).exp();
            Candidate { token, logit: *logit, weight }
        });
        Self { list: list.collect(), sorted: 0 }
    }

    /// 0 keeps all.
    pub(super) fn keep_most_likely(&mut self, count: usize) {
        if count > 0 {
            self.sort_first(count);
            self.list.truncate(count);
        }
    }

    /// The fewest that together have this share of the weight, the one that reaches it included.
    pub(super) fn keep_share(&mut self, share: f32) {
        if share >= 1.0 {
            return;
        }
        let wanted: f64 = self.list.iter().map(|candidate| candidate.weight).sum::<f64>() * f64::from(share);
        let (mut kept, mut reached) = (0, 0.0);
        while kept < self.list.len() && (kept == 0 || reached < wanted) {
            if kept >= self.sorted {
                self.sort_first((kept * 8).max(SORTED_FIRST));
            }
            reached += self.list.get(kept).map_or(0.0, |candidate| candidate.weight);
            kept += 1;
        }
        self.list.truncate(kept);
        self.sorted = self.sorted.min(kept);
    }

    /// Those with at least this part of the highest weight.
    pub(super) fn keep_relative(&mut self, part: f32) {
        if part > 0.0 {
            self.list.retain(|candidate| candidate.weight >= f64::from(part));
            self.sorted = 0;
        }
    }

    /// The one at this share of the weight.
    pub(super) fn pick(&self, at: f64) -> Option<u32> {
        let mut left = self.list.iter().map(|candidate| candidate.weight).sum::<f64>() * at;
        for candidate in &self.list {
            left -= candidate.weight;
            if left < 0.0 {
                return Some(candidate.token);
            }
        }
        // Rounding may leave a rest: the last one that has any weight.
        self.list.iter().rev().find(|candidate| candidate.weight > 0.0).map(|candidate| candidate.token)
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = u32> + '_ {
        self.list.iter().map(|candidate| candidate.token)
    }

    /// Puts the first `count` in order.
    fn sort_first(&mut self, count: usize) {
        let order = |a: &Candidate, b: &Candidate| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token));
        if count < self.list.len() {
            self.list.select_nth_unstable_by(count, order);
        }
        let count = count.min(self.list.len());
        if let Some(first) = self.list.get_mut(..count) {
            first.sort_unstable_by(order);
        }
        self.sorted = count;
    }
}
