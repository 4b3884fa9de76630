//! `/v1/models`: the names that `/v1/chat/completions` takes as `model`, in OpenAI's shape.

use axum::Json;
use axum::extract::{Path, State};
use schemas::tables::Millis;
use serde::Serialize;

use super::chat::{self, DATANET, QUOTE};
use super::{ApiError, App, Reply};

#[derive(Debug, Serialize)]
pub(super) struct Models {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Debug, Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    /// Unix seconds.
    created: u64,
    owned_by: String,
}

impl Model {
    fn new(id: impl Into<String>, created: Millis, owned_by: impl Into<String>) -> Self {
        Self { id: id.into(), object: "model", created: created.unix_seconds(), owned_by: owned_by.into() }
    }
}

pub(super) async fn list(State(service): State<App>) -> Reply<Json<Models>> {
    Ok(Json(Models { object: "list", data: all(&service).await? }))
}

pub(super) async fn show(State(service): State<App>, Path(id): Path<String>) -> Reply<Json<Model>> {
    let found = all(&service).await?.into_iter().find(|model| model.id == id);
    found.map(Json).ok_or_else(|| {
        let problem = format!("there is no model {id:?}; GET /v1/models lists what there is");
        ApiError::not_there("model", "model_not_found", problem)
    })
}

/// One for each Datanet, and those that need `attribution.datanets` beside them.
async fn all(service: &App) -> Reply<Vec<Model>> {
    let datanets = service.ingest.datanets().await?;
    let mut models: Vec<Model> =
        datanets.into_iter().map(|row| Model::new(format!("{DATANET}{}", row.name), row.created_at, row.owner.to_string())).collect();
    let mut named = vec![QUOTE.to_owned()];
    if let Some(generator) = service.rag.generator() {
        named.push(generator.name.clone());
        named.extend(service.rag.adapters().iter().map(|adapter| chat::model(&generator.name, Some(adapter))));
    }
    models.extend(named.into_iter().map(|name| Model::new(name, service.started, service.operator.to_string())));
    Ok(models)
}
