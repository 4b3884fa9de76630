//! Keeping a plan stoppable, and its failures in the words of who asked.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use schemas::arrow::error::ArrowError;

use super::digits;
use crate::StoreError;

/// The same plan, yielding to the runtime at every operator, so that a timeout stops it.
/// DataFusion makes leaves yield, but a join can go on for hours over what it has buffered
/// (datafusion#19358).
pub(super) fn interruptible(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, StoreError> {
    let yielding = plan.transform_up(|node| Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)));
    Ok(yielding.map_err(query_error)?.data)
}

/// A query's failure in the words a user can act on; what failed below the query is the storage's.
pub(super) fn query_error(error: DataFusionError) -> StoreError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(problem) => {
            StoreError::QueryLimit(format!("it needs more memory than a query may use ({problem})"))
        }
        // Lance computes filters itself, and says where in its own source one failed.
        DataFusionError::External(source)
            if matches!(
                source.downcast_ref(),
                Some(
                    lance::Error::InvalidInput { .. }
                        | lance::Error::NotSupported { .. }
                        | lance::Error::Arrow { .. }
                        | lance::Error::Execution { .. }
                )
            ) =>
        {
            let text = error.strip_backtrace();
            StoreError::Query(text.rsplit_once(", /").map_or(text.as_str(), |(said, _)| said).to_owned())
        }
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) | DataFusionError::External(_) => {
            StoreError::Storage(error.strip_backtrace())
        }
        DataFusionError::ArrowError(arrow, _) if matches!(**arrow, ArrowError::IoError(..) | ArrowError::ExternalError(_)) => {
            StoreError::Storage(error.strip_backtrace())
        }
        _ => StoreError::Query(hinted(error.strip_backtrace())),
    }
}

/// With what to do, where DataFusion's words do not say it.
fn hinted(problem: String) -> String {
    let unknown = problem.split_once("table 'datafusion.public.").and_then(|(_, rest)| rest.split_once("' not found"));
    match unknown {
        Some((name, _)) => format!("there is no table {name}; SHOW TABLES lists those there are"),
        None if problem.contains("DML not supported") || problem.contains("DDL not supported") => {
            format!("{problem}: tables are only read here, by one query")
        }
        None => of_text(&problem).unwrap_or(problem),
    }
}

/// Text is computed with by mistake, or because an integer of 256 bits is text. DataFusion says of some functions that this is a bug
/// of its own.
fn of_text(problem: &str) -> Option<String> {
    const NO_FUNCTION: &str = "No function matches the given name and argument types";
    if !problem.contains("Utf8") {
        return None;
    }
    if let Some((_, called)) = problem.split_once(NO_FUNCTION) {
        let call = called.split_once(". ").map_or(called, |(call, _)| call);
        return Some(format!("{NO_FUNCTION}{call}; {}", digits::HINT));
    }
    problem.contains("Cannot coerce arithmetic").then(|| format!("{problem}; {}", digits::HINT))
}
