//! Reading GGUF, versions 2 and 3, out of a file that may lie.
//!
//! Nothing is copied: texts and arrays stay where they are in the file, and are walked once to see that they end in
//! it. Every count is held against the bytes that are left before anything is taken for it.

mod configuration;
mod cursor;
mod cuts;
mod kinds;
mod names;
mod tokenizer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;

use super::tensor_store::Stored;
pub(super) use configuration::blueprint;
use cursor::{Cursor, scalar};
use kinds::kind;
pub(super) use tokenizer::{template, vocabulary};

const DIMENSIONS_MAX: u32 = 4;
const ALIGNMENT_MAX: usize = 1 << 16;
/// What the shortest tensor's entry takes up: a name's length, dimensions, type, offset.
const TENSOR_BYTES_MIN: usize = 8 + 4 + 8 + 4 + 8;
/// A key's length, a type, one byte.
const PAIR_BYTES_MIN: usize = 8 + 4 + 1;

/// What a file says, its texts still in the file.
pub(crate) struct Gguf<'a> {
    /// One, or the parts of a split one: [`Stored::file`] is the place of one in it.
    files: Vec<&'a [u8]>,
    metadata: BTreeMap<&'a str, Metadata<'a>>,
    pub(super) tensors: Vec<(&'a str, Stored)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Metadata<'a> {
    Whole(i128),
    Number(f64),
    Flag(bool),
    Text(&'a str),
    Array(Array<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Array<'a> {
    kind: Kind,
    count: usize,
    bytes: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unsigned(usize),
    Signed(usize),
    Float(usize),
    Flag,
    Text,
    Array,
}

impl<'a> Array<'a> {
    /// None where it holds no texts.
    fn texts(self) -> Option<impl Iterator<Item = &'a str>> {
        let mut cursor = Cursor { file: self.bytes, at: 0 };
        (self.kind == Kind::Text).then(|| (0..self.count).map_while(move |_| cursor.text().ok()))
    }

    /// None where it holds no numbers.
    fn numbers(self) -> Option<impl Iterator<Item = f64>> {
        let (kind, size) = match self.kind {
            kind @ (Kind::Unsigned(size) | Kind::Signed(size) | Kind::Float(size)) => (kind, size),
            _ => return None,
        };
        #[expect(clippy::cast_precision_loss, reason = "scores and kinds of tokens are small")]
        let number = move |bytes: &[u8]| match scalar(kind, bytes) {
            Metadata::Whole(whole) => whole as f64,
            Metadata::Number(number) => number,
            _ => 0.0,
        };
        Some(self.bytes.chunks_exact(size).map(number))
    }
}

impl<'a> Gguf<'a> {
    /// # Errors
    /// A sentence saying where the file breaks the format.
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, String> {
        let mut cursor = Cursor { file, at: 0 };
        if cursor.take(4)? != b"GGUF" {
            return Err("it does not begin with GGUF, so it is no GGUF file".to_owned());
        }
        match cursor.word()? {
            2 | 3 => {}
            other => return Err(format!("version {other}: 2 and 3 are read, in little-endian order")),
        }
        let tensors = cursor.count(TENSOR_BYTES_MIN, "tensors")?;
        let pairs = cursor.count(PAIR_BYTES_MIN, "keys")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..pairs {
            let key = cursor.text()?;
            let value = cursor.value().map_err(|reason| format!("{key}: {reason}"))?;
            if metadata.insert(key, value).is_some() {
                return Err(format!("the key {key} is there twice"));
            }
        }
        let mut gguf = Self { files: vec![file], metadata, tensors: Vec::with_capacity(tensors) };
        let alignment = gguf.alignment()?;
        for _ in 0..tensors {
            let name = cursor.text()?;
            let tensor = tensor(&mut cursor, alignment).map_err(|reason| format!("tensor {name}: {reason}"))?;
            gguf.tensors.push((name, tensor));
        }
        let start = cursor.at.next_multiple_of(alignment);
        gguf.place(start, file.len())?;
        Ok(gguf)
    }

    /// Whether a file is what its name says: part `number`, from 0, of `count`.
    ///
    /// # Errors
    /// A sentence, where it is not.
    pub(crate) fn is_part(&self, number: usize, count: usize) -> Result<(), String> {
        let said = |key: &str| Ok::<_, String>(self.whole(key)?.unwrap_or(0));
        let (found_number, found_count) = (said("split.no")?, said("split.count")?);
        // Where nothing was split, llama.cpp writes no count, or 0 or 1.
        let is_it = if count == 1 { found_count <= 1 } else { (found_number, found_count) == (number as u64, count as u64) };
        if is_it {
            return Ok(());
        }
        let (found, named) = (found_number.saturating_add(1), number + 1);
        Err(format!("it says that it is part {found} of {found_count}, and its name that it is part {named} of {count}"))
    }

    /// One file of all its parts, in their order; the first one has the metadata.
    ///
    /// # Errors
    /// A sentence, where tensors are missing.
    pub(crate) fn join(parts: Vec<Self>) -> Result<Self, String> {
        let mut parts = parts.into_iter();
        let mut whole = parts.next().ok_or("there are no parts")?;
        for part in parts {
            let file = whole.files.len();
            whole.files.extend(part.files);
            whole.tensors.extend(part.tensors.into_iter().map(|(name, stored)| (name, Stored { file, ..stored })));
        }
        let (found, said) = (whole.tensors.len() as u64, whole.whole("split.tensors.count")?);
        match said.filter(|said| whole.files.len() > 1 && *said != found) {
            None => Ok(whole),
            Some(said) => Err(format!("its parts hold {found} tensors, not {said}")),
        }
    }

    /// The bytes of a tensor.
    fn bytes(&self, tensor: &Stored) -> &'a [u8] {
        self.files.get(tensor.file).and_then(|file| file.get(tensor.bytes.clone())).unwrap_or_default()
    }

    fn alignment(&self) -> Result<usize, String> {
        match self.metadata.get("general.alignment") {
            None => Ok(32),
            Some(Metadata::Whole(alignment)) => {
                let alignment =
                    usize::try_from(*alignment).ok().filter(|alignment| alignment.is_power_of_two() && *alignment <= ALIGNMENT_MAX);
                alignment.ok_or_else(|| "general.alignment is no power of two that is read".to_owned())
            }
            Some(_) => Err("general.alignment is no number".to_owned()),
        }
    }

    /// Moves the tensors to where they lie in the file: inside it, and no two over each other.
    fn place(&mut self, start: usize, file_bytes: usize) -> Result<(), String> {
        for (name, tensor) in &mut self.tensors {
            let range = |at: usize| at.checked_add(start).filter(|end| *end <= file_bytes);
            let (Some(from), Some(to)) = (range(tensor.bytes.start), range(tensor.bytes.end)) else {
                return Err(format!("tensor {name} lies outside the file's {file_bytes} bytes: it ends early; download it again"));
            };
            tensor.bytes = from..to;
        }
        let mut ranges: Vec<(Range<usize>, &str)> = self.tensors.iter().map(|(name, tensor)| (tensor.bytes.clone(), *name)).collect();
        ranges.sort_unstable_by_key(|(range, _)| (range.start, range.end));
        match ranges.windows(2).find(|pair| matches!(pair, [(one, _), (other, _)] if one.end > other.start)) {
            Some([(_, one), (_, other)]) => Err(format!("tensors {one} and {other} lie over each other")),
            _ => Ok(()),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Metadata::Text(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{key} is no text")),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, String> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Metadata::Flag(flag)) => Ok(Some(*flag)),
            Some(_) => Err(format!("{key} is neither true nor false")),
        }
    }

    fn whole(&self, key: &str) -> Result<Option<u64>, String> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Metadata::Whole(whole)) => u64::try_from(*whole).map(Some).map_err(|_| format!("{key} is {whole}")),
            Some(_) => Err(format!("{key} is no whole number; different layers of different sizes are not run")),
        }
    }

    fn array(&self, key: &str) -> Result<Option<Array<'a>>, String> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Metadata::Array(array)) => Ok(Some(*array)),
            Some(_) => Err(format!("{key} is no array")),
        }
    }
}

/// One entry of the list of tensors; its bytes are counted from where tensors begin.
fn tensor(cursor: &mut Cursor<'_>, alignment: usize) -> Result<Stored, String> {
    let dimensions = cursor.word()?;
    if dimensions > DIMENSIONS_MAX {
        return Err(format!("{dimensions} dimensions"));
    }
    // The innermost comes first in the file.
    let mut shape = (0..dimensions).map(|_| cursor.length()).collect::<Result<Vec<_>, _>>()?;
    shape.reverse();
    let kind = kind(cursor.word()?);
    let start = cursor.length()?;
    if !start.is_multiple_of(alignment) {
        return Err(format!("it begins at {start}, no multiple of {alignment}"));
    }
    let numbers = shape.iter().try_fold(1_usize, |size, side| size.checked_mul(*side));
    let numbers = numbers.ok_or_else(|| format!("{shape:?} numbers"))?;
    let length = match &kind {
        Ok(kind) => {
            let rows = numbers.checked_div(shape.last().copied().unwrap_or(1)).unwrap_or(0);
            let row = kind
                .bytes(shape.last().copied().unwrap_or(1))
                .ok_or_else(|| format!("rows of {:?} numbers of {}", shape.last(), kind.name()))?;
            row.checked_mul(rows).ok_or("too many bytes")?
        }
        Err(_) => 0,
    };
    let end = start.checked_add(length).ok_or("an offset past all files")?;
    Ok(Stored { file: 0, kind, shape, bytes: start..end })
}
