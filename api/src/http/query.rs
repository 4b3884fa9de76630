//! SQL over all tables, read-only.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use schemas::arrow::array::{ArrayRef, RecordBatch};
use schemas::arrow::compute::cast;
use schemas::arrow::datatypes::{DataType, Field, Schema};
use schemas::arrow::json::WriterBuilder;
use schemas::arrow::json::writer::JsonArray;
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

/// Rows as JSON objects. Decimals are text: a JSON number would lose digits of an amount.
fn to_json(batches: &[RecordBatch]) -> anyhow::Result<Vec<Value>> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(&decimals_as_text(batch)?)?;
    }
    writer.finish()?;
    let text = writer.into_inner();
    if text.is_empty() { Ok(Vec::new()) } else { Ok(serde_json::from_slice(&text)?) }
}

fn decimals_as_text(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let decimal = matches!(field.data_type(), DataType::Decimal128(..) | DataType::Decimal256(..));
        columns.push(if decimal { cast(column, &DataType::Utf8)? } else { column.clone() });
        let data_type = if decimal { DataType::Utf8 } else { field.data_type().clone() };
        fields.push(Field::new(field.name(), data_type, true));
    }
    Ok(RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::arrow::array::Decimal128Array;

    use super::*;

    #[test]
    fn amounts_keep_every_digit() {
        let amounts = Decimal128Array::from(vec![Some(123_456_789_012_345_678_901_234_567_891), None]);
        let column: ArrayRef = Arc::new(amounts.with_precision_and_scale(38, 0).unwrap());
        let batch = RecordBatch::try_from_iter([("wei", column)]).unwrap();
        let rows = serde_json::to_string(&to_json(&[batch]).unwrap()).unwrap();
        assert_eq!(rows, r#"[{"wei":"123456789012345678901234567891"},{"wei":null}]"#);
    }
}
