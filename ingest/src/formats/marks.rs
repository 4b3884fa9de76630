//! What is to be known about parts of a text, found by where they are: a page can have a million marks, and twenty thousand
//! chunks that ask for theirs.

use std::collections::BTreeMap;
use std::ops::Range;

/// A range of the text, empty where something was left out, and what is to be known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub range: Range<usize>,
    pub flag: &'static str,
}

/// All marks of a text.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    by_flag: BTreeMap<&'static str, Places>,
}

/// Where one flag is.
#[derive(Debug, Default)]
struct Places {
    /// Starts, in order; with each the last end of those up to it.
    ranges: Vec<(usize, usize)>,
    /// Where something was left out, in order.
    points: Vec<usize>,
}

impl Marks {
    pub(super) fn of(marks: Vec<Mark>) -> Self {
        let mut by_flag: BTreeMap<&'static str, Places> = BTreeMap::new();
        for Mark { range, flag } in marks {
            let places = by_flag.entry(flag).or_default();
            if range.is_empty() { places.points.push(range.start) } else { places.ranges.push((range.start, range.end)) }
        }
        for places in by_flag.values_mut() {
            places.points.sort_unstable();
            places.ranges.sort_unstable();
            let mut last_end = 0;
            for (_, end) in &mut places.ranges {
                last_end = last_end.max(*end);
                *end = last_end;
            }
        }
        Self { by_flag }
    }

    /// The flags of what is marked in a range of the text, sorted, each once.
    pub(super) fn flags(&self, text: &Range<usize>) -> Vec<&'static str> {
        self.by_flag.iter().filter(|(_, places)| places.touch(text)).map(|(flag, _)| *flag).collect()
    }
}

impl Places {
    fn touch(&self, text: &Range<usize>) -> bool {
        let begun = self.ranges.partition_point(|(start, _)| *start < text.end);
        let reaches = begun.checked_sub(1).and_then(|last| self.ranges.get(last)).is_some_and(|(_, end)| text.start < *end);
        let before = self.points.partition_point(|point| *point <= text.end);
        reaches || before.checked_sub(1).and_then(|last| self.points.get(last)).is_some_and(|point| text.start <= *point)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_touches_a_range_is_found(
            marks in proptest::collection::vec((0_usize..40, 0_usize..6, 0_usize..2), 0..30),
            start in 0_usize..40,
            len in 1_usize..10,
        ) {
            let marks: Vec<Mark> = marks
                .into_iter()
                .map(|(start, len, flag)| Mark { range: start..start + len, flag: ["formula", "left_out"][flag] })
                .collect();
            let text = start..start + len;
            let touches = |mark: &&Mark| {
                let inside = mark.range.start < text.end && text.start < mark.range.end;
                if mark.range.is_empty() { (text.start..=text.end).contains(&mark.range.start) } else { inside }
            };
            let mut expected: Vec<&str> = marks.iter().filter(touches).map(|mark| mark.flag).collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(Marks::of(marks).flags(&text), expected);
        }
    }
}
