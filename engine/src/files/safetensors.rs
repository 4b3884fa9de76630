//! Reading weights out of a safetensors file whose header may lie.
//!
//! The format is eight bytes of header length, a JSON header, then the tensors' bytes. Everything a header claims is
//! checked against the bytes that are there before any of it is used: nothing larger than the file is ever allocated.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::kernels::half_to_f32;

/// A BERT's header is about 10 kB; one with the experts of a whole layered model in one file has 5 MB.
const HEADER_BYTES_MAX: usize = 16 << 20;

/// The tensors of one file, by name.
pub(crate) struct Safetensors<'a> {
    header: Header,
    data: &'a [u8],
}

/// What a file says it holds, checked against its length.
pub(crate) struct Header {
    pub(crate) tensors: BTreeMap<String, Tensor>,
    /// Where the tensors' bytes begin in the file.
    pub(crate) data_start: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tensor {
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    /// From `data_start`.
    pub(crate) data_offsets: (usize, usize),
}

impl Header {
    /// # Errors
    /// A sentence saying where the file breaks the format.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, String> {
        let (length, rest) = file.split_first_chunk::<8>().ok_or("the file is shorter than a header's length")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > HEADER_BYTES_MAX {
            return Err(format!("a header of {length} bytes, {HEADER_BYTES_MAX} allowed"));
        }
        let (header, data) = rest
            .split_at_checked(length)
            .ok_or_else(|| format!("it ends early: a header of {length} bytes in {} bytes; download it again", file.len()))?;
        let mut header: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(header).map_err(|error| format!("the header: {error}"))?;
        header.remove("__metadata__");
        let ends = header.values().filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
        if let Some(end) = ends.max().filter(|end| *end > data.len() as u64) {
            return Err(format!("it ends early: {} bytes of tensors are there of {end}; download it again", data.len()));
        }
        let mut tensors = BTreeMap::new();
        for (name, tensor) in header {
            let tensor: Tensor = serde_json::from_value(tensor).map_err(|error| format!("the header of {name}: {error}"))?;
            tensor.check(data.len()).map_err(|reason| format!("{name}: {reason}"))?;
            tensors.insert(name, tensor);
        }
        check_coverage(tensors.values(), data.len())?;
        Ok(Self { tensors, data_start: file.len() - data.len() })
    }
}

impl<'a> Safetensors<'a> {
    /// # Errors
    /// A sentence saying where the file breaks the format.
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, String> {
        let header = Header::parse(file)?;
        let data = file.get(header.data_start..).unwrap_or_default();
        Ok(Self { header, data })
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.header.tensors.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.header.tensors.keys().map(String::as_str)
    }

    /// None where there is no such tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// The tensor's numbers, row-major, as f32. None of them is infinite or NaN.
    ///
    /// # Errors
    /// A sentence, where it is missing, has another shape, or holds what a weight cannot be.
    pub(crate) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self.header.tensors.get(name).ok_or_else(|| format!("tensor {name} is missing"))?;
        if tensor.shape != shape {
            return Err(format!("tensor {name} is {:?}, not {shape:?}", tensor.shape));
        }
        let (start, end) = tensor.data_offsets;
        let bytes = self.data.get(start..end).ok_or_else(|| format!("tensor {name} lies outside the file"))?;
        let numbers: Vec<f32> = match tensor.dtype.as_str() {
            "F32" => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            "BF16" => bytes.as_chunks().0.iter().map(|bytes| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16)).collect(),
            "F16" => bytes.as_chunks().0.iter().map(|bytes| half_to_f32(u16::from_le_bytes(*bytes))).collect(),
            other => return Err(format!("tensor {name} is of type {other}; F32, F16 and BF16 are read")),
        };
        match numbers.iter().position(|number| !number.is_finite()) {
            Some(at) => Err(format!("tensor {name} holds {} at {at}", numbers[at])),
            None => Ok(numbers),
        }
    }
}

impl Tensor {
    fn check(&self, data_bytes: usize) -> Result<(), String> {
        let (start, end) = self.data_offsets;
        if start > end || end > data_bytes {
            return Err(format!("bytes {start} to {end} of {data_bytes}"));
        }
        let bits = match self.dtype.as_str() {
            "F64" | "I64" | "U64" | "C64" => 64,
            "F32" | "I32" | "U32" => 32,
            "F16" | "BF16" | "I16" | "U16" => 16,
            "I8" | "U8" | "BOOL" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" => 8,
            other => return Err(format!("of unknown type {other}")),
        };
        let size = self.shape.iter().try_fold(1_usize, |size, side| size.checked_mul(*side)).and_then(|size| size.checked_mul(bits / 8));
        if size != Some(end - start) {
            return Err(format!("{:?} of {} does not fill {} bytes", self.shape, self.dtype, end - start));
        }
        Ok(())
    }
}

/// Tensors lie one after the other and fill the file: no byte is claimed twice or by none.
fn check_coverage<'t>(tensors: impl Iterator<Item = &'t Tensor>, data_bytes: usize) -> Result<(), String> {
    let mut ranges: Vec<(usize, usize)> = tensors.map(|tensor| tensor.data_offsets).collect();
    ranges.sort_unstable();
    let mut reached = 0;
    for (start, end) in ranges {
        if start != reached {
            return Err(format!("a tensor starts at byte {start}, where {reached} is next"));
        }
        reached = end;
    }
    if reached == data_bytes { Ok(()) } else { Err(format!("tensors fill {reached} of {data_bytes} bytes")) }
}

#[cfg(test)]
mod tests;
