//! What each HTML element means for the text around it.

use super::style::Style;
use super::tree::Element;

/// How an element stands in the flow of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its content is not shown, or is furniture of the page.
    Skipped,
    /// Shows something that has no text here: a page in the page, a player.
    Lost,
    /// Starts and ends a paragraph.
    Block,
    /// A heading of the first level: it can be the title.
    Heading,
    /// Separates paragraphs and has no content.
    Rule,
    LineBreak,
    Preformatted,
    Table,
    Row,
    /// A table cell outside a grid: a block.
    Cell,
    OrderedList,
    List,
    Item,
    /// Struck out: no longer said.
    Struck,
    Raised,
    Lowered,
    Quoted,
    /// How the base beside it is read.
    Reading,
    Image,
    Input,
    Select,
    /// Shown from right to left, whatever it is.
    Reordered,
    Inline,
}

/// What an element is, by its name and, where it is inline, by its style.
pub(super) fn kind(element: &Element, style: &Style) -> Kind {
    match by_name(element) {
        Kind::Inline | Kind::Raised | Kind::Lowered | Kind::Struck if style.struck => Kind::Struck,
        Kind::Inline if style.raised => Kind::Raised,
        Kind::Inline if style.lowered => Kind::Lowered,
        Kind::Inline if style.reordered => Kind::Reordered,
        kind => kind,
    }
}

fn by_name(element: &Element) -> Kind {
    match element.html_name() {
        "script" | "style" | "head" | "nav" | "noscript" | "noembed" | "noframes" | "canvas" | "audio" | "video" | "object" | "button"
        | "datalist" | "rp" | "area" | "base" | "col" | "colgroup" | "embed" | "link" | "meta" | "param" | "source" | "track" | "wbr"
        | "frame" | "frameset" | "title" | "bgsound" | "basefont" => Kind::Skipped,
        "template" if element.attribute("shadowrootmode").is_none() => Kind::Skipped,
        "iframe" if element.attribute("srcdoc").is_none() => Kind::Skipped,
        "template" | "iframe" => Kind::Lost,
        "hr" => Kind::Rule,
        "br" => Kind::LineBreak,
        "pre" | "listing" | "xmp" | "plaintext" | "textarea" => Kind::Preformatted,
        "h1" => Kind::Heading,
        "table" => Kind::Table,
        "tr" => Kind::Row,
        "td" | "th" => Kind::Cell,
        "ol" => Kind::OrderedList,
        "ul" | "menu" | "dir" => Kind::List,
        "li" => Kind::Item,
        "del" | "s" | "strike" => Kind::Struck,
        "sup" => Kind::Raised,
        "sub" => Kind::Lowered,
        "q" => Kind::Quoted,
        "rt" | "rtc" => Kind::Reading,
        "img" => Kind::Image,
        "input" => Kind::Input,
        "select" => Kind::Select,
        "bdo" if element.attribute("dir").is_some_and(|dir| dir.trim().eq_ignore_ascii_case("rtl")) => Kind::Reordered,
        "address" | "article" | "aside" | "blockquote" | "body" | "caption" | "center" | "dd" | "details" | "dialog" | "div" | "dl"
        | "dt" | "fieldset" | "figcaption" | "figure" | "footer" | "form" | "h2" | "h3" | "h4" | "h5" | "h6" | "header" | "hgroup"
        | "html" | "legend" | "main" | "marquee" | "optgroup" | "option" | "p" | "search" | "section" | "summary" | "tbody" | "tfoot"
        | "thead" => Kind::Block,
        _ => Kind::Inline,
    }
}

/// Whether the element's own attributes keep it and all in it off the page. Style sheets are not read: text
/// that only they hide is taken for visible, and screened like all other text.
pub(super) fn is_hidden(element: &Element, style: &Style) -> bool {
    let until_found = |value: &str| value.trim().eq_ignore_ascii_case("until-found");
    style.gone
        || element.attribute("hidden").is_some_and(|value| !until_found(value))
        || element.attribute("aria-hidden").is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
        || element.attribute("popover").is_some()
        || (element.html_name() == "dialog" && element.attribute("open").is_none())
}
