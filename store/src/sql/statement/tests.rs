//! Attacks on the parser and the planner, and what people write.

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
fn a_sample_of_a_table_is_refused() {
    for sql in ["SELECT count(*) FROM datanets TABLESAMPLE (0 PERCENT)", "SELECT 1 FROM (SELECT * FROM blocks) TABLESAMPLE (5 ROWS)"] {
        assert!(matches!(measured(sql), Err(StoreError::Query(text)) if text.contains("TABLESAMPLE")), "{sql}");
    }
}

/// What a statement becomes.
fn rewritten(sql: &str) -> String {
    read(&SessionContext::new(), sql, &QueryLimits::default(), Viewer::Everything).unwrap().to_string()
}

#[test]
fn forms_of_sql_are_read_as_they_are_meant() {
    for (sql, expected) in [
        ("FROM datanets", "SELECT * FROM datanets"),
        ("SELECT * FROM (FROM datanets)", "SELECT * FROM (SELECT * FROM datanets)"),
        (
            "WITH RECURSIVE t(n, m) AS (SELECT 1, 2 AS x UNION ALL SELECT n + 1, m FROM t WHERE n < 5) SELECT * FROM t",
            "WITH RECURSIVE t (n, m) AS (SELECT 1 AS n, 2 AS m UNION ALL SELECT n + 1, m FROM t WHERE n < 5) SELECT * FROM t",
        ),
        ("WITH t(n) AS (SELECT 1) SELECT n FROM t", "WITH t (n) AS (SELECT 1) SELECT n FROM t"),
    ] {
        assert_eq!(rewritten(sql), expected);
    }
}
