//! What each HTML element means for the text around it.

use html5gum::StartTag;

/// How an element stands in the flow of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its content is not shown, or is furniture of the page.
    Skipped,
    /// Has no content and no end tag.
    Void,
    /// Starts and ends a paragraph.
    Block,
    /// Separates paragraphs and has no content.
    Rule,
    LineBreak,
    /// A table cell: apart from its neighbours, in the same paragraph.
    Cell,
    Inline,
}

pub(super) fn kind(name: &[u8]) -> Kind {
    match name {
        b"script" | b"style" | b"head" | b"nav" | b"template" | b"noscript" | b"noembed" | b"noframes" | b"iframe" | b"object" | b"svg"
        | b"math" | b"canvas" | b"audio" | b"video" | b"select" | b"textarea" | b"button" | b"datalist" => Kind::Skipped,
        b"area" | b"base" | b"col" | b"embed" | b"img" | b"input" | b"link" | b"meta" | b"param" | b"source" | b"track" | b"wbr" => {
            Kind::Void
        }
        b"hr" => Kind::Rule,
        b"br" => Kind::LineBreak,
        b"td" | b"th" => Kind::Cell,
        b"address" | b"article" | b"aside" | b"blockquote" | b"body" | b"caption" | b"center" | b"dd" | b"details" | b"dialog" | b"div"
        | b"dl" | b"dt" | b"fieldset" | b"figcaption" | b"figure" | b"footer" | b"form" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6"
        | b"header" | b"hgroup" | b"html" | b"legend" | b"li" | b"main" | b"ol" | b"p" | b"pre" | b"search" | b"section" | b"summary"
        | b"table" | b"tbody" | b"tfoot" | b"thead" | b"tr" | b"ul" => Kind::Block,
        _ => Kind::Inline,
    }
}

/// Elements that their parent's end tag closes as well.
pub(super) fn end_is_optional(name: &[u8]) -> bool {
    matches!(name, b"p" | b"li" | b"dt" | b"dd" | b"tr" | b"td" | b"th" | b"tbody" | b"thead" | b"tfoot" | b"head")
}

/// Whether the tag's own attributes keep it off the screen. Style sheets are not read: text that only
/// they hide is taken for visible, and screened like all other text.
pub(super) fn is_hidden(tag: &StartTag<usize>) -> bool {
    tag.attributes.iter().any(|(name, value)| match name.as_slice() {
        b"hidden" => true,
        b"aria-hidden" => value.value.trim_ascii().eq_ignore_ascii_case(b"true"),
        b"style" => {
            let style: String =
                String::from_utf8_lossy(&value.value).chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
            style.split(';').any(|rule| {
                let rule = rule.strip_suffix("!important").unwrap_or(rule);
                matches!(rule, "display:none" | "visibility:hidden" | "visibility:collapse" | "opacity:0" | "opacity:0.0")
                    || rule
                        .strip_prefix("font-size:0")
                        .is_some_and(|unit| !unit.starts_with(['.', '1', '2', '3', '4', '5', '6', '7', '8', '9']))
            })
        }
        _ => false,
    })
}
