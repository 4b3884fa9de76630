//! The fixtures that `tests/fixtures/make_decoders.py` makes.

use std::path::{Path, PathBuf};

use crate::decoder::{Decoder, DecoderOptions};
use crate::files::ModelFiles;
use crate::{Isa, Precision};

pub(super) struct Fixture {
    pub(super) family: String,
    pub(super) files: ModelFiles,
    expected: Expected,
}

/// Tensors that the reference wrote, integers among them.
pub(super) struct Expected(Vec<u8>);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/decoders")
}

pub(super) fn families() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("fixtures");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let mut names: Vec<String> = names.filter(|name| folder().join(name).join("expected.safetensors").exists()).collect();
    names.sort();
    assert!(names.len() > 20, "fixtures of every family");
    names
}

impl Fixture {
    pub(super) fn open(family: &str) -> Self {
        let folder = folder().join(family);
        let files = ModelFiles::open(&folder).unwrap_or_else(|error| panic!("{family}: {error}"));
        let expected = Expected::read(&folder.join("expected.safetensors"));
        Self { family: family.to_owned(), files, expected }
    }

    pub(super) fn decoder(&self, precision: Precision, isa: Option<Isa>) -> Decoder {
        let options = DecoderOptions { precision, isa, threads: Some(2) };
        Decoder::load(&self.files, &options).unwrap_or_else(|error| panic!("{}: {error}", self.family))
    }

    pub(super) fn numbers(&self, name: &str) -> Option<Vec<f32>> {
        self.expected.numbers(name)
    }

    pub(super) fn ids(&self, name: &str) -> Vec<u32> {
        self.expected.ids(name)
    }
}

impl Expected {
    pub(super) fn read(path: &Path) -> Self {
        Self(std::fs::read(path).expect("what the reference computed"))
    }

    fn bytes(&self, name: &str) -> Option<&[u8]> {
        let length = u64::from_le_bytes(*self.0.first_chunk().expect("a length")) as usize;
        let (header, data) = self.0[8..].split_at(length);
        let header: serde_json::Value = serde_json::from_slice(header).expect("a header");
        let offsets = header.get(name)?["data_offsets"].as_array().expect("offsets").clone();
        let offset = |at: usize| offsets[at].as_u64().expect("an offset") as usize;
        Some(&data[offset(0)..offset(1)])
    }

    pub(super) fn numbers(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.bytes(name)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn ids(&self, name: &str) -> Vec<u32> {
        let bytes = self.bytes(name).expect("ids");
        bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }
}
