//! The Arrow schema of every table, one file each. A table is a Rust row type; [`Row`] turns rows
//! into record batches and back, so that no other crate spells a column by hand.
//!
//! Ids, hashes and addresses are lower-case `0x` hexadecimal text, so that they join, filter and
//! print the same in every SQL client. Amounts are `Decimal128(38, 0)` in wei; times are UTC
//! milliseconds.

pub mod answers;
pub mod api_keys;
pub mod attributions;
pub mod blocks;
mod cell;
pub mod chunks;
pub mod closings;
pub mod contracts;
pub mod curators;
pub mod datanets;
pub mod debts;
pub mod documents;
pub mod epochs;
pub mod foreign_versions;
pub mod logs;
pub mod members;
mod policies;
pub mod receipts;
pub mod reviews;
pub mod rewards;
pub mod spending_limits;
pub mod submissions;
pub mod versions;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::SchemaError;
pub use answers::AnswerRow;
pub use api_keys::ApiKeyRow;
pub use attributions::AttributionRow;
pub use blocks::{BlockRow, Verified};
pub use cell::{Embedding, Millis, Raw, Wei};
pub use chunks::ChunkRow;
pub use closings::ClosingRow;
pub use contracts::{CoverageRow, FollowedContractRow};
pub use curators::CuratorRow;
pub use datanets::DatanetRow;
pub use debts::DebtRow;
pub use documents::{DocumentRow, DocumentStandingRow, FileNameRow};
pub use epochs::EpochRow;
pub use foreign_versions::ForeignVersionRow;
pub use logs::{LogRef, LogRow, Logs};
pub use members::{ContentRow, FlagRow, MemberRow, OriginRow, PassageRow, TextRow, VectorRow};
pub use policies::PolicyRow;
pub use receipts::{AnswerIdRow, BodyRow, ChargeRow, FeeRow, ReceiptRow};
pub use reviews::{DecisionRow, ReviewRow};
pub use rewards::RewardRow;
pub use spending_limits::SpendingLimitRow;
pub use submissions::{RegistrationRow, SubmissionRow, TermsRow};
pub use versions::VersionRow;

/// How a table may be written. A table has one way for its whole life: an append that commits
/// after a keyed merge is not seen as a conflict by Lance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Rows whose key columns are already there are left out; nothing is ever updated.
    Keyed(&'static [&'static str]),
    /// Rows are appended by a single writer that derives its position from the rows themselves.
    Append,
}

/// A table's name and rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSpec {
    pub name: &'static str,
    pub mode: WriteMode,
    /// Columns by which rows are looked up: they get an index once the table is large.
    pub indexed: &'static [&'static str],
}

/// A row type that is one of our tables; or, for reading, some columns of one.
pub trait Row: Sized + Clone + Send + Sync + 'static {
    const TABLE: TableSpec;
    fn schema() -> SchemaRef;
    /// `[rows.len()]` rows in the order given.
    fn to_batch(rows: &[Self]) -> Result<RecordBatch, SchemaError>;
    /// Reads every row; columns are found by name, so their order does not matter.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, SchemaError>;
}

/// Defines a row struct with its Arrow schema and conversions.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $row:ident = $name:literal, $mode:expr $(, indexed [$($column:literal),+])?;
        $( $(#[$fdoc:meta])* $field:ident : $ty:ty, )+
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $row {
            $( $(#[$fdoc])* pub $field: $ty, )+
        }

        impl $crate::tables::Row for $row {
            const TABLE: $crate::tables::TableSpec =
                $crate::tables::TableSpec { name: $name, mode: $mode, indexed: &[$($($column),+)?] };

            fn schema() -> arrow::datatypes::SchemaRef {
                static SCHEMA: std::sync::LazyLock<arrow::datatypes::SchemaRef> = std::sync::LazyLock::new(|| {
                    std::sync::Arc::new(arrow::datatypes::Schema::new(vec![
                        $( arrow::datatypes::Field::new(
                            stringify!($field),
                            <$ty as $crate::tables::cell::Cell>::data_type(),
                            <$ty as $crate::tables::cell::Cell>::NULLABLE,
                        ), )+
                    ]))
                });
                SCHEMA.clone()
            }

            fn to_batch(rows: &[Self]) -> Result<arrow::array::RecordBatch, $crate::SchemaError> {
                let columns: Vec<arrow::array::ArrayRef> = vec![
                    $( <$ty as $crate::tables::cell::Cell>::column(rows.iter().map(|row| &row.$field))
                        .map_err(|problem| $crate::SchemaError::BadColumn {
                            table: $name, column: stringify!($field).into(), problem,
                        })?, )+
                ];
                arrow::array::RecordBatch::try_new(Self::schema(), columns).map_err(|error| {
                    $crate::SchemaError::BadColumn { table: $name, column: "*".into(), problem: error.to_string() }
                })
            }

            fn from_batch(batch: &arrow::array::RecordBatch) -> Result<Vec<Self>, $crate::SchemaError> {
                $( let mut $field = {
                    let column = batch.column_by_name(stringify!($field)).ok_or_else(|| {
                        $crate::SchemaError::BadColumn {
                            table: $name, column: stringify!($field).into(), problem: "is missing".into(),
                        }
                    })?;
                    <$ty as $crate::tables::cell::Cell>::read(column.as_ref()).map_err(|problem| {
                        $crate::SchemaError::BadColumn { table: $name, column: stringify!($field).into(), problem }
                    })?.into_iter()
                }; )+
                let mut rows = Vec::with_capacity(batch.num_rows());
                for _ in 0..batch.num_rows() {
                    rows.push(Self { $( $field: $field.next().ok_or_else(|| $crate::SchemaError::BadColumn {
                        table: $name, column: stringify!($field).into(), problem: "is too short".into(),
                    })?, )+ });
                }
                Ok(rows)
            }
        }
    };
}
use table;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ChunkId, DocumentId, SubmissionId};
    use crate::{Address, B256};

    fn chunk(n: u8) -> ChunkRow {
        ChunkRow {
            chunk_id: ChunkId(B256::repeat_byte(n)),
            submission_id: SubmissionId(B256::repeat_byte(1)),
            document_id: DocumentId(B256::repeat_byte(2)),
            datanet_id: B256::repeat_byte(3).into(),
            contributor: Address::repeat_byte(4),
            ordinal: n.into(),
            document_sha256: crate::hashing::sha256(&[n]),
            byte_start: 0,
            byte_end: 9,
            text: "Größe 5 µm".into(),
            text_sha256: crate::hashing::sha256(b"x"),
            token_count: 3,
            cluster_id: ChunkId(B256::repeat_byte(9)),
            duplicate_of: n.is_multiple_of(2).then(|| ChunkId(B256::repeat_byte(7))),
            similarity_ppm: n.is_multiple_of(2).then_some(1_000_000),
            flags: vec!["prompt_injection".into(); n.into()],
            registered: 5,
            embedding: Embedding(vec![0.5; Embedding::DIMENSIONS]),
        }
    }

    #[test]
    fn rows_survive_the_round_trip() {
        let rows = vec![chunk(0), chunk(1), chunk(2)];
        let batch = ChunkRow::to_batch(&rows).unwrap();
        assert_eq!(ChunkRow::from_batch(&batch).unwrap(), rows);
        assert_eq!(ChunkRow::from_batch(&batch.slice(1, 2)).unwrap(), rows[1..]);
        assert!(ChunkRow::from_batch(&ChunkRow::to_batch(&[]).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn a_wrong_column_is_named() {
        let batch = ChunkRow::to_batch(&[chunk(1)]).unwrap();
        let error = LogRow::from_batch(&batch).unwrap_err().to_string();
        assert!(error.contains("logs") && error.contains("missing"), "{error}");
        let mut short = chunk(1);
        short.embedding.0.pop();
        let error = ChunkRow::to_batch(&[short]).unwrap_err().to_string();
        assert!(error.contains("embedding"), "{error}");
    }

    /// The schema of every table is a persisted format: a change here is a migration.
    #[test]
    fn schemas_are_stable() {
        let mut text = String::new();
        for (spec, schema) in [
            (AnswerRow::TABLE, AnswerRow::schema()),
            (ApiKeyRow::TABLE, ApiKeyRow::schema()),
            (AttributionRow::TABLE, AttributionRow::schema()),
            (BlockRow::TABLE, BlockRow::schema()),
            (ChunkRow::TABLE, ChunkRow::schema()),
            (ClosingRow::TABLE, ClosingRow::schema()),
            (CoverageRow::TABLE, CoverageRow::schema()),
            (CuratorRow::TABLE, CuratorRow::schema()),
            (DatanetRow::TABLE, DatanetRow::schema()),
            (DebtRow::TABLE, DebtRow::schema()),
            (DocumentRow::TABLE, DocumentRow::schema()),
            (EpochRow::TABLE, EpochRow::schema()),
            (FollowedContractRow::TABLE, FollowedContractRow::schema()),
            (ForeignVersionRow::TABLE, ForeignVersionRow::schema()),
            (LogRow::TABLE, LogRow::schema()),
            (PolicyRow::TABLE, PolicyRow::schema()),
            (ReceiptRow::TABLE, ReceiptRow::schema()),
            (ReviewRow::TABLE, ReviewRow::schema()),
            (RewardRow::TABLE, RewardRow::schema()),
            (SpendingLimitRow::TABLE, SpendingLimitRow::schema()),
            (SubmissionRow::TABLE, SubmissionRow::schema()),
            (VersionRow::TABLE, VersionRow::schema()),
        ] {
            text.push_str(&format!("{} {:?}\n", spec.name, spec.mode));
            for field in schema.fields() {
                text.push_str(&format!("  {} {}{}\n", field.name(), field.data_type(), if field.is_nullable() { "?" } else { "" }));
            }
        }
        insta::assert_snapshot!(text);
    }
}
