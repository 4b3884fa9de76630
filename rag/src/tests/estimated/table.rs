//! The tables in BENCHMARKS.md.

use std::path::Path;

/// Puts a text between the markers of a part.
pub(super) fn write(page: &Path, part: &str, text: &str) {
    let (begin, end) = (format!("<!-- attribution-{part}: begin -->"), format!("<!-- attribution-{part}: end -->"));
    let old = std::fs::read_to_string(page).unwrap();
    let (before, rest) = old.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    std::fs::write(page, format!("{before}{begin}\n{text}{end}{after}")).unwrap();
}
