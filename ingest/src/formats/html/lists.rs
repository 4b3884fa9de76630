//! The numbers of ordered lists, as a browser counts them.

use super::style::Style;
use super::tree::{Element, NodeId, Tree};

#[derive(Debug)]
pub(super) struct List {
    next: i64,
    step: i64,
    style: char,
}

impl List {
    pub(super) fn of(tree: &Tree, id: NodeId, element: &Element) -> Self {
        let items = || tree.children(id).iter().filter(|child| tree.element(**child).is_some_and(|child| child.html_name() == "li"));
        let reversed = element.attribute("reversed").is_some();
        let start = whole(element.attribute("start")).unwrap_or_else(|| if reversed { items().count() as i64 } else { 1 });
        let style = numbering(element).unwrap_or('1');
        Self { next: start, step: if reversed { -1 } else { 1 }, style }
    }

    /// What the next item begins with.
    pub(super) fn number(&mut self, item: &Element) -> String {
        let number = whole(item.attribute("value")).unwrap_or(self.next);
        self.next = number.saturating_add(self.step);
        let style = numbering(item).unwrap_or(self.style);
        let written = match style {
            'a' => alphabetic(number, b'a'),
            'A' => alphabetic(number, b'A'),
            'i' => roman(number).map(|roman| roman.to_lowercase()),
            'I' => roman(number),
            _ => None,
        };
        format!("{}. ", written.unwrap_or_else(|| number.to_string()))
    }
}

/// How an element's own style or type says that items are numbered.
fn numbering(element: &Element) -> Option<char> {
    let by_type = || element.attribute("type").and_then(|style| style.trim().chars().next());
    Style::of(element.attribute("style")).numbering.or_else(by_type)
}

fn whole(value: Option<&str>) -> Option<i64> {
    value?.trim().parse::<i32>().ok().map(i64::from)
}

/// a, b, … z, aa; nothing below 1.
fn alphabetic(number: i64, first: u8) -> Option<String> {
    let mut rest = u64::try_from(number).ok().filter(|number| *number > 0)?;
    let mut letters = Vec::new();
    while rest > 0 {
        rest -= 1;
        // below 26
        letters.push(char::from(first + u8::try_from(rest % 26).unwrap_or_default()));
        rest /= 26;
    }
    Some(letters.into_iter().rev().collect())
}

/// Roman numerals from 1 to 3999.
fn roman(number: i64) -> Option<String> {
    const SIGNS: &[(u64, &str)] = &[
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut rest = u64::try_from(number).ok().filter(|number| (1..4000).contains(number))?;
    let mut written = String::new();
    for (value, sign) in SIGNS {
        while rest >= *value {
            written.push_str(sign);
            rest -= value;
        }
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_a_browser_does() {
        assert_eq!((alphabetic(1, b'a'), alphabetic(27, b'A'), alphabetic(0, b'a')), (Some("a".into()), Some("AA".into()), None));
        assert_eq!((roman(1994), roman(0), roman(4000)), (Some("MCMXCIV".into()), None, None));
    }
}
