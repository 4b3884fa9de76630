//! `/v1/trace`: who published the same words. For those whom SQL shows the texts of what is published.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use rag::{Trace, TraceRequest};
use schemas::ids::DatanetId;
use schemas::tables::DatanetRow;
use serde::{Deserialize, Serialize};

use super::{ApiError, App, Authenticated, Reply};

/// A text to trace, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextToTrace {
    pub text: String,
    /// One Datanet by its name or id, or several; all that have published something where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datanet: Option<OneOrMore>,
    /// A published version of the one Datanet that is named; the newest where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Words of a span at least, 1 to 1,000: 6 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<usize>,
    /// Spans that are shown, in parts per million of the text's tokens, 1 to 1,000,000: 50,000 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density_ppm: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// What was found, Datanet by Datanet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceReply {
    pub traces: Vec<NamedTrace>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedTrace {
    /// The Datanet's name.
    pub datanet: String,
    #[serde(flatten)]
    pub trace: Trace,
}

/// 400 names the parameter that is wrong, 404 what is not there; 409 where a Datanet that is named has published nothing, 503 where
/// too many texts are being traced.
pub(super) async fn trace(
    State(service): State<App>,
    Authenticated(caller): Authenticated,
    body: Result<Json<TextToTrace>, JsonRejection>,
) -> Reply<Json<TraceReply>> {
    let full = |_| ApiError::busy("too many texts are being traced, or as many of yours as one caller may have: try again shortly");
    let place = service.traces.take_for(&caller).map_err(full)?;
    let TextToTrace { text, datanet, version, at_least, density_ppm } = body?.0;
    let datanets = match datanet {
        Some(OneOrMore::One(name)) => vec![service.datanet(&name).await?],
        Some(OneOrMore::More(names)) => named(&service, &names).await?,
        None => published(&service).await?,
    };
    if version.is_some() && datanets.len() != 1 {
        return Err(ApiError::parameter("version", "it is a version of one Datanet: name that alone"));
    }
    let of: Vec<(DatanetId, Option<u64>)> = datanets.iter().map(|row| (row.datanet_id, version)).collect();
    let traces = service.rag.trace(TraceRequest { text, at_least, density_ppm }, &of, place).await?;
    let traces = datanets.into_iter().zip(traces).map(|(row, trace)| NamedTrace { datanet: row.name, trace });
    Ok(Json(TraceReply { traces: traces.collect() }))
}

/// Each once, in the order in which they are named.
async fn named(service: &App, names: &[String]) -> Reply<Vec<DatanetRow>> {
    let most = service.config.rag.max_trace_datanets;
    if names.is_empty() || names.len() > most {
        return Err(ApiError::parameter("datanet", format!("{} are named; name 1 to {most}, or leave it out for all", names.len())));
    }
    let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
    for name in names {
        let row = service.datanet(name).await?;
        if seen.insert(row.datanet_id) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Those that have published something.
async fn published(service: &App) -> Reply<Vec<DatanetRow>> {
    let mut published = Vec::new();
    for row in service.ingest.datanets().await? {
        if service.rag.newest_version(row.datanet_id).await?.is_some() {
            published.push(row);
        }
    }
    let most = service.config.rag.max_trace_datanets;
    if published.len() > most {
        let problem = format!("{} Datanets have published something; name {most} at most", published.len());
        return Err(ApiError::parameter("datanet", problem));
    }
    Ok(published)
}
