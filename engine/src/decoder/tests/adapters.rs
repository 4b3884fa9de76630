//! Adapters against peft, and against themselves in other batches.

use std::path::PathBuf;

use super::*;
use crate::files::AdapterFiles;
use crate::{Isa, Precision};

fn folder(family: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/adapter-batches").join(family)
}

fn names(family: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder(family)).expect("fixtures");
    let folders = entries.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

/// The decoder with every adapter of its family, and their names by number.
fn adapted(fixture: &Fixture, precision: Precision, isa: Option<Isa>) -> (Decoder, Vec<String>) {
    let mut decoder = fixture.decoder(precision, isa);
    let names = names(&fixture.family);
    for (number, name) in names.iter().enumerate() {
        let files =
            AdapterFiles::open(&folder(&fixture.family).join(name), decoder.architecture()).unwrap_or_else(|error| panic!("{error}"));
        let loaded = decoder.load_adapter(&files).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded as usize, number);
    }
    (decoder, names)
}

/// One sequence for each, all in one batch; the hidden states of each.
fn mixed(decoder: &Decoder, tokens: &[u32], adapters: &[Option<u32>]) -> Vec<Vec<f32>> {
    let mut runner = Runner::new(decoder);
    let sequences = adapters.iter().map(|adapter| Sequence { adapter: *adapter, ..runner.sequence(tokens.len()) });
    let mut sequences: Vec<Sequence> = sequences.collect();
    let mut work: Vec<(&mut Sequence, &[u32])> = sequences.iter_mut().map(|sequence| (sequence, tokens)).collect();
    let hidden = runner.run(&mut work);
    hidden.chunks_exact(tokens.len() * decoder.architecture().width).map(<[f32]>::to_vec).collect()
}

const FAMILIES: [&str; 4] = ["llama", "phi3", "falcon-40b", "deepseek-v3"];

#[test]
fn a_mixed_batch_computes_what_peft_computes() {
    let mut differences = Vec::new();
    for family in FAMILIES {
        let fixture = Fixture::open(family);
        let expected = fixture::Expected::read(&folder(family).join("expected.safetensors"));
        let tokens = expected.ids("tokens");
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let (decoder, names) = adapted(&fixture, Precision::F32, Some(isa));
            let adapters: Vec<Option<u32>> = (0..names.len() as u32).map(Some).chain([None]).collect();
            let names = names.iter().map(String::as_str).chain(["base"]);
            for (name, hidden) in names.zip(mixed(&decoder, &tokens, &adapters)) {
                let expected = expected.numbers(&format!("logits.{name}")).expect("logits of every adapter");
                let logits = decoder.logits(&hidden, tokens.len());
                differences.extend(parity::far(&logits, &expected, &format!("{family} with {name} on {isa}")));
            }
        }
    }
    assert_eq!(differences, Vec::<String>::new());
}

#[test]
fn rows_have_the_bits_of_their_adapter_alone() {
    for family in FAMILIES {
        let fixture = Fixture::open(family);
        for precision in [Precision::F32, Precision::Bf16] {
            let (decoder, names) = adapted(&fixture, precision, None);
            let tokens = tokens(70, decoder.architecture().vocabulary, 1);
            let base = Runner::new(&fixture.decoder(precision, None)).chunked(None, &tokens, &[tokens.len()]);
            let adapters: Vec<Option<u32>> = (0..names.len() as u32).rev().flat_map(|number| [Some(number), None]).collect();
            for (adapter, found) in adapters.iter().zip(mixed(&decoder, &tokens, &adapters)) {
                let what = format!("{family} with {adapter:?} in {precision:?}");
                match adapter {
                    None => assert_same(&found, &base, &what),
                    Some(_) => assert!(found != base, "{what} adds something"),
                }
                for chunks in [&[tokens.len()][..], &[1], &[33]] {
                    let alone = Runner::new(&decoder).chunked(*adapter, &tokens, chunks);
                    assert_same(&alone, &found, &format!("{what}, alone in chunks of {chunks:?}"));
                }
            }
        }
    }
}

#[test]
fn an_adapter_of_another_model_is_refused() {
    let phi3 = Fixture::open("phi3").decoder(Precision::F32, None);
    let mut llama = Fixture::open("llama-yarn").decoder(Precision::F32, None);
    let files = AdapterFiles::open(&folder("phi3").join("fused"), phi3.architecture()).expect("an adapter of phi3");
    assert!(matches!(llama.load_adapter(&files), Err(crate::EngineError::Adapter { .. })));
}
