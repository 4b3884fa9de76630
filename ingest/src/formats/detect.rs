//! What a file is, from its bytes first and its name second.

use super::{Format, Refusal, bom_len, jsonl};

/// How much of a file is looked at to tell HTML from text.
const SNIFF_BYTES: usize = 4096;

/// Leading bytes, media type, and what to call it.
const MAGIC: &[(&[u8], &str, &str)] = &[
    (b"%PDF-", "application/pdf", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "image/png", "a PNG image"),
    (b"\xff\xd8\xff", "image/jpeg", "a JPEG image"),
    (b"II*\0", "image/tiff", "a TIFF image"),
    (b"MM\0*", "image/tiff", "a TIFF image"),
    (b"PK\x03\x04", "application/zip", "a ZIP archive (DOCX, XLSX, PPTX and EPUB files are ZIP archives too)"),
    (b"PK\x05\x06", "application/zip", "an empty ZIP archive"),
    (b"\x1f\x8b", "application/gzip", "a gzip archive"),
    (b"\xfd7zXZ\0", "application/x-xz", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "application/zstd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", "a 7z archive"),
    (b"Rar!\x1a\x07", "application/vnd.rar", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage", "an old Office document (DOC, XLS or PPT)"),
    (b"{\\rtf", "application/rtf", "an RTF document"),
    (b"%!PS", "application/postscript", "a PostScript document"),
    (b"\x7fELF", "application/x-elf", "a program"),
    (b"MZ\x90\0", "application/vnd.microsoft.portable-executable", "a program"),
    (b"\0asm", "application/wasm", "a program"),
    (b"\xff\xfe", "text/plain", "text in UTF-16"),
    (b"\xfe\xff", "text/plain", "text in UTF-16"),
];

/// The same, for leading bytes that a text could start with too: they count only in a file that is not text.
const PRINTABLE_MAGIC: &[(&[u8], &str, &str)] = &[
    (b"GIF87a", "image/gif", "a GIF image"),
    (b"GIF89a", "image/gif", "a GIF image"),
    (b"BZh", "application/x-bzip2", "a bzip2 archive"),
    (b"SQLite format 3\0", "application/vnd.sqlite3", "an SQLite database"),
    (b"PAR1", "application/vnd.apache.parquet", "a Parquet file"),
    (b"OggS", "application/ogg", "an Ogg recording"),
    (b"ID3", "audio/mpeg", "an MP3 recording"),
    (b"fLaC", "audio/flac", "a FLAC recording"),
];

/// Tags that a page starts with, or that a named `.html` file holds.
const HTML_TAGS: &[&str] =
    &["<!doctype html", "<html", "<head", "<body", "<title", "<p", "<div", "<h1", "<h2", "<article", "<table", "<ul", "<span", "<a "];

/// The format of a file, and its text.
pub(super) fn detect<'a>(file_name: &str, bytes: &'a [u8]) -> Result<(Format, &'a str), Refusal> {
    if bytes.is_empty() {
        return Err(refusal("empty", "application/octet-stream", "the file has no bytes; upload one that does".to_owned()));
    }
    let claimed = claimed_format(file_name);
    let refuse = |media_type, really: &str, advice: &str| {
        Err(match claimed {
            Some(claimed) => {
                refusal("type_mismatch", media_type, format!("the name says {}, but the file is {really}; {advice}", claimed.media_type()))
            }
            None => refusal("not_text", media_type, format!("the file is {really}; {advice}")),
        })
    };
    let text = std::str::from_utf8(bytes);
    let magic = if text.is_ok() && !bytes.contains(&0) { &[][..] } else { PRINTABLE_MAGIC };
    if let Some((_, media_type, really)) = MAGIC.iter().chain(magic).find(|(magic, _, _)| bytes.starts_with(magic)) {
        return refuse(media_type, really, "save its text as UTF-8 in a .txt, .md, .html or .jsonl file and upload that");
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let really = format!("binary (byte {at} is zero)");
        return refuse("application/octet-stream", &really, "upload a text file in UTF-8");
    }
    let source = match text {
        Ok(source) => source,
        Err(error) => {
            let really = format!("not UTF-8 (byte {} starts no character)", error.valid_up_to());
            return refuse("application/octet-stream", &really, "save the text as UTF-8 and upload it again");
        }
    };
    let content = source.get(bom_len(source)..).unwrap_or_default().trim_start();
    let head = content.get(..content.floor_char_boundary(SNIFF_BYTES)).unwrap_or_default().to_ascii_lowercase();
    let page = head.starts_with("<!doctype html") || head.starts_with("<html") || (head.starts_with("<?xml") && head.contains("<html"));
    if !page && (head.starts_with("<?xml") || head.starts_with("<svg")) {
        return refuse("application/xml", "an XML document", "save its text as a .txt, .md or .html file and upload that");
    }
    let format = match claimed {
        _ if page => Format::Html,
        Some(Format::Html) if HTML_TAGS.iter().any(|tag| head.contains(tag)) => Format::Html,
        // A page without a tag is text that somebody named .html.
        Some(Format::Html) => Format::Text,
        Some(format) => format,
        None if content.lines().next().is_some_and(jsonl::is_record) => Format::Jsonl,
        None => Format::Text,
    };
    Ok((format, source))
}

/// What the name says the file is, where it says one of our formats.
fn claimed_format(file_name: &str) -> Option<Format> {
    let (_, extension) = file_name.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "txt" | "text" => Some(Format::Text),
        "md" | "markdown" => Some(Format::Markdown),
        "html" | "htm" | "xhtml" => Some(Format::Html),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}

fn refusal(code: &'static str, media_type: &'static str, reason: String) -> Refusal {
    Refusal { code, reason, media_type, parser: "headwater-detect/1" }
}
