//! What columns of text mean: bytes in lower-case hexadecimal, or a whole number of 256 bits in decimal digits. What they are
//! compared with, sorted by and reduced to follows the meaning and not the letters. To come before types are coerced: then a number
//! that is compared with digits has become text, or the digits a number that does not hold them.
//!
//! A column hands its meaning on to what only passes it on; of any other expression nothing is known, and it is text like any.

mod calls;
mod columns;
mod compare;
mod number;
mod scope;
#[cfg(test)]
mod tests;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeContainer};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator, SortExpr};
use datafusion::optimizer::AnalyzerRule;

use scope::{Input, Scope};

/// What the text in a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Whatever somebody wrote, or no text at all.
    Plain,
    /// Bytes in lower-case hexadecimal, or a list of such.
    Hex,
    /// A whole number without leading zeros, as [`super::digits`] writes it.
    Digits,
}

/// The rule.
#[derive(Debug)]
pub(super) struct Meanings;

impl AnalyzerRule for Meanings {
    fn name(&self) -> &str {
        "meanings"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(visit(plan, None)?.0)
    }
}

/// Rewrites a plan from its tables up; also says what its columns mean.
fn visit(plan: LogicalPlan, outer: Option<&Scope<'_>>) -> Result<(LogicalPlan, Vec<Meaning>)> {
    let mut inputs: Vec<Input> = Vec::new();
    let visited = plan.map_children(|child| {
        // The right side of a lateral join names columns of the left one.
        let (child, meanings) = visit(child, Some(&Scope::new(inputs.clone(), outer)))?;
        inputs.push(Input { schema: child.schema().clone(), meanings });
        Ok(Transformed::yes(child))
    })?;
    let scope = Scope::new(inputs, outer);
    let plan = rewrite(visited.data, &scope)?.recompute_schema()?;
    let meanings = scope.of_plan(&plan);
    Ok((plan, meanings))
}

/// Rewrites the expressions of a plan whose inputs were visited.
fn rewrite(plan: LogicalPlan, scope: &Scope<'_>) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::TableScan(_) => Ok(plan),
        LogicalPlan::Join(join) => rewrite_join(join, scope),
        LogicalPlan::Sort(mut sort) => {
            sort.expr = ordered(sort.expr, scope)?;
            Ok(LogicalPlan::Sort(sort))
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            // By what rows are told apart, by that they are sorted first: the two must stay the same.
            on.on_expr = on.on_expr.into_iter().map(|expr| Ok(scope.sorted_by(scope.rewrite(expr)?.data))).collect::<Result<_>>()?;
            on.sort_expr = on.sort_expr.map(|sort| ordered(sort, scope)).transpose()?;
            let names = NamePreserver::new_for_projection();
            on.select_expr = on.select_expr.into_iter().map(|expr| Ok(named(expr, &names, scope)?.data)).collect::<Result<_>>()?;
            Ok(LogicalPlan::Distinct(Distinct::On(on)))
        }
        LogicalPlan::Values(values) => {
            let rewritten = values.values.clone().map_elements(|expr| scope.rewrite(expr))?;
            // Their types may be others now, and nobody looks at them again.
            if rewritten.transformed { LogicalPlanBuilder::values(rewritten.data)?.build() } else { Ok(LogicalPlan::Values(values)) }
        }
        plan => {
            // Columns are named after their expressions, which the user wrote.
            let names = NamePreserver::new(&plan);
            Ok(plan.map_expressions(|expr| named(expr, &names, scope))?.data)
        }
    }
}

fn named(expr: Expr, names: &NamePreserver, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
    let name = names.save(&expr);
    Ok(scope.rewrite(expr)?.update_data(|expr| name.restore(expr)))
}

fn rewrite_join(mut join: Join, scope: &Scope<'_>) -> Result<LogicalPlan> {
    let equal = |(left, right)| scope.compared(scope.rewrite(left)?.data, Operator::Eq, scope.rewrite(right)?.data);
    join.on = join.on.into_iter().map(equal).collect::<Result<_>>()?;
    join.filter = join.filter.map(|filter| Ok::<_, DataFusionError>(scope.rewrite(filter)?.data)).transpose()?;
    Ok(LogicalPlan::Join(join))
}

fn ordered(sort: Vec<SortExpr>, scope: &Scope<'_>) -> Result<Vec<SortExpr>> {
    let by = |sort: SortExpr| Ok(SortExpr { expr: scope.sorted_by(scope.rewrite(sort.expr)?.data), ..sort });
    sort.into_iter().map(by).collect()
}
