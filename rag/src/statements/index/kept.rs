//! The index as bytes. What follows from the rest is not kept: postings, look-ups, copies.

use std::collections::{HashMap, HashSet};

use schemas::B256;
use schemas::ids::DocumentId;
use schemas::said::{Figures, Quantity};

use super::{ChunkStanding, Posting, Signature, Standing, Statement, StatementIndex};
use crate::bytes::{Reader, Writer};
use crate::sentences::Kind;
use crate::statements::boilerplate::Boilerplate;

const KINDS: [Kind; 6] = [Kind::Prose, Kind::Item, Kind::Heading, Kind::Table, Kind::Code, Kind::Piece];
const BARE: u8 = 1 << 3;
/// Above the bits of kind and bareness: silent, own, repeats, differs.
const STANDING_SHIFT: u8 = 4;

impl StatementIndex {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.numbers(self.statements.iter().map(|one| one.start));
        to.numbers(self.statements.iter().map(|one| one.end));
        to.numbers(self.statements.iter().map(|one| one.tokens));
        to.numbers(self.statements.iter().map(|one| one.figures));
        to.numbers(self.statements.iter().map(|one| parts(one.standing).1));
        to.bytes(&self.statements.iter().map(flags).collect::<Vec<u8>>());
        to.numbers(self.tokens.iter().copied());
        to.numbers(self.of_chunk.iter().copied());
        to.bytes(&self.chunks.iter().map(|chunk| chunk_parts(*chunk).0).collect::<Vec<u8>>());
        to.numbers(self.chunks.iter().map(|chunk| chunk_parts(*chunk).1));
        let mut by_id: Vec<(&str, u32)> = self.ids.iter().map(|(token, id)| (token.as_str(), *id)).collect();
        by_id.sort_unstable_by_key(|(_, id)| *id);
        to.texts(by_id.into_iter().map(|(token, _)| token));
        to.bytes(&self.known.iter().map(|known| u8::from(*known)).collect::<Vec<u8>>());
        to.numbers(self.figures.iter().map(|figures| u32::try_from(figures.negations).unwrap_or(u32::MAX)));
        to.numbers(self.figures.iter().map(|figures| u32::try_from(figures.quantities.len()).unwrap_or(u32::MAX)));
        let quantities = || self.figures.iter().flat_map(|figures| &figures.quantities);
        to.texts(quantities().map(|quantity| quantity.number.as_str()));
        to.texts(quantities().map(|quantity| quantity.unit.unwrap_or_default()));
        for pairs in [&self.corrected, &self.contradicted] {
            let mut pairs: Vec<(u32, u32)> = pairs.iter().map(|(from, to)| (*from, *to)).collect();
            pairs.sort_unstable();
            to.numbers(pairs.iter().map(|(from, _)| *from));
            to.numbers(pairs.iter().map(|(_, to)| *to));
        }
        let mut documents: Vec<(&DocumentId, Vec<u32>)> =
            self.boilerplate.0.iter().map(|(document, tokens)| (document, tokens.iter().copied().collect())).collect();
        documents.sort_unstable_by_key(|(document, _)| **document);
        to.numbers([u32::try_from(documents.len()).unwrap_or(u32::MAX)].into_iter());
        for (document, mut tokens) in documents {
            tokens.sort_unstable();
            to.bytes(document.0.as_slice());
            to.numbers(tokens.into_iter());
        }
        to.finish()
    }

    /// None where the bytes are not what [`Self::to_bytes`] gives.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes);
        let (starts, ends, tokens, figures, standing) =
            (from.numbers()?, from.numbers()?, from.numbers()?, from.numbers()?, from.numbers()?);
        let flags = from.bytes()?;
        let statements = Vec::with_capacity(starts.len());
        let mut index = Self { statements, tokens: from.numbers()?, of_chunk: from.numbers()?, ..Self::default() };
        for (at, start) in starts.iter().enumerate() {
            let flags = *flags.get(at)?;
            index.statements.push(Statement {
                start: *start,
                end: *ends.get(at)?,
                tokens: *tokens.get(at)?,
                figures: *figures.get(at)?,
                standing: standing_of(flags >> STANDING_SHIFT, *standing.get(at)?)?,
                kind: *KINDS.get(usize::from(flags & (BARE - 1)))?,
                bare: flags & BARE != 0,
            });
        }
        let (kinds, of) = (from.bytes()?, from.numbers()?);
        for (at, (kind, of)) in (0..).zip(kinds.iter().zip(of)) {
            let standing = match kind {
                0 => ChunkStanding::Silent,
                1 => ChunkStanding::Speaks,
                2 => ChunkStanding::Repeats(of),
                _ => return None,
            };
            index.chunks.push(standing);
            if let ChunkStanding::Repeats(of) = standing {
                index.copies.entry(of).or_default().push(at);
            }
        }
        for token in from.texts()? {
            index.id(token).ok()?;
        }
        index.known = from.bytes()?.iter().map(|known| *known == 1).collect();
        let (negations, counts) = (from.numbers()?, from.numbers()?);
        let (numbers, units) = (from.texts()?, from.texts()?);
        let mut quantities = numbers.into_iter().zip(units).map(|(number, unit)| Quantity::of_parts(number, unit));
        for (negations, count) in negations.into_iter().zip(counts) {
            let quantities = quantities.by_ref().take(count as usize).collect::<Option<Vec<Quantity>>>()?;
            index.figures_id(Figures { quantities, negations: negations as usize }).ok()?;
        }
        let mut pairs = || Some(from.numbers()?.into_iter().zip(from.numbers()?).collect::<HashMap<u32, u32>>());
        index.corrected = pairs()?;
        index.contradicted = pairs()?;
        let documents = from.numbers()?.first().copied()?;
        let mut boilerplate = HashMap::new();
        for _ in 0..documents {
            let document = DocumentId(B256::try_from(from.bytes()?).ok()?);
            boilerplate.insert(document, from.numbers()?.into_iter().collect::<HashSet<u32>>());
        }
        index.boilerplate = Boilerplate(boilerplate);
        if index.known.len() != index.postings.len() || index.chunks.len() != index.of_chunk.len() || !from.is_at_end() {
            return None;
        }
        index.post_all();
        Some(index)
    }

    fn post_all(&mut self) {
        let mut signatures = Vec::with_capacity(self.statements.len());
        let mut counts = vec![0; self.postings.len()];
        let is_posted = |at: &usize| matches!(self.standing(*at), Standing::Own | Standing::Differs(_));
        signatures.extend((0..self.statements.len()).map(|at| Signature::of(self.tokens(at))));
        for token in (0..self.statements.len()).filter(is_posted).flat_map(|at| self.tokens(at)) {
            if let Some(count) = counts.get_mut(*token as usize) {
                *count += 1;
            }
        }
        let mut postings: Vec<Posting> = counts.into_iter().map(Posting::with_room).collect();
        for at in (0..self.statements.len()).filter(is_posted) {
            for token in self.tokens(at) {
                if let (Some(posting), Ok(at)) = (postings.get_mut(*token as usize), u32::try_from(at)) {
                    posting.push(at);
                }
            }
        }
        (self.signatures, self.postings) = (signatures, postings);
    }

    /// About how many bytes this takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let postings: usize = self.postings.iter().map(Posting::bytes).sum();
        let words: usize = self.ids.keys().map(|token| token.len() + 48).sum();
        self.statements.len() * (size_of::<Statement>() + size_of::<Signature>())
            + self.tokens.len() * 4
            + self.chunks.len() * 12
            + postings
            + words
    }
}

fn flags(statement: &Statement) -> u8 {
    let kind = KINDS.iter().zip(0u8..).find(|(kind, _)| **kind == statement.kind).map_or(0, |(_, at)| at);
    kind | if statement.bare { BARE } else { 0 } | parts(statement.standing).0 << STANDING_SHIFT
}

fn parts(standing: Standing) -> (u8, u32) {
    match standing {
        Standing::Silent => (0, 0),
        Standing::Own => (1, 0),
        Standing::Repeats(of) => (2, of),
        Standing::Differs(of) => (3, of),
    }
}

fn standing_of(kind: u8, of: u32) -> Option<Standing> {
    Some(match kind {
        0 => Standing::Silent,
        1 => Standing::Own,
        2 => Standing::Repeats(of),
        3 => Standing::Differs(of),
        _ => return None,
    })
}

fn chunk_parts(standing: ChunkStanding) -> (u8, u32) {
    match standing {
        ChunkStanding::Silent => (0, 0),
        ChunkStanding::Speaks => (1, 0),
        ChunkStanding::Repeats(of) => (2, of),
    }
}
