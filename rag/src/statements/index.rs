//! The statements of one version, in the order of registration: which chunk was the first to state what.
//!
//! Derived from the members' texts and their order alone, in time linear in the texts: a statement is compared with those
//! before it that share one of its rarest tokens, at most so many of each.

mod build;
mod kept;
mod posting;
mod signature;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use schemas::ids::DocumentId;
use schemas::said::{Figures, Said, common};

use super::boilerplate::Boilerplate;
use super::{SAME_TENTHS, SHORT_TOKENS, is_within};
use crate::sentences::Kind;
use posting::Posting;
use signature::Signature;

/// How a statement stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It says nothing.
    Silent,
    Own,
    /// It says what an earlier one says.
    Repeats(u32),
    /// It says what an earlier one says, but for a number, a unit or a negation.
    Differs(u32),
}

/// How a chunk stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkStanding {
    /// It states something of its own.
    Speaks,
    /// On the whole it repeats an earlier chunk.
    Repeats(u32),
    /// It states nothing.
    Silent,
}

/// Small, for there are millions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    /// Bytes of the chunk's text.
    start: u32,
    end: u32,
    /// Where its tokens begin; they end where the next statement's begin.
    tokens: u32,
    figures: u32,
    standing: Standing,
    kind: Kind,
    /// It is no statement where its words are known from others.
    bare: bool,
}

/// A statement and where it stands: bytes of the text of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatementText {
    pub(crate) statement: usize,
    pub(crate) chunk: usize,
    pub(crate) range: Range<usize>,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct StatementIndex {
    statements: Vec<Statement>,
    /// Of all statements, each one's sorted.
    tokens: Vec<u32>,
    /// Of each statement's tokens.
    signatures: Vec<Signature>,
    /// The first statement of each chunk.
    of_chunk: Vec<u32>,
    chunks: Vec<ChunkStanding>,
    /// Chunks that repeat a chunk on the whole.
    copies: BTreeMap<u32, Vec<u32>>,
    /// In the order in which they first appear.
    ids: HashMap<String, u32>,
    negations: HashSet<u32>,
    /// By token: whether it stands in a sentence whose language is known.
    known: Vec<bool>,
    /// Statements that say something of their own, by token.
    postings: Vec<Posting>,
    /// Each once.
    figures: Vec<Figures>,
    figure_ids: HashMap<Figures, u32>,
    /// The later statement by which a statement's contributor corrects it.
    corrected: HashMap<u32, u32>,
    /// The earliest by another contributor that says it with another number.
    contradicted: HashMap<u32, u32>,
    boilerplate: Boilerplate,
}

impl StatementIndex {
    pub(crate) fn chunk(&self, chunk: usize) -> ChunkStanding {
        self.chunks.get(chunk).copied().unwrap_or(ChunkStanding::Silent)
    }

    /// Positions of the chunks that repeat this one on the whole, earliest first.
    pub(crate) fn copies(&self, chunk: usize) -> impl Iterator<Item = usize> {
        let of = u32::try_from(chunk).ok().and_then(|chunk| self.copies.get(&chunk));
        of.map(Vec::as_slice).unwrap_or_default().iter().map(|copy| *copy as usize)
    }

    pub(crate) fn standing(&self, statement: usize) -> Standing {
        self.statements.get(statement).map_or(Standing::Silent, |statement| statement.standing)
    }

    /// The statements of a chunk that say something.
    pub(crate) fn of_chunk(&self, chunk: usize) -> impl Iterator<Item = StatementText> {
        self.range_of(chunk).filter(|at| self.standing(*at) != Standing::Silent).filter_map(|at| self.text(at))
    }

    fn range_of(&self, chunk: usize) -> Range<usize> {
        let Some(start) = self.of_chunk.get(chunk) else { return 0..0 };
        let end = self.of_chunk.get(chunk + 1).map_or(self.statements.len(), |end| *end as usize);
        *start as usize..end
    }

    pub(crate) fn text(&self, statement: usize) -> Option<StatementText> {
        let Statement { start, end, kind, .. } = self.statements.get(statement)?;
        Some(StatementText { statement, chunk: self.holder(statement)?, range: *start as usize..*end as usize, kind: *kind })
    }

    /// The chunk that a statement stands in.
    fn holder(&self, statement: usize) -> Option<usize> {
        self.of_chunk.partition_point(|first| *first as usize <= statement).checked_sub(1)
    }

    /// Sorted.
    fn tokens(&self, statement: usize) -> &[u32] {
        let Some(start) = self.statements.get(statement).map(|one| one.tokens as usize) else { return &[] };
        let end = self.statements.get(statement + 1).map_or(self.tokens.len(), |next| next.tokens as usize);
        self.tokens.get(start..end).unwrap_or_default()
    }

    /// The numbers and negations of a statement.
    pub(crate) fn figures(&self, statement: usize) -> Option<&Figures> {
        self.figures.get(self.statements.get(statement)?.figures as usize)
    }

    /// The later statements by which the contributor of this one corrects it, and corrects those.
    pub(crate) fn corrections(&self, statement: usize) -> impl Iterator<Item = usize> + '_ {
        let next = |at: &u32| self.corrected.get(at).copied();
        let first = u32::try_from(statement).ok().and_then(|at| next(&at));
        std::iter::successors(first, next).map(|at| at as usize)
    }

    /// The last of [`Self::corrections`].
    pub(crate) fn corrected(&self, statement: usize) -> Option<usize> {
        self.corrections(statement).last()
    }

    /// The earliest statement by another contributor that says this one with another number.
    pub(crate) fn contradicted(&self, statement: usize) -> Option<usize> {
        self.contradicted.get(&u32::try_from(statement).ok()?).map(|other| *other as usize)
    }

    /// The chunks that may be quoted in the place of a chunk's statements, or beside them.
    pub(crate) fn related(&self, chunk: usize) -> BTreeSet<usize> {
        let mut related = BTreeSet::new();
        for statement in self.range_of(chunk) {
            let first = match self.standing(statement) {
                Standing::Repeats(first) | Standing::Differs(first) => Some(first as usize),
                Standing::Own | Standing::Silent => None,
            };
            for one in [Some(statement), first].into_iter().flatten() {
                let chosen = self.corrected(one).unwrap_or(one);
                let shown = [Some(chosen), self.contradicted(chosen)].into_iter().flatten();
                related.extend(shown.filter_map(|one| self.holder(one)));
            }
        }
        related
    }

    /// The words of a document that stand in most of its statements: a frame, not what is said.
    pub(crate) fn is_boilerplate(&self, document: DocumentId, token: &str) -> bool {
        self.ids.get(token).is_some_and(|id| self.boilerplate.holds(document, *id))
    }

    /// What of a chunk's text is searched for words: all of it but the statements that repeat earlier ones, of which only the
    /// words are that those lack. None where nothing is left.
    pub(crate) fn searched_text(&self, chunk: usize, text: &str) -> Option<String> {
        if self.chunk(chunk) == ChunkStanding::Silent {
            return None;
        }
        let (mut searched, mut added, mut at) = (String::with_capacity(text.len()), Vec::new(), 0);
        for statement in self.of_chunk(chunk) {
            let Standing::Repeats(first) = self.standing(statement.statement) else { continue };
            searched.push_str(text.get(at..statement.range.start).unwrap_or_default());
            at = statement.range.end;
            let of_first = self.tokens(first as usize);
            let said = Said::of(text.get(statement.range).unwrap_or_default());
            added.extend(said.tokens.into_iter().filter(|token| self.ids.get(token).is_none_or(|id| of_first.binary_search(id).is_err())));
        }
        searched.push_str(text.get(at..).unwrap_or_default());
        for token in added {
            searched.push(' ');
            searched.push_str(&token);
        }
        searched.chars().any(char::is_alphanumeric).then_some(searched)
    }

    /// The chunks that were the first to say what `said` says, by registration: each is the first with some token of it, among
    /// the statements that hold most of it.
    pub(crate) fn first_to_say(&self, said: &Said) -> Vec<usize> {
        let mut tokens: Vec<u32> = said.tokens.iter().filter_map(|token| self.ids.get(token)).copied().collect();
        tokens.sort_unstable();
        let all = said.tokens.len();
        let mut candidates = self.candidates(&tokens, all, SAME_TENTHS);
        candidates.sort_unstable();
        let mut left: Vec<u32> = tokens;
        let mut chunks: Vec<usize> = Vec::new();
        for at in candidates {
            let Some(chunk) = self.holder(at) else { continue };
            let before = left.len();
            left.retain(|token| self.tokens(at).binary_search(token).is_err());
            if left.len() < before && !chunks.contains(&chunk) {
                chunks.push(chunk);
            }
        }
        chunks
    }

    /// The earliest statement before this one that says all of it but the words of `asked`, where that is more than a few words.
    pub(crate) fn first_to_say_the_rest(&self, statement: usize, asked: &Said) -> Option<usize> {
        let asked: BTreeSet<u32> = asked.tokens.iter().filter_map(|token| self.ids.get(token)).copied().collect();
        let rest: Vec<u32> = self.tokens(statement).iter().filter(|token| !asked.contains(token)).copied().collect();
        let candidates = if rest.len() > SHORT_TOKENS { self.candidates(&rest, rest.len(), SAME_TENTHS) } else { Vec::new() };
        candidates.into_iter().filter(|earlier| *earlier < statement).min()
    }

    /// Earlier statements that hold at least `tenths` of `all` tokens, of which `tokens` are known here.
    fn candidates(&self, tokens: &[u32], all: usize, tenths: usize) -> Vec<usize> {
        let needed = (all * tenths).div_ceil(10).max(1);
        if tokens.len() < needed {
            return Vec::new();
        }
        let mut lacking = tokens.len() - needed;
        // who holds enough of them holds one of any so many: the rarest are taken
        let mut rarest: Vec<(u32, &Posting)> =
            tokens.iter().filter_map(|token| Some((*token, self.postings.get(*token as usize)?))).collect();
        rarest.sort_by_key(|(_, posting)| posting.count());
        rarest.truncate(lacking + 1);
        let (mut found, mut left) = (Vec::new(), tokens.to_vec());
        for (token, posting) in rarest {
            posting.find(&Signature::of(&left), lacking, &self.signatures, &mut found);
            // whoever holds this one was looked at: all others lack it
            if posting.is_complete() {
                left.retain(|other| *other != token);
                let Some(rest) = lacking.checked_sub(1) else { break };
                lacking = rest;
            }
        }
        found.sort_unstable();
        found.dedup();
        let enough = |at: &usize| {
            let earlier = self.tokens(*at);
            is_within(all, earlier.len(), common(tokens, earlier), tenths)
        };
        found.into_iter().map(|at| at as usize).filter(enough).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of token sets of which some tokens stand in more statements than are looked at.
    #[test]
    fn candidates_are_those_that_hold_enough() {
        let mut state = 7u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        // the lower a token, the more often it comes
        let mut set = || {
            let tokens: BTreeSet<u32> = (0..8).map(|_| next(40).min(next(40)).min(next(40))).collect();
            tokens.into_iter().collect::<Vec<u32>>()
        };
        let mut index = StatementIndex { postings: vec![Posting::default(); 40], ..StatementIndex::default() };
        for at in 0..12_000 {
            let tokens = set();
            let (start, end, figures, standing, kind) = (0, 0, 0, Standing::Own, Kind::Prose);
            let first = u32::try_from(index.tokens.len()).unwrap();
            index.statements.push(Statement { start, end, tokens: first, figures, standing, kind, bare: false });
            index.signatures.push(Signature::of(&tokens));
            tokens.iter().for_each(|token| index.postings[*token as usize].push(at));
            index.tokens.extend(tokens);
        }
        assert!(!index.postings[0].is_complete() && index.postings[39].is_complete());
        for posted_with_signatures in [false, true] {
            if posted_with_signatures {
                index.postings.iter_mut().for_each(|posting| posting.hold_signatures(&index.signatures));
            }
            for _ in 0..60 {
                let wanted = set();
                let needed = (wanted.len() * SAME_TENTHS).div_ceil(10);
                let mut rarest: Vec<&Posting> = wanted.iter().map(|token| &index.postings[*token as usize]).collect();
                rarest.sort_by_key(|posting| posting.count());
                let listed: BTreeSet<u32> = rarest.iter().take(wanted.len() - needed + 1).flat_map(|posting| posting.listed()).collect();
                let holds_enough = |at: &usize| {
                    let held = index.tokens(*at);
                    is_within(wanted.len(), held.len(), common(&wanted, held), SAME_TENTHS)
                };
                let expected: Vec<usize> = listed.into_iter().map(|at| at as usize).filter(holds_enough).collect();
                assert_eq!(index.candidates(&wanted, wanted.len(), SAME_TENTHS), expected);
            }
        }
    }
}
