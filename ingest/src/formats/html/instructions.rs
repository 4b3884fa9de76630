//! Processing instructions of XML: `<?xml-stylesheet href="a.css"?>`, `<?php … ?>`. They end at `?>`. To the tokenizer, which is
//! HTML's, they are comments that end at the first `>`.

use std::borrow::Cow;

/// A page that is XML with each `>` within an instruction blanked, so that it is the same to both. No byte moves.
pub(super) fn closed(source: &str) -> Cow<'_, str> {
    let mut closed = String::new();
    // Up to here the page is in `closed`.
    let mut done = 0;
    let mut at = 0;
    while let Some((start, end)) = next(source, at) {
        let Some(inside) = source.get(start + "<?".len()..end).and_then(|text| text.strip_suffix("?>")) else { break };
        if inside.contains('>') {
            closed.push_str(source.get(done..start).unwrap_or_default());
            closed.push_str("<?");
            closed.push_str(&inside.replace('>', " "));
            closed.push_str("?>");
            done = end;
        }
        at = end;
    }
    if done == 0 {
        return Cow::Borrowed(source);
    }
    closed.push_str(source.get(done..).unwrap_or_default());
    Cow::Owned(closed)
}

/// Where the next instruction from byte `at` on starts and ends. There is none in a comment, nor in `<![CDATA[…]]>`.
fn next(source: &str, mut at: usize) -> Option<(usize, usize)> {
    loop {
        at += source.get(at..)?.find('<')?;
        let rest = source.get(at..)?;
        if let Some(inside) = rest.strip_prefix("<?") {
            return Some((at, at + "<?".len() + inside.find("?>")? + "?>".len()));
        }
        let past = |end: &str| rest.find(end).map(|found| at + found + end.len());
        at = if rest.starts_with("<!--") {
            past("-->")?
        } else if rest.starts_with("<![CDATA[") {
            past("]]>")?
        } else {
            at + 1
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_end_where_xml_ends_them() {
        for (page, expected) in [
            ("<p>a</p>", "<p>a</p>"),
            ("<?x y?><p>a > b</p>", "<?x y?><p>a > b</p>"),
            ("é<?x title=\"x>y\"?>b > c<?php 1 >> 2; ?>d", "é<?x title=\"x y\"?>b > c<?php 1    2; ?>d"),
            ("<!-- <? > ?> --><![CDATA[<? > ?>]]><? > ?>", "<!-- <? > ?> --><![CDATA[<? > ?>]]><?   ?>"),
            // What does not end is no instruction.
            ("<? > <p>a</p>", "<? > <p>a</p>"),
            ("<?>a?>", "<? a?>"),
            ("", ""),
        ] {
            let closed = closed(page);
            assert_eq!(closed, expected);
            assert_eq!(closed.len(), page.len());
        }
    }
}
