//! Number literals that keep their value.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{CastKind, DataType, ExactNumberInfo, Expr, UnaryOperator, Value, VisitorMut};

use crate::StoreError;
use crate::sql::functions;

/// Digits of the widest decimal.
const MAX_DIGITS: usize = functions::DIGITS as usize;

/// Numbers that a float would change become decimals; those that are too long for one are refused.
pub(super) struct WholeNumbers;

impl VisitorMut for WholeNumbers {
    type Break = StoreError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<StoreError> {
        // Its sign comes on top: what has 64 bits without it may not have with it.
        let (expr, least) = match expr {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (expr.as_mut(), true),
            expr => (expr, false),
        };
        let Expr::Value(value) = expr else { return ControlFlow::Continue(()) };
        let Value::Number(text, _) = &value.value else { return ControlFlow::Continue(()) };
        match if least { negated(text) } else { exactly(text) } {
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

/// [`exactly`], of a number that a minus stands before.
fn negated(text: &str) -> Result<Option<(u64, i64)>, String> {
    match text.parse::<u64>() {
        Ok(whole) if whole > i64::MIN.unsigned_abs() => Ok(Some((20, 0))),
        _ => exactly(text),
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
        let hint = "in quotes it is compared with integers of 256 bits";
        return Err(format!("the number {shown} has more than {MAX_DIGITS} digits, the most that a decimal has; {hint}"));
    }
    Ok(Some((digits.max(1) as u64, fraction.len() as i64)))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::VisitMut;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

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

    #[test]
    fn negative_numbers_keep_their_digits() {
        for (sql, expected) in [
            ("SELECT -9223372036854775808", "SELECT -9223372036854775808"),
            ("SELECT -9223372036854775809", "SELECT -CAST('9223372036854775809' AS DECIMAL(20,0))"),
            ("SELECT 1 - 18446744073709551615", "SELECT 1 - 18446744073709551615"),
        ] {
            let mut parsed = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
            assert!(parsed.visit(&mut WholeNumbers).is_continue());
            assert_eq!(parsed[0].to_string(), expected);
        }
    }
}
