//! What an element's own `style` says about whether and how its text is shown.

mod declarations;

use declarations::declarations;

/// The declarations that matter. What is `None` is inherited.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// Neither it nor anything in it has a place on the page.
    pub gone: bool,
    /// It has a place on the page where browsers give it none: a style overrides their `[hidden] { display: none }`.
    pub placed: bool,
    /// Neither it nor anything in it is seen, but its place is.
    pub blank: bool,
    /// Its own text is shown, or what in it says otherwise.
    pub visible: Option<bool>,
    /// Its own text has a size.
    pub sized: Option<bool>,
    pub preformatted: Option<bool>,
    pub struck: bool,
    pub raised: bool,
    pub lowered: bool,
    pub reordered: bool,
    /// Its items have no bullets or numbers.
    pub unmarked: bool,
    /// How its items are numbered, as the `type` of a list says it.
    pub numbering: Option<char>,
    pub display: Display,
}

/// How an element that is inline by its name stands in the line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Display {
    #[default]
    AsNamed,
    /// In a paragraph of its own.
    Block,
    /// In the line, apart from its neighbours.
    Apart,
}

impl Style {
    pub(super) fn of(attribute: Option<&str>) -> Self {
        let mut style = Self::default();
        let Some(text) = attribute else { return style };
        let (mut overridden, mut rtl) = (false, false);
        let (mut relative, mut shift) = (false, 0.0);
        let (mut small, mut at_top) = (false, false);
        let (mut hidden, mut transparent, mut shut) = (false, false, false);
        // Of two declarations the later one counts, unless it says what CSS does not know.
        for (name, value) in declarations(text) {
            match name.as_str() {
                "display" if is_display(&value) => {
                    hidden = value == "none";
                    // `revert` asks for what browsers do.
                    style.placed = !hidden && value != "revert";
                    style.display = display(&value);
                }
                "float" if value != "none" => style.display = Display::Apart,
                "position" if matches!(value.as_str(), "absolute" | "fixed") => style.display = Display::Apart,
                "position" => relative = value == "relative",
                "top" => shift -= number(&value).unwrap_or_default(),
                "bottom" => shift += number(&value).unwrap_or_default(),
                "list-style" | "list-style-type" => {
                    style.unmarked = value.split_whitespace().any(|part| part == "none");
                    style.numbering = value.split_whitespace().find_map(numbering);
                }
                "visibility" if matches!(value.as_str(), "visible" | "hidden" | "collapse") => style.visible = Some(value == "visible"),
                "opacity" if number(&value).is_some() => transparent = is_zero(&value),
                "content-visibility" if matches!(value.as_str(), "visible" | "hidden" | "auto") => shut = value == "hidden",
                "font-size" => {
                    style.sized = Some(!is_zero(&value));
                    small = is_small(&value);
                }
                "font-variant" | "font-variant-position" => {
                    let says = |wanted| value.split_whitespace().any(|part| part == wanted);
                    (style.raised, style.lowered) = (says("super"), says("sub"));
                }
                "white-space" => style.preformatted = Some(matches!(value.as_str(), "pre" | "pre-wrap" | "break-spaces")),
                "text-decoration" | "text-decoration-line" => style.struck = value.contains("line-through"),
                "vertical-align" | "baseline-shift" => {
                    let length = number(&value).unwrap_or_default();
                    at_top = matches!(value.as_str(), "top" | "text-top");
                    (style.raised, style.lowered) = (value == "super" || length > 0.0, value == "sub" || length < 0.0);
                }
                "unicode-bidi" => overridden = value.contains("override"),
                "direction" => rtl = value == "rtl",
                _ => {}
            }
        }
        style.raised |= (relative && shift > 0.0) || (at_top && small);
        style.lowered |= relative && shift < 0.0;
        style.gone = hidden;
        style.blank = transparent || shut;
        style.reordered = overridden && rtl;
        style
    }
}

/// The length that a `style` attribute gives a property, in whatever unit.
pub(super) fn length(attribute: Option<&str>, property: &str) -> Option<f64> {
    let stated = declarations(attribute?).into_iter().rfind(|(name, _)| name == property);
    stated.and_then(|(_, value)| number(&value))
}

/// Whether CSS knows a value of `display`.
fn is_display(value: &str) -> bool {
    const KNOWN: &[&str] = &[
        "none",
        "contents",
        "block",
        "inline",
        "flow",
        "flow-root",
        "table",
        "flex",
        "grid",
        "ruby",
        "math",
        "list-item",
        "initial",
        "inherit",
        "unset",
        "revert",
    ];
    let known = |part: &str| {
        let bare = part.strip_prefix("inline-").or_else(|| part.strip_prefix("-webkit-")).unwrap_or(part);
        KNOWN.contains(&bare) || bare == "box" || part.starts_with("table-") || part.starts_with("ruby-")
    };
    !value.is_empty() && value.split_whitespace().all(known)
}

fn numbering(value: &str) -> Option<char> {
    Some(match value {
        "decimal" => '1',
        "lower-alpha" | "lower-latin" => 'a',
        "upper-alpha" | "upper-latin" => 'A',
        "lower-roman" => 'i',
        "upper-roman" => 'I',
        _ => return None,
    })
}

/// Whether a font size is below that of the text around.
fn is_small(value: &str) -> bool {
    let below = |unit: &str, usual: f64| value.ends_with(unit) && number(value).is_some_and(|size| size < usual);
    matches!(value, "smaller" | "small" | "x-small" | "xx-small")
        || below("%", 100.0)
        || below("em", 1.0)
        || below("px", 12.0)
        || below("pt", 9.0)
}

fn display(value: &str) -> Display {
    match value {
        "block" | "flex" | "grid" | "table" | "list-item" | "table-row" | "flow-root" => Display::Block,
        "inline-block" | "inline-flex" | "inline-grid" | "inline-table" | "table-cell" => Display::Apart,
        _ => Display::AsNamed,
    }
}

/// Whether a number with or without a unit is zero.
fn is_zero(value: &str) -> bool {
    number(value) == Some(0.0)
}

/// The number that a value starts with.
fn number(value: &str) -> Option<f64> {
    let digits: String = value.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+')).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_say_what_is_shown() {
        let of = |text| Style::of(Some(text));
        for gone in [
            "display:none",
            "color:red; DISPLAY : None !important",
            "/*x*/display/**/:none",
            "display:none;display:bogus",
            "display:none!important;display:block",
        ] {
            assert!(of(gone).gone, "{gone}");
        }
        for blank in ["opacity:0", "opacity: 0.0", "content-visibility:hidden", "opacity:0;opacity:bogus"] {
            assert!(of(blank).blank && !of(blank).gone, "{blank}");
        }
        for shown in ["", "display:none;display:block", "opacity:.5", "display:none-such", "--display:none", "background:url(display:none"]
        {
            assert!(!of(shown).gone && !of(shown).blank, "{shown}");
        }
        assert_eq!((of("list-style: lower-alpha inside").numbering, of("list-style-type:disc").numbering), (Some('a'), None));
        assert!(of("vertical-align:text-top;font-size:70%").raised && of("font-variant-position:super").raised);
        assert_eq!(of("visibility:hidden").visible, Some(false));
        assert_eq!(of("visibility:visible").visible, Some(true));
        assert_eq!(
            (of("font-size:0px").sized, of("font-size:0.5em").sized, of("font-size:large").sized),
            (Some(false), Some(true), Some(true))
        );
        assert!(of("text-decoration: red line-through").struck && of("vertical-align:super").raised && of("vertical-align:sub").lowered);
        assert!(
            of("vertical-align:0.4em").raised && of("position:relative;top:-.5em").raised && of("position:relative;bottom:-3px").lowered
        );
        assert!(!of("top:-1em").raised && !of("vertical-align:top").raised && !of("vertical-align:0").raised);
        assert_eq!(
            (of("display:block").display, of("float:left").display, of("display:inline").display),
            (Display::Block, Display::Apart, Display::AsNamed)
        );
        assert!(of("display:flex").placed && of("display:contents").placed && of("display:none;display:inline").placed);
        for not_placed in ["", "color:red", "display:none", "display:revert", "display:bogus", "display:inline;display:none"] {
            assert!(!of(not_placed).placed, "{not_placed}");
        }
        assert!(!of("content:';display:none;'").gone && of("d\\69splay:none").gone);
        assert_eq!(
            (length(Some("top:-3.063em;color:red"), "top"), length(Some("left:0"), "top"), length(None, "top")),
            (Some(-3.063), None, None)
        );
        assert!(of("list-style: none inside").unmarked);
        assert!(of("unicode-bidi:bidi-override;direction:rtl").reordered && !of("direction:rtl").reordered);
    }
}
