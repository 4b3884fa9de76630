//! What a plan may compute, enforced once types are known and before anything is evaluated: functions of an
//! allow-list, each with a bound on what it makes; arithmetic that is right or an error.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunctionDefinition};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use super::bounded::{self, Growth};
use super::exact::{arithmetic, negation};

/// Scalar functions, by their first name, and how much larger than their arguments their results can be.
/// Whatever can be large by a number alone (`range`, `array_resize`), tells of the service (`version`) or is
/// random (`uuid`) is not here.
const FUNCTIONS: &[(&str, Growth)] = &[
    ("abs", Growth::Linear(1)),
    ("array_any_value", Growth::Linear(1)),
    ("array_append", Growth::Linear(2)),
    ("array_compact", Growth::Linear(1)),
    ("array_concat", Growth::Linear(2)),
    ("array_dims", Growth::Linear(1)),
    ("array_distance", Growth::Linear(1)),
    ("array_distinct", Growth::Linear(1)),
    ("array_element", Growth::Linear(1)),
    ("array_except", Growth::Linear(1)),
    ("array_has", Growth::Linear(1)),
    ("array_has_all", Growth::Linear(1)),
    ("array_has_any", Growth::Linear(1)),
    ("array_intersect", Growth::Linear(1)),
    ("array_length", Growth::Linear(1)),
    ("array_max", Growth::Linear(1)),
    ("array_min", Growth::Linear(1)),
    ("array_ndims", Growth::Linear(1)),
    ("array_normalize", Growth::Linear(2)),
    ("array_pop_back", Growth::Linear(1)),
    ("array_pop_front", Growth::Linear(1)),
    ("array_position", Growth::Linear(1)),
    ("array_positions", Growth::Linear(8)),
    ("array_prepend", Growth::Linear(2)),
    ("array_remove", Growth::Linear(1)),
    ("array_remove_all", Growth::Linear(1)),
    ("array_remove_n", Growth::Linear(1)),
    ("array_replace", Growth::PerElement),
    ("array_replace_all", Growth::PerElement),
    ("array_replace_n", Growth::PerElement),
    ("array_reverse", Growth::Linear(1)),
    ("array_slice", Growth::Linear(1)),
    ("array_sort", Growth::Linear(2)),
    ("array_to_string", Growth::PerElement),
    ("array_union", Growth::Linear(2)),
    ("arrays_zip", Growth::Linear(4)),
    ("ascii", Growth::Linear(1)),
    ("bit_length", Growth::Linear(1)),
    ("btrim", Growth::Linear(1)),
    ("cardinality", Growth::Linear(1)),
    ("cbrt", Growth::Linear(1)),
    ("ceil", Growth::Linear(1)),
    ("character_length", Growth::Linear(1)),
    ("chr", Growth::Linear(1)),
    ("coalesce", Growth::Linear(1)),
    ("concat", Growth::Linear(1)),
    ("concat_ws", Growth::PerArgument),
    ("contains", Growth::Linear(1)),
    ("cosine_distance", Growth::Linear(1)),
    ("current_date", Growth::Linear(1)),
    ("current_time", Growth::Linear(1)),
    ("date_bin", Growth::Linear(1)),
    ("date_part", Growth::Linear(1)),
    ("date_trunc", Growth::Linear(1)),
    ("empty", Growth::Linear(1)),
    ("ends_with", Growth::Linear(1)),
    ("exp", Growth::Linear(1)),
    ("find_in_set", Growth::Linear(1)),
    ("flatten", Growth::Linear(1)),
    ("floor", Growth::Linear(1)),
    ("from_unixtime", Growth::Linear(1)),
    ("get_field", Growth::Linear(1)),
    ("greatest", Growth::Linear(1)),
    ("initcap", Growth::Linear(3)),
    ("inner_product", Growth::Linear(1)),
    ("isnan", Growth::Linear(1)),
    ("least", Growth::Linear(1)),
    ("left", Growth::Linear(1)),
    ("levenshtein", Growth::Linear(1)),
    ("ln", Growth::Linear(1)),
    ("log", Growth::Linear(1)),
    ("log10", Growth::Linear(1)),
    ("log2", Growth::Linear(1)),
    ("lower", Growth::Linear(3)),
    ("lpad", Growth::Times),
    ("ltrim", Growth::Linear(1)),
    ("make_array", Growth::Linear(2)),
    ("make_date", Growth::Linear(1)),
    ("make_time", Growth::Linear(1)),
    ("map", Growth::Linear(2)),
    ("map_entries", Growth::Linear(2)),
    ("map_extract", Growth::Linear(1)),
    ("map_keys", Growth::Linear(1)),
    ("map_values", Growth::Linear(1)),
    ("named_struct", Growth::Linear(1)),
    ("nanvl", Growth::Linear(1)),
    ("now", Growth::Linear(1)),
    ("nullif", Growth::Linear(1)),
    ("nvl", Growth::Linear(1)),
    ("nvl2", Growth::Linear(1)),
    ("power", Growth::Linear(1)),
    ("octet_length", Growth::Linear(1)),
    ("overlay", Growth::Linear(1)),
    ("regexp_count", Growth::Linear(1)),
    ("regexp_instr", Growth::Linear(1)),
    ("regexp_like", Growth::Linear(1)),
    ("regexp_match", Growth::PerCharacter),
    ("regexp_replace", Growth::PerCharacter),
    ("repeat", Growth::Times),
    ("replace", Growth::Replace),
    ("reverse", Growth::Linear(1)),
    ("right", Growth::Linear(1)),
    ("round", Growth::Linear(1)),
    ("rpad", Growth::Times),
    ("rtrim", Growth::Linear(1)),
    ("signum", Growth::Linear(1)),
    ("split_part", Growth::Linear(1)),
    ("sqrt", Growth::Linear(1)),
    ("starts_with", Growth::Linear(1)),
    ("string_to_array", Growth::Linear(24)),
    ("strpos", Growth::Linear(1)),
    ("struct", Growth::Linear(1)),
    ("substr", Growth::Linear(1)),
    ("substr_index", Growth::Linear(1)),
    ("to_char", Growth::Linear(64)),
    ("to_date", Growth::Linear(1)),
    ("to_hex", Growth::Linear(4)),
    ("to_local_time", Growth::Linear(1)),
    ("to_time", Growth::Linear(1)),
    ("to_timestamp", Growth::Linear(1)),
    ("to_timestamp_micros", Growth::Linear(1)),
    ("to_timestamp_millis", Growth::Linear(1)),
    ("to_timestamp_nanos", Growth::Linear(1)),
    ("to_timestamp_seconds", Growth::Linear(1)),
    ("to_unixtime", Growth::Linear(1)),
    ("translate", Growth::Linear(4)),
    ("trunc", Growth::Linear(1)),
    ("upper", Growth::Linear(3)),
];

/// Functions of ours, which bound themselves.
const OWN: &[&str] = &["evm_", "exact_"];

/// Over groups and windows. What they hold is counted by the query's memory pool.
const OVER_ROWS: &[&str] = &[
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "dense_rank",
    "first_value",
    "grouping",
    "lag",
    "last_value",
    "lead",
    "max",
    "median",
    "min",
    "nth_value",
    "ntile",
    "percent_rank",
    "percentile_cont",
    "rank",
    "row_number",
    "stddev",
    "stddev_pop",
    "string_agg",
    "sum",
    "var",
    "var_pop",
];

/// The rule, to come after types are coerced.
#[derive(Debug)]
pub(super) struct Rules {
    /// What one call may make for one batch of rows.
    pub(super) max_call_bytes: usize,
}

impl AnalyzerRule for Rules {
    fn name(&self) -> &str {
        "bounded_and_exact"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let analyzed = plan.transform_up_with_subqueries(|plan| {
            // Columns are named after their expressions, which the user wrote.
            let names = NamePreserver::new(&plan);
            let rewritten = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|expr| self.apply(expr))?.update_data(|expr| name.restore(expr)))
            })?;
            rewritten.map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(analyzed.data)
    }
}

impl Rules {
    fn apply(&self, expr: Expr) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo | Operator::StringConcat => {
                    Ok(Transformed::yes(arithmetic(op, self.max_call_bytes).call(vec![*left, *right])))
                }
                // One drops the bits that do not fit, and whole numbers with them; both take a number of places by its last bits.
                Operator::BitwiseShiftLeft => plan_err!("<< is not supported: multiply by a power of two"),
                Operator::BitwiseShiftRight => plan_err!(">> is not supported: divide by a power of two"),
                _ => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            },
            Expr::Negative(inner) => Ok(Transformed::yes(negation().call(vec![*inner]))),
            Expr::ScalarFunction(call) => self.scalar(call),
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                check_over_rows(func.name())?;
                Ok(Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params })))
            }
            Expr::WindowFunction(call) => {
                match &call.fun {
                    WindowFunctionDefinition::AggregateUDF(function) => check_over_rows(function.name())?,
                    WindowFunctionDefinition::WindowUDF(function) => check_over_rows(function.name())?,
                }
                Ok(Transformed::no(Expr::WindowFunction(call)))
            }
            Expr::HigherOrderFunction(call) => plan_err!("the function {} is not offered here", call.func.name()),
            other => Ok(Transformed::no(other)),
        }
    }

    fn scalar(&self, call: ScalarFunction) -> Result<Transformed<Expr>> {
        let name = call.func.name();
        if is_own(name) || bounded::is_bounded(&call.func) {
            return Ok(Transformed::no(Expr::ScalarFunction(call)));
        }
        match FUNCTIONS.iter().find(|(known, _)| *known == name) {
            Some((_, growth)) => {
                let func = Arc::new(bounded::bounded(call.func, *growth, self.max_call_bytes));
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args })))
            }
            None => plan_err!("the function {name} is not offered here"),
        }
    }
}

fn is_own(name: &str) -> bool {
    OWN.iter().any(|prefix| name.starts_with(prefix))
}

fn check_over_rows(name: &str) -> Result<()> {
    if OVER_ROWS.contains(&name) || name.starts_with("regr_") || is_own(name) {
        Ok(())
    } else {
        plan_err!("the function {name} is not offered here")
    }
}
