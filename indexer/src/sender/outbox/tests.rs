use super::*;
use schemas::U256;
use schemas::tables::Wei;

const CHAIN: u64 = 10;
const ACCOUNT: Address = Address::repeat_byte(3);
const GENESIS: B256 = B256::repeat_byte(4);
const NOW: Millis = Millis(1_700_000_000_000);

fn version(nonce: u64, number: u8) -> Version {
    Version {
        nonce,
        hash: B256::repeat_byte(number),
        role: Role::Action,
        purpose: "commitVersion(…)\n".into(),
        content: Content { to: Some(Address::repeat_byte(5)), calldata: vec![number; 4].into(), value: U256::from(number) },
        gas_limit: 100,
        max_fee_per_gas: Wei(u128::MAX / 1000),
        max_priority_fee_per_gas: Wei(number.into()),
        replaces: (number > 1).then(|| B256::repeat_byte(number - 1)),
        signed_at: NOW,
        signed_at_block: 7,
        raw: vec![0xfe; 9].into(),
    }
}

fn included(nonce: u64, number: u8) -> Record {
    let inclusion = Inclusion {
        hash: B256::repeat_byte(number),
        block_number: 9,
        block_hash: B256::repeat_byte(9),
        succeeded: true,
        contract_address: None,
        gas_used: 90,
        fee: Wei(1_000),
    };
    Record::Included { nonce, inclusion }
}

fn story() -> Vec<Record> {
    let signed = |nonce, number| Record::Signed(Box::new(version(nonce, number)));
    vec![
        signed(0, 1),
        signed(0, 2),
        included(0, 1),
        signed(1, 3),
        Record::Parked { nonce: 1, why: Parked::Refused },
        Record::Final { nonce: 0 },
        Record::Reopened { nonce: 1, hash: B256::repeat_byte(3) },
        included(1, 3),
        signed(2, 4),
        signed(2, 5),
        included(2, 4),
        Record::Reopened { nonce: 2, hash: B256::repeat_byte(4) },
    ]
}

async fn open(folder: &Path) -> Result<Outbox> {
    let lock = Lock::take(folder, CHAIN, ACCOUNT, Duration::ZERO).await?;
    Outbox::open(lock, CHAIN, ACCOUNT, GENESIS, NOW)
}

fn path(folder: &Path) -> PathBuf {
    folder.join(format!("{CHAIN}-{ACCOUNT:#x}.jsonl"))
}

#[tokio::test]
async fn what_is_written_is_read_again_and_shortened() {
    let folder = tempfile::tempdir().unwrap();
    let mut states = Vec::new();
    for record in story() {
        let mut outbox = open(folder.path()).await.unwrap();
        assert_eq!(states.last().cloned().unwrap_or_default(), outbox.state);
        outbox.append(&record).unwrap();
        states.push(outbox.state.clone());
    }
    let outbox = open(folder.path()).await.unwrap();
    assert_eq!(Some(&outbox.state), states.last());
    assert_eq!(outbox.state.next_nonce(1), 3);
    assert_eq!(outbox.state.lowest_open().unwrap().nonce, 2);
    // A day later only what is unfinished is kept.
    drop(outbox);
    let later = Millis(NOW.0 + 86_400_000);
    let lock = Lock::take(folder.path(), CHAIN, ACCOUNT, Duration::ZERO).await.unwrap();
    let outbox = Outbox::open(lock, CHAIN, ACCOUNT, GENESIS, later).unwrap();
    assert!(outbox.state.spent.is_empty());
    assert_eq!(outbox.state.slots.len(), 2);
}

#[test]
fn the_day_is_counted() {
    let mut state = State::default();
    for record in story() {
        state.apply(&record).unwrap();
    }
    let worst = u128::MAX / 1000 * 100;
    assert_eq!(state.spending(NOW, 99), DaySpending { transactions: 3, fees_wei: 2_000 + worst });
    assert_eq!(state.spending(NOW, 2), DaySpending { transactions: 2, fees_wei: 2_000 });
    assert_eq!(state.spending(Millis(NOW.0 - 5), 2).transactions, 2, "a clock that was set back forgets nothing");
    assert_eq!(state.spending(Millis(NOW.0 + 86_400_000), 99), DaySpending::default());
}

#[tokio::test]
async fn a_file_cut_anywhere_opens_with_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path()).await.unwrap();
    let mut ends = vec![(0, State::default()), (std::fs::metadata(path(folder.path())).unwrap().len(), State::default())];
    for record in story() {
        outbox.append(&record).unwrap();
        ends.push((std::fs::metadata(path(folder.path())).unwrap().len(), outbox.state.clone()));
    }
    drop(outbox);
    let whole = std::fs::read(path(folder.path())).unwrap();
    for length in 0..=whole.len() {
        // The last two now and then: reading takes its time.
        let tails = [&b""[..], b"\0\0\0", b"\n", b"{\"torn\"\n"];
        for tail in tails.into_iter().take(if length % 7 == 0 { 4 } else { 1 + length % 2 }) {
            let torn = [&whole[..length], tail].concat();
            let (records, intact) = file::read(&torn).unwrap();
            let (end, state) = ends.iter().rev().find(|(end, _)| *end <= length as u64).unwrap();
            // The end of a line is all that a lone "\n" can complete.
            if tail == b"\n" && intact as u64 > *end {
                assert_eq!(intact, length + 1);
                continue;
            }
            assert_eq!(intact as u64, *end, "cut at {length}");
            let mut read = State::default();
            records.iter().skip(1).for_each(|record| read.apply(record).unwrap());
            assert_eq!(read, *state, "cut at {length}");
        }
    }
    // And through the real door, after which it goes on.
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(path(folder.path()), &whole[..length]).unwrap();
        let mut outbox = open(folder.path()).await.unwrap();
        let (_, state) = ends.iter().rev().find(|(end, _)| *end <= length as u64).unwrap();
        assert_eq!(outbox.state, *state);
        outbox.append(&Record::Signed(Box::new(version(50, 9)))).unwrap();
        drop(outbox);
        assert!(open(folder.path()).await.unwrap().state.slots.contains_key(&50));
    }
}

#[tokio::test]
async fn damage_is_not_taken_for_an_interrupted_append() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path()).await.unwrap();
    for record in story() {
        outbox.append(&record).unwrap();
    }
    drop(outbox);
    let whole = std::fs::read(path(folder.path())).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for at in 0..last_line {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        assert!(file::read(&damaged).is_err(), "byte {at}");
    }
    let mut damaged = whole.clone();
    damaged[last_line / 2] ^= 1;
    std::fs::write(path(folder.path()), &damaged).unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, IndexerError::Outbox { .. }) && error.to_string().contains("is damaged"), "{error}");
    assert_eq!(std::fs::read(path(folder.path())).unwrap(), damaged, "it is left as it is");
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let mut state = State::default();
    for record in
        [Record::Final { nonce: 1 }, Record::Foreign { nonce: 1 }, Record::Reopened { nonce: 1, hash: B256::ZERO }, included(1, 1)]
    {
        assert!(state.apply(&record).is_err(), "{record:?}");
    }
    state.apply(&Record::Signed(Box::new(version(1, 1)))).unwrap();
    assert!(state.apply(&included(1, 2)).is_err());
}

/// The format is versioned: a change to these lines is a change to [`FORMAT`].
#[test]
fn lines_are_stable() {
    let lines: Vec<String> = [
        Record::Parked { nonce: 1, why: Parked::NonceTaken },
        Record::Spent(record::Spent { signed_at: NOW, fee: Wei(5) }),
        included(3, 2),
    ]
    .iter()
    .map(|record| serde_json::to_string(record).unwrap())
    .collect();
    let hash = |byte: &str| format!("0x{}", byte.repeat(32));
    assert_eq!(lines[0], r#"{"parked":{"nonce":1,"why":"nonce_taken"}}"#);
    assert_eq!(lines[1], r#"{"spent":{"signed_at":1700000000000,"fee":"5"}}"#);
    let included = format!(
        r#"{{"included":{{"nonce":3,"inclusion":{{"hash":"{}","block_number":9,"block_hash":"{}","succeeded":true,"contract_address":null,"gas_used":90,"fee":"1000"}}}}}}"#,
        hash("02"),
        hash("09")
    );
    assert_eq!(lines[2], included);
    let signed = serde_json::to_string(&Record::Signed(Box::new(version(1, 1)))).unwrap();
    assert!(signed.starts_with(r#"{"signed":{"nonce":1,"hash":"0x0101"#), "{signed}");
    for name in
        ["role", "purpose", "content", "gas_limit", "max_fee_per_gas", "max_priority_fee_per_gas", "replaces", "signed_at_block", "raw"]
    {
        assert!(signed.contains(&format!("\"{name}\":")), "{name}");
    }
}
