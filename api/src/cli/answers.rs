//! `headwater ask`, `headwater sql` and `headwater receipt`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use rag::{Evidence, Inclusion};
use schemas::receipt::{AnswerStatus, Filter, Receipt, ReceiptBody};
use schemas::{Address, hashing};
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use super::datanets::{self, ListedDatanet};
use crate::client::Client;
use crate::http::{AskReply, AttributionObject, RowForm, SqlReply, SqlRequest};
use crate::identity;
use crate::output::{self, Progress, Report, Voice, share_bar, table, tokens};

#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    #[arg(long)]
    pub datanet: String,
    /// A published version [default: the newest].
    #[arg(long)]
    pub version: Option<u64>,
    /// File with an app's API key; that app's payer is charged [default: the operator asks, free of charge].
    #[arg(long, value_name = "FILE")]
    pub app_key: Option<PathBuf>,
    /// An id of your own for this request: sent again, it gives the same answer and costs nothing more.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Answer in the words of the sources, also where a model answers.
    #[arg(long)]
    pub quote: bool,
    /// Let the model answer with this adapter (`GET /v1/models` lists them).
    #[arg(long, value_name = "NAME", conflicts_with = "quote")]
    pub adapter: Option<String>,
    /// Tokens of the answer at most [default: the service's].
    #[arg(long, value_name = "TOKENS")]
    pub max_tokens: Option<u64>,
    /// 0 takes the most likely token, more is more varied [default: the service's].
    #[arg(long)]
    pub temperature: Option<f64>,
    /// What you asked before in this conversation; may be repeated, oldest first.
    #[arg(long, value_name = "QUESTION")]
    pub after: Vec<String>,
    /// Answer from what this contributor gave alone: key name or address; may be repeated.
    #[arg(long = "contributor", value_name = "WHO")]
    pub contributors: Vec<String>,
    /// Answer from what was given under this licence alone: an SPDX expression; may be repeated.
    #[arg(long = "licence", value_name = "SPDX")]
    pub licences: Vec<String>,
    pub question: String,
}

#[derive(Debug, Clone, Args)]
pub struct SqlArgs {
    /// One query, `SHOW TABLES`, or `DESCRIBE` and the name of a table.
    pub query: String,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Read at the snapshot in this JSON file (an earlier reply of --json).
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Csv,
}

#[derive(Debug, Clone, Args)]
pub struct ReceiptArgs {
    /// Receipt id, as `ask` prints it.
    pub id: String,
    /// File with the API key of the app that asked: its payer may have the evidence [default: the operator asks].
    #[arg(long, value_name = "FILE")]
    pub app_key: Option<PathBuf>,
    /// Write it to a file.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write its evidence to a file: question, answer and source texts, for the payer and the operator.
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// Write its place in its epoch to a file, once the epoch is closed.
    #[arg(long, value_name = "FILE")]
    pub inclusion: Option<PathBuf>,
}

impl ReceiptArgs {
    pub fn of(id: String) -> Self {
        Self { id, app_key: None, out: None, evidence: None, inclusion: None }
    }
}

/// Asks, and reports the answer whole.
pub async fn ask(context: &Context, args: &AskArgs) -> anyhow::Result<Report> {
    let client = client(context, args.app_key.as_deref())?;
    let datanet = datanets::of(&client, &args.datanet).await?;
    let reply: AskReply = client.post_once("/v1/chat/completions", &request(context, args)?, args.request_id.as_deref()).await?;
    check_asked(context, &datanet, args, &reply.attribution)?;
    let text = reply.choices.first().map_or("", |choice| choice.message.content.as_str());
    Ok(Report::new(format!("{}{}", output::printable(text), describe(context, &reply.attribution)), &reply))
}

/// [`ask`]; to a person at a terminal the words are printed as they come, and what is below them is reported.
pub async fn ask_here(context: &Context, args: &AskArgs) -> anyhow::Result<Report> {
    let progress = Progress::start(context.voice, "working");
    if context.voice != Voice::Person || !std::io::stdout().is_terminal() {
        return ask(context, args).await;
    }
    let client = client(context, args.app_key.as_deref())?;
    let datanet = datanets::of(&client, &args.datanet).await?;
    let attribution = ask_aloud(&client, request(context, args)?, args.request_id.as_deref(), &progress).await?;
    check_asked(context, &datanet, args, &attribution)?;
    Ok(Report::new(describe(context, &attribution), &attribution))
}

/// The service, with the API key in a file or the operator's.
fn client(context: &Context, app_key: Option<&Path>) -> anyhow::Result<Client> {
    let Some(path) = app_key else { return context.client() };
    let key = std::fs::read_to_string(path).with_context(|| format!("cannot read the API key in {}", path.display()))?;
    let url = context.url.clone().map_or_else(|| Client::discover(&context.data_dir), Ok)?;
    Client::new(&url, Some(key.trim().to_owned()))
}

/// What may answer, if not everything.
fn filter(context: &Context, args: &AskArgs) -> anyhow::Result<Option<Filter>> {
    let contributors = args.contributors.iter().map(|who| identity::address(&context.data_dir, who)).collect::<anyhow::Result<_>>()?;
    let filter = Filter { contributors, licences: args.licences.clone(), ..Filter::default() }.ordered();
    Ok(Some(filter).filter(|filter| *filter != Filter::default()))
}

/// An answer from elsewhere than was asked is none to this question. It may have been paid for: the error names its receipt.
fn check_asked(context: &Context, datanet: &ListedDatanet, args: &AskArgs, attribution: &AttributionObject) -> anyhow::Result<()> {
    let body = &attribution.receipt.body;
    let answer = format!("answer {} is none to what was asked", body.answer_id);
    let (asked, stated) = (filter(context, args)?, &body.retrieval.filter);
    if asked != *stated {
        bail!("{answer}: asked with the filter {}, answered with {}", json!(asked), json!(stated));
    }
    if let Some(version) = args.version.filter(|version| *version != body.version) {
        bail!("{answer}: asked of version {version}, answered from version {}", body.version);
    }
    // a name is that of an owner's Datanet, and the id says whose
    let id = hashing::datanet_id(datanet.owner, &datanet.name);
    if body.datanet_id != id {
        bail!("{answer}: asked of Datanet {} ({id}), answered from {}", args.datanet, body.datanet_id);
    }
    let turns = body.retrieval.turns.unwrap_or(0);
    if turns > args.after.len() as u64 {
        bail!("{answer}: asked after {}, answered after {turns}", output::count(args.after.len(), "earlier question"));
    }
    Ok(())
}

fn request(context: &Context, args: &AskArgs) -> anyhow::Result<Value> {
    let filter = filter(context, args)?;
    let said = args.after.iter().chain([&args.question]);
    let adapter = args.adapter.as_ref().map_or(String::new(), |name| format!("::{name}"));
    Ok(json!({
        "model": if args.quote { "quote".to_owned() } else { format!("datanet:{}{adapter}", args.datanet) },
        "messages": said.map(|text| json!({ "role": "user", "content": text })).collect::<Vec<_>>(),
        "attribution": { "datanets": [{ "name": args.datanet, "version": args.version, "filter": filter }] },
        "max_tokens": args.max_tokens,
        "temperature": args.temperature,
    }))
}

/// Prints the answer's words as they come, and returns what it rests on.
async fn ask_aloud(
    client: &Client,
    mut request: Value,
    request_id: Option<&str>,
    progress: &Progress,
) -> anyhow::Result<AttributionObject> {
    request["stream"] = json!(true);
    let mut last = Value::Null;
    let mut hear = |mut event: Value| {
        if let Some(words) = event["choices"][0]["delta"]["content"].as_str().filter(|words| !words.is_empty()) {
            progress.finish();
            output::words(&output::printable(words));
        }
        if let Some(attribution) = event.get_mut("attribution") {
            last = attribution.take();
        }
    };
    client.post_events("/v1/chat/completions", &request, request_id, &mut hear).await?;
    serde_json::from_value(last).context("the service did not say what the answer rests on")
}

/// The name of a key in the data folder, or the address.
pub(super) fn person(names: &[(Address, String)], address: Address) -> String {
    let known = names.iter().find(|(known, _)| *known == address);
    known.map_or_else(|| format!("{address}"), |(_, name)| name.clone())
}

pub(super) fn names(context: &Context) -> Vec<(Address, String)> {
    use schemas::signer::Signer;
    let names = identity::list(&context.data_dir).unwrap_or_default();
    names.into_iter().filter_map(|name| identity::load(&context.data_dir, &name).ok().map(|signer| (signer.address(), name))).collect()
}

/// What stands below an answer: sources, shares, fee, receipt.
fn describe(context: &Context, attribution: &AttributionObject) -> String {
    let names = names(context);
    let mut text = String::new();
    if attribution.status == AnswerStatus::Answered {
        for (index, citation) in attribution.citations.iter().enumerate() {
            let file = citation.file_name.clone().unwrap_or_else(|| citation.document_id.to_string());
            let earlier = said_before(&attribution.receipt.body, index).map_or(String::new(), |(contributor, part_ppm)| {
                format!("; {} % of its words were said first by {}", part_ppm / 10_000, person(&names, contributor))
            });
            text.push_str(&format!(
                "\n  ↳ {file} bytes {}–{}, by {}{earlier}",
                citation.source_byte_start,
                citation.source_byte_end,
                person(&names, citation.contributor)
            ));
        }
        for line in &attribution.contributors {
            let copy = if line.copy_of.is_some() { "  (repeats an earlier source)" } else { "" };
            text.push_str(&format!("\n  {} {}{copy}", share_bar(line.share_ppm, 24), person(&names, line.contributor)));
        }
        for value in attribution.values.iter().filter(|value| value.micronats < 0) {
            let who: Vec<String> = value.contributors.iter().map(|contributor| person(&names, *contributor)).collect();
            text.push_str(&format!("\n  {}: made the answer less likely, and not paid for that", who.join(", ")));
        }
        if attribution.unattributed_ppm > 0 {
            text.push_str(&format!("\n  {} unattributed", share_bar(attribution.unattributed_ppm, 24)));
        }
    }
    let fee = tokens(schemas::U256::from(attribution.fee_wei.0));
    text.push_str(&format!("\n  receipt {}  {} v{}  fee {fee} OPEN", attribution.receipt_id, attribution.datanet, attribution.version));
    text
}

/// Who else than the quoted contributor said most of a quoted statement first, and how much of it in parts per million.
fn said_before(body: &ReceiptBody, segment: usize) -> Option<(Address, u64)> {
    let (quoted, row) = (body.segments.get(segment)?, body.value_table.get(segment)?);
    let quoted = body.sources.get(usize::try_from(quoted.source).ok()?)?.contributor;
    foremost(body.sources.iter().zip(&row.adds_ppm).map(|(source, part)| (source.contributor, *part)), quoted)
}

/// Who has most but for `quoted`, if that is a hundredth at least.
fn foremost(parts: impl Iterator<Item = (Address, u64)>, quoted: Address) -> Option<(Address, u64)> {
    let mut sums: BTreeMap<Address, u64> = BTreeMap::new();
    for (contributor, part) in parts.filter(|(contributor, _)| *contributor != quoted) {
        *sums.entry(contributor).or_default() += part;
    }
    sums.into_iter().max_by_key(|(_, part)| *part).filter(|(_, part)| *part >= 10_000)
}

pub async fn sql(context: &Context, args: &SqlArgs) -> anyhow::Result<Report> {
    let snapshot = match &args.snapshot {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the snapshot in {}", path.display()))?;
            let value: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
            let snapshot = value.get("snapshot").unwrap_or(&value).clone();
            Some(serde_json::from_value(snapshot).with_context(|| format!("{} is not a snapshot", path.display()))?)
        }
        None => None,
    };
    let reply: SqlReply =
        context.client()?.post("/v1/sql", &SqlRequest { query: args.query.clone(), snapshot, rows: RowForm::Arrays }).await?;
    let names: Vec<&str> = reply.columns.iter().map(|column| column.name.as_str()).collect();
    let rows: Vec<Vec<Option<String>>> = reply.rows.iter().map(|row| row.as_array().into_iter().flatten().map(cell).collect()).collect();
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&reply)?,
        Format::Csv => {
            if reply.truncated {
                output::notice(&format!("there are more rows than these {}: a query has a limit", rows.len()));
            }
            csv(&names, &rows)
        }
        Format::Table => {
            let more = if reply.truncated { "\n(there are more rows)" } else { "" };
            let block = reply.snapshot.block.map_or(String::new(), |block| format!(", block {}", block.number));
            let count = reply.rows.len();
            let shown = |row: Vec<Option<String>>| row.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".into())).collect();
            let rows: Vec<Vec<String>> = rows.into_iter().map(shown).collect();
            format!("{}\n{count} row{}{block}{more}", table(&names, &rows), if count == 1 { "" } else { "s" })
        }
    };
    Ok(Report::new(text, &reply))
}

/// A value as text; `None` for NULL.
fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// RFC 4180, and NULL as PostgreSQL's COPY has it: nothing, where an empty text is `""`. So a row of one NULL alone is an empty
/// line: whatever else stood there would be a value. A cell that a spreadsheet would run as a formula is prefixed by an apostrophe.
fn csv(header: &[&str], rows: &[Vec<Option<String>>]) -> String {
    let cell = |text: &str| {
        let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
        let text = if formula { format!("'{text}") } else { text.to_owned() };
        let is_quoted = text.is_empty() || text.contains([',', '"', '\n', '\r']);
        if is_quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let line = |row: &Vec<Option<String>>| row.iter().map(|text| text.as_deref().map_or(String::new(), cell)).collect::<Vec<_>>().join(",");
    let mut lines = vec![header.iter().map(|name| cell(name)).collect::<Vec<_>>().join(",")];
    lines.extend(rows.iter().map(line));
    lines.join("\r\n")
}

pub async fn receipt(context: &Context, args: &ReceiptArgs) -> anyhow::Result<Report> {
    let (client, path) = (client(context, args.app_key.as_deref())?, format!("/v1/receipts/{}", args.id));
    let receipt: Receipt = client.get(&path).await?;
    let mut wrote = Vec::new();
    if let Some(file) = &args.out {
        wrote.push(write_json(file, &receipt)?);
    }
    if let Some(file) = &args.evidence {
        wrote.push(write_json(file, &client.get::<Evidence>(&format!("{path}/evidence")).await?)?);
    }
    if let Some(file) = &args.inclusion {
        wrote.push(write_json(file, &client.get::<Inclusion>(&format!("{path}/inclusion")).await?)?);
    }
    let text = if wrote.is_empty() { serde_json::to_string_pretty(&receipt)? } else { wrote.join("\n") };
    Ok(Report::new(text, &receipt))
}

fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    std::fs::write(path, format!("{text}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(format!("wrote {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_said_it_first_is_somebody_else() {
        let [quoted, a, b] = [1, 2, 3].map(Address::repeat_byte);
        let parts = [(quoted, 300_000), (a, 200_000), (b, 250_000), (a, 250_000)];
        assert_eq!(foremost(parts.into_iter(), quoted), Some((a, 450_000)));
        assert_eq!(foremost([(quoted, 990_001), (a, 9_999)].into_iter(), quoted), None);
    }

    #[test]
    fn csv_is_quoted_and_harmless() {
        let row = |cells: &[Option<&str>]| cells.iter().map(|cell| cell.map(str::to_owned)).collect::<Vec<_>>();
        let rows = [row(&[Some("a,b"), Some("say \"hi\"")]), row(&[Some("=1+1"), Some("-5")]), row(&[None, Some("")])];
        assert_eq!(csv(&["x", "y"], &rows), "x,y\r\n\"a,b\",\"say \"\"hi\"\"\"\r\n'=1+1,-5\r\n,\"\"");
        assert_eq!(csv(&["x"], &[row(&[Some("")]), row(&[None]), row(&[Some("a")])]), "x\r\n\"\"\r\n\r\na");
    }
}
