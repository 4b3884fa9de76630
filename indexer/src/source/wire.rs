//! The parts of JSON-RPC replies that we read, read straight into what we keep.
//!
//! Everything else is ignored, so that fields of later forks do no harm: deposit transactions of type
//! 0x7e, receipts of type "0x7E", times as text and as numbers. A million logs pass through here on a
//! backfill, so a log costs no allocation of its own.

mod header;
mod logs;
mod receipts;

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

pub(crate) use header::WireHeader;
pub(crate) use logs::WireLogs;
pub(crate) use receipts::WireReceipts;

/// A JSON-RPC quantity that fits 64 bits: `0x` hexadecimal, or a plain number as some nodes write times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Quantity(pub(super) u64);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity of at most 64 bits")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
                digits
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                    .map(Quantity)
                    .ok_or_else(|| E::custom(format_args!("{:?} is not a quantity of at most 64 bits", shortened(text))))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number))
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

/// Bytes of a fixed width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed<const N: usize>(pub(super) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex<const N: usize>;
        impl<const N: usize> Visitor<'_> for Hex<N> {
            type Value = Fixed<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{N} bytes in hexadecimal")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Fixed<N>, E> {
                let mut bytes = [0; N];
                decode(text, &mut bytes).map_err(|()| E::custom(format_args!("{:?} is not {N} bytes in hexadecimal", shortened(text))))?;
                Ok(Fixed(bytes))
            }
        }
        deserializer.deserialize_str(Hex::<N>)
    }
}

/// Decodes `0x` hexadecimal of exactly the length of `bytes`.
fn decode(text: &str, bytes: &mut [u8]) -> Result<(), ()> {
    decode_digits(text.strip_prefix("0x").ok_or(())?.as_bytes(), bytes)
}

/// Decodes hexadecimal digits of exactly the length of `bytes`.
fn decode_digits(digits: &[u8], bytes: &mut [u8]) -> Result<(), ()> {
    // The decoder would drop another "0x".
    if digits.len() != 2 * bytes.len() || digits.starts_with(b"0x") {
        return Err(());
    }
    schemas::alloy_primitives::hex::decode_to_slice(digits, bytes).map_err(|_| ())
}

/// A node's text, cut for an error.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
