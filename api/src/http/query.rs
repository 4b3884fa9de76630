//! SQL over all tables, read-only, each query in a process of its own.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use schemas::arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::StoreError;
use store::sql::Snapshot;

use super::{ApiError, App, Authenticated, Reply, rows};
use crate::querying::{Queried, QueryError};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    pub query: String,
    /// A snapshot that an earlier reply named: the same rows again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// What a row is.
    #[serde(default)]
    pub rows: RowForm,
}

/// What a row is in a reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowForm {
    /// A list of values, in the order of `columns`.
    #[default]
    Arrays,
    /// An object by the columns' names, which must differ.
    Objects,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SqlReply {
    pub columns: Vec<Column>,
    /// As asked for: [`RowForm`].
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
    Authenticated(caller): Authenticated,
    body: Result<Json<SqlRequest>, JsonRejection>,
) -> Reply<Json<SqlReply>> {
    let request = body?.0;
    let Queried { result, place } = service.query(&caller, &request.query, request.snapshot.as_ref()).await?;
    let columns: Vec<Column> = (result.schema.fields().iter())
        .map(|field| Column { name: field.name().clone(), data_type: field.data_type().to_string() })
        .collect();
    let (form, max_bytes) = (request.rows, service.query_limits.max_result_bytes);
    let written = tokio::task::spawn_blocking(move || {
        let _place = place;
        let rows = rows::as_arrays(&result.batches, max_bytes).map_err(unwritable)?;
        let rows = if form == RowForm::Objects { as_objects(&columns, rows)? } else { rows };
        Ok(SqlReply { columns, rows, truncated: result.truncated, snapshot: result.snapshot })
    });
    written.await.map_err(|error| ApiError::internal(&error))?.map(Json)
}

/// A value that cannot be written (a time out of range) is the query's.
fn unwritable(error: ArrowError) -> StoreError {
    match error {
        ArrowError::MemoryError(problem) => StoreError::QueryLimit(problem),
        other => StoreError::Query(other.to_string()),
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Full | QueryError::FullForOne { .. } => Self::busy(error.to_string()),
            QueryError::Drain(error) => error.into(),
            QueryError::Store(error) => error.into(),
        }
    }
}

fn as_objects(columns: &[Column], rows: Vec<Value>) -> Reply<Vec<Value>> {
    for (index, column) in columns.iter().enumerate() {
        if columns.iter().take(index).any(|earlier| earlier.name == column.name) {
            let problem =
                format!("two columns are called {:?}, so rows cannot be objects: name one with AS, or leave rows out", column.name);
            return Err(ApiError::parameter("rows", problem));
        }
    }
    let object = |row: Value| match row {
        Value::Array(cells) => Value::Object(columns.iter().map(|column| column.name.clone()).zip(cells).collect::<Map<_, _>>()),
        other => other,
    };
    Ok(rows.into_iter().map(object).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_for_names_that_differ() {
        let columns = |names: [&str; 2]| names.map(|name| Column { name: name.into(), data_type: "Int64".into() });
        let rows = || vec![json!([1, 2])];
        assert_eq!(as_objects(&columns(["x", "y"]), rows()).unwrap(), [json!({ "x": 1, "y": 2 })]);
        let error = as_objects(&columns(["x", "x"]), rows()).unwrap_err().body();
        assert_eq!(error["error"]["param"], "rows");
    }
}
