//! Rows of a query as JSON that loses nothing: decimals as text at any depth, integers as numbers as far as every
//! reader keeps them (2^53) and as text beyond, what is not finite as text.

use std::collections::BTreeSet;

use schemas::arrow::array::{Array, AsArray, RecordBatch};
use schemas::arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use schemas::arrow::downcast_dictionary_array;
use schemas::arrow::error::ArrowError;
use schemas::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Number, Value};

/// The largest integer up to which every integer is a double: JavaScript's `Number.MAX_SAFE_INTEGER`.
const SAFE_INTEGER: i128 = (1 << 53) - 1;
/// Lists and structs within each other.
const MAX_DEPTH: usize = 64;

/// Every row as an array of its columns' values, of at most so many bytes as text.
///
/// # Errors
/// [`ArrowError::MemoryError`] where there are more: a column can hold many values in few bytes.
pub(super) fn as_arrays(batches: &[RecordBatch], max_bytes: usize) -> Result<Vec<Value>, ArrowError> {
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    let mut room = Room { left: max_bytes, max: max_bytes };
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| value(column.as_ref(), row, 0, &mut room));
            rows.push(Value::Array(cells.collect::<Result<_, _>>()?));
        }
    }
    Ok(rows)
}

/// What is left for the values to come.
struct Room {
    left: usize,
    max: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), ArrowError> {
        let too_many = || ArrowError::MemoryError(format!("its result exceeds {} bytes; select less, or add a LIMIT", self.max));
        self.left = self.left.checked_sub(bytes).ok_or_else(too_many)?;
        Ok(())
    }
}

/// What a value takes beside its text.
const VALUE_BYTES: usize = 8;

/// One value. `depth` counts what it stands in.
fn value(array: &dyn Array, row: usize, depth: usize, room: &mut Room) -> Result<Value, ArrowError> {
    room.take(VALUE_BYTES)?;
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    if depth > MAX_DEPTH {
        return Err(ArrowError::InvalidArgumentError(format!("a value nests deeper than {MAX_DEPTH}")));
    }
    let mut list = |values: &dyn Array| {
        (0..values.len()).map(|index| value(values, index, depth + 1, room)).collect::<Result<Vec<_>, _>>().map(Value::Array)
    };
    let written = match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int8 => integer(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => integer(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => integer(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => integer(array.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => integer(array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => integer(array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => integer(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float16 => float(array.as_primitive::<Float16Type>().value(row).to_f64()),
        // Its own shortest digits, not those of the double that it becomes.
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).to_string().parse().unwrap_or(f64::NAN)),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(row)),
        DataType::List(_) => list(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row))?,
        DataType::ListView(_) => list(&array.as_list_view::<i32>().value(row))?,
        DataType::LargeListView(_) => list(&array.as_list_view::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let values = columns.iter().map(|column| value(column.as_ref(), row, depth + 1, room)).collect::<Result<Vec<_>, _>>()?;
            named(fields.iter().map(|field| field.name().clone()), values)
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let names = (0..entries.len()).map(|index| text(keys.as_ref(), index)).collect::<Result<Vec<_>, _>>()?;
            let values = (0..entries.len()).map(|index| value(values.as_ref(), index, depth + 1, room)).collect::<Result<Vec<_>, _>>()?;
            named(names.into_iter(), values)
        }
        DataType::Dictionary(..) => {
            downcast_dictionary_array!(
                array => match array.key(row) {
                    Some(key) => value(array.values().as_ref(), key, depth + 1, room)?,
                    None => Value::Null,
                },
                _ => Value::String(text(array, row)?)
            )
        }
        // Decimals, and times as ISO 8601 has them.
        _ => Value::String(text(array, row)?),
    };
    room.take(written.as_str().map_or(0, str::len))?;
    Ok(written)
}

/// An object, or a list of names and values where a name is there twice.
fn named(names: impl Iterator<Item = String>, values: Vec<Value>) -> Value {
    let names: Vec<String> = names.collect();
    let count = names.len();
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() == count {
        return Value::Object(names.into_iter().zip(values).collect());
    }
    Value::Array(names.into_iter().zip(values).map(|(name, value)| Value::Array(vec![name.into(), value])).collect())
}

fn integer(value: impl Into<i128>) -> Value {
    let value: i128 = value.into();
    match i64::try_from(value) {
        Ok(small) if value.abs() <= SAFE_INTEGER => Value::Number(small.into()),
        _ => Value::String(value.to_string()),
    }
}

fn float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn bytes(value: &[u8]) -> Value {
    format!("0x{}", hex::encode(value)).into()
}

fn text(array: &dyn Array, row: usize) -> Result<String, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options)?;
    formatter.value(row).try_to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::arrow::array::{
        ArrayRef, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int64Array, ListArray, NullArray, StringArray, StructArray,
        TimestampMillisecondArray, UInt64Array,
    };
    use schemas::arrow::buffer::OffsetBuffer;
    use schemas::arrow::datatypes::{Field, i256};

    use super::*;

    fn rows(columns: Vec<(&str, ArrayRef)>) -> String {
        serde_json::to_string(&as_arrays(&[RecordBatch::try_from_iter(columns).unwrap()], 1 << 20).unwrap()).unwrap()
    }

    fn decimals(values: Vec<Option<i128>>, scale: i8) -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(38, scale).unwrap())
    }

    #[test]
    fn amounts_keep_every_digit_at_any_depth() {
        let amount = 99_999_999_999_999_999_999_999_999_999_999_999_999_i128;
        assert_eq!(rows(vec![("wei", decimals(vec![Some(amount), None, Some(-1)], 0))]), format!(r#"[["{amount}"],[null],["-1"]]"#));
        assert_eq!(rows(vec![("x", decimals(vec![Some(-12)], 3))]), r#"[["-0.012"]]"#);
        let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
        let inner = decimals(vec![Some(amount), Some(2)], 0);
        let list: ArrayRef = Arc::new(ListArray::new(field("item", &inner), OffsetBuffer::from_lengths([2]), inner, None));
        assert_eq!(rows(vec![("l", list.clone())]), format!(r#"[[["{amount}","2"]]]"#));
        let structs: ArrayRef = Arc::new(StructArray::from(vec![(field("l", &list), list)]));
        assert_eq!(rows(vec![("s", structs)]), format!(r#"[[{{"l":["{amount}","2"]}}]]"#));
        let widest = i256::from_string(&"9".repeat(76)).unwrap();
        let widest: ArrayRef = Arc::new(Decimal256Array::from(vec![widest]).with_precision_and_scale(76, 0).unwrap());
        assert_eq!(rows(vec![("w", widest)]), format!(r#"[["{}"]]"#, "9".repeat(76)));
    }

    #[test]
    fn numbers_are_numbers_as_far_as_every_reader_keeps_them() {
        let integers: ArrayRef = Arc::new(Int64Array::from(vec![9_007_199_254_740_991, 9_007_199_254_740_992, i64::MIN, -5]));
        assert_eq!(rows(vec![("i", integers)]), r#"[[9007199254740991],["9007199254740992"],["-9223372036854775808"],[-5]]"#);
        let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert_eq!(rows(vec![("u", unsigned)]), r#"[["18446744073709551615"]]"#);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, 1e300]));
        assert_eq!(rows(vec![("f", floats)]), r#"[["NaN"],["Infinity"],["-Infinity"],[0.1],[1e+300]]"#);
        let small: ArrayRef = Arc::new(Float32Array::from(vec![0.1, f32::INFINITY]));
        assert_eq!(rows(vec![("f", small)]), r#"[[0.1],["Infinity"]]"#);
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![0]).with_timezone("UTC"));
        assert_eq!(rows(vec![("t", times)]), r#"[["1970-01-01T00:00:00Z"]]"#);
    }

    #[test]
    fn many_values_in_few_bytes_are_too_many() {
        let nulls: ArrayRef = Arc::new(NullArray::new(1 << 20));
        let field = Arc::new(Field::new("item", DataType::Null, true));
        let list: ArrayRef = Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([1 << 20]), nulls, None));
        let batch = RecordBatch::try_from_iter(vec![("n", list)]).unwrap();
        assert!(as_arrays(std::slice::from_ref(&batch), 16 << 20).is_ok());
        assert!(matches!(as_arrays(&[batch], 1 << 20), Err(ArrowError::MemoryError(_))));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1000)]));
        assert!(as_arrays(&[RecordBatch::try_from_iter(vec![("t", text)]).unwrap()], 1000).is_err());
    }

    #[test]
    fn two_columns_of_one_name_are_both_there() {
        let column = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        assert_eq!(rows(vec![("x", column(1)), ("x", column(2))]), "[[1,2]]");
        let field = || Arc::new(Field::new("a", DataType::Int64, true));
        let twice: ArrayRef = Arc::new(StructArray::from(vec![(field(), column(1)), (field(), column(2))]));
        assert_eq!(rows(vec![("s", twice)]), r#"[[[["a",1],["a",2]]]]"#);
    }
}
