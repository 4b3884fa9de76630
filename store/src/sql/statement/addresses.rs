//! Addresses as people have them: tables hold lower case, wallets and block explorers show EIP-55's mixture.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value, VisitorMut};

use crate::StoreError;

/// Columns that hold addresses: those of our tables, and what contracts usually call theirs. Of any other column a value in mixed
/// case may be a text like any, in which case counts.
const COLUMNS: &[&str] = &[
    "account",
    "address",
    "by",
    "child",
    "committer",
    "contract",
    "contributor",
    "curator",
    "from",
    "new_owner",
    "operator",
    "owner",
    "payer",
    "pending_owner",
    "previous_owner",
    "proposer",
    "publisher",
    "recipient",
    "sender",
    "signer",
    "spender",
    "stakers_pool",
    "to",
];

/// What is compared with an address in mixed case, where it is a column of addresses, is compared with the same address in lower
/// case too.
pub(super) struct Addresses;

impl VisitorMut for Addresses {
    type Break = StoreError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<StoreError> {
        match expr {
            Expr::BinaryOp { left, op: op @ (BinaryOperator::Eq | BinaryOperator::NotEq), right } => {
                let (other, address) = match (lower_case(left), lower_case(right)) {
                    (Some(lower), None) => (right, (left.as_ref().clone(), lower)),
                    (None, Some(lower)) => (left, (right.as_ref().clone(), lower)),
                    _ => return ControlFlow::Continue(()),
                };
                if !is_of_addresses(other) {
                    return ControlFlow::Continue(());
                }
                let negated = *op == BinaryOperator::NotEq;
                *expr = Expr::InList { expr: other.clone(), list: vec![address.0, address.1], negated };
            }
            Expr::InList { expr: other, list, .. } if is_of_addresses(other) => {
                let lower: Vec<Expr> = list.iter().filter_map(lower_case).collect();
                list.extend(lower);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn is_of_addresses(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        _ => None,
    };
    name.is_some_and(|name| COLUMNS.iter().any(|column| name.value.eq_ignore_ascii_case(column)))
}

/// The address in lower case, where the expression is one that is not.
fn lower_case(expr: &Expr) -> Option<Expr> {
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let is_mixed = digits.len() == 40 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && *text != text.to_ascii_lowercase();
    is_mixed.then(|| Expr::Value(Value::SingleQuotedString(text.to_ascii_lowercase()).with_span(value.span)))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::VisitMut;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn an_address_is_found_in_any_case() {
        let (mixed, lower) = ("0x52908400098527886E0F7030069857D2E4169EE7", "0x52908400098527886e0f7030069857d2e4169ee7");
        for (sql, expected) in [
            (format!("SELECT payer = '{mixed}'"), format!("SELECT payer IN ('{mixed}', '{lower}')")),
            (format!("SELECT '{mixed}' <> l.\"Owner\""), format!("SELECT l.\"Owner\" NOT IN ('{mixed}', '{lower}')")),
            (format!("SELECT payer IN ('{mixed}', 'b')"), format!("SELECT payer IN ('{mixed}', 'b', '{lower}')")),
            (format!("SELECT payer = '{lower}'"), format!("SELECT payer = '{lower}'")),
            (format!("SELECT file_name = '{mixed}', note IN ('{mixed}')"), format!("SELECT file_name = '{mixed}', note IN ('{mixed}')")),
            (format!("SELECT '{mixed}', a = '{mixed}0', a = '0xAB'"), format!("SELECT '{mixed}', a = '{mixed}0', a = '0xAB'")),
        ] {
            let mut parsed = Parser::parse_sql(&GenericDialect {}, &sql).unwrap();
            assert!(parsed.visit(&mut Addresses).is_continue());
            assert_eq!(parsed[0].to_string(), expected);
        }
    }
}
