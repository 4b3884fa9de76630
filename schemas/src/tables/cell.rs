//! How each Rust type stands in an Arrow column.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, FixedSizeListArray, Float32Array,
    Int64Array, ListArray, StringArray, TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, Float32Type, Int64Type, TimeUnit, TimestampMillisecondType};
use serde::{Deserialize, Serialize};

use crate::ids::{AnswerId, ChunkId, DatanetId, DocumentId, ReviewId, Sha256, SubmissionId};

/// UTC milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// The clock's time. Only edges call this; decisions take a time as an argument.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whole seconds since 1970, as signed messages use them.
    pub fn unix_seconds(self) -> u64 {
        u64::try_from(self.0 / 1000).unwrap_or(0)
    }
}

/// An amount of the smallest token unit, below 10^38; a decimal string in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Wei(pub u128);

impl Serialize for Wei {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Wei {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// An L2-normalised vector of [`Embedding::DIMENSIONS`] floats.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Embedding(pub Vec<f32>);

impl Embedding {
    /// The width of the embedding column (all-MiniLM-L6-v2's).
    pub const DIMENSIONS: usize = 384;
}

/// A Rust type with an Arrow column type. Problems are told in words; the table adds where.
pub(crate) trait Cell: Sized {
    const NULLABLE: bool = false;
    fn data_type() -> DataType;
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String>
    where
        Self: 'a;
    fn read(array: &dyn Array) -> Result<Vec<Self>, String>;
}

fn no_nulls(array: &dyn Array) -> Result<(), String> {
    if array.null_count() > 0 { Err("holds a null".into()) } else { Ok(()) }
}

fn wrong_type<T: Cell>(array: &dyn Array) -> String {
    format!("is {} instead of {}", array.data_type(), T::data_type())
}

/// Types that stand as text and are parsed back.
macro_rules! text_cell {
    ($($ty:ty),+) => { $(
        impl Cell for $ty {
            fn data_type() -> DataType { DataType::Utf8 }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
                Ok(Arc::new(StringArray::from_iter_values(values.map(TextCell::text))))
            }
            fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
                no_nulls(array)?;
                let array = array.as_string_opt::<i32>().ok_or_else(|| wrong_type::<Self>(array))?;
                array.iter().map(|value| TextCell::parse(value.unwrap_or_default())).collect()
            }
        }
        impl Cell for Option<$ty> {
            const NULLABLE: bool = true;
            fn data_type() -> DataType { DataType::Utf8 }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
                Ok(Arc::new(values.map(|value| value.as_ref().map(TextCell::text)).collect::<StringArray>()))
            }
            fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
                let array = array.as_string_opt::<i32>().ok_or_else(|| wrong_type::<Self>(array))?;
                array.iter().map(|value| value.map(TextCell::parse).transpose()).collect()
            }
        }
    )+ };
}

trait TextCell: Sized {
    fn text(&self) -> String;
    fn parse(text: &str) -> Result<Self, String>;
}

impl TextCell for String {
    fn text(&self) -> String {
        self.clone()
    }
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl TextCell for Address {
    fn text(&self) -> String {
        format!("{self:#x}")
    }
    fn parse(text: &str) -> Result<Self, String> {
        crate::ids::parse_address(text).map_err(|error| error.to_string())
    }
}

impl TextCell for B256 {
    fn text(&self) -> String {
        format!("{self:#x}")
    }
    fn parse(text: &str) -> Result<Self, String> {
        crate::ids::parse_b256("hash", text).map_err(|error| error.to_string())
    }
}

macro_rules! id_text_cell {
    ($($ty:ty),+) => { $(
        impl TextCell for $ty {
            fn text(&self) -> String { self.to_string() }
            fn parse(text: &str) -> Result<Self, String> { text.parse().map_err(|error: crate::SchemaError| error.to_string()) }
        }
    )+ };
}
id_text_cell!(AnswerId, ChunkId, DatanetId, DocumentId, ReviewId, Sha256, SubmissionId);
text_cell!(String, Address, B256, AnswerId, ChunkId, DatanetId, DocumentId, ReviewId, Sha256, SubmissionId);

impl Cell for u64 {
    fn data_type() -> DataType {
        DataType::Int64
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
        let values: Result<Vec<i64>, String> =
            values.map(|value| i64::try_from(*value).map_err(|_| format!("{value} exceeds 63 bits"))).collect();
        Ok(Arc::new(Int64Array::from(values?)))
    }
    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        no_nulls(array)?;
        Option::<u64>::read(array).map(|values| values.into_iter().flatten().collect())
    }
}

impl Cell for Option<u64> {
    const NULLABLE: bool = true;
    fn data_type() -> DataType {
        DataType::Int64
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
        let values: Result<Vec<Option<i64>>, String> = values
            .map(|value| value.map(|value| i64::try_from(value).map_err(|_| format!("{value} exceeds 63 bits"))).transpose())
            .collect();
        Ok(Arc::new(Int64Array::from(values?)))
    }
    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        let array = array.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong_type::<Self>(array))?;
        array.iter().map(|value| value.map(|value| u64::try_from(value).map_err(|_| format!("{value} is negative"))).transpose()).collect()
    }
}

impl Cell for bool {
    fn data_type() -> DataType {
        DataType::Boolean
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
        Ok(Arc::new(values.map(|value| Some(*value)).collect::<BooleanArray>()))
    }
    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        no_nulls(array)?;
        let array = array.as_boolean_opt().ok_or_else(|| wrong_type::<Self>(array))?;
        Ok(array.iter().map(|value| value.unwrap_or_default()).collect())
    }
}

impl Cell for Millis {
    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
        Ok(Arc::new(TimestampMillisecondArray::from_iter_values(values.map(|value| value.0)).with_timezone("UTC")))
    }
    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        no_nulls(array)?;
        let array = array.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(|| wrong_type::<Self>(array))?;
        Ok(array.values().iter().map(|value| Self(*value)).collect())
    }
}

impl Cell for Wei {
    fn data_type() -> DataType {
        DataType::Decimal128(38, 0)
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
        let limit = 10u128.pow(38);
        let values: Result<Vec<i128>, String> = values
            .map(|value| match i128::try_from(value.0) {
                Ok(signed) if value.0 < limit => Ok(signed),
                _ => Err(format!("{} wei exceeds 38 digits", value.0)),
            })
            .collect();
        let array = Decimal128Array::from(values?).with_precision_and_scale(38, 0).map_err(|error| error.to_string())?;
        Ok(Arc::new(array))
    }
    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        no_nulls(array)?;
        let array = array.as_primitive_opt::<Decimal128Type>().ok_or_else(|| wrong_type::<Self>(array))?;
        array.values().iter().map(|value| u128::try_from(*value).map(Self).map_err(|_| format!("{value} is negative"))).collect()
    }
}

/// The field name that Arrow's own list builders give to items.
const ITEM: &str = "item";

macro_rules! text_list_cell {
    ($($ty:ty),+) => { $(
        impl Cell for Vec<$ty> {
            fn data_type() -> DataType { DataType::List(Arc::new(Field::new(ITEM, DataType::Utf8, true))) }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
                let values: Vec<&Self> = values.collect();
                let items = StringArray::from(values.iter().flat_map(|list| list.iter().map(TextCell::text)).collect::<Vec<String>>());
                let offsets = OffsetBuffer::from_lengths(values.iter().map(|list| list.len()));
                let field = Arc::new(Field::new(ITEM, DataType::Utf8, true));
                ListArray::try_new(field, offsets, Arc::new(items), None)
                    .map(|array| Arc::new(array) as ArrayRef)
                    .map_err(|error| error.to_string())
            }
            fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
                no_nulls(array)?;
                let array = array.as_list_opt::<i32>().ok_or_else(|| wrong_type::<Self>(array))?;
                array.iter().map(|list| match list {
                    Some(list) => <$ty as Cell>::read(list.as_ref()),
                    None => Ok(Vec::new()),
                }).collect()
            }
        }
    )+ };
}
text_list_cell!(String, Address);

impl Cell for Embedding {
    fn data_type() -> DataType {
        DataType::FixedSizeList(Arc::new(Field::new(ITEM, DataType::Float32, true)), Self::DIMENSIONS as i32)
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
        let mut floats = Vec::new();
        for value in values {
            if value.0.len() != Self::DIMENSIONS {
                return Err(format!("a vector of {} instead of {} dimensions", value.0.len(), Self::DIMENSIONS));
            }
            floats.extend_from_slice(&value.0);
        }
        let field = Arc::new(Field::new(ITEM, DataType::Float32, true));
        FixedSizeListArray::try_new(field, Self::DIMENSIONS as i32, Arc::new(Float32Array::from(floats)), None)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| error.to_string())
    }
    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        no_nulls(array)?;
        let lists = array.as_fixed_size_list_opt().ok_or_else(|| wrong_type::<Self>(array))?;
        lists
            .iter()
            .map(|list| {
                let list = list.ok_or("holds a null")?;
                let floats = list.as_primitive_opt::<Float32Type>().ok_or_else(|| wrong_type::<Self>(array))?;
                Ok(Self(floats.values().to_vec()))
            })
            .collect()
    }
}

/// A hash or address as its bytes: half the size of the text, for the tables that hold millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw<T>(pub T);

macro_rules! raw_cell {
    ($($ty:ty),+) => { $(
        impl Cell for Raw<$ty> {
            fn data_type() -> DataType { DataType::FixedSizeBinary(<$ty>::len_bytes() as i32) }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
                let bytes: Vec<u8> = values.flat_map(|value| value.0.iter().copied()).collect();
                Ok(Arc::new(FixedSizeBinaryArray::new(<$ty>::len_bytes() as i32, bytes.into(), None)))
            }
            fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
                no_nulls(array)?;
                Option::<Raw<$ty>>::read(array).map(|values| values.into_iter().flatten().collect())
            }
        }
        impl Cell for Option<Raw<$ty>> {
            const NULLABLE: bool = true;
            fn data_type() -> DataType { DataType::FixedSizeBinary(<$ty>::len_bytes() as i32) }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
                let values = values.map(|value| value.as_ref().map(|raw| raw.0.as_slice()));
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, <$ty>::len_bytes() as i32)
                    .map(|array| Arc::new(array) as ArrayRef)
                    .map_err(|error| error.to_string())
            }
            fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
                let array = array.as_fixed_size_binary_opt().filter(|array| array.value_length() == <$ty>::len_bytes() as i32);
                let array = array.ok_or_else(|| format!("is not a column of {} bytes", <$ty>::len_bytes()))?;
                Ok(array.iter().map(|value| value.map(|value| Raw(<$ty>::from_slice(value)))).collect())
            }
        }
    )+ };
}
raw_cell!(B256, Address);

impl Cell for Bytes {
    fn data_type() -> DataType {
        DataType::Binary
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, String> {
        Ok(Arc::new(BinaryArray::from_iter_values(values)))
    }
    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        no_nulls(array)?;
        let array = array.as_binary_opt::<i32>().ok_or_else(|| wrong_type::<Self>(array))?;
        Ok(array.iter().map(|value| Self::copy_from_slice(value.unwrap_or_default())).collect())
    }
}
