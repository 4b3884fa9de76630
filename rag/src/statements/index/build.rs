//! Deciding how each statement stands to those before it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use schemas::Address;
use schemas::ids::DocumentId;
use schemas::said::common;
use schemas::tables::ChunkRow;

use super::{ChunkStanding, SAME_TENTHS, SHORT_TOKENS, Standing, Statement, StatementIndex};
use crate::statements::boilerplate::Boilerplate;
use crate::statements::is_within;
use crate::statements::speech::{Known, Sentence, read};

/// The same for statements of a chunk that repeats another one on the whole.
const SAME_IN_COPY_TENTHS: usize = 3;
/// What an earlier statement must hold to be compared with at all, and earlier ones together of a chunk that repeats them on the
/// whole, in several statements; in one or two that may be chance, and more is asked.
const ALIKE_TENTHS: usize = 5;
const SEVERAL: usize = 3;
const ALIKE_IN_FEW_TENTHS: usize = 6;
/// Chunks whose every statement is compared with those of a later chunk that repeats some of them.
const COMPARED_CHUNKS: usize = 4;
/// Fewer words are no subject that a correction could be told by.
const SUBJECT_TOKENS: usize = 3;

/// The last statement of a contributor in these words, numbers and negations aside.
type Stated = HashMap<(Address, Vec<u32>), usize>;

impl StatementIndex {
    /// Of the members, by registration. Blocks.
    pub(crate) fn build(chunks: &[ChunkRow]) -> Self {
        let sentences: Vec<Vec<Sentence>> = chunks.iter().map(|chunk| read(&chunk.text)).collect();
        let mut known = Known::default();
        sentences.iter().flatten().for_each(|sentence| known.learn(sentence));
        let mut index = Self::default();
        let mut stated = Stated::new();
        for (at, sentences) in sentences.into_iter().enumerate() {
            index.add(at, chunks, sentences, &known, &mut stated);
        }
        let documents: Vec<DocumentId> = chunks.iter().map(|chunk| chunk.document_id).collect();
        let stated = index.statements.iter().filter(|one| one.standing != Standing::Silent);
        index.boilerplate = Boilerplate::of(stated.filter_map(|one| Some((*documents.get(one.chunk)?, one.tokens.as_slice()))));
        index
    }

    fn add(&mut self, at: usize, chunks: &[ChunkRow], sentences: Vec<Sentence>, known: &Known, stated: &mut Stated) {
        let first = self.statements.len();
        let mut subjects = Vec::with_capacity(sentences.len());
        for sentence in sentences {
            let silent = !sentence.is_statement(known);
            let mut tokens: Vec<u32> = sentence.said.tokens.iter().map(|token| self.id(token)).collect();
            tokens.sort_unstable();
            let mut subject: Vec<u32> = sentence.said.subject().into_iter().map(|token| self.id(token)).collect();
            subject.sort_unstable();
            subjects.push(subject);
            self.statements.push(Statement {
                chunk: at,
                range: sentence.start..sentence.end,
                kind: sentence.kind,
                tokens,
                figures: sentence.said.figures,
                standing: if silent { Standing::Silent } else { Standing::Own },
                corrected: None,
                contradicted: None,
            });
        }
        let range = first..self.statements.len();
        self.of_chunk.push(range.clone());
        let whole = self.place(at, chunks, range.clone());
        self.chunks.push(whole);
        if let ChunkStanding::Repeats(of) = whole {
            self.copies.entry(of).or_default().push(at);
        }
        for (statement, subject) in range.clone().zip(subjects) {
            self.correct(statement, subject, chunks, stated);
        }
        for statement in range {
            let Some(Statement { tokens, standing, .. }) = self.statements.get(statement) else { continue };
            // what repeats another leads to nobody: likeness is not handed on
            if matches!(standing, Standing::Own | Standing::Differs(_)) {
                for token in tokens.clone() {
                    if let (Some(posting), Ok(statement)) = (self.postings.get_mut(token as usize), u32::try_from(statement)) {
                        posting.push(statement);
                    }
                }
            }
        }
    }

    fn id(&mut self, token: &str) -> u32 {
        if let Some(id) = self.ids.get(token) {
            return *id;
        }
        let id = u32::try_from(self.postings.len()).unwrap_or(u32::MAX);
        self.ids.insert(token.to_owned(), id);
        self.postings.push(Vec::new());
        id
    }

    /// Decides how the statements of a chunk stand, and the chunk.
    fn place(&mut self, at: usize, chunks: &[ChunkRow], range: Range<usize>) -> ChunkStanding {
        let speaking: Vec<usize> = range.filter(|statement| self.standing(*statement) == Standing::Own).collect();
        let Some(chunk) = chunks.get(at).filter(|_| !speaking.is_empty()) else { return ChunkStanding::Silent };
        let is_foreign = |other: usize| chunks.get(other).is_some_and(|other| other.registered < chunk.registered);
        let mut closest: Vec<Option<(usize, usize)>> = speaking.iter().map(|statement| self.closest(*statement)).collect();
        // earlier chunks that are repeated here, those most of it first
        let mut repeated: BTreeMap<usize, usize> = BTreeMap::new();
        for (earlier, shared) in closest.iter().flatten() {
            if let Some(earlier) = self.statements.get(*earlier).filter(|earlier| is_foreign(earlier.chunk)) {
                *repeated.entry(earlier.chunk).or_default() += shared;
            }
        }
        let mut repeated: Vec<(usize, usize)> = repeated.into_iter().collect();
        repeated.sort_by_key(|(chunk, shared)| (Reverse(*shared), *chunk));
        repeated.truncate(COMPARED_CHUNKS);
        for (statement, closest) in speaking.iter().zip(&mut closest) {
            if closest.is_none() {
                *closest = self.closest_in(*statement, &repeated);
            }
        }
        let is_copy = self.repeats_on_the_whole(&speaking, &closest, &is_foreign);
        for (statement, closest) in speaking.iter().zip(&closest) {
            if let Some((earlier, shared)) = closest {
                let standing = self.stands(*statement, *earlier, *shared, is_copy, &is_foreign);
                self.settle(*statement, standing, chunks);
            }
        }
        let own = speaking.iter().any(|statement| !matches!(self.standing(*statement), Standing::Repeats(_)));
        let first = speaking.iter().find_map(|statement| match self.standing(*statement) {
            Standing::Repeats(first) => self.statements.get(first),
            _ => None,
        });
        match (repeated.first(), first) {
            (Some((of, _)), _) if is_copy => ChunkStanding::Repeats(*of),
            (_, Some(first)) if !own => ChunkStanding::Repeats(first.chunk),
            _ => ChunkStanding::Speaks,
        }
    }

    /// The earlier statement that holds the most of this one, the earliest of equals, and how many tokens.
    fn closest(&self, statement: usize) -> Option<(usize, usize)> {
        let one = self.statements.get(statement)?;
        let candidates = self.candidates(&one.tokens, one.tokens.len(), ALIKE_TENTHS);
        self.best(one, candidates.into_iter())
    }

    fn closest_in(&self, statement: usize, chunks: &[(usize, usize)]) -> Option<(usize, usize)> {
        let one = self.statements.get(statement)?;
        let of_chunks = chunks.iter().filter_map(|(chunk, _)| self.of_chunk.get(*chunk).cloned()).flatten();
        self.best(one, of_chunks.filter(|earlier| matches!(self.standing(*earlier), Standing::Own | Standing::Differs(_))))
    }

    fn best(&self, one: &Statement, earlier: impl Iterator<Item = usize>) -> Option<(usize, usize)> {
        earlier
            .filter_map(|at| Some((at, common(&one.tokens, &self.statements.get(at)?.tokens))))
            .filter(|(_, shared)| *shared > 0)
            .max_by_key(|(at, shared)| (*shared, Reverse(*at)))
    }

    /// Whether earlier submissions hold most of all that the statements say.
    fn repeats_on_the_whole(&self, speaking: &[usize], closest: &[Option<(usize, usize)>], is_foreign: &impl Fn(usize) -> bool) -> bool {
        let (mut all, mut held, mut alike) = (0, 0, 0);
        for (statement, closest) in speaking.iter().zip(closest) {
            let tokens = self.statements.get(*statement).map_or(0, |statement| statement.tokens.len());
            let earlier = closest.and_then(|(earlier, shared)| Some((self.statements.get(earlier)?, shared)));
            let shared = earlier.filter(|(earlier, _)| is_foreign(earlier.chunk)).map_or(0, |(_, shared)| shared);
            all += tokens;
            held += shared;
            alike += usize::from(shared * 10 >= tokens * ALIKE_TENTHS);
        }
        held > 0 && held * 10 >= all * if alike >= SEVERAL { ALIKE_TENTHS } else { ALIKE_IN_FEW_TENTHS }
    }

    /// How a statement stands to the one that is closest to it. Of the same submission only the same words count: whoever lists
    /// similar facts says each of them.
    fn stands(&self, statement: usize, earlier: usize, shared: usize, is_copy: bool, is_foreign: &impl Fn(usize) -> bool) -> Standing {
        let (Some(later), Some(first)) = (self.statements.get(statement), self.statements.get(earlier)) else { return Standing::Own };
        let (all, of_first) = (later.tokens.len(), first.tokens.len());
        let least = if !is_foreign(first.chunk) || all <= SHORT_TOKENS {
            10
        } else if is_copy {
            SAME_IN_COPY_TENTHS
        } else {
            SAME_TENTHS
        };
        if later.figures.differ(&first.figures) {
            // the number itself is no shared token
            let figures = later.figures.quantities.len() + later.figures.negations;
            let alike = is_foreign(first.chunk) && is_within(all.saturating_sub(figures).max(1), of_first, shared, SAME_TENTHS);
            return if alike { Standing::Differs(earlier) } else { Standing::Own };
        }
        if is_within(all, of_first, shared, least) { Standing::Repeats(earlier) } else { Standing::Own }
    }

    fn settle(&mut self, statement: usize, standing: Standing, chunks: &[ChunkRow]) {
        let contributor = |chunk: usize| chunks.get(chunk).map(|chunk| chunk.contributor);
        let own_chunk = self.statements.get(statement).map(|one| one.chunk);
        if let Standing::Differs(first) = standing
            && let Some(earlier) = self.statements.get_mut(first)
            && own_chunk.and_then(contributor) != contributor(earlier.chunk)
        {
            earlier.contradicted.get_or_insert(statement);
        }
        if let Some(one) = self.statements.get_mut(statement) {
            one.standing = standing;
        }
    }

    /// A contributor that states the same words again in a later submission, with other numbers or another negation, corrects
    /// what it stated. `stated` holds the last statement of each contributor in these words.
    fn correct(&mut self, statement: usize, subject: Vec<u32>, chunks: &[ChunkRow], stated: &mut Stated) {
        let chunk_of = |one: &Statement| chunks.get(one.chunk).map(|chunk| (chunk.contributor, chunk.registered));
        let Some(later) = self.statements.get(statement).filter(|one| !matches!(one.standing, Standing::Silent | Standing::Repeats(_)))
        else {
            return;
        };
        let Some((contributor, registered)) = chunk_of(later).filter(|_| subject.len() >= SUBJECT_TOKENS) else { return };
        let figures = later.figures.clone();
        let Some(before) = stated.insert((contributor, subject), statement) else { return };
        let is_corrected = self
            .statements
            .get(before)
            .is_some_and(|before| figures.differ(&before.figures) && chunk_of(before).is_some_and(|(_, earlier)| earlier < registered));
        if is_corrected && let Some(before) = self.statements.get_mut(before) {
            before.corrected = Some(statement);
            self.settle(statement, Standing::Own, chunks);
        }
    }
}
