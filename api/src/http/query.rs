//! SQL over all tables, read-only, each query in a process of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use schemas::arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::StoreError;
use store::sql::{Snapshot, Viewer};

use super::{ApiError, App, Authenticated, Reply, rows};
use crate::auth::Caller;
use crate::places::{Full, Place, Places};

/// How long a query waits for receipts that are on their way into the tables.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

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
    let _place = place(&service.queries, &caller)?;
    if request.snapshot.is_none() {
        // An answer's receipt is durable before it is in the tables; a query should see it. Where the storage is too slow for
        // that, the query is answered from what the tables hold, as its snapshot says.
        if let Ok(drained) = tokio::time::timeout(DRAIN_PATIENCE, service.rag.drained()).await {
            drained?;
        }
    }
    let (viewer, limits) = if caller.may(&[]) {
        (Viewer::Everything, &service.operator_query_limits)
    } else {
        (Viewer::Published { payer: caller.payer }, &service.query_limits)
    };
    let asked = service.workers.query(&service.store, viewer, &request.query, limits, request.snapshot.as_ref());
    let result = asked.await?;
    let columns: Vec<Column> = (result.schema.fields().iter())
        .map(|field| Column { name: field.name().clone(), data_type: field.data_type().to_string() })
        .collect();
    let (form, max_bytes) = (request.rows, service.query_limits.max_result_bytes);
    let written = tokio::task::spawn_blocking(move || {
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

/// One place is the operator's. Who pays is one, with however many keys.
fn place(queries: &Arc<Places>, caller: &Caller) -> Reply<Place> {
    let taken = if caller.may(&[]) {
        queries.take(Vec::new(), 0)
    } else {
        queries.take(vec![caller.payer.map_or_else(|| caller.key_id.clone(), |payer| payer.to_string())], 1)
    };
    taken.map_err(|full| match full {
        Full::ForAll => ApiError::busy("too many queries are running: try again shortly"),
        Full::ForOne => ApiError::busy(format!(
            "{} of your queries are running, as many as one caller may have: try again when one has ended",
            queries.max_each()
        )),
    })
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
    use crate::auth::Role;

    #[test]
    fn one_caller_shuts_nobody_out_of_sql() {
        let caller = |key_id: &str, role, payer: Option<u8>| Caller {
            key_id: key_id.into(),
            roles: vec![role],
            payer: payer.map(|byte| [byte; 20].into()),
        };
        let (analyst, operator) = (caller("1", Role::Analyst, None), caller("0", Role::Operator, None));
        let queries = Places::new(4);
        let mut held: Vec<Place> = (0..2).map(|_| place(&queries, &analyst).unwrap()).collect();
        let refused = place(&queries, &analyst).unwrap_err();
        assert!(refused.body()["error"]["message"].as_str().unwrap().starts_with("2 of your queries"));
        held.push(place(&queries, &caller("2", Role::App, Some(7))).unwrap());
        assert!(place(&queries, &caller("3", Role::App, Some(8))).is_err(), "the last place is the operator's");
        held.push(place(&queries, &operator).unwrap());
        assert_eq!(place(&queries, &operator).unwrap_err().body()["error"]["code"], "busy");
        drop(held);
        let _of_payer = [place(&queries, &caller("2", Role::App, Some(7))), place(&queries, &caller("3", Role::App, Some(7)))];
        assert!(place(&queries, &caller("4", Role::App, Some(7))).is_err(), "another key of the same payer");
    }

    #[test]
    fn objects_are_for_names_that_differ() {
        let columns = |names: [&str; 2]| names.map(|name| Column { name: name.into(), data_type: "Int64".into() });
        let rows = || vec![json!([1, 2])];
        assert_eq!(as_objects(&columns(["x", "y"]), rows()).unwrap(), [json!({ "x": 1, "y": 2 })]);
        let error = as_objects(&columns(["x", "x"]), rows()).unwrap_err().body();
        assert_eq!(error["error"]["param"], "rows");
    }
}
