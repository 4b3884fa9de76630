//! What a file is, from its bytes first and its name second.

use super::encoding::{self, Decoded};
use super::html::Syntax;
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

/// How a text starts that stands for a file kept elsewhere, and what to do.
const POINTERS: &[(&str, &str, &str)] = &[
    ("version https://git-lfs.github.com/spec/", "a Git LFS pointer", "run `git lfs pull` where it was cloned and upload the file itself"),
    ("/annex/objects/", "a git-annex pointer", "run `git annex get` where it was cloned and upload the file itself"),
];

/// What a file is.
pub(super) struct File {
    pub format: Format,
    /// Of a page.
    pub syntax: Syntax,
    pub decoded: Decoded,
}

/// The format of a file, and its text.
pub(super) fn detect(file_name: &str, bytes: &[u8]) -> Result<File, Refusal> {
    if bytes.is_empty() {
        return Err(refusal("empty", "application/octet-stream", "the file has no bytes; upload one that does".to_owned()));
    }
    let claimed = claimed_format(file_name);
    let refuse = |media_type, really: &str, advice: &str| match claimed {
        Some(claimed) => {
            refusal("type_mismatch", media_type, format!("the name says {}, but the file is {really}; {advice}", claimed.media_type()))
        }
        None => refusal("not_text", media_type, format!("the file is {really}; {advice}")),
    };
    let is_text = std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0);
    let magic = if is_text { &[][..] } else { PRINTABLE_MAGIC };
    if let Some((_, media_type, really)) = MAGIC.iter().chain(magic).find(|(magic, _, _)| bytes.starts_with(magic)) {
        return Err(refuse(media_type, really, "save its text as UTF-8 in a .txt, .md, .html or .jsonl file and upload that"));
    }
    // Text files declare nothing: only a page can say what it is in.
    let declares = claimed == Some(Format::Html) || is_page(&ascii_head(bytes));
    let label = if declares { encoding::declared_label(bytes) } else { None };
    let decoded = encoding::decode(bytes, label.as_deref()).map_err(|problem| {
        let media_type = if declares { Format::Html.media_type() } else { "application/octet-stream" };
        refuse(media_type, &problem.really, problem.advice)
    })?;
    let content = decoded.text.get(bom_len(&decoded.text)..).unwrap_or_default().trim_start();
    let head = content.get(..content.floor_char_boundary(SNIFF_BYTES)).unwrap_or_default().to_ascii_lowercase();
    if let Some((_, really, advice)) = POINTERS.iter().find(|(start, _, _)| head.starts_with(start)) {
        return Err(refusal("pointer", Format::Text.media_type(), format!("the file is {really}, not what it points to; {advice}")));
    }
    let page = is_page(&head);
    if !page && claimed != Some(Format::Html) && (head.starts_with("<?xml") || head.starts_with("<svg")) {
        return Err(refuse("application/xml", "an XML document", "save its text as a .txt, .md or .html file and upload that"));
    }
    let format = match claimed {
        _ if page => Format::Html,
        Some(format) => format,
        None if content.lines().next().is_some_and(jsonl::is_record) => Format::Jsonl,
        None => Format::Text,
    };
    let xml = head.starts_with("<?xml") || extension(file_name).is_some_and(|extension| matches!(extension.as_str(), "xhtml" | "xht"));
    Ok(File { format, syntax: if xml { Syntax::Xml } else { Syntax::Html }, decoded })
}

/// Whether a file starts as pages do, past comments and declarations.
fn is_page(head: &str) -> bool {
    let mut rest = head.trim_start();
    while let Some(comment) = rest.strip_prefix("<!--") {
        let Some(end) = comment.find("-->") else { return false };
        rest = comment.get(end + 3..).unwrap_or_default().trim_start();
    }
    rest.starts_with("<!doctype html") || rest.starts_with("<html") || (rest.starts_with("<?xml") && rest.contains("<html"))
}

/// The start of a file in lower case, as far as it is ASCII.
fn ascii_head(bytes: &[u8]) -> String {
    let head = bytes.get(..bytes.len().min(SNIFF_BYTES)).unwrap_or_default();
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    head.iter().map(|byte| if byte.is_ascii() { char::from(byte.to_ascii_lowercase()) } else { '\u{fffd}' }).collect()
}

/// The extension of a name, in lower case.
fn extension(file_name: &str) -> Option<String> {
    file_name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase())
}

/// What the name says the file is, where it says one of our formats.
fn claimed_format(file_name: &str) -> Option<Format> {
    match extension(file_name)?.as_str() {
        "txt" | "text" => Some(Format::Text),
        "md" | "markdown" => Some(Format::Markdown),
        "html" | "htm" | "xhtml" | "xht" | "shtml" => Some(Format::Html),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}

fn refusal(code: &'static str, media_type: &'static str, reason: String) -> Refusal {
    Refusal { code, reason, media_type, parser: "headwater-detect/2" }
}
