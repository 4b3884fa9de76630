//! Scalar functions over event logs: bytes as `0x` text, and numbers from hexadecimal words.

use std::any::Any;
use std::sync::Arc;

use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use schemas::alloy_primitives::hex;
use schemas::arrow::array::{Array, ArrayRef, AsArray, Decimal256Array, Int64Array, StringArray};
use schemas::arrow::datatypes::{DataType, i256};

/// What a word is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// `evm_uint64(word) -> Int64`
    Uint64,
    /// `evm_uint256(word) -> Decimal256(76, 0)`
    Uint256,
}

/// Digits of the widest decimal that Arrow has.
pub(super) const DIGITS: u8 = 76;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Word {
    kind: Kind,
    signature: Signature,
}

/// `evm_uint64` and `evm_uint256`: unsigned integers from hexadecimal words with or without `0x`.
/// NULL for NULL, and for a number that does not fit the column (the word stays in `logs`).
pub(super) fn word_functions() -> [ScalarUDF; 2] {
    [Kind::Uint64, Kind::Uint256]
        .map(|kind| ScalarUDF::from(Word { kind, signature: Signature::exact(vec![DataType::Utf8], Volatility::Immutable) }))
}

impl ScalarUDFImpl for Word {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Uint64 => "evm_uint64",
            Kind::Uint256 => "evm_uint256",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Uint64 => DataType::Int64,
            Kind::Uint256 => DataType::Decimal256(DIGITS, 0),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(words) = arrays.first().and_then(|array| array.as_string_opt::<i32>()) else {
            return exec_err!("{} takes one text argument", self.name());
        };
        let array: ArrayRef = match self.kind {
            Kind::Uint64 => Arc::new(words.iter().map(|word| word.and_then(uint64)).collect::<Int64Array>()),
            Kind::Uint256 => {
                let values = words.iter().map(|word| word.and_then(uint256)).collect::<Decimal256Array>();
                Arc::new(values.with_precision_and_scale(DIGITS, 0)?)
            }
        };
        debug_assert_eq!(array.len(), words.len());
        Ok(ColumnarValue::Array(array))
    }
}

/// `evm_hex(bytes) -> Utf8`: bytes as `0x` text; NULL for NULL.
pub(super) fn hex() -> ScalarUDF {
    ScalarUDF::from(Hex { signature: Signature::any(1, Volatility::Immutable) })
}

/// Whether the function is [`hex`].
pub(super) fn is_hex(function: &ScalarUDF) -> bool {
    let any: &dyn Any = function.inner().as_ref();
    any.is::<Hex>()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Hex {
    signature: Signature,
}

impl ScalarUDFImpl for Hex {
    fn name(&self) -> &str {
        "evm_hex"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else { return exec_err!("{} takes bytes", self.name()) };
        let text: StringArray = if let Some(values) = array.as_fixed_size_binary_opt() {
            values.iter().map(|value| value.map(hex::encode_prefixed)).collect()
        } else if let Some(values) = array.as_binary_opt::<i32>() {
            values.iter().map(|value| value.map(hex::encode_prefixed)).collect()
        } else {
            return exec_err!("{} takes bytes, not {}", self.name(), array.data_type());
        };
        Ok(ColumnarValue::Array(Arc::new(text)))
    }
}

fn digits(word: &str) -> &str {
    word.strip_prefix("0x").unwrap_or(word).trim_start_matches('0')
}

fn uint64(word: &str) -> Option<i64> {
    match digits(word) {
        "" => Some(0),
        digits => i64::from_str_radix(digits, 16).ok(),
    }
}

fn uint256(word: &str) -> Option<i256> {
    let value = match digits(word) {
        "" => schemas::U256::ZERO,
        digits => schemas::U256::from_str_radix(digits, 16).ok()?,
    };
    (value < decimal_limit()).then(|| i256::from_be_bytes(value.to_be_bytes()))
}

/// The first number that the widest decimal does not hold.
pub(super) fn decimal_limit() -> schemas::U256 {
    schemas::U256::from(10).pow(schemas::U256::from(DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let word = |value: &str| format!("0x{value:0>64}");
        assert_eq!(uint64(&word("0")), Some(0));
        assert_eq!(uint64(&word("ff")), Some(255));
        assert_eq!(uint64(&word("7fffffffffffffff")), Some(i64::MAX));
        assert_eq!(uint64(&word("8000000000000000")), None);
        assert_eq!(uint64("zz"), None);
        assert_eq!(uint256(&word("de0b6b3a7640000")), Some(i256::from_i128(1_000_000_000_000_000_000)));
        assert_eq!(uint256(&"f".repeat(64)), None);
    }
}
