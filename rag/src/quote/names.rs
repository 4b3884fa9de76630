//! What is called by a word and a number: `ward 3`, `hive 34`, `July 2029`.

use schemas::said::{Figures, Said};
use schemas::words::{self, WordKind};

/// Words with the numbers that stand after them.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Vec<Name>);

#[derive(Debug, Clone)]
struct Name {
    word: String,
    number: String,
}

impl Names {
    pub(super) fn of(text: &str) -> Self {
        let words = words::segment(text);
        let figures = Said::of_words(&words).figures;
        // a number with a unit measures something, and so does the 2 of `between 2 and 8 °C`
        let is_bare = |number: &String| figures.quantities.iter().any(|quantity| quantity.unit.is_none() && quantity.number == *number);
        let name = |at: usize| {
            let (word, number) = (words.get(at)?, words.get(at + 1)?);
            let between = text.get(word.range.end..number.range.start)?;
            let is_name = word.kind == WordKind::Letters
                && number.kind == WordKind::Number
                && !words::is_stop_word(&word.text)
                && between.chars().all(|c| c.is_whitespace() || matches!(c, '-' | '#'));
            let quantity = is_name.then(|| Said::of_words(std::slice::from_ref(number)).figures.quantities.into_iter().next())??;
            Some(Name { word: word.text.clone(), number: quantity.number }).filter(|name| is_bare(&name.number))
        };
        Self((0..words.len()).filter_map(name).collect())
    }

    /// Whether `text`, with these figures, says of another what is asked of one of these: `hive 30` where `hive 34` is asked about, and has
    /// that number for a measure alone.
    pub(super) fn are_others_in(&self, text: &str, figures: &Figures) -> bool {
        let is_measure = |name: &Name| {
            let mut same = figures.quantities.iter().filter(|quantity| quantity.number == name.number).peekable();
            same.peek().is_some() && same.all(|quantity| quantity.unit.is_some())
        };
        let is_other = |name: &&Name| is_measure(name) && Self::of(text).0.iter().any(|said| said.word == name.word);
        self.0.iter().any(|name| is_other(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_is_no_name() {
        for (question, text, expected) in [
            ("What did hive 34 give?", "Hive 30 gave 34 kilograms.", true),
            ("What did hive #34 give?", "Hive 30 gave 34 kilograms.", true),
            ("What did hive 34 give?", "Hive 34 gave 34 kilograms.", false),
            ("What did hive 34 give?", "Hive 30 gave 25 kilograms.", false),
            ("Which hive gave 34 kilograms?", "Hive 30 gave 34 kilograms.", false),
            ("Should everyone over 65 get it?", "Everyone over 60 should get it.", false),
            ("Is it kept at temperature 8 °C?", "It is kept at temperature 8 °C.", false),
            ("Is it kept at 8?", "It is kept at 8 °C.", false),
            ("How long is it between 2 and 8 degrees Celsius?", "It is kept between 2 and 8 degrees Celsius for 31 hours.", false),
            ("Is it between 2 and 8?", "It is kept between 2 and 8 °C.", false),
        ] {
            assert_eq!(Names::of(question).are_others_in(text, &Said::of(text).figures), expected, "{question} {text}");
        }
    }
}
