//! `headwater submit`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use schemas::hashing::{ManifestEntry, manifest_hash, sha256};
use schemas::signed::{self, SigningDomain};
use schemas::signer::Signer;
use schemas::tables::Millis;
use serde_json::Value;

use super::{Context, SignAs, datanets};
use crate::client::Client;
use crate::http::{ListedFile, SubmissionFields, contributor_header};
use crate::output::{Progress, Report};

#[derive(Debug, Clone, Args)]
pub struct SubmitArgs {
    #[arg(long)]
    pub datanet: String,
    #[command(flatten)]
    pub signer: SignAs,
    /// SPDX expression of the licence you give.
    #[arg(long)]
    pub licence: String,
    /// A note to the curators.
    #[arg(long, default_value = "")]
    pub note: String,
    /// Do not wait until the files are read: print the submission's id once they are in keeping.
    #[arg(long)]
    pub no_wait: bool,
    /// Text, Markdown, HTML, or JSON Lines with a "text" in each line.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// A signature is good for this long.
const VALID_SECONDS: u64 = 600;
/// Between two questions how far it is: at first, and at most; between them a part of the time that it takes already.
const ASK_AGAIN_LEAST: Duration = Duration::from_millis(50);
const ASK_AGAIN_MOST: Duration = Duration::from_millis(500);
const ASK_AGAIN_PART: u32 = 8;

pub async fn submit(context: &Context, args: &SubmitArgs) -> anyhow::Result<Report> {
    let signer = context.signer(&args.signer)?;
    let mut files = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name =
            path.file_name().and_then(|name| name.to_str()).with_context(|| format!("{} has no usable file name", path.display()))?;
        files.push((name.to_owned(), bytes));
    }
    let info = context.info().await?;
    let datanet = datanets::find(context, &args.datanet).await?;
    let entries: Vec<ManifestEntry> = files
        .iter()
        .map(|(name, bytes)| ManifestEntry { file_name: name.clone(), sha256: sha256(bytes), size_bytes: bytes.len() as u64 })
        .collect();
    let deadline = Millis::now().unix_seconds() + VALID_SECONDS;
    let message = signed::submission(signer.address(), datanet.datanet_id, manifest_hash(&entries), &args.licence, deadline);
    let domain = SigningDomain { chain_id: info.deployment.chain_id, registry: info.deployment.registry };
    let fields = SubmissionFields {
        datanet: datanet.datanet_id,
        contributor: signer.address(),
        licence: args.licence.clone(),
        note: args.note.clone(),
        deadline,
        signature: signer.sign_digest(domain.digest(&message))?,
        files: Some(
            entries
                .into_iter()
                .map(|ManifestEntry { file_name, sha256, size_bytes }| ListedFile { file_name, sha256, size_bytes })
                .collect(),
        ),
    };
    let mut form = reqwest::multipart::Form::new().text("submission", serde_json::to_string(&fields)?);
    for (name, bytes) in files {
        form = form.part("file", reqwest::multipart::Part::bytes(bytes).file_name(name));
    }
    let progress = Progress::start(context.voice, "sending the files");
    let client = context.client()?;
    let status: Value = client.upload("/v1/submissions", form).await?;
    if args.no_wait && status["state"] != "done" {
        let id = status["submission_id"].as_str().unwrap_or_default();
        return Ok(Report::new(format!("submission {id} is accepted; `headwater submissions` tells what becomes of it"), &status));
    }
    let report = outcome(&client, &domain, &signer, status, &progress).await?;
    let is_refused = |document: &Value| document["status"] == "refused";
    let is_failure = report["documents"].as_array().is_some_and(|documents| documents.iter().all(is_refused));
    Ok(Report { is_failure, ..Report::new(describe(&report), &report) })
}

/// Waits until the service is done with what it accepted; the report.
async fn outcome(
    client: &Client,
    domain: &SigningDomain,
    signer: &dyn Signer,
    mut status: Value,
    progress: &Progress,
) -> anyhow::Result<Value> {
    let id = status["submission_id"].as_str().context("the service names no submission")?.to_owned();
    let began = Instant::now();
    loop {
        let count = |name: &str| status[name].as_u64().unwrap_or(0);
        match status["state"].as_str() {
            Some("done") => return Ok(status),
            Some("failed") => {
                let why = status["error"]["message"].as_str().unwrap_or_default();
                bail!("submission {id} failed: {why}; submit the files again to have it tried again");
            }
            Some("reading") => progress.say(&format!("reading: {} of {} files", count("files_read"), count("files"))),
            Some("embedding") => progress.say(&format!("embedding: {} of {} chunks", count("chunks_embedded"), count("chunks"))),
            _ => progress.say("waiting for the uploads before this one"),
        }
        tokio::time::sleep((began.elapsed() / ASK_AGAIN_PART).clamp(ASK_AGAIN_LEAST, ASK_AGAIN_MOST)).await;
        let signed = contributor_header(domain, signer)?;
        status = client.get_as_contributor(&format!("/v1/submissions/{id}"), &signed).await.with_context(|| {
            format!(
                "submission {id} is accepted and the service finishes it, but how far it is could not be asked: submit again to be told"
            )
        })?;
    }
}

/// One line per file: what became of it.
fn describe(report: &Value) -> String {
    let id = report["submission_id"].as_str().unwrap_or_default();
    let known = if report["already_known"] == true { " (already known)" } else { "" };
    let mut text = format!("submission {id}{known}");
    for document in report["documents"].as_array().into_iter().flatten() {
        let name = document["file_name"].as_str().unwrap_or_default();
        text.push_str(&format!("\n  {name}: "));
        if document["status"] == "refused" {
            let code = document["reason_code"].as_str().unwrap_or_default();
            text.push_str(&format!("refused ({code}): {}", document["reason"].as_str().unwrap_or_default()));
            continue;
        }
        let count = document["chunk_count"].as_u64().unwrap_or(0);
        text.push_str(&format!("{count} chunk{}", if count == 1 { "" } else { "s" }));
        if let Some(earlier) = document["duplicate_of"].as_object() {
            let part = document["similarity_ppm"].as_u64().unwrap_or(0) / 10_000;
            text.push_str(&format!(", {part} % of it stands in {}", earlier["file_name"].as_str().unwrap_or_default()));
        }
        for flag in document["flags"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            text.push_str(&format!(", flagged {flag}"));
        }
        for hint in document["hints"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            text.push_str(&format!("\n    {hint}"));
        }
    }
    text
}
