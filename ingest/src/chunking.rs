//! Cutting a text into chunks: the spans that are retrieved, cited and paid.
//!
//! A chunk ends at the strongest boundary that fits (heading, paragraph, line, sentence, word, character),
//! is filled up to the target where the text allows it, never exceeds the embedder's window, and overlaps
//! no other. Nor does it end within a phrase of a script that parts phrases alone, or with a bracket that opens.

mod ends;

use std::ops::Range;

use engine::{Embedder, EngineError};
use text_splitter::{ChunkCapacity, ChunkConfig, MarkdownSplitter, TextSplitter, TryChunkSizer};

use crate::formats::{Format, Parsed};
use crate::progress::{Progress, Stopped};

/// Special tokens that a model puts around a text (`[CLS]`, `[SEP]`).
const SPECIAL_TOKENS: usize = 2;
/// A stretch without white space can be one unknown token however long it is: no more bytes than this
/// count as one.
const MAX_BYTES_PER_TOKEN: usize = 16;
/// Below this a chunk is joined with a neighbour.
const SMALL_CHUNK_TOKENS: usize = 16;
/// The splitter's work per chunk grows with the text left; in windows of this size it stays linear.
const WINDOW_BYTES: usize = 32 << 10;

/// So long a stretch without white space or punctuation is no writing, and has no boundaries to be looked for: the splitter would
/// walk its dictionary over all of it, and count each chunk two dozen times.
const LONGEST_RUN_BYTES: usize = 4 << 10;

/// How large chunks may be, in tokens of the embedder without its special ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkLimits {
    pub target_tokens: usize,
    pub max_chunks: usize,
}

/// Why a text has no chunks.
#[derive(Debug)]
pub(crate) enum ChunkingError {
    TooMany,
    Stopped(Stopped),
    Engine(EngineError),
}

impl From<Stopped> for ChunkingError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<EngineError> for ChunkingError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Byte ranges in `parsed.text`: in order, disjoint, trimmed, together all but white space.
pub(crate) fn split(
    parsed: &Parsed,
    embedder: &dyn Embedder,
    limits: ChunkLimits,
    progress: &Progress,
) -> Result<Vec<Range<usize>>, ChunkingError> {
    let max_tokens = embedder.info().window_tokens.saturating_sub(SPECIAL_TOKENS).max(1);
    let target = limits.target_tokens.clamp(1, max_tokens);
    let capacity = ChunkCapacity::new(target).with_max(max_tokens).unwrap_or(ChunkCapacity::new(max_tokens));
    let sizer = Sizer { embedder, max_tokens };
    let config = || ChunkConfig::new(capacity).with_sizer(Sizer { embedder, max_tokens });
    let markdown = (parsed.format == Format::Markdown).then(|| MarkdownSplitter::new(config()));
    let plain = TextSplitter::new(config());
    let mut chunks = Vec::new();
    for section in &parsed.sections {
        for window in windows(&parsed.text, section.clone()) {
            let mut ranges = Vec::new();
            for stretch in stretches(&parsed.text, window) {
                progress.go_on()?;
                let (start, text) = match stretch {
                    Stretch::Run(range) => {
                        cut_run(&parsed.text, range, target, &sizer, &mut ranges)?;
                        continue;
                    }
                    Stretch::Writing(range) => (range.start, parsed.text.get(range).unwrap_or_default()),
                };
                let pieces: Vec<(usize, &str)> = match &markdown {
                    Some(markdown) => markdown.try_chunk_indices(text).collect::<Result<_, _>>()?,
                    None => plain.try_chunk_indices(text).collect::<Result<_, _>>()?,
                };
                ranges.extend(pieces.into_iter().filter(|(_, piece)| !piece.trim().is_empty()).map(|(offset, piece)| {
                    let start = start + offset + (piece.len() - piece.trim_start().len());
                    start..start + piece.trim().len()
                }));
            }
            ends::settle(&parsed.text, &mut ranges, &sizer)?;
            chunks.extend(join_small(&parsed.text, ranges, &sizer)?);
            if chunks.len() > limits.max_chunks {
                return Err(ChunkingError::TooMany);
            }
        }
    }
    Ok(chunks)
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Stretch {
    Writing(Range<usize>),
    /// At least [`LONGEST_RUN_BYTES`] without white space or punctuation.
    Run(Range<usize>),
}

/// `window`, in stretches.
fn stretches(text: &str, window: Range<usize>) -> Vec<Stretch> {
    let (mut found, mut start, mut run_start) = (Vec::new(), window.start, window.start);
    let chars = text.get(window.clone()).unwrap_or_default().char_indices().map(|(at, c)| (window.start + at, c));
    let breaks = chars.filter(|(_, c)| parts_words(*c)).map(|(at, c)| (at, at + c.len_utf8()));
    for (run_end, next) in breaks.chain([(window.end, window.end)]) {
        if run_end - run_start >= LONGEST_RUN_BYTES {
            if start < run_start {
                found.push(Stretch::Writing(start..run_start));
            }
            found.push(Stretch::Run(run_start..run_end));
            start = run_end;
        }
        run_start = next;
    }
    if start < window.end {
        found.push(Stretch::Writing(start..window.end));
    }
    found
}

/// White space, and punctuation as far as it is ASCII, general, Chinese and Japanese, or of full width.
fn parts_words(c: char) -> bool {
    c.is_whitespace()
        || c.is_ascii_punctuation()
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{303f}')
        || matches!(c, '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{ff61}'..='\u{ff65}')
}

/// Cuts a run into chunks of about the target. What its pieces take so far says how much the next one may have, so that each is
/// counted about once.
fn cut_run(text: &str, run: Range<usize>, target: usize, sizer: &Sizer<'_>, into: &mut Vec<Range<usize>>) -> Result<(), EngineError> {
    let most = target * MAX_BYTES_PER_TOKEN;
    let (mut start, mut bytes) = (run.start, most);
    while start < run.end {
        let least = text.ceil_char_boundary(start + 1);
        let end = text.floor_char_boundary(run.end.min(start + bytes)).max(least);
        let (length, tokens) = (end - start, sizer.try_size(text.get(start..end).unwrap_or_default())?.max(1));
        if tokens <= sizer.max_tokens || end == least {
            into.push(start..end);
            start = end;
        }
        bytes = (length * target / tokens).clamp(1, most);
    }
    Ok(())
}

/// Joins each chunk that says nothing by itself (a heading before a long paragraph) with the next one,
/// and the last with the one before it, where that stays within the window.
fn join_small(text: &str, ranges: Vec<Range<usize>>, sizer: &Sizer<'_>) -> Result<Vec<Range<usize>>, EngineError> {
    let size = |range: &Range<usize>| sizer.try_size(text.get(range.clone()).unwrap_or_default());
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges.into_iter().rev() {
        match joined.last_mut() {
            Some(next) if size(&range)? < SMALL_CHUNK_TOKENS && size(&(range.start..next.end))? <= sizer.max_tokens => {
                next.start = range.start;
            }
            _ => joined.push(range),
        }
    }
    if let [last, before, ..] = joined.as_slice()
        && size(last)? < SMALL_CHUNK_TOKENS
        && size(&(before.start..last.end))? <= sizer.max_tokens
    {
        let whole = before.start..last.end;
        joined.splice(..2, [whole]);
    }
    joined.reverse();
    Ok(joined)
}

/// Size in tokens, as the splitter asks for it.
struct Sizer<'a> {
    embedder: &'a dyn Embedder,
    max_tokens: usize,
}

impl TryChunkSizer for Sizer<'_> {
    type Error = EngineError;

    fn try_size(&self, chunk: &str) -> Result<usize, EngineError> {
        let by_bytes = chunk.len().div_ceil(MAX_BYTES_PER_TOKEN);
        if by_bytes > self.max_tokens {
            return Ok(by_bytes);
        }
        Ok(self.embedder.count_tokens(chunk)?.max(by_bytes))
    }
}

/// `section` in stretches of at most [`WINDOW_BYTES`], ended in their second half at the last heading or
/// paragraph, else line, else word.
fn windows(text: &str, section: Range<usize>) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let mut start = section.start;
    while section.end.saturating_sub(start) > WINDOW_BYTES {
        let limit = text.floor_char_boundary(start + WINDOW_BYTES);
        let middle = text.ceil_char_boundary(start + WINDOW_BYTES / 2);
        let half = text.get(middle..limit).unwrap_or_default();
        let cut = half
            .rfind("\n#")
            .or_else(|| half.rfind("\n\n"))
            .or_else(|| half.rfind("\n\r\n"))
            .or_else(|| half.rfind('\n'))
            .or_else(|| half.rfind(char::is_whitespace))
            .map_or(limit, |at| middle + at);
        windows.push(start..cut);
        start = cut;
    }
    if start < section.end {
        windows.push(start..section.end);
    }
    windows
}

#[cfg(test)]
mod tests;
