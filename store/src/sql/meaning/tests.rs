//! Digits beside numbers, hexadecimal text in every case, and decimals beside floats, in every place of a query.

use schemas::alloy_primitives::I256;
use schemas::arrow::util::display::array_value_to_string;
use schemas::tables::DatanetRow;
use schemas::{B256, U256};

use crate::Store;
use crate::sql::QueryLimits;
use crate::sql::events::tests::{abi, event, store, word};
use crate::tests::datanet;

/// An address as wallets show it.
const MIXED: &str = "0x52908400098527886E0F7030069857D2E4169EE7";
const NOTE: &str = "0xABCDEF";

/// Every cell of the result, rows after each other.
async fn ask(store: &Store, query: &str) -> Result<Vec<String>, String> {
    let result = store.query(query, &QueryLimits::default(), None).await.map_err(|error| error.to_string())?;
    let mut cells = Vec::new();
    for batch in result.batches {
        for row in 0..batch.num_rows() {
            cells.extend(batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap()));
        }
    }
    Ok(cells)
}

async fn check(store: &Store, cases: &[(&str, &[&str])]) {
    let mut wrong = Vec::new();
    for (query, expected) in cases {
        let found = ask(store, query).await;
        if found.as_ref().map(|found| found.iter().map(String::as_str).collect::<Vec<_>>()) != Ok(expected.to_vec()) {
            wrong.push(format!("{query}\n  {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `c_e`: five rows whose `value` and `change` have 256 bits.
async fn numbers() -> Store {
    let inputs = [
        ("owner", "address", true),
        ("value", "uint256", false),
        ("change", "int256", false),
        ("n", "uint64", false),
        ("id", "bytes32", false),
        ("raw", "bytes", false),
        ("note", "string", false),
    ];
    let abi = abi(&[event("E", &inputs)]);
    let half = U256::ONE << 255_usize;
    let rows = [(U256::from(9), -9, 9), (U256::from(10), -10, 10), (U256::from(1000), 5, 1000), (half, -1, 0), (U256::MAX, 0, 1)];
    let text = |text: &[u8]| [&word(U256::from(text.len())).0, &B256::right_padding_from(text).0].map(|word| word.to_vec()).concat();
    let logs = rows.map(|(value, change, n)| {
        let change = if value == half { I256::MIN } else { I256::try_from(change).unwrap() };
        let head = [word(value), word(change.into_raw()), word(U256::from(n)), B256::repeat_byte(0xab), word(U256::from(192))];
        let data = [head.map(|word| word.to_vec()).concat(), word(U256::from(256)).to_vec(), text(&[0xab, 0xcd]), text(NOTE.as_bytes())];
        let owner = MIXED.parse::<schemas::Address>().unwrap().into_word();
        (vec![abi.events()[0].topic0(), owner], data.concat())
    });
    store(&abi, &logs).await
}

/// Each condition and the rows that it holds for.
#[tokio::test]
async fn digits_compare_as_numbers() {
    let store = numbers().await;
    let most = U256::MAX;
    let cases = [
        ("value > 999", "2 3 4"),
        ("1000 < value", "3 4"),
        ("value >= '1000'", "2 3 4"),
        ("value < 10", "0"),
        ("value <= 10.5", "0 1"),
        ("value = 1000", "2"),
        ("value = '01000'", "2"),
        ("value = 1000.0 AND value = 1e3", "2"),
        ("value = 999.5", ""),
        ("value <> 1000", "0 1 3 4"),
        ("value IS DISTINCT FROM 9", "1 2 3 4"),
        ("value IS NOT DISTINCT FROM 9", "0"),
        ("value = NULL OR value > NULL", ""),
        ("value IN (9, 10)", "0 1"),
        ("value IN ('9', 1e1, 0.5)", "0 1"),
        ("value NOT IN (9, '010')", "2 3 4"),
        ("10 IN (value, n)", "1"),
        ("value BETWEEN 10 AND 1000", "1 2"),
        ("value NOT BETWEEN '10' AND 1e3", "0 3 4"),
        ("500 BETWEEN n AND value", "3 4"),
        ("change < 0", "0 1 3"),
        ("change < -9", "1 3"),
        ("change > -9.5", "0 2 4"),
        ("change > -CAST('10' AS DECIMAL(30, 0))", "0 2 4"),
        ("value > change", "0 1 2 3 4"),
        ("value > n", "3 4"),
        ("value = n", "0 1 2"),
        ("value = value_decimal", "0 1 2"),
        ("value >= CAST('999.99' AS DECIMAL(30, 2))", "2 3 4"),
        ("value > 1e18", "3 4"),
        ("value > CAST(n AS DOUBLE) + 0.5", "3 4"),
        ("value > CAST(n - 1 AS VARCHAR)", "0 1 2 3 4"),
        ("CASE value WHEN 1000 THEN true WHEN '9' THEN true ELSE false END", "0 2"),
        ("CASE n WHEN value THEN true END", "0 1 2"),
        ("CASE WHEN n > 9 THEN value ELSE 0 END > 9", "1 2"),
        ("nullif(value, 10) IS NULL", "1"),
        ("coalesce(nullif(value, 10), 3) < 9", "1"),
        ("greatest(value, 500) = 500", "0 1"),
        ("least(value, n, 11) > 9", "1 2"),
        ("value IN (SELECT n FROM c_e)", "0 1 2"),
        ("value NOT IN (SELECT n FROM c_e)", "3 4"),
        ("n IN (SELECT value FROM c_e WHERE value < 1000)", "0 1"),
        ("value IN (SELECT value FROM c_e WHERE value < 1000)", "0 1"),
        ("value > (SELECT min(value) FROM c_e WHERE value > 10)", "3 4"),
        ("value = (SELECT max(value) FROM c_e)", "4"),
        ("(SELECT max(value) FROM c_e b WHERE b.note = a.note) > value", "0 1 2 3"),
        ("EXISTS (SELECT 1 FROM c_e b WHERE b.value < a.value AND b.change < a.change)", "2 4"),
        ("a.value > (SELECT sum(n) FROM c_e b WHERE b.n < 10)", "2 3 4"),
        ("value LIKE '10%'", "1 2"),
    ];
    let mut wrong = Vec::new();
    for (condition, expected) in cases {
        let found = ask(&store, &format!("SELECT log_index FROM c_e a WHERE {condition} ORDER BY log_index")).await;
        if found.as_ref().map(|found| found.join(" ")) != Ok(expected.to_owned()) {
            wrong.push(format!("{condition}: {found:?} instead of {expected}"));
        }
    }
    for condition in [format!("value = '{most}'"), format!("value > '{}'", most - U256::from(1)), format!("value IN ('{most}')")] {
        let found = ask(&store, &format!("SELECT log_index FROM c_e WHERE {condition}")).await;
        if found != Ok(vec!["4".to_owned()]) {
            wrong.push(format!("{condition}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn digits_sort_as_numbers() {
    let store = numbers().await;
    let (half, most, least) = ((U256::ONE << 255_usize).to_string(), U256::MAX.to_string(), I256::MIN.to_string());
    let (half, most, least) = (half.as_str(), most.as_str(), least.as_str());
    let (all, down) = (["9", "10", "1000", half, most], [most, half, "1000", "10", "9"]);
    check(
        &store,
        &[
            ("SELECT value FROM c_e ORDER BY value", &all),
            ("SELECT value AS v FROM c_e ORDER BY v DESC", &down),
            ("SELECT value FROM c_e ORDER BY 1 DESC LIMIT 2", &[most, half]),
            ("SELECT log_index FROM c_e ORDER BY value DESC", &["4", "3", "2", "1", "0"]),
            ("SELECT change FROM c_e ORDER BY change", &[least, "-10", "-9", "0", "5"]),
            ("SELECT v FROM (SELECT value AS v, log_index FROM c_e LIMIT 10) AS s ORDER BY v", &all),
            ("WITH c AS (SELECT value AS v FROM c_e) SELECT v FROM c ORDER BY v DESC", &down),
            ("SELECT DISTINCT value FROM c_e ORDER BY value", &all),
            ("SELECT DISTINCT ON (value) value FROM c_e ORDER BY value, n", &all),
            ("SELECT value, count(*) FROM c_e GROUP BY value ORDER BY value LIMIT 1", &["9", "1"]),
            ("SELECT value FROM c_e WHERE n < 10 UNION ALL SELECT change FROM c_e WHERE n = 9 ORDER BY value", &["-9", "9", half, most]),
            ("SELECT max(value), min(value), max(change), min(change) FROM c_e", &[most, "9", "5", least]),
            ("SELECT max(DISTINCT value) AS m, count(DISTINCT value) FROM c_e", &[most, "5"]),
            ("SELECT max(value) FROM c_e WHERE n > 5000", &[""]),
            ("SELECT n > 8, max(value) FROM c_e GROUP BY 1 ORDER BY 2", &["true", "1000", "false", most]),
            ("SELECT n > 8 FROM c_e GROUP BY 1 HAVING max(value) > 1000", &["false"]),
            ("SELECT max(v) FROM (SELECT min(value) AS v FROM c_e GROUP BY n > 8)", &[half]),
            ("SELECT max(value) FILTER (WHERE n > 8), min(greatest(value, 100)) FROM c_e", &["1000", "100"]),
            ("SELECT max(CASE WHEN n > 8 THEN value END), max(coalesce(value, '0')) FROM c_e", &["1000", most]),
            (
                "SELECT max(value) OVER (ORDER BY log_index ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM c_e ORDER BY log_index DESC LIMIT 2",
                &[most, half],
            ),
            (
                "SELECT min(value) OVER (ORDER BY log_index ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM c_e ORDER BY log_index",
                &["9", "9", "10", "1000", half],
            ),
            ("SELECT row_number() OVER (ORDER BY value DESC) FROM c_e ORDER BY log_index", &["5", "4", "3", "2", "1"]),
            ("SELECT count(*) OVER (ORDER BY value) FROM c_e ORDER BY log_index", &["1", "2", "3", "4", "5"]),
            ("SELECT lag(value) OVER (ORDER BY value) FROM c_e ORDER BY value DESC LIMIT 1", &[half]),
            ("SELECT first_value(value ORDER BY value DESC), last_value(n ORDER BY value) FROM c_e", &[most, "1"]),
            ("SELECT array_to_string(array_agg(n ORDER BY value DESC), ' ') FROM c_e", &["1 0 1000 10 9"]),
            ("SELECT string_agg(value, ' ' ORDER BY value) FROM c_e WHERE n > 8", &["9 10 1000"]),
            ("SELECT a.n FROM c_e a JOIN c_e b ON a.value = b.n ORDER BY a.value", &["9", "10", "1000"]),
            ("SELECT count(*) FROM c_e a JOIN (SELECT n AS value FROM c_e) b USING (value)", &["3"]),
            ("SELECT count(*) FROM c_e a JOIN c_e b ON a.value < b.value", &["10"]),
            ("SELECT b.v FROM c_e a, LATERAL (SELECT max(value) AS v FROM c_e c WHERE c.note = a.note) b ORDER BY b.v DESC LIMIT 1", &[most]),
            ("SELECT value FROM c_e INTERSECT SELECT value FROM c_e WHERE value > 1000 ORDER BY value DESC", &[most, half]),
            ("SELECT value FROM (SELECT value, rank() OVER (ORDER BY value DESC) AS r FROM c_e) WHERE r <= 2 ORDER BY r", &[most, half]),
            ("SELECT max(value) AS value FROM c_e GROUP BY GROUPING SETS ((), (n)) ORDER BY value DESC LIMIT 2", &[most, most]),
        ],
    )
    .await;
}

/// What is not right as digits is an error that says what is.
#[tokio::test]
async fn what_digits_cannot_is_refused() {
    let store = numbers().await;
    let mut wrong = Vec::new();
    for (query, words) in [
        ("SELECT sum(value) FROM c_e", "NAME_decimal"),
        ("SELECT avg(value) FROM c_e", "NAME_decimal"),
        ("SELECT stddev(value) FROM c_e", "NAME_decimal"),
        ("SELECT median(value) FROM c_e", "NAME_decimal"),
        ("SELECT approx_percentile_cont(value, 0.5) FROM c_e", "NAME_decimal"),
        ("SELECT sum(value) OVER (ORDER BY n) FROM c_e", "NAME_decimal"),
        ("SELECT value + 1 FROM c_e", "NAME_decimal"),
        ("SELECT value / 1e18 FROM c_e", "NAME_decimal"),
        ("SELECT value * value FROM c_e", "NAME_decimal"),
        ("SELECT array_agg(DISTINCT value ORDER BY value) FROM c_e", "NAME_decimal"),
        ("SELECT greatest(value, 1e0 * n) FROM c_e", "NAME_decimal"),
        ("SELECT count(*) OVER (ORDER BY value RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM c_e", "NAME_decimal"),
        ("SELECT 1 FROM c_e WHERE value = 'abc'", "none in decimal digits"),
        ("SELECT 1 FROM c_e WHERE value = '0x10'", "none in decimal digits"),
        ("SELECT 1 FROM c_e WHERE value > '1e18'", "none in decimal digits"),
        ("SELECT 1 FROM c_e WHERE value > note", "no number in decimal digits"),
        ("SELECT 1 FROM c_e WHERE value = 115792089237316195423570985008687907853269984665640564039457584007913129639935", "in quotes"),
    ] {
        let found = ask(&store, query).await;
        if !found.as_ref().is_err_and(|error| error.contains(words) && !error.contains("a bug in DataFusion")) {
            wrong.push(format!("{query}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each condition holds for all five rows.
#[tokio::test]
async fn hexadecimal_text_is_found_in_any_case() {
    let store = numbers().await;
    let upper = format!("0X{}", &MIXED[2..].to_uppercase());
    let id = format!("0x{}", "AB".repeat(32));
    for condition in [
        format!("owner = '{MIXED}'"),
        format!("'{upper}' = owner"),
        format!("owner IN ('{MIXED}', '0x00')"),
        format!("'{MIXED}' IN (id, owner)"),
        format!("NOT owner <> '{MIXED}' AND owner NOT IN ('0xAB')"),
        format!("owner IS NOT DISTINCT FROM '{upper}'"),
        format!("CASE owner WHEN '{MIXED}' THEN true END"),
        format!("nullif(owner, '{MIXED}') IS NULL"),
        format!("id = '{id}' AND raw = '0xABCD'"),
        format!("lower(owner) = '{MIXED}' AND coalesce(owner, '') = '{MIXED}'"),
        format!("owner IN (SELECT column1 FROM (VALUES ('{MIXED}')))"),
        format!("owner = (SELECT max(owner) FROM c_e WHERE owner = '{MIXED}')"),
        format!("EXISTS (SELECT 1 FROM (VALUES ('{MIXED}')) w(a) WHERE w.a = c_e.owner)"),
        format!("note = '{NOTE}' AND note <> lower('{NOTE}') AND note || '' = '{NOTE}'"),
        format!("note IN ('{NOTE}') AND note NOT IN ('0xabcdef')"),
    ] {
        let found = ask(&store, &format!("SELECT count(*) FROM c_e WHERE {condition}")).await;
        assert_eq!(found, Ok(vec!["5".to_owned()]), "{condition}");
    }
    for query in [
        format!("WITH w(who, name) AS (VALUES ('{MIXED}', 'a')) SELECT count(*) FROM c_e JOIN w ON owner = who"),
        format!("SELECT count(*) FROM c_e LEFT JOIN (VALUES ('{MIXED}')) w(owner) USING (owner) WHERE w.owner IS NOT NULL"),
        format!(
            "SELECT count(*) FROM (SELECT owner AS o FROM c_e UNION ALL SELECT owner FROM c_e WHERE n > 5000) AS s WHERE o = '{MIXED}'"
        ),
        format!("SELECT count(*) FROM logs WHERE topic1 = '0x000000000000000000000000{}'", &MIXED[2..]),
        format!("SELECT count(*) FROM logs WHERE address = '0xC0{}' AND topic0 = upper(topic0)", "c0".repeat(19)),
    ] {
        assert_eq!(ask(&store, &query).await, Ok(vec!["5".to_owned()]), "{query}");
    }
}

#[tokio::test]
async fn ids_and_addresses_of_our_own_tables_are_found_in_any_case() {
    let store = Store::in_memory().await.unwrap();
    let (owner, curator) = (MIXED, "0xde0B295669a9FD93d5F28D9Ec85E40f4cb697BAe");
    let row = DatanetRow { owner: owner.parse().unwrap(), curators: vec![curator.parse().unwrap()], ..datanet("bees") };
    let id = row.datanet_id.to_string().to_uppercase();
    store.insert_new(&[row]).await.unwrap();
    for condition in [
        format!("datanet_id = '{id}'"),
        format!("owner IN ('{owner}')"),
        format!("array_has(curators, '{curator}')"),
        format!("'{curator}' = ANY(curators)"),
        format!("curators[1] = '{curator}'"),
        "name = 'bees' AND name <> 'BEES' AND title <> upper(title)".to_owned(),
        format!("datanet_id IN (SELECT datanet_id FROM current_curators WHERE curator = '{curator}')"),
    ] {
        let found = ask(&store, &format!("SELECT count(*) FROM datanets WHERE {condition}")).await;
        assert_eq!(found, Ok(vec!["1".to_owned()]), "{condition}");
    }
    // A recursive query's columns are its own, whatever they are called.
    let recursive = "WITH RECURSIVE r(owner, n) AS (SELECT '0xAB', 1 UNION ALL SELECT owner, n + 1 FROM r WHERE n < 3 AND owner = '0xAB') \
                     SELECT owner, n FROM r ORDER BY n DESC LIMIT 1";
    assert_eq!(ask(&store, recursive).await, Ok(vec!["0xAB".to_owned(), "3".to_owned()]));
}

#[tokio::test]
async fn decimals_compare_with_floats_and_are_divided() {
    let store = numbers().await;
    let wei = "CAST('1234567890123456789' AS DECIMAL(76, 0))";
    let large = format!("CAST('{}' AS DECIMAL(76, 0))", "9".repeat(76));
    let cases: Vec<(String, &str)> = vec![
        ("SELECT count(*) FROM c_e WHERE value_decimal > 1e2 OR 1e2 < value_decimal".into(), "1"),
        ("SELECT count(*) FROM c_e WHERE value_decimal BETWEEN 9.5 AND 1e3".into(), "2"),
        ("SELECT count(*) FROM c_e WHERE value_decimal IN (9.0, 1e1, 0.5)".into(), "2"),
        (format!("SELECT {large} > 1e18"), "true"),
        (format!("SELECT {large} > 1.5"), "true"),
        (format!("SELECT {large} = 1e300"), "false"),
        (format!("SELECT {large} BETWEEN -1e18 AND 1e76"), "true"),
        (format!("SELECT {large} IN (1e18, 2.5)"), "false"),
        ("SELECT CAST('1000000000000000001' AS DECIMAL(38, 0)) > 1e18".into(), "true"),
        ("SELECT CAST('0.29' AS DECIMAL(10, 2)) = 0.29".into(), "true"),
        (format!("SELECT {wei} / 1000000000000000000"), "1.234567890123456789"),
        (format!("SELECT 1000 / CAST('1000000000000000000' AS DECIMAL(38, 0))"), "0.000000000000001000"),
        (format!("SELECT -{wei} / 7"), "-176366841446208112.714285714285714285"),
        (
            format!("SELECT {wei} / CAST('0.000000000000000001' AS DECIMAL(76, 18))"),
            "1234567890123456789000000000000000000.000000000000000000",
        ),
        (format!("SELECT {wei} / 3 / 3 * 9 - {wei} < 1"), "true"),
        ("SELECT sum(x / 2) FROM (VALUES (CAST(1 AS DECIMAL(38, 0))), (CAST(2 AS DECIMAL(38, 0)))) t(x)".into(), "1.500000000000000000"),
        ("SELECT x FROM (VALUES (CAST(1 AS DECIMAL(10, 0)) / 8)) t(x)".into(), "0.125000000000000000"),
        ("SELECT CASE WHEN true THEN CAST(1 AS DECIMAL(10, 0)) / 8 ELSE 0 END".into(), "0.125000000000000000"),
        ("SELECT CAST(1 AS DECIMAL(10, 0)) / 8 UNION SELECT CAST('0.125' AS DECIMAL(10, 3))".into(), "0.125000000000000000"),
        ("SELECT x / 3 * x + x - x % 2 FROM (VALUES (CAST(3 AS DECIMAL(38, 0)))) t(x)".into(), "5.000000000000000000"),
        ("SELECT x / 4 / 4 / 4 / 4 * x / 4 > x FROM (VALUES (CAST(3 AS DECIMAL(38, 0)))) t(x)".into(), "false"),
        ("SELECT CAST(NULL AS DECIMAL(10, 0)) / 8".into(), ""),
        ("SELECT CAST(1 AS DECIMAL(10, 0)) / 4e0".into(), "0.25"),
        ("SELECT 7 / 2".into(), "3"),
    ];
    let mut wrong = Vec::new();
    for (query, expected) in cases {
        let found = ask(&store, &query).await;
        if found != Ok(vec![expected.to_owned()]) {
            wrong.push(format!("{query}\n  {found:?} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for query in [format!("SELECT {large} / 10"), format!("SELECT {wei} / 0"), format!("SELECT {wei} / CAST('0.0' AS DECIMAL(10, 1))")] {
        assert!(ask(&store, &query).await.is_err(), "{query}");
    }
}
