//! Columns in a file: each is its length in bytes (64 bits, little-endian) and its bytes.

#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend((bytes.len() as u64).to_le_bytes());
        self.0.extend(bytes);
    }

    pub(crate) fn numbers(&mut self, numbers: impl Iterator<Item = u32>) {
        let bytes: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
        self.bytes(&bytes);
    }

    /// Texts of fewer than 2^32 bytes each.
    pub(crate) fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        let (mut lengths, mut all) = (Vec::new(), Vec::new());
        for text in texts {
            lengths.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            all.extend(text.as_bytes());
        }
        self.numbers(lengths.into_iter());
        self.bytes(&all);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what [`Writer`] wrote; none where the bytes are something else.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<8>()?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn numbers(&mut self) -> Option<Vec<u32>> {
        let (numbers, []) = self.bytes()?.as_chunks::<4>() else { return None };
        Some(numbers.iter().map(|number| u32::from_le_bytes(*number)).collect())
    }

    pub(crate) fn texts(&mut self) -> Option<Vec<&'a str>> {
        let lengths = self.numbers()?;
        let mut all = std::str::from_utf8(self.bytes()?).ok()?;
        let mut texts = Vec::with_capacity(lengths.len());
        for length in lengths {
            let (text, rest) = all.split_at_checked(length as usize)?;
            texts.push(text);
            all = rest;
        }
        all.is_empty().then_some(texts)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}
