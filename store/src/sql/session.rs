//! A session with our tables at one snapshot.

use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::JoinType;
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext, col};
use lance::Dataset;
use schemas::tables::{
    AnswerRow, AttributionRow, ChunkRow, ClosingRow, CoverageRow, CuratorRow, DatanetRow, DebtRow, DocumentRow, EpochRow,
    FollowedContractRow, ForeignVersionRow, PolicyRow, ReceiptRow, ReviewRow, RewardRow, Row, SubmissionRow, VersionRow,
};

use super::chunks::{self, Published};
use super::meaning::Meanings;
use super::rules::Rules;
use super::{QueryLimits, Snapshot, Viewer, events, exact, functions, provider, views};
use crate::{Store, StoreError};

/// Views over the tables, for the questions everybody asks.
const VIEWS: &[&str] = &[
    // The latest decision decides; until there is one a document is pending.
    "CREATE VIEW document_status AS
     SELECT d.*, r.curator, r.reason_code AS review_reason, r.comment AS review_comment, r.received_at AS reviewed_at,
            CASE WHEN d.status = 'refused' THEN 'refused'
                 WHEN r.decision = 'accept' THEN 'accepted'
                 WHEN r.decision = 'reject' THEN 'rejected'
                 ELSE 'pending' END AS review_status
     FROM documents d
     LEFT JOIN (SELECT *, row_number() OVER (PARTITION BY document_id ORDER BY sequence DESC) AS newest FROM reviews) r
       ON r.document_id = d.document_id AND r.newest = 1",
    "CREATE VIEW contributor_shares AS
     SELECT answer_id, datanet_id, version, contributor, sum(share_ppm) AS share_ppm
     FROM attributions GROUP BY answer_id, datanet_id, version, contributor",
    // A change takes the place of what held before it, for whom it names.
    "CREATE VIEW current_curators AS
     SELECT datanet_id, datanet, curator FROM (
       SELECT *, row_number() OVER (PARTITION BY datanet_id, curator ORDER BY sequence DESC) AS newest FROM (
         SELECT datanet_id, name AS datanet, unnest(curators) AS curator, CAST(0 AS BIGINT) AS sequence, true AS allowed
         FROM datanets
         UNION ALL
         SELECT c.datanet_id, d.name, c.curator, c.sequence, c.allowed FROM curators c JOIN datanets d ON d.datanet_id = c.datanet_id
       )
     ) WHERE newest = 1 AND allowed",
];

/// Names of the views, and of the function that is called like a table.
pub(crate) fn view_names() -> impl Iterator<Item = &'static str> {
    VIEWS.iter().filter_map(|view| view.split_whitespace().nth(2)).chain(["chunks_at"])
}

/// A fresh session: our tables as of `snapshot` as `viewer` may see them.
pub(super) async fn open(store: &Store, snapshot: &Snapshot, limits: &QueryLimits, viewer: Viewer) -> Result<SessionContext, StoreError> {
    store.check_block(snapshot).await?;
    let context = bare(limits)?;
    for name in [
        AnswerRow::TABLE.name,
        AttributionRow::TABLE.name,
        ClosingRow::TABLE.name,
        CuratorRow::TABLE.name,
        DatanetRow::TABLE.name,
        DebtRow::TABLE.name,
        EpochRow::TABLE.name,
        FollowedContractRow::TABLE.name,
        ForeignVersionRow::TABLE.name,
        PolicyRow::TABLE.name,
        ReceiptRow::TABLE.name,
        ReviewRow::TABLE.name,
        RewardRow::TABLE.name,
        SubmissionRow::TABLE.name,
        VersionRow::TABLE.name,
    ] {
        context.register_table(name, provider(at(store, snapshot, name).await?))?;
    }
    for name in [DocumentRow::TABLE.name, ChunkRow::TABLE.name] {
        let rows = context.read_table(provider(at(store, snapshot, name).await?))?;
        context.register_table(name, acknowledged(&context, rows).await?.into_view())?;
    }
    // Only ever added to, like the history whose progress it tells: no snapshot names its version.
    let coverage = store.table_named(CoverageRow::TABLE.name)?.dataset();
    context.register_table(CoverageRow::TABLE.name, provider(coverage))?;
    events::register(store, &context, snapshot).await?;
    let datanets = store.scan_at::<DatanetRow>(version_of(snapshot, DatanetRow::TABLE.name)?, None).await?;
    let versions = store.scan_at::<VersionRow>(version_of(snapshot, VersionRow::TABLE.name)?, None).await?;
    chunks::register(store, &context, Published::new(&datanets, &versions))?;
    if let Viewer::Published { payer } = viewer {
        views::narrow(&context, payer).await?;
    }
    for view in VIEWS {
        context.sql(view).await?;
    }
    Ok(context)
}

pub(super) fn bare(limits: &QueryLimits) -> Result<SessionContext, StoreError> {
    let runtime = RuntimeEnvBuilder::new()
        // The rest is for what no pool counts: a worker process may use `max_memory_bytes` in all.
        .with_memory_pool(Arc::new(FairSpillPool::new(limits.max_memory_bytes / 4 * 3)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let config = SessionConfig::new().with_information_schema(true).with_target_partitions(2);
    let rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
        Arc::new(ResolveGroupingFunction::new()),
        Arc::new(Meanings),
        Arc::new(TypeCoercion::new()),
        // Several calls' results are held at once.
        Arc::new(Rules { max_call_bytes: limits.max_memory_bytes / 8 }),
    ];
    let state = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features();
    let context = SessionContext::new_with_state(state.with_analyzer_rules(rules).build());
    // Registered by default: a plan could otherwise read local files.
    if let Ok(file) = url::Url::parse("file://") {
        drop(context.deregister_object_store(&file));
    }
    for name in ["range", "generate_series"] {
        context.deregister_udtf(name);
    }
    for function in [exact::sum(), exact::mean()] {
        context.register_udaf(function);
    }
    for function in functions::word_functions() {
        context.register_udf(function);
    }
    Ok(context)
}

fn version_of(snapshot: &Snapshot, name: &str) -> Result<u64, StoreError> {
    snapshot.tables.get(name).copied().ok_or_else(|| StoreError::NotFound(format!("table {name} in the given snapshot")))
}

async fn at(store: &Store, snapshot: &Snapshot, name: &str) -> Result<Arc<Dataset>, StoreError> {
    store.table_named(name)?.at(version_of(snapshot, name)?).await
}

/// Rows whose submission was acknowledged: the `submissions` row is the commit point.
async fn acknowledged(context: &SessionContext, rows: DataFrame) -> Result<DataFrame, StoreError> {
    let submissions = context.table(SubmissionRow::TABLE.name).await?.select(vec![col("submission_id").alias("acknowledged_id")])?;
    Ok(rows.join(submissions, JoinType::LeftSemi, &["submission_id"], &["acknowledged_id"], None)?)
}
