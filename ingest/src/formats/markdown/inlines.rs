//! What a heading of Markdown shows. Its inline content, which can hold HTML, is written as HTML and read as that, so that both
//! say the same: `10<sup>3</sup>` is `10^3`, and what is struck out is not said.

use pulldown_cmark::{Event, Tag, TagEnd};

use crate::formats::html;

/// Tags that GitHub shows as they are spelled: their elements would take what follows for their own.
const SPELLED_OUT: &[&str] = &["title", "textarea", "style", "xmp", "iframe", "noembed", "noframes", "script", "plaintext"];

/// The inline content of a heading, as far as it is read.
#[derive(Debug, Default)]
pub(super) struct Inlines {
    html: String,
    /// Images that are open, and the text that stands for the first.
    images: usize,
    alternative: String,
}

impl Inlines {
    pub(super) fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Text(words) | Event::Code(words) => self.text(words),
            Event::SoftBreak => self.text(" "),
            Event::Start(Tag::Image { .. }) => self.images += 1,
            Event::End(TagEnd::Image) => self.end_image(),
            // Nothing in an image's text but its words.
            _ if self.images > 0 => {}
            Event::HardBreak => self.html.push_str("<br>"),
            Event::Start(Tag::Strikethrough) => self.html.push_str("<del>"),
            Event::End(TagEnd::Strikethrough) => self.html.push_str("</del>"),
            Event::InlineHtml(tag) if is_spelled_out(tag) => self.text(tag),
            Event::InlineHtml(tag) => self.html.push_str(tag),
            _ => {}
        }
    }

    /// The mark of a footnote; brackets where there is no such footnote.
    pub(super) fn footnote(&mut self, label: &str, is_defined: bool) {
        if !is_defined {
            self.text(&format!("[^{label}]"));
        }
    }

    fn text(&mut self, text: &str) {
        let into = if self.images > 0 { &mut self.alternative } else { &mut self.html };
        into.push_str(&text.replace('&', "&amp;").replace('<', "&lt;"));
    }

    fn end_image(&mut self) {
        self.images = self.images.saturating_sub(1);
        if self.images == 0 {
            let alternative = std::mem::take(&mut self.alternative).replace('"', "&quot;");
            self.html.push_str(&format!("<img alt=\"{alternative}\">"));
        }
    }

    /// What a reader sees of it; `None` where that is nothing.
    pub(super) fn shown(self) -> Option<String> {
        html::fragment(&format!("<h1>{}</h1>", self.html)).heading
    }
}

fn is_spelled_out(tag: &str) -> bool {
    let name = tag.trim_start_matches(['<', '/']).split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    SPELLED_OUT.iter().any(|spelled| spelled.eq_ignore_ascii_case(name))
}
