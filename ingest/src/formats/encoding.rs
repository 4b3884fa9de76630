//! From bytes to characters: a file is read in the encoding that it declares (a byte order mark, a page's
//! `meta` or XML declaration), else as UTF-8, and never guessed. A file that is not what it declares is
//! refused, and so is one that holds control characters, for text has none.

mod declared;

use std::ops::Range;

use encoding_rs::{DecoderResult, Encoding, ISO_2022_JP, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

pub(super) use declared::declared_label;

/// So many sequences that are UTF-8 by chance are more than another encoding has.
const TELLING_SEQUENCES: usize = 20;

/// The text of a file, and the way back to its bytes where it is not simply they.
#[derive(Debug)]
pub(super) struct Decoded {
    pub text: String,
    pub map: Option<ByteMap>,
}

/// Why a file has no text: what it is, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub really: String,
    pub advice: &'static str,
}

const SAVE_AS_UTF8: &str = "save the text as UTF-8 and upload it again";

/// Decodes a file that declares `label` in its text, if it does.
pub(super) fn decode(bytes: &[u8], label: Option<&str>) -> Result<Decoded, Problem> {
    let mut decoded = match mark(bytes)? {
        Some((encoding, skip)) if encoding != UTF_8 => with_map(bytes, skip, encoding)?,
        Some(_) => as_utf8(bytes)?,
        None => match label.map(|label| encoding_of(label, bytes)).transpose()? {
            Some(encoding) if encoding != UTF_8 => with_map(bytes, 0, encoding)?,
            _ => as_utf8(bytes)?,
        },
    };
    // DOS and CP/M end a text with this character, some of them up to the end of a block.
    decoded.text.truncate(decoded.text.trim_end_matches('\u{1a}').len());
    match decoded.text.char_indices().find(|(_, c)| is_control(*c)) {
        None => Ok(decoded),
        Some((at, control)) => Err(control_character(&decoded, at, control)),
    }
}

/// Whether `c` is no part of a text. Form feeds and vertical tabs part pages and lines.
pub(super) fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}')
}

fn control_character(decoded: &Decoded, at: usize, control: char) -> Problem {
    let byte = decoded.map.as_ref().map_or(at, |map| map.source(at..at + control.len_utf8()).start);
    let (really, advice) = match control {
        '\0' => (format!("binary (byte {byte} is zero)"), "upload a text file; UTF-16 needs its byte order mark"),
        '\u{1b}' => (
            format!("no plain text (byte {byte} is an escape)"),
            "declare the encoding if it is ISO-2022-JP (`<meta charset>`), remove terminal colours, or save the text as UTF-8",
        ),
        _ => (
            format!("no plain text (byte {byte} is the control character U+{:04X})", u32::from(control)),
            "remove it and upload the file again",
        ),
    };
    Problem { really, advice }
}

/// The encoding of a byte order mark, and its length.
fn mark(bytes: &[u8]) -> Result<Option<(&'static Encoding, usize)>, Problem> {
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err(Problem { really: "text in UTF-32".to_owned(), advice: SAVE_AS_UTF8 });
    }
    Ok(Encoding::for_bom(bytes))
}

/// The encoding that a page says it is in. An encoding that is not read is refused, and so is one that the bytes
/// contradict: nothing is guessed. A label that names none (`none`, `{{ charset }}`) says nothing of bytes that are UTF-8.
fn encoding_of(label: &str, bytes: &[u8]) -> Result<&'static Encoding, Problem> {
    let shown: String = label.chars().filter(|c| !c.is_control()).take(40).collect();
    let encoding = match Encoding::for_label(label.as_bytes()) {
        // Pages whose declaration can be read byte by byte (HTML, 13.2.3.2, says both).
        Some(wide) if wide == UTF_16LE || wide == UTF_16BE => Some(UTF_8),
        Some(private) if private == X_USER_DEFINED => Some(WINDOWS_1252),
        None if !is_utf_7(label) && std::str::from_utf8(bytes).is_ok() => Some(UTF_8),
        known => known.filter(|encoding| *encoding != REPLACEMENT),
    };
    let Some(encoding) = encoding else {
        return Err(Problem { really: format!("in the encoding `{shown}`, which is not read"), advice: SAVE_AS_UTF8 });
    };
    if encoding == UTF_8 || encoding == ISO_2022_JP || bytes.is_ascii() || std::str::from_utf8(bytes).is_err() {
        return Ok(encoding);
    }
    let sequences = bytes.iter().filter(|byte| **byte >= 0xc0).count();
    if encoding.is_single_byte() || sequences >= TELLING_SEQUENCES {
        let really = format!("declared as {shown}, but its bytes are UTF-8");
        return Err(Problem { really, advice: "declare UTF-8 and upload it again" });
    }
    Ok(encoding)
}

/// Whether a label names UTF-7. No browser reads it, and its bytes are ASCII that says something else.
fn is_utf_7(label: &str) -> bool {
    let letters: String = label.chars().filter(char::is_ascii_alphanumeric).collect();
    letters.to_ascii_lowercase().contains("utf7")
}

fn as_utf8(bytes: &[u8]) -> Result<Decoded, Problem> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Decoded { text: text.to_owned(), map: None }),
        Err(error) => {
            let really = format!("not UTF-8 (byte {} starts no character)", error.valid_up_to());
            Err(Problem { really, advice: "save the text as UTF-8, or declare its encoding in the page, and upload it again" })
        }
    }
}

/// Decodes byte by byte, so that it is known which bytes each character was.
fn with_map(bytes: &[u8], skip: usize, encoding: &'static Encoding) -> Result<Decoded, Problem> {
    let wrong = |at: usize| Problem {
        really: format!("not {} as it declares (byte {at} is no part of it)", encoding.name()),
        advice: "declare the encoding it is in, or save it as UTF-8, and upload it again",
    };
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let (mut text, mut map) = (String::with_capacity(bytes.len()), ByteMap::default());
    let mut buffer = [0_u8; 16];
    // Bytes of the character that is being read.
    let mut start = skip;
    for end in skip + 1..=bytes.len() + 1 {
        let last = end > bytes.len();
        let byte = bytes.get(end - 1..end).unwrap_or_default();
        let (result, _, written) = decoder.decode_to_utf8_without_replacement(byte, &mut buffer, last);
        if let DecoderResult::Malformed(..) = result {
            return Err(wrong(start));
        }
        let shown = std::str::from_utf8(buffer.get(..written).unwrap_or_default()).map_err(|_| wrong(start))?;
        if !shown.is_empty() {
            let end = end.min(bytes.len());
            map.push(text.len(), start..end, bytes.get(start..end) == Some(shown.as_bytes()));
            text.push_str(shown);
            start = end;
        }
    }
    map.end = (text.len(), bytes.len());
    Ok(Decoded { text, map: Some(map) })
}

/// Which bytes of a file each character was.
#[derive(Debug, Default)]
pub(crate) struct ByteMap {
    runs: Vec<Run>,
    /// Where text and bytes end.
    end: (usize, usize),
}

/// A character, or several that are their own bytes. Files are far below 4 GiB.
#[derive(Debug)]
struct Run {
    text: u32,
    source: u32,
    verbatim: bool,
}

impl ByteMap {
    fn push(&mut self, text: usize, source: Range<usize>, verbatim: bool) {
        let single = verbatim && source.len() == 1;
        let (text, start) = (u32::try_from(text).unwrap_or(u32::MAX), u32::try_from(source.start).unwrap_or(u32::MAX));
        let extends = self.runs.last().is_some_and(|last| last.verbatim && single && text - last.text == start - last.source);
        if !extends {
            self.runs.push(Run { text, source: start, verbatim: single });
        }
    }

    /// The bytes that a range of the text was.
    pub(crate) fn source(&self, text: Range<usize>) -> Range<usize> {
        let run_of = |at: usize| self.runs.partition_point(|run| run.text as usize <= at).saturating_sub(1);
        let place = |at: usize, run: &Run| run.source as usize + if run.verbatim { at - (run.text as usize).min(at) } else { 0 };
        let (Some(first), Some(last)) = (self.runs.get(run_of(text.start)), text.end.checked_sub(1)) else { return 0..0 };
        let last_run = run_of(last);
        let next = self.runs.get(last_run + 1).map_or(self.end.1, |run| run.source as usize);
        let end = match self.runs.get(last_run) {
            Some(run) if run.verbatim => (place(last, run) + 1).min(next),
            _ => next,
        };
        place(text.start, first)..end
    }
}

#[cfg(test)]
mod tests;
