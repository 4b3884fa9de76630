//! Walking through a GGUF file's header, never past its end.

use super::{Array, Kind, Metadata};

/// The bytes that are left.
pub(super) struct Cursor<'a> {
    pub(super) file: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.file.len());
        let end = end.ok_or_else(|| format!("{length} bytes at {} of {}", self.at, self.file.len()))?;
        let bytes = self.file.get(self.at..end).unwrap_or_default();
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn word(&mut self) -> Result<u32, String> {
        self.take(4).map(|bytes| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)))
    }

    /// A count or a length: never more than the file has bytes.
    pub(super) fn length(&mut self) -> Result<usize, String> {
        let length = self.take(8)?.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        usize::try_from(length).map_err(|_| format!("a length of {length}"))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, String> {
        let at = self.at;
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| format!("the text at byte {at} is no UTF-8"))
    }

    /// So many of what takes up at least so many bytes each.
    pub(super) fn count(&mut self, bytes_min: usize, what: &str) -> Result<usize, String> {
        let count = self.length()?;
        let left = self.file.len() - self.at;
        if count > left / bytes_min { Err(format!("{count} {what} in {left} bytes")) } else { Ok(count) }
    }

    fn kind(&mut self) -> Result<Kind, String> {
        Ok(match self.word()? {
            0 => Kind::Unsigned(1),
            1 => Kind::Signed(1),
            2 => Kind::Unsigned(2),
            3 => Kind::Signed(2),
            4 => Kind::Unsigned(4),
            5 => Kind::Signed(4),
            6 => Kind::Float(4),
            7 => Kind::Flag,
            8 => Kind::Text,
            9 => Kind::Array,
            10 => Kind::Unsigned(8),
            11 => Kind::Signed(8),
            12 => Kind::Float(8),
            other => return Err(format!("a value of unknown type {other}")),
        })
    }

    pub(super) fn value(&mut self) -> Result<Metadata<'a>, String> {
        match self.kind()? {
            Kind::Text => self.text().map(Metadata::Text),
            Kind::Array => {
                let kind = self.kind()?;
                let bytes_min = match kind {
                    Kind::Array => return Err("an array of arrays, which no model uses".to_owned()),
                    Kind::Text => 8,
                    Kind::Flag => 1,
                    Kind::Unsigned(bytes) | Kind::Signed(bytes) | Kind::Float(bytes) => bytes,
                };
                let count = self.count(bytes_min, "values of an array")?;
                let start = self.at;
                if kind == Kind::Text {
                    for _ in 0..count {
                        self.text()?;
                    }
                } else {
                    self.take(count * bytes_min)?;
                }
                let bytes = self.file.get(start..self.at).unwrap_or_default();
                Ok(Metadata::Array(Array { kind, count, bytes }))
            }
            Kind::Flag => match self.take(1)? {
                [flag @ (0 | 1)] => Ok(Metadata::Flag(*flag == 1)),
                other => Err(format!("a truth value of {other:?}")),
            },
            kind @ (Kind::Unsigned(bytes) | Kind::Signed(bytes) | Kind::Float(bytes)) => Ok(scalar(kind, self.take(bytes)?)),
        }
    }
}

/// A number of that kind, little-endian.
pub(super) fn scalar<'a>(kind: Kind, bytes: &[u8]) -> Metadata<'a> {
    let mut wide = [0; 8];
    wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let whole = u64::from_le_bytes(wide);
    match kind {
        Kind::Signed(size) => {
            let shift = 64 - 8 * size.min(8);
            Metadata::Whole(i128::from((whole << shift).cast_signed() >> shift))
        }
        Kind::Float(4) => Metadata::Number(f64::from(f32::from_le_bytes([wide[0], wide[1], wide[2], wide[3]]))),
        Kind::Float(_) => Metadata::Number(f64::from_le_bytes(wide)),
        _ => Metadata::Whole(i128::from(whole)),
    }
}
