//! Views of contracts that others wrote: their names in every place of a query, and values of every kind.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;
use datafusion::sql::sqlparser::parser::Parser;
use schemas::alloy_primitives::{Bytes, I256};
use schemas::arrow::array::RecordBatch;
use schemas::arrow::util::pretty::pretty_format_batches;
use schemas::events::{Abi, Emitter, contract_tables};
use schemas::tables::{BlockRow, LogRow, Raw};
use schemas::{Address, B256, U256};

use crate::sql::QueryLimits;
use crate::{Hot, Store};

pub(in crate::sql) const AT: Address = Address::repeat_byte(0xc0);

/// A parameter: name, type, whether it is indexed.
pub(in crate::sql) type Input<'a> = (&'a str, &'a str, bool);

pub(in crate::sql) fn event(name: &str, inputs: &[Input<'_>]) -> String {
    let inputs = inputs.iter().map(|(name, ty, indexed)| format!(r#"{{"name":"{name}","type":"{ty}","indexed":{indexed}}}"#));
    format!(r#"{{"type":"event","name":"{name}","inputs":[{}]}}"#, inputs.collect::<Vec<_>>().join(","))
}

pub(in crate::sql) fn abi(events: &[String]) -> Abi {
    Abi::parse(&format!("[{}]", events.join(","))).unwrap()
}

fn block() -> BlockRow {
    let hash = B256::repeat_byte(1);
    BlockRow { number: 1, hash, parent_hash: None, timestamp: 1, log_count: 0, verified: 0, digest: B256::ZERO }
}

/// A store that follows the ABI, and has these logs: their topics and the words of their data.
pub(in crate::sql) async fn store(abi: &Abi, logs: &[(Vec<B256>, Vec<u8>)]) -> Store {
    let store = Store::in_memory().await.unwrap();
    store.set_event_tables(contract_tables("c", abi, Emitter::Contract(AT), &Default::default()));
    let rows: Vec<LogRow> = logs
        .iter()
        .zip(0..)
        .map(|((topics, data), log_index)| {
            let topic = |index: usize| topics.get(index).copied().map(Raw);
            LogRow {
                block_number: 1,
                block_hash: Raw(block().hash),
                block_timestamp: 1,
                transaction_hash: Raw(B256::ZERO),
                transaction_index: 0,
                log_index,
                address: Raw(AT),
                topic0: topic(0),
                topic1: topic(1),
                topic2: topic(2),
                topic3: topic(3),
                data: Bytes::from(data.clone()),
            }
        })
        .collect();
    store.set_hot(Hot { blocks: vec![block()], logs: vec![rows.into()], ..Hot::default() });
    store
}

async fn rows(store: &Store, query: &str) -> Vec<RecordBatch> {
    store.query(query, &QueryLimits::default(), None).await.unwrap_or_else(|error| panic!("{query}: {error}")).batches
}

async fn text(store: &Store, query: &str) -> String {
    pretty_format_batches(&rows(store, query).await).unwrap().to_string()
}

pub(in crate::sql) fn word(value: impl Into<U256>) -> B256 {
    value.into().into()
}

/// Places where a column can stand. `{w}` is the column, of table `t`.
const PLACES: &[&str] = &[
    "SELECT {w} FROM t",
    "SELECT x, {w} FROM t",
    "SELECT {w}, x FROM t",
    "SELECT t.{w} FROM t",
    "SELECT {w} AS y, x AS {w} FROM t",
    "SELECT DISTINCT {w} FROM t",
    "SELECT DISTINCT ON ({w}) {w} FROM t",
    "SELECT ALL {w} FROM t",
    "SELECT -{w} + {w} * 2 - {w} / 3 % {w}, ({w}), (({w}) + 1) FROM t",
    "SELECT {w} || 'a', 'a' || {w}, {w}::BIGINT, CAST({w} AS BIGINT), TRY_CAST({w} AS BIGINT) FROM t",
    "SELECT {w} = 1, 1 = {w}, {w} <> {w}, {w} < 1, {w} >= {w}, NOT {w} = 1 FROM t",
    "SELECT {w} IS NULL, {w} IS NOT NULL, {w} IS DISTINCT FROM {w}, {w} IN ({w}, 1), {w} NOT IN (1) FROM t",
    "SELECT {w} BETWEEN {w} AND {w}, {w} LIKE {w}, {w} AND {w} OR {w} FROM t",
    "SELECT CASE {w} WHEN {w} THEN {w} ELSE {w} END, CASE WHEN {w} = 1 THEN 1 END FROM t",
    "SELECT sum({w}), count(DISTINCT {w}), coalesce({w}, {w}), max({w}) FILTER (WHERE {w} = 1) FROM t",
    "SELECT sum({w}) OVER (PARTITION BY {w} ORDER BY {w} DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT array_agg({w} ORDER BY {w}), [{w}, {w}], {w} FROM t",
    "SELECT extract(year FROM {w}), substring({w} FROM 1 FOR 2), trim({w}), position({w} IN {w}) FROM t",
    "SELECT {w}[1], {w} -> 'a', {w} AT TIME ZONE 'UTC', {w} ILIKE 'a', {w} SIMILAR TO 'a', {w} ~ 'a', {w} IS TRUE FROM t",
    "SELECT CASE WHEN x = 1 THEN 2 ELSE {w} END, x + {w}, x - {w}, x = {w}, x AND {w}, x BETWEEN 1 AND {w}, x IN ({w}) FROM t",
    "SELECT max({w}) AS {w}, count(x, {w}), count({w}, x), x = ANY([{w}]), nullif(x, {w}), concat({w}, {w}) FROM t",
    "SELECT sum(x) OVER (PARTITION BY x, {w} ORDER BY x, {w} ASC NULLS FIRST) FROM t QUALIFY {w} > 1",
    "SELECT sum(x) OVER o FROM t WINDOW o AS (PARTITION BY {w} ORDER BY {w})",
    "SELECT x FROM t WHERE {w} = 1 AND {w} > 0 OR {w}",
    "SELECT x FROM t WHERE ({w}) = 1 AND NOT {w}",
    "SELECT {w}, count(*) FROM t GROUP BY {w} HAVING {w} > 1 ORDER BY {w} DESC NULLS LAST, x LIMIT 1",
    "SELECT x FROM t ORDER BY {w}",
    "SELECT x FROM t GROUP BY x, {w} ORDER BY x, {w} ASC",
    "SELECT x FROM t GROUP BY ROLLUP ({w}, x)",
    "SELECT x FROM t GROUP BY GROUPING SETS (({w}), (x, {w})) HAVING {w}",
    "SELECT x FROM t ORDER BY x LIMIT 1 OFFSET 1",
    "SELECT a.{w} FROM t a JOIN t b ON a.{w} = b.{w}",
    "SELECT x FROM t JOIN u ON {w} = y",
    "SELECT x FROM t a JOIN t b USING ({w})",
    "SELECT x FROM t a LEFT JOIN t b ON b.{w} = a.x AND a.{w} = 1",
    "SELECT x FROM t WHERE x IN (SELECT {w} FROM t) AND EXISTS (SELECT {w} FROM t)",
    "SELECT (SELECT {w} FROM t LIMIT 1), x FROM t",
    "WITH c AS (SELECT {w} FROM t) SELECT {w} FROM c",
    "WITH c({w}) AS (SELECT 1) SELECT {w} FROM c",
    "SELECT {w} FROM (SELECT {w} FROM t) AS c",
    "SELECT {w} FROM (SELECT x FROM t) AS c({w})",
    "SELECT {w} FROM t UNION ALL SELECT {w} FROM t",
    "SELECT * EXCLUDE ({w}) FROM t",
    "SELECT * EXCEPT ({w}) FROM t",
];

/// Every word that the parser knows, in every place: none needs quotes, and none is a function of that name.
#[tokio::test]
async fn every_word_of_sql_is_a_column_without_quotes() {
    let words: Vec<String> = ALL_KEYWORDS.iter().map(|word| word.to_ascii_lowercase()).collect();
    let events: Vec<String> = words
        .chunks(50)
        .enumerate()
        .map(|(index, words)| event(&format!("E{index}"), &words.iter().map(|word| (word.as_str(), "uint16", false)).collect::<Vec<_>>()))
        .collect();
    let abi = abi(&events);
    let values = |count: usize| (0..count).flat_map(|value| word(U256::from(value)).0).collect::<Vec<u8>>();
    let logs: Vec<(Vec<B256>, Vec<u8>)> =
        abi.events().iter().zip(words.chunks(50)).map(|(event, words)| (vec![event.topic0()], values(words.len()))).collect();
    let store = store(&abi, &logs).await;
    let mut unusable = Vec::new();
    for table in store.event_tables().iter() {
        for column in &table.columns {
            let unread = PLACES.iter().find(|place| Parser::parse_sql(&GenericDialect {}, &place.replace("{w}", &column.name)).is_err());
            unusable.extend(unread.map(|place| format!("{} in {place}", column.name)));
        }
        let columns: Vec<(usize, &str)> = table.columns.iter().map(|column| column.name.as_str()).enumerate().collect();
        let found = async |columns: &[(usize, &str)]| {
            let names: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
            let held: Vec<String> = columns.iter().map(|(value, name)| format!("{name} = {value}")).collect();
            let names = names.join(", ");
            let query = format!("SELECT {names} FROM {} WHERE {} GROUP BY {names} ORDER BY {names}", table.name, held.join(" AND "));
            let result = store.query(&query, &QueryLimits { max_statement_bytes: 1 << 20, ..QueryLimits::default() }, None).await;
            result.is_ok_and(|result| result.batches.iter().map(RecordBatch::num_rows).sum::<usize>() == 1)
        };
        if !found(&columns).await {
            for column in columns.chunks(1) {
                if !found(column).await {
                    unusable.push(format!("{} is not what the log holds", column[0].1));
                }
            }
        }
    }
    assert!(unusable.is_empty(), "{}:\n{}", unusable.len(), unusable.join("\n"));
}

/// Nor is a table: a contract's and an event's name can make a word together.
#[tokio::test]
async fn every_word_of_sql_is_a_table_without_quotes() {
    for word in ALL_KEYWORDS.iter().map(|word| word.to_ascii_lowercase()) {
        let Some((contract, event_name)) = word.split_once('_') else { continue };
        let tables = contract_tables(contract, &abi(&[event(event_name, &[])]), Emitter::Contract(AT), &Default::default());
        let name = &tables[0].name;
        for place in ["SELECT * FROM {t}", "SELECT {t}.a FROM {t}", "SELECT 1 FROM b JOIN {t} ON 1 = 1", "SELECT 1 FROM b, {t} c"] {
            let query = place.replace("{t}", name);
            assert!(Parser::parse_sql(&GenericDialect {}, &query).is_ok(), "{query}");
        }
    }
}

/// The largest and smallest values of every width, and the first that are none.
#[tokio::test]
async fn integers_of_every_width_are_exact() {
    let (unsigned, signed) = (|bits: u64| U256::MAX >> (256 - bits), |bits: u64| I256::MAX.asr(256 - bits as usize));
    for bits in (8..=256u64).step_by(8) {
        let abi = abi(&[event("E", &[("u", &format!("uint{bits}"), false), ("i", &format!("int{bits}"), true)])]);
        let (largest, most, least) = (unsigned(bits), signed(bits), -signed(bits) - I256::ONE);
        let log = |u: U256, i: I256| (vec![abi.events()[0].topic0(), i.into_raw().into()], word(u).to_vec());
        let mut logs = vec![log(largest, most), log(U256::ZERO, least)];
        if bits < 256 {
            logs.extend([log(largest + U256::ONE, most), log(largest, most + I256::ONE), log(largest, least - I256::ONE)]);
        }
        let store = store(&abi, &logs).await;
        let shown = text(&store, "SELECT u || ';' || i AS both FROM c_e WHERE decoded ORDER BY log_index").await;
        assert!(shown.contains(&format!("| {largest};{most} ")) && shown.contains(&format!("| 0;{least} ")), "{bits}: {shown}");
        assert_eq!(shown.lines().count(), 6, "{bits}: {shown}");
        let wrong = text(&store, "SELECT count(u) AS u, count(i) AS i, count(*) AS n FROM c_e WHERE NOT decoded").await;
        assert!(bits == 256 || wrong.contains("| 2 | 1 | 3 |"), "{bits}: {wrong}");
    }
}

/// Digits compare as numbers do with what they are compared to; the decimal beside them counts and sorts.
#[tokio::test]
async fn wide_integers_can_be_computed_with() {
    let abi = abi(&[event("Approval", &[("value", "uint256", false)])]);
    let log = |value: U256| (vec![abi.events()[0].topic0()], word(value).to_vec());
    let store = store(&abi, &[log(U256::MAX), log(U256::from(9)), log(U256::from(10))]).await;
    let sorted = text(&store, "SELECT value FROM c_approval ORDER BY value_decimal NULLS LAST").await;
    let places: Vec<usize> = ["| 9 ", "| 10 ", &format!("| {} ", U256::MAX)].iter().map(|value| sorted.find(value).unwrap()).collect();
    assert!(places.is_sorted(), "{sorted}");
    let sum = text(&store, "SELECT sum(value_decimal) AS s, count(value_decimal) AS n FROM c_approval").await;
    assert!(sum.contains("| 19 | 2 |"), "{sum}");
    let equal = text(&store, &format!("SELECT count(*) AS n FROM c_approval WHERE value = '{}'", U256::MAX)).await;
    assert!(equal.contains("| 1 |"), "{equal}");
}

/// A log is a row of the table whose number of topics it has, and of no other; one that no form has is one of the first, undecoded.
#[tokio::test]
async fn forms_of_an_event_are_told_apart_by_their_topics() {
    let form = |indexed| event("Transfer", &[("from", "address", true), ("to", "address", true), ("value", "uint256", indexed)]);
    let abi = abi(&[form(false), form(true)]);
    let (topic0, from) = (abi.events()[0].topic0(), word(U256::from(1)));
    let fungible = (vec![topic0, from, from], word(U256::from(5)).to_vec());
    let token = (vec![topic0, from, from, word(U256::from(7))], Vec::new());
    let legacy = (vec![topic0], [from, from, word(U256::from(9))].concat());
    let store = store(&abi, &[fungible, token, legacy]).await;
    for (table, expected) in [("c_transfer_indexed2", &["|5|true|", "||false|"][..]), ("c_transfer_indexed3", &["|7|true|"])] {
        let shown = text(&store, &format!("SELECT value, decoded FROM {table} ORDER BY log_index")).await;
        let lines: Vec<String> = shown.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(&lines[..lines.len() - 1], expected, "{shown}");
    }
}

/// A contract that emits something else than its ABI says: the row is there, without values and with a flag.
#[tokio::test]
async fn logs_that_do_not_decode_are_rows_with_a_flag() {
    let abi = abi(&[event("E", &[("a", "uint8", true), ("b", "bool", false), ("s", "string", false)])]);
    let topic0 = abi.events()[0].topic0();
    let good = [word(U256::from(1)).0, word(U256::from(64)).0, word(U256::from(2)).0, *b"hi______________________________"].concat();
    let a = word(U256::from(3));
    let logs = [
        (vec![topic0, a], good.clone()),
        (vec![topic0, a], good[..33].to_vec()),
        (vec![topic0, a], Vec::new()),
        (vec![topic0], good.clone()),
        (vec![topic0, a, a], good.clone()),
        (vec![topic0, word(U256::from(256))], good.clone()),
        (vec![topic0, a], [&word(U256::from(2)).0[..], &good[32..]].concat()),
    ];
    let store = store(&abi, &logs).await;
    let shown = text(&store, "SELECT a, b, s, decoded FROM c_e ORDER BY log_index").await;
    let lines: Vec<String> = shown.lines().skip(3).map(|line| line.split_whitespace().collect::<String>()).collect();
    let expected = ["|3|true|hi|true|", "|3|true||false|", "|3|||false|", "||||false|", "||||false|", "||true|hi|false|", "|3||hi|false|"];
    assert_eq!(&lines[..7], expected, "{shown}");
}

/// Thousands of events cost a query nothing that does not name them, and each can be named.
#[tokio::test]
async fn thousands_of_events_are_tables() {
    let events: Vec<String> = (0..3000).map(|index| event(&format!("Event{index}"), &[("x", "uint256", false)])).collect();
    let abi = abi(&events);
    let last = abi.events().iter().find(|event| event.name == "Event2999").unwrap();
    let store = store(&abi, &[(vec![last.topic0()], word(U256::from(6)).to_vec())]).await;
    assert!(text(&store, "SELECT x FROM c_event2999").await.contains("| 6 |"));
    let listed = "SELECT count(*) AS n FROM information_schema.tables WHERE table_name LIKE 'c_event%'";
    assert!(text(&store, listed).await.contains("| 3000 |"));
}

/// Logs are written before their blocks: those without a block are seen by nobody, whether a filter keeps them out or none is needed.
#[tokio::test]
async fn logs_are_seen_up_to_the_last_block_that_is_written() {
    let store = Store::in_memory().await.unwrap();
    let block = |number: u64| BlockRow { number, hash: B256::left_padding_from(&number.to_be_bytes()), ..block() };
    let log = |number: u64| LogRow {
        block_number: number,
        block_hash: Raw(block(number).hash),
        block_timestamp: number,
        transaction_hash: Raw(B256::ZERO),
        transaction_index: 0,
        log_index: 0,
        address: Raw(AT),
        topic0: None,
        topic1: None,
        topic2: None,
        topic3: None,
        data: Bytes::new(),
    };
    let seen = async || rows(&store, "SELECT block_number, finalized FROM logs").await.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(seen().await, 0);
    for number in 1..=3 {
        let before = seen().await;
        store.append(&[log(number)]).await.unwrap();
        assert_eq!(seen().await, before, "block {number} is not written yet");
        store.append(&[block(number)]).await.unwrap();
        assert_eq!(seen().await, before + 1);
    }
    let first = store.snapshot().await.unwrap();
    store.append(&[log(4)]).await.unwrap();
    store.append(&[block(4)]).await.unwrap();
    let then = store.query("SELECT count(*) FROM logs", &QueryLimits::default(), Some(&first)).await.unwrap();
    assert!(pretty_format_batches(&then.batches).unwrap().to_string().contains("| 3 "), "what was seen then is seen again");
    assert_eq!(seen().await, 4);
}
