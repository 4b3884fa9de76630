//! Functions that compare: which of several is the largest, the same, or first in some order.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{
    AggregateUDF, Case, Expr, Operator, SortExpr, WindowFrame, WindowFrameUnits, WindowFunctionDefinition, binary_expr,
};

use super::Meaning;
use super::compare::in_lower_case;
use super::number::Number;
use super::scope::Scope;
use crate::sql::digits;

impl Scope<'_> {
    pub(super) fn scalar_function(&self, mut call: ScalarFunction) -> Result<Transformed<Expr>> {
        let has_digits = call.args.iter().any(|arg| self.meaning(arg) == Meaning::Digits);
        match call.func.name() {
            "coalesce" | "nvl" if has_digits => call.args = self.in_one_column(call.args)?,
            "nullif" => {
                if let [left, right] = call.args.as_mut_slice() {
                    (*left, *right) = self.compared(std::mem::take(left), Operator::Eq, std::mem::take(right))?;
                }
            }
            "greatest" | "least" if has_digits => {
                call.args = self.numbers(call.args)?.into_iter().map(Number::key).collect();
                return Ok(Transformed::yes(digits::of_key(Expr::ScalarFunction(call))));
            }
            // Also `x = ANY(list)`.
            "array_has" => {
                if let [list, item] = call.args.as_mut_slice()
                    && self.meaning(list) == Meaning::Hex
                    && self.meaning(item) == Meaning::Plain
                    && self.type_of(item).is_string()
                {
                    *item = in_lower_case(std::mem::take(item));
                }
            }
            _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
        }
        Ok(Transformed::yes(Expr::ScalarFunction(call)))
    }

    pub(super) fn case(&self, Case { expr, when_then_expr, else_expr }: Case) -> Result<Transformed<Expr>> {
        let (mut whens, mut results): (Vec<Expr>, Vec<Expr>) = when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
        let mut sought = expr;
        let is_special = |expr: &Expr| self.is_special(&std::iter::once(expr).chain(&whens).collect::<Vec<_>>());
        if let Some(expr) = sought.take_if(|expr| is_special(expr)) {
            // `CASE x WHEN y` as `CASE WHEN x = y`: each pair is compared in its own way.
            for when in &mut whens {
                let (left, right) = self.compared(expr.as_ref().clone(), Operator::Eq, std::mem::take(when))?;
                *when = binary_expr(left, Operator::Eq, right);
            }
        }
        let has_else = else_expr.is_some();
        results.extend(else_expr.map(|expr| *expr));
        if results.iter().any(|result| self.meaning(result) == Meaning::Digits) {
            results = self.in_one_column(results)?;
        }
        let else_expr = if has_else { results.pop().map(Box::new) } else { None };
        let when_then_expr = whens.into_iter().map(Box::new).zip(results.into_iter().map(Box::new)).collect();
        Ok(Transformed::yes(Expr::Case(Case { expr: sought, when_then_expr, else_expr })))
    }

    pub(super) fn aggregate(&self, AggregateFunction { func, mut params }: AggregateFunction) -> Result<Transformed<Expr>> {
        if params.distinct && params.order_by.iter().any(|sort| self.meaning(&sort.expr) == Meaning::Digits) {
            return plan_err!("{} of DISTINCT values does not sort these; {}", func.name(), digits::HINT);
        }
        let func = self.extreme(func, &params.args);
        params.order_by = self.sorted(params.order_by);
        Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })))
    }

    pub(super) fn window(&self, WindowFunction { fun, mut params }: WindowFunction) -> Result<Transformed<Expr>> {
        if counts_values(&params.window_frame) && params.order_by.iter().any(|sort| self.meaning(&sort.expr) == Meaning::Digits) {
            return plan_err!("RANGE does not count from these; {}", digits::HINT);
        }
        let fun = match fun {
            WindowFunctionDefinition::AggregateUDF(func) => WindowFunctionDefinition::AggregateUDF(self.extreme(func, &params.args)),
            other => other,
        };
        params.order_by = self.sorted(params.order_by);
        Ok(Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params }))))
    }

    /// `max` and `min` of digits are other functions than those of text.
    fn extreme(&self, func: Arc<AggregateUDF>, args: &[Expr]) -> Arc<AggregateUDF> {
        if !args.first().is_some_and(|first| self.meaning(first) == Meaning::Digits) {
            return func;
        }
        digits::extreme(func.clone()).map_or(func, Arc::new)
    }

    fn sorted(&self, order_by: Vec<SortExpr>) -> Vec<SortExpr> {
        order_by.into_iter().map(|sort| SortExpr { expr: self.sorted_by(sort.expr), ..sort }).collect()
    }

    /// Values that stand in one column with digits: numbers become digits, text stays as it is.
    fn in_one_column(&self, exprs: Vec<Expr>) -> Result<Vec<Expr>> {
        let in_column = |expr: Expr| {
            let operand = self.operand(expr);
            if operand.data_type.is_string() { Ok(operand.expr) } else { Ok(Number::of(operand)?.digits()) }
        };
        exprs.into_iter().map(in_column).collect()
    }

    /// # Errors
    /// Where one is a float or no number at all.
    fn numbers(&self, exprs: Vec<Expr>) -> Result<Vec<Number>> {
        let number = |expr: Expr| match Number::of(self.operand(expr))? {
            number if number.is_exact() => Ok(number),
            other => plan_err!("{} beside an integer of 256 bits; {}", other.digits(), digits::HINT),
        };
        exprs.into_iter().map(number).collect()
    }
}

/// Whether a frame's ends are so and so much less or more than a row's value.
fn counts_values(frame: &WindowFrame) -> bool {
    use datafusion::logical_expr::WindowFrameBound::{CurrentRow, Following, Preceding};
    let counts = |bound: &_| match bound {
        Preceding(by) | Following(by) => !by.is_null(),
        CurrentRow => false,
    };
    frame.units == WindowFrameUnits::Range && (counts(&frame.start_bound) || counts(&frame.end_bound))
}
