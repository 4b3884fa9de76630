//! Rows that whoever asks may see, behind which nothing of theirs reaches. A view alone is no such thing: a planner moves what it
//! filters by below the joins that narrow it, and whether that then fails tells of the rows that are hidden.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::dataframe::DataFrame;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, col};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use schemas::arrow::datatypes::SchemaRef;

/// The rows of `rows` as a table that takes no filter: each is computed before anything looks at it.
pub(super) fn screen(rows: DataFrame) -> Arc<dyn TableProvider> {
    let schema = Arc::new(rows.schema().as_arrow().clone());
    Arc::new(Screen { plan: rows.into_unoptimized_plan(), schema })
}

#[derive(Debug)]
struct Screen {
    plan: LogicalPlan,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Screen {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// Filters are not among what is supported, so that there are none; a limit is the caller's to keep.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = LogicalPlanBuilder::from(self.plan.clone());
        if let Some(projection) = projection {
            let fields = projection.iter().filter_map(|index| self.schema.fields().get(*index));
            plan = plan.project(fields.map(|field| col(format!("\"{}\"", field.name()))).collect::<Vec<_>>())?;
        }
        Ok(Arc::new(ScreenExec { input: state.create_physical_plan(&plan.build()?).await? }))
    }
}

/// Its input's rows. What a plan does not say that it passes on, it does not: filters end here.
#[derive(Debug)]
struct ScreenExec {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for ScreenExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ScreenExec")
    }
}

impl ExecutionPlan for ScreenExec {
    fn name(&self) -> &str {
        "ScreenExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| self.input.clone());
        Ok(Arc::new(Self { input }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
