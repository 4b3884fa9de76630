//! The tables as others than the operator see them: what is published, and nothing of what is asked and said
//! but their own. The narrowed tables take the place of the whole ones, so that nothing in a session reaches those.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, JoinType, col, lit, when};
use datafusion::prelude::{DataFrame, SessionContext};
use schemas::Address;
use schemas::arrow::datatypes::DataType;
use schemas::tables::{AnswerRow, ChunkRow, DocumentRow, ReviewRow, Row, SubmissionRow};

use super::screen::screen;
use crate::StoreError;

/// Columns that hold, or are made from, what somebody wrote.
const OF_DOCUMENTS: &[&str] = &["file_name", "title", "reason", "sha256"];
const OF_REVIEWS: &[&str] = &["comment"];
const OF_SUBMISSIONS: &[&str] = &["note"];
/// With the salt, a guessed question could be checked against its receipt.
const OF_ANSWERS: &[&str] = &["question", "question_salt", "answer"];

/// Narrows every table that holds more than what is published.
pub(super) async fn narrow(context: &SessionContext, payer: Option<Address>) -> Result<(), StoreError> {
    let published = context.table("chunks").await?;

    let chunks = context.table(ChunkRow::TABLE.name).await?;
    let members = published.clone().select(vec![col("chunk_id").alias("member_id"), col("submission_id").alias("member_submission")])?;
    let chunks = chunks.join(members, JoinType::LeftSemi, &["chunk_id", "submission_id"], &["member_id", "member_submission"], None)?;
    replace(context, ChunkRow::TABLE.name, chunks)?;

    let ids = published.select(vec![col("document_id").alias("published_id")])?.distinct()?;
    for (name, hidden) in [(DocumentRow::TABLE.name, OF_DOCUMENTS), (ReviewRow::TABLE.name, OF_REVIEWS)] {
        let rows = context.table(name).await?;
        let columns = columns_of(&rows);
        let rows = rows.join(ids.clone(), JoinType::Left, &["document_id"], &["published_id"], None)?;
        let rows = rows.select(masked(&columns, hidden, &col("published_id").is_not_null())?)?;
        replace(context, name, rows)?;
    }

    let submissions = context.table(SubmissionRow::TABLE.name).await?;
    let columns = columns_of(&submissions);
    replace(context, SubmissionRow::TABLE.name, submissions.select(masked(&columns, OF_SUBMISSIONS, &lit(false))?)?)?;

    let answers = context.table(AnswerRow::TABLE.name).await?;
    let columns = columns_of(&answers);
    let own = match payer {
        Some(payer) => col("payer").eq(lit(format!("{payer:#x}"))),
        None => lit(false),
    };
    replace(context, AnswerRow::TABLE.name, answers.select(masked(&columns, OF_ANSWERS, &own)?)?)
}

/// Puts `rows` in the place of a table, and nothing that is asked beyond them.
fn replace(context: &SessionContext, name: &str, rows: DataFrame) -> Result<(), StoreError> {
    context.deregister_table(name)?;
    context.register_table(name, screen(rows))?;
    Ok(())
}

fn columns_of(rows: &DataFrame) -> Vec<(String, DataType)> {
    rows.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
}

/// All columns; those of `hidden` are NULL where `shown` does not hold.
fn masked(columns: &[(String, DataType)], hidden: &[&str], shown: &Expr) -> Result<Vec<Expr>, StoreError> {
    let mask = |(name, data_type): &(String, DataType)| -> Result<Expr, StoreError> {
        if !hidden.contains(&name.as_str()) {
            return Ok(col(name));
        }
        Ok(when(shown.clone(), col(name)).otherwise(lit(ScalarValue::try_from(data_type)?))?.alias(name))
    };
    columns.iter().map(mask).collect()
}

#[cfg(test)]
mod tests;
