use std::io::Write;

use proptest::prelude::*;

use super::{Log, format};
use crate::RagError;

fn log(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format::header().to_vec();
    for payload in payloads {
        bytes.extend(format::record(payload).unwrap());
    }
    bytes
}

fn read(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, u64), u64> {
    format::read(bytes).map(|(payloads, length)| (payloads.iter().map(|(_, payload)| payload.to_vec()).collect(), length))
}

fn three() -> Vec<Vec<u8>> {
    vec![b"{\"first\":1}".to_vec(), "zweiter größer".repeat(9).into_bytes(), b"{\"third\":[3]}".to_vec()]
}

/// A crash may cut the file anywhere: what was whole stays, the rest goes.
#[test]
fn cut_at_every_byte() {
    let bytes = log(&three());
    let ends: Vec<usize> = (0..=3).map(|n| log(&three()[..n]).len()).collect();
    for cut in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let (payloads, length) = read(&bytes[..cut]).unwrap();
        assert_eq!(payloads, three()[..whole.saturating_sub(1)], "cut at {cut}");
        assert_eq!(length, if whole == 0 { 0 } else { ends[whole - 1] as u64 });
    }
}

/// A power loss may leave zeros or old bytes where the last append was to go.
#[test]
fn rubbish_at_the_end() {
    let bytes = log(&three());
    for rubbish in [vec![0; 1], vec![0; 4096], vec![0xff; 100], b"HWRCPT".to_vec(), vec![5, 0, 0, 0, 1, 2, 3, 4, 5]] {
        let tail = [bytes.clone(), rubbish].concat();
        assert_eq!(read(&tail).unwrap(), (three(), bytes.len() as u64));
    }
}

/// One changed byte: before the last record it is damage and stops, in the last record it is a torn append.
#[test]
fn flip_at_every_byte() {
    let bytes = log(&three());
    let last = log(&three()[..2]).len();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            match read(&damaged) {
                Ok((payloads, length)) => {
                    assert!(at >= last, "a change at {at} was not noticed");
                    assert_eq!((payloads.as_slice(), length), (&three()[..2], last as u64));
                }
                Err(offset) => assert!(at < last && offset as usize <= at, "byte {at}: {offset}"),
            }
        }
    }
}

/// An append that failed for want of room is taken back, and the next one is as good as any. Where it cannot be taken back no more
/// is appended.
#[test]
fn a_failed_append_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(folder.path()).unwrap();
    let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    log.file.write_all(b"half of a record").unwrap();
    assert!(matches!(log.cut_off(full()), RagError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull));
    assert!(log.stopped().is_none());
    let path = log.path.clone();
    assert_eq!(std::fs::read(&path).unwrap(), format::header());
    log.file.write_all(b"x").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [&format::header()[..], b"x"].concat(), "where the last one ended");
    log.file = std::fs::File::open(&path).unwrap();
    assert!(matches!(log.cut_off(full()), RagError::LogStopped(_)));
    assert!(log.stopped().is_some());
}

#[test]
fn too_large_is_refused() {
    assert!(format::record(&vec![1; (16 << 20) + 1]).is_none());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), with_header: bool) {
        let bytes = if with_header { [format::header().to_vec(), bytes].concat() } else { bytes };
        if let Ok((payloads, length)) = read(&bytes) {
            prop_assert!(length as usize <= bytes.len());
            prop_assert!(with_header || payloads.is_empty());
        }
    }

    #[test]
    fn what_is_written_is_read(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8)) {
        let bytes = log(&payloads);
        prop_assert_eq!(read(&bytes), Ok((payloads, bytes.len() as u64)));
    }
}

/// The format on disk (checksum by Python's zlib): a change here needs a new version and a way to read this one.
#[test]
fn format_is_stable() {
    let shown: Vec<String> = log(&[b"{}".to_vec()]).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown.join(" "), "48 57 52 43 50 54 01 00 02 00 00 00 14 ad 75 1e 7b 7d");
}
