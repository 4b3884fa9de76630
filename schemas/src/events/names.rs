//! Names of Solidity as names of SQL.

/// Words that a query could not use as a column without quoting them, and the columns that every event
/// table has. A parameter of that name gets a suffix.
const TAKEN: &[&str] = &[
    "all",
    "and",
    "any",
    "as",
    "asc",
    "between",
    "both",
    "case",
    "cast",
    "constraint",
    "contract",
    "create",
    "cross",
    "current",
    "default",
    "delete",
    "desc",
    "distinct",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "fetch",
    "filter",
    "for",
    "foreign",
    "full",
    "grant",
    "group",
    "having",
    "in",
    "inner",
    "insert",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "primary",
    "qualify",
    "references",
    "returning",
    "right",
    "row",
    "rows",
    "select",
    "set",
    "some",
    "table",
    "then",
    "top",
    "trailing",
    "true",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "values",
    "when",
    "where",
    "window",
    "with",
    "block_number",
    "block_timestamp",
    "block_hash",
    "transaction_hash",
    "log_index",
    "finalized",
];

/// The column of a parameter; one without a name is called by its place, from 0.
pub(super) fn column_name(solidity: &str, place: usize) -> String {
    match snake_case(solidity).as_str() {
        "" => format!("arg{place}"),
        name @ ("from" | "to" | "by") => format!("{name}_address"),
        name if TAKEN.contains(&name) => format!("{name}_value"),
        name => name.into(),
    }
}

/// A Solidity identifier in snake_case, of letters, digits and underscores.
pub(super) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| letters.get(index));
        let ends_acronym = letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && before.is_some_and(|before| *before != '_' && (!before.is_ascii_uppercase() || ends_acronym)) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    let snake = snake.trim_matches('_');
    if snake.starts_with(|first: char| first.is_ascii_digit()) { format!("_{snake}") } else { snake.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_sql() {
        for (solidity, sql) in [
            ("DatanetCreated", "datanet_created"),
            ("tokenURI", "token_uri"),
            ("URISet", "uri_set"),
            ("ERC20Transfer", "erc20_transfer"),
            ("sqrtPriceX96", "sqrt_price_x96"),
            ("_value", "value"),
            ("from", "from_address"),
            ("order", "order_value"),
            ("blockNumber", "block_number_value"),
            ("a$b", "a_b"),
            ("$0", "_0"),
            ("", "arg3"),
            ("_", "arg3"),
        ] {
            assert_eq!(column_name(solidity, 3), sql, "{solidity}");
        }
    }
}
