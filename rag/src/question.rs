//! What is asked, with what was said before it.
//!
//! The text that a receipt's hash is of has the earlier turns of a conversation that counted before the question. A question that needs
//! them (`How long does it last?`) finds nothing near by itself, and one that does not is only blurred by them: so a version is
//! searched with no, one, two and three of them, and the nearest passage decides which search counts: by a margin, for a longer
//! text is nearer to anything. That is a comparison of
//! numbers that stand in the version: it comes out again, in any language that the embedder serves.

use engine::Embedder;

use crate::open_version::Among;
use crate::{RagError, Result, index};

/// Stands between the turns of a conversation, and in none of them.
const BETWEEN: char = '\u{2029}';
/// Earlier turns that a search is formed with, at most.
const MAX_TURNS: usize = 3;
/// Of a measure of a sentence: measured by `measure_follow_ups` (`tests/conversations.rs`), as [`MARGIN_PPM`] is.
const TURNS_WEIGHT: f64 = 0.25;
/// By how much a passage that is found with earlier turns must be nearer than one without them, in parts per million of a cosine:
/// longer texts are nearer to anything.
pub(crate) const MARGIN_PPM: i64 = 50_000;

/// One way to search for what is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// What is asked, without what was said before.
    pub(crate) text: String,
    /// Followed by the earlier turns that are searched for along with it, the newest first: what an embedder has no room for is the oldest.
    pub(crate) searched: String,
    /// How many of the earlier turns, the newest, these are.
    pub(crate) turns: usize,
    /// Of `searched`: `[dimensions]`, length 1.
    pub(crate) vector: Vec<f32>,
    /// Of `searched`, distinct; those of the question come first.
    pub(crate) terms: Vec<String>,
    /// As `vector` and `terms`, of the question alone.
    pub(crate) own_vector: Vec<f32>,
    pub(crate) own_terms: Vec<String>,
    /// Who may answer.
    pub(crate) among: Among,
}

impl Question {
    /// Every way to search for the last turn of `conversation`: alone, and with one more of the earlier ones each time. Blocks.
    pub(crate) fn ways(conversation: &str, embedder: &dyn Embedder) -> Result<Vec<Self>> {
        let turns: Vec<&str> = conversation.rsplit(BETWEEN).take(MAX_TURNS + 1).collect();
        let texts: Vec<String> = (1..=turns.len()).map(|count| turns.iter().take(count).copied().collect::<Vec<_>>().join(" ")).collect();
        let vectors = embedder.embed_queries(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        if vectors.len() < texts.len() {
            return Err(RagError::Worker("the embedder gave no vector".into()));
        }
        let own_vector = vectors.first().cloned().unwrap_or_default();
        let mut own_terms = index::terms(last(conversation));
        own_terms.truncate(index::MAX_TERMS);
        let mut terms: Vec<String> = Vec::new();
        let ways = turns.iter().zip(texts).zip(vectors).enumerate().map(|(earlier, ((turn, searched), vector))| {
            terms.extend(index::terms(turn).into_iter().filter(|term| !terms.contains(term)).collect::<Vec<_>>());
            terms.truncate(index::MAX_TERMS);
            Self {
                text: last(conversation).to_owned(),
                searched,
                turns: earlier,
                vector,
                terms: terms.clone(),
                own_vector: own_vector.clone(),
                own_terms: own_terms.clone(),
                among: Among::default(),
            }
        });
        Ok(ways.collect())
    }

    /// A measure of a sentence, by the question alone and with the earlier turns that were searched for: these say what it is about, and
    /// what answers them is not asked for any more.
    pub(crate) fn measure(&self, alone: f64, with_turns: impl FnOnce() -> f64) -> f64 {
        if self.turns == 0 { alone } else { alone * (1.0 - TURNS_WEIGHT) + with_turns() * TURNS_WEIGHT }
    }

    /// A question that nothing was said before.
    #[cfg(test)]
    pub(crate) fn alone(text: &str, embedder: &dyn Embedder) -> Result<Self> {
        Ok(Self::ways(text, embedder)?.remove(0))
    }
}

/// A question after the newest of the turns before it that have at most so many bytes together, oldest first.
pub(crate) fn conversation(earlier: &[String], question: &str, max_bytes: usize) -> String {
    let mut left = max_bytes;
    let turns = earlier.iter().rev().map(|turn| turn.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|turn| !turn.is_empty());
    let mut turns: Vec<String> = turns
        .take(MAX_TURNS)
        .take_while(|turn| {
            let fits = turn.len() <= left;
            left = left.saturating_sub(turn.len());
            fits
        })
        .collect();
    turns.reverse();
    turns.push(question.replace(BETWEEN, " "));
    turns.join(&BETWEEN.to_string())
}

/// How many turns stand before the question.
pub(crate) fn turns(conversation: &str) -> usize {
    conversation.matches(BETWEEN).count()
}

/// The question with so many of the turns before it, the newest.
pub(crate) fn with_turns(conversation: &str, turns: usize) -> String {
    let mut kept: Vec<&str> = conversation.rsplit(BETWEEN).take(turns.saturating_add(1)).collect();
    kept.reverse();
    kept.join(&BETWEEN.to_string())
}

/// The question of a conversation.
pub(crate) fn last(conversation: &str) -> &str {
    conversation.rsplit(BETWEEN).next().unwrap_or_default()
}

/// A conversation as somebody reads it, each turn on a line of its own.
pub(crate) fn on_lines(conversation: &str) -> String {
    conversation.replace(BETWEEN, "\n")
}

#[cfg(test)]
mod tests {
    use engine::{EmbedderInfo, EngineError, HashingEmbedder};

    use super::*;

    /// Puts a prompt before questions, as some models do.
    #[derive(Debug)]
    struct Prompted(HashingEmbedder);

    impl Embedder for Prompted {
        fn info(&self) -> &EmbedderInfo {
            self.0.info()
        }

        fn embed(&self, texts: &[&str]) -> std::result::Result<Vec<Vec<f32>>, EngineError> {
            self.0.embed(texts)
        }

        fn embed_queries(&self, texts: &[&str]) -> std::result::Result<Vec<Vec<f32>>, EngineError> {
            let prompted: Vec<String> = texts.iter().map(|text| format!("query: {text}")).collect();
            self.0.embed(&prompted.iter().map(String::as_str).collect::<Vec<_>>())
        }

        fn count_tokens(&self, text: &str) -> std::result::Result<usize, EngineError> {
            self.0.count_tokens(text)
        }

        fn token_offsets(&self, text: &str) -> std::result::Result<Vec<(usize, usize)>, EngineError> {
            self.0.token_offsets(text)
        }
    }

    #[test]
    fn a_question_is_embedded_as_one() {
        let embedder = Prompted(HashingEmbedder::new());
        let ways = Question::ways("How cold is dry ice?", &embedder).unwrap();
        assert_eq!(ways.len(), 1);
        assert_eq!(ways[0].vector, embedder.0.embed(&["query: How cold is dry ice?"]).unwrap()[0]);
    }

    #[test]
    fn the_newest_turns_come_nearest_to_the_question() {
        let earlier: Vec<String> = ["one", " two\n\u{2029}words ", "", "three", "four"].map(String::from).to_vec();
        let text = conversation(&earlier, "How\u{2029}long?", 100);
        assert_eq!(on_lines(&text), "two words\nthree\nfour\nHow long?");
        assert_eq!(last(&text), "How long?");
        let embedder = HashingEmbedder::new();
        let ways = Question::ways(&text, &embedder).unwrap();
        let seen: Vec<(usize, &str, usize)> = ways.iter().map(|way| (way.turns, way.text.as_str(), way.terms.len())).collect();
        let terms = |text: &str| index::terms(text).len();
        let counts = ["How long?", "How long? four", "How long? four three", "How long? four three two words"].map(terms);
        assert_eq!(
            seen,
            [(0, "How long?", counts[0]), (1, "How long?", counts[1]), (2, "How long?", counts[2]), (3, "How long?", counts[3])]
        );
        assert_eq!(ways[2].vector, embedder.embed(&["How long? four three"]).unwrap()[0]);
        assert!(ways[3].terms.starts_with(&ways[2].terms));
        assert_eq!((turns(&text), on_lines(&with_turns(&text, 1)), with_turns(&text, 9)), (3, "four\nHow long?".to_owned(), text.clone()));
        assert_eq!((turns("alone"), with_turns("alone", 2)), (0, "alone".to_owned()));
    }

    #[test]
    fn what_does_not_fit_is_left_out_with_what_is_before_it() {
        let earlier: Vec<String> = ["a", "bbbb", "cc"].map(String::from).to_vec();
        assert_eq!(on_lines(&conversation(&earlier, "q", 5)), "cc\nq");
        assert_eq!(on_lines(&conversation(&earlier, "q", 6)), "bbbb\ncc\nq");
        assert_eq!(conversation(&[], "as it is\n", 0), "as it is\n");
    }
}
