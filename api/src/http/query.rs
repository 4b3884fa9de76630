//! SQL over all tables, read-only.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::sql::Snapshot;

use super::{ApiError, App, Authenticated, Reply};
use crate::auth::Role;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    pub query: String,
    /// A snapshot that an earlier reply named: the same rows again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SqlReply {
    pub columns: Vec<Column>,
    pub rows: Vec<Value>,
    pub truncated: bool,
    pub snapshot: Snapshot,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// Arrow's name of the type.
    #[serde(rename = "type")]
    pub data_type: String,
}

pub(super) async fn sql(
    State(service): State<App>,
    key: Authenticated,
    body: Result<Json<SqlRequest>, JsonRejection>,
) -> Reply<Json<SqlReply>> {
    key.require(&[Role::Analyst])?;
    let request = body?.0;
    let Ok(_turn) = service.queries.try_acquire() else {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many queries are running: try again shortly"));
    };
    if request.snapshot.is_none() {
        // An answer's receipt is durable before it is in the tables; a query should see it.
        service.rag.drain().await?;
    }
    let result = service.store.query(&request.query, &service.query_limits, request.snapshot.as_ref()).await?;
    let columns =
        result.schema.fields().iter().map(|field| Column { name: field.name().clone(), data_type: field.data_type().to_string() });
    let columns = columns.collect();
    let rows = tokio::task::spawn_blocking(move || to_json(&result.batches).map(|rows| (rows, result.truncated, result.snapshot)))
        .await
        .map_err(|error| anyhow::anyhow!("writing rows: {error}"))?;
    let (rows, truncated, snapshot) = rows?;
    Ok(Json(SqlReply { columns, rows, truncated, snapshot }))
}

fn to_json(batches: &[schemas::arrow::array::RecordBatch]) -> anyhow::Result<Vec<Value>> {
    let mut writer = schemas::arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, schemas::arrow::json::writer::JsonArray>(Vec::new());
    let batches: Vec<&schemas::arrow::array::RecordBatch> = batches.iter().collect();
    writer.write_batches(&batches)?;
    writer.finish()?;
    let text = writer.into_inner();
    if text.is_empty() { Ok(Vec::new()) } else { Ok(serde_json::from_slice(&text)?) }
}
