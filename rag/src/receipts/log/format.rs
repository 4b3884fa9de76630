//! The bytes of the log, without a file.

const MAGIC: &[u8; 6] = b"HWRCPT";
const VERSION: u16 = 1;
/// Length and checksum.
const FRAME_BYTES: usize = 8;
/// A receipt has tens of kilobytes; a length beyond this is damage.
const MAX_PAYLOAD_BYTES: usize = 16 << 20;

pub(super) fn header() -> [u8; 8] {
    let [m0, m1, m2, m3, m4, m5] = *MAGIC;
    let [v0, v1] = VERSION.to_le_bytes();
    [m0, m1, m2, m3, m4, m5, v0, v1]
}

/// A payload in its frame; `None` when it is too large.
pub(super) fn record(payload: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_PAYLOAD_BYTES)?;
    let mut bytes = Vec::with_capacity(FRAME_BYTES + payload.len());
    bytes.extend(length.to_le_bytes());
    bytes.extend(checksum(length, payload).to_le_bytes());
    bytes.extend(payload);
    Some(bytes)
}

/// A record's place and its payload.
pub(super) type Payloads<'a> = Vec<(u64, &'a [u8])>;

/// The records of a log, and the length of its intact part: 0 where not even the header was
/// finished.
///
/// # Errors
/// The offset of damage that is not at the end.
pub(super) fn read(bytes: &[u8]) -> Result<(Payloads<'_>, u64), u64> {
    let header = header();
    if bytes.len() < header.len() {
        return if header.starts_with(bytes) { Ok((Vec::new(), 0)) } else { Err(0) };
    }
    if !bytes.starts_with(&header) {
        return Err(0);
    }
    let mut payloads = Vec::new();
    let mut at = header.len();
    while let Some(payload) = bytes.get(at..).and_then(first_record) {
        payloads.push((at as u64, payload));
        at += FRAME_BYTES + payload.len();
    }
    let tail = bytes.get(at..).unwrap_or_default();
    // A torn append is one record: nothing intact can stand behind its first byte.
    let followed = (1..tail.len()).any(|offset| tail.get(offset..).and_then(first_record).is_some());
    if followed { Err(at as u64) } else { Ok((payloads, at as u64)) }
}

/// The payload of the record that `bytes` begins with, if it is intact.
fn first_record(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (stated, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let payload = usize::try_from(length).ok().filter(|length| *length <= MAX_PAYLOAD_BYTES).and_then(|length| rest.get(..length))?;
    // no record is empty: a run of zeros is not one
    (!payload.is_empty() && checksum(length, payload) == u32::from_le_bytes(*stated)).then_some(payload)
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
