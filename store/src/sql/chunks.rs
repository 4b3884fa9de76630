//! Published chunks as tables: `chunks` at each Datanet's latest version, `chunks_at(name, n)` at
//! any. Datasets are opened when a scan reaches them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::datasource::{TableProvider, TableType, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use lance::datafusion::LanceTableProvider;
use schemas::arrow::datatypes::SchemaRef;
use schemas::ids::DatanetId;
use schemas::tables::{ChunkRow, DatanetRow, Row, VersionRow};

use crate::{Store, StoreError};

/// What is published at a snapshot.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Datanet id by name.
    names: BTreeMap<String, DatanetId>,
    /// Lance version by (Datanet, version).
    versions: BTreeMap<(DatanetId, u64), u64>,
}

impl Published {
    pub(super) fn new(datanets: &[DatanetRow], versions: &[VersionRow]) -> Self {
        Self {
            names: datanets.iter().map(|row| (row.name.clone(), row.datanet_id)).collect(),
            versions: versions.iter().map(|row| ((row.datanet_id, row.version), row.lance_version)).collect(),
        }
    }

    /// Every Datanet's latest version: (name, id, version, Lance version).
    fn latest(&self) -> impl Iterator<Item = (&str, DatanetId, u64, u64)> {
        self.names.iter().filter_map(|(name, id)| {
            let ((_, version), lance) = self.versions.range((*id, 0)..=(*id, u64::MAX)).next_back()?;
            Some((name.as_str(), *id, *version, *lance))
        })
    }
}

/// Registers `chunks` and `chunks_at`.
pub(super) fn register(store: &Store, context: &SessionContext, published: Published) -> Result<(), StoreError> {
    let mut all: Option<DataFrame> = None;
    for (name, datanet, version, lance_version) in published.latest() {
        let members = Members { store: store.clone(), datanet, lance_version };
        let one = labelled(context, members, name, version)?;
        all = Some(match all {
            Some(frame) => frame.union(one)?,
            None => one,
        });
    }
    let all = match all {
        Some(frame) => frame,
        None => {
            let empty = datafusion::datasource::empty::EmptyTable::new(ChunkRow::schema());
            context.read_table(Arc::new(empty))?.with_column("datanet", lit(""))?.with_column("version", lit(0i64))?
        }
    };
    context.register_table("chunks", all.into_view())?;
    context.register_udtf("chunks_at", Arc::new(ChunksAt { store: store.clone(), published }));
    Ok(())
}

/// A Datanet's members with columns `datanet` and `version`.
fn labelled(context: &SessionContext, members: Members, name: &str, version: u64) -> Result<DataFrame> {
    let plan = LogicalPlanBuilder::scan("members", provider_as_source(Arc::new(members)), None)?.build()?;
    DataFrame::new(context.state(), plan)
        .with_column("datanet", lit(name))?
        .with_column("version", lit(i64::try_from(version).unwrap_or(i64::MAX)))
}

/// `chunks_at('name', version)`.
#[derive(Debug)]
struct ChunksAt {
    store: Store,
    published: Published,
}

impl TableFunctionImpl for ChunksAt {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let (name, version) = match args.exprs() {
            [Expr::Literal(ScalarValue::Utf8(Some(name)), _), Expr::Literal(ScalarValue::Int64(Some(version)), _)] => (name, *version),
            _ => return plan_err!("chunks_at takes a Datanet's name and a version number: chunks_at('cold-chain', 1)"),
        };
        let Some(datanet) = self.published.names.get(name).copied() else {
            let known: Vec<&str> = self.published.names.keys().map(String::as_str).collect();
            return plan_err!("there is no Datanet {name:?}; there are: {}", known.join(", "));
        };
        let version_number = u64::try_from(version).unwrap_or(0);
        let Some(lance_version) = self.published.versions.get(&(datanet, version_number)).copied() else {
            return plan_err!("Datanet {name:?} has no published version {version}");
        };
        Ok(Arc::new(Members { store: self.store.clone(), datanet, lance_version }))
    }
}

/// The members of one published version, opened on scan.
#[derive(Debug)]
struct Members {
    store: Store,
    datanet: DatanetId,
    lance_version: u64,
}

#[async_trait]
impl TableProvider for Members {
    fn schema(&self) -> SchemaRef {
        ChunkRow::schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let dataset =
            self.store.datanet_at(self.datanet, self.lance_version).await.map_err(|error| DataFusionError::External(error.into()))?;
        LanceTableProvider::new(dataset, false, false).scan(state, projection, filters, limit).await
    }
}
