//! Functions that views of events are made of: they read parameters from the bytes of topics and data.
//! They are bound to their event, so a query cannot call them by name.

use std::any::Any;
use std::sync::Arc;

use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col, lit};
use schemas::U256;
use schemas::alloy_primitives::I256;
use schemas::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal256Array, Int64Array, StringArray, UInt64Array};
use schemas::arrow::datatypes::{DataType, i256};
use schemas::events::{ColumnKind, EventBody, EventTable, Place, WordType};

use super::functions::{DIGITS, decimal_limit};
use super::meaning::Meaning;

/// Text of one batch of rows, at most: Arrow's offsets end at 2 GiB.
const MAX_BATCH_BYTES: usize = 512 << 20;

/// A parameter as an expression over the columns of `logs`.
pub(super) fn parameter(place: Place, kind: ColumnKind, body: &Arc<EventBody>) -> Expr {
    let (read, column, index) = match place {
        Place::Topic(topic, word) => (Read::Word(word, kind), format!("topic{topic}"), 0),
        Place::Data(index, word) => (Read::Word(word, kind), "data".to_owned(), index),
        Place::Body(index) => (Read::Text(body.clone()), "data".to_owned(), index),
    };
    let function = ScalarUDF::from(Parameter { read, signature: Signature::any(2, Volatility::Immutable) });
    function.call(vec![col(column), lit(index as i64)])
}

/// What the text means that a call of [`parameter`]'s function makes; `None` for another function.
pub(super) fn meaning(call: &ScalarFunction) -> Option<Meaning> {
    let any: &dyn Any = call.func.inner().as_ref();
    Some(match &any.downcast_ref::<Parameter>()?.read {
        Read::Word(WordType::Address | WordType::FixedBytes(_), ColumnKind::Text) => Meaning::Hex,
        Read::Word(WordType::Uint(_) | WordType::Int(_), ColumnKind::Text) => Meaning::Digits,
        Read::Word(..) => Meaning::Plain,
        Read::Text(body) => match call.args.get(1) {
            Some(Expr::Literal(ScalarValue::Int64(Some(index)), _)) if usize::try_from(*index).is_ok_and(|index| body.is_bytes(index)) => {
                Meaning::Hex
            }
            _ => Meaning::Plain,
        },
    })
}

/// Whether a log is what its ABI says, as an expression over the columns of `logs`.
pub(super) fn decodes(table: &EventTable) -> Expr {
    let function = ScalarUDF::from(Decodes { table: Arc::new(table.clone()), signature: Signature::any(4, Volatility::Immutable) });
    function.call(["topic1", "topic2", "topic3", "data"].map(col).to_vec())
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Read {
    /// The n-th word.
    Word(WordType, ColumnKind),
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
            Read::Word(_, ColumnKind::Text) => "evm_event_text",
            Read::Word(_, ColumnKind::Boolean) => "evm_event_bool",
            Read::Word(_, ColumnKind::Int64) => "evm_event_int64",
            Read::Word(_, ColumnKind::Uint64) => "evm_event_uint64",
            Read::Word(_, ColumnKind::Decimal) => "evm_event_decimal",
            Read::Text(_) => "evm_event_value",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match &self.read {
            Read::Word(_, ColumnKind::Boolean) => DataType::Boolean,
            Read::Word(_, ColumnKind::Int64) => DataType::Int64,
            Read::Word(_, ColumnKind::Uint64) => DataType::UInt64,
            Read::Word(_, ColumnKind::Decimal) => DataType::Decimal256(DIGITS, 0),
            Read::Word(_, ColumnKind::Text) | Read::Text(_) => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(index)))) = args.args.get(1) else {
            return exec_err!("{} takes bytes and a constant index", self.name());
        };
        let index = usize::try_from(*index).unwrap_or(usize::MAX);
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else { return exec_err!("{} takes bytes", self.name()) };
        let values = bytes_of(self.name(), array)?;
        let (word_type, kind) = match &self.read {
            Read::Text(body) => return Ok(ColumnarValue::Array(texts(&values, body, index)?)),
            Read::Word(word_type, kind) => (*word_type, *kind),
        };
        let words = values.iter().map(|value| word_at((*value)?, index).filter(|word| word_type.holds(word)));
        let array: ArrayRef = match kind {
            ColumnKind::Text => Arc::new(words.map(|word| word.map(|word| word_type.text(word))).collect::<StringArray>()),
            ColumnKind::Boolean => Arc::new(words.map(|word| word.map(|word| word.last() == Some(&1))).collect::<BooleanArray>()),
            ColumnKind::Uint64 => Arc::new(words.map(|word| u64::try_from(U256::from_be_bytes(*word?)).ok()).collect::<UInt64Array>()),
            ColumnKind::Int64 => Arc::new(words.map(|word| i64::try_from(I256::from_be_bytes(*word?)).ok()).collect::<Int64Array>()),
            ColumnKind::Decimal => decimals(words.map(|word| Some((magnitude(word_type, word?), word?))))?,
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// `(topic1, topic2, topic3, data) -> Boolean`
#[derive(Debug, PartialEq, Eq, Hash)]
struct Decodes {
    table: Arc<EventTable>,
    signature: Signature,
}

impl ScalarUDFImpl for Decodes {
    fn name(&self) -> &str {
        "evm_event_decodes"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let columns = arrays.iter().map(|array| bytes_of(self.name(), array)).collect::<Result<Vec<_>>>()?;
        let [topic1, topic2, topic3, data] = columns.as_slice() else { return exec_err!("{} takes four columns", self.name()) };
        let rows = topic1.iter().zip(topic2).zip(topic3).zip(data);
        let decoded = rows.map(|(((topic1, topic2), topic3), data)| {
            let topics: Vec<&[u8]> = [topic1, topic2, topic3].into_iter().copied().map_while(|topic| topic).collect();
            Some(self.table.decodes(&topics, data.unwrap_or_default()))
        });
        Ok(ColumnarValue::Array(Arc::new(decoded.collect::<BooleanArray>())))
    }
}

fn bytes_of<'a>(function: &str, array: &'a ArrayRef) -> Result<Vec<Option<&'a [u8]>>> {
    if let Some(values) = array.as_fixed_size_binary_opt() {
        return Ok(values.iter().collect());
    }
    match array.as_binary_opt::<i32>() {
        Some(values) => Ok(values.iter().collect()),
        None => exec_err!("{function} takes bytes, not {}", array.data_type()),
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

fn magnitude(word_type: WordType, word: &[u8; 32]) -> U256 {
    match word_type {
        WordType::Int(_) => I256::from_be_bytes(*word).unsigned_abs(),
        _ => U256::from_be_bytes(*word),
    }
}

/// Magnitudes and the words that hold them, as decimals.
fn decimals<'a>(values: impl Iterator<Item = Option<(U256, &'a [u8; 32])>>) -> Result<ArrayRef> {
    let limit = decimal_limit();
    let fitting = values.map(|value| value.filter(|(magnitude, _)| *magnitude < limit).map(|(_, word)| i256::from_be_bytes(*word)));
    Ok(Arc::new(fitting.collect::<Decimal256Array>().with_precision_and_scale(DIGITS, 0)?))
}
