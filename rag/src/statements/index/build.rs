//! Deciding how each statement stands to those before it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use schemas::Address;
use schemas::said::{Figures, Said, common};
use schemas::words;

use super::{ChunkStanding, Posting, SAME_TENTHS, SHORT_TOKENS, Signature, Standing, Statement, StatementIndex};
use crate::sentences::Kind;
use crate::statements::boilerplate::Boilerplate;
use crate::statements::is_within;
use crate::statements::origins::Origins;
use crate::statements::speech::{Form, Sentence, read};
use crate::{RagError, Result};

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

/// By contributor and the words of what it states now, numbers and negations aside.
type Stated = HashMap<Address, HashMap<Vec<u32>, Series>>;

/// What a contributor stated in the same words, with whatever numbers.
#[derive(Debug, Default)]
struct Series {
    last: Option<usize>,
    /// Whether one submission stated several: records of several things.
    is_list: bool,
    /// By the numbers that name what is spoken of, the last statement that has them; of several statements.
    #[expect(clippy::box_collection, reason = "there are millions of series, and nearly all have one statement")]
    by_names: Option<Box<HashMap<Names, usize>>>,
}

/// Numbers of a statement, with their places among all: those without a unit; where none has one, all but the last, which is what
/// they are said to have.
type Names = Vec<(usize, String)>;

fn names(figures: Option<&Figures>) -> Names {
    let numbers = figures.map_or(&[][..], |figures| figures.quantities.as_slice());
    let named = if numbers.iter().any(|quantity| quantity.unit.is_some()) { numbers.len() } else { numbers.len().saturating_sub(1) };
    let named = numbers.iter().enumerate().take(named).filter(|(_, quantity)| quantity.unit.is_none());
    named.map(|(place, quantity)| (place, quantity.number.clone())).collect()
}

impl Series {
    fn take_in(&mut self, at: usize, is_of_same_submission: impl Fn(usize) -> bool, index: &StatementIndex) {
        if let Some(before) = self.last.replace(at) {
            self.is_list |= is_of_same_submission(before);
            let by_names = self.by_names.get_or_insert_default();
            if by_names.is_empty() {
                by_names.insert(names(index.figures(before)), before);
            }
            by_names.insert(names(index.figures(at)), at);
        }
    }

    /// What `statement` would correct: the last one that names the same by its numbers; where there is none, the last one, unless records
    /// of several things stand here.
    fn corrected_by(&self, statement: usize, index: &StatementIndex) -> Option<usize> {
        let named = self.by_names.as_ref().and_then(|by_names| by_names.get(&names(index.figures(statement))));
        named.copied().or(self.last.filter(|_| !self.is_list))
    }
}

/// Texts whose words are in memory at once.
const TEXTS_AT_ONCE: usize = if cfg!(test) { 2 } else { 4096 };
/// More would not be numbered.
const MOST_STATEMENTS: usize = u32::MAX as usize;

impl StatementIndex {
    /// Of all members, by registration. Blocks.
    ///
    /// # Errors
    /// [`RagError::TooLarge`].
    pub(crate) fn build(origins: &Origins, texts: &[String]) -> Result<Self> {
        let mut index = Self::default();
        index.append(origins, texts)?;
        Ok(index)
    }

    /// The same, with the members after those of this index; `origins` are of all, `texts` of the later ones. None where a later
    /// text makes a list of keywords of what an earlier one seemed to state: then all must be read again. Blocks.
    ///
    /// # Errors
    /// [`RagError::TooLarge`].
    pub(crate) fn extended(&self, origins: &Origins, texts: &[String]) -> Result<Option<Self>> {
        let mut index = self.clone();
        Ok(index.append(origins, texts)?.then_some(index))
    }

    /// Whether what was there before stands as it would if all were read at once.
    fn append(&mut self, origins: &Origins, texts: &[String]) -> Result<bool> {
        let first = self.chunks.len();
        let before = self.statements.len();
        let sentences = self.take_in(texts)?;
        for sentence in sentences.iter().flatten().filter(|sentence| sentence.form == Form::Statement) {
            for token in &sentence.tokens {
                if let Some(known) = self.known.get_mut(*token as usize) {
                    *known = true;
                }
            }
        }
        let turned = (0..before).any(|at| self.is_bare_and_known(at) && self.standing(at) != Standing::Silent);
        if turned {
            return Ok(false);
        }
        let mut stated = self.stated(origins, first, &sentences);
        self.postings.iter_mut().for_each(|posting| posting.hold_signatures(&self.signatures));
        for (at, sentences) in (first..).zip(sentences) {
            self.add(at, origins, sentences, &mut stated)?;
        }
        self.postings.iter_mut().for_each(Posting::let_signatures_go);
        let documents = |at: usize| Some(origins.get(self.holder(at)?)?.document);
        let speaking = (before..self.statements.len()).filter(|at| self.standing(*at) != Standing::Silent);
        let boilerplate = Boilerplate::of(speaking.filter_map(|at| Some((documents(at)?, self.tokens(at)))));
        self.boilerplate.extend(boilerplate);
        Ok(true)
    }

    /// The sentences of each text.
    fn take_in(&mut self, texts: &[String]) -> Result<Vec<Vec<Told>>> {
        let mut all = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TEXTS_AT_ONCE) {
            for sentences in read_all(texts) {
                all.push(sentences.into_iter().map(|sentence| self.told(sentence)).collect::<Result<Vec<Told>>>()?);
            }
        }
        Ok(all)
    }

    fn told(&mut self, sentence: Sentence) -> Result<Told> {
        let Sentence { start, end, kind, said: Said { tokens, figures }, form } = sentence;
        let mut tokens = tokens.iter().map(|token| self.id(token)).collect::<Result<Box<[u32]>>>()?;
        tokens.sort_unstable();
        Ok(Told { start: number(start)?, end: number(end)?, kind, form, tokens, figures: self.figures_id(figures)? })
    }

    /// Whether a sentence of words alone has mostly words that are known from statements.
    fn is_bare_and_known(&self, statement: usize) -> bool {
        if !self.statements.get(statement).is_some_and(|statement| statement.bare) {
            return false;
        }
        let tokens = self.tokens(statement);
        let known = tokens.iter().filter(|token| self.known.get(**token as usize) == Some(&true)).count();
        known * 2 >= tokens.len()
    }

    /// For each of these sentences, of the chunks from `first` on: what its contributor stated in its words, of what is there.
    fn stated(&self, origins: &Origins, first: usize, sentences: &[Vec<Told>]) -> Stated {
        let mut stated = Stated::new();
        for (origin, sentences) in origins.iter().skip(first).zip(sentences) {
            let of_contributor = stated.entry(origin.contributor).or_default();
            let subject =
                |sentence: &Told| Some((self.subject(&sentence.tokens, self.figures.get(sentence.figures as usize)?), Series::default()));
            of_contributor.extend(sentences.iter().filter_map(subject));
        }
        for at in 0..self.statements.len() {
            let contributor = self.holder(at).and_then(|chunk| origins.get(chunk)).map(|origin| origin.contributor);
            let is_asked = contributor.is_some_and(|contributor| stated.contains_key(&contributor));
            if is_asked && let Some((contributor, subject)) = self.correctable(at, origins) {
                let series = stated.get_mut(&contributor).and_then(|of_contributor| of_contributor.get_mut(&subject));
                if let Some(series) = series {
                    series.take_in(at, |before| self.registered(before, origins) == self.registered(at, origins), self);
                }
            }
        }
        stated
    }

    /// When the submission of a statement was registered.
    fn registered(&self, at: usize, origins: &Origins) -> Option<u64> {
        Some(origins.get(self.holder(at)?)?.registered)
    }

    /// The contributor of a statement, and the words that a correction leaves as they are.
    fn correctable(&self, at: usize, origins: &Origins) -> Option<(Address, Vec<u32>)> {
        let statement = self.statements.get(at).filter(|one| !matches!(one.standing, Standing::Silent | Standing::Repeats(_)))?;
        let subject = self.subject(self.tokens(at), self.figures.get(statement.figures as usize)?);
        (subject.len() >= SUBJECT_TOKENS).then_some((origins.get(self.holder(at)?)?.contributor, subject))
    }

    /// Of a statement's tokens those that are neither number nor negation.
    fn subject(&self, tokens: &[u32], figures: &Figures) -> Vec<u32> {
        let quantities: Vec<u32> = figures.quantities.iter().filter_map(|quantity| self.ids.get(&quantity.token())).copied().collect();
        tokens.iter().filter(|token| !quantities.contains(token) && !self.negations.contains(token)).copied().collect()
    }

    fn add(&mut self, at: usize, origins: &Origins, sentences: Vec<Told>, stated: &mut Stated) -> Result<()> {
        let chunk = number(at)?;
        let first = self.statements.len();
        self.of_chunk.push(number(first)?);
        for Told { start, end, kind, form, tokens, figures } in sentences {
            let standing = if form == Form::Silent { Standing::Silent } else { Standing::Own };
            let at_tokens = number(self.tokens.len())?;
            self.statements.push(Statement { start, end, tokens: at_tokens, figures, standing, kind, bare: form == Form::Bare });
            self.signatures.push(Signature::of(&tokens));
            self.tokens.extend(tokens);
            let last = self.statements.len() - 1;
            if self.is_bare_and_known(last)
                && let Some(statement) = self.statements.get_mut(last)
            {
                statement.standing = Standing::Silent;
            }
        }
        let range = first..self.statements.len();
        number(range.end)?;
        let whole = self.place(at, origins, range.clone());
        self.chunks.push(whole);
        if let ChunkStanding::Repeats(of) = whole {
            self.copies.entry(of).or_default().push(chunk);
        }
        for statement in range.clone() {
            self.correct(statement, origins, stated);
        }
        for statement in range {
            // what repeats another leads to nobody: likeness is not handed on
            if matches!(self.standing(statement), Standing::Own | Standing::Differs(_)) {
                self.post(statement)?;
            }
        }
        Ok(())
    }

    /// Lists a statement under its tokens.
    fn post(&mut self, at: usize) -> Result<()> {
        let statement = number(at)?;
        let signature = self.signatures.get(at).copied().unwrap_or_default();
        for token in self.tokens(at).to_vec() {
            if let Some(posting) = self.postings.get_mut(token as usize) {
                posting.push_with(statement, signature);
            }
        }
        Ok(())
    }

    /// Numbers are given in the order of the texts, so that they do not depend on how often the index was extended.
    pub(super) fn id(&mut self, token: &str) -> Result<u32> {
        if let Some(id) = self.ids.get(token) {
            return Ok(*id);
        }
        let id = number(self.postings.len())?;
        self.ids.insert(token.to_owned(), id);
        if words::is_negation(token) {
            self.negations.insert(id);
        }
        self.known.push(false);
        self.postings.push(Posting::default());
        Ok(id)
    }

    pub(super) fn figures_id(&mut self, figures: Figures) -> Result<u32> {
        if let Some(id) = self.figure_ids.get(&figures) {
            return Ok(*id);
        }
        let id = number(self.figures.len())?;
        self.figure_ids.insert(figures.clone(), id);
        self.figures.push(figures);
        Ok(id)
    }

    /// Decides how the statements of a chunk stand, and the chunk.
    fn place(&mut self, at: usize, origins: &Origins, range: Range<usize>) -> ChunkStanding {
        let speaking: Vec<usize> = range.filter(|statement| self.standing(*statement) == Standing::Own).collect();
        let Some(chunk) = origins.get(at).filter(|_| !speaking.is_empty()) else { return ChunkStanding::Silent };
        let is_foreign = |other: usize| origins.get(other).is_some_and(|other| other.registered < chunk.registered);
        let mut closest: Vec<Option<(usize, usize)>> = speaking.iter().map(|statement| self.closest(*statement)).collect();
        // earlier chunks that are repeated here, those most of it first
        let mut repeated: BTreeMap<usize, usize> = BTreeMap::new();
        for (earlier, shared) in closest.iter().flatten() {
            if let Some(chunk) = self.holder(*earlier).filter(|chunk| is_foreign(*chunk)) {
                *repeated.entry(chunk).or_default() += shared;
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
                self.settle(*statement, standing, origins);
            }
        }
        let repeats = |of: usize| u32::try_from(of).map_or(ChunkStanding::Speaks, ChunkStanding::Repeats);
        let own = speaking.iter().any(|statement| !matches!(self.standing(*statement), Standing::Repeats(_)));
        let first = speaking.iter().find_map(|statement| match self.standing(*statement) {
            Standing::Repeats(first) => self.holder(first as usize),
            _ => None,
        });
        match (repeated.first(), first) {
            (Some((of, _)), _) if is_copy => repeats(*of),
            (_, Some(of)) if !own => repeats(of),
            _ => ChunkStanding::Speaks,
        }
    }

    /// The earlier statement that holds the most of this one, the earliest of equals, and how many tokens.
    fn closest(&self, statement: usize) -> Option<(usize, usize)> {
        let tokens = self.tokens(statement);
        self.best(tokens, self.candidates(tokens, tokens.len(), ALIKE_TENTHS).into_iter())
    }

    fn closest_in(&self, statement: usize, chunks: &[(usize, usize)]) -> Option<(usize, usize)> {
        let of_chunks = chunks.iter().flat_map(|(chunk, _)| self.range_of(*chunk));
        self.best(
            self.tokens(statement),
            of_chunks.filter(|earlier| matches!(self.standing(*earlier), Standing::Own | Standing::Differs(_))),
        )
    }

    fn best(&self, tokens: &[u32], earlier: impl Iterator<Item = usize>) -> Option<(usize, usize)> {
        earlier
            .map(|at| (at, common(tokens, self.tokens(at))))
            .filter(|(_, shared)| *shared > 0)
            .max_by_key(|(at, shared)| (*shared, Reverse(*at)))
    }

    /// Whether earlier submissions hold most of all that the statements say.
    fn repeats_on_the_whole(&self, speaking: &[usize], closest: &[Option<(usize, usize)>], is_foreign: &impl Fn(usize) -> bool) -> bool {
        let (mut all, mut held, mut alike) = (0, 0, 0);
        for (statement, closest) in speaking.iter().zip(closest) {
            let tokens = self.tokens(*statement).len();
            let earlier = closest.and_then(|(earlier, shared)| Some((self.holder(earlier)?, shared)));
            let shared = earlier.filter(|(chunk, _)| is_foreign(*chunk)).map_or(0, |(_, shared)| shared);
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
        let (all, of_first) = (self.tokens(statement).len(), self.tokens(earlier).len());
        let (Some(figures), Some(of_earlier)) = (self.figures.get(later.figures as usize), self.figures.get(first.figures as usize)) else {
            return Standing::Own;
        };
        let Ok(number) = u32::try_from(earlier) else { return Standing::Own };
        let is_of_others = self.holder(earlier).is_some_and(is_foreign);
        let least = if !is_of_others || all <= SHORT_TOKENS {
            10
        } else if is_copy {
            SAME_IN_COPY_TENTHS
        } else {
            SAME_TENTHS
        };
        if figures.differ(of_earlier) {
            // the number itself is no shared token
            let figures = figures.quantities.len() + figures.negations;
            let alike = is_of_others && is_within(all.saturating_sub(figures).max(1), of_first, shared, SAME_TENTHS);
            return if alike { Standing::Differs(number) } else { Standing::Own };
        }
        if is_within(all, of_first, shared, least) { Standing::Repeats(number) } else { Standing::Own }
    }

    fn settle(&mut self, statement: usize, standing: Standing, origins: &Origins) {
        let contributor = |at: usize| Some(origins.get(self.holder(at)?)?.contributor);
        if let (Standing::Differs(first), Ok(statement)) = (standing, u32::try_from(statement))
            && contributor(statement as usize) != contributor(first as usize)
        {
            self.contradicted.entry(first).or_insert(statement);
        }
        if let Some(one) = self.statements.get_mut(statement) {
            one.standing = standing;
        }
    }

    /// A contributor that states the same words again in a later submission, with other numbers or another negation, corrects
    /// what it stated.
    fn correct(&mut self, statement: usize, origins: &Origins, stated: &mut Stated) {
        let Some((contributor, subject)) = self.correctable(statement, origins) else { return };
        let series = stated.entry(contributor).or_default().entry(subject).or_default();
        let registered = |at: usize| self.registered(at, origins);
        let is_later = |before: usize| {
            let figures = self.figures(statement).zip(self.figures(before));
            figures.is_some_and(|(later, earlier)| later.differ(earlier)) && registered(before) < registered(statement)
        };
        let before = series.corrected_by(statement, self).filter(|before| is_later(*before));
        series.take_in(statement, |before| registered(before) == registered(statement), self);
        let Some(before) = before else { return };
        if let (Ok(before), Ok(statement)) = (u32::try_from(before), u32::try_from(statement)) {
            self.corrected.insert(before, statement);
        }
        self.settle(statement, Standing::Own, origins);
    }
}

fn number(count: usize) -> Result<u32> {
    let limit = MOST_STATEMENTS;
    u32::try_from(count).map_err(|_| RagError::TooLarge { what: "the statements of a version", limit })
}

/// A sentence of which nothing is text any more: the words of a million texts would take gigabytes.
struct Told {
    start: u32,
    end: u32,
    kind: Kind,
    form: Form,
    /// Sorted.
    tokens: Box<[u32]>,
    figures: u32,
}

/// The sentences of each text, on all processors.
fn read_all(texts: &[String]) -> Vec<Vec<Sentence>> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let part = texts.len().div_ceil(threads).max(1);
    let read_part = |texts: &[String]| -> Vec<Vec<Sentence>> { texts.iter().map(|text| read(text)).collect() };
    std::thread::scope(|scope| {
        let parts: Vec<_> = texts.chunks(part).map(|texts| scope.spawn(move || read_part(texts))).collect();
        let mut all = Vec::with_capacity(texts.len());
        for part in parts {
            all.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    })
}
