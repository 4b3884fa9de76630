//! Latent attention's second matrix, put together of the two tensors that llama.cpp keeps it in.

use std::borrow::Cow;

use super::inventory::Shape;
use super::tensor_store::{Stored, TensorStore};
use crate::kernels::{MatrixSource, TensorKind};

/// Keys `[heads][rank][key width]` and values `[heads][value width][rank]`.
pub(super) struct Apart<'a> {
    keys: (String, &'a Stored),
    values: (String, &'a Stored),
    rank: usize,
    key_width: usize,
    value_width: usize,
    columns: usize,
}

impl<'a> Apart<'a> {
    /// # Errors
    /// A sentence, where the two do not make a matrix of that shape.
    pub(super) fn new(keys: (String, &'a Stored), values: (String, &'a Stored), heads: usize, shape: Shape) -> Result<Self, String> {
        let Shape::Matrix { columns, inner: rank } = shape else {
            return Err("latent attention's second weight is a matrix".to_owned());
        };
        let fits = match (keys.1.shape.as_slice(), values.1.shape.as_slice()) {
            ([one, key_rank, key_width], [other, value_width, value_rank])
                if (*one, *other, *key_rank, *value_rank) == (heads, heads, rank, rank)
                    && key_width.checked_add(*value_width).and_then(|width| width.checked_mul(heads)) == Some(columns) =>
            {
                Some((*key_width, *value_width))
            }
            _ => None,
        };
        let ((keys_name, keys_tensor), (values_name, values_tensor)) = (&keys, &values);
        let (key_width, value_width) = fits.ok_or_else(|| {
            format!(
                "tensors {keys_name} {:?} and {values_name} {:?} do not make {columns} rows of {rank}",
                keys_tensor.shape, values_tensor.shape
            )
        })?;
        Ok(Self { keys, values, rank, key_width, value_width, columns })
    }

    /// Turning round takes blocks apart: the matrix is f32.
    pub(super) fn read(&self, store: &TensorStore) -> Result<MatrixSource<'static>, String> {
        let keys = store.numbers(&self.keys.0, self.keys.1)?;
        let values = store.numbers(&self.values.0, self.values.1)?;
        let mut bytes = Vec::with_capacity(4 * self.columns * self.rank);
        let heads = keys.chunks_exact(self.rank * self.key_width).zip(values.chunks_exact(self.rank * self.value_width));
        for (keys, values) in heads {
            for column in 0..self.key_width {
                let row = keys.iter().skip(column).step_by(self.key_width);
                row.for_each(|number| bytes.extend(number.to_le_bytes()));
            }
            values.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        }
        Ok(MatrixSource { kind: TensorKind::F32, columns: self.columns, inner: self.rank, bytes: Cow::Owned(bytes), bias: None })
    }
}
