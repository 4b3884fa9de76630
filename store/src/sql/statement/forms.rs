//! Forms of SQL that people write and DataFusion reads as something else.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Query, Select, SelectFlavor, SelectItem, SetExpr, TableAlias, TableFactor, VisitorMut, WildcardAdditionalOptions,
};

use crate::StoreError;

/// `FROM t` selects all columns, names of a recursive query are those of its first part, and what samples a table is refused.
pub(super) struct Forms;

impl VisitorMut for Forms {
    type Break = StoreError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<StoreError> {
        if let SetExpr::Select(select) = query.body.as_mut()
            && select.flavor == SelectFlavor::FromFirstNoSelect
        {
            select.flavor = SelectFlavor::Standard;
            select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        }
        let with = query.with.iter_mut().filter(|with| with.recursive);
        for named in with.flat_map(|with| &mut with.cte_tables) {
            if let Some(first) = first_part(&mut named.query.body) {
                name_columns(first, &named.alias);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<StoreError> {
        match factor {
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                ControlFlow::Break(StoreError::Query("TABLESAMPLE is not supported: use ORDER BY and LIMIT".into()))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// What a UNION begins with.
fn first_part(body: &mut SetExpr) -> Option<&mut Select> {
    let SetExpr::SetOperation { left, .. } = body else { return None };
    let mut first = left.as_mut();
    loop {
        first = match first {
            SetExpr::Select(select) => return Some(select),
            SetExpr::SetOperation { left, .. } => left,
            SetExpr::Query(query) => &mut query.body,
            _ => return None,
        };
    }
}

/// Where the alias names as many columns as there are.
fn name_columns(select: &mut Select, alias: &TableAlias) {
    if alias.columns.len() != select.projection.len() {
        return;
    }
    for (item, column) in select.projection.iter_mut().zip(&alias.columns) {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: column.name.clone() };
        }
    }
}
