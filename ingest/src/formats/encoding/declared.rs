//! What a page says its encoding is: the prescan of the HTML standard, and the XML declaration.

use encoding_rs::Encoding;

/// HTML says 1024 bytes; pages with long scripts before their `meta` are read all the same.
const SCANNED_BYTES: usize = 16 << 10;

/// The label that a page declares, in lower case: the first that names an encoding, as HTML passes over the others; where none does,
/// the first of those.
pub(in crate::formats) fn declared_label(bytes: &[u8]) -> Option<String> {
    let head = bytes.get(..bytes.len().min(SCANNED_BYTES)).unwrap_or(bytes);
    // Bytes above ASCII are parts of no declaration.
    let head: String = head.iter().map(|byte| if byte.is_ascii() { char::from(*byte).to_ascii_lowercase() } else { '\u{fffd}' }).collect();
    let mut unknown = None;
    let mut rest = head.as_str();
    let mut next = xml_label(&head);
    loop {
        match next.take() {
            Some(label) if Encoding::for_label(label.as_bytes()).is_some() => return Some(label),
            Some(label) if !label.is_empty() => _ = unknown.get_or_insert(label),
            _ => {}
        }
        let Some((label, after)) = meta_label(rest) else { return unknown };
        (next, rest) = (Some(label), after);
    }
}

/// `<?xml version="1.0" encoding="…"?>`
fn xml_label(head: &str) -> Option<String> {
    let declaration = head.trim_start().strip_prefix("<?xml")?;
    let declaration = declaration.get(..declaration.find("?>")?)?;
    attribute(declaration.trim_end_matches('?'), "encoding")
}

/// `<meta charset=…>`, or `<meta http-equiv=content-type content="text/html; charset=…">`; not in a comment, nor
/// in the text of an element that holds no others. Also what follows it.
fn meta_label(head: &str) -> Option<(String, &str)> {
    let mut rest = head;
    while let Some(at) = rest.find('<') {
        rest = rest.get(at..)?;
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.get(comment.find("-->")? + 3..)?;
            continue;
        }
        let tag = rest.get(..tag_len(rest))?;
        if let Some(attributes) =
            tag.strip_prefix("<meta").filter(|attributes| attributes.starts_with(|c: char| c.is_whitespace() || c == '/'))
        {
            let charset = attribute(attributes, "charset").or_else(|| {
                let content = attribute(attributes, "content")?;
                let is_type = attribute(attributes, "http-equiv").is_some_and(|of| of.trim() == "content-type");
                content_charset(&content).filter(|_| is_type)
            });
            if let Some(charset) = charset {
                return Some((charset, rest.get(tag.len()..)?));
            }
        }
        rest = rest.get(tag.len().max(1)..)?;
        let name = tag.get(1..)?.split(|c: char| c.is_whitespace() || matches!(c, '/' | '>')).next()?;
        // `<title/>` is XHTML's, and has none.
        if TEXT_ALONE.contains(&name) && !tag.ends_with("/>") {
            rest = rest.get(rest.find(&format!("</{name}"))?..)?;
        }
    }
    None
}

/// Elements whose content is text, whatever it looks like.
const TEXT_ALONE: &[&str] = &["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"];

/// Bytes of the tag that `rest` starts with, a `>` in the quotes of a value not being its end.
fn tag_len(rest: &str) -> usize {
    let (mut quote, mut before) = (None, '<');
    let is_tag = rest.get(1..).is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()));
    for (at, c) in rest.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') if is_tag && before == '=' => quote = Some(c),
            (None, '>') => return at + 1,
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    rest.len()
}

/// The value of an attribute in a tag's or declaration's text.
fn attribute(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let name_len = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '/' | '>')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_len);
        let Some(value) = after.trim_start().strip_prefix('=') else {
            if after.is_empty() || after.starts_with('>') {
                return None;
            }
            // An attribute without a value; a stray sign is passed over.
            rest = if name_len == 0 { after.get(after.chars().next().map_or(0, char::len_utf8)..)? } else { after };
            continue;
        };
        let value = value.trim_start();
        let (value, tail) = match value.chars().next().filter(|quote| matches!(quote, '"' | '\'')) {
            Some(quote) => value.get(1..)?.split_once(quote)?,
            None => value.split_at(value.find(|c: char| c.is_whitespace() || matches!(c, '>')).unwrap_or(value.len())),
        };
        if name == wanted {
            return Some(value.trim().trim_end_matches('/').to_owned());
        }
        rest = tail;
    }
}

fn content_charset(content: &str) -> Option<String> {
    let (_, after) = content.split_once("charset")?;
    let value = after.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    let label = value.split(|c: char| c.is_whitespace() || matches!(c, ';' | '"' | '\'')).next()?;
    (!label.is_empty()).then(|| label.to_owned())
}
