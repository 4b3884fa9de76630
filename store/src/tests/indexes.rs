use std::time::{Duration, Instant};

use schemas::ids::AnswerId;
use schemas::tables::{ReceiptRow, Wei};

use super::*;

fn log(n: u64) -> LogRow {
    let word = |n: u64| B256::from(schemas::U256::from(n));
    LogRow {
        block_number: n / 10,
        block_hash: Raw(word(n / 10)),
        block_timestamp: n,
        transaction_hash: Raw(word(n)),
        transaction_index: 0,
        log_index: n % 10,
        address: Raw(Address::repeat_byte((n % 20) as u8)),
        topic0: Some(Raw(B256::repeat_byte((n % 7) as u8))),
        topic1: Some(Raw(word(n))),
        topic2: None,
        topic3: None,
        data: vec![7; 32].into(),
    }
}

/// With an index on some of its rows, deleted ones among them, a table answers as before.
#[tokio::test]
async fn an_index_changes_no_answer() {
    let store = Store::in_memory().await.unwrap();
    let (blocks, logs) = (store.table::<BlockRow>().unwrap(), store.table::<LogRow>().unwrap());
    let mut numbers: Vec<u64> = Vec::new();
    for round in 0..6 {
        let new: Vec<u64> = (round * 50 + 10..round * 50 + 60).collect();
        store.append(&new.iter().map(|n| block(*n)).collect::<Vec<_>>()).await.unwrap();
        store.append(&new.iter().map(|n| log(*n)).collect::<Vec<_>>()).await.unwrap();
        numbers.extend(new);
        if round % 2 == 0 {
            blocks.index_column("number").await.unwrap();
            for column in logs.indexed {
                logs.index_column(column).await.unwrap();
            }
        }
        if round == 3 {
            store.delete_where::<BlockRow>("number >= 200 OR number < 15").await.unwrap();
            numbers.retain(|n| (15..200).contains(n));
        }
        let extent = store.extent::<BlockRow>("number").await.unwrap();
        assert_eq!(extent, Some(numbers[0]..=numbers[numbers.len() - 1]), "round {round}");
        let found: Vec<BlockRow> = store.scan(Some("number > 40 AND number < 120")).await.unwrap();
        assert_eq!(found.len(), numbers.iter().filter(|n| (41..120).contains(*n)).count());
        let counted = query(&store, "SELECT count(*) AS n FROM blocks WHERE number > 40 AND number < 120").await.unwrap();
        assert!(text_of(&counted).contains(&format!("| {} ", found.len())), "{}", text_of(&counted));
        // few are taken by their places, in the order of writing
        let few: Vec<u64> =
            store.scan::<BlockRow>(Some("number > 180 AND number < 210")).await.unwrap().iter().map(|row| row.number).collect();
        assert_eq!(few, numbers.iter().copied().filter(|n| (181..210).contains(n)).collect::<Vec<_>>(), "round {round}");
        assert_eq!(store.count::<BlockRow>(Some("number = 3")).await.unwrap(), 0);
        let (address, topic0) = (Address::repeat_byte(3), B256::repeat_byte(2));
        let found = store.all_logs(address, topic0, Finality::Any).await.unwrap();
        let last = round * 50 + 60;
        let expected: Vec<LogRow> = (10..last).filter(|n| n % 20 == 3 && n % 7 == 2).map(log).collect();
        assert_eq!(found, expected, "round {round}");
    }
}

fn receipt(n: u64) -> ReceiptRow {
    let hash = sha256(&n.to_le_bytes()).0;
    ReceiptRow {
        answer_id: AnswerId(hash),
        sequence: n,
        datanet_id: DatanetId(B256::ZERO),
        version: 1,
        fee_wei: Wei(1),
        payer: Some(Address::repeat_byte((n % 50) as u8)),
        body: format!("{hash:?}").repeat(10),
        body_hash: hash,
        signer: Address::ZERO,
        signature: format!("{hash:?}").repeat(2),
        issued_at: Millis(0),
    }
}

/// Rows that wait for an index.
const NOT_INDEXED: u64 = 12_000;

/// `cargo test --release -p store --lib -- --ignored --nocapture what_look_ups_cost`: printed, not judged.
#[tokio::test]
#[ignore = "a measurement"]
async fn what_look_ups_cost() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig::new(format!("file://{}", folder.path().display()), Durability::Fast)).await.unwrap();
    let sizes: Vec<u64> =
        std::env::var("ROWS").map_or(vec![10_000, 50_000, 300_000], |rows| rows.split(',').map(|n| n.parse().unwrap()).collect());
    let (mut receipts, mut logs) = (0, 0);
    for size in sizes {
        for part in (receipts..size).collect::<Vec<_>>().chunks(50_000) {
            store.insert_new(&part.iter().map(|n| receipt(*n)).collect::<Vec<_>>()).await.unwrap();
        }
        for part in (logs..size).collect::<Vec<_>>().chunks(50_000) {
            store.append(&part.iter().map(|n| log(*n)).collect::<Vec<_>>()).await.unwrap();
        }
        (receipts, logs) = (size, size);
        let before = look_ups(&store, &mut receipts).await;
        let started = Instant::now();
        for table in [store.table::<ReceiptRow>().unwrap(), store.table::<LogRow>().unwrap()] {
            for column in table.indexed {
                table.index_column(column).await.unwrap();
            }
        }
        println!("{size} rows: indexed in {:.0?}", started.elapsed());
        for ((name, before), (_, after)) in before.into_iter().zip(look_ups(&store, &mut receipts).await) {
            let ratio = before.as_secs_f64() / after.as_secs_f64();
            println!("  {name:<22} {before:>9.1?} without, {after:>9.1?} with what is new indexed: {ratio:.1} x");
        }
        let newer: Vec<u64> = (receipts..receipts + NOT_INDEXED).collect();
        store.insert_new(&newer.iter().map(|n| receipt(*n)).collect::<Vec<_>>()).await.unwrap();
        receipts += NOT_INDEXED;
        let (_, look_up) = look_ups(&store, &mut receipts).await[0];
        println!("  id = '…' with {NOT_INDEXED} newer rows that no index covers: {look_up:.1?}");
    }
}

/// Each the median of five.
async fn look_ups(store: &Store, receipts: &mut u64) -> Vec<(&'static str, Duration)> {
    let mut times = [(); 6].map(|()| Vec::new());
    for round in 0..5 {
        let wanted = *receipts / 7 * (round + 1);
        let mut started = Instant::now();
        let mut lap = |place: usize| {
            times[place].push(std::mem::replace(&mut started, Instant::now()).elapsed());
        };
        let id = receipt(wanted).answer_id;
        assert_eq!(store.scan::<ReceiptRow>(Some(&format!("answer_id = '{id}'"))).await.unwrap().len(), 1);
        lap(0);
        assert_eq!(store.scan::<ReceiptRow>(Some(&format!("sequence > {}", *receipts - 6))).await.unwrap().len(), 5);
        lap(1);
        store.max::<ReceiptRow>("sequence").await.unwrap();
        lap(2);
        assert_eq!(store.scan::<LogRow>(Some(&format!("block_number = {}", wanted / 10))).await.unwrap().len(), 10);
        lap(3);
        store.all_logs(Address::repeat_byte(3), B256::repeat_byte(2), Finality::Any).await.unwrap();
        lap(4);
        assert_eq!(store.insert_new(&[receipt(*receipts)]).await.unwrap().rows, 1);
        *receipts += 1;
        lap(5);
    }
    let names = ["id = '…'", "sequence > n", "max(sequence)", "block_number = n", "logs of an event", "insert_new of one row"];
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[2]
    };
    names.into_iter().zip(times.map(median)).collect()
}
