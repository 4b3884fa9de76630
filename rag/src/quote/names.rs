//! What is called by a word and a number: `ward 3`, `hive 34`, `July 2029`.

use std::collections::BTreeSet;

use schemas::said::Said;
use schemas::words::{self, Word, WordKind};

/// Words with the numbers that stand after them.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Vec<Name>);

#[derive(Debug, Clone)]
struct Name {
    word: String,
    number: String,
    /// What comes after the number, if that says something: it may be what is counted.
    next: Option<String>,
}

impl Names {
    pub(super) fn of(text: &str) -> Self {
        let words = words::segment(text);
        let name = |at: usize| {
            let (word, number) = (words.get(at)?, words.get(at + 1)?);
            let is_word = word.kind == WordKind::Letters && !words::is_stop_word(&word.text) && word.text.len() > 1;
            let between = text.get(word.range.end..number.range.start)?;
            let is_name =
                is_word && number.kind == WordKind::Number && between.chars().all(|c| c.is_whitespace() || matches!(c, '-' | '#'));
            // a number with a unit measures something
            let said = Said::of_words(words.get(at + 1..words.len().min(at + 3))?).figures.quantities;
            let is_bare = said.first().is_some_and(|quantity| quantity.unit.is_none());
            let says = |next: &&Word| next.kind == WordKind::Letters && !words::is_stop_word(&next.text);
            let next = words.get(at + 2).filter(says).map(|next| next.text.clone());
            (is_name && is_bare).then(|| Name { word: word.text.clone(), number: number.text.clone(), next })
        };
        Self((0..words.len()).filter_map(name).collect())
    }

    /// Whether `text` says of another what is asked of one of these: `ward 4` where `ward 3` is asked about, and `ward 3` nowhere.
    pub(super) fn are_others_in(&self, text: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let said = Self::of(text).0;
        let words: BTreeSet<&str> = self.0.iter().map(|name| name.word.as_str()).collect();
        words.into_iter().any(|word| {
            let asked = || self.0.iter().filter(|name| name.word == word);
            let mut said = said.iter().filter(|name| name.word == word).peekable();
            // `store 10 boxes` and `store 20 boxes` count something
            let is_count = |one: &Name| one.next.is_some() && asked().any(|name| name.next == one.next);
            said.peek().is_some() && said.all(|one| !is_count(one) && asked().all(|name| name.number != one.number))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_is_told_by_its_number() {
        for (question, text, expected) in [
            ("What did hive 34 give?", "Hive 30 gave 34 kilograms.", true),
            ("What did hive 34 give?", "Hive 34 gave 25 kilograms.", false),
            ("What did hive 34 give?", "Hives 30 and hive 34 gave 25 kilograms.", false),
            ("How much in ward 9 in July 2029?", "Ward 9 had ten beds in July 2028.", true),
            ("How much in ward #9?", "Ward-9 had ten beds.", false),
            ("How cold is it in ward 9?", "The fridge is kept at 8 °C.", false),
            ("How cold is it at 9 in the ward?", "In the ward it is 5 °C at 10.", false),
            ("May I store 10 boxes?", "You may store 20 boxes in a room.", false),
            ("Which drugs are there?", "Ward 3 has drugs.", false),
            ("Is it kept at temperature 8 °C?", "It is kept at temperature 5 °C.", false),
        ] {
            assert_eq!(Names::of(question).are_others_in(text), expected, "{question} {text}");
        }
    }
}
