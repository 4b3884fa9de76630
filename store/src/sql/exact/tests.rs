//! Arithmetic in SQL beside big integers.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use num_bigint::BigInt;
use proptest::prelude::*;
use schemas::arrow::array::{ArrayRef, Decimal128Array, Decimal256Array, Int64Array, RecordBatch};
use schemas::arrow::datatypes::i256;
use schemas::arrow::util::display::array_value_to_string;

use crate::sql::{QueryLimits, STACK_BYTES, session};

/// Columns of one batch each as table `t`, the rows spread over two partitions; every cell of the first row as text.
fn first_row(columns: Vec<(&str, ArrayRef)>, sql: &str) -> Result<Vec<String>, String> {
    let context = session::bare(&QueryLimits::default()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let half = batch.num_rows() / 2;
    let parts = vec![vec![batch.slice(0, half)], vec![batch.slice(half, batch.num_rows() - half)]];
    context.register_table("t", Arc::new(MemTable::try_new(batch.schema(), parts).unwrap())).unwrap();
    ask(context, sql)
}

fn ask(context: SessionContext, sql: &str) -> Result<Vec<String>, String> {
    let sql = sql.to_owned();
    let asking = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let asked = async { context.sql(&sql).await?.collect().await };
        let batches = runtime.block_on(asked).map_err(|error| error.strip_backtrace())?;
        let batch = batches.iter().find(|batch| batch.num_rows() > 0).ok_or("no row")?;
        Ok(batch.columns().iter().map(|column| array_value_to_string(column, 0).unwrap()).collect())
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(asking).unwrap().join().unwrap()
}

fn constant(sql: &str) -> Result<String, String> {
    ask(session::bare(&QueryLimits::default()).unwrap(), sql).map(|row| row[0].clone())
}

/// The right number, or an error where it has no place.
fn check(found: Result<String, String>, right: &BigInt, limit: &BigInt) -> Result<(), TestCaseError> {
    match found {
        Ok(text) => prop_assert_eq!(text, right.to_string()),
        Err(error) => prop_assert!(right >= limit || -right >= *limit, "{error} instead of {right}"),
    }
    Ok(())
}

/// Numbers at the ends of their type as often as any.
fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -9_i64..9, Just(i64::MAX), Just(i64::MIN), Just(i64::MAX - 1)]
}

/// Up to 38 digits.
fn decimal() -> impl Strategy<Value = i128> {
    let most = 10_i128.pow(38) - 1;
    prop_oneof![-most..=most, -9_i128..9, Just(most), Just(-most), Just(10_i128.pow(37))]
}

fn int64(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn decimal128(values: &[i128]) -> ArrayRef {
    Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(38, 0).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_of_integers_are_right_or_an_error(values in proptest::collection::vec(integer(), 1..12)) {
        let limit: BigInt = BigInt::from(i64::MAX) + 1;
        let total: BigInt = values.iter().map(|value| BigInt::from(*value)).sum();
        let different: std::collections::BTreeSet<i64> = values.iter().copied().collect();
        let of_different: BigInt = different.iter().map(|value| BigInt::from(*value)).sum();
        for (sql, right) in [
            ("SELECT sum(x) FROM t", &total),
            ("SELECT sum(x) FROM t GROUP BY x IS NULL", &total),
            ("SELECT sum(x) OVER () FROM t", &total),
            ("SELECT sum(DISTINCT x) FROM t", &of_different),
        ] {
            let found = first_row(vec![("x", int64(&values))], sql).map(|row| row[0].clone());
            check(found, right, &limit)?;
        }
    }

    #[test]
    fn sums_of_decimals_keep_every_digit(values in proptest::collection::vec(decimal(), 1..12)) {
        let total: BigInt = values.iter().map(|value| BigInt::from(*value)).sum();
        let different: std::collections::BTreeSet<i128> = values.iter().copied().collect();
        let of_different: BigInt = different.iter().map(|value| BigInt::from(*value)).sum();
        for (sql, right) in [
            ("SELECT sum(x) FROM t", &total),
            ("SELECT sum(x) FROM t GROUP BY x IS NULL", &total),
            ("SELECT sum(x) OVER () FROM t", &total),
            ("SELECT sum(DISTINCT x) FROM t", &of_different),
            ("SELECT sum(CAST(x AS DECIMAL(76, 0))) FROM t", &total),
        ] {
            let row = first_row(vec![("x", decimal128(&values))], sql);
            prop_assert_eq!(row.map(|row| row[0].clone()), Ok(right.to_string()), "{}", sql);
        }
        let mean = first_row(vec![("x", decimal128(&values))], "SELECT avg(x) FROM t").unwrap().remove(0);
        let count = BigInt::from(values.len());
        let half = if total < BigInt::from(0) { -&count } else { count.clone() };
        let expected: BigInt = (total * BigInt::from(10).pow(16) * 2 + half) / (count * 2);
        prop_assert_eq!(mean.replace('.', "").parse::<BigInt>().unwrap(), expected);
    }

    #[test]
    fn sliding_sums_are_right_or_an_error(values in proptest::collection::vec(decimal(), 3..12)) {
        let ids: Vec<i64> = (0..values.len() as i64).collect();
        let sql = "SELECT s FROM (SELECT i, sum(x) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t) ORDER BY i DESC LIMIT 1";
        let row = first_row(vec![("i", int64(&ids)), ("x", decimal128(&values))], sql);
        let last: BigInt = values[values.len() - 2..].iter().map(|value| BigInt::from(*value)).sum();
        prop_assert_eq!(row, Ok(vec![last.to_string()]));
    }

    #[test]
    fn operators_on_integers_are_right_or_an_error(left in integer(), right in integer()) {
        let limit: BigInt = BigInt::from(i64::MAX) + 1;
        let (a, b) = (BigInt::from(left), BigInt::from(right));
        for (sql, expected) in [("a + b", &a + &b), ("a - b", &a - &b), ("a * b", &a * &b), ("-a", -&a), ("a + b * 2 - b", &a + &b * 2 - &b)] {
            let columns = vec![("a", int64(&[left])), ("b", int64(&[right]))];
            let found = first_row(columns, &format!("SELECT {sql} FROM t")).map(|row| row[0].clone());
            // Steps between may have no place although the result has.
            let limit = if sql.contains('2') { BigInt::from(0) } else { limit.clone() };
            check(found, &expected, &limit)?;
        }
    }

    #[test]
    fn operators_on_decimals_are_right_or_an_error(left in decimal(), right in decimal()) {
        let limit = BigInt::from(10).pow(38);
        let (a, b) = (BigInt::from(left), BigInt::from(right));
        for (sql, expected) in [("a + b", &a + &b), ("a - b", &a - &b), ("a * b", &a * &b), ("-a", -&a)] {
            let columns = vec![("a", decimal128(&[left])), ("b", decimal128(&[right]))];
            let found = first_row(columns, &format!("SELECT {sql} FROM t")).map(|row| row[0].clone());
            check(found, &expected, &limit)?;
        }
    }
}

#[test]
fn decimals_of_256_bits_do_not_wrap() {
    let most = i256::from_string(&"9".repeat(76)).unwrap();
    let column = |values: Vec<i256>| -> ArrayRef { Arc::new(Decimal256Array::from(values).with_precision_and_scale(76, 0).unwrap()) };
    for (sql, values) in [
        ("SELECT sum(x) FROM t", vec![most, i256::ONE]),
        ("SELECT sum(x) FROM t", vec![most; 10]),
        ("SELECT x + 1 FROM t", vec![most]),
        ("SELECT x * 10 FROM t", vec![most]),
        ("SELECT -x - 1 FROM t", vec![most]),
    ] {
        assert!(first_row(vec![("x", column(values))], sql).is_err(), "{sql}");
    }
    let sum = first_row(vec![("x", column(vec![most, most.wrapping_neg(), i256::ONE]))], "SELECT sum(x) FROM t");
    assert_eq!(sum, Ok(vec!["1".to_owned()]), "what leaves the type between may come back");
}

#[test]
fn the_reported_cases_are_right_or_an_error() {
    let most = "9".repeat(38);
    let two = format!("SELECT sum(x) FROM (VALUES (CAST('{most}' AS DECIMAL(38,0))), (CAST('{most}' AS DECIMAL(38,0)))) t(x)");
    assert_eq!(constant(&two).as_deref(), Ok("199999999999999999999999999999999999998"));
    let plus = constant(&format!("SELECT CAST('{most}' AS DECIMAL(38,0)) + CAST(1 AS DECIMAL(38,0))"));
    assert!(plus.is_err(), "{plus:?}");
    for sql in [
        "SELECT sum(x) FROM (VALUES (9223372036854775807),(1)) t(x)",
        "SELECT x + 1 FROM (VALUES (9223372036854775807)) t(x)",
        "SELECT x * 2 FROM (VALUES (9223372036854775807)) t(x)",
        "SELECT 9223372036854775807 + 1",
        "SELECT -x FROM (VALUES (-9223372036854775808)) t(x)",
        "SELECT x - 1 FROM (VALUES (-9223372036854775808)) t(x)",
        "SELECT CAST(300 AS TINYINT)",
        "SELECT CAST(9223372036854775807 AS INT)",
        "SELECT CAST(-1 AS BIGINT UNSIGNED)",
        "SELECT CAST(1000 AS DECIMAL(3,0))",
        "SELECT CAST(1e30 AS BIGINT)",
        "SELECT 1 << 70",
        "SELECT 1 >> 64",
        "SELECT CAST(100 AS TINYINT) + CAST(100 AS TINYINT)",
        "SELECT 5 / 0",
    ] {
        assert!(constant(sql).is_err(), "{sql}: {:?}", constant(sql));
    }
    for (sql, right) in [
        ("SELECT sum(x) FROM (VALUES (9223372036854775807),(1),(-1)) t(x)", "9223372036854775807"),
        ("SELECT sum(x) FROM (VALUES (1.5),(2.25)) t(x)", "3.75"),
        ("SELECT avg(x) FROM (VALUES (1),(2)) t(x)", "1.5000000000000000"),
        ("SELECT avg(x) FROM (VALUES (2),(2),(1)) t(x)", "1.6666666666666667"),
        ("SELECT avg(x) FROM (VALUES (-2),(-2),(-1)) t(x)", "-1.6666666666666667"),
        ("SELECT avg(CASE WHEN x = 1 THEN 1 ELSE 0 END) FROM (VALUES (1),(2),(3)) t(x)", "0.3333333333333333"),
        ("SELECT round(x, 1), floor(x), ceil(x) FROM (VALUES (CAST('2.25' AS DECIMAL(38,2)))) t(x)", "2.3"),
        ("SELECT abs(x) FROM (VALUES (-9223372036854775807)) t(x)", "9223372036854775807"),
        ("SELECT sqrt(x) FROM (VALUES (2.25)) t(x)", "1.5"),
        ("SELECT avg(x) FROM (VALUES (9007199254740993),(9007199254740993)) t(x)", "9007199254740993.0000000000000000"),
        ("SELECT -9223372036854775808", "-9223372036854775808"),
        ("SELECT sum(CAST(x AS DECIMAL(10,2))) FROM (VALUES (1.25),(2.5)) t(x)", "3.75"),
        ("SELECT sum(x) FROM (VALUES (CAST(NULL AS BIGINT))) t(x)", ""),
        ("SELECT 7 % 4 + 7 / 4", "4"),
        ("SELECT 'a' || 'b' || 1", "ab1"),
        ("SELECT CASE WHEN x = 0 THEN 0 ELSE 10 / x END FROM (VALUES (0)) t(x)", "0"),
    ] {
        assert_eq!(constant(sql).as_deref(), Ok(right), "{sql}");
    }
}

#[test]
fn columns_are_named_as_they_were_written() {
    let context = session::bare(&QueryLimits::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let names = |sql: &str| {
        let planned = async { context.state().create_logical_plan(sql).await.and_then(|plan| context.state().optimize(&plan)) };
        let plan = runtime.block_on(planned).unwrap();
        plan.schema().field_names()
    };
    assert_eq!(
        names("SELECT 1 + 1, sum(x + 1), -max(x) FROM (VALUES (1)) t(x)"),
        ["Int64(1) + Int64(1)", "sum(t.x + Int64(1))", "(- max(t.x))"]
    );
}
