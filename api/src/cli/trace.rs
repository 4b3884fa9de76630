//! `headwater trace`.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rag::{TracedDocument, TracedSpan};

use super::Context;
use super::answers::{names, person};
use crate::http::{NamedTrace, OneOrMore, TextToTrace, TraceReply};
use crate::output::{Report, count, in_a_line, printable};

/// Characters of a span that a person is shown.
const SHOWN_CHARACTERS: usize = 200;
/// Of a text or a file that is read: more is told to be too long by the service.
const READ_MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, Args)]
pub struct TraceArgs {
    /// A Datanet by its name or id; may be repeated [default: all that have published something].
    #[arg(long = "datanet", value_name = "DATANET")]
    pub datanets: Vec<String>,
    /// A published version of the one Datanet that is named [default: the newest].
    #[arg(long)]
    pub version: Option<u64>,
    /// Words of a span at least [default: 6].
    #[arg(long, value_name = "WORDS")]
    pub at_least: Option<usize>,
    /// Spans that are shown, in parts per million of the text's tokens [default: 50000].
    #[arg(long, value_name = "PPM")]
    pub density_ppm: Option<u64>,
    /// Trace the text of this file.
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// The text; `-` reads it from standard input.
    #[arg(required_unless_present = "file")]
    pub text: Option<String>,
}

/// Traces a text, and reports whose published words it holds.
pub async fn trace(context: &Context, args: &TraceArgs) -> anyhow::Result<Report> {
    let datanet = match args.datanets.as_slice() {
        [] => None,
        [one] => Some(OneOrMore::One(one.clone())),
        more => Some(OneOrMore::More(more.to_vec())),
    };
    let TraceArgs { version, at_least, density_ppm, .. } = *args;
    let request = TextToTrace { text: text(args)?, datanet, version, at_least, density_ppm };
    let reply: TraceReply = context.client()?.post("/v1/trace", &request).await?;
    let names = names(context);
    let person = |address: schemas::Address| person(&names, address);
    let mut told: Vec<String> = reply.traces.iter().map(|trace| describe(trace, &person)).collect();
    if told.is_empty() {
        told.push("nothing is published yet".into());
    }
    Ok(Report::new(printable(&told.join("\n")), &reply))
}

fn text(args: &TraceArgs) -> anyhow::Result<String> {
    match (&args.file, args.text.as_deref()) {
        (Some(path), _) => {
            let told = || format!("cannot read the text in {}", path.display());
            read(std::fs::File::open(path).with_context(told)?).with_context(told)
        }
        (None, Some("-")) => read(std::io::stdin().lock()).context("cannot read the text from standard input"),
        (None, text) => Ok(text.unwrap_or_default().to_owned()),
    }
}

fn read(from: impl std::io::Read) -> anyhow::Result<String> {
    let mut text = String::new();
    from.take(READ_MAX_BYTES + 1).read_to_string(&mut text)?;
    anyhow::ensure!(text.len() as u64 <= READ_MAX_BYTES, "it has more than {READ_MAX_BYTES} bytes");
    Ok(text)
}

/// The spans of one version, each with the documents that hold it.
fn describe(named: &NamedTrace, person: &impl Fn(schemas::Address) -> String) -> String {
    let NamedTrace { datanet, trace } = named;
    let covered = trace.coverage_ppm as f64 / 10_000.0;
    let (found, shown) = (count(trace.spans_found as u64, "span"), trace.spans.len());
    let fewer = if shown < trace.spans_found { format!(", the {shown} rarest are shown") } else { String::new() };
    let words = count(trace.words as u64, "word");
    let mut told = format!("{datanet} v{}: {covered:.2} % of {words} stand there word for word; {found}{fewer}", trace.version);
    for span in &trace.spans {
        told.push_str(&span_told(span));
        for document in &span.documents {
            told.push_str(&document_told(document, person));
        }
        if span.has_more {
            told.push_str("\n    ↳ and maybe more, registered later");
        }
    }
    told
}

fn span_told(span: &TracedSpan) -> String {
    let mut text: String = in_a_line(&span.text).chars().take(SHOWN_CHARACTERS).collect();
    if span.text.chars().count() > SHOWN_CHARACTERS {
        text.push('…');
    }
    let TracedSpan { start, end, words, occurrences, .. } = span;
    format!("\n  bytes {start}–{end}, {}, {}: “{text}”", count(*words as u64, "word"), count(*occurrences, "occurrence"))
}

fn document_told(document: &TracedDocument, person: &impl Fn(schemas::Address) -> String) -> String {
    let file = document.file_name.clone().unwrap_or_else(|| document.document_id.to_string());
    let TracedDocument { registered, contributor, chunk_id, .. } = document;
    format!("\n    ↳ registered {registered}: {}, by {}, chunk {chunk_id}", in_a_line(&file), person(*contributor))
}

#[cfg(test)]
mod tests {
    use schemas::ids::{ChunkId, DatanetId, DocumentId, SubmissionId};
    use schemas::{Address, B256};

    use super::*;

    #[test]
    fn what_others_wrote_steers_no_terminal_and_ends_no_line() {
        let document = TracedDocument {
            chunk_id: ChunkId(B256::ZERO),
            document_id: DocumentId(B256::ZERO),
            file_name: Some("a\n\u{1b}[31mb.txt".into()),
            submission_id: SubmissionId(B256::ZERO),
            contributor: Address::repeat_byte(1),
            registered: 3,
            start: 0,
            end: 5,
            snippet: String::new(),
        };
        let span = TracedSpan {
            start: 0,
            end: 5,
            text: format!("one\r\u{1b}]0;x\u{7}\n{}", "two ".repeat(100)),
            words: 2,
            rarity_bits: 9,
            occurrences: 1,
            documents: vec![document],
            has_more: false,
        };
        let trace = rag::Trace {
            datanet_id: DatanetId(B256::ZERO),
            version: 1,
            root: B256::ZERO,
            tokens: 2,
            words: 2,
            coverage_ppm: 1_000_000,
            spans_found: 2,
            spans: vec![span],
        };
        let told = describe(&NamedTrace { datanet: "bees".into(), trace }, &|_| "con".into());
        assert!(!told.contains(['\u{1b}', '\u{7}', '\r']) && told.lines().count() == 3, "{told:?}");
        assert!(told.contains("100.00 % of 2 words") && told.contains("2 spans, the 1 rarest are shown"), "{told}");
        assert!(told.contains("registered 3: a⏎") && told.contains("by con") && told.contains("two t…”"), "{told}");
    }
}
