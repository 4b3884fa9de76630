//! From a file's bytes to canonical text, with the way back: every range of the text is traced to the
//! bytes it was read from. What a file is, its bytes decide; its name is a claim that they must bear out.
//!
//! Parsers here do bounded work, keep their own stacks, never panic on any input, and ask between tokens whether to go on.

mod detect;
mod encoding;
mod html;
mod jsonl;
mod markdown;
mod marks;
mod source_map;
mod text;

use std::ops::Range;

use encoding::ByteMap;

use crate::progress::{Progress, Stopped};

pub(crate) use marks::{Mark, Marks};
pub(crate) use source_map::SourceMap;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Markdown,
    Html,
    Jsonl,
}

impl Format {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
            Self::Jsonl => "application/jsonl",
        }
    }

    /// Name and version of the parser: it changes whenever the same bytes would give another text.
    pub(crate) fn parser(self) -> &'static str {
        match self {
            Self::Text => "headwater-text/2",
            Self::Markdown => "headwater-markdown/3",
            Self::Html => "headwater-html/3",
            Self::Jsonl => "headwater-jsonl/2",
        }
    }
}

/// Flags of text that says something else, or less, than its page shows. What is lost is never silent.
///
/// Struck text (`<del>`, `<s>`) was left out here: it is no longer said.
pub(crate) const STRUCK_TEXT: &str = "struck_text";
/// A raised number that may be an exponent or the mark of a footnote.
pub(crate) const RAISED_NUMBER: &str = "raised_number";
/// A formula that has no exact form in a line.
pub(crate) const FORMULA: &str = "formula";
/// The labels of a drawing, without where they stand in it.
pub(crate) const DRAWING: &str = "drawing";
/// The text of an image for those who do not see it.
pub(crate) const IMAGE_TEXT: &str = "image_text";
/// Something that the page shows was left out here: a page in it, a shadow tree.
pub(crate) const LEFT_OUT: &str = "left_out";
/// Text that the page shows in reversed order.
pub(crate) const REORDERED_TEXT: &str = "reordered_text";

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub format: Format,
    pub title: Option<String>,
    pub text: String,
    /// From the text to the decoded file.
    pub map: SourceMap,
    /// From the decoded file to its bytes, where it is not UTF-8.
    pub bytes: Option<ByteMap>,
    pub marks: Marks,
    /// Ranges of `text` that never share a chunk, in order; what lies between them is separators.
    pub sections: Vec<Range<usize>>,
}

impl Parsed {
    /// The bytes of the file that a range of the text was read from.
    pub(crate) fn source(&self, text: Range<usize>) -> Range<usize> {
        let decoded = self.map.source(text);
        self.bytes.as_ref().map_or(decoded.clone(), |bytes| bytes.source(decoded))
    }

    /// The flags of what is marked in a range of the text, sorted, each once.
    pub(crate) fn flags(&self, text: &Range<usize>) -> Vec<&'static str> {
        self.marks.flags(text)
    }
}

/// A file that was not read: why, and what its contributor can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A fixed vocabulary: `empty`, `not_text`, `type_mismatch`, `malformed_jsonl`, `malformed_xml`, `too_complex`,
    /// `too_many_chunks`, `too_many_chunks_together`, `duplicate_file`, `pointer`, `parse_failed`.
    pub code: &'static str,
    pub reason: String,
    /// As far as it was recognised.
    pub media_type: &'static str,
    pub parser: &'static str,
}

/// Why a file was not read to its end.
#[derive(Debug)]
pub(crate) enum ParseError {
    Refused(Refusal),
    Stopped(Stopped),
}

impl From<Refusal> for ParseError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Stopped> for ParseError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

/// A file as anybody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    pub title: Option<String>,
    /// What its chunks are cut from.
    pub text: String,
}

/// Reads a file as an upload of it would be read.
///
/// # Errors
/// Why it would be refused: the reason's code, and a sentence.
pub fn read_file(file_name: &str, bytes: &[u8]) -> Result<ReadFile, String> {
    match parse(file_name, bytes, &Progress::default()) {
        Ok(Parsed { title, text, .. }) => Ok(ReadFile { title, text }),
        Err(ParseError::Refused(Refusal { code, reason, .. })) => Err(format!("{code}: {reason}")),
        Err(ParseError::Stopped(Stopped)) => Err("interrupted: try again".to_owned()),
    }
}

/// Reads a file.
///
/// # Errors
/// [`Refusal`] when it is empty, not text, not what its name says, or malformed; [`Stopped`] when it is to be left.
pub(crate) fn parse(file_name: &str, bytes: &[u8], progress: &Progress) -> Result<Parsed, ParseError> {
    let file = detect::detect(file_name, bytes)?;
    let (format, source) = (file.format, file.decoded.text.as_str());
    let mut parsed = match format {
        Format::Text => text::parse(source),
        Format::Markdown => markdown::parse(source),
        Format::Html => html::parse(source, file.syntax, progress)?,
        Format::Jsonl => jsonl::parse(source, progress)?,
    };
    parsed.bytes = file.decoded.map;
    if parsed.text.trim().is_empty() {
        return Err(Refusal {
            code: "empty",
            reason: "the file holds no visible text; upload one that does".to_owned(),
            media_type: format.media_type(),
            parser: format.parser(),
        }
        .into());
    }
    Ok(parsed)
}

/// Where the text starts in a file that is UTF-8: past a byte order mark.
fn bom_len(source: &str) -> usize {
    if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

/// A title of at most 200 characters on one line, without hidden characters; `None` when nothing is left.
fn tidy_title(text: &str) -> Option<String> {
    let visible: String = text.chars().filter(|c| !crate::characters::is_hidden(*c)).collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let title: String = words.join(" ").chars().filter(|c| !c.is_control()).take(200).collect();
    (!title.is_empty()).then_some(title)
}

#[cfg(test)]
mod tests;
