//! Where an expression stands: the columns that it can name, their types and meanings.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, DFSchemaRef, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Case, Distinct, Expr, ExprSchemable, JoinType, LogicalPlan, WindowFunctionDefinition};
use schemas::arrow::datatypes::DataType;

use super::{Meaning, columns};
use crate::sql::{decode, digits, functions};

/// Aggregates and window functions that give one of the values they see.
const PICKING: &[&str] = &["evm_max", "evm_min", "first_value", "lag", "last_value", "lead", "max", "min", "nth_value"];

/// What a plan reads from.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) schema: DFSchemaRef,
    pub(super) meanings: Vec<Meaning>,
}

#[derive(Debug)]
pub(super) struct Scope<'a> {
    inputs: Vec<Input>,
    /// All columns of the inputs.
    types: OnceCell<DFSchema>,
    /// Around a subquery.
    outer: Option<&'a Scope<'a>>,
    /// What subqueries that stand for one value mean.
    values: RefCell<Vec<(Arc<LogicalPlan>, Meaning)>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(inputs: Vec<Input>, outer: Option<&'a Scope<'a>>) -> Self {
        Self { inputs, types: OnceCell::new(), outer, values: RefCell::default() }
    }

    /// The type of an expression; none that is compared for what has none yet.
    pub(super) fn type_of(&self, expr: &Expr) -> DataType {
        let types = self.types.get_or_init(|| {
            self.inputs.iter().fold(DFSchema::empty(), |mut all, input| {
                all.merge(&input.schema);
                all
            })
        });
        expr.get_type(types).unwrap_or(DataType::Null)
    }

    /// Takes note of what a subquery means that stands for one value.
    pub(super) fn note(&self, subquery: Arc<LogicalPlan>, meaning: Meaning) {
        self.values.borrow_mut().push((subquery, meaning));
    }

    pub(super) fn meaning(&self, expr: &Expr) -> Meaning {
        match expr {
            Expr::Column(column) => self.of_column(column).unwrap_or(Meaning::Plain),
            Expr::OuterReferenceColumn(_, column) => {
                let scopes = std::iter::successors(self.outer, |scope| scope.outer);
                scopes.filter_map(|scope| scope.of_column(column)).next().unwrap_or(Meaning::Plain)
            }
            Expr::Alias(alias) => self.meaning(&alias.expr),
            Expr::ScalarFunction(call) => self.of_call(call),
            Expr::AggregateFunction(call) => self.of_picking(call.func.name(), &call.params.args),
            Expr::WindowFunction(call) => match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => self.of_picking(function.name(), &call.params.args),
                WindowFunctionDefinition::WindowUDF(function) => self.of_picking(function.name(), &call.params.args),
            },
            Expr::Case(Case { when_then_expr, else_expr, .. }) => {
                self.common(when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(else_expr.as_deref()))
            }
            Expr::ScalarSubquery(subquery) => {
                let values = self.values.borrow();
                let known = values.iter().find(|(plan, _)| Arc::ptr_eq(plan, &subquery.subquery));
                known.map_or(Meaning::Plain, |(_, meaning)| *meaning)
            }
            _ => Meaning::Plain,
        }
    }

    fn of_column(&self, column: &Column) -> Option<Meaning> {
        let found = self.inputs.iter().find_map(|input| Some((input, input.schema.maybe_index_of_column(column)?)));
        found.map(|(input, index)| input.meanings.get(index).copied().unwrap_or(Meaning::Plain))
    }

    fn of_call(&self, call: &ScalarFunction) -> Meaning {
        if digits::makes_digits(&call.func) {
            return Meaning::Digits;
        }
        if functions::is_hex(&call.func) {
            return Meaning::Hex;
        }
        if let Some(meaning) = decode::meaning(call) {
            return meaning;
        }
        let first = call.args.first().map_or(Meaning::Plain, |first| self.meaning(first));
        match call.func.name() {
            "coalesce" | "nvl" => self.common(call.args.iter()),
            "nullif" => first,
            "array_element" | "lower" if first == Meaning::Hex => first,
            _ => Meaning::Plain,
        }
    }

    fn of_picking(&self, function: &str, args: &[Expr]) -> Meaning {
        let first = args.first().filter(|_| PICKING.contains(&function));
        first.map_or(Meaning::Plain, |first| self.meaning(first))
    }

    /// The meaning that all have; NULL and what could stand in the same column do not count.
    fn common<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> Meaning {
        let (literals, others): (Vec<&Expr>, Vec<&Expr>) = exprs.partition(|expr| matches!(expr, Expr::Literal(..)));
        let mut meanings = others.into_iter().map(|expr| self.meaning(expr));
        let Some(first) = meanings.next() else { return Meaning::Plain };
        let fits = |literal: &Expr| match literal {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => match first {
                Meaning::Plain => true,
                Meaning::Hex => text.bytes().all(|letter| !letter.is_ascii_uppercase()),
                Meaning::Digits => digits::canonical(text).as_deref() == Some(text),
            },
            Expr::Literal(value, _) => value.is_null(),
            _ => false,
        };
        if meanings.all(|meaning| meaning == first) && literals.into_iter().all(fits) { first } else { Meaning::Plain }
    }

    /// What the columns of a plan mean that reads from here.
    pub(super) fn of_plan(&self, plan: &LogicalPlan) -> Vec<Meaning> {
        let of = |exprs: &[Expr]| exprs.iter().map(|expr| self.meaning(expr)).collect::<Vec<_>>();
        let input = |index: usize| self.inputs.get(index).map(|input| input.meanings.clone()).unwrap_or_default();
        let mut meanings = match plan {
            LogicalPlan::Projection(projection) => of(&projection.expr),
            LogicalPlan::Window(window) => [input(0), of(&window.window_expr)].concat(),
            LogicalPlan::Aggregate(aggregate) => {
                let mut groups: Vec<Meaning> = match grouping_set_to_exprlist(&aggregate.group_expr) {
                    Ok(groups) => groups.into_iter().map(|expr| self.meaning(expr)).collect(),
                    Err(_) => Vec::new(),
                };
                // Which set a row is of stands behind them.
                if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) {
                    groups.push(Meaning::Plain);
                }
                [groups, of(&aggregate.aggr_expr)].concat()
            }
            LogicalPlan::Distinct(Distinct::On(on)) => of(&on.select_expr),
            LogicalPlan::Join(join) => match join.join_type {
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => [input(0), input(1)].concat(),
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => input(0),
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => input(1),
            },
            LogicalPlan::Union(_) => {
                let mut inputs = self.inputs.iter().map(|input| input.meanings.clone());
                let first = inputs.next().unwrap_or_default();
                let both = |(a, b)| if a == b { a } else { Meaning::Plain };
                inputs.fold(first, |all, input| all.into_iter().zip(input).map(both).collect())
            }
            LogicalPlan::Unnest(unnest) => {
                let of_input = input(0);
                unnest.dependency_indices.iter().map(|index| of_input.get(*index).copied().unwrap_or(Meaning::Plain)).collect()
            }
            LogicalPlan::TableScan(scan) => columns::of_scan(scan),
            LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Distinct(Distinct::All(_)) => input(0),
            // Of a recursive query the later rows may be anything.
            _ => Vec::new(),
        };
        meanings.resize(plan.schema().fields().len(), Meaning::Plain);
        meanings
    }
}
