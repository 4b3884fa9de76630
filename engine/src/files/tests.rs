use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::inventory::{Shape, needs};
use super::*;
use crate::files::safetensors::Header;

mod fuzz;
mod remedies;
mod rivals;

pub(super) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// The bytes of every tensor.
pub(super) fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = fs::read(path).expect("fixture");
    let header = Header::parse(&file).expect("safetensors");
    let bytes = |(from, to)| file[header.data_start + from..header.data_start + to].to_vec();
    header.tensors.iter().map(|(name, tensor)| (name.clone(), bytes(tensor.data_offsets))).collect()
}

/// The files of a directory, to be spoiled.
pub(super) fn copy(directory: &Path) -> TempDir {
    let copied = tempfile::tempdir().expect("directory");
    for entry in directory.read_dir().expect("fixture") {
        let path = entry.expect("entry").path();
        fs::copy(&path, copied.path().join(path.file_name().expect("name"))).expect("copies");
    }
    copied
}

fn llama() -> TempDir {
    copy(&fixtures().join("decoders/llama-linear"))
}

fn edit(directory: &TempDir, file: &str, key: &str, value: Value) {
    let path = directory.path().join(file);
    let mut values: Map<String, Value> = fs::read(&path).map_or_else(|_| Map::new(), |bytes| serde_json::from_slice(&bytes).expect("JSON"));
    values.insert(key.to_owned(), value);
    fs::write(path, serde_json::to_vec(&values).expect("JSON")).expect("writes");
}

/// A safetensors file; `change` is given each tensor's description and bytes.
fn rewrite(from: &Path, to: &Path, change: impl Fn(&str, &mut Value, &mut Vec<u8>) -> bool) {
    let file = fs::read(from).expect("weights");
    let length = u64::from_le_bytes(*file.first_chunk().expect("header"));
    let header: Map<String, Value> = serde_json::from_slice(&file[8..8 + usize::try_from(length).expect("length")]).expect("header");
    let old = tensors(from);
    let (mut described, mut data) = (Map::new(), Vec::new());
    for (name, mut tensor) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let mut bytes = old[&name].clone();
        if change(&name, &mut tensor, &mut bytes) {
            tensor["data_offsets"] = json!([data.len(), data.len() + bytes.len()]);
            data.extend(bytes);
            described.insert(name, tensor);
        }
    }
    let header = serde_json::to_vec(&described).expect("header");
    fs::write(to, [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()).expect("writes");
}

fn spoil(directory: &TempDir, change: impl Fn(&str, &mut Value, &mut Vec<u8>) -> bool) {
    let path = directory.path().join("model.safetensors");
    rewrite(&path, &path, change);
}

fn refused(directory: &TempDir) -> EngineError {
    ModelFiles::open(directory.path()).err().expect("refused")
}

/// Every family opens, and every weight that its architecture needs can be had in its shape.
#[test]
fn every_family_opens() {
    let mut families: Vec<PathBuf> =
        fixtures().join("decoders").read_dir().expect("fixtures").map(|entry| entry.expect("entry").path()).collect();
    families.sort();
    assert!(families.len() >= 27, "{families:?}");
    for path in families {
        let files = ModelFiles::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (layer, role, shape) in needs(&files.architecture) {
            match shape {
                Shape::Vector(length) => {
                    let vector =
                        files.weights.vector(layer, role, length).expect("vector").unwrap_or_else(|| panic!("{role:?} of {layer:?}"));
                    assert_eq!(vector.len(), length);
                }
                Shape::Optional(length) => drop(files.weights.vector(layer, role, length).expect("optional")),
                Shape::Matrix { columns, inner } => {
                    let matrix = files.weights.matrix(layer, role, columns, inner).expect("matrix");
                    assert_eq!(matrix.to_f32().len(), columns * inner, "{role:?}");
                    assert!(matrix.bias.as_ref().is_none_or(|bias| bias.len() == columns));
                }
            }
        }
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    for (key, value) in [
        ("model_type", json!("mamba")),
        ("model_type", json!(null)),
        ("hidden_act", json!("swiglu")),
        ("quantization_config", json!({"quant_method": "gptq"})),
        ("rope_scaling", json!({"rope_type": "mrope", "factor": 2.0})),
        ("hidden_size", json!(0)),
        ("hidden_size", json!(1_u64 << 60)),
        ("num_hidden_layers", json!(1_000_000)),
        ("num_attention_heads", json!("four")),
        ("rms_norm_eps", json!(2.0)),
        ("tie_word_embeddings", json!("no")),
        ("vocab_size", json!(-1)),
    ] {
        let directory = llama();
        if key == "rope_scaling" {
            edit(&directory, "config.json", "rope_parameters", Value::Null);
        }
        edit(&directory, "config.json", key, value.clone());
        let error = refused(&directory);
        let named = if key == "rope_scaling" { "rope_type" } else { key };
        assert!(matches!(&error, EngineError::UnsupportedModel { reason, .. } if reason.contains(named)), "{key} {value}: {error}");
    }
}

#[test]
fn sizes_that_the_tensors_do_not_have_are_refused() {
    for (key, value, complaint) in [
        ("intermediate_size", json!(64), "rows of"),
        ("vocab_size", json!(512), "embed_tokens"),
        ("head_dim", json!(16), "q_proj"),
        ("num_hidden_layers", json!(3), "layer 2 is missing"),
        ("num_hidden_layers", json!(1), "layers.1."),
        ("attention_bias", json!(true), "bias is missing"),
        ("model_type", json!("qwen3"), "QueryNorm of layer 0 is missing"),
        ("tie_word_embeddings", json!(true), ""),
    ] {
        let directory = llama();
        edit(&directory, "config.json", key, value);
        match ModelFiles::open(directory.path()) {
            // A head that is the embeddings may be in the file all the same.
            Ok(_) => assert_eq!(key, "tie_word_embeddings"),
            Err(error) => assert!(error.to_string().contains(complaint) && !complaint.is_empty(), "{key}: {error}"),
        }
    }
}

#[test]
fn weights_that_no_model_has_are_refused() {
    let check = |complaint: &str, change: &dyn Fn(&str, &mut Value, &mut Vec<u8>) -> bool| {
        let directory = llama();
        spoil(&directory, change);
        let error = match ModelFiles::open(directory.path()) {
            Err(error) => error,
            Ok(files) => needs(&files.architecture)
                .find_map(|(layer, role, shape)| match shape {
                    Shape::Matrix { columns, inner } => files.weights.matrix(layer, role, columns, inner).err(),
                    Shape::Vector(length) | Shape::Optional(length) => files.weights.vector(layer, role, length).err(),
                })
                .expect("refused when it is read"),
        };
        assert!(error.to_string().contains(complaint), "{complaint}: {error}");
    };
    check("FeedForwardNorm of layer 1 is missing", &|name, _, _| name != "model.layers.1.post_attention_layernorm.weight");
    check("no embeddings", &|name, _, _| !name.contains("embed_tokens"));
    check("is no number", &|name, _, bytes| {
        if name.ends_with("1.mlp.up_proj.weight") {
            bytes[6..8].copy_from_slice(&[0x80, 0x7f]);
        }
        true
    });
    check("is no number", &|name, _, bytes| {
        if name == "model.norm.weight" {
            bytes[2..4].copy_from_slice(&[0xc0, 0x7f]);
        }
        true
    });
    check("of type I16", &|name, tensor, _| {
        if name.ends_with("0.mlp.up_proj.weight") {
            tensor["dtype"] = json!("I16");
        }
        true
    });
    check("is [8, 4, 32]", &|name, tensor, _| {
        if name.ends_with("0.self_attn.q_proj.weight") {
            tensor["shape"] = json!([8, 4, 32]);
        }
        true
    });
}

#[test]
fn files_that_are_missing_cut_or_elsewhere_are_refused() {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let directory = llama();
        fs::remove_file(directory.path().join(file)).expect("removes");
        assert!(matches!(refused(&directory), EngineError::MissingFile { file: missing, .. } if missing.ends_with(file)));
        for cut in [0, 3, 100] {
            let directory = llama();
            let path = directory.path().join(file);
            let bytes = fs::read(&path).expect("file");
            fs::write(&path, &bytes[..cut]).expect("cuts");
            assert!(matches!(refused(&directory), EngineError::BrokenModel { file: broken, .. } if broken.ends_with(file)), "{file} {cut}");
        }
    }
    for shard in ["../model.safetensors", "/model.safetensors", "a/b.safetensors", "..", "c:\\a", "", "missing.safetensors"] {
        let directory = llama();
        edit(&directory, "model.safetensors.index.json", "weight_map", json!({ "a": shard }));
        let error = refused(&directory);
        let known = if shard == "missing.safetensors" { "is missing" } else { "outside the directory" };
        assert!(error.to_string().contains(known), "{shard}: {error}");
    }
    assert!(matches!(ModelFiles::open(Path::new("no/such/model")), Err(EngineError::MissingFile { .. })));
    let directory = llama();
    fs::rename(directory.path().join("tokenizer.json"), directory.path().join("tokenizer.model")).expect("renames");
    let error = refused(&directory);
    assert!(matches!(&error, EngineError::UnsupportedModel { reason, .. } if reason.contains("save_pretrained")), "{error}");
}

#[test]
fn shards_are_one_model() {
    let whole = ModelFiles::open(&fixtures().join("decoders/llama-linear")).expect("opens");
    let directory = llama();
    let (from, path) = (directory.path().join("model.safetensors"), directory.path());
    let mut map = Map::new();
    for (at, shard) in ["one.safetensors", "two.safetensors"].into_iter().enumerate() {
        let here = |name: &str| usize::from(name.contains("layers.1")) == at;
        rewrite(&from, &path.join(shard), |name, _, _| here(name));
        map.extend(tensors(&from).into_keys().filter(|name| here(name)).map(|name| (name, json!(shard))));
    }
    fs::remove_file(&from).expect("removes");
    edit(&directory, "model.safetensors.index.json", "weight_map", Value::Object(map));
    let sharded = ModelFiles::open(path).expect("opens");
    for (layer, role, shape) in needs(&whole.architecture) {
        if let Shape::Matrix { columns, inner } = shape {
            let matrix = |files: &ModelFiles| files.weights.matrix(layer, role, columns, inner).expect("matrix").bytes.into_owned();
            assert_eq!(matrix(&whole), matrix(&sharded));
        }
    }
    assert_ne!(whole.sha256().expect("hashes"), sharded.sha256().expect("hashes"));
}

#[test]
fn the_digest_is_over_what_counts() {
    let (one, other) = (llama(), llama());
    let digest = |directory: &TempDir| ModelFiles::open(directory.path()).expect("opens").sha256().expect("hashes");
    fs::write(other.path().join("README.md"), "hello").expect("writes");
    assert_eq!(digest(&one), digest(&other));
    edit(&other, "generation_config.json", "temperature", json!(0.5));
    assert_ne!(digest(&one), digest(&other));
    let known = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(fs::read(one.path().join("config.json")).expect("config")));
    fs::write(one.path().join("SHA256SUMS"), format!("{known}  config.json\n{known} *README.md\n")).expect("writes");
    digest(&one);
    fs::write(one.path().join("SHA256SUMS"), format!("{known}  tokenizer.json\n")).expect("writes");
    let corrupt = ModelFiles::open(one.path()).expect("opens").sha256();
    assert!(matches!(corrupt, Err(EngineError::CorruptModel { file, .. }) if file.ends_with("tokenizer.json")));
    let generator = crate::LocalGenerator::open(one.path(), &crate::GeneratorOptions::default());
    assert!(matches!(generator, Err(EngineError::CorruptModel { .. })));
}

#[test]
fn what_the_makers_propose_is_read() {
    let directory = llama();
    for (key, value) in [
        ("do_sample", json!(true)),
        ("temperature", json!(0.6)),
        ("top_k", json!(20)),
        ("top_p", json!(0.95)),
        ("eos_token_id", json!([2, 7])),
    ] {
        edit(&directory, "generation_config.json", key, value);
    }
    edit(
        &directory,
        "tokenizer_config.json",
        "chat_template",
        json!([{"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}]),
    );
    edit(&directory, "tokenizer_config.json", "bos_token", json!({"content": "<s>"}));
    let files = ModelFiles::open(directory.path()).expect("opens");
    let expected = GenerationDefaults {
        samples: Some(true),
        temperature: Some(0.6),
        top_k: Some(20),
        top_p: Some(0.95),
        ..GenerationDefaults::default()
    };
    assert_eq!(files.defaults, expected);
    assert_eq!(files.tokenizer.eos().iter().copied().collect::<Vec<_>>(), [2, 7]);
    let message = crate::Message { role: crate::Role::User, parts: vec![crate::Part::Text("a".to_owned())] };
    let pieces = files.template.expect("a template").render(&[message], true).expect("renders");
    assert_eq!(pieces, [TemplatePiece::Template("<s>".to_owned()), TemplatePiece::Text("a".to_owned())]);
    edit(&directory, "generation_config.json", "top_p", json!(7));
    assert!(refused(&directory).to_string().contains("top_p is 7"));
}

/// Gemma 3 with eyes: the text part lies deeper, and what sees is left alone.
#[test]
fn the_text_part_of_a_model_that_sees_is_read() {
    let directory = copy(&fixtures().join("decoders/gemma3"));
    let config: Value = serde_json::from_slice(&fs::read(directory.path().join("config.json")).expect("config")).expect("JSON");
    fs::write(directory.path().join("config.json"), json!({"model_type": "gemma3", "text_config": config}).to_string()).expect("writes");
    let path = directory.path().join("model.safetensors");
    let file = fs::read(&path).expect("weights");
    let length = usize::try_from(u64::from_le_bytes(*file.first_chunk().expect("header"))).expect("length");
    let header = String::from_utf8(file[8..8 + length].to_vec()).expect("header").replace("\"model.", "\"language_model.model.");
    fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &file[8 + length..]].concat()).expect("writes");
    let deep = ModelFiles::open(directory.path()).expect("opens");
    let plain = ModelFiles::open(&fixtures().join("decoders/gemma3")).expect("opens");
    assert_eq!(deep.architecture.layers, plain.architecture.layers);
}
