//! What a text says, as a set that can be counted: the content words of `words/2`, with each number
//! put together with its unit. `31 days`, `10 weeks` and `31 weeks` are three things to say.
//!
//! Here is decided when two texts that share their words say something else all the same: another
//! number, another unit, a negation more or less. Ingest asks it of chunks, rag of sentences.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::words::{self, Word, WordKind};

/// Units as they are written, in one form each; a symbol before the name is part of it. Everything else
/// that follows a number is a word.
const UNITS: &[(&str, &str)] = &[
    ("second", "s seconds sec secs"),
    ("minute", "minutes min mins"),
    ("hour", "hours h hr hrs"),
    ("day", "days d"),
    ("week", "weeks wk wks"),
    ("month", "months mo"),
    ("year", "years yr yrs"),
    ("celsius", "c °c degree degrees ° centigrade"),
    ("fahrenheit", "f °f"),
    ("kelvin", "k"),
    ("percent", "%"),
    ("permille", "‰"),
    ("microgram", "µg ug mcg micrograms μg"),
    ("milligram", "mg milligrams"),
    ("gram", "g grams"),
    ("kilogram", "kg kilograms"),
    ("tonne", "t tonnes"),
    ("millilitre", "ml millilitres milliliter milliliters"),
    ("litre", "l litres liter liters"),
    ("millimetre", "mm millimetres"),
    ("centimetre", "cm centimetres"),
    ("metre", "m metres meter meters"),
    ("kilometre", "km kilometres"),
    ("millimole", "mmol"),
    ("unit", "units iu"),
    ("bar", "bars"),
    ("millibar", "mbar"),
    ("kilopascal", "kpa"),
    ("volt", "v volts"),
    ("watt", "w watts"),
    ("kilowatt", "kw kilowatts"),
    ("euro", "€ eur euros"),
    ("dollar", "$ usd dollars"),
    ("pound", "£ gbp pounds"),
];

/// Numbers that are written out. `one` is a pronoun more often than a number.
const SPELLED: &[(&str, &str)] = &[
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
    ("eleven", "11"),
    ("twelve", "12"),
    ("fifteen", "15"),
    ("twenty", "20"),
    ("thirty", "30"),
    ("forty", "40"),
    ("fifty", "50"),
    ("sixty", "60"),
    ("ninety", "90"),
    ("hundred", "100"),
    ("thousand", "1000"),
];

/// The name of a unit, as quantities have it.
pub fn unit_named(name: &str) -> Option<&'static str> {
    UNITS.iter().map(|(unit, _)| *unit).find(|unit| *unit == name)
}

/// A number and what it counts, where that is a known unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    pub number: String,
    pub unit: Option<&'static str>,
}

impl Quantity {
    /// The same number, and no other unit.
    fn agrees(&self, other: &Self) -> bool {
        self.number == other.number && (self.unit == other.unit || self.unit.is_none() || other.unit.is_none())
    }

    /// The quantity that was kept as its number and unit; none where the unit is not one of ours.
    pub fn of_parts(number: &str, unit: &str) -> Option<Self> {
        let unit = if unit.is_empty() { None } else { Some(UNITS.iter().find(|(name, _)| *name == unit)?.0) };
        Some(Self { number: number.to_owned(), unit })
    }

    /// As one of [`Said::tokens`].
    pub fn token(&self) -> String {
        self.unit.map_or_else(|| self.number.clone(), |unit| format!("{} {unit}", self.number))
    }
}

/// The numbers and negations of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Figures {
    /// In the order of the text.
    pub quantities: Vec<Quantity>,
    pub negations: usize,
}

impl Figures {
    /// Whether this, said of what `earlier` says in about the same words, says something else: another number or
    /// unit in the place of one, a number where there was none, the same numbers in another order, or a negation
    /// more or less. What only leaves numbers out says less, not something else.
    pub fn differ(&self, earlier: &Self) -> bool {
        if self.negations != earlier.negations {
            return true;
        }
        let holds = |all: &[Quantity], one: &Quantity| all.iter().any(|other| other.agrees(one));
        let new = self.quantities.iter().any(|quantity| !holds(&earlier.quantities, quantity));
        let lost = earlier.quantities.iter().any(|quantity| !holds(&self.quantities, quantity));
        if new {
            return lost || earlier.quantities.is_empty();
        }
        let mut rest = earlier.quantities.iter();
        !self.quantities.iter().all(|quantity| rest.any(|other| other.agrees(quantity)))
    }

    /// `2-8 °C` and `between 2 and 8 °C` say degrees of both: of two numbers with at most a joining word between them, the
    /// first has the unit of the second where it has none. `words` are those that the numbers were read from.
    fn share_units(&mut self, words: &[Word]) {
        let mut joined = Vec::new();
        let mut between: Option<usize> = None;
        for word in words {
            if number(word).is_some() {
                joined.push(between == Some(0));
                between = Some(0);
            } else if let Some(between) = between.as_mut() {
                *between += usize::from(!matches!(word.text.as_str(), "to" | "and" | "or" | "bis" | "und" | "a" | "et"));
            }
        }
        for later in (1..self.quantities.len()).rev() {
            let unit = self.quantities.get(later).and_then(|quantity| quantity.unit);
            if let (Some(true), Some(quantity)) = (joined.get(later), self.quantities.get_mut(later - 1))
                && quantity.unit.is_none()
            {
                quantity.unit = unit;
            }
        }
    }
}

/// What a text says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Content words and quantities, each once.
    pub tokens: BTreeSet<String>,
    pub figures: Figures,
}

impl Said {
    pub fn of(text: &str) -> Self {
        Self::of_words(&words::segment(text))
    }

    /// Of a text that is segmented already.
    pub fn of_words(words: &[Word]) -> Self {
        let (mut tokens, mut figures) = (BTreeSet::new(), Figures::default());
        let mut at = 0;
        while let Some(word) = words.get(at) {
            at += 1;
            let rest = words.get(at..).unwrap_or_default();
            if let Some((quantity, length)) = quantity(word, rest) {
                at += length;
                figures.quantities.push(quantity);
                continue;
            }
            figures.negations += usize::from(words::is_negation(&word.text));
            if !words::is_stop_word(&word.text) {
                tokens.insert(word.text.clone());
            }
        }
        figures.share_units(words);
        tokens.extend(figures.quantities.iter().map(Quantity::token));
        Self { tokens, figures }
    }

    /// Tokens that both have.
    pub fn shared(&self, other: &Self) -> usize {
        self.tokens.intersection(&other.tokens).count()
    }

    /// The words without quantities and negations: what a correction leaves as it is.
    pub fn subject(&self) -> BTreeSet<&str> {
        let quantities: BTreeSet<String> = self.figures.quantities.iter().map(Quantity::token).collect();
        let plain = |token: &&String| !quantities.contains(*token) && !words::is_negation(token);
        self.tokens.iter().filter(plain).map(String::as_str).collect()
    }
}

/// The quantity that `word` begins, and how many words of `rest` belong to it.
fn quantity(word: &Word, rest: &[Word]) -> Option<(Quantity, usize)> {
    if let Some(number) = number(word) {
        let (unit, length) = unit(rest);
        return Some((Quantity { number, unit }, length));
    }
    // the sign of a currency stands first
    let currency = matches!(word.text.as_str(), "€" | "$" | "£").then(|| named(&word.text)).flatten()?;
    Some((Quantity { number: number(rest.first()?)?, unit: Some(currency) }, 1))
}

fn number(word: &Word) -> Option<String> {
    if word.kind == WordKind::Number && !word.text.starts_with('^') {
        return Some(word.text.clone());
    }
    SPELLED.iter().find(|(spelled, _)| *spelled == word.text).map(|(_, digits)| (*digits).to_owned())
}

/// The unit that `rest` begins with, and how many words it takes.
fn unit(rest: &[Word]) -> (Option<&'static str>, usize) {
    let text = |at: usize| rest.get(at).map(|word| word.text.as_str());
    match (text(0), text(1)) {
        (Some("°" | "degree" | "degrees"), Some(scale)) => match named(scale) {
            Some(scale @ ("celsius" | "fahrenheit" | "kelvin")) => (Some(scale), 2),
            _ => (Some("celsius"), 1),
        },
        (Some("per"), Some("cent")) => (Some("percent"), 2),
        (Some(name), _) => named(name).map_or((None, 0), |unit| (Some(unit), 1)),
        (None, _) => (None, 0),
    }
}

fn named(written: &str) -> Option<&'static str> {
    UNITS.iter().find(|(unit, forms)| *unit == written || forms.split(' ').any(|form| form == written)).map(|(unit, _)| *unit)
}

/// How many elements two sorted sets share.
pub fn common<T: Ord>(a: &[T], b: &[T]) -> usize {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut both = 0;
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match x.cmp(y) {
            Ordering::Less => _ = a.next(),
            Ordering::Greater => _ = b.next(),
            Ordering::Equal => {
                both += 1;
                a.next();
                b.next();
            }
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> String {
        Said::of(text).tokens.into_iter().collect::<Vec<_>>().join("|")
    }

    #[test]
    fn numbers_go_with_their_units() {
        assert_eq!(tokens("Keep it for 31 days."), "31 day|keep");
        assert_eq!(tokens("2-8 °C"), "2 celsius|8 celsius");
        assert_eq!(tokens("between 2 and 8 °C"), "2 celsius|8 celsius|between");
        assert_eq!(tokens("2 °C to 8 °C"), "2 celsius|8 celsius");
        assert_eq!(tokens("at -20 degrees Celsius, 50 % humidity"), "-20 celsius|50 percent|humidity");
        assert_eq!(tokens("ten weeks, € 5, 40 boxes"), "10 week|40|5 euro|boxes");
    }

    #[test]
    fn a_correction_says_something_else() {
        let differs = |later: &str, earlier: &str| Said::of(later).figures.differ(&Said::of(earlier).figures);
        let kept = "The opened vial keeps for 31 days in the refrigerator.";
        assert!(differs("The opened vial keeps for 10 weeks in the refrigerator.", kept));
        assert!(differs("The opened vial keeps for 31 weeks in the refrigerator.", kept));
        assert!(differs("The opened vial does not keep for 31 days in the refrigerator.", kept));
        assert!(differs("The opened vial keeps for 31 days.", "The opened vial keeps."));
        assert!(differs("20 mg of A, 10 mg of B", "10 mg of A, 20 mg of B"));
        // the same, said in other words, with more of them, or with less
        assert!(!differs("For 31 days an opened vial is good.", kept));
        assert!(!differs("The opened vial keeps in the refrigerator.", kept));
        assert!(!differs("It is 2-8 °C.", "It is 2 °C to 8 °C."));
        assert!(!differs("It keeps for 31 days, see note 7.", kept));
    }

    #[test]
    fn the_subject_of_a_correction_stays() {
        let subject = |text: &str| Said::of(text).subject().into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(subject("The vial keeps for 31 days."), subject("The vial never keeps for 10 weeks."));
        assert_ne!(subject("Glargine keeps for 31 days."), subject("Lispro keeps for 28 days."));
    }
}
