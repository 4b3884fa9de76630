use std::path::PathBuf;

use super::*;
use crate::architecture::{Architecture, Position};
use crate::files::ModelFiles;
use crate::files::inventory::{Shape, needs};
use crate::files::tests::{fixtures, tensors};
use crate::kernels::{TensorKind, dequantise};

mod published;

/// `gguf` of PyPI is the reference.
#[test]
fn every_kind_is_read_as_the_reference_reads_it() {
    let known = tensors(&fixtures().join("gguf/kinds.safetensors"));
    for kind in TensorKind::ALL.into_iter().filter(|kind| *kind != TensorKind::F32) {
        let bytes = &known[&format!("{}.bytes", kind.name())];
        let expected: Vec<f32> = dequantise::to_f32(TensorKind::F32, &known[&format!("{}.numbers", kind.name())]);
        let found = dequantise::to_f32(kind, bytes);
        assert_eq!(found.len(), expected.len(), "{}", kind.name());
        assert!(found.len() >= 2 * kind.block_numbers());
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{} {at}: {found} {expected}", kind.name());
        }
    }
}

/// The same model out of both formats: the same architecture, and every weight the same to the bit.
#[test]
fn a_gguf_file_is_the_model_it_was_made_of() {
    let mut files: Vec<PathBuf> = fixtures().join("gguf").read_dir().expect("fixtures").map(|entry| entry.expect("entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "gguf"));
    assert!(files.len() >= 15);
    for path in files {
        let name = path.file_stem().expect("name").to_str().expect("name").to_owned();
        let found = ModelFiles::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let known = ModelFiles::open(&fixtures().join("decoders").join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.name, name);
        assert_eq!(
            found.tokenizer.encode("Hé </s>", crate::files::Specials::Parse).expect("ids"),
            known.tokenizer.encode("Hé </s>", crate::files::Specials::Parse).expect("ids")
        );
        // What a GGUF file cannot say of these: an unusual scale, an unusual choice of layers, two weights of YaRN.
        if !["gemma2", "gemma3", "smollm3", "deepseek-v3"].contains(&name.as_str()) {
            assert_eq!(settled(found.architecture.clone(), &known.architecture), known.architecture, "{name}");
        }
        for (layer, role, shape) in needs(&known.architecture) {
            match shape {
                Shape::Vector(length) | Shape::Optional(length) => {
                    let vector = |files: &ModelFiles| files.weights.vector(layer, role, length).expect("vector");
                    assert_eq!(vector(&found), vector(&known), "{name} {layer:?} {role:?}");
                }
                Shape::Matrix { columns, inner } => {
                    let matrix = |files: &ModelFiles| {
                        let matrix = files.weights.matrix(layer, role, columns, inner).expect("matrix");
                        (matrix.to_f32(), matrix.bias.clone())
                    };
                    assert!(matrix(&found) == matrix(&known), "{name} {layer:?} {role:?}");
                }
            }
        }
    }
}

/// With the family's name of the other, and its frequencies where they are nearly the same.
fn settled(mut found: Architecture, known: &Architecture) -> Architecture {
    found.family.clone_from(&known.family);
    for (found, known) in found.layers.iter_mut().zip(&known.layers) {
        if let (Position::Rotary(found), Position::Rotary(known)) = (&mut found.attention.position, &known.attention.position) {
            let near = |one: f32, other: f32| (one - other).abs() <= 1e-6 * other.abs();
            assert!(found.frequencies.iter().zip(&known.frequencies).all(|(found, known)| near(*found, *known)), "{found:?} {known:?}");
            assert!(near(found.magnitude, known.magnitude), "{} {}", found.magnitude, known.magnitude);
            found.frequencies.clone_from(&known.frequencies);
            found.magnitude = known.magnitude;
        }
    }
    found
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A file of one key and one tensor, spoiled by the caller.
struct File {
    version: u32,
    tensors: u64,
    pairs: u64,
    metadata: Vec<u8>,
    dimensions: Vec<u64>,
    kind: u32,
    offset: u64,
    data_bytes: usize,
}

impl File {
    fn good() -> Self {
        Self { version: 3, tensors: 1, pairs: 0, metadata: Vec::new(), dimensions: vec![4, 2], kind: 0, offset: 0, data_bytes: 32 }
    }

    fn with_value(kind: u32, value: &[u8]) -> Self {
        let mut metadata = Vec::new();
        text(&mut metadata, "key");
        metadata.extend(kind.to_le_bytes());
        metadata.extend(value);
        Self { metadata, pairs: 1, ..Self::good() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensors.to_le_bytes());
        bytes.extend(self.pairs.to_le_bytes());
        bytes.extend(&self.metadata);
        for at in 0..self.tensors.min(2) {
            text(&mut bytes, if at == 0 { "a" } else { "b" });
            bytes.extend(u32::try_from(self.dimensions.len()).expect("few").to_le_bytes());
            self.dimensions.iter().for_each(|side| bytes.extend(side.to_le_bytes()));
            bytes.extend(self.kind.to_le_bytes());
            bytes.extend(self.offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32) + self.data_bytes, 0);
        bytes
    }
}

#[test]
fn lying_headers_are_refused() {
    assert_eq!(Gguf::parse(&File::good().bytes()).expect("parses").tensors[0].1.shape, [2, 4]);
    let check = |bytes: &[u8], complaint: &str| {
        let error = Gguf::parse(bytes).err().unwrap_or_else(|| panic!("accepted what should be {complaint:?}"));
        assert!(error.contains(complaint), "{error} is not {complaint:?}");
    };
    check(b"", "4 bytes at 0");
    check(b"GGML\x03\0\0\0", "does not begin");
    check(&File { version: 1, ..File::good() }.bytes(), "version 1");
    check(&File { version: 0x0300_0000, ..File::good() }.bytes(), "little-endian");
    check(&File { tensors: u64::MAX, ..File::good() }.bytes(), "tensors in");
    check(&File { tensors: 1 << 40, ..File::good() }.bytes(), "tensors in");
    check(&File { pairs: 1 << 40, ..File::good() }.bytes(), "keys in");
    check(&File { dimensions: vec![1; 5], ..File::good() }.bytes(), "5 dimensions");
    check(&File { dimensions: vec![u64::MAX, 2], ..File::good() }.bytes(), "numbers");
    check(&File { dimensions: vec![1 << 40, 1 << 40], ..File::good() }.bytes(), "numbers");
    check(&File { dimensions: vec![1 << 40, 2], ..File::good() }.bytes(), "outside");
    check(&File { kind: 2, ..File::good() }.bytes(), "rows of Some(4) numbers of Q4_0");
    check(&File { offset: 32, ..File::good() }.bytes(), "outside");
    check(&File { offset: 1, ..File::good() }.bytes(), "no multiple");
    check(&File { offset: u64::MAX - 31, ..File::good() }.bytes(), "offset past");
    check(&File { tensors: 2, ..File::good() }.bytes(), "over each other");
    check(&File::with_value(9, &[4, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 0]).bytes(), "values of an array");
    check(&File::with_value(9, &[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).bytes(), "array of arrays");
    check(&File::with_value(8, &u64::MAX.to_le_bytes()).bytes(), "bytes at");
    check(&File::with_value(8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff]).bytes(), "no UTF-8");
    check(&File::with_value(13, &[0]).bytes(), "unknown type 13");
    check(&File::with_value(7, &[2]).bytes(), "truth value");
    let mut twice = File::with_value(7, &[1]);
    twice.metadata.extend(twice.metadata.clone());
    twice.pairs = 2;
    check(&twice.bytes(), "there twice");
    let aligned = |alignment: u32| {
        let mut file = File::with_value(4, &alignment.to_le_bytes());
        let mut metadata = Vec::new();
        text(&mut metadata, "general.alignment");
        metadata.extend(file.metadata.split_off(11));
        file.metadata = metadata;
        file.bytes()
    };
    for alignment in [0, 3, 1 << 20] {
        check(&aligned(alignment), "general.alignment");
    }
}

#[test]
fn kinds_that_are_not_read_are_named() {
    let file = File { kind: 20, ..File::good() }.bytes();
    let parsed = Gguf::parse(&file).expect("parses");
    assert_eq!(parsed.tensors[0].1.kind, Err("IQ4_NL".to_owned()));
}
