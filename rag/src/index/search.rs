//! The best texts by BM25, exactly: the same ones with the same scores, however the index came to be.
//!
//! tantivy says which texts may be among them. It sums 32-bit numbers in an order that depends on what it met before, and what it
//! takes for the best of a block was the best for the mean length of that segment: so it is asked with room for both, and what it
//! finds is scored again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemas::ids::ChunkId;
use tantivy::postings::Postings;
use tantivy::query::{Bm25StatisticsProvider, BooleanQuery, EnableScoring, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, Score, SegmentReader, TantivyError, Term};

use super::{POSITION, TextIndex};
use crate::Result;
use crate::retrieve::Hit;

/// Terms of a question that are searched for; what comes after is ignored.
pub(crate) const MAX_TERMS: usize = 32;
/// Of tantivy's BM25: how soon a word that is repeated stops to count, and how much long texts lose.
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// How far tantivy's sum for [`MAX_TERMS`] may be from ours: this part of it, and this much beside, for its rarities of words that
/// nearly every text has are rounded.
const ROUNDING: f64 = 1e-5;

/// What tantivy takes for a term's greatest score is below it by this part of the mean length's inverse at most: it keeps lengths rounded
/// down by an eighth, so that a text of one word has it more often than the text is long.
const FLOORED: f64 = 0.12;

/// A term that is searched for.
struct Word {
    term: Term,
    rarity: f64,
}

/// The best scores so far, one of each chunk.
struct Best {
    limit: usize,
    /// Bits of the score, which is above zero, and whose it is.
    ranked: BTreeSet<(u32, ChunkId)>,
    scores: HashMap<ChunkId, u32>,
}

/// A text that may be among the best.
struct Found {
    doc: DocId,
    chunk: ChunkId,
    score: Score,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self { limit, ranked: BTreeSet::new(), scores: HashMap::new() }
    }

    fn take_in(&mut self, chunk: ChunkId, score: Score) {
        let bits = score.to_bits();
        if let Some(before) = self.scores.get(&chunk).copied() {
            if before >= bits {
                return;
            }
            self.ranked.remove(&(before, chunk));
        }
        self.ranked.insert((bits, chunk));
        self.scores.insert(chunk, bits);
        if self.ranked.len() > self.limit
            && let Some((_, worst)) = self.ranked.pop_first()
        {
            self.scores.remove(&worst);
        }
    }

    /// What tantivy scores no higher is none of the best, where its bounds for blocks are right but for this factor.
    fn threshold(&self, factor: f64) -> Score {
        match self.ranked.first() {
            #[expect(clippy::cast_possible_truncation, reason = "what is lost is far below the margin")]
            Some((bits, _)) if self.ranked.len() == self.limit => {
                ((f64::from(Score::from_bits(*bits)) * (1.0 - ROUNDING) - ROUNDING) / factor) as Score
            }
            _ => Score::MIN,
        }
    }
}

impl TextIndex {
    /// The best `limit` chunks by BM25 for the terms, best first, ties by chunk id. `sought` tells the chunk of a member by its
    /// position; of a member without one nothing is found. Rarities are those of all chunks. Blocks.
    pub(crate) fn search(&self, terms: &[String], limit: usize, sought: &dyn Fn(usize) -> Option<ChunkId>) -> Result<Vec<Hit>> {
        if terms.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let word = |text: &String| Ok(Word { term: Term::from_field_text(self.fields.text, text), rarity: self.rarity(text)? });
        let words = terms.iter().take(MAX_TERMS).map(word).collect::<Result<Vec<Word>>>()?;
        let scored = self.scored(&words, limit, sought)?;
        let mut scored: Vec<(f64, ChunkId)> = scored.into_iter().map(|(chunk, score)| (score, chunk)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.truncate(limit);
        // of a text that says every word, without end
        let greatest = words.iter().map(|word| word.rarity).sum::<f64>() * (K1 + 1.0);
        Ok(scored.into_iter().map(|(score, id)| Hit::new(id, score / greatest)).collect())
    }

    /// At least the best `limit` chunks, with their scores.
    fn scored(&self, words: &[Word], limit: usize, sought: &dyn Fn(usize) -> Option<ChunkId>) -> Result<BTreeMap<ChunkId, f64>> {
        let clause = |word: &Word| -> (Occur, Box<dyn Query>) {
            (Occur::Should, Box::new(TermQuery::new(word.term.clone(), IndexRecordOption::WithFreqs)))
        };
        let query = BooleanQuery::new(words.iter().map(clause).collect());
        let weight = query.weight(EnableScoring::enabled_from_searcher(&self.searcher))?;
        let mean = mean_length(self.searcher.total_num_tokens(self.fields.text)?, self.searcher.num_docs());
        let mut best = Best::new(limit);
        let mut found: Vec<Vec<Found>> = Vec::new();
        for segment in self.searcher.segment_readers() {
            let positions = segment.fast_fields().u64(POSITION)?;
            let own = mean_length(segment.inverted_index(self.fields.text)?.total_num_tokens(), u64::from(segment.max_doc()));
            let factor = (mean / own).max(own / mean) * (1.0 + FLOORED / mean);
            let mut here = Vec::new();
            weight.for_each_pruning(best.threshold(factor), segment, &mut |doc, score| {
                let position = positions.first(doc).and_then(|position| usize::try_from(position).ok());
                if let Some(chunk) = position.and_then(sought) {
                    here.push(Found { doc, chunk, score });
                    best.take_in(chunk, score);
                }
                best.threshold(factor)
            })?;
            found.push(here);
        }
        let threshold = best.threshold(1.0);
        let mut scored = BTreeMap::new();
        for (segment, mut found) in self.searcher.segment_readers().iter().zip(found) {
            found.retain(|found| found.score > threshold);
            for (Found { chunk, .. }, score) in found.iter().zip(self.scores(segment, words, &found, mean)?) {
                let kept = scored.entry(*chunk).or_insert(score);
                *kept = score.max(*kept);
            }
        }
        Ok(scored)
    }

    /// BM25 of texts of one segment, in its order, where texts have `mean` words.
    fn scores(&self, segment: &SegmentReader, words: &[Word], found: &[Found], mean: f64) -> Result<Vec<f64>, TantivyError> {
        let mut scores = vec![0.0; found.len()];
        let lengths = segment.get_fieldnorms_reader(self.fields.text)?;
        let index = segment.inverted_index(self.fields.text)?;
        for word in words {
            let Some(mut texts) = index.read_postings(&word.term, IndexRecordOption::WithFreqs)? else { continue };
            for (Found { doc, .. }, score) in found.iter().zip(&mut scores) {
                if texts.doc() < *doc {
                    texts.seek(*doc);
                }
                if texts.doc() == *doc {
                    let often = f64::from(texts.term_freq());
                    let length = f64::from(lengths.fieldnorm(*doc)) / mean;
                    *score += word.rarity * (K1 + 1.0) * often / (often + K1 * (1.0 - B + B * length));
                }
            }
        }
        Ok(scores)
    }

    /// BM25's inverse document frequency of a term, above zero: ln(1 + (N − n + ½) / (n + ½)).
    pub(crate) fn rarity(&self, term: &str) -> Result<f64> {
        let with = self.searcher.doc_freq(&Term::from_field_text(self.fields.text, term))?;
        #[expect(clippy::cast_precision_loss, reason = "counts of chunks are far below 2^53")]
        let (all, with) = (self.searcher.num_docs() as f64, with as f64);
        Ok((1.0 + (all - with + 0.5) / (with + 0.5)).ln())
    }
}

/// Words of a text in the mean; of no text, or of texts without words, 1: nothing is found among them.
fn mean_length(words: u64, texts: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of words are far below 2^53")]
    let mean = words.max(1) as f64 / texts.max(1) as f64;
    mean
}
