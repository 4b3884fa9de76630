//! Node addresses, and text in which they occur: paths, queries and credentials often hold keys, so
//! nothing but scheme, host and port leaves this module.

use reqwest::Url;

use crate::{IndexerError, Result};

/// Texts from outside are cut to this many characters.
const MAX_TEXT_CHARACTERS: usize = 500;

/// Reads an address whose scheme is one of `schemes`.
///
/// # Errors
/// [`IndexerError::BadUrl`].
pub(crate) fn parse(url: &str, schemes: [&str; 2]) -> Result<Url> {
    let parsed: Url = url.parse().map_err(|error| bad_url(url, &error))?;
    if !schemes.contains(&parsed.scheme()) || parsed.host_str().is_none() {
        return Err(bad_url(url, &format!("not an address that starts with {}://", schemes.join(":// or "))));
    }
    Ok(parsed)
}

pub(crate) fn bad_url(url: &str, problem: &dyn std::fmt::Display) -> IndexerError {
    let shown = url.parse::<Url>().map_or_else(|_| "(unreadable)".to_owned(), |url| shown(&url));
    IndexerError::BadUrl { url: shown, problem: problem.to_string() }
}

/// Scheme, host and port.
pub(crate) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

pub(super) fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// The text, not too long, with every address in it cut down to scheme, host and port.
pub(crate) fn safe_text(text: &str) -> String {
    // An address is cut before the text is, else half a key could remain of one that no longer parses.
    let start: String = text.chars().take(8 * MAX_TEXT_CHARACTERS).collect();
    without_paths(&start).chars().take(MAX_TEXT_CHARACTERS).collect()
}

fn without_paths(text: &str) -> String {
    let word_ends = |letter: char| letter.is_whitespace() || matches!(letter, ')' | '"' | '\'' | '>' | ',');
    let mut cut = String::with_capacity(text.len());
    for word in text.split_inclusive(word_ends) {
        let Some(colon) = word.find("://") else {
            cut.push_str(word);
            continue;
        };
        let not_scheme = |letter: char| !letter.is_ascii_alphanumeric();
        let start = word[..colon].rfind(not_scheme).map_or(0, |last| last + word[last..].chars().next().map_or(1, char::len_utf8));
        let (before, address) = word.split_at(start);
        let end = address.find(word_ends).unwrap_or(address.len());
        let (address, after) = address.split_at(end);
        cut.push_str(before);
        cut.push_str(&address.parse().map_or_else(|_| "(address)".to_owned(), |url| shown(&url)));
        cut.push_str(after);
    }
    cut
}

/// An error with its causes: reqwest's own text stops at "error sending request".
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_text_are_cut() {
        let text = "error for url (https://a.example:8443/v2/key?x=1): see http://b/c, or httpd";
        assert_eq!(safe_text(text), "error for url (https://a.example:8443): see http://b, or httpd");
        assert_eq!(safe_text("é=wss://u:p@c.example/secret"), "é=wss://c.example");
        assert_eq!(safe_text("http://[oops/secret"), "(address)");
        let long = format!("{} http://host/{}", "x".repeat(480), "k".repeat(5_000));
        assert!(!safe_text(&long).contains('k'), "{}", safe_text(&long));
    }

    #[test]
    fn addresses_are_checked() {
        for bad in ["", "127.0.0.1:8545", "ws://127.0.0.1:8545", "file:///etc/passwd"] {
            assert!(matches!(parse(bad, ["http", "https"]), Err(IndexerError::BadUrl { .. })), "{bad}");
        }
    }
}
