//! How much a parsed query asks for: depth, tables, and what WITH makes of it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Query, TableFactor, UnaryOperator, Visitor};

use super::too_much;
use crate::StoreError;

/// Operators and calls within each other; a chain like `a + b + c` counts each.
const MAX_DEPTH: usize = 256;
/// Tables and subqueries, which are joined one after the other.
const MAX_TABLES: usize = 64;
/// Tables and expressions once every WITH stands where it is named.
const MAX_EXPANDED: u64 = 20_000;

/// Measures a tree. `sizes` holds what each open query comes to, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Measure {
    depth: usize,
    tables: usize,
    sizes: Vec<u64>,
    /// Names of WITH queries, by where their tree stands.
    names: HashMap<usize, String>,
    /// What a named query comes to; of several with one name the largest.
    named: HashMap<String, u64>,
}

impl Measure {
    fn add(&mut self, size: u64) -> ControlFlow<StoreError> {
        let Some(current) = self.sizes.last_mut() else { return ControlFlow::Continue(()) };
        *current = current.saturating_add(size);
        if *current > MAX_EXPANDED {
            return ControlFlow::Break(too_much(format!(
                "it reads more than {MAX_EXPANDED} tables and expressions, those of WITH included"
            )));
        }
        ControlFlow::Continue(())
    }

    fn deeper(&mut self) -> ControlFlow<StoreError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let hint = "write long chains of OR as IN (…), and long sums as sum() over rows";
            return ControlFlow::Break(too_much(format!("its expressions are deeper than {MAX_DEPTH} operators; {hint}")));
        }
        ControlFlow::Continue(())
    }
}

fn place(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Visitor for Measure {
    type Break = StoreError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<StoreError> {
        for named in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.names.insert(place(&named.query), named.alias.name.value.to_lowercase());
        }
        self.sizes.push(1);
        self.deeper()
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<StoreError> {
        self.depth -= 1;
        let size = self.sizes.pop().unwrap_or(1);
        match self.names.get(&place(query)) {
            Some(name) => {
                let known = self.named.entry(name.clone()).or_default();
                *known = size.max(*known);
                // It counts where it is named; each definition makes the plan deeper all the same.
                self.tables += 1;
                self.check_tables()
            }
            None => self.add(size),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<StoreError> {
        self.tables += 1;
        self.check_tables()?;
        match factor {
            TableFactor::Table { name, args, .. } => {
                if let Some(args) = args {
                    check_constants(&args.args)?;
                }
                let size = self.named.get(&name.to_string().to_lowercase().replace('"', "")).copied().unwrap_or(1);
                self.add(size)
            }
            TableFactor::Function { args, .. } => check_constants(args),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<StoreError> {
        self.add(1)?;
        self.deeper()
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<StoreError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

impl Measure {
    fn check_tables(&self) -> ControlFlow<StoreError> {
        if self.tables > MAX_TABLES {
            return ControlFlow::Break(too_much(format!("it names more than {MAX_TABLES} tables and subqueries")));
        }
        ControlFlow::Continue(())
    }
}

/// Arguments of functions in FROM are computed while planning, where nothing bounds them.
fn check_constants(args: &[FunctionArg]) -> ControlFlow<StoreError> {
    let is_constant = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(_))) => true,
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::UnaryOp { op: UnaryOperator::Minus, expr })) => matches!(**expr, Expr::Value(_)),
        _ => false,
    };
    if args.iter().all(is_constant) {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(StoreError::Query("a function in FROM takes constants only, for instance chunks_at('cold-chain', 1)".into()))
    }
}
