//! What is let through: one query of bounded size and depth, nothing that writes, sets or reads beyond our
//! tables. Parser and planner recurse, so a text is measured before it is parsed and its tree before it is planned.

mod forms;
mod measure;
mod numbers;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Statement as SqlStatement, Visit, VisitMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::{QueryLimits, Viewer};
use crate::StoreError;
use forms::Forms;
use measure::Measure;
use numbers::WholeNumbers;

/// Words and signs.
const MAX_TOKENS: usize = 8192;
/// Parentheses and brackets within each other.
const MAX_NESTING: usize = 64;
/// UNION, INTERSECT and EXCEPT: each makes a plan one deeper.
const MAX_SET_OPERATIONS: usize = 64;

/// What SHOW TABLES gives: ours first, by name.
const TABLES: &str = "SELECT * FROM information_schema.tables ORDER BY table_schema DESC, table_name";

/// Reads `sql` as one query that may be planned. To be called on a thread with a large stack.
pub(super) fn read(context: &SessionContext, sql: &str, limits: &QueryLimits, viewer: Viewer) -> Result<Statement, StoreError> {
    if sql.len() > limits.max_statement_bytes {
        return Err(too_much(format!("the statement is longer than {} bytes", limits.max_statement_bytes)));
    }
    if sql.trim().is_empty() {
        return Err(StoreError::Query("the statement is empty".into()));
    }
    check_tokens(sql)?;
    let state = context.state();
    let dialect = state.config_options().sql_parser.dialect;
    let mut statement = state.sql_to_statement(sql, &dialect).map_err(|error| match error.strip_backtrace() {
        text if text.to_lowercase().contains("recursion") => {
            too_much("it nests too deeply: expressions, subqueries or CASE within each other".into())
        }
        text => StoreError::Query(text),
    })?;
    if matches!(&statement, Statement::Statement(query) if query.to_string() == "SHOW TABLES") {
        statement = state.sql_to_statement(TABLES, &dialect)?;
    }
    let query = match &mut statement {
        Statement::Statement(query) => query.as_mut(),
        Statement::Explain(explained) if viewer == Viewer::Everything => match explained.statement.as_mut() {
            Statement::Statement(query) => query.as_mut(),
            _ => return Err(only_queries()),
        },
        Statement::Explain(_) => return Err(no_explanation()),
        // COPY, CREATE EXTERNAL TABLE, RESET.
        _ => return Err(only_queries()),
    };
    if matches!(query, SqlStatement::Explain { .. }) && viewer != Viewer::Everything {
        return Err(no_explanation());
    }
    let measured = Visit::visit(&*query, &mut Measure::default());
    let rewritten = match measured {
        ControlFlow::Continue(()) => VisitMut::visit(query, &mut Forms),
        measured @ ControlFlow::Break(_) => measured,
    };
    let rewritten = match rewritten {
        ControlFlow::Continue(()) => VisitMut::visit(query, &mut WholeNumbers),
        rewritten @ ControlFlow::Break(_) => rewritten,
    };
    match rewritten {
        ControlFlow::Continue(()) => Ok(statement),
        ControlFlow::Break(problem) => Err(problem),
    }
}

fn too_much(problem: String) -> StoreError {
    StoreError::QueryLimit(problem)
}

fn only_queries() -> StoreError {
    StoreError::Query("only queries are answered; this statement is not supported".into())
}

/// A plan names files.
fn no_explanation() -> StoreError {
    StoreError::Query("EXPLAIN is for the operator: plans show how the service stores its data".into())
}

/// Text in quotes and comments is one token each, whatever stands in it. The tokenizer does not recurse.
fn check_tokens(sql: &str) -> Result<(), StoreError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().map_err(|error| StoreError::Query(error.to_string()))?;
    let (mut count, mut depth, mut set_operations) = (0_usize, 0_usize, 0_usize);
    for token in &tokens {
        count += usize::from(!matches!(token, Token::Whitespace(_)));
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) if matches!(word.keyword, Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS) => {
                set_operations += usize::from(word.quote_style.is_none());
            }
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(too_much(format!("the statement nests deeper than {MAX_NESTING} parentheses")));
        }
    }
    if count > MAX_TOKENS {
        return Err(too_much(format!("the statement has more than {MAX_TOKENS} words and signs")));
    }
    if set_operations > MAX_SET_OPERATIONS {
        return Err(too_much(format!("the statement has more than {MAX_SET_OPERATIONS} UNION, INTERSECT and EXCEPT")));
    }
    Ok(())
}
