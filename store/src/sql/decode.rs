//! Functions that views of events are made of: they read parameters from the bytes of topics and data.
//! They are bound to their event, so a query cannot call them by name.

use std::sync::Arc;

use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col, lit};
use schemas::U256;
use schemas::alloy_primitives::I256;
use schemas::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal256Array, Int64Array, StringArray};
use schemas::arrow::datatypes::{DataType, i256};
use schemas::events::{EventBody, Place, WordType};

use super::functions::{DIGITS, decimal_limit};

/// Text of one batch of rows, at most: Arrow's offsets end at 2 GiB.
const MAX_BATCH_BYTES: usize = 512 << 20;

/// A parameter as an expression over the columns of `logs`.
pub(super) fn parameter(place: Place, body: &Arc<EventBody>) -> Expr {
    let (read, column, index) = match place {
        Place::Topic(topic, word) => (Read::Word(word), format!("topic{topic}"), 0),
        Place::Data(index, word) => (Read::Word(word), "data".to_owned(), index),
        Place::Body(index) => (Read::Text(body.clone()), "data".to_owned(), index),
    };
    let function = ScalarUDF::from(Parameter { read, signature: Signature::any(2, Volatility::Immutable) });
    function.call(vec![col(column), lit(index as i64)])
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Read {
    /// The n-th word.
    Word(WordType),
    /// The n-th parameter, as text.
    Text(Arc<EventBody>),
}

/// `(bytes, index) -> value`; NULL for NULL, and for what is missing, malformed or too large for its column.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Parameter {
    read: Read,
    signature: Signature,
}

impl ScalarUDFImpl for Parameter {
    fn name(&self) -> &str {
        match &self.read {
            Read::Word(WordType::Address) => "evm_event_address",
            Read::Word(WordType::FixedBytes(_)) => "evm_event_bytes",
            Read::Word(WordType::Bool) => "evm_event_bool",
            Read::Word(WordType::Uint64) => "evm_event_uint64",
            Read::Word(WordType::Uint256) => "evm_event_uint256",
            Read::Word(WordType::Int64) => "evm_event_int64",
            Read::Word(WordType::Int256) => "evm_event_int256",
            Read::Text(_) => "evm_event_value",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match &self.read {
            Read::Word(WordType::Bool) => DataType::Boolean,
            Read::Word(WordType::Uint64 | WordType::Int64) => DataType::Int64,
            Read::Word(WordType::Uint256 | WordType::Int256) => DataType::Decimal256(DIGITS, 0),
            Read::Word(WordType::Address | WordType::FixedBytes(_)) | Read::Text(_) => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(index)))) = args.args.get(1) else {
            return exec_err!("{} takes bytes and a constant index", self.name());
        };
        let index = usize::try_from(*index).unwrap_or(usize::MAX);
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else { return exec_err!("{} takes bytes", self.name()) };
        let values: Vec<Option<&[u8]>> = if let Some(values) = array.as_fixed_size_binary_opt() {
            values.iter().collect()
        } else if let Some(values) = array.as_binary_opt::<i32>() {
            values.iter().collect()
        } else {
            return exec_err!("{} takes bytes, not {}", self.name(), array.data_type());
        };
        let words = || values.iter().map(|value| value.and_then(|bytes| word_at(bytes, index)));
        let array: ArrayRef = match &self.read {
            Read::Text(body) => texts(&values, body, index)?,
            Read::Word(kind @ (WordType::Address | WordType::FixedBytes(_))) => {
                Arc::new(words().map(|word| word.map(|word| kind.hex(word))).collect::<StringArray>())
            }
            Read::Word(WordType::Bool) => Arc::new(words().map(|word| word.map(|word| word.last() == Some(&1))).collect::<BooleanArray>()),
            Read::Word(WordType::Uint64) => {
                Arc::new(words().map(|word| i64::try_from(U256::from_be_bytes(*word?)).ok()).collect::<Int64Array>())
            }
            Read::Word(WordType::Int64) => {
                Arc::new(words().map(|word| i64::try_from(I256::from_be_bytes(*word?)).ok()).collect::<Int64Array>())
            }
            Read::Word(WordType::Uint256) => decimals(words().map(|word| word.map(|word| (U256::from_be_bytes(*word), word))))?,
            Read::Word(WordType::Int256) => {
                decimals(words().map(|word| word.map(|word| (I256::from_be_bytes(*word).unsigned_abs(), word))))?
            }
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn word_at(bytes: &[u8], index: usize) -> Option<&[u8; 32]> {
    bytes.get(index.checked_mul(32)?..)?.first_chunk()
}

fn texts(values: &[Option<&[u8]>], body: &EventBody, index: usize) -> Result<ArrayRef> {
    let (mut bytes, mut texts) = (0, Vec::with_capacity(values.len()));
    for value in values {
        let text = value.and_then(|data| body.text(data, index));
        bytes += text.as_ref().map_or(0, String::len);
        if bytes > MAX_BATCH_BYTES {
            return exec_err!("decoding makes more than {MAX_BATCH_BYTES} bytes of text at once; select fewer rows");
        }
        texts.push(text);
    }
    Ok(Arc::new(StringArray::from(texts)))
}

/// Magnitudes and the words that hold them, as decimals.
fn decimals<'a>(values: impl Iterator<Item = Option<(U256, &'a [u8; 32])>>) -> Result<ArrayRef> {
    let limit = decimal_limit();
    let fitting = values.map(|value| value.filter(|(magnitude, _)| *magnitude < limit).map(|(_, word)| i256::from_be_bytes(*word)));
    Ok(Arc::new(fitting.collect::<Decimal256Array>().with_precision_and_scale(DIGITS, 0)?))
}
