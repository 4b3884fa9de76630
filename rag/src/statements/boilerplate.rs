//! Words that stand in most statements of a document. Around a question they say nothing: `this leaflet deals with the matter
//! of …`, once per question.

use std::collections::{HashMap, HashSet};

use schemas::ids::DocumentId;

/// Of fewer statements nothing can be told.
const LEAST_STATEMENTS: usize = 4;

/// Per document the tokens of at least half of its statements.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Boilerplate(pub(super) HashMap<DocumentId, HashSet<u32>>);

impl Boilerplate {
    /// Of every statement's document and tokens.
    pub(super) fn of<'a>(statements: impl Iterator<Item = (DocumentId, &'a [u32])>) -> Self {
        let mut counts: HashMap<DocumentId, (usize, HashMap<u32, usize>)> = HashMap::new();
        for (document, tokens) in statements {
            let (all, by_token) = counts.entry(document).or_default();
            *all += 1;
            for token in tokens {
                *by_token.entry(*token).or_default() += 1;
            }
        }
        let frequent = |(all, by_token): (usize, HashMap<u32, usize>)| -> HashSet<u32> {
            by_token.into_iter().filter(|(_, count)| all >= LEAST_STATEMENTS && count * 2 >= all).map(|(token, _)| token).collect()
        };
        Self(counts.into_iter().map(|(document, counts)| (document, frequent(counts))).filter(|(_, tokens)| !tokens.is_empty()).collect())
    }

    /// With documents that were not there.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn holds(&self, document: DocumentId, token: u32) -> bool {
        self.0.get(&document).is_some_and(|tokens| tokens.contains(&token))
    }
}
