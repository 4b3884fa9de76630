//! The tensors of a model's files, by name: where each one's bytes lie and how they are encoded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::remedy;
use crate::EngineError;
use crate::architecture::families::names::Rows;
use crate::files::safetensors::Header;
use crate::kernels::{Mapping, TensorKind, dequantise};

/// Owns the maps of the files. Every range in it has been checked against its file.
pub(crate) struct TensorStore {
    files: Vec<(PathBuf, Mapping)>,
    tensors: BTreeMap<String, Stored>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) file: usize,
    /// What a tensor that is no weight may have: only its name is kept.
    pub(crate) kind: Result<TensorKind, String>,
    /// Outermost first: `[rows][inner]`.
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Range<usize>,
}

impl Stored {
    /// All sides but the last.
    pub(crate) fn rows(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    pub(crate) fn inner(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

pub(crate) fn open(path: &Path) -> Result<Mapping, EngineError> {
    let file = File::open(path).map_err(EngineError::io("open", path))?;
    let known = file.metadata().map_err(EngineError::io("read", path))?;
    let broken = |reason: &str| EngineError::BrokenModel { file: path.to_owned(), reason: reason.to_owned() };
    if !known.is_file() {
        return Err(broken("it is no regular file"));
    }
    if known.len() == 0 {
        return Err(broken(remedy::not_the_file(&[]).unwrap_or_default()));
    }
    let mapping = Mapping::new(&file).map_err(EngineError::io("map", path))?;
    match remedy::not_the_file(&mapping) {
        Some(reason) => Err(broken(reason)),
        None => Ok(mapping),
    }
}

impl TensorStore {
    pub(crate) fn new(files: Vec<(PathBuf, Mapping)>) -> Self {
        Self { files, tensors: BTreeMap::new() }
    }

    /// Every `.safetensors` file, mapped and its header read. No name may be in two of them.
    pub(crate) fn safetensors(paths: &[PathBuf]) -> Result<Self, EngineError> {
        let mut store = Self::new(Vec::new());
        for path in paths {
            let mapping = open(path)?;
            let header = Header::parse(&mapping).map_err(EngineError::broken(path))?;
            let start = header.data_start;
            for (name, tensor) in header.tensors {
                let kind = match tensor.dtype.as_str() {
                    "F32" => Ok(TensorKind::F32),
                    "F16" => Ok(TensorKind::F16),
                    "BF16" => Ok(TensorKind::Bf16),
                    _ => Err(tensor.dtype),
                };
                let (from, to) = tensor.data_offsets;
                let stored = Stored { file: store.files.len(), kind, shape: tensor.shape, bytes: start + from..start + to };
                store.insert(name, stored).map_err(EngineError::broken(path))?;
            }
            store.files.push((path.clone(), mapping));
        }
        Ok(store)
    }

    /// `.gguf` files whose headers have been read.
    pub(crate) fn gguf(files: Vec<(PathBuf, Mapping)>, tensors: Vec<(String, Stored)>) -> Result<Self, EngineError> {
        let mut store = Self::new(files);
        for (name, stored) in tensors {
            let path = store.file_of(&stored).to_owned();
            store.insert(name, stored).map_err(EngineError::broken(&path))?;
        }
        Ok(store)
    }

    pub(crate) fn insert(&mut self, name: String, stored: Stored) -> Result<(), String> {
        if self.tensors.contains_key(&name) {
            return Err(format!("tensor {name} is there twice"));
        }
        self.tensors.insert(name, stored);
        Ok(())
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.files.iter().map(|(path, mapping)| (path.as_path(), &**mapping))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Stored> {
        self.tensors.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn file_of(&self, stored: &Stored) -> &Path {
        self.files.get(stored.file).map_or(Path::new(""), |(path, _)| path)
    }

    /// For an error about no tensor in particular.
    pub(crate) fn first_file(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |(path, _)| path)
    }

    /// Whether two tensors hold the same numbers in the same form.
    pub(crate) fn is_same(&self, one: &Stored, other: &Stored) -> bool {
        let bytes = |stored: &Stored| self.files.get(stored.file).and_then(|(_, mapping)| mapping.get(stored.bytes.clone()));
        one.kind == other.kind && one.shape == other.shape && bytes(one) == bytes(other)
    }

    /// The tensor's bytes; all of its numbers are finite.
    fn bytes(&self, name: &str, stored: &Stored) -> Result<(TensorKind, &[u8]), String> {
        let kind = stored.kind.clone().map_err(|kind| format!("tensor {name} is of type {kind}, which is not read"))?;
        let bytes = self.files.get(stored.file).and_then(|(_, mapping)| mapping.get(stored.bytes.clone()));
        let bytes = bytes.ok_or_else(|| format!("tensor {name} lies outside the file"))?;
        Ok((kind, bytes))
    }

    /// The wanted rows of a tensor, as one run of bytes; copied only where they do not lie together.
    pub(crate) fn rows(&self, name: &str, stored: &Stored, rows: &Rows) -> Result<(TensorKind, Cow<'_, [u8]>), String> {
        let (kind, bytes) = self.bytes(name, stored)?;
        let row_bytes = kind.bytes(stored.inner()).ok_or_else(|| format!("tensor {name} has rows of no whole blocks"))?;
        let run = |run: &Range<usize>| {
            let range = run.start.checked_mul(row_bytes)?..run.end.checked_mul(row_bytes)?;
            bytes.get(range)
        };
        let short = || format!("tensor {name} has {} rows: too few", stored.rows());
        let gathered = match rows.runs.as_slice() {
            [one] => Cow::Borrowed(run(one).ok_or_else(short)?),
            several => {
                let wanted: usize = several.iter().map(|run| run.len()).sum();
                let mut gathered = Vec::with_capacity((wanted * row_bytes).min(bytes.len()));
                for one in several {
                    gathered.extend_from_slice(run(one).ok_or_else(short)?);
                }
                Cow::Owned(gathered)
            }
        };
        match not_finite(kind, &gathered) {
            Some(at) => Err(format!("tensor {name} holds what is no number, near number {at}")),
            None => Ok((kind, gathered)),
        }
    }

    /// A tensor of one row, as f32.
    pub(crate) fn numbers(&self, name: &str, stored: &Stored) -> Result<Vec<f32>, String> {
        let whole = Rows::one(0..stored.rows(), stored.rows());
        let (kind, bytes) = self.rows(name, stored, &whole)?;
        Ok(dequantise::to_f32(kind, &bytes))
    }
}

/// Where the first number lies that is infinite or NaN.
pub(crate) fn not_finite(kind: TensorKind, bytes: &[u8]) -> Option<usize> {
    let halves = bytes.as_chunks::<2>().0;
    match kind {
        TensorKind::F32 => bytes.as_chunks::<4>().0.iter().position(|number| u32::from_le_bytes(*number) & 0x7f80_0000 == 0x7f80_0000),
        TensorKind::Bf16 => halves.iter().position(|number| u16::from_le_bytes(*number) & 0x7f80 == 0x7f80),
        TensorKind::F16 => halves.iter().position(|number| u16::from_le_bytes(*number) & 0x7c00 == 0x7c00),
        _ => {
            let scales = dequantise::scales_at(kind);
            let infinite = |block: &[u8]| scales.iter().any(|at| block.get(at + 1).is_some_and(|high| high & 0x7c == 0x7c));
            bytes.chunks_exact(kind.block_bytes()).position(infinite).map(|block| block * kind.block_numbers())
        }
    }
}
