//! A file's bytes without reading them: the kernel pages them in as they are used.

use std::fs::File;
use std::io;
use std::ops::Deref;

/// Read-only. Whoever shortens the file while it is mapped ends the process (SIGBUS): model files are put in place by
/// renaming, never rewritten.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// None for an empty file, which cannot be mapped.
    map: Option<memmap2::Mmap>,
}

impl Mapping {
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self { map: None });
        }
        // SAFETY: the map is private and read-only, and every offset into it is checked. Bytes that another process
        // changes meanwhile change what is read, as they would with reads; they are plain numbers and checked texts.
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Self { map: Some(map) })
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}
