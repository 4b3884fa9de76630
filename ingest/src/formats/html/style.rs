//! What an element's own `style` says about whether and how its text is shown.

/// The declarations that matter. What is `None` is inherited.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// Neither it nor anything in it is shown.
    pub gone: bool,
    /// Its own text is shown, or what in it says otherwise.
    pub visible: Option<bool>,
    /// Its own text has a size.
    pub sized: Option<bool>,
    pub preformatted: Option<bool>,
    pub struck: bool,
    pub raised: bool,
    pub lowered: bool,
    pub reordered: bool,
}

impl Style {
    pub(super) fn of(attribute: Option<&str>) -> Self {
        let mut style = Self::default();
        let Some(text) = attribute else { return style };
        let (mut overridden, mut rtl) = (false, false);
        let (mut hidden, mut transparent, mut shut) = (false, false, false);
        // Of two declarations the later one counts.
        for (name, value) in declarations(text) {
            match name.as_str() {
                "display" => hidden = value == "none",
                "visibility" => style.visible = Some(!matches!(value.as_str(), "hidden" | "collapse")),
                "opacity" => transparent = is_zero(&value),
                "content-visibility" => shut = value == "hidden",
                "font-size" => style.sized = Some(!is_zero(&value)),
                "white-space" => style.preformatted = Some(matches!(value.as_str(), "pre" | "pre-wrap" | "break-spaces")),
                "text-decoration" | "text-decoration-line" => style.struck = value.contains("line-through"),
                "vertical-align" => (style.raised, style.lowered) = (value == "super", value == "sub"),
                "unicode-bidi" => overridden = value.contains("override"),
                "direction" => rtl = value == "rtl",
                _ => {}
            }
        }
        style.gone = hidden || transparent || shut;
        style.reordered = overridden && rtl;
        style
    }
}

/// Names and values, in lower case, without comments and `!important`.
fn declarations(text: &str) -> Vec<(String, String)> {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("/*") {
        bare.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    bare.push_str(rest);
    bare.to_lowercase()
        .split(';')
        .filter_map(|declaration| {
            let (name, value) = declaration.split_once(':')?;
            let value = value.split('!').next().unwrap_or_default();
            Some((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// Whether a number with or without a unit is zero.
fn is_zero(value: &str) -> bool {
    let number: String = value.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+')).collect();
    number.parse::<f64>().is_ok_and(|number| number == 0.0)
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
            "opacity:0",
            "opacity: 0.0",
            "/*x*/display/**/:none",
            "content-visibility:hidden",
        ] {
            assert!(of(gone).gone, "{gone}");
        }
        for shown in ["", "display:none;display:block", "opacity:.5", "display:none-such", "--display:none", "background:url(display:none"]
        {
            assert!(!of(shown).gone, "{shown}");
        }
        assert_eq!(of("visibility:hidden").visible, Some(false));
        assert_eq!(of("visibility:visible").visible, Some(true));
        assert_eq!(
            (of("font-size:0px").sized, of("font-size:0.5em").sized, of("font-size:large").sized),
            (Some(false), Some(true), Some(true))
        );
        assert!(of("text-decoration: red line-through").struck && of("vertical-align:super").raised && of("vertical-align:sub").lowered);
        assert!(of("unicode-bidi:bidi-override;direction:rtl").reordered && !of("direction:rtl").reordered);
    }
}
