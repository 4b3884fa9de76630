//! Which bytes of the uploaded file each part of the text was read from.

use std::ops::Range;

/// Runs of text in order, each with its bytes in the file, which a page can show in another order than it
/// spells them. Text between runs is separators and signs that stand for no bytes.
#[derive(Debug, Default)]
pub(crate) struct SourceMap {
    runs: Vec<Run>,
}

#[derive(Debug, PartialEq, Eq)]
struct Run {
    text: Range<usize>,
    source: Range<usize>,
    /// Byte for byte the same in both; otherwise decoded: the run as a whole stands for its bytes.
    verbatim: bool,
}

impl SourceMap {
    /// `len` bytes at `text_start` are the file's bytes at `source_start`.
    pub(crate) fn push_verbatim(&mut self, text_start: usize, source_start: usize, len: usize) {
        if let Some(last) = self.runs.last_mut()
            && last.verbatim
            && last.text.end == text_start
            && last.source.end == source_start
        {
            last.text.end += len;
            last.source.end += len;
            return;
        }
        let (text, source) = (text_start..text_start + len, source_start..source_start + len);
        self.runs.push(Run { text, source, verbatim: true });
    }

    /// `text` was decoded from `source`; what one entity decodes to is one run, even when it comes in parts.
    pub(crate) fn push_decoded(&mut self, text: Range<usize>, source: Range<usize>) {
        if let Some(last) = self.runs.last_mut()
            && !last.verbatim
            && last.text.end == text.start
            && last.source == source
        {
            last.text.end = text.end;
            return;
        }
        self.runs.push(Run { text, source, verbatim: false });
    }

    /// The bytes that `text` was read from, and what lies between them: exact within verbatim runs, the whole of
    /// a decoded one it touches.
    pub(crate) fn source(&self, text: Range<usize>) -> Range<usize> {
        let first = self.runs.partition_point(|run| run.text.end <= text.start);
        let after = self.runs.partition_point(|run| run.text.start < text.end);
        let touched = self.runs.get(first..after).unwrap_or_default().iter().map(|run| {
            if !run.verbatim {
                return run.source.clone();
            }
            let skipped = text.start.saturating_sub(run.text.start);
            let end = run.source.start + (text.end.min(run.text.end) - run.text.start);
            run.source.start + skipped..end
        });
        touched.reduce(|all, run| all.start.min(run.start)..all.end.max(run.end)).unwrap_or(0..0)
    }
}

#[cfg(test)]
impl SourceMap {
    /// Text range, source range, and whether they are byte for byte the same.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>, bool)> {
        self.runs.iter().map(|run| (run.text.clone(), run.source.clone(), run.verbatim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_traced_back() {
        // text "ab&cd" from the file "--ab&amp;cd"
        let mut map = SourceMap::default();
        map.push_verbatim(0, 2, 1);
        map.push_verbatim(1, 3, 1);
        map.push_decoded(2..3, 4..9);
        map.push_verbatim(3, 9, 2);
        assert_eq!(map.runs.len(), 3, "neighbouring verbatim runs are one");
        for (text, source) in [(0..5, 2..11), (0..1, 2..3), (1..3, 3..9), (2..3, 4..9), (2..4, 4..10), (4..5, 10..11)] {
            assert_eq!(map.source(text.clone()), source, "{text:?}");
        }
        assert_eq!(SourceMap::default().source(0..1), 0..0);
        assert_eq!(map.source(9..12), 0..0, "beyond the text");
    }
}
