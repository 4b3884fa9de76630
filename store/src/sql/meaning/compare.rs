//! Comparisons by what is compared: hexadecimal text in any case, digits as numbers, decimals with floats without a cast that they
//! do not survive.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue, plan_err};
use datafusion::functions::string::lower;
use datafusion::logical_expr::expr::{Between, Exists, InList, InSubquery, SetComparison};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, binary_expr, cast, lit, not};
use schemas::arrow::datatypes::DataType;

use super::number::{Number, whole};
use super::scope::Scope;
use super::{Meaning, visit};
use crate::sql::{digits, exact};

/// One side of a comparison.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) expr: Expr,
    pub(super) meaning: Meaning,
    pub(super) data_type: DataType,
}

impl Scope<'_> {
    pub(super) fn rewrite(&self, expr: Expr) -> Result<Transformed<Expr>> {
        expr.transform_up(|expr| self.rewrite_one(expr))
    }

    /// Its parts were rewritten.
    fn rewrite_one(&self, expr: Expr) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(binary) => self.binary(binary),
            Expr::Between(between) => self.between(between),
            Expr::InList(list) => self.in_list(list),
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let (left, subquery) = self.compared_to_any(*expr, Operator::Eq, subquery)?;
                Ok(Transformed::yes(Expr::InSubquery(InSubquery::new(Box::new(left), subquery, negated))))
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let (left, subquery) = self.compared_to_any(*expr, op, subquery)?;
                Ok(Transformed::yes(Expr::SetComparison(SetComparison::new(Box::new(left), subquery, op, quantifier))))
            }
            Expr::Exists(Exists { subquery, negated }) => {
                let (subquery, _) = self.visited(subquery)?;
                Ok(Transformed::yes(Expr::Exists(Exists::new(subquery, negated))))
            }
            Expr::ScalarSubquery(subquery) => {
                let (subquery, meaning) = self.visited(subquery)?;
                self.note(subquery.subquery.clone(), meaning);
                Ok(Transformed::yes(Expr::ScalarSubquery(subquery)))
            }
            Expr::Case(case) => self.case(case),
            Expr::ScalarFunction(call) => self.scalar_function(call),
            Expr::AggregateFunction(call) => self.aggregate(call),
            Expr::WindowFunction(call) => self.window(*call),
            other => Ok(Transformed::no(other)),
        }
    }

    pub(super) fn operand(&self, expr: Expr) -> Operand {
        Operand { meaning: self.meaning(&expr), data_type: self.type_of(&expr), expr }
    }

    /// What `expr` is sorted by.
    pub(super) fn sorted_by(&self, expr: Expr) -> Expr {
        if self.meaning(&expr) == Meaning::Digits { digits::key(expr) } else { expr }
    }

    /// Both sides as they are compared.
    pub(super) fn compared(&self, left: Expr, op: Operator, right: Expr) -> Result<(Expr, Expr)> {
        pair(self.operand(left), op, self.operand(right))
    }

    fn binary(&self, BinaryExpr { left, op, right }: BinaryExpr) -> Result<Transformed<Expr>> {
        let (left, right) = (*left, *right);
        match op {
            op if is_comparison(op) => {
                let (left, right) = self.compared(left, op, right)?;
                Ok(Transformed::yes(binary_expr(left, op, right)))
            }
            Operator::Divide if exact::divides(&self.type_of(&left), &self.type_of(&right)) => {
                Ok(Transformed::yes(exact::division().call(vec![left, right])))
            }
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
                if [&left, &right].iter().any(|side| self.meaning(side) == Meaning::Digits) =>
            {
                plan_err!("{left} {op} {right}: {}", digits::HINT)
            }
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Modulo => {
                let (left, right) = of_one_width(self.operand(left), self.operand(right));
                Ok(Transformed::yes(binary_expr(left, op, right)))
            }
            op => Ok(Transformed::no(binary_expr(left, op, right))),
        }
    }

    fn between(&self, Between { expr, negated, low, high }: Between) -> Result<Transformed<Expr>> {
        let sides = [expr.as_ref(), low.as_ref(), high.as_ref()];
        if !self.is_special(&sides) {
            return Ok(Transformed::no(Expr::Between(Between { expr, negated, low, high })));
        }
        let (above, low) = self.compared(expr.as_ref().clone(), Operator::GtEq, *low)?;
        let (below, high) = self.compared(*expr, Operator::LtEq, *high)?;
        let both = binary_expr(above, Operator::GtEq, low).and(binary_expr(below, Operator::LtEq, high));
        Ok(Transformed::yes(if negated { not(both) } else { both }))
    }

    fn in_list(&self, InList { expr, list, negated }: InList) -> Result<Transformed<Expr>> {
        let sides: Vec<&Expr> = std::iter::once(expr.as_ref()).chain(&list).collect();
        if !self.is_special(&sides) {
            return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
        }
        let meanings: Vec<Meaning> = sides.iter().map(|side| self.meaning(side)).collect();
        let are_alike =
            !matches!(meanings.as_slice(), [Meaning::Plain, items @ ..] if items.windows(2).any(|two| two.first() != two.last()));
        let compared = list.into_iter().map(|item| self.compared(expr.as_ref().clone(), Operator::Eq, item));
        let compared = compared.collect::<Result<Vec<_>>>()?;
        // One list, which is looked up, where all are compared with the same; else one comparison after the other.
        let first = compared.first().map(|(left, _)| left.clone()).filter(|_| are_alike);
        if let Some(first) = first.filter(|first| compared.iter().all(|(left, _)| left == first)) {
            let list = compared.into_iter().map(|(_, item)| item).collect();
            return Ok(Transformed::yes(Expr::InList(InList { expr: Box::new(first), list, negated })));
        }
        let any = compared.into_iter().map(|(left, item)| binary_expr(left, Operator::Eq, item)).reduce(Expr::or);
        let any = any.unwrap_or_else(|| lit(false));
        Ok(Transformed::yes(if negated { not(any) } else { any }))
    }

    /// Whether something else than DataFusion's comparison is needed among these.
    pub(super) fn is_special(&self, exprs: &[&Expr]) -> bool {
        let types: Vec<DataType> = exprs.iter().map(|expr| self.type_of(expr)).collect();
        let is_mixed = types.iter().any(DataType::is_decimal) && types.iter().any(DataType::is_floating);
        is_mixed || exprs.iter().any(|expr| self.meaning(expr) != Meaning::Plain)
    }

    /// A subquery, rewritten, and what its first column means.
    fn visited(&self, subquery: Subquery) -> Result<(Subquery, Meaning)> {
        let (plan, meanings) = visit(Arc::unwrap_or_clone(subquery.subquery), Some(self))?;
        let meaning = meanings.first().copied().unwrap_or(Meaning::Plain);
        Ok((Subquery { subquery: Arc::new(plan), ..subquery }, meaning))
    }

    /// Both as they are compared: the subquery's column, too.
    fn compared_to_any(&self, left: Expr, op: Operator, subquery: Subquery) -> Result<(Expr, Subquery)> {
        let (subquery, meaning) = self.visited(subquery)?;
        if subquery.subquery.schema().fields().is_empty() {
            return Ok((left, subquery));
        }
        let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
        let (name, data_type) = (field.name().clone(), field.data_type().clone());
        let column = Expr::Column(Column::from((qualifier, field)));
        let (left, right) = pair(self.operand(left), op, Operand { expr: column.clone(), meaning, data_type })?;
        if right == column {
            return Ok((left, subquery));
        }
        let plan: LogicalPlan = LogicalPlanBuilder::from(subquery.subquery).project([right.alias(name)])?.build()?;
        Ok((left, Subquery { subquery: Arc::new(plan), outer_ref_columns: subquery.outer_ref_columns, spans: subquery.spans }))
    }
}

fn is_comparison(op: Operator) -> bool {
    is_order(op) || matches!(op, Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

fn is_order(op: Operator) -> bool {
    matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
}

/// Two sides as they are compared.
pub(super) fn pair(left: Operand, op: Operator, right: Operand) -> Result<(Expr, Expr)> {
    match (left.meaning, right.meaning) {
        (Meaning::Digits, _) | (_, Meaning::Digits) => as_numbers(left, op, right),
        (Meaning::Hex, Meaning::Plain) if right.data_type.is_string() => Ok((left.expr, in_lower_case(right.expr))),
        (Meaning::Plain, Meaning::Hex) if left.data_type.is_string() => Ok((in_lower_case(left.expr), right.expr)),
        (Meaning::Hex, _) | (_, Meaning::Hex) => Ok((left.expr, right.expr)),
        (Meaning::Plain, Meaning::Plain) => Ok(with_floats(left, right)),
    }
}

/// Text that is compared with hexadecimal text, which tables hold in lower case. Wallets and block explorers show EIP-55's mixture.
pub(super) fn in_lower_case(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => lit(text.to_ascii_lowercase()),
        other => lower().call(vec![other]),
    }
}

fn as_numbers(left: Operand, op: Operator, right: Operand) -> Result<(Expr, Expr)> {
    Ok(match (Number::of(left)?, Number::of(right)?) {
        (left @ Number::Other(_), right) | (left, right @ Number::Other(_)) => (left.digits(), right.digits()),
        (left @ Number::Float(_), right) | (left, right @ Number::Float(_)) => (left.float(), right.float()),
        (left, right) if is_order(op) => (left.key(), right.key()),
        (left, right) => (left.digits(), right.digits()),
    })
}

/// A decimal that is compared with a float. DataFusion gives both fifteen places, for which a large decimal has no room.
fn with_floats(left: Operand, right: Operand) -> (Expr, Expr) {
    if left.data_type.is_decimal() && right.data_type.is_floating() {
        return beside_float(left.expr, right.expr);
    }
    if left.data_type.is_floating() && right.data_type.is_decimal() {
        let (right, left) = beside_float(right.expr, left.expr);
        return (left, right);
    }
    of_one_width(left, right)
}

/// Decimals in as many bits. Where one has more DataFusion gives both the same places too, for which there is not always room.
fn of_one_width(left: Operand, right: Operand) -> (Expr, Expr) {
    let widened = |narrow: Operand, other: &DataType| match (narrow.data_type, other) {
        (
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) | DataType::Decimal128(precision, scale),
            DataType::Decimal256(..),
        ) => cast(narrow.expr, DataType::Decimal256(precision, scale)),
        _ => narrow.expr,
    };
    let (of_left, of_right) = (left.data_type.clone(), right.data_type.clone());
    (widened(left, &of_right), widened(right, &of_left))
}

fn beside_float(decimal: Expr, float: Expr) -> (Expr, Expr) {
    match whole(&float) {
        Some(whole) => (decimal, whole),
        None => (cast(decimal, DataType::Float64), float),
    }
}
