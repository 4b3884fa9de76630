//! What is told of the spans that were found: whose documents hold them, where, and what stands around them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use schemas::ids::DocumentId;

use super::open::{TracedVersion, texts};
use super::part::Holder;
use super::query::Query;
use super::search::{Found, FoundSpan, HOLDERS_MAX, search};
use super::tokens::tokens;
use super::{Trace, TracedDocument, TracedSpan};
use crate::{RagError, Result, blocking};

/// Documents of a span that are told.
const DOCUMENTS_MAX: usize = 10;
/// Bytes of a snippet before and after its span, about.
const AROUND_BYTES: usize = 80;

/// Traces a text in one version. The files that documents were read from are named later.
///
/// # Errors
/// Those of the store.
pub(crate) async fn trace(version: &Arc<TracedVersion>, query: &Arc<Query>, spans_max: usize) -> Result<Trace> {
    let (searched, asked) = (version.clone(), query.clone());
    let found = blocking(move || {
        let mut found = search(&searched.kept.parts, &asked, spans_max);
        for span in &mut found.shown {
            let all = of_different_documents(&searched, &span.holders);
            span.has_more = span.holders.len() == HOLDERS_MAX || all.len() > DOCUMENTS_MAX;
            span.holders = all.into_iter().take(DOCUMENTS_MAX).collect();
        }
        Ok(found)
    })
    .await?;
    let members: BTreeSet<usize> = found.shown.iter().flat_map(|span| &span.holders).map(|holder| holder.member).collect();
    let place = |member: &usize| version.kept.members.get(*member).map(|(member, _)| u64::from(member.place));
    let places: Vec<u64> = members.iter().filter_map(place).collect();
    let texts = texts(&version.store, &version.row, &places).await?;
    let texts: BTreeMap<usize, String> = members.into_iter().zip(texts).collect();
    let (version, query) = (version.clone(), query.clone());
    blocking(move || told(&version, &query, found, &texts)).await
}

/// The first holder of each document.
fn of_different_documents(version: &TracedVersion, holders: &[Holder]) -> Vec<Holder> {
    let mut seen: BTreeSet<DocumentId> = BTreeSet::new();
    let is_new = |holder: &&Holder| version.kept.members.get(holder.member).is_some_and(|(_, origin)| seen.insert(origin.document));
    holders.iter().filter(is_new).copied().collect()
}

fn told(version: &TracedVersion, query: &Query, found: Found, texts: &BTreeMap<usize, String>) -> Result<Trace> {
    // a member is cut once, whatever spans it holds
    let cut: HashMap<usize, Vec<(usize, usize)>> = texts
        .iter()
        .map(|(member, text)| (*member, tokens(text).map(|(token, _)| (token.range.start, token.range.end)).collect()))
        .collect();
    let mut spans = Vec::with_capacity(found.shown.len());
    for FoundSpan { span, rarity_bits, occurrences, holders, has_more } in found.shown {
        let range = query.range(&span.tokens);
        let documents = holders.iter().map(|holder| {
            let tokens = cut.get(&holder.member).and_then(|cut| cut.get(holder.token..holder.token + span.tokens.len()));
            let ends = tokens.and_then(|tokens| Some((tokens.first()?.0, tokens.last()?.1)));
            let text = texts.get(&holder.member);
            document(version, holder.member, ends.zip(text)).ok_or_else(|| damaged(version))
        });
        spans.push(TracedSpan {
            text: query.text.get(range.clone()).unwrap_or_default().to_owned(),
            start: range.start,
            end: range.end,
            words: span.words,
            rarity_bits: whole(rarity_bits),
            occurrences,
            documents: documents.collect::<Result<Vec<TracedDocument>>>()?,
            has_more,
        });
    }
    Ok(Trace {
        datanet_id: version.row.datanet_id,
        version: version.row.version,
        root: version.row.root,
        tokens: query.tokens.len(),
        words: query.words(),
        coverage_ppm: found.coverage_ppm,
        spans_found: found.spans_in_all,
        spans,
    })
}

fn document(version: &TracedVersion, member: usize, found: Option<((usize, usize), &String)>) -> Option<TracedDocument> {
    let ((start, end), text) = found?;
    let (of, origin) = version.kept.members.get(member)?;
    Some(TracedDocument {
        chunk_id: of.chunk_id,
        document_id: origin.document,
        file_name: None,
        submission_id: origin.submission,
        contributor: origin.contributor,
        registered: origin.registered,
        start,
        end,
        snippet: snippet(text, start, end),
    })
}

/// What only files can be that changed after they were checked.
fn damaged(version: &TracedVersion) -> RagError {
    let of = format!("version {} of Datanet {}", version.row.version, version.row.datanet_id);
    RagError::Worker(format!("what {of} is traced by is damaged; it is derived: the next call finds it built anew"))
}

/// The span with some words around it; an ellipsis stands for what is left out.
fn snippet(text: &str, start: usize, end: usize) -> String {
    let from = text.floor_char_boundary(start.saturating_sub(AROUND_BYTES));
    let to = text.ceil_char_boundary((end + AROUND_BYTES).min(text.len()));
    let before = text.get(from..start).unwrap_or_default();
    // no piece of a word, where there is white space to cut at
    let before = if from == 0 { before } else { before.split_once(char::is_whitespace).map_or(before, |(_, rest)| rest) };
    let after = text.get(end..to).unwrap_or_default();
    let after = if to == text.len() { after } else { after.rsplit_once(char::is_whitespace).map_or(after, |(rest, _)| rest) };
    let (first, last) = (if from == 0 { "" } else { "…" }, if to == text.len() { "" } else { "…" });
    format!("{first}{before}{}{after}{last}", text.get(start..end).unwrap_or_default())
}

#[expect(clippy::cast_possible_truncation, reason = "bits of a text are few")]
fn whole(bits: f64) -> u64 {
    bits.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_shows_whole_words_around_its_span() {
        let text = format!("{} before the span after it {}", "é ".repeat(90), "word ".repeat(40));
        let start = text.find("the span").unwrap();
        let shown = snippet(&text, start, start + 8);
        assert!(shown.starts_with("…é ") && shown.contains("before the span after it word") && shown.ends_with("word…"), "{shown}");
        assert_eq!(snippet("the span", 0, 8), "the span");
        assert_eq!(snippet("a the span.", 2, 10), "a the span.");
    }
}
