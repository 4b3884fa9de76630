//! Logs read without a general parser, four times as fast: no white space, no escapes, no field that is not
//! known, each field once, in any order. What is otherwise is left to the general parser, which decides.

use schemas::tables::{LogRef, Logs};
use schemas::{Address, B256};

use super::super::decode_digits;

/// The list at the start of `text`, and the bytes that it takes.
pub(super) fn read(text: &[u8]) -> Option<(Logs, usize)> {
    let mut logs = Logs::default();
    let mut rest = Rest(text);
    let mut data = Vec::new();
    rest.take(b"[")?;
    if rest.take(b"]").is_none() {
        loop {
            log(&mut rest, &mut logs, &mut data)?;
            if rest.take(b",").is_none() {
                rest.take(b"]")?;
                break;
            }
        }
    }
    Some((logs, text.len() - rest.0.len()))
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn first(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Up to the end of the string, which is taken too.
    fn text(&mut self) -> Option<&'a [u8]> {
        let text = self.first(quote(self.0)?)?;
        self.take(b"\"")?;
        Some(text)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        decode_digits(self.first(2 * N)?, &mut bytes).ok()?;
        self.take(b"\"")?;
        Some(bytes)
    }

    fn quantity(&mut self) -> Option<u64> {
        let digits = self.text()?;
        if digits.is_empty() || digits.len() > 16 {
            return None;
        }
        digits.iter().try_fold(0u64, |number, digit| Some(number << 4 | u64::from(char::from(*digit).to_digit(16)?)))
    }
}

/// Where the next quotation mark stands; blocks of 32 bytes are compared at once.
fn quote(text: &[u8]) -> Option<usize> {
    let is_quote = |byte: &u8| *byte == b'"';
    let blocks = text.chunks_exact(32).take_while(|block| !block.iter().fold(false, |found, byte| found | is_quote(byte)));
    let start = 32 * blocks.count();
    Some(start + text.get(start..)?.iter().position(is_quote)?)
}

/// The fields of a log, as far as they were read.
#[derive(Default)]
struct Fields {
    address: Option<Address>,
    topics: Option<([B256; 4], usize)>,
    has_data: bool,
    block_hash: Option<B256>,
    block_number: Option<u64>,
    block_timestamp: Option<u64>,
    transaction_hash: Option<B256>,
    transaction_index: Option<u64>,
    log_index: Option<u64>,
    is_removed: Option<bool>,
}

fn log(rest: &mut Rest<'_>, logs: &mut Logs, data: &mut Vec<u8>) -> Option<()> {
    let mut fields = Fields::default();
    rest.take(b"{")?;
    loop {
        fields.read_next(rest, data)?;
        if rest.take(b",").is_none() {
            rest.take(b"}")?;
            break;
        }
    }
    let (topics, count) = fields.topics?;
    let log = LogRef {
        block_number: fields.block_number?,
        block_hash: fields.block_hash?,
        block_timestamp: fields.block_timestamp.unwrap_or_default(),
        transaction_hash: fields.transaction_hash?,
        transaction_index: fields.transaction_index?,
        log_index: fields.log_index?,
        address: fields.address?,
        topics: topics.get(..count)?,
        data: fields.has_data.then_some(data.as_slice())?,
    };
    logs.push(log).ok()
}

/// A field that comes once.
fn once<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    place.is_none().then(|| *place = value)?;
    place.is_some().then_some(())
}

impl Fields {
    /// The order of the comparisons is that of most nodes.
    fn read_next(&mut self, rest: &mut Rest<'_>, data: &mut Vec<u8>) -> Option<()> {
        if rest.take(b"\"address\":\"0x").is_some() {
            once(&mut self.address, rest.fixed().map(Address::from))
        } else if rest.take(b"\"topics\":[").is_some() {
            once(&mut self.topics, topics(rest))
        } else if rest.take(b"\"data\":\"0x").is_some() {
            let digits = rest.text()?;
            data.resize(digits.len() / 2, 0);
            decode_digits(digits, data).ok()?;
            (!std::mem::replace(&mut self.has_data, true)).then_some(())
        } else if rest.take(b"\"blockHash\":\"0x").is_some() {
            once(&mut self.block_hash, rest.fixed().map(B256::from))
        } else if rest.take(b"\"blockNumber\":\"0x").is_some() {
            once(&mut self.block_number, rest.quantity())
        } else if rest.take(b"\"blockTimestamp\":\"0x").is_some() {
            once(&mut self.block_timestamp, rest.quantity())
        } else if rest.take(b"\"transactionHash\":\"0x").is_some() {
            once(&mut self.transaction_hash, rest.fixed().map(B256::from))
        } else if rest.take(b"\"transactionIndex\":\"0x").is_some() {
            once(&mut self.transaction_index, rest.quantity())
        } else if rest.take(b"\"logIndex\":\"0x").is_some() {
            once(&mut self.log_index, rest.quantity())
        } else if rest.take(b"\"removed\":false").is_some() {
            once(&mut self.is_removed, Some(false))
        } else {
            None
        }
    }
}

fn topics(rest: &mut Rest<'_>) -> Option<([B256; 4], usize)> {
    let (mut words, mut count) = ([B256::ZERO; 4], 0);
    if rest.take(b"]").is_some() {
        return Some((words, count));
    }
    loop {
        rest.take(b"\"0x")?;
        *words.get_mut(count)? = B256::from(rest.fixed()?);
        count += 1;
        if rest.take(b",").is_none() {
            rest.take(b"]")?;
            return Some((words, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::WireLogs;
    use super::*;
    use proptest::prelude::*;

    const LOG: &str = concat!(
        r#"{"address":"0x1111111111111111111111111111111111111111","topics":["#,
        r#""0x2222222222222222222222222222222222222222222222222222222222222222","#,
        r#""0x3333333333333333333333333333333333333333333333333333333333333333"],"data":"0x00aBff","#,
        r#""blockHash":"0x4444444444444444444444444444444444444444444444444444444444444444","blockNumber":"0xfe","#,
        r#""blockTimestamp":"0x6560","transactionHash":"0x5555555555555555555555555555555555555555555555555555555555555555","#,
        r#""transactionIndex":"0x0","logIndex":"0x1f","removed":false}"#
    );

    fn slowly(text: &str) -> Option<Logs> {
        serde_json::from_str::<WireLogs>(text).ok().map(|logs| logs.0)
    }

    /// The fields of [`LOG`], name and value.
    fn fields() -> Vec<String> {
        let mut fields: Vec<String> = Vec::new();
        for part in LOG[1..LOG.len() - 1].split(',') {
            match fields.last_mut() {
                Some(last) if !part.contains("\":") => *last = format!("{last},{part}"),
                _ => fields.push(part.to_owned()),
            }
        }
        assert_eq!(fields.len(), 10);
        fields
    }

    #[test]
    fn lists_are_read_as_the_slow_way_reads_them() {
        for text in ["[]".to_owned(), format!("[{LOG}]"), format!("[{LOG},{LOG}]"), format!("[{}]", LOG.replace("\"0x00aBff\"", "\"0x\""))]
        {
            let (logs, length) = read(text.as_bytes()).unwrap();
            assert_eq!((length, Some(logs)), (text.len(), slowly(&text)), "{text}");
        }
        // What follows the list is not its business.
        assert_eq!(read(format!("[{LOG}]}},").as_bytes()).unwrap().1, LOG.len() + 2);
    }

    #[test]
    fn without_a_field_or_with_one_twice_it_is_left_to_the_slow_way() {
        let fields = fields();
        for (index, field) in fields.iter().enumerate() {
            let mut fewer = fields.clone();
            fewer.remove(index);
            let optional = field.contains("blockTimestamp") || field.contains("removed");
            assert_eq!(read(format!("[{{{}}}]", fewer.join(",")).as_bytes()).is_some(), optional, "{field}");
            let mut more = fields.clone();
            more.push(field.clone());
            assert_eq!(read(format!("[{{{}}}]", more.join(",")).as_bytes()), None, "{field}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        /// Fields in any order, then damage at any place: what is read quickly is what is read slowly.
        #[test]
        fn nothing_is_read_that_the_slow_way_would_not_read(
            fields in Just(fields()).prop_shuffle(),
            at in 0usize..600,
            byte in prop::sample::select(&b"0x9fFgG\"\\,:]}[{ \n\x00\x80"[..]),
            kind in 0u8..4,
        ) {
            let mut text = format!("[{{{}}},{LOG}]", fields.join(",")).into_bytes();
            let at = at % text.len();
            match kind {
                0 => {}
                1 => text[at] = byte,
                2 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
            if let Some((logs, length)) = read(&text) {
                let slow = serde_json::from_slice::<WireLogs>(&text[..length]).ok().map(|logs| logs.0);
                prop_assert_eq!(Some(logs), slow, "{}", String::from_utf8_lossy(&text));
            } else {
                prop_assert!(kind != 0);
            }
        }
    }
}
