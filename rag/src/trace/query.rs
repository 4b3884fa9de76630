//! A text that is traced, as tokens, and which of its spans are shown.

use std::ops::Range;

use super::tokens::{Token, is_paragraph_end, is_sentence_end, tokens};
use crate::{RagError, Result};

/// Words of a span at least, where the caller does not say: shorter ones are mostly turns of speech, which many write
/// independently. (OLMoTrace shows spans of 10 tokens on average, and knows no least length.)
pub(super) const AT_LEAST_DEFAULT: usize = 6;
const AT_LEAST_MAX: usize = 1_000;
/// Spans that are shown, in parts per million of the text's tokens, where the caller does not say: OLMoTrace's.
pub(super) const DENSITY_PPM_DEFAULT: u64 = 50_000;
const DENSITY_PPM_MAX: u64 = schemas::allocation::PPM;

/// A text and what is asked of it.
#[derive(Debug)]
pub(crate) struct Query {
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
    /// Of each token: where the sentence that it stands in ends.
    sentence_ends: Vec<usize>,
    /// Words before each token, and in all.
    words_before: Vec<usize>,
    at_least: usize,
    density_ppm: u64,
}

/// A span of the text that stands in some member: its tokens, of which so many are words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) tokens: Range<usize>,
    pub(super) words: usize,
}

impl Query {
    /// # Errors
    /// [`RagError::Parameter`] for a text without a token or of more than `max_bytes`, and for numbers out of bounds.
    pub(crate) fn read(text: &str, at_least: Option<usize>, density_ppm: Option<u64>, max_bytes: usize) -> Result<Self> {
        let wrong = |parameter: &'static str, problem: String| RagError::Parameter { parameter, problem };
        let (at_least, density_ppm) = (at_least.unwrap_or(AT_LEAST_DEFAULT), density_ppm.unwrap_or(DENSITY_PPM_DEFAULT));
        if !(1..=AT_LEAST_MAX).contains(&at_least) {
            return Err(wrong("at_least", format!("{at_least} words; use 1 to {AT_LEAST_MAX}")));
        }
        if !(1..=DENSITY_PPM_MAX).contains(&density_ppm) {
            return Err(wrong("density_ppm", format!("{density_ppm}; use 1 to {DENSITY_PPM_MAX}")));
        }
        if text.len() > max_bytes {
            return Err(wrong("text", format!("it has {} bytes; at most {max_bytes} are traced at once", text.len())));
        }
        let (tokens, signs): (Vec<Token>, Vec<bool>) = tokens(text).map(|(token, text)| (token, is_sentence_end(text))).unzip();
        if tokens.is_empty() {
            return Err(wrong("text", "it is empty".into()));
        }
        let mut words_before = vec![0];
        words_before.extend(tokens.iter().scan(0, |words, token| {
            *words += usize::from(token.is_word);
            Some(*words)
        }));
        let sentence_ends = sentence_ends(text, &tokens, &signs);
        Ok(Self { text: text.to_owned(), tokens, sentence_ends, words_before, at_least, density_ppm })
    }

    /// Bytes of the text.
    pub(super) fn range(&self, tokens: &Range<usize>) -> Range<usize> {
        let token = |at: Option<usize>| at.and_then(|at| self.tokens.get(at)).map(|token| token.range.clone()).unwrap_or_default();
        token(Some(tokens.start)).start..token(tokens.end.checked_sub(1)).end
    }

    pub(super) fn token_text(&self, at: usize) -> &str {
        self.tokens.get(at).and_then(|token| self.text.get(token.range.clone())).unwrap_or_default()
    }

    /// Where the sentence ends that a token stands in: no span that begins with the token goes further.
    pub(super) fn sentence_end(&self, at: usize) -> usize {
        self.sentence_ends.get(at).copied().unwrap_or(at)
    }

    #[cfg(test)]
    pub(super) fn at_least(&self) -> usize {
        self.at_least
    }

    pub(super) fn words(&self) -> usize {
        self.words_in(&(0..self.tokens.len()))
    }

    fn words_in(&self, tokens: &Range<usize>) -> usize {
        let before = |at: usize| self.words_before.get(at).copied().unwrap_or_default();
        before(tokens.end).saturating_sub(before(tokens.start))
    }

    fn is_word(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_word)
    }

    /// The spans of at least as many words as was asked for, of which none is inside another, in order. They begin with a word and
    /// end with one, or with the sign that ends a sentence. `reach` is how far what begins with a token stands somewhere.
    pub(super) fn maximal(&self, reach: impl Fn(usize) -> usize) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut furthest = 0;
        for start in (0..self.tokens.len()).filter(|at| self.is_word(*at)) {
            let mut end = reach(start).min(self.sentence_end(start));
            let is_end = |end: usize| self.is_word(end - 1) || is_sentence_end(self.token_text(end - 1));
            while end > start && !is_end(end) {
                end -= 1;
            }
            if end > furthest {
                furthest = end;
                let (tokens, words) = (start..end, self.words_in(&(start..end)));
                if words >= self.at_least {
                    spans.push(Span { tokens, words });
                }
            }
        }
        spans
    }

    /// How much of the text's words stand in these spans, which are in order.
    pub(super) fn coverage_ppm(&self, spans: &[Span]) -> u64 {
        let (mut covered, mut until) = (0, 0);
        for Span { tokens, .. } in spans {
            covered += self.words_in(&(tokens.start.max(until)..tokens.end));
            until = tokens.end;
        }
        let words = self.words().max(1) as u64;
        covered as u64 * schemas::allocation::PPM / words
    }

    /// The spans that are shown, in order: as many as the density allows, `max` at most, of those with the greatest `rarity`.
    pub(super) fn chosen<'a>(&self, spans: &'a [Span], rarity: impl Fn(&Span) -> f64, max: usize) -> Vec<(&'a Span, f64)> {
        let wanted = (self.tokens.len() as u64 * self.density_ppm).div_ceil(schemas::allocation::PPM).max(1);
        let mut chosen: Vec<(&Span, f64)> = spans.iter().map(|span| (span, rarity(span))).collect();
        chosen.sort_by(|(a, of_a), (b, of_b)| of_b.total_cmp(of_a).then(a.tokens.start.cmp(&b.tokens.start)));
        chosen.truncate(usize::try_from(wanted).unwrap_or(usize::MAX).min(max));
        chosen.sort_by_key(|(span, _)| span.tokens.start);
        chosen
    }
}

/// Of each token: the end of its sentence, which is after the first sign that ends one, or before the first empty line.
fn sentence_ends(text: &str, tokens: &[Token], signs: &[bool]) -> Vec<usize> {
    let mut ends = vec![tokens.len(); tokens.len()];
    let mut end = tokens.len();
    for at in (0..tokens.len()).rev() {
        let here = tokens.get(at).map_or(0, |token| token.range.end);
        let next = tokens.get(at + 1).map_or(here, |token| token.range.start);
        if signs.get(at) == Some(&true) || is_paragraph_end(text.get(here..next).unwrap_or_default()) {
            end = at + 1;
        }
        if let Some(place) = ends.get_mut(at) {
            *place = end;
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str, at_least: usize) -> Query {
        Query::read(text, Some(at_least), None, 1_000).unwrap()
    }

    fn texts<'a>(query: &'a Query, spans: &[Span]) -> Vec<&'a str> {
        let of = |at: usize| &query.tokens[at].range;
        spans.iter().map(|span| &query.text[of(span.tokens.start).start..of(span.tokens.end - 1).end]).collect()
    }

    #[test]
    fn spans_end_with_their_sentence_and_begin_and_end_with_words() {
        for (text, expected) in [
            ("one two, three. four five\n \r\nsix seven\neight", vec!["one two, three.", "four five", "six seven\neight"]),
            ("( one two ) , \" . three?! four", vec!["one two ) , \" .", "three?", "four"]),
            ("one two (", vec!["one two"]),
            ("疫苗。冷藏", vec!["疫苗。", "冷藏"]),
            ("... !", vec![]),
        ] {
            let query = query(text, 1);
            assert_eq!(texts(&query, &query.maximal(|_| usize::MAX)), expected, "{text:?}");
        }
    }

    #[test]
    fn no_span_is_inside_another_and_short_ones_are_left_out() {
        let query = query("a b c d e f", 3);
        let spans = query.maximal(|at| [2, 5, 5, 4, 6, 6][at]);
        assert_eq!(spans, [Span { tokens: 1..5, words: 4 }]);
        assert_eq!(query.coverage_ppm(&spans), 666_666);
        let spans = query.maximal(|at| [4, 5, 6, 6, 6, 6][at]);
        assert_eq!(texts(&query, &spans), ["a b c d", "b c d e", "c d e f"]);
        assert_eq!(query.coverage_ppm(&spans), 1_000_000);
    }

    #[test]
    fn the_rarest_are_shown_in_order() {
        let query = Query::read("a b c d e f g h", Some(1), Some(250_000), 1_000).unwrap();
        let spans = query.maximal(|at| at + 1);
        let rarity = |span: &Span| [1.0, 5.0, 2.0, 5.0, 3.0, 5.0, 0.0, 0.0][span.tokens.start];
        let starts = |max| query.chosen(&spans, rarity, max).iter().map(|(span, _)| span.tokens.start).collect::<Vec<usize>>();
        assert_eq!((starts(9), starts(1)), (vec![1, 3], vec![1]));
    }

    #[test]
    fn what_cannot_be_traced_is_told_by_its_parameter() {
        for (text, at_least, density_ppm, name) in [
            ("", None, None, "text"),
            (" \n\t\u{2028}", None, None, "text"),
            ("0123456789a", None, None, "text"),
            ("a", Some(0), None, "at_least"),
            ("a", Some(1_001), None, "at_least"),
            ("a", None, Some(0), "density_ppm"),
            ("a", None, Some(1_000_001), "density_ppm"),
        ] {
            let error = Query::read(text, at_least, density_ppm, 10).unwrap_err();
            assert!(matches!(&error, RagError::Parameter { parameter, .. } if *parameter == name), "{error}");
        }
    }
}
