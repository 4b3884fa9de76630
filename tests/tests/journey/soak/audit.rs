//! At the end: is everything there that was acknowledged, and does it hold?

use anyhow::Context as _;
use api::cli::verify::{self, VerifyArgs};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::load::{Done, World};
use crate::harness::wait_for;

/// Receipts that one command checks: each alone, all against each other, and the first against the chain, which takes longest.
const AT_ONCE: usize = 25;

/// Every upload that was acknowledged is known, and its text can be read.
pub(super) fn uploads(world: &World, runtime: &Runtime, done: &Done) -> anyhow::Result<Vec<String>> {
    let client = world.context.client()?;
    let mut broken = Vec::new();
    for uploaded in &done.uploads {
        let found = runtime.block_on(async {
            let report: Value = client.get(&format!("/v1/submissions/{}", uploaded.submission_id)).await?;
            let document = report["documents"][0]["document_id"].as_str().with_context(|| format!("no document in {report}"))?;
            client.get::<Value>(&format!("/v1/documents/{document}")).await
        });
        match found {
            Ok(document) if document["chunks"].to_string().contains(&uploaded.mark) => {}
            Ok(document) => broken.push(format!("upload {} does not hold {:?}: {document}", uploaded.submission_id, uploaded.mark)),
            Err(error) => broken.push(format!("upload {}: {error:#}", uploaded.submission_id)),
        }
    }
    println!("{} uploads were acknowledged; {} are not there", done.uploads.len(), broken.len());
    Ok(broken)
}

/// Every receipt that was given out is in the tables once, and holds.
pub(super) fn receipts(world: &World, runtime: &Runtime, done: &Done) -> anyhow::Result<Vec<String>> {
    let given = done.receipts.len();
    let counted = wait_for("the last receipts to be in the tables", || {
        let rows = runtime.block_on(world.rows("SELECT count(*), count(DISTINCT answer_id) FROM receipts"))?;
        let count = |column: usize| rows[0][column].as_u64().and_then(|count| usize::try_from(count).ok());
        Ok(count(0).zip(count(1)).filter(|(rows, _)| *rows >= given))
    });
    let mut broken: Vec<String> = match counted {
        Ok((rows, ids)) if rows == ids => Vec::new(),
        Ok((rows, ids)) => vec![format!("{rows} receipts in the tables have {ids} ids")],
        Err(error) => vec![format!("{error:#}")],
    };
    for receipts in done.receipts.chunks(AT_ONCE) {
        let on_chain = VerifyArgs { receipts: receipts[..1].to_vec(), ..VerifyArgs::default() };
        let offline = VerifyArgs { receipts: receipts.to_vec(), offline: true, ..VerifyArgs::default() };
        for args in [on_chain, offline] {
            if let Err(error) = runtime.block_on(verify::verify(&world.context, &args)) {
                broken.push(format!("of {} receipts from {} on: {error:#}", args.receipts.len(), receipts[0]));
            }
        }
    }
    println!("{given} receipts were given out; {} checks of them failed", broken.len());
    Ok(broken)
}

/// What the service itself calls an error, a person should hear of.
pub(super) fn log(text: &str) -> Vec<String> {
    let is_bad = |line: &&str| line.contains(" ERROR ") || line.contains("panicked");
    text.lines().filter(is_bad).map(|line| format!("the log says {line}")).collect()
}

#[test]
fn errors_in_the_log_are_found() {
    let text = "2026 INFO a\n2026 ERROR api: request failed\nthread 'x' panicked at y\n";
    assert_eq!(log(text).len(), 2);
}
