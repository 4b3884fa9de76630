//! What is let through: one query, nothing that writes, sets or reads beyond our tables.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::prelude::SessionContext;

use super::QueryLimits;
use crate::StoreError;

/// Functions that can build huge values or tables from small input.
pub(super) const REFUSED_FUNCTIONS: &[&str] =
    &["repeat", "lpad", "rpad", "array_repeat", "list_repeat", "array_resize", "list_resize", "range", "generate_series"];

/// Parentheses and brackets may nest this deep: the parser and the planner recurse.
const MAX_NESTING: usize = 64;

/// Refuses what need not be parsed to be refused.
pub(super) fn check_statement(sql: &str, limits: &QueryLimits) -> Result<(), StoreError> {
    if sql.len() > limits.max_statement_bytes {
        return Err(StoreError::QueryLimit(format!("the statement is longer than {} bytes", limits.max_statement_bytes)));
    }
    if sql.trim().is_empty() {
        return Err(StoreError::Query("the statement is empty".into()));
    }
    let (mut depth, mut deepest) = (0usize, 0usize);
    for byte in sql.bytes() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_NESTING {
        return Err(StoreError::QueryLimit(format!("the statement nests deeper than {MAX_NESTING} parentheses")));
    }
    Ok(())
}

/// Plans `sql` as a single read-only query.
pub(super) async fn plan(context: &SessionContext, sql: &str) -> Result<DataFrame, StoreError> {
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    context.sql_with_options(sql, read_only).await.map_err(query_error)
}

/// The same plan, yielding to the runtime at every operator, so that a timeout stops it.
/// DataFusion makes leaves yield, but a join can go on for hours over what it has buffered
/// (datafusion#19358).
pub(super) fn interruptible(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, StoreError> {
    let yielding = plan.transform_up(|node| Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)));
    Ok(yielding.map_err(query_error)?.data)
}

/// A query's failure in the words a user can act on.
pub(super) fn query_error(error: DataFusionError) -> StoreError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(problem) => {
            StoreError::QueryLimit(format!("it needs more memory than a query may use ({problem})"))
        }
        _ => StoreError::Query(error.strip_backtrace()),
    }
}
