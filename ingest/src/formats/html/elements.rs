//! What each HTML element means for the text around it.

use super::style::{Display, Style};
use super::tree::Element;

/// How an element stands in the flow of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its content is not shown.
    Skipped,
    /// Furniture of the page, in a place of its own.
    Furniture,
    /// Shows something that has no text here: a page in the page, a player, a canvas.
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
    /// The same as a paragraph, and as an item, which counts.
    StruckBlock,
    StruckItem,
    Raised,
    Lowered,
    Quoted,
    /// How the base beside it is read.
    Reading,
    /// A formula as it is spelled, which a script typesets.
    FormulaSource,
    Image,
    Input,
    Select,
    /// In the line, apart from its neighbours.
    Apart,
    Inline,
}

/// What an element is, by its name and its style.
pub(super) fn kind(element: &Element, style: &Style) -> Kind {
    let kind = match by_name(element) {
        Kind::Inline if style.raised => Kind::Raised,
        Kind::Inline if style.lowered => Kind::Lowered,
        Kind::Inline if style.display == Display::Block => Kind::Block,
        Kind::Inline if style.display == Display::Apart => Kind::Apart,
        kind => kind,
    };
    if style.struck { kind.struck() } else { kind }
}

impl Kind {
    /// The same with its text struck out.
    fn struck(self) -> Self {
        match self {
            Self::Skipped | Self::Furniture | Self::Lost | Self::LineBreak | Self::Rule | Self::Image => self,
            Self::Item => Self::StruckItem,
            kind if kind.is_block() => Self::StruckBlock,
            _ => Self::Struck,
        }
    }

    /// The same where nothing of it is seen: its place, and what in it is seen after all.
    pub(super) fn unseen(self) -> Self {
        match self {
            Self::Image | Self::Input | Self::Select | Self::Raised | Self::Lowered | Self::Quoted | Self::Reading => Self::Apart,
            Self::FormulaSource => Self::Skipped,
            kind => kind,
        }
    }

    /// Whether it starts and ends a paragraph.
    pub(super) fn is_block(self) -> bool {
        matches!(
            self,
            Self::Furniture
                | Self::Block
                | Self::Heading
                | Self::Rule
                | Self::Preformatted
                | Self::Table
                | Self::Row
                | Self::Cell
                | Self::OrderedList
                | Self::List
                | Self::Item
                | Self::StruckBlock
                | Self::StruckItem
        )
    }
}

fn by_name(element: &Element) -> Kind {
    match element.html_name() {
        "nav" => Kind::Furniture,
        "button" => Kind::Apart,
        "script" if is_formula_source(element) => Kind::FormulaSource,
        "script" | "style" | "head" | "noscript" | "noembed" | "noframes" | "datalist" | "rp" | "area" | "base" | "col" | "colgroup"
        | "link" | "meta" | "param" | "source" | "track" | "wbr" | "frame" | "frameset" | "title" | "bgsound" | "basefont" => Kind::Skipped,
        "template" if element.attribute("shadowrootmode").is_none() => Kind::Skipped,
        "template" | "iframe" | "canvas" | "audio" | "video" | "object" | "embed" => Kind::Lost,
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
        "address" | "article" | "aside" | "blockquote" | "body" | "caption" | "center" | "dd" | "details" | "dialog" | "div" | "dl"
        | "dt" | "fieldset" | "figcaption" | "figure" | "footer" | "form" | "h2" | "h3" | "h4" | "h5" | "h6" | "header" | "hgroup"
        | "html" | "legend" | "main" | "marquee" | "optgroup" | "option" | "p" | "search" | "section" | "summary" | "tbody" | "tfoot"
        | "thead" => Kind::Block,
        _ => Kind::Inline,
    }
}

/// Whether an element holds a formula as MathML and once more as glyphs or a picture (KaTeX, MathJax, wikis), of
/// which any can be hidden.
pub(super) fn typesets(element: &Element) -> bool {
    const CLASSES: &[&str] = &["katex", "MathJax", "MathJax_CHTML", "MathJax_SVG", "mjx-chtml", "mwe-math-element"];
    element.html_name() == "mjx-container" || CLASSES.iter().any(|class| element.has_class(class))
}

/// Whether a script is a formula: `math/tex`, `math/mml`, `math/asciimath`.
pub(super) fn is_formula_source(element: &Element) -> bool {
    let is_formula = |kind: &str| kind.trim_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("math/"));
    element.html_name() == "script" && element.attribute("type").is_some_and(is_formula)
}

/// Whether an element shows its text from right to left, whatever it is.
pub(super) fn reorders(element: &Element, style: &Style) -> bool {
    let rtl = |dir: &str| dir.trim().eq_ignore_ascii_case("rtl");
    style.reordered || (element.html_name() == "bdo" && element.attribute("dir").is_some_and(rtl))
}

/// Whether an element says to tools that read aloud to pass it by. It is on the page.
pub(super) fn is_unspoken(element: &Element) -> bool {
    element.attribute("aria-hidden").is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// Whether the element's own attributes keep it and all in it off the page. Style sheets are not read: text
/// that only they hide is taken for visible, and screened like all other text.
pub(super) fn is_hidden(element: &Element, style: &Style) -> bool {
    style.gone || (is_hidden_by_browsers(element) && !style.placed)
}

/// Whether browsers' own style sheets (HTML, 15.3.1) give an element no place.
fn is_hidden_by_browsers(element: &Element) -> bool {
    let until_found = |value: &str| value.trim().eq_ignore_ascii_case("until-found");
    let is_dialog = element.html_name() == "dialog";
    let is_open = is_dialog && element.attribute("open").is_some();
    element.attribute("hidden").is_some_and(|value| !until_found(value))
        || (element.attribute("popover").is_some() && !is_open)
        || (is_dialog && !is_open)
}
