//! `headwater submissions`.

use std::collections::HashMap;

use clap::Args;
use ingest::{OwnDocument, OwnState};
use schemas::ids::DatanetId;
use schemas::signed::SigningDomain;
use serde_json::Value;

use super::{Context, SignAs, datanets};
use crate::http::sign_listing;
use crate::output::{self, Report, table};

/// Asked for at once.
const UPLOADS_AT_ONCE: usize = 500;

#[derive(Debug, Clone, Args)]
pub struct SubmissionsArgs {
    #[command(flatten)]
    pub signer: SignAs,
}

/// Lists what the signer sent in, and what became of it.
pub async fn submissions(context: &Context, args: &SubmissionsArgs) -> anyhow::Result<Report> {
    let client = context.client()?;
    let info = context.info().await?;
    let domain = SigningDomain { chain_id: info.deployment.chain_id, registry: info.deployment.registry };
    let listing = sign_listing(&domain, &context.signer(&args.signer)?)?;
    let mut listed: Vec<OwnDocument> = Vec::new();
    loop {
        let after = listed.last().map_or_else(String::new, |document| format!("&after={}", document.submission_id));
        let part: Vec<OwnDocument> = client.post(&format!("/v1/submissions/list?limit={UPLOADS_AT_ONCE}{after}"), &listing).await?;
        if part.is_empty() {
            break;
        }
        listed.extend(part);
    }
    if listed.is_empty() {
        return Ok(Report::new(format!("{} has sent in nothing here", listing.contributor), &listed));
    }
    let datanets = datanets::all(&client).await?;
    let names: HashMap<DatanetId, String> = datanets.into_iter().map(|datanet| (datanet.datanet_id, datanet.name)).collect();
    let row = |document: &OwnDocument| {
        vec![
            names.get(&document.datanet_id).cloned().unwrap_or_default(),
            document.submission_id.to_string().chars().take(10).collect(),
            document.file_name.clone(),
            output::utc(document.received_at.unix_seconds()),
            serde_json::to_value(document.state).ok().as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            document.reason_code.clone().filter(|_| document.state != OwnState::Accepted).unwrap_or_default(),
            document.comment.clone().unwrap_or_default().replace('\n', " "),
        ]
    };
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    Ok(Report::new(
        output::printable(&table(&["datanet", "submission", "document", "received", "state", "reason", "comment"], &rows)),
        &listed,
    ))
}
