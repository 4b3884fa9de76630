//! What is let through: one query of bounded size and depth, nothing that writes, sets or reads beyond our
//! tables. Parser and planner recurse, so a text is measured before it is parsed and its tree before it is planned.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr, Query, Statement as SqlStatement, TableFactor, UnaryOperator,
    Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::{QueryLimits, Viewer};
use crate::StoreError;

/// Words and signs.
const MAX_TOKENS: usize = 8192;
/// Parentheses and brackets within each other.
const MAX_NESTING: usize = 64;
/// UNION, INTERSECT and EXCEPT: each makes a plan one deeper.
const MAX_SET_OPERATIONS: usize = 64;
/// Operators and calls within each other; a chain like `a + b + c` counts each.
const MAX_DEPTH: usize = 256;
/// Tables and subqueries, which are joined one after the other.
const MAX_TABLES: usize = 64;
/// Tables and expressions once every WITH stands where it is named.
const MAX_EXPANDED: u64 = 20_000;
/// Digits of the widest decimal.
const MAX_DIGITS: usize = super::functions::DIGITS as usize;

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
    let exact = if measured.is_continue() { VisitMut::visit(query, &mut WholeNumbers) } else { measured };
    match exact {
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

/// Measures a tree. `sizes` holds what each open query comes to, the innermost last.
#[derive(Debug, Default)]
struct Measure {
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

/// Numbers that a float would change become decimals; those that are too long for one are refused.
struct WholeNumbers;

impl VisitorMut for WholeNumbers {
    type Break = StoreError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<StoreError> {
        let Expr::Value(value) = expr else { return ControlFlow::Continue(()) };
        let Value::Number(text, _) = &value.value else { return ControlFlow::Continue(()) };
        match exactly(text) {
            Ok(None) => {}
            Ok(Some((precision, scale))) => {
                let literal = Value::SingleQuotedString(text.clone()).with_span(value.span);
                *expr = Expr::Cast {
                    kind: CastKind::Cast,
                    expr: Box::new(Expr::Value(literal)),
                    data_type: DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale)),
                    array: false,
                    format: None,
                };
            }
            Err(problem) => return ControlFlow::Break(StoreError::Query(problem)),
        }
        ControlFlow::Continue(())
    }
}

/// Precision and scale of the decimal that a number must be to keep its value; `None` where an integer of 64 bits or a
/// float keeps it.
fn exactly(text: &str) -> Result<Option<(u64, i64)>, String> {
    if text.parse::<u64>().is_ok() {
        return Ok(None);
    }
    let shown: String = text.chars().take(100).collect();
    let float = text.parse::<f64>().map_err(|_| format!("{shown:?} is not a number"))?;
    if !float.is_finite() {
        return Err(format!("the number {shown} is too large for a float and for a decimal"));
    }
    if text.contains(['e', 'E']) {
        // Somebody who writes an exponent asks for a float.
        return Ok(None);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let printed = float.to_string();
    let (float_whole, float_fraction) = printed.split_once('.').unwrap_or((&printed, ""));
    let is_kept = text.contains('.') && float_whole.trim_start_matches('0') == whole && float_fraction == fraction;
    if is_kept {
        return Ok(None);
    }
    let digits = whole.len() + fraction.len();
    if digits > MAX_DIGITS {
        return Err(format!("the number {shown} has more than {MAX_DIGITS} digits, the most that a decimal has"));
    }
    Ok(Some((digits.max(1) as u64, fraction.len() as i64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the stack that queries have: what is refused is a deep tree until it is dropped.
    fn measured(sql: &str) -> Result<(), StoreError> {
        let sql = sql.to_owned();
        let reading = move || read(&SessionContext::new(), &sql, &QueryLimits::default(), Viewer::Everything).map(drop);
        std::thread::Builder::new().stack_size(crate::sql::STACK_BYTES).spawn(reading).unwrap().join().unwrap()
    }

    #[test]
    fn text_in_quotes_and_comments_does_not_count() {
        let parentheses = "(".repeat(500);
        for sql in [
            format!("SELECT '{parentheses}'"),
            format!("SELECT 1 AS \"{parentheses}\""),
            format!("SELECT 1 /* {parentheses} */"),
            format!("SELECT 1 -- {parentheses}"),
            format!("SELECT 'it''s {parentheses}', 'UNION {}'", "UNION ".repeat(200)),
            format!("SELECT $${parentheses}$$"),
        ] {
            measured(&sql).unwrap();
        }
    }

    #[test]
    fn what_is_too_deep_or_too_much_is_refused() {
        let nested =
            |open: &str, inner: &str, close: &str, times: usize| format!("SELECT {}{inner}{}", open.repeat(times), close.repeat(times));
        let bomb: Vec<String> = (1..40).map(|n| format!("c{n} AS (SELECT * FROM c{0} UNION ALL SELECT * FROM c{0})", n - 1)).collect();
        let crossed: Vec<String> = (1..10).map(|n| format!("c{n} AS (SELECT 1 FROM c{0} a, c{0} b, c{0} c, c{0} d)", n - 1)).collect();
        let attacks = [
            ("plus", format!("SELECT 1{}", "+1".repeat(7_000))),
            ("minus", format!("SELECT {}1", "- ".repeat(3_000))),
            ("not", format!("SELECT {}true", "NOT ".repeat(3_000))),
            ("and", format!("SELECT true{}", " AND true".repeat(1_500))),
            ("or", format!("SELECT 1 WHERE 1=1{}", " OR 1=1".repeat(1_500))),
            ("concat", format!("SELECT 'x'{}", "||'x'".repeat(2_500))),
            ("parentheses", nested("(", "1", ")", 5_000)),
            ("brackets", nested("[", "1", "]", 5_000)),
            ("case", nested("CASE WHEN true THEN ", "1", " END", 500)),
            ("subqueries", nested("(SELECT ", "1", ")", 300)),
            ("from", format!("SELECT 1 FROM {}x{}", "(SELECT 1 FROM ".repeat(300), ") a".repeat(300))),
            ("unions", format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(800))),
            ("joins", format!("SELECT 1 FROM datanets{}", ", datanets".repeat(1_000))),
            ("casts", format!("SELECT 1{}", "::int".repeat(2_500))),
            ("is null", format!("SELECT 1{}", " IS NULL".repeat(1_500))),
            ("calls", nested("upper(", "'x'", ")", 1_000)),
            ("bomb", format!("WITH c0 AS (SELECT 1), {} SELECT * FROM c39", bomb.join(", "))),
            ("crossed", format!("WITH c0 AS (SELECT 1), {} SELECT * FROM c9", crossed.join(", "))),
            (
                "many names",
                format!(
                    "WITH c0 AS (SELECT 1){} SELECT * FROM c200",
                    (1..201).map(|n| format!(", c{n} AS (SELECT * FROM c{})", n - 1)).collect::<String>()
                ),
            ),
        ];
        for (name, sql) in attacks {
            let error = measured(&sql).expect_err(name);
            // Where the parser tries one thing after the other, its own limit comes out as a word that it did not expect.
            assert!(matches!(error, StoreError::QueryLimit(_)) || ["not", "case"].contains(&name), "{name}: {error:?}");
        }
    }

    #[test]
    fn what_people_write_is_let_through() {
        let ids: Vec<String> = (0..1500).map(|n| n.to_string()).collect();
        let columns: Vec<String> = (0..400).map(|n| format!("1 + {n} AS c{n}")).collect();
        let arms: Vec<String> = (0..300).map(|n| format!("WHEN {n} THEN 'a{n}'")).collect();
        for sql in [
            format!("SELECT * FROM blocks WHERE number IN ({})", ids.join(", ")),
            format!("SELECT {}", columns.join(", ")),
            format!("SELECT CASE number {} END FROM blocks", arms.join(" ")),
            format!("SELECT true{}", " OR 1 = 2".repeat(200)),
            "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a UNION SELECT x FROM a) SELECT * FROM a JOIN b USING (x)".to_owned(),
            "EXPLAIN SELECT 1".to_owned(),
            "SHOW TABLES".to_owned(),
        ] {
            measured(&sql).unwrap();
        }
    }

    #[test]
    fn functions_in_from_take_constants() {
        measured("SELECT * FROM chunks_at('a', 1)").unwrap();
        measured("SELECT * FROM chunks_at('a', -1)").unwrap();
        for sql in [
            "SELECT * FROM chunks_at(replace('a', 'a', 'b'), 1)",
            "SELECT * FROM chunks_at('a', 1 + 1)",
            "SELECT * FROM chunks_at('a', (SELECT 1))",
        ] {
            assert!(matches!(measured(sql), Err(StoreError::Query(_))), "{sql}");
        }
    }

    #[test]
    fn numbers_keep_their_digits_or_are_refused() {
        for (text, expected) in [
            ("1", None),
            ("18446744073709551615", None),
            ("0.1", None),
            ("1.5", None),
            ("1000000000000000000.0", None),
            (".5", None),
            ("1e300", None),
            ("18446744073709551616", Some((20, 0))),
            ("123456789012345678901234567890", Some((30, 0))),
            ("0.1234567890123456789", Some((19, 19))),
            ("123456789012345678.125", Some((21, 3))),
        ] {
            assert_eq!(exactly(text), Ok(expected), "{text}");
        }
        assert!(exactly(&"9".repeat(77)).is_err() && exactly("1e400").is_err());
        assert_eq!(exactly(&"9".repeat(76)), Ok(Some((76, 0))));
    }
}
