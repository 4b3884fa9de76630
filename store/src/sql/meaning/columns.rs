//! Columns of our own tables that hold hexadecimal text. A table's columns are read by their name alone: a test asks of every one
//! of them where it belongs.

use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::TableScan;
use schemas::arrow::datatypes::DataType;

use super::Meaning;

/// Ids, hashes and addresses; `curators` is a list.
const HEX: &[&str] = &[
    "abi_sha256",
    "account",
    "address",
    "answer_id",
    "artifact_hash",
    "block_hash",
    "body_hash",
    "chunk_id",
    "cluster_id",
    "committer",
    "contributor",
    "curator",
    "curators",
    "datanet_id",
    "digest",
    "document_id",
    "document_sha256",
    "duplicate_of",
    "hash",
    "leaf",
    "manifest_hash",
    "metadata_hash",
    "original_id",
    "owner",
    "parent_hash",
    "parent_root",
    "payer",
    "policy_hash",
    "publisher",
    "question_salt",
    "receipts_root",
    "review_id",
    "reward_root",
    "root",
    "sha256",
    "signer",
    "submission_id",
    "text_sha256",
    "to_block_hash",
    "to_hash",
    "transaction_hash",
];

/// What the columns of a table mean.
pub(super) fn of_scan(scan: &TableScan) -> Vec<Meaning> {
    // A recursive query's own rows are called as it likes.
    let is_own = source_as_provider(&scan.source).is_ok_and(|provider| {
        let any: &dyn std::any::Any = provider.as_ref();
        !any.is::<CteWorkTable>()
    });
    let fields = scan.projected_schema.fields().iter();
    fields
        .map(
            |field| {
                if is_own && is_text(field.data_type()) && HEX.contains(&field.name().as_str()) { Meaning::Hex } else { Meaning::Plain }
            },
        )
        .collect()
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => item.data_type().is_string(),
        other => other.is_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schemas::arrow::datatypes::SchemaRef;
    use schemas::tables::{
        AnswerRow, AttributionRow, BlockRow, ChunkRow, ClosingRow, CoverageRow, CuratorRow, DatanetRow, DebtRow, DocumentRow, EpochRow,
        FollowedContractRow, ForeignVersionRow, LogRow, MemberRow, PolicyRow, ReceiptRow, ReviewRow, RewardRow, Row, SubmissionRow,
        VersionRow,
    };

    use super::*;

    /// Text that is none of them.
    const PLAIN: &[&str] = &[
        "abi",
        "answer",
        "body",
        "comment",
        "decision",
        "description",
        "embedder",
        "factory",
        "factory_event",
        "factory_parameter",
        "file_name",
        "flags",
        "generator",
        "licence",
        "media_type",
        "method",
        "name",
        "note",
        "parser",
        "policy",
        "question",
        "reason",
        "reason_code",
        "rules",
        // As whoever signed wrote it.
        "signature",
        "status",
        "text",
        "title",
        "topic",
    ];

    /// A column that is new belongs to one of the lists, and a name means the same in every table.
    #[test]
    fn every_column_of_text_has_a_meaning() {
        let schemas: Vec<SchemaRef> = vec![
            AnswerRow::schema(),
            AttributionRow::schema(),
            BlockRow::schema(),
            ChunkRow::schema(),
            ClosingRow::schema(),
            CoverageRow::schema(),
            CuratorRow::schema(),
            DatanetRow::schema(),
            DebtRow::schema(),
            DocumentRow::schema(),
            EpochRow::schema(),
            FollowedContractRow::schema(),
            ForeignVersionRow::schema(),
            LogRow::schema(),
            MemberRow::schema(),
            PolicyRow::schema(),
            ReceiptRow::schema(),
            ReviewRow::schema(),
            RewardRow::schema(),
            SubmissionRow::schema(),
            VersionRow::schema(),
        ];
        let fields = schemas.iter().flat_map(|schema| schema.fields().iter());
        let found: BTreeSet<&str> = fields.filter(|field| is_text(field.data_type())).map(|field| field.name().as_str()).collect();
        let listed: BTreeSet<&str> = HEX.iter().chain(PLAIN).copied().collect();
        assert_eq!(listed.len(), HEX.len() + PLAIN.len(), "a name is in both lists");
        let missing: Vec<_> = found.difference(&listed).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
